//! Manifests: what is taken, and each way to be refused.
#![allow(clippy::unwrap_used)]

use yunei_sandbox::{FeatureType, Kind, Manifest};

const GOOD: &str = r#"[model]
id = "credit-risk"
version = "1.2.0"
kind = "row"
file = "credit_risk.wasm"
[[feature]]
name = "age"
type = "f64"
missing = 0.0
[[feature]]
name = "n"
type = "i32"
[output]
min = 0
max = 1.0
step = 0.0001
default = 0.5
[limits]
memory_pages = 4
fuel = 1000
"#;

fn codes(text: &str) -> Vec<(&'static str, String)> {
    match Manifest::parse(text) {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong.iter().map(|r| (r.code(), r.place().unwrap_or("").to_owned())).collect(),
    }
}

fn first(from: &str, to: &str) -> (&'static str, String) {
    assert!(GOOD.contains(from), "{from}");
    codes(&GOOD.replacen(from, to, 1)).into_iter().next().unwrap_or(("accepted", String::new()))
}

#[test]
fn a_good_manifest_is_read_whole() {
    let m = Manifest::parse(GOOD).unwrap();
    assert_eq!((m.id(), m.version(), m.kind(), m.file()), ("credit-risk", "1.2.0", Kind::Row, "credit_risk.wasm"));
    assert_eq!(m.features().len(), 2);
    assert_eq!(m.features()[0].missing(), Some(0.0));
    assert_eq!(m.features()[1].feature_type(), FeatureType::I32);
    let o = m.output();
    assert_eq!((o.min(), o.max(), o.step(), o.default()), (0.0, 1.0, 0.0001, 0.5));
    assert_eq!((m.limits().memory_pages(), m.limits().fuel()), (4, 1000));
}

#[test]
fn an_export_is_score_unless_it_is_named() {
    assert_eq!(Manifest::parse(GOOD).unwrap().export(), "score");
    let named = GOOD.replace("kind = \"row\"", "kind = \"row\"\nexport = \"class_1\"");
    assert_eq!(Manifest::parse(&named).unwrap().export(), "class_1");
    let longest = |n: usize| first("kind = \"row\"", &format!("kind = \"row\"\nexport = \"{}\"", "x".repeat(n))).0;
    assert_eq!((longest(64), longest(65)), ("accepted", "manifest/name"));
}

#[test]
fn a_manifest_with_nan_for_null_equals_itself() {
    let text = GOOD.replace("missing = 0.0", "missing = nan");
    let (a, b) = (Manifest::parse(&text).unwrap(), Manifest::parse(&text).unwrap());
    assert!(a.features()[0].missing().unwrap().is_nan());
    assert!(a == b);
    assert!(a != Manifest::parse(GOOD).unwrap());
}

#[test]
fn limits_may_be_left_out() {
    let m = Manifest::parse(GOOD.split("[limits]").next().unwrap()).unwrap();
    assert_eq!((m.limits().memory_pages(), m.limits().fuel()), (16, 100_000));
}

