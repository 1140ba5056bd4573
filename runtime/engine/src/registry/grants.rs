//! Grants in the store.

use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::records::{Grant, NewGrant};
use super::shelf::{digest_from, institution_there, state, stateful, there, unsigned};
use super::store::{Stateful, Store};
use yunei_policy::words::State;

type GrantRow = (String, String, String, String, i64, i64, Option<i64>, i64, Option<String>, String);

macro_rules! select_grant {
    ($rest:literal) => {
        concat!(
            "SELECT id, institution, product, purposes, from_millis, until_millis, max_runs, used_runs,
             agreement_digest, state FROM grants ",
            $rest
        )
    };
}

fn grant(row: GrantRow) -> Result<Grant, StoreError> {
    let (id, institution, product, purposes, from_millis, until_millis, max, used, agreement, word) = row;
    Ok(Grant {
        id,
        institution,
        product,
        purposes: serde_json::from_str(&purposes)
            .map_err(|_| StoreError::Damaged("a list of purposes is malformed"))?,
        from_millis,
        until_millis,
        max_runs: max.map(unsigned).transpose()?,
        used_runs: unsigned(used)?,
        agreement_digest: agreement.map(|d| digest_from(&d)).transpose()?,
        state: state(&word)?,
    })
}

impl Store {
    /// Adds a grant, approved: nobody but the authority gives one.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::NotFound`] for the institution or the product; [`StoreError::Limit`] where
    /// there are no purposes or more than 100, the period is empty, or a text is too long.
    pub async fn add_grant(&self, new: NewGrant<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        check_id("grant id", new.id)?;
        if !(1..=100).contains(&new.purposes.len()) {
            return Err(StoreError::Limit("grant purposes"));
        }
        for purpose in new.purposes {
            check_id("grant purpose", purpose)?;
        }
        if new.until_millis <= new.from_millis {
            return Err(StoreError::Limit("grant period"));
        }
        let max_runs = new.max_runs.map(i64::try_from).transpose().map_err(|_| StoreError::Limit("grant runs"))?;
        let purposes = serde_json::to_string(new.purposes).map_err(|_| StoreError::Limit("grant purposes"))?;
        let mut tx = self.begin().await?;
        institution_there(&mut tx, new.institution).await?;
        there(&mut tx, Kind::Product, "SELECT 1 FROM products WHERE id = $1", new.product).await?;
        let added = sqlx::query(
            "INSERT INTO grants (id, institution, product, purposes, from_millis, until_millis, max_runs,
             agreement_digest, state, created_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'approved', $9, $10)
             ON CONFLICT DO NOTHING",
        )
        .bind(new.id)
        .bind(new.institution)
        .bind(new.product)
        .bind(&purposes)
        .bind(new.from_millis)
        .bind(new.until_millis)
        .bind(max_runs)
        .bind(new.agreement_digest.map(|d| d.to_string()))
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Grant, new.id));
        }
        Self::commit(tx, audit).await
    }

    /// A grant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn grant(&self, id: &str) -> Result<Grant, StoreError> {
        sqlx::query_as::<_, GrantRow>(select_grant!("WHERE id = $1"))
            .bind(id)
            .fetch_optional(&self.read)
            .await?
            .map(grant)
            .ok_or_else(|| StoreError::absent(Kind::Grant, id))?
    }

    /// All grants, by id.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        let rows = sqlx::query_as::<_, GrantRow>(select_grant!("ORDER BY id")).fetch_all(&self.read).await?;
        rows.into_iter().map(grant).collect()
    }

    /// The grants of an institution for a product, in any state, oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn grants_of(&self, institution: &str, product: &str) -> Result<Vec<Grant>, StoreError> {
        sqlx::query_as::<_, GrantRow>(select_grant!("WHERE institution = $1 AND product = $2 ORDER BY created_at, id"))
            .bind(institution)
            .bind(product)
            .fetch_all(&self.read)
            .await?
            .into_iter()
            .map(grant)
            .collect()
    }

    /// Moves a grant to a state; gives the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn set_grant_state(
        &self,
        id: &str,
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        stateful!(Kind::Grant, "grants", "id").change(self, &[id], to, at, audit).await
    }
}
