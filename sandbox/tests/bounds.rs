//! The verifier at its bounds and one past them, and on any bytes at all.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, CustomSection, DataSection, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, Instruction as I, MemorySection, MemoryType, Module,
    RawSection, RefType, TableSection, TableType, TypeSection, ValType,
};
use yunei_sandbox::{Class, Cost, Manifest, Verified, limits};

fn one() -> Manifest {
    manifest("row", &["f64"], WIDE, "fuel = 1000000")
}

fn codes(module: &[u8]) -> Vec<&'static str> {
    match Verified::check(module, &one()) {
        Ok(_) => Vec::new(),
        Err(wrong) => wrong.iter().map(|r| r.code()).collect(),
    }
}

/// What a test changes of a small valid module.
#[derive(Default)]
struct Shape {
    types: u32,
    functions: u32,
    locals: u32,
    nesting: u32,
    operands: u32,
    targets: u32,
    globals: u32,
    exports: u32,
    tables: u32,
    table_size: u64,
    elements: u32,
    data: u32,
    custom: usize,
    params: u32,
    nops: usize,
}

fn body(s: &Shape) -> Function {
    let mut f = Function::new([(s.locals, ValType::I32)]);
    for _ in 0..s.nops {
        f.instruction(&I::Nop);
    }
    for _ in 0..s.nesting {
        f.instruction(&I::Block(BlockType::Empty));
    }
    if s.targets > 0 {
        f.instruction(&I::I32Const(0)).instruction(&I::BrTable(vec![0; s.targets as usize].into(), 0));
    }
    for _ in 0..s.nesting {
        f.instruction(&I::End);
    }
    for _ in 0..s.operands {
        f.instruction(&I::I32Const(0));
    }
    for _ in 0..s.operands {
        f.instruction(&I::Drop);
    }
    f.instruction(&I::LocalGet(0)).instruction(&I::End);
    f
}

fn build(s: &Shape) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::F64], [ValType::F64]);
    types.ty().function([], []);
    types.ty().function(vec![ValType::I32; s.params as usize], []);
    (0..s.types).for_each(|_| types.ty().function([], []));
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    functions.function(0);
    code.function(&body(s));
    for _ in 0..s.functions {
        functions.function(1);
        let mut f = Function::new([]);
        f.instruction(&I::End);
        code.function(&f);
    }
    let (mut tables, mut globals, mut exports) = (TableSection::new(), GlobalSection::new(), ExportSection::new());
    for _ in 0..s.tables {
        let ty = TableType {
            element_type: RefType::FUNCREF,
            minimum: s.table_size,
            maximum: None,
            table64: false,
            shared: false,
        };
        tables.table(ty);
    }
    for _ in 0..s.globals {
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(0));
    }
    exports.export("score", ExportKind::Func, 0);
    for i in 0..s.exports {
        exports.export(&format!("e{i}"), ExportKind::Func, 0);
    }
    let (mut elements, mut data, mut memories) = (ElementSection::new(), DataSection::new(), MemorySection::new());
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    if s.elements > 0 {
        elements.passive(Elements::Functions(vec![0; s.elements as usize].into()));
    }
    for _ in 0..s.data {
        data.passive([]);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories).section(&globals).section(&exports);
    module.section(&elements).section(&code).section(&data);
    if s.custom > 0 {
        module.section(&CustomSection { name: "x".into(), data: vec![0; s.custom].into() });
    }
    module.finish()
}

#[test]
fn each_count_is_taken_at_its_bound_and_refused_beyond() {
    type Set = fn(&mut Shape, u32);
    // What the small module has already is taken off.
    let table: &[(&str, u32, Set)] = &[
        ("types", limits::TYPES - 3, |s, n| s.types = n),
        ("functions", limits::FUNCTIONS - 1, |s, n| s.functions = n),
        ("locals", limits::LOCALS - 1, |s, n| s.locals = n),
        ("nesting", limits::NESTING - 1, |s, n| s.nesting = n),
        ("operands", limits::OPERANDS, |s, n| s.operands = n),
        ("br_table", limits::BR_TABLE, |s, n| {
            s.targets = n;
            s.nesting = 1;
        }),
        ("globals", limits::GLOBALS, |s, n| s.globals = n),
        ("exports", limits::EXPORTS - 1, |s, n| s.exports = n),
        ("tables", limits::TABLES, |s, n| s.tables = n),
        ("table elements", limits::TABLE_ELEMENTS as u32, |s, n| {
            s.tables = 1;
            s.table_size = n.into();
        }),
        ("elements", limits::ELEMENTS as u32, |s, n| s.elements = n),
        ("data", limits::DATA_SEGMENTS, |s, n| s.data = n),
        ("parameters", limits::ARITY as u32, |s, n| s.params = n),
        ("custom", limits::CUSTOM_BYTES as u32, |s, n| s.custom = n as usize),
    ];
    for (what, bound, set) in table {
        for (n, wanted) in [(*bound, vec![]), (bound + 1, vec!["model/limit"])] {
            let mut shape = Shape::default();
            set(&mut shape, n);
            assert_eq!(codes(&build(&shape)), wanted, "{what}: {n}");
        }
    }
}

