//! The gate's arithmetic: exact sums in, noisy numbers with intervals out.

#[cfg(test)]
mod audit_tests;
mod estimate;
mod noise;
#[cfg(test)]
mod noise_tests;
mod quantile;
mod tick;

pub use quantile::{Bar, quantile};
pub use tick::{shift_bound, until_tick};

use crate::clear::{KeyDomain, LeafClearance, Measure};
use crate::facts::Literal;
use crate::keys::{Ordered, ordered};
use crate::refusal::Refusal;
use estimate::{Noisy, Spread, estimate};
use noise::{Sampler, stream};
use std::collections::BTreeMap;
use std::fmt;

/// The exact sums of one cell. Private data: it has no `Debug`.
pub struct RawCell {
    /// The key, one literal per group key of the leaf.
    pub key: Vec<Literal>,
    /// One sum per measure of the leaf, in grid units.
    pub sums: Vec<i128>,
}

/// The 32 random bytes that a run's noise comes from. Kept in the domain for replay; never shown.
pub struct Seed([u8; 32]);

impl Seed {
    /// From bytes of a cryptographic source.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A noisy number with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    value: Option<f64>,
    low: f64,
    high: f64,
}

impl Estimate {
    /// The number; `None` (SQL NULL) where the noise leaves nothing to say, e.g. a mean over too few rows.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// The lower end of the 95 % interval.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The upper end of the 95 % interval.
    pub fn high(&self) -> f64 {
        self.high
    }
}

/// One released cell.
#[derive(Debug)]
pub struct ReleasedCell {
    key: Vec<Literal>,
    estimates: Vec<Option<Estimate>>,
}

impl ReleasedCell {
    /// The key, one literal per group key of the leaf.
    pub fn key(&self) -> &[Literal] {
        &self.key
    }

    /// One per aggregate of the leaf; `None` where it is withheld.
    pub fn estimates(&self) -> &[Option<Estimate>] {
        &self.estimates
    }
}

/// The released cells of one leaf. Made by [`release`] alone.
#[derive(Debug)]
pub struct ReleasedCells {
    rows: Vec<ReleasedCell>,
}

impl ReleasedCells {
    /// The cells, in canonical order of their keys.
    pub fn rows(&self) -> &[ReleasedCell] {
        &self.rows
    }
}

/// The one failure that may be told of after data was opened.
fn failed() -> Refusal {
    Refusal::new("run/failed", "运行失败，已扣除的预算不退还", "the run failed; its charge is not refunded")
}

/// Adds the noise that `leaf` asks for, and makes estimates of it.
///
/// `leaf_index` is the position of the leaf in its [`crate::clear::Clearance`]. `cells` may come in any order; each key
/// once; empty cells of a declared grid need not come. The answer depends on the clearance, the sums and the seed alone.
///
/// # Errors
/// `run/failed`, the one opaque code, where `cells` do not have the clearance's form. That is a fault of the caller: what the
/// engine executes for a clearance always has it. A cell whose key is outside of the declared domain is dropped.
#[allow(clippy::result_large_err, reason = "once per leaf, and the failure carries its texts")]
pub fn release(
    leaf: &LeafClearance,
    cells: Vec<RawCell>,
    seed: &Seed,
    leaf_index: u32,
) -> Result<ReleasedCells, Refusal> {
    if leaf.measures().is_empty() {
        return Err(failed());
    }
    let samplers: Vec<Source<'_>> =
        leaf.measures().iter().map(Source::new).collect::<Option<_>>().ok_or_else(failed)?;
    let domains = Domains::of(leaf);
    let mut raw = domains.arrange(cells, leaf.measures().len()).ok_or_else(failed)?;
    if !leaf.is_thresholded() {
        domains.complete(&mut raw, leaf.measures().len());
    }
    let mut rows = Vec::with_capacity(raw.len());
    for (_, cell) in raw {
        let canonical = ordered(&cell.key);
        let mut noisy = Vec::with_capacity(samplers.len());
        for (at, sampler) in samplers.iter().enumerate() {
            let mut rng = stream(seed, leaf_index, at, &canonical);
            let noise = sampler.sampler.draw(&mut rng).ok_or_else(failed)?;
            let sum = cell.sums[at].checked_add(noise).ok_or_else(failed)?;
            noisy.push(Noisy::new(sampler.measure, sampler.spread, sum));
        }
        if let Some(estimates) = numbers(leaf, &noisy) {
            rows.push(ReleasedCell { key: cell.key, estimates });
        }
    }
    Ok(ReleasedCells { rows })
}

