//! Who asked about me: the verifications about one subject, for the subject itself.

use super::consent::{ASKED_ABOUT_ME, consent_subject};
use crate::domain::Domain;
use crate::error::DomainError;
use crate::registry::{AlarmRecord, VerificationRecord};
use std::collections::BTreeMap;
use yunei_policy::Refusal;
use yunei_policy::authorise::{Action, Resource};
use yunei_policy::verification::FieldKind;
use yunei_policy::verification::consent::{Covered, check_consent, invalid};
use yunei_policy::words::UnitKind;

impl Domain {
    /// The verifications about a subject, newest first, at most 1,000. The subject proves itself by a token of a registered
    /// issuer whose product, purpose and business are [`ASKED_ABOUT_ME`], over one field: its number. The token may be used
    /// as long as it holds.
    ///
    /// # Errors
    /// `input/field` where the number is malformed, `consent/invalid` where the token does not prove it.
    pub async fn asked_about(
        &self,
        kind: UnitKind,
        number: &str,
        token: &str,
    ) -> Result<Vec<VerificationRecord>, DomainError> {
        let field = match kind {
            UnitKind::NaturalPerson => FieldKind::PersonNumber,
            UnitKind::LegalPerson | UnitKind::None => FieldKind::FirmNumber,
        };
        let spelled = field
            .normalise(number)
            .ok_or_else(|| Refusal::new("input/field", "字段格式不正确", "the field is malformed").at("number"))?;
        let standing = self.verifying.standing(self).await?;
        let standing = match self.verifying.is_stale(self, &standing).await? {
            true => self.verifying.renew(self, &standing).await?,
            false => standing,
        };
        let genuine = standing.issuers.read(token)?;
        let identity = BTreeMap::from([("number".to_owned(), number.to_owned())]);
        let subject = consent_subject(&genuine.consent.nonce, &identity);
        let covered = Covered {
            domain: self.name(),
            subject: &subject,
            business: ASKED_ABOUT_ME,
            product: ASKED_ABOUT_ME,
            purpose: ASKED_ABOUT_ME,
            now: self.now().div_euclid(1_000),
        };
        check_consent(self.rules.verification(), &genuine.consent, &covered).map_err(|_| invalid())?;
        self.verifying.flush().await;
        let note = self.note(
            "verification.listed",
            [("consent", self.verifying.keyed("listed", &[genuine.id.as_bytes()]).into())],
        )?;
        self.store.note(note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(self.store.verifications_about(&self.verifying.subject(kind, spelled.as_bytes())).await?)
    }

    /// What looked like enumeration, newest first.
    ///
    /// # Errors
    /// The reasons why the actor may not see it.
    pub async fn verification_alarms(&self, actor: &str) -> Result<Vec<AlarmRecord>, DomainError> {
        self.authorise(actor, Action::ReadAudit, Resource::Domain).await?;
        Ok(self.store.verification_alarms().await?)
    }

    /// Lifts the stop of a business for a product: it may ask again, and what it asked before is not held against it. Gives
    /// how many stops there were.
    ///
    /// # Errors
    /// The reasons why the actor may not.
    pub async fn resume_verification(&self, actor: &str, institution: &str, product: &str) -> Result<u64, DomainError> {
        self.authorise(actor, Action::AddInstitution, Resource::Domain).await?;
        self.institution(institution).await?;
        let writer = self.verifying.writer(self).await?;
        let lifted = writer.lift(self.log.clone(), institution, product, actor, self.now()).await?;
        if lifted == 0 {
            return Err(Refusal::new("verify/not-stopped", "该机构未被停止", "the institution is not stopped").into());
        }
        Ok(lifted)
    }
}
