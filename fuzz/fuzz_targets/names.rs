//! Any text as a file of names: a value comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yunei_import::Naming;

fuzz_target!(|text: &str| {
    if let Err(reasons) = Naming::parse(text) {
        assert!(!reasons.is_empty());
    }
});
