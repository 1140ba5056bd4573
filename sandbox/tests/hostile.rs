//! Hostile models learn nothing and change nobody else's result.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

mod common;

use std::fs;
use std::ops::Range;

use common::corpus::{accepted, manifest_for, texts};
use common::*;
use proptest::prelude::*;
use yunei_sandbox::{Class, Model, Verified};

/// What the model says of each person when that person is alone, on an instance of its own.
fn alone(model: &Model, people: &[[f64; 5]]) -> Vec<f64> {
    people.iter().map(|p| model.score(&columns(&[*p]), 1).unwrap().value(0)).collect()
}

fn targeted(n: usize, seed: u64) -> Vec<[f64; 5]> {
    let mut people = people(n, seed);
    people[n / 2] = [42.0, 50_000.0, 10.0, 400_000.0, 1.0];
    people
}

/// Permuting, removing and adding rows leaves every person's result as it is when alone.
fn rows_are_independent(seed: u64, n: usize) {
    let (undo, fresh) = (accepted(&sandbox(), false), accepted(&fresh_sandbox(), false));
    assert!(undo.len() > 30);
    for ((name, model), (_, fresh)) in undo.iter().zip(&fresh) {
        let people = targeted(n, seed);
        let want = alone(fresh, &people);
        let mut r = Random(seed);
        let picked: Vec<usize> = (0..2 * n).map(|_| r.below(n as u64) as usize).collect();
        let rows: Vec<[f64; 5]> = picked.iter().map(|i| people[*i]).collect();
        let got = model.score(&columns(&rows), rows.len()).unwrap();
        for (i, got) in picked.iter().zip(got.values()) {
            assert_eq!(got.to_bits(), want[*i].to_bits(), "{name}");
        }
        let range = model.manifest().output();
        assert!(got.values().iter().all(|x| (range.min()..=range.max()).contains(x)), "{name}");
    }
}

