//! Signing keys in the store, and which use a request began.

use super::digest::Digest;
use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::shelf::{bounded, digest_from, institution_there};
use super::store::{Store, Tx};
use super::tokens::MAX_LABEL;

/// How long an idempotency key is remembered, milliseconds: 30 days.
const REMEMBERED: i64 = 30 * 86_400_000;

/// A key that an institution signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// The SHA-256 of the public key.
    pub id: Digest,
    /// The public key, Ed25519 (RFC 8032).
    pub public_key: [u8; 32],
    /// Whose it is.
    pub institution: String,
    /// What people call it.
    pub label: String,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added_at: i64,
    /// Since when nothing signed with it is taken.
    pub retired_at: Option<i64>,
}

/// The signed statement with which a model is handed in.
#[derive(Debug, Clone, Copy)]
pub struct ModelSignature {
    /// The key.
    pub key: Digest,
    /// The digest of the envelope, which is in the file store already.
    pub statement: Digest,
}

/// What became of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is new, and belongs to the run that was named.
    New,
    /// The same was asked under it before; this is the run.
    Same(String),
    /// Something else was asked under it before.
    Other,
}

type KeyRow = (String, String, String, String, String, i64, Option<i64>);

macro_rules! select_key {
    ($rest:literal) => {
        concat!("SELECT id, public_key, institution, label, added_by, added_at, retired_at FROM signing_keys ", $rest)
    };
}

fn key(
    (id, public, institution, label, added_by, added_at, retired_at): KeyRow,
) -> Result<SigningKeyRecord, StoreError> {
    let mut public_key = [0; 32];
    hex::decode_to_slice(&public, &mut public_key).map_err(|_| StoreError::Damaged("a key is malformed"))?;
    Ok(SigningKeyRecord { id: digest_from(&id)?, public_key, institution, label, added_by, added_at, retired_at })
}

impl Store {
    /// Keeps a signing key.
    ///
    /// # Errors
    /// [`StoreError::Exists`], whosever it is; [`StoreError::NotFound`]; [`StoreError::Limit`].
    pub async fn add_signing_key(
        &self,
        public_key: &[u8; 32],
        institution: &str,
        label: &str,
        added_by: &str,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<Digest, StoreError> {
        bounded("key label", label, MAX_LABEL)?;
        let id = Digest::of(public_key);
        let mut tx = self.begin().await?;
        institution_there(&mut tx, institution).await?;
        let added = sqlx::query(
            "INSERT INTO signing_keys (id, public_key, institution, label, added_by, added_at)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(id.to_string())
        .bind(hex::encode(public_key))
        .bind(institution)
        .bind(label)
        .bind(added_by)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::SigningKey, id.to_string()));
        }
        Self::commit(tx, audit).await?;
        Ok(id)
    }

    /// A signing key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn signing_key(&self, id: &Digest) -> Result<SigningKeyRecord, StoreError> {
        sqlx::query_as::<_, KeyRow>(select_key!("WHERE id = $1"))
            .bind(id.to_string())
            .fetch_optional(&self.read)
            .await?
            .map(key)
            .ok_or_else(|| StoreError::absent(Kind::SigningKey, id.to_string()))?
    }

    /// The signing keys of an institution; those of all where none is named.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn signing_keys(&self, institution: Option<&str>) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let rows = match institution {
            Some(one) => sqlx::query_as::<_, KeyRow>(select_key!("WHERE institution = $1 ORDER BY id")).bind(one),
            None => sqlx::query_as::<_, KeyRow>(select_key!("ORDER BY id")),
        };
        rows.fetch_all(&self.read).await?.into_iter().map(key).collect()
    }

    /// Nothing that is signed with this key is taken any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where it is retired already.
    pub async fn retire_signing_key(&self, id: &Digest, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let text = id.to_string();
        let mut tx = self.begin().await?;
        let retired = sqlx::query_scalar::<_, Option<i64>>("SELECT retired_at FROM signing_keys WHERE id = $1")
            .bind(&text)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::absent(Kind::SigningKey, &text))?;
        if retired.is_some() {
            let (from, to) = ("retired".to_owned(), "retired".to_owned());
            return Err(StoreError::State { kind: Kind::SigningKey, id: text, from, to });
        }
        sqlx::query("UPDATE signing_keys SET retired_at = $1 WHERE id = $2")
            .bind(at)
            .bind(&text)
            .execute(&mut *tx)
            .await?;
        Self::commit(tx, audit).await
    }

    /// Keeps a model's signature, within the change that hands the model in.
    pub(super) async fn add_model_signature(
        tx: &mut Tx,
        model: &str,
        version: &str,
        signature: ModelSignature,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO model_signatures (model, version, key_id, statement) VALUES ($1, $2, $3, $4)")
            .bind(model)
            .bind(version)
            .bind(signature.key.to_string())
            .bind(signature.statement.to_string())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// The key that a model was signed with and the digest of the statement.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn model_signature(&self, model: &str, version: &str) -> Result<Option<(Digest, Digest)>, StoreError> {
        let row = sqlx::query_as::<_, (String, String)>(
            "SELECT key_id, statement FROM model_signatures WHERE model = $1 AND version = $2",
        )
        .bind(model)
        .bind(version)
        .fetch_optional(&self.read)
        .await?;
        row.map(|(key, statement)| Ok((digest_from(&key)?, digest_from(&statement)?))).transpose()
    }

    /// Ties an idempotency key of an institution to a run, where it is not tied yet.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the institution; [`StoreError::Limit`].
    pub async fn claim(
        &self,
        institution: &str,
        name: &str,
        request: &Digest,
        run: &str,
        at: i64,
    ) -> Result<Claim, StoreError> {
        check_id("idempotency key", name)?;
        check_id("run id", run)?;
        let mut tx = self.begin().await?;
        institution_there(&mut tx, institution).await?;
        sqlx::query("DELETE FROM idempotency_keys WHERE at < $1")
            .bind(at.saturating_sub(REMEMBERED))
            .execute(&mut *tx)
            .await?;
        let there = sqlx::query_as::<_, (String, String)>(
            "SELECT request, run_id FROM idempotency_keys WHERE institution = $1 AND name = $2",
        )
        .bind(institution)
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some((asked, run)) = there {
            return Ok(if asked == request.to_string() { Claim::Same(run) } else { Claim::Other });
        }
        sqlx::query(
            "INSERT INTO idempotency_keys (institution, name, request, run_id, at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(institution)
        .bind(name)
        .bind(request.to_string())
        .bind(run)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Claim::New)
    }
}
