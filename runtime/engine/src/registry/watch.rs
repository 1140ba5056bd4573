//! What the registry remembers of the log, so that neither can be put back to an older state unnoticed by the other.

use super::error::StoreError;
use super::outbox::done_in;
use super::store::{Store, Tx};
use std::collections::HashSet;
use yunei_audit::Checkpoint;

async fn remember_in(tx: &mut Tx, checkpoint: &Checkpoint, at: i64) -> Result<(), StoreError> {
    let size = i64::try_from(checkpoint.size()).map_err(|_| StoreError::Limit("log index"))?;
    sqlx::query(
        "INSERT INTO log_seen (origin, size, note, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (origin) DO UPDATE SET size = excluded.size, note = excluded.note, at = excluded.at
         WHERE excluded.size > log_seen.size",
    )
    .bind(checkpoint.origin())
    .bind(size)
    .bind(checkpoint.to_string())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// An entry stands in the log at `log_index`, under this checkpoint, which is remembered where it is the newest.
    ///
    /// # Errors
    /// As [`Store::outbox_done`].
    pub async fn outbox_settled(
        &self,
        id: &str,
        log_index: u64,
        checkpoint: &Checkpoint,
        at: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        done_in(&mut tx, id, log_index).await?;
        remember_in(&mut tx, checkpoint, at).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Remembers a checkpoint, where it is the newest of its log.
    ///
    /// # Errors
    /// What keeps the store from being written.
    pub async fn remember_log(&self, checkpoint: &Checkpoint, at: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        remember_in(&mut tx, checkpoint, at).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The names of the logs of which a checkpoint was remembered: one a year.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn logs_seen(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar::<_, String>("SELECT origin FROM log_seen").fetch_all(&self.read).await?)
    }

    /// The newest checkpoint of the log of this name that was remembered.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it is none; what keeps the store from being read.
    pub async fn log_seen(&self, origin: &str) -> Result<Option<Checkpoint>, StoreError> {
        let note = sqlx::query_scalar::<_, String>("SELECT note FROM log_seen WHERE origin = $1")
            .bind(origin)
            .fetch_optional(&self.read)
            .await?;
        let damaged = |_| StoreError::Damaged("a remembered checkpoint is none");
        note.map(|note| Checkpoint::parse(note.as_bytes()).map_err(damaged)).transpose()
    }

    /// Whether an entry of this id was ever written here.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn outbox_knows(&self, id: &str) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar::<_, i64>("SELECT 1 FROM outbox WHERE id = $1").bind(id);
        Ok(found.fetch_optional(&self.read).await?.is_some())
    }

    /// Whether a verification of this id was ever charged here.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn verification_known(&self, run: &str) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar::<_, i64>("SELECT 1 FROM verifications WHERE id = $1").bind(run);
        Ok(found.fetch_optional(&self.read).await?.is_some())
    }

    /// The verifications whose answer is free of charge, by the outcomes that their product gives away. Which outcome one
    /// had is not said here.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn free_verifications(&self) -> Result<HashSet<String>, StoreError> {
        let ids = sqlx::query_scalar::<_, String>(
            "SELECT id FROM verifications
             WHERE state = 'answered' AND body IS NOT NULL AND CAST(json_extract(body, '$.charged') AS TEXT) = '0'",
        );
        Ok(ids.fetch_all(&self.read).await?.into_iter().collect())
    }

    /// The runs that released something, oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn released_runs(&self) -> Result<Vec<String>, StoreError> {
        let ids = sqlx::query_scalar::<_, String>(
            "SELECT runs.id FROM runs JOIN releases ON releases.run_id = runs.id ORDER BY runs.seq",
        );
        Ok(ids.fetch_all(&self.read).await?)
    }

    /// The members of all cells of this data that had been released when this run's release was, oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn released_cells_before(
        &self,
        dataset: &str,
        data: &str,
        run: &str,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        // Releases are numbered in the order in which they were recorded, and none is ever deleted.
        let cells = sqlx::query_scalar(
            "SELECT statistical_cells.members FROM statistical_cells JOIN releases ON releases.run_id = statistical_cells.run_id
             WHERE dataset = $1 AND data = $2 AND releases.seq < (SELECT seq FROM releases WHERE run_id = $3)
             ORDER BY statistical_cells.seq",
        );
        Ok(cells.bind(dataset).bind(data).bind(run).fetch_all(&self.read).await?)
    }
}
