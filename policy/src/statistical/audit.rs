//! What many cells tell together: an audit of linear combinations over all that was released of the same data.
//!
//! Every released number is a sum over the members of its cell. Whoever has many of them can add and subtract; a combination
//! in which only a few units are left tells of those few. This is the audit of Chin & Özsoyoğlu 1982 ("Auditing and
//! inference control in statistical databases", IEEE TSE SE-8), kept for groups of members that no cell tells apart
//! instead of single members: the cells span a space, held in reduced row echelon form, and a new cell is withheld where
//! with it the space would hold a combination of too few units. Groups are ordered by size, largest first, so that the form
//! shows combinations of small groups alone.
//!
//! Arithmetic is modulo 2^61 − 1: whole, exact, without growth. A space over the rationals and one modulo a prime could only
//! differ for tables made for that prime.

use std::collections::{HashMap, HashSet};

const PRIME: u64 = (1 << 61) - 1;

/// How many steps one audit may take (about a second); past them everything new is withheld.
const MOST_WORK: u64 = 150_000_000;

/// The members of a cell: numbers that stand for units, or for a unit with a certain choice of its rows; each once.
pub trait Members {
    /// Calls `f` with each member.
    fn each(&self, f: &mut dyn FnMut(u32));
}

impl Members for Vec<u32> {
    fn each(&self, f: &mut dyn FnMut(u32)) {
        self.iter().copied().for_each(f);
    }
}

/// Which of the `new` cells must be withheld, because together with `earlier` ones (and with each other) they would tell of
/// fewer than `threshold` units. `unit_of` says which unit a member stands for.
///
/// Larger cells are looked at first, so that it is small ones that are withheld. Fails safe: where the audit would take
/// too long, all that is left is withheld.
pub fn tells_of_few(
    earlier: &[&dyn Members],
    new: &[&dyn Members],
    unit_of: &dyn Fn(u32) -> u32,
    threshold: u32,
) -> Vec<bool> {
    let groups = Groups::of(earlier, new, threshold as usize);
    let mut space = Space::new(&groups, unit_of, threshold as usize);
    let mut withheld = vec![false; new.len()];
    let rows: Vec<Vec<u32>> = (0..earlier.len() + new.len()).map(|at| groups.row(at)).collect();
    let (earlier, new) = rows.split_at(earlier.len());
    let released: HashSet<&Vec<u32>> = earlier.iter().collect();
    for row in &released {
        space.add(row, false);
    }
    let mut order: Vec<usize> = (0..new.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(groups.size(&new[*at])), *at));
    let mut kept: Vec<&Vec<u32>> = Vec::new();
    for at in order {
        let row = &new[at];
        // What is known already tells nothing new.
        if row.is_empty() || released.contains(row) {
            continue;
        }
        let near = |other: &&Vec<u32>| space.few(&difference(row, other));
        let tells = earlier.iter().any(|other| near(&other)) || kept.iter().any(near);
        withheld[at] = tells || !space.add(row, true);
        if !withheld[at] {
            kept.push(row);
        }
    }
    withheld
}

/// What stands in one of two ascending lists alone.
fn difference(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x == y => (i, j) = (i + 1, j + 1),
            (Some(x), Some(y)) if x < y => {
                out.push(*x);
                i += 1;
            }
            (Some(x), None) => {
                out.push(*x);
                i += 1;
            }
            (_, Some(y)) => {
                out.push(*y);
                j += 1;
            }
            (None, None) => {}
        }
    }
    out
}

/// Members that stand in exactly the same cells, largest group first.
struct Groups {
    /// The groups of each cell, ascending.
    rows: Vec<Vec<u32>>,
    sizes: Vec<u64>,
    /// Some members of each group: all of them, or as many as the threshold.
    some: Vec<Vec<u32>>,
}