#[test]
fn a_body_is_bounded_in_bytes() {
    let length = |nops| build(&Shape { nops, ..Shape::default() });
    // Locals count, `local.get 0` and `end` are the rest of the body: one group of none, four bytes.
    let rest = 1 + 2 + 2 + 1;
    assert_eq!(codes(&length(limits::FUNCTION_BYTES - rest)), [""; 0]);
    assert_eq!(codes(&length(limits::FUNCTION_BYTES - rest + 1)), ["model/limit"]);
}

#[test]
fn a_module_and_a_text_are_bounded_in_bytes() {
    // Padding in a section that no parser looks into: an unknown section would be refused.
    let module = |n: usize| {
        let mut bytes = build(&Shape::default());
        bytes.resize(n, 0);
        bytes
    };
    assert_ne!(codes(&module(limits::MODULE_BYTES)), ["model/too-large"]);
    assert_eq!(codes(&module(limits::MODULE_BYTES + 1)), ["model/too-large"]);
    assert_eq!(codes(&module(20 << 20)), ["model/too-large"]);
    let text = |n: usize| {
        let module = "(module (func (export \"score\") (param f64) (result f64) local.get 0))";
        format!("{module}{}", " ".repeat(n - module.len()))
    };
    assert_eq!(codes(text(limits::TEXT_BYTES).as_bytes()), [""; 0]);
    assert_eq!(codes(text(limits::TEXT_BYTES + 1).as_bytes()), ["model/too-large"]);
}

#[test]
fn what_is_no_module_is_said_to_be_none() {
    assert_eq!(codes(b""), ["model/not-wasm"]);
    assert_eq!(codes(b"\x7fELF"), ["model/not-wasm"]);
    assert_eq!(codes(b"\xff\xfe"), ["model/not-wasm"]);
    assert_eq!(codes(b"(module (func"), ["model/wat"]);
    assert_eq!(codes(b"\0asm\x0d\0\x01\0"), ["model/component"]);
    assert_eq!(codes(b"\0asm\x02\0\0\0"), ["model/invalid"]);
    assert_eq!(codes(b"\0asm\x01\0\0\0"), ["model/export-missing"]);
    assert_eq!(codes(&"(".repeat(100_000).replacen('(', "(module", 1).into_bytes()), ["model/wat"]);
    let odd = Module::new().section(&RawSection { id: 77, data: &[] }).clone().finish();
    assert_eq!(codes(&odd), ["model/invalid"]);
}

#[test]
fn the_text_format_s_mistakes_have_a_place_and_no_quotation() {
    let wrong = Verified::check(b"(module\n  (func secret))", &one()).unwrap_err();
    assert_eq!(wrong[0].place(), Some("line 2, column 9"));
    assert!(!wrong[0].to_string().contains("secret"));
}

#[test]
fn memory_beyond_the_manifest_is_refused() {
    let with = |pages: u32| {
        let m = manifest("row", &["f64"], WIDE, "memory_pages = 4");
        let text = format!("(module (memory {pages}) (func (export \"score\") (param f64) (result f64) local.get 0))");
        Verified::check(text.as_bytes(), &m).map_err(|w| w[0].code()).map(|_| ())
    };
    assert_eq!(with(4), Ok(()));
    assert_eq!(with(5), Err("model/memory"));
}

