//! Stores that ask together whether their bytes are saved: where the last of them lies beyond the memory, wraps round,
//! is not reached, or is only there after the memory has grown.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;

/// What the module with `memory` says of the rows 0, 1 and 2, undone and by fresh instances. `body` has `$x` the row as an
/// `i32` and `$b`, which nobody can foretell: `base`.
fn says(memory: &str, base: i64, body: &str) -> Vec<f64> {
    let text = format!(
        "(module (memory {memory}) (global $base (mut i32) (i32.const {base}))
          (func (export \"score\") (param f64) (result f64) (local $x i32) (local $b i32)
            (local.set $x (i32.trunc_f64_s (local.get 0))) (local.set $b (global.get $base)) {body}))"
    );
    let m = manifest("row", &["f64"], WIDE, "memory_pages = 4");
    let column = [floats([0.0, 1.0, 2.0])];
    let [undone, fresh] =
        [sandbox(), fresh_sandbox()].map(|s| load(&s, &m, &text).score(&column, 3).unwrap().values().to_vec());
    assert_eq!(undone, fresh, "{text}");
    undone
}

/// The default of the manifest.
const TRAP: f64 = -7.0;

/// Says what lay at `at` before, as an integer, and stores 5 there.
fn swap(at: &str) -> String {
    format!(
        "(f64.convert_i64_u (i64.load {at})) (i64.store {at} (i64.const 5)) (i64.store offset=8 {at} (i64.const 6))"
    )
}

#[test]
fn nothing_is_left_of_stores_that_asked_together() {
    for at in [0, 8, 48, 56, 57, 60, 64, 65_520] {
        assert_eq!(says("1", at, &swap("(local.get $b)")), [0.0; 3], "{at}");
        assert_eq!(says("1", 0, &swap(&format!("(i32.const {at})"))), [0.0; 3], "{at}");
    }
    // One byte further the second store traps, after the first was made.
    assert_eq!(says("1", 65_521, &swap("(local.get $b)")), [TRAP; 3]);
    assert_eq!(says("1", 0, &swap("(i32.const 65521)")), [TRAP; 3]);
}

#[test]
fn addresses_wrap_round_where_they_are_added_and_trap_where_they_are_offsets() {
    // -8 + 8 = 0 by addition; 2^32 - 8 + 8 by an offset is no address.
    let (added, offset) = ("(i32.add (local.get $b) (i32.const 8))", "(local.get $b)");
    assert_eq!(says("1", -8, &swap(added)), [0.0; 3]);
    assert_eq!(says("1", -8, &format!("(f64.const 1) (i64.store offset=8 {offset} (i64.const 5))")), [TRAP; 3]);
    // Across the end of the address space: the lower one traps, whichever comes first.
    for order in [[added, offset], [offset, added]] {
        let stores = order.map(|at| format!("(i64.store {at} (i64.const 5))")).concat();
        assert_eq!(says("1", -8, &format!("{stores} (f64.const 1)")), [TRAP; 3]);
    }
}

#[test]
fn a_store_that_is_not_reached_does_not_ask() {
    let (here, beyond) =
        ("(i64.store (local.get $b) (i64.const 5))", "(i64.store offset=8 (local.get $b) (i64.const 6))");
    let before = "(f64.convert_i64_u (i64.load (local.get $b)))";
    // For row 2 alone the store beyond the memory is made.
    let two = "(i32.eq (local.get $x) (i32.const 2))";
    let not_two = "(i32.ne (local.get $x) (i32.const 2))";
    for body in [
        format!("{before} (block {here} (br_if 0 {not_two}) {beyond})"),
        format!("{before} {here} (if {two} (then {beyond}))"),
        format!("{before} {here} (if {not_two} (then) (else {beyond}))"),
        format!("{before} (block (block (block {here} (br_table 0 0 1 (local.get $x))) (br 1)) {beyond})"),
        format!("(if {not_two} (then {here} (return (f64.const 0)))) {beyond} (f64.const 0)"),
    ] {
        assert_eq!(says("1", 65_528, &body), [0.0, 0.0, TRAP], "{body}");
        assert_eq!(says("1", 56, &body), [0.0; 3], "{body}");
    }
}

#[test]
fn a_memory_that_grows_in_between_has_room_for_the_second() {
    let body = |grow: &str| {
        format!(
            "(f64.convert_i64_u (i64.load (local.get $b))) (i64.store (local.get $b) (i64.const 5)) {grow}
             (i64.store offset=8 (local.get $b) (i64.const 6))"
        )
    };
    let grow = "(drop (memory.grow (i32.const 1)))";
    assert_eq!(says("1 2", 65_528, &body(grow)), [0.0; 3]);
    assert_eq!(says("1 2", 65_528, &body("")), [TRAP; 3]);
    assert_eq!(says("1 1", 65_528, &body(grow)), [TRAP; 3]);
    // Nor is the second there before, whatever the engine has.
    let first = "(i64.store offset=8 (local.get $b) (i64.const 6))";
    assert_eq!(says("1 2", 65_528, &format!("{first} {}", body(grow))), [TRAP; 3]);
}

#[test]
fn very_many_stores_ask_at_once() {
    // Sixty-four blocks and more, one store for each of their words.
    let stores: String =
        (0..512).map(|i| format!("(i64.store offset={} (local.get $b) (i64.const 5))", i * 8)).collect();
    let all = format!("(f64.convert_i64_u (i64.load offset=4088 (local.get $b))) {stores}");
    for at in [0, 40, 65_536 - 4096] {
        assert_eq!(says("1", at, &all), [0.0; 3]);
    }
    assert_eq!(says("1", 65_536 - 4095, &all), [TRAP; 3]);
}
