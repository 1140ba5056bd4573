//! The part of a plan below a private leaf, as facts.

use super::expression::Teller;
use super::functions::not_allowed;
use super::sql::dataset_of;
use crate::functions::UnitModel;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use datafusion::logical_expr::{Aggregate as AggregateNode, BinaryExpr, Expr, Join, JoinType, LogicalPlan, Operator};
use yunei_policy::Refusal;
use yunei_policy::facts::{Aggregate, AggregateFunction, Expression, GroupKey, Interval, JoinKind, Leaf, Relation};

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
            LogicalPlan::Union(union) => {
                let inputs: Vec<_> = union.inputs.iter().map(|input| self.relation(input)).collect();
                Some(Relation::Union { inputs: inputs.into_iter().collect::<Option<_>>()? })
            }
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
            .hint(hint_of(plan).0, hint_of(plan).1),
        );
        None
    }

    fn join(&mut self, join: &Join) -> Option<Relation> {
        let left = self.relation(&join.left);
        let right = self.relation(&join.right);
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            JoinType::Full | JoinType::RightSemi | JoinType::RightAnti | JoinType::LeftMark | JoinType::RightMark => {
                let refusal = Refusal::new(
                    "join/kind",
                    format!("个体数据不能用 {} 连接", join.join_type),
                    format!("private rows are not joined by {} JOIN", join.join_type),
                );
                self.reasons.push(refusal.at("JOIN").hint(
                    "可用 INNER、LEFT、RIGHT JOIN；IN (SELECT …) 与 EXISTS 须写在 WHERE 的顶层（不在 OR 之内）",
                    "write INNER, LEFT or RIGHT JOIN; IN (SELECT …) and EXISTS stand at the top level of WHERE, not inside OR",
                ));
                return None;
            }
        };
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
            Some(f) => {
                // A semi-join's own schema has the left columns only.
                let both = join.left.schema().join(join.right.schema()).ok()?;
                Some(self.expression(&f, &both)?)
            }
        };
        Some(Relation::Join {
            kind,
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
        let ordered = !call.params.order_by.is_empty() && !is_quantile(call.func.name());
        let plain = call.params.filter.is_none() && !ordered && call.params.null_treatment.is_none();
        if !plain {
            self.reasons.push(
                Refusal::new(
                    "aggregate/modifier",
                    "个体数据的聚合函数不允许使用 ORDER BY、IGNORE NULLS",
                    "an aggregate over private rows takes no ORDER BY and no IGNORE NULLS",
                )
                .at(text.as_str())
                .hint("条件请写成 FILTER (WHERE …) 或 CASE WHEN", "write a condition as FILTER (WHERE …) or CASE WHEN"),
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
        // Which quantile is told apart from the argument.
        let args = if is_quantile(call.func.name()) { args.get(..1).unwrap_or_default() } else { args };
        let told: Vec<_> = args.iter().map(|a| self.expression(a, schema)).collect();
        told.into_iter().collect()
    }

    /// `MEDIAN(x)`, `APPROX_PERCENTILE_CONT(x, q)`, `PERCENTILE_CONT(q) WITHIN GROUP (ORDER BY x)`.
    fn quantile(&mut self, call: &AggregateExpr, text: &str) -> Option<AggregateFunction> {
        let args = &call.params.args;
        let q = match (call.func.name(), args.get(1)) {
            ("median" | "approx_median", None) => Some(0.5),
            ("percentile_cont" | "approx_percentile_cont", Some(q)) => number_of(q),
            _ => None,
        };
        let descending = call.params.order_by.first().is_some_and(|sort| !sort.asc);
        let q = q.filter(|q| (0.0..=1.0).contains(q)).map(|q| if descending { 1.0 - q } else { q });
        if q.is_none() {
            self.reasons.push(
                Refusal::new("aggregate/quantile", "分位数须是 0 到 1 的常量", "a quantile is a constant from 0 to 1")
                    .at(text)
                    .hint(
                        "如 MEDIAN(x)、APPROX_PERCENTILE_CONT(x, 0.9)",
                        "e.g. MEDIAN(x), APPROX_PERCENTILE_CONT(x, 0.9)",
                    ),
            );
        }
        Some(AggregateFunction::Quantile { q: q? })
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
        if is_quantile(call.func.name()) && !call.params.distinct {
            return self.quantile(call, text);
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
                        .at(text)
                        .hint(
                            "每个主体取一个值：内层 GROUP BY 主体列，外层再聚合",
                            "for one value per unit, aggregate by the unit column in a subquery first",
                        ),
                );
                return None;
            }
            (name, _) => {
                let shown: String = name.chars().take(64).collect();
                let near = super::functions::nearest_aggregate(name);
                self.reasons.push(
                    Refusal::new(
                        "aggregate/not-allowed",
                        format!("聚合函数 {shown} 不允许用于个体数据"),
                        format!("the aggregate {shown} is not allowed over private rows"),
                    )
                    .at(text)
                    .hint(
                        format!("最接近的可用写法：{near}；可用：{AGGREGATES}"),
                        format!("the nearest that is allowed: {near}; allowed are {AGGREGATES}"),
                    ),
                );
                return None;
            }
        };
        Some(function)
    }
}

