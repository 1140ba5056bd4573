//! Random columns through models that answer with what they were given, against a conversion written down
//! row by row. Shared by `tests/batch.rs` and the fuzz target `batch`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::NullBuffer;
use yunei_sandbox::{Manifest, Model, Verified};

use super::{Random, sandbox};

/// The types of parameters.
const TYPES: [&str; 4] = ["f64", "f32", "i64", "i32"];
const MISSING: f64 = -3.0;

/// For every type, with and without a value for NULL, a model that answers with its feature.
pub struct Echoes(Vec<(usize, bool, Model)>);

impl Echoes {
    pub fn new() -> Self {
        let sandbox = sandbox();
        let mut all = Vec::new();
        for (ty, back) in [(0, ""), (1, "f64.promote_f32"), (2, "f64.convert_i64_s"), (3, "f64.convert_i32_s")] {
            for missing in [false, true] {
                let null = if missing { format!("missing = {MISSING}\n") } else { String::new() };
                let text = format!(
                    "[model]\nid = \"echo\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"e.wat\"\n[[feature]]\n\
                     name = \"x\"\ntype = \"{}\"\n{null}[output]\nmin = -1e15\nmax = 1e15\ndefault = -7.0\n",
                    TYPES[ty]
                );
                let manifest = Manifest::parse(&text).unwrap();
                let module =
                    format!("(module (func (export \"score\") (param {}) (result f64) local.get 0 {back}))", TYPES[ty]);
                let verified = Verified::check(module.as_bytes(), &manifest).unwrap();
                all.push((ty, missing, sandbox.load(&verified, &manifest).unwrap()));
            }
        }
        Self(all)
    }
}

/// A value of a column before it becomes a parameter.
#[derive(Clone, Copy)]
enum Cell {
    Float(f64),
    Whole(i128),
    /// Unscaled, and its scale.
    Decimal(i128, i8),
}

impl Cell {
    /// What a model of type `ty` has to be given, as an `f64`.
    fn seen_by(self, ty: usize) -> f64 {
        let float = match self {
            Cell::Float(x) => x,
            Cell::Whole(n) => n as f64,
            Cell::Decimal(n, scale) => n as f64 / format!("1e{scale}").parse::<f64>().unwrap(),
        };
        let whole = match self {
            Cell::Float(_) => 0,
            Cell::Whole(n) | Cell::Decimal(n, _) => n,
        };
        match ty {
            0 => float,
            1 => f64::from(float as f32),
            2 => whole.clamp(i64::MIN.into(), i64::MAX.into()) as i64 as f64,
            _ => whole.clamp(i32::MIN.into(), i32::MAX.into()) as i32 as f64,
        }
    }
}

/// A column and what its rows hold.
struct Column {
    array: ArrayRef,
    cells: Vec<Option<Cell>>,
}

fn nulls(r: &mut Random, n: usize) -> Option<NullBuffer> {
    let share = [0, 0, 2, 50, 97, 100][r.below(6) as usize];
    (share > 0).then(|| (0..n).map(|_| r.below(100) >= share).collect())
}

macro_rules! whole {
    ($r:expr, $n:expr, $array:ty, $t:ty) => {{
        let values: Vec<$t> = (0..$n)
            .map(|_| match $r.below(8) {
                0 => <$t>::MAX,
                1 => <$t>::MIN,
                2 => 0,
                _ => $r.next() as $t,
            })
            .collect();
        let nulls = nulls($r, $n);
        let cells = (0..$n)
            .map(|i| nulls.as_ref().is_none_or(|m| m.is_valid(i)).then(|| Cell::Whole(values[i].into())))
            .collect();
        Column { array: Arc::new(<$array>::new(values.into(), nulls)), cells }
    }};
}

fn float(r: &mut Random) -> f64 {
    match r.below(8) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => -0.0,
        3 => f64::from_bits(r.next()),
        _ => (r.next() as i64 as f64) / 1e10,
    }
}

