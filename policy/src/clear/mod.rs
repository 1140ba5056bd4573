//! Clearance: may this plan leave, under which class, at which cost, and with how much noise.
//!
//! [`clear`] looks at a whole plan, told as [`PlanFacts`](crate::facts::PlanFacts), and answers with a [`Clearance`] or with all the reasons
//! against it. Nothing else makes a `Clearance`; the engine executes and the gate releases only what one describes.

mod dates;
mod decide;
mod evaluate;
mod keys;
#[cfg(test)]
mod laws;
mod limits;
mod measures;
mod per_unit;
mod relation;
mod statistical;
mod text;
mod usage;
mod value;

pub use decide::{clear, clear_with};
pub(crate) use limits::each_child;
pub(crate) use measures::Z95;
pub(crate) use statistical::Output;
pub use statistical::{StatisticalLeaf, Variable};

use crate::accounting::Charge;
use crate::facts::Literal;
use crate::words::ReleaseClass;

/// What a plan may release, and how. Made by [`clear`] alone.
#[derive(Debug)]
pub struct Clearance {
    pub(crate) leaves: Vec<LeafClearance>,
    pub(crate) charge: Charge,
    pub(crate) epsilon: f64,
    pub(crate) delta: f64,
    pub(crate) class: ReleaseClass,
    pub(crate) expected: Vec<ExpectedError>,
}

impl Clearance {
    /// The leaves, in plan order.
    pub fn leaves(&self) -> &[LeafClearance] {
        &self.leaves
    }

    /// What one run costs. Must be on the ledger, durably, before data is opened.
    pub fn charge(&self) -> Charge {
        self.charge
    }

    /// ε of one run; 0 where all is open.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// δ of one run; 0 where all is open.
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// The strictest class of the leaves; `Open` where there are none.
    pub fn class(&self) -> ReleaseClass {
        self.class
    }

    /// How exact each number will be, told before any data is opened.
    pub fn expected(&self) -> &[ExpectedError] {
        &self.expected
    }
}

/// How exact one aggregate of one leaf will be: half the width of its 95 % interval.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedError {
    pub(crate) leaf: usize,
    pub(crate) aggregate: usize,
    pub(crate) text: String,
    pub(crate) half_width: HalfWidth,
}

impl ExpectedError {
    /// The position of the leaf.
    pub fn leaf(&self) -> usize {
        self.leaf
    }

    /// The position of the aggregate in the leaf.
    pub fn aggregate(&self) -> usize {
        self.aggregate
    }

    /// The aggregate as its author would recognise it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Half the width of the 95 % interval.
    pub fn half_width(&self) -> HalfWidth {
        self.half_width
    }
}

/// Half the width of a 95 % interval, in the unit of the number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HalfWidth {
    /// The same for every cell.
    Absolute(f64),
    /// To be divided by the rows of the cell (means): about `x / rows`.
    OverRows(f64),
}

/// What a leaf may release, and how the engine must prepare it.
#[derive(Debug)]
pub struct LeafClearance {
    pub(crate) class: ReleaseClass,
    pub(crate) keys: Vec<KeyDomain>,
    pub(crate) unit: Option<usize>,
    pub(crate) bounding: Option<Bounding>,
    pub(crate) measures: Vec<Measure>,
    pub(crate) rows_per_unit: u64,
    pub(crate) estimators: Vec<Estimator>,
    pub(crate) threshold: Option<Threshold>,
    pub(crate) charge: Charge,
    pub(crate) statistical: Option<StatisticalLeaf>,
}

impl LeafClearance {
    /// How it leaves. An `Open` leaf has no measures: the engine runs it as it is and the gate is not asked.
    pub fn class(&self) -> ReleaseClass {
        self.class
    }

    /// The domain of each group key, in order.
    pub fn keys(&self) -> &[KeyDomain] {
        &self.keys
    }

    /// The position of the unit column in the leaf's input; `None` where the query projects it away, though it stands further
    /// below: the engine carries it up where [`bounding`](Self::bounding) asks for it.
    pub fn unit(&self) -> Option<usize> {
        self.unit
    }

