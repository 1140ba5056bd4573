//! The part of a manifest that makes a verification product: who is asked about, what is claimed, under which conditions.

use super::raw::{RawClaim, RawVerification};
use super::toml_text;
use std::collections::BTreeMap;
use yunei_policy::Refusal;
use yunei_policy::verification::FieldKind;

/// The answers that a manifest may call free of charge.
const OUTCOMES: [&str; 3] = ["match", "no_match", "not_found"];

/// A closed predicate over one subject of one dataset.
#[derive(Debug, Clone)]
pub struct VerificationProduct {
    identity: Vec<String>,
    kinds: BTreeMap<String, FieldKind>,
    claims: Vec<Claim>,
    legal_basis: Option<String>,
    not_found: bool,
    free: Vec<String>,
    batch: bool,
    daily: Option<u64>,
}

/// One thing that is claimed of the subject. Only the value of an equality comes from the caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The column equals the value that the caller gives.
    Equals {
        /// The column.
        column: String,
    },
    /// The column has one of these values, or none of them.
    OneOf {
        /// The column.
        column: String,
        /// The values, as they are written.
        values: Vec<String>,
        /// Whether it must be none of them.
        negated: bool,
    },
    /// The number or date lies in a band, ends included.
    Band {
        /// The column.
        column: String,
        /// The lower end, as it is written.
        least: Option<String>,
        /// The upper end, as it is written.
        most: Option<String>,
    },
    /// The model's output for the subject lies in a band fixed in the product; one end may be open.
    Model {
        /// `id@version`.
        model: String,
        /// The lower end.
        least: Option<f64>,
        /// The upper end.
        most: Option<f64>,
    },
}

impl VerificationProduct {
    /// The columns that name the subject.
    pub fn identity(&self) -> &[String] {
        &self.identity
    }
    /// The kind of a text column, where the manifest says one.
    pub fn kind(&self, column: &str) -> Option<FieldKind> {
        self.kinds.get(column).copied()
    }
    /// The columns whose kind the manifest says.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }
    /// What is claimed: all of it together.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }
    /// The columns whose claimed values the caller gives.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().filter_map(|claim| match claim {
            Claim::Equals { column } => Some(column.as_str()),
            _ => None,
        })
    }
    /// The legal basis that stands in the place of consent; `None` where consent is required.
    pub fn legal_basis(&self) -> Option<&str> {
        self.legal_basis.as_deref()
    }
    /// Whether an unknown subject is told as `not_found`.
    pub fn tells_not_found(&self) -> bool {
        self.not_found
    }
    /// Whether an answer costs the business money.
    pub fn charges(&self, outcome: &str) -> bool {
        !self.free.iter().any(|free| free == outcome)
    }
    /// Whether it is asked in batches, and in no other way.
    pub fn is_batch(&self) -> bool {
        self.batch
    }
    /// At most how many answers it gives in a day.
    pub fn daily(&self) -> Option<u64> {
        self.daily
    }
}

/// Reads the table `[product.verification]`.
pub(super) fn verification(
    raw: &RawVerification,
    models: &[String],
    reasons: &mut Vec<Refusal>,
) -> Option<VerificationProduct> {
    let raws: Vec<&RawClaim> = raw.claim.iter().chain(&raw.claims).collect();
    if raws.is_empty() || (raw.claim.is_some() && !raw.claims.is_empty()) {
        reasons.push(
            Refusal::new(
                "product/claim",
                "须有一个 claim，或一组 claims",
                "either one claim or an array of claims is needed",
            )
            .at("product.verification"),
        );
    }
    let before = reasons.len();
    let claims: Vec<Claim> = raws.into_iter().filter_map(|raw| claim(raw, models, reasons)).collect();
    let mut kinds = BTreeMap::new();
    for (column, word) in &raw.kinds {
        match FieldKind::from_word(word) {
            Some(kind) => {
                kinds.insert(column.clone(), kind);
            }
            None => reasons.push(unknown_kind(column)),
        }
    }
    let legal_basis = match (raw.consent.as_deref(), &raw.legal_basis) {
        (None | Some("required"), None) => None,
        (Some("not-required"), Some(basis)) => Some(basis.clone()),
        _ => {
            reasons.push(consent_refusal());
            None
        }
    };
    if let Some(word) = raw.free.iter().find(|word| !OUTCOMES.contains(&word.as_str())) {
        let shown: String = word.chars().take(40).collect();
        reasons.push(
            Refusal::new(
                "product/free",
                "free 只能取 match、no_match、not_found",
                "free takes match, no_match and not_found",
            )
            .at(format!("product.verification.free: {shown}")),
        );
    }
    if raw.daily == Some(0) {
        reasons.push(
            Refusal::new("product/daily", "daily 须至少为 1", "daily is at least 1").at("product.verification.daily"),
        );
    }
    (reasons.len() == before).then_some(VerificationProduct {
        identity: raw.identity.clone(),
        kinds,
        claims,
        legal_basis,
        not_found: raw.not_found,
        free: raw.free.clone(),
        batch: raw.batch,
        daily: raw.daily,
    })
}

