//! Formulas that run two rows at once say what they say one by one, on a second engine, bit by bit.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;

use arrow_array::Array;
use common::*;
use yunei_sandbox::{Class, Cost, Verified};

const LOCALS: u64 = 6;

/// A random formula in the text format over the locals 0 to 5, of which 0 to 2 are features.
fn value(r: &mut Random, depth: u32, out: &mut String) {
    if depth == 0 || r.below(12) == 0 {
        let _ = match r.below(3) {
            0 => write!(out, "(f64.const {}) ", odd(r)),
            _ => write!(out, "(local.get {}) ", r.below(LOCALS)),
        };
        return;
    }
    let unary = ["abs", "neg", "sqrt", "ceil", "floor", "trunc", "nearest"];
    let binary = ["add", "sub", "mul", "div", "min", "max"];
    match r.below(10) {
        0 | 1 => {
            let _ = write!(out, "(f64.{} ", unary[r.below(7) as usize]);
            value(r, depth - 1, out);
        }
        2..=5 => {
            let _ = write!(out, "(f64.{} ", binary[r.below(6) as usize]);
            value(r, depth - 1, out);
            value(r, depth - 1, out);
        }
        6 => {
            out.push_str("(select ");
            value(r, depth - 1, out);
            value(r, depth - 1, out);
            truth(r, depth - 1, out);
        }
        7 => {
            let _ = write!(out, "(local.tee {} ", r.below(LOCALS));
            value(r, depth - 1, out);
        }
        8 => {
            out.push_str("(call $helper ");
            value(r, depth - 1, out);
            value(r, depth - 1, out);
        }
        _ => {
            out.push_str("(if (result f64) ");
            truth(r, depth - 1, out);
            for arm in ["then", "else"] {
                let _ = write!(out, "({arm} ");
                if r.below(2) == 0 {
                    statement(r, depth - 1, out);
                }
                value(r, depth - 1, out);
                out.push_str(") ");
            }
        }
    }
    out.push_str(") ");
}

fn truth(r: &mut Random, depth: u32, out: &mut String) {
    if depth > 1 && r.below(4) == 0 {
        let _ = write!(out, "(i32.{} ", ["and", "or", "xor"][r.below(3) as usize]);
        truth(r, depth - 1, out);
        truth(r, depth - 1, out);
    } else if depth > 1 && r.below(6) == 0 {
        out.push_str("(i32.eqz ");
        truth(r, depth - 1, out);
    } else {
        let _ = write!(out, "(f64.{} ", ["eq", "ne", "lt", "gt", "le", "ge"][r.below(6) as usize]);
        value(r, depth.saturating_sub(1).min(2), out);
        value(r, depth.saturating_sub(1).min(2), out);
    }
    out.push_str(") ");
}

fn statement(r: &mut Random, depth: u32, out: &mut String) {
    if r.below(3) > 0 || depth == 0 {
        let _ = write!(out, "(local.set {} ", r.below(LOCALS));
        value(r, depth, out);
    } else {
        out.push_str("(if ");
        truth(r, depth, out);
        out.push_str("(then ");
        statement(r, depth - 1, out);
        out.push_str(") ");
        if r.below(2) == 0 {
            out.push_str("(else ");
            statement(r, depth - 1, out);
            out.push_str(") ");
        }
    }
    out.push_str(") ");
}

fn odd(r: &mut Random) -> &'static str {
    ["0", "-0", "1", "-1.5", "inf", "-inf", "nan", "0.1", "1e300", "5e-324", "4503599627370497.5"][r.below(11) as usize]
}

fn module(seed: u64) -> String {
    let mut r = Random(seed);
    let mut text = String::from("(module (func $helper (param f64 f64) (result f64) (local f64 f64 f64 f64) ");
    // The helper calls nobody: its depth leaves no room for a call.
    let helper = {
        let mut body = String::new();
        value(&mut r, 2, &mut body);
        body.replace("(call $helper ", "(f64.min ")
    };
    text.push_str(&helper);
    text.push_str(") (func (export \"score\") (param f64 f64 f64) (result f64) (local f64 f64 f64) ");
    for _ in 0..r.below(4) {
        statement(&mut r, 3, &mut text);
    }
    value(&mut r, 4, &mut text);
    text.push_str("))");
    text
}

