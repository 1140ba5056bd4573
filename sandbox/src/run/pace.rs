//! How long a unit can take on this machine.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float64Array};

use super::model::Model;
use super::sandbox::Sandbox;
use crate::manifest::Manifest;
use crate::verify::{Cost, Verified};

/// What is measured is taken twice over: another program may share the core next time.
const MARGIN: f64 = 2.0;
/// Fuel of one measurement: some milliseconds.
const FUEL: u64 = 1_000_000;
/// Of several measurements the slowest counts.
const ROUNDS: usize = 3;

/// Nanoseconds per fuel by pages of memory, as measured so far.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Vec<(u32, f64)>>);

impl Sandbox {
    /// The most time that one unit of `model` can take on this machine, its own replacement after
    /// it included: its fuel at the pace of the slowest code known to us, measured at the first call
    /// for a size of memory and kept. For the release gate, which hides such times in its quantum.
    ///
    /// A measurement and no proof: a machine that is much busier later can be slower than this.
    pub fn max_unit_time(&self, model: &Model) -> Duration {
        let pages = model.report().memory_pages_max;
        let fuel = match model.report().cost {
            Cost::Bounded(fuel) | Cost::Metered(fuel) => fuel,
        };
        let nanoseconds = fuel as f64 * self.pace(pages) * MARGIN;
        let birth = (0..ROUNDS).map(|_| birth(model)).max().unwrap_or_default();
        Duration::from_nanos(nanoseconds as u64) + birth.mul_f64(MARGIN)
    }

    fn pace(&self, pages: u32) -> f64 {
        let known = |list: &Vec<(u32, f64)>| list.iter().find(|(p, _)| *p == pages).map(|(_, pace)| *pace);
        if let Some(pace) = known(&self.pace.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return pace;
        }
        let slowest = [chase(pages), stores(pages), division()]
            .iter()
            .filter_map(|body| measure(self, pages, body))
            .fold(1.0, f64::max);
        self.pace.0.lock().unwrap_or_else(PoisonError::into_inner).push((pages, slowest));
        slowest
    }
}

fn birth(model: &Model) -> Duration {
    let start = Instant::now();
    let born = model.0.fresh_guest();
    drop(born);
    start.elapsed()
}

/// Nanoseconds per fuel of a module that burns all it is given.
fn measure(sandbox: &Sandbox, pages: u32, body: &str) -> Option<f64> {
    let text = format!(
        "[model]\nid='pace'\nversion='1.0.0'\nkind='row'\nfile='pace.wat'\n[[feature]]\nname='x'\ntype='f64'\n\
         [output]\nmin=0\nmax=1\ndefault=0\n[limits]\nmemory_pages={}\nfuel={FUEL}\n",
        pages.max(1)
    );
    let manifest = Manifest::parse(&text).ok()?;
    let module = format!(
        "(module (memory {}) (func (export \"score\") (param f64) (result f64) (local $a i32) (local $x f64) \
         (local.set $x (f64.const 3)) (loop $l {body} (br $l)) unreachable))",
        pages.max(1)
    );
    let verified = Verified::check(module.as_bytes(), &manifest).ok()?;
    let model = sandbox.load(&verified, &manifest).ok()?;
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        model.score(std::slice::from_ref(&column), 1).ok()?;
        slowest = slowest.max(start.elapsed());
    }
    Some(slowest.as_nanos() as f64 / FUEL as f64)
}

/// Moves the address far away, to another cache line within the memory.
fn far(pages: u32, from: &str) -> String {
    // The greatest power of two that the memory holds, less the bits within a line.
    let mask = (u64::from(pages.max(1)) * 65_536 + 1).next_power_of_two() / 2 - 64;
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
