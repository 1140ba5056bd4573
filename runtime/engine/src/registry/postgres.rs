//! The store in a database of PostgreSQL: its address, its sessions, made whole or not at all, opened only where it is ours.
//!
//! A home has a database of its own; in it everything is in the schema `yunei`. Changes wait for one another at one lock, so
//! that each reads what the one before it wrote, as SQLite's writers do.

use super::error::{StoreError, Words};
use super::schema::migrate;
use super::store::{Engine, Tx};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Begins a change. The isolation is named: under a stricter default of the server, the moment that is read would be the
/// one before the wait for the lock.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Begins to read: all that is read is of one moment.
pub(super) const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Held while a store is made: nobody else makes it then.
const MAKING: &str = "SELECT pg_advisory_xact_lock(1501916773, 1)";
/// What every session is told: where our tables are, that a commit is on the disk before it is told of, how long it waits.
const SETTINGS: &str = "SET search_path TO yunei, pg_temp; SET synchronous_commit TO on; SET lock_timeout TO '10s';
    SET statement_timeout TO '120s'; SET idle_in_transaction_session_timeout TO '120s';
    SET client_min_messages TO warning;";
/// What a session that reads is told besides.
const READING: &str = "SET default_transaction_read_only TO on";
const READERS: u32 = 4;
/// How long a use waits for a session.
const PATIENCE: Duration = Duration::from_secs(10);
/// The oldest release of the server that is taken: the oldest that its makers still mend (November 2026).
const OLDEST: i64 = 140_000;

/// The address of a store: `postgres://user@host:port/database`.
///
/// A password is taken from `PGPASSWORD` or `~/.pgpass` where the address has none. Neither `Debug` nor [`Self::public`]
/// nor any error tells it. To another machine the server's certificate and name are checked (`sslmode=verify-full`), unless
/// the address says how else.
#[derive(Clone)]
pub struct StoreUrl {
    options: AnyConnectOptions,
    has_password: bool,
}

impl StoreUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`StoreError::Url`] with what is wrong; it does not repeat the address.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = |zh, en| StoreError::Url(Words { zh, en });
        let malformed = || wrong("不是有效的地址", "it is no address");
        let mut options = AnyConnectOptions::from_str(text).map_err(|_| malformed())?;
        let url = &mut options.database_url;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("须以 postgres:// 开头", "it has to begin with postgres://"));
        }
        if url.path().trim_matches('/').is_empty() || url.path().trim_start_matches('/').contains('/') {
            return Err(wrong(
                "须指明数据库：postgres://主机/数据库",
                "it has to name a database: postgres://host/database",
            ));
        }
        if url.fragment().is_some() {
            return Err(malformed());
        }
        let mut encrypted = false;
        let mut socket = false;
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => encrypted = true,
                "host" => socket = value.starts_with('/'),
                "sslrootcert" | "sslcert" | "sslkey" => {}
                // The driver would take it for a setting of its own, or write it to its log.
                _ => {
                    return Err(wrong(
                        "参数只可为 host、sslmode、sslrootcert、sslcert、sslkey",
                        "its parameters may be host, sslmode, sslrootcert, sslcert and sslkey alone",
                    ));
                }
            }
        }
        let here =
            |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1" | "") || host.starts_with("%2");
        let local = socket || url.host_str().is_none_or(here);
        if !local && !encrypted {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        let has_password = url.password().is_some();
        Ok(Self { options: options.disable_statement_logging(), has_password })
    }

    /// Whether the address itself has a password: such a one belongs in no file and on no command line.
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    /// The address without its password.
    pub fn public(&self) -> String {
        let mut url = self.options.database_url.clone();
        // Fails for addresses that cannot have one.
        let _ = url.set_password(None);
        url.to_string()
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.public()).finish()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public())
    }
}

/// A session by itself. A pool would try again for as long as it may; what is wrong is told at once.
pub(super) async fn session(url: &StoreUrl) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    let connect = tokio::time::timeout(PATIENCE, url.options.connect());
    let mut session = connect.await.map_err(|_| StoreError::Unreachable)??;
    session.execute(SETTINGS).await?;
    Ok(session)
}

