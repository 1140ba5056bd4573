//! From the exact cells of a leaf to the rows that leave.
//!
//! A leaf's cells are laid out as a table: the last group key runs over the columns, the others over the rows. Its totals
//! are computed along, whether the product asks for them or not, and counted as known: somebody may ask for them in another
//! product tomorrow, and what is withheld today must then still be withheld.
//!
//! Where a key is open, cells below the threshold do not show their key: they are taken together into a remainder, whose
//! open keys are NULL.

use super::{
    Entry, MAX_ENTRIES, Magnitude, Members, Outcome, Protected, Sensitive, Table, Withheld, protect, tells_of_few,
};
use crate::clear::{KeyDomain, LeafClearance, Output, StatisticalLeaf};
use crate::facts::Literal;
use crate::keys::Ordered;
use crate::refusal::Refusal;
use crate::rules::StatisticalRules;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The exact numbers of one cell, unit by unit, in columns of one length. Private data: it has no `Debug`.
#[derive(Default)]
pub struct RawCell {
    /// The key, one literal per group key of the leaf.
    pub key: Vec<Literal>,
    /// The units; each once.
    pub units: Vec<u32>,
    /// Rows of each unit.
    pub rows: Vec<u64>,
    /// What each unit adds to each variable, in its steps.
    pub values: Vec<Vec<i128>>,
    /// For each dataset of the leaf: what stands for each unit in the audit; another number where other rows of the unit
    /// are in the cell.
    pub members: Vec<Vec<u32>>,
}

/// What is known of a dataset already: the members of all cells that were released of the same data.
pub type Earlier<'a> = Vec<&'a dyn Members>;

/// What is said of a row besides its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Its numbers stay, for this kind of reason.
    Withheld(Withheld),
    /// It holds all the cells whose keys are not shown.
    Remainder,
}

impl Mark {
    /// The word in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mark::Withheld(Withheld::TooFew) => "too_few",
            Mark::Withheld(Withheld::Dominated) => "dominated",
            Mark::Withheld(Withheld::WholeGroup) => "whole_group",
            Mark::Withheld(Withheld::Overlap) => "overlap",
            Mark::Withheld(Withheld::Complementary) => "complementary",
            Mark::Remainder => "remainder",
        }
    }
}

/// One row that leaves.
#[derive(Debug)]
pub struct StatisticalRow {
    key: Vec<Literal>,
    values: Vec<Option<f64>>,
    mark: Option<Mark>,
    at: usize,
}

impl StatisticalRow {
    /// The key, one literal per group key of the leaf.
    pub fn key(&self) -> &[Literal] {
        &self.key
    }

    /// One number per aggregate of the leaf, rounded; `None` where it is withheld, and for the mean of nothing.
    pub fn values(&self) -> &[Option<f64>] {
        &self.values
    }

    /// Why numbers are withheld, or that it is the remainder.
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }
}

/// The rows of one leaf that leave, and which exact cells stand behind them. Made by [`release`] alone.
pub struct StatisticalCells {
    rows: Vec<StatisticalRow>,
    cells: Vec<RawCell>,
}

impl StatisticalCells {
    /// The rows, in canonical order of their keys.
    pub fn rows(&self) -> &[StatisticalRow] {
        &self.rows
    }

    /// The members of each cell whose numbers leave, for one dataset of the leaf: what later audits must know. Stays in the
    /// domain.
    pub fn released_members(&self, dataset: usize) -> Vec<&Vec<u32>> {
        let released = self.rows.iter().filter(|row| !matches!(row.mark, Some(Mark::Withheld(_))));
        let members = released.filter_map(|row| self.cells.get(row.at)?.members.get(dataset));
        members.filter(|members| !members.is_empty()).collect()
    }
}

impl std::fmt::Debug for StatisticalCells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatisticalCells").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// The one failure that may be told of after data was opened.
fn failed() -> Refusal {
    Refusal::new("run/failed", "运行失败", "the run failed")
}

