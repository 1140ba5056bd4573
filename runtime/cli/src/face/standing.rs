//! Where things stand, and credentials.

use super::{Face, Items};
use serde_json::json;
use yunei_engine::DomainError;
use yunei_engine::domain::{KeyView, ReleaseView, StateChangeView, Stopped, TokenView};
use yunei_engine::registry::Subject;
use yunei_policy::Refusal;
use yunei_policy::words::State;
use yunei_server::client::{Method, Sending, escaped};

impl Face {
    pub(crate) async fn suspend(&self, actor: &str, subject: &Subject, why: &str) -> Result<Stopped, DomainError> {
        match self {
            Face::Local(domain) => domain.suspend(actor, subject, why).await,
            Face::Remote(remote) => remote.change(subject, "suspend", why).await,
        }
    }

    pub(crate) async fn end(&self, actor: &str, subject: &Subject, why: &str) -> Result<Stopped, DomainError> {
        match self {
            Face::Local(domain) => domain.end(actor, subject, why).await,
            Face::Remote(remote) => remote.change(subject, "end", why).await,
        }
    }

    pub(crate) async fn withdraw(&self, actor: &str, subject: &Subject, why: &str) -> Result<Stopped, DomainError> {
        match self {
            Face::Local(domain) => domain.withdraw(actor, subject, why).await,
            Face::Remote(_) if !matches!(subject, Subject::Dataset(_) | Subject::Version { .. }) => Err(Refusal::new(
                "input/subject",
                "只有数据集及其版本可以撤回",
                "only a dataset or a version of one is withdrawn",
            )
            .into()),
            Face::Remote(remote) => remote.change(subject, "withdraw", why).await,
        }
    }

    pub(crate) async fn resume(&self, actor: &str, subject: &Subject, why: &str) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.resume(actor, subject, why).await,
            Face::Remote(remote) => Ok(remote.change(subject, "resume", why).await?.state),
        }
    }

    pub(crate) async fn releases_on(&self, actor: &str, subject: &Subject) -> Result<Vec<ReleaseView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.releases_on(actor, subject).await,
            Face::Remote(remote) => remote,
        };
        let path = format!("/v1/audit/releases/{}/{}", subject.word(), escaped(&subject.id()));
        Ok(remote.client.get::<Items<ReleaseView>>(&path).await?.items)
    }

    pub(crate) async fn state_history(
        &self,
        actor: &str,
        subject: &Subject,
    ) -> Result<Vec<StateChangeView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.state_history(actor, subject).await,
            Face::Remote(remote) => remote,
        };
        let path = format!("/v1/audit/history/{}/{}", subject.word(), escaped(&subject.id()));
        Ok(remote.client.get::<Items<StateChangeView>>(&path).await?.items)
    }

    pub(crate) async fn tokens(&self, actor: &str) -> Result<Vec<TokenView>, DomainError> {
        match self {
            Face::Local(domain) => domain.tokens_for(actor).await,
            Face::Remote(remote) => remote.client.list("/v1/tokens").await,
        }
    }

    pub(crate) async fn revoke_token(&self, actor: &str, id: &str) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.revoke_token(actor, id).await,
            Face::Remote(remote) => {
                let path = format!("/v1/tokens/{}", escaped(id));
                remote.client.call(Method::DELETE, &path, Sending::default()).await.map(drop)
            }
        }
    }

    pub(crate) async fn keys(&self, actor: &str) -> Result<Vec<KeyView>, DomainError> {
        match self {
            Face::Local(domain) => domain.signing_keys_for(actor).await,
            Face::Remote(remote) => remote.client.list("/v1/keys").await,
        }
    }

    pub(crate) async fn add_key(&self, actor: &str, public_key: &str, label: &str) -> Result<KeyView, DomainError> {
        match self {
            Face::Local(domain) => domain.add_signing_key(actor, actor, public_key, label).await,
            Face::Remote(remote) => {
                remote.client.post("/v1/keys", &json!({ "public_key": public_key, "label": label })).await
            }
        }
    }

    pub(crate) async fn retire_key(&self, actor: &str, id: &str) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.retire_signing_key(actor, id).await,
            Face::Remote(remote) => {
                let path = format!("/v1/keys/{}", escaped(id));
                remote.client.call(Method::DELETE, &path, Sending::default()).await.map(drop)
            }
        }
    }
}
