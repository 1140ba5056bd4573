//! Batches: a product of their own, with an approval of its own, at most so many items, each with its own consent.

use super::{VerifyAnswer, VerifyRequest, verify_as};
use crate::domain::{Credential, Domain};
use crate::error::DomainError;
use futures::{StreamExt, stream};
use std::collections::BTreeMap;
use yunei_policy::Refusal;

/// How many items of a batch are under way at a time.
pub const AT_A_TIME: usize = 16;

/// One subject of a batch.
#[derive(Clone, Default)]
pub struct BatchItem {
    /// The identity fields of the subject, by column.
    pub identity: BTreeMap<String, String>,
    /// The claimed values by column.
    pub claims: BTreeMap<String, String>,
    /// The business's own serial number of this item.
    pub serial: Option<String>,
    /// The subject's consent.
    pub consent: Option<String>,
}

impl std::fmt::Debug for BatchItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BatchItem(..)")
    }
}

/// Many subjects, one product.
#[derive(Debug, Clone, Default)]
pub struct BatchRequest {
    /// Who asks.
    pub institution: String,
    /// Which product; it must have been approved for batches.
    pub product: String,
    /// What for.
    pub purpose: String,
    /// In which scene.
    pub scene: Option<String>,
    /// The subjects.
    pub items: Vec<BatchItem>,
    /// What showed who asks, where it came over the network: looked at again with every item.
    pub credential: Option<Credential>,
}

/// The answers, in the order of the items; each stands for itself.
pub type BatchAnswer = Vec<Result<VerifyAnswer, DomainError>>;

impl Domain {
    /// Answers a batch. Every item is charged, guarded, recorded and answered as if it were asked alone.
    ///
    /// # Errors
    /// `input/batch` where there are none or too many items.
    pub async fn verify_batch(&self, request: BatchRequest) -> Result<BatchAnswer, DomainError> {
        let most = self.rules.verification().batch_items() as usize;
        if request.items.is_empty() || request.items.len() > most {
            return Err(Refusal::new(
                "input/batch",
                format!("一批须有 1 到 {most} 项"),
                format!("a batch has 1 to {most} items"),
            )
            .at("items")
            .into());
        }
        let BatchRequest { institution, product, purpose, scene, items, credential } = request;
        let requests = items.into_iter().map(|item| VerifyRequest {
            institution: institution.clone(),
            product: product.clone(),
            identity: item.identity,
            claim: None,
            claims: item.claims,
            purpose: purpose.clone(),
            scene: scene.clone(),
            serial: item.serial,
            consent: item.consent,
            credential: credential.clone(),
        });
        let answers = stream::iter(requests).map(|request| async move { verify_as(self, &request, true).await });
        Ok(answers.buffered(AT_A_TIME).collect().await)
    }
}
