//! The same question again and again: noise that is drawn anew can be averaged away (Dinur & Nissim 2003).

use crate::common::World;
use datafusion::arrow::array::RecordBatch;

const SQL: &str = "SELECT city, COUNT(*) AS n FROM people GROUP BY city ORDER BY city";

fn spent(budgets: &[yunei_engine::domain::BudgetView]) -> f64 {
    budgets.iter().filter(|b| b.kind == "dataset" && b.scope.contains("people")).map(|b| b.spent_rho).sum()
}

/// Twenty times the same product. Plain engine with fresh noise: the mean's error shrinks with √20.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_product_again() {
    let world = World::new(90).await;
    world.approve("p", &World::product_text("p", SQL, ""), "operator", &["research"]).await;
    let first: RecordBatch = world.run("p", &[], "research").await.unwrap().released.batch().clone();
    let before = spent(&world.domain.budgets("authority").await.unwrap());
    for _ in 0..20 {
        assert_eq!(world.run("p", &[], "research").await.unwrap().released.batch(), &first);
    }
    assert_eq!(spent(&world.domain.budgets("authority").await.unwrap()), before);
}

/// Another institution asks the same: colluding institutions get one answer, not two draws.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_product_by_another_institution() {
    let world = World::new(90).await;
    world.approve("p", &World::product_text("p", SQL, ""), "operator", &["research"]).await;
    let first = world.run("p", &[], "research").await.unwrap();
    let now = world.domain.now();
    let grant = yunei_engine::GrantRequest {
        institution: "business".into(),
        product: "p".into(),
        purposes: vec!["research".into()],
        from_millis: 0,
        until_millis: now + 86_400_000,
        max_runs: None,
    };
    world.domain.grant_under("authority", &grant, crate::common::agreement(now)).await.unwrap();
    let request = yunei_engine::RunRequest {
        institution: "business".into(),
        product: "p".into(),
        arguments: std::collections::BTreeMap::new(),
        purpose: "research".into(),
    };
    match world.domain.run(&request).await {
        Ok(second) => assert_eq!(second.released.batch(), first.released.batch()),
        // Businesses may not run aggregates at all by the shipped policies.
        Err(error) => assert!(error.reasons().iter().all(|r| r.code().starts_with("authorise/")), "{error}"),
    }
}

/// The same question in other words is another question, and every one is paid until nothing is left: the number of draws is
/// bounded by the budget, whatever the words.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_in_other_words() {
    let world = World::new(60).await;
    let mut last = 0.0;
    for i in 0..4 {
        let id = format!("p{i}");
        let sql = format!("{SQL} -- {i}");
        world.approve(&id, &World::product_text(&id, &sql, ""), "operator", &["research"]).await;
        assert!(!world.run(&id, &[], "research").await.unwrap().repeated);
        let now = spent(&world.domain.budgets("authority").await.unwrap());
        assert!(now > last);
        last = now;
    }
}

/// The same aggregate twice in one product is computed once: two columns, one draw.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_leaf_twice_in_a_product() {
    let world = World::new(60).await;
    let sql = "SELECT 'a' AS which, COUNT(*) AS n FROM people UNION ALL SELECT 'b', COUNT(*) FROM people";
    world.approve("p", &World::product_text("p", sql, ""), "operator", &["research"]).await;
    let answer = world.run("p", &[], "research").await.unwrap();
    let n = crate::firms::numbers(answer.released.batch(), "n");
    assert_eq!(n[0], n[1]);
}

/// Many aggregates of the same thing in one product share the charge: the whole costs what one would.
#[tokio::test(flavor = "multi_thread")]
async fn many_aggregates_of_one_thing() {
    let world = World::new(60).await;
    let mut costs = Vec::new();
    for (id, sql) in [
        ("one", "SELECT SUM(age) AS a FROM people"),
        ("many", "SELECT SUM(age) AS a, SUM(age + 0) AS b, SUM(age * 1) AS c, SUM(age - 0) AS d FROM people"),
    ] {
        let before = spent(&world.domain.budgets("authority").await.unwrap());
        world.approve(id, &World::product_text(id, sql, ""), "operator", &["research"]).await;
        world.run(id, &[], "research").await.unwrap();
        costs.push(spent(&world.domain.budgets("authority").await.unwrap()) - before);
    }
    assert!((costs[0] - costs[1]).abs() < 1e-9, "{costs:?}");
}
