//! The rule set: every number that a decision uses, from one TOML text.

use crate::refusal::{Refusal, Refused};
use crate::verification::VerificationRules;
use serde::Deserialize;

/// The rules that are shipped.
const SHIPPED: &str = include_str!("rules.toml");

/// The largest rule set text, in bytes.
pub const MAX_RULES_BYTES: usize = 64 * 1024;

/// A validated rule set.
///
/// INVARIANT: every number lies inside the bounds that [`RuleSet::parse`] checks.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSet {
    text: String,
    file: RuleFile,
}

/// Rules of the class `personal`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalRules {
    delta: f64,
    threshold_delta: f64,
    threshold_delta_per_run: f64,
    max_epsilon_per_run: f64,
    max_groups: u32,
    max_cells: u32,
    budget: BudgetRules,
}

/// ε of each budget line.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRules {
    dataset: f64,
    institution_dataset: f64,
    product: f64,
}

/// Rules of the class `statistical`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticalRules {
    threshold: u32,
    p_percent: u32,
    dominance_units: u32,
    dominance_percent: u32,
    rounding_base: u32,
}

/// Rules of the class `open`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRules {
    max_rows: u64,
}

/// Outer limits of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRules {
    max_nodes: u32,
    max_relation_depth: u32,
    max_expression_depth: u32,
    max_leaves: u32,
    max_aggregates: u32,
}

/// When results leave.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingRules {
    quantum_millis: u32,
}

impl Default for TimingRules {
    fn default() -> Self {
        Self { quantum_millis: 200 }
    }
}

impl TimingRules {
    /// Results leave at ticks of this many milliseconds.
    pub fn quantum_millis(&self) -> u32 {
        self.quantum_millis
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    version: u32,
    personal: PersonalRules,
    statistical: StatisticalRules,
    open: OpenRules,
    plan: PlanRules,
    #[serde(default)]
    verification: VerificationRules,
    #[serde(default)]
    timing: TimingRules,
}

impl RuleSet {
    /// Reads and checks a rule set.
    ///
    /// # Errors
    /// `rules/malformed` where the text is not such a TOML document (unknown keys included), `rules/out-of-range` for
    /// each number outside its bounds.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_RULES_BYTES {
            return Err(Refusal::new("rules/malformed", "规则文件过大", "the rule set is too large").into());
        }
        let file: RuleFile = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| format!("byte {}", span.start));
            let refusal = Refusal::new(
                "rules/malformed",
                format!("规则文件无法解析：{}", error.message()),
                format!("the rule set cannot be read: {}", error.message()),
            );
            Refused::from(match place {
                Some(place) => refusal.at(place),
                None => refusal,
            })
        })?;
        let reasons = check(&file);
        Refused::unless(reasons, Self { text: text.to_owned(), file })
    }

    /// The text that was parsed, byte for byte: what a digest of the policy is made over.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Rules of the class `personal`.
    pub fn personal(&self) -> &PersonalRules {
        &self.file.personal
    }

    /// Rules of the class `statistical`.
    pub fn statistical(&self) -> &StatisticalRules {
        &self.file.statistical
    }

    /// Rules of the class `open`.
    pub fn open(&self) -> &OpenRules {
        &self.file.open
    }

    /// When results leave.
    pub fn timing(&self) -> &TimingRules {
        &self.file.timing
    }

    /// Outer limits of a plan.
    pub fn plan(&self) -> &PlanRules {
        &self.file.plan
    }

    /// Rules of verification.
    pub fn verification(&self) -> &VerificationRules {
        &self.file.verification
    }
}

impl Default for RuleSet {
    fn default() -> Self {
        Self::parse(SHIPPED).expect("the shipped rules are tested to be valid")
    }
}

impl PersonalRules {
    /// δ of every (ε, δ) statement.
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// The part of δ that a budget line keeps for thresholds of open keys.
    pub fn threshold_delta(&self) -> f64 {
        self.threshold_delta
    }

    /// What one run with open keys takes of it.
    pub fn threshold_delta_per_run(&self) -> f64 {
        self.threshold_delta_per_run
    }

    /// The largest ε that one run may demand.
    pub fn max_epsilon_per_run(&self) -> f64 {
        self.max_epsilon_per_run
    }

    /// How many groups a unit may touch where nobody says.
    pub fn max_groups(&self) -> u32 {
        self.max_groups
    }

    /// The largest grid of declared keys of one leaf.
    pub fn max_cells(&self) -> u32 {
        self.max_cells
    }

    /// ε of the budget lines.
    pub fn budget(&self) -> BudgetRules {
        self.budget
    }
}

impl BudgetRules {
    /// ε of one dataset in one epoch.
    pub fn dataset(&self) -> f64 {
        self.dataset
    }

    /// ε of one institution on one dataset in one epoch.
    pub fn institution_dataset(&self) -> f64 {
        self.institution_dataset
    }

    /// ε of one product.
    pub fn product(&self) -> f64 {
        self.product
    }
}

impl StatisticalRules {
    /// Distinct units that a cell must have.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// p of the p % rule.
    pub fn p_percent(&self) -> u32 {
        self.p_percent
    }

    /// n of the (n, k) rule.
    pub fn dominance_units(&self) -> u32 {
        self.dominance_units
    }

    /// k of the (n, k) rule, in percent.
    pub fn dominance_percent(&self) -> u32 {
        self.dominance_percent
    }

    /// What counts are rounded to.
    pub fn rounding_base(&self) -> u32 {
        self.rounding_base
    }
}

impl OpenRules {
    /// How many rows one run may take out.
    pub fn max_rows(&self) -> u64 {
        self.max_rows
    }
}