#[test]
fn each_mistake_has_its_code_and_place() {
    let table = [
        ("id = \"credit-risk\"", "id = \"Credit\"", "manifest/name", "model.id, line 2"),
        ("id = \"credit-risk\"", "id = 7", "manifest/type", "model.id, line 2"),
        ("id = \"credit-risk\"\n", "", "manifest/missing-key", "model.id"),
        ("version = \"1.2.0\"", "version = \"1.2\"", "manifest/name", "model.version, line 3"),
        ("version = \"1.2.0\"", "version = \"01.2.0\"", "manifest/name", "model.version, line 3"),
        ("version = \"1.2.0\"", "version = \"1.2.0+build\"", "manifest/name", "model.version, line 3"),
        ("kind = \"row\"", "kind = \"table\"", "manifest/name", "model.kind, line 4"),
        ("credit_risk.wasm", "../credit.wasm", "manifest/name", "model.file, line 5"),
        ("credit_risk.wasm", "/etc/passwd", "manifest/name", "model.file, line 5"),
        ("credit_risk.wasm", ".hidden.wasm", "manifest/name", "model.file, line 5"),
        ("kind = \"row\"", "kind = \"row\"\nsize = 3", "manifest/unknown-key", "model.size, line 5"),
        ("[limits]", "[limit]", "manifest/unknown-key", "limit, line 18"),
        ("name = \"n\"", "name = \"age\"", "manifest/duplicate-feature", "feature[1].name, line 10"),
        ("name = \"n\"", "name = \"1n\"", "manifest/name", "feature[1].name, line 11"),
        ("type = \"i32\"", "type = \"i8\"", "manifest/name", "feature[1].type, line 12"),
        ("type = \"i32\"", "type = \"i32\"\nmissing = 0.5", "manifest/range", "feature[1].missing, line 10"),
        ("type = \"i32\"", "type = \"i32\"\nmissing = nan", "manifest/range", "feature[1].missing, line 10"),
        ("missing = 0.0", "missing = nan", "accepted", ""),
        ("missing = 0.0", "missing = inf", "manifest/range", "feature[0].missing, line 9"),
        ("kind = \"row\"", "kind = \"row\"\nexport = \"class_1\"", "accepted", ""),
        ("kind = \"row\"", "kind = \"row\"\nexport = \"a b\"", "manifest/name", "model.export, line 5"),
        ("kind = \"row\"", "kind = \"unit\"\nexport = \"class_1\"", "manifest/range", "model.export, line 5"),
        ("max = 1.0", "max = inf", "manifest/range", "output.max, line 15"),
        ("max = 1.0", "max = nan", "manifest/range", "output.max, line 15"),
        ("max = 1.0", "max = 1e16", "manifest/range", "output.max, line 15"),
        ("max = 1.0", "max = -1.0", "manifest/range", "output.min, line 14"),
        ("default = 0.5", "default = 1.5", "manifest/range", "output.default, line 14"),
        ("default = 0.5\n", "", "manifest/missing-key", "output.default"),
        ("step = 0.0001", "step = -1", "manifest/range", "output.step, line 14"),
        ("step = 0.0001", "step = 1e-300", "manifest/range", "output.step, line 14"),
        ("memory_pages = 4", "memory_pages = 1025", "manifest/range", "limits.memory_pages, line 19"),
        ("memory_pages = 4", "memory_pages = 1024", "accepted", ""),
        ("memory_pages = 4", "memory_pages = 0", "manifest/range", "limits.memory_pages, line 19"),
        ("fuel = 1000", "fuel = 100000001", "manifest/range", "limits.fuel, line 20"),
        ("fuel = 1000", "fuel = 100000000", "accepted", ""),
        ("fuel = 1000", "fuel = 1.5", "manifest/type", "limits.fuel, line 20"),
        ("[output]", "[output", "manifest/syntax", "line 13"),
    ];
    for (from, to, code, place) in table {
        let got = first(from, to);
        assert_eq!((got.0, got.1.as_str()), (code, place), "{to}");
    }
}

#[test]
fn all_reasons_come_at_once() {
    let text =
        GOOD.replace("\"credit-risk\"", "\"X\"").replace("max = 1.0", "max = nan").replace("fuel = 1000", "fuel = 0");
    assert_eq!(codes(&text).len(), 3);
}

#[test]
fn sixty_four_features_and_not_one_more() {
    let feature = |i: usize| format!("[[feature]]\nname = \"f{i}\"\ntype = \"f64\"\n");
    let head = "[model]\nid='m'\nversion='1.0.0'\nkind='row'\nfile='m.wat'\n[output]\nmin=0\nmax=1\ndefault=0\n";
    let with = |n: usize| codes(&(head.to_owned() + &(0..n).map(feature).collect::<String>()));
    assert_eq!(with(64), []);
    assert_eq!(with(65)[0].0, "manifest/features");
    assert_eq!(codes(head)[0].0, "manifest/missing-key");
}

#[test]
fn ids_of_sixty_four_characters_and_not_one_more() {
    assert_eq!(first("credit-risk", &"a".repeat(64)).0, "accepted");
    assert_eq!(first("credit-risk", &"a".repeat(65)).0, "manifest/name");
}

#[test]
fn a_manifest_of_64_kib_and_not_a_byte_more() {
    let pad = |n: usize| format!("{GOOD}#{}", "x".repeat(n - GOOD.len() - 1));
    assert_eq!(codes(&pad(65_536)), []);
    assert_eq!(codes(&pad(65_537))[0].0, "manifest/too-large");
}

#[test]
fn every_refusal_speaks_both_languages() {
    let text = GOOD.replace("\"row\"", "1").replace("[limits]", "[nope]");
    for r in Manifest::parse(&text).unwrap_err() {
        assert!(!r.en().is_empty() && r.zh().chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{r}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_value(text: String) {
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn any_damage_to_a_manifest_is_a_value(at in 0..GOOD.len(), bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..8)) {
        let mut text = GOOD.as_bytes().to_vec();
        text.splice(at..(at + bytes.len()).min(GOOD.len()), bytes);
        let _ = Manifest::parse(&String::from_utf8_lossy(&text));
    }
}
