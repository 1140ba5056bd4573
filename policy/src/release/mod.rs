//! The gate's arithmetic: exact sums in, noisy numbers with intervals out.

use crate::clear::LeafClearance;
use crate::facts::Literal;
use crate::refusal::Refusal;
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

/// Adds the noise that `leaf` asks for, and makes estimates of it.
///
/// # Errors
/// `run/failed`, the one opaque code, where `cells` do not fit the clearance.
pub fn release(
    leaf: &LeafClearance,
    cells: Vec<RawCell>,
    seed: &Seed,
    leaf_index: u32,
) -> Result<ReleasedCells, Refusal> {
    let _ = (leaf, cells, seed.0, leaf_index);
    Err(Refusal::new("run/failed", "运行失败", "the run failed"))
}
