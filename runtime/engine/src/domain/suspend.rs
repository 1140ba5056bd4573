//! Suspension, resumption, end and withdrawal: one call, in force before it returns.

use super::Domain;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::registry::{NewState, StoreError, Subject};
use serde::{Deserialize, Serialize};
use yunei_policy::authorise::{Action, ItemFacts, Resource};
use yunei_policy::scan::personal_data;
use yunei_policy::words::State;
use yunei_policy::{Refusal, Refused};

/// The longest reason, in characters.
pub const MAX_REASON: usize = 2_000;
/// At most how many releases are listed with a withdrawal.
pub const MAX_RELEASES: u32 = 10_000;

/// What a suspension, an end or a withdrawal did.
#[derive(Debug, Clone, Serialize)]
pub struct Stopped {
    /// `institution`, `dataset`, `version`, `model`, `product` or `grant`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Where it stands now.
    pub state: State,
    /// The uses that were under way and were stopped. They release nothing; what they were charged stays charged.
    pub stopped: Vec<String>,
    /// Whether all of them had ended when the call returned. Those that had not can not release anything either.
    pub ended: bool,
    /// The releases that rested on it, newest first, at most 10,000.
    pub releases: Vec<ReleaseView>,
}

/// A release, as the authority is shown it: who received it, never what it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseView {
    /// The run.
    pub run: String,
    /// Who received it.
    pub institution: String,
    /// Of which product.
    pub product: String,
    /// For what.
    pub purpose: String,
    /// When.
    pub at: String,
    /// SHA-256 of the release in Arrow form; a verification has none.
    pub file: Option<String>,
}

/// A change of state in the history of something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateChangeView {
    /// From where.
    pub from: State,
    /// To where.
    pub to: State,
    /// Why.
    pub reason: String,
    /// Who did it.
    pub by: String,
    /// When.
    pub at: String,
}

impl Domain {
    /// Suspends an institution, dataset, version, model, product or grant. When this returns, no new use of it is
    /// authorised, those that were under way are stopped, and nothing more is released that rests on it.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/reason` where no reason is given.
    pub async fn suspend(&self, actor: &str, subject: &Subject, reason: &str) -> Result<Stopped, DomainError> {
        self.stop(actor, Action::Suspend, subject, State::Suspended, reason).await
    }

    /// Ends it for good; in force as a suspension is.
    ///
    /// # Errors
    /// As [`Self::suspend`].
    pub async fn end(&self, actor: &str, subject: &Subject, reason: &str) -> Result<Stopped, DomainError> {
        self.stop(actor, Action::End, subject, State::Retired, reason).await
    }

    /// Withdraws a dataset or a version of one (撤回), as its holder or the authority; in force as a suspension is. The
    /// releases that rested on it are listed.
    ///
    /// # Errors
    /// As [`Self::suspend`]; `input/subject` for anything but a dataset or a version.
    pub async fn withdraw(&self, actor: &str, subject: &Subject, reason: &str) -> Result<Stopped, DomainError> {
        if !matches!(subject, Subject::Dataset(_) | Subject::Version { .. }) {
            return Err(Refusal::new(
                "input/subject",
                "只有数据集及其版本可以撤回",
                "only a dataset or a version of one is withdrawn",
            )
            .hint("其他内容请由主管部门终止", "the authority ends other things")
            .into());
        }
        self.stop(actor, Action::WithdrawDataset, subject, State::Retired, reason).await
    }

