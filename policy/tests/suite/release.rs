//! The gate: noise that belongs to its cell, grids that are complete, intervals that hold.

use crate::fixture::*;
use yunei_policy::clear::{Clearance, LeafClearance, MeasureKind, Mechanism, Preferences, clear_with};
use yunei_policy::facts::*;
use yunei_policy::release::{Bar, RawCell, ReleasedCells, Seed, quantile, release};
use yunei_policy::rules::RuleSet;

fn seed(n: u32) -> Seed {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    Seed::from_bytes(bytes)
}

fn by_city() -> Clearance {
    allowed(&plan(Relation::Scan(residents()), vec![key("city", col(CITY))], vec![count()]))
}

fn cell(key: Vec<Literal>, sums: Vec<i128>) -> RawCell {
    RawCell { key, sums }
}

fn city(name: &str) -> Vec<Literal> {
    texts(&[name])
}

type Told = Vec<(Vec<Literal>, Vec<Option<f64>>)>;

fn told(cells: &ReleasedCells) -> Told {
    let row = |r: &yunei_policy::release::ReleasedCell| {
        (r.key().to_vec(), r.estimates().iter().map(|e| e.and_then(|e| e.value())).collect())
    };
    cells.rows().iter().map(row).collect()
}

#[test]
fn the_whole_grid_leaves_in_the_declared_order() {
    let clearance = by_city();
    let leaf = &clearance.leaves()[0];
    let cells = release(leaf, vec![cell(city("大理"), vec![1_000])], &seed(1), 0).unwrap();
    let keys: Vec<_> = cells.rows().iter().map(|r| r.key().to_vec()).collect();
    assert_eq!(keys, [city("昆明"), city("曲靖"), city("大理")]);
    let nobody = release(leaf, vec![], &seed(1), 0).unwrap();
    assert_eq!(nobody.rows().len(), 3);
}

#[test]
fn noise_depends_on_its_cell_alone() {
    let clearance = by_city();
    let leaf = &clearance.leaves()[0];
    let all = || vec![cell(city("昆明"), vec![10]), cell(city("曲靖"), vec![20]), cell(city("大理"), vec![30])];
    let first = told(&release(leaf, all(), &seed(1), 0).unwrap());
    let mut turned = all();
    turned.reverse();
    assert_eq!(first, told(&release(leaf, turned, &seed(1), 0).unwrap()));
    let alone = told(&release(leaf, vec![cell(city("曲靖"), vec![20])], &seed(1), 0).unwrap());
    assert_eq!(first[1], alone[1]);
    // Another seed and another leaf have other noise.
    assert_ne!(first, told(&release(leaf, all(), &seed(2), 0).unwrap()));
    assert_ne!(first, told(&release(leaf, all(), &seed(1), 1).unwrap()));
    // Equal cells do not share noise.
    let equal = told(&release(leaf, vec![], &seed(1), 0).unwrap());
    assert!(equal[0].1 != equal[1].1 || equal[1].1 != equal[2].1);
}

#[test]
fn cells_that_do_not_fit_fail_opaquely() {
    let clearance = by_city();
    let leaf = &clearance.leaves()[0];
    let bad = [
        vec![cell(city("昆明"), vec![1]), cell(city("昆明"), vec![1])],
        vec![cell(vec![], vec![1])],
        vec![cell(city("昆明"), vec![])],
        vec![cell(city("昆明"), vec![i128::MAX])],
    ];
    for cells in bad {
        let leaves_range = cells.first().is_some_and(|c| c.sums == [i128::MAX]);
        match release(leaf, cells, &seed(1), 0) {
            Err(refusal) => assert_eq!((refusal.code(), refusal.place()), ("run/failed", None)),
            // Noise may be negative: then the sum still fits.
            Ok(_) => assert!(leaves_range),
        }
    }
    let open = allowed(&PlanFacts { demand: None, ..plan(Relation::Scan(cities()), vec![], vec![count()]) });
    assert_eq!(release(&open.leaves()[0], vec![], &seed(1), 0).unwrap_err().code(), "run/failed");
}

#[test]
fn a_seed_is_not_shown() {
    assert_eq!(format!("{:?}", seed(1)), "Seed(..)");
}

fn by_street() -> Clearance {
    allowed(&plan(Relation::Scan(residents()), vec![key("street", col(STREET))], vec![count()]))
}

