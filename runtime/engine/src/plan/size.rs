//! The size of a plan as it was resolved, in every direction in which what comes after could grow with it.
//!
//! A short text can say much: a column that is computed from another, that from a third, and so on, each of them twice, is doubled with
//! every subquery, and the engine writes it out where it moves a condition down (`expanded`). Wide SELECTs cost the square of their
//! columns in every pass, for each column is looked up by name (`width`).

use super::leaves::{Rows, rows_of};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator};
use std::collections::HashMap;
use yunei_policy::{Refusal, Refused};

/// At most how many nodes a plan may have.
pub(super) const MAX_NODES: usize = 256;
/// At most how many expression nodes a plan may have, also where each column is replaced by what it is computed from.
pub(super) const MAX_EXPRESSIONS: usize = 20_000;
/// At most how deep an expression may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// At most how deep an expression may be nested where each column is replaced by what it is computed from.
pub(super) const MAX_WRITTEN_DEPTH: usize = 256;
/// The squares of the columns of all SELECTs, joins and the like, threefold: 770 columns once, 300 six times. Above the leaves
/// ninefold and with every step between them, for numbers have the ends of their intervals beside them: 440 columns once, 100 nine
/// deep.
pub(super) const MAX_WIDTH: usize = 1_800_000;

fn too_large(zh: String, en: String, hint: (&str, &str)) -> Refused {
    Refusal::new("sql/too-complex", zh, en).at("product.sql").hint(hint.0, hint.1).into()
}

const SPLIT: (&str, &str) = ("请拆分为多个产品", "make several products of it");

/// Looks at a plan as it was resolved from the text.
///
/// # Errors
/// `sql/too-complex`.
pub(super) fn check_size(plan: &LogicalPlan) -> Result<(), Refused> {
    check_terms(plan)?;
    if width(plan) > MAX_WIDTH {
        return Err(too_wide());
    }
    let mut total = Written { parts: 0, depth: 0 };
    expanded(plan, &mut total);
    let too_much = |total: &Written| total.parts > MAX_EXPRESSIONS || total.depth > MAX_WRITTEN_DEPTH;
    let mut looked = Ok(TreeNodeRecursion::Continue);
    if !too_much(&total) {
        // Those inside of expressions have been counted as one part each.
        looked = plan.apply_with_subqueries(|node| {
            node.apply_subqueries(|subquery| {
                expanded(subquery, &mut total);
                Ok(TreeNodeRecursion::Continue)
            })
        });
    }
    if looked.is_err() || too_much(&total) {
        return Err(too_large(
            format!("子查询的列逐层相互引用，展开后超过 {MAX_EXPRESSIONS} 项或 {MAX_WRITTEN_DEPTH} 层"),
            format!(
                "columns of subqueries are computed from one another: written out they have more than {MAX_EXPRESSIONS} terms, \
                 or are nested deeper than {MAX_WRITTEN_DEPTH}"
            ),
            (
                "同一列在表达式中少写几次，或先按主体聚合（GROUP BY）再引用",
                "use each column fewer times in an expression, or aggregate (GROUP BY) before it is used again",
            ),
        ));
    }
    Ok(())
}

/// The refusal of SELECTs with too many columns in all.
pub(super) fn too_wide() -> Refused {
    too_large(
        "各层 SELECT 的列过多".to_owned(),
        "the SELECTs of the query have too many columns in all".to_owned(),
        (
            "只选出用到的列；不要把很宽的 SELECT 逐层嵌套",
            "select the columns that are used; do not nest very wide SELECTs in one another",
        ),
    )
}