fn float(r: &mut Random) -> f64 {
    let odd = [0.0, -0.0, 1.0, -1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, 5e-324, 2.5, 3.5];
    if r.below(2) == 0 { odd[r.below(12) as usize] } else { (r.next() as i64 as f64) / 1e17 }
}

#[test]
fn random_formulas_say_the_same_in_pairs_and_one_by_one() {
    // What the formulas' constants make is within some of these, and at their ends.
    let outputs = [(-1e15, 1e15, -7.0), (-1.5, 1.0, 0.1), (0.0, 1.0, 0.5), (-1e14, 0.0, 0.0), (0.1, 0.1, 0.1)];
    let manifests = outputs.map(|(min, max, default)| {
        let output = format!("min = {min:?}\nmax = {max:?}\ndefault = {default:?}");
        manifest("row", &["f64"; 3], &output, "fuel = 1000000")
    });
    let sandbox = sandbox();
    let engine = wasmi::Engine::default();
    let mut pairs = 0;
    for seed in 0..2500 {
        let text = module(seed);
        let (manifest, (min, max, default)) = (&manifests[seed as usize % 5], outputs[seed as usize % 5]);
        let verified = Verified::check(text.as_bytes(), manifest).unwrap();
        assert_eq!(verified.report().class, Class::Stateless);
        assert!(matches!(verified.report().cost, Cost::Bounded(_)));
        pairs += u32::from(yunei_sandbox::testing::in_pairs(&verified));
        let model = sandbox.load(&verified, manifest).unwrap();
        let mut r = Random(seed);
        let n = [1, 2, 3, 8, 9][r.below(5) as usize];
        let rows: Vec<[f64; 3]> = (0..n).map(|_| std::array::from_fn(|_| float(&mut r))).collect();
        let got = model.score(&columns(&rows), n).unwrap();
        let plain = wasmi::Module::new(&engine, verified.wasm()).unwrap();
        let mut store = wasmi::Store::new(&engine, ());
        let instance = wasmi::Linker::new(&engine).instantiate_and_start(&mut store, &plain).unwrap();
        let score = instance.get_typed_func::<(f64, f64, f64), f64>(&store, "score").unwrap();
        for (i, [a, b, c]) in rows.iter().enumerate() {
            let x = score.call(&mut store, (*a, *b, *c)).unwrap();
            let want = if x.is_nan() { default } else { x.clamp(min, max) + 0.0 };
            assert!(got.is_valid(i));
            assert_eq!(got.value(i).to_bits(), want.to_bits(), "seed {seed}, row {i}: {text}");
        }
    }
    // Where arms cost too much, rows run one by one; most formulas must not.
    assert!(pairs > 1500, "{pairs}");
}

/// Pairs are bounded by the driver, rows one by one by the host: both have the same range and grid.
#[test]
fn the_driver_bounds_results_as_the_host_does() {
    let sandbox = sandbox();
    let pairs = "(module (func (export \"score\") (param f64) (result f64) local.get 0))";
    // The same, but for an instruction that keeps it from running in pairs.
    let single = "(module (func (export \"score\") (param f64) (result f64) local.get 0 local.get 0 f64.copysign))";
    let mut r = Random(9);
    for case in 0..300 {
        let min = [0.0, -0.0, -1.0, 1e6, -3.25, -1e-300][r.below(6) as usize];
        let width = [0.0, 1.0, 0.3, 1e9, 5e-324][r.below(5) as usize];
        let max: f64 = min + width;
        let step = [0.0, 1e-4, 0.25, 0.3, 1.0, 5e-324][r.below(6) as usize];
        let step = if width == 0.0 || width / step > 1e15 { 0.0 } else { step };
        let default = [min, max, min + width / 2.0, min + width * 0.3][r.below(4) as usize].min(max);
        let output = format!("min = {min:?}\nmax = {max:?}\nstep = {step:?}\ndefault = {default:?}");
        let manifest = manifest("row", &["f64"], &output, "");
        let values: Vec<f64> = (0..500)
            .map(|_| match r.below(4) {
                0 => float(&mut r),
                1 => f64::from_bits(r.next()),
                2 => min + r.below(40) as f64 * step / 2.0,
                _ => min + r.unit() * width,
            })
            .collect();
        let column = [floats(values.iter().copied())];
        let [ours, theirs] = [pairs, single].map(|module| {
            let verified = Verified::check(module.as_bytes(), &manifest).unwrap();
            assert_eq!(yunei_sandbox::testing::in_pairs(&verified), module == pairs);
            sandbox.load(&verified, &manifest).unwrap().score(&column, values.len()).unwrap()
        });
        for (i, (a, b)) in ours.values().iter().zip(theirs.values()).enumerate() {
            assert_eq!(a.to_bits(), b.to_bits(), "case {case}, {:e} within {output}", values[i]);
        }
    }
}

