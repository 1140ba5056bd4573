//! Clearance of verification products (核验): the answer is about one subject, and is one of two words.

use crate::facts::{ColumnFacts, Interval, Scan};
use crate::refusal::{Refusal, Refused};
use crate::rules::RuleSet;
use crate::words::{ColumnClass, ReleaseClass, UnitKind, Usage};
use std::collections::BTreeSet;

/// What a verification product asks.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationFacts {
    /// The one dataset.
    pub scan: Scan,
    /// The columns that name the subject, by position.
    pub identity: Vec<usize>,
    /// What is claimed of the subject.
    pub claim: Claim,
}

/// A claim about a subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The column equals the value that the request brings.
    Equals {
        /// The column.
        column: usize,
    },
    /// An approved model's output against a threshold that the product fixes.
    Model {
        /// `id@version`.
        model: String,
        /// The columns that are its features, in order.
        features: Vec<usize>,
        /// Its declared output range.
        output: Interval,
        /// How output and threshold are compared.
        comparison: Comparison,
        /// The threshold.
        threshold: f64,
    },
}

/// How a model's output is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `output >= threshold`
    AtLeast,
    /// `output <= threshold`
    AtMost,
}

/// A verification that may run. Made by [`clear_verification`] alone.
#[derive(Debug)]
pub struct VerificationClearance {
    facts: VerificationFacts,
}

impl VerificationClearance {
    /// What was cleared.
    pub fn facts(&self) -> &VerificationFacts {
        &self.facts
    }
}

/// The fewest columns that may name a subject.
pub const LEAST_IDENTITY_FIELDS: usize = 2;

/// Decides over a verification product.
///
/// # Errors
/// All the reasons against it, at once: `verify/…` and `column/usage`.
pub fn clear_verification(facts: &VerificationFacts, rules: &RuleSet) -> Result<VerificationClearance, Refused> {
    let scan = &facts.scan;
    let mut reasons = Vec::new();
    if scan.columns.len() > rules.plan().max_nodes() || facts.identity.len() > scan.columns.len() {
        let refusal = Refusal::new("plan/too-large", "核验声明过大", "the verification names too many columns");
        return Err(refusal.into());
    }
    if scan.release == ReleaseClass::Open || scan.unit_kind == UnitKind::None {
        reasons.push(
            Refusal::new(
                "verify/no-subject",
                "核验须基于有数据主体的受保护数据集",
                "a verification needs a protected dataset with a unit",
            )
            .at(&scan.dataset),
        );
    }
    if scan.most_rows != Some(1) {
        reasons.push(
            Refusal::new(
                "verify/many-rows",
                "核验须基于每个主体至多一行的数据集",
                "a verification needs a dataset with at most one row per unit",
            )
            .at(&scan.dataset)
            .hint("在目录中声明 most_rows = 1", "declare most_rows = 1 in its entry"),
        );
    }
    check_identity(facts, &mut reasons);
    check_claim(facts, &mut reasons);
    Refused::unless(reasons, VerificationClearance { facts: facts.clone() })
}

fn check_identity(facts: &VerificationFacts, reasons: &mut Vec<Refusal>) {
    let distinct: BTreeSet<usize> = facts.identity.iter().copied().collect();
    if distinct.len() < LEAST_IDENTITY_FIELDS || distinct.len() != facts.identity.len() {
        reasons.push(
            Refusal::new(
                "verify/identity-fields",
                format!("至少需要 {LEAST_IDENTITY_FIELDS} 个不同的身份字段"),
                format!("at least {LEAST_IDENTITY_FIELDS} different identity fields are needed"),
            )
            .at("identity"),
        );
    }
    if facts.scan.unit.is_none_or(|unit| !distinct.contains(&unit)) {
        reasons.push(
            Refusal::new(
                "verify/identity-unit",
                "身份字段须包含数据主体列",
                "the identity fields must include the unit column",
            )
            .at("identity"),
        );
    }
    for column in &distinct {
        needs(facts, *column, &[Usage::Verify], "identity", reasons);
    }
}

fn check_claim(facts: &VerificationFacts, reasons: &mut Vec<Refusal>) {
    match &facts.claim {
        Claim::Equals { column } => {
            needs(facts, *column, &[Usage::Verify], "claim", reasons);
            if facts.identity.contains(column) {
                reasons.push(
                    Refusal::new(
                        "verify/claim-is-identity",
                        "待核验字段不能同时是身份字段",
                        "the claim must not be one of the identity fields",
                    )
                    .at("claim"),
                );
            }
        }
        Claim::Model { features, output, threshold, .. } => {
            for column in features {
                needs(facts, *column, &[Usage::Feature, Usage::Verify], "claim.features", reasons);
                let direct = |c: &ColumnFacts| c.class == ColumnClass::DirectIdentifier;
                if facts.scan.unit == Some(*column) || facts.scan.columns.get(*column).is_some_and(direct) {
                    reasons.push(
                        Refusal::new(
                            "feature/identifier",
                            "标识列不能输入模型",
                            "an identifier cannot be given to a model",
                        )
                        .at("claim.features"),
                    );
                }
            }
            if !(*threshold >= output.lo() && *threshold <= output.hi()) {
                reasons.push(
                    Refusal::new(
                        "verify/threshold",
                        "阈值须在模型声明的输出范围内",
                        "the threshold must lie within the model's declared output range",
                    )
                    .at("claim.threshold"),
                );
            }
        }
    }
}

/// Whether the column exists and has one of the usages.
fn needs(facts: &VerificationFacts, at: usize, any_of: &[Usage], place: &str, reasons: &mut Vec<Refusal>) {
    let dataset = &facts.scan.dataset;
    let Some(column) = facts.scan.columns.get(at) else {
        reasons.push(
            Refusal::new("verify/unknown-column", "所引用的列不存在", "a column that is named does not exist")
                .at(place),
        );
        return;
    };
    if any_of.iter().any(|usage| column.usages.contains(usage)) {
        return;
    }
    let (name, usage) = (&column.name, any_of[0]);
    reasons.push(
        Refusal::new(
            "column/usage",
            format!("目录未允许将 {dataset}.{name} 用于{}", usage.zh()),
            format!("the catalogue does not allow {dataset}.{name} to be used for {usage}"),
        )
        .at(place)
        .hint(
            format!("请数据提供单位在 {name} 的 usages 中加入 \"{usage}\""),
            format!("ask the holder to add \"{usage}\" to the usages of {name}"),
        ),
    );
}
