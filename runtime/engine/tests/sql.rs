//! Ordinary analysts' queries: what must be cleared and give right numbers, and what is refused with advice.

#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::display::array_value_to_string;

/// The rows of a result: the author's columns as texts, by the first column.
fn rows(batch: &RecordBatch, columns: usize) -> Vec<Vec<String>> {
    (0..batch.num_rows())
        .map(|row| (0..columns).map(|c| array_value_to_string(batch.column(c), row).unwrap()).collect())
        .collect()
}

fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = cast(batch.column_by_name(name).unwrap(), &DataType::Float64).unwrap();
    column.as_primitive::<Float64Type>().iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

struct Asked<'w> {
    world: &'w World,
    count: std::cell::Cell<usize>,
}

impl Asked<'_> {
    async fn run(&self, sql: &str) -> (RecordBatch, usize) {
        let n = self.count.get() + 1;
        self.count.set(n);
        let id = format!("q-{n}");
        self.world.approve(&id, &World::product_text(&id, sql, ""), "operator", &["research"]).await;
        let answer = self.world.run(&id, &[], "research").await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        (answer.released.batch().clone(), answer.released.columns())
    }
}

/// Queries that an analyst would expect to work.
const ALLOWED: &[&str] = &[
    // Filters, bands, dates, CASE.
    "SELECT COUNT(*) FROM people",
    "SELECT city, COUNT(*) FROM people WHERE age BETWEEN 20 AND 39 AND city IN ('昆明', '大理') GROUP BY city",
    "SELECT city, COUNT(*) FROM people WHERE city LIKE '昆%' GROUP BY city",
    "SELECT COUNT(*) FROM people WHERE NOT (city = '昆明' OR age > 60)",
    "SELECT floor(age / 10) * 10 AS decade, COUNT(*) FROM people GROUP BY 1 ORDER BY 1",
    "SELECT width_bucket(age, 0, 120, 6) AS band, COUNT(*) FROM people GROUP BY band",
    "SELECT round(age, -1) AS band, AVG(income) FROM people GROUP BY 1",
    "SELECT age / 20 AS band, AVG(income) FROM people GROUP BY 1",
    "SELECT age >= 60 AS old, COUNT(*) FROM people GROUP BY 1",
    "SELECT CASE WHEN age < 30 THEN 'young' WHEN age < 60 THEN 'middle' ELSE 'old' END AS band, COUNT(*), AVG(income) FROM people GROUP BY 1",
    "SELECT CASE city WHEN '昆明' THEN 1 ELSE 0 END AS capital, COUNT(*) FROM people GROUP BY 1",
    "SELECT left(city, 1) AS initial, COUNT(*) FROM people GROUP BY 1",
    "SELECT upper(city) AS city, COUNT(*) FROM people GROUP BY 1",
    "SELECT city || '市' AS name, COUNT(*) FROM people GROUP BY 1",
    "SELECT EXTRACT(year FROM born) AS year, COUNT(*) FROM births GROUP BY 1",
    "SELECT date_part('month', born) AS month, COUNT(*) FROM births GROUP BY 1",
    "SELECT date_trunc('year', born) AS year, COUNT(*) FROM births GROUP BY 1 ORDER BY 1",
    "SELECT COUNT(*) FROM births WHERE born >= DATE '2000-01-31' - INTERVAL '1 month' AND born < DATE '2000-01-01' + INTERVAL '400 days'",
    "SELECT COUNT(*) FROM births WHERE born + INTERVAL '30' DAY < DATE '2000-01-01'",
    "SELECT COUNT(*) FROM births WHERE DATE '2000-01-01' < INTERVAL '1 year 2 months 3 days' + born",
    "SELECT date_part('year', born - INTERVAL '3 months') AS year, COUNT(*) FROM births GROUP BY 1",
    "SELECT date_trunc('year', born + INTERVAL '1 month') AS year, COUNT(*) FROM births GROUP BY 1 ORDER BY 1",
    "SELECT year + INTERVAL '1 year' AS next, n FROM (SELECT date_trunc('year', born) AS year, COUNT(*) AS n FROM births GROUP BY 1) t",
    "SELECT date_trunc('quarter', born) AS quarter, COUNT(*) FROM births WHERE born >= DATE '1990-01-01' AND born < DATE '1991-01-01' GROUP BY 1",
    "SELECT COUNT(*) FROM births WHERE born BETWEEN '1980-01-01' AND '1989-12-31'",
    "SELECT SUM(income) FILTER (WHERE age < 30) AS young, SUM(income) AS total FROM people",
    "SELECT COUNT(*) FILTER (WHERE city = '昆明') AS kunming, COUNT(*) AS n FROM people",
    "SELECT SUM(CASE WHEN age < 30 THEN 1 ELSE 0 END) AS young FROM people",
    "SELECT AVG(clamp(income, 0, 50000)) FROM people",
    "SELECT SUM(income * 12) AS yearly, AVG(income / 1000.0) AS thousands FROM people",
    "SELECT AVG(sqrt(income)), AVG(ln(income + 1)) FROM people",
    // Aggregates.
    "SELECT city, VAR_SAMP(income), VAR_POP(income), STDDEV(income), STDDEV_POP(income) FROM people GROUP BY city",
    "SELECT MEDIAN(income), APPROX_PERCENTILE_CONT(income, 0.9) FROM people",
    "SELECT city, approx_median(age) AS age FROM people GROUP BY city",
    "SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY income) AS q1 FROM people",
    "SELECT COUNT(DISTINCT id) FROM meters",
    "SELECT quarter, COUNT(DISTINCT id) AS homes, COUNT(DISTINCT id) FILTER (WHERE kwh > 50) AS big FROM meters GROUP BY quarter",
    // Joins and subqueries.
    "SELECT p.city, SUM(m.kwh) FROM people p JOIN meters m ON p.id = m.id GROUP BY p.city",
    "SELECT p.city, SUM(m.kwh) FROM people p JOIN meters m USING (id) GROUP BY p.city",
    "SELECT city, SUM(kwh) FROM people NATURAL JOIN meters GROUP BY city",
    "SELECT p.city, COUNT(*) FROM people p LEFT JOIN meters m ON p.id = m.id GROUP BY p.city",
    "SELECT p.city, SUM(m.kwh) FROM meters m RIGHT JOIN people p ON p.id = m.id GROUP BY p.city",
    "SELECT p.city, COUNT(m.kwh) AS readings, COUNT(*) AS n FROM people p LEFT JOIN meters m ON p.id = m.id AND m.quarter = 1 GROUP BY p.city",
    "SELECT r.region, COUNT(*) FROM people p JOIN regions r ON p.city = r.city GROUP BY r.region",
    "SELECT r.region, AVG(p.income) FROM people p LEFT JOIN regions r ON p.city = r.city GROUP BY r.region",
    "SELECT COUNT(*) FROM people WHERE id IN (SELECT id FROM meters WHERE kwh > 50)",
    "SELECT COUNT(*) FROM people WHERE id NOT IN (SELECT id FROM meters)",
    "SELECT city, COUNT(*) FROM people p WHERE EXISTS (SELECT 1 FROM meters m WHERE m.id = p.id AND m.kwh > 50) GROUP BY city",
    "SELECT city, COUNT(*) FROM people p WHERE NOT EXISTS (SELECT 1 FROM meters m WHERE m.id = p.id) GROUP BY city",
    "SELECT COUNT(*) FROM people WHERE city IN (SELECT city FROM regions WHERE region = '滇中')",
    "SELECT AVG(total) FROM (SELECT id, SUM(kwh) AS total FROM meters GROUP BY id) t",
    "WITH homes AS (SELECT id, SUM(kwh) AS total, COUNT(*) AS n FROM meters GROUP BY id) SELECT p.city, AVG(h.total) FROM people p JOIN homes h ON h.id = p.id GROUP BY p.city",
    "SELECT COUNT(*) FROM (SELECT DISTINCT id FROM meters WHERE kwh > 10) t",
    "SELECT quarter, SUM(kwh) FROM (SELECT quarter, kwh FROM meters ORDER BY kwh) t GROUP BY quarter",
    "SELECT COUNT(*) FROM (SELECT id, quarter FROM meters WHERE quarter < 3 UNION ALL SELECT id, quarter FROM meters WHERE quarter >= 3) t",
    "WITH a AS (SELECT * FROM people WHERE age > 30), b AS (SELECT * FROM a WHERE city = '昆明') SELECT COUNT(*) FROM b",
    // Several leaves, and what stands above them.
    "WITH a AS (SELECT city, COUNT(*) AS n FROM people GROUP BY city), b AS (SELECT p.city, SUM(m.kwh) AS kwh FROM people p JOIN meters m ON p.id = m.id GROUP BY p.city) SELECT a.city, b.kwh / a.n AS per_head FROM a JOIN b ON a.city = b.city ORDER BY per_head DESC LIMIT 2",
    "SELECT city, COUNT(*) AS n, RANK() OVER (ORDER BY COUNT(*) DESC) AS place FROM people GROUP BY city",
    "SELECT city, n, n * 100.0 / SUM(n) OVER () AS share FROM (SELECT city, COUNT(*) AS n FROM people GROUP BY city) t",
    "SELECT city, SUM(income) / COUNT(*) AS mean FROM people GROUP BY city HAVING COUNT(*) > 10 ORDER BY mean",
    "SELECT city, COUNT(*) * 1.0 / (SELECT COUNT(*) FROM people) AS share FROM people GROUP BY city",
    "SELECT city, COUNT(*) AS n FROM people WHERE age < 40 GROUP BY city UNION ALL SELECT city, COUNT(*) FROM people WHERE age >= 40 GROUP BY city",
    "SELECT city, age / 30 AS band, COUNT(*) FROM people GROUP BY ROLLUP (city, age / 30)",
    "SELECT city, age > 50 AS old, COUNT(*), GROUPING(city) AS g FROM people GROUP BY CUBE (city, age > 50)",
    "SELECT city, age / 30 AS band, AVG(income) FROM people GROUP BY GROUPING SETS ((city), (age / 30), ())",
    "SELECT r.region, t.n FROM (SELECT city, COUNT(*) AS n FROM people GROUP BY city) t JOIN regions r ON r.city = t.city",
    "SELECT MAX(n) - MIN(n) AS spread FROM (SELECT city, COUNT(*) AS n FROM people GROUP BY city) t",
    "SELECT * FROM regions ORDER BY city",
    "SELECT COALESCE(city, 'none') AS city, COUNT(*) FROM people GROUP BY 1",
    "SELECT SUM(burden(age, income)) FROM people",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_analysts_write_is_cleared() {
    let world = World::wide(120).await;
    let mut wrong = Vec::new();
    for sql in ALLOWED {
        if let Err(reasons) = world.why(sql).await {
            wrong.push(format!("{sql}\n    {reasons}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are refused:\n{}", wrong.len(), ALLOWED.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cleared_runs() {
    let world = World::wide(120).await;
    let asked = Asked { world: &world, count: std::cell::Cell::new(0) };
    for sql in ALLOWED {
        let (batch, columns) = asked.run(sql).await;
        assert!(columns <= batch.num_columns(), "{sql}");
    }
}

fn near(found: f64, wanted: f64, by: f64) -> bool {
    (found - wanted).abs() <= by
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_right_but_for_the_noise() {
    let people = 3_000;
    let world = World::wide(people).await;
    let asked = Asked { world: &world, count: std::cell::Cell::new(0) };
    let all: Vec<_> = (0..people).map(common::person).collect();

    let (batch, _) =
        asked.run("SELECT floor(age / 10) * 10 AS decade, COUNT(*) AS n FROM people GROUP BY 1 ORDER BY 1").await;
    assert_eq!(numbers(&batch, "decade"), (0..=12).map(|d| f64::from(d) * 10.0).collect::<Vec<_>>());
    for (decade, n) in numbers(&batch, "decade").into_iter().zip(numbers(&batch, "n")) {
        let wanted = all.iter().filter(|p| f64::from(p.1 / 10 * 10) == decade).count();
        assert!(near(n, wanted as f64, 40.0), "{decade}: {n}, {wanted}");
    }

    let (batch, _) =
        asked.run("SELECT MEDIAN(age) AS median, APPROX_PERCENTILE_CONT(income, 0.9) AS rich FROM people").await;
    assert!(near(numbers(&batch, "median")[0], 49.5, 3.0), "{:?}", numbers(&batch, "median"));
    assert!(near(numbers(&batch, "rich")[0], 92_000.0, 4_000.0), "{:?}", numbers(&batch, "rich"));

    let sql = "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE city = '昆明') AS k, SUM(income) FILTER (WHERE age < 30) AS young FROM people";
    let (batch, _) = asked.run(sql).await;
    assert!(near(numbers(&batch, "n")[0], 3_000.0, 40.0) && near(numbers(&batch, "k")[0], 1_000.0, 40.0));
    let young: i64 = all.iter().filter(|p| p.1 < 30).map(|p| p.2).sum();
    assert!(near(numbers(&batch, "young")[0], young as f64, 4e6));

    let sql =
        "SELECT city, COUNT(*) AS n, GROUPING(city) AS total FROM people GROUP BY ROLLUP (city) ORDER BY total, city";
    let (batch, columns) = asked.run(sql).await;
    let rows = rows(&batch, columns);
    assert_eq!(rows.len(), 4);
    assert_eq!(rows.iter().map(|r| r[2].as_str()).collect::<Vec<_>>(), ["0", "0", "0", "1"]);
    assert_eq!(rows[3][0], "");
    assert!(near(numbers(&batch, "n")[3], 3_000.0, 60.0) && near(numbers(&batch, "n")[0], 1_000.0, 60.0));

    let sql = "SELECT (SELECT COUNT(*) FROM people WHERE id IN (SELECT id FROM meters)) AS with_meter,
        (SELECT COUNT(*) FROM people p WHERE NOT EXISTS (SELECT 1 FROM meters m WHERE m.id = p.id)) AS without";
    let (batch, _) = asked.run(sql).await;
    assert!(
        near(numbers(&batch, "with_meter")[0], 1_500.0, 60.0) && near(numbers(&batch, "without")[0], 1_500.0, 60.0)
    );

    let sql = "SELECT COUNT(*) AS n, COUNT(m.kwh) AS readings FROM people p LEFT JOIN meters m ON m.id = p.id";
    let (batch, _) = asked.run(sql).await;
    assert!(near(numbers(&batch, "n")[0], 7_500.0, 200.0) && near(numbers(&batch, "readings")[0], 6_000.0, 200.0));

    let (batch, _) = asked.run("SELECT COUNT(*) AS n FROM births WHERE born < DATE '1980-01-01'").await;
    let wanted = (0..people).filter(|i| common::born(*i) < 3_652).count();
    assert!(near(numbers(&batch, "n")[0], wanted as f64, 40.0));
    // The same limit, with the interval on either side.
    for sql in [
        "SELECT COUNT(*) AS n FROM births WHERE born + INTERVAL '400 days' < DATE '1980-01-01' + INTERVAL '400 days'",
        "SELECT COUNT(*) AS n FROM births WHERE born - INTERVAL '10 years' < DATE '1970-01-01'",
    ] {
        let (batch, _) = asked.run(sql).await;
        assert!(near(numbers(&batch, "n")[0], wanted as f64, 40.0), "{sql}");
    }
}

/// A date parameter is moved like a date; a parameter that is no date is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_date_parameter_is_moved_by_an_interval() {
    let people = 600;
    let world = World::wide(people).await;
    let from = "[product.params.from]\ntype = \"date\"\nmin = \"1960-01-01\"\nmax = \"2009-12-31\"\ndefault = \"1980-01-01\"\n";
    for (id, condition) in [
        ("above", "born < $from + INTERVAL '1 month'"),
        ("turned", "born - INTERVAL '1 month' < $from"),
        ("between", "born BETWEEN DATE '1960-01-01' AND $from + INTERVAL '1 month' - INTERVAL '1 day'"),
    ] {
        let sql = format!("SELECT COUNT(*) AS n FROM births WHERE {condition}");
        world.approve(id, &World::product_text(id, &sql, from), "operator", &["research"]).await;
        let answer =
            world.run(id, &[("from", "1980-02-29")], "research").await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        // 1980-03-29 is day 3,740.
        let wanted = (0..people).filter(|i| common::born(*i) < 3_740).count();
        assert!(near(numbers(answer.released.batch(), "n")[0], wanted as f64, 40.0), "{sql}");
    }
    let sql = "SELECT COUNT(*) AS n FROM births WHERE born < $from + INTERVAL '1 month'";
    let number = "[product.params.from]\ntype = \"int\"\nmin = 0\nmax = 9\ndefault = 1\n";
    let path = world.file("product.toml", &World::product_text("number", sql, number));
    assert!(world.domain.check_product(&path).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_division_by_a_released_zero_gives_null() {
    let world = World::wide(60).await;
    let asked = Asked { world: &world, count: std::cell::Cell::new(0) };
    let (batch, _) = asked
        .run("SELECT COUNT(*) / (COUNT(*) - COUNT(*)) AS x, CAST('no' || city AS INT) AS y FROM people GROUP BY city")
        .await;
    assert_eq!(batch.column(0).null_count(), 3);
    assert_eq!(batch.column(1).null_count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_to_write_instead() {
    let world = World::wide(12).await;
    for (sql, code, hint) in [
        ("SELECT MAX(income) FROM people", "aggregate/min-max", "APPROX_PERCENTILE_CONT"),
        ("SELECT COUNT(*) FROM people TABLESAMPLE SYSTEM (10)", "", ""),
        ("SELECT COUNT(*) FROM (SELECT id FROM people ORDER BY age LIMIT 10) t", "plan/node", "LIMIT"),
        ("SELECT COUNT(*) FROM people FULL JOIN meters ON people.id = meters.id", "join/kind", "LEFT"),
        (
            "SELECT r.city, COUNT(*) FROM regions r LEFT JOIN people p ON p.city = r.city GROUP BY r.city",
            "join/keeps-open-rows",
            "private",
        ),
        ("SELECT regexp_like(city, 'x') AS r, COUNT(*) FROM people GROUP BY 1", "function/not-allowed", "LIKE"),
        ("SELECT md5(city), COUNT(*) FROM people GROUP BY 1", "function/not-allowed", "COUNT(DISTINCT unit)"),
        ("SELECT COUNT(*) FROM births WHERE born > now()", "function/not-allowed", "$today"),
        ("SELECT COUNT(*) FROM births WHERE born > current_date", "function/not-allowed", "$today"),
        (
            "SELECT COUNT(*) FROM births WHERE born + INTERVAL '12 hours' > DATE '2000-01-01'",
            "expression/interval",
            "INTERVAL '30 days'",
        ),
        (
            "SELECT COUNT(*) FROM births WHERE DATE '2000-01-01' - born > INTERVAL '30 days'",
            "expression/interval",
            "d1 - d2 > 30",
        ),
        ("SELECT SUM(DISTINCT income) FROM people", "aggregate/distinct", "subquery"),
        ("SELECT array_agg(city) FROM people", "aggregate/not-allowed", "GROUP BY"),
        ("SELECT corr(age, income) FROM people", "aggregate/not-allowed", "avg(x * y)"),
        ("SELECT APPROX_PERCENTILE_CONT(income, 1.5) FROM people", "", ""),
        ("SELECT COUNT(*) FROM people WHERE substr(city, 1, age - 50) = 'x'", "expression/not-constant", ""),
        ("SELECT id, ROW_NUMBER() OVER (ORDER BY age) FROM people", "release/raw-rows", "GROUP BY"),
        ("SELECT age AS yunei_unit, COUNT(*) FROM people GROUP BY 1", "sql/reserved-name", "yunei_"),
        ("SELECT COUNT(*) FROM people p JOIN meters m ON p.age = m.quarter", "join/not-on-unit", "unit"),
        ("SELECT COUNT(*) FROM people WHERE id IN (SELECT city FROM regions)", "filter/identifier", ""),
        ("SELECT COUNT(*) FROM people WHERE age > 30 OR id IN (SELECT id FROM meters)", "join/kind", "top level"),
    ] {
        let refused = world.refusals(sql).await;
        let found = refused.iter().find(|r| code.is_empty() || r.code() == code);
        let found =
            found.unwrap_or_else(|| panic!("{sql}: {:?}", refused.iter().map(|r| r.code()).collect::<Vec<_>>()));
        if !hint.is_empty() {
            let advice = found.advice().unwrap_or_else(|| panic!("{sql}: no advice"));
            assert!(advice.en.contains(hint), "{sql}: {}", advice.en);
            assert!(!advice.zh.is_empty() && advice.zh != advice.en, "{sql}");
        }
    }
}
