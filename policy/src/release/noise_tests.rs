//! The noise is what it is said to be: fixed seeds, so that nothing here can fail by chance.

use super::Seed;
use super::estimate::half_width_on_grid;
use super::noise::{Sampler, stream};
use crate::accounting::Rho;
use crate::clear::{Noise, Sigma};
use std::collections::HashMap;

fn draws(sigma: Sigma, count: usize) -> Vec<i128> {
    let noise = Sampler::new(Noise::Gaussian(sigma)).unwrap();
    let mut rng = stream(&Seed::from_bytes([3; 32]), 0, 0, &[]);
    (0..count).map(|_| noise.draw(&mut rng).unwrap()).collect()
}

fn whole(sigma: u128) -> Sigma {
    Sigma { numerator: sigma, denominator: 1 }
}

/// P(X = x) of the discrete Gaussian, up to its tail beyond 40σ.
fn pmf(sigma: f64) -> impl Fn(i128) -> f64 {
    let weight = move |x: f64| (-x * x / (2.0 * sigma * sigma)).exp();
    let reach = (40.0 * sigma).ceil() as i64;
    let total: f64 = (-reach..=reach).map(|x| weight(x as f64)).sum();
    move |x| weight(x as f64) / total
}

#[test]
fn draws_follow_the_discrete_gaussian() {
    let sigma = 2.0;
    let n = 40_000;
    let mut seen: HashMap<i128, f64> = HashMap::new();
    draws(whole(2), n).into_iter().for_each(|x| *seen.entry(x).or_default() += 1.0);
    let p = pmf(sigma);
    // Pearson's χ² over the 13 values within 3σ: its 99.9 % quantile at 13 degrees of freedom is 34.5.
    let chi: f64 = (-6..=6)
        .map(|x| {
            let expected = p(x) * n as f64;
            (seen.get(&x).copied().unwrap_or(0.0) - expected).powi(2) / expected
        })
        .sum();
    assert!(chi < 34.5, "{chi}");
}

#[test]
fn mean_and_variance_hold_on_a_fine_grid() {
    let sigma = Sigma { numerator: 5_000_000_000_000_001, denominator: 1 };
    let n = 20_000;
    let drawn: Vec<f64> = draws(sigma, n).into_iter().map(|x| x as f64 / 5e15).collect();
    let mean = drawn.iter().sum::<f64>() / n as f64;
    let variance = drawn.iter().map(|x| x * x).sum::<f64>() / n as f64;
    // Four standard errors.
    assert!(mean.abs() < 4.0 / (n as f64).sqrt(), "{mean}");
    assert!((variance - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt(), "{variance}");
}

#[test]
fn the_tail_beyond_tau_is_at_most_delta() {
    // P(X >= σ √(2 ln 1/δ)) <= δ, by adding up probabilities.
    for sigma in [0.7, 1.0, 3.0, 17.5] {
        let p = pmf(sigma);
        for delta in [1e-3f64, 1e-6, 1e-10] {
            let reach = (sigma * (2.0 * (1.0 / delta).ln()).sqrt()).ceil() as i128;
            let tail: f64 = (reach..reach + (30.0 * sigma) as i128).map(&p).sum();
            assert!(tail <= delta, "σ {sigma}: {tail} > {delta}");
        }
    }
}

#[test]
fn half_widths_hold_on_coarse_grids() {
    for sigma in [0.2, 0.5, 1.0, 2.0, 7.3, 100.0, 999.0] {
        let half = half_width_on_grid(sigma);
        let p = pmf(sigma);
        let inside: f64 = (-(half as i128)..=half as i128).map(&p).sum();
        assert!(inside >= 0.95 - 1e-9, "σ {sigma}: {inside}");
        let less: f64 = (-(half as i128 - 1)..half as i128).map(&p).sum();
        assert!(half == 0.0 || less < 0.95, "σ {sigma}: {half} is wider than it must be");
    }
    assert!((half_width_on_grid(1_000.1) / 1_000.1 - 1.96).abs() < 1e-4);
}

#[test]
fn sigma_is_never_less_than_the_charge_asks_for() {
    for units in [1u64, 1_000, 123_456_789_012, 1_000_000_000_000] {
        for sensitivity in [1.0, 1.5, 12.7, 3e9, 1e18] {
            let rho = Rho::from_units(units);
            let sigma = Sigma::for_charge(sensitivity, rho).unwrap();
            let sigma = sigma.numerator as f64 / sigma.denominator as f64;
            let cost = sensitivity * sensitivity / (2.0 * sigma * sigma);
            assert!(cost <= rho.to_f64(), "{cost}");
            assert!(cost > rho.to_f64() * 0.999, "{cost}");
        }
    }
    assert_eq!(Sigma::for_charge(1.0, Rho::ZERO), None);
    assert_eq!(Sigma::for_charge(f64::INFINITY, Rho::from_units(1)), None);
    assert_eq!(Sigma::for_charge(f64::NAN, Rho::from_units(1)), None);
}
