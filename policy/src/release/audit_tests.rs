//! The empirical audit of ε for numbers that are made of several noisy sums, and for open keys: the noise of the gate, 100,000
//! draws of each sum, and what its arithmetic makes of it on two neighbouring cells (see `tests/suite/events.rs`). The lower
//! confidence bound on ε must stay below what the ledger is charged for the run, and a gate with half the noise must be caught.
//!
//! Whole runs of the gate would draw again for each neighbour and each number; what is added to the sums is the same.

use super::estimate::Noisy;
use super::noise::stream;
use super::{Seed, Source, numbers};
use crate::accounting::{Delta, epsilon_of};
use crate::clear::{Clearance, Mechanism, Preferences, clear_with};
use crate::facts::*;
use crate::rules::RuleSet;
use events::Events;
use fixture::*;

#[path = "../../tests/suite/events.rs"]
mod events;
#[path = "../../tests/suite/fixture.rs"]
#[allow(dead_code, reason = "what the other tests need of it")]
mod fixture;

const DRAWS: usize = 100_000;

/// A cell: how many rows of each value it has.
type Cell<'a> = &'a [(i128, f64)];

fn sums(clearance: &Clearance, cell: Cell<'_>) -> Vec<i128> {
    let measures = clearance.leaves()[0].measures().iter();
    measures.map(|m| cell.iter().map(|(rows, x)| rows * i128::from(m.contribution(*x))).sum()).collect()
}

/// Draws of the noise of each measure.
fn noise(clearance: &Clearance) -> Vec<Vec<i128>> {
    let seed = Seed::from_bytes([11; 32]);
    let measures = clearance.leaves()[0].measures().iter().enumerate();
    let drawn = measures.map(|(at, measure)| {
        let (source, mut rng) = (Source::new(measure).unwrap(), stream(&seed, 0, at, &[]));
        (0..DRAWS).map(|_| source.sampler.draw(&mut rng).unwrap()).collect()
    });
    drawn.collect()
}

