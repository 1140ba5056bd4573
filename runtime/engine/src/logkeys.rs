//! The keys of the log and its witnesses, as a home has them.
//!
//! ```text
//! keys/log.key            signs the log
//! keys/log.previous.key   the one before, while both sign (the overlap of a replacement)
//! keys/log.next.key       there only while a replacement is under way; opening the home finishes it
//! keys/log.sm2.key        signs as well, with SM2 over SM3 (programs built with the feature `sm`)
//! keys/log.successor.key  there only while a year's log is being sealed (see `logyears`); likewise log.sm2.successor.key
//! keys/log.vkey           the public keys of this year's log and of those before, one a line, the newest first: to be
//!                         handed out
//! ```
//!
//! `yunei.toml` names the witnesses:
//!
//! ```toml
//! [audit]
//! require_witness = 1          # how many must cosign before anything is released; all of them where it is not said
//! [[audit.witness]]
//! key = "authority.example/witness+0c4f…+BA…"
//! url = "http://10.0.0.2:8790"
//! ```

use crate::error::DomainError;
use crate::home::{Home, sync_folder};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yunei_audit::{Agree, Archive, Entry, Keyring, LogError, Options, SigningKey, Trust, VerifyingKey, Witness};
use yunei_policy::Refusal;

/// At most how many witnesses a home names.
const MAX_WITNESSES: usize = 16;
/// The kind of the entry that tells of a replaced key.
const KEY_KIND: &str = "log/key";

/// `[audit]` of `yunei.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditConfig {
    require_witness: Option<usize>,
    #[serde(default)]
    witness: Vec<WitnessConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessConfig {
    key: String,
    url: String,
}

/// A log key that was replaced.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The key that signs from now on.
    pub next: VerifyingKey,
    /// The one before. It signs as well until the overlap is ended.
    pub retired: VerifyingKey,
}

impl AuditConfig {
    fn witnesses(&self) -> Result<Vec<Witness>, DomainError> {
        let malformed = |zh: &str, en: &str, place: String| {
            DomainError::Unavailable(Refusal::new("home/malformed", zh, en).at(place))
        };
        if self.witness.len() > MAX_WITNESSES {
            let place = "audit.witness".to_owned();
            return Err(malformed("最多 16 个见证方", "there are at most 16 witnesses", place));
        }
        if self.require_witness.is_some_and(|count| count > self.witness.len()) {
            let place = "audit.require_witness".to_owned();
            return Err(malformed("要求的见证方多于所列的", "more witnesses are required than are listed", place));
        }
        let read = |(n, config): (usize, &WitnessConfig)| {
            let wrong = |field: &str| {
                let place = format!("audit.witness[{n}].{field}");
                malformed("见证方的公钥或地址无效", "that is no key or no address of a witness", place)
            };
            let key = config.key.trim().parse().map_err(|_| wrong("key"))?;
            Witness::new(key, &config.url).map_err(|_| wrong("url"))
        };
        self.witness.iter().enumerate().map(read).collect()
    }
}

impl Home {
    pub(crate) fn key_path(&self, name: &str) -> PathBuf {
        self.path("keys").join(name)
    }

    /// How the log of this home is opened: its keys and its witnesses.
    pub(crate) fn log_options(&self, key: SigningKey) -> Result<Options, DomainError> {
        let mut options = Options::new(key);
        let previous = self.key_path("log.previous.key");
        if previous.exists() {
            options = options.also_sign(SigningKey::load(&previous)?)?;
        }
        options = crate::logsm2::also_sign(options, &self.key_path("log.sm2.key"))?;
        self.with_witnesses(options)
    }

    /// The witnesses of the home, asked for whatever log is opened.
    pub(crate) fn with_witnesses(&self, mut options: Options) -> Result<Options, DomainError> {
        for witness in self.audit.witnesses()? {
            options = options.witness(witness);
        }
        if let Some(hold) = &self.hold {
            options = options.agreeing(Arc::clone(hold) as Arc<dyn Agree>);
        }
        Ok(match self.audit.require_witness {
            Some(count) => options.require_witnesses(count),
            None => options,
        })
    }

