//! One domain for all attacks that are refused, and a plain engine over the same files.

use crate::common::World;
use crate::firms::{ordinary, world};
use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Runtime;
use yunei_engine::DomainError;

static SHARED: OnceLock<(Runtime, World)> = OnceLock::new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

fn shared() -> &'static (Runtime, World) {
    SHARED.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(world(&ordinary(240)));
        (runtime, world)
    })
}

/// A product over all datasets of the tests.
pub(crate) fn product(id: &str, sql: &str, extra: &str) -> String {
    format!(
        "[product]\nid = \"{id}\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"research\"]\n\
         datasets = [\"people\", \"meters\", \"firms\", \"bills\"]\nmodels = [\"burden@1.0.0\"]\nsql = '''{sql}'''\n\
         [product.privacy]\nepsilon = 5.0\n{extra}"
    )
}

/// The codes for which a product is refused; none where it may be run.
pub(crate) fn codes(text: &str) -> Vec<&'static str> {
    let (runtime, world) = shared();
    let name = format!("probe-{}.toml", NUMBER.fetch_add(1, Ordering::Relaxed));
    let path = world.file(&name, text);
    let checked = runtime.block_on(world.domain.check_product(&path));
    checked.err().map_or(Vec::new(), |e: DomainError| e.reasons().iter().map(|r| r.code()).collect())
}

/// The product is refused with one of these codes at least.
pub(crate) fn is_refused(sql: &str, wanted: &[&str]) {
    let found = codes(&product("probe", sql, ""));
    assert!(found.iter().any(|c| wanted.contains(c)), "{sql}\nrefused with {found:?}, wanted one of {wanted:?}");
}

/// The product may be run.
pub(crate) fn is_allowed(sql: &str) {
    assert_eq!(codes(&product("probe", sql, "")), Vec::<&str>::new(), "{sql}");
}

/// What a plain engine answers over the files of a world.
pub(crate) async fn plain(world: &World, sql: &str) -> datafusion::common::Result<Vec<RecordBatch>> {
    let context = SessionContext::new();
    for table in ["people", "meters", "firms", "bills"] {
        let path = world.folder.path().join(format!("{table}.parquet"));
        if path.exists() {
            context.register_parquet(table, path.to_str().unwrap(), ParquetReadOptions::default()).await?;
        }
    }
    context.sql(sql).await?.collect().await
}

/// A plain engine answers it, with rows.
pub(crate) fn plain_gives(sql: &str) {
    let (runtime, world) = shared();
    let batches = runtime.block_on(plain(world, sql)).unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert!(batches.iter().any(|b| b.num_rows() > 0), "{sql}");
}
