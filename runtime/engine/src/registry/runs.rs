//! Runs and what they released.

use super::digest::Digest;
use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::shelf::{digest_from, institution_there};
use super::standing;
use super::states::RunState;
use super::store::{Store, Tx};

/// At most how long a release's JSON or a receipt is, in bytes.
const MAX_RELEASE: usize = 16 << 20;

/// A run that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: &'a str,
    /// Which institution asks.
    pub institution: &'a str,
    /// For which product.
    pub product: &'a str,
    /// For which purpose.
    pub purpose: &'a str,
    /// Under which grant; a run without one is not counted against any.
    pub grant: Option<&'a str>,
    /// The digest of the question, where it is known already.
    pub question: Option<Digest>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Which institution asked.
    pub institution: String,
    /// For which product.
    pub product: String,
    /// For which purpose.
    pub purpose: String,
    /// Under which grant.
    pub grant: Option<String>,
    /// The digest of the question.
    pub question: Option<Digest>,
    /// Where it stands.
    pub state: RunState,
    /// When it began.
    pub at: i64,
    /// When its state last changed.
    pub changed_at: i64,
}

/// What is released of a run. The result's file is in the file store already.
#[derive(Debug, Clone, Copy)]
pub struct NewRelease<'a> {
    /// The run.
    pub run: &'a str,
    /// The question that it answers.
    pub question: Digest,
    /// The digest of the result's file.
    pub file_digest: Digest,
    /// The release, as JSON.
    pub release: &'a str,
}

/// What was released of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The question that it answers.
    pub question: Digest,
    /// The run.
    pub run: String,
    /// The digest of the result's file.
    pub file_digest: Digest,
    /// The release, as JSON.
    pub release: String,
    /// The receipt, once there is one.
    pub receipt: Option<String>,
    /// When it was released.
    pub at: i64,
}

type RunRow = (String, String, String, String, Option<String>, Option<String>, String, i64, i64);

macro_rules! select_run {
    ($rest:literal) => {
        concat!("SELECT id, institution, product, purpose, grant_id, question, state, at, changed_at FROM runs ", $rest)
    };
}

fn run((id, institution, product, purpose, grant, question, word, at, changed_at): RunRow) -> Result<Run, StoreError> {
    Ok(Run {
        id,
        institution,
        product,
        purpose,
        grant,
        question: question.map(|d| digest_from(&d)).transpose()?,
        state: RunState::from_word(&word).ok_or(StoreError::Damaged("a run's state is not a known word"))?,
        at,
        changed_at,
    })
}

/// The run as it stands within a change.
pub(super) async fn run_in(tx: &mut Tx, id: &str) -> Result<Run, StoreError> {
    sqlx::query_as::<_, RunRow>(select_run!("WHERE id = $1"))
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?
        .map(run)
        .ok_or_else(|| StoreError::absent(Kind::Run, id))?
}

/// Moves a run on, within a change.
pub(super) async fn advance(tx: &mut Tx, id: &str, to: RunState, at: i64) -> Result<Run, StoreError> {
    let mut run = run_in(tx, id).await?;
    if !run.state.may_become(to) {
        return Err(StoreError::State {
            kind: Kind::Run,
            id: id.to_owned(),
            from: run.state.to_string(),
            to: to.to_string(),
        });
    }
    sqlx::query("UPDATE runs SET state = $1, changed_at = $2 WHERE id = $3")
        .bind(to.as_str())
        .bind(at)
        .bind(id)
        .execute(&mut **tx)
        .await?;
    (run.state, run.changed_at) = (to, at);
    Ok(run)
}

type ReleaseRow = (String, String, String, String, Option<String>, i64);

fn release((question, run, file, release, receipt, at): ReleaseRow) -> Result<Release, StoreError> {
    Ok(Release { question: digest_from(&question)?, run, file_digest: digest_from(&file)?, release, receipt, at })
}

