//! The part of a plan below a private leaf, as facts.

use super::expression::Teller;
use super::functions::not_allowed;
use super::sql::dataset_of;
use crate::functions::UnitModel;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use datafusion::logical_expr::{Aggregate as AggregateNode, BinaryExpr, Expr, Join, JoinType, LogicalPlan, Operator};
use yunei_policy::Refusal;
use yunei_policy::facts::{Aggregate, AggregateFunction, Expression, GroupKey, Interval, Leaf, Relation};

impl Teller<'_> {
    /// The facts of a leaf.
    pub(super) fn leaf(&mut self, node: &AggregateNode) -> Option<Leaf> {
        let input = self.relation(&node.input);
        let schema = node.input.schema();
        let keys: Vec<_> = node
            .group_expr
            .iter()
            .map(|e| Some(GroupKey { text: text_of(e), expression: self.expression(e, schema)? }))
            .collect();
        let aggregates: Vec<_> = node.aggr_expr.iter().map(|e| self.aggregate(e, schema)).collect();
        Some(Leaf {
            input: input?,
            keys: keys.into_iter().collect::<Option<_>>()?,
            aggregates: aggregates.into_iter().collect::<Option<_>>()?,
        })
    }

    /// The facts of a relation over private rows.
    pub(super) fn relation(&mut self, plan: &LogicalPlan) -> Option<Relation> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let Some(facts) = dataset_of(scan) else { return self.no_node("table", plan) };
                let relation = Relation::Scan(facts);
                Some(match &scan.projection {
                    None => relation,
                    Some(columns) => Relation::Project {
                        input: Box::new(relation),
                        outputs: columns.iter().map(|c| Expression::Column(*c)).collect(),
                    },
                })
            }
            LogicalPlan::Filter(filter) => {
                let input = self.relation(&filter.input);
                let predicate = self.expression(&filter.predicate, filter.input.schema());
                Some(Relation::Filter { input: Box::new(input?), predicate: predicate? })
            }
            LogicalPlan::Projection(projection) => {
                let input = self.relation(&projection.input);
                let outputs: Vec<_> =
                    projection.expr.iter().map(|e| self.expression(e, projection.input.schema())).collect();
                Some(Relation::Project {
                    input: Box::new(input?),
                    outputs: outputs.into_iter().collect::<Option<_>>()?,
                })
            }
            LogicalPlan::SubqueryAlias(alias) => self.relation(&alias.input),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(node) => {
                let leaf = self.per_unit(node)?;
                Some(leaf)
            }
            LogicalPlan::Sort(_) => self.no_node("ORDER BY", plan),
            LogicalPlan::Limit(_) => self.no_node("LIMIT", plan),
            LogicalPlan::Distinct(_) => self.no_node("DISTINCT", plan),
            LogicalPlan::Union(_) => self.no_node("UNION", plan),
            LogicalPlan::Window(_) => self.no_node("window functions", plan),
            LogicalPlan::Unnest(_) => self.no_node("UNNEST", plan),
            LogicalPlan::RecursiveQuery(_) => self.no_node("WITH RECURSIVE", plan),
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => self.no_node("VALUES", plan),
            LogicalPlan::Repartition(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => self.no_node("this", plan),
        }
    }

    fn no_node(&mut self, what: &str, plan: &LogicalPlan) -> Option<Relation> {
        self.reasons.push(
            Refusal::new(
                "plan/node",
                format!("个体数据在聚合之前不允许使用 {what}"),
                format!("{what} is not allowed over private rows before they are aggregated"),
            )
            .at(plan.display().to_string().chars().take(120).collect::<String>())
            .hint("请在聚合之后使用", "use it above the aggregate, on released values"),
        );
        None
    }

    fn join(&mut self, join: &Join) -> Option<Relation> {
        let left = self.relation(&join.left);
        let right = self.relation(&join.right);
        if join.join_type != JoinType::Inner {
            self.reasons.push(
                Refusal::new(
                    "join/kind",
                    "个体数据只能用内连接",
                    format!("private rows are joined by INNER JOIN only, not {}", join.join_type),
                )
                .hint("请改写为 INNER JOIN", "write INNER JOIN"),
            );
            return None;
        }
        let (pairs, rest) = equalities(join);
        let on: Vec<_> = pairs
            .iter()
            .map(|(l, r)| {
                let l = self.expression(l, join.left.schema());
                let r = self.expression(r, join.right.schema());
                Some((l?, r?))
            })
            .collect();
        let filter = match datafusion::logical_expr::utils::conjunction(rest) {
            None => None,
            Some(f) => Some(self.expression(&f, &join.schema)?),
        };
        Some(Relation::Join {
            left: Box::new(left?),
            right: Box::new(right?),
            on: on.into_iter().collect::<Option<_>>()?,
            filter,
        })
    }

    fn per_unit(&mut self, node: &AggregateNode) -> Option<Relation> {
        let input = self.relation(&node.input);
        let schema = node.input.schema();
        let keys: Vec<_> = node.group_expr.iter().map(|e| self.expression(e, schema)).collect();
        let aggregates: Vec<_> = node.aggr_expr.iter().map(|e| self.aggregate(e, schema)).collect();
        Some(Relation::PerUnit {
            input: Box::new(input?),
            keys: keys.into_iter().collect::<Option<_>>()?,
            aggregates: aggregates.into_iter().collect::<Option<_>>()?,
        })
    }

    fn aggregate(&mut self, expr: &Expr, schema: &DFSchema) -> Option<Aggregate> {
        let text = text_of(expr);
        let call = match expr {
            Expr::Alias(alias) => return self.aggregate(&alias.expr, schema),
            Expr::AggregateFunction(call) => call,
            _ => {
                self.expression(expr, schema);
                return None;
            }
        };
        let plain =
            call.params.filter.is_none() && call.params.order_by.is_empty() && call.params.null_treatment.is_none();
        if !plain {
            self.reasons.push(
                Refusal::new(
                    "aggregate/modifier",
                    "聚合函数不允许使用 FILTER、ORDER BY、IGNORE NULLS",
                    "an aggregate takes no FILTER, ORDER BY or IGNORE NULLS",
                )
                .at(text.as_str())
                .hint("请用 CASE WHEN 条件 THEN 值 END", "write the condition as CASE WHEN condition THEN value END"),
            );
        }
        let function = self.aggregate_function(call, &text);
        let arguments = self.aggregate_arguments(call, schema);
        (plain).then_some(())?;
        Some(Aggregate { text, function: function?, arguments: arguments? })
    }

    /// `COUNT(1)` and the like are `COUNT(*)`.
    fn aggregate_arguments(&mut self, call: &AggregateExpr, schema: &DFSchema) -> Option<Vec<Expression>> {
        let args = &call.params.args;
        if call.func.name() == "count"
            && !call.params.distinct
            && let [Expr::Literal(value, _)] = args.as_slice()
            && !value.is_null()
        {
            return Some(Vec::new());
        }
        let told: Vec<_> = args.iter().map(|a| self.expression(a, schema)).collect();
        told.into_iter().collect()
    }

    fn aggregate_function(&mut self, call: &AggregateExpr, text: &str) -> Option<AggregateFunction> {
        if let Some(model) = UnitModel::of(&call.func) {
            let manifest = model.manifest();
            let output = Interval::new(manifest.output().min(), manifest.output().max())?;
            return Some(AggregateFunction::UnitModel {
                model: format!("{}@{}", manifest.id(), manifest.version()),
                output,
            });
        }
        let function = match (call.func.name(), call.params.distinct) {
            ("count", false) => AggregateFunction::Count,
            ("count", true) => AggregateFunction::CountDistinct,
            ("sum", false) => AggregateFunction::Sum,
            ("avg", false) => AggregateFunction::Avg,
            ("var", false) => AggregateFunction::Variance,
            ("var_pop", false) => AggregateFunction::VariancePop,
            ("stddev", false) => AggregateFunction::Stddev,
            ("stddev_pop", false) => AggregateFunction::StddevPop,
            ("min", _) => AggregateFunction::Min,
            ("max", _) => AggregateFunction::Max,
            ("sum" | "avg" | "var" | "var_pop" | "stddev" | "stddev_pop", true) => {
                self.reasons.push(
                    Refusal::new("aggregate/distinct", "DISTINCT 只能用于 COUNT", "DISTINCT is for COUNT only")
                        .at(text),
                );
                return None;
            }
            (name, _) => {
                let shown: String = name.chars().take(64).collect();
                self.reasons.push(
                    Refusal::new(
                        "aggregate/not-allowed",
                        format!("聚合函数 {shown} 不允许用于个体数据"),
                        format!("the aggregate {shown} is not allowed over private rows"),
                    )
                    .at(text)
                    .hint(
                        "可用：COUNT、COUNT(DISTINCT 主体)、SUM、AVG、VAR、STDDEV",
                        "allowed: COUNT, COUNT(DISTINCT unit), SUM, AVG, VAR, STDDEV",
                    ),
                );
                return None;
            }
        };
        Some(function)
    }
}

