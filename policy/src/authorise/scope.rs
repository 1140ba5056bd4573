//! What a credential is good for: less than what its institution may do, never more.

use super::Action;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One kind of thing that a credential may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read the catalogue, budgets, grants, and the institution's own runs.
    Read,
    /// Hand in datasets, models, products and requests of data subjects; answer these.
    Submit,
    /// Run products and ask verifications.
    Use,
    /// Approve, consent, decline, grant, suspend, resume.
    Approve,
    /// Read the audit log and replay runs.
    Audit,
    /// Institutions, credentials, policies.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 6] = [Scope::Read, Scope::Submit, Scope::Use, Scope::Approve, Scope::Audit, Scope::Admin];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Submit => "submit",
            Scope::Use => "use",
            Scope::Approve => "approve",
            Scope::Audit => "audit",
            Scope::Admin => "admin",
        }
    }

    /// The scope of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Action {
    /// The scope that a credential needs for it; `None` where every valid credential will do.
    pub const fn scope(self) -> Option<Scope> {
        match self {
            Action::Connect => None,
            Action::ReadCatalogue
            | Action::ReadInstitution
            | Action::ReadGrant
            | Action::ReadRun
            | Action::ReadResult
            | Action::ReadRequest
            | Action::ReadRegister
            | Action::ReadBudget => Some(Scope::Read),
            Action::RegisterDataset
            | Action::WithdrawDataset
            | Action::SubmitModel
            | Action::SubmitProduct
            | Action::FileRequest
            | Action::AnswerRequest => Some(Scope::Submit),
            Action::Run | Action::Verify => Some(Scope::Use),
            Action::ApproveDataset
            | Action::ApproveModel
            | Action::ApproveProduct
            | Action::AddGrant
            | Action::OpenEpoch
            | Action::Consent
            | Action::Decline
            | Action::Renew
            | Action::AdmitInstitution
            | Action::Suspend
            | Action::Resume
            | Action::End => Some(Scope::Approve),
            Action::ReadAudit | Action::ArchiveAudit | Action::Replay => Some(Scope::Audit),
            Action::AddInstitution | Action::ManageCredential | Action::ChangePolicy => Some(Scope::Admin),
        }
    }
}

/// The scopes of a credential; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// All of them.
    pub fn all() -> Self {
        Self(Scope::ALL.into_iter().collect())
    }

    /// These; `None` where there is none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Option<Self> {
        let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
        (!scopes.is_empty()).then_some(Self(scopes))
    }

    /// From words.
    ///
    /// # Errors
    /// `credential/scope` where a word is none, or there is no word.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Refusal> {
        let unknown = || {
            Refusal::new("input/scope", "未知的凭据范围", "that is no scope of a credential").hint(
                "可用的范围：read、submit、use、approve、audit、admin",
                "a scope is read, submit, use, approve, audit or admin",
            )
        };
        let scopes = words.into_iter().map(Scope::from_word).collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        Self::new(scopes).ok_or_else(unknown)
    }

    /// The words, in their order.
    pub fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|scope| scope.as_str()).collect()
    }

    /// Whether all the other's scopes are among these.
    pub fn contain(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// Whether a credential with these scopes may be used for an action.
    ///
    /// # Errors
    /// `authorise/scope`.
    pub fn cover(&self, action: Action) -> Result<(), Refusal> {
        match action.scope() {
            Some(scope) if !self.0.contains(&scope) => Err(Refusal::new(
                "authorise/scope",
                format!("该凭据的范围不包括 {scope}"),
                format!("the credential does not have the scope `{scope}`"),
            )
            .hint("请使用范围更大的凭据", "use a credential that has it")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_good_for_its_scopes_alone() {
        for action in Action::ALL {
            for scope in Scope::ALL {
                let one = Scopes::new([scope]).expect("one scope");
                let fits = action.scope().is_none_or(|needed| needed == scope);
                assert_eq!(one.cover(action).is_ok(), fits, "{scope} {action:?}");
            }
            assert!(Scopes::all().cover(action).is_ok());
        }
    }

    #[test]
    fn words_and_sets() {
        assert_eq!(Scopes::parse(["use", "read", "use"]).expect("scopes").words(), ["read", "use"]);
        for wrong in [&["everything"][..], &["read", ""], &[]] {
            assert_eq!(Scopes::parse(wrong.iter().copied()).expect_err("no scope").code(), "input/scope");
        }
        let read = Scopes::parse(["read"]).expect("scopes");
        assert!(Scopes::all().contain(&read) && !read.contain(&Scopes::all()) && read.contain(&read));
        assert!(Scopes::new([]).is_none());
    }
}