/// Decides what of a leaf leaves. `earlier` has what is known of each dataset of the leaf; `unit_of` says which unit a
/// member stands for.
///
/// # Errors
/// `run/failed` where the cells do not fit the clearance, or are more than can be protected together.
#[allow(clippy::result_large_err, reason = "once per leaf, and the failure carries its texts")]
pub fn release(
    leaf: &LeafClearance,
    cells: Vec<RawCell>,
    rules: &StatisticalRules,
    earlier: &[Earlier<'_>],
    unit_of: &dyn Fn(u32) -> u32,
) -> Result<StatisticalCells, Refusal> {
    let plan = leaf.statistical().ok_or_else(failed)?;
    if !cells.iter().all(|cell| fits(cell, leaf, plan, earlier.len())) {
        return Err(failed());
    }
    let layout = Layout::of(leaf, plan, cells, rules)?;
    let table = layout.table(plan, rules)?;
    let protected = settle(&layout, &table, rules, earlier, unit_of);
    Ok(layout.finish(plan, &protected, rules))
}

fn fits(cell: &RawCell, leaf: &LeafClearance, plan: &StatisticalLeaf, datasets: usize) -> bool {
    let units = cell.units.len();
    cell.key.len() == leaf.keys().len()
        && cell.rows.len() == units
        && cell.values.len() == plan.variables().len()
        && cell.members.len() == datasets
        && cell.values.iter().all(|v| v.len() == units)
        && cell.members.iter().all(|m| m.len() == units)
}

/// Protects the table and audits what is left of it, until both agree.
fn settle(
    layout: &Layout,
    table: &Table,
    rules: &StatisticalRules,
    earlier: &[Earlier<'_>],
    unit_of: &dyn Fn(u32) -> u32,
) -> Protected {
    let mut overlapping = vec![false; table.entries.len()];
    loop {
        let protected = protect(table, rules, &overlapping);
        let released: Vec<(usize, &RawCell)> = layout
            .cells
            .iter()
            .zip(&layout.places)
            .filter(|(cell, at)| !cell.units.is_empty() && matches!(protected.outcomes[**at], Outcome::Released { .. }))
            .map(|(cell, at)| (*at, cell))
            .collect();
        let mut found = false;
        for (dataset, earlier) in earlier.iter().enumerate() {
            let new: Vec<&dyn Members> = released.iter().map(|(_, c)| &c.members[dataset] as &dyn Members).collect();
            let few = tells_of_few(earlier, &new, unit_of, rules.threshold());
            for ((at, _), few) in released.iter().zip(few) {
                found |= few && !overlapping[*at];
                overlapping[*at] |= few;
            }
        }
        if !found {
            return protected;
        }
    }
}

/// A part of a key as it is laid out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Declared(usize),
    Open(Ordered),
    /// The remainder of an open key.
    Rest,
}

/// The cells as a table of `rows` by `columns`, row after row.
struct Layout {
    rows: usize,
    columns: usize,
    margins: bool,
    sensitive: Sensitive,
    cells: Vec<RawCell>,
    /// Whether each cell is a remainder.
    rest: Vec<bool>,
    /// The position of each cell among the table's entries.
    places: Vec<usize>,
}

impl Layout {
    #[allow(clippy::result_large_err, reason = "once per leaf")]
    fn of(
        leaf: &LeafClearance,
        plan: &StatisticalLeaf,
        cells: Vec<RawCell>,
        rules: &StatisticalRules,
    ) -> Result<Self, Refusal> {
        let keys = leaf.keys();
        let mut placed: BTreeMap<Vec<Place>, Vec<RawCell>> = BTreeMap::new();
        for cell in cells {
            // As in the other class: a row outside of the declared domain is in no cell, and no failure tells of it.
            let Some(mut place) = place(keys, &cell.key) else { continue };
            if cell.units.len() < rules.threshold() as usize || cell.key.contains(&Literal::Null) {
                let open = |part: Place| if matches!(part, Place::Open(_)) { Place::Rest } else { part };
                place = place.into_iter().map(open).collect();
            }
            placed.entry(place).or_default().push(cell);
        }
        let variables = plan.variables().len();
        let mut merged: BTreeMap<Vec<Place>, RawCell> = BTreeMap::new();
        for (place, cells) in placed {
            let rest = place.contains(&Place::Rest);
            if cells.len() > 1 && !rest {
                return Err(failed());
            }
            merged.insert(place, merge(cells, variables));
        }
        let split = keys.len().saturating_sub(1);
        let rows = lines(keys.get(..split).unwrap_or(&[]), merged.keys().map(|p| &p[..split]));
        let columns = lines(keys.get(split..).unwrap_or(&[]), merged.keys().map(|p| &p[split..]));
        let sensitive = sensitive(plan, split);
        let entries = (rows.len() + 1).saturating_mul(columns.len() + 1);
        if entries > MAX_ENTRIES {
            return Self::listed(keys, merged, sensitive);
        }
        let mut layout = Self {
            rows: rows.len(),
            columns: columns.len(),
            margins: rows.len() * columns.len() > 1,
            sensitive,
            cells: Vec::new(),
            rest: Vec::new(),
            places: Vec::new(),
        };
        for row in &rows {
            for column in &columns {
                let place: Vec<Place> = row.iter().chain(column).cloned().collect();
                let datasets = merged.values().next().map_or(0, |c| c.members.len());
                let cell = merged.remove(&place).unwrap_or_else(|| empty(variables, datasets));
                layout.push(keys, &place, cell);
            }
        }
        if layout.columns == 1 {
            // One column is a one-way table lying down.
            (layout.rows, layout.columns) = (1, layout.rows);
            layout.sensitive = match layout.sensitive {
                Sensitive::Columns => Sensitive::Neither,
                Sensitive::Rows | Sensitive::Both => Sensitive::Columns,
                Sensitive::Neither => Sensitive::Neither,
            };
        }
        let width = layout.columns + usize::from(layout.margins);
        layout.places = (0..layout.cells.len()).map(|i| i / layout.columns * width + i % layout.columns).collect();
        Ok(layout)
    }

    /// Too many for a table: a list with its total. Whole groups cannot be told in one.
    #[allow(clippy::result_large_err, reason = "once per leaf")]
    fn listed(
        keys: &[KeyDomain],
        merged: BTreeMap<Vec<Place>, RawCell>,
        sensitive: Sensitive,
    ) -> Result<Self, Refusal> {
        if sensitive != Sensitive::Neither || merged.len() >= MAX_ENTRIES {
            return Err(failed());
        }
        let mut layout = Self {
            rows: 1,
            columns: merged.len(),
            margins: true,
            sensitive,
            cells: Vec::new(),
            rest: Vec::new(),
            places: (0..merged.len()).collect(),
        };
        for (place, cell) in merged {
            layout.push(keys, &place, cell);
        }
        Ok(layout)
    }

    fn push(&mut self, keys: &[KeyDomain], place: &[Place], mut cell: RawCell) {
        cell.key = place.iter().zip(keys).map(|(part, domain)| literal(part, domain)).collect();
        self.cells.push(cell);
        self.rest.push(place.contains(&Place::Rest));
    }

    #[allow(clippy::result_large_err, reason = "once per leaf")]
    fn table(&self, plan: &StatisticalLeaf, rules: &StatisticalRules) -> Result<Table, Refusal> {
        let all: Vec<&RawCell> = self.cells.iter().collect();
        let line = |cells: Vec<&RawCell>| fold(&cells, plan, rules);
        let mut entries = Vec::new();
        for row in 0..self.rows {
            let cells = &all[row * self.columns..(row + 1) * self.columns];
            entries.extend(cells.iter().map(|cell| line(vec![cell])));
            if self.margins {
                entries.push(line(cells.to_vec()));
            }
        }
        if self.margins && self.rows > 1 {
            for column in 0..self.columns {
                entries.push(line(all.iter().skip(column).step_by(self.columns).copied().collect()));
            }
            entries.push(line(all));
        }
        let bases = plan.variables().iter().map(|v| base(v.scale(), rules)).collect();
        let table = Table::new(self.rows, self.columns, self.margins, self.sensitive, entries);
        table.map(|t| t.with_bases(bases)).map_err(|_| failed())
    }

    fn finish(self, plan: &StatisticalLeaf, protected: &Protected, rules: &StatisticalRules) -> StatisticalCells {
        let mut rows = Vec::with_capacity(self.cells.len());
        for (index, cell) in self.cells.iter().enumerate() {
            let outcome = &protected.outcomes[self.places[index]];
            let (values, mark) = match outcome {
                Outcome::Withheld(reason) => (vec![None; plan.outputs.len()], Some(Mark::Withheld(*reason))),
                Outcome::Released { count, sums } => {
                    let units = rounded(cell.units.len() as u64, rules);
                    let values = plan.outputs.iter().map(|o| value(*o, *count, units, sums, plan)).collect();
                    (values, self.rest[index].then_some(Mark::Remainder))
                }
            };
            rows.push(StatisticalRow { key: cell.key.clone(), values, mark, at: index });
        }
        StatisticalCells { rows, cells: self.cells }
    }
}

fn sensitive(plan: &StatisticalLeaf, split: usize) -> Sensitive {
    let of = |keys: Option<&[bool]>| keys.is_some_and(|k| k.contains(&true));
    match (of(plan.sensitive.get(..split)), of(plan.sensitive.get(split..))) {
        (false, false) => Sensitive::Neither,
        (false, true) => Sensitive::Columns,
        (true, false) => Sensitive::Rows,
        (true, true) => Sensitive::Both,
    }
}

/// The rounding base in steps of 2^-scale.
fn base(scale: i32, rules: &StatisticalRules) -> i128 {
    let base = i128::from(rules.rounding_base());
    if scale >= 0 { base << scale.min(60) } else { (base >> (-scale).min(100)).max(1) }
}

fn rounded(count: u64, rules: &StatisticalRules) -> u64 {
    let base = u64::from(rules.rounding_base());
    (count + base / 2) / base * base
}

#[allow(clippy::cast_precision_loss, reason = "what leaves is rounded, and a number of a table")]
fn value(output: Output, count: u64, units: u64, sums: &[i128], plan: &StatisticalLeaf) -> Option<f64> {
    let sum = |at: usize| {
        let scale = plan.variables().get(at)?.scale();
        sums.get(at).map(|sum| *sum as f64 * 2f64.powi(-scale))
    };
    match output {
        Output::Rows => Some(count as f64),
        Output::Units => Some(units as f64),
        Output::Variable(at) => sum(at),
        Output::Mean(at, rows) => {
            let rows = rows.map_or(Some(count as f64), sum)?;
            if rows > 0.0 { Some(sum(at)? / rows) } else { None }
        }
    }
}

fn place(keys: &[KeyDomain], key: &[Literal]) -> Option<Vec<Place>> {
    let parts = key.iter().zip(keys);
    parts
        .map(|(literal, domain)| match domain {
            KeyDomain::Declared(values) => {
                let wanted = Ordered::of(literal);
                values.iter().position(|v| Ordered::of(v) == wanted).map(Place::Declared)
            }
            KeyDomain::Open => Some(Place::Open(Ordered::of(literal))),
        })
        .collect()
}

fn literal(part: &Place, domain: &KeyDomain) -> Literal {
    match (part, domain) {
        (Place::Declared(at), KeyDomain::Declared(values)) => values.get(*at).cloned().unwrap_or(Literal::Null),
        (Place::Open(value), _) => value.to_literal(),
        (Place::Declared(_) | Place::Rest, _) => Literal::Null,
    }
}

/// All the lines of a table along some keys: every combination of declared values, or those that there are where a key is
/// open. No keys are one line.
fn lines<'p>(keys: &[KeyDomain], there: impl Iterator<Item = &'p [Place]>) -> Vec<Vec<Place>> {
    let mut all = vec![Vec::new()];
    for key in keys {
        let KeyDomain::Declared(values) = key else {
            let there: BTreeSet<Vec<Place>> = there.map(<[Place]>::to_vec).collect();
            return if there.is_empty() { vec![vec![Place::Rest; keys.len()]] } else { there.into_iter().collect() };
        };
        if all.len().saturating_mul(values.len()) > MAX_ENTRIES {
            return there.map(<[Place]>::to_vec).collect::<BTreeSet<_>>().into_iter().collect();
        }
        all = all
            .iter()
            .flat_map(|line| (0..values.len()).map(|at| [line.as_slice(), &[Place::Declared(at)]].concat()))
            .collect();
    }
    all
}

