//! The public part: the plan with every private leaf replaced by its released table. Intervals are carried beside the
//! numbers that they belong to, and computed for what is computed from them (see `spans.rs`).

use super::guard::{guard_plan, to_float};
use super::private::PrivateLeaf;
use super::spans::{Derived, Made, Span, derive};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::functions::math::expr_fn::sqrt;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{
    Aggregate, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, TryCast, Union, col,
};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use std::sync::Arc;
use yunei_policy::clear::{Clearance, LeafClearance};

/// A released leaf: its aggregate and its table, with columns `k0…`, then `v0, l0, h0, v1, …`: value, low, high.
pub(crate) struct ReleasedLeaf {
    /// The aggregate that it stands for.
    pub(crate) node: Aggregate,
    /// Its released rows.
    pub(crate) table: Arc<MemTable>,
    /// The measures that each aggregate's number is made of; nothing under disclosure control.
    pub(crate) measures: Option<Vec<Vec<usize>>>,
}

/// The measures of each aggregate of a leaf.
pub(crate) fn measures_of(clearance: &LeafClearance, aggregates: usize) -> Option<Vec<Vec<usize>>> {
    clearance.statistical().is_none().then(|| (0..aggregates).map(|at| clearance.measures_of(at)).collect())
}

/// The ends of the interval of one output column.
pub(crate) type Ends = Option<(Column, Column)>;

/// The plan over released tables, and for each of its first columns (those of the author) where its interval is.
pub(crate) fn public_plan(plan: &LogicalPlan, leaves: &[ReleasedLeaf]) -> Result<(LogicalPlan, Vec<Ends>)> {
    let mut rebuild = Rebuild { leaves, counter: 0 };
    let (plan, spans) = rebuild.node(plan)?;
    let ends = spans.into_iter().map(|span| span.map(|s| (s.low, s.high))).collect();
    Ok((guarded(plan), ends))
}

/// Divisions by zero and casts that fail give NULL above the leaves too: a run that was charged should end in numbers.
fn guarded(plan: LogicalPlan) -> LogicalPlan {
    let coerced = TypeCoercion::new().analyze(plan.clone(), &ConfigOptions::default());
    match coerced.and_then(guard_plan) {
        Ok(guarded) if guarded.schema().fields().len() == plan.schema().fields().len() => guarded,
        _ => plan,
    }
}

/// Plans the public part over empty released tables, so that what the engine can not do is told before anything is charged.
pub(super) async fn probe(
    plan: &LogicalPlan,
    leaves: &[PrivateLeaf],
    clearance: &Clearance,
    state: &SessionState,
) -> Result<()> {
    let both = leaves.iter().zip(clearance.leaves());
    let empty = both.map(|(leaf, c)| empty_leaf(&leaf.node, c)).collect::<Result<Vec<_>>>()?;
    let (public, ends) = public_plan(plan, &empty)?;
    let columns = ends.into_iter().flatten().flat_map(|(low, high)| [low, high]).map(Expr::Column);
    let outputs: Vec<Expr> = own_columns(plan).into_iter().chain(columns).collect();
    let public = LogicalPlanBuilder::from(public).project(outputs)?.build()?;
    state.create_physical_plan(&public).await.map(drop)
}

fn empty_leaf(node: &Aggregate, clearance: &LeafClearance) -> Result<ReleasedLeaf> {
    // Under disclosure control there are marks where others have the ends of intervals.
    let ends = if clearance.statistical().is_some() { DataType::Utf8 } else { DataType::Float64 };

    let keys = node.group_expr.len();
    let mut fields = Vec::new();
    for (i, field) in node.schema.fields().iter().enumerate().take(keys) {
        fields.push(Field::new(format!("k{i}"), field.data_type().clone(), true));
    }
    for i in 0..node.aggr_expr.len() {
        fields.push(Field::new(format!("v{i}"), DataType::Float64, true));
        fields.extend(["l", "h"].map(|kind| Field::new(format!("{kind}{i}"), ends.clone(), true)));
    }
    let table = MemTable::try_new(Arc::new(Schema::new(fields)), vec![vec![]])?;
    let measures = measures_of(clearance, node.aggr_expr.len());
    Ok(ReleasedLeaf { node: node.clone(), table: Arc::new(table), measures })
}

struct Rebuild<'a> {
    leaves: &'a [ReleasedLeaf],
    counter: usize,
}

