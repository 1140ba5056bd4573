//! Weights of result columns, as weights of the aggregates that they are made of.

use super::leaves::FoundLeaf;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use std::collections::{BTreeMap, BTreeSet};
use yunei_policy::Refusal;

/// The weights by leaf and aggregate. An aggregate that several columns are made of gets the largest of their weights.
pub(super) fn weights(
    plan: &LogicalPlan,
    leaves: &[FoundLeaf],
    wanted: &BTreeMap<String, u32>,
    reasons: &mut Vec<Refusal>,
) -> Vec<Vec<u32>> {
    let mut weights: Vec<Vec<Option<u32>>> = leaves.iter().map(|leaf| vec![None; leaf.node.aggr_expr.len()]).collect();
    for (name, weight) in wanted {
        let columns = plan.schema().fields().iter().enumerate().filter(|(_, f)| f.name() == name);
        let mut made_of = BTreeSet::new();
        columns.for_each(|(at, _)| trace(plan, at, leaves, &mut made_of));
        if made_of.is_empty() {
            reasons.push(not_a_number(plan, leaves, name));
        }
        for (leaf, aggregate) in made_of {
            if let Some(slot) = weights.get_mut(leaf).and_then(|w| w.get_mut(aggregate)) {
                *slot = (*slot).max(Some(*weight));
            }
        }
    }
    weights.into_iter().map(|leaf| leaf.into_iter().map(|weight| weight.unwrap_or(1)).collect()).collect()
}

fn not_a_number(plan: &LogicalPlan, leaves: &[FoundLeaf], name: &str) -> Refusal {
    let fields = plan.schema().fields().iter().enumerate();
    let numbers = fields.filter(|(at, _)| {
        let mut made_of = BTreeSet::new();
        trace(plan, *at, leaves, &mut made_of);
        !made_of.is_empty()
    });
    let names: Vec<&str> = numbers.map(|(_, f)| f.name().as_str()).collect();
    let (zh, en) = (names.join("、"), names.join(", "));
    let shown: String = name.chars().take(64).collect();
    Refusal::new(
        "privacy/weight-column",
        format!("结果中没有可设权重的列 {shown}"),
        format!("the result has no number {shown} that a weight could be given to"),
    )
    .at("product.privacy.weights")
    .hint(format!("可设权重的列：{zh}"), format!("columns that take a weight: {en}"))
}

/// The aggregates (leaf, position) that an output column is made of. Subqueries inside expressions are not looked into: what
/// they add keeps its weight of 1.
fn trace(plan: &LogicalPlan, at: usize, leaves: &[FoundLeaf], found: &mut BTreeSet<(usize, usize)>) {
    let mut of_expression = |expr: &Expr, input: &LogicalPlan| {
        for at in columns_of(expr, input.schema()) {
            trace(input, at, leaves, found);
        }
    };
    match plan {
        LogicalPlan::Projection(node) => {
            if let Some(expr) = node.expr.get(at) {
                of_expression(expr, &node.input);
            }
        }
        LogicalPlan::Aggregate(node) => {
            let keys = plan.schema().fields().len() - node.aggr_expr.len();
            if let Some(leaf) = leaves.iter().position(|leaf| leaf.node == *node) {
                found.extend(at.checked_sub(keys).map(|aggregate| (leaf, aggregate)));
            } else if let Some(expr) = at.checked_sub(keys).map_or(node.group_expr.get(at), |at| node.aggr_expr.get(at))
            {
                of_expression(expr, &node.input);
            }
        }
        LogicalPlan::Window(node) => {
            let width = node.input.schema().fields().len();
            match at.checked_sub(width) {
                None => trace(&node.input, at, leaves, found),
                Some(at) => {
                    if let Some(expr) = node.window_expr.get(at) {
                        of_expression(expr, &node.input);
                    }
                }
            }
        }
        LogicalPlan::Join(node) => {
            let left = match node.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                _ => node.left.schema().fields().len(),
            };
            match at.checked_sub(left) {
                None => trace(&node.left, at, leaves, found),
                Some(at) if at < node.right.schema().fields().len() => trace(&node.right, at, leaves, found),
                // The mark of a mark join.
                Some(_) => {}
            }
        }
        // Each of these has the columns of its inputs, in their order.
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Union(_) => plan.inputs().into_iter().for_each(|input| trace(input, at, leaves, found)),
        _ => {}
    }
}

fn columns_of(expr: &Expr, schema: &DFSchema) -> Vec<usize> {
    expr.column_refs().into_iter().filter_map(|column| schema.index_of_column(column).ok()).collect()
}