/// Records a release within a change.
pub(super) async fn add_release(tx: &mut Tx, new: NewRelease<'_>, at: i64) -> Result<(), StoreError> {
    if new.release.len() > MAX_RELEASE {
        return Err(StoreError::Limit("release"));
    }
    let run = advance(tx, new.run, RunState::Released, at).await?;
    standing::check(tx, &run).await?;
    let added = sqlx::query(
        "INSERT INTO releases (question, run_id, file_digest, release, at, seq)
         VALUES ($1, $2, $3, $4, $5, (SELECT coalesce(max(seq), 0) + 1 FROM releases))
         ON CONFLICT DO NOTHING",
    )
    .bind(new.question.to_string())
    .bind(new.run)
    .bind(new.file_digest.to_string())
    .bind(new.release)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    if added.rows_affected() == 0 {
        return Err(StoreError::exists(Kind::Release, new.question.to_string()));
    }
    Ok(())
}

impl Store {
    /// Records that a run begins, authorised.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::NotFound`] for the institution or the grant; [`StoreError::Limit`].
    pub async fn begin_run(&self, new: NewRun<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        self.add_run(new, RunState::Authorised, at, audit).await
    }

    /// Records a run that policy refuses from the start.
    ///
    /// # Errors
    /// As [`Self::begin_run`].
    pub async fn refused_run(&self, new: NewRun<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        self.add_run(new, RunState::Refused, at, audit).await
    }

