//! Datasets and their versions in the store.

use super::error::{Kind, StoreError};
use super::outbox::AuditEntry;
use super::records::{Dataset, DatasetVersion, NewDataset};
use super::shelf::{bounded, digest_from, institution_there, state, stateful, unsigned};
use super::store::{Stateful, Store, Tx};
use yunei_policy::words::State;

/// At most how long the list of a version's files is: 10,000 paths of up to 4 KiB, with room for their digests.
const MAX_FILES_JSON: usize = 64 << 20;

type DatasetRow = (String, String, String, String, String, i64, i64);

macro_rules! select_dataset {
    ($rest:literal) => {
        concat!(
            "SELECT id, spec_digest, spec_toml, submitted_by, state, epoch,
             (SELECT max(number) FROM dataset_versions WHERE dataset = id) FROM datasets ",
            $rest
        )
    };
}

fn dataset((id, digest, spec_toml, submitted_by, word, epoch, newest): DatasetRow) -> Result<Dataset, StoreError> {
    Ok(Dataset {
        id,
        spec_digest: digest_from(&digest)?,
        spec_toml,
        submitted_by,
        state: state(&word)?,
        epoch: unsigned(epoch)?,
        newest: unsigned(newest)?,
    })
}

type VersionRow = (String, i64, String, String, String, i64, i64);

fn version(row: VersionRow) -> Result<DatasetVersion, StoreError> {
    let (dataset, number, digest, spec_toml, files, rows, registered_at) = row;
    Ok(DatasetVersion {
        dataset,
        number: unsigned(number)?,
        spec_digest: digest_from(&digest)?,
        spec_toml,
        files: serde_json::from_str(&files).map_err(|_| StoreError::Damaged("a list of files is malformed"))?,
        rows: unsigned(rows)?,
        registered_at,
    })
}

impl Store {
    /// Registers a dataset with its first version, or a further version of it; gives the version's number.
    ///
    /// A new dataset is submitted. A further version under the same entry leaves the state as it is; a changed entry is a
    /// new submission: the dataset is submitted again, whatever it was, but retired.
    ///
    /// # Errors
    /// [`StoreError::Owner`] where another institution handed the dataset in; [`StoreError::State`] where it is retired;
    /// [`StoreError::Limit`] where the files were not checked against this entry; [`StoreError::NotFound`] for the
    /// institution.
    pub async fn register_dataset(
        &self,
        new: NewDataset<'_>,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<u64, StoreError> {
        let (spec, surveyed) = (new.spec, new.surveyed);
        if surveyed.spec_digest() != spec.digest() {
            return Err(StoreError::Limit("surveyed files"));
        }
        let files = serde_json::to_string(surveyed.files()).map_err(|_| StoreError::Limit("files"))?;
        bounded("files", &files, MAX_FILES_JSON)?;
        let rows = i64::try_from(surveyed.rows()).map_err(|_| StoreError::Limit("rows"))?;
        let digest = spec.digest().to_string();
        let mut tx = self.begin().await?;
        institution_there(&mut tx, new.submitted_by).await?;
        submit_entry(&mut tx, new, &digest, at).await?;
        let number = sqlx::query_scalar::<_, i64>(
            "INSERT INTO dataset_versions (dataset, number, spec_digest, spec_toml, files, rows, registered_at)
             SELECT $1, 1 + coalesce(max(number), 0), $2, $3, $4, $5, $6 FROM dataset_versions WHERE dataset = $1
             RETURNING number",
        )
        .bind(spec.id())
        .bind(&digest)
        .bind(spec.text())
        .bind(&files)
        .bind(rows)
        .bind(at)
        .fetch_one(&mut *tx)
        .await?;
        Self::commit(tx, audit).await?;
        unsigned(number)
    }

