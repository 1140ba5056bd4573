//! What stands: states moved with a reason, what a run rests on, and the check of all of it inside a change.
//!
//! A run is checked in the very transaction that charges it and in the one that releases it. Writers follow one another, so
//! that after a suspension is committed nothing that rests on it can be charged or released.

use super::error::{Kind, StoreError};
use super::outbox::AuditEntry;
use super::runs::Run;
use super::shelf::{digest_from, state, unsigned};
use super::states::{RunState, next_state};
use super::store::{Store, Tx};
use super::{Digest, Subject};
use yunei_policy::words::State;

/// What a run reads or calls, at which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestsOn {
    /// `dataset` or `model`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
}

/// Something a run rests on that does not stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallen {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: State,
}

/// A released run that rested on something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rested {
    /// The run.
    pub run: String,
    /// To whom its release went.
    pub institution: String,
    /// Of which product.
    pub product: String,
    /// For what.
    pub purpose: String,
    /// When it was released.
    pub at: i64,
    /// The digest of the released file; a verification has none.
    pub file_digest: Option<Digest>,
}

/// A change of state and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// From where.
    pub from: State,
    /// To where.
    pub to: State,
    /// Why.
    pub reason: String,
    /// Who did it.
    pub by: String,
    /// When.
    pub at: i64,
}

/// A change that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewState<'a> {
    /// Of what.
    pub subject: &'a Subject,
    /// To where.
    pub to: State,
    /// Why; 1 to 2,000 characters.
    pub reason: &'a str,
    /// Who does it.
    pub by: &'a str,
}

impl Store {
    /// Moves something to another state and keeps the reason; gives the state that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`], [`StoreError::Limit`].
    pub async fn move_state(&self, new: NewState<'_>, at: i64, audit: AuditEntry<'_>) -> Result<State, StoreError> {
        if !(1..=2_000).contains(&new.reason.chars().count()) {
            return Err(StoreError::Limit("reason"));
        }
        let mut tx = self.begin().await?;
        let from = state_in(&mut tx, new.subject).await?;
        if !next_state(from, new.to) {
            return Err(StoreError::State {
                kind: new.subject.kind(),
                id: new.subject.id(),
                from: from.to_string(),
                to: new.to.to_string(),
            });
        }
        put_state(&mut tx, new.subject, new.to, at).await?;
        keep_change(&mut tx, &new, from, at).await?;
        Self::commit(tx, audit).await?;
        Ok(from)
    }

