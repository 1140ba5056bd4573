//! Bearer tokens in the store: digests, never the tokens themselves.

use super::digest::Digest;
use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::shelf::{bounded, digest_from, institution_there};
use super::store::Store;
use yunei_policy::authorise::Scopes;

/// At most how long the label of a token or key is, in bytes.
pub(super) const MAX_LABEL: usize = 256;

/// A token that is issued.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// Its public id.
    pub id: &'a str,
    /// The digest of its secret.
    pub digest: Digest,
    /// Whose it is.
    pub institution: &'a str,
    /// What people call it.
    pub label: &'a str,
    /// What it is good for.
    pub scopes: &'a Scopes,
    /// The digest of the client certificate that has to come with it.
    pub certificate: Option<Digest>,
    /// Who issues it.
    pub issued_by: &'a str,
    /// Until when it is good, exclusive.
    pub expires_at: i64,
}

/// A token, without what makes it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public id.
    pub id: String,
    /// Whose it is.
    pub institution: String,
    /// What people call it.
    pub label: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// The digest of the client certificate that has to come with it.
    pub certificate: Option<Digest>,
    /// Who issued it.
    pub issued_by: String,
    /// When.
    pub issued_at: i64,
    /// Until when it is good, exclusive.
    pub expires_at: i64,
    /// Since when it is not good any more.
    pub revoked_at: Option<i64>,
}

type TokenRow = (String, String, String, String, Option<String>, String, i64, i64, Option<i64>);

macro_rules! select_token {
    ($rest:literal) => {
        concat!(
            "SELECT id, institution, label, scopes, certificate, issued_by, issued_at, expires_at, revoked_at FROM tokens ",
            $rest
        )
    };
}

fn token(row: TokenRow) -> Result<Token, StoreError> {
    let (id, institution, label, scopes, certificate, issued_by, issued_at, expires_at, revoked_at) = row;
    Ok(Token {
        id,
        institution,
        label,
        scopes: Scopes::parse(scopes.split(' ')).map_err(|_| StoreError::Damaged("a scope is not a known word"))?,
        certificate: certificate.map(|d| digest_from(&d)).transpose()?,
        issued_by,
        issued_at,
        expires_at,
        revoked_at,
    })
}

impl Store {
    /// Keeps a new token's digest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an institution; [`StoreError::Exists`]; [`StoreError::Limit`].
    pub async fn add_token(&self, new: NewToken<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        check_id("token id", new.id)?;
        bounded("token label", new.label, MAX_LABEL)?;
        if new.expires_at <= at {
            return Err(StoreError::Limit("token expiry"));
        }
        let mut tx = self.begin().await?;
        institution_there(&mut tx, new.institution).await?;
        institution_there(&mut tx, new.issued_by).await?;
        let added = sqlx::query(
            "INSERT INTO tokens (id, digest, institution, label, scopes, certificate, issued_by, issued_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(new.id)
        .bind(new.digest.to_string())
        .bind(new.institution)
        .bind(new.label)
        .bind(new.scopes.words().join(" "))
        .bind(new.certificate.map(|d| d.to_string()))
        .bind(new.issued_by)
        .bind(at)
        .bind(new.expires_at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Token, new.id));
        }
        Self::commit(tx, audit).await
    }

    /// The token of this digest.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn token_by_digest(&self, digest: &Digest) -> Result<Option<Token>, StoreError> {
        sqlx::query_as::<_, TokenRow>(select_token!("WHERE digest = $1"))
            .bind(digest.to_string())
            .fetch_optional(&self.read)
            .await?
            .map(token)
            .transpose()
    }

    /// A token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn token(&self, id: &str) -> Result<Token, StoreError> {
        sqlx::query_as::<_, TokenRow>(select_token!("WHERE id = $1"))
            .bind(id)
            .fetch_optional(&self.read)
            .await?
            .map(token)
            .ok_or_else(|| StoreError::absent(Kind::Token, id))?
    }

    /// The tokens of an institution, by id; those of all where none is named.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn tokens(&self, institution: Option<&str>) -> Result<Vec<Token>, StoreError> {
        let rows = match institution {
            Some(one) => sqlx::query_as::<_, TokenRow>(select_token!("WHERE institution = $1 ORDER BY id")).bind(one),
            None => sqlx::query_as::<_, TokenRow>(select_token!("ORDER BY id")),
        };
        rows.fetch_all(&self.read).await?.into_iter().map(token).collect()
    }

    /// Revokes a token; it is not good any more when this returns.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where it is revoked already.
    pub async fn revoke_token(&self, id: &str, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let revoked = sqlx::query_scalar::<_, Option<i64>>("SELECT revoked_at FROM tokens WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::absent(Kind::Token, id))?;
        if revoked.is_some() {
            let (from, to) = ("revoked".to_owned(), "revoked".to_owned());
            return Err(StoreError::State { kind: Kind::Token, id: id.to_owned(), from, to });
        }
        sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2").bind(at).bind(id).execute(&mut *tx).await?;
        // Verifications let tokens in over a picture of the registry: this makes it an old one.
        sqlx::query("UPDATE generation SET number = number + 1").execute(&mut *tx).await?;
        Self::commit(tx, audit).await
    }
}
