//! Plans that would tell of a single person, and plans that must not be refused.

use crate::fixture::*;
use yunei_policy::clear::{KeyDomain, clear};
use yunei_policy::facts::*;
use yunei_policy::rules::RuleSet;
use yunei_policy::words::{ReleaseClass, UnitKind, Usage};

fn scan(scan: Scan) -> Relation {
    Relation::Scan(scan)
}

#[test]
fn choosing_a_person_by_identifier_is_refused_however_it_is_written() {
    let by = |predicate| refused(&plan(filter(scan(residents()), predicate), vec![], vec![count()]));
    assert_eq!(by(equal(col(ID), text("530102"))), ["filter/identifier"]);
    assert_eq!(by(equal(text("530102"), col(ID))), ["filter/identifier"]);
    assert_eq!(
        by(equal(call(Function::Substring, vec![col(ID), int(1), int(6)]), text("530102"))),
        ["filter/identifier"]
    );
    assert_eq!(by(Expression::Not(Box::new(equal(col(ID), text("x"))))), ["filter/identifier"]);
    assert_eq!(by(Expression::InList { value: Box::new(col(ID)), list: vec![text("x")] }), ["filter/identifier"]);
    assert_eq!(
        by(Expression::Like { value: Box::new(col(NAME)), pattern: Box::new(text("王%")) }),
        ["filter/identifier"]
    );
    let between = |x| Expression::Between { value: Box::new(x), low: Box::new(text("a")), high: Box::new(text("b")) };
    assert_eq!(by(between(col(ID))), ["filter/identifier"]);
    let case = equal(yes_no(equal(col(ID), text("x"))), text("yes"));
    assert_eq!(by(case), ["filter/identifier"]);
    assert_eq!(by(equal(call(Function::Coalesce, vec![col(ID), text("")]), text("x"))), ["filter/identifier"]);
    assert_eq!(by(equal(call(Function::NullIf, vec![text("x"), col(ID)]), text("x"))), ["filter/identifier"]);
}

#[test]
fn renaming_an_identifier_in_a_subquery_does_not_hide_it() {
    let inner = project(scan(residents()), vec![call(Function::Lower, vec![col(ID)]), col(AGE), col(ID)]);
    let facts = plan(filter(inner, equal(col(0), text("x"))), vec![], vec![count()]);
    assert_eq!(refused(&facts), ["filter/identifier"]);
    let flag = project(scan(residents()), vec![yes_no(equal(col(ID), text("x"))), col(ID)]);
    assert_eq!(refused(&plan(flag, vec![key("flag", col(0))], vec![count()])), ["group/identifier"]);
}

#[test]
fn identifiers_are_neither_groups_nor_aggregates_nor_features() {
    let over = |keys, aggregates| refused(&plan(scan(residents()), keys, aggregates));
    assert!(over(vec![key("id_number", col(ID))], vec![count()]).contains(&"group/identifier"));
    assert!(over(vec![key("name", col(NAME))], vec![count()]).contains(&"group/identifier"));
    assert_eq!(
        over(vec![], vec![aggregate("count(name)", AggregateFunction::Count, vec![col(NAME)])]),
        ["aggregate/identifier"]
    );
    let length = call(Function::CharacterLength, vec![col(NAME)]);
    assert!(over(vec![], vec![sum("length(name)", length)]).contains(&"aggregate/identifier"));
    let score = model(vec![Expression::Cast { value: Box::new(col(ID)), to: Kind::Int, rounds: false }]);
    assert_eq!(over(vec![], vec![avg("credit_risk(id)", score)]), ["feature/identifier"]);
    let score = yes_no(binary(BinaryOperator::Compare, model(vec![col(ID)]), int(0)));
    assert_eq!(over(vec![key("band", score)], vec![count()]), ["feature/identifier"]);
}