    /// A dataset.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn dataset(&self, id: &str) -> Result<Dataset, StoreError> {
        sqlx::query_as::<_, DatasetRow>(select_dataset!("WHERE id = $1"))
            .bind(id)
            .fetch_optional(&self.read)
            .await?
            .map(dataset)
            .ok_or_else(|| StoreError::absent(Kind::Dataset, id))?
    }

    /// All datasets, by id.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn datasets(&self) -> Result<Vec<Dataset>, StoreError> {
        let rows = sqlx::query_as::<_, DatasetRow>(select_dataset!("ORDER BY id")).fetch_all(&self.read).await?;
        rows.into_iter().map(dataset).collect()
    }

    /// A version of a dataset.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn dataset_version(&self, id: &str, number: u64) -> Result<DatasetVersion, StoreError> {
        sqlx::query_as::<_, VersionRow>(
            "SELECT dataset, number, spec_digest, spec_toml, files, rows, registered_at
             FROM dataset_versions WHERE dataset = $1 AND number = $2",
        )
        .bind(id)
        .bind(i64::try_from(number).unwrap_or(i64::MAX))
        .fetch_optional(&self.read)
        .await?
        .map(version)
        .ok_or_else(|| StoreError::absent(Kind::DatasetVersion, format!("{id}@{number}")))?
    }

    /// All versions of a dataset, oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn dataset_versions(&self, id: &str) -> Result<Vec<DatasetVersion>, StoreError> {
        sqlx::query_as::<_, VersionRow>(
            "SELECT dataset, number, spec_digest, spec_toml, files, rows, registered_at
             FROM dataset_versions WHERE dataset = $1 ORDER BY number",
        )
        .bind(id)
        .fetch_all(&self.read)
        .await?
        .into_iter()
        .map(version)
        .collect()
    }

    /// Moves a dataset to a state; gives the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn set_dataset_state(
        &self,
        id: &str,
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        stateful!(Kind::Dataset, "datasets", "id").change(self, &[id], to, at, audit).await
    }

    /// Begins the next epoch of a dataset, for which budgets start afresh; gives its number.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn advance_epoch(&self, id: &str, at: i64, audit: AuditEntry<'_>) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let epoch = sqlx::query_scalar::<_, i64>(
            "UPDATE datasets SET epoch = epoch + 1, changed_at = $1 WHERE id = $2 RETURNING epoch",
        )
        .bind(at)
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::absent(Kind::Dataset, id))?;
        Self::commit(tx, audit).await?;
        unsigned(epoch)
    }
}

/// Puts the entry in its place: a new dataset, or the current entry of one that is there.
async fn submit_entry(tx: &mut Tx, new: NewDataset<'_>, digest: &str, at: i64) -> Result<(), StoreError> {
    let id = new.spec.id();
    let known = sqlx::query_as::<_, (String, String, String)>(
        "SELECT submitted_by, state, spec_digest FROM datasets WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((owner, word, current)) = known else {
        sqlx::query(
            "INSERT INTO datasets (id, spec_digest, spec_toml, submitted_by, state, epoch, created_at, changed_at)
             VALUES ($1, $2, $3, $4, 'submitted', 1, $5, $6)",
        )
        .bind(id)
        .bind(digest)
        .bind(new.spec.text())
        .bind(new.submitted_by)
        .bind(at)
        .bind(at)
        .execute(&mut **tx)
        .await?;
        return Ok(());
    };
    if owner != new.submitted_by {
        return Err(StoreError::Owner { kind: Kind::Dataset, id: id.to_owned() });
    }
    if state(&word)? == State::Retired {
        return Err(StoreError::State {
            kind: Kind::Dataset,
            id: id.to_owned(),
            from: word,
            to: State::Submitted.to_string(),
        });
    }
    if current != digest {
        sqlx::query(
            "UPDATE datasets SET spec_digest = $1, spec_toml = $2, state = 'submitted', changed_at = $3 WHERE id = $4",
        )
        .bind(digest)
        .bind(new.spec.text())
        .bind(at)
        .bind(id)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
