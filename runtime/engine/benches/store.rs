//! What it costs that one text of SQL serves two databases: SQLite through sqlx's `Any` beside SQLite through its own driver,
//! the same statements in turns in one run. It uses nothing of the engine but its way of asking, so that it builds alone.
//!
//! `cargo bench -p yunei-engine --bench store`

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AnyPool, SqlitePool};
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const READS: usize = 2_000;
const CHANGES: usize = 200;
/// Rows of a change that takes a whole batch as one text, as verifications are charged.
const BATCH: usize = 128;

const TABLES: &str = "CREATE TABLE spent (scope_key TEXT PRIMARY KEY, rho INTEGER NOT NULL, delta INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (run_id TEXT NOT NULL, scope_key TEXT NOT NULL, rho INTEGER NOT NULL, at INTEGER NOT NULL, note TEXT, seed BLOB,
        PRIMARY KEY (run_id, scope_key)) STRICT, WITHOUT ROWID;
    CREATE TABLE uses (id TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;";
const SPENT: &str = "SELECT scope_key, rho, delta FROM spent WHERE scope_key = $1";
const LEDGER: &str = "INSERT INTO ledger (run_id, scope_key, rho, at, note, seed) VALUES ($1, $2, $3, $4, $5, $6)";
const SUM: &str = "INSERT INTO spent (scope_key, rho, delta) VALUES ($1, $2, $3)
    ON CONFLICT (scope_key) DO UPDATE SET rho = spent.rho + excluded.rho, delta = spent.delta + excluded.delta";
const USES: &str =
    "INSERT INTO uses (id, n) SELECT value ->> 0, CAST(value ->> 1 AS BIGINT) FROM json_each($1) WHERE true
    ON CONFLICT (id) DO UPDATE SET n = uses.n + excluded.n";

/// Reads and changes over one pool; the two drivers share the text of this.
macro_rules! rounds {
    ($pool:expr, $begin:literal, $from:expr) => {{
        let pool = $pool;
        let reads = Instant::now();
        for i in 0..READS {
            let scope = format!("scope-{}", i % 64);
            let row: Option<(String, i64, i64)> =
                sqlx::query_as(SPENT).bind(&scope).fetch_optional(pool).await.unwrap();
            std::hint::black_box(row);
        }
        let reads = reads.elapsed();
        let changes = Instant::now();
        for i in 0..CHANGES {
            let (run, scope) = (format!("{}-{i}", $from), format!("scope-{}", i % 64));
            let mut tx = pool.begin_with($begin).await.unwrap();
            let seed = [7_u8; 32].as_slice();
            let ledger = sqlx::query(LEDGER).bind(&run).bind(&scope).bind(1_i64).bind(2_i64).bind(None::<String>);
            ledger.bind(seed).execute(&mut *tx).await.unwrap();
            sqlx::query(SUM).bind(&scope).bind(1_i64).bind(1_i64).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        let changes = changes.elapsed();
        let rows: Vec<String> = (0..BATCH).map(|i| format!("[\"subject-{i}\",1]")).collect();
        let rows = format!("[{}]", rows.join(","));
        let batches = Instant::now();
        for _ in 0..CHANGES {
            let mut tx = pool.begin_with($begin).await.unwrap();
            sqlx::query(USES).bind(&rows).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        [reads, changes, batches.elapsed()]
    }};
}

async fn native(path: &std::path::Path, durable: bool) -> SqlitePool {
    let synchronous = if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Off };
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).synchronous(synchronous);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
    pool
}

async fn any(path: &std::path::Path, durable: bool) -> AnyPool {
    native(path, durable).await.close().await;
    let pool = sqlx::any::AnyPoolOptions::new().max_connections(1);
    let pool = pool.connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let synchronous = if durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = OFF" };
    sqlx::raw_sql(synchronous).execute(&pool).await.unwrap();
    pool
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        for durable in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (one, other) =
                (native(&folder.path().join("one"), durable).await, any(&folder.path().join("other"), durable).await);
            let mut times: [[Vec<Duration>; 3]; 2] = Default::default();
            for round in 0..ROUNDS {
                let own = rounds!(&one, "BEGIN IMMEDIATE", round);
                let both = rounds!(&other, "BEGIN IMMEDIATE", round);
                for (kept, taken) in times.iter_mut().zip([own, both]) {
                    kept.iter_mut().zip(taken).for_each(|(kept, taken)| kept.push(taken));
                }
            }
            println!("synchronous = {}", if durable { "FULL" } else { "OFF" });
            let [own, both] = &mut times;
            let of = [("a read", READS), ("a change of two rows", CHANGES), ("a batch of 128 rows", CHANGES)];
            for ((name, count), (own, both)) in of.into_iter().zip(own.iter_mut().zip(both)) {
                let [own, both] = [own, both].map(|t| median(t).as_secs_f64() * 1e6 / count as f64);
                println!("{name:<22} own driver {own:8.1} µs, Any {both:8.1} µs, ratio {:.3}", both / own);
            }
        }
    });
}
