//! The rows of a private leaf, ready to be summed up.

use super::guard::{guard_plan, to_float};
use super::leaves::unit_columns;
use crate::bound::{Bounds, Shape, Slot};
use crate::functions::{Bar, Code, Grid, RowModel, UnitModel, sum128};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, Result};
use datafusion::functions::math::expr_fn::isnan;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, Union, col,
    is_null, lit, when,
};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
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

/// The rows of a leaf, as [`crate::bound`] sums them up: keys, the unit where it is needed, and what each row adds.
pub(crate) fn contributions(leaf: &PrivateLeaf, clearance: &LeafClearance) -> Result<(LogicalPlan, Shape)> {
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
    input = call_models_once(input, &mut keys, &mut arguments)?;
    let count = keys.len();
    let bounded = unit.is_some();
    let mut outputs: Vec<Expr> =
        keys.into_iter().enumerate().map(|(i, k)| k.unalias().alias(format!("k{i}"))).collect();
    outputs.extend(unit.map(|u| u.alias(UNIT)));
    let width = outputs.len();
    let mut used: Vec<(usize, usize)> = clearance.measures().iter().filter_map(Measure::argument).collect();
    used.sort_unstable();
    used.dedup();
    for (aggregate, at) in &used {
        let argument = arguments.get(*aggregate).and_then(|a| a.get(*at)).cloned();
        let argument = argument.ok_or_else(|| internal("a measure without its argument"))?;
        outputs.push(argument.unalias().alias(argument_name(*aggregate, *at)));
    }
    if outputs.is_empty() {
        outputs.push(lit(1i64).alias("yunei_row"));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(input))?);
    // First the engine's own casts, then guards around them: no cast that can fail may be put in later.
    let plan = TypeCoercion::new().analyze(plan, &ConfigOptions::default())?;
    let plan = guard_plan(plan)?;
    let columns = plan.schema().iter().take(width).map(|(q, f)| {
        let column = Expr::Column(Column::from((q, f)));
        // What is no number has no group of its own.
        let column = match f.data_type() {
            DataType::Float32 | DataType::Float64 => known_number(column)?,
            _ => column,
        };
        Ok(column.alias(f.name()))
    });
    let columns = columns.collect::<Result<Vec<Expr>>>()?;
    finish(plan, columns, count, bounded, clearance)
}

/// The number, or NULL where it is none.
pub(super) fn known_number(column: Expr) -> Result<Expr> {
    when(isnan(column.clone()).is_not_true(), column).end()
}

/// Puts what each measure needs beside the first columns.
fn finish(
    plan: LogicalPlan,
    mut outputs: Vec<Expr>,
    keys: usize,
    bounded: bool,
    clearance: &LeafClearance,
) -> Result<(LogicalPlan, Shape)> {
    let mut slots = Vec::new();
    for measure in clearance.measures() {
        if matches!(measure.kind(), MeasureKind::Bar { at, .. } if at > 0) {
            continue;
        }
        let value = contribution(measure)?;
        let column = outputs.len();
        slots.push(match measure.kind() {
            MeasureKind::Rows if value.is_none() => Slot::Rows,
            MeasureKind::Units if value.is_none() => Slot::Units,
            MeasureKind::Units => Slot::UnitsWhere(column),
            MeasureKind::Bar { of, .. } => Slot::Bars { column, of: of as usize },
            MeasureKind::Rows | MeasureKind::Sum | MeasureKind::SumOfSquares => Slot::Sum(column),
        });
        outputs.extend(value.map(|v| v.alias(format!("c{column}"))));
    }
    if outputs.is_empty() {
        outputs.push(lit(1i64).alias("yunei_row"));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(plan))?);
    let bounds = clearance.bounding().filter(|_| bounded).map(|bounding| Bounds {
        max_groups: bounding.max_groups(),
        max_rows: bounding.max_rows_per_group(),
        per_group: clearance.measures().iter().map(Measure::per_group).collect(),
    });
    Ok((plan, Shape { keys, slots, bounds }))
}

pub(super) fn key(at: usize) -> String {
    format!("k{at}")
}

pub(super) fn sum(expr: Expr) -> Expr {
    sum128().call(vec![expr])
}

/// `plan` grouped, its aggregates under the names that they are given.
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

fn internal(what: &str) -> DataFusionError {
    DataFusionError::Internal(what.to_owned())
}

fn argument_name(aggregate: usize, at: usize) -> String {
    format!("yunei_argument_{aggregate}_{at}")
}

/// What a row adds to a measure; nothing where the measure counts rows or units.
fn contribution(measure: &Measure) -> Result<Option<Expr>> {
    let Some((aggregate, at)) = measure.argument() else {
        return match measure.kind() {
            MeasureKind::Rows | MeasureKind::Units => Ok(None),
            _ => Err(internal("a sum without an argument")),
        };
    };
    let argument = col(argument_name(aggregate, at));
    Ok(Some(match measure.kind() {
        MeasureKind::Rows | MeasureKind::Units => when(is_null(argument), lit(0i64)).otherwise(lit(1i64))?,
        MeasureKind::Sum | MeasureKind::SumOfSquares => {
            let squared = measure.kind() == MeasureKind::SumOfSquares;
            let grid = Grid::udf(measure.lo(), measure.hi(), measure.offset(), measure.scale(), squared);
            grid.call(vec![to_float(argument)])
        }
        MeasureKind::Bar { of, .. } => Bar::udf(measure.lo(), measure.hi(), of).call(vec![to_float(argument)]),
    }))
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
        LogicalPlan::Join(join) => carry_through_join(join),
        LogicalPlan::Union(union) => {
            let mut inputs = Vec::with_capacity(union.inputs.len());
            for input in union.inputs {
                let (input, unit) = carry_unit(Arc::unwrap_or_clone(input))?;
                let columns = input.schema().iter().map(|(q, f)| Expr::Column(Column::from((q, f))));
                let columns = columns.take(union.schema.fields().len()).chain([unit.alias(UNIT)]).collect::<Vec<_>>();
                inputs.push(Arc::new(LogicalPlanBuilder::from(input).project(columns)?.build()?));
            }
            let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
            Ok((plan, col(UNIT)))
        }
        _ => Err(internal("a private plan without its unit")),
    }
}

/// The unit of a join's rows is that of the side whose rows are all kept with their own unit.
fn carry_through_join(join: Join) -> Result<(LogicalPlan, Expr)> {
    use super::leaves::{Rows, rows_of};
    use datafusion::logical_expr::JoinType;
    let Join { left, right, on, filter, join_type, join_constraint, null_equality, null_aware, .. } = join;
    let from_left = match join_type {
        JoinType::Inner => rows_of(&left) == Rows::Raw,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => true,
        JoinType::Right => false,
        _ => return Err(internal("a join that keeps no unit")),
    };
    let (left, right, unit) = if from_left {
        let (left, unit) = carry_unit(Arc::unwrap_or_clone(left))?;
        (Arc::new(left), right, unit)
    } else {
        let (right, unit) = carry_unit(Arc::unwrap_or_clone(right))?;
        (left, Arc::new(right), unit)
    };
    let join = Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)?;
    Ok((LogicalPlan::Join(join), unit))
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
