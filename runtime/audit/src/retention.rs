//! Retention: one log a year, none moved before its time, nothing deleted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::files::{self, Layout};
use crate::options::Options;
use crate::recorded::Position;
use crate::sequencer::SEAL_KIND;
use crate::trust::Trust;
use crate::{Archive, Checkpoint, Entry, Log, LogError, VerifyingKey};

/// How long the last entry of a log must lie back before the log may be moved: three years, leap day
/// included.
pub const RETENTION_MILLIS: i64 = (3 * 365 + 1) * 24 * 60 * 60 * 1000;

/// The kind of the first entry of a log that follows another one.
const OPEN_KIND: &str = "log/opened";
/// The kind of the entry that tells where a sealed log went.
const MOVE_KIND: &str = "log/moved";

/// What the first entry of a log says of the log before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    origin: String,
    key: String,
    size: u64,
    root: String,
}

impl Previous {
    /// Reads it from the entry; `None` where the entry opens no log that follows another one.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        let Some(Value::Object(previous)) = entry.fields().get("previous").filter(|_| entry.kind() == OPEN_KIND) else {
            return None;
        };
        let text = |name: &str| previous.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            origin: text("origin")?,
            key: text("key")?,
            size: previous.get("size")?.as_u64()?,
            root: text("root")?,
        })
    }

    /// The name of the log before.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries it had when it was sealed.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its root hash then, as hex.
    #[must_use]
    pub fn root_hex(&self) -> &str {
        &self.root
    }

    /// Whether this log, sealed, is the one that is meant and names the log of `next` as the one that follows it. With
    /// it neither of two years can be replaced without the other.
    ///
    /// # Errors
    /// [`LogError::Disagree`] where it is not, and those of reading its last entry.
    pub fn check(&self, sealed: &Archive, next: &Trust) -> Result<(), LogError> {
        let checkpoint = sealed.checkpoint();
        let same = (checkpoint.origin(), checkpoint.size()) == (self.origin.as_str(), self.size)
            && hex::encode(checkpoint.root()) == self.root;
        if !same {
            return Err(LogError::disagree(format!(
                "log {} is not the one that its successor was opened after",
                self.origin
            )));
        }
        let named = sealed_for(sealed)?;
        if named.is_some_and(|named| next.keys().contains(&named)) {
            Ok(())
        } else {
            Err(LogError::disagree(format!("log {} was not sealed for the log that follows it", self.origin)))
        }
    }
}

/// The key of the log that follows, where this one is sealed.
///
/// # Errors
/// Those of reading the last entry.
pub fn sealed_for(log: &Archive) -> Result<Option<VerifyingKey>, LogError> {
    let Some(last) = log.size().checked_sub(1) else { return Ok(None) };
    let last = log.entry(last)?;
    if last.kind() != SEAL_KIND {
        return Ok(None);
    }
    let next = last.fields().get("next").and_then(Value::as_str).and_then(|next| next.parse().ok());
    next.map(Some).ok_or_else(|| LogError::damaged("the entry that sealed the log names no key"))
}

/// Ends a log and begins the one that follows it, usually at the turn of the year. The old one gets
/// a last entry `log/sealed` that names its successor and who sealed it; the new one a first entry `log/opened` that
/// names size and root of the old. Called again after a crash it finishes what is missing.
///
/// The new log is there, and known to its witnesses, before the old one is sealed: what can fail for a reason outside of
/// this machine fails while nothing has happened yet.
///
/// # Errors
/// Those of creating, opening and appending.
pub fn succeed(
    log: &Log,
    next: Options,
    next_key: &VerifyingKey,
    dir: &Path,
    by: &str,
    at_millis: i64,
) -> Result<Log, LogError> {
    let next = if Layout::new(dir).lock().exists() { next.open(dir)? } else { next.create(dir)? };
    let sealed = log.size().checked_sub(1).map(|last| log.entry(last)).transpose()?;
    if sealed.is_none_or(|last| last.kind() != SEAL_KIND) {
        let fields = object(json!({ "next": next_key.to_string(), "by": by }));
        log.append(Entry::new(SEAL_KIND, at_millis, fields)?)?;
    }
    log.publish()?;
    open_after(&log.checkpoint(), &log.verifying_key(), &next, at_millis)?;
    Ok(next)
}

