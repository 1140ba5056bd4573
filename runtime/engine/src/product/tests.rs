use super::*;
use std::collections::BTreeMap;

const RISK: &str = r#"
[product]
id = "risk-by-city"
kind = "aggregate"
title = { zh = "各城市风险", en = "Risk by city" }
purposes = ["credit-research"]
datasets = ["residents"]
models = ["credit-risk@1.2.0"]
sql = "SELECT city, COUNT(*) FROM residents WHERE age >= $min_age GROUP BY city"
[product.params.min_age]
type = "int"
min = 18
max = 90
default = 18
[product.privacy]
epsilon = 0.5
"#;

const LOW_RISK: &str = r#"
[product]
id = "low-risk"
kind = "verification"
title = { zh = "低风险", en = "Low risk" }
purposes = ["loan"]
datasets = ["residents"]
models = ["credit-risk@1.0.0"]
[product.verification]
identity = ["id_number", "name"]
claim = { model = "credit-risk@1.0.0", at_most = 0.35 }
"#;

fn codes(text: &str) -> Vec<&'static str> {
    Product::parse(text).expect_err("refused").codes()
}

#[test]
fn both_kinds_parse() {
    let risk = Product::parse(RISK).unwrap();
    let Body::Aggregate(body) = risk.body() else { panic!("aggregate") };
    assert_eq!(body.demand().map(|d| d.epsilon), Some(0.5));
    let low = Product::parse(LOW_RISK).unwrap();
    let Body::Verification(body) = low.body() else { panic!("verification") };
    assert_eq!(body.identity(), ["id_number", "name"]);
    assert_eq!(
        body.claim(),
        &Claim::Model { model: "credit-risk@1.0.0".to_owned(), side: Side::AtMost, threshold: 0.35 }
    );
}

#[test]
fn all_reasons_come_at_once() {
    let text = RISK
        .replace("id = \"risk-by-city\"", "id = \"Risk_By_City\"")
        .replace("datasets = [\"residents\"]", "datasets = []")
        .replace("default = 18", "default = 17")
        .replace("$min_age", "$min_age2");
    let mut found = codes(&text);
    found.sort_unstable();
    assert_eq!(found, ["name/id", "product/list", "product/parameter-default", "product/parameter-unused"]);
}

#[test]
fn unknown_keys_are_told_with_their_line() {
    let refused = Product::parse(&RISK.replace("kind =", "kinds =")).expect_err("refused");
    assert_eq!(refused.codes(), ["product/malformed"]);
    assert_eq!(refused.reasons()[0].place(), Some("line 4"));
}

#[test]
fn limits_hold_at_the_edge() {
    let sql = |n: usize| RISK.replace("SELECT city", &format!("SELECT {}city", " ".repeat(n)));
    let short = RISK.lines().find(|l| l.starts_with("sql")).unwrap().len() - "sql = \"\"".len();
    assert!(Product::parse(&sql(MAX_SQL_BYTES - short)).is_ok());
    assert_eq!(codes(&sql(MAX_SQL_BYTES - short + 1)), ["sql/too-large"]);
    assert_eq!(codes(&format!("{RISK}#{}", "x".repeat(MAX_MANIFEST_BYTES))), ["product/too-large"]);
}

#[test]
fn claims_are_one_of_two() {
    for claim in [
        "{ equals = \"a\", model = \"credit-risk@1.0.0\" }",
        "{ model = \"credit-risk@1.0.0\" }",
        "{ model = \"credit-risk@1.0.0\", at_most = 1.0, at_least = 0.0 }",
        "{ model = \"credit-risk@1.0.0\", at_most = nan }",
        "{}",
    ] {
        let text = LOW_RISK.replace("{ model = \"credit-risk@1.0.0\", at_most = 0.35 }", claim);
        assert_eq!(codes(&text), ["product/claim"], "{claim}");
    }
}

#[test]
fn arguments_are_read_by_type_and_range() {
    let product = Product::parse(RISK).unwrap();
    let Body::Aggregate(body) = product.body() else { panic!("aggregate") };
    let read = |pairs: &[(&str, &str)]| {
        let given: BTreeMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Arguments::read(body.parameters(), &given).map(|a| a.canonical()).map_err(|r| r.codes())
    };
    assert_eq!(read(&[]), Ok(r#"{"min_age":"int:18"}"#.to_owned()));
    assert_eq!(read(&[("min_age", "90")]), Ok(r#"{"min_age":"int:90"}"#.to_owned()));
    assert_eq!(read(&[("min_age", "91")]), Err(vec!["parameter/value"]));
    assert_eq!(read(&[("min_age", "x"), ("city", "昆明")]), Err(vec!["parameter/unknown", "parameter/value"]));
}
