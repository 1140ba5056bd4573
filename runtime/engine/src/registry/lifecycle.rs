//! Decisions over what was handed in: approvals that register, declines with reasons, consents, terms.

use super::error::{Kind, StoreError};
use super::outbox::AuditEntry;
use super::shelf::{MAX_JSON, bounded, unsigned};
use super::standing::{NewState, keep_change, put_state, state_in};
use super::states::next_state;
use super::store::{Store, Tx};
use super::{Digest, Subject};
use yunei_policy::register::{RegisterRules, Term};
use yunei_policy::words::State;

/// A registration and its term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `dataset` or `product`.
    pub kind: String,
    /// Of what.
    pub subject: String,
    /// Its number.
    pub number: String,
    /// How long it holds.
    pub term: Term,
}

/// A holder's last word on a product over one of its datasets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The dataset.
    pub dataset: String,
    /// `given`, `refused` or `withdrawn`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: i64,
}

/// A holder's word that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewConsent<'a> {
    /// The product.
    pub product: &'a str,
    /// The digest of its manifest, which is what is consented to.
    pub digest: Digest,
    /// The datasets.
    pub datasets: &'a [String],
    /// `given`, `refused` or `withdrawn`.
    pub verdict: &'a str,
    /// Why; may be empty where it is given.
    pub reason: &'a str,
    /// Who says so.
    pub by: &'a str,
}

/// The agreement that a grant rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The digest of its document.
    pub digest: Digest,
    /// How long it lasts.
    pub term: Term,
}

/// Something that was handed in and waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// `institution`, `dataset`, `model` or `product`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Who handed it in.
    pub submitted_by: String,
    /// When.
    pub at: i64,
}

impl Store {
    /// Approves what was handed in; a dataset or a product is registered with it, unless its registration holds already.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn approve(
        &self,
        subject: &Subject,
        by: &str,
        rules: &RegisterRules,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<Option<Registration>, StoreError> {
        let mut tx = self.begin().await?;
        let from = state_in(&mut tx, subject).await?;
        if from != State::Submitted || !next_state(from, State::Approved) {
            let (from, to) = (from.to_string(), State::Approved.to_string());
            return Err(StoreError::State { kind: subject.kind(), id: subject.id(), from, to });
        }
        put_state(&mut tx, subject, State::Approved, at).await?;
        keep_change(&mut tx, &NewState { subject, to: State::Approved, reason: "", by }, from, at).await?;
        let registration = match subject {
            Subject::Dataset(_) | Subject::Product(_) => Some(register(&mut tx, subject, by, rules, false, at).await?),
            _ => None,
        };
        Self::commit(tx, audit).await?;
        Ok(registration)
    }

