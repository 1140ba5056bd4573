//! One log a year, as a home has them.
//!
//! ```text
//! log/              the log that is written now
//! logs/2026/        the log of a year that is over, sealed, as log/ was
//! logs/2025.moved   where a log was moved to, once it was old enough: one line, a path
//! log.successor/    there only while a log is being sealed: the log that follows
//! ```
//!
//! A year's log has a name of its own, `DOMAIN` for the first and `DOMAIN/2027` for those that follow, and so a key of its own:
//! a size has one root under one name, for ever. When a log is sealed its private key is removed: nobody signs for that year
//! any more.
//!
//! Sealing is done in this order, and whatever point a killed process had reached, opening the home goes on from there:
//! the keys of the next log are on disk; the next log is there, empty, and known to its witnesses; the old log has its last
//! entry (before it nothing has happened, after it there is no way back); the next log has its first; its public keys are
//! handed out; the folders change their names; the key changes its name; the old private key is removed.

use crate::error::DomainError;
use crate::home::{Home, sync_folder};
use crate::logkeys::log_keys;
use crate::logsm2;
use std::fs;
use std::path::{Path, PathBuf};
use yunei_audit::{Archive, Keyring, Log, Options, Previous, SigningKey, Trust, open_after, sealed_for, succeed};
use yunei_policy::Refusal;

/// The ending of the file that says where a log was moved to.
const MOVED: &str = "moved";
/// At most how many logs of earlier years a home has.
const MAX_YEARS: usize = 200;

/// Where the log of an earlier year is.
#[derive(Debug, Clone)]
pub struct KeptLog {
    /// Its year, the name that it is asked for by.
    pub year: String,
    /// Its folder; one that was moved may be out of reach.
    pub dir: PathBuf,
    /// Whether it was moved out of the home.
    pub moved: bool,
}

impl KeptLog {
    /// Opens it, with the keys of its name.
    ///
    /// # Errors
    /// `audit/absent` where it is out of reach; what is wrong with it.
    pub fn open(&self, keys: &Keyring) -> Result<Archive, DomainError> {
        let trust = self.trust(keys)?;
        // The public part has all of a sealed log, and its last checkpoint with the cosignatures.
        Ok(Archive::open_public(&self.dir.join("public"), &trust)?)
    }

    /// The keys of its name.
    ///
    /// # Errors
    /// `audit/absent` where it is out of reach; `audit/key` where there is no key of it.
    pub fn trust(&self, keys: &Keyring) -> Result<Trust, DomainError> {
        let bytes = fs::read(self.dir.join("public/checkpoint")).map_err(|_| out_of_reach(&self.year))?;
        // Only which keys to take: they decide whether it is to be believed.
        let origin = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
        keys.of(&origin).cloned().ok_or_else(|| yunei_audit::LogError::Key.into())
    }
}

pub(crate) fn out_of_reach(year: &str) -> DomainError {
    DomainError::NotFound(
        Refusal::new(
            "audit/out-of-reach",
            "该年度的日志已移出，当前位置无法读取",
            "the log of that year was moved and can not be reached where it went",
        )
        .at(year)
        .hint("请挂载其存放位置，或用 --log 指明目录核对", "mount the place where it is, or check it with --log DIR"),
    )
}

/// The logs of earlier years that a home knows of, the newest first.
///
/// # Errors
/// `home/io` where the folder can not be read.
pub fn kept_logs(home: &Path) -> Result<Vec<KeptLog>, DomainError> {
    let folder = home.join("logs");
    let io = |e: std::io::Error| DomainError::io("logs", &e);
    let items = match fs::read_dir(&folder) {
        Ok(items) => items,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io(e)),
    };
    let mut all: Vec<KeptLog> = Vec::new();
    for item in items.take(4 * MAX_YEARS) {
        let path = item.map_err(io)?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let year = stem.to_owned();
        if !is_year(&year) {
            continue;
        }
        if path.is_dir() {
            // While it is here, it is read here, whatever a move that was cut short has noted.
            all.retain(|one| one.year != year);
            all.push(KeptLog { year, dir: path, moved: false });
        } else if path.extension().is_some_and(|ending| ending == MOVED) && !all.iter().any(|one| one.year == year) {
            let place = fs::read_to_string(&path).map_err(io)?;
            all.push(KeptLog { year, dir: PathBuf::from(place.trim_end_matches('\n')), moved: true });
        }
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.year.parse::<u32>().unwrap_or(0)));
    Ok(all)
}