/// Whether a store can be made in a database.
pub(super) async fn vacant(url: &StoreUrl) -> Result<(), StoreError> {
    let mut session = session(url).await?;
    fit(&mut session).await?;
    let found = found(&mut session).await?;
    session.close().await?;
    if found == Found::Nothing { Ok(()) } else { Err(StoreError::Occupied) }
}

/// Makes the store in an empty database: all of it in one transaction.
pub(super) async fn create(url: &StoreUrl) -> Result<(), StoreError> {
    let mut session = session(url).await?;
    fit(&mut session).await?;
    let mut tx = session.begin().await?;
    tx.execute(MAKING).await?;
    if found(&mut tx).await? != Found::Nothing {
        return Err(StoreError::Occupied);
    }
    tx.execute("CREATE SCHEMA yunei").await?;
    migrate(Engine::Postgres, &mut *tx).await?;
    tx.commit().await?;
    session.close().await?;
    Ok(())
}

/// The sessions of a store, one that writes and some that read; its schema is brought up to date.
pub(super) async fn pools(url: &StoreUrl) -> Result<(AnyPool, AnyPool), StoreError> {
    let mut session = session(url).await?;
    fit(&mut session).await?;
    match found(&mut session).await? {
        Found::Ours => {}
        Found::Nothing => return Err(StoreError::Absent),
        Found::Another => return Err(StoreError::Foreign),
    }
    migrate(Engine::Postgres, &mut session).await?;
    session.close().await?;
    let write = AnyPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .after_connect(|session, _| Box::pin(async { session.execute(SETTINGS).await.map(|_| ()) }))
        .connect_lazy_with(url.options.clone());
    let read = AnyPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(PATIENCE)
        .after_connect(|session, _| {
            Box::pin(async {
                session.execute(SETTINGS).await?;
                session.execute(READING).await.map(|_| ())
            })
        })
        .connect_lazy_with(url.options.clone());
    Ok((write, read))
}

/// Waits for the changes before this one; they are seen from then on. Refused where another server took the store over.
pub(super) async fn wait(tx: &mut Tx, term: i64) -> Result<(), StoreError> {
    sqlx::query("SELECT begin_change($1)").bind(term).execute(&mut **tx).await?;
    Ok(())
}

/// What is in a database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing of ours, and nothing of anybody's: system schemas aside, no table.
    Nothing,
    Ours,
    /// Tables of something else, or a schema of our name that is not ours.
    Another,
}

async fn found(session: &mut AnyConnection) -> Result<Found, StoreError> {
    let (ours, tables): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'yunei' AND c.relname IN ('_sqlx_migrations', 'institutions', 'ledger', 'outbox')),
                (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))",
    )
    .fetch_one(&mut *session)
    .await?;
    let named: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'yunei'")
        .fetch_one(&mut *session)
        .await?;
    Ok(match (ours, tables, named) {
        (4, ..) => Found::Ours,
        (_, 0, 0) => Found::Nothing,
        _ => Found::Another,
    })
}

