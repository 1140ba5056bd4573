//! The same models from several languages; the modules are the committed ones, so that no compiler is needed.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use arrow_array::Float64Array;
use common::*;
use yunei_sandbox::{Class, Manifest, Model, Verified};

/// The model of a folder without rounding: every bit of its answers is seen.
fn unrounded(name: &str) -> Model {
    let folder = models().join(name);
    let text = fs::read_to_string(folder.join("model.toml")).unwrap();
    let text: String = text.lines().filter(|l| !l.starts_with("step")).map(|l| format!("{l}\n")).collect();
    let manifest = Manifest::parse(&text).unwrap();
    load(&sandbox(), &manifest, fs::read(folder.join(manifest.file())).unwrap())
}

fn bits(scores: &Float64Array) -> Vec<u64> {
    scores.values().iter().map(|x| x.to_bits()).collect()
}

/// Plausible people and some that nobody would expect.
fn everybody() -> Vec<[f64; 5]> {
    let mut all = people(20_000, 11);
    let odd = [0.0, -0.0, -1.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let mut r = Random(12);
    all.extend((0..2000).map(|_| std::array::from_fn(|_| odd[r.below(9) as usize])));
    all
}

#[test]
fn four_languages_give_the_same_bits() {
    let people = everybody();
    let columns = columns(&people);
    let scores = |name: &str| bits(&unrounded(name).score(&columns, people.len()).unwrap());
    let wat = scores("credit-risk");
    for language in ["c", "rust", "assemblyscript"] {
        assert_eq!(scores(&format!("credit-risk/{language}")), wat, "{language}");
    }
}

#[test]
fn scoring_code_of_compilers_is_stateless_and_bounded() {
    for name in ["credit-risk", "credit-risk/c", "credit-risk/rust", "credit-risk/assemblyscript"] {
        let report = unrounded(name).report().clone();
        assert_eq!(report.class, Class::Stateless, "{name}: {report}");
        assert!(report.why_not_bounded.is_none(), "{name}: {report}");
        assert!(!report.canonical_nan, "{name}: {report}");
    }
}

#[test]
fn an_array_that_is_indexed_by_the_data_makes_a_model_contained() {
    let mut r = Random(5);
    let rows: Vec<[f64; 4]> = (0..5000).map(|_| std::array::from_fn(|_| r.below(200_000) as f64)).collect();
    let columns = columns(&rows);
    let [c, rust] = ["concentration/c", "concentration/rust"].map(unrounded);
    for model in [&c, &rust] {
        assert_eq!(model.report().class, Class::Contained, "{}", model.report());
    }
    let (c, rust) = (c.score(&columns, 5000).unwrap(), rust.score(&columns, 5000).unwrap());
    assert_eq!(bits(&c), bits(&rust));
    for (row, score) in rows.iter().zip(c.values()) {
        let mut bands = [0.0; 8];
        for sum in row {
            let band = ((sum / 25_000.0) as usize).min(7);
            bands[band] += 1.0;
            if band > 0 {
                bands[band - 1] += 0.5;
            }
            if band < 7 {
                bands[band + 1] += 0.5;
            }
        }
        let total: f64 = bands.iter().sum();
        let squares: f64 = bands.iter().map(|x| x * x).sum();
        assert_eq!(*score, squares / (total * total));
    }
}

/// What a beginner copies has to work as it stands.
#[test]
fn every_manifest_beside_a_module_loads() {
    let mut found = 0;
    let mut todo = vec![models()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                todo.push(entry);
            } else if entry.file_name().is_some_and(|n| n == "model.toml") {
                let manifest = Manifest::parse(&fs::read_to_string(&entry).unwrap()).unwrap();
                let Ok(module) = fs::read(entry.with_file_name(manifest.file())) else { continue };
                let verified = Verified::check(&module, &manifest).unwrap_or_else(|r| panic!("{entry:?}: {r:?}"));
                sandbox().load(&verified, &manifest).unwrap();
                found += 1;
            }
        }
    }
    assert!(found >= 9, "{found}");
}

/// The block of a language in the guide for beginners.
fn snippet(readme: &str, language: &str) -> String {
    let start = format!("```{language}\n");
    let rest = readme.split(&start).nth(1).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

#[test]
fn the_guide_s_text_format_and_manifest_are_a_model_and_short() {
    let readme = fs::read_to_string(models().join("README.md")).unwrap();
    let manifest = Manifest::parse(&snippet(&readme, "toml")).unwrap();
    let model = load(&sandbox(), &manifest, snippet(&readme, "wat"));
    let got = model.score(&columns(&[[20.0, 0.0], [40.0, 10_000.0]]), 2).unwrap();
    assert!(got.values().iter().zip([0.2, 0.35]).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}");
    for language in ["c", "rust", "ts", "wat"] {
        assert!(snippet(&readme, language).lines().count() < 10, "{language}");
    }
}
