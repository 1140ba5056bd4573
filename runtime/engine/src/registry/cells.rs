//! The cells that were released under disclosure control.

use super::error::StoreError;
use super::outbox::AuditEntry;
use super::runs::{NewRelease, add_release};
use super::store::{Store, Tx};

/// At most how long the bitmap of one cell is, in bytes.
const MAX_MEMBERS: usize = 64 << 20;

/// The members of a cell whose numbers leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedCell {
    /// The dataset.
    pub dataset: String,
    /// The digest of its files.
    pub data: String,
    /// A roaring bitmap, in its portable form.
    pub members: Vec<u8>,
}

impl Store {
    /// Records a release together with the cells that later releases must be compared with.
    ///
    /// # Errors
    /// As [`Store::record_release`].
    pub async fn record_release_with_cells(
        &self,
        new: NewRelease<'_>,
        cells: &[ReleasedCell],
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        if cells.iter().any(|c| c.members.len() > MAX_MEMBERS) {
            return Err(StoreError::Limit("cell"));
        }
        let mut tx = self.begin().await?;
        add_release(&mut tx, new, at).await?;
        for cell in cells {
            add_cell(&mut tx, new.run, cell).await?;
        }
        Self::commit(tx, audit).await
    }

    /// The members of all cells that were released of this data, oldest first.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn released_cells(&self, dataset: &str, data: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let cells =
            sqlx::query_scalar("SELECT members FROM statistical_cells WHERE dataset = $1 AND data = $2 ORDER BY seq")
                .bind(dataset)
                .bind(data)
                .fetch_all(&self.read)
                .await?;
        Ok(cells)
    }
}

async fn add_cell(tx: &mut Tx, run: &str, cell: &ReleasedCell) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO statistical_cells (run_id, dataset, data, digest, members) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (dataset, data, digest) DO NOTHING",
    )
    .bind(run)
    .bind(&cell.dataset)
    .bind(&cell.data)
    .bind(crate::digest::sha256_hex(&cell.members))
    .bind(&cell.members)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