    /// Renews a registration, or makes the first one; gives it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Limit`] for anything but a dataset or a product.
    pub async fn renew(
        &self,
        subject: &Subject,
        by: &str,
        rules: &RegisterRules,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<Registration, StoreError> {
        if !matches!(subject, Subject::Dataset(_) | Subject::Product(_)) {
            return Err(StoreError::Limit("subject"));
        }
        let mut tx = self.begin().await?;
        state_in(&mut tx, subject).await?;
        let registration = register(&mut tx, subject, by, rules, true, at).await?;
        Self::commit(tx, audit).await?;
        Ok(registration)
    }

    /// Declines what was handed in, with every reason.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where it is not submitted; [`StoreError::Limit`] for no reasons.
    pub async fn decline(
        &self,
        subject: &Subject,
        reasons: &[String],
        by: &str,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        if !(1..=100).contains(&reasons.len()) {
            return Err(StoreError::Limit("reasons"));
        }
        let text = serde_json::to_string(reasons).map_err(|_| StoreError::Limit("reasons"))?;
        bounded("reasons", &text, MAX_JSON)?;
        let mut tx = self.begin().await?;
        let from = state_in(&mut tx, subject).await?;
        if from != State::Submitted {
            let (from, to) = (from.to_string(), State::Declined.to_string());
            return Err(StoreError::State { kind: subject.kind(), id: subject.id(), from, to });
        }
        let digest = handed_in(&mut tx, subject).await?;
        sqlx::query(
            "INSERT INTO declines (kind, subject, digest, reasons, by_whom, at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(subject.word())
        .bind(subject.id())
        .bind(digest)
        .bind(text)
        .bind(by)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        Self::commit(tx, audit).await
    }

    /// The reasons of the last decline of something, with who declined it and when.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn declined(&self, subject: &Subject) -> Result<Option<(Vec<String>, String, i64)>, StoreError> {
        let row = sqlx::query_as::<_, (String, String, i64)>(
            "SELECT reasons, by_whom, at FROM declines WHERE kind = $1 AND subject = $2 ORDER BY seq DESC LIMIT 1",
        )
        .bind(subject.word())
        .bind(subject.id())
        .fetch_optional(&self.read)
        .await?;
        row.map(|(reasons, by, at)| {
            let reasons = serde_json::from_str(&reasons).map_err(|_| StoreError::Damaged("reasons are malformed"))?;
            Ok((reasons, by, at))
        })
        .transpose()
    }

    /// Keeps a holder's word.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where the product was handed in anew meanwhile; [`StoreError::Limit`].
    pub async fn consent(&self, new: NewConsent<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        if new.reason.chars().count() > 2_000 || new.datasets.is_empty() {
            return Err(StoreError::Limit("consent"));
        }
        let mut tx = self.begin().await?;
        let subject = Subject::Product(new.product.to_owned());
        state_in(&mut tx, &subject).await?;
        let digest = new.digest.to_string();
        if handed_in(&mut tx, &subject).await? != digest {
            let (from, to) = ("another manifest".to_owned(), "consented".to_owned());
            return Err(StoreError::State { kind: Kind::Product, id: new.product.to_owned(), from, to });
        }
        for dataset in new.datasets {
            sqlx::query(
                "INSERT INTO consents (product, digest, dataset, verdict, reason, by_whom, at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(new.product)
            .bind(&digest)
            .bind(dataset)
            .bind(new.verdict)
            .bind(new.reason)
            .bind(new.by)
            .bind(at)
            .execute(&mut *tx)
            .await?;
        }
        Self::commit(tx, audit).await
    }

    /// The holders' last words on a product with this manifest, by dataset.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn consents(&self, product: &str, digest: &Digest) -> Result<Vec<Consent>, StoreError> {
        let rows = sqlx::query_as::<_, (String, String, String, String, i64)>(
            "SELECT dataset, verdict, reason, by_whom, at FROM consents c WHERE product = $1 AND digest = $2
             AND seq = (SELECT max(seq) FROM consents l
                        WHERE l.product = c.product AND l.digest = c.digest AND l.dataset = c.dataset)
             ORDER BY dataset",
        )
        .bind(product)
        .bind(digest.to_string())
        .fetch_all(&self.read)
        .await?;
        let rows = rows.into_iter();
        Ok(rows.map(|(dataset, verdict, reason, by, at)| Consent { dataset, verdict, reason, by, at }).collect())
    }

    /// The registration of a dataset or a product.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn registration(&self, subject: &Subject) -> Result<Option<Registration>, StoreError> {
        let mut tx = self.look().await?;
        registration_in(&mut tx, subject).await
    }

    /// The registrations of everything, by kind and subject.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn registrations(&self) -> Result<Vec<Registration>, StoreError> {
        let rows = sqlx::query_as::<_, RegistrationRow>(
            "SELECT kind, subject, number, from_millis, until_millis FROM registrations r
             WHERE seq = (SELECT max(seq) FROM registrations l WHERE l.kind = r.kind AND l.subject = r.subject)
             ORDER BY kind, subject",
        )
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(registration).collect())
    }

    /// Records the agreement that a grant rests on, or a renewed one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Limit`] where the term is empty.
    pub async fn agree(
        &self,
        grant: &str,
        agreement: Agreement,
        by: &str,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        if agreement.term.until_millis <= agreement.term.from_millis {
            return Err(StoreError::Limit("agreement"));
        }
        let mut tx = self.begin().await?;
        state_in(&mut tx, &Subject::Grant(grant.to_owned())).await?;
        sqlx::query(
            "INSERT INTO agreements (grant_id, digest, from_millis, until_millis, by_whom, at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(grant)
        .bind(agreement.digest.to_string())
        .bind(agreement.term.from_millis)
        .bind(agreement.term.until_millis)
        .bind(by)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        Self::commit(tx, audit).await
    }

    /// The agreement of a grant.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn agreement(&self, grant: &str) -> Result<Option<Agreement>, StoreError> {
        let row = sqlx::query_as::<_, (String, i64, i64)>(
            "SELECT digest, from_millis, until_millis FROM agreements WHERE grant_id = $1 ORDER BY seq DESC LIMIT 1",
        )
        .bind(grant)
        .fetch_optional(&self.read)
        .await?;
        row.map(|(digest, from_millis, until_millis)| {
            let digest = super::shelf::digest_from(&digest)?;
            Ok(Agreement { digest, term: Term { from_millis, until_millis } })
        })
        .transpose()
    }

    /// Everything that was handed in and is neither approved nor declined, oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        const QUERIES: [(&str, &str); 4] = [
            (
                "institution",
                "SELECT id, coalesce(added_by, ''), changed_at FROM institutions WHERE state = 'submitted'",
            ),
            ("dataset", "SELECT id, submitted_by, changed_at FROM datasets WHERE state = 'submitted'"),
            ("model", "SELECT id || '@' || version, submitted_by, changed_at FROM models WHERE state = 'submitted'"),
            ("product", "SELECT id, submitted_by, changed_at FROM products WHERE state = 'submitted'"),
        ];
        let mut waiting = Vec::new();
        let mut tx = self.look().await?;
        for (kind, sql) in QUERIES {
            for (id, submitted_by, at) in sqlx::query_as::<_, (String, String, i64)>(sql).fetch_all(&mut *tx).await? {
                let Some(subject) = Subject::read(kind, &id) else { continue };
                if state_in(&mut tx, &subject).await? == State::Submitted {
                    waiting.push(Waiting { kind, id, submitted_by, at });
                }
            }
        }
        waiting.sort_by(|a, b| (a.at, a.kind, &a.id).cmp(&(b.at, b.kind, &b.id)));
        Ok(waiting)
    }
}