    async fn add_run(
        &self,
        new: NewRun<'_>,
        state: RunState,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        check_id("run id", new.id)?;
        check_id("run product", new.product)?;
        check_id("run purpose", new.purpose)?;
        let mut tx = self.begin().await?;
        institution_there(&mut tx, new.institution).await?;
        if let Some(grant) = new.grant {
            let holder = sqlx::query_scalar::<_, String>("SELECT institution FROM grants WHERE id = $1")
                .bind(grant)
                .fetch_optional(&mut *tx)
                .await?
                .ok_or_else(|| StoreError::absent(Kind::Grant, grant))?;
            if holder != new.institution {
                return Err(StoreError::Owner { kind: Kind::Grant, id: grant.to_owned() });
            }
        }
        let added = sqlx::query(
            "INSERT INTO runs (id, institution, product, purpose, grant_id, question, state, at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
        )
        .bind(new.id)
        .bind(new.institution)
        .bind(new.product)
        .bind(new.purpose)
        .bind(new.grant)
        .bind(new.question.map(|d| d.to_string()))
        .bind(state.as_str())
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Run, new.id));
        }
        Self::commit(tx, audit).await
    }

    /// An executed verification has its answer: `released`, without a file.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where it is not `executed`; [`StoreError::Halted`].
    pub async fn finish_verification(&self, id: &str, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let run = advance(&mut tx, id, RunState::Released, at).await?;
        standing::check(&mut tx, &run).await?;
        Self::commit(tx, audit).await
    }

    /// Moves a run to `executed`, `failed` or `refused`. Charging and releasing have methods of their own.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`]; [`StoreError::Limit`] for another state; [`StoreError::Halted`]
    /// where a release is to be given again that rests on what does not stand.
    pub async fn set_run_state(
        &self,
        id: &str,
        to: RunState,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        if !matches!(to, RunState::Executed | RunState::Failed | RunState::Refused | RunState::Repeated) {
            return Err(StoreError::Limit("run state"));
        }
        let mut tx = self.begin().await?;
        let run = advance(&mut tx, id, to, at).await?;
        if to == RunState::Repeated {
            standing::check(&mut tx, &run).await?;
        }
        Self::commit(tx, audit).await
    }

    /// A run asks what was asked before: it is given the recorded release, and remembers by its question which.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`].
    pub async fn repeat_run(
        &self,
        id: &str,
        question: &Digest,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        advance(&mut tx, id, RunState::Repeated, at).await?;
        sqlx::query("UPDATE runs SET question = $1 WHERE id = $2")
            .bind(question.to_string())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        Self::commit(tx, audit).await
    }

    /// A page of runs, newest first: of one institution or of all, those before the run `before` where one is named.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn runs_page(
        &self,
        institution: Option<&str>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let rows = sqlx::query_as::<_, RunRow>(select_run!(
            "WHERE ($1 IS NULL OR institution = $1) AND ($2 IS NULL OR seq < (SELECT seq FROM runs WHERE id = $2))
             ORDER BY seq DESC LIMIT $3"
        ))
        .bind(institution)
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(run).collect()
    }

    /// A run.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn run(&self, id: &str) -> Result<Run, StoreError> {
        sqlx::query_as::<_, RunRow>(select_run!("WHERE id = $1"))
            .bind(id)
            .fetch_optional(&self.read)
            .await?
            .map(run)
            .ok_or_else(|| StoreError::absent(Kind::Run, id))?
    }

    /// The newest runs, at most `limit`, newest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>, StoreError> {
        let rows = sqlx::query_as::<_, RunRow>(select_run!("ORDER BY seq DESC LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.into_iter().map(run).collect()
    }

    /// The runs that are not over: after a crash, those that it broke off. Oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn unfinished_runs(&self) -> Result<Vec<Run>, StoreError> {
        sqlx::query_as::<_, RunRow>(select_run!("WHERE state IN ('authorised', 'charged', 'executed') ORDER BY seq"))
            .fetch_all(&self.read)
            .await?
            .into_iter()
            .map(run)
            .collect()
    }

    /// The seed of a run, where it was charged with one.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn seed(&self, run: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let seed = sqlx::query_scalar::<_, Vec<u8>>("SELECT seed FROM seeds WHERE run_id = $1")
            .bind(run)
            .fetch_optional(&self.read)
            .await?;
        seed.map(|s| s.try_into().map_err(|_| StoreError::Damaged("a seed is not 32 bytes"))).transpose()
    }

    /// Records what an executed run releases; the run is then released.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where the question was answered meanwhile: give the recorded release instead;
    /// [`StoreError::Halted`] where what the run rests on does not stand any more;
    /// [`StoreError::NotFound`]; [`StoreError::State`]; [`StoreError::Limit`].
    pub async fn record_release(&self, new: NewRelease<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        add_release(&mut tx, new, at).await?;
        Self::commit(tx, audit).await
    }

    /// Puts the receipt beside a release. It proves entries that stand in the log already, and makes none of its own;
    /// putting the same receipt again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Exists`] where there is another one; [`StoreError::Limit`].
    pub async fn record_receipt(&self, run: &str, receipt: &str) -> Result<(), StoreError> {
        if receipt.len() > MAX_RELEASE {
            return Err(StoreError::Limit("receipt"));
        }
        let mut tx = self.begin().await?;
        let there = sqlx::query_scalar::<_, Option<String>>("SELECT receipt FROM releases WHERE run_id = $1")
            .bind(run)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::absent(Kind::Release, run))?;
        match there {
            Some(same) if same == receipt => return Ok(()),
            Some(_) => return Err(StoreError::exists(Kind::Release, run)),
            None => {}
        }
        sqlx::query("UPDATE releases SET receipt = $1 WHERE run_id = $2")
            .bind(receipt)
            .bind(run)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The recorded answer of a question.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn release(&self, question: &Digest) -> Result<Option<Release>, StoreError> {
        sqlx::query_as::<_, ReleaseRow>(
            "SELECT question, run_id, file_digest, release, receipt, at FROM releases WHERE question = $1",
        )
        .bind(question.to_string())
        .fetch_optional(&self.read)
        .await?
        .map(release)
        .transpose()
    }

    /// What a run released.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn release_of(&self, run: &str) -> Result<Option<Release>, StoreError> {
        sqlx::query_as::<_, ReleaseRow>(
            "SELECT question, run_id, file_digest, release, receipt, at FROM releases WHERE run_id = $1",
        )
        .bind(run)
        .fetch_optional(&self.read)
        .await?
        .map(release)
        .transpose()
    }
}
