//! A small catalogue, and short ways to write plans over it.

use std::collections::BTreeSet;
use yunei_policy::clear::{Clearance, clear};
use yunei_policy::facts::*;
use yunei_policy::rules::RuleSet;
use yunei_policy::words::{ColumnClass, ReleaseClass, UnitKind, Usage};

pub(crate) const ID: usize = 0;
pub(crate) const AGE: usize = 1;
pub(crate) const CITY: usize = 2;
pub(crate) const INCOME: usize = 3;
pub(crate) const DEBT: usize = 4;
pub(crate) const NOTE: usize = 5;
pub(crate) const NAME: usize = 6;
pub(crate) const MONTHS: usize = 7;
pub(crate) const STREET: usize = 8;
pub(crate) const MARRIED: usize = 9;

pub(crate) fn column(name: &str, kind: Kind, usages: &[Usage]) -> ColumnFacts {
    ColumnFacts {
        name: name.into(),
        kind,
        class: ColumnClass::Attribute,
        usages: usages.iter().copied().collect::<BTreeSet<_>>(),
        bounds: None,
        values: None,
        nullable: false,
    }
}

pub(crate) fn texts(values: &[&str]) -> Vec<Literal> {
    values.iter().map(|v| Literal::Text((*v).into())).collect()
}

fn identifier(name: &str, usages: &[Usage]) -> ColumnFacts {
    ColumnFacts { class: ColumnClass::DirectIdentifier, ..column(name, Kind::Text, usages) }
}

/// One row per natural person.
pub(crate) fn residents() -> Scan {
    use Usage::*;
    let bounds = |lo, hi| Interval::new(lo, hi);
    Scan {
        dataset: "residents".into(),
        release: ReleaseClass::Personal,
        unit_kind: UnitKind::NaturalPerson,
        unit: Some(ID),
        most_rows: Some(1),
        most_groups: None,
        columns: vec![
            identifier("id_number", &[Join, Verify]),
            ColumnFacts {
                bounds: bounds(0.0, 120.0),
                ..column("age", Kind::Int, &[Filter, Group, Feature, Aggregate])
            },
            ColumnFacts {
                values: Some(texts(&["昆明", "曲靖", "大理"])),
                ..column("city", Kind::Text, &[Filter, Group])
            },
            ColumnFacts {
                bounds: bounds(0.0, 100_000.0),
                nullable: true,
                ..column("income", Kind::Float, &[Filter, Feature, Aggregate])
            },
            column("debt", Kind::Float, &[Aggregate]),
            column("note", Kind::Text, &[Filter]),
            identifier("name", &[Verify]),
            ColumnFacts { bounds: bounds(0.0, 600.0), ..column("months", Kind::Int, &[Feature]) },
            column("street", Kind::Text, &[Group]),
            column("married", Kind::Bool, &[Group, Aggregate, Verify]),
        ],
    }
}

/// Twelve rows per natural person.
pub(crate) fn power() -> Scan {
    use Usage::*;
    Scan {
        dataset: "power".into(),
        most_rows: Some(12),
        columns: vec![
            identifier("id_number", &[Join]),
            ColumnFacts { bounds: Interval::new(1.0, 12.0), ..column("month", Kind::Int, &[Group, Filter]) },
            ColumnFacts { bounds: Interval::new(0.0, 1_000.0), ..column("kwh", Kind::Float, &[Aggregate, Feature]) },
        ],
        ..residents()
    }
}

/// An open table with one row per city.
pub(crate) fn cities() -> Scan {
    use Usage::*;
    Scan {
        dataset: "cities".into(),
        release: ReleaseClass::Open,
        unit_kind: UnitKind::None,
        unit: Some(0),
        most_rows: Some(1),
        most_groups: None,
        columns: vec![
            column("city", Kind::Text, &[Join, Filter, Group]),
            ColumnFacts {
                values: Some(texts(&["滇中", "滇西"])), ..column("region", Kind::Text, &[Filter, Group])
            },
        ],
    }
}

pub(crate) fn col(at: usize) -> Expression {
    Expression::Column(at)
}

pub(crate) fn int(i: i64) -> Expression {
    Expression::Literal(Literal::Int(i))
}

pub(crate) fn text(s: &str) -> Expression {
    Expression::Literal(Literal::Text(s.into()))
}

pub(crate) fn binary(operator: BinaryOperator, left: Expression, right: Expression) -> Expression {
    Expression::Binary { operator, left: Box::new(left), right: Box::new(right) }
}

pub(crate) fn equal(left: Expression, right: Expression) -> Expression {
    binary(BinaryOperator::Equal, left, right)
}

pub(crate) fn call(function: Function, arguments: Vec<Expression>) -> Expression {
    Expression::Call { function, arguments }
}

pub(crate) fn model(arguments: Vec<Expression>) -> Expression {
    let output = Interval::new(0.0, 1.0).unwrap();
    Expression::Model { model: "credit-risk@1.0.0".into(), arguments, output, nullable: false }
}

/// `CASE WHEN condition THEN 'yes' ELSE 'no' END`
pub(crate) fn yes_no(condition: Expression) -> Expression {
    Expression::Case { branches: vec![(condition, text("yes"))], otherwise: Some(Box::new(text("no"))) }
}

pub(crate) fn filter(input: Relation, predicate: Expression) -> Relation {
    Relation::Filter { input: Box::new(input), predicate }
}

pub(crate) fn project(input: Relation, outputs: Vec<Expression>) -> Relation {
    Relation::Project { input: Box::new(input), outputs }
}

pub(crate) fn join(left: Relation, right: Relation, on: Vec<(Expression, Expression)>) -> Relation {
    Relation::Join { kind: JoinKind::Inner, left: Box::new(left), right: Box::new(right), on, filter: None }
}

pub(crate) fn aggregate(text: &str, function: AggregateFunction, arguments: Vec<Expression>) -> Aggregate {
    Aggregate { text: text.into(), function, arguments }
}

pub(crate) fn count() -> Aggregate {
    aggregate("count(*)", AggregateFunction::Count, vec![])
}

pub(crate) fn sum(name: &str, x: Expression) -> Aggregate {
    aggregate(&format!("sum({name})"), AggregateFunction::Sum, vec![x])
}

pub(crate) fn avg(name: &str, x: Expression) -> Aggregate {
    aggregate(&format!("avg({name})"), AggregateFunction::Avg, vec![x])
}

pub(crate) fn units(at: usize) -> Aggregate {
    aggregate("count(distinct id_number)", AggregateFunction::CountDistinct, vec![col(at)])
}

pub(crate) fn key(text: &str, expression: Expression) -> GroupKey {
    GroupKey { text: text.into(), expression }
}

pub(crate) fn demand(epsilon: f64) -> Option<PrivacyDemand> {
    Some(PrivacyDemand { epsilon, max_groups: None, max_rows: None })
}

pub(crate) fn plan(input: Relation, keys: Vec<GroupKey>, aggregates: Vec<Aggregate>) -> PlanFacts {
    PlanFacts { leaves: vec![Leaf { input, keys, aggregates }], demand: demand(0.5) }
}

/// The clearance of a plan that must be allowed.
pub(crate) fn allowed(facts: &PlanFacts) -> Clearance {
    clear(facts, &RuleSet::default()).unwrap_or_else(|refused| panic!("refused: {refused}"))
}

/// The codes of a plan that must be refused.
pub(crate) fn refused(facts: &PlanFacts) -> Vec<&'static str> {
    clear(facts, &RuleSet::default()).expect_err("must be refused").codes()
}
