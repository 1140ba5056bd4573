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
    let claim = Claim::Model { model: "credit-risk@1.0.0".to_owned(), least: None, most: Some(0.35) };
    assert_eq!(body.claims(), [claim]);
    assert!(body.legal_basis().is_none() && !body.tells_not_found() && body.charges("no_match"));
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
fn claims_have_four_forms() {
    for claim in [
        "{ equals = \"a\", model = \"credit-risk@1.0.0\" }",
        "{ model = \"credit-risk@1.0.0\" }",
        "{ column = \"a\" }",
        "{ column = \"a\", one_of = [1], none_of = [2] }",
        "{ column = \"a\", one_of = [1], at_least = 1 }",
        "{ equals = \"a\", at_least = 1 }",
        "{ model = \"credit-risk@1.0.0\", at_most = \"1\" }",
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

#[test]
fn claims_are_joined_and_conditions_read() {
    let text = LOW_RISK.replace(
        "claim = { model = \"credit-risk@1.0.0\", at_most = 0.35 }",
        r#"kinds = { id_number = "citizen-id", name = "name" }
claims = [
  { equals = "plate" },
  { column = "status", one_of = ["存续", "在业"] },
  { column = "list", none_of = [1, 2] },
  { column = "born", at_least = 1950-01-01, at_most = "2008-11-26" },
  { model = "credit-risk@1.0.0", at_least = 0, at_most = 0.35 },
]
consent = "not-required"
legal_basis = "《反洗钱法》第三十条"
not_found = true
free = ["not_found"]
daily = 10"#,
    );
    let product = Product::parse(&text).unwrap();
    let Body::Verification(body) = product.body() else { panic!("verification") };
    assert_eq!(body.asked().collect::<Vec<_>>(), ["plate"]);
    assert_eq!(body.claims().len(), 5);
    assert_eq!(
        body.claims()[3],
        Claim::Band { column: "born".into(), least: Some("1950-01-01".into()), most: Some("2008-11-26".into()) }
    );
    assert!(body.tells_not_found() && !body.charges("not_found") && body.charges("match"));
    assert_eq!((body.daily(), body.is_batch()), (Some(10), false));
    assert!(body.legal_basis().is_some());
    for (from, to, code) in [
        ("consent = \"not-required\"\n", "", "product/consent"),
        ("legal_basis = \"《反洗钱法》第三十条\"\n", "", "product/consent"),
        ("not-required", "sometimes", "product/consent"),
        ("citizen-id", "passport", "product/field-kind"),
        ("[\"not_found\"]", "[\"maybe\"]", "product/free"),
        ("daily = 10", "daily = 0", "product/daily"),
        ("claims = [", "claim = { equals = \"x\" }\nclaims = [", "product/claim"),
    ] {
        assert_eq!(codes(&text.replace(from, to)), [code], "{from} -> {to}");
    }
}
