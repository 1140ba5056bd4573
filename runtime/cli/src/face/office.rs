//! Registers, deadlines, consents of holders, declines, and the requests of data subjects.

use super::{Face, Items};
use serde::Deserialize;
use serde_json::{Value, json};
use yunei_engine::DomainError;
use yunei_engine::domain::{
    ConsentView, DueView, LapseView, RegisterView, RegistrationView, RequestView, SubjectQuery,
};
use yunei_engine::registry::{Outcome, Subject};
use yunei_policy::Refusal;
use yunei_policy::words::State;
use yunei_server::client::{Method, Sending, escaped};

/// Where something stands after a decision.
#[derive(Deserialize)]
struct Standing {
    state: State,
}

impl Face {
    pub(crate) async fn consents(&self, actor: &str, product: &str) -> Result<Vec<ConsentView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.consents(actor, product).await,
            Face::Remote(remote) => remote,
        };
        let path = format!("/v1/products/{}/consents", escaped(product));
        Ok(remote.client.get::<Items<ConsentView>>(&path).await?.items)
    }

    pub(crate) async fn consent(
        &self,
        actor: &str,
        product: &str,
        given: bool,
        reason: &str,
    ) -> Result<Vec<ConsentView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.consent(actor, product, given, reason).await,
            Face::Remote(remote) => remote,
        };
        let path = format!("/v1/products/{}/consents", escaped(product));
        let body = json!({ "given": given, "reason": reason });
        Ok(remote.client.post::<Items<ConsentView>>(&path, &body).await?.items)
    }

    pub(crate) async fn decline(
        &self,
        actor: &str,
        subject: &Subject,
        reasons: &[String],
    ) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.decline(actor, subject, reasons).await,
            Face::Remote(remote) => {
                let path = format!("/v1/declines/{}/{}", subject.word(), escaped(&subject.id()));
                let body = json!({ "reasons": reasons });
                Ok(remote.client.post::<Standing>(&path, &body).await?.state)
            }
        }
    }

    pub(crate) async fn admit_institution(&self, actor: &str, id: &str) -> Result<State, DomainError> {
        match self {
            Face::Local(domain) => domain.admit_institution(actor, id).await,
            Face::Remote(remote) => {
                let path = format!("/v1/institutions/{}/admission", escaped(id));
                let reply = remote.client.call(Method::POST, &path, Sending::default()).await?;
                Ok(reply.json::<Standing>()?.state)
            }
        }
    }

    pub(crate) async fn due(&self, actor: &str, overdue: bool) -> Result<Vec<DueView>, DomainError> {
        match self {
            Face::Local(domain) => domain.due(actor, overdue).await,
            Face::Remote(remote) => {
                Ok(remote.client.get::<Items<DueView>>(&format!("/v1/due?overdue={overdue}")).await?.items)
            }
        }
    }

    pub(crate) async fn lapsing(&self, actor: &str) -> Result<Vec<LapseView>, DomainError> {
        match self {
            Face::Local(domain) => domain.lapsing(actor).await,
            Face::Remote(remote) => Ok(remote.client.get::<Items<LapseView>>("/v1/registers/lapsing").await?.items),
        }
    }

    pub(crate) async fn registers(&self, actor: &str) -> Result<Vec<RegisterView>, DomainError> {
        match self {
            Face::Local(domain) => domain.registers(actor).await,
            Face::Remote(remote) => remote.client.list("/v1/registers").await,
        }
    }

    pub(crate) async fn dcat(&self, actor: &str) -> Result<Value, DomainError> {
        match self {
            Face::Local(domain) => domain.dcat(actor).await,
            Face::Remote(remote) => remote.client.get("/v1/registers/dcat").await,
        }
    }

    pub(crate) async fn renew_registration(
        &self,
        actor: &str,
        subject: &Subject,
    ) -> Result<RegistrationView, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.renew_registration(actor, subject).await,
            Face::Remote(remote) => remote,
        };
        if !matches!(subject, Subject::Dataset(_) | Subject::Product(_)) {
            let (zh, en) = ("登记的对象是数据集或产品", "a dataset or a product is registered");
            return Err(Refusal::new("input/subject", zh, en).into());
        }
        let path = format!("{}/registration", super::place(subject));
        remote.client.call(Method::POST, &path, Sending::default()).await?.json()
    }

    pub(crate) async fn file_request(&self, actor: &str, query: &SubjectQuery) -> Result<RequestView, DomainError> {
        match self {
            Face::Local(domain) => domain.file_request(actor, query).await,
            Face::Remote(remote) => {
                let body = json!({
                    "kind": query.kind, "dataset": query.dataset, "subject": query.subject, "details": query.details,
                });
                remote.client.post("/v1/requests", &body).await
            }
        }
    }

    pub(crate) async fn requests(&self, actor: &str, open: bool) -> Result<Vec<RequestView>, DomainError> {
        let remote = match self {
            Face::Local(domain) => return domain.requests(actor, open).await,
            Face::Remote(remote) => remote,
        };
        let all: Vec<RequestView> = remote.client.list("/v1/requests").await?;
        Ok(all.into_iter().filter(|request| !open || request.outcome.is_none()).collect())
    }

    pub(crate) async fn request(&self, actor: &str, id: &str) -> Result<RequestView, DomainError> {
        match self {
            Face::Local(domain) => domain.request(actor, id).await,
            Face::Remote(remote) => remote.client.get(&format!("/v1/requests/{}", escaped(id))).await,
        }
    }

    pub(crate) async fn extend_request(&self, actor: &str, id: &str, why: &str) -> Result<RequestView, DomainError> {
        match self {
            Face::Local(domain) => domain.extend_request(actor, id, why).await,
            Face::Remote(remote) => {
                let path = format!("/v1/requests/{}/extension", escaped(id));
                remote.client.post(&path, &json!({ "reason": why })).await
            }
        }
    }

    pub(crate) async fn answer_request(
        &self,
        actor: &str,
        id: &str,
        outcome: Outcome,
        answer: &str,
        corrected: Option<u64>,
    ) -> Result<RequestView, DomainError> {
        match self {
            Face::Local(domain) => domain.answer_request(actor, id, outcome, answer, corrected).await,
            Face::Remote(remote) => {
                let path = format!("/v1/requests/{}/answer", escaped(id));
                let body = json!({ "outcome": outcome, "answer": answer, "corrected_version": corrected });
                remote.client.post(&path, &body).await
            }
        }
    }
}