/// What a formula's values can be is known to the driver, which then leaves bounds away.
#[test]
fn values_that_are_within_the_range_stay_as_they_are() {
    let sandbox = sandbox();
    let body = "(f64.add (select (f64.const 0.25) (f64.const -0.75) (f64.lt (local.get 0) (f64.const 1)))
        (select (f64.const 0.5) (f64.const -0.25) (f64.gt (local.get 0) (f64.const 0))))";
    let same = "(f64.add (f64.neg (f64.abs (f64.mul (f64.const 0) (f64.const 1)))) (f64.const -0))";
    for (body, at) in [(body, [0.0, 0.75, -0.25, -1.0]), (same, [0.0; 4])] {
        for output in
            ["min = -1\nmax = 1", "min = -0.75\nmax = 0.5", "min = 0\nmax = 1", "min = -1\nmax = 0", "min = 0\nmax = 0"]
        {
            for step in ["", "step = 0.25"] {
                let manifest = manifest("row", &["f64"], &format!("{output}\n{step}\ndefault = 0"), "");
                let text = format!("(module (func (export \"score\") (param f64) (result f64) {body}))");
                let verified = Verified::check(text.as_bytes(), &manifest).unwrap();
                assert!(yunei_sandbox::testing::in_pairs(&verified));
                let model = sandbox.load(&verified, &manifest).unwrap();
                let got = model.score(&[floats([0.0, 0.5, 1.0, f64::NAN])], 4).unwrap();
                let bounds = manifest.output();
                let want = at.map(|x: f64| (x.clamp(bounds.min(), bounds.max()) + 0.0).to_bits());
                let got: Vec<u64> = got.values().iter().map(|x| x.to_bits()).collect();
                assert_eq!(got, want, "{text} {output} {step}");
            }
        }
    }
}

#[test]
fn what_is_no_formula_runs_row_by_row() {
    let manifest = manifest("row", &["f64"], WIDE, "fuel = 1000000");
    let pairs = |body: &str| {
        let text = format!("(module (memory 1) (func (export \"score\") (param f64) (result f64) {body}))");
        yunei_sandbox::testing::in_pairs(&Verified::check(text.as_bytes(), &manifest).unwrap())
    };
    assert!(pairs("(f64.add (local.get 0) (f64.const 1))"));
    for body in [
        "(f64.copysign (local.get 0) (f64.const 1))",
        "(f64.load (i32.const 0))",
        "(if (f64.lt (local.get 0) (f64.const 0)) (then (return (f64.const 1)))) (local.get 0)",
        "(if (f64.lt (local.get 0) (f64.const 0)) (then unreachable)) (local.get 0)",
        "(loop) (local.get 0)",
        "(f64.convert_i32_s (f64.lt (local.get 0) (f64.const 0)))",
    ] {
        assert!(!pairs(body), "{body}");
    }
    // Sixty-four leaves behind six levels of ifs: cheaper one by one.
    let tree = (0..6).fold("(local.get 0)".to_owned(), |arm, _| {
        format!("(if (result f64) (f64.lt (local.get 0) (f64.const 3)) (then {arm}) (else {arm}))")
    });
    assert!(!pairs(&tree));
}
