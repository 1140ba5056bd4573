//! Compilation in a child process, its limits, and the cache of artefacts.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::*;
use yunei_sandbox::{
    ArtefactCache, CacheKey, ChildCompiler, CompileError, CompileLimits, Compiler, InProcess, Sandbox, SandboxConfig,
    Target, Verified,
};

fn child() -> ChildCompiler {
    ChildCompiler::new(env!("CARGO_BIN_EXE_yunei-sandbox-compile"), ["sandbox-compile"])
}

fn sandbox_with(compiler: impl Compiler + 'static) -> Sandbox {
    Sandbox::new(SandboxConfig::default().compiler(compiler)).unwrap()
}

fn refusal(compiler: impl Compiler + 'static) -> &'static str {
    let (manifest, module) = files("credit-risk");
    let verified = Verified::check(&module, &manifest).unwrap();
    sandbox_with(compiler).load(&verified, &manifest).unwrap_err().code()
}

#[test]
fn a_child_s_code_runs_like_our_own() {
    for name in ["credit-risk", "hostile/remembers"] {
        let people = people(200, 5);
        let ours = folder(&sandbox(), name).score(&columns(&people), 200).unwrap();
        let theirs = folder(&sandbox_with(child()), name).score(&columns(&people), 200).unwrap();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn too_little_memory_or_time_is_a_refusal() {
    let limits = CompileLimits::default();
    assert_eq!(refusal(child().limits(CompileLimits { address_space: 16 << 20, ..limits })), "model/compile-limit");
    let sleeps = ChildCompiler::new("/bin/sleep", ["1000"]);
    let short = CompileLimits { wall: Duration::from_millis(200), ..limits };
    assert_eq!(refusal(sleeps.limits(short)), "model/compile-limit");
}

/// Many locals that live through many branches in a loop: small for the verifier, dear for a compiler.
fn bomb(locals: u32, branches: u32) -> Vec<u8> {
    use wasm_encoder::{BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection};
    use wasm_encoder::{Instruction as I, Module, TypeSection, ValType};
    let (mut types, mut functions, mut exports) = (TypeSection::new(), FunctionSection::new(), ExportSection::new());
    types.ty().function([ValType::F64; 5], [ValType::F64]);
    functions.function(0);
    exports.export("score", ExportKind::Func, 0);
    let mut f = Function::new([(locals, ValType::I64)]);
    f.instruction(&I::Loop(BlockType::Empty));
    for i in 0..branches {
        let (a, b) = (5 + i % locals, 5 + (i * 7 + 1) % locals);
        f.instruction(&I::Block(BlockType::Empty))
            .instruction(&I::LocalGet(b))
            .instruction(&I::I64Eqz)
            .instruction(&I::BrIf(if i % 97 == 0 { 1 } else { 0 }))
            .instruction(&I::LocalGet(a))
            .instruction(&I::LocalGet(b))
            .instruction(&I::I64Add)
            .instruction(&I::LocalSet(a))
            .instruction(&I::End);
    }
    f.instruction(&I::End).instruction(&I::LocalGet(0)).instruction(&I::End);
    let mut code = CodeSection::new();
    code.function(&f);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    module.finish()
}

#[test]
fn a_bomb_for_the_compiler_is_a_refusal() {
    let (manifest, _) = files("credit-risk");
    let verified = Verified::check(&bomb(5000, 40_000), &manifest).unwrap();
    let limits = CompileLimits { cpu_seconds: 1, address_space: 512 << 20, ..CompileLimits::default() };
    let started = std::time::Instant::now();
    let refused = sandbox_with(child().limits(limits)).load(&verified, &manifest).unwrap_err();
    assert_eq!(refused.code(), "model/compile-limit");
    // One second of its own, on a machine that may be busy: it was ended, it did not run out.
    println!("ended after {:?}", started.elapsed());
}

#[test]
fn a_program_that_is_no_compiler_is_said_to_be_none() {
    assert_eq!(refusal(ChildCompiler::new("/does/not/exist", [""; 0])), "model/compiler");
    assert_eq!(refusal(ChildCompiler::new("/bin/false", [""; 0])), "model/compiler");
    assert_eq!(refusal(ChildCompiler::new("/bin/echo", ["hello"])), "model/compiler");
}

#[test]
fn a_request_that_is_none_is_an_error() {
    let mut answer = Vec::new();
    for request in [&b""[..], b"yunei-q1", &[0; 33], &[0xff; 100]] {
        assert!(yunei_sandbox::compile_child_main(request, &mut answer).is_err());
    }
    assert!(answer.is_empty());
}

/// Counts how often it is asked.
#[derive(Debug, Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Compiler for Counting {
    fn compile(&self, wasm: &[u8], target: Target) -> Result<Vec<u8>, CompileError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        InProcess.compile(wasm, target)
    }
}

#[test]
fn an_artefact_is_compiled_once_and_again_when_damaged() {
    let home = tempfile::tempdir().unwrap();
    let compiler = Counting::default();
    let score = |key: u8, name: &str| {
        let cache = ArtefactCache::new(home.path().join("artefacts"), CacheKey::new(&[key; 32]));
        let sandbox = Sandbox::new(SandboxConfig::default().compiler(compiler.clone()).cache(cache)).unwrap();
        let people = people(50, 5);
        folder(&sandbox, name).score(&columns(&people), 50).unwrap();
        compiler.0.load(Ordering::SeqCst)
    };
    assert_eq!(score(1, "credit-risk"), 1);
    assert_eq!(score(1, "credit-risk"), 1);
    assert_eq!(score(1, "hostile/remembers"), 2);
    assert_eq!(score(1, "hostile/remembers"), 2);
    // Under another key what is there is nothing, and is replaced.
    assert_eq!(score(2, "credit-risk"), 3);
    for damage in [b"" as &[u8], b"yunei-a1", &[0; 100_000]] {
        let before = compiler.0.load(Ordering::SeqCst);
        for entry in fs::read_dir(home.path().join("artefacts")).unwrap() {
            fs::write(entry.unwrap().path(), damage).unwrap();
        }
        assert_eq!(score(2, "credit-risk"), before + 1);
        assert_eq!(score(2, "credit-risk"), before + 1);
    }
    // A folder that cannot be written is no obstacle.
    let file = home.path().join("file");
    fs::write(&file, b"x").unwrap();
    let cache = ArtefactCache::new(&file, CacheKey::new(&[1; 32]));
    let sandbox = Sandbox::new(SandboxConfig::default().cache(cache)).unwrap();
    folder(&sandbox, "credit-risk");
}

/// What runs is what was authenticated, whatever becomes of the file.
#[test]
fn a_file_that_changes_while_its_code_runs_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let open = || {
        let cache = ArtefactCache::new(home.path(), CacheKey::new(&[1; 32]));
        folder(&Sandbox::new(SandboxConfig::default().cache(cache)).unwrap(), "credit-risk")
    };
    let people = columns(&people(50, 5));
    let want = values(&open().score(&people, 50).unwrap());
    let model = open();
    for entry in fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        let length = fs::metadata(&path).unwrap().len() as usize;
        // In place, as no cache of ours writes: the file that was read has other bytes now.
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, &vec![0xcc; length]).unwrap();
        file.set_len(1).unwrap();
    }
    assert_eq!(values(&model.score(&people, 50).unwrap()), want);
    assert_eq!(values(&open().score(&people, 50).unwrap()), want);
}

