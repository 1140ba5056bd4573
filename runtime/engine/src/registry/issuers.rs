//! Issuers of consent in the store.

use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::shelf::{bounded, state, stateful};
use super::store::{Stateful, Store};
use yunei_policy::words::{State, Text};

/// Who may sign consents, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The id of its key (`kid`).
    pub kid: String,
    /// Its name.
    pub title: Text,
    /// `EdDSA` or `ES256`: the one algorithm of this key.
    pub algorithm: String,
    /// The public key: 32 bytes of Ed25519, or the 65 of an uncompressed point on P-256.
    pub public_key: Vec<u8>,
    /// Where it stands.
    pub state: State,
}

type IssuerRow = (String, String, String, String, Vec<u8>, String);

fn issuer((kid, zh, en, algorithm, public_key, word): IssuerRow) -> Result<Issuer, StoreError> {
    Ok(Issuer { kid, title: Text::new(zh, en), algorithm, public_key, state: state(&word)? })
}

impl Store {
    /// Adds an issuer, approved: nobody but the authority adds one.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Limit`].
    pub async fn add_issuer(&self, new: &Issuer, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        check_id("issuer id", &new.kid)?;
        bounded("issuer title", &new.title.zh, 2_000)?;
        bounded("issuer title", &new.title.en, 2_000)?;
        let mut tx = self.begin().await?;
        let added = sqlx::query(
            "INSERT INTO consent_issuers (kid, title_zh, title_en, algorithm, public_key, state, created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, 'approved', $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(&new.kid)
        .bind(&new.title.zh)
        .bind(&new.title.en)
        .bind(&new.algorithm)
        .bind(&new.public_key)
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Issuer, &new.kid));
        }
        Self::commit(tx, audit).await
    }

    /// All issuers, by the id of their key.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn issuers(&self) -> Result<Vec<Issuer>, StoreError> {
        sqlx::query_as::<_, IssuerRow>(
            "SELECT kid, title_zh, title_en, algorithm, public_key, state FROM consent_issuers ORDER BY kid",
        )
        .fetch_all(&self.read)
        .await?
        .into_iter()
        .map(issuer)
        .collect()
    }

    /// Moves an issuer to a state; gives the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn set_issuer_state(
        &self,
        kid: &str,
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        stateful!(Kind::Issuer, "consent_issuers", "kid").change(self, &[kid], to, at, audit).await
    }
}
