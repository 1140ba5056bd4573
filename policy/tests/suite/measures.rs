//! Measures: which there are, and the law that noise is made for: one unit changes them by no more than they say.

use crate::fixture::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use yunei_policy::clear::{Clearance, HalfWidth, LeafClearance, MeasureKind, Mechanism, Preferences, clear_with};
use yunei_policy::facts::*;
use yunei_policy::rules::RuleSet;

fn aggregates() -> Vec<Aggregate> {
    use AggregateFunction as F;
    vec![
        count(),
        sum("kwh", col(2)),
        avg("kwh", col(2)),
        aggregate("var(kwh)", F::Variance, vec![col(2)]),
        aggregate("stddev_pop(kwh)", F::StddevPop, vec![col(2)]),
        units(0),
    ]
}

/// A plan over `power` with at most `rows` rows per unit, grouped by month or by a text without a domain.
fn leaf_of(rows: u32, open: bool, limits: (Option<u32>, Option<u32>), aggregates: Vec<Aggregate>) -> Clearance {
    leaf_with(rows, open, limits, aggregates, &Preferences::default())
}

fn leaf_with(
    rows: u32,
    open: bool,
    limits: (Option<u32>, Option<u32>),
    aggregates: Vec<Aggregate>,
    preferences: &Preferences,
) -> Clearance {
    let mut scan = power();
    scan.most_rows = Some(rows);
    scan.columns[2].nullable = true;
    scan.columns[2].bounds = Interval::new(-20.0, 1_000.0);
    scan.columns[1].bounds = if open { None } else { Interval::new(1.0, 12.0) };
    let mut facts = plan(Relation::Scan(scan), vec![key("month", col(1))], aggregates);
    facts.demand = Some(PrivacyDemand { epsilon: 0.5, max_groups: limits.0, max_rows: limits.1 });
    clear_with(&facts, &RuleSet::default(), preferences).unwrap_or_else(|refused| panic!("refused: {refused}"))
}

fn laplace() -> Preferences {
    Preferences { mechanism: Mechanism::Laplace, ..Preferences::default() }
}

#[derive(Debug, Clone)]
struct Row {
    unit: u8,
    group: u8,
    value: Option<f64>,
}

/// What an engine computes for a leaf whose only argument is one nullable column.
fn collect(leaf: &LeafClearance, rows: &[Row]) -> BTreeMap<u8, Vec<i128>> {
    let width = leaf.measures().len();
    let mut per_unit: BTreeMap<(u8, u8), Vec<i128>> = BTreeMap::new();
    for row in rows {
        let sums = per_unit.entry((row.unit, row.group)).or_insert_with(|| vec![0; width]);
        for (sum, measure) in sums.iter_mut().zip(leaf.measures()) {
            let value = if measure.argument().is_some() { row.value } else { Some(0.0) };
            match (measure.kind(), value) {
                (MeasureKind::Units, _) => *sum = 1,
                (_, Some(value)) => *sum += i128::from(measure.contribution(value)),
                (_, None) => {}
            }
        }
    }
    let mut cells: BTreeMap<u8, Vec<i128>> = BTreeMap::new();
    let mut kept: BTreeMap<u8, u32> = BTreeMap::new();
    // Any order that depends on unit and group alone will do for keeping groups.
    let mut groups: Vec<_> = per_unit.into_iter().collect();
    groups.sort_by_key(|((unit, group), _)| (u32::from(*unit) * 31 + u32::from(*group) * 17) % 13);
    for ((unit, group), sums) in groups {
        let taken = kept.entry(unit).or_default();
        if leaf.bounding().and_then(|b| b.max_groups()).is_some_and(|most| *taken >= most) {
            continue;
        }
        *taken += 1;
        let cell = cells.entry(group).or_insert_with(|| vec![0; width]);
        for ((total, sum), measure) in cell.iter_mut().zip(sums).zip(leaf.measures()) {
            let (lo, hi) = measure.per_group();
            *total += if leaf.bounding().is_some() { sum.clamp(lo, hi) } else { sum };
        }
    }
    cells
}

