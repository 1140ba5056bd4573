//! The public part: the plan with every private leaf replaced by its released table. Intervals are carried beside the
//! numbers that they belong to, as far up as the numbers pass unchanged.

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, TryCast, col};
use std::sync::Arc;

/// A released leaf: its aggregate and its table, with columns `k0…`, then `v0, l0, h0, v1, …`: value, low, high.
pub(crate) struct ReleasedLeaf {
    /// The aggregate that it stands for.
    pub(crate) node: Aggregate,
    /// Its released rows.
    pub(crate) table: Arc<MemTable>,
}

/// The ends of the interval of one output column.
pub(crate) type Ends = Option<(Column, Column)>;

/// The plan over released tables, and for each of its first columns (those of the author) where its interval is.
pub(crate) fn public_plan(plan: &LogicalPlan, leaves: &[ReleasedLeaf]) -> Result<(LogicalPlan, Vec<Ends>)> {
    let mut rebuild = Rebuild { leaves, counter: 0 };
    rebuild.node(plan)
}

struct Rebuild<'a> {
    leaves: &'a [ReleasedLeaf],
    counter: usize,
}

impl Rebuild<'_> {
    fn node(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<Ends>)> {
        if let Some((at, leaf)) = self.leaf(plan) {
            return released(leaf, at, true);
        }
        let plan = self.replace_in_subqueries(plan)?;
        match &plan {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
                let (input, ends) = self.node(plan.inputs()[0])?;
                Ok((plan.with_new_exprs(plan.expressions(), vec![input])?, ends))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let (input, ends) = self.node(&alias.input)?;
                let plan = LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build()?;
                let requalify = |c: Column| Column::new(Some(alias.alias.clone()), c.name);
                let ends = ends.into_iter().map(|e| e.map(|(l, h)| (requalify(l), requalify(h)))).collect();
                Ok((plan, ends))
            }
            _ => {
                let inputs = plan.inputs().into_iter().map(|i| self.plain(i)).collect::<Result<Vec<_>>>()?;
                let width = plan.schema().fields().len();
                let plan = if inputs.is_empty() { plan } else { plan.with_new_exprs(plan.expressions(), inputs)? };
                Ok((plan, vec![None; width]))
            }
        }
    }

    fn leaf(&self, plan: &LogicalPlan) -> Option<(usize, &ReleasedLeaf)> {
        let LogicalPlan::Aggregate(node) = plan else { return None };
        self.leaves.iter().enumerate().find(|(_, leaf)| leaf.node == *node)
    }

    /// The plan of an input with its own columns only.
    fn plain(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let (rebuilt, ends) = self.node(plan)?;
        if ends.iter().all(Option::is_none) {
            return Ok(rebuilt);
        }
        let columns = plan.schema().iter().map(|(q, f)| Expr::Column(Column::from((q, f))));
        LogicalPlanBuilder::from(rebuilt).project(columns)?.build()
    }

    fn projection(&mut self, projection: &Projection) -> Result<(LogicalPlan, Vec<Ends>)> {
        let (input, below) = self.node(&projection.input)?;
        let mut outputs = projection.expr.clone();
        let mut ends = Vec::with_capacity(outputs.len());
        for expr in &projection.expr {
            let at = passed_through(expr).and_then(|c| projection.input.schema().index_of_column(c).ok());
            ends.push(at.and_then(|at| below.get(at).cloned().flatten()).map(|(low, high)| {
                self.counter += 1;
                let names = (format!("yunei_low_{}", self.counter), format!("yunei_high_{}", self.counter));
                outputs.push(Expr::Column(low).alias(&names.0));
                outputs.push(Expr::Column(high).alias(&names.1));
                (Column::from_name(names.0), Column::from_name(names.1))
            }));
        }
        let plan = LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(input))?);
        Ok((plan, ends))
    }

    fn replace_in_subqueries(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let replaced = plan.clone().map_subqueries(|subquery| {
            subquery.transform_down_with_subqueries(|node| match self.leaf(&node) {
                Some((at, leaf)) => Ok(Transformed::new(released(leaf, at, false)?.0, true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(node)),
            })
        })?;
        Ok(replaced.data)
    }
}

/// The column that an expression hands on unchanged.
fn passed_through(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => passed_through(&alias.expr),
        _ => None,
    }
}

/// A released table under the names that the leaf's aggregate had.
fn released(leaf: &ReleasedLeaf, at: usize, with_ends: bool) -> Result<(LogicalPlan, Vec<Ends>)> {
    let source = provider_as_source(Arc::clone(&leaf.table) as _);
    let table = format!("yunei_released_{at}");
    let scan = LogicalPlanBuilder::scan(table.as_str(), source, None)?;
    let keys = leaf.node.group_expr.len();
    let mut outputs = Vec::new();
    let mut ends = Vec::new();
    for (i, (qualifier, field)) in leaf.node.schema.iter().enumerate() {
        let name = if i < keys { format!("k{i}") } else { format!("v{}", i - keys) };
        let value = Expr::TryCast(TryCast::new(Box::new(col(name)), field.data_type().clone()));
        outputs.push(value.alias_qualified(qualifier.cloned(), field.name()));
        ends.push(None);
    }
    if with_ends {
        for i in 0..leaf.node.aggr_expr.len() {
            let names = (format!("yunei_low_leaf{at}_{i}"), format!("yunei_high_leaf{at}_{i}"));
            outputs.push(col(format!("l{i}")).alias(&names.0));
            outputs.push(col(format!("h{i}")).alias(&names.1));
            ends[keys + i] = Some((Column::from_name(names.0), Column::from_name(names.1)));
        }
    }
    Ok((scan.project(outputs)?.build()?, ends))
}