impl PlanRules {
    /// Relations and expressions of a plan, together.
    pub fn max_nodes(&self) -> usize {
        self.max_nodes as usize
    }

    /// Relations below one another.
    pub fn max_relation_depth(&self) -> usize {
        self.max_relation_depth as usize
    }

    /// Expressions inside one another.
    pub fn max_expression_depth(&self) -> usize {
        self.max_expression_depth as usize
    }

    /// Private leaves.
    pub fn max_leaves(&self) -> usize {
        self.max_leaves as usize
    }

    /// Aggregates of one leaf.
    pub fn max_aggregates(&self) -> usize {
        self.max_aggregates as usize
    }
}

/// The outer bounds of every number. They exist so that a slip in the file cannot switch protection off.
fn check(file: &RuleFile) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    let mut number = |place: &str, value: f64, lo: f64, hi: f64| {
        if !(value >= lo && value <= hi) {
            reasons.push(
                Refusal::new(
                    "rules/out-of-range",
                    format!("{place} 须在 {lo} 与 {hi} 之间"),
                    format!("{place} must lie between {lo} and {hi}"),
                )
                .at(place),
            );
        }
    };
    let p = &file.personal;
    number("version", file.version.into(), 1.0, 1.0);
    number("personal.delta", p.delta, 1e-12, 1e-4);
    number("personal.threshold_delta", p.threshold_delta, 0.0, p.delta / 2.0);
    number("personal.threshold_delta_per_run", p.threshold_delta_per_run, 1e-15, p.threshold_delta.max(1e-15));
    number("personal.max_epsilon_per_run", p.max_epsilon_per_run, 1e-3, 20.0);
    number("personal.max_groups", p.max_groups.into(), 1.0, 10_000.0);
    number("personal.max_cells", p.max_cells.into(), 1.0, 1_000_000.0);
    number("personal.budget.dataset", p.budget.dataset, 1e-3, 1_000.0);
    number("personal.budget.institution_dataset", p.budget.institution_dataset, 1e-3, 1_000.0);
    number("personal.budget.product", p.budget.product, 1e-3, 1_000.0);
    let s = &file.statistical;
    number("statistical.threshold", s.threshold.into(), 3.0, 10_000.0);
    number("statistical.p_percent", s.p_percent.into(), 1.0, 100.0);
    number("statistical.dominance_units", s.dominance_units.into(), 1.0, 10.0);
    number("statistical.dominance_percent", s.dominance_percent.into(), 50.0, 99.0);
    number("timing.quantum_millis", file.timing.quantum_millis.into(), 10.0, 60_000.0);
    number("statistical.rounding_base", s.rounding_base.into(), 1.0, 1_000.0);
    #[allow(clippy::cast_precision_loss, reason = "only compared with a bound far below 2^53")]
    number("open.max_rows", file.open.max_rows as f64, 1.0, 1e9);
    let l = &file.plan;
    number("plan.max_nodes", l.max_nodes.into(), 10.0, 200_000.0);
    number("plan.max_relation_depth", l.max_relation_depth.into(), 4.0, 64.0);
    number("plan.max_expression_depth", l.max_expression_depth.into(), 4.0, 128.0);
    number("plan.max_leaves", l.max_leaves.into(), 1.0, 256.0);
    number("plan.max_aggregates", l.max_aggregates.into(), 1.0, 256.0);
    for (place, value, lo, hi) in file.verification.bounds() {
        #[allow(clippy::cast_precision_loss, reason = "only compared with bounds far below 2^53")]
        number(place, value as f64, lo as f64, hi as f64);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_are_valid_and_keep_their_text() {
        let rules = RuleSet::default();
        assert_eq!(rules.text(), SHIPPED);
        assert_eq!(RuleSet::parse(rules.text()).unwrap(), rules);
    }

    #[test]
    fn unknown_keys_and_wrong_versions_are_refused() {
        let unknown = SHIPPED.replace("[open]", "[open]\nrows = 3");
        assert_eq!(RuleSet::parse(&unknown).unwrap_err().codes(), ["rules/malformed"]);
        let version = SHIPPED.replace("version = 1", "version = 2");
        assert_eq!(RuleSet::parse(&version).unwrap_err().codes(), ["rules/out-of-range"]);
        assert_eq!(RuleSet::parse("").unwrap_err().codes(), ["rules/malformed"]);
    }

    #[test]
    fn every_number_out_of_range_is_told_at_once() {
        let text = SHIPPED
            .replace("delta = 1e-7", "delta = nan")
            .replace("max_cells = 20000", "max_cells = 0")
            .replace("p_percent = 10", "p_percent = 101");
        let refused = RuleSet::parse(&text).unwrap_err();
        assert!(refused.reasons().iter().any(|r| r.place() == Some("personal.delta")));
        assert!(refused.reasons().iter().any(|r| r.place() == Some("personal.max_cells")));
        assert!(refused.reasons().iter().any(|r| r.place() == Some("statistical.p_percent")));
    }

    #[test]
    fn limits_hold_at_the_edge() {
        let at = SHIPPED.replace("max_epsilon_per_run = 2.0", "max_epsilon_per_run = 20.0");
        assert!(RuleSet::parse(&at).is_ok());
        let past = SHIPPED.replace("max_epsilon_per_run = 2.0", "max_epsilon_per_run = 20.1");
        assert_eq!(RuleSet::parse(&past).unwrap_err().codes(), ["rules/out-of-range"]);
        let long = format!("{SHIPPED}#{}", " ".repeat(MAX_RULES_BYTES));
        assert_eq!(RuleSet::parse(&long).unwrap_err().codes(), ["rules/malformed"]);
    }
}
