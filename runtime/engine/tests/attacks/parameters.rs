//! Parameters that carry more than a value.

use crate::common::World;

const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 100\ndefault = 0\n\
                     [product.params.town]\ntype = \"text\"\nvalues = [\"昆明\", \"曲靖\"]\ndefault = \"昆明\"\n";
const SQL: &str = "SELECT COUNT(*) AS n FROM people WHERE age >= $least AND city = $town";

/// Each is refused before anything is charged. Literature: CWE-89; plain engine with texts put together: the injected query.
async fn stuffed(name: &str, value: &str) {
    let world = World::new(30).await;
    world.approve("p", &World::product_text("p", SQL, LEAST), "operator", &["research"]).await;
    let error = world.run("p", &[(name, value)], "research").await.unwrap_err();
    assert!(error.reasons().iter().all(|r| r.code().starts_with("parameter/")), "{error}");
    assert!(!error.to_string().contains(value), "a refusal does not repeat what was stuffed in");
    assert!(world.domain.budgets("authority").await.unwrap().is_empty());
}

/// SQL in a text parameter.
#[tokio::test(flavor = "multi_thread")]
async fn sql_in_a_text() {
    stuffed("town", "昆明' OR '1' = '1").await;
}

/// SQL in a number.
#[tokio::test(flavor = "multi_thread")]
async fn sql_in_a_number() {
    stuffed("least", "0 OR id = 'P0000003'").await;
}

/// A number outside the declared range, to isolate the oldest.
#[tokio::test(flavor = "multi_thread")]
async fn number_out_of_range() {
    stuffed("least", "101").await;
}

/// A number that wraps around.
#[tokio::test(flavor = "multi_thread")]
async fn number_that_wraps() {
    stuffed("least", "18446744073709551616").await;
}

/// A value that is none of the declared ones.
#[tokio::test(flavor = "multi_thread")]
async fn undeclared_value() {
    stuffed("town", "丽江市以外的地方").await;
}

/// A parameter that there is not.
#[tokio::test(flavor = "multi_thread")]
async fn undeclared_parameter() {
    stuffed("epsilon", "99.5").await;
}

/// Not a number at all.
#[tokio::test(flavor = "multi_thread")]
async fn not_a_number() {
    stuffed("least", "NaN").await;
}

/// Different spellings of one value are one question, so that none of them draws new noise.
#[tokio::test(flavor = "multi_thread")]
async fn spellings_are_one_question() {
    let world = World::new(30).await;
    world.approve("p", &World::product_text("p", SQL, LEAST), "operator", &["research"]).await;
    let first = world.run("p", &[("least", "7")], "research").await.unwrap();
    for spelling in ["7", "07", "+7"] {
        match world.run("p", &[("least", spelling)], "research").await {
            Ok(again) => assert!(again.repeated && again.run == first.run, "{spelling}"),
            Err(error) => assert!(error.reasons().iter().all(|r| r.code().starts_with("parameter/")), "{error}"),
        }
    }
}
