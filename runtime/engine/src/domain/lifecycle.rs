//! Decisions over what was handed in: who submits never approves, every holder consents, every refusal has its reasons.

use super::Domain;
use super::suspend::check_reason;
use crate::dates::format_instant;
use crate::error::DomainError;
use crate::registry::{NewConsent, NewInstitution, Subject};
use serde::{Deserialize, Serialize};
use serde_json::json;
use yunei_policy::authorise::{Action, Resource};
use yunei_policy::words::{Office, Role, State};
use yunei_policy::{Refusal, Refused, Text};

/// At most how many reasons one decline has.
const MAX_REASONS: usize = 100;

/// A holder's word on a product over one of its datasets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsentView {
    /// The dataset.
    pub dataset: String,
    /// Its holder.
    pub holder: String,
    /// `missing`, `given`, `refused` or `withdrawn`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// When; `None` where nothing was said yet.
    pub at: Option<String>,
}

impl Domain {
    /// Whether the authority's three parts (system, security, audit) are all filled: then each acts in its own part, and an
    /// undivided authority does not act any more.
    pub(crate) async fn is_divided(&self) -> Result<bool, DomainError> {
        Ok(self.store.filled_offices().await? == Office::ALL.len())
    }

    /// Appoints a part of the authority's staff (三员分立): an institution of its own, with its own credentials. Where the
    /// parts are divided already, it waits until the security administrator admits it.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the id is taken.
    pub async fn appoint(&self, actor: &str, id: &str, office: Office, title: &Text) -> Result<State, DomainError> {
        let mut reasons = Vec::new();
        crate::text::check_id("institution", id, &mut reasons);
        Refused::unless(reasons, ())?;
        self.authorise(actor, Action::AddInstitution, Resource::Domain).await?;
        self.enter(actor, id, Role::Authority, title, Some(office)).await
    }