#[test]
fn a_report_says_what_it_found() {
    let m = one();
    let report = |body: &str, more: &str| {
        let text = format!(
            "(module (memory 1 2) (global $g (mut i32) (i32.const 0)) {more} (func $score (export \"score\") (param f64) (result f64) {body} local.get 0))"
        );
        Verified::check(text.as_bytes(), &m).unwrap().report().clone()
    };
    let plain = report("", "");
    assert_eq!((plain.class, plain.cost), (Class::Stateless, Cost::Bounded(1)));
    let stores = report("(call $deep)", "(func $deep (i32.store8 (i32.const 0) (i32.const 1)))");
    assert_eq!(stores.class, Class::Contained);
    let why = stores.why_not_stateless.unwrap();
    assert!(why.starts_with("i32.store8 at offset "), "{why}");
    assert!(why.ends_with(" in function 0 `deep`, called by function 1 `score`"), "{why}");
    assert!(matches!(stores.cost, Cost::Bounded(_)));
    let dead = report("", "(func $never (loop (i32.store8 (i32.const 0) (i32.const 1)) (br 0)))");
    assert_eq!((dead.class, dead.cost), (Class::Stateless, Cost::Bounded(1)));
    assert_eq!((dead.functions, dead.reachable_functions), (2, 1));
    let loops = report("(loop)", "");
    assert!(matches!(loops.cost, Cost::Metered(1_000_000)));
    let recursive = report("(call $r)", "(func $r (call $r))");
    assert!(recursive.why_not_bounded.unwrap().contains("recursion"));
    let through_table = report(
        "(call_indirect (i32.const 0))",
        "(table 1 funcref) (elem (i32.const 0) $w) (func $w (global.set $g (i32.const 1)))",
    );
    assert_eq!(through_table.class, Class::Contained);
    let why = through_table.why_not_stateless.unwrap();
    assert!(why.ends_with(" in function 0 `w`, called by function 1 `score`"), "{why}");
    let other_type = report(
        "(call_indirect (param i32) (i32.const 0) (i32.const 0))",
        "(table 1 funcref) (elem (i32.const 0) $w) (func $w (global.set $g (i32.const 1)))",
    );
    assert_eq!(other_type.class, Class::Stateless);
    insta::assert_snapshot!(loops, @r"
    class      stateless
    cost       metered, 1000000 fuel per unit
               not bounded: loop at offset 50 in function 0 `score`
    memory     1 of at most 1 pages; 0 bytes of constants
    functions  1, of which 1 can run
    module     79 bytes
    ");
}

#[test]
fn a_report_names_the_way_to_what_writes_and_stays_short() {
    let m = one();
    let chain: String = (0..200).map(|i| format!("(func $f{} (call $f{i}))", i + 1)).collect();
    let text = format!(
        "(module (memory 1) (func $f0 (i32.store (i32.const 0) (i32.const 1))) {chain} \
         (func (export \"score\") (param f64) (result f64) (call $f200) (local.get 0)))"
    );
    let verified = Verified::check(text.as_bytes(), &m).unwrap();
    let why = verified.report().why_not_stateless.clone().unwrap();
    assert!(why.contains("in function 0 `f0`, called by function 1 `f1`, called by function 2 `f2`"), "{why}");
    assert!(why.ends_with("called by function 5 `f5`, called by others"), "{why}");
    // Names as long as they come, through every line of the report.
    let long = text.replace("$f", &format!("${}", "n".repeat(5000)));
    assert!(Verified::check(long.as_bytes(), &m).unwrap().report().to_string().len() < 2000);
}

/// The dearest way is counted: through the dearer branch, and everything that is called.
#[test]
fn the_worst_case_is_that_of_the_dearest_way() {
    let worst = |body: &str| {
        let text = format!(
            "(module (func $f (result i32) i32.const 1 i32.const 2 i32.add) (func (export \"score\") (param f64) (result f64) {body} local.get 0))"
        );
        match Verified::check(text.as_bytes(), &one()).unwrap().report().cost {
            Cost::Bounded(n) => n,
            Cost::Metered(_) => u64::MAX,
        }
    };
    let base = worst("");
    assert_eq!(worst("call $f drop") - base, 4 + 3);
    assert_eq!(worst("i32.const 0 if call $f drop else i32.const 1 drop end") - base, 2 + 7);
    assert_eq!(worst("i32.const 0 if i32.const 1 drop else call $f drop call $f drop end") - base, 2 + 14);
}

/// Doubling calls: 2^60 in a few bytes. Neither the verifier nor the sum may explode.
#[test]
fn a_bomb_of_calls_is_counted_and_not_walked() {
    let functions: String = (0..60).map(|i| format!("(func $f{} (call $f{i}) (call $f{i}))", i + 1)).collect();
    let text = format!(
        "(module (func $f0) {functions} (func (export \"score\") (param f64) (result f64) (call $f60) (local.get 0)))"
    );
    let verified = Verified::check(text.as_bytes(), &one()).unwrap();
    assert!(verified.report().why_not_bounded.as_ref().unwrap().contains("worst case"));
    let model = sandbox().load(&verified, &one()).unwrap();
    assert_eq!(model.score(&[floats([1.0])], 1).unwrap().value(0), -7.0);
}

/// One megabyte of code. How fast is a matter of the benchmarks; that it ends is one of the tests.
#[test]
fn a_large_module_is_verified_and_runs() {
    let adds = "f64.const 1.5 f64.add f64.const 0.5 f64.mul ".repeat(400);
    let functions: String =
        (0..120).map(|i| format!("(func $f{i} (param f64) (result f64) local.get 0 {adds})")).collect();
    let calls: String = (0..120).map(|i| format!("call $f{i} ")).collect();
    let text = format!("(module {functions} (func (export \"score\") (param f64) (result f64) local.get 0 {calls}))");
    let wasm = wat::parse_str(&text).unwrap();
    assert!(wasm.len() > 900_000);
    let model = load(&sandbox(), &one(), &wasm);
    assert_eq!(model.score(&[floats([0.0])], 1).unwrap().value(0), 1.5);
}

#[test]
fn seeded_bytes_and_damaged_modules_are_values() {
    let m = one();
    let good = wat::parse_file(models().join("hostile/remembers-table.wat")).unwrap();
    let five = manifest("row", &["f64"; 5], WIDE, "");
    let mut r = Random(7);
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..6000 {
        let mut bytes = good.clone();
        for _ in 0..1 + r.below(4) {
            let at = 8 + r.below(bytes.len() as u64 - 8) as usize;
            match r.below(3) {
                0 => bytes[at] = r.next() as u8,
                1 => bytes.insert(at, r.next() as u8),
                _ => drop(bytes.remove(at)),
            }
        }
        match Verified::check(&bytes, &five) {
            Ok(_) => passed += 1,
            Err(wrong) => {
                assert!(!wrong.is_empty());
                refused += 1;
            }
        }
        let noise: Vec<u8> = (0..r.below(200)).map(|_| r.next() as u8).collect();
        assert!(Verified::check(&noise, &m).is_err());
        assert!(Verified::check(&[b"\0asm\x01\0\0\0", noise.as_slice()].concat(), &m).is_err());
    }
    assert!(passed > 50 && refused > 1000, "{passed} {refused}");
}

/// What a damaged module may still do is what any module may.
#[test]
fn damaged_modules_that_pass_run_alike_undone_and_fresh() {
    let manifest = manifest("row", &["f64"; 5], WIDE, "fuel = 10000");
    let (undo, fresh) = (sandbox(), fresh_sandbox());
    let good = wat::parse_file(models().join("hostile/copies-itself.wat")).unwrap();
    let people = columns(&people(20, 3));
    let mut r = Random(11);
    let mut ran = 0;
    for _ in 0..800 {
        let mut bytes = good.clone();
        for _ in 0..1 + r.below(3) {
            let at = 8 + r.below(bytes.len() as u64 - 8) as usize;
            bytes[at] = r.next() as u8;
        }
        let Ok(verified) = Verified::check(&bytes, &manifest) else { continue };
        match (undo.load(&verified, &manifest), fresh.load(&verified, &manifest)) {
            (Ok(a), Ok(b)) => {
                ran += 1;
                assert_eq!(a.score(&people, 20).unwrap(), b.score(&people, 20).unwrap());
            }
            (Err(a), Err(b)) => assert_eq!(a, b),
            _ => panic!("one way loads, the other does not"),
        }
    }
    assert!(ran > 20, "{ran}");
}

#[test]
fn a_model_loads_under_its_own_manifest_only() {
    let m = one();
    let verified =
        Verified::check(b"(module (func (export \"score\") (param f64) (result f64) local.get 0))", &m).unwrap();
    let other = manifest("row", &["f64"], WIDE, "fuel = 999");
    assert_eq!(sandbox().load(&verified, &other).unwrap_err().code(), "model/manifest");
}

#[test]
fn a_report_is_json_for_machines() {
    let verified =
        Verified::check(b"(module (func (export \"score\") (param f64) (result f64) local.get 0))", &one()).unwrap();
    let json = serde_json::to_value(verified.report()).unwrap();
    assert_eq!(json["class"], "stateless");
    assert_eq!(json["cost"], serde_json::json!({ "bounded": 1 }));
}
