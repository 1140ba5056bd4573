//! Modules of `wasm-smith`: undone, fresh, and on a second engine, they say the same. The first eight bytes
//! choose the shape of the module and the rows, the others make the module. Without others, the eight are the seed of a
//! module that is all stores.
#![no_main]

use std::sync::LazyLock;

use common::differ::{Seen, Ways, check, compare};
use common::stores;
use libfuzzer_sys::fuzz_target;

#[path = "../../sandbox/tests/common/mod.rs"]
mod common;

static WAYS: LazyLock<Ways> = LazyLock::new(Ways::new);

fuzz_target!(|bytes: &[u8]| {
    let Some((seed, rest)) = bytes.split_first_chunk() else { return };
    let seed = u64::from_le_bytes(*seed);
    if rest.is_empty() {
        compare(seed, &stores::module(seed), &WAYS, &Seen::default());
    } else {
        check(seed, rest, &WAYS, &Seen::default());
    }
});
