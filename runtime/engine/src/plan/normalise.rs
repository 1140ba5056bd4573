//! A plan over private rows in fewer words, so that what follows knows fewer:
//!
//! | written | becomes |
//! |---|---|
//! | `f(x) FILTER (WHERE c)` | `f(CASE WHEN c THEN x END)` |
//! | `GROUPING SETS`, `ROLLUP`, `CUBE` | one aggregate per set, `UNION ALL` |
//! | `WHERE x IN (SELECT …)`, `EXISTS (SELECT …)` and their negations | semi-joins and anti-joins |
//! | `SELECT DISTINCT a, b` | `GROUP BY a, b` |
//! | `GROUP BY a, a` | `GROUP BY a` |
//! | `ORDER BY` without `LIMIT` | nothing |
//!
//! `NOT IN (SELECT …)` over private rows means `NOT EXISTS`: with SQL's own NULL rule one unit without a key would empty the
//! result of all the others.

use super::leaves::{Rows, rows_of};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{AggregateFunction, GroupingSet};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, cast, lit, when,
};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use std::sync::Arc;

/// At most how many sets `GROUPING SETS`, `ROLLUP` and `CUBE` may come to.
pub(super) const MAX_GROUPING_SETS: usize = 64;

/// Rewrites a plan. The columns of the result, their names and their order stay.
pub(super) fn normalise(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let plan = plan.transform_down_with_subqueries(|node| match &node {
        LogicalPlan::Filter(filter) if rows_of(&filter.input) == Rows::Raw && asks(&filter.predicate) => {
            DecorrelatePredicateSubquery::new().rewrite(node, state)
        }
        _ => Ok(Transformed::no(node)),
    })?;
    let plan = plan.data.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(node) if rows_of(&node.input) == Rows::Raw => aggregate(node),
        LogicalPlan::Distinct(Distinct::All(input)) if rows_of(&input) == Rows::Raw => {
            let columns = input.schema().iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect();
            Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(input, columns, Vec::new())?)))
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_none() && rows_of(&sort.input) == Rows::Raw => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(sort.input)))
        }
        LogicalPlan::Join(mut join)
            if join.null_aware && join.join_type == JoinType::LeftAnti && rows_of(&join.right) == Rows::Raw =>
        {
            join.null_aware = false;
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

fn asks(predicate: &Expr) -> bool {
    predicate.exists(|e| Ok(matches!(e, Expr::InSubquery(_) | Expr::Exists(_)))).unwrap_or(true)
}

fn aggregate(node: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let filtered = node.aggr_expr.iter().any(has_filter);
    let sets = matches!(node.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    let asks_grouping = node.aggr_expr.iter().any(|e| grouping_call(e).is_some());
    // `GROUP BY a, a` has one column for both.
    let mut once: Vec<Expr> = Vec::with_capacity(node.group_expr.len());
    for key in &node.group_expr {
        if !once.contains(key) {
            once.push(key.clone());
        }
    }
    let doubled = once.len() < node.group_expr.len();
    if !filtered && !sets && !asks_grouping && !doubled {
        return Ok(Transformed::no(LogicalPlan::Aggregate(node)));
    }
    let names: Vec<String> = node.schema.fields().iter().map(|f| f.name().clone()).collect();
    let calls_from = names.len() - node.aggr_expr.len();
    let aggregates: Vec<Expr> = node
        .aggr_expr
        .iter()
        .zip(&names[calls_from..])
        .map(|(call, name)| if has_filter(call) { unfiltered(call.clone(), name) } else { Ok(call.clone()) })
        .collect::<Result<_>>()?;
    if !sets && !asks_grouping {
        let node = Aggregate::try_new(node.input, once, aggregates)?;
        return Ok(Transformed::yes(LogicalPlan::Aggregate(node)));
    }
    per_set(&node, &aggregates).map(Transformed::yes)
}

fn has_filter(call: &Expr) -> bool {
    match call {
        Expr::Alias(alias) => has_filter(&alias.expr),
        Expr::AggregateFunction(call) => call.params.filter.is_some(),
        _ => false,
    }
}

/// The aggregate with its condition inside, under the name that it had.
fn unfiltered(call: Expr, name: &str) -> Result<Expr> {
    let Expr::AggregateFunction(AggregateFunction { func, mut params }) = call.unalias() else {
        return datafusion::common::internal_err!("an aggregate that is none");
    };
    if let (Some(condition), Some(first)) = (params.filter.take(), params.args.first_mut()) {
        *first = when(*condition, std::mem::take(first)).end()?;
    }
    Ok(Expr::AggregateFunction(AggregateFunction { func, params }).alias(name))
}

/// The arguments of `GROUPING(…)`.
fn grouping_call(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Alias(alias) => grouping_call(&alias.expr),
        Expr::AggregateFunction(call) if call.func.name() == "grouping" => Some(&call.params.args),
        _ => None,
    }
}

/// One aggregate per grouping set, all with the columns of the one that they stand for.
fn per_set(node: &Aggregate, aggregates: &[Expr]) -> Result<LogicalPlan> {
    let keys: Vec<Expr> = grouping_set_to_exprlist(&node.group_expr)?.into_iter().cloned().collect();
    let sets = sets_of(&node.group_expr)?;
    let calls_from = node.schema.fields().len() - aggregates.len();
    let mut parts = Vec::with_capacity(sets.len());
    for set in &sets {
        let real: Vec<Expr> = aggregates.iter().filter(|a| grouping_call(a).is_none()).cloned().collect();
        let part = Aggregate::try_new(Arc::clone(&node.input), set.clone(), real)?;
        let mut outputs = Vec::with_capacity(node.schema.fields().len());
        let mut call = set.len();
        for (at, (qualifier, field)) in node.schema.iter().enumerate() {
            let value = if at < keys.len() {
                match set.iter().position(|e| *e == keys[at]) {
                    Some(position) => column(&part, position),
                    None => Expr::Literal(ScalarValue::try_from(field.data_type())?, None),
                }
            } else if at < calls_from {
                cast(lit(id_of(set, &keys)), field.data_type().clone())
            } else if let Some(asked) = grouping_call(&aggregates[at - calls_from]) {
                let bits = asked.iter().fold(0i32, |bits, key| bits << 1 | i32::from(!set.contains(key)));
                cast(lit(bits), field.data_type().clone())
            } else {
                call += 1;
                column(&part, call - 1)
            };
            outputs.push(value.alias_qualified(qualifier.cloned(), field.name()));
        }
        parts.push(LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(LogicalPlan::Aggregate(part)))?));
    }
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return datafusion::common::plan_err!("no grouping sets") };
    let mut all = LogicalPlanBuilder::from(first);
    for part in parts {
        all = all.union(part)?;
    }
    let all = all.build()?;
    // A union forgets qualifiers.
    let named = node.schema.iter().enumerate().map(|(at, (qualifier, field))| {
        Expr::Column(Column::from(all.schema().qualified_field(at))).alias_qualified(qualifier.cloned(), field.name())
    });
    let named = named.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(named, Arc::new(all))?))
}