impl Groups {
    fn of(earlier: &[&dyn Members], new: &[&dyn Members], enough: usize) -> Self {
        let cells = || earlier.iter().chain(new);
        let group_of = Self::refine(cells());
        let mut sizes: HashMap<u32, u64> = HashMap::new();
        group_of.iter().filter(|g| **g > 0).for_each(|g| *sizes.entry(*g).or_default() += 1);
        let mut order: Vec<(u32, u64)> = sizes.into_iter().collect();
        order.sort_unstable_by_key(|(group, size)| (std::cmp::Reverse(*size), *group));
        let place: HashMap<u32, u32> = order.iter().zip(0u32..).map(|((group, _), at)| (*group, at)).collect();
        let mut some = vec![Vec::new(); order.len()];
        for (member, group) in (0u32..).zip(&group_of) {
            if let Some(at) = place.get(group)
                && some[*at as usize].len() < enough
            {
                some[*at as usize].push(member);
            }
        }
        let row = |cell: &&dyn Members| {
            let mut groups = HashSet::new();
            cell.each(&mut |member| {
                if let Some(at) = group_of.get(member as usize).and_then(|g| place.get(g)) {
                    groups.insert(*at);
                }
            });
            let mut groups: Vec<u32> = groups.into_iter().collect();
            groups.sort_unstable();
            groups
        };
        let rows = cells().map(row).collect();
        Self { rows, sizes: order.into_iter().map(|(_, size)| size).collect(), some }
    }

    /// The group of each member, by number; 0 for those that stand in no cell.
    fn refine<'a, 'b: 'a>(cells: impl Iterator<Item = &'a &'b dyn Members>) -> Vec<u32> {
        let mut group_of: Vec<u32> = Vec::new();
        let mut next = 1;
        for cell in cells {
            let mut moved: HashMap<u32, u32> = HashMap::new();
            cell.each(&mut |member| {
                let member = member as usize;
                if group_of.len() <= member {
                    group_of.resize(member + 1, 0);
                }
                let new = *moved.entry(group_of[member]).or_insert_with(|| {
                    next += 1;
                    next - 1
                });
                group_of[member] = new;
            });
        }
        group_of
    }

    fn row(&self, at: usize) -> Vec<u32> {
        self.rows[at].clone()
    }

    fn size(&self, row: &[u32]) -> u64 {
        row.iter().map(|g| self.sizes[*g as usize]).sum()
    }
}

/// A vector over groups: those with a coefficient, ascending.
type Vector = Vec<(u32, u64)>;

/// The space that the released cells span.
struct Space<'a> {
    groups: &'a Groups,
    unit_of: &'a dyn Fn(u32) -> u32,
    threshold: usize,
    /// Reduced: each begins with 1 where all others have 0.
    basis: Vec<Vector>,
    /// The position in the basis by the first group.
    first: HashMap<u32, usize>,
    scratch: Vec<u64>,
    work: u64,
}

impl<'a> Space<'a> {
    fn new(groups: &'a Groups, unit_of: &'a dyn Fn(u32) -> u32, threshold: usize) -> Self {
        let scratch = vec![0; groups.sizes.len()];
        Self { groups, unit_of, threshold, basis: Vec::new(), first: HashMap::new(), scratch, work: 0 }
    }

    /// Whether these groups hold some units, but too few.
    fn few(&self, groups: &[u32]) -> bool {
        let mut units = HashSet::new();
        for group in groups {
            for member in &self.groups.some[*group as usize] {
                units.insert((self.unit_of)(*member));
                if units.len() >= self.threshold {
                    return false;
                }
            }
        }
        !units.is_empty()
    }

