//! Which vector code has its NaNs brought to one: all that could look at the bits of a float.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use yunei_sandbox::Verified;

/// Whether a module with this body, over a vector `$v` of the feature, gets canonical NaNs.
fn canonical(body: &str) -> bool {
    let m = manifest("row", &["f32"], WIDE, "");
    let text = format!(
        "(module (memory 1) (func (export \"score\") (param f32) (result f64) (local $v v128) \
         (local.set $v (f32x4.splat (local.get 0))) {body}))"
    );
    Verified::check(text.as_bytes(), &m).unwrap().report().canonical_nan
}

#[test]
fn floats_in_lanes_of_one_width_show_no_bits() {
    for body in [
        "(f64.promote_f32 (f32x4.extract_lane 1 (f32x4.add (local.get $v) (v128.load (i32.const 0)))))",
        "(f64.promote_f32 (f32x4.extract_lane 3 (f32x4.pmax (f32x4.mul (local.get $v) (local.get $v)) (v128.const f32x4 0 0 0 0))))",
        "(f64.promote_f32 (f32x4.extract_lane 0 (f32x4.replace_lane 2 (f32x4.div (local.get $v) (local.get $v)) (local.get 0))))",
    ] {
        assert!(!canonical(body), "{body}");
    }
}

#[test]
fn whatever_could_show_the_bits_of_a_nan_is_noticed() {
    for body in [
        "(f64.convert_i32_s (i32x4.extract_lane 0 (local.get $v)))",
        "(f64.convert_i32_s (i8x16.bitmask (local.get $v)))",
        "(f64.promote_f32 (f32x4.extract_lane 0 (i8x16.shuffle 1 0 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v))))",
        "(f64.promote_f32 (f32x4.extract_lane 0 (v128.and (local.get $v) (v128.const i32x4 1 1 1 1))))",
        "(f64.promote_f32 (f32x4.extract_lane 0 (f32x4.neg (local.get $v))))",
        "(f64x2.extract_lane 0 (local.get $v))",
        "(f64.convert_i32_s (i32x4.extract_lane 0 (f32x4.eq (local.get $v) (local.get $v))))",
        "(v128.store (i32.const 0) (local.get $v)) (f64.load (i32.const 0))",
        "(f64.convert_i32_s (i32.reinterpret_f32 (f32x4.extract_lane 0 (local.get $v))))",
    ] {
        assert!(canonical(body), "{body}");
    }
}