    /// Enters an institution; what was asked and allowed before.
    pub(super) async fn enter(
        &self,
        actor: &str,
        id: &str,
        role: Role,
        title: &Text,
        office: Option<Office>,
    ) -> Result<State, DomainError> {
        let state = if self.is_divided().await? { State::Submitted } else { State::Approved };
        let note = self.note(
            "institution.added",
            [
                ("institution", id.into()),
                ("role", role.to_string().into()),
                ("office", json!(office)),
                ("state", state.to_string().into()),
                ("by", actor.into()),
            ],
        )?;
        let new = NewInstitution { id, role, title, office, added_by: Some(actor), state };
        self.store.enter_institution(new, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(state)
    }

    /// Admits an institution that a system administrator entered.
    ///
    /// # Errors
    /// The reasons why the actor may not, or it does not wait.
    pub async fn admit_institution(&self, actor: &str, id: &str) -> Result<State, DomainError> {
        self.approve(actor, Action::AdmitInstitution, &Subject::Institution(id.to_owned())).await
    }

    /// Approves what was handed in.
    pub(super) async fn approve(&self, actor: &str, action: Action, subject: &Subject) -> Result<State, DomainError> {
        self.ask_about(actor, action, subject).await?;
        let kind = match subject {
            Subject::Institution(_) => "institution.state",
            Subject::Dataset(_) => "dataset.state",
            Subject::Model { .. } => "model.state",
            _ => "product.state",
        };
        let note = self.note(
            kind,
            [("subject", subject.id().into()), ("state", State::Approved.to_string().into()), ("by", actor.into())],
        )?;
        self.store.approve(subject, actor, &self.register, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(State::Approved)
    }

    /// Declines an institution, dataset, model or product that was handed in. Reasons are demanded, and all of them at
    /// once: everything that is missing (一次性告知). It can be handed in again, changed.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/reason` for each reason that is none.
    pub async fn decline(&self, actor: &str, subject: &Subject, reasons: &[String]) -> Result<State, DomainError> {
        let mut wrong: Vec<Refusal> = Vec::new();
        if !(1..=MAX_REASONS).contains(&reasons.len()) {
            wrong.push(Refusal::new(
                "input/reason",
                format!("须写明 1 至 {MAX_REASONS} 条理由"),
                format!("1 to {MAX_REASONS} reasons are needed"),
            ));
        }
        for reason in reasons.iter().take(MAX_REASONS) {
            wrong.extend(check_reason(reason).err().iter().flat_map(|r| r.reasons().iter().cloned()));
        }
        Refused::unless(wrong, ())?;
        if matches!(subject, Subject::Version { .. } | Subject::Grant(_)) {
            return Err(Refusal::new(
                "input/subject",
                "只能退回机构、数据集、模型或产品",
                "an institution, a dataset, a model or a product is declined",
            )
            .into());
        }
        self.ask_about(actor, Action::Decline, subject).await?;
        let digest = crate::digest::sha256_hex(json!(reasons).to_string().as_bytes());
        let note = self.note(
            "submission.declined",
            [
                ("kind", subject.word().into()),
                ("subject", subject.id().into()),
                ("reasons", digest.into()),
                ("by", actor.into()),
            ],
        )?;
        self.store.decline(subject, reasons, actor, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(State::Declined)
    }

    /// The reasons for which something was last declined.
    ///
    /// # Errors
    /// The reasons why the actor may not see them; `registry/not-found` where it was never declined.
    pub async fn decline_reasons(&self, actor: &str, subject: &Subject) -> Result<Vec<String>, DomainError> {
        self.authorise(actor, Action::ReadRegister, Resource::Domain).await?;
        let declined = self.store.declined(subject).await?;
        declined
            .map(|(reasons, ..)| reasons)
            .ok_or_else(|| DomainError::not_found("退回记录", "decline", &subject.id()))
    }

    /// A holder consents to a product over all of its own datasets that the product reads, or refuses. A consent that is
    /// taken back is in force as a suspension is: nothing more is released by the product.
    ///
    /// # Errors
    /// The reasons why the actor may not; `input/reason` where it refuses without one.
    pub async fn consent(
        &self,
        actor: &str,
        product: &str,
        given: bool,
        reason: &str,
    ) -> Result<Vec<ConsentView>, DomainError> {
        if !given || !reason.is_empty() {
            check_reason(reason)?;
        }
        let subject = Subject::Product(product.to_owned());
        self.state_or_absent(&subject).await?;
        self.ask_about(actor, Action::Consent, &subject).await?;
        let (record, parsed) = self.product_record(product).await?;
        let before = self.consent_views(&record, &parsed).await?;
        let own: Vec<&ConsentView> = before.iter().filter(|c| c.holder == actor).collect();
        let verdict = match (given, own.iter().any(|c| c.verdict == "given")) {
            (true, _) => "given",
            (false, true) => "withdrawn",
            (false, false) => "refused",
        };
        let datasets: Vec<String> = own.iter().map(|c| c.dataset.clone()).collect();
        let note = self.note(
            "product.consent",
            [
                ("product", product.into()),
                ("manifest", record.toml_digest.to_string().into()),
                ("datasets", json!(datasets)),
                ("verdict", verdict.into()),
                ("reason", crate::digest::sha256_hex(reason.as_bytes()).into()),
                ("by", actor.into()),
            ],
        )?;
        let new = NewConsent { product, digest: record.toml_digest, datasets: &datasets, verdict, reason, by: actor };
        if verdict == "withdrawn" {
            let stopped = {
                let _nothing_leaves = self.running.shut().await;
                self.store.consent(new, note.at, note.audit()?).await?;
                let stopped = self.running.stop(&subject);
                self.settle_only(note).await?;
                stopped
            };
            self.running.ended(&stopped).await;
        } else {
            self.store.consent(new, note.at, note.audit()?).await?;
            self.settle_only(note).await?;
        }
        self.consent_views(&record, &parsed).await
    }

    /// What the holders say of a product.
    ///
    /// # Errors
    /// The reasons why the actor may not see it; `registry/not-found`.
    pub async fn consents(&self, actor: &str, product: &str) -> Result<Vec<ConsentView>, DomainError> {
        self.authorise(actor, Action::ReadRegister, Resource::Domain).await?;
        let (record, parsed) = self.product_record(product).await?;
        self.consent_views(&record, &parsed).await
    }

    pub(super) async fn consent_views(
        &self,
        record: &crate::registry::Product,
        product: &crate::product::Product,
    ) -> Result<Vec<ConsentView>, DomainError> {
        let words = self.store.consents(&record.id, &record.toml_digest).await?;
        let mut views = Vec::new();
        for id in product.datasets() {
            let holder = self.store.dataset(id).await?.submitted_by;
            let word = words.iter().find(|w| w.dataset == *id);
            views.push(ConsentView {
                dataset: id.clone(),
                holder,
                verdict: word.map_or_else(|| "missing".to_owned(), |w| w.verdict.clone()),
                reason: word.map(|w| w.reason.clone()).unwrap_or_default(),
                at: word.map(|w| format_instant(w.at)),
            });
        }
        Ok(views)
    }
}
