//! Whom a verifier believes.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{KeyError, VerifyingKey};
use crate::keyring::Keyring;
use crate::options::same_log;
use crate::sm_key::{Sm2Key, Sm2Status};
use crate::witness::WitnessKey;

/// The keys of one log, past and present, and the witnesses a verifier asks for.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<VerifyingKey>,
    sm2: Vec<Sm2Key>,
    witnesses: Vec<WitnessKey>,
    quorum: Option<usize>,
}

/// The most keys of a list that is read.
const MAX_KEYS: usize = 64;

impl Trust {
    /// Reads a list of keys of one log, as [`Keyring::parse`] does for several.
    ///
    /// # Errors
    /// Those of [`Keyring::parse`], [`KeyError::Form`] beyond 64 keys, and [`KeyError::Name`] where two keys are of different
    /// logs.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let ring = Keyring::parse(text)?;
        let [trust] = ring.logs() else { return Err(KeyError::Name) };
        if trust.keys.len() + trust.witnesses.len() + trust.sm2.len() > MAX_KEYS {
            return Err(KeyError::Form);
        }
        Ok(trust.clone())
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        // INVARIANT: `new` takes a key, and nothing takes one away.
        self.keys[0].name()
    }

    /// The keys of the log, the one that signs now first.
    #[must_use]
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// The witnesses that are known.
    #[must_use]
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// Believes this key of a log, and asks for no witness.
    #[must_use]
    pub fn new(key: VerifyingKey) -> Self {
        Self { keys: vec![key], sm2: Vec::new(), witnesses: Vec::new(), quorum: None }
    }

    /// Also believes a retired key of the same log. A key of another log is ignored: it could never
    /// sign a checkpoint of this one.
    #[must_use]
    pub fn retired(mut self, key: VerifyingKey) -> Self {
        if same_log(&self.keys, &key) && !self.keys.contains(&key) {
            self.keys.push(key);
        }
        self
    }

    /// Also knows an SM2 key of the log. It is asked for nowhere, but a line of it that does not verify spoils a checkpoint,
    /// and [`Trust::sm2`] says what there is. A key of another log is ignored.
    #[must_use]
    pub fn sm2_key(mut self, key: Sm2Key) -> Self {
        if key.name() == self.origin() && !self.sm2.contains(&key) {
            self.sm2.push(key);
        }
        self
    }

    /// The SM2 keys that are known.
    #[must_use]
    pub fn sm2_keys(&self) -> &[Sm2Key] {
        &self.sm2
    }

    /// What a checkpoint has of the SM2 keys that are known.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`] where a line of one does not verify.
    pub fn sm2(&self, checkpoint: &Checkpoint) -> Result<Sm2Status, CheckpointError> {
        let mut all = self.sm2.iter().map(|key| key.status(checkpoint)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by_key(|status| match status {
            Sm2Status::Verified => 0,
            Sm2Status::NotChecked => 1,
            Sm2Status::Absent => 2,
            Sm2Status::NoKey => 3,
        });
        Ok(all.first().copied().unwrap_or(Sm2Status::NoKey))
    }

    /// Knows a witness. All that are added are asked for, unless [`Trust::quorum`] says less.
    #[must_use]
    pub fn witness(mut self, key: WitnessKey) -> Self {
        if !self.witnesses.contains(&key) {
            self.witnesses.push(key);
        }
        self
    }

    /// How many of the witnesses must have cosigned.
    #[must_use]
    pub fn quorum(mut self, count: usize) -> Self {
        self.quorum = Some(count);
        self
    }

    /// Whether a key of the log signed this checkpoint and enough witnesses cosigned it. Gives the
    /// names of the witnesses that did.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`], [`CheckpointError::Witness`].
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<Vec<String>, CheckpointError> {
        self.check_log(checkpoint)?;
        let cosigned =
            |key: &&WitnessKey| checkpoint.signatures().iter().any(|line| key.cosigned(checkpoint.text(), line));
        let names: Vec<String> = self.witnesses.iter().filter(cosigned).map(|key| key.name().to_owned()).collect();
        if names.len() < self.quorum.unwrap_or(self.witnesses.len()) {
            return Err(CheckpointError::Witness);
        }
        Ok(names)
    }

    /// The log's own signature alone.
    pub(crate) fn check_log(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.sm2(checkpoint)?;
        let found: Vec<bool> = self.keys.iter().filter_map(|key| checkpoint.signature_of(key)).collect();
        // One line of a known key that does not verify spoils the note, however many others do.
        if checkpoint.origin() == self.origin() && !found.is_empty() && found.iter().all(|good| *good) {
            Ok(())
        } else {
            Err(CheckpointError::Signature)
        }
    }
}

impl From<VerifyingKey> for Trust {
    fn from(key: VerifyingKey) -> Self {
        Self::new(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn a_list_of_keys_at_its_limit_and_one_past_it() {
        let key = |n: u8| SigningKey::from_seed("a.example/log", [n; 32]).unwrap();
        let witness = WitnessKey::of(&SigningKey::from_seed("w.example", [9; 32]).unwrap());
        let text = format!("# 当前\n{}\n\n  {}\n{witness}\n", key(1).verifying_key(), key(2).verifying_key());
        let trust = Trust::parse(&text).unwrap();
        assert_eq!(trust.keys(), [key(1).verifying_key(), key(2).verifying_key()]);
        assert_eq!(trust.witnesses(), std::slice::from_ref(&witness));
        let other = SigningKey::from_seed("b.example/log", [3; 32]).unwrap().verifying_key();
        assert_eq!(Trust::parse(&format!("{text}{other}\n")).unwrap_err().code(), "key/name");
        assert_eq!(Trust::parse(&witness.to_string()).unwrap_err().code(), "key/form");
        assert_eq!(Trust::parse("").unwrap_err().code(), "key/form");
        assert_eq!(Trust::parse("no key").unwrap_err().code(), "key/form");
        let many = |n: u8| (0..n).map(|i| format!("{}\n", key(i).verifying_key())).collect::<String>();
        assert!(Trust::parse(&many(64)).is_ok());
        assert_eq!(Trust::parse(&many(65)).unwrap_err().code(), "key/form");
    }
}
