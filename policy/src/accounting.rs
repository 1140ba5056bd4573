//! Privacy accounting in zCDP.
//!
//! A run costs `(ρ, δ)`: it is δ-approximately ρ-zCDP (Bun & Steinke 2016, definition 8.1), for the add-or-remove-one-unit
//! relation. Costs add up, ρ with ρ and δ with δ (lemma 8.2). What people read is (ε, δ), by the conversion of Canonne,
//! Kamath & Steinke 2020 (*The Discrete Gaussian for Differential Privacy*, corollary 13).
//!
//! Amounts are whole numbers, rounded up where they are made, so that sums are exact and never too small.

use crate::refusal::{Refusal, Refused};
use crate::rules::RuleSet;
use serde::{Deserialize, Serialize};
use std::fmt;

/// zCDP's ρ in units of 10⁻¹².
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rho(u64);

/// δ in units of 10⁻¹⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delta(u64);

const RHO_UNIT: f64 = 1e-12;
const DELTA_UNIT: f64 = 1e-18;
/// 2^63: the largest amount in units, far inside `u64` and exact in `f64`.
const MOST_UNITS: f64 = 9_223_372_036_854_775_808.0;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by MOST_UNITS, not negative")]
fn units_up(value: f64, unit: f64) -> Option<u64> {
    // One more ulp before the ceiling: the division itself may have rounded down.
    let units = if value == 0.0 { 0.0 } else { (value / unit).next_up().ceil() };
    (value >= 0.0 && units <= MOST_UNITS).then_some(units as u64)
}

#[allow(clippy::cast_precision_loss, reason = "rounded outward by the caller")]
fn real(units: u64, unit: f64) -> f64 {
    units as f64 * unit
}

impl Rho {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From a number, rounded up to the next unit; nothing where it is negative, NaN or too large.
    pub fn from_f64(value: f64) -> Option<Self> {
        units_up(value, RHO_UNIT).map(Self)
    }

    /// From units of 10⁻¹².
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// In units of 10⁻¹².
    pub const fn units(self) -> u64 {
        self.0
    }

    /// As a number, for showing.
    pub fn to_f64(self) -> f64 {
        real(self.0, RHO_UNIT)
    }

    /// An equal share of it, rounded down: `parts` shares are never more than the whole.
    pub fn share(self, parts: u64) -> Self {
        Self(self.0 / parts.max(1))
    }
}

impl Delta {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From a number, rounded up to the next unit; nothing where it is negative, NaN or too large.
    pub fn from_f64(value: f64) -> Option<Self> {
        units_up(value, DELTA_UNIT).map(Self)
    }

    /// From units of 10⁻¹⁸.
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// In units of 10⁻¹⁸.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// As a number, for showing.
    pub fn to_f64(self) -> f64 {
        real(self.0, DELTA_UNIT)
    }
}

/// What a run costs, or what a budget holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// zCDP's ρ.
    pub rho: Rho,
    /// The δ of thresholds of open keys; 0 where there are none.
    pub delta: Delta,
}

impl Charge {
    /// Nothing.
    pub const ZERO: Self = Self { rho: Rho::ZERO, delta: Delta::ZERO };

    /// The two together; nothing where that cannot be told.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            rho: Rho(self.rho.0.checked_add(other.rho.0)?),
            delta: Delta(self.delta.0.checked_add(other.delta.0)?),
        })
    }

    /// Whether both parts are within `limit`.
    pub fn within(self, limit: Self) -> bool {
        self.rho <= limit.rho && self.delta <= limit.delta
    }
}

