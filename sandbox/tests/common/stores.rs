//! Modules that are all stores: where an array begins and ends at random beside the borders of blocks and of the memory,
//! through addresses that change on one of several ways, trap midway, and wrap round at 2^32.
#![allow(dead_code, unreachable_pub)]

use std::fmt::Write;

use super::Random;

/// Locals that hold addresses.
const BASES: u64 = 4;
/// Stores of all widths, and what makes their value of an `i64`.
const STORES: [(&str, &str); 9] = [
    ("i64.store", ""),
    ("i64.store8", ""),
    ("i64.store16", ""),
    ("i64.store32", ""),
    ("i32.store", "i32.wrap_i64"),
    ("i32.store8", "i32.wrap_i64"),
    ("f64.store", "f64.reinterpret_i64"),
    ("f32.store", "f32.demote_f64 (f64.convert_i64_s"),
    ("v128.store", "i64x2.splat"),
];

struct Writer<'r> {
    r: &'r mut Random,
    text: String,
    /// Statements that may still be written.
    left: u32,
    loops: u32,
    /// Blocks that enclose the statement, and may be left.
    open: u64,
    vectors: bool,
}

impl Writer<'_> {
    fn base(&mut self) -> u64 {
        self.r.below(BASES)
    }

    /// A distance that is likely to lie beside a border of a block.
    fn near(&mut self) -> i64 {
        let borders = [0, 0, 8, 56, 60, 63, 64, 65, 120, 128, 192, 256];
        let border = borders[self.r.below(12) as usize];
        if self.r.below(8) == 0 { -border } else { border }
    }

    /// An address, most of them within the memory or a little beside it.
    fn anchor(&mut self) -> i64 {
        let anchors = [256, 264, 320, 300, 384, 500, 65_100, 65_152, 0, 65_528, 65_535, -8, -64, -1];
        let common = if self.r.below(60) == 0 { 14 } else { 8 };
        anchors[self.r.below(common) as usize]
    }

    fn address(&mut self) -> String {
        let base = self.base();
        match self.r.below(8) {
            0 => format!("(i32.const {})", self.anchor()),
            1 => format!("(i32.sub (local.get $b{base}) (i32.const {}))", self.near()),
            2 => format!("(i32.add (i32.const {}) (local.get $b{base}))", self.near()),
            3 => format!("(i32.add (local.get $b{base}) (i32.and (i32.wrap_i64 (local.get $k)) (i32.const 120)))"),
            4 => format!("(local.tee $b{} (i32.add (local.get $b{base}) (i32.const {})))", self.base(), self.near()),
            _ => format!("(local.get $b{base})"),
        }
    }

    fn condition(&mut self) -> String {
        match self.r.below(3) {
            0 => format!("(f64.gt (local.get $x) (f64.const {}))", self.r.below(3)),
            1 => format!("(i64.lt_s (local.get $k) (i64.const {}))", self.r.below(70)),
            _ => format!("(i32.and (local.get $b{}) (i32.const {}))", self.base(), 1 << self.r.below(8)),
        }
    }

    fn store(&mut self) {
        let kinds = if self.vectors { 9 } else { 8 };
        let (store, value) = STORES[self.r.below(kinds) as usize];
        // Most offsets are small; a few make the sum pass the memory or 2^32.
        let offset = match self.r.below(400) {
            0 => 4_294_967_232,
            1 => 65_536,
            _ => self.near().unsigned_abs(),
        };
        let address = self.address();
        let number = self.r.next() as i64;
        // What is stored changes with the row. Now and then statements stand between the address and the value.
        let _ = write!(self.text, "({store} offset={offset} {address} ");
        if self.r.below(6) == 0 {
            self.text.push_str("(block ");
            self.open += 1;
            self.some();
            self.open -= 1;
            self.text.push_str(") ");
        }
        let close = if value.contains('(') { "))" } else { ")" };
        let close = if value.is_empty() { "" } else { close };
        let open = if value.is_empty() { String::new() } else { format!("({value} ") };
        let _ = writeln!(self.text, "{open}(i64.xor (local.get $k) (i64.const {number})){close})");
    }

    fn some(&mut self) {
        for _ in 0..self.r.below(4) {
            self.statement();
        }
    }

    /// Stores one after the other, beside each other or not.
    fn run(&mut self) {
        for _ in 0..1 + self.r.below(6) {
            self.store();
        }
    }

    fn statement(&mut self) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        match self.r.below(20) {
            0..=7 => self.run(),
            8 | 9 => {
                let (to, from, near) = (self.base(), self.base(), self.near());
                let _ = writeln!(self.text, "(local.set $b{to} (i32.add (local.get $b{from}) (i32.const {near})))");
            }
            10 => {
                let (to, anchor) = (self.base(), self.anchor());
                let _ = writeln!(self.text, "(local.set $b{to} (i32.const {anchor}))");
            }
            11 => {
                let condition = self.condition();
                let _ = write!(self.text, "(if {condition} (then ");
                self.open += 1;
                self.some();
                self.text.push_str(") (else ");
                self.some();
                self.open -= 1;
                self.text.push_str("))\n");
            }
            12 => {
                self.text.push_str("(block ");
                self.open += 1;
                self.some();
                self.text.push_str(")\n");
                self.open -= 1;
            }
            13 | 14 if self.open > 0 => {
                let (depth, condition) = (self.r.below(self.open), self.condition());
                let _ = writeln!(self.text, "(br_if {depth} {condition})");
            }
            15 => self.looped(),
            16 => self.text.push_str("(drop (memory.grow (i32.const 1)))\n"),
            17 => {
                let address = self.address();
                let _ = writeln!(self.text, "(memory.fill {address} (i32.const 7) (i32.const {}))", self.r.below(90));
            }
            18 => {
                let (to, address) = (self.base(), self.address());
                let _ = writeln!(self.text, "(local.set $b{to} (call $helper {address} (local.get $k)))");
            }
            _ => {
                let to = self.base();
                let _ = writeln!(self.text, "(local.set $b{to} (global.get $sp))");
            }
        }
    }

    /// A loop of a few rounds in which bases may move.
    fn looped(&mut self) {
        if self.loops == 4 {
            return;
        }
        let counter = self.loops;
        self.loops += 1;
        let _ = write!(self.text, "(local.set $c{counter} (i32.const {}))(loop ", 1 + self.r.below(3));
        // A branch to the loop itself might not end: its label is not among the open ones, so the body is a block.
        self.text.push_str("(block ");
        let outer = std::mem::replace(&mut self.open, 1);
        self.some();
        self.open = outer;
        let _ =
            writeln!(self.text, ") (br_if 0 (local.tee $c{counter} (i32.sub (local.get $c{counter}) (i32.const 1)))))");
    }
}