#[test]
fn a_unit_column_is_an_identifier_even_if_the_entry_calls_it_an_attribute() {
    let mut orders = power();
    orders.columns[0] = column("o_custkey", Kind::Int, &[Usage::Join, Usage::Filter, Usage::Group, Usage::Aggregate]);
    let facts = plan(filter(scan(orders.clone()), equal(col(0), int(7))), vec![], vec![count()]);
    assert_eq!(refused(&facts), ["filter/identifier"]);
    assert!(refused(&plan(scan(orders), vec![key("o_custkey", col(0))], vec![count()])).contains(&"group/identifier"));
}

#[test]
fn null_tests_of_the_unit_alone_are_allowed() {
    let facts = plan(filter(scan(residents()), Expression::IsTest(Box::new(col(ID)))), vec![], vec![count()]);
    allowed(&facts);
    let hidden = Expression::IsTest(Box::new(call(Function::NullIf, vec![col(ID), text("x")])));
    assert_eq!(refused(&plan(filter(scan(residents()), hidden), vec![], vec![count()])), ["filter/identifier"]);
}

#[test]
fn columns_are_only_used_as_declared() {
    let over = |relation, keys, aggregates| refused(&plan(relation, keys, aggregates));
    let all = || scan(residents());
    assert_eq!(over(filter(all(), equal(col(STREET), text("x"))), vec![], vec![count()]), ["column/usage"]);
    assert_eq!(over(all(), vec![key("note", col(NOTE))], vec![count()]), ["column/usage"]);
    assert_eq!(over(all(), vec![], vec![sum("months", col(MONTHS))]), ["column/usage"]);
    assert_eq!(over(all(), vec![], vec![avg("credit_risk(married)", model(vec![col(MARRIED)]))]), ["column/usage"]);
    // months is a feature: its score may be grouped and filtered by, itself it may not.
    let high = || binary(BinaryOperator::Compare, model(vec![col(MONTHS)]), Expression::Literal(Literal::Float(0.5)));
    allowed(&plan(filter(all(), high()), vec![key("band", yes_no(high()))], vec![count()]));
    let case = yes_no(binary(BinaryOperator::Compare, col(MONTHS), int(12)));
    assert_eq!(over(all(), vec![key("band", case)], vec![count()]), ["column/usage"]);
    // A column that may be filtered by may decide a CASE under a key or an aggregate.
    allowed(&plan(all(), vec![key("band", yes_no(equal(col(NOTE), text("x"))))], vec![count()]));
    // A model's argument inside CASE of a key still needs `feature`.
    let case = yes_no(binary(BinaryOperator::Compare, model(vec![col(STREET)]), int(0)));
    assert_eq!(over(all(), vec![key("band", case)], vec![count()]), ["column/usage"]);
}

#[test]
fn an_aggregate_below_does_not_launder_usages() {
    let inner = Relation::PerUnit {
        input: Box::new(scan(residents())),
        keys: vec![col(ID)],
        aggregates: vec![aggregate("max(debt)", AggregateFunction::Max, vec![col(DEBT)])],
    };
    let facts = plan(filter(inner, binary(BinaryOperator::Compare, col(1), int(3))), vec![], vec![count()]);
    assert_eq!(refused(&facts), ["column/usage"]);
}

#[test]
fn minimum_and_maximum_of_everybody_are_refused() {
    for function in [AggregateFunction::Min, AggregateFunction::Max] {
        let facts = plan(scan(residents()), vec![], vec![aggregate("max(income)", function, vec![col(INCOME)])]);
        assert_eq!(refused(&facts), ["aggregate/min-max"]);
    }
}

