//! Quantiles from a released histogram: arithmetic on what has left already, so that it costs nothing more.

use super::Estimate;
use crate::clear::Z95;

/// One bar of a released histogram (`GROUP BY width_bucket(…)`, `COUNT(*)`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// The lower end of its values.
    pub lo: f64,
    /// The upper end; that of the next bar's lower one.
    pub hi: f64,
    /// Its released count.
    pub count: Estimate,
}

/// The `q`-quantile (the median is 0.5) of the values under a histogram, and a 95 % interval; nothing where there are no
/// bars, where they do not follow one another, or where `q` is not between 0 and 1. `value` is NULL where the histogram's
/// noisy total is below 1.
///
/// With n_i the counts, D_j = (1 − q) Σ_{i≤j} n_i − q Σ_{i>j} n_i is not negative exactly from the quantile's bar on. A bar
/// is left out of the interval where the noisy D speaks against it at 2.5 % on either side, so that the right bar is left
/// out with at most 5 % (inversion of a test; no bound over all bars is needed). Within a bar nothing is known: the interval
/// consists of whole bars, the value is interpolated.
pub fn quantile(bars: &[Bar], q: f64) -> Option<Estimate> {
    let follows = |pair: &[Bar]| pair[0].hi == pair[1].lo;
    let ordered = bars.iter().all(|b| b.lo < b.hi) && bars.windows(2).all(follows);
    if bars.is_empty() || !ordered || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let counts: Vec<f64> = bars.iter().map(|b| b.count.value().unwrap_or(0.0)).collect();
    // The half of a bar's interval is its noise's spread times z, or a little more where the grid is coarse.
    let variances: Vec<f64> = bars.iter().map(|b| ((b.count.high() - b.count.low()) / 2.0 / Z95).powi(2)).collect();
    let (all, all_variance): (f64, f64) = (counts.iter().sum(), variances.iter().sum());
    let (mut below, mut below_variance) = (0.0, 0.0);
    let (mut low, mut high, mut value) = (None, None, None);
    // D before the first bar is negative or 0 for certain.
    let mut too_high = false;
    for (bar, (count, variance)) in bars.iter().zip(counts.iter().zip(&variances)) {
        let before = below;
        below += count;
        below_variance += variance;
        let d = (1.0 - q) * below - q * (all - below);
        let spread = ((1.0 - q).powi(2) * below_variance + q * q * (all_variance - below_variance)).max(0.0).sqrt();
        let last = bar.hi == bars[bars.len() - 1].hi;
        let too_low = !last && d < -Z95 * spread;
        if !too_low && !too_high {
            low = low.or(Some(bar.lo));
            high = Some(bar.hi);
        }
        if value.is_none() && (d >= 0.0 || last) {
            let share = if *count > 0.0 { ((q * all - before) / count).clamp(0.0, 1.0) } else { 0.5 };
            value = Some(bar.lo + share * (bar.hi - bar.lo));
        }
        too_high |= d > Z95 * spread;
    }
    let (first, end) = (bars[0].lo, bars[bars.len() - 1].hi);
    let (low, high) = (low.unwrap_or(first), high.unwrap_or(end));
    if all < 1.0 {
        return Some(Estimate { value: None, low: first, high: end });
    }
    Some(Estimate { value: value.map(|v| v.clamp(low, high)), low, high })
}
