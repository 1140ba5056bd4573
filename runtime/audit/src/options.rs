//! How a log is opened: its keys, and its witnesses.

use std::path::Path;
use std::sync::Arc;

use crate::key::{KeyError, SigningKey, VerifyingKey};
use crate::lock::Agree;
use crate::log::Log;
use crate::note::Signature;
use crate::trust::Trust;
use crate::witness::{Witness, Witnesses};
use crate::{Entry, LogError, Position};

/// The keys that sign a log's checkpoints. All have the same name, the log's origin.
#[derive(Debug)]
pub(crate) struct Signers {
    keys: Vec<SigningKey>,
    #[cfg(feature = "sm")]
    sm: Vec<crate::sm::SmSigningKey>,
}

impl Signers {
    pub(crate) fn one(key: SigningKey) -> Self {
        Self {
            keys: vec![key],
            #[cfg(feature = "sm")]
            sm: Vec::new(),
        }
    }

    pub(crate) fn origin(&self) -> &str {
        self.primary().name()
    }

    pub(crate) fn primary(&self) -> &SigningKey {
        // INVARIANT: `one` is the only constructor, and nothing takes a key away.
        &self.keys[0]
    }

    pub(crate) fn sign(&self, text: &str) -> Vec<Signature> {
        let lines = self.keys.iter().map(|key| key.sign(text));
        #[cfg(feature = "sm")]
        let lines = lines.chain(self.sm.iter().map(|key| key.sign(text)));
        lines.collect()
    }

    /// Whose checkpoints are our own.
    pub(crate) fn trust(&self) -> Trust {
        let mut trust = Trust::new(self.primary().verifying_key());
        for key in &self.keys[1..] {
            // INVARIANT: `Options::also_sign` takes keys of the same name only.
            trust = trust.retired(key.verifying_key());
        }
        trust
    }
}

/// How to create or open a log. [`Log::create`] and [`Log::open`] are the short forms.
#[derive(Debug)]
pub struct Options {
    signers: Signers,
    witnesses: Witnesses,
    agree: Option<Arc<dyn Agree>>,
}

impl Options {
    /// A log that this key signs.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        Self { signers: Signers::one(key), witnesses: Witnesses::default(), agree: None }
    }

    /// Signs with a second key as well: while a key is being replaced, checkpoints carry a line of
    /// the old key and one of the new, so that holders of either verify them.
    ///
    /// # Errors
    /// [`KeyError::Name`] when the key has another name, [`KeyError::Form`] when there are three already.
    pub fn also_sign(mut self, key: SigningKey) -> Result<Self, KeyError> {
        if key.name() != self.signers.origin() {
            return Err(KeyError::Name);
        }
        if self.signers.keys.len() >= 3 {
            return Err(KeyError::Form);
        }
        self.signers.keys.push(key);
        Ok(self)
    }

    /// Adds a signature with SM2 and SM3 (GB/T 32918, GB/T 32905) to every checkpoint.
    ///
    /// # Errors
    /// [`KeyError::Name`] when the key has another name, [`KeyError::Form`] when there is one already.
    #[cfg(feature = "sm")]
    pub fn sign_sm(mut self, key: crate::sm::SmSigningKey) -> Result<Self, KeyError> {
        if key.name() != self.signers.origin() {
            return Err(KeyError::Name);
        }
        if !self.signers.sm.is_empty() {
            return Err(KeyError::Form);
        }
        self.signers.sm.push(key);
        Ok(self)
    }

    /// Adds a witness. All that are added are required, unless [`Options::require_witnesses`] says less.
    #[must_use]
    pub fn witness(mut self, witness: Witness) -> Self {
        self.witnesses.add(witness);
        self
    }

    /// How many witnesses must have cosigned before an append counts. More than there are can never
    /// be met, and nothing is appended then. With 0 the witnesses are asked once, at the start.
    #[must_use]
    pub fn require_witnesses(mut self, count: usize) -> Self {
        self.witnesses.set_required(count);
        self
    }

    /// A second place has to agree before a checkpoint counts, and decides; see [`Agree`].
    #[must_use]
    pub fn agreeing(mut self, with: Arc<dyn Agree>) -> Self {
        self.agree = Some(with);
        self
    }

    /// Makes a new log; see [`Log::create`].
    ///
    /// # Errors
    /// Those of [`Log::create`] and [`Options::open`].
    pub fn create(self, dir: &Path) -> Result<Log, LogError> {
        crate::log::make(dir, &self.signers)?;
        self.open(dir)
    }

    /// Opens a log; see [`Log::open`].
    ///
    /// # Errors
    /// Those of [`Log::open`], [`LogError::Unwitnessed`] when too few witnesses answer, and
    /// [`LogError::Disagree`] when one has seen more of this log than there is.
    pub fn open(self, dir: &Path) -> Result<Log, LogError> {
        Log::start(dir, self.signers, self.witnesses, self.agree)
    }
}

/// Replaces a log's key. Appends an entry `log/key` that names both keys, under a checkpoint that
/// both have signed; from then on the log opens with the new one. Checkpoints and receipts signed
/// before verify with the old one for ever: keep its public half in the [`Trust`].
///
/// # Errors
/// [`LogError::Key`] when the names differ or the old key does not sign this log, and those of
/// [`Log::open`] and [`Log::append`].
pub fn rotate(dir: &Path, old: SigningKey, new: SigningKey, at_millis: i64) -> Result<Position, LogError> {
    let mut fields = serde_json::Map::new();
    fields.insert("next".into(), new.verifying_key().to_string().into());
    fields.insert("retired".into(), old.verifying_key().to_string().into());
    let entry = Entry::new("log/key", at_millis, fields)?;
    let log = Options::new(old).also_sign(new).map_err(|_| LogError::Key)?.open(dir)?;
    let position = log.append(entry)?;
    log.close()?;
    Ok(position)
}

/// What a key says in a list of a log's keys.
pub(crate) fn same_log(keys: &[VerifyingKey], key: &VerifyingKey) -> bool {
    keys.iter().all(|other| other.name() == key.name())
}