/// The L2 distance of each measure's vector over all cells.
fn distances(a: &BTreeMap<u8, Vec<i128>>, b: &BTreeMap<u8, Vec<i128>>, width: usize) -> Vec<f64> {
    let at = |cells: &BTreeMap<u8, Vec<i128>>, group, measure: usize| {
        cells.get(&group).map_or(0, |sums: &Vec<i128>| sums[measure]) as f64
    };
    (0..width).map(|m| (0..=u8::MAX).map(|g| (at(a, g, m) - at(b, g, m)).powi(2)).sum::<f64>().sqrt()).collect()
}

/// The L1 distance.
fn distances_1(a: &BTreeMap<u8, Vec<i128>>, b: &BTreeMap<u8, Vec<i128>>, width: usize) -> Vec<f64> {
    let at = |cells: &BTreeMap<u8, Vec<i128>>, group, measure: usize| {
        cells.get(&group).map_or(0, |s: &Vec<i128>| s[measure])
    };
    (0..width).map(|m| (0..=u8::MAX).map(|g| (at(a, g, m) - at(b, g, m)).abs()).sum::<i128>() as f64).collect()
}

/// Tables in which no unit has more than `most` rows; values beyond all bounds included.
fn tables(most: u32) -> impl Strategy<Value = Vec<Row>> {
    let value = prop_oneof![
        1 => Just(None),
        2 => prop_oneof![Just(-20.0), Just(1_000.0), Just(1e12), Just(-1e12), Just(f64::NAN)].prop_map(Some),
        3 => (-100.0f64..1_200.0).prop_map(Some),
    ];
    prop::collection::vec((0u8..4, 1u8..=12, value), 0..60).prop_map(move |rows| {
        let mut seen = [0; 4];
        rows.into_iter()
            .filter_map(|(unit, group, value)| {
                seen[usize::from(unit)] += 1;
                (seen[usize::from(unit)] <= most).then_some(Row { unit, group, value })
            })
            .collect()
    })
}