#[test]
fn sums_need_bounds_and_clamp_gives_them() {
    let over = |x: Expression| plan(scan(residents()), vec![], vec![sum("debt", x)]);
    assert_eq!(refused(&over(col(DEBT))), ["aggregate/unbounded-sum"]);
    allowed(&over(call(Function::Clamp, vec![col(DEBT), int(0), int(1_000_000)])));
    assert_eq!(refused(&over(call(Function::Clamp, vec![col(DEBT), int(9), int(1)]))), ["aggregate/unbounded-sum"]);
    assert_eq!(refused(&over(binary(BinaryOperator::Divide, col(INCOME), col(AGE)))), ["aggregate/unbounded-sum"]);
    let guarded = call(Function::Greatest, vec![col(AGE), int(1)]);
    allowed(&over(binary(BinaryOperator::Divide, col(INCOME), guarded)));
    let parameter = Expression::Parameter { name: "k".into(), kind: Kind::Float, bounds: None, values: None };
    let facts = over(binary(BinaryOperator::Multiply, col(INCOME), parameter));
    assert_eq!(refused(&facts), ["aggregate/unbounded-sum"]);
}

#[test]
fn texts_and_dates_are_not_summed() {
    let facts = plan(scan(residents()), vec![], vec![sum("city", col(CITY))]);
    assert!(refused(&facts).contains(&"aggregate/kind"));
}

#[test]
fn private_tables_join_on_units_alone() {
    let both = |on| plan(join(scan(residents()), scan(power()), on), vec![], vec![count()]);
    assert_eq!(refused(&both(vec![])), ["join/not-on-unit"]);
    assert!(refused(&both(vec![(col(AGE), col(1))])).contains(&"join/not-on-unit"));
    let clearance = allowed(&both(vec![(col(ID), col(0))]));
    assert_eq!(clearance.leaves()[0].rows_per_unit(), 12);
    // A unit behind an expression is no unit: several persons could share its value.
    let short = call(Function::Substring, vec![col(ID), int(1), int(6)]);
    assert!(refused(&both(vec![(short, col(0))])).contains(&"join/not-on-unit"));
    let mut firms = power();
    firms.unit_kind = UnitKind::LegalPerson;
    let facts = plan(join(scan(residents()), scan(firms), vec![(col(ID), col(0))]), vec![], vec![count()]);
    assert_eq!(refused(&facts), ["join/not-on-unit"]);
}

#[test]
fn a_unit_key_without_the_usage_join_joins_nothing() {
    let mut other = power();
    other.columns[0].usages.clear();
    let facts = plan(join(scan(residents()), scan(other), vec![(col(ID), col(0))]), vec![], vec![count()]);
    assert_eq!(refused(&facts), ["column/usage"]);
}

#[test]
fn joins_multiply_rows_of_a_unit() {
    let on = || vec![(col(0), col(0))];
    let twice = join(scan(power()), scan(power()), on());
    assert_eq!(allowed(&plan(twice.clone(), vec![], vec![count()])).leaves()[0].rows_per_unit(), 144);
    let many = (0..6).fold(twice, |left, _| join(left, scan(power()), on()));
    assert_eq!(refused(&plan(many, vec![], vec![count()])), ["join/amplification"]);
}

#[test]
fn open_tables_join_on_their_unique_key() {
    let with = |scan_of: Scan, on| {
        let mut people = residents();
        people.columns[CITY].usages.insert(Usage::Join);
        plan(join(scan(people), scan(scan_of), on), vec![key("region", col(11))], vec![count()])
    };
    let clearance = allowed(&with(cities(), vec![(col(CITY), col(0))]));
    assert_eq!(clearance.leaves()[0].rows_per_unit(), 1);
    assert_eq!(clearance.class(), ReleaseClass::Personal);
    let mut plain = cities();
    plain.unit = None;
    plain.most_rows = None;
    assert_eq!(refused(&with(plain.clone(), vec![(col(CITY), col(0))])), ["join/open-not-unique"]);
    plain.unit = Some(0);
    assert_eq!(refused(&with(plain, vec![(col(CITY), col(0))])), ["join/open-not-unique"]);
    assert_eq!(refused(&with(cities(), vec![])), ["join/open-not-unique"]);
    // A public list of identifiers would be a filter on identifiers.
    assert_eq!(refused(&with(cities(), vec![(col(ID), col(0))])), ["join/identifier-with-open"]);
}

