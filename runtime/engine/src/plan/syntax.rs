//! The SQL text before the planner sees it: its size in every direction, the names that it may use, the functions that exist.
//!
//! The planner expands CTEs where they are used and grouping sets where they stand, so that a short text could become a plan
//! without end. What is counted here bounds what it can make of a text.

use super::functions::{is_known, not_allowed};
use super::size::{MAX_DEPTH, too_deep};
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArguments, GroupByExpr, ObjectName, Query, Select, SetExpr, Statement, TableFactor,
    Visit, Visitor, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use yunei_policy::{Refusal, Refused};

/// At most how many operators a text may have: each can nest what comes before it one deeper.
pub(super) const MAX_OPERATORS: usize = 1_000;
/// At most how many words, numbers and signs a text may have.
pub(super) const MAX_TOKENS: usize = 30_000;
/// At most how many SELECTs a text may have.
pub(super) const MAX_SELECTS: usize = 100;
/// At most how many tables a query may read, each CTE counted as often as it is used.
pub(super) const MAX_TABLES: usize = 64;
/// At most how many calls a text may have.
pub(super) const MAX_CALLS: usize = 800;
/// At most how many arguments a call may have.
pub(super) const MAX_ARGUMENTS: usize = 256;
/// At most how many window functions a text may have.
pub(super) const MAX_WINDOWS: usize = 100;
/// At most how many words are read, each again for every call that it stands in: the parser tries the arguments of a call in two ways,
/// and so those of a call among them in four.
pub(super) const MAX_READINGS: usize = 100_000;
/// Names with this beginning are ours.
const RESERVED: &str = "yunei_";

/// Whether a name is one of ours, which no author may give.
pub(super) fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(RESERVED))
}

/// The refusal of such a name.
pub(super) fn reserved(name: &str) -> Refused {
    Refusal::new("sql/reserved-name", "以 yunei_ 开头的名称由系统保留", "names that begin with yunei_ are reserved")
        .at(name.chars().take(64).collect::<String>())
        .hint("请换一个名称，不要以 yunei_ 开头", "choose a name that does not begin with yunei_")
        .into()
}

fn too_complex(zh: String, en: String, hint: (&str, &str)) -> Refused {
    Refusal::new("sql/too-complex", zh, en).at("product.sql").hint(hint.0, hint.1).into()
}

/// Looks at the words of a text, before it is parsed.
///
/// # Errors
/// `sql/too-complex`, `sql/reserved-name`. A text that is not made of words is left to the parser.
pub(super) fn check_words(sql: &str) -> Result<(), Refused> {
    let dialect = PostgreSqlDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, sql).tokenize() else { return Ok(()) };
    let (calls, readings) = calls_of(&tokens);
    if calls > MAX_CALLS {
        return Err(too_complex(
            format!("函数调用超过 {MAX_CALLS} 次"),
            format!("there are more than {MAX_CALLS} calls of functions"),
            (
                "请在子查询中计算一次再引用，或拆分为多个产品",
                "compute it once in a subquery, or make several products of it",
            ),
        ));
    }
    if readings > MAX_READINGS {
        return Err(too_complex(
            "函数调用逐层嵌套过深".to_owned(),
            "calls of functions are nested too deep in one another".to_owned(),
            ("请在子查询中先算出内层的值", "compute the inner ones in a subquery first"),
        ));
    }
    let (mut operators, mut words, mut selects, mut windows) = (0, 0, 0, 0);
    for token in &tokens {
        words += usize::from(!matches!(token, Token::Whitespace(_)));
        match token {
            Token::Word(word) => {
                let name = word.value.to_ascii_lowercase();
                if is_reserved(&name) {
                    return Err(reserved(&name));
                }
                if word.quote_style.is_none() {
                    selects += usize::from(matches!(name.as_str(), "select" | "values"));
                    windows += usize::from(name == "over");
                    operators += usize::from(matches!(
                        name.as_str(),
                        "and"
                            | "or"
                            | "not"
                            | "is"
                            | "union"
                            | "except"
                            | "intersect"
                            | "between"
                            | "like"
                            | "ilike"
                            | "at"
                            | "collate"
                            | "when"
                    ));
                }
            }
            Token::Comma
            | Token::LParen
            | Token::RParen
            | Token::Period
            | Token::SemiColon
            | Token::Whitespace(_)
            | Token::Number(..)
            | Token::Placeholder(_)
            | Token::SingleQuotedString(_)
            | Token::EOF => {}
            _ => operators += 1,
        }
    }
    if operators > MAX_OPERATORS {
        return Err(too_complex(
            format!("条件和运算超过 {MAX_OPERATORS} 个"),
            format!("there are more than {MAX_OPERATORS} conditions and operators"),
            ("多个等值条件请写成 x IN (…)", "write many equalities as x IN (…)"),
        ));
    }
    if windows > MAX_WINDOWS {
        return Err(too_complex(
            format!("窗口函数最多 {MAX_WINDOWS} 个"),
            format!("there are more than {MAX_WINDOWS} window functions"),
            ("请拆分为多个产品", "make several products of it"),
        ));
    }
    if selects > MAX_SELECTS || words > MAX_TOKENS {
        return Err(too_complex(
            format!("查询过长：SELECT 最多 {MAX_SELECTS} 个，词最多 {MAX_TOKENS} 个"),
            format!("the query is too long: at most {MAX_SELECTS} SELECTs and {MAX_TOKENS} words"),
            ("请拆分为多个产品", "make several products of it"),
        ));
    }
    Ok(())
}

