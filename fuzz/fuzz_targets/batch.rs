//! Columns of every type, sliced, with NULLs and dictionaries, arrive as a conversion row by row has them.
#![no_main]

use std::sync::LazyLock;

use common::batch::{Echoes, check};
use libfuzzer_sys::fuzz_target;

#[path = "../../sandbox/tests/common/mod.rs"]
mod common;

static ECHOES: LazyLock<Echoes> = LazyLock::new(Echoes::new);

fuzz_target!(|seed: u64| {
    check(seed, &ECHOES);
});