impl<'a> Rebuild<'a> {
    fn node(&mut self, plan: &LogicalPlan) -> Result<(LogicalPlan, Vec<Option<Span>>)> {
        if let Some((at, leaf)) = self.leaf(plan) {
            self.counter += 1;
            return released(leaf, at, Some(self.counter));
        }
        let plan = self.replace_in_subqueries(plan)?;
        match &plan {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
                let (input, spans) = self.node(plan.inputs()[0])?;
                Ok((plan.with_new_exprs(plan.expressions(), vec![input])?, spans))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let (input, spans) = self.node(&alias.input)?;
                let plan = LogicalPlanBuilder::from(input).alias(alias.alias.clone())?.build()?;
                let named = |c: Column| Column::new(Some(alias.alias.clone()), c.name);
                let moved = |s: Span| Span { low: named(s.low), high: named(s.high), of: s.of };
                Ok((plan, spans.into_iter().map(|s| s.map(moved)).collect()))
            }
            LogicalPlan::Window(window) => {
                let (input, mut spans) = self.node(&window.input)?;
                spans.extend(std::iter::repeat_n(None, window.window_expr.len()));
                Ok((plan.with_new_exprs(plan.expressions(), vec![input])?, spans))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Aggregate(node) => self.totals(node),
            _ => {
                let inputs = plan.inputs().into_iter().map(|i| self.plain(i)).collect::<Result<Vec<_>>>()?;
                let width = plan.schema().fields().len();
                let plan = if inputs.is_empty() { plan } else { plan.with_new_exprs(plan.expressions(), inputs)? };
                Ok((plan, vec![None; width]))
            }
        }
    }

    fn leaf(&self, plan: &LogicalPlan) -> Option<(usize, &'a ReleasedLeaf)> {
        let LogicalPlan::Aggregate(node) = plan else { return None };
        self.leaves.iter().enumerate().find(|(_, leaf)| leaf.node == *node)
    }

    /// The plan of an input with its own columns only.
    fn plain(&mut self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let (rebuilt, spans) = self.node(plan)?;
        if spans.iter().all(Option::is_none) {
            return Ok(rebuilt);
        }
        LogicalPlanBuilder::from(rebuilt).project(own_columns(plan))?.build()
    }

    /// Puts the ends of an interval among a node's outputs.
    fn carry(&mut self, derived: Derived, outputs: &mut Vec<Expr>) -> Span {
        self.counter += 1;
        let names = (format!("yunei_low_{}", self.counter), format!("yunei_high_{}", self.counter));
        outputs.push(derived.low.alias(&names.0));
        outputs.push(derived.high.alias(&names.1));
        Span { low: Column::from_name(names.0), high: Column::from_name(names.1), of: derived.of }
    }

    fn projection(&mut self, projection: &Projection) -> Result<(LogicalPlan, Vec<Option<Span>>)> {
        let (input, below) = self.node(&projection.input)?;
        let mut outputs = projection.expr.clone();
        let mut spans = Vec::with_capacity(outputs.len());
        for expr in &projection.expr {
            let derived = derive(expr, projection.input.schema(), &below);
            spans.push(derived.map(|derived| self.carry(derived, &mut outputs)));
        }
        let plan = LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(input))?);
        Ok((plan, spans))
    }

    /// A join may double rows, but every number stays what it is.
    fn join(&mut self, join: &Join) -> Result<(LogicalPlan, Vec<Option<Span>>)> {
        let (left, lefts) = self.node(&join.left)?;
        let (right, rights) = self.node(&join.right)?;
        let only_left = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
        let only_right = matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
        let Join { on, filter, join_type, join_constraint, null_equality, null_aware, .. } = join.clone();
        let plan = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            join_type,
            join_constraint,
            null_equality,
            null_aware,
        )?;
        let kept: Vec<Option<Span>> = match (only_left, only_right) {
            (true, _) => lefts,
            (_, true) => rights,
            _ => lefts.into_iter().chain(rights).collect(),
        };
        let width = join.schema.fields().len();
        let once = |s: Span| Span { of: Made { once: false, ..s.of }, ..s };
        let kept = kept.into_iter().map(|s| s.map(once)).chain(std::iter::repeat(None)).take(width);
        Ok((LogicalPlan::Join(plan), kept.collect()))
    }

    fn union(&mut self, union: &Union) -> Result<(LogicalPlan, Vec<Option<Span>>)> {
        let mut parts = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            parts.push((self.node(input)?, own_columns(input)));
        }
        let width = union.schema.fields().len();
        // A column has an interval where it has one in every part.
        let common: Vec<Option<Made>> = (0..width)
            .map(|at| {
                let mut all = parts.iter().map(|((_, spans), _)| spans.get(at).cloned().flatten());
                let first = all.next().flatten()?.of;
                all.try_fold(first, |mut made, span| {
                    let of = span?.of;
                    made.measures.extend(of.measures);
                    made.once &= of.once;
                    (made.mark == of.mark).then_some(made)
                })
            })
            .collect();
        let mut spans: Vec<Option<Span>> = vec![None; width];
        let mut inputs = Vec::with_capacity(parts.len());
        let from = self.counter;
        for ((plan, own), mut outputs) in parts {
            self.counter = from;
            for (at, made) in common.iter().enumerate() {
                if let (Some(made), Some(Some(span))) = (made, own.get(at)) {
                    let (low, high) = (Expr::Column(span.low.clone()), Expr::Column(span.high.clone()));
                    spans[at] = Some(self.carry(Derived { low, high, of: made.clone() }, &mut outputs));
                }
            }
            inputs.push(Arc::new(LogicalPlanBuilder::from(plan).project(outputs)?.build()?));
        }
        Ok((LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?), spans))
    }

    /// An aggregate over released rows: sums of independent numbers keep an interval.
    fn totals(&mut self, node: &Aggregate) -> Result<(LogicalPlan, Vec<Option<Span>>)> {
        let (input, below) = self.node(&node.input)?;
        let width = node.schema.fields().len();
        let calls_from = width - node.aggr_expr.len();
        let summed: Vec<Option<Derived>> =
            node.aggr_expr.iter().map(|call| summed(call, node.input.schema(), &below)).collect();
        let plain = matches!(node.group_expr.as_slice(), [Expr::GroupingSet(_)]) || summed.iter().all(Option::is_none);
        if plain {
            let input = LogicalPlanBuilder::from(input).project(own_columns(&node.input))?.build()?;
            let plan = Aggregate::try_new(Arc::new(input), node.group_expr.clone(), node.aggr_expr.clone())?;
            return Ok((LogicalPlan::Aggregate(plan), vec![None; width]));
        }
        let mut calls = node.aggr_expr.clone();
        let mut spans = vec![None; width];
        for (at, derived) in summed.into_iter().enumerate() {
            spans[calls_from + at] = derived.map(|derived| self.carry(derived, &mut calls));
        }
        let squares = Aggregate::try_new(Arc::new(input), node.group_expr.clone(), calls)?;
        // So far the ends are the squares of half-widths.
        let mut outputs: Vec<Expr> = node.schema.iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect();
        let squared = std::mem::replace(&mut spans, vec![None; width]);
        for (at, span) in squared.into_iter().enumerate() {
            let Some(Span { low, high, of }) = span else { continue };
            let value = to_float(Expr::Column(Column::from(node.schema.qualified_field(at))));
            let low = value.clone() - sqrt(Expr::Column(low));
            let high = value + sqrt(Expr::Column(high));
            spans[at] = Some(self.carry(Derived { low, high, of }, &mut outputs));
        }
        let plan = Projection::try_new(outputs, Arc::new(LogicalPlan::Aggregate(squares)))?;
        Ok((LogicalPlan::Projection(plan), spans))
    }

    fn replace_in_subqueries(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let replaced = plan.clone().map_subqueries(|subquery| {
            subquery.transform_down_with_subqueries(|node| match self.leaf(&node) {
                Some((at, leaf)) => Ok(Transformed::new(released(leaf, at, None)?.0, true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(node)),
            })
        })?;
        Ok(replaced.data)
    }
}