/// The aggregates over private rows, for hints.
const AGGREGATES: &str =
    "COUNT, COUNT(DISTINCT unit), SUM, AVG, VAR_SAMP, VAR_POP, STDDEV_SAMP, STDDEV_POP, MEDIAN, APPROX_PERCENTILE_CONT";

fn is_quantile(name: &str) -> bool {
    matches!(name, "median" | "approx_median" | "percentile_cont" | "approx_percentile_cont")
}

fn number_of(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Literal(ScalarValue::Float64(v), _) => *v,
        Expr::Literal(ScalarValue::Int64(v), _) => v.map(|v| v as f64),
        Expr::Alias(alias) => number_of(&alias.expr),
        Expr::Cast(cast) => number_of(&cast.expr),
        _ => None,
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

/// What to write in the place of a node that private rows do not pass through.
fn hint_of(plan: &LogicalPlan) -> (&'static str, &'static str) {
    match plan {
        LogicalPlan::Limit(_) => (
            "抽样请用 WHERE 条件；LIMIT 请写在聚合之后",
            "choose rows by WHERE; write LIMIT above the aggregate, on released values",
        ),
        LogicalPlan::Window(_) => (
            "请在聚合之后使用窗口函数；每个主体的值请用 GROUP BY 主体列 的子查询计算",
            "use window functions above the aggregate; for a value per unit, write a subquery with GROUP BY the unit column",
        ),
        LogicalPlan::Distinct(_) => {
            ("请用 GROUP BY 主体列 的子查询", "write a subquery with GROUP BY the unit column instead of DISTINCT ON")
        }
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
            ("请登记为开放数据集后再连接", "register it as an open dataset, then join that")
        }
        _ => ("请在聚合之后使用", "use it above the aggregate, on released values"),
    }
}

/// The refusal of a scalar function above the leaves.
pub(super) fn function_refusal(name: &str) -> Refusal {
    not_allowed(name)
}

/// An expression as its author would recognise it: literals without their types, and `count(*)`, which is planned as
/// `count(1)`.
pub(super) fn text_of(expr: &Expr) -> String {
    let plain = expr.clone().transform(|e| {
        Ok(match e {
            Expr::Literal(value, _) => Transformed::yes(Expr::Column(Column::new_unqualified(literal(&value)))),
            other => Transformed::no(other),
        })
    });
    let text = plain.map_or_else(|_| expr.human_display().to_string(), |plain| plain.data.human_display().to_string());
    text.replace("count(1)", "count(*)").chars().take(160).collect()
}

/// A literal as a query writes it.
fn literal(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        other => other.to_string(),
    }
}
