//! The plan of a leaf under disclosure control: one row per cell and unit, with its exact sums.
//!
//! Shape of the result: a column per key (`k0…`), `yunei_unit`, `yunei_rows`, then `m0…` for the variables and `r0…` for
//! those datasets whose units have several rows: the sum of the digests of the rows that are in the cell.

use super::guard::{guard, guard_plan, to_float};
use super::private::{
    PrivateLeaf, UNIT, arguments_of, call_models_once, carry_unit, domains_of, encode_text, encode_texts, group, key,
    known_number, sum,
};
use super::sql::dataset_of;
use crate::functions::{Grid, RowDigest};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, col, is_null, lit, when};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use std::sync::Arc;
use yunei_policy::clear::{LeafClearance, Variable};
use yunei_policy::words::ReleaseClass;

const ROW: &str = "yunei_row_";
/// How many rows of the unit are in the cell.
pub(crate) const ROWS: &str = "yunei_rows";

/// The plan, and what its digests are of.
pub(crate) struct UnitPlan {
    pub(crate) plan: LogicalPlan,
    /// The leaf's datasets in the order of their scans; where units have several rows, the number of their `r` column.
    pub(crate) datasets: Vec<(String, Option<usize>)>,
}

/// The plan of a leaf; `key` keys the digests of rows.
pub(crate) fn unit_plan(leaf: &PrivateLeaf, clearance: &LeafClearance, row_key: [u8; 32]) -> Result<UnitPlan> {
    let statistical = clearance.statistical().ok_or_else(|| internal("a leaf of another class"))?;
    let UnitPlan { plan, datasets } = digest_rows(leaf.node.input.as_ref().clone(), row_key)?;
    let mut input = encode_texts(plan, &leaf.domains)?;
    let mut keys: Vec<Expr> = leaf.node.group_expr.clone();
    let mut arguments = arguments_of(&leaf.node)?;
    let unit;
    (input, unit) = carry_unit(input)?;
    for expr in keys.iter_mut().chain(arguments.iter_mut().flatten()) {
        *expr = encode_text(std::mem::take(expr), &domains_of(&input, &leaf.domains))?;
    }
    let mut input = guard_plan(input)?;
    let schema = input.schema().as_ref().clone();
    for expr in keys.iter_mut().chain(arguments.iter_mut().flatten()) {
        *expr = guard(std::mem::take(expr), &schema)?.data;
    }
    input = call_models_once(input, &mut keys, &mut arguments)?;
    let count_of_keys = keys.len();
    let digests: Vec<Expr> = row_columns(&input);
    let mut outputs: Vec<Expr> = keys.into_iter().enumerate().map(|(i, k)| k.unalias().alias(key(i))).collect();
    outputs.push(unit.alias(UNIT));
    for (i, variable) in statistical.variables().iter().enumerate() {
        outputs.push(contribution(variable, &arguments)?.alias(format!("c{i}")));
    }
    let several = digests.len();
    outputs.extend(digests.into_iter().enumerate().map(|(i, d)| d.alias(format!("d{i}"))));
    let rows = LogicalPlanBuilder::from(input).project(outputs)?.build()?;
    // The engine's own casts now, guarded: none that can fail may be put in later.
    let rows = without_nan(guard_plan(TypeCoercion::new().analyze(rows, &ConfigOptions::default())?)?, count_of_keys)?;
    let by = (0..count_of_keys).map(|i| col(key(i))).chain([col(UNIT)]).collect();
    let mut sums = vec![count(lit(1i64)).alias(ROWS)];
    sums.extend((0..statistical.variables().len()).map(|i| sum(col(format!("c{i}"))).alias(format!("m{i}"))));
    sums.extend((0..several).map(|i| sum(col(format!("d{i}"))).alias(format!("r{i}"))));
    Ok(UnitPlan { plan: group(rows, by, sums)?, datasets })
}

