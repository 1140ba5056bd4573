//! Random modules on four ways: undone in place, fresh instances, a second engine on the rewritten
//! module, and the second engine on the author's own bytes. All say the same.
//!
//! Shared by `tests/differential.rs` and the fuzz target `rewrite`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Unstructured;
use arrow_array::{ArrayRef, Float64Array, Int64Array};
use wasm_encoder::reencode::Reencode;
use wasm_smith::{Config, Module};
use yunei_sandbox::{Class, Manifest, Sandbox, Verified, testing};

use super::{Random, WIDE, fresh_sandbox, manifest, sandbox};

/// The shape of a random module: everything that a model may use, in changing proportions.
fn config(r: &mut Random) -> Config {
    let yes = |r: &mut Random| r.below(2) == 0;
    Config {
        exports: Some(
            wat::parse_str(
                "(module (func (export \"score\") (param f64 i64) (result f64) unreachable)
                         (func (export \"begin\") unreachable)
                         (func (export \"step\") (param f64 i64) unreachable)
                         (func (export \"finish\") (result f64) unreachable))",
            )
            .unwrap(),
        ),
        allow_start_export: yes(r),
        canonicalize_nans: true,
        disallow_traps: yes(r),
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        simd_enabled: yes(r),
        tail_call_enabled: yes(r),
        reference_types_enabled: true,
        bulk_memory_enabled: true,
        max_imports: 0,
        min_memories: u32::from(r.below(8) != 0),
        max_memories: 1,
        max_memory32_bytes: 8 * 65_536,
        min_tables: u32::from(yes(r)),
        max_tables: 2,
        max_table_elements: 100,
        min_globals: 2,
        max_globals: 12,
        min_funcs: 4,
        max_funcs: 4 + r.below(16) as usize,
        max_instructions: 20 + r.below(300) as usize,
        max_data_segments: 3,
        memory_offset_choices: wasm_smith::MemoryOffsetChoices(90, 8, 2),
        ..Config::default()
    }
}

/// The module that `bytes` describe.
fn module(seed: u64, bytes: &[u8]) -> Option<Vec<u8>> {
    let config = config(&mut Random(seed));
    let wasm = Module::new(config, &mut Unstructured::new(bytes)).ok()?.to_bytes();
    let mut out = wasm_encoder::Module::new();
    FunctionsOnly.parse_core_module(&mut out, wasmparser::Parser::new(0), &wasm).ok()?;
    Some(out.finish())
}

/// Turns external references, which a model may not use, into references to functions: tables and
/// their instructions then appear in the modules that run.
struct FunctionsOnly;

impl Reencode for FunctionsOnly {
    type Error = std::convert::Infallible;

    fn abstract_heap_type(
        &mut self,
        ty: wasmparser::AbstractHeapType,
    ) -> Result<wasm_encoder::AbstractHeapType, wasm_encoder::reencode::Error<Self::Error>> {
        Ok(match ty {
            wasmparser::AbstractHeapType::Extern => wasm_encoder::AbstractHeapType::Func,
            other => other.into(),
        })
    }
}

/// Rows with repeats, so that what a module kept from one would show in another.
fn rows(seed: u64) -> Vec<(f64, i64)> {
    let mut r = Random(seed);
    let odd = [0.0, -0.0, 1.0, -1.5, 1e300, f64::INFINITY, 5e-324, 255.0, 65_536.0];
    let distinct: Vec<(f64, i64)> =
        (0..4).map(|_| (odd[r.below(9) as usize], [0, 1, -1, 64, i64::MAX, 1 << 16, 7][r.below(7) as usize])).collect();
    (0..12).map(|_| distinct[r.below(4) as usize]).collect()
}

fn arrays(rows: &[(f64, i64)]) -> [ArrayRef; 2] {
    [
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))),
    ]
}

fn row_manifest() -> Manifest {
    manifest("row", &["f64", "i64"], WIDE, "memory_pages = 16\nfuel = 20000")
}

/// What the second engine's raw result becomes for the caller.
fn as_released(raw: Option<f64>) -> f64 {
    let x = raw.filter(|x| !x.is_nan()).unwrap_or(-7.0);
    x.clamp(-1e15, 1e15) + 0.0
}

fn second_engine(fuel: bool) -> wasmi::Engine {
    let mut config = wasmi::Config::default();
    config.consume_fuel(fuel).set_max_recursion_depth(20_000).wasm_multi_memory(true);
    wasmi::Engine::new(&config)
}

/// The rewritten module on the second engine, a fresh instance for the row.
fn second(module: &wasmi::Module, places: &testing::Rewritten, row: (f64, i64)) -> Option<f64> {
    let mut store = wasmi::Store::new(module.engine(), ());
    let instance = wasmi::Linker::new(module.engine()).instantiate_and_start(&mut store, module).unwrap();
    instance.get_typed_func::<(), ()>(&store, "init").unwrap().call(&mut store, ()).unwrap();
    let memory = instance.get_memory(&store, "memory").unwrap();
    memory.write(&mut store, places.columns[0], &row.0.to_le_bytes()).unwrap();
    memory.write(&mut store, places.columns[1], &row.1.to_le_bytes()).unwrap();
    let run = instance.get_typed_func::<(i32, i32), i32>(&store, "run").unwrap();
    run.call(&mut store, (0, 1)).ok()?;
    let mut bytes = [0; 8];
    memory.read(&store, places.results, &mut bytes).unwrap();
    Some(f64::from_le_bytes(bytes))
}

enum Original {
    Value(f64),
    Trap,
    Endless,
}

/// The author's own bytes on the second engine: nothing of ours in between.
fn original(module: &wasmi::Module, row: (f64, i64)) -> Original {
    let mut store = wasmi::Store::new(module.engine(), ());
    store.set_fuel(50_000).unwrap();
    let Ok(instance) = wasmi::Linker::new(module.engine()).instantiate_and_start(&mut store, module) else {
        return Original::Endless;
    };
    let score = instance.get_typed_func::<(f64, i64), f64>(&store, "score").unwrap();
    match score.call(&mut store, row) {
        Ok(x) => Original::Value(x),
        Err(e) => match e.as_trap_code() {
            Some(wasmi::TrapCode::OutOfFuel | wasmi::TrapCode::StackOverflow) => Original::Endless,
            _ => Original::Trap,
        },
    }
}

/// How many modules ran, how many of them contained, and how many rows had an answer on all ways.
#[derive(Default)]
pub struct Seen {
    pub modules: AtomicU64,
    pub contained: AtomicU64,
    pub answers: AtomicU64,
}

pub struct Ways {
    undo: Sandbox,
    fresh: Sandbox,
    rewritten: wasmi::Engine,
    original: wasmi::Engine,
    rows: Manifest,
    units: Manifest,
}

impl Ways {
    pub fn new() -> Self {
        Self {
            undo: sandbox(),
            fresh: fresh_sandbox(),
            rewritten: second_engine(false),
            original: second_engine(true),
            rows: row_manifest(),
            units: manifest("unit", &["f64", "i64"], WIDE, "memory_pages = 16\nfuel = 20000"),
        }
    }
}

/// Bytes for the module of a seed.
pub fn entropy(seed: u64) -> Vec<u8> {
    let mut r = Random(seed ^ 0x5eed);
    (0..1000 + r.below(6000)).map(|_| r.next() as u8).collect()
}

/// Makes a module of `bytes`, in a shape and for rows that `seed` chooses, and compares the ways.
pub fn check(seed: u64, bytes: &[u8], ways: &Ways, seen: &Seen) {
    if let Some(wasm) = module(seed, bytes) {
        compare(seed, &wasm, ways, seen);
    }
}

/// Compares the ways on a module that exports `score` over an `f64` and an `i64`, and perhaps a unit model over them.
pub fn compare(seed: u64, wasm: &[u8], ways: &Ways, seen: &Seen) {
    let verified = match Verified::check(wasm, &ways.rows) {
        Ok(verified) => verified,
        Err(wrong) => {
            // Random modules break no rule but these.
            let known = ["model/limit", "model/memory", "model/segment", "model/gc", "model/unsupported"];
            assert!(wrong.iter().all(|r| known.contains(&r.code())), "seed {seed}: {wrong:?}");
            return;
        }
    };
    let undo = ways.undo.load(&verified, &ways.rows);
    let fresh = ways.fresh.load(&verified, &ways.rows);
    let (undo, fresh) = match (undo, fresh) {
        (Ok(undo), Ok(fresh)) => (undo, fresh),
        (Err(a), Err(b)) => return assert_eq!(a, b, "seed {seed}"),
        (a, b) => {
            panic!("seed {seed}: one way loads, the other does not: {:?} {:?}\n{}", a.err(), b.err(), verified.report())
        }
    };
    let rows = rows(seed);
    let got = undo.score(&arrays(&rows), rows.len()).unwrap();
    let want = fresh.score(&arrays(&rows), rows.len()).unwrap();
    assert_eq!(bits(&got), bits(&want), "seed {seed}: undone and fresh");
    let places = testing::rewritten(&verified, false).unwrap();
    let module = wasmi::Module::new(&ways.rewritten, &places.wasm).unwrap();
    let plain = wasmi::Module::new(&ways.original, wasm).unwrap();
    for (i, row) in rows.iter().enumerate().take(4) {
        let second = as_released(second(&module, &places, *row));
        assert_eq!(got.value(i).to_bits(), second.to_bits(), "seed {seed}: row {i}, second engine");
        match original(&plain, *row) {
            // Fuel and stack are counted, not guessed: a default here may be their doing.
            Original::Value(x) if got.value(i) != -7.0 => {
                seen.answers.fetch_add(1, Ordering::Relaxed);
                assert_eq!(got.value(i).to_bits(), as_released(Some(x)).to_bits(), "seed {seed}: row {i}, original");
            }
            Original::Trap => assert_eq!(got.value(i), -7.0, "seed {seed}: row {i}, original trap"),
            _ => {}
        }
    }
    seen.modules.fetch_add(1, Ordering::Relaxed);
    if verified.report().class == Class::Contained {
        seen.contained.fetch_add(1, Ordering::Relaxed);
    }
    units(seed, wasm, ways, &rows);
}

/// The same module as a unit model.
fn units(seed: u64, wasm: &[u8], ways: &Ways, rows: &[(f64, i64)]) {
    let Ok(verified) = Verified::check(wasm, &ways.units) else { return };
    let (Ok(undo), Ok(fresh)) = (ways.undo.load(&verified, &ways.units), ways.fresh.load(&verified, &ways.units))
    else {
        return;
    };
    let units = [0..3, 3..3, 3..4, 4..9, 9..12];
    let got = undo.fold(&arrays(rows), &units).unwrap();
    let want = fresh.fold(&arrays(rows), &units).unwrap();
    assert_eq!(bits(&got), bits(&want), "seed {seed}: units");
}

fn bits(array: &Float64Array) -> Vec<u64> {
    array.values().iter().map(|x| x.to_bits()).collect()
}
