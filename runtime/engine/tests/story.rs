//! The whole way: register, submit, approve, run, verify, receipt.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/spoil.rs"]
mod spoil;

use common::World;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use std::collections::BTreeMap;
use yunei_audit::Log;
use yunei_engine::{Answer, Domain, Format, VerifyRequest};

const BY_CITY: &str = "SELECT city, COUNT(*) AS people, AVG(burden(age, income)) AS mean, SUM(income) AS total
  FROM people WHERE age >= $least GROUP BY city ORDER BY people DESC";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 100\ndefault = 0\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_request_to_receipt() {
    let world = World::new(3_000).await;
    world.approve("by-city", &World::product_text("by-city", BY_CITY, LEAST), "operator", &["research"]).await;
    let answer = world.run("by-city", &[], "research").await.unwrap();
    let batch = answer.released.batch();
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(answer.released.columns(), 4);
    let people = batch.column_by_name("people").unwrap().as_primitive::<Int64Type>();
    assert!(people.iter().all(|p| (p.unwrap() - 1_000).abs() < 100));
    for name in ["people", "mean", "total"] {
        let low = batch.column_by_name(&format!("{name}_low")).unwrap().as_primitive::<Float64Type>();
        let high = batch.column_by_name(&format!("{name}_high")).unwrap().as_primitive::<Float64Type>();
        assert!(low.iter().zip(high.iter()).all(|(l, h)| l.unwrap() < h.unwrap()), "{name}");
    }
    let verified = answer.receipt.clone().verify(&world.domain.verifying_key()).unwrap();
    let json = answer.released.write(Format::Json).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &json);
    assert_eq!(verified.body()["released"]["json"], hex::encode(digest));

    // The same question again is free and the same.
    let again = world.run("by-city", &[("least", "0")], "research").await.unwrap();
    assert!(again.repeated && again.run == answer.run);
    assert_eq!(again.released.batch(), batch);
    let budgets = world.domain.budgets("authority").await.unwrap();
    assert!(budgets.iter().all(|b| b.spent_epsilon <= 5.0 && b.spent_rho > 0.0), "{budgets:?}");
    // Another question is not.
    let other = world.run("by-city", &[("least", "50")], "research").await.unwrap();
    assert!(!other.repeated);

    let home = world.folder.path().join("home");
    let key = world.domain.verifying_key();
    let size = world.domain.log().size();
    world.domain.close().await;
    let verdict = Log::verify(&home.join("log"), &key, &mut |_, _| {}).unwrap();
    assert_eq!(verdict.size(), size);
    let reopened = Domain::open(&home, common::clock()).await.unwrap();
    assert_eq!(reopened.log().size(), size);
}