fn plain(r: &mut Random, n: usize) -> Column {
    match r.below(13) {
        0 => whole!(r, n, Int8Array, i8),
        1 => whole!(r, n, Int16Array, i16),
        2 => whole!(r, n, Int32Array, i32),
        3 => whole!(r, n, Int64Array, i64),
        4 => whole!(r, n, UInt8Array, u8),
        5 => whole!(r, n, UInt16Array, u16),
        6 => whole!(r, n, UInt32Array, u32),
        7 => whole!(r, n, UInt64Array, u64),
        8 => whole!(r, n, Date32Array, i32),
        9 => {
            let values: Vec<bool> = (0..n).map(|_| r.below(2) == 1).collect();
            let nulls = nulls(r, n);
            let array = BooleanArray::new(values.clone().into(), nulls.clone());
            Column { array: Arc::new(array), cells: cells(&nulls, n, |i| Cell::Whole(values[i].into())) }
        }
        10 => {
            let scale = r.below(12) as i8;
            let values: Vec<i128> =
                (0..n).map(|_| i128::from(r.next() as i64) * i128::from(r.below(1_000_000) as i64)).collect();
            let nulls = nulls(r, n);
            let array = Decimal128Array::new(values.clone().into(), nulls.clone());
            let array = array.with_precision_and_scale(38, scale).unwrap();
            Column { array: Arc::new(array), cells: cells(&nulls, n, |i| Cell::Decimal(values[i], scale)) }
        }
        11 => {
            let values: Vec<f32> = (0..n).map(|_| float(r) as f32).collect();
            let nulls = nulls(r, n);
            let array = Float32Array::new(values.clone().into(), nulls.clone());
            Column { array: Arc::new(array), cells: cells(&nulls, n, |i| Cell::Float(values[i].into())) }
        }
        _ => {
            let values: Vec<f64> = (0..n).map(|_| float(r)).collect();
            let nulls = nulls(r, n);
            let array = Float64Array::new(values.clone().into(), nulls.clone());
            Column { array: Arc::new(array), cells: cells(&nulls, n, |i| Cell::Float(values[i])) }
        }
    }
}

fn cells(nulls: &Option<NullBuffer>, n: usize, cell: impl Fn(usize) -> Cell) -> Vec<Option<Cell>> {
    (0..n).map(|i| nulls.as_ref().is_none_or(|m| m.is_valid(i)).then(|| cell(i))).collect()
}

/// A dictionary over a plain column, with keys of one of three types.
fn dictionary(r: &mut Random, n: usize) -> Column {
    let entries = r.below(100) as usize;
    let values = plain(r, entries);
    let keys: Vec<Option<usize>> =
        (0..n).map(|_| (entries > 0 && r.below(10) > 0).then(|| r.below(entries.max(1) as u64) as usize)).collect();
    let cells = keys.iter().map(|k| k.and_then(|k| values.cells[k])).collect();
    let array: ArrayRef = match r.below(3) {
        0 => {
            let keys: Int8Array = keys.iter().map(|k| k.map(|k| k as i8)).collect();
            Arc::new(DictionaryArray::<Int8Type>::new(keys, values.array))
        }
        1 => {
            let keys: UInt16Array = keys.iter().map(|k| k.map(|k| k as u16)).collect();
            Arc::new(DictionaryArray::<UInt16Type>::new(keys, values.array))
        }
        _ => {
            let keys: Int32Array = keys.iter().map(|k| k.map(|k| k as i32)).collect();
            Arc::new(DictionaryArray::<Int32Type>::new(keys, values.array))
        }
    };
    Column { array, cells }
}

/// A random column, perhaps a slice of a longer one, through every model that takes its type.
pub fn check(seed: u64, echoes: &Echoes) -> usize {
    let mut r = Random(seed);
    let n = [0, 1, 7, 64, 1023, 1024, 1025, 2500][r.below(8) as usize];
    let (before, after) = (r.below(70) as usize, r.below(70) as usize);
    let column =
        if r.below(3) == 0 { dictionary(&mut r, n + before + after) } else { plain(&mut r, n + before + after) };
    let array = column.array.slice(before, n);
    let cells = &column.cells[before..before + n];
    let mut tried = 0;
    for (ty, missing, model) in &echoes.0 {
        if !model.manifest().features()[0].feature_type().accepts(array.data_type()) {
            assert!(model.score(std::slice::from_ref(&array), n).is_err(), "seed {seed}");
            continue;
        }
        tried += 1;
        let got = model.score(std::slice::from_ref(&array), n).unwrap();
        assert_eq!(got.len(), n);
        for (i, cell) in cells.iter().enumerate() {
            let want = match (cell, missing) {
                (None, false) => None,
                (None, true) => Some(MISSING),
                (Some(cell), _) => Some(cell.seen_by(*ty)),
            };
            let want = want.map(|x| if x.is_nan() { -7.0 } else { x.clamp(-1e15, 1e15) + 0.0 });
            let got = got.is_valid(i).then(|| got.value(i));
            assert_eq!(
                got.map(f64::to_bits),
                want.map(f64::to_bits),
                "seed {seed}, row {i}, {} of {}",
                TYPES[*ty],
                array.data_type()
            );
        }
    }
    tried
}
