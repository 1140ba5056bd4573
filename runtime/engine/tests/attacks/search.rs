//! A seeded search for attacks in the manner of QuerySnout (Cretu et al. 2022): query sets are invented, bred and judged by
//! how well their answers let a classifier guess one person's sensitive attribute. What the best of them reaches on fresh
//! noise must stay within what (ε, δ) allows: changing one person's attribute is removing one row and adding another, so
//! that the guess is right with probability at most e^(2ε)/(1 + e^(2ε)) + δ.

use yunei_policy::clear::{LeafClearance, clear};
use yunei_policy::facts::{
    Aggregate, AggregateFunction, BinaryOperator, ColumnFacts, Expression, Interval, Kind, Leaf, Literal, PlanFacts,
    PrivacyDemand, Relation, Scan,
};
use yunei_policy::release::{RawCell, Seed, release};
use yunei_policy::rules::RuleSet;
use yunei_policy::words::{ColumnClass, ReleaseClass, UnitKind, Usage};

fn column(name: &str, bounds: Option<(f64, f64)>, kind: Kind) -> ColumnFacts {
    ColumnFacts {
        name: name.to_owned(),
        kind,
        class: ColumnClass::Attribute,
        usages: [Usage::Filter, Usage::Group, Usage::Aggregate, Usage::Join].into_iter().collect(),
        bounds: bounds.and_then(|(lo, hi)| Interval::new(lo, hi)),
        values: None,
        nullable: false,
    }
}

fn scan(columns: Vec<ColumnFacts>) -> Relation {
    Relation::Scan(Scan {
        dataset: "people".into(),
        release: ReleaseClass::Personal,
        unit_kind: UnitKind::NaturalPerson,
        unit: Some(0),
        most_rows: Some(1),
        most_groups: None,
        columns,
    })
}

fn plan(input: Relation, function: AggregateFunction, arguments: Vec<Expression>, epsilon: f64) -> PlanFacts {
    let aggregates = vec![Aggregate { text: "x".into(), function, arguments }];
    let demand = PrivacyDemand { epsilon, max_groups: None, max_rows: None };
    PlanFacts { leaves: vec![Leaf { input, keys: Vec::new(), aggregates }], demand: Some(demand) }
}

/// The plan of `SUM(x)`, x within these bounds.
pub(crate) fn sum_of(lo: f64, hi: f64) -> PlanFacts {
    let mut unit = column("id", None, Kind::Text);
    unit.class = ColumnClass::DirectIdentifier;
    plan(
        scan(vec![unit, column("x", Some((lo, hi)), Kind::Float)]),
        AggregateFunction::Sum,
        vec![Expression::Column(1)],
        1.0,
    )
}

/// The plan of a count under a condition; the condition costs nothing and changes nothing about the noise.
fn count_of(epsilon: f64) -> PlanFacts {
    let mut unit = column("id", None, Kind::Text);
    unit.class = ColumnClass::DirectIdentifier;
    let input = Relation::Filter {
        input: Box::new(scan(vec![unit, column("a", Some((0.0, 3.0)), Kind::Int)])),
        predicate: Expression::Binary {
            operator: BinaryOperator::Equal,
            left: Box::new(Expression::Column(1)),
            right: Box::new(Expression::Literal(Literal::Int(1))),
        },
    };
    plan(input, AggregateFunction::Count, Vec::new(), epsilon)
}

/// A deterministic stream of numbers (Steele, Lea & Flood 2014, SplitMix64).
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn seed(&mut self) -> Seed {
        let mut bytes = [0; 32];
        bytes.chunks_exact_mut(8).for_each(|c| c.copy_from_slice(&self.next().to_le_bytes()));
        Seed::from_bytes(bytes)
    }
}

const ATTRIBUTES: usize = 4;
const QUERIES: usize = 4;
const EPSILON: f64 = 1.0;

/// Three public attributes and a secret one, each of 0..=3; the secret is 0 or 1.
type Person = [u8; ATTRIBUTES];

/// For each attribute: no condition, equal to, or different from a value (QuerySnout's operators).
#[derive(Clone, Copy)]
struct Query([(u8, u8); ATTRIBUTES]);

impl Query {
    fn random(stream: &mut Stream, target: &Person) -> Self {
        let mut conditions = [(0, 0); ATTRIBUTES];
        for (at, condition) in conditions.iter_mut().enumerate() {
            *condition = (stream.below(3) as u8, if at + 1 == ATTRIBUTES { 1 } else { target[at] });
        }
        Self(conditions)
    }

    fn holds(&self, person: &Person) -> bool {
        self.0.iter().zip(person).all(|((operator, value), x)| match operator {
            0 => true,
            1 => x == value,
            _ => x != value,
        })
    }
}