fn check_terms(plan: &LogicalPlan) -> Result<(), Refused> {
    let (mut nodes, mut expressions, mut deepest) = (0, 0, 0);
    let counted = plan.apply_with_subqueries(|node| {
        nodes += 1;
        for expression in node.expressions() {
            let (count, depth) = measure(&expression);
            expressions += count;
            deepest = deepest.max(depth);
        }
        Ok(if nodes > MAX_NODES || expressions > MAX_EXPRESSIONS {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    if counted.is_err() || nodes > MAX_NODES {
        return Err(too_large(
            format!("计划超过 {MAX_NODES} 个节点"),
            format!("the plan has more than {MAX_NODES} nodes"),
            SPLIT,
        ));
    }
    if expressions > MAX_EXPRESSIONS {
        return Err(too_large(
            format!("表达式超过 {MAX_EXPRESSIONS} 项"),
            format!("the expressions have more than {MAX_EXPRESSIONS} terms"),
            SPLIT,
        ));
    }
    if deepest > MAX_DEPTH { Err(too_deep()) } else { Ok(()) }
}

/// The refusal of expressions inside one another without end.
pub(super) fn too_deep() -> Refused {
    too_large(
        format!("表达式嵌套超过 {MAX_DEPTH} 层"),
        format!("an expression is nested deeper than {MAX_DEPTH}"),
        ("请在子查询中分步计算", "compute it in steps, in subqueries"),
    )
}

/// What the widths of a plan's nodes come to.
fn width(plan: &LogicalPlan) -> usize {
    let mut all = 0usize;
    let _ = plan.apply_with_subqueries(|node| {
        let raw = rows_of(node) == Rows::Raw;
        let looks_up = match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Window(_) => true,
            LogicalPlan::TableScan(_) => false,
            // What only passes its rows on has nothing to look up, but for the ends of intervals.
            _ => !raw,
        };
        if !looks_up {
            return Ok(TreeNodeRecursion::Continue);
        }
        let (columns, times) = (node.schema().fields().len(), if raw { 3 } else { 9 });
        all = all.saturating_add(columns.saturating_mul(columns).saturating_mul(times));
        Ok(if all > MAX_WIDTH { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    all
}

/// What a column or an expression comes to when it is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    parts: usize,
    depth: usize,
}

impl Written {
    const ONE: Self = Self { parts: 1, depth: 1 };

    fn or(self, other: Self) -> Self {
        Self { parts: self.parts.max(other.parts), depth: self.depth.max(other.depth) }
    }
}

/// What each output column of a plan comes to where columns are replaced by what they are computed from. The parts of all
/// expressions of the plan are added to `total`, and its depth is that of the deepest.
fn expanded(plan: &LogicalPlan, total: &mut Written) -> Vec<Written> {
    let inputs = plan.inputs();
    let below: Vec<Vec<Written>> = inputs.iter().map(|input| expanded(input, total)).collect();
    // Columns of one name count as the largest of them.
    let mut known: HashMap<&str, Written> = HashMap::new();
    for (input, below) in inputs.iter().zip(&below) {
        for (field, of) in input.schema().fields().iter().zip(below) {
            let most = known.entry(field.name()).or_insert(*of);
            *most = most.or(*of);
        }
    }
    let mut of = |expr: &Expr| {
        let written = written_out(expr, &known);
        *total = Written { parts: total.parts.saturating_add(written.parts), depth: total.depth.max(written.depth) };
        written
    };
    let all: Vec<Written> = plan.expressions().iter().map(&mut of).collect();
    let width = plan.schema().fields().len();
    let first = || below.first().cloned().unwrap_or_default();
    let mut columns = match plan {
        LogicalPlan::Projection(_) => all,
        // A key is what it is computed from; an aggregate is a number of its own.
        LogicalPlan::Aggregate(node) => all.into_iter().take(node.group_expr.len().min(width)).collect(),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => first(),
            JoinType::RightSemi | JoinType::RightAnti => below.get(1).cloned().unwrap_or_default(),
            _ => below.concat(),
        },
        LogicalPlan::Union(_) => {
            let most = |at: usize| below.iter().filter_map(|of| of.get(at)).fold(Written::ONE, |a, b| a.or(*b));
            (0..width).map(most).collect()
        }
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Vec::new(),
        _ => first(),
    };
    columns.resize(width, Written::ONE);
    columns
}

/// What an expression comes to where columns are replaced, and where the engine's simplifier says an operand more than once:
/// `coalesce(x, y)` becomes a CASE over x, `x BETWEEN a AND b` and short lists become comparisons with x.
fn written_out(expr: &Expr, columns: &HashMap<&str, Written>) -> Written {
    let first_times = match expr {
        Expr::Column(column) => return columns.get(column.name.as_str()).copied().unwrap_or(Written::ONE),
        Expr::Between(_) => 2,
        Expr::InList(list) if list.list.len() <= 3 => list.list.len().max(1),
        _ => 1,
    };
    let all_times = match expr {
        Expr::ScalarFunction(call) if matches!(call.name(), "coalesce" | "nvl" | "nvl2" | "ifnull" | "date_part") => 2,
        _ => 1,
    };
    let (mut parts, mut depth, mut first) = (1usize, 0usize, true);
    let _ = expr.apply_children(|child| {
        let times = if std::mem::take(&mut first) { first_times.max(all_times) } else { all_times };
        let of = written_out(child, columns);
        parts = parts.saturating_add(of.parts.saturating_mul(times));
        depth = depth.max(of.depth);
        Ok(TreeNodeRecursion::Continue)
    });
    Written { parts, depth: depth.saturating_add(1) }
}

/// How many terms an expression has and how deep it is.
fn measure(expression: &Expr) -> (usize, usize) {
    let mut stack = vec![(expression, 1)];
    let (mut count, mut deepest) = (0, 0);
    while let Some((expression, depth)) = stack.pop() {
        count += 1;
        deepest = deepest.max(depth);
        if count > MAX_EXPRESSIONS {
            break;
        }
        let chain = |e: &Expr| match e {
            Expr::BinaryExpr(b) if matches!(b.op, Operator::And | Operator::Or) => Some(b.op),
            _ => None,
        };
        let here = chain(expression);
        let _ = expression.apply_children(|child| {
            // `a AND b AND c …` is one level, however long: what is told of it is a balanced tree.
            let deeper = here.is_none() || chain(child) != here;
            stack.push((child, depth + usize::from(deeper)));
            Ok(TreeNodeRecursion::Continue)
        });
    }
    (count, deepest)
}

#[cfg(test)]
mod tests {
    use super::super::room::with_room;
    use super::*;
    use datafusion::prelude::SessionContext;

    /// A plan over open tables: what it costs to resolve is the same.
    async fn plan(sql: &str) -> LogicalPlan {
        let context = SessionContext::new();
        context.sql("CREATE TABLE t (a INT, b INT)").await.unwrap().collect().await.unwrap();
        with_room(context.sql(sql)).await.unwrap().into_unoptimized_plan()
    }

    fn nested(levels: usize, column: &str) -> String {
        let mut sql = "SELECT a, b FROM t".to_owned();
        for level in 0..levels {
            sql = format!("SELECT {column} AS a, b FROM ({sql}) t{level}");
        }
        format!("SELECT b FROM ({sql}) t WHERE a > 1")
    }

    #[tokio::test]
    async fn columns_that_double_are_counted_as_they_would_be_written_out() {
        let size = |levels: usize, column: &'static str| async move {
            let mut total = Written { parts: 0, depth: 0 };
            expanded(&plan(&nested(levels, column)).await, &mut total);
            total.parts
        };
        // Three parts of one, of which two are doubled by the next, and so on.
        assert!(size(9, "a").await < 60);
        let (ten, eleven) = (size(10, "a + a").await, size(11, "a + a").await);
        assert!((8_000..10_000).contains(&ten) && eleven.abs_diff(ten * 2) < 100, "{ten} {eleven}");
        assert!(check_size(&plan(&nested(11, "a + a")).await).is_ok());
        for levels in [14, 20] {
            let refused = check_size(&plan(&nested(levels, "a + a")).await).unwrap_err();
            assert_eq!(refused.codes(), ["sql/too-complex"]);
        }
        assert!(check_size(&plan(&nested(20, "CASE WHEN a > 1 THEN a ELSE b END")).await).is_err());
        assert!(check_size(&plan(&nested(20, "a + 1")).await).is_ok());
        // What the simplifier says twice.
        for (column, passes) in [("coalesce(a, b)", 9), ("CASE WHEN a BETWEEN 1 AND 5 THEN 1 ELSE 0 END", 9)] {
            assert!(check_size(&plan(&nested(passes, column)).await).is_ok(), "{column}");
            assert!(check_size(&plan(&nested(16, column)).await).is_err(), "{column}");
        }
        // Deep without being large.
        let chain = |levels: usize| {
            let mut sql = "WITH c0 AS (SELECT a FROM t)".to_owned();
            for at in 1..=levels {
                sql.push_str(&format!(", c{at} AS (SELECT a{} AS a FROM c{})", " + 1".repeat(20), at - 1));
            }
            format!("{sql} SELECT a FROM c{levels} WHERE a > 1")
        };
        assert!(check_size(&plan(&chain(10)).await).is_ok());
        assert!(check_size(&plan(&chain(14)).await).is_err());
        // An aggregate begins anew.
        let anew = "SELECT b, SUM(a + a) AS a FROM (SELECT b, SUM(a + a) AS a FROM t GROUP BY b) u GROUP BY b";
        assert!(check_size(&plan(anew).await).is_ok());
    }

    #[tokio::test]
    async fn wide_selects_are_counted_by_their_squares() {
        let wide = |columns: usize, levels: usize| {
            let items: Vec<String> = (0..columns).map(|at| format!("a AS c{at}")).collect();
            let mut sql = format!("SELECT {} FROM t", items.join(", "));
            for level in 0..levels {
                sql = format!("SELECT * FROM ({sql}) t{level}");
            }
            sql
        };
        for (columns, levels, passes) in [(440, 0, true), (450, 0, false), (100, 9, true), (100, 12, false)] {
            let looked = check_size(&plan(&wide(columns, levels)).await);
            assert_eq!(looked.is_ok(), passes, "{columns} {levels}");
        }
    }
}