    /// Undoes a suspension; the authority alone.
    ///
    /// # Errors
    /// The reasons why the actor may not, or it is not suspended; `input/reason`.
    pub async fn resume(&self, actor: &str, subject: &Subject, reason: &str) -> Result<State, DomainError> {
        check_reason(reason)?;
        self.ask_about(actor, Action::Resume, subject).await?;
        let new = NewState { subject, to: State::Approved, reason, by: actor };
        let note = self.change_note(&new)?;
        self.store.move_state(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(State::Approved)
    }

    /// The releases that rested on something, newest first, at most 10,000.
    ///
    /// # Errors
    /// The reasons why the actor may not see them.
    pub async fn releases_on(&self, actor: &str, subject: &Subject) -> Result<Vec<ReleaseView>, DomainError> {
        self.authorise(actor, Action::ReadAudit, Resource::Domain).await?;
        self.state_or_absent(subject).await?;
        self.releases(subject).await
    }

    /// The history of something's states, with the reasons, oldest first.
    ///
    /// # Errors
    /// The reasons why the actor may not see it.
    pub async fn state_history(&self, actor: &str, subject: &Subject) -> Result<Vec<StateChangeView>, DomainError> {
        self.authorise(actor, Action::ReadAudit, Resource::Domain).await?;
        self.state_or_absent(subject).await?;
        let changes = self.store.state_changes(subject).await?.into_iter().map(|c| StateChangeView {
            from: c.from,
            to: c.to,
            reason: c.reason,
            by: c.by,
            at: format_instant(c.at),
        });
        Ok(changes.collect())
    }

    async fn stop(
        &self,
        actor: &str,
        action: Action,
        subject: &Subject,
        to: State,
        reason: &str,
    ) -> Result<Stopped, DomainError> {
        check_reason(reason)?;
        self.ask_about(actor, action, subject).await?;
        if let Subject::Institution(id) = subject {
            self.keep_one_of_each_part(id).await?;
        }
        let new = NewState { subject, to, reason, by: actor };
        let stopped = {
            let _nothing_leaves = self.running.shut().await;
            let note = self.change_note(&new)?;
            self.store.move_state(new, note.at, note.audit()?).await?;
            let stopped = self.running.stop(subject);
            // Even where the log has failed: what was under way is stopped first.
            self.settle_only(note).await?;
            stopped
        };
        let ended = self.running.ended(&stopped).await;
        let releases = self.releases(subject).await?;
        Ok(Stopped { kind: subject.word(), id: subject.id(), state: to, stopped, ended, releases })
    }

    /// The last administrator of a part is not stopped: nobody could do its part any more, nor appoint another.
    async fn keep_one_of_each_part(&self, id: &str) -> Result<(), DomainError> {
        let institution = self.store.institution(id).await?;
        let Some(office) = institution.office else { return Ok(()) };
        let others = self.store.approved_in(office).await? - u64::from(institution.state == State::Approved);
        if others > 0 {
            return Ok(());
        }
        Err(Refusal::new(
            "registry/last-administrator",
            "这是该职责唯一的管理员",
            "this is the only administrator of its part",
        )
        .at(id)
        .hint("请先任命并准入另一名管理员", "appoint and admit another one first")
        .into())
    }

    async fn releases(&self, subject: &Subject) -> Result<Vec<ReleaseView>, DomainError> {
        // What was answered is written soon after: until then it is waited for.
        self.verifying.flush().await;
        let rested = self.store.rested_on(subject, MAX_RELEASES).await?.into_iter().map(|r| ReleaseView {
            run: r.run,
            institution: r.institution,
            product: r.product,
            purpose: r.purpose,
            at: format_instant(r.at),
            file: r.file_digest.map(|d| d.to_string()),
        });
        Ok(rested.collect())
    }

    fn change_note(&self, new: &NewState<'_>) -> Result<super::Note, DomainError> {
        // The reason is for people and stays in the store; the log binds it by its digest.
        let reason = crate::digest::sha256_hex(new.reason.as_bytes());
        let kind = match (new.subject, new.to) {
            (Subject::Institution(_), _) => "institution.state",
            (Subject::Dataset(_), _) => "dataset.state",
            (Subject::Version { .. }, _) => "version.state",
            (Subject::Model { .. }, _) => "model.state",
            (Subject::Product(_), _) => "product.state",
            (Subject::Grant(_), _) => "grant.state",
        };
        self.note(
            kind,
            [
                ("subject", new.subject.id().into()),
                ("state", new.to.to_string().into()),
                ("reason", reason.into()),
                ("by", new.by.into()),
            ],
        )
    }

    /// Asks the policies about something that has a state.
    pub(super) async fn ask_about(&self, actor: &str, action: Action, subject: &Subject) -> Result<(), DomainError> {
        let state = self.state_or_absent(subject).await?;
        let id = subject.id();
        let submitted_by = match subject {
            Subject::Institution(id) => self.store.institution(id).await?.added_by.unwrap_or_default(),
            Subject::Dataset(id) | Subject::Version { dataset: id, .. } => self.store.dataset(id).await?.submitted_by,
            Subject::Model { id, version } => self.store.model(id, version).await?.submitted_by,
            Subject::Grant(id) => self.store.grant(id).await?.institution,
            Subject::Product(id) => {
                let (mut record, product) = self.product_record(id).await?;
                record.state = state;
                let behind = self.states_behind(&record, &product).await?;
                let facts = super::product_facts(&record, &product, &behind);
                return match self.authorise(actor, action, Resource::Product(facts)).await {
                    Ok(_) => Ok(()),
                    Err(DomainError::Refused(refused)) => Err(behind.explain(refused).into()),
                    Err(other) => Err(other),
                };
            }
        };
        let item = ItemFacts { id: &id, state, submitted_by: &submitted_by };
        let resource = match subject {
            Subject::Institution(_) => Resource::Institution(item),
            Subject::Dataset(_) => Resource::Dataset(item),
            Subject::Version { .. } => Resource::Version(item),
            Subject::Model { .. } => Resource::Model(item),
            Subject::Grant(_) | Subject::Product(_) => Resource::Grant(item),
        };
        self.authorise(actor, action, resource).await.map(drop)
    }

    pub(super) async fn state_or_absent(&self, subject: &Subject) -> Result<State, DomainError> {
        self.store.state_of(subject).await.map_err(|e| match e {
            StoreError::NotFound { .. } => {
                DomainError::not_found(subject.kind().zh(), subject.kind().en(), &subject.id())
            }
            other => other.into(),
        })
    }
}

/// A reason is a text for people, given and bounded, without numbers of persons: it is shown and kept for years.
pub(crate) fn check_reason(reason: &str) -> Result<(), Refused> {
    let mut reasons = Vec::new();
    let count = reason.chars().count();
    if reason.trim().is_empty() || count > MAX_REASON || reason.chars().any(|c| c.is_control() && c != '\n') {
        reasons.push(
            Refusal::new(
                "input/reason",
                format!("须写明理由（1 至 {MAX_REASON} 字）"),
                format!("a reason is needed, of 1 to {MAX_REASON} characters"),
            )
            .hint("写明依据与原因，当事机构会看到", "say what it rests on and why; those concerned will read it"),
        );
    }
    if !personal_data(reason).is_empty() {
        reasons.push(
            Refusal::new(
                "input/reason-personal",
                "理由中含有个人或企业的号码",
                "the reason holds a number of a person or a firm",
            )
            .hint("请用登记编号指代", "refer to it by its registered id"),
        );
    }
    Refused::unless(reasons, ())
}
