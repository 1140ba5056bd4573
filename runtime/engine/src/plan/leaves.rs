//! Finds the private leaves: the aggregates through which private rows may leave.
//!
//! Every node is `Open` (reads open data or none), `Raw` (its rows are about units) or `Released` (above a leaf). An
//! aggregate over raw rows is a leaf, unless it is grouped by the unit column: then its rows are still about units.

use super::expression::Teller;
use super::functions::{is_public_aggregate, is_public_function};
use super::relation::{function_refusal, text_of};
use super::sql::dataset_of;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, JoinType, LogicalPlan, Projection};
use yunei_policy::Refusal;
use yunei_policy::facts::Leaf;
use yunei_policy::words::ReleaseClass;

/// What the rows of a node are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    Open,
    Raw,
    Released,
}

/// What the rows of a node are, without a word about what may be wrong with it.
pub(super) fn rows_of(plan: &LogicalPlan) -> Rows {
    if let LogicalPlan::TableScan(scan) = plan {
        return match dataset_of(scan) {
            Some(facts) if facts.release != ReleaseClass::Open => Rows::Raw,
            _ => Rows::Open,
        };
    }
    let below = plan.inputs().into_iter().map(rows_of).fold(Rows::Open, |a, b| match (a, b) {
        (Rows::Open, other) | (other, Rows::Open) => other,
        (Rows::Raw, _) | (_, Rows::Raw) => Rows::Raw,
        (Rows::Released, Rows::Released) => Rows::Released,
    });
    match plan {
        LogicalPlan::Aggregate(node) if below == Rows::Raw && !groups_by_unit(node) => Rows::Released,
        _ => below,
    }
}

/// A leaf in the plan and what is told of it.
pub(super) struct FoundLeaf {
    pub(super) node: Aggregate,
    pub(super) facts: Leaf,
}

/// Walks the plan; the leaves found, each once. Reasons go to `teller`.
pub(super) fn find(plan: &LogicalPlan, teller: &mut Teller<'_>) -> Vec<FoundLeaf> {
    let mut leaves = Vec::new();
    if walk(plan, teller, &mut leaves) == Rows::Raw {
        teller.reasons.push(raw_rows());
        teller.relation(plan);
    }
    leaves
}

fn raw_rows() -> Refusal {
    Refusal::new(
        "release/raw-rows",
        "逐行数据不得离开：查询结果必须是聚合值",
        "rows about single persons never leave: the result must be aggregates",
    )
    .hint("请用 GROUP BY 与 COUNT、SUM、AVG 等聚合函数", "use GROUP BY with COUNT, SUM, AVG and the like")
}

fn walk(plan: &LogicalPlan, teller: &mut Teller<'_>, leaves: &mut Vec<FoundLeaf>) -> Rows {
    if let LogicalPlan::TableScan(scan) = plan {
        return match dataset_of(scan) {
            Some(facts) if facts.release == ReleaseClass::Open => Rows::Open,
            Some(_) => Rows::Raw,
            None => {
                teller.reasons.push(
                    Refusal::new("plan/table", "只能读取产品列出的数据集", "only the product's datasets can be read")
                        .at(scan.table_name.to_string().chars().take(120).collect::<String>()),
                );
                Rows::Open
            }
        };
    }
    let mut below = Rows::Open;
    for input in plan.inputs() {
        below = join(below, walk(input, teller, leaves), teller);
    }
    let subqueries = subqueries_of(plan);
    if below == Rows::Raw {
        return match plan {
            LogicalPlan::Aggregate(node) if !groups_by_unit(node) => {
                add_leaf(node, teller, leaves);
                Rows::Released
            }
            _ => Rows::Raw,
        };
    }
    for subquery in &subqueries {
        match walk(subquery, teller, leaves) {
            Rows::Raw => teller.reasons.push(raw_rows()),
            rows => below = join(below, rows, teller),
        }
    }
    check_public(plan, teller);
    below
}

fn add_leaf(node: &Aggregate, teller: &mut Teller<'_>, leaves: &mut Vec<FoundLeaf>) {
    if leaves.iter().any(|l| l.node == *node) {
        return;
    }
    if let Some(facts) = teller.leaf(node) {
        leaves.push(FoundLeaf { node: node.clone(), facts });
    }
}

fn join(a: Rows, b: Rows, teller: &mut Teller<'_>) -> Rows {
    match (a, b) {
        (Rows::Open, other) | (other, Rows::Open) => other,
        (Rows::Raw, Rows::Raw) => Rows::Raw,
        (Rows::Released, Rows::Released) => Rows::Released,
        (Rows::Raw, Rows::Released) | (Rows::Released, Rows::Raw) => {
            teller.reasons.push(
                Refusal::new(
                    "plan/released-with-private",
                    "不能把聚合结果再与个体数据连接",
                    "an aggregate can not be joined back to private rows",
                )
                .hint("请分成两个产品，或在聚合之后再计算", "make two products of it, or compute above the aggregates"),
            );
            Rows::Raw
        }
    }
}