fn is_year(text: &str) -> bool {
    (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')
}

/// The public keys of the logs of a home, with which anybody checks them.
///
/// # Errors
/// `home/absent`, `home/malformed`.
pub fn public_log_keys(home: &Path) -> Result<Keyring, DomainError> {
    log_keys(home)
}

/// The year in the name of a log: 0 for the first one of a domain.
pub(crate) fn year_of_origin(domain: &str, origin: &str) -> Option<u32> {
    if origin == domain {
        return Some(0);
    }
    let year = origin.strip_prefix(domain)?.strip_prefix('/')?;
    if is_year(year) { year.parse().ok() } else { None }
}

/// How far a sealing goes before it breaks off: for tests of every point at which a process can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    Opened,
    KeysTold,
    OldAway,
    NextInPlace,
    OldKeyKept,
    KeyInPlace,
    Sm2InPlace,
    Never,
}

impl Home {
    /// Prepares the log that follows, and seals this one for it. From then on [`Home::finish_sealing`] goes on.
    pub(crate) fn seal(&self, log: &Log, by: &str, year: i64, at_millis: i64) -> Result<(), DomainError> {
        if self.key_path("log.previous.key").exists() || self.key_path("log.next.key").exists() {
            let refusal = Refusal::new("key/overlap", "密钥更换尚未结束", "the replacement of a key is not over yet")
                .hint("请先运行 yunei audit end-overlap", "run yunei audit end-overlap first");
            return Err(refusal.into());
        }
        let origin = format!("{}/{year}", self.name());
        let path = self.key_path("log.successor.key");
        if !path.exists() {
            SigningKey::generate(&origin)?.save(&path)?;
        }
        let next = SigningKey::load(&path)?;
        if self.key_path("log.sm2.key").exists() {
            logsm2::make(&self.key_path("log.sm2.successor.key"), next.name())?;
        }
        let next_key = next.verifying_key();
        let made = succeed(log, self.successor_options(next)?, &next_key, &self.path("log.successor"), by, at_millis);
        match made {
            Ok(next) => Ok(next.close()?),
            Err(yunei_audit::LogError::Unwitnessed) => Err(unknown_to_witness(&next_key.to_string())),
            Err(other) => Err(other.into()),
        }
    }

    fn successor_options(&self, next: SigningKey) -> Result<Options, DomainError> {
        let options = logsm2::also_sign(Options::new(next), &self.key_path("log.sm2.successor.key"))?;
        self.with_witnesses(options)
    }

    /// Finishes a sealing that is under way, whatever point a process that was killed had reached. Gives the key that signs
    /// now. A sealing that was only prepared is left as it is.
    pub(crate) fn finish_sealing(&self, key: SigningKey, at_millis: i64) -> Result<SigningKey, DomainError> {
        self.finish_sealing_until(key, at_millis, Stop::Never)
    }

    pub(crate) fn finish_sealing_until(
        &self,
        key: SigningKey,
        at_millis: i64,
        stop: Stop,
    ) -> Result<SigningKey, DomainError> {
        let path = self.key_path("log.successor.key");
        if !path.exists() {
            // The names have changed; what may be left is the key of a sealed log.
            self.take_sm2_successor()?;
            self.wipe_key("log.retired.key")?;
            return Ok(key);
        }
        let successor = SigningKey::load(&path)?;
        let (log, next) = (self.path("log"), self.path("log.successor"));
        if log.exists() && next.exists() {
            let trust = Trust::new(key.verifying_key());
            let sealed = Archive::open(&log, &trust)?;
            if sealed_for(&sealed)? != Some(successor.verifying_key()) {
                return Ok(key);
            }
            self.open_next(&sealed, &key, successor, at_millis)?;
            if stop == Stop::Opened {
                return Ok(key);
            }
            self.tell_successor_keys()?;
            if stop == Stop::KeysTold {
                return Ok(key);
            }
            self.put_away(&sealed)?;
            if stop == Stop::OldAway {
                return Ok(key);
            }
        } else if log.exists() && Archive::open(&log, &Trust::new(successor.verifying_key())).is_err() {
            // A key was made for the log that follows, and no more.
            return Ok(key);
        }
        self.take_over(stop)?;
        Ok(SigningKey::load(&self.key_path("log.key"))?)
    }

    /// The first entry of the log that follows.
    fn open_next(&self, sealed: &Archive, key: &SigningKey, successor: SigningKey, at: i64) -> Result<(), DomainError> {
        let next = self.successor_options(successor)?.open(&self.path("log.successor"))?;
        open_after(sealed.checkpoint(), &key.verifying_key(), &next, at)?;
        Ok(next.close()?)
    }

    fn tell_successor_keys(&self) -> Result<(), DomainError> {
        let mut first = vec![SigningKey::load(&self.key_path("log.successor.key"))?.verifying_key().to_string()];
        let sm2 = self.key_path("log.sm2.successor.key");
        if sm2.exists() {
            first.push(logsm2::make(&sm2, "")?);
        }
        self.add_log_keys(&first)
    }