    /// The state of anything that has one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn state_of(&self, subject: &Subject) -> Result<State, StoreError> {
        let mut tx = self.look().await?;
        state_in(&mut tx, subject).await
    }

    /// The history of something's states, oldest first, at most 1,000.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn state_changes(&self, subject: &Subject) -> Result<Vec<StateChange>, StoreError> {
        let rows = sqlx::query_as::<_, (String, String, String, String, i64)>(
            "SELECT from_state, to_state, reason, changed_by, at FROM state_changes
             WHERE kind = $1 AND subject = $2 ORDER BY seq LIMIT 1000",
        )
        .bind(subject.word())
        .bind(subject.id())
        .fetch_all(&self.read)
        .await?;
        rows.into_iter()
            .map(|(from, to, reason, by, at)| Ok(StateChange { from: state(&from)?, to: state(&to)?, reason, by, at }))
            .collect()
    }

    /// Keeps what an authorised run rests on, before it is charged. No audit entry is its own: its charge and its receipt
    /// name the same versions.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the run; [`StoreError::State`] where it is not `authorised` any more;
    /// [`StoreError::Limit`] for more than 1,000 sources.
    pub async fn rest_on(&self, run: &str, sources: &[RestsOn]) -> Result<(), StoreError> {
        if sources.len() > 1_000 {
            return Err(StoreError::Limit("sources"));
        }
        let mut tx = self.begin().await?;
        let found = super::runs::run_in(&mut tx, run).await?;
        if found.state != RunState::Authorised {
            let (from, to) = (found.state.to_string(), RunState::Authorised.to_string());
            return Err(StoreError::State { kind: Kind::Run, id: run.to_owned(), from, to });
        }
        for source in sources {
            sqlx::query(
                "INSERT INTO run_sources (run_id, kind, id, version) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(run)
            .bind(source.kind)
            .bind(&source.id)
            .bind(&source.version)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The released runs that rested on a subject, newest first, at most `limit`. A release that was given again later
    /// stands once, under the run that made it.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn rested_on(&self, subject: &Subject, limit: u32) -> Result<Vec<Rested>, StoreError> {
        const SELECT: &str = "SELECT r.id, r.institution, r.product, r.purpose, r.changed_at, f.file_digest
             FROM runs r LEFT JOIN releases f ON f.run_id = r.id WHERE r.state = 'released' AND ";
        const ORDER: &str = " ORDER BY r.seq DESC LIMIT $1";
        let (condition, keys): (&str, Vec<String>) = match subject {
            Subject::Institution(id) => ("r.institution = $2", vec![id.clone()]),
            Subject::Product(id) => ("r.product = $2", vec![id.clone()]),
            Subject::Grant(id) => ("r.grant_id = $2", vec![id.clone()]),
            Subject::Dataset(id) => (
                "EXISTS (SELECT 1 FROM run_sources s WHERE s.run_id = r.id AND s.kind = 'dataset' AND s.id = $2)",
                vec![id.clone()],
            ),
            Subject::Version { dataset: id, number } => (
                "EXISTS (SELECT 1 FROM run_sources s
                 WHERE s.run_id = r.id AND s.kind = 'dataset' AND s.id = $2 AND s.version = $3)",
                vec![id.clone(), number.to_string()],
            ),
            Subject::Model { id, version } => (
                "EXISTS (SELECT 1 FROM run_sources s
                 WHERE s.run_id = r.id AND s.kind = 'model' AND s.id = $2 AND s.version = $3)",
                vec![id.clone(), version.clone()],
            ),
        };
        // Put together from constants alone.
        let sql = format!("{SELECT}{condition}{ORDER}");
        let mut query =
            sqlx::query_as::<_, (String, String, String, String, i64, Option<String>)>(sqlx::AssertSqlSafe(sql))
                .bind(i64::from(limit));
        for key in keys {
            query = query.bind(key);
        }
        let rows = query.fetch_all(&self.read).await?;
        let mut rested = rows
            .into_iter()
            .map(|(run, institution, product, purpose, at, file)| {
                let file_digest = file.map(|d| digest_from(&d)).transpose()?;
                Ok(Rested { run, institution, product, purpose, at, file_digest })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        rested.extend(self.verifications_on(subject, limit).await?);
        rested.sort_by_key(|r| std::cmp::Reverse(r.at));
        rested.truncate(limit as usize);
        Ok(rested)
    }

    /// Whether the files of a version that is to be registered are those of one that was suspended or withdrawn: the
    /// number of that version. A version does not come back by being registered again.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn stopped_twin(
        &self,
        dataset: &str,
        files: &[crate::catalogue::FileEntry],
    ) -> Result<Option<u64>, StoreError> {
        let rows = sqlx::query_as::<_, (i64, String)>(
            "SELECT v.number, v.files FROM dataset_versions v
             JOIN version_states s ON s.dataset = v.dataset AND s.number = v.number
             WHERE v.dataset = $1 AND s.state <> 'approved' ORDER BY v.number",
        )
        .bind(dataset)
        .fetch_all(&self.read)
        .await?;
        for (number, text) in rows {
            let there: Vec<crate::catalogue::FileEntry> =
                serde_json::from_str(&text).map_err(|_| StoreError::Damaged("a list of files is malformed"))?;
            if there.iter().map(|f| f.sha256()).eq(files.iter().map(|f| f.sha256())) {
                return unsigned(number).map(Some);
            }
        }
        Ok(None)
    }
}

/// Checks that everything that a run rests on stands, within the change that charges or releases it.
///
/// # Errors
/// [`StoreError::Halted`] with all that does not.
pub(super) async fn check(tx: &mut Tx, run: &Run) -> Result<(), StoreError> {
    let mut subjects = vec![Subject::Institution(run.institution.clone()), Subject::Product(run.product.clone())];
    subjects.extend(run.grant.clone().map(Subject::Grant));
    let sources = sqlx::query_as::<_, (String, String, String)>(
        "SELECT kind, id, version FROM run_sources WHERE run_id = $1 ORDER BY kind, id, version",
    )
    .bind(&run.id)
    .fetch_all(&mut **tx)
    .await?;
    for (kind, id, version) in sources {
        if kind == "dataset" {
            let number = version.parse().map_err(|_| StoreError::Damaged("a version's number is malformed"))?;
            subjects.push(Subject::Dataset(id.clone()));
            subjects.push(Subject::Version { dataset: id, number });
        } else {
            subjects.push(Subject::Model { id, version });
        }
    }
    let mut fallen = Vec::new();
    for subject in &subjects {
        match state_in(tx, subject).await {
            // A holder may hand in a changed entry while a run goes on: that stops no run that was authorised before.
            Ok(State::Approved | State::Submitted | State::Declined) => {}
            Ok(state) => fallen.push(Fallen { kind: subject.kind(), id: subject.id(), state }),
            Err(other) => return Err(other),
        }
    }
    fallen.extend(withdrawn_consents(tx, run).await?);
    if fallen.is_empty() { Ok(()) } else { Err(StoreError::Halted(fallen)) }
}

