//! The program as its own compiler: one request in, one answer out, under limits that it sets on itself.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn yunei(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_yunei"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A child that refuses at once may have closed its end already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// A request as the parent writes it: limits on memory and time, then the module.
fn request(address_space: u64, cpu_seconds: u64, module: &[u8]) -> Vec<u8> {
    let mut request = b"yunei-q1\0".to_vec();
    for number in [address_space, cpu_seconds, module.len() as u64] {
        request.extend(number.to_le_bytes());
    }
    request.extend(module);
    request
}

#[test]
fn a_request_is_answered_and_noise_is_not() {
    let empty = b"\0asm\x01\0\0\0";
    let told = yunei(&["compile-child"], &request(2 << 30, 60, empty));
    assert!(told.status.success());
    assert!(told.stdout.starts_with(b"yunei-d1") && told.stderr.is_empty());
    let told = yunei(&["compile-child"], &request(2 << 30, 60, b"no module"));
    assert_eq!(told.stdout, b"yunei-r1");
    for noise in [&b""[..], b"yunei-q1", &[0; 100], &request(2 << 30, 60, b"")[..20]] {
        let told = yunei(&["compile-child"], noise);
        assert!(!told.status.success() && told.stdout.is_empty());
    }
}

#[test]
fn too_little_memory_or_time_ends_the_child() {
    let large: String = (0..300)
        .map(|i| {
            format!(
                "(func (export \"f{i}\") (param f64) (result f64) local.get 0 {})",
                "f64.const 2 f64.mul ".repeat(300)
            )
        })
        .collect();
    let large = wat(&format!("(module {large})"));
    for (address_space, cpu_seconds) in [(16 << 20, 60), (2 << 30, 0)] {
        let told = yunei(&["compile-child"], &request(address_space, cpu_seconds, &large));
        assert!(!told.stdout.starts_with(b"yunei-d1"), "{address_space} {cpu_seconds}");
    }
}

/// A binary module of the text format, with the function that the verifier asks for.
fn wat(text: &str) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/credit-risk/model.toml");
    let manifest = std::fs::read_to_string(source).unwrap();
    let manifest = yunei_sandbox::Manifest::parse(&manifest).unwrap();
    let text = text.replacen(
        "(module ",
        "(module (func (export \"score\") (param f64 f64 f64 f64 f64) (result f64) local.get 0) ",
        1,
    );
    yunei_sandbox::Verified::check(text.as_bytes(), &manifest).unwrap().wasm().to_vec()
}

#[test]
fn a_submitted_model_is_compiled_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home").display().to_string();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/credit-risk/c/model.toml");
    assert!(yunei(&["--home", &home, "init"], b"").status.success());
    let told = yunei(&["--home", &home, "model", "submit", &model.display().to_string()], b"");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert_eq!(std::fs::read_dir(Path::new(&home).join("artefacts")).unwrap().count(), 1);
    assert!(!yunei(&["--help"], b"").stdout.windows(13).any(|w| w == b"compile-child"));
}