    /// The public keys of this log and of those of earlier years, retired ones too.
    pub(crate) fn log_keys(&self) -> Result<Keyring, DomainError> {
        log_keys(&self.path(""))
    }

    /// The public keys of the log that is written now, retired ones too.
    pub(crate) fn log_trust(&self) -> Result<Trust, DomainError> {
        Ok(self.log_keys()?.current().clone())
    }

    /// Puts public keys in front of those that are handed out; the others stay.
    pub(crate) fn add_log_keys(&self, first: &[String]) -> Result<(), DomainError> {
        let io = |e: std::io::Error| DomainError::io("keys/log.vkey", &e);
        let path = self.key_path("log.vkey");
        let text = fs::read_to_string(&path).map_err(io)?;
        let older = text.lines().map(str::trim).filter(|line| !line.is_empty() && !first.iter().any(|key| key == line));
        let lines: Vec<&str> = first.iter().map(String::as_str).chain(older).collect();
        replace(&path, lines.join("\n") + "\n").map_err(io)
    }

    /// Replaces the log's key: a new one signs from now on, the old one signs as well until [`Home::end_overlap`].
    pub(crate) fn rotate(&self, old: SigningKey, at_millis: i64) -> Result<Rotation, DomainError> {
        if self.key_path("log.previous.key").exists() {
            let refusal = Refusal::new("key/overlap", "上一次更换尚未结束", "the last replacement is not over yet")
                .hint("请先运行 yunei audit end-overlap", "run yunei audit end-overlap first");
            return Err(refusal.into());
        }
        if self.key_path("log.successor.key").exists() {
            let refusal =
                Refusal::new("key/sealing", "本年度日志的封存尚未完成", "the sealing of this log is not over")
                    .hint("请先再次运行 yunei audit seal", "run yunei audit seal again first");
            return Err(refusal.into());
        }
        let retired = old.verifying_key();
        SigningKey::generate(old.name())?.save(&self.key_path("log.next.key"))?;
        let next = self.finish_rotation(old, at_millis)?.verifying_key();
        Ok(Rotation { next, retired })
    }

    /// Finishes a replacement that is under way, whatever point a process that was killed had reached. Gives the key that
    /// signs now.
    ///
    /// The order: the new key is on disk; the log has an entry `log/key` under both signatures; the list of public keys has
    /// both; the old key becomes the previous one; the new one takes its place.
    pub(crate) fn finish_rotation(&self, key: SigningKey, at_millis: i64) -> Result<SigningKey, DomainError> {
        let (current, next, previous) =
            (self.key_path("log.key"), self.key_path("log.next.key"), self.key_path("log.previous.key"));
        if !next.exists() {
            return Ok(key);
        }
        let next_key = SigningKey::load(&next)?;
        let io = |e: std::io::Error| DomainError::io("keys", &e);
        if !self.is_logged(&key, &next_key)? {
            let entry = key_entry(&key.verifying_key(), &next_key.verifying_key(), at_millis)?;
            // Loaded again: a key is not cloned.
            let log = self.log_options(key)?.also_sign(SigningKey::load(&next)?)?.open(&self.path("log"))?;
            log.append(entry)?;
            log.close()?;
        }
        self.add_log_keys(&[next_key.verifying_key().to_string()])?;
        // A second name for the old key first: at no moment is there no current one.
        if !previous.exists() {
            fs::hard_link(&current, &previous).map_err(io)?;
        }
        fs::rename(&next, &current).map_err(io)?;
        sync_folder(&self.path("keys")).map_err(io)?;
        Ok(next_key)
    }

