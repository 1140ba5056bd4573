//! The logs of all years: this year's, those that were sealed, those that were moved.

use super::Domain;
use super::audit::blocking;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::logyears::{KeptLog, kept_logs, out_of_reach};
use serde::Serialize;
use serde_json::{Map, Value};
use std::ops::Range;
use std::path::Path;
use yunei_audit::{Archive, Entry, Log, LogError, Notice, Position, Receipt, move_log};
use yunei_policy::Refusal;
use yunei_policy::authorise::{Action, Resource};

/// At most how many characters tell where a log went.
const MAX_PLACE: usize = 128;

/// What became of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogState {
    /// It is written.
    Current,
    /// Its year is over: it takes no further entry.
    Sealed,
    /// It was moved out of the home; it is read where it went, where that can be reached.
    Moved,
}

/// The log of a year.
#[derive(Debug, Clone, Serialize)]
pub struct LogView {
    /// Its year, the name that it is asked for by.
    pub year: String,
    /// What became of it.
    pub state: LogState,
    /// Whether it can be read.
    pub here: bool,
    /// Its name in receipts.
    pub origin: Option<String>,
    /// How many entries it has.
    pub size: Option<u64>,
    /// The root hash over them, as hex.
    pub root: Option<String>,
    /// The time of the first one, UTC.
    pub first_at: Option<String>,
    /// The time of the last one.
    pub last_at: Option<String>,
}

/// A log that is read: the one that is written, or that of an earlier year.
pub(crate) enum Book {
    Current(Log),
    Kept(Box<Archive>),
}

impl Book {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Book::Current(log) => log.size(),
            Book::Kept(archive) => archive.size(),
        }
    }

    pub(crate) fn entry(&self, index: u64) -> Result<Entry, LogError> {
        match self {
            Book::Current(log) => log.entry(index),
            Book::Kept(archive) => archive.entry(index),
        }
    }

    pub(crate) fn entries(&self, range: Range<u64>) -> Box<dyn Iterator<Item = Result<(u64, Entry), LogError>> + '_> {
        match self {
            Book::Current(log) => Box::new(log.entries(range)),
            Book::Kept(archive) => Box::new(archive.entries(range)),
        }
    }

    pub(crate) fn prove_inclusion(&self, index: u64) -> Result<String, LogError> {
        match self {
            Book::Current(log) => log.prove_inclusion(index),
            Book::Kept(archive) => archive.prove_inclusion(index),
        }
    }

    /// The consistency proof, with the checkpoint that it leads to.
    pub(crate) fn prove_consistency(&self, old: u64) -> Result<(Vec<[u8; 32]>, String), LogError> {
        match self {
            Book::Current(log) => log.prove_consistency(old).map(|(proof, checkpoint)| (proof, checkpoint.to_string())),
            Book::Kept(archive) => {
                Ok((archive.prove_consistency(old, archive.size())?, archive.checkpoint().to_string()))
            }
        }
    }

    fn position(&self, index: u64) -> Result<Position, LogError> {
        match self {
            Book::Current(log) => log.position(index),
            Book::Kept(archive) => archive.position(index),
        }
    }

    fn receipt(&self, position: &Position, body: Map<String, Value>) -> Result<Receipt, LogError> {
        match self {
            Book::Current(log) => log.receipt(position, body),
            Book::Kept(archive) => archive.receipt(position, body),
        }
    }

    fn origin(&self) -> &str {
        match self {
            Book::Current(log) => log.origin(),
            Book::Kept(archive) => archive.checkpoint().origin(),
        }
    }
}

impl Domain {
    /// The logs of all years, the newest first.
    ///
    /// # Errors
    /// The reasons why the actor may not read the audit; `home/io`.
    pub async fn audit_logs(&self, actor: &str) -> Result<Vec<LogView>, DomainError> {
        self.may_read(actor).await?;
        self.logs()
    }

    fn logs(&self) -> Result<Vec<LogView>, DomainError> {
        let current = Book::Current(self.log.clone());
        let mut all = vec![self.log_view(&self.current_year()?, LogState::Current, &current)?];
        let keys = self.log_keys()?;
        for kept in self.kept()? {
            let state = if kept.moved { LogState::Moved } else { LogState::Sealed };
            all.push(match kept.open(&keys) {
                Ok(archive) => self.log_view(&kept.year, state, &Book::Kept(Box::new(archive)))?,
                Err(_) => LogView {
                    year: kept.year,
                    state,
                    here: false,
                    origin: None,
                    size: None,
                    root: None,
                    first_at: None,
                    last_at: None,
                },
            });
        }
        Ok(all)
    }