fn subqueries_of(plan: &LogicalPlan) -> Vec<LogicalPlan> {
    let mut found = Vec::new();
    for expression in plan.expressions() {
        let _ = expression.apply(|e| {
            match e {
                Expr::Exists(e) => found.push(e.subquery.subquery.as_ref().clone()),
                Expr::InSubquery(e) => found.push(e.subquery.subquery.as_ref().clone()),
                Expr::SetComparison(e) => found.push(e.subquery.subquery.as_ref().clone()),
                Expr::ScalarSubquery(s) => found.push(s.subquery.as_ref().clone()),
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    found
}

fn groups_by_unit(node: &Aggregate) -> bool {
    let units = unit_columns(&node.input);
    node.group_expr.iter().any(|e| column_index(e, &node.input).is_some_and(|i| units.contains(&i)))
}

fn column_index(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => column_index(&alias.expr, input),
        Expr::Column(column) => input.schema().index_of_column(column).ok(),
        _ => None,
    }
}

/// The output columns of a plan that are a unit column, unchanged.
pub(super) fn unit_columns(plan: &LogicalPlan) -> Vec<usize> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let unit = dataset_of(scan).and_then(|s| s.unit.filter(|_| s.release != ReleaseClass::Open));
            let position = |unit: usize| match &scan.projection {
                None => Some(unit),
                Some(columns) => columns.iter().position(|c| *c == unit),
            };
            unit.and_then(position).into_iter().collect()
        }
        LogicalPlan::Filter(filter) => unit_columns(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => unit_columns(&alias.input),
        LogicalPlan::Projection(Projection { expr, input, .. }) => of_expressions(expr, input),
        LogicalPlan::Aggregate(node) => of_expressions(&node.group_expr, &node.input),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            let rights = || unit_columns(&join.right).into_iter().map(|c| c + left);
            match join.join_type {
                JoinType::Inner => unit_columns(&join.left).into_iter().chain(rights()).collect(),
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                    unit_columns(&join.left)
                }
                JoinType::Right => rights().collect(),
                JoinType::Full | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Vec::new(),
            }
        }
        LogicalPlan::Union(union) => {
            let mut all = union.inputs.iter().map(|input| unit_columns(input));
            let first = all.next().unwrap_or_default();
            all.fold(first, |kept, next| kept.into_iter().filter(|c| next.contains(c)).collect())
        }
        _ => Vec::new(),
    }
}

fn of_expressions(expressions: &[Expr], input: &LogicalPlan) -> Vec<usize> {
    let units = unit_columns(input);
    let is_unit = |e: &Expr| column_index(e, input).is_some_and(|i| units.contains(&i));
    expressions.iter().enumerate().filter(|(_, e)| is_unit(e)).map(|(i, _)| i).collect()
}

/// Above the leaves everything is public, so that anything goes which is deterministic and bounded.
fn check_public(plan: &LogicalPlan, teller: &mut Teller<'_>) {
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_) => {}
        LogicalPlan::Repartition(_)
        | LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => teller.reasons.push(
            Refusal::new("plan/node", "产品中不允许使用这种语句", "this is not allowed in a product").at(plan
                .display()
                .to_string()
                .chars()
                .take(120)
                .collect::<String>()),
        ),
    }
    for expression in plan.expressions() {
        let _ = expression.apply(|e| {
            let name = match e {
                Expr::ScalarFunction(call) if !is_public_function(call.name()) => Some(call.name().to_owned()),
                Expr::AggregateFunction(call) if !is_public_aggregate(call.func.name()) => {
                    Some(call.func.name().to_owned())
                }
                Expr::WindowFunction(call) if !is_public_aggregate(call.fun.name()) => Some(call.fun.name().to_owned()),
                Expr::HigherOrderFunction(_) | Expr::Unnest(_) | Expr::ScalarVariable(..) => Some(text_of(e)),
                _ => None,
            };
            if let Some(name) = name {
                teller.reasons.push(function_refusal(&name));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
}

/// The dataset column that an output column is, unchanged.
pub(super) fn origin(plan: &LogicalPlan, at: usize) -> Option<(String, String)> {
    let through = |expr: &Expr, input: &LogicalPlan| column_index(expr, input).and_then(|i| origin(input, i));
    match plan {
        LogicalPlan::TableScan(scan) => {
            let facts = dataset_of(scan)?;
            let column = match &scan.projection {
                None => at,
                Some(columns) => *columns.get(at)?,
            };
            facts.columns.get(column).map(|c| (facts.dataset.clone(), c.name.clone()))
        }
        LogicalPlan::Filter(filter) => origin(&filter.input, at),
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, at),
        LogicalPlan::Projection(projection) => through(projection.expr.get(at)?, &projection.input),
        LogicalPlan::Aggregate(node) => through(node.group_expr.get(at)?, &node.input),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            if at < left { origin(&join.left, at) } else { origin(&join.right, at - left) }
        }
        _ => None,
    }
}
