//! Estimates and their intervals from noisy sums.

use super::{Bar, Estimate, quantile};
use crate::clear::{Estimator, Measure, Noise};

/// Standard normal quantiles of two-sided intervals: 95 %, and 95 % shared by two and by three statements (Bonferroni).
const Z: f64 = crate::clear::Z95;
const Z_OF_2: f64 = 2.241_402_727_604_947;
const Z_OF_3: f64 = 2.393_979_800_185_093;

/// How far noise spreads, in grid units: half the widths of intervals that hold with 95 %, and with 95 % for two and for
/// three statements together (Bonferroni).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    halves: [f64; 3],
    gaussian: bool,
}

impl Spread {
    pub(crate) fn of(noise: Noise) -> Self {
        match noise {
            Noise::Gaussian(sigma) => {
                let sigma = sigma.to_f64();
                let exact = half_width_on_grid(sigma);
                Self { halves: [exact, exact.max(Z_OF_2 * sigma), exact.max(Z_OF_3 * sigma)], gaussian: true }
            }
            Noise::Laplace(scale) => {
                // P(|X| > t) = 2 e^(−(t+1)/b) / (1 + e^(−1/b)) for whole t.
                let b = scale.to_f64();
                let half = |miss: f64| (b * (2.0 / (miss * (1.0 + (-1.0 / b).exp()))).ln() - 1.0).ceil().max(0.0);
                Self { halves: [half(0.05), half(0.05 / 2.0), half(0.05 / 3.0)], gaussian: false }
            }
        }
    }
}

/// A measure's noisy sum in the unit of its value, and the spread of its noise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noisy {
    value: f64,
    halves: [f64; 3],
    gaussian: bool,
    lo: f64,
    hi: f64,
    offset: f64,
}

impl Noisy {
    #[allow(clippy::cast_precision_loss, reason = "the noise is far above the last bits")]
    pub(crate) fn new(measure: &Measure, spread: Spread, sum: i128) -> Self {
        let step = 2f64.powi(-measure.scale());
        Self {
            value: sum as f64 * step,
            halves: spread.halves.map(|half| half * step),
            gaussian: spread.gaussian,
            lo: measure.lo(),
            hi: measure.hi(),
            offset: measure.offset(),
        }
    }

    /// The noisy sum.
    pub(crate) fn value(&self) -> f64 {
        self.value
    }

    /// Half the width of an interval that holds with 95 % together with `statements − 1` others.
    fn half(&self, statements: usize) -> f64 {
        self.halves[statements.clamp(1, 3) - 1]
    }
}

/// The least t with P(|X| ≤ t) ≥ 0.95 for discrete Gaussian X, by adding up its probabilities; `Z σ` where σ is so large
/// that the grid does not show.
pub(crate) fn half_width_on_grid(sigma: f64) -> f64 {
    if sigma > 1_000.0 {
        return Z * sigma;
    }
    let weight = |x: f64| (-x * x / (2.0 * sigma * sigma)).exp();
    let end = (10.0 * sigma).ceil() + 2.0;
    let mut total = 1.0;
    let mut x = 1.0;
    while x <= end {
        total += 2.0 * weight(x);
        x += 1.0;
    }
    let (mut inside, mut t) = (1.0, 0.0);
    while inside < 0.95 * total && t < end {
        t += 1.0;
        inside += 2.0 * weight(t);
    }
    t
}

/// The estimate of one aggregate.
pub(crate) fn estimate(estimator: &Estimator, sums: &[Noisy]) -> Estimate {
    match *estimator {
        Estimator::Count { rows } => around(sums[rows].value, sums[rows].half(1)),
        Estimator::Sum { sum, rows: None } => around(sums[sum].value, sums[sum].half(1)),
        Estimator::Sum { sum, rows: Some(rows) } => {
            let (s, n) = (&sums[sum], &sums[rows]);
            let half =
                if s.gaussian { s.half(1).hypot(s.offset * n.half(1)) } else { s.half(2) + s.offset.abs() * n.half(2) };
            around(s.value + s.offset * n.value, half)
        }
        Estimator::Avg { sum, rows } => mean(&sums[sum], &sums[rows]),
        Estimator::Variance { sum, squares, rows, sample, root } => {
            let estimate = variance(&sums[sum], &sums[squares], &sums[rows], sample);
            if root { square_root(estimate) } else { estimate }
        }
        Estimator::Quantile { first, bars, q, lo, hi } => from_histogram(&sums[first..first + bars], q, (lo, hi)),
    }
}

/// A quantile, from the noisy counts of the bars; it stays in the range of the argument.
#[allow(clippy::cast_precision_loss, reason = "few bars")]
fn from_histogram(counts: &[Noisy], q: f64, (least, most): (f64, f64)) -> Estimate {
    let unknown = Estimate { value: None, low: least, high: most };
    let Some(first) = counts.first() else { return unknown };
    let edge = |at: usize| first.lo + (first.hi - first.lo) * (at as f64 / counts.len() as f64);
    let bars = counts.iter().enumerate().map(|(at, n)| Bar {
        lo: edge(at),
        hi: edge(at + 1),
        count: around(n.value, n.half(1)),
    });
    let within = |x: f64| x.clamp(least, most);
    quantile(&bars.collect::<Vec<_>>(), q).map_or(unknown, |of| Estimate {
        value: of.value.map(within),
        low: within(of.low),
        high: within(of.high),
    })
}