    /// Whether the replacement of `old` by `next` is in the log already.
    fn is_logged(&self, old: &SigningKey, next: &SigningKey) -> Result<bool, DomainError> {
        let trust = Trust::new(old.verifying_key()).retired(next.verifying_key());
        let archive = Archive::open(&self.path("log"), &trust)?;
        let wanted = next.verifying_key().to_string();
        // It is the last entry, or nearly: a domain finishes a replacement before it does anything else.
        for item in archive.entries(archive.size().saturating_sub(256)..archive.size()) {
            let (_, entry) = item?;
            let names = entry.fields().get("next").and_then(Value::as_str) == Some(wanted.as_str());
            if entry.kind() == KEY_KIND && names {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends the overlap: the previous key is removed from the disk and signs nothing more. What it signed verifies for ever.
    pub(crate) fn end_overlap(&self) -> Result<bool, DomainError> {
        let path = self.key_path("log.previous.key");
        if !path.exists() {
            return Ok(false);
        }
        self.wipe_key("log.previous.key")?;
        Ok(true)
    }

    /// Removes a private key from the disk, where it is.
    pub(crate) fn wipe_key(&self, name: &str) -> Result<(), DomainError> {
        let path = self.key_path(name);
        if !path.exists() {
            return Ok(());
        }
        let io = |e: std::io::Error| DomainError::io("keys", &e);
        // Over the old bytes first, as far as the file system keeps them in place.
        let length = fs::metadata(&path).map_err(io)?.len();
        let mut file = File::options().write(true).open(&path).map_err(io)?;
        file.write_all(&vec![b'0'; usize::try_from(length).unwrap_or(0)]).and_then(|()| file.sync_all()).map_err(io)?;
        fs::remove_file(&path).and_then(|()| sync_folder(&self.path("keys"))).map_err(io)
    }
}

/// The public keys of the logs of a home.
pub(crate) fn log_keys(home: &Path) -> Result<Keyring, DomainError> {
    let text = fs::read_to_string(home.join("keys/log.vkey")).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => DomainError::NotFound(
            Refusal::new("home/absent", "这里没有域的公钥", "there is no domain's public key here")
                .hint("用 --key 指明公钥", "name the public key with --key"),
        ),
        _ => DomainError::io("keys/log.vkey", &e),
    })?;
    Keyring::parse(&text).map_err(|_| {
        let refusal = Refusal::new("home/malformed", "keys/log.vkey 损坏", "keys/log.vkey is damaged");
        DomainError::Unavailable(refusal)
    })
}

fn key_entry(retired: &VerifyingKey, next: &VerifyingKey, at_millis: i64) -> Result<Entry, LogError> {
    let mut fields = Map::new();
    fields.insert("next".into(), next.to_string().into());
    fields.insert("retired".into(), retired.to_string().into());
    Ok(Entry::new(KEY_KIND, at_millis, fields)?)
}

/// Replaces a file whole, durably.
pub(crate) fn replace(path: &Path, text: String) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

impl crate::Domain {
    /// Replaces the key that signs the log of the home in `root`, which nobody may have open. The log gets an entry under
    /// both signatures; from then on both sign, until [`crate::Domain::end_key_overlap`]. For whoever keeps the machine.
    ///
    /// # Errors
    /// `home/busy`, `key/overlap` where the last replacement is not over, and what is wrong with keys or log.
    pub fn rotate_log_key(root: &Path, clock: &crate::Clock) -> Result<Rotation, DomainError> {
        let (mut home, key) = Home::open(root)?;
        home.hold_store()?;
        let key = home.finish_sealing(home.finish_rotation(key, clock())?, clock())?;
        home.rotate(key, clock())
    }

    /// Ends the overlap of a replaced key: the old one signs nothing more and is removed. Whether there was one.
    ///
    /// # Errors
    /// `home/busy`, and what is wrong with keys or disk.
    pub fn end_key_overlap(root: &Path, clock: &crate::Clock) -> Result<bool, DomainError> {
        let (mut home, key) = Home::open(root)?;
        home.hold_store()?;
        home.finish_sealing(home.finish_rotation(key, clock())?, clock())?;
        home.end_overlap()
    }
}