fn cases() -> impl Strategy<Value = (u32, bool, Option<u32>, Option<u32>, Vec<Row>)> {
    (1u32..15).prop_flat_map(|most| {
        let limit = || prop::option::of(1u32..8);
        (Just(most), any::<bool>(), limit(), limit(), tables(most))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_unit_changes_each_measure_by_no_more_than_it_says((most, open, groups, rows, table) in cases()) {
        let clearance = leaf_of(most, open, (groups, rows), aggregates());
        let leaf = &clearance.leaves()[0];
        let whole = collect(leaf, &table);
        for unit in 0..4 {
            let without: Vec<Row> = table.iter().filter(|r| r.unit != unit).cloned().collect();
            let changes = distances(&whole, &collect(leaf, &without), leaf.measures().len());
            for (change, measure) in changes.iter().zip(leaf.measures()) {
                prop_assert!(*change <= measure.sensitivity(), "{change} > {measure:?}");
            }
        }
    }

    #[test]
    fn for_laplace_noise_the_same_holds_in_l1((most, open, groups, rows, table) in cases()) {
        let clearance = leaf_with(most, open, (groups, rows), aggregates(), &laplace());
        let leaf = &clearance.leaves()[0];
        let whole = collect(leaf, &table);
        for unit in 0..4 {
            let without: Vec<Row> = table.iter().filter(|r| r.unit != unit).cloned().collect();
            let changes = distances_1(&whole, &collect(leaf, &without), leaf.measures().len());
            for (change, measure) in changes.iter().zip(leaf.measures()) {
                prop_assert!(*change <= measure.sensitivity(), "{change} > {measure:?}");
            }
        }
    }

    #[test]
    fn what_one_row_adds_is_within_the_clamp_of_a_group(value in any::<f64>()) {
        let clearance = leaf_of(1, false, (None, None), aggregates());
        for measure in clearance.leaves()[0].measures() {
            let added = i128::from(measure.contribution(value));
            prop_assert!(measure.per_group().0 <= added && added <= measure.per_group().1);
            prop_assert!((added as f64).abs() <= measure.sensitivity());
        }
    }
}

#[test]
fn sensitivities_are_reached() {
    // The worst unit: full groups one after the other, every value at the end of its range.
    for (most, groups, per_group) in [(12, 3, 2), (12, 5, 5), (7, 4, 2), (1, 1, 1)] {
        let clearance = leaf_of(most, false, (Some(groups), Some(per_group)), vec![count(), sum("kwh", col(2))]);
        let leaf = &clearance.leaves()[0];
        let row = |i: u32| Row { unit: 0, group: u8::try_from(i / per_group).unwrap() + 1, value: Some(1_000.0) };
        let rows: Vec<Row> = (0..most).map(row).collect();
        let changes = distances(&collect(leaf, &rows), &BTreeMap::new(), leaf.measures().len());
        for (change, measure) in changes.iter().zip(leaf.measures()) {
            assert!(*change <= measure.sensitivity());
            assert!(*change >= measure.sensitivity() * 0.999_999, "{change} of {measure:?}");
        }
    }
}

#[test]
fn measures_are_shared_between_aggregates() {
    let kinds = |aggregates: Vec<Aggregate>, nullable: bool, rows: u32| {
        let mut scan = power();
        scan.most_rows = Some(rows);
        scan.columns[2].nullable = nullable;
        let clearance = allowed(&plan(Relation::Scan(scan), vec![], aggregates));
        let kinds: Vec<_> = clearance.leaves()[0].measures().iter().map(|m| (m.kind(), m.argument())).collect();
        kinds
    };
    use MeasureKind::{Rows, Sum, SumOfSquares, Units};
    // A mean of a column without NULL shares COUNT(*).
    let mean = || vec![count(), avg("kwh", col(2))];
    assert_eq!(kinds(mean(), false, 1), [(Rows, None), (Sum, Some((1, 0)))]);
    assert_eq!(kinds(mean(), true, 1), [(Rows, None), (Sum, Some((1, 0))), (Rows, Some((1, 0)))]);
    // All statistics of one column come from three sums.
    let all = [(Rows, None), (Sum, Some((1, 0))), (SumOfSquares, Some((1, 0))), (Units, None)];
    assert_eq!(kinds(aggregates(), false, 12), all);
    // Where a unit has one row, units are rows.
    assert_eq!(kinds(aggregates(), false, 1), all[..3]);
    // A sum alone is not centred and needs no count.
    assert_eq!(kinds(vec![sum("kwh", col(2))], true, 1), [(Sum, Some((0, 0)))]);
}

#[test]
fn bounding_is_only_asked_for_where_it_is_needed() {
    let bounding = |rows, open, limits, aggregates| {
        let clearance = leaf_of(rows, open, limits, aggregates);
        let leaf = &clearance.leaves()[0];
        leaf.bounding().map(|b| (b.max_groups(), b.max_rows_per_group()))
    };
    let counts = || vec![count()];
    assert_eq!(bounding(1, false, (None, None), counts()), None);
    assert_eq!(bounding(1, true, (None, None), counts()), None);
    // The rows of a unit bound it already.
    assert_eq!(bounding(12, false, (None, None), counts()), None);
    // A limit that does not lower the noise is not enforced.
    assert_eq!(bounding(12, false, (Some(3), None), counts()), None);
    assert_eq!(bounding(12, false, (Some(3), Some(2)), counts()), Some((Some(3), 2)));
    assert_eq!(bounding(12, false, (Some(12), Some(2)), counts()), Some((None, 2)));
    // Units are only told apart by passing over them.
    assert_eq!(bounding(12, false, (None, None), vec![units(0)]), Some((None, 12)));
    assert_eq!(bounding(40, true, (None, None), counts()), Some((Some(16), 40)));
}

#[test]
fn the_charge_is_what_the_noise_costs() {
    for (aggregates, rows) in [(vec![count()], 1), (aggregates(), 12)] {
        let clearance = leaf_of(rows, false, (None, None), aggregates);
        let leaf = &clearance.leaves()[0];
        let cost: f64 = leaf.measures().iter().map(|m| (m.sensitivity() / m.sigma_grid()).powi(2) / 2.0).sum();
        let charged = clearance.charge().rho.to_f64();
        assert!(cost <= charged && cost > charged * 0.999, "{cost} of {charged}");
        assert!(leaf.charge().within(clearance.charge()));
    }
}

#[test]
fn leaves_share_the_charge_of_a_run() {
    let mut facts = plan(Relation::Scan(residents()), vec![], vec![count()]);
    facts.leaves.push(facts.leaves[0].clone());
    let clearance = allowed(&facts);
    let parts: u64 = clearance.leaves().iter().map(|l| l.charge().rho.units()).sum();
    let whole = clearance.charge().rho.units();
    assert!(parts <= whole && parts + 2 > whole);
}

#[test]
fn errors_are_told_before_data_is_opened() {
    let clearance = leaf_of(1, false, (None, None), vec![count(), sum("kwh", col(2)), avg("kwh", col(2))]);
    let leaf = &clearance.leaves()[0];
    let told: Vec<_> = clearance.expected().iter().map(|e| (e.leaf(), e.aggregate(), e.text().to_owned())).collect();
    assert_eq!(told[2], (0, 2, "avg(kwh)".to_owned()));
    let HalfWidth::Absolute(half) = clearance.expected()[0].half_width() else { panic!("a count's error is absolute") };
    assert!((half / leaf.measures()[0].sigma_grid() - 1.96).abs() < 0.001);
    assert!(matches!(clearance.expected()[2].half_width(), HalfWidth::OverRows(x) if x > half));
}

#[test]
fn laplace_noise_spends_epsilon_and_is_charged_as_zcdp() {
    let clearance = leaf_with(1, false, (None, None), vec![count()], &laplace());
    let leaf = &clearance.leaves()[0];
    // b = 1/ε = 2, σ = b √2; ε²/2 = 0.125.
    assert!((leaf.measures()[0].sigma_grid() - 2.0 * std::f64::consts::SQRT_2).abs() < 1e-4);
    assert_eq!(leaf.measures()[0].mechanism(), Mechanism::Laplace);
    assert!((clearance.charge().rho.to_f64() - 0.125).abs() < 1e-9);
    assert_eq!((clearance.epsilon(), clearance.delta()), (0.5, 0.0));
    // Three sums share ε, so that each costs a ninth.
    let clearance = leaf_with(1, false, (None, None), vec![count(), avg("kwh", col(2))], &laplace());
    assert!((clearance.charge().rho.to_f64() - 0.125 / 3.0).abs() < 1e-9);
}

#[test]
fn weights_move_the_charge_between_aggregates() {
    let weighted = |weights: Vec<u32>| {
        let preferences = Preferences { weights: vec![weights], ..Preferences::default() };
        let aggregates = vec![count(), sum("kwh", col(2))];
        let clearance = leaf_with(1, false, (None, None), aggregates, &preferences);
        let sigmas: Vec<f64> =
            clearance.leaves()[0].measures().iter().map(|m| m.sigma_grid() / m.sensitivity()).collect();
        (sigmas, clearance.charge())
    };
    let (even, charge) = weighted(vec![]);
    let (tilted, same) = weighted(vec![1, 4]);
    assert_eq!(charge, same);
    // A fifth and four fifths of ρ instead of a half each.
    assert!((tilted[0] / even[0] - 2.5f64.sqrt()).abs() < 1e-3);
    assert!((tilted[1] / even[1] - (5.0f64 / 8.0).sqrt()).abs() < 1e-3);
    let facts = plan(Relation::Scan(residents()), vec![], vec![count()]);
    for bad in [0, 1_001] {
        let preferences = Preferences { weights: vec![vec![bad]], ..Preferences::default() };
        let refused = clear_with(&facts, &RuleSet::default(), &preferences).unwrap_err();
        assert_eq!(refused.codes(), ["privacy/weights"]);
    }
}
