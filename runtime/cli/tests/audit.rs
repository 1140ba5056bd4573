//! `yunei audit` and `yunei receipt` as a person or a program starts them.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let world = World::new(200).await;
        let text = World::product_text("by-city", SQL, LEAST).replace("epsilon = 5.0", "epsilon = 0.1");
        let text = text.replace("purposes =", "price_class = \"charged\"\npurposes =");
        world.approve("by-city", &text, "operator", &["research"]).await;
        let World { folder, domain } = world;
        domain.close().await;
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn yunei(&self, arguments: &[&str]) -> Output {
        let home = self.path("home");
        Command::new(env!("CARGO_BIN_EXE_yunei"))
            .args(["--home", &home])
            .args(arguments)
            .env("LANG", "en_GB.UTF-8")
            .env_remove("LC_ALL")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let told = self.yunei(&[&["--json"], arguments].concat());
        let out = String::from_utf8(told.stdout).unwrap();
        assert_eq!(told.status.code(), Some(code), "{arguments:?}: {out}{}", String::from_utf8_lossy(&told.stderr));
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("one document of {arguments:?}: {out}"))
    }

    fn text(&self, arguments: &[&str]) -> String {
        let told = self.yunei(arguments);
        assert!(told.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).unwrap()
    }

    fn run(&self, least: &str, more: &[&str]) -> Value {
        let least = format!("least={least}");
        let run = ["--as", "operator", "run", "by-city", "--purpose", "research", "-p", &least];
        self.json(0, &[&run, more].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_metered_and_proven() {
    let desk = Desk::new().await;
    desk.run("1", &[]);
    desk.run("2", &[]);
    desk.run("1", &[]);
    let page = desk.json(0, &["audit", "list", "--outcome", "released", "--institution", "operator", "--last", "1"]);
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    let older = page["before"].to_string();
    let page = desk.json(0, &["audit", "list", "--outcome", "released", "--before", &older]);
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    let index = page["entries"][0]["index"].to_string();
    assert_eq!(desk.json(0, &["audit", "show", &index])["kind"], "run.released");
    assert_eq!(desk.json(4, &["audit", "show", "99999"])["refused"][0]["code"], "audit/no-entry");
    assert_eq!(desk.json(3, &["--as", "operator", "audit", "list"])["refused"][0]["code"], "authorise/role");
    let usage = desk.json(0, &["audit", "usage", "--csv", &desk.path("bill.csv")]);
    assert_eq!((&usage["lines"][0]["billable"], &usage["lines"][0]["repeated"]), (&2.into(), &1.into()));
    let bill = fs::read_to_string(desk.path("bill.csv")).unwrap();
    assert!(bill.starts_with("period,institution,product,purpose,price_class,released,"), "{bill}");
    assert_eq!(desk.json(0, &["audit", "stats", "--kind", "run."])["by_outcome"]["released"], 2);
    for (file, magic) in [("log.jsonl", b"{\"en".as_slice()), ("log.parquet", b"PAR1")] {
        assert!(desk.json(0, &["audit", "export", "-o", &desk.path(file)])["entries"].as_u64().unwrap() > 10);
        assert!(fs::read(desk.path(file)).unwrap().starts_with(magic));
    }
    desk.json(2, &["audit", "export", "-o", &desk.path("log.xlsx")]);
    assert!(desk.text(&["audit", "prove", &index]).starts_with("c2sp.org/tlog-proof@v1\nindex "));
    assert!(desk.text(&["audit", "prove", "--consistency", "5"]).starts_with("old 5\n"));
    for command in ["list", "stats", "usage"] {
        assert!(desk.text(&["audit", command]).contains("run.released") || command == "usage");
        assert!(!desk.text(&["--lang", "zh", "audit", command]).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_receipts_are_checked_without_the_home() {
    let desk = Desk::new().await;
    fs::write(desk.path("early"), desk.text(&["audit", "checkpoint"])).unwrap();
    desk.run("1", &["--receipt", &desk.path("receipt"), "-o", &desk.path("result.csv")]);
    let verdict = desk.json(0, &["audit", "verify", "--against", &desk.path("early")]);
    assert_eq!(verdict["verified"], true);
    let key = desk.path("log.vkey");
    fs::copy(desk.path("home/keys/log.vkey"), &key).unwrap();
    let public = desk.path("home/log/public");
    let elsewhere = |arguments: &[&str]| {
        let told = Command::new(env!("CARGO_BIN_EXE_yunei"))
            .args(["--home", "/nonexistent", "--json"])
            .args(arguments)
            .output()
            .unwrap();
        (told.status.code().unwrap(), serde_json::from_slice::<Value>(&told.stdout).unwrap())
    };
    assert_eq!(elsewhere(&["audit", "verify", "--log", &public, "--key", &key]).0, 0);
    let (receipt, result) = (desk.path("receipt"), desk.path("result.csv"));
    let (code, told) = elsewhere(&["receipt", "verify", &receipt, "--key", &key, "--data", &result]);
    assert_eq!((code, &told["verified"], &told["body"]["outcome"]), (0, &true.into(), &"released".into()));
    fs::write(&result, "city,people\n").unwrap();
    let (code, told) = elsewhere(&["receipt", "verify", &receipt, "--key", &key, "--data", &result]);
    assert_eq!((code, &told["refused"][0]["code"]), (3, &"receipt/data".into()));
    let text = fs::read_to_string(&receipt).unwrap();
    fs::write(&receipt, text.replacen("\"purpose\":\"research\"", "\"purpose\":\"welfare\"", 1)).unwrap();
    let (code, told) = elsewhere(&["receipt", "verify", &receipt, "--key", &key]);
    assert_eq!((code, &told["refused"][0]["code"]), (3, &"receipt/body".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_says_what_differs_and_ends_with_one() {
    let desk = Desk::new().await;
    let run = desk.run("1", &[])["run"].as_str().unwrap().to_owned();
    desk.run("2", &[]);
    let told = desk.json(0, &["audit", "replay", "--all"]);
    assert_eq!((&told["identical"], &told["differing"]), (&2.into(), &0.into()));
    assert!(desk.text(&["audit", "replay", &run]).contains("identical"));
    assert_eq!(desk.json(3, &["--as", "operator", "audit", "replay", &run])["refused"][0]["code"], "authorise/role");
    assert_eq!(desk.json(4, &["audit", "replay", "run-nothing"])["refused"][0]["code"], "registry/not-found");
    let path = desk.path("people.parquet");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let told = desk.json(1, &["audit", "replay", &run]);
    assert_eq!((&told["reports"][0]["identical"], &told["differing"]), (&false.into(), &1.into()));
    let told = desk.yunei(&["audit", "replay", &run]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.code() == Some(1) && text.contains("data files people@1 file 1 of 1"), "{text}");
}

fn serve(desk: &Desk, dir: &str, key: &Path) -> (std::process::Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_yunei"))
        .args(["--lang", "en", "audit", "witness", "--dir", dir, "--listen", "127.0.0.1:0", "--for"])
        .arg(key)
        .current_dir(desk.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut config = String::new();
    for line in lines.by_ref().skip_while(|line| line != "[audit]") {
        config.push_str(&format!("{line}\n"));
        if line.starts_with("url") {
            break;
        }
    }
    (child, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_and_a_new_key_from_the_command_line() {
    let desk = Desk::new().await;
    let (vkey, dir) = (desk.path("home/keys/log.vkey"), desk.path("witness"));
    desk.run("1", &["--receipt", &desk.path("first")]);
    let (mut child, config) = serve(&desk, &dir, Path::new(&vkey));
    let toml = desk.path("home/yunei.toml");
    let own = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, format!("{own}{config}")).unwrap();
    desk.run("2", &["--receipt", &desk.path("second")]);
    let keys = desk.path("keys");
    let witness = config.lines().find_map(|l| l.strip_prefix("key = \"")).unwrap().trim_end_matches('"').to_owned();
    fs::write(&keys, format!("{}{witness}\n", fs::read_to_string(&vkey).unwrap())).unwrap();
    let told = desk.json(0, &["receipt", "verify", &desk.path("second"), "--key", &keys]);
    assert_eq!(told["witnesses"][0], "witness.example/yunei");
    assert_eq!(
        desk.json(3, &["receipt", "verify", &desk.path("first"), "--key", &keys])["refused"][0]["code"],
        "receipt/witness"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let refused = desk.json(5, &["--as", "operator", "run", "by-city", "--purpose", "research", "-p", "least=3"]);
    assert_eq!(refused["refused"][0]["code"], "audit/unwitnessed");
    fs::write(&toml, own).unwrap();

    let old = fs::read_to_string(&vkey).unwrap();
    let told = desk.json(0, &["audit", "rotate-key"]);
    assert_eq!(old.trim(), told["retired"]);
    assert_eq!(desk.json(3, &["audit", "rotate-key"])["refused"][0]["code"], "key/overlap");
    desk.run("4", &["--receipt", &desk.path("fourth")]);
    desk.json(0, &["audit", "end-overlap"]);
    desk.json(3, &["audit", "end-overlap"]);
    for receipt in ["first", "second", "fourth"] {
        desk.json(0, &["receipt", "verify", &desk.path(receipt)]);
    }
    desk.json(0, &["audit", "verify"]);
    assert_eq!(desk.json(0, &["audit", "replay", "--all"])["differing"], 0);
}