fn empty(variables: usize, datasets: usize) -> RawCell {
    RawCell { values: vec![Vec::new(); variables], members: vec![Vec::new(); datasets], ..RawCell::default() }
}

/// Several cells as one: what a unit adds in each adds up. A unit in several of them stands under its first members in the
/// audit.
fn merge(mut cells: Vec<RawCell>, variables: usize) -> RawCell {
    if cells.len() == 1 {
        return cells.swap_remove(0);
    }
    let datasets = cells.first().map_or(0, |c| c.members.len());
    let mut out = empty(variables, datasets);
    let mut at: HashMap<u32, usize> = HashMap::new();
    for cell in &cells {
        for (i, unit) in cell.units.iter().enumerate() {
            let slot = *at.entry(*unit).or_insert_with(|| {
                out.units.push(*unit);
                out.rows.push(0);
                out.values.iter_mut().for_each(|v| v.push(0));
                out.members.iter_mut().zip(&cell.members).for_each(|(out, members)| out.push(members[i]));
                out.units.len() - 1
            });
            out.rows[slot] += cell.rows[i];
            out.values.iter_mut().zip(&cell.values).for_each(|(out, values)| out[slot] += values[i]);
        }
    }
    out
}

/// The numbers of cells taken together.
fn fold(cells: &[&RawCell], plan: &StatisticalLeaf, rules: &StatisticalRules) -> Entry {
    let top = (rules.dominance_units() as usize).max(2);
    let variables = plan.variables().len();
    let mut slots: HashMap<u32, usize> = HashMap::new();
    let mut totals: Vec<Vec<i128>> = vec![Vec::new(); variables];
    let mut units = 0;
    let mut count = 0u64;
    for cell in cells {
        count += cell.rows.iter().sum::<u64>();
        for (i, unit) in cell.units.iter().enumerate() {
            // Within one cell each unit stands once.
            let slot = if cells.len() == 1 { i } else { *slots.entry(*unit).or_insert(units) };
            if slot == units {
                units += 1;
                totals.iter_mut().for_each(|t| t.push(0));
            }
            totals.iter_mut().zip(&cell.values).for_each(|(t, values)| t[slot] += values[i]);
        }
    }
    let sums = totals.into_iter().zip(plan.variables()).map(|(mut values, variable)| {
        let total = values.iter().sum();
        let contributors = values.iter().filter(|v| **v != 0).count() as u64;
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.truncate(top);
        Magnitude { total, largest: values, contributors, counts: variable.counts() }
    });
    Entry { units: units as u64, count, sums: sums.collect() }
}
