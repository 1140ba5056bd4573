//! What is on record of a run: the body of its receipt, once it is proven to be the one in the log.

use crate::registry::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The recorded run. Fields that older receipts do not have are `None`: they are not compared.
#[derive(Debug, Deserialize)]
pub(super) struct Recorded {
    pub(super) product: RecordedProduct,
    pub(super) parameters: String,
    pub(super) question: String,
    pub(super) plan: Option<String>,
    pub(super) rules: Digest,
    pub(super) policies: Option<Digest>,
    pub(super) datasets: Vec<RecordedDataset>,
    pub(super) models: Vec<RecordedModel>,
    pub(super) charge: RecordedCharge,
    pub(super) seed: Option<String>,
    pub(super) sums: Option<String>,
    pub(super) released: BTreeMap<String, String>,
    pub(super) runtime: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordedProduct {
    pub(super) id: String,
    pub(super) digest: Digest,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordedDataset {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) epoch: u32,
    pub(super) entry: String,
    pub(super) files: String,
    pub(super) file_digests: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordedModel {
    pub(super) id: String,
    pub(super) module: String,
    pub(super) manifest: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RecordedCharge {
    pub(super) rho: u64,
    pub(super) delta: u64,
}

/// A recorded verification. Fields that older receipts do not have are `None`: they are not compared.
#[derive(Debug, Deserialize)]
pub(super) struct RecordedVerification {
    pub(super) run: String,
    pub(super) institution: String,
    pub(super) product: RecordedProduct,
    pub(super) purpose: String,
    pub(super) scene: Option<String>,
    pub(super) rules: Option<Digest>,
    pub(super) datasets: Vec<RecordedDataset>,
    pub(super) models: Vec<RecordedModel>,
    pub(super) outcome: String,
    pub(super) charged: bool,
    pub(super) runtime: Option<String>,
}

impl RecordedVerification {
    pub(super) fn of(body: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(body.clone())).ok()
    }
}

impl Recorded {
    pub(super) fn of(body: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(body.clone())).ok()
    }
}
