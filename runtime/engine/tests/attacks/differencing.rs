//! Two answers that differ by one unit (Denning, Denning & Schwartz 1979).
//!
//! The class `personal` answers both, with noise that hides the difference; `statistical` withholds the second.

use crate::firms::{ask, numbers, ordinary, product, texts, world};
use crate::tools::plain;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;

fn marks(batch: &datafusion::arrow::array::RecordBatch, name: &str) -> Vec<String> {
    texts(batch, &format!("{name}_withheld")).into_iter().flatten().collect()
}

/// A giant that stands out by its staff.
fn with_target() -> Vec<crate::firms::Firm> {
    let mut firms = ordinary(240);
    firms[17].4 = 19_999;
    firms[17].5 = 1_999;
    firms
}

/// The plain engine's difference is the target's tax.
#[tokio::test(flavor = "multi_thread")]
async fn by_a_filter() {
    let world = world(&with_target()).await;
    let (all, less) = ("SELECT SUM(tax) AS tax FROM firms", "SELECT SUM(tax) AS tax FROM firms WHERE staff < 19999");
    let mut exact = Vec::new();
    for sql in [all, less] {
        exact.push(plain(&world, sql).await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0));
    }
    assert_eq!(exact[0] - exact[1], 1_999, "what a plain engine gives away");
    assert!(marks(&ask(&world, "all", all).await, "tax").is_empty());
    assert_eq!(marks(&ask(&world, "less", less).await, "tax"), ["overlap"]);
}

/// The small set first, then the large one.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_other_order() {
    let world = world(&with_target()).await;
    assert!(
        marks(&ask(&world, "less", "SELECT SUM(tax) AS tax FROM firms WHERE staff < 19999").await, "tax").is_empty()
    );
    assert_eq!(marks(&ask(&world, "all", "SELECT SUM(tax) AS tax FROM firms").await, "tax"), ["overlap"]);
}

/// By a join that leaves the target out.
#[tokio::test(flavor = "multi_thread")]
async fn by_a_join() {
    let world = world(&with_target()).await;
    ask(&world, "all", "SELECT SUM(tax) AS tax FROM firms").await;
    let sql =
        "SELECT SUM(f.tax) AS tax FROM firms f JOIN (SELECT code FROM firms WHERE staff < 19999) g ON f.code = g.code";
    assert_eq!(marks(&ask(&world, "joined", sql).await, "tax"), ["overlap"]);
}

/// By two values of one product's parameter.
#[tokio::test(flavor = "multi_thread")]
async fn by_a_parameter() {
    let world = world(&with_target()).await;
    let text = product("p", "SELECT SUM(tax) AS tax FROM firms WHERE staff <= $most")
        + "[product.params.most]\ntype = \"int\"\nmin = 0\nmax = 20000\ndefault = 20000\n";
    world.approve("p", &text, "operator", &["research"]).await;
    let all = world.run("p", &[], "research").await.unwrap();
    assert!(marks(all.released.batch(), "tax").is_empty());
    let less = world.run("p", &[("most", "19998")], "research").await.unwrap();
    assert_eq!(marks(less.released.batch(), "tax"), ["overlap"]);
}

/// By groups whose union lacks the target.
#[tokio::test(flavor = "multi_thread")]
async fn by_groups_that_lack_one() {
    let world = world(&with_target()).await;
    ask(&world, "towns", "SELECT town, SUM(tax) AS tax FROM firms GROUP BY town").await;
    let trades =
        ask(&world, "trades", "SELECT trade, SUM(tax) AS tax FROM firms WHERE staff < 19999 GROUP BY trade").await;
    assert!(marks(&trades, "tax").contains(&"overlap".to_owned()));
}

