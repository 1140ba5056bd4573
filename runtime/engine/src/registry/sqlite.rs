//! The store as a file of SQLite: made whole or not at all, opened only where it is ours.

use super::error::StoreError;
use super::schema::migrate;
use super::store::{Engine, create_private, random_name, sync_parent};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `PRAGMA application_id` of our stores: "Yune" in ASCII.
const APPLICATION_ID: u32 = 0x5975_6e65;
/// Up to this size the whole file is checked whenever it is opened.
pub(super) const CHECKED_BYTES: u64 = 64 << 20;
const READERS: u32 = 4;
/// What every connection to an opened store is told. A writer waits 10 s for another process. What statements keep for
/// themselves stays in memory: by default it would go to files in the machine's temporary folder, outside the home. 16 MiB of
/// pages are kept, and the write-ahead log is copied into the file every 16 MiB (sqlite.org/pragma.html).
const SETTINGS: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;
    PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4096;";

/// Makes the file of a store, where nothing may be yet.
pub(super) async fn create(path: &Path) -> Result<(), StoreError> {
    if path.try_exists()? {
        return Err(StoreError::Occupied);
    }
    let draft = draft_path(path)?;
    let made = make(&draft).await.and_then(|()| {
        // A link, unlike a rename, fails where something has come to stand at the path meanwhile.
        fs::hard_link(&draft, path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Occupied,
            _ => StoreError::Io(error),
        })
    });
    let removed = fs::remove_file(&draft);
    made?;
    removed?;
    sync_parent(path)?;
    Ok(())
}

async fn make(draft: &Path) -> Result<(), StoreError> {
    create_private(draft)?;
    let options = SqliteConnectOptions::new()
        .filename(draft)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .journal_mode(SqliteJournalMode::Delete)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    // An application id is set by its number alone; it is not data.
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}")))
        .execute(&mut connection)
        .await?;
    migrate(Engine::Sqlite, &mut connection).await?;
    connection.close().await?;
    File::open(draft)?.sync_all()?;
    Ok(())
}

/// The connections to a store, one that writes and some that read; its schema is brought up to date.
pub(super) async fn pools(path: &Path) -> Result<(AnyPool, AnyPool), StoreError> {
    sqlx::any::install_default_drivers();
    let options = AnyConnectOptions::from_str(&url(path)?)?.disable_statement_logging();
    // By itself, so that what is wrong is told at once: a pool tries again for as long as it may.
    let mut first = options.connect().await?;
    first.execute(SETTINGS).await?;
    migrate(Engine::Sqlite, &mut first).await?;
    first.close().await?;
    let write = AnyPoolOptions::new()
        .max_connections(1)
        .after_connect(|connection, _| Box::pin(async { connection.execute(SETTINGS).await.map(|_| ()) }))
        .connect_lazy_with(options.clone());
    let read = AnyPoolOptions::new()
        .max_connections(READERS)
        .after_connect(|connection, _| {
            Box::pin(async {
                connection.execute(SETTINGS).await?;
                connection.execute("PRAGMA query_only = ON").await.map(|_| ())
            })
        })
        .connect_lazy_with(options);
    Ok((write, read))
}

/// A file's address as SQLite's driver reads it back: all but the plainest signs are written as their bytes.
fn url(path: &Path) -> Result<String, StoreError> {
    // Resolved first: an address has no `..` of its own.
    let path = path.canonicalize()?;
    let text = path.to_str().ok_or_else(|| {
        StoreError::Io(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the store's path is not UTF-8"))
    })?;
    let mut url = "sqlite://".to_owned();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url.push_str("?mode=rw");
    Ok(url)
}

/// Checks the pages of the file and its references.
pub(super) async fn check(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if found != "ok" {
        return Err(StoreError::Damaged("SQLite finds the file malformed"));
    }
    if !sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *connection).await?.is_empty() {
        return Err(StoreError::Damaged("a reference leads nowhere"));
    }
    Ok(())
}

/// Whether a file is a store of ours, by SQLite's file header (sqlite.org/fileformat.html, 1.3); gives its length.
pub(super) fn recognise(path: &Path) -> Result<u64, StoreError> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::Absent,
        _ => StoreError::Io(error),
    })?;
    let metadata = file.metadata()?;
    let mut header = [0; 100];
    if !metadata.is_file() || file.read_exact(&mut header).is_err() {
        return Err(StoreError::Foreign);
    }
    if !header.starts_with(b"SQLite format 3\0") || header.get(68..72) != Some(&APPLICATION_ID.to_be_bytes()) {
        return Err(StoreError::Foreign);
    }
    Ok(metadata.len())
}

fn draft_path(path: &Path) -> Result<PathBuf, StoreError> {
    let mut name = path.file_name().ok_or(StoreError::Occupied)?.to_os_string();
    name.push(format!(".{}.new", random_name()?));
    Ok(path.with_file_name(name))
}