fn around(value: f64, half: f64) -> Estimate {
    Estimate { value: Some(value), low: value - half, high: value + half }
}

fn square_root(of: Estimate) -> Estimate {
    Estimate { value: of.value.map(f64::sqrt), low: of.low.sqrt(), high: of.high.sqrt() }
}

/// The mean, from the centred sum S and the count N, both noisy.
fn mean(s: &Noisy, n: &Noisy) -> Estimate {
    let (lo, hi) = (s.lo - s.offset, s.hi - s.offset);
    let (low, high) = ratio(s, n, 1, lo, hi);
    let value = (n.value >= 1.0).then(|| (s.value / n.value).clamp(lo, hi) + s.offset);
    if value.is_none() {
        return Estimate { value, low: s.lo, high: s.hi };
    }
    Estimate { value, low: low + s.offset, high: high + s.offset }
}

/// The set of θ that the noisy S and N do not contradict, within `[lo, hi]`, holding with 95 % together with
/// `statements − 1` others.
///
/// Gaussian noise (Fieller 1954): S − θN has variance σs² + θ²σn², whatever the truth is, so that
/// (S − θN)² ≤ z² (σs² + θ² σn²) holds for the true ratio with the quantile's probability. Laplace noise: the ratios of all
/// pairs in two intervals that hold together.
fn ratio(s: &Noisy, n: &Noisy, statements: usize, lo: f64, hi: f64) -> (f64, f64) {
    if !s.gaussian {
        // Each statement about a ratio is two about sums; three statements share the count's.
        return ratio_of_intervals(s, n, statements + 1, lo, hi);
    }
    let (es, en) = (s.half(statements), n.half(statements));
    let a = n.value * n.value - en * en;
    let b = s.value * n.value;
    let c = s.value * s.value - es * es;
    let discriminant = b * b - a * c;
    // Where N is within its noise of 0 the set is unbounded: the declared range is all that is known.
    if n.value <= 0.0 || a <= 0.0 || discriminant.is_nan() || discriminant < 0.0 {
        return (lo, hi);
    }
    let root = discriminant.sqrt();
    (((b - root) / a).clamp(lo, hi), ((b + root) / a).clamp(lo, hi))
}

fn ratio_of_intervals(s: &Noisy, n: &Noisy, statements: usize, lo: f64, hi: f64) -> (f64, f64) {
    let (es, en) = (s.half(statements), n.half(statements));
    let (least, most) = (n.value - en, n.value + en);
    if least <= 0.0 {
        return (lo, hi);
    }
    let (low, high) = (s.value - es, s.value + es);
    let low = if low < 0.0 { low / least } else { low / most };
    let high = if high < 0.0 { high / most } else { high / least };
    (low.clamp(lo, hi), high.clamp(lo, hi))
}

/// The variance E[(x−c)²] − (E[x]−c)², from intervals of both means that hold together (Bonferroni).
fn variance(s: &Noisy, squares: &Noisy, n: &Noisy, sample: bool) -> Estimate {
    let h = (s.lo - s.offset).abs().max((s.hi - s.offset).abs());
    let most = h * h;
    let statements = if sample { 3 } else { 2 };
    let (m1_low, m1_high) = ratio(s, n, statements, -h, h);
    let (m2_low, m2_high) = ratio(squares, n, statements, 0.0, most);
    let squared = [m1_low * m1_low, m1_high * m1_high];
    let least_square = if m1_low <= 0.0 && m1_high >= 0.0 { 0.0 } else { squared[0].min(squared[1]) };
    let low = (m2_low - squared[0].max(squared[1])).clamp(0.0, most);
    let high = (m2_high - least_square).clamp(0.0, most);
    let enough = if sample { 2.0 } else { 1.0 };
    let (factor_low, factor, factor_high) = if sample { correction(n, statements) } else { (1.0, 1.0, 1.0) };
    let value = (n.value >= enough).then(|| {
        let (m1, m2) = (s.value / n.value, squares.value / n.value);
        ((m2 - m1 * m1) * factor).clamp(0.0, most * 2.0)
    });
    if value.is_none() {
        return Estimate { value, low: 0.0, high: most * if sample { 2.0 } else { 1.0 } };
    }
    let (low, high) = (low * factor_low, high * factor_high);
    // The point estimate uses more than the intervals do; it never stands outside of what is told.
    Estimate { value: value.map(|v| v.clamp(low, high)), low, high }
}

/// n/(n − 1) and its interval.
fn correction(n: &Noisy, statements: usize) -> (f64, f64, f64) {
    let half = n.half(statements);
    let of = |n: f64| {
        let n = n.max(2.0);
        n / (n - 1.0)
    };
    (of(n.value + half), of(n.value), of(n.value - half))
}