    /// How to bound what one unit contributes; `None` where rows may be summed as they come, because the promise of the
    /// catalogue (at most so many rows per unit) bounds it already.
    pub fn bounding(&self) -> Option<&Bounding> {
        self.bounding.as_ref()
    }

    /// The sums to compute per cell, in the order that [`crate::release::RawCell::sums`] must have.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// At most how many rows of the leaf's input are about one unit.
    pub fn rows_per_unit(&self) -> u64 {
        self.rows_per_unit
    }

    /// Its part of the run's charge.
    pub fn charge(&self) -> Charge {
        self.charge
    }

    /// What is computed exactly under disclosure control; given where the class is `Statistical`, which has no measures.
    pub fn statistical(&self) -> Option<&StatisticalLeaf> {
        self.statistical.as_ref()
    }

    /// Whether cells below the noisy threshold are withheld (some key is open).
    pub fn is_thresholded(&self) -> bool {
        self.threshold.is_some()
    }
}

/// The public values that a group key may take.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyDomain {
    /// These, in this order, [`Literal::Null`] included where NULL can occur. The whole grid leaves.
    Declared(Vec<Literal>),
    /// Not declared: a value leaves only where the noisy count of its units passes the threshold.
    Open,
}

/// How the engine bounds what one unit contributes: per (unit, group) sums are clamped to [`Measure::per_group`], and at
/// most `max_groups` groups of a unit are kept, chosen by a keyed hash of unit and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounding {
    pub(crate) max_groups: Option<u32>,
    pub(crate) max_rows_per_group: u32,
}

impl Bounding {
    /// At most how many groups of a unit count; `None` where the grid or the rows per unit make the limit unnecessary.
    pub fn max_groups(&self) -> Option<u32> {
        self.max_groups
    }

    /// How many rows' worth one unit may contribute to one group (already inside [`Measure::per_group`]). Where the leaf has
    /// a histogram ([`MeasureKind::Bar`]), it holds for all its bars together.
    pub fn max_rows_per_group(&self) -> u32 {
        self.max_rows_per_group
    }
}

/// What a measure sums up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MeasureKind {
    /// 1 per row (with an argument: per row where it is not NULL).
    Rows,
    /// 1 per distinct unit (with an argument: per unit that has a row where it is not NULL).
    Units,
    /// The argument less the offset; rows where it is NULL count nothing.
    Sum,
    /// The square of the argument less the offset; rows where it is NULL count nothing.
    SumOfSquares,
    /// 1 per row whose argument falls into bar `at` of a histogram of `of` bars over `[lo, hi]` (see [`Measure::bar_of`]).
    /// The bars of one histogram follow one another. One row falls into one of them: where contributions are bounded, a
    /// unit's rows in all the bars of a group together are at most [`Bounding::max_rows_per_group`].
    Bar {
        /// Which bar.
        at: u32,
        /// How many there are.
        of: u32,
    },
}

/// One whole-number sum per cell, with the noise that it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    pub(crate) kind: MeasureKind,
    pub(crate) argument: Option<(usize, usize)>,
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    pub(crate) offset: f64,
    pub(crate) scale: i32,
    pub(crate) per_group: (i128, i128),
    pub(crate) sensitivity: f64,
    pub(crate) noise: Noise,
}

/// Which noise is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mechanism {
    /// Discrete Gaussian noise, accounted in zCDP: the better one for many numbers, and for many runs of a budget.
    #[default]
    Gaussian,
    /// Discrete Laplace noise: the run is ε-differentially private without δ (but for the thresholds of open keys). Sharper
    /// for a single count, and dearer: it costs ε²/2 of ρ.
    Laplace,
}

/// What a product prefers where its privacy demand leaves a choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// The noise.
    pub mechanism: Mechanism,
    /// How much of a leaf's charge each aggregate gets in relation to the others, by leaf and aggregate; 1 where nothing
    /// is given. A sum that several aggregates share gets the largest of their weights.
    pub weights: Vec<Vec<u32>>,
}

/// The noise of a measure, in grid units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Noise {
    /// With this standard deviation.
    Gaussian(Sigma),
    /// With this scale b: P(x) is proportional to e^(−|x|/b).
    Laplace(Sigma),
}

/// A positive number: `numerator / denominator`, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sigma {
    pub(crate) numerator: u128,
    pub(crate) denominator: u128,
}

