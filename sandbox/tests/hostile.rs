//! Hostile models learn nothing and change nobody else's result.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use proptest::prelude::*;
use yunei_sandbox::Model;

/// What the model says of each person when that person is alone.
fn alone(model: &Model, people: &[[f64; 5]]) -> Vec<f64> {
    people.iter().map(|p| model.score(&columns(&[*p]), 1).unwrap().value(0)).collect()
}

const MODELS: [&str; 3] = ["hostile/remembers", "hostile/remembers-global", "hostile/traps-on-target"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Permuting, removing and adding rows leaves every person's result as it is when alone.
    #[test]
    fn a_result_depends_on_its_own_row(seed: u64, n in 1..80_usize) {
        let sandbox = sandbox();
        for name in MODELS {
            let model = folder(&sandbox, name);
            let mut people = people(n, seed);
            people[n / 2] = [42.0, 50_000.0, 10.0, 400_000.0, 1.0];
            let want = alone(&model, &people);
            let mut r = Random(seed);
            let picked: Vec<usize> = (0..2 * n).map(|_| r.below(n as u64) as usize).collect();
            let rows: Vec<[f64; 5]> = picked.iter().map(|i| people[*i]).collect();
            let got = model.score(&columns(&rows), rows.len()).unwrap();
            for (i, got) in picked.iter().zip(got.values()) {
                prop_assert_eq!(*got, want[*i], "{}", name);
            }
        }
    }
}

#[test]
fn a_model_that_remembers_knows_nobody() {
    for name in ["hostile/remembers", "hostile/remembers-global"] {
        let model = folder(&sandbox(), name);
        let people = people(100, 9);
        let scores = model.score(&columns(&people), 100).unwrap();
        assert!(scores.values().iter().all(|x| *x == 0.0), "{name}");
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
