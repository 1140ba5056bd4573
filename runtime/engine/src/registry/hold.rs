//! Who has a store open that several servers can reach: one at a time, by a lock that the database gives up with its session.
//!
//! The lock tells the others that the holder lives. That two who both believe to hold it do not both write is another
//! matter, and is seen to by the term: who takes over makes the next one, and every change and every swap of the log's lock
//! names its own (`migrations/0181_holder.postgres.sql`). So a server that was cut off, or slept, writes nothing any more.
//!
//! A thread of its own has the session: the log asks from threads that may not wait for a future.

use super::error::StoreError;
use super::postgres::{self, StoreUrl};
use sqlx::{AnyConnection, Connection, Executor};
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use yunei_audit::{Agree, LogError};

/// How long one who takes over waits for the session of the one before, which may be ending just now.
const TAKING: Duration = Duration::from_secs(2);
/// How long a lost session is tried for again before the log is stopped.
const REGAINING: Duration = Duration::from_secs(10);
/// How often the session is used when nothing else does, so that nobody between us takes it for dead.
const ALIVE: Duration = Duration::from_secs(15);
/// The lock of whoever has the store open; given up with its session.
const TRY: &str = "SELECT CASE WHEN pg_try_advisory_lock(1501916773, 3) THEN 1 ELSE 0 END";
/// The server finds out within half a minute that we are gone, and lets another take over.
const KEPT_ALIVE: &str =
    "SET tcp_keepalives_idle TO 10; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 3;
    SET idle_session_timeout TO 0";

type Swap = (u64, Vec<u8>);

enum Ask {
    Held(String, Sender<Result<Option<Swap>, StoreError>>),
    Swap(String, Option<Swap>, Swap, Sender<Result<bool, StoreError>>),
}

/// The store is ours until this is dropped, or the database loses our session and another server takes over.
pub(crate) struct Hold {
    term: i64,
    asks: Mutex<Option<Sender<Ask>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("term", &self.term).finish_non_exhaustive()
    }
}

impl Hold {
    /// Takes a store over. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Held`] where another server has it; what keeps the database from being reached.
    pub(crate) fn take(url: &StoreUrl) -> Result<Self, StoreError> {
        let (told, hears) = channel();
        let (asks, asked) = channel();
        let keeper = Keeper { url: url.clone(), term: 0, session: None };
        let thread = std::thread::Builder::new()
            .name("store-hold".into())
            .spawn(move || keep(keeper, &told, &asked))
            .map_err(StoreError::Io)?;
        match hears.recv().unwrap_or(Err(StoreError::Unreachable)) {
            Ok(term) => Ok(Self { term, asks: Mutex::new(Some(asks)), thread: Mutex::new(Some(thread)) }),
            Err(error) => {
                let _ = thread.join();
                Err(error)
            }
        }
    }

    /// The term that it holds the store in.
    pub(crate) fn term(&self) -> i64 {
        self.term
    }

    fn ask<T>(&self, ask: impl FnOnce(Sender<Result<T, StoreError>>) -> Ask) -> Result<T, LogError> {
        let (told, hears) = channel();
        let sent = match &*self.asks.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(asks) => asks.send(ask(told)).is_ok(),
            None => false,
        };
        if !sent {
            return Err(LogError::Stopped);
        }
        hears.recv().map_err(|_| LogError::Stopped)?.map_err(told_by_store)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The thread ends with its channel, and its session before it: the next one need not wait.
        drop(self.asks.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Agree for Hold {
    fn held(&self, origin: &str) -> Result<Option<(u64, Vec<u8>)>, LogError> {
        self.ask(|told| Ask::Held(origin.to_owned(), told))
    }

    fn swap(&self, origin: &str, before: Option<(u64, &[u8])>, next: (u64, &[u8])) -> Result<(), LogError> {
        let owned = |(number, note): (u64, &[u8])| (number, note.to_vec());
        if self.ask(|told| Ask::Swap(origin.to_owned(), before.map(owned), owned(next), told))? {
            return Ok(());
        }
        Err(LogError::Disagree { what: "the log's lock in the store was changed by another writer".to_owned() })
    }
}

fn told_by_store(error: StoreError) -> LogError {
    match error {
        StoreError::Held => LogError::Disagree { what: "another server took the store over".to_owned() },
        StoreError::Io(source) => LogError::Disk { action: "ask the store", source },
        other => LogError::Disk { action: "ask the store", source: io::Error::other(other.code()) },
    }
}

/// The thread: takes the store, then answers until nobody can ask any more.
fn keep(mut keeper: Keeper, told: &Sender<Result<i64, StoreError>>, asked: &Receiver<Ask>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = told.send(Err(StoreError::Io(error)));
            return;
        }
    };
    let taken = runtime.block_on(keeper.take());
    let took = taken.is_ok();
    let heard = told.send(taken).is_ok();
    if took && heard {
        answer(&mut keeper, &runtime, asked);
    }
    if let Some(session) = keeper.session.take() {
        let _ = runtime.block_on(session.close());
    }
}