    fn log_view(&self, year: &str, state: LogState, book: &Book) -> Result<LogView, DomainError> {
        let at = |index: Option<u64>| match index.filter(|index| *index < book.size()) {
            Some(index) => Ok::<_, DomainError>(Some(format_instant(book.entry(index)?.at_millis()))),
            None => Ok(None),
        };
        let root = match book {
            Book::Current(log) => hex::encode(log.checkpoint().root()),
            Book::Kept(archive) => hex::encode(archive.checkpoint().root()),
        };
        Ok(LogView {
            year: year.to_owned(),
            state,
            here: true,
            origin: Some(book.origin().to_owned()),
            size: Some(book.size()),
            root: Some(root),
            first_at: at(Some(0))?,
            last_at: at(book.size().checked_sub(1))?,
        })
    }

    fn kept(&self) -> Result<Vec<KeptLog>, DomainError> {
        kept_logs(&self.home.path(""))
    }

    fn current_year(&self) -> Result<String, DomainError> {
        let first = if self.log.size() == 0 { self.now() } else { self.log.entry(0)?.at_millis() };
        Ok(self.register.log_year(first).to_string())
    }

    /// The log of a year; the one that is written where none is named.
    ///
    /// # Errors
    /// Not found where there is none of that year, or it is out of reach.
    pub(crate) fn book(&self, year: Option<&str>) -> Result<Book, DomainError> {
        let Some(year) = year else { return Ok(Book::Current(self.log.clone())) };
        if self.current_year()? == year {
            return Ok(Book::Current(self.log.clone()));
        }
        match self.kept()?.into_iter().find(|kept| kept.year == year) {
            Some(kept) => Ok(Book::Kept(Box::new(kept.open(&self.log_keys()?)?))),
            None => Err(DomainError::not_found("年度日志", "log of that year", year)),
        }
    }

    /// The logs that can be read, the newest first, and the years of those that can not.
    pub(crate) fn books(&self) -> Result<(Vec<Book>, Vec<String>), DomainError> {
        let (mut books, mut away) = (vec![Book::Current(self.log.clone())], Vec::new());
        let keys = self.log_keys()?;
        for kept in self.kept()? {
            match kept.open(&keys) {
                Ok(archive) => books.push(Book::Kept(Box::new(archive))),
                // Out of reach is no fault; damaged is.
                Err(DomainError::NotFound(_)) if kept.moved => away.push(kept.year),
                Err(error) => return Err(error),
            }
        }
        Ok((books, away))
    }

    /// The logs of the years that a question is about: the named one, else all that can be read, the oldest first.
    ///
    /// # Errors
    /// As [`Domain::book`]; `audit/out-of-reach` where the time that is asked about may lie in a log that is out of reach.
    pub(crate) fn books_of(&self, year: Option<&str>, from_millis: Option<i64>) -> Result<Vec<Book>, DomainError> {
        if year.is_some() {
            return Ok(vec![self.book(year)?]);
        }
        let (mut books, away) = self.books()?;
        // A total that leaves a year out without a word would be a wrong one.
        let from = from_millis.map_or(i64::MIN, |from| self.register.log_year(from));
        if let Some(year) = away.iter().find(|year| year.parse::<i64>().is_ok_and(|year| year >= from)) {
            return Err(out_of_reach(year));
        }
        books.reverse();
        Ok(books)
    }

    /// The log of this name.
    pub(crate) fn book_of(&self, origin: &str) -> Result<Option<Book>, DomainError> {
        Ok(self.books()?.0.into_iter().find(|book| book.origin() == origin))
    }

