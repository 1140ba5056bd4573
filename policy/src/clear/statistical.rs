//! Leaves of the class `statistical`: which exact numbers are computed, and what may be asked at all.
//!
//! Disclosure control looks at which units stand in which cell ([`crate::statistical`]). That only says something where a
//! cell's numbers are made of its units alone, so that an aggregate here takes a column, or a column scaled by constants:
//! `SUM(CASE WHEN … THEN x END)`, a model's score or `clamp(x, 0, limit)` would choose units inside the number, where no
//! rule sees it. Conditions belong into WHERE and GROUP BY.

use super::KeyDomain;
use super::relation::{Rows, Walk};
use super::{ExpectedError, HalfWidth, LeafClearance};
use crate::accounting::Charge;
use crate::facts::{Aggregate, AggregateFunction, BinaryOperator, Expression, JoinKind, Kind, Leaf, Relation};
use crate::refusal::Refusal;
use crate::rules::StatisticalRules;
use crate::statistical::MAX_ENTRIES;
use crate::words::ReleaseClass;
use std::rc::Rc;

/// What a leaf of the class `statistical` computes exactly, and how its aggregates follow.
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticalLeaf {
    pub(crate) variables: Vec<Variable>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) sensitive: Vec<bool>,
}

impl StatisticalLeaf {
    /// The sums per unit and cell, besides the number of rows.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }
}

/// A sum that a leaf of the class `statistical` needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    pub(crate) counts: bool,
    pub(crate) argument: (usize, usize),
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    pub(crate) scale: i32,
}

impl Variable {
    /// Whether it counts the rows where the argument is not NULL, instead of summing the argument.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// The position of an aggregate of the leaf and of the argument in it that is meant.
    pub fn argument(&self) -> (usize, usize) {
        self.argument
    }

    /// A row's value is clamped to `[lo, hi]` first: the promise of the catalogue.
    pub fn lo(&self) -> f64 {
        self.lo
    }

    /// A row's value is clamped to `[lo, hi]` first.
    pub fn hi(&self) -> f64 {
        self.hi
    }

    /// Sums are whole numbers of steps of 2^-scale.
    pub fn scale(&self) -> i32 {
        self.scale
    }
}

/// How an aggregate follows from rows, units and variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Rows,
    Units,
    Variable(usize),
    /// A sum over a number of rows: a variable, or all rows.
    Mean(usize, Option<usize>),
}

/// Looks at a leaf's aggregates; what is against them goes to the walk's reasons. Their arguments' bounds and usages are
/// checked by the caller, as in every class.
pub(super) fn plan(walk: &mut Walk, rows: &Rows, leaf: &Leaf, keys: &[KeyDomain]) -> StatisticalLeaf {
    let mut plan = StatisticalLeaf { variables: Vec::new(), outputs: Vec::new(), sensitive: Vec::new() };
    for (at, aggregate) in leaf.aggregates.iter().enumerate() {
        if aggregate.arguments.iter().any(|x| !rows.is_unit_column(x) && !is_plain(&leaf.input, x)) {
            walk.reasons.push(not_plain(aggregate));
        }
        let output = plan.output(walk, rows, &leaf.aggregates, at);
        plan.outputs.push(output);
    }
    if rows.unit_column().is_none() {
        walk.reasons.push(
            Refusal::new("unit/lost", "内层查询须保留数据主体列", "the unit column must stay in the inner query")
                .hint("在子查询的 SELECT 中保留主体列", "keep the unit column in the SELECT of the subquery"),
        );
    }
    check_joins(walk, &leaf.input);
    check_grid(walk, keys);
    plan.sensitive = leaf
        .keys
        .iter()
        .map(|key| {
            let of = rows.origins(&key.expression);
            of.iter().any(|(id, _)| walk.sources.get(*id as usize).is_some_and(|s| s.sensitive))
        })
        .collect();
    plan
}