/// An upper bound of the ε at `delta` of a ρ-zCDP mechanism; infinite where `delta` is not positive.
///
/// Corollary 13 of CKS 2020: every α > 1 gives a valid ε = αρ + ln(1 − 1/α) + ln(1/(αδ))/(α − 1); the least over a search
/// in ln(α − 1) is taken, and rounded up. The search need not find the least for the answer to be an upper bound.
pub fn epsilon_of(rho: Rho, delta: Delta) -> f64 {
    if rho == Rho::ZERO {
        return 0.0;
    }
    if delta == Delta::ZERO {
        return f64::INFINITY;
    }
    let rho = rho.to_f64().next_up();
    // One unit of δ less would be too strict for tiny δ; one ulp less covers the conversion to f64.
    let ln_delta = delta.to_f64().next_down().ln();
    let at = |t: f64| {
        let above = t.exp();
        let alpha = 1.0 + above;
        alpha * rho + t - alpha.ln() + (-ln_delta - alpha.ln()) / above
    };
    let (mut lo, mut hi) = (-25.0_f64, 60.0_f64);
    for _ in 0..100 {
        let third = (hi - lo) / 3.0;
        let (a, b) = (lo + third, hi - third);
        if at(a) <= at(b) {
            hi = b;
        } else {
            lo = a;
        }
    }
    let least = at(f64::midpoint(lo, hi));
    (least + least.abs().max(1.0) * 1e-12).max(0.0)
}

/// The largest ρ whose ε at `delta` is at most `epsilon`: a lower bound, 0 where there is none.
pub fn rho_for(epsilon: f64, delta: Delta) -> Rho {
    if delta == Delta::ZERO || epsilon.is_nan() || epsilon <= 0.0 {
        return Rho::ZERO;
    }
    let fits = |units: u64| epsilon_of(Rho(units), delta) <= epsilon;
    // ε ≥ ρ for all α > 1 that matter at δ < 1, so that ρ = ε + 1 is past every answer.
    let Some(Rho(mut past)) = Rho::from_f64(epsilon + 1.0) else { return Rho::ZERO };
    let mut good = 0;
    while past - good > 1 {
        let middle = good + (past - good) / 2;
        if fits(middle) {
            good = middle;
        } else {
            past = middle;
        }
    }
    Rho(good)
}

/// Whose budget a line is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BudgetScope {
    /// All uses of a dataset in one epoch.
    Dataset {
        /// The dataset.
        dataset: String,
        /// The epoch, which only the authority may open.
        epoch: u32,
    },
    /// All uses of a dataset by one institution in one epoch.
    InstitutionDataset {
        /// The institution.
        institution: String,
        /// The dataset.
        dataset: String,
        /// The epoch.
        epoch: u32,
    },
    /// All runs of a product.
    Product {
        /// The product.
        product: String,
    },
}

impl BudgetScope {
    /// What a new line of this scope may spend by the rules.
    pub fn limit(&self, rules: &RuleSet) -> Charge {
        let budget = rules.personal().budget();
        limit_of(
            rules,
            match self {
                BudgetScope::Dataset { .. } => budget.dataset(),
                BudgetScope::InstitutionDataset { .. } => budget.institution_dataset(),
                BudgetScope::Product { .. } => budget.product(),
            },
        )
    }
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BudgetScope::Dataset { dataset, epoch } => write!(f, "dataset {dataset} epoch {epoch}"),
            BudgetScope::InstitutionDataset { institution, dataset, epoch } => {
                write!(f, "institution {institution} dataset {dataset} epoch {epoch}")
            }
            BudgetScope::Product { product } => write!(f, "product {product}"),
        }
    }
}

/// The (ρ, δ) that (`epsilon`, δ of the rules) holds when part of δ is kept for thresholds.
///
/// Spending all of both is (ε, δ)-differentially private: the thresholds' δ and the conversion's δ add up to the rules' δ.
pub fn limit_of(rules: &RuleSet, epsilon: f64) -> Charge {
    let (all, kept) = deltas(rules);
    Charge { rho: rho_for(epsilon, Delta(all.0.saturating_sub(kept.0))), delta: kept }
}

/// The ε that `charge` comes to at the rules' δ, of which the budget's reserve for thresholds is always set aside.
pub fn epsilon_at(rules: &RuleSet, charge: Charge) -> f64 {
    let (all, kept) = deltas(rules);
    epsilon_of(charge.rho, Delta(all.0.saturating_sub(kept.0)))
}

