//! The second and the third look at a private leaf: at its optimised logical plan and at its physical plan.
//!
//! What was cleared is the plan as written. What runs has been rewritten by the query engine twice. Both results are looked at by
//! an exhaustive match, and what is not known to be harmless is a refusal, before anything is charged. Nothing is looked at
//! again afterwards: the plan that was checked is the plan that runs.

use super::functions::{is_unit_aggregate, row_function};
use super::intervals::adds_interval;
use super::leaves::unit_columns;
use super::private::{PrivateLeaf, UNIT, contributions};
use super::sql::dataset_of;
use super::statistical::unit_plan;
use crate::bound::Shape;
use crate::functions::{Exact, RowModel, UnitModel, is_guard};
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions as px;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use yunei_policy::clear::LeafClearance;
use yunei_policy::{Refusal, Refused};

/// A leaf that may run: its physical plan has been checked.
pub(crate) struct Prepared {
    /// The plan of its rows.
    pub(crate) rows: Arc<dyn ExecutionPlan>,
    /// How they are summed up.
    pub(crate) shape: Shape,
}

/// Plans a cleared leaf down to the operators that run, and checks every step. Opens no data.
///
/// # Errors
/// `plan/optimised` and `plan/physical`, naming what is not known; `plan/not-supported` where the engine can not do it.
pub(super) async fn prepare_leaf(
    leaf: &PrivateLeaf,
    clearance: &LeafClearance,
    state: &SessionState,
) -> Result<Prepared, Refused> {
    let (plan, shape) = contributions(leaf, clearance).map_err(|e| unsupported(&e))?;
    let optimised = state.optimize(&plan).map_err(|e| unsupported(&e))?;
    let written = LogicalPlan::Aggregate(leaf.node.clone());
    check_optimised(&optimised, &written, shape.keys, shape.bounds.is_some())?;
    let planner = state.query_planner();
    let rows = planner.create_physical_plan(&optimised, state).await.map_err(|e| unsupported(&e))?;
    check_physical(&rows)?;
    Ok(Prepared { rows, shape })
}

/// The same look at the plan of a leaf under disclosure control. Its rows are digested under a key of the run, which changes
/// nothing of its form: it is planned again, the same way, when it runs.
pub(super) async fn check_units(
    leaf: &PrivateLeaf,
    clearance: &LeafClearance,
    state: &SessionState,
) -> Result<(), Refused> {
    let plan = unit_plan(leaf, clearance, [0; 32]).map_err(|e| unsupported(&e))?.plan;
    let optimised = state.optimize(&plan).map_err(|e| unsupported(&e))?;
    let written = LogicalPlan::Aggregate(leaf.node.clone());
    check_optimised(&optimised, &written, clearance.keys().len(), true)?;
    let physical = state.query_planner().create_physical_plan(&optimised, state).await.map_err(|e| unsupported(&e))?;
    check_physical(&physical)
}

/// The engine's own words about the author's query. No data has been opened, so that none can stand in it.
pub(super) fn unsupported(error: &datafusion::common::DataFusionError) -> Refused {
    use datafusion::common::DataFusionError as E;
    // What comes from files may name them: it stays inside.
    let told = matches!(error.find_root(), E::Plan(_) | E::NotImplemented(_) | E::SchemaError(..) | E::SQL(..));
    let text: String = if told { error.strip_backtrace().chars().take(400).collect() } else { String::new() };
    let text = text.lines().next().unwrap_or_default().trim().to_owned();
    let text = if text.is_empty() { "-".to_owned() } else { text };
    Refusal::new(
        "plan/not-supported",
        format!("查询引擎无法执行：{text}"),
        format!("the query engine can not run this: {text}"),
    )
    .at("product.sql")
    .hint("请换一种写法，或把查询拆成 CTE", "write it another way, or split the query into CTEs")
    .into()
}

fn unknown(code: &'static str, what: &str) -> Refusal {
    let what: String = what.chars().take(120).collect();
    let (zh, en) = if code == "plan/optimised" {
        ("优化后的计划", "the optimised plan")
    } else {
        ("物理计划", "the physical plan")
    };
    Refusal::new(
        code,
        format!("{zh}中含有未获允许的部分：{what}"),
        format!("{en} has a part that is not known to be harmless: {what}"),
    )
    .at("product.sql")
    .hint("请换一种写法", "write the query another way")
}

/// How often each dataset is read.
fn reads(plan: &LogicalPlan) -> BTreeMap<String, usize> {
    let mut reads = BTreeMap::new();
    let _ = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let name = dataset_of(scan).map_or_else(String::new, |s| s.dataset);
            *reads.entry(name).or_insert(0) += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    reads
}