type RegistrationRow = (String, String, String, i64, i64);

fn registration((kind, subject, number, from_millis, until_millis): RegistrationRow) -> Registration {
    Registration { kind, subject, number, term: Term { from_millis, until_millis } }
}

async fn registration_in(tx: &mut Tx, subject: &Subject) -> Result<Option<Registration>, StoreError> {
    let row = sqlx::query_as::<_, RegistrationRow>(
        "SELECT kind, subject, number, from_millis, until_millis FROM registrations
         WHERE kind = $1 AND subject = $2 ORDER BY seq DESC LIMIT 1",
    )
    .bind(subject.word())
    .bind(subject.id())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(registration))
}

/// Registers something within a change; what holds already is left as it is, unless it is to be renewed.
async fn register(
    tx: &mut Tx,
    subject: &Subject,
    by: &str,
    rules: &RegisterRules,
    renew: bool,
    at: i64,
) -> Result<Registration, StoreError> {
    let current = registration_in(tx, subject).await?;
    if let Some(there) = &current
        && !renew
        && there.term.until_millis > at
    {
        return Ok(there.clone());
    }
    let number = match &current {
        Some(there) => there.number.clone(),
        None => {
            let count =
                sqlx::query_scalar::<_, i64>("SELECT count(DISTINCT number) FROM registrations WHERE kind = $1")
                    .bind(subject.word())
                    .fetch_one(&mut **tx)
                    .await?;
            let letter = if matches!(subject, Subject::Dataset(_)) { 'D' } else { 'P' };
            rules.number(letter, unsigned(count)? + 1)
        }
    };
    let term = rules.registration(at, current.map(|c| c.term));
    sqlx::query(
        "INSERT INTO registrations (kind, subject, number, from_millis, until_millis, by_whom, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(subject.word())
    .bind(subject.id())
    .bind(&number)
    .bind(term.from_millis)
    .bind(term.until_millis)
    .bind(by)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(Registration { kind: subject.word().to_owned(), subject: subject.id(), number, term })
}

/// The digest of what was handed in, as declines and consents name it.
pub(super) async fn handed_in(tx: &mut Tx, subject: &Subject) -> Result<String, StoreError> {
    let absent = || StoreError::absent(subject.kind(), subject.id());
    let one = |sql: &'static str, id: &str| sqlx::query_scalar::<_, String>(sql).bind(id.to_owned());
    let found = match subject {
        Subject::Institution(id) => one("SELECT id FROM institutions WHERE id = $1", id),
        Subject::Dataset(id) => one(
            "SELECT spec_digest || '/' || (SELECT max(number) FROM dataset_versions WHERE dataset = d.id)
             FROM datasets d WHERE id = $1",
            id,
        ),
        Subject::Product(id) => one("SELECT toml_digest FROM products WHERE id = $1", id),
        Subject::Model { id, version } => {
            one("SELECT manifest_digest || '/' || wasm_digest FROM models WHERE id = $1 AND version = $2", id)
                .bind(version.clone())
        }
        Subject::Version { .. } | Subject::Grant(_) => return Err(StoreError::Limit("subject")),
    };
    found.fetch_optional(&mut **tx).await?.ok_or_else(absent)
}

/// Whether what was handed in is declined, within a change.
pub(super) async fn is_declined(tx: &mut Tx, subject: &Subject) -> Result<bool, StoreError> {
    if matches!(subject, Subject::Version { .. } | Subject::Grant(_)) {
        return Ok(false);
    }
    let digest = handed_in(tx, subject).await?;
    let found =
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM declines WHERE kind = $1 AND subject = $2 AND digest = $3")
            .bind(subject.word())
            .bind(subject.id())
            .bind(digest)
            .fetch_one(&mut **tx)
            .await?;
    Ok(found > 0)
}

impl Store {
    /// A state as it is shown: what is submitted and was declined is `declined`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn shown(&self, subject: &Subject, found: State) -> Result<State, StoreError> {
        if found != State::Submitted {
            return Ok(found);
        }
        let mut tx = self.look().await?;
        Ok(if is_declined(&mut tx, subject).await? { State::Declined } else { found })
    }
}
