//! Any text as a manifest: a value comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yunei_sandbox::Manifest;

fuzz_target!(|text: &str| {
    if let Err(reasons) = Manifest::parse(text) {
        assert!(!reasons.is_empty());
    }
});
