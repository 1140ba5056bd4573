//! Product manifests: `product.toml`, parsed once into a [`Product`] that cannot be wrong in itself.
//!
//! Whether the datasets and models that it names exist, and whether its SQL may run, is decided later (`plan`).

mod parameter;
mod price;
mod raw;
mod verification;

pub use parameter::{Arguments, Parameter, ParameterKind};
pub use price::PriceClass;
pub use verification::{Claim, VerificationProduct};

use crate::digest::sha256_hex;
use crate::text::{check_id, check_model_reference};
pub(crate) use parameter::literal_scalar;
use parameter::{parameters, toml_text};
use raw::{RawManifest, RawProduct};
use std::collections::BTreeMap;
use yunei_policy::clear::Mechanism;
use yunei_policy::facts::PrivacyDemand;
use yunei_policy::{Refusal, Refused, Text};

/// At most how many bytes a manifest may have.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;
/// At most how many bytes the SQL of a product may have.
pub const MAX_SQL_BYTES: usize = 64 * 1024;
/// At most how many datasets, models, purposes or parameters a product may name.
pub const MAX_NAMES: usize = 32;

/// A data product, as its operator wrote it.
#[derive(Debug, Clone)]
pub struct Product {
    id: String,
    title: Text,
    purposes: Vec<String>,
    price_class: Option<PriceClass>,
    datasets: Vec<String>,
    models: Vec<String>,
    body: Body,
    text: String,
    digest: String,
}

/// What a product does.
#[derive(Debug, Clone)]
pub enum Body {
    /// SQL whose aggregates leave.
    Aggregate(AggregateProduct),
    /// A yes or a no about one subject.
    Verification(VerificationProduct),
}

/// SQL with typed parameters.
#[derive(Debug, Clone)]
pub struct AggregateProduct {
    sql: String,
    parameters: Vec<Parameter>,
    demand: Option<PrivacyDemand>,
    mechanism: Mechanism,
    weights: BTreeMap<String, u32>,
}

impl Product {
    /// Parses a manifest.
    ///
    /// # Errors
    /// Every reason why it is not one: `product/…` codes.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(Refusal::new(
                "product/too-large",
                format!("清单超过 {MAX_MANIFEST_BYTES} 字节"),
                format!("the manifest is larger than {MAX_MANIFEST_BYTES} bytes"),
            )
            .into());
        }
        let manifest: RawManifest = toml::from_str(text).map_err(|e| toml_refusal("product/malformed", text, &e))?;
        Self::from_raw(manifest.product, text)
    }

    fn from_raw(raw: RawProduct, text: &str) -> Result<Self, Refused> {
        let mut reasons = Vec::new();
        check_id("product.id", &raw.id, &mut reasons);
        check_list("product.purposes", &raw.purposes, 1, &mut reasons);
        check_list("product.datasets", &raw.datasets, 1, &mut reasons);
        check_list("product.models", &raw.models, 0, &mut reasons);
        for model in &raw.models {
            check_model_reference("product.models", model, &mut reasons);
        }
        if raw.title.zh.trim().is_empty() || raw.title.en.trim().is_empty() {
            reasons.push(
                Refusal::new("product/title", "标题须有中文和英文", "the title needs a Chinese and an English form")
                    .at("product.title"),
            );
        }
        let body = body(&raw, &mut reasons);
        match (Refused::from_reasons(reasons), body) {
            (Some(refused), _) => Err(refused),
            (None, Some(body)) => Ok(Self {
                id: raw.id,
                title: raw.title,
                purposes: raw.purposes,
                price_class: raw.price_class,
                datasets: raw.datasets,
                models: raw.models,
                body,
                text: text.to_owned(),
                digest: sha256_hex(text.as_bytes()),
            }),
            (None, None) => Err(kind_refusal().into()),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// Its title.
    pub fn title(&self) -> &Text {
        &self.title
    }
    /// What it may be used for.
    pub fn purposes(&self) -> &[String] {
        &self.purposes
    }
    /// Whether its use is charged for, where its operator says so.
    pub fn price_class(&self) -> Option<PriceClass> {
        self.price_class
    }
    /// The datasets it reads.
    pub fn datasets(&self) -> &[String] {
        &self.datasets
    }
    /// The models it uses, as `id@version`.
    pub fn models(&self) -> &[String] {
        &self.models
    }
    /// What it does.
    pub fn body(&self) -> &Body {
        &self.body
    }
    /// The manifest as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// SHA-256 of the manifest, hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    /// `aggregate` or `verification`.
    pub fn kind(&self) -> &'static str {
        match self.body {
            Body::Aggregate(_) => "aggregate",
            Body::Verification(_) => "verification",
        }
    }
}

