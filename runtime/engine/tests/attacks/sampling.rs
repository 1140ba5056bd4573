//! Few rows instead of few persons: limits, samples, positions.

refused! {
    /// The first row below the aggregate. Plain engine: one person's numbers as an "average".
    limit_below, gives, "SELECT AVG(income) FROM (SELECT income FROM people LIMIT 1) t", ["plan/node"]
}
refused! {
    /// The row after the tenth. Plain engine: the eleventh person.
    offset_below, gives, "SELECT AVG(income) FROM (SELECT income FROM people OFFSET 10) t", ["plan/node"]
}
refused! {
    /// The richest, by order and limit. Plain engine: the highest income.
    top_below, gives, "SELECT SUM(income) FROM (SELECT income FROM people ORDER BY income DESC LIMIT 1) t", ["plan/node"]
}
refused! {
    /// By position. Plain engine: the row with that number.
    row_number_below, gives,
    "SELECT SUM(income) FROM (SELECT income, row_number() OVER (ORDER BY age) AS n FROM people) t WHERE n = 7",
    ["plan/node", "expression/not-allowed"]
}
refused! {
    /// A random sample, again and again (Denning 1980 answers with samples; here they would be an unpaid second draw).
    random_filter, gives, "SELECT COUNT(*) FROM people WHERE random() < 0.99", ["function/not-allowed"]
}

/// TABLESAMPLE: another draw each time, of few. It is refused, or it is not there: a sample of 1 % would have needed less noise.
#[test]
fn table_sample() {
    let sql = "SELECT COUNT(*) FROM people TABLESAMPLE BERNOULLI (1)";
    if crate::tools::codes(&crate::tools::product("probe", sql, "")).is_empty() {
        crate::tools::is_allowed("SELECT COUNT(*) FROM people");
    }
}

refused! {
    /// One row per key. Plain engine: a person per city.
    distinct_on, gives, "SELECT AVG(income) FROM (SELECT DISTINCT ON (city) city, income FROM people ORDER BY city, income) t",
    ["plan/node"]
}
refused! {
    /// A window over rows carries neighbours' values. Plain engine: the next person's income.
    neighbours, gives, "SELECT SUM(x) FROM (SELECT lead(income) OVER (ORDER BY age) AS x FROM people) t",
    ["plan/node", "expression/not-allowed"]
}
refused! {
    /// FETCH FIRST is LIMIT. Plain engine: one row.
    fetch_first, alone, "SELECT COUNT(*) FROM (SELECT * FROM people FETCH FIRST 1 ROWS ONLY) t", ["plan/node", "sql/resolve", "sql/parse"]
}
