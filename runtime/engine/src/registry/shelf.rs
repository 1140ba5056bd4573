//! Institutions in the store, and what all the records share.

use super::digest::Digest;
use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::records::{Institution, NewInstitution};
use super::states::state_from;
use super::store::{Stateful, Store, Tx};
use yunei_policy::words::{Office, Role, State, Text};

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

/// A table with states and the columns of its key, as [`Stateful`] wants it.
macro_rules! stateful {
    ($kind:expr, $table:literal, $id:literal) => {
        Stateful {
            kind: $kind,
            select: concat!("SELECT state FROM ", $table, " WHERE ", $id, " = $1"),
            update: concat!("UPDATE ", $table, " SET state = $2, changed_at = $3 WHERE ", $id, " = $1"),
        }
    };
    ($kind:expr, $table:literal, $id:literal, $version:literal) => {
        Stateful {
            kind: $kind,
            select: concat!("SELECT state FROM ", $table, " WHERE ", $id, " = $1 AND ", $version, " = $2"),
            update: concat!(
                "UPDATE ",
                $table,
                " SET state = $3, changed_at = $4 WHERE ",
                $id,
                " = $1 AND ",
                $version,
                " = $2"
            ),
        }
    };
}
pub(super) use stateful;

pub(super) async fn there(tx: &mut Tx, kind: Kind, sql: &'static str, id: &str) -> Result<(), StoreError> {
    let found = sqlx::query_scalar::<_, i64>(sql).bind(id).fetch_optional(&mut **tx).await?;
    found.map(|_| ()).ok_or_else(|| StoreError::absent(kind, id))
}

pub(super) async fn institution_there(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    there(tx, Kind::Institution, "SELECT 1 FROM institutions WHERE id = $1", id).await
}

type InstitutionRow = (String, String, String, String, String, Option<String>, Option<String>);

fn institution(row: InstitutionRow) -> Result<Institution, StoreError> {
    let (id, role_word, zh, en, state_word, office, added_by) = row;
    let office = office
        .map(|word| Office::ALL.into_iter().find(|o| o.as_str() == word))
        .map(|o| o.ok_or(StoreError::Damaged("an office is not a known word")))
        .transpose()?;
    let (role, state) = (role(&role_word)?, state(&state_word)?);
    Ok(Institution { id, role, title: Text::new(zh, en), state, office, added_by })
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
        let new = NewInstitution { id, role, title, office: None, added_by: None, state: State::Approved };
        self.enter_institution(new, at, audit).await
    }

    /// Adds an institution in a state: one that a system administrator entered waits to be admitted.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Limit`].
    pub async fn enter_institution(
        &self,
        new: NewInstitution<'_>,
        at: i64,
        audit: AuditEntry<'_>,
    ) -> Result<(), StoreError> {
        check_id("institution id", new.id)?;
        bounded("institution title", &new.title.zh, 2_000)?;
        bounded("institution title", &new.title.en, 2_000)?;
        let mut tx = self.begin().await?;
        let added = sqlx::query(
            "INSERT INTO institutions (id, role, title_zh, title_en, state, office, added_by, created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(new.id)
        .bind(new.role.to_string())
        .bind(&new.title.zh)
        .bind(&new.title.en)
        .bind(new.state.to_string())
        .bind(new.office.map(Office::as_str))
        .bind(new.added_by)
        .bind(at)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Institution, new.id));
        }
        Self::commit(tx, audit).await
    }

    /// How many of the three parts of the authority's staff were ever filled: a part that falls vacant does not give its
    /// powers back.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn filled_offices(&self) -> Result<usize, StoreError> {
        let count = sqlx::query_scalar::<_, i64>(
            "SELECT count(DISTINCT office) FROM institutions WHERE office IS NOT NULL AND state <> 'submitted'",
        )
        .fetch_one(&self.read)
        .await?;
        usize::try_from(count).map_err(|_| StoreError::Damaged("a count is negative"))
    }

    /// How many approved institutions fill a part of the authority's staff.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn approved_in(&self, office: Office) -> Result<u64, StoreError> {
        let count =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM institutions WHERE office = $1 AND state = 'approved'")
                .bind(office.as_str())
                .fetch_one(&self.read)
                .await?;
        unsigned(count)
    }

    /// An institution.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn institution(&self, id: &str) -> Result<Institution, StoreError> {
        sqlx::query_as::<_, InstitutionRow>(
            "SELECT id, role, title_zh, title_en, state, office, added_by FROM institutions WHERE id = $1",
        )
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
        sqlx::query_as::<_, InstitutionRow>(
            "SELECT id, role, title_zh, title_en, state, office, added_by FROM institutions ORDER BY id",
        )
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
        stateful!(Kind::Institution, "institutions", "id").change(self, &[id], to, at, audit).await
    }
}
