//! Any bytes as a module: a value comes back, and what is accepted loads or says why not, and runs.
#![no_main]

use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, Float64Array};
use libfuzzer_sys::fuzz_target;
use yunei_sandbox::{Manifest, Sandbox, SandboxConfig, Verified};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(SandboxConfig::default()).expect("a sandbox"));
static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    Manifest::parse(
        "[model]\nid = \"m\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"m.wasm\"\n[[feature]]\nname = \"x\"\n\
         type = \"f64\"\n[output]\nmin = 0\nmax = 1\ndefault = 0\n[limits]\nfuel = 10000\n",
    )
    .expect("a manifest")
});

fuzz_target!(|bytes: &[u8]| {
    match Verified::check(bytes, &MANIFEST) {
        Err(reasons) => assert!(!reasons.is_empty()),
        Ok(verified) => {
            let _ = verified.report().to_string();
            if let Ok(model) = SANDBOX.load(&verified, &MANIFEST) {
                let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0, 0.0]));
                let scores = model.score(&[column], 3).expect("scores");
                assert_eq!(scores.value(0).to_bits(), scores.value(2).to_bits());
                assert!(scores.values().iter().all(|x| (0.0..=1.0).contains(x)));
            }
        }
    }
});