/// What is told of a cell's noisy sums; nothing where the threshold withholds it.
fn numbers(leaf: &LeafClearance, noisy: &[Noisy]) -> Option<Vec<Option<Estimate>>> {
    if leaf.threshold.is_some_and(|t| noisy[t.measure].value() < t.tau) {
        return None;
    }
    Some(leaf.estimators.iter().map(|e| Some(estimate(e, noisy))).collect())
}

/// Where the noise of a measure comes from, and how far it spreads.
struct Source<'m> {
    measure: &'m Measure,
    sampler: Sampler,
    spread: Spread,
}

impl<'m> Source<'m> {
    fn new(measure: &'m Measure) -> Option<Self> {
        Some(Self { measure, sampler: Sampler::new(measure.noise)?, spread: Spread::of(measure.noise) })
    }
}

/// Where a key part stands: by position in its declared domain, by value in an open one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Declared(usize),
    Open(Ordered),
}

/// The key domains of a leaf, ready for look-up.
struct Domains<'l> {
    keys: Vec<(&'l KeyDomain, BTreeMap<Ordered, usize>)>,
}

impl<'l> Domains<'l> {
    fn of(leaf: &'l LeafClearance) -> Self {
        let index = |domain: &'l KeyDomain| match domain {
            KeyDomain::Declared(values) => values.iter().enumerate().map(|(at, v)| (Ordered::of(v), at)).collect(),
            KeyDomain::Open => BTreeMap::new(),
        };
        Self { keys: leaf.keys().iter().map(|domain| (domain, index(domain))).collect() }
    }

    /// The cells of the domain by canonical place; nothing where one has not the form, or comes twice.
    fn arrange(&self, cells: Vec<RawCell>, measures: usize) -> Option<BTreeMap<Vec<Place>, RawCell>> {
        let mut arranged = BTreeMap::new();
        for cell in cells {
            if cell.key.len() != self.keys.len() || cell.sums.len() != measures {
                return None;
            }
            // A row outside of the declared domain is in no cell. Were it a failure, whether a run fails would tell of it.
            let Some(place) = self.place(&cell.key) else { continue };
            if arranged.insert(place, cell).is_some() {
                return None;
            }
        }
        Some(arranged)
    }

    fn place(&self, key: &[Literal]) -> Option<Vec<Place>> {
        let parts = key.iter().zip(&self.keys);
        parts
            .map(|(literal, (domain, index))| match domain {
                KeyDomain::Declared(_) => index.get(&Ordered::of(literal)).copied().map(Place::Declared),
                KeyDomain::Open => Some(Place::Open(Ordered::of(literal))),
            })
            .collect()
    }

    /// Adds the cells of the grid that nobody is in. Only called where every domain is declared.
    fn complete(&self, raw: &mut BTreeMap<Vec<Place>, RawCell>, measures: usize) {
        let mut grid: Vec<(Vec<Place>, Vec<Literal>)> = vec![(Vec::new(), Vec::new())];
        for (domain, _) in &self.keys {
            let KeyDomain::Declared(values) = domain else { return };
            let mut next = Vec::with_capacity(grid.len() * values.len());
            for (place, key) in &grid {
                for (at, value) in values.iter().enumerate() {
                    let (mut place, mut key) = (place.clone(), key.clone());
                    place.push(Place::Declared(at));
                    key.push(value.clone());
                    next.push((place, key));
                }
            }
            grid = next;
        }
        for (place, key) in grid {
            raw.entry(place).or_insert_with(|| RawCell { key, sums: vec![0; measures] });
        }
    }
}
