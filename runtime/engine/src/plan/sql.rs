//! SQL text to a logical plan: one query, nothing else.

use super::balance::balance;
use super::size::check_size;
use super::source::DatasetTable;
use super::syntax::{check_statement, check_words};
use super::wide::check_wide;
use crate::product::AggregateProduct;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use std::collections::BTreeSet;
use yunei_policy::{Refusal, Refused};

/// Parses and resolves the SQL of a product; parameters are still placeholders.
pub(super) async fn logical_plan(state: &SessionState, product: &AggregateProduct) -> Result<LogicalPlan, Refused> {
    check_words(product.sql())?;
    let dialect = datafusion::config::Dialect::PostgreSQL;
    let mut statement = state.sql_to_statement(product.sql(), &dialect).map_err(|e| sql_refusal("sql/parse", &e))?;
    match &mut statement {
        DfStatement::Statement(inner) if matches!(inner.as_ref(), Statement::Query(_)) => {
            balance(inner);
            check_statement(inner, state)?;
            check_wide(inner, state).await?;
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

fn check_parameters(plan: &LogicalPlan, product: &AggregateProduct) -> Result<(), Refused> {
    let mut unknown = BTreeSet::new();
    let _ = plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|e| {
                if let Expr::Placeholder(placeholder) = e {
                    let name = placeholder.id.trim_start_matches('$');
                    if !product.parameters().iter().any(|p| p.name() == name) {
                        unknown.insert(name.chars().take(64).collect::<String>());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // Nobody reads thousands of them.
    let reasons = unknown.into_iter().take(MAX_UNKNOWN).map(|name| {
        Refusal::new("parameter/undeclared", "SQL 使用了未声明的参数", "the SQL uses a parameter that is not declared")
            .at(format!("${name}"))
            .hint(
                format!("在 [product.params.{name}] 中声明类型和范围"),
                format!("declare its type and range in [product.params.{name}]"),
            )
    });
    Refused::unless(reasons.collect(), ())
}

/// At most how many undeclared parameters are told of.
const MAX_UNKNOWN: usize = 32;

/// The dataset behind a scan; anything else that can be scanned (table functions, values of the engine) has none.
pub(super) fn dataset_of(scan: &datafusion::logical_expr::TableScan) -> Option<yunei_policy::facts::Scan> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn std::any::Any = provider.as_ref();
    provider.downcast_ref::<DatasetTable>().map(DatasetTable::scan_facts)
}
