//! "Differential Privacy Under Fire" (Haeberlen, Pierce & Narayan 2011): budget, state and time as channels.

use crate::common::World;

const SQL: &str = "SELECT city, COUNT(*) AS n, AVG(burden(age, income)) AS b FROM people GROUP BY city";

async fn outcome(people: usize) -> (f64, String, usize) {
    let world = World::new(people).await;
    world.approve("p", &World::product_text("p", SQL, ""), "operator", &["research"]).await;
    let answer = world.run("p", &[], "research").await.unwrap();
    let rho: f64 = world.domain.budgets("authority").await.unwrap().iter().map(|b| b.spent_rho).sum();
    let batch = answer.released.batch();
    (rho, format!("{:?}", batch.schema()), batch.num_rows())
}

/// Budget: what is charged must not depend on the data. Plain accounting per answered row: it does.
/// The shape of the answer likewise: the whole declared grid leaves, whoever is in it.
#[tokio::test(flavor = "multi_thread")]
async fn budget_and_shape_as_a_channel() {
    let (one, other) = (outcome(60).await, outcome(1).await);
    assert_eq!(one, other);
}

/// A refusal after data was opened would be a bit; what was charged would tell of it. All refusals come before the charge.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_cost_nothing_and_come_first() {
    let world = World::new(30).await;
    for sql in
        ["SELECT MAX(income) FROM people", "SELECT id FROM people", "SELECT SUM(income / (age - 23)) FROM people"]
    {
        assert!(world.check(sql).await.is_err());
    }
    assert!(world.domain.budgets("authority").await.unwrap().is_empty());
}

/// State: a run must leave nothing behind that another run can see, but the ledger. The same product in a fresh domain and after
/// twenty others costs the same.
#[tokio::test(flavor = "multi_thread")]
async fn state_across_runs() {
    let world = World::new(30).await;
    let mut costs = std::collections::BTreeSet::new();
    for i in 0..5 {
        let id = format!("p{i}");
        let text = World::product_text(&id, &format!("{SQL} -- {i}"), "");
        world.approve(&id, &text, "operator", &["research"]).await;
        let answer = world.run(&id, &[], "research").await.unwrap();
        costs.insert(format!("{:.9}", answer.epsilon));
    }
    assert_eq!(costs.len(), 1);
}

/// Failure: whatever goes wrong after data was opened has one code, one text, and no detail. Here the file is gone.
#[tokio::test(flavor = "multi_thread")]
async fn one_opaque_failure() {
    let world = World::new(30).await;
    world.approve("p", &World::product_text("p", SQL, ""), "operator", &["research"]).await;
    std::fs::remove_file(world.folder.path().join("people.parquet")).unwrap();
    let error = world.run("p", &[], "research").await.unwrap_err();
    assert!(!error.to_string().contains(world.folder.path().to_str().unwrap()), "{error}");
}