fn own_columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect()
}

/// The squares of the half-widths of `SUM(x)`, to be summed, where the rows' numbers are independent of each other.
fn summed(call: &Expr, schema: &DFSchema, below: &[Option<Span>]) -> Option<Derived> {
    let Expr::AggregateFunction(call) = call.clone().unalias() else { return None };
    let plain = !call.params.distinct && call.params.filter.is_none() && call.params.order_by.is_empty();
    let [of] = call.params.args.as_slice() else { return None };
    let derived = derive(of, schema, below).filter(|d| plain && d.of.once && !d.of.mark)?;
    if call.func.name() != "sum" {
        return None;
    }
    let value = to_float(of.clone());
    let (below, above) = (value.clone() - derived.low, derived.high - value);
    let square = |half: Expr| sum(half.clone() * half);
    Some(Derived { low: square(below), high: square(above), of: derived.of })
}

/// A released table under the names that the leaf's aggregate had.
fn released(leaf: &ReleasedLeaf, at: usize, serial: Option<usize>) -> Result<(LogicalPlan, Vec<Option<Span>>)> {
    let source = provider_as_source(Arc::clone(&leaf.table) as _);
    let table = format!("yunei_released_{at}");
    let scan = LogicalPlanBuilder::scan(table.as_str(), source, None)?;
    let keys = leaf.node.group_expr.len();
    let mut outputs = Vec::new();
    let mut spans = Vec::new();
    for (i, (qualifier, field)) in leaf.node.schema.iter().enumerate() {
        let name = if i < keys { format!("k{i}") } else { format!("v{}", i - keys) };
        let value = Expr::TryCast(TryCast::new(Box::new(col(name)), field.data_type().clone()));
        outputs.push(value.alias_qualified(qualifier.cloned(), field.name()));
        spans.push(None);
    }
    if let Some(serial) = serial {
        for i in 0..leaf.node.aggr_expr.len() {
            let names = (format!("yunei_low_leaf{serial}_{i}"), format!("yunei_high_leaf{serial}_{i}"));
            outputs.push(col(format!("l{i}")).alias(&names.0));
            outputs.push(col(format!("h{i}")).alias(&names.1));
            let measures = leaf.measures.as_ref().and_then(|m| m.get(i));
            let of = Made {
                measures: measures.into_iter().flatten().map(|m| (at, *m)).collect(),
                mark: measures.is_none(),
                once: true,
            };
            spans[keys + i] = Some(Span { low: Column::from_name(names.0), high: Column::from_name(names.1), of });
        }
    }
    Ok((scan.project(outputs)?.build()?, spans))
}