/// The second half of [`succeed`] where only the sealed log's files are left: writes the first entry of the log that follows,
/// unless it is there.
///
/// # Errors
/// Those of appending.
pub fn open_after(sealed: &Checkpoint, key: &VerifyingKey, next: &Log, at_millis: i64) -> Result<(), LogError> {
    if next.size() > 0 {
        return Ok(());
    }
    let previous = json!({
        "origin": sealed.origin(),
        "key": key.to_string(),
        "size": sealed.size(),
        "root": hex::encode(sealed.root()),
    });
    next.append(Entry::new(OPEN_KIND, at_millis, object(json!({ "previous": previous })))?)?;
    next.publish()
}

/// Moves a sealed log to another folder of the same file system, once its latest entry is three years
/// old by `now_millis`. The whole log is verified first, and the move is an entry `log/moved` of
/// `current` before it happens. `place` says, for people, where the log went, `by` who moved it. Called again after a crash it
/// finishes the move and writes no second entry.
///
/// # Errors
/// [`LogError::Retained`] when it is too young or not sealed, [`LogError::Exists`] when the target
/// is there already, [`LogError::Disk`] (also where the target is on another file system: a copy would have to be deleted
/// from), and what verification finds.
pub fn move_log(current: &Log, old: &Path, trust: &Trust, to: &Path, notice: Notice<'_>) -> Result<Position, LogError> {
    // Nobody may write to it while it goes.
    let _writer = if Layout::new(old).lock().exists() {
        files::lock_writer(&Layout::new(old).writer())?
    } else {
        return Err(LogError::Absent);
    };
    let Notice { place, by, now_millis } = notice;
    let verdict = Log::verify_with(old, trust, &mut |_, _| {})?;
    let sealed = sealed_for(&Archive::open(old, trust)?)?.is_some();
    let old_enough = verdict.newest_at().is_some_and(|at| at.saturating_add(RETENTION_MILLIS) <= now_millis);
    if !sealed || !old_enough {
        return Err(LogError::Retained);
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(LogError::Exists);
    }
    same_file_system(old, to)?;
    let fields = object(json!({
        "origin": verdict.checkpoint().origin(),
        "size": verdict.size(),
        "root": verdict.root_hex(),
        "place": place,
        "by": by,
    }));
    let position = match told(current, &fields)? {
        Some(position) => position,
        None => current.append(Entry::new(MOVE_KIND, now_millis, fields)?)?,
    };
    fs::rename(old, to).map_err(LogError::disk("move the log"))?;
    for folder in [old.parent(), to.parent()].into_iter().flatten() {
        files::sync_folder(or_here(folder))?;
    }
    Ok(position)
}

/// What the entry about a move says besides which log it is.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// Where it went, for people.
    pub place: &'a str,
    /// Who moved it.
    pub by: &'a str,
    /// When, milliseconds since 1970; the clock that decides whether the log is old enough.
    pub now_millis: i64,
}

/// Where the log tells of this very move already.
fn told(current: &Log, fields: &Map<String, Value>) -> Result<Option<Position>, LogError> {
    for item in current.entries(0..current.size()) {
        let (index, entry) = item?;
        if entry.kind() == MOVE_KIND && entry.fields() == fields {
            return current.position(index).map(Some);
        }
    }
    Ok(None)
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// A rename over the border of a file system fails; that is found out before the log says that it happened.
fn same_file_system(old: &Path, to: &Path) -> Result<(), LogError> {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).map_err(LogError::disk("look at the folder"));
    if device(old)? == device(or_here(to.parent().unwrap_or(Path::new("."))))? {
        return Ok(());
    }
    let source = std::io::ErrorKind::CrossesDevices.into();
    Err(LogError::Disk { action: "move the log to another file system", source })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
