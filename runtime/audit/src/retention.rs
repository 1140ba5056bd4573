//! Retention: one log a year, none moved before its time, nothing deleted.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::files::{self, Layout};
use crate::options::Options;
use crate::recorded::Position;
use crate::sequencer::SEAL_KIND;
use crate::trust::Trust;
use crate::{Archive, Entry, Log, LogError, VerifyingKey};

/// How long the last entry of a log must lie back before the log may be moved: three years, leap day
/// included.
pub const RETENTION_MILLIS: i64 = (3 * 365 + 1) * 24 * 60 * 60 * 1000;

/// Ends a log and begins the one that follows it, usually at the turn of the year. The old one gets
/// a last entry `log/sealed` that names its successor; the new one a first entry `log/opened` that
/// names size and root of the old. Called again after a crash it finishes what is missing.
///
/// # Errors
/// Those of creating, opening and appending.
pub fn succeed(log: &Log, next: Options, next_key: &VerifyingKey, dir: &Path, at_millis: i64) -> Result<Log, LogError> {
    let sealed = log.size().checked_sub(1).map(|last| log.entry(last)).transpose()?;
    if sealed.is_none_or(|last| last.kind() != SEAL_KIND) {
        let fields = object(json!({ "next": next_key.to_string() }));
        log.append(Entry::new(SEAL_KIND, at_millis, fields)?)?;
    }
    log.publish()?;
    let next = if Layout::new(dir).lock().exists() { next.open(dir)? } else { next.create(dir)? };
    if next.size() == 0 {
        let checkpoint = log.checkpoint();
        let previous = json!({
            "origin": log.origin(),
            "key": log.verifying_key().to_string(),
            "size": checkpoint.size(),
            "root": hex::encode(checkpoint.root()),
        });
        next.append(Entry::new("log/opened", at_millis, object(json!({ "previous": previous })))?)?;
    }
    Ok(next)
}

/// Moves a sealed log to another folder of the same file system, once its last entry is three years
/// old by `now_millis`. The whole log is verified first, and the move is an entry `log/moved` of
/// `current` before it happens. `place` says, for people, where the log went.
///
/// # Errors
/// [`LogError::Retained`] when it is too young or not sealed, [`LogError::Exists`] when the target
/// is there already, [`LogError::Disk`], and what verification finds.
pub fn move_log(
    current: &Log,
    old: &Path,
    trust: &Trust,
    to: &Path,
    place: &str,
    now_millis: i64,
) -> Result<Position, LogError> {
    // Nobody may write to it while it goes.
    let _writer = if Layout::new(old).lock().exists() {
        files::lock_writer(&Layout::new(old).writer())?
    } else {
        return Err(LogError::Absent);
    };
    let verdict = Log::verify_with(old, trust, &mut |_, _| {})?;
    let archive = Archive::open(old, trust)?;
    let last = archive.size().checked_sub(1).map(|last| archive.entry(last)).transpose()?;
    let sealed = last.is_some_and(|last| last.kind() == SEAL_KIND);
    let old_enough = verdict.newest_at().is_some_and(|at| at.saturating_add(RETENTION_MILLIS) <= now_millis);
    if !sealed || !old_enough {
        return Err(LogError::Retained);
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(LogError::Exists);
    }
    let fields = object(json!({
        "origin": verdict.checkpoint().origin(),
        "size": verdict.size(),
        "root": verdict.root_hex(),
        "place": place,
    }));
    let position = current.append(Entry::new("log/moved", now_millis, fields)?)?;
    fs::rename(old, to).map_err(LogError::disk("move the log"))?;
    for folder in [old.parent(), to.parent()].into_iter().flatten() {
        files::sync_folder(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    }
    Ok(position)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