/// The datasets of a run whose holder took back the consent to its product.
async fn withdrawn_consents(tx: &mut Tx, run: &Run) -> Result<Vec<Fallen>, StoreError> {
    let rows = sqlx::query_scalar::<_, String>(
        "SELECT c.dataset FROM consents c JOIN products p ON p.id = c.product AND p.toml_digest = c.digest
         WHERE c.product = $1 AND c.verdict <> 'given'
         AND c.seq = (SELECT max(l.seq) FROM consents l
                      WHERE l.product = c.product AND l.digest = c.digest AND l.dataset = c.dataset)
         ORDER BY c.dataset",
    )
    .bind(&run.product)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|id| Fallen { kind: Kind::Consent, id, state: State::Retired }).collect())
}

/// The state within a change.
pub(super) async fn state_in(tx: &mut Tx, subject: &Subject) -> Result<State, StoreError> {
    let absent = || StoreError::absent(subject.kind(), subject.id());
    let one = |sql: &'static str, id: &str| sqlx::query_scalar::<_, String>(sql).bind(id.to_owned());
    let found = match subject {
        Subject::Institution(id) => one("SELECT state FROM institutions WHERE id = $1", id),
        Subject::Dataset(id) => one("SELECT state FROM datasets WHERE id = $1", id),
        Subject::Product(id) => one("SELECT state FROM products WHERE id = $1", id),
        Subject::Grant(id) => one("SELECT state FROM grants WHERE id = $1", id),
        Subject::Model { id, version } => {
            one("SELECT state FROM models WHERE id = $1 AND version = $2", id).bind(version.clone())
        }
        Subject::Version { dataset, number } => one(
            "SELECT coalesce(s.state, 'approved') FROM dataset_versions v
             LEFT JOIN version_states s ON s.dataset = v.dataset AND s.number = v.number
             WHERE v.dataset = $1 AND v.number = $2",
            dataset,
        )
        .bind(i64::try_from(*number).unwrap_or(i64::MAX)),
    };
    let word = found.fetch_optional(&mut **tx).await?.ok_or_else(absent)?;
    let found = state(&word)?;
    let declined = found == State::Submitted && super::lifecycle::is_declined(tx, subject).await?;
    Ok(if declined { State::Declined } else { found })
}

pub(super) async fn put_state(tx: &mut Tx, subject: &Subject, to: State, at: i64) -> Result<(), StoreError> {
    let update = |sql: &'static str| sqlx::query(sql).bind(to.to_string()).bind(at);
    let query = match subject {
        Subject::Institution(id) => {
            update("UPDATE institutions SET state = $1, changed_at = $2 WHERE id = $3").bind(id.clone())
        }
        Subject::Dataset(id) => {
            update("UPDATE datasets SET state = $1, changed_at = $2 WHERE id = $3").bind(id.clone())
        }
        Subject::Product(id) => {
            update("UPDATE products SET state = $1, changed_at = $2 WHERE id = $3").bind(id.clone())
        }
        Subject::Grant(id) => update("UPDATE grants SET state = $1, changed_at = $2 WHERE id = $3").bind(id.clone()),
        Subject::Model { id, version } => {
            update("UPDATE models SET state = $1, changed_at = $2 WHERE id = $3 AND version = $4")
                .bind(id.clone())
                .bind(version.clone())
        }
        Subject::Version { dataset, number } => update(
            "INSERT INTO version_states (state, changed_at, dataset, number) VALUES ($1, $2, $3, $4)
             ON CONFLICT (dataset, number) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at",
        )
        .bind(dataset.clone())
        .bind(i64::try_from(*number).unwrap_or(i64::MAX)),
    };
    query.execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn keep_change(tx: &mut Tx, new: &NewState<'_>, from: State, at: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO state_changes (kind, subject, from_state, to_state, reason, changed_by, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.subject.word())
    .bind(new.subject.id())
    .bind(from.to_string())
    .bind(new.to.to_string())
    .bind(new.reason)
    .bind(new.by)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