#[test]
fn inner_aggregates_are_per_unit() {
    let inner = |keys: Vec<Expression>, function, arguments| Relation::PerUnit {
        input: Box::new(scan(power())),
        keys,
        aggregates: vec![aggregate("sum(kwh)", function, arguments)],
    };
    let total = inner(vec![col(0)], AggregateFunction::Sum, vec![col(2)]);
    let clearance = allowed(&plan(total, vec![], vec![avg("total", col(1))]));
    let leaf = &clearance.leaves()[0];
    assert_eq!(leaf.rows_per_unit(), 1);
    assert_eq!((leaf.measures()[0].lo(), leaf.measures()[0].hi()), (0.0, 12_000.000_000_000_002));
    let mixed = inner(vec![col(1)], AggregateFunction::Sum, vec![col(2)]);
    assert_eq!(refused(&plan(mixed, vec![], vec![sum("x", col(1))])), ["unit/nested-aggregate"]);
    let cast = Expression::Cast { value: Box::new(col(0)), to: Kind::Text, rounds: false };
    let merged = inner(vec![cast], AggregateFunction::Sum, vec![col(2)]);
    assert!(refused(&plan(merged, vec![], vec![sum("x", col(1))])).contains(&"unit/nested-aggregate"));
    // With a further key a unit keeps as many rows as that key has values, and no more than it had.
    let monthly = inner(vec![col(0), col(1)], AggregateFunction::Sum, vec![col(2)]);
    assert_eq!(allowed(&plan(monthly, vec![], vec![sum("x", col(2))])).leaves()[0].rows_per_unit(), 12);
    // Maxima are fine per unit.
    let most = inner(vec![col(0)], AggregateFunction::Max, vec![col(2)]);
    allowed(&plan(most, vec![], vec![avg("most", col(1))]));
}

#[test]
fn unit_models_fold_one_unit_alone() {
    let output = Interval::new(0.0, 1.0).unwrap();
    let function = AggregateFunction::UnitModel { model: "m@1".into(), output };
    let inner = |keys| Relation::PerUnit {
        input: Box::new(scan(power())),
        keys,
        aggregates: vec![aggregate("m(kwh)", function.clone(), vec![col(2)])],
    };
    allowed(&plan(inner(vec![col(0)]), vec![], vec![avg("m", col(1))]));
    assert_eq!(refused(&plan(inner(vec![col(0), col(1)]), vec![], vec![avg("m", col(2))])), ["model/unit-keys"]);
    let leaf = plan(scan(power()), vec![], vec![aggregate("m(kwh)", function.clone(), vec![col(2)])]);
    assert_eq!(refused(&leaf), ["aggregate/unit-model"]);
}

#[test]
fn a_unit_that_was_projected_away_still_bounds() {
    let rows = project(scan(power()), vec![col(1), col(2)]);
    let mut facts = plan(rows, vec![key("month", col(0))], vec![sum("kwh", col(1))]);
    // Twelve rows at most are bounded by themselves.
    assert!(allowed(&facts).leaves()[0].bounding().is_none());
    facts.demand = Some(PrivacyDemand { epsilon: 0.5, max_groups: Some(2), max_rows: Some(1) });
    let bounding = allowed(&facts).leaves()[0].bounding().copied().unwrap();
    assert_eq!((bounding.max_groups(), bounding.max_rows_per_group()), (Some(2), 1));
}

#[test]
fn continuous_numbers_are_banded_before_they_are_groups() {
    let mut people = residents();
    people.columns[INCOME].usages.insert(Usage::Group);
    let by = |x| plan(scan(people.clone()), vec![key("income", x)], vec![count()]);
    assert_eq!(refused(&by(col(INCOME))), ["group/float"]);
    let bands = call(Function::WidthBucket, vec![col(INCOME), int(0), int(100_000), int(5)]);
    let clearance = allowed(&by(bands));
    let KeyDomain::Declared(values) = &clearance.leaves()[0].keys()[0] else { panic!("bands are declared") };
    assert_eq!(values.len(), 8, "0..=6 and NULL");
    assert!(values.contains(&Literal::Null));
}

