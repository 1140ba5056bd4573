//! Requests of data subjects in the store.

use super::error::{Kind, StoreError};
use super::outbox::{AuditEntry, check_id};
use super::shelf::unsigned;
use super::store::{Store, Tx};

/// The longest details and the longest answer, in characters.
const MAX_TEXT: usize = 4_000;

/// What a data subject asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// 异议: that data is held or used at all.
    Objection,
    /// 校核: that data is wrong.
    Correction,
}

impl RequestKind {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Objection => "objection",
            Self::Correction => "correction",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Objection, Self::Correction].into_iter().find(|k| k.as_str() == word)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The data was corrected, in a new version.
    Corrected,
    /// The objection is upheld; what follows is in the answer.
    Upheld,
    /// It is not granted, for the reasons in the answer.
    Rejected,
}

impl Outcome {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Corrected => "corrected",
            Self::Upheld => "upheld",
            Self::Rejected => "rejected",
        }
    }

    /// The outcome of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Corrected, Self::Upheld, Self::Rejected].into_iter().find(|o| o.as_str() == word)
    }
}

/// A request that is to be recorded.
#[derive(Clone, Copy)]
pub struct NewRequest<'a> {
    /// Its id.
    pub id: &'a str,
    /// What is asked for.
    pub kind: RequestKind,
    /// Of which dataset.
    pub dataset: &'a str,
    /// A salted commitment to whom it is about, 64 hexadecimal digits.
    pub subject: &'a str,
    /// What is said; stays in the domain.
    pub details: &'a str,
    /// Who records it.
    pub filed_by: &'a str,
}

impl std::fmt::Debug for NewRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewRequest").field("id", &self.id).field("dataset", &self.dataset).finish_non_exhaustive()
    }
}

/// A data subject's request.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectRequest {
    /// Its id.
    pub id: String,
    /// What is asked for.
    pub kind: RequestKind,
    /// Of which dataset.
    pub dataset: String,
    /// The newest version when it was recorded.
    pub version: u64,
    /// The holder that answers it.
    pub holder: String,
    /// The commitment to whom it is about.
    pub subject: String,
    /// What is said.
    pub details: String,
    /// Who recorded it.
    pub filed_by: String,
    /// When.
    pub filed_at: i64,
    /// Why the time for the answer was extended.
    pub extended: Option<String>,
    /// How it ended, the answer and when; `None` while it is open.
    pub answered: Option<Answered>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// How.
    pub outcome: Outcome,
    /// The answer to the data subject.
    pub answer: String,
    /// The version with the corrected data.
    pub corrected: Option<u64>,
    /// When.
    pub at: i64,
}

impl std::fmt::Debug for SubjectRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubjectRequest").field("id", &self.id).field("dataset", &self.dataset).finish_non_exhaustive()
    }
}

type Row = (
    String,
    String,
    String,
    i64,
    String,
    String,
    String,
    String,
    i64,
    Option<String>,
    (Option<String>, Option<String>, Option<i64>, Option<i64>),
);

type FlatRow = (String, String, String, i64, String, String, String, String, i64, Option<String>);
type EndRow = (Option<String>, Option<String>, Option<i64>, Option<i64>);

fn request(row: Row) -> Result<SubjectRequest, StoreError> {
    let (id, kind, dataset, version, holder, subject, details, filed_by, filed_at, extended, end) = row;
    let answered = match end {
        (Some(outcome), Some(answer), corrected, Some(at)) => Some(Answered {
            outcome: Outcome::from_word(&outcome).ok_or(StoreError::Damaged("an outcome is not a known word"))?,
            answer,
            corrected: corrected.map(unsigned).transpose()?,
            at,
        }),
        _ => None,
    };
    Ok(SubjectRequest {
        id,
        kind: RequestKind::from_word(&kind).ok_or(StoreError::Damaged("a request's kind is not a known word"))?,
        dataset,
        version: unsigned(version)?,
        holder,
        subject,
        details,
        filed_by,
        filed_at,
        extended,
        answered,
    })
}

const SELECT: &str =
    "SELECT id, kind, dataset, version, holder, subject, details, filed_by, filed_at, extended FROM requests";
const SELECT_END: &str = "SELECT outcome, answer, corrected, closed_at FROM requests WHERE id = $1";

fn text(what: &'static str, text: &str) -> Result<(), StoreError> {
    if (1..=MAX_TEXT).contains(&text.chars().count()) { Ok(()) } else { Err(StoreError::Limit(what)) }
}

