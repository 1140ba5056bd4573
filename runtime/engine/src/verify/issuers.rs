//! Who may sign consents: registered, suspended and resumed by the authority.

use super::consent::ConsentKey;
use crate::domain::Domain;
use crate::error::DomainError;
use crate::registry::Issuer;
use serde::{Deserialize, Serialize};
use yunei_policy::authorise::{Action, ItemFacts, Resource};
use yunei_policy::words::State;
use yunei_policy::{Refused, Text};

/// An issuer of consents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuerView {
    /// The id of its key.
    pub kid: String,
    /// Its name.
    pub title: Text,
    /// The one algorithm of its key.
    pub algorithm: String,
    /// Where it stands.
    pub state: State,
}

impl Domain {
    /// Registers an issuer of consents; in force at once.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the id is taken.
    pub async fn add_issuer(&self, actor: &str, kid: &str, title: &Text, key: &ConsentKey) -> Result<(), DomainError> {
        let mut reasons = Vec::new();
        crate::text::check_id("issuer", kid, &mut reasons);
        Refused::unless(reasons, ())?;
        // Who joins the domain is decided by whoever decides that of institutions.
        self.authorise(actor, Action::AddInstitution, Resource::Domain).await?;
        let algorithm = key.algorithm().as_str();
        let note = self.note(
            "issuer.added",
            [
                ("issuer", kid.into()),
                ("algorithm", algorithm.into()),
                ("key", crate::digest::sha256_hex(key.bytes()).into()),
                ("by", actor.into()),
            ],
        )?;
        let issuer = Issuer {
            kid: kid.to_owned(),
            title: title.clone(),
            algorithm: algorithm.to_owned(),
            public_key: key.bytes().to_vec(),
            state: State::Approved,
        };
        self.store.add_issuer(&issuer, note.at, note.audit()?).await?;
        self.settle_only(note).await
    }

    /// All issuers.
    ///
    /// # Errors
    /// What keeps the store from being read.
    pub async fn issuers(&self) -> Result<Vec<IssuerView>, DomainError> {
        let all = self.store.issuers().await?.into_iter();
        Ok(all.map(|i| IssuerView { kid: i.kid, title: i.title, algorithm: i.algorithm, state: i.state }).collect())
    }

    /// Suspends, resumes or retires an issuer; its tokens count or do not from the moment that this returns.
    ///
    /// # Errors
    /// The reasons why the actor may not, or the state does not follow.
    pub async fn set_issuer_state(&self, actor: &str, kid: &str, to: State) -> Result<State, DomainError> {
        let issuers = self.store.issuers().await?;
        let issuer = issuers.iter().find(|i| i.kid == kid);
        let state = issuer.ok_or_else(|| DomainError::not_found("授权签发机构", "consent issuer", kid))?.state;
        let action = if to == State::Approved { Action::Resume } else { Action::Suspend };
        self.authorise(actor, action, Resource::Institution(ItemFacts { id: kid, state, submitted_by: "" })).await?;
        let fields = [("issuer", kid.into()), ("state", to.to_string().into()), ("by", actor.into())];
        let note = self.note("issuer.state", fields)?;
        let state = self.store.set_issuer_state(kid, to, note.at, note.audit()?).await?;
        self.settle_only(note).await?;
        Ok(state)
    }
}