fn deltas(rules: &RuleSet) -> (Delta, Delta) {
    let personal = rules.personal();
    let bounded = "the rule set bounds δ";
    (
        // The whole is rounded down, its reserved part up.
        Delta(Delta::from_f64(personal.delta()).expect(bounded).0.saturating_sub(1)),
        Delta::from_f64(personal.threshold_delta()).expect(bounded),
    )
}

/// A budget and what is spent of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetLine {
    /// Whose it is.
    pub scope: BudgetScope,
    /// What may be spent in all.
    pub limit: Charge,
    /// What is spent.
    pub spent: Charge,
}

/// Whether every line can bear `charge`.
///
/// # Errors
/// `budget/exhausted` for each line that cannot.
pub fn admit(lines: &[BudgetLine], charge: Charge) -> Result<(), Refused> {
    let reasons = lines
        .iter()
        .filter(|line| !line.spent.checked_add(charge).is_some_and(|total| total.within(line.limit)))
        .map(|line| {
            let scope = &line.scope;
            Refusal::new(
                "budget/exhausted",
                format!("隐私预算不足：{}", scope_zh(scope)),
                format!("the privacy budget does not suffice: {scope}"),
            )
            .at(scope.to_string())
            .hint(
                "降低本次使用的 epsilon，或请数据主管部门开启新一期预算",
                "ask for a smaller epsilon, or ask the authority to open a new epoch",
            )
        })
        .collect();
    Refused::unless(reasons, ())
}

fn scope_zh(scope: &BudgetScope) -> String {
    match scope {
        BudgetScope::Dataset { dataset, epoch } => format!("数据集 {dataset}（第 {epoch} 期）"),
        BudgetScope::InstitutionDataset { institution, dataset, epoch } => {
            format!("机构 {institution} 对数据集 {dataset}（第 {epoch} 期）")
        }
        BudgetScope::Product { product } => format!("数据产品 {product}"),
    }
}