    /// The receipt of a verification whose answer has this index, in the log of its year.
    ///
    /// # Errors
    /// `audit/no-entry` where no log has its answer there; what keeps it from being read.
    pub(crate) fn answer_receipt(
        &self,
        run: &str,
        index: u64,
        body: Map<String, Value>,
    ) -> Result<Receipt, DomainError> {
        for book in self.books()?.0 {
            if index >= book.size() {
                continue;
            }
            let entry = book.entry(index)?;
            let of = entry.fields().get("run").and_then(Value::as_str);
            if entry.kind() == "verification.answered" && of == Some(run) {
                return Ok(book.receipt(&book.position(index)?, body)?);
            }
        }
        Err(super::audit::no_entry(LogError::NoEntry))
    }

    /// Seals the log of the home in `root`, which nobody may have open, and begins the one that follows. The sealed log stays
    /// in the home and is read as before. A process that is killed in between leaves a home that the next opening puts right.
    ///
    /// # Errors
    /// The reasons why the actor may not; `retention/year-not-over`; `key/overlap`; `audit/unwitnessed` where the witnesses do
    /// not know the next log yet; and what is wrong with the home.
    pub async fn seal_log(root: &Path, clock: crate::Clock, actor: &str) -> Result<Vec<LogView>, DomainError> {
        let domain = Domain::open(root, clock.clone()).await?;
        let sealed = domain.seal_now(actor).await;
        domain.close().await;
        sealed?;
        // Opening finishes what the last entry has begun, as it would after a kill.
        let domain = Domain::open(root, clock).await?;
        let logs = domain.logs();
        domain.close().await;
        logs
    }

    pub(crate) async fn seal_now(&self, actor: &str) -> Result<(), DomainError> {
        self.authorise(actor, Action::ArchiveAudit, Resource::Domain).await?;
        let now = self.now();
        let first = if self.log.size() == 0 { None } else { Some(self.log.entry(0)?.at_millis()) };
        self.register.may_seal(first, now)?;
        self.home.seal(&self.log, actor, self.register.log_year(now), now)?;
        Ok(self.store.remember_log(&self.log.checkpoint(), now).await?)
    }

    /// Moves the sealed log of a year to a folder outside of the home, on the same file system, once it is old enough. It is
    /// verified as a whole first; the move is an entry of the log before it happens. Nothing is deleted. `place` says, for
    /// people, where it went.
    ///
    /// # Errors
    /// The reasons why the actor may not; `retention/too-young`; not found where no sealed log of that year is here; what is
    /// wrong with it, or with the folder.
    pub async fn move_log(
        &self,
        actor: &str,
        year: &str,
        to: &Path,
        place: &str,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<u64, DomainError> {
        self.authorise(actor, Action::ArchiveAudit, Resource::Domain).await?;
        check_place(place)?;
        let kept = self.kept()?.into_iter().find(|kept| kept.year == year && !kept.moved);
        let kept = kept.ok_or_else(|| DomainError::not_found("已封存的年度日志", "sealed log of that year", year))?;
        let to = std::path::absolute(to).map_err(|e| DomainError::io("move", &e))?;
        let (now, actor, place) = (self.now(), actor.to_owned(), place.to_owned());
        let trust = kept.trust(&self.log_keys()?)?;
        let (log, register) = (self.log.clone(), self.register.clone());
        let record = self.home.path("logs").join(format!("{year}.moved"));
        blocking(move || {
            let mut progress = progress;
            let verdict = Log::verify_with(&kept.dir, &trust, &mut progress)?;
            register.may_move(verdict.newest_at(), now)?;
            // Where to look for it later is on disk before it goes.
            let line = to.to_str().filter(|text| !text.contains('\n'));
            let line = line.ok_or_else(|| Refusal::new("input/folder", "目录名无效", "that is no folder's name"))?;
            crate::logkeys::replace(&record, format!("{line}\n")).map_err(|e| DomainError::io("logs", &e))?;
            let notice = Notice { place: &place, by: &actor, now_millis: now };
            let moved = move_log(&log, &kept.dir, &trust, &to, notice);
            if moved.is_err() && kept.dir.exists() {
                // It is still here; the note would be wrong once this folder is copied elsewhere.
                let _ = std::fs::remove_file(&record);
            }
            Ok(moved?.index())
        })
        .await
    }
}

fn check_place(place: &str) -> Result<(), Refusal> {
    if (1..=MAX_PLACE).contains(&place.chars().count()) && !place.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::new(
        "input/place",
        format!("存放位置为 1 到 {MAX_PLACE} 个字符"),
        format!("a place is 1 to {MAX_PLACE} characters"),
    ))
}