impl StatisticalLeaf {
    fn output(&mut self, walk: &mut Walk, rows: &Rows, aggregates: &[Aggregate], at: usize) -> Output {
        use AggregateFunction as F;
        let aggregate = &aggregates[at];
        match (&aggregate.function, aggregate.arguments.first()) {
            (F::Count, None) => Output::Rows,
            (F::Count, Some(x)) => self.rows_of(rows, aggregates, at, x).map_or(Output::Rows, Output::Variable),
            (F::CountDistinct, x) => {
                // `COUNT(DISTINCT unit) FILTER (…)` would choose units inside the number.
                if x.is_some_and(|x| rows.unit_where(x).is_some()) {
                    walk.reasons.push(not_plain(aggregate));
                }
                Output::Units
            }
            (F::Sum, Some(x)) => self.sum(walk, rows, aggregates, at, x).map_or(Output::Rows, Output::Variable),
            (F::Avg, Some(x)) => {
                let counted = self.rows_of(rows, aggregates, at, x);
                self.sum(walk, rows, aggregates, at, x).map_or(Output::Rows, |sum| Output::Mean(sum, counted))
            }
            (F::Variance | F::VariancePop | F::Stddev | F::StddevPop | F::Quantile { .. }, _) => {
                walk.reasons.push(no_spread(aggregate));
                Output::Rows
            }
            // Refused already, as in every class.
            (F::Sum | F::Avg | F::Min | F::Max | F::UnitModel { .. }, _) => Output::Rows,
        }
    }

    fn add(&mut self, variable: Variable) -> usize {
        self.variables.iter().position(|v| *v == variable).unwrap_or_else(|| {
            self.variables.push(variable);
            self.variables.len() - 1
        })
    }

    /// The rows where `x` is not NULL; nothing where that is all of them.
    fn rows_of(&mut self, rows: &Rows, aggregates: &[Aggregate], at: usize, x: &Expression) -> Option<usize> {
        let argument = first_with(aggregates, at);
        let variable = Variable { counts: true, argument, lo: 0.0, hi: 1.0, scale: 0 };
        rows.evaluate(x).nullable.then(|| self.add(variable))
    }

    fn sum(
        &mut self,
        walk: &mut Walk,
        rows: &Rows,
        aggregates: &[Aggregate],
        at: usize,
        x: &Expression,
    ) -> Option<usize> {
        let value = rows.evaluate(x);
        let range = value.range.as_ref().ok()?;
        if range.lo() < 0.0 {
            walk.reasons.push(negative(&aggregates[at]));
            return None;
        }
        let whole = value.whole && matches!(value.kind, Kind::Int | Kind::Bool);
        let argument = first_with(aggregates, at);
        let scale = scale(range.hi(), whole);
        Some(self.add(Variable { counts: false, argument, lo: range.lo(), hi: range.hi(), scale }))
    }
}

fn first_with(aggregates: &[Aggregate], at: usize) -> (usize, usize) {
    let arguments = &aggregates[at].arguments;
    (aggregates.iter().position(|a| a.arguments == *arguments).unwrap_or(at), 0)
}

/// Whole numbers stay whole; others get twenty binary digits after the point, fewer where they are large.
#[allow(clippy::cast_possible_truncation, reason = "bounds are at most 1e100")]
fn scale(hi: f64, whole: bool) -> i32 {
    let bits = hi.max(1.0).log2().ceil() as i32;
    if whole { (52 - bits).min(0) } else { (40 - bits).min(20) }
}

/// Whether a value is a column of the data, or one scaled and shifted by constants: nothing in it chooses rows.
fn is_plain(relation: &Relation, value: &Expression) -> bool {
    use BinaryOperator as B;
    let constant = |x: &Expression| matches!(x, Expression::Literal(_) | Expression::Parameter { .. });
    match value {
        Expression::Literal(_) | Expression::Parameter { .. } => true,
        Expression::Column(at) => is_plain_column(relation, *at),
        Expression::Cast { value, to: Kind::Float | Kind::Int, rounds: false } => {
            is_plain(relation, value) && keeps(value)
        }
        Expression::Binary { operator: B::Multiply | B::Add | B::Subtract, left, right } => {
            (constant(left) && is_plain(relation, right)) || (constant(right) && is_plain(relation, left))
        }
        Expression::Binary { operator: B::Divide, left, right } => {
            matches!(right.as_ref(), Expression::Literal(_)) && is_plain(relation, left)
        }
        _ => false,
    }
}