/// How many more times `line` can bear `charge`; `u64::MAX` where the charge is nothing.
pub fn runs_left(line: &BudgetLine, charge: Charge) -> u64 {
    let times = |limit: u64, spent: u64, each: u64| match (limit.checked_sub(spent), each) {
        (None, _) => 0,
        (Some(_), 0) => u64::MAX,
        (Some(left), each) => left / each,
    };
    times(line.limit.rho.0, line.spent.rho.0, charge.rho.0).min(times(
        line.limit.delta.0,
        line.spent.delta.0,
        charge.delta.0,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta(x: f64) -> Delta {
        Delta::from_f64(x).unwrap()
    }

    #[test]
    fn conversion_agrees_with_published_values() {
        // ρ = 0.5 is the Gaussian mechanism with σ = 1. Balle & Wang 2018 give its exact ε at δ = 1e-5 as 4.3772; the
        // classical conversion ρ + 2√(ρ ln 1/δ) gives 5.298. CKS 2020 lies between.
        let epsilon = epsilon_of(Rho::from_f64(0.5).unwrap(), delta(1e-5));
        assert!(epsilon > 4.377 && epsilon < 5.298, "{epsilon}");
        assert!((epsilon - 4.728).abs() < 0.02, "{epsilon}");
    }

    #[test]
    fn nothing_costs_nothing_and_no_delta_says_nothing() {
        assert_eq!(epsilon_of(Rho::ZERO, delta(1e-7)), 0.0);
        assert_eq!(epsilon_of(Rho::from_units(1), Delta::ZERO), f64::INFINITY);
        assert_eq!(rho_for(1.0, Delta::ZERO), Rho::ZERO);
        for bad in [0.0, -1.0, f64::NAN] {
            assert_eq!(rho_for(bad, delta(1e-7)), Rho::ZERO);
        }
        assert_eq!(rho_for(f64::INFINITY, delta(1e-7)), Rho::ZERO);
    }

    #[test]
    fn amounts_are_rounded_up_and_bounded() {
        assert_eq!(Rho::from_f64(1e-13), Some(Rho::from_units(1)));
        assert_eq!(Delta::from_f64(1.5e-18), Some(Delta::from_units(2)));
        for bad in [-1e-20, f64::NAN, f64::INFINITY, 1e30] {
            assert_eq!(Rho::from_f64(bad), None);
            assert_eq!(Delta::from_f64(bad), None);
        }
    }

    fn line(limit: u64, spent: u64) -> BudgetLine {
        let charge = |units| Charge { rho: Rho::from_units(units), delta: Delta::from_units(units) };
        BudgetLine { scope: BudgetScope::Product { product: "p".into() }, limit: charge(limit), spent: charge(spent) }
    }

    #[test]
    fn a_line_bears_its_limit_and_not_one_unit_more() {
        let charge = |rho, delta| Charge { rho: Rho::from_units(rho), delta: Delta::from_units(delta) };
        assert!(admit(&[line(10, 7)], charge(3, 3)).is_ok());
        assert_eq!(admit(&[line(10, 7)], charge(4, 0)).unwrap_err().codes(), ["budget/exhausted"]);
        assert_eq!(admit(&[line(10, 7)], charge(0, 4)).unwrap_err().codes(), ["budget/exhausted"]);
        assert!(admit(&[line(u64::MAX, u64::MAX)], charge(1, 0)).is_err());
        assert_eq!(runs_left(&line(10, 4), charge(2, 0)), 3);
        assert_eq!(runs_left(&line(10, 4), charge(2, 3)), 2);
        assert_eq!(runs_left(&line(10, 11), charge(0, 0)), 0);
        assert_eq!(runs_left(&line(10, 10), charge(0, 0)), u64::MAX);
    }

    #[test]
    fn every_line_that_cannot_bear_it_is_told() {
        let mut other = line(5, 5);
        other.scope = BudgetScope::Dataset { dataset: "residents".into(), epoch: 2 };
        let refused = admit(&[line(5, 5), line(50, 5), other], Charge { rho: Rho::from_units(1), delta: Delta::ZERO });
        let refused = refused.unwrap_err();
        let places: Vec<_> = refused.reasons().iter().filter_map(Refusal::place).collect();
        assert_eq!(places, ["product p", "dataset residents epoch 2"]);
    }

    proptest! {
        #[test]
        fn the_two_conversions_are_inverse(epsilon in 0.001f64..30.0, exponent in 4.0f64..12.0) {
            let delta = delta(10f64.powf(-exponent));
            let rho = rho_for(epsilon, delta);
            prop_assert!(epsilon_of(rho, delta) <= epsilon);
            let next = Rho::from_units(rho.units() + rho.units() / 1_000_000 + 2);
            prop_assert!(epsilon_of(next, delta) > epsilon);
        }

        #[test]
        fn epsilon_grows_with_rho_and_is_an_upper_bound(a in 1u64..1_000_000_000_000, b in 1u64..1_000_000_000_000) {
            let delta = delta(1e-7);
            let (low, high) = (Rho::from_units(a.min(b)), Rho::from_units(a.max(b)));
            prop_assert!(epsilon_of(low, delta) <= epsilon_of(high, delta) * (1.0 + 1e-9));
            // Never below what every α-Rényi statement must give at least: the mechanism's own ρ.
            prop_assert!(epsilon_of(high, delta) >= high.to_f64());
        }

        #[test]
        fn a_ledger_never_ends_above_its_limit(limit in 0u64..10_000, charges in prop::collection::vec(0u64..700, 0..60)) {
            let mut ledger = line(limit, 0);
            for units in charges {
                let charge = Charge { rho: Rho::from_units(units), delta: Delta::from_units(units / 2) };
                let left = runs_left(&ledger, charge);
                let admitted = admit(std::slice::from_ref(&ledger), charge).is_ok();
                prop_assert_eq!(admitted, left > 0);
                if admitted {
                    ledger.spent = ledger.spent.checked_add(charge).unwrap();
                }
                prop_assert!(ledger.spent.within(ledger.limit));
            }
        }
    }
}
