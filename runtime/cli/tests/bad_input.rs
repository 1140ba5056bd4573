//! What people get wrong: one clear message, the exit code that says what kind, no panic, nothing half-written.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with_home() -> Self {
        let desk = Self::new();
        let made = desk.yunei(&["init", "--name", "test.domain"]);
        assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
        desk
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn yunei(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_yunei"))
            .current_dir(self.folder.path())
            .env_remove("YUNEI_HOME")
            .args(["--lang", "en", "--home"])
            .arg(self.home())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The refusal must have this exit code and this one code, on stderr and as JSON.
    fn refused(&self, exit: i32, code: &str, arguments: &[&str]) -> String {
        let told = self.yunei(arguments);
        let text = stderr(&told);
        assert_eq!(told.status.code(), Some(exit), "{arguments:?}: {text}");
        assert!(told.stdout.is_empty(), "{arguments:?}");
        assert!(text.contains(code) && !text.contains("panick") && !text.contains("internal error"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with('✗')).count(), 1, "one message: {text}");

        let told = self.yunei(&[&["--json"], arguments].concat());
        assert_eq!(told.status.code(), Some(exit), "{arguments:?} --json");
        assert!(told.stderr.is_empty(), "{}", stderr(&told));
        let json: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        let reasons = json["refused"].as_array().unwrap();
        assert_eq!(reasons.len(), 1, "{json}");
        assert_eq!(reasons[0]["code"], code);
        assert!(reasons[0]["message"].as_str().is_some_and(|message| !message.is_empty()));
        text
    }

    fn listed(&self, what: &str) -> usize {
        let told = self.yunei(&["--json", what, "list"]);
        assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
        let json: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        json[format!("{what}s")].as_array().unwrap().len()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn asset(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/assets").join(name);
    fs::read_to_string(path).unwrap()
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/credit-risk")
}

fn model_manifest() -> String {
    fs::read_to_string(models().join("model.toml")).unwrap()
}

#[test]
fn a_manifest_with_an_unknown_key() {
    let desk = Desk::with_home();
    let dataset = desk.write("dataset.toml", asset("electricity.toml").replace("update =", "updates ="));
    let told = desk.yunei(&["dataset", "register", &dataset]);
    assert_eq!(told.status.code(), Some(2), "{}", stderr(&told));
    assert!(stderr(&told).contains("updates"), "{}", stderr(&told));
    let product = desk.write("product.toml", asset("risk-by-city.toml").replace("title =", "titel ="));
    let told = desk.refused(2, "product/malformed", &["product", "check", &product]);
    assert!(told.contains("titel"), "{told}");
    assert_eq!((desk.listed("dataset"), desk.listed("product")), (0, 0));
}

#[test]
fn a_module_with_imports() {
    let desk = Desk::with_home();
    desk.write("credit_risk.wat", r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#);
    let manifest = desk.write("model.toml", model_manifest());
    // Checked without a home, submitted with one: the same answer.
    for arguments in [["model", "check", &manifest], ["model", "submit", &manifest]] {
        let told = desk.yunei(&arguments);
        assert_eq!(told.status.code(), Some(3), "{}", stderr(&told));
        assert!(stderr(&told).contains("model/import"), "{}", stderr(&told));
    }
    assert_eq!(desk.listed("model"), 0);
}

#[test]
fn a_file_that_is_not_there() {
    let desk = Desk::with_home();
    for what in ["dataset register", "model check", "model submit", "product check", "product submit", "receipt verify"]
    {
        let arguments: Vec<&str> = what.split(' ').chain(["absent.toml"]).collect();
        desk.refused(4, "input/no-file", &arguments);
    }
}

#[test]
fn a_home_that_is_not_there() {
    let desk = Desk::new();
    for what in ["dataset list", "audit list", "audit verify", "budget show"] {
        let arguments: Vec<&str> = what.split(' ').collect();
        desk.refused(4, "home/absent", &arguments);
    }
    assert!(!desk.home().exists(), "nothing is made by asking");
}

#[test]
fn a_home_that_is_open_already() {
    let desk = Desk::with_home();
    let lock = File::options().write(true).open(desk.home().join("LOCK")).unwrap();
    lock.lock().unwrap();
    desk.refused(5, "home/busy", &["dataset", "list"]);
    // What only reads does not wait.
    let told = desk.yunei(&["audit", "verify"]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    lock.unlock().unwrap();
    assert_eq!(desk.listed("dataset"), 0);
}

#[test]
fn a_home_is_not_made_over_another() {
    let desk = Desk::with_home();
    desk.refused(3, "home/exists", &["init"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_that_does_not_parse() {
    let World { folder, domain } = World::new(2_000).await;
    domain.close().await;
    let desk = Desk { folder };
    let text = World::product_text("broken", "SELEC COUNT(*) FORM people", "");
    let product = desk.write("broken.toml", text);
    desk.refused(2, "sql/parse", &["product", "check", &product]);
    desk.refused(2, "sql/parse", &["product", "submit", &product]);
    assert_eq!(desk.listed("product"), 0);
}

#[test]
fn what_is_wrong_with_a_call_is_told_before_a_home_is_looked_for() {
    let desk = Desk::new();
    desk.refused(2, "input/output", &["run", "p", "--purpose", "x", "-o", "result.xlsx"]);
    let told = desk.refused(2, "input/identity", &["verify", "p", "--purpose", "x", "-i", "530102199001011234"]);
    assert!(!told.contains("5301"), "what may be about a person is not repeated");
    for usage in [&["run"][..], &["--lang", "fr", "dataset", "list"], &["run", "p", "--purpose", "x", "-p", "word"]] {
        assert_eq!(desk.yunei(usage).status.code(), Some(2), "{usage:?}");
    }
}

#[test]
fn a_receipt_that_is_none() {
    let desk = Desk::with_home();
    for bytes in [&b"not a receipt"[..], b"{}", b"", &[0xff; 64]] {
        let receipt = desk.write("receipt", bytes);
        desk.refused(2, "receipt/malformed", &["receipt", "verify", &receipt]);
    }
    desk.refused(4, "registry/not-found", &["receipt", "show", "run-0"]);
}

#[test]
fn a_log_under_the_key_of_another() {
    let (desk, other) = (Desk::with_home(), Desk::with_home());
    let key = other.home().join("keys/log.vkey").display().to_string();
    let told = desk.yunei(&["audit", "verify", "--key", &key]);
    assert_ne!(told.status.code(), Some(0));
    assert!(stderr(&told).contains("audit/key"), "{}", stderr(&told));
}

#[test]
fn a_module_of_twenty_mebibytes() {
    let desk = Desk::with_home();
    let manifest = model_manifest().replace("credit_risk.wat", "credit_risk.wasm");
    let manifest = desk.write("model.toml", manifest);
    // A well-formed module: an empty one with a custom section that fills it up.
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let content = 20 << 20;
    module.push(0);
    let mut length = content;
    while length >= 0x80 {
        module.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    module.push(length as u8);
    module.push(1);
    module.push(b'x');
    module.resize(module.len() + content - 2, 0);
    desk.write("credit_risk.wasm", module);
    for what in ["check", "submit"] {
        desk.refused(2, "model/too-large", &["model", what, &manifest]);
    }
    assert_eq!(desk.listed("model"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_that_is_cut_or_is_none() {
    let World { folder, domain } = World::new(2_000).await;
    domain.close().await;
    let whole = fs::read(folder.path().join("people.parquet")).unwrap();
    let desk = Desk { folder };
    let entry = fs::read_to_string(desk.folder.path().join("people.toml")).unwrap();
    let entry = desk.write("again.toml", entry.replace("id = \"people\"", "id = \"people_again\""));
    let before = desk.listed("dataset");
    for bytes in [&whole[..whole.len() / 2], &whole[..11], b"PAR1", b"a,b\n1,2\n", b""] {
        desk.write("people.parquet", bytes);
        desk.refused(2, "catalogue/not-parquet", &["dataset", "register", &entry]);
    }
    // The footer is whole, a page is not.
    let mut torn = whole.clone();
    torn[4..whole.len() / 2].fill(0xa5);
    desk.write("people.parquet", torn);
    let told = desk.yunei(&["dataset", "register", &entry]);
    assert_eq!(told.status.code(), Some(2), "{}", stderr(&told));
    assert!(!stderr(&told).contains("panick"), "{}", stderr(&told));
    assert_eq!(desk.listed("dataset"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_with_a_model_that_is_not_approved() {
    let World { folder, domain } = World::new(2_000).await;
    domain.close().await;
    let desk = Desk { folder };
    desk.write("credit_risk.wat", fs::read(models().join("credit_risk.wat")).unwrap());
    let manifest = desk.write("model.toml", model_manifest());
    let submitted = desk.yunei(&["--as", "operator", "model", "submit", &manifest]);
    assert_eq!(submitted.status.code(), Some(0), "{}", stderr(&submitted));
    let sql = "SELECT COUNT(*) AS n FROM people";
    let text = World::product_text("early", sql, "").replace("\"burden@1.0.0\"", "\"credit-risk@1.0.0\"");
    let product = desk.write("early.toml", text);
    desk.refused(3, "authorise/model-state", &["--as", "operator", "product", "submit", &product]);
    let unknown = desk
        .write("unknown.toml", World::product_text("unknown", sql, "").replace("\"burden@1.0.0\"", "\"absent@1.0.0\""));
    desk.refused(3, "registry/unknown-model", &["--as", "operator", "product", "submit", &unknown]);
    assert_eq!(desk.listed("product"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_for_the_result_that_is_not_there() {
    let world = World::new(2_000).await;
    let text = World::product_text("count", "SELECT COUNT(*) AS n FROM people", "");
    world.approve("count", &text, "operator", &["research"]).await;
    let World { folder, domain } = world;
    domain.close().await;
    let desk = Desk { folder };
    let run = ["--as", "operator", "run", "count", "--purpose", "research", "-o"];
    let absent = desk.folder.path().join("absent/result.csv").display().to_string();
    desk.refused(5, "output/io", &[&run[..], &[&absent]].concat());
    // Nothing was charged: the first run that can be written is not a repeat.
    let result = desk.folder.path().join("result.csv").display().to_string();
    let told = desk.yunei(&[&["--json"], &run[..], &[&result]].concat());
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(json["repeated"], false);
    let left: Vec<_> = fs::read_dir(desk.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
}
