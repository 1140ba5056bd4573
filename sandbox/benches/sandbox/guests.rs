//! Models and columns that the figures are taken with.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use yunei_sandbox::{Manifest, Model, Sandbox, Verified};

/// Rows of a batch: what DataFusion hands over.
pub(crate) const BATCH: usize = 8192;

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub(crate) fn manifest(features: usize, limits: &str) -> Manifest {
    let features: String = (0..features).map(|i| format!("[[feature]]\nname = \"f{i}\"\ntype = \"f64\"\n")).collect();
    let text = format!(
        "[model]\nid = \"bench\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"m.wasm\"\n{features}\
         [output]\nmin = -100.0\nmax = 100.0\nstep = 0.0001\ndefault = 0.0\n[limits]\n{limits}\n"
    );
    Manifest::parse(&text).expect("a manifest")
}

pub(crate) fn load(sandbox: &Sandbox, manifest: &Manifest, module: &[u8]) -> Model {
    let verified = Verified::check(module, manifest).expect("a model");
    sandbox.load(&verified, manifest).expect("a model that loads")
}

/// A model from its folder under `models/`.
pub(crate) fn folder(sandbox: &Sandbox, name: &str) -> Model {
    at(sandbox, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(name))
}

/// The model whose manifest lies in a folder.
pub(crate) fn at(sandbox: &Sandbox, folder: &Path) -> Model {
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("a manifest");
    let manifest = Manifest::parse(&text).expect("a manifest");
    let module = std::fs::read(folder.join(manifest.file())).expect("a module");
    load(sandbox, &manifest, &module)
}

/// `features` columns of monthly sums between 0 and 200,000.
pub(crate) fn sums(features: usize, rows: usize) -> Vec<Vec<f64>> {
    let mut r = Random(7);
    (0..features).map(|_| (0..rows).map(|_| r.below(200_000) as f64).collect()).collect()
}

pub(crate) fn arrays(columns: &[Vec<f64>]) -> Vec<ArrayRef> {
    columns.iter().map(|c| Arc::new(Float64Array::from(c.clone())) as ArrayRef).collect()
}

/// The scorecard over four features: divisions, as scorecards have them.
pub(crate) const SCORECARD: &str = "(module
  (func $share (param f64 f64) (result f64)
    (f64.div (local.get 0) (f64.add (local.get 0) (local.get 1))))
  (func (export \"score\") (param f64 f64 f64 f64) (result f64) (local $z f64)
    (local.set $z (f64.sub (f64.mul (f64.const 3.4) (call $share (local.get 0) (f64.add (local.get 1) (f64.const 10000))))
      (f64.mul (f64.const 1.6) (call $share (local.get 2) (f64.const 80000)))))
    (local.set $z (f64.sub (local.get $z) (f64.mul (f64.const 0.00001) (local.get 3))))
    (f64.mul (f64.const 0.5) (f64.add (f64.const 1)
      (f64.div (local.get $z) (f64.add (f64.const 1) (f64.abs (local.get $z))))))))";

/// The same in Rust, with the same order of operations.
#[inline]
pub(crate) fn scorecard(a: f64, b: f64, c: f64, d: f64) -> f64 {
    let share = |x: f64, half: f64| x / (x + half);
    let z = 3.4 * share(a, b + 10_000.0) - 1.6 * share(c, 80_000.0);
    let z = z - 0.00001 * d;
    0.5 * (1.0 + z / (1.0 + z.abs()))
}

/// The cheapest model of any use.
pub(crate) const LINEAR: &str = "(module (func (export \"score\") (param f64 f64 f64 f64) (result f64)
    (f64.add (f64.add (f64.mul (local.get 0) (f64.const 0.00025)) (f64.mul (local.get 1) (f64.const -0.0001)))
      (f64.add (f64.mul (local.get 2) (f64.const 0.00005)) (f64.mul (local.get 3) (f64.const -0.00015))))))";

#[inline]
pub(crate) fn linear(a: f64, b: f64, c: f64, d: f64) -> f64 {
    (a * 0.00025 + b * -0.0001) + (c * 0.00005 + d * -0.00015)
}

/// Points for what a feature is above or below.
pub(crate) const POINTS: &str = "(module (func (export \"score\") (param f64 f64 f64 f64) (result f64)
    (f64.add
      (f64.add (select (f64.const 12) (f64.const 3) (f64.lt (local.get 0) (f64.const 60000)))
        (select (f64.const 7) (f64.const 1) (f64.ge (local.get 1) (f64.const 120000))))
      (f64.add (select (f64.const 9) (f64.const 2) (f64.gt (local.get 2) (local.get 3)))
        (select (f64.const 5) (f64.const 0) (f64.le (local.get 3) (f64.const 30000)))))))";

#[inline]
pub(crate) fn points(a: f64, b: f64, c: f64, d: f64) -> f64 {
    let either = |yes, x, y| if yes { x } else { y };
    (either(a < 60_000.0, 12.0, 3.0) + either(b >= 120_000.0, 7.0, 1.0))
        + (either(c > d, 9.0, 2.0) + either(d <= 30_000.0, 5.0, 0.0))
}

/// How far the features are from a point.
pub(crate) const DISTANCE: &str = "(module
  (func $part (param f64 f64) (result f64) (local $x f64)
    (local.set $x (f64.mul (f64.sub (local.get 0) (f64.const 100000)) (local.get 1)))
    (f64.mul (local.get $x) (local.get $x)))
  (func (export \"score\") (param f64 f64 f64 f64) (result f64)
    (f64.sqrt (f64.add
      (f64.add (call $part (local.get 0) (f64.const 0.0001)) (call $part (local.get 1) (f64.const 0.0002)))
      (f64.add (call $part (local.get 2) (f64.const 0.0003)) (call $part (local.get 3) (f64.const 0.0001)))))))";

#[inline]
pub(crate) fn distance(a: f64, b: f64, c: f64, d: f64) -> f64 {
    let part = |x: f64, weight: f64| {
        let x = (x - 100_000.0) * weight;
        x * x
    };
    ((part(a, 0.0001) + part(b, 0.0002)) + (part(c, 0.0003) + part(d, 0.0001))).sqrt()
}

/// What the sandbox does to every result under [`manifest`], in Rust.
#[inline]
pub(crate) fn bounded(x: f64) -> f64 {
    let x = if x.is_nan() { 0.0 } else { x };
    let x = if x < -100.0 { -100.0 } else { x };
    let x = if x > 100.0 { 100.0 } else { x };
    let round = 6_755_399_441_055_744.0;
    let x = -100.0 + (((x + 100.0) * 10_000.0 + round) - round) * 0.0001;
    if x > 100.0 { 100.0 } else { x }
}

/// Stores `words` times eight bytes, one after the other, and loads the last.
pub(crate) fn writer(pages: u32, words: usize) -> String {
    let stores: String =
        (0..words).map(|i| format!("(f64.store offset={} (i32.const 64) (local.get 0))", i * 8)).collect();
    format!(
        "(module (memory {pages}) (func (export \"score\") (param f64) (result f64) {stores} \
         (f64.load offset={} (i32.const 64))))",
        (words - 1) * 8
    )
}
