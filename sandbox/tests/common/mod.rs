//! What the tests share: models from files or text, columns, and a small random generator.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod batch;
pub mod corpus;
pub mod differ;
pub mod stores;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use yunei_sandbox::{Manifest, Model, Sandbox, SandboxConfig, Verified};

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

/// A manifest with features `a`, `b`, … of the given types.
pub fn manifest(kind: &str, types: &[&str], output: &str, limits: &str) -> Manifest {
    let features: String =
        types.iter().enumerate().map(|(i, t)| format!("[[feature]]\nname = \"f{i}\"\ntype = \"{t}\"\n")).collect();
    let text = format!(
        "[model]\nid = \"test\"\nversion = \"1.0.0\"\nkind = \"{kind}\"\nfile = \"test.wat\"\n{features}\
         [output]\n{output}\n[limits]\n{limits}\n"
    );
    Manifest::parse(&text).unwrap()
}

pub const WIDE: &str = "min = -1e15\nmax = 1e15\ndefault = -7";

pub fn sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig::default()).unwrap()
}

pub fn fresh_sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig::default().fresh_instances(true)).unwrap()
}

pub fn load(sandbox: &Sandbox, manifest: &Manifest, module: impl AsRef<[u8]>) -> Model {
    let verified = Verified::check(module.as_ref(), manifest).unwrap();
    sandbox.load(&verified, manifest).unwrap()
}

/// The model in a folder under `models/`.
pub fn folder(sandbox: &Sandbox, name: &str) -> Model {
    let (manifest, module) = files(name);
    load(sandbox, &manifest, module)
}

pub fn files(name: &str) -> (Manifest, Vec<u8>) {
    let dir = models().join(name);
    let manifest = Manifest::parse(&std::fs::read_to_string(dir.join("model.toml")).unwrap()).unwrap();
    let module = std::fs::read(dir.join(manifest.file())).unwrap();
    (manifest, module)
}

pub fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Plausible people: age, income, months insured, debts, education.
pub fn people(n: usize, seed: u64) -> Vec<[f64; 5]> {
    let mut r = Random(seed);
    (0..n)
        .map(|_| {
            let debts = if r.below(3) == 0 { 0.0 } else { (r.unit() * r.unit() * 500_000.0).round() };
            [
                18.0 + r.below(73) as f64,
                (20_000.0 + r.unit() * 100_000.0).round(),
                r.below(481) as f64,
                debts,
                r.below(5) as f64,
            ]
        })
        .collect()
}

pub fn columns<const N: usize>(rows: &[[f64; N]]) -> Vec<ArrayRef> {
    (0..N).map(|i| floats(rows.iter().map(|r| r[i]))).collect()
}

pub fn values(array: &Float64Array) -> Vec<Option<f64>> {
    array.iter().collect()
}
