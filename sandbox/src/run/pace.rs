//! How long a unit can take on this machine.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array};

use super::model::{Inner, Model};
use super::sandbox::Shared;
use crate::manifest::Manifest;
use crate::verify::{Class, Cost, Verified};

/// What is measured is taken twice over: another program may share the core next time.
const MARGIN: f64 = 2.0;
/// Fuel of one measurement: some milliseconds.
const FUEL: u64 = 1_000_000;
/// Fuel of a store into a page of the operating system that was never touched, at least.
const FUEL_PER_FAULT: u64 = 16;
/// Pages of the operating system in one of WebAssembly, at most.
const FAULTS_PER_PAGE: u64 = 16;
/// Of several measurements the slowest counts.
const ROUNDS: usize = 3;
/// Rows that trap in one measurement.
const TRAPS: usize = 16;

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Nanoseconds per fuel by the power of two of pages of memory.
    by_pages: Mutex<Vec<(u32, f64)>>,
    trap: OnceLock<Duration>,
}

impl Shared {
    /// See [`Model::max_unit_time`].
    pub(super) fn max_unit_time(self: &Arc<Self>, model: &Inner) -> Duration {
        let fuel = match model.report.cost {
            Cost::Bounded(fuel) | Cost::Metered(fuel) => fuel,
        };
        let work = Duration::from_nanos((fuel as f64 * self.pace(model.report.memory_pages_max)) as u64);
        let trap = *self.pace.trap.get_or_init(|| trap(self).unwrap_or_default());
        let birth = match model.report.class {
            Class::Stateless => Duration::ZERO,
            Class::Contained => (0..ROUNDS).map(|_| birth(model)).max().unwrap_or_default(),
        };
        (work + trap + birth).mul_f64(MARGIN)
    }

    /// Nanoseconds per fuel of the slowest code in so much memory.
    fn pace(self: &Arc<Self>, pages: u32) -> f64 {
        let pages = pages.max(1).next_power_of_two();
        // Held while measuring: two measurements at once would disturb each other.
        let mut known = self.pace.by_pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pace)) = known.iter().find(|(p, _)| *p == pages) {
            return *pace;
        }
        let faults = (u64::from(pages) * FAULTS_PER_PAGE * FUEL_PER_FAULT).clamp(FUEL / 50, FUEL);
        let slowest = [
            measure(self, pages, FUEL, &chase(pages)),
            measure(self, pages, FUEL, &stores(pages)),
            measure(self, pages, faults, &stores(pages)),
            measure(self, pages, FUEL, &division()),
            measure(self, pages, FUEL, &conversions()),
            measure(self, pages, FUEL, &vectors()),
        ]
        .into_iter()
        .flatten()
        .fold(1.0, f64::max);
        known.push((pages, slowest));
        slowest
    }
}

fn birth(model: &Inner) -> Duration {
    let start = Instant::now();
    let born = model.fresh_guest();
    drop(born);
    start.elapsed()
}

/// A module of one `f64` feature, with the whole way of a model.
fn load(sandbox: &Arc<Shared>, pages: u32, fuel: u64, body: &str) -> Option<Model> {
    let text = format!(
        "[model]\nid='pace'\nversion='1.0.0'\nkind='row'\nfile='pace.wat'\n[[feature]]\nname='x'\ntype='f64'\n\
         [output]\nmin=0\nmax=1\ndefault=0\n[limits]\nmemory_pages={pages}\nfuel={fuel}\n"
    );
    let manifest = Manifest::parse(&text).ok()?;
    let module = format!(
        "(module (memory {pages}) (func (export \"score\") (param f64) (result f64) \
         (local $a i32) (local $x f64) (local $y f64) (local $v v128) (local.set $x (f64.const 3)) \
         {body} unreachable))"
    );
    let verified = Verified::check(module.as_bytes(), &manifest).ok()?;
    sandbox.load(&verified, &manifest).ok()
}

fn slowest(model: &Model, rows: usize) -> Option<Duration> {
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0; rows]));
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        model.score(std::slice::from_ref(&column), rows).ok()?;
        slowest = slowest.max(start.elapsed());
    }
    Some(slowest)
}

/// What a unit costs that traps at once.
fn trap(sandbox: &Arc<Shared>) -> Option<Duration> {
    let model = load(sandbox, 1, FUEL, "")?;
    Some(slowest(&model, TRAPS)? / TRAPS as u32)
}

/// Nanoseconds per fuel of a module that burns all it is given. The first round meets an instance whose
/// memory nobody has touched.
fn measure(sandbox: &Arc<Shared>, pages: u32, fuel: u64, body: &str) -> Option<f64> {
    let model = load(sandbox, pages, fuel, &format!("(loop $l {body} (br $l))"))?;
    Some(slowest(&model, 1)?.as_nanos() as f64 / fuel as f64)
}

/// Moves the address far away, to another cache line within the memory.
fn far(pages: u32, from: &str) -> String {
    let mask = u64::from(pages) * 65_536 - 64;
    format!("(local.set $a (i32.and (i32.add {from} (i32.const 40503104)) (i32.const {mask})))")
}

/// Loads that wait for each other: the next address is the old one and what lies there, zero.
fn chase(pages: u32) -> String {
    far(pages, "(i32.add (local.get $a) (i32.load (local.get $a)))").repeat(16)
}

/// Stores that each save a block and miss the caches.
fn stores(pages: u32) -> String {
    format!("{} (i32.store8 (local.get $a) (i32.const 1))", far(pages, "(local.get $a)")).repeat(16)
}

/// Divisions that wait for each other.
fn division() -> String {
    "(local.set $x (f64.sqrt (f64.div (local.get $x) (f64.const 1.0000001))))".repeat(16)
}

/// Conversions, which are several instructions each, with `reinterpret` so that NaNs are canonical.
fn conversions() -> String {
    "(local.set $x (f64.convert_i64_u (i64.trunc_sat_f64_u (f64.nearest (f64.max (local.get $x) \
     (f64.reinterpret_i64 (i64.reinterpret_f64 (local.get $x))))))))"
        .repeat(16)
}

/// Vector instructions without a counterpart in the machine.
fn vectors() -> String {
    "(local.set $v (f64x2.sqrt (f64x2.div (f64x2.max (local.get $v) (i64x2.mul (local.get $v) (local.get $v))) \
     (f64x2.convert_low_i32x4_u (i32x4.trunc_sat_f64x2_u_zero (i8x16.shl (i8x16.popcnt (local.get $v)) \
     (i32.const 3)))))))"
        .repeat(16)
}
