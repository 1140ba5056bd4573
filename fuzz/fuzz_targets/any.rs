//! Any bytes as a model file: a value comes back, and what is taken passes the sandbox as stateless and bounded. Seed the corpus with
//! `models/import/tests/data`: every format has a file there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yunei_import::{Naming, import};
use yunei_sandbox::{Class, Cost, Manifest, Verified};

fuzz_target!(|bytes: &[u8]| {
    let imported = match import(bytes, &Naming::default()) {
        Ok(imported) => imported,
        Err(reasons) => {
            assert!(!reasons.is_empty());
            return;
        }
    };
    for (_, text) in &imported.manifests {
        let Ok(manifest) = Manifest::parse(text) else { continue };
        let verified = Verified::check(&imported.wasm, &manifest).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
        assert_eq!(verified.report().class, Class::Stateless);
        assert!(matches!(verified.report().cost, Cost::Bounded(_)));
    }
});