fn unknown_kind(column: &str) -> Refusal {
    let words: Vec<&str> = FieldKind::WORDS.iter().map(|(word, _)| *word).collect();
    let shown: String = column.chars().take(64).collect();
    Refusal::new(
        "product/field-kind",
        format!("字段类型须为 {} 之一", words.join("、")),
        format!("a field's kind is one of {}", words.join(", ")),
    )
    .at(format!("product.verification.kinds: {shown}"))
}

fn consent_refusal() -> Refusal {
    Refusal::new(
        "product/consent",
        "consent 须为 required，或为 not-required 并写明 legal_basis",
        "consent is required, or not-required with a legal_basis",
    )
    .at("product.verification.consent")
}

fn claim(raw: &RawClaim, models: &[String], reasons: &mut Vec<Refusal>) -> Option<Claim> {
    let band = raw.at_least.is_some() || raw.at_most.is_some();
    let values = raw.one_of.is_some() || raw.none_of.is_some();
    let claim = match (&raw.equals, &raw.column, &raw.model) {
        (Some(column), None, None) if !band && !values => Some(Claim::Equals { column: column.clone() }),
        (None, Some(column), None) if band && !values => Some(Claim::Band {
            column: column.clone(),
            least: raw.at_least.as_ref().map(toml_text),
            most: raw.at_most.as_ref().map(toml_text),
        }),
        (None, Some(column), None) if !band => {
            let (values, negated) = match (&raw.one_of, &raw.none_of) {
                (Some(values), None) => (values, false),
                (None, Some(values)) => (values, true),
                _ => return refuse(reasons),
            };
            Some(Claim::OneOf { column: column.clone(), values: values.iter().map(toml_text).collect(), negated })
        }
        (None, None, Some(model)) if band && !values => {
            if !models.contains(model) {
                reasons.push(
                    Refusal::new(
                        "product/undeclared-model",
                        "claim 使用的模型须列在 product.models 中",
                        "the claim's model must be listed in product.models",
                    )
                    .at("product.verification.claim.model"),
                );
            }
            let ends = [&raw.at_least, &raw.at_most].map(|end| end.as_ref().map(number));
            match ends {
                [Some(None), _] | [_, Some(None)] => None,
                [least, most] => {
                    Some(Claim::Model { model: model.clone(), least: least.flatten(), most: most.flatten() })
                }
            }
        }
        _ => None,
    };
    claim.or_else(|| refuse(reasons))
}

fn number(value: &toml::Value) -> Option<f64> {
    match value {
        toml::Value::Float(f) => Some(*f).filter(|f| f.is_finite()),
        #[allow(clippy::cast_precision_loss, reason = "a threshold on a model's output")]
        toml::Value::Integer(i) => Some(*i as f64),
        _ => None,
    }
}

fn refuse(reasons: &mut Vec<Refusal>) -> Option<Claim> {
    reasons.push(
        Refusal::new(
            "product/claim",
            "claim 须为 { equals = 列名 }、{ column = 列名, one_of | none_of = [值] }、{ column = 列名, at_least | at_most = 值 } \
             或 { model = \"id@版本\", at_least | at_most = 数值 }",
            "a claim is { equals = \"column\" }, { column = \"column\", one_of | none_of = [values] }, { column = \"column\", \
             at_least | at_most = value } or { model = \"id@version\", at_least | at_most = number }",
        )
        .at("product.verification.claim"),
    );
    None
}
