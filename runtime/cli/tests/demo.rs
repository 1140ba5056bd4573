//! `yunei demo` as a person or a program starts it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

use serde_json::Value;

fn demo(arguments: &[&str], lang: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yunei"))
        .arg("demo")
        .args(arguments)
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .env("LANG", lang)
        .output()
        .expect("it starts")
}

#[test]
fn json_is_one_document_and_every_leak_is_held() {
    let keep = tempfile::tempdir().expect("a folder");
    let folder = keep.path().to_str().expect("UTF-8");
    let output = demo(&["--rows", "2000", "--json", "--keep", folder], "en_GB.UTF-8");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let leaks = document["leaks"].as_array().expect("leaks");
    assert!(leaks.len() >= 8);
    assert!(leaks.iter().all(|leak| leak["outcome"] == "refused" || leak["outcome"] == "neutralised"));
    for kept in ["home/log", "data/residents.parquet", "receipts", "results"] {
        assert!(keep.path().join(kept).exists(), "{kept}");
    }
    the_catalogue_says_what_columns_hold(&keep.path().join("home"));
}

/// Whoever writes a query needs the spelling of values and the ends of ranges.
fn the_catalogue_says_what_columns_hold(home: &std::path::Path) {
    let show = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yunei"));
        let command = command.arg("--home").arg(home).args(["--lang", "en", "dataset", "show", "residents"]);
        command.args(arguments).output().expect("it starts")
    };
    let text = |arguments: &[&str]| String::from_utf8(show(arguments).stdout).expect("UTF-8");
    let all = text(&[]);
    assert!(all.contains("0 … 120") && all.contains("昆明, 曲靖, 玉溪, … (16)"), "{all}");
    let city = text(&["city"]);
    assert!(city.contains("西双版纳") && !city.contains("(16)"), "{city}");
    let city: Value = serde_json::from_slice(&show(&["city", "--json"]).stdout).expect("one JSON document");
    assert_eq!(city["listed"].as_array().map(Vec::len), Some(16));
    let wrong = show(&["wage"]);
    assert_ne!(wrong.status.code(), Some(0));
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(told.contains("dataset/unknown-column") && told.contains("months_insured"), "{told}");
}

#[test]
fn the_language_is_that_of_the_locale() {
    for (lang, word) in [("zh_CN.UTF-8", "泄露尝试"), ("en", "a plain engine")] {
        let output = demo(&["--rows", "500"], lang);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains(word));
    }
}