#[tokio::test(flavor = "multi_thread")]
async fn joined_and_bounded() {
    let world = World::new(3_000).await;
    let sql = "SELECT CASE WHEN burden(p.age, p.income) < 0.4 THEN 'low' ELSE 'high' END AS band, COUNT(*) AS readings,
        COUNT(DISTINCT p.id) AS people, SUM(m.kwh) AS kwh FROM people p JOIN meters m ON p.id = m.id GROUP BY 1";
    world.approve("by-band", &World::product_text("by-band", sql, ""), "operator", &["research"]).await;
    let answer = world.run("by-band", &[], "research").await.unwrap();
    let batch = answer.released.batch();
    assert_eq!(batch.num_rows(), 2);
    let total =
        |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
    assert!((total("readings") - 6_000).abs() < 300, "{}", total("readings"));
    assert!((total("people") - 1_500).abs() < 150, "{}", total("people"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limited_groups_keep_a_part_of_each_unit() {
    let world = World::new(3_000).await;
    let sql = "SELECT m.quarter, COUNT(*) AS n FROM meters m GROUP BY m.quarter";
    let product = World::product_text("quarters", sql, "max_groups = 2\nmax_rows = 1\n");
    world.approve("quarters", &product, "operator", &["research"]).await;
    let answer = world.run("quarters", &[], "research").await.unwrap();
    let n = answer.released.batch().column_by_name("n").unwrap().as_primitive::<Int64Type>();
    let total: i64 = n.iter().flatten().sum();
    // 1,500 units, each with four groups of which two are kept.
    assert!((total - 3_000).abs() < 200, "{total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_tells_nothing_but_the_answer() {
    let world = World::new(300).await;
    let text = "[product]\nid = \"lives-in\"\nkind = \"verification\"\ntitle = { zh = \"住\", en = \"l\" }\n\
        purposes = [\"loan\"]\ndatasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"age\"]\nclaim = { equals = \"city\" }\n\
        consent = \"not-required\"\nlegal_basis = \"测试\"\n";
    world.approve("lives-in", text, "business", &["loan"]).await;
    let ask = |id: &str, age: &str, city: &str| {
        let identity = BTreeMap::from([("id".to_owned(), id.to_owned()), ("age".to_owned(), age.to_owned())]);
        let request = VerifyRequest {
            institution: "business".into(),
            product: "lives-in".into(),
            identity,
            claim: Some(city.to_owned()),
            purpose: "loan".into(),
            ..VerifyRequest::default()
        };
        let domain = &world.domain;
        async move { domain.verify(&request).await.unwrap() }
    };
    let (city, age, _) = common::person(7);
    let yes = ask("P0000007", &age.to_string(), city).await;
    assert_eq!(yes.answer, Answer::Match);
    yes.receipt.clone().verify(&world.domain.verifying_key()).unwrap();
    let wrong_city = common::CITIES.iter().find(|c| **c != city).unwrap();
    assert_eq!(ask("P0000007", &age.to_string(), wrong_city).await.answer, Answer::NoMatch);
    assert_eq!(ask("P0000007", &(age + 1).to_string(), city).await.answer, Answer::NoMatch);
    assert_eq!(ask("P9999999", &age.to_string(), city).await.answer, Answer::NoMatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaks_are_refused_with_their_reasons() {
    let world = World::new(30).await;
    for (sql, code) in [
        ("SELECT id, income FROM people", "release/raw-rows"),
        ("SELECT COUNT(*) FROM people WHERE id = 'P0000001'", "filter/identifier"),
        ("SELECT MIN(income) FROM people", "aggregate/min-max"),
        ("SELECT SUM(income / (age - 30)) FROM people", "aggregate/unbounded-sum"),
        ("SELECT * FROM people LIMIT 1", "release/raw-rows"),
        ("SELECT id, COUNT(*) FROM people GROUP BY id", "release/raw-rows"),
        ("SELECT DISTINCT city FROM people", "aggregate/none"),
        ("SELECT COUNT(*) FROM (SELECT * FROM people LIMIT 1) t", "plan/node"),
        ("SELECT COUNT(*) FROM people WHERE income > 100", "column/usage"),
        ("SELECT COUNT(*) FROM people WHERE age > (SELECT AVG(age) FROM people)", "plan/subquery-over-private"),
        ("SELECT md5(city), COUNT(*) FROM people GROUP BY 1", "function/not-allowed"),
        ("SELECT COUNT(*) FROM people a JOIN people b ON a.city = b.city", "join/not-on-unit"),
        ("SELECT COUNT(*) FROM people a CROSS JOIN meters b", "join/not-on-unit"),
        ("SELECT COUNT(*) FROM people p FULL JOIN meters m ON p.id = m.id", "join/kind"),
        ("SELECT random(), COUNT(*) FROM people GROUP BY 1", "function/not-allowed"),
        ("EXPLAIN SELECT COUNT(*) FROM people", "sql/not-a-query"),
        ("SELECT COUNT(*) FROM people; SELECT 1", "sql/parse"),
        ("COPY people TO 'x.csv'", "sql/not-a-query"),
        ("SELECT COUNT(*) FROM elsewhere", "sql/resolve"),
        ("SELEC", "sql/parse"),
    ] {
        let codes = world.check(sql).await.expect_err(sql);
        assert!(codes.contains(&code), "{sql}: {codes:?}, wanted {code}");
    }
}

/// A crash between a release and its receipt: the question was answered and paid, and its answer is given again, free.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_receipt_is_not_paid_twice() {
    let world = World::new(60).await;
    world
        .approve("n", &World::product_text("n", "SELECT COUNT(*) AS n FROM people", ""), "operator", &["research"])
        .await;
    let first = world.run("n", &[], "research").await.unwrap();
    spoil::spoil_store(&world.folder.path().join("home"), "UPDATE releases SET receipt = NULL").await;
    let again = world.run("n", &[], "research").await.unwrap();
    assert!(again.repeated && again.epsilon == 0.0);
    assert_eq!(again.run, first.run);
    assert_eq!(again.released.batch(), first.released.batch());
    again.receipt.clone().verify(&world.domain.verifying_key()).unwrap();
    // The receipt is kept from now on.
    let third = world.run("n", &[], "research").await.unwrap();
    assert_eq!(third.receipt.to_string(), again.receipt.to_string());
}

/// Who asked goes away in the middle of a run: it does not stand there as under way until the home is opened again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_is_closed_by_the_next() {
    let world = World::new(60).await;
    let ids: Vec<String> = (0..6).map(|i| format!("n{i}")).collect();
    for id in &ids {
        let sql = "SELECT city, COUNT(*) AS n FROM people GROUP BY city";
        world.approve(id, &World::product_text(id, sql, ""), "operator", &["research"]).await;
    }
    for (i, id) in ids[1..].iter().enumerate() {
        let run = world.run(id, &[], "research");
        let _ = tokio::time::timeout(std::time::Duration::from_millis(40 << i), run).await;
    }
    world.run(&ids[0], &[], "research").await.unwrap();
    let runs = world.domain.runs_for("authority", None, 100).await.unwrap();
    let open: Vec<String> = runs.iter().map(|r| format!("{:?}", r.state)).filter(|s| !is_end(s)).collect();
    assert!(open.is_empty(), "{open:?}");
}

fn is_end(state: &str) -> bool {
    ["Released", "Refused", "Failed", "Repeated"].contains(&state)
}
