//! Institutions in the store, and what all the records share.

use super::digest::Digest;
use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::records::Institution;
use super::states::state_from;
use super::store::{Stateful, Store, Tx};
use yunei_policy::words::{Role, State, Text};

/// At most how long a JSON text or a catalogue entry is in a row, in bytes.
pub(super) const MAX_JSON: usize = 1 << 20;

const DAMAGED_DIGEST: StoreError = StoreError::Damaged("a digest is malformed");

pub(super) fn digest_from(text: &str) -> Result<Digest, StoreError> {
    text.parse().map_err(|_| DAMAGED_DIGEST)
}

pub(super) fn state(word: &str) -> Result<State, StoreError> {
    state_from(word).ok_or(StoreError::Damaged("a state is not a known word"))
}

fn role(word: &str) -> Result<Role, StoreError> {
    [Role::Holder, Role::Operator, Role::Business, Role::Authority]
        .into_iter()
        .find(|r| r.to_string() == word)
        .ok_or(StoreError::Damaged("a role is not a known word"))
}

pub(super) fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged("a count is negative"))
}

pub(super) fn bounded(what: &'static str, text: &str, most: usize) -> Result<(), StoreError> {
    if text.len() <= most { Ok(()) } else { Err(StoreError::Limit(what)) }
}

/// A table with states, as [`Stateful`] wants it.
macro_rules! stateful {
    ($kind:expr, $table:literal, $key:literal) => {
        Stateful {
            kind: $kind,
            select: concat!("SELECT state FROM ", $table, " WHERE ", $key),
            update: concat!("UPDATE ", $table, " SET state = ?, changed_at = ? WHERE ", $key),
        }
    };
}
pub(super) use stateful;

pub(super) async fn there(tx: &mut Tx, kind: Kind, sql: &'static str, id: &str) -> Result<(), StoreError> {
    let found = sqlx::query_scalar::<_, i64>(sql).bind(id).fetch_optional(&mut **tx).await?;
    found.map(|_| ()).ok_or_else(|| StoreError::absent(kind, id))
}

pub(super) async fn institution_there(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    there(tx, Kind::Institution, "SELECT 1 FROM institutions WHERE id = ?", id).await
}

type InstitutionRow = (String, String, String, String, String);

fn institution((id, role_word, zh, en, state_word): InstitutionRow) -> Result<Institution, StoreError> {
    Ok(Institution { id, role: role(&role_word)?, title: Text::new(zh, en), state: state(&state_word)? })
}

impl Store {
    /// Adds an institution, approved.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Limit`].
    pub async fn add_institution(
        &self,
        id: &str,
        role: Role,
        title: &Text,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        check_id("institution id", id)?;
        bounded("institution title", &title.zh, 2_000)?;
        bounded("institution title", &title.en, 2_000)?;
        let mut tx = self.begin().await?;
        let added = sqlx::query(
            "INSERT INTO institutions (id, role, title_zh, title_en, state, created_at, changed_at)
             VALUES (?, ?, ?, ?, 'approved', ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(role.to_string())
        .bind(&title.zh)
        .bind(&title.en)
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Institution, id));
        }
        Self::commit(tx, audit).await
    }

    /// An institution.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn institution(&self, id: &str) -> Result<Institution, StoreError> {
        sqlx::query_as::<_, InstitutionRow>("SELECT id, role, title_zh, title_en, state FROM institutions WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.read)
            .await?
            .map(institution)
            .ok_or_else(|| StoreError::absent(Kind::Institution, id))?
    }

    /// All institutions, by id.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn institutions(&self) -> Result<Vec<Institution>, StoreError> {
        sqlx::query_as::<_, InstitutionRow>("SELECT id, role, title_zh, title_en, state FROM institutions ORDER BY id")
            .fetch_all(&self.read)
            .await?
            .into_iter()
            .map(institution)
            .collect()
    }

    /// Moves an institution to a state; gives the one that it had.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::State`].
    pub async fn set_institution_state(
        &self,
        id: &str,
        to: State,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<State, StoreError> {
        stateful!(Kind::Institution, "institutions", "id = ?").change(self, &[id], to, at, audit).await
    }
}
