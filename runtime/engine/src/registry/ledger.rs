//! The privacy ledger: a charge holds in every scope or in none, is durable before the data is opened, and is never
//! given back.

use super::digest::Digest;
use super::error::StoreError;
use super::outbox::AuditEntry;
use super::runs::advance;
use super::states::RunState;
use super::store::{Store, Tx};
use std::collections::HashSet;
use yunei_policy::{Refusal, Refused};

/// At most how many lines a charge has.
pub const MAX_LINES: usize = 256;

/// What a charge costs in one scope, and what may be spent there in all. Units are the caller's (fixed point); none is
/// negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The scope, e.g. `dataset/residents/1`; 1 to 512 characters, each scope once in a charge.
    pub scope_key: String,
    /// The cost in ρ.
    pub rho: i64,
    /// The cost in δ.
    pub delta: i64,
    /// At most how much ρ may be spent in the scope, this charge included.
    pub limit_rho: i64,
    /// At most how much δ may be spent in the scope, this charge included.
    pub limit_delta: i64,
}

/// A charge for an authorised run.
#[derive(Clone, Copy)]
pub struct Charge<'a> {
    /// The run.
    pub run: &'a str,
    /// The digest of the question, where it was not known when the run began.
    pub question: Option<Digest>,
    /// The seed of the run's noise, kept for replay.
    pub seed: Option<[u8; 32]>,
    /// The lines; none for a run that spends nothing.
    pub lines: &'a [Line],
}

impl std::fmt::Debug for Charge<'_> {
    // Whoever knows the seed can subtract the noise.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charge").field("run", &self.run).field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// What is spent in a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The scope.
    pub scope_key: String,
    /// ρ spent.
    pub rho: i64,
    /// δ spent.
    pub delta: i64,
}

/// A charge that is durable. Made by [`Store::charge`] alone.
#[derive(Debug)]
pub struct Charged {
    run: String,
    balances: Vec<Balance>,
}

impl Charged {
    /// The run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// What is spent in the charge's scopes, this charge included, in the order of its lines.
    pub fn balances(&self) -> &[Balance] {
        &self.balances
    }
}

/// Why a run's grant does not bear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantFault {
    /// It is not approved (any more).
    NotApproved,
    /// It does not hold at this time.
    OutsidePeriod,
    /// All its runs are used.
    NoRunsLeft,
}

/// A charge that does not hold; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRefusal {
    /// The scopes that it would exhaust, in the order of its lines.
    pub exhausted: Vec<String>,
    /// What is wrong with the run's grant.
    pub grant: Option<GrantFault>,
}

impl LedgerRefusal {
    /// The refusal for people.
    pub fn to_refused(&self) -> Refused {
        let scopes = self.exhausted.iter().map(|scope| {
            Refusal::new("budget/exhausted", "隐私预算不足", "the privacy budget does not bear this run")
                .at(scope.clone())
                .hint("降低 epsilon，或等待新的预算周期", "ask for a smaller epsilon, or wait for the next epoch")
        });
        let grant = self.grant.map(|fault| match fault {
            GrantFault::NotApproved => {
                Refusal::new("grant/not-approved", "授权已中止或失效", "the grant is not in force")
            }
            GrantFault::OutsidePeriod => {
                Refusal::new("grant/outside-period", "不在授权期限内", "the grant does not hold at this time")
            }
            GrantFault::NoRunsLeft => {
                Refusal::new("grant/no-runs-left", "授权次数已用完", "all the runs of the grant are used")
            }
        });
        let none = || Refusal::new("budget/exhausted", "隐私预算不足", "the privacy budget does not bear this run");
        Refused::from_reasons(scopes.chain(grant).collect()).unwrap_or_else(|| none().into())
    }
}

