//! The database file: made whole or not at all, opened only where it is ours.

use super::error::{Kind, StoreError};
use super::outbox::{self, AuditEntry};
use super::states::{next_state, state_from};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, Sqlite, Transaction};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use yunei_policy::words::State;

/// `PRAGMA application_id` of our stores: "Yune" in ASCII.
const APPLICATION_ID: u32 = 0x5975_6e65;
/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(10);
/// Up to this size the whole file is checked whenever it is opened.
const CHECKED_BYTES: u64 = 64 << 20;
const READERS: u32 = 4;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "registry", include_str!("../../migrations/0001_registry.sql")),
    (110, "statistical", include_str!("../../migrations/0110_statistical.sql")),
    (120, "log seen", include_str!("../../migrations/0120_log_seen.sql")),
    (130, "credentials", include_str!("../../migrations/0130_credentials.sql")),
    (140, "standing", include_str!("../../migrations/0140_standing.sql")),
    (141, "lifecycle", include_str!("../../migrations/0141_lifecycle.sql")),
    (150, "verification", include_str!("../../migrations/0150_verification.sql")),
];

pub(super) type Tx = Transaction<'static, Sqlite>;

/// The registry's database. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    write: SqlitePool,
    pub(super) read: SqlitePool,
}

fn migrator() -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
}

async fn migrate(connection: &mut sqlx::SqliteConnection) -> Result<(), StoreError> {
    migrator().run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(_) => StoreError::Newer,
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => {
            StoreError::Damaged("its schema is not the one that this release made")
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        _ => StoreError::Damaged("its schema cannot be brought up to date"),
    })
}

impl Store {
    /// Makes a store at `path`, where nothing may be yet, and opens it. The file is readable by its owner alone.
    ///
    /// It is made under another name and put in its place whole; a crash leaves no store or a whole one.
    ///
    /// # Errors
    /// [`StoreError::Occupied`], [`StoreError::Io`], [`StoreError::Database`].
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        if path.try_exists()? {
            return Err(StoreError::Occupied);
        }
        let draft = draft_path(path)?;
        let made = Self::make(&draft).await.and_then(|()| {
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
        Self::open(path).await
    }

    async fn make(draft: &Path) -> Result<(), StoreError> {
        create_private(draft)?;
        let mut connection = options(draft).journal_mode(SqliteJournalMode::Delete).connect().await?;
        // An application id is set by its number alone; it is not data.
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}")))
            .execute(&mut connection)
            .await?;
        migrate(&mut connection).await?;
        connection.close().await?;
        File::open(draft)?.sync_all()?;
        Ok(())
    }

    /// Opens the store at `path`, brings its schema up to date, and checks it where it is small enough (64 MiB).
    ///
    /// # Errors
    /// [`StoreError::Absent`], [`StoreError::Foreign`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::Io`], [`StoreError::Database`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let bytes = recognise(path)?;
        let options = options(path).journal_mode(SqliteJournalMode::Wal).create_if_missing(false);
        let write = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        migrate(&mut *write.acquire().await?).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS);
        let read = readers.connect_with(options.pragma("query_only", "ON")).await?;
        let store = Self { write, read };
        if bytes <= CHECKED_BYTES {
            store.check().await?;
        }
        Ok(store)
    }

    /// Checks the whole file: its pages, its references, and that the sums of what is spent are those of the ledger.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what keeps it from being read.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.read.acquire().await?;
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
        if found != "ok" {
            return Err(StoreError::Damaged("SQLite finds the file malformed"));
        }
        if sqlx::query("PRAGMA foreign_key_check").fetch_optional(&mut *connection).await?.is_some() {
            return Err(StoreError::Damaged("a reference leads nowhere"));
        }
        let differing: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM
                (SELECT scope_key, sum(rho) AS rho, sum(delta) AS delta FROM ledger GROUP BY scope_key) AS l
                FULL OUTER JOIN spent AS s ON l.scope_key = s.scope_key
             WHERE l.rho IS NOT s.rho OR l.delta IS NOT s.delta",
        )
        .fetch_one(&mut *connection)
        .await?;
        if differing > 0 {
            return Err(StoreError::Damaged("what is spent is not the sum of the ledger"));
        }
        Ok(())
    }

    /// Closes all connections; what was committed is on the disk in any case.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// Begins a change. Writers wait for each other here, also across processes.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Ends a change with its audit entry: both are there or neither.
    pub(super) async fn commit(mut tx: Tx, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        outbox::insert(&mut tx, audit).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps an audit entry that no change of the registry comes with.
    ///
    /// # Errors
    /// [`StoreError::Exists`].
    pub async fn note(&self, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        Self::commit(self.begin().await?, audit).await
    }
}

/// How something with a state is found and changed: `select` takes the keys, `update` the state, the time, the keys.
pub(super) struct Stateful {
    pub(super) kind: Kind,
    pub(super) select: &'static str,
    pub(super) update: &'static str,
}

impl Stateful {
    /// Moves it to `to`; gives the state that it had.
    pub(super) async fn change(
        &self,
        store: &Store,
        keys: &[&str],
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        let id = keys.join("@");
        let mut tx = store.begin().await?;
        let mut select = sqlx::query_scalar::<_, String>(self.select);
        for key in keys {
            select = select.bind(*key);
        }
        let word = select.fetch_optional(&mut *tx).await?.ok_or_else(|| StoreError::absent(self.kind, &id))?;
        let from = state_from(&word).ok_or(StoreError::Damaged("a state is not a known word"))?;
        if !next_state(from, to) {
            return Err(StoreError::State { kind: self.kind, id, from: word, to: to.to_string() });
        }
        let mut update = sqlx::query(self.update).bind(to.to_string()).bind(at);
        for key in keys {
            update = update.bind(*key);
        }
        update.execute(&mut *tx).await?;
        Store::commit(tx, audit).await?;
        Ok(from)
    }
}

/// Whether a file is a store of ours, by SQLite's file header (sqlite.org/fileformat.html, 1.3); gives its length.
fn recognise(path: &Path) -> Result<u64, StoreError> {
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

/// A name that nobody else chooses.
pub(super) fn random_name() -> Result<String, StoreError> {
    let mut bytes = [0; 12];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| StoreError::Io(std::io::Error::other("no random bytes")))?;
    Ok(hex::encode(bytes))
}

/// A new, empty file that its owner alone may read: seeds are kept in it.
pub(super) fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a change of a folder's names durable.
pub(super) fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