/// Within one product, as two subqueries subtracted from each other.
#[tokio::test(flavor = "multi_thread")]
async fn within_one_product() {
    let world = world(&with_target()).await;
    let sql = "SELECT a.tax - b.tax AS tax FROM (SELECT SUM(tax) AS tax FROM firms) a
               CROSS JOIN (SELECT SUM(tax) AS tax FROM firms WHERE staff < 19999) b";
    assert_eq!(numbers(&ask(&world, "p", sql).await, "tax"), [None]);
}

/// By leaving out rows of the target instead of the target.
#[tokio::test(flavor = "multi_thread")]
async fn by_rows_of_one_unit() {
    let world = world(&ordinary(120)).await;
    ask(&world, "all", "SELECT SUM(kwh) AS kwh FROM bills").await;
    assert_eq!(
        marks(&ask(&world, "less", "SELECT SUM(kwh) AS kwh FROM bills WHERE kwh <> 247").await, "kwh"),
        ["overlap"]
    );
}

/// With scaled numbers, so that they are not the same variable: sets of units are compared, not texts.
#[tokio::test(flavor = "multi_thread")]
async fn by_a_scaled_number() {
    let world = world(&with_target()).await;
    ask(&world, "all", "SELECT SUM(tax) AS tax FROM firms").await;
    let less = ask(&world, "less", "SELECT SUM(tax * 3 + 7) AS tax FROM firms WHERE staff < 19999").await;
    assert_eq!(marks(&less, "tax"), ["overlap"]);
}

/// Through a model that knows the target and stands in the filter.
#[tokio::test(flavor = "multi_thread")]
async fn by_a_model_in_the_filter() {
    let world = world(&with_target()).await;
    ask(&world, "all", "SELECT SUM(tax) AS tax FROM firms").await;
    // burden(staff, tax) is 1 for the target alone, clamped; all others lie lower.
    let less = ask(&world, "less", "SELECT SUM(tax) AS tax FROM firms WHERE burden(staff, 100000000) < 0.1").await;
    assert_eq!(numbers(&less, "tax").len(), 1);
    let others = ask(&world, "rest", "SELECT COUNT(*) AS n FROM firms WHERE staff < 19999").await;
    assert_eq!(marks(&others, "n"), ["overlap"]);
}

/// Two runs at the same moment, each the other's difference: one of the two is withheld, whichever comes second.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_same_time() {
    let world = world(&with_target()).await;
    for (id, sql) in [
        ("all", "SELECT SUM(tax) AS tax FROM firms"),
        ("less", "SELECT SUM(tax) AS tax FROM firms WHERE staff < 19999"),
    ] {
        world.approve(id, &product(id, sql), "operator", &["research"]).await;
    }
    let (a, b) = tokio::join!(world.run("all", &[], "research"), world.run("less", &[], "research"));
    let withheld = [a, b].iter().filter(|r| !marks(r.as_ref().unwrap().released.batch(), "tax").is_empty()).count();
    assert_eq!(withheld, 1);
}

/// Under `personal` the difference of two answers is noise: with the same ε the standard error of a difference is far above
/// one person. Plain engine: exactly 1.
#[tokio::test(flavor = "multi_thread")]
async fn of_persons() {
    let world = crate::common::World::new(240).await;
    let mut differences = std::collections::BTreeSet::new();
    for i in 0..5 {
        let mut n = Vec::new();
        for (id, filter) in [(format!("all{i}"), "age < 200"), (format!("less{i}"), "age <> 23")] {
            let sql = format!("SELECT COUNT(*) AS n{i} FROM people WHERE {filter}");
            let text = crate::common::World::product_text(&id, &sql, "").replace("epsilon = 5.0", "epsilon = 0.2");
            world.approve(&id, &text, "operator", &["research"]).await;
            let answer = world.run(&id, &[], "research").await.unwrap();
            n.push(numbers(answer.released.batch(), &format!("n{i}"))[0].unwrap());
        }
        differences.insert((n[0] - n[1]).round() as i64);
    }
    assert!(differences.len() > 1, "{differences:?}: the difference is no number that repeats");
}
