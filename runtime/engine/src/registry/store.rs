//! The store: connections to its database, and how a change begins and ends.

use super::error::{Kind, StoreError};
use super::outbox::{self, AuditEntry};
use super::postgres::StoreUrl;
use super::states::{next_state, state_from};
use super::{postgres, sqlite};
use sqlx::{Any, AnyPool, Transaction};
use std::fs::{File, OpenOptions};
use std::path::Path;
use yunei_policy::words::State;

/// Which database keeps a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

pub(super) type Tx = Transaction<'static, Any>;

/// The registry's database. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    /// Who took the store over last when it was opened, or we since: changes name it. SQLite's writers are told apart by
    /// the home's lock alone.
    term: i64,
    write: AnyPool,
    pub(super) read: AnyPool,
}

impl Store {
    /// Makes a store at `path`, where nothing may be yet, and opens it. The file is readable by its owner alone.
    ///
    /// It is made under another name and put in its place whole; a crash leaves no store or a whole one.
    ///
    /// # Errors
    /// [`StoreError::Occupied`], [`StoreError::Io`], [`StoreError::Database`].
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        sqlite::create(path).await?;
        Self::open(path).await
    }

    /// Opens the store at `path`, brings its schema up to date, and checks it where it is small enough (64 MiB).
    ///
    /// # Errors
    /// [`StoreError::Absent`], [`StoreError::Foreign`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::Io`], [`StoreError::Database`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let bytes = sqlite::recognise(path)?;
        let (write, read) = sqlite::pools(path).await?;
        let store = Self { engine: Engine::Sqlite, term: 0, write, read };
        if bytes <= sqlite::CHECKED_BYTES {
            store.check().await?;
        }
        Ok(store)
    }

    /// Makes a store in an empty database of PostgreSQL, and opens it. A crash leaves no store or a whole one.
    ///
    /// # Errors
    /// [`StoreError::Occupied`], [`StoreError::Unreachable`], [`StoreError::Denied`], [`StoreError::Unfit`],
    /// [`StoreError::Database`].
    pub async fn create_at(url: &StoreUrl) -> Result<Self, StoreError> {
        postgres::create(url).await?;
        Self::open_at(url).await
    }

    /// Whether a store can be made in a database.
    ///
    /// # Errors
    /// As [`Self::create_at`].
    pub(crate) async fn vacant_at(url: &StoreUrl) -> Result<(), StoreError> {
        postgres::vacant(url).await
    }

    /// Opens the store in a database of PostgreSQL, brings its schema up to date, and compares what is spent with the
    /// ledger.
    ///
    /// # Errors
    /// [`StoreError::Absent`], [`StoreError::Foreign`], [`StoreError::Newer`], [`StoreError::Damaged`],
    /// [`StoreError::Unreachable`], [`StoreError::Denied`], [`StoreError::Unfit`], [`StoreError::Database`].
    pub async fn open_at(url: &StoreUrl) -> Result<Self, StoreError> {
        let (write, read) = postgres::pools(url).await?;
        let term = sqlx::query_scalar("SELECT term FROM store_term").fetch_one(&read).await?;
        let store = Self { engine: Engine::Postgres, term, write, read };
        store.check().await?;
        Ok(store)
    }

    /// Checks the whole store: its pages and references where SQLite keeps it (PostgreSQL sees to its own), and that the
    /// sums of what is spent are those of the ledger.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what keeps it from being read.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.read.acquire().await?;
        if self.engine == Engine::Sqlite {
            sqlite::check(&mut connection).await?;
        }
        let differing: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM
                (SELECT scope_key, sum(rho) AS rho, sum(delta) AS delta FROM ledger GROUP BY scope_key) AS l
                FULL OUTER JOIN spent AS s ON l.scope_key = s.scope_key
             WHERE l.rho IS DISTINCT FROM s.rho OR l.delta IS DISTINCT FROM s.delta",
        )
        .fetch_one(&mut *connection)
        .await?;
        if differing > 0 {
            return Err(StoreError::Damaged("what is spent is not the sum of the ledger"));
        }
        Ok(())
    }

    /// The same store, changed in the term of one who took it over.
    #[must_use]
    pub(crate) fn in_term(self, term: i64) -> Self {
        Self { term, ..self }
    }

    /// Ties the store to the home of this id, where it is tied to none yet.
    ///
    /// # Errors
    /// [`StoreError::OtherHome`].
    pub(crate) async fn belongs_to(&self, home: &str) -> Result<(), StoreError> {
        let found = |mut rows: Vec<String>| rows.pop();
        let there = sqlx::query_scalar::<_, String>("SELECT home FROM store_home");
        let mut there = found(there.fetch_all(&self.read).await?);
        if there.is_none() {
            let mut tx = self.begin().await?;
            sqlx::query("INSERT INTO store_home (one, home) VALUES (1, $1) ON CONFLICT (one) DO NOTHING")
                .bind(home)
                .execute(&mut *tx)
                .await?;
            there = found(sqlx::query_scalar("SELECT home FROM store_home").fetch_all(&mut *tx).await?);
            tx.commit().await?;
        }
        if there.as_deref() == Some(home) { Ok(()) } else { Err(StoreError::OtherHome) }
    }

    /// Closes all connections; what was committed is on the disk in any case.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// Begins a change. Writers wait for each other here, also across processes.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        match self.engine {
            Engine::Sqlite => Ok(self.write.begin_with("BEGIN IMMEDIATE").await?),
            Engine::Postgres => {
                let mut tx = self.write.begin_with(postgres::BEGIN).await?;
                postgres::wait(&mut tx, self.term).await?;
                Ok(tx)
            }
        }
    }

    /// Begins to read: all that is read in it is of one moment.
    pub(super) async fn look(&self) -> Result<Tx, StoreError> {
        let begin = match self.engine {
            Engine::Sqlite => "BEGIN",
            Engine::Postgres => postgres::LOOK,
        };
        Ok(self.read.begin_with(begin).await?)
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

/// How something with a state is found and changed: `select` takes the keys, `update` the keys, the state, the time.
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
        let mut update = sqlx::query(self.update);
        for key in keys {
            update = update.bind(*key);
        }
        update.bind(to.to_string()).bind(at).execute(&mut *tx).await?;
        Store::commit(tx, audit).await?;
        Ok(from)
    }
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
