//! SQL text to a logical plan: one query, nothing else.

use super::source::DatasetTable;
use super::syntax::{check_statement, check_words};
use crate::product::AggregateProduct;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use yunei_policy::{Refusal, Refused};

/// At most how many nodes a plan may have.
pub(super) const MAX_NODES: usize = 256;
/// At most how many expression nodes a plan may have.
pub(super) const MAX_EXPRESSIONS: usize = 20_000;
/// At most how deep an expression may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// Parses and resolves the SQL of a product; parameters are still placeholders.
pub(super) async fn logical_plan(state: &SessionState, product: &AggregateProduct) -> Result<LogicalPlan, Refused> {
    check_words(product.sql())?;
    let dialect = datafusion::config::Dialect::PostgreSQL;
    let statement = state.sql_to_statement(product.sql(), &dialect).map_err(|e| sql_refusal("sql/parse", &e))?;
    match &statement {
        DfStatement::Statement(inner) if matches!(inner.as_ref(), Statement::Query(_)) => {
            check_statement(inner, state)?;
        }
        _ => {
            return Err(Refusal::new(
                "sql/not-a-query",
                "产品只能是一条查询语句",
                "a product is one query and nothing else",
            )
            .at("product.sql")
            .into());
        }
    }
    let plan = state.statement_to_plan(statement).await.map_err(|e| sql_refusal("sql/resolve", &e))?;
    check_size(&plan)?;
    check_names(&plan)?;
    check_parameters(&plan, product)?;
    Ok(plan)
}

/// The engine's words about the author's own text: no data has been opened, so that none can stand in it.
fn sql_refusal(code: &'static str, error: &DataFusionError) -> Refused {
    let text: String = error.strip_backtrace().chars().take(600).collect();
    let text = text.split("\n\n").next().unwrap_or_default().trim().to_owned();
    Refusal::new(code, format!("SQL 有误：{text}"), format!("the SQL does not stand: {text}")).at("product.sql").into()
}

/// A name can be given in more ways than the words of a text show (`AS 'name'`): none of a plan's columns has one of ours.
fn check_names(plan: &LogicalPlan) -> Result<(), Refused> {
    let mut found = None;
    let looked = plan.apply_with_subqueries(|node| {
        let ours = |name: &str| super::syntax::is_reserved(name).then(|| name.to_owned());
        let mut names =
            node.schema().iter().flat_map(|(q, f)| [q.map(|q| q.table().to_owned()), Some(f.name().clone())]);
        found = found.take().or_else(|| names.find_map(|name| ours(&name?)));
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (found, looked) {
        (Some(name), _) => Err(super::syntax::reserved(&name)),
        (None, Err(_)) => Err(super::syntax::reserved("-")),
        (None, Ok(_)) => Ok(()),
    }
}

fn too_large(zh: String, en: String) -> Refused {
    Refusal::new("sql/too-complex", zh, en).at("product.sql").into()
}

fn check_size(plan: &LogicalPlan) -> Result<(), Refused> {
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
        ));
    }
    if expressions > MAX_EXPRESSIONS {
        return Err(too_large(
            format!("表达式超过 {MAX_EXPRESSIONS} 项"),
            format!("the expressions have more than {MAX_EXPRESSIONS} terms"),
        ));
    }
    if deepest > MAX_DEPTH {
        return Err(too_large(
            format!("表达式嵌套超过 {MAX_DEPTH} 层"),
            format!("an expression is nested deeper than {MAX_DEPTH}"),
        ));
    }
    Ok(())
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

fn check_parameters(plan: &LogicalPlan, product: &AggregateProduct) -> Result<(), Refused> {
    let mut reasons = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|e| {
                if let Expr::Placeholder(placeholder) = e {
                    let name = placeholder.id.trim_start_matches('$');
                    if !product.parameters().iter().any(|p| p.name() == name) {
                        let shown: String = name.chars().take(64).collect();
                        reasons.push(
                            Refusal::new(
                                "parameter/undeclared",
                                "SQL 使用了未声明的参数",
                                "the SQL uses a parameter that is not declared",
                            )
                            .at(format!("${shown}"))
                            .hint(
                                format!("在 [product.params.{shown}] 中声明类型和范围"),
                                format!("declare its type and range in [product.params.{shown}]"),
                            ),
                        );
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    Refused::unless(reasons, ())
}

/// The dataset behind a scan; anything else that can be scanned (table functions, values of the engine) has none.
pub(super) fn dataset_of(scan: &datafusion::logical_expr::TableScan) -> Option<yunei_policy::facts::Scan> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn std::any::Any = provider.as_ref();
    provider.downcast_ref::<DatasetTable>().map(DatasetTable::scan_facts)
}
