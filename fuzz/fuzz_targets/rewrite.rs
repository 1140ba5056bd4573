//! Modules of `wasm-smith`: undone, fresh, and on a second engine, they say the same. The first eight bytes
//! choose the shape of the module and the rows, the others make the module.
#![no_main]

use std::sync::LazyLock;

use common::differ::{Seen, Ways, check};
use libfuzzer_sys::fuzz_target;

#[path = "../../sandbox/tests/common/mod.rs"]
mod common;

static WAYS: LazyLock<Ways> = LazyLock::new(Ways::new);

fuzz_target!(|bytes: &[u8]| {
    let Some((seed, rest)) = bytes.split_first_chunk() else { return };
    check(u64::from_le_bytes(*seed), rest, &WAYS, &Seen::default());
});