#[test]
fn texts_without_a_domain_are_open_and_get_a_threshold() {
    let clearance = allowed(&plan(scan(residents()), vec![key("street", col(STREET))], vec![count()]));
    assert_eq!(clearance.leaves()[0].keys(), [KeyDomain::Open]);
    assert!(clearance.leaves()[0].is_thresholded());
    assert!(clearance.charge().delta.units() > 0);
    let declared = allowed(&plan(scan(residents()), vec![key("city", col(CITY))], vec![count()]));
    assert!(!declared.leaves()[0].is_thresholded());
    assert_eq!(declared.charge().delta.units(), 0);
}

#[test]
fn grids_have_a_limit() {
    let rules = RuleSet::parse(&RuleSet::default().text().replace("max_cells = 20000", "max_cells = 242")).unwrap();
    let by = |keys| clear(&plan(scan(residents()), keys, vec![count()]), &rules);
    // 121 ages by 2 truth values.
    assert!(by(vec![key("age", col(AGE)), key("married", col(MARRIED))]).is_ok());
    let codes = by(vec![key("age", col(AGE)), key("city", col(CITY))]).unwrap_err().codes();
    assert_eq!(codes, ["group/too-many-cells"]);
}

#[test]
fn groups_without_aggregates_are_refused() {
    assert_eq!(refused(&plan(scan(residents()), vec![key("city", col(CITY))], vec![])), ["aggregate/none"]);
}

#[test]
fn only_units_are_counted_distinct() {
    let distinct = |at| aggregate("count(distinct x)", AggregateFunction::CountDistinct, vec![col(at)]);
    assert_eq!(refused(&plan(scan(residents()), vec![], vec![distinct(AGE)])), ["aggregate/count-distinct"]);
    allowed(&plan(scan(residents()), vec![], vec![distinct(ID)]));
}

#[test]
fn the_privacy_demand_has_limits() {
    let with = |demand: Option<PrivacyDemand>| {
        let mut facts = plan(scan(residents()), vec![], vec![count()]);
        facts.demand = demand;
        facts
    };
    assert_eq!(refused(&with(None)), ["privacy/no-epsilon"]);
    for bad in [0.0, -1.0, f64::NAN] {
        assert_eq!(refused(&with(demand(bad))), ["privacy/epsilon-not-positive"]);
    }
    allowed(&with(demand(2.0)));
    for bad in [2.000_001, f64::INFINITY] {
        assert_eq!(refused(&with(demand(bad))), ["privacy/epsilon-too-large"]);
    }
    assert_eq!(refused(&with(demand(1e-12))), ["privacy/epsilon-too-small"]);
    let zero = PrivacyDemand { epsilon: 0.5, max_groups: Some(0), max_rows: Some(0) };
    assert_eq!(refused(&with(Some(zero))), ["privacy/zero-limit"]);
}

#[test]
fn a_dataset_must_say_who_its_rows_are_about() {
    let mut nameless = residents();
    nameless.unit = None;
    nameless.most_rows = None;
    let codes = refused(&plan(scan(nameless), vec![], vec![count()]));
    assert_eq!(codes[..2], ["unit/missing", "unit/most-rows"]);
}

#[test]
fn open_data_needs_no_demand_and_costs_nothing() {
    let mut facts = plan(scan(cities()), vec![key("region", col(1))], vec![count()]);
    facts.demand = None;
    let clearance = allowed(&facts);
    assert_eq!(clearance.class(), ReleaseClass::Open);
    assert_eq!(clearance.charge(), yunei_policy::accounting::Charge::ZERO);
    assert_eq!((clearance.epsilon(), clearance.delta()), (0.0, 0.0));
}

