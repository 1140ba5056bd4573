//! An empirical audit of ε: two neighbouring datasets, 100,000 draws of each through the gate for each mechanism, and events
//! that would tell the two apart. The lower confidence bound on ε must stay below what is claimed, and a mechanism with half
//! the noise must be caught by the same test.
//!
//! Here: single sums, through the whole gate. Numbers that are made of several sums, and open keys: `src/release/audit_tests.rs`.
//! Fixed seeds: the verdicts cannot change from run to run.

use crate::events::{Events, Z};
use crate::fixture::*;
use yunei_policy::accounting::{Delta, epsilon_of};
use yunei_policy::clear::{Clearance, Mechanism, Preferences, clear_with};
use yunei_policy::facts::*;
use yunei_policy::release::{RawCell, Seed, release};
use yunei_policy::rules::RuleSet;

/// Draws of each of the two datasets.
const DRAWS: usize = 100_000;
const CELLS: i64 = 10_000;

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
    let events = Events { draws: DRAWS as f64, delta };
    let broken = events.least_epsilon(&halved(&with, 1.0), &halved(&without, 0.0));
    (claimed, events.least_epsilon(&with, &without), broken)
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

/// A key that only one unit has shows with probability δ at most, and more often with a lower threshold. (That of half the noise
/// would be lower by about 2 σ; 1.5 σ are caught.)
#[test]
fn open_keys_of_one_unit_keep_their_delta() {
    let rules: String = (RuleSet::default().text().lines())
        .map(|line| match line.split_once('=').map(|(key, _)| key.trim()) {
            Some("delta") => "delta = 1e-4\n".to_owned(),
            Some("threshold_delta" | "threshold_delta_per_run") => {
                line.split('=').next().unwrap().to_owned() + "= 5e-5\n"
            }
            _ => line.to_owned() + "\n",
        })
        .collect();
    let rules = RuleSet::parse(&rules).unwrap();
    let facts = plan(Relation::Scan(residents()), vec![key("street", col(STREET))], vec![count()]);
    let clearance = clear_with(&facts, &rules, &Preferences::default()).unwrap();
    let leaf = &clearance.leaves()[0];
    let delta = clearance.charge().delta.to_f64();
    let shown = |units: i128| {
        let mut shown = 0;
        for n in 0..DRAWS / CELLS as usize {
            let cells = (0..CELLS).map(|i| RawCell { key: vec![Literal::Text(i.to_string())], sums: vec![units] });
            let seed = Seed::from_bytes([u8::try_from(n).unwrap() + 1; 32]);
            shown += release(leaf, cells.collect(), &seed, 0).unwrap().rows().len();
        }
        shown as f64 / DRAWS as f64
    };
    let spread = Z * (delta / DRAWS as f64).sqrt() + Z * Z / DRAWS as f64;
    let (one, sigma) = (shown(1), leaf.measures()[0].sigma_grid());
    assert!(one <= delta + spread, "δ = {delta}, shown {one}");
    let lower = shown(1 + (1.5 * sigma).ceil() as i128);
    assert!(lower > delta + spread, "δ = {delta}, with a threshold that is lower by 1.5 σ shown {lower}");
}
