//! Random modules on four ways; see `common/differ.rs`.
//!
//! `YUNEI_SANDBOX_CASES` sets the number of modules, `YUNEI_SANDBOX_SEED` the first seed.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::differ::{Seen, Ways, check, entropy};

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn random_modules_say_the_same_on_every_way() {
    let cases = from_environment("YUNEI_SANDBOX_CASES", 2000);
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
                    check(seed, &entropy(seed), &ways, &seen);
                }
            });
        }
    });
    let [modules, contained, answers] =
        [&seen.modules, &seen.contained, &seen.answers].map(|n| n.load(Ordering::Relaxed));
    println!("{cases} seeds: {modules} modules ran, {contained} of them contained; {answers} rows answered");
    // A generator that makes only modules which never run would prove nothing.
    assert!(modules * 4 > cases && contained * 8 > cases && answers > cases / 20, "{modules} {contained} {answers}");
}