fn population(stream: &mut Stream) -> Vec<Person> {
    let mut person = || [stream.below(4) as u8, stream.below(4) as u8, stream.below(4) as u8, stream.below(2) as u8];
    (0..120).map(|_| person()).collect()
}

/// Noisy answers to a set of queries, each by the gate's own arithmetic.
fn answers(queries: &[Query], people: &[Person], leaf: &LeafClearance, stream: &mut Stream) -> Vec<f64> {
    queries
        .iter()
        .map(|query| {
            let count = people.iter().filter(|p| query.holds(p)).count();
            let cell = RawCell { key: Vec::new(), sums: vec![count as i128] };
            let released = release(leaf, vec![cell], &stream.seed(), 0).unwrap();
            released.rows()[0].estimates()[0].unwrap().value().unwrap()
        })
        .collect()
}

/// The share of right guesses of the secret over `rounds`, by the best linear rule for these queries: the answers' deviations
/// from what is expected, weighed by what the secret changes. The adversary knows everybody but the secret.
fn accuracy(queries: &[Query], people: &[Person], leaf: &LeafClearance, stream: &mut Stream, rounds: usize) -> f64 {
    let with = |secret: u8| {
        let mut all = people.to_vec();
        all[0][ATTRIBUTES - 1] = secret;
        all
    };
    let worlds = [with(0), with(1)];
    let exact = |people: &[Person]| -> Vec<f64> {
        queries.iter().map(|q| people.iter().filter(|p| q.holds(p)).count() as f64).collect()
    };
    let expected = [exact(&worlds[0]), exact(&worlds[1])];
    let mut right = 0;
    for round in 0..rounds {
        let secret = round % 2;
        let seen = answers(queries, &worlds[secret], leaf, stream);
        let distance = |w: usize| seen.iter().zip(&expected[w]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let (d0, d1) = (distance(0), distance(1));
        let guess = if d0 == d1 { stream.below(2) as usize } else { usize::from(d1 < d0) };
        right += usize::from(guess == secret);
    }
    right as f64 / rounds as f64
}

/// The search finds query sets that guess better than a coin, and none that guesses better than (ε, δ) allows. Without noise the
/// same query sets guess every time.
#[test]
fn invented_query_sets_stay_within_epsilon() {
    let rules = RuleSet::default();
    // The whole of ε for the whole set: each query costs its part of ρ, which is what ε/√k costs in zCDP.
    let share = EPSILON / (QUERIES as f64).sqrt();
    let clearance = clear(&count_of(share), &rules).unwrap();
    let leaf = &clearance.leaves()[0];
    let total = yunei_policy::accounting::Rho::from_units(clearance.charge().rho.units() * QUERIES as u64);
    let delta = yunei_policy::accounting::Delta::from_f64(rules.personal().delta()).unwrap();
    let epsilon = yunei_policy::accounting::epsilon_of(total, delta);
    let mut stream = Stream(20_261_126);
    let people = population(&mut stream);
    let mut sets: Vec<Vec<Query>> =
        (0..12).map(|_| (0..QUERIES).map(|_| Query::random(&mut stream, &people[0])).collect()).collect();
    let mut best = sets[0].clone();
    for _ in 0..6 {
        let mut judged: Vec<(f64, Vec<Query>)> =
            sets.into_iter().map(|s| (accuracy(&s, &people, leaf, &mut stream, 120), s)).collect();
        judged.sort_by(|a, b| b.0.total_cmp(&a.0));
        best = judged[0].1.clone();
        // The better half lives on, with one query replaced in each child.
        judged.truncate(6);
        sets = judged.iter().map(|(_, s)| s.clone()).collect();
        for (_, parent) in &judged {
            let mut child = parent.clone();
            child[stream.below(QUERIES as u64) as usize] = Query::random(&mut stream, &people[0]);
            sets.push(child);
        }
    }
    let rounds = 6_000;
    let reached = accuracy(&best, &people, leaf, &mut stream, rounds);
    let allowed = (2.0 * epsilon).exp() / (1.0 + (2.0 * epsilon).exp()) + rules.personal().delta();
    // Hoeffding 1963: that far above its mean with probability at most 1e-6.
    let slack = ((1e6f64).ln() / (2.0 * rounds as f64)).sqrt();
    assert!(reached - slack <= allowed, "{reached} of at most {allowed}");
    assert!(reached > 0.52, "{reached}: a search that finds nothing shows nothing");
    // Gaussian noise of this ρ allows even less: a guess by one number of distance √(2·2ρ·…) is right with Φ(d/2σ).
    assert!(reached < 0.95, "{reached}");
}