fn column(of: &Aggregate, at: usize) -> Expr {
    Expr::Column(Column::from(of.schema.qualified_field(at)))
}

/// The bits of the keys that a set leaves out, the last key the lowest.
fn id_of(set: &[Expr], keys: &[Expr]) -> u64 {
    keys.iter().fold(0, |bits, key| bits << 1 | u64::from(!set.contains(key)))
}

/// The sets, each once.
fn sets_of(group: &[Expr]) -> Result<Vec<Vec<Expr>>> {
    let mut sets: Vec<Vec<Expr>> = match group {
        [Expr::GroupingSet(GroupingSet::Rollup(keys))] => (0..=keys.len()).rev().map(|n| keys[..n].to_vec()).collect(),
        [Expr::GroupingSet(GroupingSet::Cube(keys))] if keys.len() <= 6 => (0..1u32 << keys.len())
            .map(|leave| keys.iter().enumerate().filter(|(i, _)| leave >> i & 1 == 0).map(|(_, k)| k.clone()).collect())
            .collect(),
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.clone(),
        plain if !plain.iter().any(|e| matches!(e, Expr::GroupingSet(_))) => vec![plain.to_vec()],
        _ => Vec::new(),
    };
    for set in &mut sets {
        let mut seen: Vec<Expr> = Vec::with_capacity(set.len());
        set.retain(|e| {
            !seen.contains(e) && {
                seen.push(e.clone());
                true
            }
        });
    }
    if sets.is_empty() || sets.len() > MAX_GROUPING_SETS {
        return datafusion::common::plan_err!("at most {MAX_GROUPING_SETS} grouping sets");
    }
    Ok(sets)
}
