//! The ledger through the domain: what is asked at once, what is left, and who may begin afresh.

#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use yunei_engine::DomainError;

const SQL: &str = "SELECT city, COUNT(*) AS n FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 100\ndefault = 0\n";

fn codes(error: &DomainError) -> Vec<&'static str> {
    error.reasons().iter().map(|r| r.code()).collect()
}

async fn world(epsilon: &str) -> World {
    let world = World::new(60).await;
    let text = World::product_text("p", SQL, LEAST).replace("epsilon = 5.0", &format!("epsilon = {epsilon}"));
    world.approve("p", &text, "operator", &["research"]).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_at_the_same_moment_is_computed_once() {
    let world = world("5.0").await;
    let least = [("least", "30")];
    let (a, b, c) = tokio::join!(
        world.run("p", &least, "research"),
        world.run("p", &least, "research"),
        world.run("p", &least, "research")
    );
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().filter(|r| !r.repeated).count(), 1);
    assert!(all.iter().all(|r| r.released.batch() == all[0].released.batch()));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_once_never_overspend() {
    // 100 of ε in all, 10 a run: a good many fit, in zCDP; more than that are asked at once.
    let world = world("10.0").await;
    let left = world.domain.product_budget("authority", "p", "operator").await.unwrap().runs_left.unwrap();
    let asked = usize::try_from(left).unwrap() + 5;
    assert!((2..60).contains(&asked), "{asked}");
    let values: Vec<String> = (0..asked).map(|i| i.to_string()).collect();
    let arguments: Vec<[(&str, &str); 1]> = values.iter().map(|v| [("least", v.as_str())]).collect();
    let runs = arguments.iter().map(|a| world.run("p", a, "research"));
    let answers = futures::future::join_all(runs).await;
    let paid = answers.iter().filter(|a| a.is_ok()).count();
    assert_eq!(paid as u64, left, "about N more runs are N");
    for error in answers.iter().filter_map(|a| a.as_ref().err()) {
        assert!(codes(error).contains(&"budget/exhausted"), "{error}");
    }
    for budget in world.domain.budgets("authority").await.unwrap() {
        assert!(budget.spent_rho <= budget.limit_rho && budget.left_epsilon >= 0.0, "{budget:?}");
    }
    assert_eq!(world.domain.product_budget("authority", "p", "operator").await.unwrap().runs_left, Some(0));
    // What was answered is given again, free, when nothing is left.
    let again = world.run("p", &arguments[answers.iter().position(Result::is_ok).unwrap()], "research").await.unwrap();
    assert!(again.repeated);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_authority_begins_afresh() {
    let world = world("5.0").await;
    let first = world.run("p", &[], "research").await.unwrap();
    for actor in ["operator", "holder", "business"] {
        assert!(world.domain.open_epoch(actor, "people").await.is_err(), "{actor}");
    }
    assert_eq!(world.domain.open_epoch("authority", "people").await.unwrap(), 2);
    // In the new epoch the question is a new one: charged, and drawn anew.
    let second = world.run("p", &[], "research").await.unwrap();
    assert!(!second.repeated && second.run != first.run);
    let scopes: Vec<String> = world
        .domain
        .budgets("authority")
        .await
        .unwrap()
        .into_iter()
        .map(|b| b.scope)
        .filter(|s| s.contains("people"))
        .collect();
    assert!(scopes.iter().any(|s| s.contains("epoch 1")) && scopes.iter().any(|s| s.contains("epoch 2")), "{scopes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_are_kept_for_each_dataset_institution_and_product() {
    let world = world("5.0").await;
    world.run("p", &[], "research").await.unwrap();
    let budget = world.domain.product_budget("authority", "p", "operator").await.unwrap();
    let kinds: Vec<&str> = budget.budgets.iter().map(|b| b.kind.as_str()).collect();
    assert_eq!(kinds, ["dataset", "institution_dataset", "dataset", "institution_dataset", "product"]);
    assert!(budget.budgets.iter().all(|b| b.spent_rho > 0.0 && b.left_epsilon < b.limit_epsilon), "{budget:?}");
    let other = world.domain.product_budget("authority", "p", "business").await.unwrap();
    assert!(other.budgets.iter().filter(|b| b.kind == "institution_dataset").all(|b| b.spent_rho == 0.0));
    // Another institution's share is a matter between it and the authority.
    assert!(world.domain.product_budget("operator", "p", "business").await.is_err());
}