/// What is no number has no group of its own: it would come beside that of NULL.
fn without_nan(rows: LogicalPlan, keys: usize) -> Result<LogicalPlan> {
    let outputs = rows.schema().iter().enumerate().map(|(at, (q, f))| {
        let column = Expr::Column(Column::from((q, f)));
        let float = at < keys && matches!(f.data_type(), DataType::Float32 | DataType::Float64);
        Ok(if float { known_number(column)?.alias(f.name()) } else { column })
    });
    let outputs = outputs.collect::<Result<Vec<Expr>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(rows))?))
}

fn internal(text: &str) -> DataFusionError {
    DataFusionError::Internal(text.to_owned())
}

fn contribution(variable: &Variable, arguments: &[Vec<Expr>]) -> Result<Expr> {
    let (aggregate, at) = variable.argument();
    let argument = arguments.get(aggregate).and_then(|a| a.get(at)).cloned();
    let argument = argument.ok_or_else(|| internal("a variable without its argument"))?;
    if variable.counts() {
        return when(is_null(argument), lit(0i64)).otherwise(lit(1i64));
    }
    Ok(Grid::udf(variable.lo(), variable.hi(), 0.0, variable.scale(), false).call(vec![to_float(argument)]))
}

/// Puts a digest of each row beside every protected scan whose units have several rows, and carries it up to the leaf.
fn digest_rows(plan: LogicalPlan, row_key: [u8; 32]) -> Result<UnitPlan> {
    let mut datasets = Vec::new();
    let mut several = 0;
    let digested = plan.transform_up(|node| match node {
        LogicalPlan::TableScan(ref scan) => {
            let Some(facts) = dataset_of(scan).filter(|f| f.release != ReleaseClass::Open) else {
                return Ok(Transformed::no(node));
            };
            if facts.most_rows == Some(1) {
                datasets.push((facts.dataset, None));
                return Ok(Transformed::no(node));
            }
            datasets.push((facts.dataset, Some(several)));
            let mut outputs = columns(&node);
            // All columns of the row, those that the plan does not use included: two rows are told apart by any of them.
            let digest = RowDigest::udf(row_key).call(outputs.clone());
            outputs.push(digest.alias(format!("{ROW}{several}")));
            several += 1;
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(node))?)))
        }
        LogicalPlan::Projection(projection) => {
            let carried: Vec<Expr> = row_columns(&projection.input);
            let outputs = projection.expr.into_iter().chain(carried).collect();
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(outputs, projection.input)?)))
        }
        LogicalPlan::Aggregate(node) => per_unit(node).map(Transformed::yes),
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    })?;
    Ok(UnitPlan { plan: digested.data, datasets })
}

/// An aggregate by unit below the leaf: the digests of the rows that it takes together add up.
fn per_unit(node: Aggregate) -> Result<LogicalPlan> {
    let carried = row_columns(&node.input);
    if carried.is_empty() {
        return LogicalPlan::Aggregate(node).recompute_schema();
    }
    let own = node.schema.iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect::<Vec<_>>();
    let sums: Vec<Expr> = carried.iter().map(|c| sum(c.clone())).collect();
    let names: Vec<String> = carried.iter().map(|c| c.schema_name().to_string()).collect();
    let aggregates = node.aggr_expr.into_iter().chain(sums.iter().cloned()).collect();
    let all = LogicalPlan::Aggregate(Aggregate::try_new(node.input, node.group_expr, aggregates)?);
    let summed = sums.iter().zip(names).map(|(s, name)| {
        let bare = name.rsplit('.').next().unwrap_or_default().to_owned();
        col(Column::from_name(s.schema_name().to_string())).alias(bare)
    });
    LogicalPlanBuilder::from(all).project(own.into_iter().chain(summed))?.build()
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect()
}

/// The digests of rows among a plan's columns.
fn row_columns(plan: &LogicalPlan) -> Vec<Expr> {
    let found = plan.schema().iter().filter(|(_, f)| f.name().starts_with(ROW));
    found.map(|(q, f)| Expr::Column(Column::from((q, f)))).collect()
}
