//! Statistical disclosure control: what of a table of exact numbers may leave (class `statistical`).
//!
//! The rules are those of official statistics (Hundepool et al., *Statistical Disclosure Control*, 2012, chapters 4 and 5):
//! a least number of units per cell, the p % rule and (n, k) dominance for sums, no cell that holds all or none of a group
//! where that tells an attribute, complementary suppression so that margins do not give withheld cells away, rounding,
//! and no cell that differs from a released one by a few units.
//!
//! The engine computes the cells; [`release()`] and [`protect`] decide. What leaves says that a number is withheld and for which kind of
//! reason, never by which parameter.

mod audit;
mod complementary;
mod flow;
mod overlap;
mod release;
#[cfg(test)]
mod tests;

pub use audit::{Members, tells_of_few};
pub use overlap::differs_too_little;
pub use release::{Earlier, Mark, RawCell, StatisticalCells, StatisticalRow, release};

use crate::refusal::{Refusal, Refused};
use crate::rules::StatisticalRules;
use complementary::complement;
use flow::Shape;

/// The most entries of a table, margins included.
pub const MAX_ENTRIES: usize = 10_000;

/// The exact numbers of one entry of a table. Private data: it has no `Debug`.
#[derive(Clone)]
pub struct Entry {
    /// Distinct units.
    pub units: u64,
    /// The count that is published. Counts of a row or column must add up to its margin.
    pub count: u64,
    /// The sums that are published, in whole units; they must add up too, and must not be negative.
    pub sums: Vec<Magnitude>,
}

/// A sum and the units that make most of it.
#[derive(Clone)]
pub struct Magnitude {
    /// The sum.
    pub total: i128,
    /// What the largest units contribute, largest first; as many as the dominance rule asks for, at least two, fewer where
    /// there are fewer units.
    pub largest: Vec<i128>,
    /// Units that contribute something.
    pub contributors: u64,
    /// Whether it is a number of rows, which nobody dominates.
    pub counts: bool,
}

/// Which of a table's keys is an attribute that nobody should learn of all members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sensitive {
    /// None is.
    #[default]
    Neither,
    /// The key of the columns: within one row, no column may hold all or none.
    Columns,
    /// The key of the rows: within one column, no row may hold all or none.
    Rows,
    /// Both are.
    Both,
}

/// A one- or two-way table, with its margins or without.
pub struct Table {
    rows: usize,
    columns: usize,
    margins: bool,
    sensitive: Sensitive,
    entries: Vec<Entry>,
    /// The rounding base of each variable, in its own steps.
    bases: Vec<i128>,
}

impl Table {
    /// A table of `rows` by `columns` (one row for a one-way table), row after row. With `margins` each row ends with its
    /// total, and one more row of column totals follows, which ends with the grand total; a table of one row has only its
    /// total at the end.
    ///
    /// # Errors
    /// `statistical/shape` where the number of entries or of sums is not that, `statistical/negative` and
    /// `statistical/not-additive` where the numbers cannot be what they should be. They are faults of the caller and tell
    /// no number.
    pub fn new(
        rows: usize,
        columns: usize,
        margins: bool,
        sensitive: Sensitive,
        entries: Vec<Entry>,
    ) -> Result<Self, Refused> {
        let table = Self { rows, columns, margins, sensitive, entries, bases: Vec::new() };
        let all = table.width().saturating_mul(table.height());
        let widths = table.entries.first().map_or(0, |e| e.sums.len());
        let fits = rows > 0 && columns > 0 && all <= MAX_ENTRIES && table.entries.len() == all;
        if !fits || table.entries.iter().any(|e| e.sums.len() != widths) {
            return Err(fault("shape", "表格形状不符", "the table does not have the shape it says").into());
        }
        if table.entries.iter().flat_map(|e| &e.sums).any(|s| s.total < 0 || s.largest.iter().any(|x| *x < 0)) {
            return Err(fault(
                "negative",
                "受统计规则保护的合计不能为负",
                "sums under these rules must not be negative",
            )
            .into());
        }
        if margins && !(0..=widths).all(|variable| table.shape().is_balanced(&table.values(variable))) {
            return Err(fault("not-additive", "合计与分项之和不一致", "totals are not the sums of their cells").into());
        }
        Ok(table)
    }

    /// The same table with sums in finer steps than 1: how many steps each sum's rounding base has.
    #[must_use]
    pub fn with_bases(mut self, bases: Vec<i128>) -> Self {
        self.bases = bases;
        self
    }

    /// The rounding base of a variable; 0 is the count.
    fn base(&self, variable: usize, rules: &StatisticalRules) -> i128 {
        let own = variable.checked_sub(1).and_then(|at| self.bases.get(at));
        own.copied().unwrap_or_else(|| i128::from(rules.rounding_base())).max(1)
    }

    fn width(&self) -> usize {
        self.columns.saturating_add(usize::from(self.margins))
    }

    fn height(&self) -> usize {
        self.rows.saturating_add(usize::from(self.margins && self.rows > 1))
    }

    /// The relations between the entries.
    fn shape(&self) -> Shape {
        if self.rows == 1 { Shape::one_way(self.columns) } else { Shape::two_way(self.rows, self.columns) }
    }

    /// The values of one variable: 0 is the count, then the sums.
    fn values(&self, variable: usize) -> Vec<i128> {
        let of = |e: &Entry| match variable {
            0 => i128::from(e.count),
            n => e.sums[n - 1].total,
        };
        self.entries.iter().map(of).collect()
    }
}

