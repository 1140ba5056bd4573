//! An empirical audit of ε: two neighbouring datasets, 100,000 draws through the gate for each mechanism, and events that
//! would tell the two apart. What is claimed must never be contradicted, and a mechanism with half the noise must be caught.
//!
//! For an event S with probabilities p and q on the neighbours, (ε, δ)-privacy says p − e^ε q ≤ δ (Jagielski, Ullman & Oprea
//! 2020 audit in this way). Fixed seeds: the verdicts cannot change from run to run.

use crate::fixture::*;
use yunei_policy::accounting::{Delta, epsilon_of};
use yunei_policy::clear::{Clearance, Mechanism, Preferences, clear_with};
use yunei_policy::facts::*;
use yunei_policy::release::{RawCell, Seed, release};
use yunei_policy::rules::RuleSet;

/// Draws of each of the two datasets.
const DRAWS: usize = 50_000;
const CELLS: i64 = 10_000;
/// Five standard errors of a share: beyond any chance that matters.
const Z: f64 = 5.0;

/// One aggregate over 10,000 independent cells.
fn clearance(mechanism: Mechanism, aggregate: Aggregate) -> Clearance {
    let mut people = residents();
    people.columns[AGE].bounds = Interval::new(0.0, (CELLS - 1) as f64);
    let mut facts = plan(Relation::Scan(people), vec![key("age", col(AGE))], vec![aggregate]);
    facts.demand = demand(2.0);
    let preferences = Preferences { mechanism, ..Preferences::default() };
    clear_with(&facts, &RuleSet::default(), &preferences).unwrap()
}

/// What is released of cells whose exact sum is `sum`, in units of the sensitivity.
fn draws(clearance: &Clearance, sum: i128, first_seed: u8) -> Vec<f64> {
    let leaf = &clearance.leaves()[0];
    let measure = &leaf.measures()[0];
    let unit = measure.sensitivity() / 2f64.powi(measure.scale());
    let mut all = Vec::with_capacity(DRAWS);
    for n in 0..DRAWS / CELLS as usize {
        let cells = (0..CELLS).map(|i| RawCell { key: vec![Literal::Int(i)], sums: vec![sum] }).collect();
        let seed = Seed::from_bytes([first_seed + u8::try_from(n).unwrap(); 32]);
        let released = release(leaf, cells, &seed, 0).unwrap();
        all.extend(released.rows().iter().map(|r| r.estimates()[0].unwrap().value().unwrap() / unit));
    }
    all.sort_by(f64::total_cmp);
    all
}

/// The same draws with half the noise around `truth`.
fn halved(draws: &[f64], truth: f64) -> Vec<f64> {
    draws.iter().map(|x| truth + (x - truth) / 2.0).collect()
}

/// The largest p − e^ε q over events {x ≥ t}, less what chance may add; above δ the claim is refuted.
fn advantage(with: &[f64], without: &[f64], epsilon: f64) -> f64 {
    let n = with.len() as f64;
    let above = |draws: &[f64], t: f64| (draws.len() - draws.partition_point(|x| *x < t)) as f64 / n;
    let thresholds = (0..200).map(|i| without[i * without.len() / 200]).chain(with.iter().step_by(500).copied());
    thresholds
        .map(|t| {
            let (p, q) = (above(with, t), above(without, t));
            let spread = |x: f64| Z * (x * (1.0 - x) / n).sqrt() + 1.0 / n;
            (p - spread(p)) - epsilon.exp() * (q + spread(q))
        })
        .fold(f64::NEG_INFINITY, f64::max)
}

/// The advantage of somebody who compares a dataset with and without one unit of the worst kind: as released, and as a
/// mechanism with half the noise would release.
fn audit(mechanism: Mechanism, aggregate: Aggregate, delta: f64) -> (f64, f64) {
    let clearance = clearance(mechanism, aggregate);
    let measure = &clearance.leaves()[0].measures()[0];
    let worst = i128::from(measure.contribution(f64::MAX));
    let epsilon = match mechanism {
        Mechanism::Gaussian => epsilon_of(clearance.charge().rho, Delta::from_f64(delta).unwrap()),
        Mechanism::Laplace => clearance.epsilon(),
    };
    let (with, without) = (draws(&clearance, worst, 1), draws(&clearance, 0, 101));
    // The worst unit moves the sum by the sensitivity, which is the unit here.
    let broken = advantage(&halved(&with, 1.0), &halved(&without, 0.0), epsilon);
    (advantage(&with, &without, epsilon), broken)
}

#[test]
fn gaussian_counts_keep_their_epsilon() {
    let delta = 0.01;
    let (honest, broken) = audit(Mechanism::Gaussian, count(), delta);
    assert!(honest <= delta, "{honest}");
    assert!(broken > delta, "{broken}");
}

#[test]
fn gaussian_sums_keep_their_epsilon() {
    let delta = 0.01;
    let (honest, broken) = audit(Mechanism::Gaussian, sum("income", col(INCOME)), delta);
    assert!(honest <= delta, "{honest}");
    assert!(broken > delta, "{broken}");
}

#[test]
fn laplace_counts_keep_their_epsilon_without_delta() {
    let (honest, broken) = audit(Mechanism::Laplace, count(), 0.0);
    assert!(honest <= 0.0, "{honest}");
    assert!(broken > 0.0, "{broken}");
}
