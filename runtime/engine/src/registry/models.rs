//! Models and products in the store.

use super::error::{Kind, StoreError};
use super::keys::ModelSignature;
use super::outbox::{AuditEntry, check_id};
use super::records::{Model, NewModel, NewProduct, Product};
use super::shelf::{MAX_JSON, bounded, digest_from, institution_there, state, stateful};
use super::store::{Stateful, Store, Tx};
use super::subject::Subject;
use yunei_policy::words::State;

/// Whether something that is there may be handed in again: it was declined, and it is the same institution that does so.
async fn declined_before(tx: &mut Tx, subject: &Subject, by: &str) -> Result<(), StoreError> {
    let owner = match subject {
        Subject::Model { id, version } => {
            sqlx::query_scalar::<_, String>("SELECT submitted_by FROM models WHERE id = $1 AND version = $2")
                .bind(id.clone())
                .bind(version.clone())
        }
        other => sqlx::query_scalar::<_, String>("SELECT submitted_by FROM products WHERE id = $1").bind(other.id()),
    };
    let owner = owner.fetch_one(&mut **tx).await?;
    let declined = super::standing::state_in(tx, subject).await? == State::Declined;
    if owner == by && declined { Ok(()) } else { Err(StoreError::exists(subject.kind(), subject.id())) }
}

/// What was declined and is handed in unchanged stays declined: it is not taken.
async fn still_declined(tx: &mut Tx, subject: &Subject) -> Result<(), StoreError> {
    if super::lifecycle::is_declined(tx, subject).await? {
        return Err(StoreError::exists(subject.kind(), subject.id()));
    }
    Ok(())
}

type ModelRow = (String, String, String, String, String, String, String);

fn model((id, version, manifest, wasm, report, submitted_by, word): ModelRow) -> Result<Model, StoreError> {
    Ok(Model {
        id,
        version,
        manifest_digest: digest_from(&manifest)?,
        wasm_digest: digest_from(&wasm)?,
        report,
        submitted_by,
        state: state(&word)?,
    })
}

impl Store {
    /// Submits a model.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where this version is there, unless it was declined and is handed in changed by the same
    /// institution; [`StoreError::NotFound`] for the institution; [`StoreError::Limit`].
    pub async fn submit_model(&self, new: NewModel<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        self.submit_signed_model(new, None, at, audit).await
    }

    /// Submits a model with the statement that its author signed.
    ///
    /// # Errors
    /// As [`Self::submit_model`].
    pub async fn submit_signed_model(
        &self,
        new: NewModel<'_>,
        signature: Option<ModelSignature>,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        check_id("model id", new.id)?;
        check_id("model version", new.version)?;
        bounded("model report", new.report, MAX_JSON)?;
        let mut tx = self.begin().await?;
        institution_there(&mut tx, new.submitted_by).await?;
        let added = sqlx::query(
            "INSERT INTO models (id, version, manifest_digest, wasm_digest, report, submitted_by, state, created_at,
             changed_at) VALUES ($1, $2, $3, $4, $5, $6, 'submitted', $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(new.id)
        .bind(new.version)
        .bind(new.manifest_digest.to_string())
        .bind(new.wasm_digest.to_string())
        .bind(new.report)
        .bind(new.submitted_by)
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            let subject = Subject::Model { id: new.id.to_owned(), version: new.version.to_owned() };
            declined_before(&mut tx, &subject, new.submitted_by).await?;
            sqlx::query(
                "UPDATE models SET manifest_digest = $1, wasm_digest = $2, report = $3, created_at = $4, changed_at = $5
                 WHERE id = $6 AND version = $7",
            )
            .bind(new.manifest_digest.to_string())
            .bind(new.wasm_digest.to_string())
            .bind(new.report)
            .bind(at)
            .bind(at)
            .bind(new.id)
            .bind(new.version)
            .execute(&mut *tx)
            .await?;
            still_declined(&mut tx, &subject).await?;
        }
        if let Some(signature) = signature {
            Self::add_model_signature(&mut tx, new.id, new.version, signature).await?;
        }
        Self::commit(tx, audit).await
    }