    /// Adds a cell; where `checked`, only if the space then tells of no few units. Says whether it was added.
    fn add(&mut self, row: &[u32], checked: bool) -> bool {
        if self.work > MOST_WORK {
            return false;
        }
        let new = self.reduce(row);
        let Some((pivot, _)) = new.first().copied() else { return true };
        let mut changed = Vec::new();
        for (at, vector) in self.basis.iter().enumerate() {
            if let Ok(found) = vector.binary_search_by_key(&pivot, |(group, _)| *group) {
                let factor = vector[found].1;
                self.work += (vector.len() + new.len()) as u64;
                changed.push((at, subtract(vector, &new, factor)));
            }
        }
        let support = |vector: &Vector| vector.iter().map(|(group, _)| *group).collect::<Vec<_>>();
        if checked && (self.few(&support(&new)) || changed.iter().any(|(_, v)| self.few(&support(v)))) {
            return false;
        }
        for (at, vector) in changed {
            self.basis[at] = vector;
        }
        self.first.insert(pivot, self.basis.len());
        self.basis.push(new);
        true
    }

    /// What a cell adds to the space: empty where it is in it already, else a vector that begins with 1.
    fn reduce(&mut self, row: &[u32]) -> Vector {
        let mut touched: Vec<u32> = row.to_vec();
        row.iter().for_each(|group| self.scratch[*group as usize] = 1);
        for group in row {
            // The basis is reduced: taking one vector off does not change the coefficients at other pivots.
            let Some(at) = self.first.get(group) else { continue };
            let factor = self.scratch[*group as usize];
            self.work += self.basis[*at].len() as u64;
            for (other, x) in &self.basis[*at] {
                let slot = &mut self.scratch[*other as usize];
                *slot = minus(*slot, times(*x, factor));
                touched.push(*other);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        self.work += touched.len() as u64;
        let mut vector: Vector = Vec::new();
        for group in touched {
            let x = std::mem::take(&mut self.scratch[group as usize]);
            if x != 0 {
                vector.push((group, x));
            }
        }
        if let Some((_, first)) = vector.first().copied() {
            let inverse = power(first, PRIME - 2);
            vector.iter_mut().for_each(|(_, x)| *x = times(*x, inverse));
        }
        vector
    }
}

/// `a − factor · b`.
fn subtract(a: &Vector, b: &Vector, factor: u64) -> Vector {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (left, right) = (a.get(i).copied(), b.get(j).copied());
        let group = match (left, right) {
            (Some((x, _)), Some((y, _))) => x.min(y),
            (Some((x, _)), None) | (None, Some((x, _))) => x,
            (None, None) => break,
        };
        let of = |side: Option<(u32, u64)>| side.filter(|(g, _)| *g == group).map(|(_, x)| x);
        let (left, right) = (of(left), of(right));
        let x = minus(left.unwrap_or(0), times(right.unwrap_or(0), factor));
        i += usize::from(left.is_some());
        j += usize::from(right.is_some());
        if x != 0 {
            out.push((group, x));
        }
    }
    out
}

fn minus(a: u64, b: u64) -> u64 {
    if a >= b { a - b } else { a + PRIME - b }
}

#[allow(clippy::cast_possible_truncation, reason = "less than the prime")]
fn times(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64
}

fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut out = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = times(out, base);
        }
        base = times(base, base);
        exponent >>= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn audit(earlier: &[Vec<u32>], new: &[Vec<u32>], threshold: u32) -> Vec<bool> {
        let earlier: Vec<&dyn Members> = earlier.iter().map(|c| c as &dyn Members).collect();
        let new: Vec<&dyn Members> = new.iter().map(|c| c as &dyn Members).collect();
        tells_of_few(&earlier, &new, &|m| m % 1_000_000, threshold)
    }

    fn range(of: std::ops::Range<u32>) -> Vec<u32> {
        of.collect()
    }

    #[test]
    fn a_cell_less_one_unit_is_withheld() {
        assert_eq!(audit(&[range(0..100)], &[range(0..99)], 10), [true]);
        assert_eq!(audit(&[range(0..100)], &[range(0..91)], 10), [true]);
        assert_eq!(audit(&[range(0..100)], &[range(0..90)], 10), [false]);
        assert_eq!(audit(&[range(0..100)], &[range(0..100)], 10), [false], "the same cell tells nothing new");
    }

    #[test]
    fn parts_that_add_up_to_a_total_but_for_one_are_withheld() {
        // By city, then the whole less one firm.
        let cities = [range(0..40), range(40..100), range(100..160)];
        assert_eq!(audit(&cities, &[range(0..159)], 10), [true]);
        // The other way round.
        assert_eq!(audit(&[range(0..159)], &cities, 10).iter().filter(|w| **w).count(), 1);
        // Schlörer's individual tracker in three products: A ∪ T, T, and what both hold.
        let t = range(50..100);
        assert_eq!(audit(&[range(0..50), t.clone()], &[range(0..101)], 10), [true]);
    }

    #[test]
    fn combinations_of_many_cells_are_seen() {
        // Six cells of pairs of blocks; with the seventh the blocks' own sums follow, and the block of 4 units with them.
        let block = |at: u32| -> Vec<u32> { range(at * 100..at * 100 + if at == 3 { 4 } else { 60 }) };
        let pair = |a, b| [block(a), block(b)].concat();
        let earlier = [pair(0, 1), pair(1, 2), pair(2, 3)];
        assert_eq!(audit(&earlier, &[pair(0, 2)], 10), [true]);
        // Without the small block nothing is told.
        let earlier = [pair(0, 1), pair(1, 2), pair(2, 4)];
        assert_eq!(audit(&earlier, &[pair(0, 2)], 10), [false]);
    }

    #[test]
    fn another_choice_of_a_units_rows_is_a_difference_of_one_unit() {
        // Members above a million stand for the same units with other rows.
        let all = range(0..100);
        let mut less = range(0..99);
        less.push(1_000_099);
        assert_eq!(audit(std::slice::from_ref(&all), &[less], 10), [true]);
        // Nine units are few, though they are eighteen members; ten are enough.
        let other = |units: u32| [range(0..100 - units), range(1_000_100 - units..1_000_100)].concat();
        assert_eq!(audit(std::slice::from_ref(&all), &[other(9)], 10), [true]);
        assert_eq!(audit(&[all], &[other(10)], 10), [false]);
    }

    #[test]
    fn new_cells_are_looked_at_together() {
        let withheld = audit(&[], &[range(0..100), range(0..98)], 10);
        assert_eq!(withheld, [false, true]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// No two released cells differ by few, and no subtraction of disjoint released parts leaves few.
        #[test]
        fn no_difference_of_released_cells_is_small(
            cells in prop::collection::vec(prop::collection::btree_set(0u32..60, 10..60), 1..8),
        ) {
            let cells: Vec<Vec<u32>> = cells.into_iter().map(|c| c.into_iter().collect()).collect();
            let withheld = audit(&[], &cells, 10);
            let kept: Vec<&Vec<u32>> = cells.iter().zip(&withheld).filter(|(_, w)| !**w).map(|(c, _)| c).collect();
            for a in &kept {
                for b in &kept {
                    let d = difference(a, b).len();
                    prop_assert!(d == 0 || d >= 10, "{d}");
                    for c in &kept {
                        // a = b ∪ c but for a few, b and c disjoint.
                        if difference(b, c).len() == b.len() + c.len() {
                            let mut both = [b.as_slice(), c.as_slice()].concat();
                            both.sort_unstable();
                            let d = difference(a, &both).len();
                            prop_assert!(d == 0 || d >= 10, "{d}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_history_is_audited_and_an_endless_one_withholds() {
        // 40 tables of 50 cells over 20,000 units.
        let table = |t: u32| -> Vec<Vec<u32>> {
            (0..50).map(|c| (0..20_000u32).filter(|u| (u.wrapping_mul(2 * t + 3) / 7) % 50 == c).collect()).collect()
        };
        let earlier: Vec<Vec<u32>> = (0..3).flat_map(table).collect();
        let withheld = audit(&earlier, &[range(0..20_000)], 10);
        assert_eq!(withheld, [false], "the total of each table is known already");
    }
}
