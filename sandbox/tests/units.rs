//! Unit models: folding, boundaries of chunks, traps in the middle of a unit.
#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

mod common;

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};
use common::*;
use yunei_sandbox::{Class, SandboxError};

/// Sums the rows; a negative number traps, 99 traps in `finish`.
const SUM: &str = "(module (global $s (mut f64) (f64.const 0))
  (func (export \"begin\"))
  (func (export \"step\") (param f64)
    (if (f64.lt (local.get 0) (f64.const 0)) (then unreachable))
    (global.set $s (f64.add (global.get $s) (local.get 0))))
  (func (export \"finish\") (result f64)
    (if (f64.eq (global.get $s) (f64.const 99)) (then unreachable))
    (global.get $s)))";

fn ranges(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut at = 0;
    sizes
        .iter()
        .map(|n| {
            at += n;
            at - n..at
        })
        .collect()
}

fn check(sizes: &[usize], bad: impl Fn(usize) -> bool) {
    let m = manifest("unit", &["f64"], WIDE, "fuel = 10000000");
    let units = ranges(sizes);
    let rows = units.last().map_or(0, |r| r.end);
    let data: Vec<f64> = (0..rows).map(|i| if bad(i) { -1.0 } else { (i % 5) as f64 }).collect();
    let want: Vec<f64> = units
        .iter()
        .map(|r| if r.clone().any(&bad) { -7.0 } else { data[r.clone()].iter().sum::<f64>() })
        .map(|s| if s == 99.0 { -7.0 } else { s })
        .collect();
    for sandbox in [sandbox(), fresh_sandbox()] {
        let model = load(&sandbox, &m, SUM);
        let got = model.fold(&[floats(data.iter().copied())], &units).unwrap();
        assert_eq!(got.values().to_vec(), want, "{sizes:?}");
    }
}

#[test]
fn sums_across_the_boundaries_of_chunks() {
    for sizes in [
        vec![],
        vec![0],
        vec![0, 0, 3, 0],
        vec![1; 1500],
        vec![1024],
        vec![1023, 1, 1],
        vec![1025],
        vec![3000, 1, 0, 2048, 5],
        vec![12; 200],
    ] {
        check(&sizes, |_| false);
    }
}

#[test]
fn a_trap_costs_its_unit_wherever_it_strikes() {
    for target in [0, 1, 500, 1023, 1024, 1025, 2500, 2999, 3000, 3001] {
        check(&[3000, 1, 0, 1024, 5], |i| i == target);
    }
    check(&[7; 300], |i| i % 3 == 0);
    check(&[7; 300], |i| i % 50 == 0);
    check(&[1; 2000], |_| true);
}

#[test]
fn rows_with_null_are_left_out_of_their_unit() {
    let m = manifest("unit", &["f64"], WIDE, "fuel = 1000000");
    let model = load(&sandbox(), &m, SUM);
    let column: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(2.0), None, Some(4.0)]));
    let got = model.fold(&[column], &[0..3, 3..4, 4..5]).unwrap();
    assert_eq!(got.values().to_vec(), [3.0, 0.0, 4.0]);
}

#[test]
fn fuel_is_for_the_whole_unit_and_for_it_alone() {
    let m = manifest("unit", &["f64"], WIDE, "fuel = 2000");
    let model = load(&sandbox(), &m, SUM);
    let units = ranges(&[1, 2000, 1, 5, 2000, 3]);
    let rows = units.last().unwrap().end;
    let got = model.fold(&[floats(vec![1.0; rows])], &units).unwrap();
    assert_eq!(got.values().to_vec(), [1.0, -7.0, 1.0, 5.0, -7.0, 3.0]);
}

#[test]
fn the_household_model_gives_the_share_of_winter() {
    let model = folder(&sandbox(), "household-energy");
    assert_eq!(model.report().class, Class::Contained);
    let months: Vec<[f64; 2]> =
        (0..24).map(|i| [f64::from(i % 12 + 1), if i < 12 { 100.0 } else { f64::from(i % 12) }]).collect();
    let got = model.fold(&columns(&months), &[0..12, 12..24, 24..24]).unwrap();
    let share = ((0.0 + 1.0 + 10.0 + 11.0) / 66.0 * 1000.0_f64).round() / 1000.0;
    assert_eq!(got.values().to_vec(), [0.333, share, 0.0]);
}

#[test]
fn ranges_out_of_order_are_refused() {
    let model = folder(&sandbox(), "household-energy");
    let columns = columns(&[[1.0, 1.0]; 4]);
    for (units, unit) in
        [(vec![0..2, 1..3], 1), (vec![0..5], 0), (vec![2..3, 0..1], 1), (vec![Range { start: 3, end: 2 }], 0)]
    {
        assert_eq!(model.fold(&columns, &units), Err(SandboxError::Units { unit }));
    }
    assert_eq!(model.score(&columns, 4), Err(SandboxError::Kind));
}
