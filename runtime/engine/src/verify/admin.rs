//! Indexes, as those see them who run a domain: made ahead of time, and held against the Parquet files.

use super::index::{IndexKey, Wanted};
use super::source::read_subjects;
use super::standing::{not_verification, place};
use crate::dates::format_instant;
use crate::domain::Domain;
use crate::error::DomainError;
use crate::product::Body;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use yunei_policy::authorise::{Action, Resource};

/// An index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IndexView {
    /// The product.
    pub product: String,
    /// The dataset's version.
    pub version: u64,
    /// As of when the data is.
    pub as_of: String,
    /// How many subjects it has.
    pub subjects: u64,
    /// How many bytes it takes on the disk.
    pub bytes: u64,
}

/// An index held against the Parquet files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IndexAudit {
    /// The product.
    pub product: String,
    /// The dataset's version.
    pub version: u64,
    /// Rows of the files that name a subject.
    pub rows: u64,
    /// Subjects of the index.
    pub subjects: u64,
    /// Rows that were looked up.
    pub sampled: u64,
    /// Of those, rows whose answer is not the one that the row itself gives.
    pub differing: u64,
    /// Made-up subjects that were looked up, and found.
    pub found_absent: u64,
}

impl IndexAudit {
    /// Whether the index says what the files say.
    pub fn is_sound(&self) -> bool {
        self.rows == self.subjects && self.differing == 0 && self.found_absent == 0
    }
}

/// Rows that are to be looked up.
#[derive(Default)]
struct Sample {
    wanted: Vec<(Wanted, bool)>,
    absent: Vec<Wanted>,
    rows: u64,
}

impl Domain {
    /// Makes the index of a product's newest dataset version where it is not there; `progress` is told rows done and in all.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the product has none.
    pub async fn build_index(
        &self,
        actor: &str,
        product: &str,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<IndexView, DomainError> {
        self.authorise(actor, Action::ReadAudit, Resource::Domain).await?;
        let standing = self.verifying.standing(self).await?;
        let standing = match self.verifying.is_stale(self, &standing).await? {
            true => self.verifying.renew(self, &standing).await?,
            false => standing,
        };
        let asked = match standing.asked(product) {
            Some(asked) => asked,
            None => {
                let (record, product) = self.product_record(product).await?;
                standing.load(self, record, product, progress).await?
            }
        };
        let origin = asked.index.origin();
        Ok(IndexView {
            product: product.to_owned(),
            version: origin.version,
            as_of: format_instant(origin.as_of),
            subjects: asked.index.len(),
            bytes: asked.index.bytes(),
        })
    }

    /// Samples an index against the Parquet files: about `sample` rows are spelled and judged anew and looked up, and as many
    /// subjects that there are not.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the product has none.
    pub async fn audit_index(&self, actor: &str, product: &str, sample: u64) -> Result<IndexAudit, DomainError> {
        let view = self.build_index(actor, product, |_, _| {}).await?;
        let (_, parsed) = self.product_record(product).await?;
        let Body::Verification(verification) = parsed.body() else { return Err(not_verification().into()) };
        let resolved = self.resolve(&parsed).await?;
        let resolution = Arc::new(super::resolve(verification, &resolved.sources, &self.rules)?);
        let (id, number, _) = resolved.versions.first().ok_or_else(DomainError::run_failed)?;
        let version = self.store.dataset_version(id, *number).await?;
        let (_, key, _) = place(self, &parsed, &resolved, &version);
        let taken = self.sample_subjects(&resolved, &resolution, key, sample, version.rows).await?;
        let standing = self.verifying.standing(self).await?;
        let asked = standing.asked(product).ok_or_else(DomainError::run_failed)?;
        let mut audit = IndexAudit {
            product: product.to_owned(),
            version: view.version,
            rows: taken.rows,
            subjects: view.subjects,
            sampled: 0,
            differing: 0,
            found_absent: 0,
        };
        for (wanted, holds) in &taken.wanted {
            let found = asked.index.look_up(wanted);
            audit.sampled += 1;
            audit.differing += u64::from(!bool::from(found.known) || bool::from(found.holds) != *holds);
        }
        for wanted in &taken.absent {
            audit.found_absent += u64::from(bool::from(asked.index.look_up(wanted).known));
        }
        let fields = [
            ("product", product.into()),
            ("sampled", audit.sampled.into()),
            ("differing", audit.differing.into()),
            ("sound", audit.is_sound().into()),
            ("by", actor.into()),
        ];
        let note = self.note("verification.index-audited", fields)?;
        self.store.note(note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(audit)
    }

    async fn sample_subjects(
        &self,
        resolved: &crate::domain::Resolved,
        resolution: &Arc<super::check::Resolution>,
        key: [u8; 32],
        sample: u64,
        rows: u64,
    ) -> Result<Sample, DomainError> {
        // Each row is taken with the same probability, by a keyed digest that nobody can foresee.
        let share = u64::try_from(u128::from(u64::MAX) * u128::from(sample.min(rows)) / u128::from(rows.max(1)));
        let share = share.unwrap_or(u64::MAX);
        let seed = crate::home::random_seed()?;
        let (index, pick) = (IndexKey::new(&key), ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &seed));
        let taken = Arc::new(Mutex::new(Sample::default()));
        let seen = Arc::new(AtomicU64::new(0));
        let (into, count) = (Arc::clone(&taken), Arc::clone(&seen));
        read_subjects(&resolved.sources, resolution, &self.runtime, move |subjects, _| {
            count.fetch_add(subjects.len() as u64, Ordering::Relaxed);
            for subject in subjects {
                let tag = ring::hmac::sign(&pick, &subject.identity);
                let word = u64::from_le_bytes(std::array::from_fn(|i| tag.as_ref()[i]));
                if word > share {
                    continue;
                }
                let unit = subject.unit.as_bytes();
                let absent = index.wanted(&[subject.identity.as_slice(), b"?"].concat(), unit, &subject.asked);
                let wanted = index.wanted(&subject.identity, unit, &subject.asked);
                let mut taken = into.lock().unwrap_or_else(PoisonError::into_inner);
                taken.wanted.push((wanted, subject.holds));
                taken.absent.push(absent);
            }
            Ok(())
        })
        .await
        .map_err(|_| DomainError::run_failed())?;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.rows = seen.load(Ordering::Relaxed);
        Ok(std::mem::take(&mut *taken))
    }
}
