//! Requests of data subjects (异议、校核): recorded, routed to the holder, answered in time.

use super::Domain;
use super::suspend::check_reason;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::registry::{Answered, NewRequest, Outcome, RequestKind, StoreError, Subject, SubjectRequest};
use serde::{Deserialize, Serialize};
use yunei_audit::commitment;
use yunei_policy::authorise::{Action, ItemFacts, RequestFacts, Resource};
use yunei_policy::register::Step;
use yunei_policy::words::State;
use yunei_policy::{Refusal, Refused};

/// The longest details and the longest answer, in characters.
const MAX_DETAILS: usize = 4_000;
/// The longest name of a data subject, in characters.
const MAX_SUBJECT: usize = 256;

/// What a data subject asks for.
#[derive(Clone)]
pub struct SubjectQuery {
    /// Objection or correction.
    pub kind: RequestKind,
    /// Of which dataset.
    pub dataset: String,
    /// The data subject's number, as the dataset knows it. Only a salted commitment to it is kept.
    pub subject: String,
    /// What is said; kept in the domain, shown to the holder, to who recorded it and to the authority, never logged.
    pub details: String,
}

impl std::fmt::Debug for SubjectQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubjectQuery").field("dataset", &self.dataset).finish_non_exhaustive()
    }
}

/// A request of a data subject.
#[derive(Clone, Serialize, Deserialize)]
pub struct RequestView {
    /// Its id.
    pub id: String,
    /// `objection` or `correction`.
    pub kind: RequestKind,
    /// Of which dataset.
    pub dataset: String,
    /// The newest version when it was recorded.
    pub version: u64,
    /// The holder that answers it.
    pub holder: String,
    /// A salted commitment to whom it is about: the same person has the same one in this domain.
    pub subject: String,
    /// What is said.
    pub details: String,
    /// Who recorded it.
    pub filed_by: String,
    /// When.
    pub filed: String,
    /// The last day for the answer.
    pub due: String,
    /// How many working days are left; negative where it is overdue. `None` once it is answered.
    pub days_left: Option<i64>,
    /// Why the time was extended.
    pub extended: Option<String>,
    /// `corrected`, `upheld` or `rejected`; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// The answer.
    pub answer: Option<String>,
    /// The version with the corrected data.
    pub corrected_version: Option<u64>,
    /// When it was answered.
    pub answered: Option<String>,
    /// Whether the answer came, or still is, too late.
    pub late: bool,
}

impl std::fmt::Debug for RequestView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestView").field("id", &self.id).field("dataset", &self.dataset).finish_non_exhaustive()
    }
}

