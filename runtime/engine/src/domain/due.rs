//! What somebody has to do in time, and what lapses soon.

use super::Domain;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::registry::{Institution, Subject};
use serde::{Deserialize, Serialize};
use yunei_policy::authorise::{Action, Resource};
use yunei_policy::register::Step;
use yunei_policy::words::{Role, State};

/// Something that waits for somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DueView {
    /// What is to be done.
    pub step: Step,
    /// `institution`, `dataset`, `model`, `product` or `request`.
    pub kind: String,
    /// Of what.
    pub id: String,
    /// Who has to do it; `authority` for the authority as a whole.
    pub owner: String,
    /// Who waits for it.
    pub waiting: String,
    /// Since when.
    pub since: String,
    /// How many working days there are for it.
    pub working_days: u32,
    /// The last day, in the authority's time.
    pub due: String,
    /// How many working days are left; negative where it is overdue.
    pub days_left: i64,
    /// Whether it is overdue.
    pub overdue: bool,
    /// The last day to tell everything that is missing of a submission.
    pub materials_by: Option<String>,
}

/// Something whose term has ended or ends soon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LapseView {
    /// `registration`, `agreement` or `grant`.
    pub what: String,
    /// Of what: `dataset residents`, `product …`, or the grant's id.
    pub of: String,
    /// Its number, or the grant's product.
    pub number: String,
    /// Until when.
    pub until: String,
    /// Whether it has lapsed: new uses are refused.
    pub lapsed: bool,
}

impl Domain {
    /// What is due, the most urgent first; the overdue alone where that is asked. The authority sees everything, every other
    /// institution what it has to do or waits for.
    ///
    /// # Errors
    /// The reasons why the actor may not see it.
    pub async fn due(&self, actor: &str, overdue_only: bool) -> Result<Vec<DueView>, DomainError> {
        self.authorise(actor, Action::ReadRegister, Resource::Domain).await?;
        let institution = self.institution(actor).await?;
        let mut due = Vec::new();
        for waiting in self.store.waiting().await? {
            let step = match waiting.kind {
                "institution" => Step::Institution,
                "dataset" => Step::Dataset,
                "model" => Step::Model,
                _ => Step::Product,
            };
            let by = &waiting.submitted_by;
            if waiting.kind == "product" {
                let (record, product) = self.product_record(&waiting.id).await?;
                for consent in self.consent_views(&record, &product).await? {
                    if consent.verdict == "missing" && self.register.consent_required() {
                        let id = format!("{} / {}", waiting.id, consent.dataset);
                        due.push(self.due_view(Step::Consent, "product", &id, &consent.holder, by, waiting.at));
                    }
                }
            }
            due.push(self.due_view(step, waiting.kind, &waiting.id, "authority", by, waiting.at));
        }
        for request in self.store.requests(true).await? {
            let step = if request.extended.is_some() { Step::RequestExtended } else { Step::Request };
            due.push(self.due_view(step, "request", &request.id, &request.holder, &request.filed_by, request.filed_at));
        }
        due.retain(|d| (d.overdue || !overdue_only) && concerns(&institution, d));
        due.sort_by(|a, b| (a.days_left, &a.due, &a.id).cmp(&(b.days_left, &b.due, &b.id)));
        Ok(due)
    }

    pub(super) fn due_view(&self, step: Step, kind: &str, id: &str, owner: &str, waiting: &str, since: i64) -> DueView {
        let due = self.register.due(step, since);
        let submission = matches!(step, Step::Dataset | Step::Model | Step::Product);
        DueView {
            step,
            kind: kind.to_owned(),
            id: id.to_owned(),
            owner: owner.to_owned(),
            waiting: waiting.to_owned(),
            since: format_instant(since),
            working_days: self.register.days(step),
            due: self.day(due - 1),
            days_left: self.register.calendar().working_days_left(self.now(), due),
            overdue: self.now() >= due,
            materials_by: submission.then(|| self.day(self.register.due(Step::Materials, since) - 1)),
        }
    }

    /// The registrations, agreements and grants whose term has ended or ends soon, the earliest first. The authority sees
    /// everything, every other institution its own grants and all registrations.
    ///
    /// # Errors
    /// The reasons why the actor may not see it.
    pub async fn lapsing(&self, actor: &str) -> Result<Vec<LapseView>, DomainError> {
        self.authorise(actor, Action::ReadRegister, Resource::Domain).await?;
        let institution = self.institution(actor).await?;
        let now = self.now();
        let mut lapsing: Vec<(i64, LapseView)> = Vec::new();
        let mut push = |what: &str, of: String, number: String, until: i64| {
            if self.register.lapses_soon(until, now) {
                let view =
                    LapseView { what: what.to_owned(), of, number, until: format_instant(until), lapsed: now >= until };
                lapsing.push((until, view));
            }
        };
        let mut registrations = Vec::new();
        for one in self.store.registrations().await? {
            let Some(subject) = Subject::read(&one.kind, &one.subject) else { continue };
            let in_use = matches!(self.store.state_of(&subject).await?, State::Approved | State::Suspended);
            if in_use {
                registrations.push((subject, one));
            }
        }
        for (subject, one) in registrations {
            push("registration", subject.to_string(), one.number, one.term.until_millis);
        }
        let mut agreements = Vec::new();
        for grant in self.store.grants().await? {
            let own = institution.role == Role::Authority || grant.institution == institution.id;
            if own && matches!(grant.state, State::Approved | State::Suspended) {
                let agreement = self.store.agreement(&grant.id).await?;
                agreements.push((grant, agreement));
            }
        }
        for (grant, agreement) in agreements {
            if let Some(agreement) = agreement {
                push("agreement", grant.id.clone(), grant.product.clone(), agreement.term.until_millis);
            }
            push("grant", grant.id, grant.product, grant.until_millis);
        }
        lapsing.sort_by(|a, b| (a.0, &a.1.of).cmp(&(b.0, &b.1.of)));
        Ok(lapsing.into_iter().map(|(_, view)| view).collect())
    }
}

fn concerns(institution: &Institution, due: &DueView) -> bool {
    institution.role == Role::Authority || due.owner == institution.id || due.waiting == institution.id
}