#[test]
fn the_strictest_class_wins_in_a_join() {
    let mut firms = power();
    firms.release = ReleaseClass::Statistical;
    let facts = plan(join(scan(firms), scan(power()), vec![(col(0), col(0))]), vec![], vec![count()]);
    assert_eq!(allowed(&facts).class(), ReleaseClass::Personal);
}

#[test]
fn all_reasons_come_at_once() {
    let facts = PlanFacts {
        leaves: vec![Leaf {
            input: filter(scan(residents()), equal(col(ID), text("x"))),
            keys: vec![key("note", col(NOTE))],
            aggregates: vec![
                sum("debt", col(DEBT)),
                aggregate("min(income)", AggregateFunction::Min, vec![col(INCOME)]),
            ],
        }],
        demand: demand(99.0),
    };
    let codes = refused(&facts);
    for code in [
        "filter/identifier",
        "column/usage",
        "aggregate/unbounded-sum",
        "aggregate/min-max",
        "privacy/epsilon-too-large",
    ] {
        assert!(codes.contains(&code), "{code} missing from {codes:?}");
    }
}

#[test]
fn hostile_sizes_are_refused_without_recursion() {
    let nested = |depth: usize| (0..depth).fold(int(1), |x, _| Expression::Negate(Box::new(x)));
    let over = |x| plan(scan(residents()), vec![], vec![sum("x", x)]);
    // max_expression_depth = 96, the literal included.
    allowed(&over(nested(95)));
    assert_eq!(refused(&over(nested(96))), ["plan/too-large"]);
    assert_eq!(refused(&over(nested(5_000))), ["plan/too-large"]);
    let list = (0..30_000).map(int).collect();
    let wide = Expression::InList { value: Box::new(col(AGE)), list };
    assert_eq!(refused(&plan(filter(scan(residents()), wide), vec![], vec![count()])), ["plan/too-large"]);
    let list = (0..10_000).map(int).collect();
    let fits = Expression::InList { value: Box::new(col(AGE)), list };
    allowed(&plan(filter(scan(residents()), fits), vec![], vec![count()]));
    let deep = |n: usize| (0..n).fold(scan(residents()), |r, _| filter(r, equal(col(AGE), int(1))));
    allowed(&plan(deep(47), vec![], vec![count()]));
    assert_eq!(refused(&plan(deep(48), vec![], vec![count()])), ["plan/too-large"]);
    let many = plan(scan(residents()), vec![], vec![count(); 65]);
    assert_eq!(refused(&many), ["plan/too-large"]);
}

#[test]
fn columns_out_of_range_do_not_pass_as_anything() {
    let facts = plan(scan(residents()), vec![], vec![sum("x", col(99))]);
    assert_eq!(refused(&facts), ["aggregate/kind"]);
}

#[test]
fn naming_a_large_domain_again_and_again_ends_soon() {
    let values = |n: i64| Some((0..n).map(|i| Literal::Text(format!("{i}"))).collect::<Vec<_>>());
    let mut people = residents();
    people.columns[CITY].values = values(20_000);
    people.columns[STREET].values = values(19_000);
    let case = |branches: usize, then: &dyn Fn(usize) -> Expression| Expression::Case {
        branches: (0..branches).map(|i| (equal(col(CITY), text("x")), then(i))).collect(),
        otherwise: Some(Box::new(col(CITY))),
    };
    let by = |x| allowed(&plan(Relation::Scan(people.clone()), vec![key("k", x)], vec![count()]));
    // One domain, however often, is one domain.
    let clearance = by(case(4_000, &|_| col(CITY)));
    assert!(matches!(&clearance.leaves()[0].keys()[0], KeyDomain::Declared(values) if values.len() == 20_000));
    // Domains that are merged anew each time are given up: the key is open.
    let merged = |_| call(Function::Coalesce, vec![case(1, &|_| col(STREET)), text("y")]);
    assert_eq!(by(case(1_000, &merged)).leaves()[0].keys(), [KeyDomain::Open]);
}