/// What is told of the number at `aggregate`, in order; where it is withheld or NULL, one below all others.
fn told(clearance: &Clearance, cell: Cell<'_>, noise: &[Vec<i128>], aggregate: usize) -> Vec<f64> {
    let leaf = &clearance.leaves()[0];
    let sources: Vec<Source<'_>> = leaf.measures().iter().map(|m| Source::new(m).unwrap()).collect();
    let sums = sums(clearance, cell);
    let number = |draw: usize| {
        let of =
            |(at, source): (usize, &Source<'_>)| Noisy::new(source.measure, source.spread, sums[at] + noise[at][draw]);
        let noisy: Vec<Noisy> = sources.iter().enumerate().map(of).collect();
        numbers(leaf, &noisy).and_then(|told| told[aggregate]).and_then(|e| e.value()).unwrap_or(-1e300)
    };
    let mut all: Vec<f64> = (0..DRAWS).map(number).collect();
    all.sort_by(f64::total_cmp);
    all
}

fn cleared(facts: &PlanFacts, mechanism: Mechanism) -> Clearance {
    let mut facts = facts.clone();
    facts.demand.as_mut().unwrap().epsilon = 2.0;
    clear_with(&facts, &RuleSet::default(), &Preferences { mechanism, ..Preferences::default() }).unwrap()
}

/// Audits every number of a leaf on `cell` and the same cell with one unit more, whose value is `unit`.
fn holds(clearance: &Clearance, mechanism: Mechanism, cell: Cell<'_>, unit: f64) {
    let (delta, claimed) = match mechanism {
        Mechanism::Gaussian => (0.01, epsilon_of(clearance.charge().rho, Delta::from_f64(0.01).unwrap())),
        Mechanism::Laplace => (0.0, clearance.epsilon()),
    };
    let with: Vec<(i128, f64)> = cell.iter().copied().chain([(1, unit)]).collect();
    let honest = noise(clearance);
    let halved: Vec<Vec<i128>> = honest.iter().map(|of| of.iter().map(|x| x.div_euclid(2)).collect()).collect();
    for (at, of) in clearance.expected().iter().enumerate() {
        let found = |noise: &[Vec<i128>]| {
            let (with, without) = (told(clearance, &with, noise, at), told(clearance, cell, noise, at));
            Events { draws: DRAWS as f64, delta }.least_epsilon(&with, &without)
        };
        let (least, loud, text) = (found(&honest), found(&halved), of.text());
        assert!(least <= claimed, "{text}: claimed {claimed}, found at least {least}");
        assert!(
            least > claimed / 4.0,
            "{text}: claimed {claimed}, found {least}: an audit that sees nothing shows nothing"
        );
        assert!(loud > claimed, "{text}: claimed {claimed}, half the noise gives at least {loud}");
    }
}

/// Numbers of `income` over its range, in one cell.
fn of_income(functions: &[AggregateFunction], range: (f64, f64), kind: Kind) -> PlanFacts {
    let mut people = residents();
    people.columns[INCOME].bounds = Interval::new(range.0, range.1);
    people.columns[INCOME].kind = kind;
    let number =
        |function: &AggregateFunction| aggregate(&format!("{function:?}"), function.clone(), vec![col(INCOME)]);
    plan(Relation::Scan(people), vec![], functions.iter().map(number).collect())
}

// Where the rows of a cell all stand at one end of the range and a unit comes at the other, its part of the sum, of the squares and
// of the count all move mean and variance the same way: one number shows no more of the three.

#[test]
fn means_keep_their_epsilon() {
    let facts = of_income(&[AggregateFunction::Avg], (0.0, 100_000.0), Kind::Float);
    for mechanism in [Mechanism::Gaussian, Mechanism::Laplace] {
        holds(&cleared(&facts, mechanism), mechanism, &[(300, 0.0)], 100_000.0);
    }
}

#[test]
fn variances_and_deviations_keep_their_epsilon() {
    use AggregateFunction::{Stddev, StddevPop, Variance, VariancePop};
    let facts = of_income(&[Variance, VariancePop, Stddev, StddevPop], (-50.0, 50.0), Kind::Float);
    holds(&cleared(&facts, Mechanism::Gaussian), Mechanism::Gaussian, &[(1_000, 50.0)], -50.0);
}

/// Where one bar is much higher than the other, the place of a quantile within it tells the lower one's count.
#[test]
fn quantiles_keep_their_epsilon() {
    let quantiles = [0.5, 0.25].map(|q| AggregateFunction::Quantile { q });
    let facts = of_income(&quantiles, (0.0, 1.0), Kind::Int);
    for mechanism in [Mechanism::Gaussian, Mechanism::Laplace] {
        holds(&cleared(&facts, mechanism), mechanism, &[(100, 0.0), (1_000_000, 1.0)], 0.0);
    }
}

#[test]
fn counts_of_units_keep_their_epsilon() {
    let mut facts = plan(Relation::Scan(power()), vec![key("month", col(1))], vec![units(0)]);
    let demand = facts.demand.as_mut().unwrap();
    (demand.max_groups, demand.max_rows) = (Some(1), Some(1));
    holds(&cleared(&facts, Mechanism::Gaussian), Mechanism::Gaussian, &[(7, 1.0)], 1.0);
}

/// Whether an open key shows at all, and its count where it does: a key of which about half show, and one that hardly ever does.
#[test]
fn open_keys_keep_their_epsilon() {
    let facts = plan(Relation::Scan(residents()), vec![key("street", col(STREET))], vec![count()]);
    for mechanism in [Mechanism::Gaussian, Mechanism::Laplace] {
        let clearance = cleared(&facts, mechanism);
        let tau = clearance.leaves()[0].threshold.unwrap().tau;
        assert!(tau > 2.0, "{tau}");
        holds(&clearance, mechanism, &[(tau as i128, 1.0)], 1.0);
    }
}