fn fault(code: &str, zh: &str, en: &str) -> Refusal {
    let code = match code {
        "shape" => "statistical/shape",
        "negative" => "statistical/negative",
        _ => "statistical/not-additive",
    };
    Refusal::new(code, zh, en)
}

/// Why a number is withheld: the class of the reason, which is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// Too few units.
    TooFew,
    /// One or a few units make most of a sum.
    Dominated,
    /// All or none of a group: the attribute of each member would be known.
    WholeGroup,
    /// Together with an earlier release it would tell of a few units.
    Overlap,
    /// It would give another withheld number away.
    Complementary,
}

/// What becomes of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It leaves, rounded.
    Released {
        /// The count.
        count: u64,
        /// The sums.
        sums: Vec<i128>,
    },
    /// It stays.
    Withheld(Withheld),
}

/// What of a table may leave. Made by [`protect`] alone.
#[derive(Debug)]
pub struct Protected {
    width: usize,
    outcomes: Vec<Outcome>,
}

impl Protected {
    /// The outcomes in the order of the table's entries.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The outcome in this row and column; margins come after the last of each.
    pub fn at(&self, row: usize, column: usize) -> Option<&Outcome> {
        if column >= self.width { None } else { self.outcomes.get(row * self.width + column) }
    }
}

/// Decides over a table. `overlapping` says of each entry whether [`differs_too_little`] holds for some earlier release;
/// where it is shorter than the table, the rest does not overlap.
pub fn protect(table: &Table, rules: &StatisticalRules, overlapping: &[bool]) -> Protected {
    let mut reasons: Vec<Option<Withheld>> = table.entries.iter().map(|entry| judge(entry, rules)).collect();
    for (reason, overlaps) in reasons.iter_mut().zip(overlapping) {
        if *overlaps && reason.is_none() {
            *reason = Some(Withheld::Overlap);
        }
    }
    whole_groups(table, &mut reasons);
    if table.margins {
        let variables = table.entries.first().map_or(0, |e| e.sums.len()) + 1;
        let values: Vec<Vec<i128>> = (0..variables).map(|v| table.values(v)).collect();
        let bases: Vec<i128> = (0..variables).map(|v| table.base(v, rules)).collect();
        for at in complement(&table.shape(), &values, &bases, &reasons, rules) {
            reasons[at] = Some(Withheld::Complementary);
        }
    }
    let base = u64::from(rules.rounding_base());
    let outcomes = table.entries.iter().zip(reasons).map(|(entry, reason)| match reason {
        Some(reason) => Outcome::Withheld(reason),
        None => Outcome::Released {
            count: (entry.count + base / 2) / base * base,
            sums: entry
                .sums
                .iter()
                .enumerate()
                .map(|(at, sum)| {
                    let base = table.base(at + 1, rules);
                    (sum.total + base / 2) / base * base
                })
                .collect(),
        },
    });
    Protected { width: table.width(), outcomes: outcomes.collect() }
}

/// The rules of one entry by itself: too few units, or sums that a few units dominate. For a remainder cell, ask it of the
/// withheld cells taken together.
pub fn judge(entry: &Entry, rules: &StatisticalRules) -> Option<Withheld> {
    if entry.units > 0 && entry.units < u64::from(rules.threshold()) {
        return Some(Withheld::TooFew);
    }
    if entry.sums.iter().any(|s| s.contributors > 0 && s.contributors < u64::from(rules.threshold())) {
        return Some(Withheld::TooFew);
    }
    entry.sums.iter().any(|sum| is_dominated(sum, rules)).then_some(Withheld::Dominated)
}

/// p % rule: the second largest, knowing itself, may not come within p % of the largest: total − x₁ − x₂ ≥ p % x₁.
/// (n, k) rule: the n largest may not make more than k % of the total.
fn is_dominated(sum: &Magnitude, rules: &StatisticalRules) -> bool {
    if sum.total == 0 || sum.counts {
        return false;
    }
    let first = sum.largest.first().copied().unwrap_or(sum.total);
    let second = sum.largest.get(1).copied().unwrap_or(0);
    let rest = sum.total.saturating_sub(first).saturating_sub(second);
    let within_p = rest.saturating_mul(100) < first.saturating_mul(i128::from(rules.p_percent()));
    let top: i128 = match sum.largest.is_empty() {
        true => sum.total,
        false => sum.largest.iter().take(rules.dominance_units() as usize).fold(0, |all, x| all.saturating_add(*x)),
    };
    let dominated = top.saturating_mul(100) > sum.total.saturating_mul(i128::from(rules.dominance_percent()));
    within_p || dominated
}

/// Cells that hold all or none of their row's (or column's) count.
fn whole_groups(table: &Table, reasons: &mut [Option<Withheld>]) {
    let along = |r: usize| -> Vec<usize> { (0..table.columns).map(|c| r * table.width() + c).collect() };
    let down = |c: usize| -> Vec<usize> { (0..table.rows).map(|r| r * table.width() + c).collect() };
    let mut lines = Vec::new();
    if matches!(table.sensitive, Sensitive::Columns | Sensitive::Both) {
        lines.extend((0..table.rows).map(along));
    }
    if matches!(table.sensitive, Sensitive::Rows | Sensitive::Both) {
        lines.extend((0..table.columns).map(down));
    }
    for line in lines {
        let total: u64 = line.iter().map(|at| table.entries[*at].count).sum();
        for at in line {
            let count = table.entries[at].count;
            if total > 0 && (count == 0 || count == total) && reasons[at].is_none() {
                reasons[at] = Some(Withheld::WholeGroup);
            }
        }
    }
}