fn answer(keeper: &mut Keeper, runtime: &tokio::runtime::Runtime, asked: &Receiver<Ask>) {
    loop {
        match asked.recv_timeout(ALIVE) {
            Ok(Ask::Held(origin, to)) => {
                let _ = to.send(runtime.block_on(keeper.held(&origin)));
            }
            Ok(Ask::Swap(origin, before, next, to)) => {
                let _ = to.send(runtime.block_on(keeper.swap(&origin, before.as_ref(), &next)));
            }
            // A session that is gone is noticed by the next ask.
            Err(RecvTimeoutError::Timeout) => runtime.block_on(keeper.touch()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

struct Keeper {
    url: StoreUrl,
    /// 0 before the store is taken.
    term: i64,
    session: Option<AnyConnection>,
}

impl Keeper {
    async fn take(&mut self) -> Result<i64, StoreError> {
        self.lock(TAKING).await?;
        let Some(session) = &mut self.session else { return Err(StoreError::Unreachable) };
        self.term = sqlx::query_scalar("SELECT take_over()").fetch_one(session).await?;
        Ok(self.term)
    }

    /// A session that has the lock, waiting so long for whoever has it.
    async fn lock(&mut self, patience: Duration) -> Result<(), StoreError> {
        let until = Instant::now() + patience;
        loop {
            let found = match postgres::session(&self.url).await {
                Ok(mut session) => {
                    session.execute(KEPT_ALIVE).await?;
                    let got: i64 = sqlx::query_scalar(TRY).fetch_one(&mut session).await?;
                    if got == 1 {
                        self.session = Some(session);
                        return Ok(());
                    }
                    let _ = session.close().await;
                    StoreError::Held
                }
                Err(StoreError::Unreachable) => StoreError::Unreachable,
                Err(other) => return Err(other),
            };
            if Instant::now() >= until {
                return Err(found);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn session(&mut self) -> Result<&mut AnyConnection, StoreError> {
        if self.session.is_none() {
            self.lock(REGAINING).await?;
        }
        self.session.as_mut().ok_or(StoreError::Unreachable)
    }

    /// Whatever went wrong with a session, it is not used again.
    fn lost<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() {
            self.session = None;
        }
        done
    }

    async fn touch(&mut self) {
        let Some(session) = &mut self.session else { return };
        if sqlx::query("SELECT 1").execute(session).await.is_err() {
            self.session = None;
        }
    }

    async fn held(&mut self, origin: &str) -> Result<Option<Swap>, StoreError> {
        let done = self.held_once(origin).await;
        match self.lost(done) {
            Err(StoreError::Unreachable) => self.held_once(origin).await,
            done => done,
        }
    }

    async fn held_once(&mut self, origin: &str) -> Result<Option<Swap>, StoreError> {
        let row: Option<(i64, String)> = sqlx::query_as("SELECT sequence, note FROM log_lock WHERE origin = $1")
            .bind(origin.to_owned())
            .fetch_optional(self.session().await?)
            .await?;
        row.map(|(number, note)| {
            let number =
                u64::try_from(number).map_err(|_| StoreError::Damaged("a number of the log's lock is wrong"))?;
            Ok((number, note.into_bytes()))
        })
        .transpose()
    }

    /// Whether the swap was made. Where the session is lost in the middle, the store itself tells: nobody else can have
    /// changed it in our term.
    async fn swap(&mut self, origin: &str, before: Option<&Swap>, next: &Swap) -> Result<bool, StoreError> {
        let done = self.swap_once(origin, before, next).await;
        match self.lost(done) {
            Err(StoreError::Unreachable) => match self.held(origin).await? {
                Some(there) if there == *next => Ok(true),
                there if there.as_ref() == before => {
                    let done = self.swap_once(origin, before, next).await;
                    self.lost(done)
                }
                _ => Ok(false),
            },
            done => done,
        }
    }

    async fn swap_once(&mut self, origin: &str, before: Option<&Swap>, next: &Swap) -> Result<bool, StoreError> {
        let number = |n: u64| i64::try_from(n).map_err(|_| StoreError::Limit("log index"));
        let note = |note: &[u8]| String::from_utf8(note.to_vec()).map_err(|_| StoreError::Limit("checkpoint"));
        let before_number = before.map(|b| number(b.0)).transpose()?;
        let before_note = before.map(|b| note(&b.1)).transpose()?;
        let term = self.term;
        let done: i64 = sqlx::query_scalar("SELECT swap_log($1, $2, $3, $4, $5, $6)")
            .bind(origin.to_owned())
            .bind(term)
            .bind(before_number)
            .bind(before_note)
            .bind(number(next.0)?)
            .bind(note(&next.1)?)
            .fetch_one(self.session().await?)
            .await?;
        Ok(done == 1)
    }
}