/// Whether a cast of this value is one of width alone. Division makes a fraction, and a cast to whole numbers would then
/// choose the large ones.
fn keeps(value: &Expression) -> bool {
    matches!(value, Expression::Column(_) | Expression::Literal(_) | Expression::Cast { .. })
}

fn is_plain_column(relation: &Relation, at: usize) -> bool {
    use AggregateFunction as F;
    match relation {
        Relation::Scan(_) => true,
        // Refused under disclosure control (`statistical/union`).
        Relation::Union { .. } => false,
        Relation::Filter { input, .. } => is_plain_column(input, at),
        Relation::Project { input, outputs } => outputs.get(at).is_some_and(|x| is_plain(input, x)),
        Relation::Join { left, right, .. } => match width(left) {
            Some(width) if at >= width => is_plain_column(right, at - width),
            Some(_) => is_plain_column(left, at),
            None => false,
        },
        Relation::PerUnit { input, keys, aggregates } => {
            match (keys.get(at), aggregates.get(at - keys.len().min(at))) {
                (Some(key), _) => is_plain(input, key),
                (None, Some(aggregate)) => {
                    // The least or greatest of a unit's rows would choose rows; sets of units would not show it.
                    matches!(aggregate.function, F::Count | F::Sum | F::Avg)
                        && aggregate.arguments.iter().all(|x| is_plain(input, x))
                }
                (None, None) => false,
            }
        }
    }
}

fn width(relation: &Relation) -> Option<usize> {
    match relation {
        Relation::Scan(scan) => Some(scan.columns.len()),
        Relation::Filter { input, .. } => width(input),
        Relation::Project { outputs, .. } => Some(outputs.len()),
        Relation::Union { inputs } => width(inputs.first()?),
        Relation::Join { kind: JoinKind::Semi | JoinKind::Anti, left, .. } => width(left),
        Relation::Join { left, right, .. } => Some(width(left)? + width(right)?),
        Relation::PerUnit { keys, aggregates, .. } => Some(keys.len() + aggregates.len()),
    }
}

/// A join that multiplies rows would weigh units by what is on the other side; sets of units would not show it.
fn check_joins(walk: &mut Walk, relation: &Relation) {
    match relation {
        Relation::Scan(_) => {}
        Relation::Union { inputs } => inputs.iter().for_each(|input| check_joins(walk, input)),
        Relation::Filter { input, .. } | Relation::Project { input, .. } | Relation::PerUnit { input, .. } => {
            check_joins(walk, input);
        }
        Relation::Join { kind, left, right, .. } => {
            let mut aside = Walk::new(Rc::clone(walk.work()));
            let sides = [aside.rows(left), aside.rows(right)];
            let several = |s: &Rows| s.per_unit > 1;
            let private = sides.iter().all(|s| s.private.is_some());
            if private && *kind != JoinKind::Inner {
                walk.reasons.push(
                    Refusal::new(
                        "statistical/join-kind",
                        "统计类数据集之间只能用 INNER JOIN",
                        "datasets under disclosure control are put together by INNER JOIN only",
                    )
                    .at("JOIN")
                    .hint("请改写为按主体列的 INNER JOIN", "write INNER JOIN on the unit column"),
                );
            }
            if sides.iter().any(|s| several(s) && (private || s.private.is_none())) {
                walk.reasons.push(
                    Refusal::new(
                        "statistical/join",
                        "统计类数据集连接时，两侧每个主体（开放数据集每个键）都只能有一行",
                        "datasets under disclosure control are joined where each unit (of open data, each key) has one row",
                    )
                    .at("JOIN ON")
                    .hint("先按主体列聚合，再连接", "aggregate by the unit before joining"),
                );
            }
            check_joins(walk, left);
            check_joins(walk, right);
        }
    }
}

