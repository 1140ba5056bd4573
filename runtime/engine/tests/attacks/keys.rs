//! Values that leave as group keys, or as aggregates that are values.

refused! {
    /// A name as a group key: every row is a group, every key a person. Plain engine: all identifiers.
    /// Literature: Sweeney 2000, "Simple demographics often identify people uniquely".
    identifier_as_group_key, gives, "SELECT id, COUNT(*) FROM people GROUP BY id",
    ["release/raw-rows", "group/identifier"]
}
refused! {
    /// The identifier in other clothes. Plain engine: all identifiers, letter by letter.
    identifier_through_text_functions, gives,
    "SELECT concat(upper(substr(id, 1, 4)), lower(substr(id, 5))), COUNT(*) FROM people GROUP BY 1", ["group/identifier"]
}
refused! {
    /// One character at a time. Plain engine: the identifiers' alphabet by position, together with others all of them.
    identifier_by_characters, gives, "SELECT substr(id, 8, 1), COUNT(*) FROM people GROUP BY 1", ["group/identifier"]
}
refused! {
    /// Through CASE, so that the key looks like a constant. Plain engine: who has the identifier that was guessed.
    identifier_through_case, gives,
    "SELECT CASE WHEN id = 'P0000003' THEN 'him' ELSE 'others' END, COUNT(*) FROM people GROUP BY 1",
    ["group/identifier", "filter/identifier"]
}
refused! {
    /// A continuous number as a key: nearly unique (Golle 2006). Plain engine: every income.
    continuous_number_as_key, gives, "SELECT kwh * 1.5, COUNT(*) FROM meters GROUP BY 1", ["group/float", "column/usage"]
}
refused! {
    /// A sensitive number as a key. Plain engine: every income with its count.
    sensitive_number_as_key, gives, "SELECT income, COUNT(*) FROM people GROUP BY income", ["column/usage"]
}
refused! {
    /// The extreme is somebody's value (Dalenius 1977). Plain engine: the highest income.
    greatest_value, gives, "SELECT MAX(income) FROM people", ["aggregate/min-max"]
}
refused! {
    /// The first value is somebody's. Plain engine: an income.
    first_value, gives, "SELECT first_value(income) FROM people", ["aggregate/not-allowed"]
}
refused! {
    /// All values in one. Plain engine: a list of all identifiers.
    values_as_a_list, gives, "SELECT array_agg(id) FROM people", ["aggregate/not-allowed"]
}
refused! {
    /// All values as one text. Plain engine: all identifiers.
    values_as_a_text, gives, "SELECT string_agg(id, ',') FROM people", ["aggregate/not-allowed"]
}
refused! {
    /// The fifth value is somebody's. Plain engine: an income. (A median is allowed: it comes from a noisy histogram.)
    nth_of_values, gives, "SELECT nth_value(income, 5) FROM people", ["aggregate/not-allowed"]
}
refused! {
    /// Distinct rows are rows. Plain engine: all pairs of city and age.
    distinct_rows, gives, "SELECT DISTINCT city, age FROM people", ["release/raw-rows", "aggregate/none"]
}
refused! {
    /// A group without an aggregate says that somebody is in it. Plain engine: who is there at all.
    groups_without_aggregate, gives, "SELECT city FROM people GROUP BY city", ["aggregate/none", "release/raw-rows"]
}
refused! {
    /// How many different incomes there are moves by one with one person's. Plain engine: exactly that.
    distinct_values_counted, gives, "SELECT COUNT(DISTINCT income) FROM people",
    ["aggregate/count-distinct", "column/usage"]
}

/// A unique value of an undeclared key must not show because somebody has it: the noisy threshold (Korolova et al. 2009).
/// Plain engine: the rare age with its one person.
#[tokio::test(flavor = "multi_thread")]
async fn rare_open_key_does_not_show() {
    let world = crate::firms::world(&[]).await;
    let sql = "SELECT width_bucket(age, 0, 100000, 50000) AS k, COUNT(*) AS n FROM people GROUP BY 1";
    let text = crate::common::World::product_text("rare", sql, "");
    world.approve("rare", &text, "operator", &["research"]).await;
    let answer = world.run("rare", &[], "research").await.unwrap();
    // 30 people, all of different ages; a threshold for δ of 5e-10 lies above single persons.
    assert_eq!(answer.released.batch().num_rows(), 0);
}

/// A rare brand of firms below the threshold (statistical): it goes into the remainder. Plain engine: the brand.
#[tokio::test(flavor = "multi_thread")]
async fn rare_brand_does_not_show() {
    let mut firms = crate::firms::ordinary(120);
    firms[5].3 = "独一无二".to_owned();
    let world = crate::firms::world(&firms).await;
    let batch = crate::firms::ask(&world, "brands", "SELECT brand, COUNT(*) AS n FROM firms GROUP BY brand").await;
    assert!(crate::firms::texts(&batch, "brand").iter().flatten().all(|b| b != "独一无二"));
}
