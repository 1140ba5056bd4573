//! What the tests of the registry share.

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use yunei_engine::catalogue::{DatasetSpec, Surveyed, survey};
use yunei_engine::registry::{AuditEntry, Digest, NewGrant, NewProduct, NewRun, Store, StoreError, StoreUrl};
use yunei_policy::words::{Role, Text};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A fresh audit id.
pub(crate) fn fresh() -> String {
    format!("audit-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An audit entry under this id.
pub(crate) fn entry(id: &str) -> AuditEntry<'_> {
    AuditEntry::new(id, r#"{"event":"test"}"#).unwrap()
}

/// Runs a test on several threads, as the server does.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

pub(crate) fn path(home: &TempDir) -> PathBuf {
    home.path().join("registry.db")
}

/// The server that the tests are to run against instead of SQLite: `YUNEI_TEST_POSTGRES` (see `conformance/postgres.sh`).
pub(crate) fn server() -> Option<String> {
    std::env::var("YUNEI_TEST_POSTGRES").ok()
}

/// The address of a database of that server.
pub(crate) fn database(server: &str, name: &str) -> String {
    let (address, parameters) = server.split_once('?').map_or((server, ""), |(a, p)| (a, p));
    let host = address.rsplit_once('/').unwrap().0;
    format!("{host}/{name}?{parameters}").trim_end_matches('?').to_owned()
}

/// A name for the database of a home.
fn database_of(home: &TempDir) -> String {
    let name = home.path().file_name().unwrap().to_string_lossy().into_owned();
    format!("home_{}", name.bytes().map(|b| format!("{b:02x}")).collect::<String>())
}

/// The address of the database of a home, with whatever the server's has.
pub(crate) fn address(home: &TempDir, server: &str) -> String {
    database(server, &database_of(home))
}

pub(crate) fn url(home: &TempDir, server: &str) -> StoreUrl {
    StoreUrl::parse(&address(home, server)).unwrap()
}

/// Asks the server something as it is, past our own door.
pub(crate) async fn ask(address: &str, sql: String) -> Result<(), sqlx::Error> {
    use sqlx::{Connection, Executor};
    sqlx::any::install_default_drivers();
    let mut session = sqlx::AnyConnection::connect(address).await?;
    let done = session.execute(sqlx::AssertSqlSafe(sql)).await.map(|_| ());
    session.close().await.unwrap();
    done
}

/// Makes the store of a home: a file, or an empty database where the tests run against a server.
pub(crate) async fn create(home: &TempDir) -> Result<Store, StoreError> {
    let Some(server) = server() else { return Store::create(&path(home)).await };
    // It may be there already; then it is what the test is about.
    let _ = ask(&server, format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", database_of(home))).await;
    Store::create_at(&url(home, &server)).await
}

/// Opens the store of a home.
pub(crate) async fn open(home: &TempDir) -> Result<Store, StoreError> {
    match server() {
        None => Store::open(&path(home)).await,
        Some(server) => Store::open_at(&url(home, &server)).await,
    }
}

/// A store with an institution of each role (`holder`, `operator`, …) and a product `p`.
pub(crate) async fn store(home: &TempDir) -> Store {
    let store = create(home).await.unwrap();
    for role in [Role::Holder, Role::Operator, Role::Business, Role::Authority] {
        let title = Text::new("机构", "Institution");
        store.add_institution(&role.to_string(), role, &title, 1, entry(&fresh())).await.unwrap();
    }
    let product = NewProduct { id: "p", toml_digest: Digest::of(b"p"), header: "{}", submitted_by: "operator" };
    store.submit_product(product, 2, entry(&fresh())).await.unwrap();
    store
}

/// A grant `id` for `operator` × `p` from 0 until 1000.
pub(crate) async fn grant(store: &Store, id: &str, max_runs: Option<u64>) -> Result<(), StoreError> {
    let purposes = ["credit-research".to_owned()];
    let new = NewGrant {
        id,
        institution: "operator",
        product: "p",
        purposes: &purposes,
        from_millis: 0,
        until_millis: 1000,
        max_runs,
        agreement_digest: Some(Digest::of(b"agreement")),
    };
    store.add_grant(new, 3, entry(&fresh())).await
}

/// A run of `operator` × `p`.
pub(crate) fn new_run<'a>(id: &'a str, grant: Option<&'a str>) -> NewRun<'a> {
    NewRun { id, institution: "operator", product: "p", purpose: "credit-research", grant, question: None }
}

pub(crate) async fn begin(store: &Store, id: &str, grant: Option<&str>) {
    store.begin_run(new_run(id, grant), 10, entry(&fresh())).await.unwrap();
}

/// An entry `id` with one file in `base`; `title` makes it another entry.
pub(crate) fn dataset(base: &Path, id: &str, title: &str, rows: u32) -> (DatasetSpec, Surveyed) {
    let text = format!(
        "[dataset]\nid='{id}'\ntitle={{zh='{title}',en='{title}'}}\nprovider={{name='x',code='91350100M000100Y43'}}\n\
         files=['{id}.parquet']\nupdate='never'\nsharing={{attribute='none'}}\nopening={{type='none'}}\n\
         grade='general-1'\nunit={{kind='none'}}\nrelease='open'\n\
         [[column]]\nname='c'\ntype='utf8'\nclass='attribute'\nusages=[]\n"
    );
    let column: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|i| i.to_string())));
    let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let file = std::fs::File::create(base.join(format!("{id}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let spec = DatasetSpec::parse(&text).unwrap();
    let surveyed = survey(&spec, base, &mut |_, _| ()).unwrap();
    (spec, surveyed)
}
