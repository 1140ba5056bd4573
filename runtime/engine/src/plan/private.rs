//! The bounded plan of a private leaf: rows → a unit's contribution per group → exact sums per cell.
//!
//! Shape of the result: one column per key (`k0…`), then one `Decimal128(38, 0)` column per measure (`m0…`).

use super::guard::{guard, guard_plan, to_float};
use super::leaves::unit_columns;
use crate::functions::{Code, Grid, Limit, Pick, RowModel, UnitModel, sum128};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, cast,
    col, is_null, lit, when,
};
use std::collections::HashMap;
use std::sync::Arc;
use yunei_policy::clear::{LeafClearance, Measure, MeasureKind};
use yunei_policy::facts::Literal;

/// A leaf of a cleared plan.
pub(crate) struct PrivateLeaf {
    /// The aggregate as the author wrote it, parameters bound.
    pub(crate) node: Aggregate,
    /// The declared domains of text columns, by table and column: the codes that models get.
    pub(crate) domains: Domains,
}

/// Declared text domains by (table, column).
pub(crate) type Domains = HashMap<(String, String), Vec<String>>;

/// The unit in the plans of leaves.
pub(crate) const UNIT: &str = "yunei_unit";

/// The plan whose rows are a leaf's cells. `pick_seed` decides which groups a unit keeps where it may not keep all.
pub(crate) fn measure_plan(leaf: &PrivateLeaf, clearance: &LeafClearance, pick_seed: u64) -> Result<LogicalPlan> {
    let rows = Contributions::build(leaf, clearance)?;
    match clearance.bounding() {
        None => rows.sum_rows(clearance),
        Some(bounding) => {
            let per_unit = rows.sum_units(clearance)?;
            let kept = match bounding.max_groups() {
                None => per_unit,
                Some(most) => keep_groups(per_unit, rows.keys, most, pick_seed)?,
            };
            sum_kept(kept, rows.keys, clearance)
        }
    }
}

/// One row per private row: keys, the unit where it is needed, and what the row adds to each measure.
struct Contributions {
    plan: LogicalPlan,
    keys: usize,
}

impl Contributions {
    fn build(leaf: &PrivateLeaf, clearance: &LeafClearance) -> Result<Self> {
        let mut input = encode_texts(leaf.node.input.as_ref().clone(), &leaf.domains)?;
        let mut keys: Vec<Expr> = leaf.node.group_expr.clone();
        let mut arguments = arguments_of(&leaf.node)?;
        let mut unit = None;
        if clearance.bounding().is_some() {
            let (carried, expr) = carry_unit(input)?;
            input = carried;
            unit = Some(expr);
        }
        for expr in keys.iter_mut().chain(arguments.iter_mut().flatten()) {
            *expr = encode_text(std::mem::take(expr), &domains_of(&input, &leaf.domains))?;
        }
        let mut input = guard_plan(input)?;
        let schema = input.schema().as_ref().clone();
        for expr in keys.iter_mut().chain(arguments.iter_mut().flatten()) {
            *expr = guard(std::mem::take(expr), &schema)?.data;
        }
        input = call_models_once(input, &mut keys, &mut arguments)?;
        let mut outputs: Vec<Expr> = keys.into_iter().enumerate().map(|(i, k)| k.unalias().alias(key(i))).collect();
        let count = outputs.len();
        outputs.extend(unit.map(|u| u.alias(UNIT)));
        for (i, measure) in clearance.measures().iter().enumerate() {
            if let Some(value) = contribution(measure, &arguments)? {
                outputs.push(value.alias(format!("c{i}")));
            }
        }
        if outputs.is_empty() {
            outputs.push(lit(1i64).alias("yunei_row"));
        }
        let plan = LogicalPlanBuilder::from(input).project(outputs)?.build()?;
        Ok(Self { plan, keys: count })
    }

    /// Where every unit has at most one row: straight to the cells.
    fn sum_rows(self, clearance: &LeafClearance) -> Result<LogicalPlan> {
        let sums = sums(clearance.measures(), |m| matches!(m.kind(), MeasureKind::Units));
        group(self.plan, (0..self.keys).map(|i| col(key(i))).collect(), sums)
    }