/// How many calls there are, and how many words the parser reads, those it reads again included.
fn calls_of(tokens: &[Token]) -> (usize, usize) {
    let mut calls: Vec<u32> = Vec::new();
    let (mut depth, mut found, mut all) = (0u32, 0usize, 0usize);
    let mut before: Option<&Token> = None;
    for token in tokens {
        match token {
            Token::Whitespace(_) => continue,
            Token::LParen => {
                let call = match before {
                    Some(Token::Word(word)) if word.quote_style.is_some() => 1,
                    Some(Token::Word(word)) => levels_of(&word.value.to_ascii_lowercase()),
                    _ => 0,
                };
                calls.push(call);
                all += usize::from(call > 0);
                depth = depth.saturating_add(call);
            }
            Token::RParen => depth = depth.saturating_sub(calls.pop().unwrap_or(0)),
            _ => {}
        }
        found = found.saturating_add(1usize << depth.min(40));
        before = Some(token);
    }
    (all, found)
}

/// How often what is in brackets after a word is tried twice: not at all after words that begin no call.
fn levels_of(word: &str) -> u32 {
    match word {
        "and" | "or" | "not" | "in" | "as" | "where" | "on" | "when" | "then" | "else" | "case" | "from" | "by"
        | "having" | "exists" | "over" | "filter" | "values" | "join" | "union" | "all" | "select" | "between"
        | "like" | "using" | "except" | "intersect" | "lateral" | "sets" | "any" | "distinct" | "limit" | "group" => 0,
        "row" => 2,
        _ => 1,
    }
}

/// Looks at a parsed query, before it is planned.
///
/// # Errors
/// `sql/too-complex`, `sql/not-supported`, and `function/not-allowed` for every function that does not exist here.
pub(super) fn check_statement(statement: &Statement, state: &SessionState) -> Result<(), Refused> {
    let mut look =
        Look { state, reasons: Vec::new(), ctes: BTreeMap::new(), seen: BTreeSet::new(), depth: 0, deepest: 0 };
    let _ = statement.visit(&mut look);
    // Planning asks each level for its type, which looks at all that is below.
    if look.deepest > MAX_DEPTH {
        return Err(too_deep());
    }
    let Look { mut reasons, ctes, .. } = look;
    let mut tables = 0usize;
    let mut known = BTreeMap::new();
    let _ = visit_relations(statement, |name| {
        tables = tables.saturating_add(size_of(&key(name), &ctes, &mut known, 0));
        ControlFlow::<()>::Continue(())
    });
    if tables > MAX_TABLES {
        let refused = too_complex(
            format!("查询读取的表超过 {MAX_TABLES} 个（CTE 按使用次数计算）"),
            format!("the query reads more than {MAX_TABLES} tables, each CTE counted as often as it is used"),
            ("请减少重复使用的 CTE", "use each CTE less often"),
        );
        reasons.extend(refused.reasons().iter().cloned());
    }
    Refused::unless(reasons, ())
}

fn key(name: &ObjectName) -> String {
    name.to_string().to_ascii_lowercase()
}

/// How many tables a name stands for.
fn size_of(
    name: &str,
    ctes: &BTreeMap<String, Vec<String>>,
    known: &mut BTreeMap<String, usize>,
    depth: usize,
) -> usize {
    let Some(reads) = ctes.get(name) else { return 1 };
    if let Some(size) = known.get(name) {
        return *size;
    }
    // A CTE that names itself means a table outside of it.
    known.insert(name.to_owned(), 1);
    if depth > MAX_SELECTS {
        return MAX_TABLES + 1;
    }
    let size = reads.iter().fold(0usize, |all, read| all.saturating_add(size_of(read, ctes, known, depth + 1))).max(1);
    known.insert(name.to_owned(), size);
    size
}