async fn open_in(tx: &mut Tx, id: &str) -> Result<i64, StoreError> {
    let (version, closed) =
        sqlx::query_as::<_, (i64, Option<i64>)>("SELECT version, closed_at FROM requests WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut **tx)
            .await?
            .ok_or_else(|| StoreError::absent(Kind::Request, id))?;
    if closed.is_some() {
        let (from, to) = ("answered".to_owned(), "open".to_owned());
        return Err(StoreError::State { kind: Kind::Request, id: id.to_owned(), from, to });
    }
    Ok(version)
}

impl Store {
    /// Records a request; its holder is the institution that handed the dataset in.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::NotFound`] for the dataset; [`StoreError::Limit`].
    pub async fn file_request(&self, new: NewRequest<'_>, at: i64, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        check_id("request id", new.id)?;
        text("request details", new.details)?;
        let mut tx = self.begin().await?;
        let (holder, version) = sqlx::query_as::<_, (String, i64)>(
            "SELECT submitted_by, (SELECT max(number) FROM dataset_versions WHERE dataset = d.id)
             FROM datasets d WHERE id = $1",
        )
        .bind(new.dataset)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::absent(Kind::Dataset, new.dataset))?;
        let added = sqlx::query(
            "INSERT INTO requests (id, kind, dataset, version, holder, subject, details, filed_by, filed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(new.id)
        .bind(new.kind.as_str())
        .bind(new.dataset)
        .bind(version)
        .bind(holder)
        .bind(new.subject)
        .bind(new.details)
        .bind(new.filed_by)
        .bind(at)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::exists(Kind::Request, new.id));
        }
        Self::commit(tx, audit).await
    }

    /// Extends the time for an answer, once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where it is answered or extended already; [`StoreError::Limit`].
    pub async fn extend_request(&self, id: &str, reason: &str, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        text("reason", reason)?;
        let mut tx = self.begin().await?;
        open_in(&mut tx, id).await?;
        let extended = sqlx::query("UPDATE requests SET extended = $1 WHERE id = $2 AND extended IS NULL")
            .bind(reason)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if extended.rows_affected() == 0 {
            let (from, to) = ("extended".to_owned(), "extended".to_owned());
            return Err(StoreError::State { kind: Kind::Request, id: id.to_owned(), from, to });
        }
        Self::commit(tx, audit).await
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::State`] where it is answered already; [`StoreError::Limit`] where the
    /// corrected version is not newer than the one that the request was about, or is given for another outcome.
    pub async fn answer_request(&self, id: &str, answered: &Answered, audit: AuditEntry<'_>) -> Result<(), StoreError> {
        text("answer", &answered.answer)?;
        if (answered.outcome == Outcome::Corrected) != answered.corrected.is_some() {
            return Err(StoreError::Limit("corrected version"));
        }
        let corrected = answered.corrected.map(i64::try_from).transpose();
        let corrected = corrected.map_err(|_| StoreError::Limit("corrected version"))?;
        let mut tx = self.begin().await?;
        let version = open_in(&mut tx, id).await?;
        if let Some(number) = corrected {
            let there = sqlx::query_scalar::<_, i64>(
                "SELECT count(*) FROM dataset_versions WHERE number = $1 AND dataset = (SELECT dataset FROM requests WHERE id = $2)",
            )
            .bind(number)
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
            if there == 0 || number <= version {
                return Err(StoreError::Limit("corrected version"));
            }
        }
        sqlx::query("UPDATE requests SET outcome = $1, answer = $2, corrected = $3, closed_at = $4 WHERE id = $5")
            .bind(answered.outcome.as_str())
            .bind(&answered.answer)
            .bind(corrected)
            .bind(answered.at)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        Self::commit(tx, audit).await
    }

    /// A request.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn request(&self, id: &str) -> Result<SubjectRequest, StoreError> {
        let mut tx = self.look().await?;
        let sql = format!("{SELECT} WHERE id = $1");
        let row = sqlx::query_as::<_, FlatRow>(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *tx).await?;
        let row = row.ok_or_else(|| StoreError::absent(Kind::Request, id))?;
        whole(&mut tx, row).await
    }

    /// All requests, oldest first; the open ones alone where that is asked. At most 10,000.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn requests(&self, open: bool) -> Result<Vec<SubjectRequest>, StoreError> {
        let which = if open { " WHERE closed_at IS NULL" } else { "" };
        let sql = format!("{SELECT}{which} ORDER BY filed_at, id LIMIT 10000");
        let mut tx = self.look().await?;
        let rows = sqlx::query_as::<_, FlatRow>(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *tx).await?;
        let mut requests = Vec::with_capacity(rows.len());
        for row in rows {
            requests.push(whole(&mut tx, row).await?);
        }
        Ok(requests)
    }
}

async fn whole(tx: &mut Tx, row: FlatRow) -> Result<SubjectRequest, StoreError> {
    let end = sqlx::query_as::<_, EndRow>(SELECT_END).bind(row.0.clone()).fetch_one(&mut **tx).await?;
    let (id, kind, dataset, version, holder, subject, details, filed_by, filed_at, extended) = row;
    request((id, kind, dataset, version, holder, subject, details, filed_by, filed_at, extended, end))
}
