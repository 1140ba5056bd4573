//! Joins that multiply one person, or let one person touch others' rows.

refused! {
    /// A self join on an attribute: one person's row meets a third of all (Johnson, Near & Song 2018, FLEX). Plain engine: a
    /// count that one person moves by thousands.
    self_join_on_attribute, gives, "SELECT COUNT(*) FROM people a JOIN people b ON a.city = b.city",
    ["join/not-on-unit"]
}
refused! {
    /// Everything with everything. Plain engine: n².
    cross_join, gives, "SELECT COUNT(*) FROM people a CROSS JOIN meters b", ["join/not-on-unit"]
}
refused! {
    /// A join by inequality. Plain engine: a rank.
    range_join, gives, "SELECT COUNT(*) FROM people a JOIN people b ON a.age < b.age", ["join/not-on-unit"]
}
refused! {
    /// A condition that is always true. Plain engine: n².
    true_join, gives, "SELECT COUNT(*) FROM people a JOIN meters b ON 1 = 1", ["join/not-on-unit"]
}
refused! {
    /// Persons joined with firms that happen to share numbers: whose unit is a row then? Plain engine: what it is asked.
    kinds_mixed, gives, "SELECT COUNT(*) FROM people p JOIN firms f ON p.id <> f.code", ["join/not-on-unit"]
}
refused! {
    /// A row twice, by UNION ALL below the aggregate. Plain engine: doubled counts.
    rows_doubled, gives, "SELECT COUNT(*) FROM (SELECT age FROM people UNION ALL SELECT age FROM people) t",
    ["plan/node", "unit/lost", "union/unit"]
}
refused! {
    /// A row a thousand times, by unnesting a list. Plain engine: thousandfold counts.
    rows_unnested, gives, "SELECT COUNT(*) FROM (SELECT unnest([1,2,3,4,5,6,7,8,9]) AS x, age FROM people) t",
    ["plan/node", "expression/not-allowed", "function/not-allowed"]
}
refused! {
    /// A series beside each row. Plain engine: the same.
    rows_with_series, gives, "SELECT COUNT(*) FROM people CROSS JOIN (VALUES (1), (2), (3)) s(x)",
    ["plan/node", "join/open-not-unique"]
}
refused! {
    /// A full outer join has rows about nobody. Plain engine: the number of people without a meter. (LEFT JOIN by the unit is
    /// allowed: whether a person has a partner is a fact of that person's own rows, under the same noise.)
    outer_join, gives, "SELECT COUNT(*) FROM people p FULL JOIN meters m ON p.id = m.id WHERE m.quarter IS NULL",
    ["join/kind"]
}
refused! {
    /// An aggregate joined back to rows: everybody against the mean (Clayton & Denning's "compare with an aggregate").
    /// Plain engine: who is above.
    compared_with_the_mean, gives,
    "SELECT COUNT(*) FROM people p JOIN (SELECT city, AVG(age) AS a FROM people GROUP BY city) m ON p.city = m.city WHERE p.age > m.a",
    ["plan/released-with-private"]
}
refused! {
    /// An aggregate below that is not grouped by unit mixes units into one row. Plain engine: sums of sums.
    nested_without_unit, gives,
    "SELECT SUM(n) FROM (SELECT city, quarter, COUNT(*) AS n FROM people p JOIN meters m ON p.id = m.id GROUP BY city, quarter) t JOIN people q ON q.city = t.city",
    ["plan/released-with-private"]
}

/// Joins on the unit multiply by what both promise, and the noise grows with it; they are no way around the sensitivity.
/// Plain engine: sixteen rows of a person, exactly.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_unit_multiply_the_noise() {
    let world = crate::common::World::new(30).await;
    let path = |sql: &str| world.file("p.toml", &crate::common::World::product_text("p", sql, ""));
    let width = |checkup: yunei_engine::domain::Checkup| format!("{checkup:?}");
    let one = world.domain.check_product(&path("SELECT COUNT(*) FROM meters")).await.unwrap();
    let sql = "SELECT COUNT(*) FROM meters a JOIN meters b ON a.id = b.id";
    let two = world.domain.check_product(&path(sql)).await.unwrap();
    assert_ne!(width(one), width(two));
}