    /// One row per unit and group.
    fn sum_units(&self, clearance: &LeafClearance) -> Result<LogicalPlan> {
        let keys = (0..self.keys).map(|i| col(key(i))).chain([col(UNIT)]).collect();
        group(self.plan.clone(), keys, sums(clearance.measures(), |_| false))
    }
}

pub(super) fn key(at: usize) -> String {
    format!("k{at}")
}

pub(super) fn sum(expr: Expr) -> Expr {
    sum128().call(vec![expr])
}

/// The sum of each measure over rows. Units are counted as rows where `units_are_rows`, else left for later.
fn sums(measures: &[Measure], units_are_rows: impl Fn(&Measure) -> bool) -> Vec<Expr> {
    measures
        .iter()
        .enumerate()
        .filter_map(|(i, m)| match (m.kind(), m.argument()) {
            (MeasureKind::Units, _) => units_are_rows(m).then(|| count(lit(1i64)).alias(format!("m{i}"))),
            (MeasureKind::Rows, None) => Some(count(lit(1i64)).alias(format!("m{i}"))),
            _ => Some(sum(col(format!("c{i}"))).alias(format!("m{i}"))),
        })
        .collect()
}

pub(super) fn group(plan: LogicalPlan, keys: Vec<Expr>, mut aggregates: Vec<Expr>) -> Result<LogicalPlan> {
    if aggregates.is_empty() {
        aggregates.push(count(lit(1i64)).alias("yunei_rows"));
    }
    let (calls, names): (Vec<Expr>, Vec<String>) =
        aggregates.into_iter().map(|a| (a.clone().unalias(), a.schema_name().to_string())).unzip();
    let grouped = LogicalPlanBuilder::from(plan).aggregate(keys.clone(), calls.clone())?;
    let outputs = keys
        .into_iter()
        .chain(
            calls
                .iter()
                .zip(names)
                .map(|(call, name)| col(Column::from_name(call.schema_name().to_string())).alias(name)),
        )
        .collect::<Vec<_>>();
    grouped.project(outputs)?.build()
}

/// Keeps at most `most` groups of each unit, those with the least keyed hash.
fn keep_groups(plan: LogicalPlan, keys: usize, most: u32, seed: u64) -> Result<LogicalPlan> {
    let names: Vec<Expr> = plan.schema().fields().iter().map(|f| col(Column::from_name(f.name()))).collect();
    let pick = Pick::udf(seed).call([col(UNIT)].into_iter().chain((0..keys).map(|i| col(key(i)))).collect());
    let hashed = LogicalPlanBuilder::from(plan).project(names.iter().cloned().chain([pick.alias("yunei_pick")]))?;
    let rank =
        row_number().partition_by(vec![col(UNIT)]).order_by(vec![col("yunei_pick").sort(true, false)]).build()?;
    hashed
        .window(vec![rank.alias("yunei_rank")])?
        .filter(col("yunei_rank").lt_eq(lit(u64::from(most))))?
        .project(names)?
        .build()
}

/// Cells from units: each unit's contribution moved into its limits, then summed.
fn sum_kept(plan: LogicalPlan, keys: usize, clearance: &LeafClearance) -> Result<LogicalPlan> {
    let mut outputs: Vec<Expr> = (0..keys).map(|i| col(key(i))).collect();
    for (i, measure) in clearance.measures().iter().enumerate() {
        if measure.kind() == MeasureKind::Units {
            continue;
        }
        let (lo, hi) = measure.per_group();
        let sum = cast(col(format!("m{i}")), DataType::Decimal128(38, 0));
        outputs.push(Limit::udf(lo, hi).call(vec![sum]).alias(format!("c{i}")));
    }
    if outputs.is_empty() {
        outputs.push(lit(1i64).alias("yunei_row"));
    }
    let limited = LogicalPlanBuilder::from(plan).project(outputs)?.build()?;
    let aggregates = clearance
        .measures()
        .iter()
        .enumerate()
        .map(|(i, m)| match m.kind() {
            MeasureKind::Units => count(lit(1i64)).alias(format!("m{i}")),
            _ => sum(col(format!("c{i}"))).alias(format!("m{i}")),
        })
        .collect();
    group(limited, (0..keys).map(|i| col(key(i))).collect(), aggregates)
}