/// A module of a seed. What it says of a row depends on all bytes that it may write, before and after.
pub fn module(seed: u64) -> Vec<u8> {
    let mut r = Random(seed);
    let grows = r.below(3) == 0;
    let pointer = [1024, 65_536, 700, 65_900][r.below(4) as usize];
    let vectors = r.below(3) == 0;
    let body = |r: &mut Random, left| {
        let mut writer = Writer { r, text: String::new(), left, loops: 0, open: 0, vectors };
        while writer.left > 0 {
            writer.statement();
        }
        writer.text
    };
    let helper = body(&mut r, 3).replace("memory.grow (i32.const 1)", "memory.grow (i32.const 0)");
    // A helper that calls itself would only ever run out of stack.
    let helper = helper.replace("(call $helper ", "(call $same ");
    let size = 6 + r.below(24) as u32;
    let mut score = body(&mut r, size);
    if !grows {
        score = score.replace("memory.grow (i32.const 1)", "memory.size");
    }
    let locals: String = (0..BASES).map(|i| format!("(local $b{i} i32)")).collect();
    let counters: String = (0..4).map(|i| format!("(local $c{i} i32)")).collect();
    let pages = 1 + r.below(2);
    let most = if grows { 4 } else { pages };
    let start = r.below(700) as i64 + if r.below(30) == 0 { -100 } else { 200 };
    let text = format!(
        "(module (memory {pages} {most}) (global $sp (mut i32) (i32.const {pointer})) (global $kept (mut i64) (i64.const 0))
        (func $same (param i32 i64) (result i32) (local.get 0))
        (func $sum (param $at i32) (param $end i32) (result i64) (local $s i64)
          (loop $l
            (local.set $s (i64.add (i64.rotl (local.get $s) (i64.const 7)) (i64.load (local.get $at))))
            (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
          (local.get $s))
        (func $all (result i64)
          (i64.xor (call $sum (i32.const 0) (i32.const 1536)) (call $sum (i32.const 65016) (i32.const 65536))))
        (func $helper (param $b0 i32) (param $k i64) (result i32)
          (local $x f64) (local $b1 i32) (local $b2 i32) (local $b3 i32) {counters}
          (local.set $b1 (local.get $b0)) (local.set $b2 (i32.const 400)) (local.set $b3 (i32.const 65100))
          (local.set $x (f64.convert_i64_s (local.get $k))) {helper} (local.get $b1))
        (func $rows (param $x f64) (param $k i64) {locals} {counters}
          (local.set $b0 (i32.add (i32.const {start}) (i32.and (i32.wrap_i64 (local.get $k)) (i32.const 127))))
          (local.set $b1 (i32.sub (global.get $sp) (i32.const 512)))
          (local.set $b2 (i32.const 300)) (local.set $b3 (i32.and (i32.wrap_i64 (local.get $k)) (i32.const 960)))
          {score})
        (func (export \"score\") (param $x f64) (param $k i64) (result f64) (local $before i64)
          (local.set $before (call $all)) (call $rows (local.get $x) (local.get $k))
          (f64.convert_i64_u (i64.shr_u (i64.sub (local.get $before) (call $all)) (i64.const 15))))
        (func (export \"begin\") (global.set $kept (i64.add (global.get $kept) (call $all))))
        (func (export \"step\") (param $x f64) (param $k i64) (call $rows (local.get $x) (local.get $k)))
        (func (export \"finish\") (result f64)
          (f64.convert_i64_u (i64.shr_u (i64.sub (global.get $kept) (call $all)) (i64.const 15)))))"
    );
    wat::parse_str(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"))
}
