//! How much of ε the numbers that were released of two neighbouring datasets give away at least.
//!
//! For an event S with probabilities p and q on the neighbours, (ε, δ)-privacy says p ≤ e^ε q + δ, so that
//! ln((p − δ) / q) is a lower bound on ε (Jagielski, Ullman & Oprea 2020; Ding et al. 2018, "Detecting violations"). Both
//! directions are looked at.

/// Five standard errors of a share: beyond any chance that matters.
pub(crate) const Z: f64 = 5.0;

/// Events {x ≥ t} and {x < t} over equally many draws of two datasets.
pub(crate) struct Events {
    pub(crate) draws: f64,
    pub(crate) delta: f64,
}

impl Events {
    fn bound(&self, p: f64, q: f64) -> f64 {
        let spread = |x: f64| Z * (x * (1.0 - x) / self.draws).sqrt() + Z * Z / self.draws;
        let (least, most) = (p - spread(p) - self.delta, q + spread(q));
        if least > 0.0 { (least / most).ln() } else { f64::NEG_INFINITY }
    }

    /// The largest lower confidence bound on ε, with either dataset as the likelier one.
    pub(crate) fn least_epsilon(&self, with: &[f64], without: &[f64]) -> f64 {
        let above = |draws: &[f64], t: f64| (draws.len() - draws.partition_point(|x| *x < t)) as f64 / self.draws;
        let thresholds = (0..200).map(|i| without[i * without.len() / 200]).chain(with.iter().step_by(500).copied());
        let events = thresholds.flat_map(|t| {
            let (p, q) = (above(with, t), above(without, t));
            [self.bound(p, q), self.bound(q, p), self.bound(1.0 - p, 1.0 - q), self.bound(1.0 - q, 1.0 - p)]
        });
        events.fold(f64::NEG_INFINITY, f64::max)
    }
}
