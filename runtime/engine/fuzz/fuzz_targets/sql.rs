//! Any text as the SQL of a product: clearance or reasons. `laws.rs` runs the seeded form of it in the normal tests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use yunei_engine::measure::Texts;

static TEXTS: LazyLock<Texts> = LazyLock::new(Texts::new);
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|sql: &str| {
    RUNTIME.block_on(TEXTS.check(sql));
});