/// Why there is no charge.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// It does not hold.
    #[error("the charge does not hold")]
    Refused(LedgerRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ChargeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn check(charge: &Charge<'_>) -> Result<(), StoreError> {
    let mut scopes = HashSet::with_capacity(charge.lines.len());
    let fine = charge.lines.len() <= MAX_LINES
        && charge.lines.iter().all(|line| {
            (1..=512).contains(&line.scope_key.chars().count())
                && scopes.insert(line.scope_key.as_str())
                && [line.rho, line.delta, line.limit_rho, line.limit_delta].iter().all(|n| *n >= 0)
        });
    if fine { Ok(()) } else { Err(StoreError::Limit("charge")) }
}

impl Store {
    /// Charges an authorised run: in one transaction every line holds, one run of its grant is reserved, its seed is kept
    /// and it becomes `charged`; or nothing is written at all. Never given back.
    ///
    /// # Errors
    /// [`ChargeError::Refused`] with all the scopes that do not bear it; [`StoreError::Halted`] where something that the run
    /// rests on was suspended, ended or withdrawn; [`StoreError::State`] where the run is not
    /// `authorised`; [`StoreError::Limit`] where a line is malformed.
    pub async fn charge(&self, charge: Charge<'_>, at: i64, audit: AuditEntry<'_>) -> Result<Charged, ChargeError> {
        check(&charge)?;
        let mut tx = self.begin().await?;
        let run = advance(&mut tx, charge.run, RunState::Charged, at).await?;
        let grant = match &run.grant {
            Some(grant) => reserve(&mut tx, grant, at).await?,
            None => None,
        };
        let mut balances = Vec::with_capacity(charge.lines.len());
        let mut exhausted = Vec::new();
        for line in charge.lines {
            match bear(&mut tx, line).await? {
                Some(balance) => balances.push(balance),
                None => exhausted.push(line.scope_key.clone()),
            }
        }
        if !exhausted.is_empty() || grant.is_some() {
            tx.rollback().await?;
            return Err(ChargeError::Refused(LedgerRefusal { exhausted, grant }));
        }
        super::standing::check(&mut tx, &run).await?;
        for (line, balance) in charge.lines.iter().zip(&balances) {
            write(&mut tx, charge.run, line, balance, at).await?;
        }
        if let Some(question) = charge.question {
            sqlx::query("UPDATE runs SET question = $1 WHERE id = $2")
                .bind(question.to_string())
                .bind(charge.run)
                .execute(&mut *tx)
                .await?;
        }
        if let Some(seed) = charge.seed {
            sqlx::query("INSERT INTO seeds (run_id, seed) VALUES ($1, $2)")
                .bind(charge.run)
                .bind(seed.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        Self::commit(tx, audit).await?;
        Ok(Charged { run: run.id, balances })
    }

    /// What is spent in a scope; zero where nothing was.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn spent(&self, scope_key: &str) -> Result<(i64, i64), StoreError> {
        let spent = sqlx::query_as("SELECT rho, delta FROM spent WHERE scope_key = $1")
            .bind(scope_key)
            .fetch_optional(&self.read)
            .await?;
        Ok(spent.unwrap_or((0, 0)))
    }

    /// What the last charge in a scope cost; `None` where there was none.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn last_charge(&self, scope_key: &str) -> Result<Option<(i64, i64)>, StoreError> {
        let last = sqlx::query_as("SELECT rho, delta FROM ledger WHERE scope_key = $1 ORDER BY at DESC LIMIT 1")
            .bind(scope_key)
            .fetch_optional(&self.read)
            .await?;
        Ok(last)
    }

    /// What is spent in every scope where something was, by scope.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn spent_all(&self) -> Result<Vec<Balance>, StoreError> {
        let rows =
            sqlx::query_as::<_, (String, i64, i64)>("SELECT scope_key, rho, delta FROM spent ORDER BY scope_key")
                .fetch_all(&self.read)
                .await?;
        Ok(rows.into_iter().map(|(scope_key, rho, delta)| Balance { scope_key, rho, delta }).collect())
    }
}

/// What would be spent with this line; `None` where its limits do not bear it.
async fn bear(tx: &mut Tx, line: &Line) -> Result<Option<Balance>, StoreError> {
    let spent: Option<(i64, i64)> = sqlx::query_as("SELECT rho, delta FROM spent WHERE scope_key = $1")
        .bind(&line.scope_key)
        .fetch_optional(&mut **tx)
        .await?;
    let (rho, delta) = spent.unwrap_or((0, 0));
    let within = |spent: i64, cost: i64, limit: i64| spent.checked_add(cost).filter(|sum| *sum <= limit);
    let sums = within(rho, line.rho, line.limit_rho).zip(within(delta, line.delta, line.limit_delta));
    Ok(sums.map(|(rho, delta)| Balance { scope_key: line.scope_key.clone(), rho, delta }))
}

async fn write(tx: &mut Tx, run: &str, line: &Line, balance: &Balance, at: i64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO ledger (run_id, scope_key, rho, delta, at) VALUES ($1, $2, $3, $4, $5)")
        .bind(run)
        .bind(&line.scope_key)
        .bind(line.rho)
        .bind(line.delta)
        .bind(at)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO spent (scope_key, rho, delta) VALUES ($1, $2, $3)
         ON CONFLICT (scope_key) DO UPDATE SET rho = excluded.rho, delta = excluded.delta",
    )
    .bind(&line.scope_key)
    .bind(balance.rho)
    .bind(balance.delta)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reserves one run of a grant; the fault where it does not bear one.
async fn reserve(tx: &mut Tx, grant: &str, at: i64) -> Result<Option<GrantFault>, StoreError> {
    let row: Option<(String, i64, i64, Option<i64>, i64)> =
        sqlx::query_as("SELECT state, from_millis, until_millis, max_runs, used_runs FROM grants WHERE id = $1")
            .bind(grant)
            .fetch_optional(&mut **tx)
            .await?;
    let (state, from, until, max, used) = row.ok_or(StoreError::Damaged("a run's grant is gone"))?;
    if state != "approved" {
        return Ok(Some(GrantFault::NotApproved));
    }
    if at < from || at >= until {
        return Ok(Some(GrantFault::OutsidePeriod));
    }
    if max.is_some_and(|max| used >= max) {
        return Ok(Some(GrantFault::NoRunsLeft));
    }
    sqlx::query("UPDATE grants SET used_runs = used_runs + 1 WHERE id = $1").bind(grant).execute(&mut **tx).await?;
    Ok(None)
}