    /// The sealed log goes to the others.
    fn put_away(&self, sealed: &Archive) -> Result<(), DomainError> {
        let io = |e: std::io::Error| DomainError::io("logs", &e);
        let folder = self.path("logs");
        fs::create_dir_all(&folder).map_err(io)?;
        let year = self.register()?.log_year(sealed.entry(0)?.at_millis());
        let kept = folder.join(year.to_string());
        // A rename onto a folder that has something in it fails; onto an empty one it would not.
        if kept.exists() {
            return Err(yunei_audit::LogError::Exists.into());
        }
        fs::rename(self.path("log"), kept).map_err(io)?;
        sync_folder(&folder).and_then(|()| sync_folder(&self.path(""))).map_err(io)
    }

    /// Folder and keys of the log that follows take the places of the old ones.
    fn take_over(&self, stop: Stop) -> Result<(), DomainError> {
        let io = |e: std::io::Error| DomainError::io("keys", &e);
        let keys = self.path("keys");
        if !self.path("log").exists() {
            fs::rename(self.path("log.successor"), self.path("log")).map_err(io)?;
            sync_folder(&self.path("")).map_err(io)?;
        }
        if stop == Stop::NextInPlace {
            return Ok(());
        }
        let (current, retired) = (self.key_path("log.key"), self.key_path("log.retired.key"));
        if !retired.exists() {
            fs::hard_link(&current, &retired).map_err(io)?;
        }
        if stop == Stop::OldKeyKept {
            return Ok(());
        }
        fs::rename(self.key_path("log.successor.key"), &current).and_then(|()| sync_folder(&keys)).map_err(io)?;
        if stop == Stop::KeyInPlace {
            return Ok(());
        }
        self.take_sm2_successor()?;
        if stop == Stop::Sm2InPlace {
            return Ok(());
        }
        self.wipe_key("log.retired.key")
    }

    fn take_sm2_successor(&self) -> Result<(), DomainError> {
        let next = self.key_path("log.sm2.successor.key");
        if !next.exists() {
            return Ok(());
        }
        let io = |e: std::io::Error| DomainError::io("keys", &e);
        let (current, retired) = (self.key_path("log.sm2.key"), self.key_path("log.sm2.retired.key"));
        if current.exists() && !retired.exists() {
            fs::hard_link(&current, &retired).map_err(io)?;
        }
        fs::rename(&next, &current).and_then(|()| sync_folder(&self.path("keys"))).map_err(io)?;
        self.wipe_key("log.sm2.retired.key")
    }
}

fn unknown_to_witness(key: &str) -> DomainError {
    DomainError::Unavailable(
        Refusal::new(
            "audit/unwitnessed",
            "见证方尚未联署新年度的日志，本年度日志未封存",
            "the witnesses have not cosigned the log of the next year; this one was not sealed",
        )
        .at(key)
        .hint(
            "请将此公钥加入见证方（audit witness --for），再次运行 yunei audit seal",
            "give this public key to the witness (audit witness --for), then run yunei audit seal again",
        ),
    )
}

/// Checks that the logs of a home follow one another without a gap, from the one that is written now to the oldest that can be
/// reached: each names the end of the one before it, and was named by it. Gives those that were found in their places.
///
/// # Errors
/// `audit/disagree` where one was replaced or taken away; what is wrong with one of them.
pub fn check_chain(
    current: &Archive,
    keys: &Keyring,
    kept: &[KeptLog],
) -> Result<Vec<(KeptLog, Archive)>, DomainError> {
    let mut found: Vec<(KeptLog, Archive)> = Vec::new();
    let mut kept = kept.iter();
    loop {
        let newer = found.last().map_or(current, |(_, archive)| archive);
        if newer.size() == 0 {
            return Ok(found);
        }
        let Some(previous) = Previous::of(&newer.entry(0)?) else {
            return match kept.next() {
                None => Ok(found),
                Some(one) => {
                    let what = format!("no log follows the one that is kept as {}", one.year);
                    Err(yunei_audit::LogError::Disagree { what }.into())
                }
            };
        };
        let Some(one) = kept.next() else {
            let what = format!("the log of the year before, {}, is not there", previous.origin());
            return Err(yunei_audit::LogError::Disagree { what }.into());
        };
        if one.moved && !one.dir.join("public/checkpoint").exists() {
            // Out of reach, and with it what is before it. It was checked as a whole when it was moved.
            return Ok(found);
        }
        let archive = one.open(keys)?;
        let next = keys.of(newer.checkpoint().origin()).ok_or(yunei_audit::LogError::Key)?;
        previous.check(&archive, next)?;
        found.push((one.clone(), archive));
    }
}

#[cfg(test)]
mod tests;
