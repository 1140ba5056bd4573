//! Whom a verifier believes.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::VerifyingKey;
use crate::options::same_log;
use crate::witness::WitnessKey;

/// The keys of one log, past and present, and the witnesses a verifier asks for.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<VerifyingKey>,
    witnesses: Vec<WitnessKey>,
    quorum: Option<usize>,
}

impl Trust {
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