/// What a row adds to a measure; nothing where the measure counts rows or units.
fn contribution(measure: &Measure, arguments: &[Vec<Expr>]) -> Result<Option<Expr>> {
    let argument = match measure.argument() {
        None => None,
        Some((aggregate, argument)) => Some(
            arguments
                .get(aggregate)
                .and_then(|a| a.get(argument))
                .cloned()
                .ok_or_else(|| DataFusionError::Internal("a measure without its argument".to_owned()))?,
        ),
    };
    Ok(match (measure.kind(), argument) {
        (MeasureKind::Units, _) | (MeasureKind::Rows, None) => None,
        (MeasureKind::Rows, Some(argument)) => Some(when(is_null(argument), lit(0i64)).otherwise(lit(1i64))?),
        (MeasureKind::Sum | MeasureKind::SumOfSquares, Some(argument)) => {
            let squared = measure.kind() == MeasureKind::SumOfSquares;
            let grid = Grid::udf(measure.lo(), measure.hi(), measure.offset(), measure.scale(), squared);
            Some(grid.call(vec![to_float(argument)]))
        }
        (MeasureKind::Sum | MeasureKind::SumOfSquares, None) => {
            return Err(DataFusionError::Internal("a sum without an argument".to_owned()));
        }
    })
}

pub(super) fn arguments_of(node: &Aggregate) -> Result<Vec<Vec<Expr>>> {
    node.aggr_expr
        .iter()
        .map(|expr| match expr.clone().unalias() {
            Expr::AggregateFunction(call) => Ok(call.params.args),
            _ => Err(DataFusionError::Internal("a leaf with something else than aggregates".to_owned())),
        })
        .collect()
}

/// Makes sure that the unit column is among a plan's columns, and names it.
pub(super) fn carry_unit(plan: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
    if let Some(at) = unit_columns(&plan).first() {
        let column = Expr::Column(Column::from(plan.schema().qualified_field(*at)));
        return Ok((plan, column));
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let (input, unit) = carry_unit(Arc::unwrap_or_clone(projection.input))?;
            let outputs = projection.expr.into_iter().chain([unit.alias(UNIT)]).collect();
            let plan = LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(input))?);
            Ok((plan, col(UNIT)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, unit) = carry_unit(Arc::unwrap_or_clone(alias.input))?;
            let at = input.schema().index_of_column(&column_of(&unit)?)?;
            let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?);
            let column = Expr::Column(Column::from(plan.schema().qualified_field(at)));
            Ok((plan, column))
        }
        LogicalPlan::Filter(filter) => {
            let (input, unit) = carry_unit(Arc::unwrap_or_clone(filter.input))?;
            Ok((LogicalPlanBuilder::from(input).filter(filter.predicate)?.build()?, unit))
        }
        _ => Err(DataFusionError::Internal("a private plan without its unit".to_owned())),
    }
}

fn column_of(expr: &Expr) -> Result<Column> {
    match expr {
        Expr::Column(column) => Ok(column.clone()),
        _ => Err(DataFusionError::Internal("a unit that is no column".to_owned())),
    }
}

/// Each model call of keys and arguments becomes a column computed once per row.
pub(super) fn call_models_once(
    input: LogicalPlan,
    keys: &mut [Expr],
    arguments: &mut [Vec<Expr>],
) -> Result<LogicalPlan> {
    let mut calls: Vec<Expr> = Vec::new();
    for expr in keys.iter_mut().chain(arguments.iter_mut().flatten()) {
        let replaced = std::mem::take(expr).transform_down(|e| match &e {
            Expr::ScalarFunction(call) if RowModel::of(&call.func).is_some() => {
                let at = calls.iter().position(|c| *c == e).unwrap_or_else(|| {
                    calls.push(e.clone());
                    calls.len() - 1
                });
                Ok(Transformed::new(
                    col(format!("yunei_call{at}")),
                    true,
                    datafusion::common::tree_node::TreeNodeRecursion::Jump,
                ))
            }
            _ => Ok(Transformed::no(e)),
        })?;
        *expr = replaced.data;
    }
    if calls.is_empty() {
        return Ok(input);
    }
    let columns = input.schema().iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect::<Vec<_>>();
    let calls = calls.into_iter().enumerate().map(|(i, c)| c.alias(format!("yunei_call{i}")));
    LogicalPlanBuilder::from(input).project(columns.into_iter().chain(calls))?.build()
}