struct Look<'s> {
    state: &'s SessionState,
    reasons: Vec<Refusal>,
    /// The tables that each CTE reads, those of the same name together.
    ctes: BTreeMap<String, Vec<String>>,
    seen: BTreeSet<String>,
    /// How deep the expression at hand is, and the deepest. Brackets are no level, and long chains of AND and OR were balanced.
    depth: usize,
    deepest: usize,
}

impl Look<'_> {
    fn unsupported(&mut self, what: &str, zh: &str, en: &str) {
        self.reasons.push(
            Refusal::new(
                "sql/not-supported",
                format!("产品中不支持 {what}"),
                format!("{what} has no place in a product"),
            )
            .at(what)
            .hint(zh, en),
        );
    }

    fn sets(&mut self, sets: &[Vec<Expr>], cube: bool) {
        let count = if cube { 1usize << sets.len().min(20) } else { sets.len() + 1 };
        if count > super::normalise::MAX_GROUPING_SETS {
            self.unsupported(
                "GROUPING SETS",
                "分组集最多 64 个；CUBE 最多 6 列",
                "at most 64 grouping sets; CUBE takes at most 6 columns",
            );
        }
    }
}

impl Visitor for Look<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            if with.recursive {
                self.unsupported("WITH RECURSIVE", "请改写为不递归的 CTE", "write CTEs that are not recursive");
            }
            for cte in &with.cte_tables {
                let mut reads = Vec::new();
                let _ = visit_relations(&cte.query, |name| {
                    reads.push(key(name));
                    ControlFlow::<()>::Continue(())
                });
                let name = cte.alias.name.to_string().to_ascii_lowercase();
                self.ctes.entry(name).or_default().extend(reads);
            }
        }
        if !query.locks.is_empty() {
            self.unsupported("FOR UPDATE", "请删去", "leave it out");
        }
        if matches!(query.body.as_ref(), SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_)) {
            self.unsupported("INSERT, UPDATE, DELETE", "产品只能查询", "a product only reads");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        // Rows of no columns have no names, which the planner looks for.
        if select.projection.is_empty() {
            self.unsupported("SELECT FROM", "请至少选出一列", "select at least one column");
        }
        if select.into.is_some() {
            self.unsupported("SELECT INTO", "请删去 INTO", "leave INTO out");
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            let product = keys.iter().fold(1usize, |all, key| {
                let sets = match key {
                    Expr::GroupingSets(sets) => sets.len().max(1),
                    Expr::Rollup(sets) => sets.len() + 1,
                    Expr::Cube(sets) => 1 << sets.len().min(20),
                    _ => 1,
                };
                all.saturating_mul(sets)
            });
            if product > super::normalise::MAX_GROUPING_SETS {
                self.unsupported(
                    "GROUPING SETS",
                    "分组集最多 64 个；CUBE 最多 6 列",
                    "at most 64 grouping sets; CUBE takes at most 6 columns",
                );
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { args: None, sample: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. } => {}
            TableFactor::Table { sample: Some(_), .. } => self.unsupported(
                "TABLESAMPLE",
                "样本的抽取无法核算，请用 WHERE 条件",
                "what a sample says of whom can not be accounted; choose rows by WHERE",
            ),
            _ => self.unsupported(
                "a table function",
                "只能读取产品列出的数据集",
                "only the product's datasets can be read",
            ),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if is_level(expr) {
            self.depth += 1;
            self.deepest = self.deepest.max(self.depth);
        }
        match expr {
            Expr::Function(call) => {
                if let FunctionArguments::List(list) = &call.args
                    && list.args.len() > MAX_ARGUMENTS
                {
                    let refused = too_complex(
                        format!("函数的参数最多 {MAX_ARGUMENTS} 个"),
                        format!("a call has more than {MAX_ARGUMENTS} arguments"),
                        ("请减少参数", "give it fewer arguments"),
                    );
                    self.reasons.extend(refused.reasons().iter().cloned());
                }
                let name = key(&call.name).trim_matches('"').to_owned();
                let registered = self.state.scalar_functions().contains_key(&name)
                    || self.state.aggregate_functions().contains_key(&name)
                    || self.state.window_functions().contains_key(&name);
                if !registered && !is_known(&name) && self.seen.insert(name.clone()) {
                    self.reasons.push(not_allowed(&name));
                }
            }
            Expr::Cube(sets) => self.sets(sets, true),
            Expr::Rollup(sets) | Expr::GroupingSets(sets) => self.sets(sets, false),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if is_level(expr) {
            self.depth -= 1;
        }
        ControlFlow::Continue(())
    }
}

fn is_level(expr: &Expr) -> bool {
    !matches!(expr, Expr::Nested(_) | Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}