impl AggregateProduct {
    /// The SQL.
    pub fn sql(&self) -> &str {
        &self.sql
    }
    /// The declared parameters, by name.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
    /// The privacy that it demands.
    pub fn demand(&self) -> Option<&PrivacyDemand> {
        self.demand.as_ref()
    }
    /// The noise that it asks for.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }
    /// How much of the charge goes to the numbers of a result column, in relation to the others; 1 where it is not named.
    pub fn weights(&self) -> &BTreeMap<String, u32> {
        &self.weights
    }
}

fn kind_refusal() -> Refusal {
    Refusal::new(
        "product/kind",
        "kind 须为 aggregate（并给出 sql）或 verification（并给出 [product.verification]）",
        "kind is either aggregate (with sql) or verification (with [product.verification])",
    )
    .at("product.kind")
}

fn body(raw: &RawProduct, reasons: &mut Vec<Refusal>) -> Option<Body> {
    match (raw.kind.as_str(), &raw.sql, &raw.verification) {
        ("aggregate", Some(sql), None) => {
            if sql.len() > MAX_SQL_BYTES {
                reasons.push(
                    Refusal::new(
                        "sql/too-large",
                        format!("SQL 超过 {MAX_SQL_BYTES} 字节"),
                        format!("the SQL is larger than {MAX_SQL_BYTES} bytes"),
                    )
                    .at("product.sql"),
                );
            }
            let parameters = parameters(&raw.params, sql, reasons);
            let demand = raw.privacy.as_ref().map(|p| PrivacyDemand {
                epsilon: p.epsilon,
                max_groups: p.max_groups,
                max_rows: p.max_rows,
            });
            let mechanism = mechanism(raw.privacy.as_ref().and_then(|p| p.mechanism.as_deref()), reasons);
            let weights = raw.privacy.as_ref().map(|p| p.weights.clone()).unwrap_or_default();
            Some(Body::Aggregate(AggregateProduct { sql: sql.clone(), parameters, demand, mechanism, weights }))
        }
        ("verification", None, Some(v)) => {
            if !raw.params.is_empty() || raw.privacy.is_some() {
                reasons.push(
                    Refusal::new(
                        "product/verification-extra",
                        "核验产品没有参数和隐私预算",
                        "a verification product has neither parameters nor a privacy demand",
                    )
                    .at("product"),
                );
            }
            if raw.datasets.len() != 1 {
                reasons.push(
                    Refusal::new(
                        "product/verification-datasets",
                        "核验产品只能使用一个数据集",
                        "a verification product reads exactly one dataset",
                    )
                    .at("product.datasets"),
                );
            }
            verification::verification(v, &raw.models, reasons).map(Body::Verification)
        }
        _ => {
            reasons.push(kind_refusal());
            None
        }
    }
}

fn mechanism(word: Option<&str>, reasons: &mut Vec<Refusal>) -> Mechanism {
    match word {
        None | Some("gaussian") => Mechanism::Gaussian,
        Some("laplace") => Mechanism::Laplace,
        Some(_) => {
            reasons.push(
                Refusal::new(
                    "privacy/mechanism",
                    "mechanism 须为 gaussian 或 laplace",
                    "the mechanism is either gaussian or laplace",
                )
                .at("product.privacy.mechanism")
                .hint(
                    "通常用 gaussian（默认）；只有一个计数、且不接受 δ 时用 laplace",
                    "take gaussian (the default), or laplace for a single count where there shall be no δ",
                ),
            );
            Mechanism::default()
        }
    }
}

fn check_list(place: &str, list: &[String], least: usize, reasons: &mut Vec<Refusal>) {
    let mut sorted: Vec<&String> = list.iter().collect();
    sorted.sort();
    sorted.dedup();
    let blank = list.iter().any(|s| s.trim().is_empty() || s.len() > 128);
    if list.len() < least || list.len() > MAX_NAMES || sorted.len() != list.len() || blank {
        reasons.push(
            Refusal::new(
                "product/list",
                format!("须有 {least} 到 {MAX_NAMES} 项，不重复，不为空"),
                format!("takes {least} to {MAX_NAMES} entries, each different and not blank"),
            )
            .at(place),
        );
    }
}

/// A refusal for a TOML text that does not parse: the parser's message (about the text's own keys) and the line.
pub(crate) fn toml_refusal(code: &'static str, text: &str, error: &toml::de::Error) -> Refused {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message().to_owned();
    let refusal =
        Refusal::new(code, format!("清单无法解析：{message}"), format!("the manifest does not parse: {message}"));
    match line {
        Some(line) => refusal.at(format!("line {line}")).into(),
        None => refusal.into(),
    }
}

#[cfg(test)]
mod tests;
