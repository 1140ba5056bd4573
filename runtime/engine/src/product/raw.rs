//! The manifest as serde sees it: every key is known, nothing is checked yet.

use serde::Deserialize;
use std::collections::BTreeMap;
use yunei_policy::Text;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawManifest {
    pub(super) product: RawProduct,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProduct {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) title: Text,
    pub(super) purposes: Vec<String>,
    pub(super) price_class: Option<super::PriceClass>,
    pub(super) datasets: Vec<String>,
    #[serde(default)]
    pub(super) models: Vec<String>,
    pub(super) sql: Option<String>,
    #[serde(default)]
    pub(super) params: BTreeMap<String, RawParameter>,
    pub(super) privacy: Option<RawPrivacy>,
    pub(super) verification: Option<RawVerification>,
    /// Read and checked by `yunei_policy::register::Directory`.
    #[serde(rename = "directory")]
    pub(super) _directory: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParameter {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) min: Option<toml::Value>,
    pub(super) max: Option<toml::Value>,
    pub(super) values: Option<Vec<String>>,
    pub(super) default: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrivacy {
    pub(super) epsilon: f64,
    pub(super) max_groups: Option<u32>,
    pub(super) max_rows: Option<u32>,
    pub(super) mechanism: Option<String>,
    #[serde(default)]
    pub(super) weights: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVerification {
    pub(super) identity: Vec<String>,
    #[serde(default)]
    pub(super) kinds: BTreeMap<String, String>,
    pub(super) claim: Option<RawClaim>,
    #[serde(default)]
    pub(super) claims: Vec<RawClaim>,
    pub(super) consent: Option<String>,
    pub(super) legal_basis: Option<String>,
    #[serde(default)]
    pub(super) not_found: bool,
    #[serde(default)]
    pub(super) free: Vec<String>,
    #[serde(default)]
    pub(super) batch: bool,
    pub(super) daily: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClaim {
    pub(super) equals: Option<String>,
    pub(super) column: Option<String>,
    pub(super) one_of: Option<Vec<toml::Value>>,
    pub(super) none_of: Option<Vec<toml::Value>>,
    pub(super) model: Option<String>,
    pub(super) at_most: Option<toml::Value>,
    pub(super) at_least: Option<toml::Value>,
}
