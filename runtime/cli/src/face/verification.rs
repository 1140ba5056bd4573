//! Verifications, indexes, alarms, issuers.

use super::{Face, Items, Remote};
use serde::Deserialize;
use serde_json::{Value, json};
use yunei_engine::registry::{AlarmRecord, VerificationRecord};
use yunei_engine::verify::{IndexAudit, IndexView, IssuerView};
use yunei_engine::{BatchRequest, ConsentKey, DomainError, VerifyAnswer, VerifyRequest};
use yunei_policy::words::{State, UnitKind};
use yunei_policy::{Lang, Text};
use yunei_server::client::{Method, Sending, escaped};

/// An answered verification: the envelope, and the receipt as text.
pub(crate) struct Verified {
    pub(crate) document: Value,
    pub(crate) receipt: String,
}

fn envelope(answer: &VerifyAnswer, product: Option<&str>) -> Result<Value, DomainError> {
    serde_json::to_value(answer.envelope(product)).map_err(|_| super::unexpected())
}

impl Remote {
    async fn verify(&self, request: &VerifyRequest) -> Result<Verified, DomainError> {
        let body = json!({
            "product": request.product, "identity": request.identity, "claim": request.claim, "claims": request.claims,
            "purpose": request.purpose, "scene": request.scene, "serial": request.serial, "consent": request.consent,
        });
        let document: Value = self.client.post("/v1/verifications", &body).await?;
        let receipt = document["receipt"].as_str().ok_or_else(super::unexpected)?.to_owned();
        Ok(Verified { document, receipt })
    }

    async fn batch(&self, request: &BatchRequest) -> Result<Vec<Value>, DomainError> {
        #[derive(Deserialize)]
        struct Answers {
            answers: Vec<Value>,
        }
        let items: Vec<Value> = request
            .items
            .iter()
            .map(|item| {
                json!({
                    "identity": item.identity, "claims": item.claims, "serial": item.serial, "consent": item.consent,
                })
            })
            .collect();
        let body = json!({
            "product": request.product, "purpose": request.purpose, "scene": request.scene, "items": items,
        });
        let mut answers = self.client.post::<Answers>("/v1/verifications/batch", &body).await?.answers;
        for fields in answers.iter_mut().filter_map(Value::as_object_mut) {
            // As a home gives them: all items are of one product.
            fields.remove("product");
        }
        Ok(answers)
    }
}

impl Face {
    pub(crate) async fn verify(&self, request: &VerifyRequest) -> Result<Verified, DomainError> {
        let answer = match self {
            Face::Local(domain) => domain.verify(request).await?,
            Face::Remote(remote) => return remote.verify(request).await,
        };
        let document = envelope(&answer, Some(&request.product))?;
        Ok(Verified { document, receipt: answer.receipt.to_string() })
    }

    /// The answers of a batch, in the order of its items: each an envelope, or the reasons why there is none.
    pub(crate) async fn verify_batch(&self, request: BatchRequest, lang: Lang) -> Result<Vec<Value>, DomainError> {
        let answers = match self {
            Face::Local(domain) => domain.verify_batch(request).await?,
            Face::Remote(remote) => return remote.batch(&request).await,
        };
        let documents = answers.iter().map(|answer| match answer {
            Ok(answer) => envelope(answer, None),
            Err(error) => Ok(json!({ "refused": error.reasons().iter().map(|r| r.to_view(lang)).collect::<Vec<_>>() })),
        });
        documents.collect()
    }

    pub(crate) async fn build_index(
        &self,
        actor: &str,
        product: &str,
        progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<IndexView, DomainError> {
        match self {
            Face::Local(domain) => domain.build_index(actor, product, progress).await,
            Face::Remote(remote) => {
                let path = format!("/v1/products/{}/index", escaped(product));
                remote.client.call(Method::POST, &path, Sending::default()).await?.json()
            }
        }
    }

    pub(crate) async fn audit_index(&self, actor: &str, product: &str, sample: u64) -> Result<IndexAudit, DomainError> {
        match self {
            Face::Local(domain) => domain.audit_index(actor, product, sample).await,
            Face::Remote(remote) => {
                let path = format!("/v1/products/{}/index/audit", escaped(product));
                remote.client.post(&path, &json!({ "sample": sample })).await
            }
        }
    }

    pub(crate) async fn verification_alarms(&self, actor: &str) -> Result<Vec<AlarmRecord>, DomainError> {
        match self {
            Face::Local(domain) => domain.verification_alarms(actor).await,
            Face::Remote(remote) => Ok(remote.client.get::<Items<_>>("/v1/verifications/alarms").await?.items),
        }
    }

    pub(crate) async fn resume_verification(
        &self,
        actor: &str,
        institution: &str,
        product: &str,
    ) -> Result<u64, DomainError> {
        #[derive(Deserialize)]
        struct Lifted {
            lifted: u64,
        }
        match self {
            Face::Local(domain) => domain.resume_verification(actor, institution, product).await,
            Face::Remote(remote) => {
                let body = json!({ "institution": institution, "product": product });
                Ok(remote.client.post::<Lifted>("/v1/verifications/resumption", &body).await?.lifted)
            }
        }
    }

    pub(crate) async fn asked_about(
        &self,
        kind: UnitKind,
        number: &str,
        consent: &str,
    ) -> Result<Vec<VerificationRecord>, DomainError> {
        match self {
            Face::Local(domain) => domain.asked_about(kind, number, consent).await,
            Face::Remote(remote) => {
                let legal = kind == UnitKind::LegalPerson;
                let body = json!({ "legal_person": legal, "number": number, "consent": consent });
                Ok(remote.client.post::<Items<_>>("/v1/verifications/asked", &body).await?.items)
            }
        }
    }

    pub(crate) async fn issuers(&self) -> Result<Vec<IssuerView>, DomainError> {
        match self {
            Face::Local(domain) => domain.issuers().await,
            Face::Remote(remote) => remote.client.list("/v1/issuers").await,
        }
    }

    pub(crate) async fn add_issuer(
        &self,
        actor: &str,
        id: &str,
        title: &Text,
        key: &ConsentKey,
    ) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.add_issuer(actor, id, title, key).await,
            Face::Remote(remote) => {
                let body = json!({ "id": id, "title": title, "public_key": key.to_pem() });
                remote.client.post::<Value>("/v1/issuers", &body).await.map(drop)
            }
        }
    }

    pub(crate) async fn set_issuer_state(&self, actor: &str, id: &str, to: State) -> Result<(), DomainError> {
        match self {
            Face::Local(domain) => domain.set_issuer_state(actor, id, to).await.map(drop),
            Face::Remote(remote) => {
                let action = if to == State::Suspended { "suspend" } else { "resume" };
                let path = format!("/v1/issuers/{}/state", escaped(id));
                remote.client.post::<Value>(&path, &json!({ "action": action })).await.map(drop)
            }
        }
    }
}