/// The text domains of a plan's columns, by flat name.
pub(super) fn domains_of(plan: &LogicalPlan, domains: &Domains) -> HashMap<Column, Vec<String>> {
    let mut found = HashMap::new();
    for (at, (qualifier, field)) in plan.schema().iter().enumerate() {
        if let Some(values) = super::leaves::origin(plan, at).and_then(|origin| domains.get(&origin)) {
            found.insert(Column::from((qualifier, field)), values.clone());
        }
    }
    found
}

pub(super) fn encode_texts(plan: LogicalPlan, domains: &Domains) -> Result<LogicalPlan> {
    let encoded = plan.transform_up(|node| {
        let mut known = HashMap::new();
        for input in node.inputs() {
            known.extend(domains_of(input, domains));
        }
        let names = datafusion::logical_expr::expr_rewriter::NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let encoded = encode_text(expr, &known)?;
            Ok(Transformed::yes(name.restore(encoded)))
        })
    })?;
    Ok(encoded.data)
}

/// Texts that enter a model become the codes of their declared domain.
pub(super) fn encode_text(expr: Expr, domains: &HashMap<Column, Vec<String>>) -> Result<Expr> {
    let encode = |args: Vec<Expr>| -> Vec<Expr> {
        args.into_iter()
            .map(|arg| match &arg {
                Expr::Column(column) => match domains.get(column) {
                    Some(values) => Code::udf(values.clone()).call(vec![arg]),
                    None => arg,
                },
                _ => arg,
            })
            .collect()
    };
    let encoded = expr.transform_up(|e| match e {
        Expr::ScalarFunction(call) if RowModel::of(&call.func).is_some() => {
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { args: encode(call.args), func: call.func })))
        }
        Expr::AggregateFunction(mut call) if UnitModel::of(&call.func).is_some() => {
            call.params.args = encode(call.params.args);
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(encoded.data)
}

/// The text domains declared for a dataset.
pub(crate) fn text_domains(scan: &yunei_policy::facts::Scan, domains: &mut Domains) {
    for column in &scan.columns {
        let Some(values) = &column.values else { continue };
        let texts: Option<Vec<String>> = values
            .iter()
            .map(|v| match v {
                Literal::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        if let Some(texts) = texts {
            domains.insert((scan.dataset.clone(), column.name.clone()), texts);
        }
    }
}

/// Refuses text features that have no code: anything but a column with a declared domain.
pub(super) fn texts_without_code(plan: &LogicalPlan, node: &Aggregate, domains: &Domains) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut look = |expr: &Expr, schema: &DFSchema, known: &HashMap<Column, Vec<String>>| {
        expr.apply(|e| {
            let args = match e {
                Expr::ScalarFunction(call) if RowModel::of(&call.func).is_some() => &call.args,
                Expr::AggregateFunction(call) if UnitModel::of(&call.func).is_some() => &call.params.args,
                _ => return Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue),
            };
            for arg in args {
                let coded = matches!(arg, Expr::Column(c) if known.contains_key(c));
                let text = matches!(arg.get_type(schema)?, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
                if text && !coded {
                    found.push(super::relation::text_of(arg));
                }
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
    };
    for expr in node.group_expr.iter().chain(&node.aggr_expr) {
        look(expr, plan.schema(), &domains_of(plan, domains))?;
    }
    plan.apply(|inner| {
        let mut known = HashMap::new();
        let mut schema = DFSchema::empty();
        for input in inner.inputs() {
            known.extend(domains_of(input, domains));
            schema.merge(input.schema());
        }
        for expr in inner.expressions() {
            look(&expr, &schema, &known)?;
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
