//! A store that is changed behind its back.

use super::common::store_address;
use sqlx::{Connection, Executor};
use std::path::Path;

/// Changes the store of a home past its own door.
pub(crate) async fn spoil_store(home: &Path, change: &'static str) {
    sqlx::any::install_default_drivers();
    let mut store = sqlx::AnyConnection::connect(&store_address(home)).await.unwrap();
    if std::env::var("YUNEI_TEST_POSTGRES").is_ok() {
        store.execute("SET search_path TO yunei").await.unwrap();
    }
    assert!(store.execute(change).await.unwrap().rows_affected() > 0);
    store.close().await.unwrap();
}
