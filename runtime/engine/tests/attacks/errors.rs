//! Errors that only one person's row causes: whether the query fails would be a bit about that person.
//!
//! Literature: Guarnieri, Marinovic & Basin 2016, "Strong and provably secure database access control" (exception leaks);
//! PROTOGEN and "SQL error channels". A plain engine fails with the offending value in the message.

use crate::common::World;

/// The query runs to its end whatever the rows hold, or is refused before any is read.
async fn survives(sql: &str) {
    let world = World::new(60).await;
    let path = world.file("probe.toml", &World::product_text("probe", sql, ""));
    if let Err(error) = world.domain.check_product(&path).await {
        // No refusal can depend on rows: no data was opened.
        assert!(!error.reasons().is_empty());
        return;
    }
    world.approve("probe", &World::product_text("probe", sql, ""), "operator", &["research"]).await;
    let answer = world.run("probe", &[], "research").await;
    assert!(answer.is_ok(), "{sql}: {}", answer.unwrap_err());
}

macro_rules! survives {
    ($($(#[$doc:meta])* $name:ident: $sql:expr;)+) => {
        $($(#[$doc])*
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            survives($sql).await;
        })+
    };
}

survives! {
    /// A cast that fails for one city's name.
    cast_of_text: "SELECT SUM(clamp(CAST(city AS INT), 0, 10)) FROM people";
    /// A division that is by zero for those who are 23.
    division_by_zero: "SELECT SUM(clamp(100 / (age - 23), 0, 10)) FROM people";
    /// The rest of a division by zero.
    modulo_zero: "SELECT SUM(clamp(100 % (age - 23), 0, 10)) FROM people";
    /// A product that overflows 64 bits for the rich.
    overflow: "SELECT SUM(clamp(income * income * income * income, 0, 10)) FROM people";
    /// A sum of narrow integers that overflows 32 bits.
    narrow_overflow: "SELECT SUM(clamp(age * 2000000000, 0, 10)) FROM people";
    /// A root of a negative number for the young.
    root_of_negative: "SELECT SUM(clamp(sqrt(age - 23), 0, 10)) FROM people";
    /// A logarithm of zero.
    logarithm_of_zero: "SELECT SUM(clamp(ln(age - 23), 0, 10)) FROM people";
    /// A power beyond all numbers.
    power_overflow: "SELECT SUM(clamp(power(10.0, age * 10), 0, 10)) FROM people";
    /// A subquery that gives two rows for one person.
    scalar_subquery: "SELECT COUNT(*) FROM people WHERE age > (SELECT age FROM people)";
    /// A pattern that is none for one value.
    bad_regex: "SELECT COUNT(*) FROM people WHERE regexp_like(city, '[')";
    /// A date that is none.
    bad_date: "SELECT COUNT(*) FROM people WHERE CAST(city AS DATE) > DATE '2020-01-01'";
    /// A substring before the beginning.
    bad_substring: "SELECT COUNT(*) FROM people WHERE substr(city, age - 30, age - 40) = ''";
    /// A cast out of the range of a narrow type.
    cast_out_of_range: "SELECT SUM(clamp(CAST(income AS SMALLINT), 0, 10)) FROM people";
    /// Decimals that overflow their digits.
    decimal_overflow: "SELECT SUM(clamp(CAST(income AS DECIMAL(5, 2)) * 999, 0, 10)) FROM people";
    /// A negation that overflows.
    negation_overflow: "SELECT SUM(clamp(-(income * 9223372036854775807), 0, 10)) FROM people";
    /// A cast to a narrow power of whole numbers.
    whole_power: "SELECT SUM(clamp(power(age, age), 0, 10)) FROM people";
    /// The absolute value of the least whole number.
    least_absolute: "SELECT SUM(clamp(abs(income * (-9223372036854775807 - 1)), 0, 10)) FROM people";
    /// The least whole number divided by -1, for those who are 23.
    least_quotient: "SELECT SUM(clamp((income * (-9223372036854775807 - 1)) / (age - 24), 0, 10)) FROM people";
    /// Its rest.
    least_rest: "SELECT SUM(clamp((income * (-9223372036854775807 - 1)) % (age - 24), 0, 10)) FROM people";
    /// The least whole number, negated.
    least_negated: "SELECT SUM(clamp(-(income * (-9223372036854775807 - 1)), 0, 10)) FROM people";
    /// As many digits as an income.
    rounded_digits: "SELECT SUM(clamp(round(age * 1.5, income * 100000), 0, 10)) FROM people";
    /// Cut at as many digits.
    cut_digits: "SELECT SUM(clamp(trunc(age * 1.5, income * 100000), 0, 10)) FROM people";
    /// A day so far away that no calendar has it.
    far_day: "SELECT COUNT(*) FROM people WHERE DATE '2020-01-01' + income * 1000000 > DATE '2020-01-01'";
    /// A date part of it.
    far_part: "SELECT COUNT(*) FROM people WHERE date_part('year', CAST(income * 1000 AS DATE)) > 2000";
    /// A list of alternatives that are not of one kind.
    mixed_case: "SELECT SUM(clamp(CASE WHEN age = 23 THEN city ELSE '7' END, 0, 10)) FROM people";
    /// Bands between ends that cross for some.
    crossed_clamp: "SELECT SUM(clamp(age, 0, clamp(income - 50000, 0, 10))) FROM people";
    /// A band of no width.
    empty_band: "SELECT width_bucket(age, 23, 23, 0), COUNT(*) FROM people GROUP BY 1";
}