impl Measure {
    /// What it sums up.
    pub fn kind(&self) -> MeasureKind {
        self.kind
    }

    /// The position of an aggregate of the leaf and of the argument in it that is meant.
    pub fn argument(&self) -> Option<(usize, usize)> {
        self.argument
    }

    /// A row's value is clamped to `[lo, hi]` first.
    pub fn lo(&self) -> f64 {
        self.lo
    }

    /// A row's value is clamped to `[lo, hi]` first.
    pub fn hi(&self) -> f64 {
        self.hi
    }

    /// What is taken off a row's value then.
    pub fn offset(&self) -> f64 {
        self.offset
    }

    /// The grid is 2^-scale.
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// The clamp of one unit's sum in one group, in grid units; used where the leaf has a [`Bounding`].
    pub fn per_group(&self) -> (i128, i128) {
        self.per_group
    }

    /// By how much the vector of the sums over all cells may change when one unit comes or goes, in grid units: in L2 for
    /// Gaussian noise, in L1 for Laplace noise.
    pub fn sensitivity(&self) -> f64 {
        self.sensitivity
    }

    /// The standard deviation of the noise, in grid units (an upper bound for discrete Laplace noise).
    pub fn sigma_grid(&self) -> f64 {
        match self.noise {
            Noise::Gaussian(sigma) => sigma.to_f64(),
            Noise::Laplace(scale) => scale.to_f64() * std::f64::consts::SQRT_2,
        }
    }

    /// Which noise it gets.
    pub fn mechanism(&self) -> Mechanism {
        match self.noise {
            Noise::Gaussian(_) => Mechanism::Gaussian,
            Noise::Laplace(_) => Mechanism::Laplace,
        }
    }

    /// What one row contributes, in grid units, where its value is `value`; a NaN contributes 0 to sums. Halves are rounded
    /// to even.
    ///
    /// The one definition of the arithmetic: the engine's vectorised form must agree with it bit by bit.
    #[allow(clippy::cast_possible_truncation, reason = "the constructor bounds |result| by 2^40")]
    pub fn contribution(&self, value: f64) -> i64 {
        let centred = value.clamp(self.lo, self.hi) - self.offset;
        let grid = 2f64.powi(self.scale);
        match self.kind {
            MeasureKind::Rows | MeasureKind::Units => 1,
            MeasureKind::Bar { at, .. } => i64::from(self.bar_of(value) == Some(at)),
            MeasureKind::Sum => (centred * grid).round_ties_even() as i64,
            MeasureKind::SumOfSquares => (centred * centred * grid).round_ties_even() as i64,
        }
    }
}

impl Measure {
    /// The bar that a value falls into, where this is a bar of a histogram: values outside of its range count in the first or
    /// last one, NaN in none. As with [`contribution`](Self::contribution), the engine's form must agree bit by bit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    pub fn bar_of(&self, value: f64) -> Option<u32> {
        let MeasureKind::Bar { of, .. } = self.kind else { return None };
        if value.is_nan() {
            return None;
        }
        let bar = ((value - self.lo) / (self.hi - self.lo) * f64::from(of)).floor();
        Some(bar.clamp(0.0, f64::from(of.saturating_sub(1))) as u32)
    }
}

impl LeafClearance {
    /// The measures that an aggregate's number is made of. Numbers of one leaf that share none have independent noise, and so
    /// have numbers of different leaves and of different cells.
    pub fn measures_of(&self, aggregate: usize) -> Vec<usize> {
        self.estimators.get(aggregate).map_or(Vec::new(), |e| e.measures().into_iter().flatten().collect())
    }
}

/// How an aggregate's estimate follows from the measures (positions in [`LeafClearance::measures`]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Estimator {
    Count { rows: usize },
    Sum { sum: usize, rows: Option<usize> },
    Avg { sum: usize, rows: usize },
    Variance { sum: usize, squares: usize, rows: usize, sample: bool, root: bool },
    Quantile { first: usize, bars: usize, q: f64, lo: f64, hi: f64 },
}

/// The rule for open keys: the noisy number of units must reach `tau`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) measure: usize,
    pub(crate) tau: f64,
}
