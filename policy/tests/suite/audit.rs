//! An empirical audit of ε: two neighbouring datasets, 100,000 draws of each through the gate for each mechanism, and events
//! that would tell the two apart. The lower confidence bound on ε must stay below what is claimed, and a mechanism with half
//! the noise must be caught by the same test.
//!
//! For an event S with probabilities p and q on the neighbours, (ε, δ)-privacy says p ≤ e^ε q + δ, so that
//! ln((p − δ) / q) is a lower bound on ε (Jagielski, Ullman & Oprea 2020; Ding et al. 2018, "Detecting violations"). Both
//! directions are looked at. Fixed seeds: the verdicts cannot change from run to run.

use crate::fixture::*;
use yunei_policy::accounting::{Delta, epsilon_of};
use yunei_policy::clear::{Clearance, Mechanism, Preferences, clear_with};
use yunei_policy::facts::*;
use yunei_policy::release::{RawCell, Seed, release};
use yunei_policy::rules::RuleSet;

/// Draws of each of the two datasets.
const DRAWS: usize = 100_000;
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

/// The largest lower confidence bound on ε over events {x ≥ t} and {x < t}, with either dataset as the likelier one.
fn least_epsilon(with: &[f64], without: &[f64], delta: f64) -> f64 {
    let n = with.len() as f64;
    let above = |draws: &[f64], t: f64| (draws.len() - draws.partition_point(|x| *x < t)) as f64 / n;
    let thresholds = (0..200).map(|i| without[i * without.len() / 200]).chain(with.iter().step_by(500).copied());
    let bound = |p: f64, q: f64| {
        let spread = |x: f64| Z * (x * (1.0 - x) / n).sqrt() + Z * Z / n;
        let (least, most) = (p - spread(p) - delta, q + spread(q));
        if least > 0.0 { (least / most).ln() } else { f64::NEG_INFINITY }
    };
    let events = thresholds.flat_map(|t| {
        let (p, q) = (above(with, t), above(without, t));
        [bound(p, q), bound(q, p), bound(1.0 - p, 1.0 - q), bound(1.0 - q, 1.0 - p)]
    });
    events.fold(f64::NEG_INFINITY, f64::max)
}

/// The claimed ε and its lower bounds for somebody who compares a dataset with and without one unit of the worst kind: as
/// released, and as a mechanism with half the noise would release.
fn audit(mechanism: Mechanism, aggregate: Aggregate, delta: f64) -> (f64, f64, f64) {
    let clearance = clearance(mechanism, aggregate);
    let measure = &clearance.leaves()[0].measures()[0];
    let worst = i128::from(measure.contribution(f64::MAX));
    let claimed = match mechanism {
        Mechanism::Gaussian => epsilon_of(clearance.charge().rho, Delta::from_f64(delta).unwrap()),
        Mechanism::Laplace => clearance.epsilon(),
    };
    let (with, without) = std::thread::scope(|threads| {
        let with = threads.spawn(|| draws(&clearance, worst, 1));
        let without = draws(&clearance, 0, 101);
        (with.join().unwrap(), without)
    });
    // The worst unit moves the sum by the sensitivity, which is the unit here.
    let broken = least_epsilon(&halved(&with, 1.0), &halved(&without, 0.0), delta);
    (claimed, least_epsilon(&with, &without, delta), broken)
}

fn holds(mechanism: Mechanism, aggregate: Aggregate, delta: f64) {
    let (claimed, honest, broken) = audit(mechanism, aggregate, delta);
    assert!(honest <= claimed, "claimed {claimed}, found at least {honest}");
    assert!(honest > claimed / 4.0, "claimed {claimed}, found {honest}: an audit that sees nothing shows nothing");
    assert!(broken > claimed, "claimed {claimed}, half the noise gives at least {broken}");
}

#[test]
fn gaussian_counts_keep_their_epsilon() {
    holds(Mechanism::Gaussian, count(), 0.01);
}

#[test]
fn gaussian_sums_keep_their_epsilon() {
    holds(Mechanism::Gaussian, sum("income", col(INCOME)), 0.01);
}

#[test]
fn laplace_counts_keep_their_epsilon_without_delta() {
    holds(Mechanism::Laplace, count(), 0.0);
}

#[test]
fn laplace_sums_keep_their_epsilon_without_delta() {
    holds(Mechanism::Laplace, sum("income", col(INCOME)), 0.0);
}
