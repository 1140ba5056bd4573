//! What a domain keeps for its verifications: the newest picture of the registry, the writer, its secrets.

use super::recorder::Recorder;
use super::standing::Standing;
use super::writer::Writer;
use super::{cut, subject_parts};
use crate::digest::sha256_parts;
use crate::domain::{Caller, Credential, Domain};
use crate::error::DomainError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tokio::sync::OnceCell;
use yunei_policy::words::UnitKind;

/// The state of a domain's verifications.
pub(crate) struct Verifying {
    salt: [u8; 32],
    standing: RwLock<Option<Arc<Standing>>>,
    renewing: tokio::sync::Mutex<()>,
    writer: OnceCell<Writer>,
    recorder: OnceLock<Recorder>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Verifying {
    /// Nothing is read and nothing started before the first verification.
    pub(crate) fn new(salt: [u8; 32]) -> Self {
        Self {
            salt,
            standing: RwLock::new(None),
            renewing: tokio::sync::Mutex::new(()),
            writer: OnceCell::new(),
            recorder: OnceLock::new(),
            turns: Mutex::default(),
        }
    }

    /// The newest picture that was taken.
    pub(super) async fn standing(&self, domain: &Domain) -> Result<Arc<Standing>, DomainError> {
        let there = self.standing.read().unwrap_or_else(PoisonError::into_inner).clone();
        match there {
            Some(standing) => Ok(standing),
            None => self.take(domain, None).await,
        }
    }

    /// A newer picture than `old`.
    pub(super) async fn renew(&self, domain: &Domain, old: &Arc<Standing>) -> Result<Arc<Standing>, DomainError> {
        self.take(domain, Some(old)).await
    }

    async fn take(&self, domain: &Domain, old: Option<&Arc<Standing>>) -> Result<Arc<Standing>, DomainError> {
        let _one_at_a_time = self.renewing.lock().await;
        let there = self.standing.read().unwrap_or_else(PoisonError::into_inner).clone();
        match there {
            Some(standing) if old.is_none_or(|old| !Arc::ptr_eq(old, &standing)) => Ok(standing),
            _ => {
                let standing = Arc::new(Standing::take(domain).await?);
                *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&standing));
                Ok(standing)
            }
        }
    }

    /// Who shows a credential. What an old picture has let in is asked again before it is charged.
    pub(crate) async fn admit(&self, domain: &Domain, shown: &Credential) -> Result<Arc<Caller>, DomainError> {
        self.standing(domain).await?.admit(domain, shown).await
    }

    /// Who shows a credential, under the picture that is the registry's own now: for answers that nothing is charged for.
    pub(crate) async fn admit_now(&self, domain: &Domain, shown: &Credential) -> Result<Arc<Caller>, DomainError> {
        let mut standing = self.standing(domain).await?;
        if self.is_stale(domain, &standing).await? {
            standing = self.renew(domain, &standing).await?;
        }
        standing.admit(domain, shown).await
    }

    /// Whether the registry has changed since the picture was taken.
    pub(super) async fn is_stale(&self, domain: &Domain, standing: &Standing) -> Result<bool, DomainError> {
        Ok(domain.store.generation().await? != standing.generation)
    }

    /// The writer, started with the first verification.
    pub(super) async fn writer(&self, domain: &Domain) -> Result<&Writer, DomainError> {
        let start = || {
            let rules = *domain.rules.verification();
            Writer::start(domain.store.clone(), rules, domain.now())
        };
        self.writer.get_or_try_init(start).await
    }

    /// Who puts the answers into the log; started with the first one.
    pub(super) fn recorder(&self) -> &Recorder {
        self.recorder.get_or_init(Recorder::start)
    }

    /// Returns when everything that is over is written.
    pub(crate) async fn flush(&self) {
        if let Some(writer) = self.writer.get() {
            writer.flush().await;
        }
    }

    /// Whose turn it is to make a product's index.
    pub(super) fn turn(&self, product: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(product.to_owned()).or_default())
    }

    /// The keyed digest of a subject.
    pub(super) fn subject(&self, kind: UnitKind, unit: &[u8]) -> String {
        cut(&self.salt, "yunei/subject/1", &subject_parts(kind, unit))
    }

    /// Another keyed digest.
    pub(super) fn keyed(&self, what: &str, parts: &[&[u8]]) -> String {
        cut(&self.salt, &format!("yunei/{what}/1"), parts)
    }

    /// The salt of one verification's commitments: two entries about one subject have nothing in common.
    pub(crate) fn run_salt(&self, run: &str) -> [u8; 32] {
        sha256_parts("yunei/run-salt/1", &[&self.salt, run.as_bytes()])
    }
}