/// The same for units: other households, in another order, more or fewer of them.
fn units_are_independent(seed: u64) {
    let mut r = Random(seed);
    let households: Vec<Vec<[f64; 2]>> =
        (0..12).map(|_| (0..r.below(20)).map(|m| [(m % 12 + 1) as f64, r.below(400) as f64]).collect()).collect();
    let (undo, fresh) = (accepted(&sandbox(), true), accepted(&fresh_sandbox(), true));
    assert!(undo.len() >= 3);
    for ((name, model), (_, fresh)) in undo.iter().zip(&fresh) {
        let want: Vec<f64> =
            households.iter().map(|h| fresh.fold(&columns(h), &[0..h.len()]).unwrap().value(0)).collect();
        let picked: Vec<usize> = (0..30).map(|_| r.below(12) as usize).collect();
        let (mut rows, mut units): (Vec<[f64; 2]>, Vec<Range<usize>>) = (Vec::new(), Vec::new());
        for i in &picked {
            let start = rows.len();
            rows.extend_from_slice(&households[*i]);
            units.push(start..rows.len());
        }
        let got = model.fold(&columns(&rows), &units).unwrap();
        for (i, got) in picked.iter().zip(got.values()) {
            assert_eq!(got.to_bits(), want[*i].to_bits(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_result_depends_on_its_own_row(seed: u64, n in 1..24_usize) {
        rows_are_independent(seed, n);
    }

    #[test]
    fn a_result_depends_on_its_own_unit(seed: u64) {
        units_are_independent(seed);
    }
}

#[test]
fn a_model_that_remembers_knows_nobody() {
    let people = people(100, 9);
    for name in ["remembers", "remembers-global"] {
        let model = folder(&sandbox(), &format!("hostile/{name}"));
        let scores = model.score(&columns(&people), 100).unwrap();
        assert!(scores.values().iter().all(|x| *x == 0.0), "{name}");
    }
    for (name, model) in accepted(&sandbox(), false) {
        if name.starts_with("remembers") || name == "counts-units" {
            let scores = model.score(&columns(&people), 100).unwrap();
            assert!(scores.values().iter().all(|x| *x == scores.value(0)), "{name}");
        }
    }
}

#[test]
fn a_trap_on_a_target_looks_like_any_answer() {
    let model = folder(&sandbox(), "hostile/traps-on-target");
    let mut people = people(100, 9);
    people[50] = [42.0, 0.0, 0.0, 200_000.0, 0.0];
    let scores = model.score(&columns(&people), 100).unwrap();
    for (person, score) in people.iter().zip(scores.values()) {
        let target = person[0] == 42.0 && person[3] > 100_000.0;
        assert_eq!(*score, if target { 0.5 } else { 0.25 });
    }
}

/// One person with every model: what is expected of the sandbox, spelled out.
#[test]
fn each_model_gets_what_the_abi_promises() {
    let person = [42.0, 50_000.0, 120.0, 80_000.0, 2.0];
    let models = accepted(&sandbox(), false);
    let scores: Vec<(&str, f64)> = models
        .iter()
        .map(|(name, model)| (name.as_str(), model.score(&columns(&[person; 3]), 3).unwrap().value(2)))
        .collect();
    let of = |name: &str| scores.iter().find(|(n, _)| *n == name).unwrap().1;
    let default = 0.5;
    for name in [
        "loops-on-target",
        "burns-fuel-in-bulk",
        "blows-the-stack",
        "recursion-bomb",
        "tail-calls-forever",
        "answers-nan",
        "writes-then-traps",
        "probes-beyond-memory",
    ] {
        assert_eq!(of(name), default, "{name}");
    }
    assert_eq!(of("burns-fuel"), 0.25);
    assert_eq!(of("wraps-around"), 0.25);
    assert_eq!(of("answers-infinity"), 1.0);
    assert_eq!(of("answers-out-of-range"), 1.0);
    assert_eq!(of("answers-denormals"), 0.0);
    assert_eq!(of("grows-memory"), 0.02);
    assert_eq!(of("eats-memory"), 0.4);
    assert_eq!(of("grows-table"), 0.02);
    assert_eq!(of("start-writes"), 0.75);
    assert_eq!(of("reads-uninitialised"), 0.0);
    assert_eq!(of("overwrites-two-mebibytes"), 0.0);
    assert_eq!(of("counts-units"), 0.001);
    // The one NaN of WebAssembly is positive.
    assert_eq!(of("reads-nan"), 0.25);
}

#[test]
fn what_writes_is_contained_and_what_does_not_is_stateless() {
    let stateless = [
        "loops-on-target",
        "burns-fuel",
        "blows-the-stack",
        "blows-the-stack-by-half",
        "tail-calls-forever",
        "answers-nan",
        "reads-nan",
        "answers-infinity",
        "answers-out-of-range",
        "answers-denormals",
        "reads-uninitialised",
        "traps-on-target",
    ];
    for (name, model) in accepted(&sandbox(), false) {
        let class = if stateless.contains(&name.as_str()) { Class::Stateless } else { Class::Contained };
        assert_eq!(model.report().class, class, "{name}: {}", model.report());
        assert_eq!(model.report().why_not_stateless.is_some(), class == Class::Contained, "{name}");
    }
}

#[test]
fn what_is_refused_says_why() {
    for (name, text) in texts(&models().join("hostile/refused")) {
        let wanted = String::from_utf8(text.clone()).unwrap();
        let wanted = wanted.lines().find_map(|l| l.strip_prefix(";; Refused with: ")).unwrap();
        let manifest = manifest_for("refused");
        let rejections = match Verified::check(&text, &manifest) {
            Err(rejections) => rejections,
            Ok(verified) => vec![sandbox().load(&verified, &manifest).unwrap_err()],
        };
        let codes: Vec<&str> = rejections.iter().map(|r| r.code()).collect();
        assert_eq!(codes, [wanted], "{name}");
        for r in rejections {
            assert!(!r.en().is_empty() && r.zh().chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{r}");
        }
    }
}

#[test]
fn every_file_is_in_the_readme() {
    let readme = fs::read_to_string(models().join("hostile/README.md")).unwrap();
    for (name, _) in texts(&models().join("hostile")) {
        assert!(readme.contains(&format!("| `{name}.wat` |")), "{name}");
    }
    for (name, _) in texts(&models().join("hostile/refused")) {
        assert!(readme.contains(&format!("| `refused/{name}.wat` |")), "{name}");
    }
}