#[test]
fn small_open_groups_never_show_and_large_ones_do() {
    let clearance = by_street();
    let leaf = &clearance.leaves()[0];
    for n in 0..300 {
        let cells = vec![
            cell(city("small"), vec![1]),
            cell(city("large"), vec![100_000]),
            cell(vec![Literal::Null], vec![100_000]),
        ];
        let keys: Vec<_> = release(leaf, cells, &seed(n), 0).unwrap().rows().iter().map(|r| r.key().to_vec()).collect();
        assert_eq!(keys, [vec![Literal::Null], city("large")]);
    }
    // What nobody has does not leave.
    assert!(release(leaf, vec![], &seed(1), 0).unwrap().rows().is_empty());
}

/// The sums that a leaf would get of these values of its one argument, one row per unit.
fn sums(leaf: &LeafClearance, values: &[Option<f64>]) -> Vec<i128> {
    let of = |measure: &yunei_policy::clear::Measure| {
        let counts = |v: &&Option<f64>| measure.argument().is_none() || v.is_some();
        let one = |v: &Option<f64>| i128::from(measure.contribution(v.unwrap_or(0.0)));
        match measure.kind() {
            MeasureKind::Rows | MeasureKind::Units => values.iter().filter(counts).count() as i128,
            _ => values.iter().filter(counts).map(one).sum(),
        }
    };
    leaf.measures().iter().map(of).collect()
}

/// How often the truth lies in the interval, per aggregate, over `runs` seeds.
fn coverage(aggregates: Vec<Aggregate>, values: &[Option<f64>], truths: &[f64], runs: u32) -> Vec<f64> {
    coverage_with(Mechanism::Gaussian, aggregates, values, truths, runs)
}

fn coverage_with(
    mechanism: Mechanism,
    aggregates: Vec<Aggregate>,
    values: &[Option<f64>],
    truths: &[f64],
    runs: u32,
) -> Vec<f64> {
    let facts = plan(Relation::Scan(residents()), vec![], aggregates);
    let preferences = Preferences { mechanism, ..Preferences::default() };
    let clearance = clear_with(&facts, &RuleSet::default(), &preferences).unwrap();
    let leaf = &clearance.leaves()[0];
    let sums = sums(leaf, values);
    let mut inside = vec![0u32; truths.len()];
    for n in 0..runs {
        let cells = release(leaf, vec![cell(vec![], sums.clone())], &seed(n), 0).unwrap();
        for ((estimate, truth), inside) in cells.rows()[0].estimates().iter().zip(truths).zip(&mut inside) {
            let estimate = estimate.expect("nothing is withheld here");
            assert!(estimate.low() <= estimate.high());
            if let Some(value) = estimate.value() {
                assert!(estimate.low() <= value && value <= estimate.high());
            }
            *inside += u32::from(estimate.low() <= *truth && *truth <= estimate.high());
        }
    }
    inside.iter().map(|n| f64::from(*n) / f64::from(runs)).collect()
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    use AggregateFunction as F;
    // Incomes from 0 to 99,900, every seventh unknown.
    let values: Vec<Option<f64>> =
        (0..2_000).map(|i| (i % 7 != 0).then_some(f64::from((i * 37) % 1_000) * 99.9)).collect();
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let n = known.len() as f64;
    let mean = known.iter().sum::<f64>() / n;
    let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let aggregates = vec![
        count(),
        sum("income", col(INCOME)),
        avg("income", col(INCOME)),
        aggregate("var(income)", F::Variance, vec![col(INCOME)]),
        aggregate("stddev_pop(income)", F::StddevPop, vec![col(INCOME)]),
    ];
    let truths = [2_000.0, known.iter().sum(), mean, variance, (variance * (n - 1.0) / n).sqrt()];
    let found = coverage(aggregates, &values, &truths, 1_500);
    // Three standard deviations of a share of 0.95 over 1,500 runs are 0.017.
    for share in &found[..3] {
        assert!((0.933..0.975).contains(share), "{found:?}");
    }
    for share in &found[3..] {
        assert!(*share >= 0.94, "conservative: {found:?}");
    }
}

#[test]
fn intervals_of_laplace_noise_cover_the_truth() {
    use AggregateFunction as F;
    let values: Vec<Option<f64>> = (0..2_000).map(|i| Some(f64::from((i * 37) % 1_000) * 99.9)).collect();
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let n = known.len() as f64;
    let mean = known.iter().sum::<f64>() / n;
    let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let alone = coverage_with(Mechanism::Laplace, vec![count()], &values, &[n], 1_500);
    assert!((0.933..0.985).contains(&alone[0]), "{alone:?}");
    let aggregates = vec![
        avg("income", col(INCOME)),
        sum("income", col(INCOME)),
        aggregate("var_pop(income)", F::VariancePop, vec![col(INCOME)]),
    ];
    let found = coverage_with(Mechanism::Laplace, aggregates, &values, &[mean, mean * n, variance], 1_000);
    assert!(found.iter().all(|share| *share >= 0.94), "{found:?}");
}

