//! Verification products (核验): the answer is about one subject, and is one word.
//!
//! Here it is decided whether a product may be approved ([`clear_verification`]); [`subject`] gives every field one spelling,
//! [`consent`] says what a token must cover, [`guard`] how much may be asked and what looks like enumeration.

pub mod consent;
pub mod guard;
pub mod rules;
pub mod subject;

pub use rules::VerificationRules;
pub use subject::{FieldKind, Locus};

use crate::facts::{ColumnFacts, Interval, Kind, Scan};
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
    /// What is claimed of the subject: all of it together.
    pub claims: Vec<Claim>,
    /// What the subject's consent is replaced by; `None` where it is needed.
    pub legal_basis: Option<String>,
}

/// A claim about a subject. Apart from the value of an equality everything is fixed in the product.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The column has one of these values, or none of them.
    OneOf {
        /// The column.
        column: usize,
        /// The values, as the product writes them.
        values: Vec<String>,
        /// Whether it must be none of them.
        negated: bool,
    },
    /// The number or date lies in a band.
    Band {
        /// The column.
        column: usize,
        /// The band, dates in days; an open end is infinite.
        least: f64,
        /// Its upper end, included.
        most: f64,
    },
    /// The column equals the value that the request brings.
    Equals {
        /// The column.
        column: usize,
    },
    /// An approved model's output within a band that the product fixes.
    Model {
        /// `id@version`.
        model: String,
        /// The columns that are its features, in order.
        features: Vec<usize>,
        /// Its declared output range.
        output: Interval,
        /// The band that the product fixes; an open end is infinite.
        least: f64,
        /// Its upper end, included.
        most: f64,
    },
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
/// The most columns that may name a subject.
pub const MOST_IDENTITY_FIELDS: usize = 8;
/// The most claims that a product joins.
pub const MOST_CLAIMS: usize = 16;
/// The most values of one membership.
pub const MOST_VALUES: usize = 1_000;

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
    check_claims(facts, &mut reasons);
    check_basis(facts, &mut reasons);
    Refused::unless(reasons, VerificationClearance { facts: facts.clone() })
}

fn check_identity(facts: &VerificationFacts, reasons: &mut Vec<Refusal>) {
    let distinct: BTreeSet<usize> = facts.identity.iter().copied().collect();
    let fits = (LEAST_IDENTITY_FIELDS..=MOST_IDENTITY_FIELDS).contains(&distinct.len());
    if !fits || distinct.len() != facts.identity.len() {
        reasons.push(
            Refusal::new(
                "verify/identity-fields",
                format!("须有 {LEAST_IDENTITY_FIELDS} 到 {MOST_IDENTITY_FIELDS} 个不同的身份字段"),
                format!("{LEAST_IDENTITY_FIELDS} to {MOST_IDENTITY_FIELDS} different identity fields are needed"),
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

fn check_claims(facts: &VerificationFacts, reasons: &mut Vec<Refusal>) {
    if !(1..=MOST_CLAIMS).contains(&facts.claims.len()) {
        reasons.push(
            Refusal::new(
                "verify/claims",
                format!("须有 1 到 {MOST_CLAIMS} 项核验内容"),
                format!("1 to {MOST_CLAIMS} claims are needed"),
            )
            .at("claim"),
        );
    }
    let mut asked = BTreeSet::new();
    for claim in &facts.claims {
        check_claim(facts, claim, reasons);
        if let Claim::Equals { column } = claim
            && !asked.insert(*column)
        {
            reasons.push(
                Refusal::new("verify/claims", "同一字段不能核验两次", "a column is claimed to equal two values")
                    .at("claim"),
            );
        }
    }
}

fn check_claim(facts: &VerificationFacts, claim: &Claim, reasons: &mut Vec<Refusal>) {
    match claim {
        Claim::Equals { column } => {
            claimed(facts, *column, reasons);
        }
        Claim::OneOf { column, values, .. } => {
            claimed(facts, *column, reasons);
            let distinct: BTreeSet<&String> = values.iter().collect();
            if !(1..=MOST_VALUES).contains(&values.len()) || distinct.len() != values.len() {
                reasons.push(
                    Refusal::new(
                        "verify/values",
                        format!("取值须有 1 到 {MOST_VALUES} 个，不重复"),
                        format!("a membership takes 1 to {MOST_VALUES} different values"),
                    )
                    .at("claim"),
                );
            }
        }
        Claim::Band { column, least, most } => {
            claimed(facts, *column, reasons);
            let ordered = matches!(
                facts.scan.columns.get(*column).map(|c| c.kind),
                Some(Kind::Int | Kind::Float | Kind::Date) | None
            );
            if !ordered {
                reasons.push(
                    Refusal::new("verify/band-type", "区间只适用于数值或日期列", "a band takes a number or a date")
                        .at("claim"),
                );
            }
            // NaN fails both.
            if !(least <= most && (least.is_finite() || most.is_finite())) {
                reasons.push(
                    Refusal::new(
                        "verify/threshold",
                        "区间的下限不得大于上限",
                        "a band's lower end is not above its upper one",
                    )
                    .at("claim"),
                );
            }
        }
        Claim::Model { features, output, least, most, .. } => {
            check_features(facts, features, reasons);
            check_output(*output, *least, *most, reasons);
        }
    }
}

/// A column that something is claimed of: it must be there, may be verified, and names nobody.
fn claimed(facts: &VerificationFacts, column: usize, reasons: &mut Vec<Refusal>) {
    needs(facts, column, &[Usage::Verify], "claim", reasons);
    if facts.identity.contains(&column) {
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

fn check_features(facts: &VerificationFacts, features: &[usize], reasons: &mut Vec<Refusal>) {
    for column in features {
        needs(facts, *column, &[Usage::Feature, Usage::Verify], "claim.features", reasons);
        let direct = |c: &ColumnFacts| c.class == ColumnClass::DirectIdentifier;
        if facts.scan.unit == Some(*column) || facts.scan.columns.get(*column).is_some_and(direct) {
            reasons.push(
                Refusal::new("feature/identifier", "标识列不能输入模型", "an identifier cannot be given to a model")
                    .at("claim.features"),
            );
        }
    }
}

fn check_output(output: Interval, least: f64, most: f64, reasons: &mut Vec<Refusal>) {
    let inside = |end: f64| !end.is_finite() || (output.lo()..=output.hi()).contains(&end);
    // NaN fails the comparison.
    if !(least <= most && (least.is_finite() || most.is_finite()) && inside(least) && inside(most)) {
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

/// Without consent there must be a legal basis: it is what the authority approves.
fn check_basis(facts: &VerificationFacts, reasons: &mut Vec<Refusal>) {
    if facts.legal_basis.as_deref().is_some_and(|basis| basis.trim().is_empty() || basis.chars().count() > 1_000) {
        reasons.push(
            Refusal::new(
                "verify/legal-basis",
                "不需授权同意的产品须写明法律依据（不超过 1000 字）",
                "a product without consent states its legal basis, in at most 1000 characters",
            )
            .at("legal_basis")
            .hint(
                "写明依据的法律条款，或改为 consent = \"required\"",
                "name the provision it rests on, or take consent = \"required\"",
            ),
        );
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