    /// A model at a version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn model(&self, id: &str, version: &str) -> Result<Model, StoreError> {
        sqlx::query_as::<_, ModelRow>(
            "SELECT id, version, manifest_digest, wasm_digest, report, submitted_by, state
             FROM models WHERE id = $1 AND version = $2",
        )
        .bind(id)
        .bind(version)
        .fetch_optional(&self.read)
        .await?
        .map(model)
        .ok_or_else(|| StoreError::absent(Kind::Model, format!("{id}@{version}")))?
    }

    /// All models, by id and time.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn models(&self) -> Result<Vec<Model>, StoreError> {
        sqlx::query_as::<_, ModelRow>(
            "SELECT id, version, manifest_digest, wasm_digest, report, submitted_by, state
             FROM models ORDER BY id, created_at, version",
        )
        .fetch_all(&self.read)
        .await?
        .into_iter()
        .map(model)
        .collect()
    }

    /// Moves a model to a state; gives the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn set_model_state(
        &self,
        id: &str,
        version: &str,
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        stateful!(Kind::Model, "models", "id", "version").change(self, &[id, version], to, at, audit).await
    }
}

type ProductRow = (String, String, String, String, String);

fn product((id, digest, header, submitted_by, word): ProductRow) -> Result<Product, StoreError> {
    Ok(Product { id, toml_digest: digest_from(&digest)?, header, submitted_by, state: state(&word)? })
}

impl Store {
    /// Submits a product.
    ///
    /// # Errors
    /// [`StoreError::Exists`], unless it was declined and is handed in changed by the same institution;
    /// [`StoreError::NotFound`] for the institution; [`StoreError::Limit`].
    pub async fn submit_product(&self, new: NewProduct<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        check_id("product id", new.id)?;
        bounded("product header", new.header, MAX_JSON)?;
        let mut tx = self.begin().await?;
        institution_there(&mut tx, new.submitted_by).await?;
        let added = sqlx::query(
            "INSERT INTO products (id, toml_digest, header, submitted_by, state, created_at, changed_at)
             VALUES ($1, $2, $3, $4, 'submitted', $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(new.id)
        .bind(new.toml_digest.to_string())
        .bind(new.header)
        .bind(new.submitted_by)
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            let subject = Subject::Product(new.id.to_owned());
            declined_before(&mut tx, &subject, new.submitted_by).await?;
            sqlx::query(
                "UPDATE products SET toml_digest = $1, header = $2, created_at = $3, changed_at = $4 WHERE id = $5",
            )
            .bind(new.toml_digest.to_string())
            .bind(new.header)
            .bind(at)
            .bind(at)
            .bind(new.id)
            .execute(&mut *tx)
            .await?;
            still_declined(&mut tx, &subject).await?;
        }
        Self::commit(tx, audit).await
    }

    /// A product.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn product(&self, id: &str) -> Result<Product, StoreError> {
        sqlx::query_as::<_, ProductRow>(
            "SELECT id, toml_digest, header, submitted_by, state FROM products WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.read)
        .await?
        .map(product)
        .ok_or_else(|| StoreError::absent(Kind::Product, id))?
    }

    /// All products, by id.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn products(&self) -> Result<Vec<Product>, StoreError> {
        sqlx::query_as::<_, ProductRow>("SELECT id, toml_digest, header, submitted_by, state FROM products ORDER BY id")
            .fetch_all(&self.read)
            .await?
            .into_iter()
            .map(product)
            .collect()
    }

    /// Moves a product to a state; gives the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn set_product_state(
        &self,
        id: &str,
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        stateful!(Kind::Product, "products", "id").change(self, &[id], to, at, audit).await
    }
}
