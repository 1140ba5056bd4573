//! Whom a verifier believes.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{KeyError, VerifyingKey};
use crate::options::same_log;
use crate::witness::WitnessKey;

/// The keys of one log, past and present, and the witnesses a verifier asks for.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<VerifyingKey>,
    witnesses: Vec<WitnessKey>,
    quorum: Option<usize>,
}

/// The most keys of a list that is read.
const MAX_KEYS: usize = 64;

impl Trust {
    /// Reads a list of keys, one a line, as it is handed out: the keys of one log, the newest first, and the keys of
    /// witnesses. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`KeyError::Form`] where a line is no key, there is no key of a log or there are more than 64;
    /// [`KeyError::Name`] where two keys are of different logs.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (mut keys, mut witnesses) = (Vec::new(), Vec::new());
        for line in lines {
            if keys.len() + witnesses.len() == MAX_KEYS {
                return Err(KeyError::Form);
            }
            match line.parse::<VerifyingKey>() {
                Ok(key) => keys.push(key),
                Err(_) => witnesses.push(line.parse::<WitnessKey>()?),
            }
        }
        let first = keys.first().cloned().ok_or(KeyError::Form)?;
        if keys.iter().any(|key| key.name() != first.name()) {
            return Err(KeyError::Name);
        }
        let trust = keys.into_iter().skip(1).fold(Self::new(first), Self::retired);
        Ok(witnesses.into_iter().fold(trust, Self::witness))
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
        Self { keys: vec![key], witnesses: Vec::new(), quorum: None }
    }

    /// Also believes a retired key of the same log. A key of another log is ignored: it could never
    /// sign a checkpoint of this one.
    #[must_use]
    pub fn retired(mut self, key: VerifyingKey) -> Self {
        if same_log(&self.keys, &key) {
            self.keys.push(key);
        }
        self
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
        if self.keys.iter().any(|key| checkpoint.verify(key).is_ok()) {
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