/// The equalities of a join between its sides (as left, right), and what else its condition says. The planner leaves
/// `ON` as a condition; only its top-level conjunctions `left = right` are join keys.
fn equalities(join: &Join) -> (Vec<(Expr, Expr)>, Vec<Expr>) {
    let mut pairs = join.on.clone();
    let mut rest = Vec::new();
    let (left, right) = (join.left.schema(), join.right.schema());
    let within = |expr: &Expr, schema: &DFSchema| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.iter().all(|c| schema.has_column(c))
    };
    let conjunctions = join.filter.iter().flat_map(datafusion::logical_expr::utils::split_conjunction);
    for term in conjunctions {
        match term {
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b })
                if within(a, left) && within(b, right) =>
            {
                pairs.push((a.as_ref().clone(), b.as_ref().clone()));
            }
            Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b })
                if within(a, right) && within(b, left) =>
            {
                pairs.push((b.as_ref().clone(), a.as_ref().clone()));
            }
            other => rest.push(other.clone()),
        }
    }
    (pairs, rest)
}

/// The refusal of a scalar function above the leaves.
pub(super) fn function_refusal(name: &str) -> Refusal {
    not_allowed(name)
}

/// An expression as its author would recognise it.
pub(super) fn text_of(expr: &Expr) -> String {
    expr.schema_name().to_string().chars().take(160).collect()
}
