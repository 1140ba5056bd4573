//! Random modules on four ways; see `common/differ.rs` and `common/stores.rs`.
//!
//! `YUNEI_SANDBOX_CASES` sets the number of modules, `YUNEI_SANDBOX_SEED` the first seed.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::differ::{Seen, Ways, check, compare, entropy};
use common::stores;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Compares so many seeds, two at a time.
fn compare_all(cases: u64, one: impl Fn(u64, &Ways, &Seen) + Sync) -> [u64; 3] {
    let first = from_environment("YUNEI_SANDBOX_SEED", 1);
    let ways = Ways::new();
    let seen = Seen::default();
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + cases {
                        break;
                    }
                    one(seed, &ways, &seen);
                }
            });
        }
    });
    [&seen.modules, &seen.contained, &seen.answers].map(|n| n.load(Ordering::Relaxed))
}

#[test]
fn random_modules_say_the_same_on_every_way() {
    let cases = from_environment("YUNEI_SANDBOX_CASES", 2000);
    let [modules, contained, answers] = compare_all(cases, |seed, ways, seen| check(seed, &entropy(seed), ways, seen));
    println!("{cases} seeds: {modules} modules ran, {contained} of them contained; {answers} rows answered");
    // A generator that makes only modules which never run would prove nothing.
    assert!(modules * 4 > cases && contained * 8 > cases && answers > cases / 20, "{modules} {contained} {answers}");
}

#[test]
fn modules_that_are_all_stores_say_the_same_on_every_way() {
    let cases = from_environment("YUNEI_SANDBOX_CASES", 2000);
    let [modules, contained, answers] =
        compare_all(cases, |seed, ways, seen| compare(seed, &stores::module(seed), ways, seen));
    println!("{cases} seeds of stores: {contained} modules contained; {answers} rows answered");
    // A few store nothing.
    assert!(modules == cases && contained * 50 > cases * 49 && answers > cases, "{modules} {contained} {answers}");
}
