//! The host's memory does not grow, whatever models do. A program of its own: nothing else runs beside it.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::corpus::accepted;
use common::*;

/// What every person, or household, could have left behind is 40 pages.
const ROUNDS: usize = 20;
/// Allocators keep some of what they are given back.
const SLACK: u64 = 24 << 20;

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn the_memory_of_the_host_does_not_grow() {
    let sandbox = sandbox();
    let people = columns(&people(64, 3));
    let months = columns(&(0..64).map(|i| [f64::from(i % 12 + 1), f64::from(i * 7)]).collect::<Vec<_>>());
    let units: Vec<_> = (0..16).map(|i| i * 4..i * 4 + 4).collect();
    for units_only in [false, true] {
        for (name, model) in accepted(&sandbox, units_only) {
            let once = || match units_only {
                false => drop(model.score(&people, 64).unwrap()),
                true => drop(model.fold(&months, &units).unwrap()),
            };
            // The greatest memory that the model may have is touched here.
            once();
            once();
            let before = resident();
            (0..ROUNDS).for_each(|_| once());
            let growth = resident().saturating_sub(before);
            assert!(growth < SLACK, "{name}: {growth} bytes more after {ROUNDS} batches");
        }
    }
}