impl Domain {
    /// Records a data subject's request; the holder of the dataset has five working days to answer it.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/details`, `input/subject` where a text is missing or too long.
    pub async fn file_request(&self, actor: &str, query: &SubjectQuery) -> Result<RequestView, DomainError> {
        let mut reasons = Vec::new();
        check_text("input/details", &query.details, MAX_DETAILS, &mut reasons);
        check_text("input/subject-number", &query.subject, MAX_SUBJECT, &mut reasons);
        Refused::unless(reasons, ())?;
        self.ask_about(actor, Action::FileRequest, &Subject::Dataset(query.dataset.clone())).await?;
        let id = super::fresh_id("request", self.now())?;
        let subject = commitment(&self.home.salt("request"), query.subject.trim().as_bytes());
        let note = self.note(
            "request.filed",
            [
                ("request", id.clone().into()),
                ("kind", query.kind.as_str().into()),
                ("dataset", query.dataset.clone().into()),
                ("subject", subject.clone().into()),
                ("by", actor.into()),
            ],
        )?;
        let new = NewRequest {
            id: &id,
            kind: query.kind,
            dataset: &query.dataset,
            subject: &subject,
            details: &query.details,
            filed_by: actor,
        };
        self.store.file_request(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        let request = self.found_request(&id).await?;
        Ok(self.request_view(request))
    }

    /// One request.
    ///
    /// # Errors
    /// The reasons why the actor may not see it; `registry/not-found`.
    pub async fn request(&self, actor: &str, id: &str) -> Result<RequestView, DomainError> {
        let request = self.found_request(id).await?;
        self.ask_request(actor, Action::ReadRequest, &request).await?;
        Ok(self.request_view(request))
    }

    /// The requests that the actor may see: its own, those that it has to answer, all of them for the authority.
    ///
    /// # Errors
    /// What keeps the store from being read, or the actor is none.
    pub async fn requests(&self, actor: &str, open_only: bool) -> Result<Vec<RequestView>, DomainError> {
        self.authorise(actor, Action::ReadRegister, Resource::Domain).await?;
        let mut views = Vec::new();
        for request in self.store.requests(open_only).await? {
            match self.ask_request(actor, Action::ReadRequest, &request).await {
                Ok(()) => views.push(self.request_view(request)),
                Err(DomainError::Refused(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(views)
    }

    /// The holder takes ten working days instead of five, once, with a reason.
    ///
    /// # Errors
    /// The reasons why the actor may not, or it was extended already.
    pub async fn extend_request(&self, actor: &str, id: &str, reason: &str) -> Result<RequestView, DomainError> {
        check_reason(reason)?;
        let request = self.found_request(id).await?;
        self.ask_request(actor, Action::AnswerRequest, &request).await?;
        let note = self.note("request.extended", [("request", id.into()), ("by", actor.into())])?;
        self.store.extend_request(id, reason, note.audit()?).await?;
        self.settle_only(note).await?;
        let request = self.found_request(id).await?;
        Ok(self.request_view(request))
    }

    /// The holder answers a request. A correction names the new version of the dataset that holds the corrected data; it was
    /// registered after the request.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/corrected-version` where there is no such newer version, or one is named
    /// for another outcome.
    pub async fn answer_request(
        &self,
        actor: &str,
        id: &str,
        outcome: Outcome,
        answer: &str,
        corrected: Option<u64>,
    ) -> Result<RequestView, DomainError> {
        let request = self.found_request(id).await?;
        let mut reasons = Vec::new();
        check_text("input/answer", answer, MAX_DETAILS, &mut reasons);
        let newest = self.store.dataset(&request.dataset).await?.newest;
        let fits = match (outcome, corrected) {
            (Outcome::Corrected, Some(number)) => (request.version + 1..=newest).contains(&number),
            (Outcome::Corrected, None) | (_, Some(_)) => false,
            (_, None) => true,
        };
        if !fits {
            reasons.push(
                Refusal::new(
                    "input/corrected-version",
                    "更正须指明请求之后登记的新版本；其他结果不填版本",
                    "a correction names a version that was registered after the request; another outcome names none",
                )
                .hint("先登记更正后的数据集版本", "register the corrected version first"),
            );
        }
        self.ask_request(actor, Action::AnswerRequest, &request).await?;
        Refused::unless(reasons, ())?;
        let note = self.note(
            "request.answered",
            [
                ("request", id.into()),
                ("outcome", outcome.as_str().into()),
                ("dataset", request.dataset.clone().into()),
                ("corrected", corrected.map_or(serde_json::Value::Null, Into::into)),
                ("by", actor.into()),
            ],
        )?;
        let answered = Answered { outcome, answer: answer.to_owned(), corrected, at: note.at };
        self.store.answer_request(id, &answered, note.audit()?).await?;
        self.settle_only(note).await?;
        let request = self.found_request(id).await?;
        Ok(self.request_view(request))
    }

    async fn found_request(&self, id: &str) -> Result<SubjectRequest, DomainError> {
        self.store.request(id).await.map_err(|e| match e {
            StoreError::NotFound { .. } => DomainError::not_found("数据主体请求", "request", id),
            other => other.into(),
        })
    }

    async fn ask_request(&self, actor: &str, action: Action, request: &SubjectRequest) -> Result<(), DomainError> {
        let state = if request.answered.is_some() { State::Retired } else { State::Submitted };
        let item = ItemFacts { id: &request.id, state, submitted_by: &request.filed_by };
        let facts = RequestFacts { item, holder: &request.holder };
        self.authorise(actor, action, Resource::Request(facts)).await.map(drop)
    }

    fn request_view(&self, request: SubjectRequest) -> RequestView {
        let step = if request.extended.is_some() { Step::RequestExtended } else { Step::Request };
        let due = self.register.due(step, request.filed_at);
        let ended = request.answered.as_ref().map(|a| a.at);
        let left = self.register.calendar().working_days_left(self.now(), due);
        RequestView {
            id: request.id,
            kind: request.kind,
            dataset: request.dataset,
            version: request.version,
            holder: request.holder,
            subject: request.subject,
            details: request.details,
            filed_by: request.filed_by,
            filed: format_instant(request.filed_at),
            due: self.day(due - 1),
            days_left: ended.is_none().then_some(left),
            extended: request.extended,
            outcome: request.answered.as_ref().map(|a| a.outcome),
            corrected_version: request.answered.as_ref().and_then(|a| a.corrected),
            answered: ended.map(format_instant),
            answer: request.answered.map(|a| a.answer),
            late: ended.unwrap_or_else(|| self.now()) >= due,
        }
    }
}

fn check_text(code: &'static str, text: &str, most: usize, reasons: &mut Vec<Refusal>) {
    let count = text.chars().count();
    if text.trim().is_empty() || count > most || text.chars().any(|c| c.is_control() && c != '\n') {
        reasons.push(Refusal::new(
            code,
            format!("须填写，最多 {most} 字，不含控制字符"),
            format!("takes 1 to {most} characters, no control characters"),
        ));
    }
}