/// A compiler that must not be asked.
#[derive(Debug)]
struct Nobody;

impl Compiler for Nobody {
    fn compile(&self, _: &[u8], _: Target) -> Result<Vec<u8>, CompileError> {
        Err(CompileError::Unavailable)
    }
}

fn with_cache(home: &std::path::Path, config: SandboxConfig) -> Sandbox {
    Sandbox::new(config.cache(ArtefactCache::new(home, CacheKey::new(&[1; 32])))).unwrap()
}

#[test]
fn what_was_compiled_once_is_recalled_by_its_digest_alone() {
    let home = tempfile::tempdir().unwrap();
    let people = people(300, 5);
    for name in ["credit-risk", "credit-risk/c", "concentration/c", "hostile/remembers", "hostile/traps-on-target"] {
        let (manifest, module) = files(name);
        let columns = &columns(&people)[..manifest.features().len()];
        let first = with_cache(home.path(), SandboxConfig::default()).open(&module, &manifest).unwrap();
        // Another process: nothing is verified, nothing compiled.
        let later = with_cache(home.path(), SandboxConfig::default().compiler(Nobody));
        let recalled = later.recall(first.digest(), &manifest).unwrap();
        assert_eq!(recalled.score(columns, 300).unwrap(), first.score(columns, 300).unwrap(), "{name}");
        assert_eq!(recalled.report(), first.report());
        assert_eq!((recalled.digest(), recalled.manifest()), (first.digest(), &manifest));
        // The same process needs no file any more, and a model that is in use twice has two instances.
        fs::remove_dir_all(home.path()).unwrap();
        let again = later.recall(first.digest(), &manifest).unwrap();
        assert_eq!(again.score(columns, 300).unwrap(), recalled.score(columns, 300).unwrap());
        assert!(with_cache(home.path(), SandboxConfig::default()).recall(first.digest(), &manifest).is_none());
    }
}