#[test]
fn means_of_few_rows_stay_in_their_range_and_still_hold() {
    let values = [Some(40_000.0), Some(90_000.0), None];
    let found = coverage(vec![avg("income", col(INCOME))], &values, &[65_000.0], 1_200);
    assert!(found[0] >= 0.94, "{found:?}");
    let clearance = allowed(&plan(Relation::Scan(residents()), vec![], vec![avg("income", col(INCOME))]));
    let leaf = &clearance.leaves()[0];
    let mut unknown = 0;
    for n in 0..200 {
        let cells = release(leaf, vec![], &seed(n), 0).unwrap();
        let estimate = cells.rows()[0].estimates()[0].unwrap();
        assert!(estimate.low() >= 0.0 && estimate.high() <= 100_000.0);
        if estimate.value().is_none() {
            unknown += 1;
            assert_eq!((estimate.low(), estimate.high()), (0.0, 100_000.0));
        }
    }
    assert!(unknown > 50, "an empty cell's count is below 1 about every second time: {unknown}");
}

#[test]
fn a_sum_beside_a_mean_is_taken_from_the_centred_sum() {
    let values: Vec<Option<f64>> = (0..500).map(|i| Some(f64::from(i) * 200.0)).collect();
    let truth: f64 = values.iter().flatten().sum();
    let both = vec![avg("income", col(INCOME)), sum("income", col(INCOME))];
    let found = coverage(both, &values, &[truth / 500.0, truth], 1_200);
    assert!(found.iter().all(|share| (0.93..0.98).contains(share)), "{found:?}");
}

/// A released histogram of incomes in ten bands.
fn histogram(counts: &[i128], n: u32) -> Vec<Bar> {
    let mut people = residents();
    people.columns[INCOME].usages.insert(yunei_policy::words::Usage::Group);
    people.columns[INCOME].nullable = false;
    let bands = call(Function::WidthBucket, vec![col(INCOME), int(0), int(100_000), int(10)]);
    let clearance = allowed(&plan(Relation::Scan(people), vec![key("band", bands)], vec![count()]));
    let raw = counts.iter().zip(1i64..).map(|(c, i)| cell(vec![Literal::Int(i)], vec![*c])).collect();
    let cells = release(&clearance.leaves()[0], raw, &seed(n), 0).unwrap();
    let bar = |(i, r): (usize, &yunei_policy::release::ReleasedCell)| {
        let lo = i as f64 * 10_000.0;
        Bar { lo, hi: lo + 10_000.0, count: r.estimates()[0].unwrap() }
    };
    cells.rows()[1..11].iter().enumerate().map(bar).collect()
}

#[test]
fn quantiles_of_a_histogram_hold() {
    // 1,000 values; the median is the 500th, in the fifth band; the first decile in the second.
    let counts = [80, 90, 100, 110, 130, 140, 120, 100, 80, 50];
    let (mut median, mut decile) = (0, 0);
    for n in 0..1_000 {
        let bars = histogram(&counts, n);
        let of = |q| quantile(&bars, q).unwrap();
        let (m, d) = (of(0.5), of(0.1));
        median += u32::from(m.low() <= 40_000.0 && 50_000.0 <= m.high());
        decile += u32::from(d.low() <= 10_000.0 && 20_000.0 <= d.high());
        assert!(m.low() <= m.value().unwrap() && m.value().unwrap() <= m.high());
    }
    assert!(median >= 940 && decile >= 940, "{median} {decile}");
    let exact = quantile(&histogram(&counts.map(|c| c * 1_000_000), 1), 0.5).unwrap();
    assert_eq!((exact.low(), exact.high()), (40_000.0, 50_000.0));
    // 380 of 1,000 lie below the fifth band, which has 130.
    assert!((exact.value().unwrap() - (40_000.0 + 10_000.0 * 120.0 / 130.0)).abs() < 1.0);
}

#[test]
fn quantiles_of_nothing_say_nothing() {
    let bars = histogram(&[0; 10], 3);
    assert_eq!(quantile(&[], 0.5), None);
    for q in [-0.1, 1.1, f64::NAN] {
        assert_eq!(quantile(&bars, q), None);
    }
    let mut apart = bars.clone();
    apart.remove(4);
    assert_eq!(quantile(&apart, 0.5), None);
    assert!(bars.len() == 10 && quantile(&bars, 1.0).is_some());
}
