//! Audit entries on their way into the log.

use super::error::{Kind, StoreError};
use super::store::{Store, Tx};

/// At most how long an audit entry is, in bytes.
pub const MAX_ENTRY_BYTES: usize = 64 << 10;

/// An audit entry: JSON under an id that no other entry has.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    id: &'a str,
    json: &'a str,
}

impl<'a> AuditEntry<'a> {
    /// An entry from its id (1 to 128 characters) and its JSON (at most 64 KiB).
    ///
    /// # Errors
    /// [`StoreError::Limit`] where one is too long or the text is not JSON.
    pub fn new(id: &'a str, json: &'a str) -> Result<Self, StoreError> {
        check_id("audit entry id", id)?;
        if json.len() > MAX_ENTRY_BYTES || serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
            return Err(StoreError::Limit("audit entry"));
        }
        Ok(Self { id, json })
    }
}

/// An entry that is not in the log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub id: String,
    /// Its JSON.
    pub json: String,
}

/// An id has 1 to 128 characters, none of them a control character.
pub(super) fn check_id(what: &'static str, id: &str) -> Result<(), StoreError> {
    let fine = (1..=128).contains(&id.chars().count()) && !id.chars().any(char::is_control);
    if fine { Ok(()) } else { Err(StoreError::Limit(what)) }
}

pub(super) async fn insert(tx: &mut Tx, audit: AuditEntry<'_>) -> Result<(), StoreError> {
    let inserted = sqlx::query("INSERT INTO outbox (id, entry) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
        .bind(audit.id)
        .bind(audit.json)
        .execute(&mut **tx)
        .await?;
    if inserted.rows_affected() == 0 {
        return Err(StoreError::exists(Kind::AuditEntry, audit.id));
    }
    Ok(())
}

/// An entry stands in the log, within a change.
pub(super) async fn done_in(tx: &mut Tx, id: &str, log_index: u64) -> Result<(), StoreError> {
    let index = i64::try_from(log_index).map_err(|_| StoreError::Limit("log index"))?;
    let stands = sqlx::query_scalar::<_, Option<i64>>("SELECT log_index FROM outbox WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| StoreError::absent(Kind::AuditEntry, id))?;
    match stands {
        Some(there) if there == index => return Ok(()),
        Some(_) => return Err(StoreError::exists(Kind::AuditEntry, id)),
        None => {}
    }
    sqlx::query("UPDATE outbox SET log_index = $1 WHERE id = $2").bind(index).bind(id).execute(&mut **tx).await?;
    Ok(())
}

impl Store {
    /// The oldest entries that are not in the log yet, at most 1,000, in the order in which they were written.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn outbox_pending(&self) -> Result<Vec<Pending>, StoreError> {
        let rows = sqlx::query_as::<_, (String, String)>(
            "SELECT id, entry FROM outbox WHERE log_index IS NULL ORDER BY seq LIMIT 1000",
        )
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(|(id, json)| Pending { id, json }).collect())
    }

    /// An entry stands in the log at `log_index`. Saying so again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Exists`] where it was said to stand elsewhere.
    pub async fn outbox_done(&self, id: &str, log_index: u64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        done_in(&mut tx, id, log_index).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Where an entry stands in the log; `None` while it is pending.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what keeps the store from being read.
    pub async fn outbox_index(&self, id: &str) -> Result<Option<u64>, StoreError> {
        let index = sqlx::query_scalar::<_, Option<i64>>("SELECT log_index FROM outbox WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.read)
            .await?
            .ok_or_else(|| StoreError::absent(Kind::AuditEntry, id))?;
        Ok(index.and_then(|i| u64::try_from(i).ok()))
    }
}