/// Refuses a server that would lose what it said was kept, or cannot keep our texts.
async fn fit(session: &mut AnyConnection) -> Result<(), StoreError> {
    let row: (String, String, String, String, String, String) = sqlx::query_as(
        "SELECT current_setting('fsync'), current_setting('full_page_writes'),
            (SELECT coalesce(min(reset_val), 'on') FROM pg_settings WHERE name = 'synchronous_commit'),
            current_setting('server_encoding'), current_setting('server_version_num'),
            CASE WHEN pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' THEN 'on' ELSE 'off' END",
    )
    .fetch_one(&mut *session)
    .await?;
    let (fsync, pages, commit, encoding, version, read_only) = row;
    let unfit = |zh, en| Err(StoreError::Unfit(Words { zh, en }));
    if version.parse::<i64>().map_or(true, |number| number < OLDEST) {
        return unfit(
            "服务器版本过旧，需要 PostgreSQL 14 或更新版本",
            "the server is too old: PostgreSQL 14 or newer is needed",
        );
    }
    if encoding != "UTF8" {
        return unfit(
            "数据库编码不是 UTF8；请用 CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 新建",
            "the database is not in UTF8: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        );
    }
    if fsync != "on" || pages != "on" {
        return unfit(
            "服务器可能丢失已提交的数据；请在 postgresql.conf 中设置 fsync = on、full_page_writes = on",
            "the server may lose what was committed: set fsync = on and full_page_writes = on in postgresql.conf",
        );
    }
    if commit == "off" {
        return unfit(
            "服务器可能丢失已提交的数据；请为服务器、数据库和用户设置 synchronous_commit = on",
            "the server may lose what was committed: set synchronous_commit = on for the server, the database and the user",
        );
    }
    if read_only == "on" {
        return unfit(
            "该服务器只读（备库，或 default_transaction_read_only = on）；请指向可写的主库",
            "the server only reads (it is a replica, or default_transaction_read_only is on): name the one that writes",
        );
    }
    Ok(())
}

/// What an error of PostgreSQL means, by its code (postgresql.org/docs/15/errcodes-appendix.html).
pub(super) fn meaning(code: &str) -> Option<StoreError> {
    let denied = |zh, en| StoreError::Denied(Words { zh, en });
    match code {
        "28P01" | "28000" => Some(denied(
            "服务器拒绝了用户名或密码；请检查地址中的用户、PGPASSWORD 或 ~/.pgpass，以及 pg_hba.conf",
            "the server refused the user or the password: see to the user in the address, PGPASSWORD or ~/.pgpass, and pg_hba.conf",
        )),
        "3D000" => Some(denied(
            "没有这个数据库；请先用 CREATE DATABASE 建立一个空库",
            "there is no such database: make an empty one with CREATE DATABASE first",
        )),
        "42501" => Some(denied(
            "该用户权限不足；请使其成为数据库的所有者",
            "the user may not do this: make it the owner of the database",
        )),
        "25006" => Some(denied(
            "该用户或服务器只读；请换用可写的主库和用户",
            "the user or the server only reads: name a server and a user that may write",
        )),
        "55P03" | "57014" | "40001" | "40P01" | "25P03" => Some(StoreError::Busy),
        "57P01" | "57P02" | "57P03" | "53300" => Some(StoreError::Unreachable),
        "YU001" => Some(StoreError::Held),
        "XX001" | "XX002" => Some(StoreError::Damaged("PostgreSQL finds its files malformed")),
        _ if code.starts_with("08") => Some(StoreError::Unreachable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_their_password_is_never_told() {
        let url = StoreUrl::parse("postgres://keeper:s3cret-word@127.0.0.1:5433/home").unwrap();
        assert!(url.has_password());
        for told in [format!("{url:?}"), url.to_string(), url.public()] {
            assert!(!told.contains("s3cret") && told.contains("keeper@127.0.0.1:5433/home"), "{told}");
        }
        let far = StoreUrl::parse("postgresql://db.example/home").unwrap();
        assert!(far.public().ends_with("?sslmode=verify-full"), "{far}");
        assert!(!far.has_password());
        let said = StoreUrl::parse("postgres://db.example/home?sslmode=require").unwrap();
        assert!(said.public().ends_with("?sslmode=require"), "{said}");
        let socket = StoreUrl::parse("postgres:///home?host=/run/postgresql").unwrap();
        assert!(!socket.public().contains("sslmode"), "{socket}");
    }

    #[test]
    fn wrong_addresses_are_refused_without_being_repeated() {
        for text in [
            "",
            "home.db",
            "sqlite://home.db",
            "mysql://s3cret@h/d",
            "postgres://h",
            "postgres://h/",
            "postgres://h/a/b",
            "postgres://u:s3cret@h:99999/d",
            "postgres://h/d?password=s3cret",
            "postgres://h/d?options=-c%20fsync=off",
            "postgres://h/d#s3cret",
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert_eq!(error.code(), "store/url", "{text}");
            assert!(!format!("{error:?} {error} {:?}", error.to_refusal()).contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn codes_of_the_server_have_their_meaning() {
        let told = |code| meaning(code).map(|e| e.code());
        assert_eq!(told("28P01"), Some("store/denied"));
        assert_eq!(told("55P03"), Some("store/busy"));
        assert_eq!(told("57P01"), Some("store/unreachable"));
        assert_eq!(told("08006"), Some("store/unreachable"));
        assert_eq!(told("23505"), None);
    }
}
