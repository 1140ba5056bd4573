//! Complementary suppression: further numbers are withheld until the published ones do not give the withheld ones away.

use super::Withheld;
use super::flow::Shape;
use crate::rules::StatisticalRules;

/// What withholding an entry of value 0 costs: it says least, and often everybody knows that it is 0.
const ZERO_COST: u64 = 1 << 40;

/// The entries to withhold besides those that have a reason. `values` are the published variables, the count first.
///
/// Afterwards, whoever knows all published numbers exactly can tell of no primarily withheld number more than that it lies
/// within the rounding base (and within p % of the number) of its true value on either side: below, no further than 0.
///
/// What is protected stays so when more is withheld, so that each number is looked at once. It ends: in the worst case the
/// totals go too, and with them every bound.
pub(super) fn complement(
    shape: &Shape,
    values: &[Vec<i128>],
    bases: &[i128],
    reasons: &[Option<Withheld>],
    rules: &StatisticalRules,
) -> Vec<usize> {
    let mut withheld: Vec<bool> = reasons.iter().map(Option::is_some).collect();
    let mut added = Vec::new();
    let cost = |entry: usize| match values[0][entry] {
        0 => ZERO_COST,
        count => u64::try_from(count).unwrap_or(ZERO_COST).min(ZERO_COST - 1) + 1,
    };
    let primary: Vec<usize> = (0..reasons.len()).filter(|at| withheld[*at]).collect();
    for (variable, base) in values.iter().zip(bases) {
        for at in &primary {
            let needed = protection(variable[*at], *base, rules);
            for up in [true, false] {
                let goal = if up { needed } else { needed.min(variable[*at]) };
                while shape.slack(variable, &withheld, *at, up, goal) < goal {
                    let more = shape.cheapest(variable, &withheld, *at, up, &cost);
                    // A path of withheld entries alone that is too narrow: widen it by the next best entry.
                    let more = if more.is_empty() { widest(variable, &withheld) } else { more };
                    if more.is_empty() {
                        break;
                    }
                    for entry in more {
                        withheld[entry] = true;
                        added.push(entry);
                    }
                }
            }
        }
    }
    added
}

/// How far from its true value a withheld number must seem possible.
fn protection(value: i128, base: i128, rules: &StatisticalRules) -> i128 {
    let percent = value.saturating_mul(i128::from(rules.p_percent())).saturating_add(99) / 100;
    percent.max(base)
}

/// The largest number that is still published: withholding it loosens the most.
fn widest(values: &[i128], withheld: &[bool]) -> Vec<usize> {
    let published = (0..values.len()).filter(|at| !withheld[*at]);
    published.max_by_key(|at| values[*at]).into_iter().collect()
}