#[test]
fn unit_models_are_recalled_too() {
    let home = tempfile::tempdir().unwrap();
    let (manifest, module) = files("household-energy");
    let months = columns(&(0..64).map(|i| [f64::from(i % 12 + 1), f64::from(i * 7)]).collect::<Vec<_>>());
    let units: Vec<_> = (0..16).map(|i| i * 4..i * 4 + 4).collect();
    let first = with_cache(home.path(), SandboxConfig::default()).open(&module, &manifest).unwrap();
    let later = with_cache(home.path(), SandboxConfig::default().compiler(Nobody));
    let recalled = later.recall(first.digest(), &manifest).unwrap();
    assert_eq!(recalled.fold(&months, &units).unwrap(), first.fold(&months, &units).unwrap());
}

#[test]
fn another_manifest_containment_or_digest_recalls_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (manifest, module) = files("hostile/remembers");
    let digest =
        with_cache(home.path(), SandboxConfig::default()).open(&module, &manifest).unwrap().digest().to_owned();
    let nobody = || SandboxConfig::default().compiler(Nobody);
    assert!(with_cache(home.path(), nobody()).recall(&digest, &manifest).is_some());
    assert!(with_cache(home.path(), nobody().fresh_instances(true)).recall(&digest, &manifest).is_none());
    assert!(with_cache(home.path(), nobody()).recall(&digest.replace(['0', '1'], "2"), &manifest).is_none());
    let text = fs::read_to_string(models().join("hostile/remembers/model.toml")).unwrap();
    let other = yunei_sandbox::Manifest::parse(&with_other_fuel(&text)).unwrap();
    assert_ne!(other, manifest);
    assert!(with_cache(home.path(), nobody()).recall(&digest, &other).is_none());
}

/// The manifest's text with another limit on fuel.
fn with_other_fuel(text: &str) -> String {
    text.lines().map(|l| if l.starts_with("fuel") { "fuel = 12345" } else { l }).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_artefact_under_another_models_name_is_not_run() {
    let home = tempfile::tempdir().unwrap();
    let compiler = Counting::default();
    let sandbox = || with_cache(home.path(), SandboxConfig::default().compiler(compiler.clone()));
    // Two models of one manifest: what is swapped would fit.
    let (manifest, module) = files("credit-risk/c");
    let (_, other) = files("credit-risk/rust");
    let digests = [&module, &other].map(|m| sandbox().open(m, &manifest).unwrap().digest().to_owned());
    let files: Vec<_> = fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!((files.len(), compiler.0.load(Ordering::SeqCst)), (2, 2));
    let contents = [fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap()];
    fs::write(&files[0], &contents[1]).unwrap();
    fs::write(&files[1], &contents[0]).unwrap();
    for digest in &digests {
        assert!(sandbox().recall(digest, &manifest).is_none());
    }
    sandbox().open(&module, &manifest).unwrap();
    assert_eq!(compiler.0.load(Ordering::SeqCst), 3);
    assert!(sandbox().recall(&digests[0], &manifest).is_some());
}

#[test]
fn the_longest_time_of_a_unit_grows_with_its_fuel() {
    let sandbox = sandbox();
    let times: Vec<_> = ["fuel = 1000", "fuel = 100000000"]
        .iter()
        .map(|limits| {
            let m = manifest("row", &["f64"], WIDE, limits);
            let loops = "(module (func (export \"score\") (param f64) (result f64) (loop (br 0)) unreachable))";
            load(&sandbox, &m, loops).max_unit_time()
        })
        .collect();
    assert!(times[0] > Duration::ZERO && times[0] < times[1], "{times:?}");
}
