//! Views and CTEs that take the names of others.

refused! {
    /// A CTE named as the dataset, with the identifier under an allowed column's name. Plain engine: all identifiers.
    cte_shadows_table, gives, "WITH people AS (SELECT id AS city FROM people) SELECT city, COUNT(*) FROM people GROUP BY city",
    ["group/identifier", "release/raw-rows"]
}
refused! {
    /// Columns swapped by a list of names. Plain engine: the income by the name of age.
    column_list, gives, "SELECT COUNT(*) FROM (SELECT income, age FROM people) t(age, income) WHERE age > 50000",
    ["column/usage"]
}
refused! {
    /// A CTE in a CTE, shadowing twice. Plain engine: the rows.
    nested_cte, gives, "WITH a AS (SELECT id AS x FROM people), b AS (SELECT x AS age FROM a) SELECT age FROM b",
    ["release/raw-rows"]
}
refused! {
    /// A view made on the way. Plain engine: a name for later.
    view, alone, "CREATE VIEW people2 AS SELECT id AS city FROM people", ["sql/not-a-query", "sql/parse"]
}
refused! {
    /// Recursion over rows. Plain engine: as many copies as it likes.
    recursion, alone,
    "WITH RECURSIVE r(x, n) AS (SELECT age, 1 FROM people UNION ALL SELECT x, n + 1 FROM r WHERE n < 3) SELECT COUNT(*) FROM r",
    ["plan/node", "unit/lost", "plan/table", "release/raw-rows", "sql/not-supported"]
}
refused! {
    /// A subquery alias named as another dataset. Plain engine: people under the rules of meters.
    alias_of_another, gives, "SELECT meters.id FROM (SELECT id FROM people) meters", ["release/raw-rows"]
}
refused! {
    /// The unit column replaced by a constant below, so that all rows are "one unit". Plain engine: everything.
    unit_replaced, gives, "SELECT id, SUM(income) FROM (SELECT city AS id, income FROM people) t GROUP BY id HAVING COUNT(*) = 1 UNION ALL SELECT id, income FROM people",
    ["release/raw-rows"]
}
refused! {
    /// A natural join uses whatever names are equal. Plain engine: a join on an attribute.
    natural_join, gives, "SELECT COUNT(*) FROM (SELECT city FROM people) a NATURAL JOIN (SELECT city FROM people) b",
    ["join/not-on-unit", "column/usage", "unit/lost"]
}