fn check_optimised(plan: &LogicalPlan, written: &LogicalPlan, keys: usize, bounded: bool) -> Result<(), Refused> {
    let mut reasons = Vec::new();
    let before = reads(written);
    for (dataset, times) in reads(plan) {
        if dataset.is_empty() || before.get(&dataset).is_none_or(|most| times > *most) {
            reasons.push(unknown("plan/optimised", "TableScan"));
        }
    }
    let _ = plan.apply(|node| {
        if let Some(what) = strange_node(node) {
            reasons.push(unknown("plan/optimised", what));
        }
        let mut schema = datafusion::common::DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        for expr in node.expressions() {
            if let Some(what) = strange_expression(&expr, &schema, matches!(node, LogicalPlan::Aggregate(_))) {
                reasons.push(unknown("plan/optimised", &what));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The rows must still say whom they are about.
    let empty = reads(plan).is_empty();
    if bounded && !empty && !unit_columns(plan).contains(&keys) {
        reasons.push(unknown("plan/optimised", UNIT));
    }
    Refused::unless(reasons, ())
}

/// The name of a node that has no place below a leaf.
fn strange_node(node: &LogicalPlan) -> Option<&'static str> {
    match node {
        LogicalPlan::TableScan(scan) if scan.fetch.is_some() || !scan.filters.is_empty() => {
            Some("TableScan with a limit")
        }
        LogicalPlan::TableScan(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::EmptyRelation(_) => None,
        LogicalPlan::Window(_) => Some("Window"),
        LogicalPlan::Sort(_) => Some("Sort"),
        LogicalPlan::Limit(_) => Some("Limit"),
        LogicalPlan::Repartition(_) => Some("Repartition"),
        LogicalPlan::Subquery(_) => Some("Subquery"),
        LogicalPlan::Values(_) => Some("Values"),
        LogicalPlan::Distinct(_) => Some("Distinct"),
        LogicalPlan::Unnest(_) => Some("Unnest"),
        LogicalPlan::RecursiveQuery(_) => Some("RecursiveQuery"),
        LogicalPlan::Extension(_) => Some("Extension"),
        LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::DescribeTable(_) => Some("Statement"),
    }
}

/// The first part of an expression that has no place below a leaf.
fn strange_expression(expr: &Expr, schema: &datafusion::common::DFSchema, aggregates: bool) -> Option<String> {
    let mut found = None;
    let _ = expr.apply(|e| {
        let strange = match e {
            // The engine's own fails where a date leaves its range; what policy was told is ours (`yunei_shift`).
            Expr::BinaryExpr(binary) if adds_interval(binary) => Some("INTERVAL".to_owned()),
            Expr::Alias(_)
            | Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::Case(_)
            | Expr::TryCast(_) => None,
            Expr::Cast(cast) => {
                let from = cast.expr.get_type(schema).unwrap_or(DataType::Binary);
                (!never_fails(&from, cast.field.data_type()))
                    .then(|| format!("CAST({from} AS {})", cast.field.data_type()))
            }
            Expr::ScalarFunction(call) => {
                let known = is_row_call(call.name()) || RowModel::of(&call.func).is_some();
                (!known).then(|| call.name().to_owned())
            }
            Expr::AggregateFunction(call) => {
                let name = call.func.name();
                let known = is_unit_aggregate(name)
                    || name == "yunei_sum"
                    || Exact::is_name(name)
                    || UnitModel::of(&call.func).is_some();
                (!(known && aggregates)).then(|| call.func.name().to_owned())
            }
            Expr::SimilarTo(_)
            | Expr::ScalarVariable(..)
            | Expr::WindowFunction(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::ScalarSubquery(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::GroupingSet(_)
            | Expr::Unnest(_)
            | Expr::Placeholder(_)
            | Expr::HigherOrderFunction(_)
            | Expr::Lambda(_)
            | Expr::LambdaVariable(_) => Some(super::relation::text_of(e)),
            #[expect(deprecated, reason = "the variant is still there to be refused")]
            Expr::Wildcard { .. } => Some("*".to_owned()),
        };
        found = found.take().or(strange);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Functions of one row: those that authors may use, and our own, whose names nobody can write.
fn is_row_call(name: &str) -> bool {
    row_function(name).is_some()
        || is_guard(name)
        || matches!(
            name,
            "date_part"
                | "date_trunc"
                | "isnan"
                | "yunei_grid"
                | "yunei_bar"
                | "yunei_code"
                | "yunei_row"
                | "yunei_shift"
        )
}

/// Whether a cast succeeds for every value.
fn never_fails(from: &DataType, to: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let float = |t: &DataType| matches!(t, DataType::Float32 | DataType::Float64);
    let decimal = |t: &DataType| matches!(t, DataType::Decimal128(..) | DataType::Decimal256(..));
    if from == to || from.is_null() || (text(from) && text(to)) {
        return true;
    }
    if let (Some(a), Some(b)) = (integer_bits(from), integer_bits(to)) {
        return a <= b;
    }
    let number = from.is_integer() || float(from) || decimal(from);
    // Every number has a nearest float; every integer of at most 19 digits fits a wide enough decimal.
    (number && float(to))
        || (from.is_integer()
            && matches!(to, DataType::Decimal128(p, s) | DataType::Decimal256(p, s) if i16::from(*p) - i16::from(*s) >= 20))
        || (*from == DataType::Boolean && (to.is_integer() || text(to)))
        || ((number || matches!(from, DataType::Date32)) && text(to))
        || matches!((from, to), (DataType::Decimal128(p, s), DataType::Decimal128(q, t) | DataType::Decimal256(q, t)) if t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s))
}

/// Bits of a signed integer type that holds it.
fn integer_bits(of: &DataType) -> Option<u8> {
    Some(match of {
        DataType::Int8 => 8,
        DataType::UInt8 => 9,
        DataType::Int16 => 16,
        DataType::UInt16 => 17,
        DataType::Int32 => 32,
        DataType::UInt32 => 33,
        DataType::Int64 => 64,
        DataType::UInt64 => 65,
        _ => return None,
    })
}

fn check_physical(plan: &Arc<dyn ExecutionPlan>) -> Result<(), Refused> {
    let mut reasons = Vec::new();
    let mut stack = vec![Arc::clone(plan)];
    while let Some(node) = stack.pop() {
        if !is_known_operator(node.as_ref()) {
            reasons.push(unknown("plan/physical", node.name()));
        }
        let schemas: Vec<_> = node.children().iter().map(|c| c.schema()).collect();
        let schema = match schemas.as_slice() {
            [one] => one.as_ref().clone(),
            _ => Schema::empty(),
        };
        let looked = node.apply_expressions(&mut |root| {
            if let Some(what) = strange_physical(root, &schema) {
                reasons.push(unknown("plan/physical", &what));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        if looked.is_err() {
            reasons.push(unknown("plan/physical", node.name()));
        }
        stack.extend(node.children().into_iter().cloned());
    }
    Refused::unless(reasons, ())
}

/// Operators that compute what the logical plan says, row by row or group by group, and stop for nothing.
fn is_known_operator(node: &dyn ExecutionPlan) -> bool {
    let any: &dyn Any = node;
    if let Some(source) = any.downcast_ref::<DataSourceExec>() {
        let parquet: Option<(&FileScanConfig, &ParquetSource)> = source.downcast_to_file_source();
        return parquet.is_some_and(|(config, source)| config.limit.is_none() && source.filter().is_none());
    }
    if let Some(aggregate) = any.downcast_ref::<AggregateExec>() {
        return aggregate.limit_options().is_none();
    }
    if let Some(sort) = any.downcast_ref::<SortExec>() {
        return sort.fetch().is_none();
    }
    let plain = any.is::<FilterExec>()
        || any.is::<ProjectionExec>()
        || any.is::<HashJoinExec>()
        || any.is::<NestedLoopJoinExec>()
        || any.is::<CrossJoinExec>()
        || any.is::<RepartitionExec>()
        || any.is::<CoalescePartitionsExec>()
        || any.is::<UnionExec>()
        || any.is::<InterleaveExec>();
    let empty = matches!(node.name(), "EmptyExec" | "PlaceholderRowExec" | "CoalesceBatchesExec" | "CooperativeExec");
    (plain || empty) && node.fetch().is_none()
}

/// The first part of a physical expression that is not known.
fn strange_physical(root: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<String> {
    let mut found = None;
    let _ = root.apply(|e| {
        let any: &dyn Any = e.as_ref();
        let plain = any.is::<px::Column>()
            || any.is::<px::Literal>()
            || any.is::<px::BinaryExpr>()
            || any.is::<px::CaseExpr>()
            || any.is::<px::TryCastExpr>()
            || any.is::<px::InListExpr>()
            || any.is::<px::IsNullExpr>()
            || any.is::<px::IsNotNullExpr>()
            || any.is::<px::LikeExpr>()
            || any.is::<px::NegativeExpr>()
            || any.is::<px::NotExpr>();
        let known = plain
            || any
                .downcast_ref::<ScalarFunctionExpr>()
                .is_some_and(|call| is_row_call(call.name()) || RowModel::of(call.fun()).is_some())
            || any.downcast_ref::<px::CastExpr>().is_some_and(|cast| {
                // Of a node with two inputs the types are not looked up here; the logical check has seen its casts.
                schema.fields().is_empty()
                    || cast.expr().data_type(schema).is_ok_and(|from| never_fails(&from, cast.cast_type()))
            });
        if !known {
            found = Some(e.to_string());
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}
