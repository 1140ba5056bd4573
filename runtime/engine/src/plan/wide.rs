//! How many columns the SELECTs of a text come to, before the planner writes them out: `*` stands for all the columns of what is below,
//! and as often as a text is nested, they are looked up by name again. `size.rs` counts what the planner then makes, exactly.

use super::size::too_wide;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins, Visit, Visitor,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use yunei_policy::Refused;

/// At most what the squares of the columns of all SELECTs come to, a CTE's as often as it is used: about 1,700 columns once.
const MAX_SQUARES: usize = 3_000_000;

/// Looks at the SELECTs of a statement.
///
/// # Errors
/// `sql/too-complex`.
pub(super) async fn check_wide(statement: &Statement, state: &SessionState) -> Result<(), Refused> {
    let mut widths = Widths::default();
    let schema = state.catalog_list().catalog("datafusion").and_then(|catalog| catalog.schema("public"));
    if let Some(schema) = schema {
        for name in schema.table_names() {
            let columns = schema.table(&name).await.ok().flatten().map_or(0, |table| table.schema().fields().len());
            widths.tables.insert(name.to_ascii_lowercase(), Table { columns, squares: 0 });
        }
    }
    let _ = statement.visit(&mut widths);
    if widths.squares > MAX_SQUARES { Err(too_wide()) } else { Ok(()) }
}

/// A dataset or a CTE: its columns, and what the SELECTs in it come to.
#[derive(Debug, Clone, Copy)]
struct Table {
    columns: usize,
    squares: usize,
}

#[derive(Debug, Default)]
struct Widths {
    tables: BTreeMap<String, Table>,
    /// The columns of queries that have been counted, by where they stand in memory.
    seen: BTreeMap<usize, usize>,
    squares: usize,
}

impl Visitor for Widths {
    type Break = ();

    /// Every query, those inside of expressions too.
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.query(query);
        ControlFlow::Continue(())
    }
}

impl Widths {
    fn add(&mut self, columns: usize) {
        self.squares = self.squares.saturating_add(columns.saturating_mul(columns));
    }

    fn query(&mut self, query: &Query) -> usize {
        let place = std::ptr::from_ref(query) as usize;
        if let Some(columns) = self.seen.get(&place) {
            return *columns;
        }
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let before = self.squares;
            let columns = self.query(&cte.query);
            let table = Table { columns, squares: self.squares - before };
            // Where a name is given twice, the larger counts.
            let known = self.tables.entry(cte.alias.name.value.to_ascii_lowercase()).or_insert(table);
            known.columns = known.columns.max(columns);
            known.squares = known.squares.max(table.squares);
        }
        let columns = self.body(&query.body);
        self.seen.insert(place, columns);
        columns
    }

    fn body(&mut self, body: &SetExpr) -> usize {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let columns = self.body(left).max(self.body(right));
                self.add(columns);
                columns
            }
            SetExpr::Values(values) => {
                let columns = values.rows.iter().map(|row| row.len()).max().unwrap_or(0);
                self.add(columns);
                columns
            }
            SetExpr::Table(_) | SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => 1,
        }
    }

    fn select(&mut self, select: &Select) -> usize {
        let below: usize = select.from.iter().map(|from| self.joined(from)).fold(0, usize::saturating_add);
        let of = |item: &SelectItem| match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => below,
            _ => 1,
        };
        let columns = select.projection.iter().map(of).fold(0, usize::saturating_add);
        self.add(columns);
        columns
    }

    fn joined(&mut self, from: &TableWithJoins) -> usize {
        let mut columns = self.table(&from.relation);
        for join in &from.joins {
            columns = columns.saturating_add(self.table(&join.relation));
            self.add(columns);
        }
        columns
    }

    fn table(&mut self, factor: &TableFactor) -> usize {
        match factor {
            TableFactor::Table { name, .. } => self.named(name),
            TableFactor::Derived { subquery, .. } => self.query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.joined(table_with_joins),
            // Refused elsewhere.
            _ => 1,
        }
    }

    fn named(&mut self, name: &ObjectName) -> usize {
        let name = name.to_string().trim_matches('"').to_ascii_lowercase();
        let Some(table) = self.tables.get(&name).copied() else { return 1 };
        self.squares = self.squares.saturating_add(table.squares);
        table.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn squares(sql: &str) -> usize {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let mut widths = Widths::default();
        widths.tables.insert("t".to_owned(), Table { columns: 10, squares: 0 });
        let _ = statement.visit(&mut widths);
        widths.squares
    }

    #[test]
    fn columns_are_counted_where_they_are_written_out() {
        assert_eq!(squares("SELECT a, b FROM t"), 4);
        assert_eq!(squares("SELECT * FROM t"), 100);
        assert_eq!(squares("SELECT * FROM (SELECT *, 1 FROM t) u"), 2 * 121);
        // The join, and what is selected of it.
        assert_eq!(squares("SELECT * FROM t a JOIN t b ON a.x = b.x"), 2 * 400);
        assert_eq!(
            squares("SELECT 1 FROM t WHERE EXISTS (SELECT * FROM t WHERE x IN (SELECT * FROM t))"),
            1 + 100 + 100
        );
        assert_eq!(squares("SELECT 1 UNION ALL SELECT 2"), 3);
        assert_eq!(squares("SELECT * FROM (VALUES (1, 2, 3)) v"), 18);
        // A CTE as often as it is used, and once where it stands.
        assert_eq!(squares("WITH c AS (SELECT * FROM t) SELECT 1 FROM c"), 100 + 100 + 1);
        let twice = "WITH c AS (SELECT * FROM t), d AS (SELECT * FROM c) SELECT * FROM d";
        assert_eq!(squares(twice), 100 + 200 + 200 + 100);
        assert_eq!(squares("SELECT * FROM \"T\""), 100);
    }

    #[test]
    fn a_text_that_nests_without_end_is_counted_in_one_pass() {
        let mut sql = "SELECT * FROM t".to_owned();
        for level in 0..20 {
            sql = format!("SELECT * FROM ({sql}) t{level}");
        }
        assert_eq!(squares(&sql), 21 * 100);
        let mut ctes = "WITH c0 AS (SELECT * FROM t a, t b)".to_owned();
        for at in 1..60 {
            ctes.push_str(&format!(", c{at} AS (SELECT * FROM c{0} a JOIN c{0} b ON a.x = b.x)", at - 1));
        }
        assert_eq!(squares(&format!("{ctes} SELECT 1 FROM c59")), usize::MAX);
    }
}
