//! What a product says of its noise: the mechanism, and how the charge is split over its numbers.

use super::{product, world};
use crate::plan::prepare_unauthorised;
use crate::product::{Body, Product};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use yunei_policy::Refused;
use yunei_policy::clear::{Clearance, HalfWidth};
use yunei_policy::rules::RuleSet;

async fn cleared(sql: &str, privacy: &str) -> Result<Clearance, Refused> {
    let folder = tempfile::tempdir().unwrap();
    let sources = world(folder.path(), None);
    let product = product(sql, privacy);
    let Body::Aggregate(aggregate) = product.body() else { panic!("an aggregate") };
    let runtime = RuntimeEnvBuilder::new().build_arc().unwrap();
    Ok(prepare_unauthorised(aggregate, &sources, &RuleSet::default(), &runtime).await?.1)
}

fn widths(clearance: &Clearance) -> Vec<f64> {
    let width = |w: HalfWidth| match w {
        HalfWidth::Absolute(width) | HalfWidth::OverRows(width) => width,
    };
    clearance.expected().iter().map(|e| width(e.half_width())).collect()
}

const TWO: &str = "SELECT city, COUNT(*) AS n, SUM(age) AS years FROM people GROUP BY city";

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_makes_its_number_sharper_and_the_others_blunter() {
    let even = widths(&cleared(TWO, "").await.unwrap());
    let weighted = cleared(TWO, "weights = { n = 4 }\n").await.unwrap();
    let found = widths(&weighted);
    // ρ goes 4 : 1 instead of 1 : 1, and σ with its root.
    assert!((even[0] / found[0] - 1.6f64.sqrt()).abs() < 1e-3, "{even:?} {found:?}");
    assert!((found[1] / even[1] - 2.5f64.sqrt()).abs() < 1e-3, "{even:?} {found:?}");
    assert_eq!(weighted.charge().rho, cleared(TWO, "").await.unwrap().charge().rho);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_reaches_through_what_is_computed_above() {
    let sql = "SELECT city, share, rank() OVER (ORDER BY share) AS place FROM (SELECT city, SUM(age) * 1.0 / COUNT(*) AS share, \
               SUM(income) AS money FROM people GROUP BY city HAVING COUNT(*) > 0) t ORDER BY share LIMIT 3";
    let (even, found) = (cleared(sql, "").await.unwrap(), cleared(sql, "weights = { share = 9 }\n").await.unwrap());
    let sharper: Vec<bool> = widths(&even).iter().zip(widths(&found)).map(|(a, b)| b < *a).collect();
    // The sum of ages, the count, and the money that nobody looks at.
    assert_eq!(sharper.iter().filter(|s| **s).count(), 2, "{sharper:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn laplace_has_no_delta() {
    let clearance = cleared("SELECT COUNT(*) AS n FROM people", "mechanism = \"laplace\"\n").await.unwrap();
    assert_eq!((clearance.delta(), clearance.epsilon()), (0.0, 1.0));
    let gaussian = cleared("SELECT COUNT(*) AS n FROM people", "mechanism = \"gaussian\"\n").await.unwrap();
    assert!(gaussian.delta() > 0.0);
    assert!(clearance.charge().rho > gaussian.charge().rho, "it is dearer");
    assert!(widths(&clearance)[0] < widths(&gaussian)[0], "and sharper for a single count");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let codes = |privacy: &'static str| async move { cleared(TWO, privacy).await.unwrap_err().codes() };
    assert_eq!(codes("weights = { people = 2 }\n").await, ["privacy/weight-column"]);
    assert_eq!(codes("weights = { city = 2 }\n").await, ["privacy/weight-column"]);
    assert_eq!(codes("weights = { n = 0 }\n").await, ["privacy/weights"]);
    assert_eq!(codes("weights = { n = 1001, people = 1 }\n").await, ["privacy/weight-column", "privacy/weights"]);
    let refused = cleared(TWO, "weights = { people = 2 }\n").await.unwrap_err();
    assert!(refused.reasons()[0].advice().is_some_and(|hint| hint.en.ends_with("n, years")));
    let text = product(TWO, "").text().replace("epsilon = 1.0", "epsilon = 1.0\nmechanism = \"exponential\"");
    assert_eq!(Product::parse(&text).unwrap_err().codes(), ["privacy/mechanism"]);
}