fn check_grid(walk: &mut Walk, keys: &[KeyDomain]) {
    let declared = |key: &KeyDomain| match key {
        KeyDomain::Declared(values) => Some(values.len() as u64),
        KeyDomain::Open => None,
    };
    let Some(sizes) = keys.iter().map(declared).collect::<Option<Vec<u64>>>() else { return };
    // As many rows as the first keys have values, as many columns as the last has, and the totals of both.
    let columns = sizes.last().copied().unwrap_or(1);
    let rows = sizes.iter().rev().skip(1).fold(1u64, |all, size| all.saturating_mul(*size));
    let entries = (rows.saturating_add(1)).saturating_mul(columns.saturating_add(1));
    if entries > MAX_ENTRIES as u64 && !walk.reasons.iter().any(|r| r.code() == "group/too-many-cells") {
        walk.reasons.push(
            Refusal::new(
                "group/too-many-cells",
                format!("受统计规则保护的表连同合计最多 {MAX_ENTRIES} 格"),
                format!("a table under disclosure control has at most {MAX_ENTRIES} cells, totals included"),
            )
            .at("GROUP BY")
            .hint("减少分组列，或合并为较宽的区间", "group by fewer keys, or by wider bands"),
        );
    }
}

fn not_plain(aggregate: &Aggregate) -> Refusal {
    Refusal::new(
        "statistical/argument",
        format!("统计类数据集的 {} 只能以列（或列乘除、加减常数）为参数", aggregate.text),
        format!("under disclosure control {} takes a column, or a column scaled by constants", aggregate.text),
    )
    .at(&aggregate.text)
    .hint(
        "请把条件写在 WHERE 或 GROUP BY 中；模型结果请分段后用于 GROUP BY",
        "put conditions into WHERE or GROUP BY; group by bands of a model's score",
    )
}

fn no_spread(aggregate: &Aggregate) -> Refusal {
    Refusal::new(
        "statistical/aggregate",
        format!("统计类数据集不提供 {}", aggregate.text),
        format!("{} is not available under disclosure control", aggregate.text),
    )
    .at(&aggregate.text)
    .hint("可用：COUNT、COUNT(DISTINCT 主体)、SUM、AVG", "available: COUNT, COUNT(DISTINCT unit), SUM, AVG")
}

fn negative(aggregate: &Aggregate) -> Refusal {
    Refusal::new(
        "statistical/negative",
        format!("{} 的取值不能为负：占比规则以非负数为前提", aggregate.text),
        format!("{} must not be negative: the rules on shares need that", aggregate.text),
    )
    .at(&aggregate.text)
    .hint("请数据提供单位把下界声明为不小于 0", "ask the holder to declare a lower bound of at least 0")
}

/// The clearance of a leaf.
pub(super) fn clearance(
    keys: Vec<KeyDomain>,
    unit: Option<usize>,
    rows_per_unit: u64,
    plan: StatisticalLeaf,
) -> LeafClearance {
    LeafClearance {
        class: ReleaseClass::Statistical,
        keys,
        unit,
        bounding: None,
        measures: Vec::new(),
        rows_per_unit,
        estimators: Vec::new(),
        threshold: None,
        charge: Charge::ZERO,
        statistical: Some(plan),
    }
}

/// Half the rounding base either way, for sure; a mean inherits that of its sum.
pub(super) fn expected(
    leaf: usize,
    aggregates: &[Aggregate],
    plan: &StatisticalLeaf,
    rules: &StatisticalRules,
) -> Vec<ExpectedError> {
    let half = f64::from(rules.rounding_base()) / 2.0;
    let each = aggregates.iter().zip(&plan.outputs).enumerate();
    each.map(|(aggregate, (facts, output))| {
        let half_width = match output {
            Output::Mean(..) => HalfWidth::OverRows(half),
            Output::Rows | Output::Units | Output::Variable(_) => HalfWidth::Absolute(half),
        };
        ExpectedError { leaf, aggregate, text: facts.text.clone(), half_width }
    })
    .collect()
}
