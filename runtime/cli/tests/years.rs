//! The log of a year at the command line: sealed, killed while it is sealed, moved; and the log's SM2 key.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use yunei_engine::Domain;

/// 2025-06-01: by the machine's clock that year is over.
const LONG_AGO: i64 = 1_748_736_000_000;

async fn home(folder: &Path) -> PathBuf {
    let root = folder.join("home");
    Domain::create(&root, "test.example/domain", None, Arc::new(|| LONG_AGO)).await.unwrap().close().await;
    root
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yunei"));
    command
        .arg("--home")
        .arg(home)
        .args(arguments)
        .env("LANG", "en_GB.UTF-8")
        .env_remove("LC_ALL")
        .stdin(Stdio::null());
    command
}

fn yunei(home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).output().unwrap()
}

fn json(home: &Path, code: i32, arguments: &[&str]) -> Value {
    let told = yunei(home, &[&["--json"], arguments].concat());
    let out = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(code), "{arguments:?}: {out}{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("one document of {arguments:?}: {out}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_sealed_and_read_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let root = home(folder.path()).await;
    let early = folder.path().join("early");
    fs::write(&early, yunei(&root, &["audit", "checkpoint"]).stdout).unwrap();
    assert_eq!(json(&root, 3, &["--as", "holder", "audit", "seal"])["refused"][0]["code"], "authorise/role");
    let logs = json(&root, 0, &["audit", "seal"]);
    assert_eq!((&logs["logs"][1]["year"], &logs["logs"][1]["state"]), (&"2025".into(), &"sealed".into()));
    assert_eq!(json(&root, 3, &["audit", "seal"])["refused"][0]["code"], "retention/year-not-over");
    let verdict = json(&root, 0, &["audit", "verify", "--against", early.to_str().unwrap()]);
    assert_eq!((&verdict["years"][0]["year"], &verdict["sm2"]), (&"2025".into(), &"no_key".into()));
    assert_eq!(json(&root, 0, &["audit", "show", "0", "--year", "2025"])["kind"], "institution.added");
    assert_eq!(json(&root, 0, &["audit", "show", "0"])["kind"], "log/opened");
    assert_eq!(json(&root, 4, &["audit", "show", "0", "--year", "2019"])["refused"][0]["code"], "registry/not-found");
    assert!(json(&root, 0, &["audit", "list", "--year", "2025"])["size"].as_u64().unwrap() > 1);
    let export = folder.path().join("log.jsonl");
    json(&root, 0, &["audit", "export", "--year", "2025", "-o", export.to_str().unwrap()]);
    assert!(fs::read_to_string(export).unwrap().contains("log/sealed"));
    let to = folder.path().join("away");
    let refused = json(&root, 3, &["audit", "move", "2025", to.to_str().unwrap()]);
    assert_eq!(refused["refused"][0]["code"], "retention/too-young");
    for (lang, words) in [("en", ["sealed", "follow one another"]), ("zh", ["已封存", "首尾相接"])] {
        let told = |arguments: &[&str]| {
            let out = yunei(&root, &[&["--lang", lang], arguments].concat());
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
        };
        assert!(told(&["audit", "logs"]).contains(words[0]), "{}", told(&["audit", "logs"]));
        assert!(told(&["audit", "verify"]).contains(words[1]), "{}", told(&["audit", "verify"]));
    }
    // A copy of the sealed log alone, on another machine, with the list of keys.
    let keys = root.join("keys/log.vkey");
    let (log, keys) = (root.join("logs/2025/public"), keys.to_str().unwrap().to_owned());
    let verdict =
        json(Path::new("/nonexistent"), 0, &["audit", "verify", "--log", log.to_str().unwrap(), "--key", &keys]);
    assert_eq!(verdict["verified"], true);
    // Taken away, it is missed.
    fs::rename(root.join("logs/2025"), folder.path().join("stolen")).unwrap();
    assert_eq!(json(&root, 5, &["audit", "verify"])["refused"][0]["code"], "audit/disagree");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_the_sealing_nothing_is_lost() {
    const KILLS: u32 = 12;
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let whole = home(&folder.path().join("whole")).await;
    json(&whole, 0, &["audit", "seal"]);
    let whole = began.elapsed();
    let mut sealed = 0;
    for n in 0..KILLS {
        let root = home(&folder.path().join(n.to_string())).await;
        let mut child = command(&root, &["audit", "seal"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(
            u64::try_from(whole.as_micros()).unwrap() / u64::from(KILLS) * u64::from(n),
        ));
        let _ = child.kill();
        child.wait().unwrap();
        // The next opening of the home goes on from there.
        let size = json(&root, 0, &["audit", "list"])["size"].as_u64().unwrap();
        let verdict = json(&root, 0, &["audit", "verify"]);
        let years = verdict["years"].as_array().unwrap().len();
        assert_eq!(verdict["size"], size);
        if years == 0 {
            json(&root, 0, &["audit", "seal"]);
        }
        sealed += years;
        let verdict = json(&root, 0, &["audit", "verify"]);
        assert_eq!(verdict["years"].as_array().unwrap().len(), 1, "kill {n}");
        assert_eq!(verdict["years"][0]["size"], 5, "four institutions and the seal, kill {n}");
    }
    assert!(sealed <= KILLS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sm2_key_signs_where_it_can_and_is_never_left_out_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("home");
    if !yunei_engine::has_sm2() {
        assert_eq!(json(&root, 5, &["init", "--sm2"])["refused"][0]["code"], "key/sm2-unsupported");
        assert!(!root.exists());
        json(&root, 0, &["init"]);
        assert_eq!(json(&root, 5, &["audit", "add-sm2-key"])["refused"][0]["code"], "key/sm2-unsupported");
        fs::write(root.join("keys/log.sm2.key"), "x").unwrap();
        assert_eq!(json(&root, 5, &["audit", "list"])["refused"][0]["code"], "key/sm2-unsupported");
        return;
    }
    let made = json(&root, 0, &["init", "--sm2"]);
    assert!(made["sm2_key"].as_str().unwrap().starts_with("domain.example/yunei+"));
    json(&root, 0, &["audit", "list"]);
    assert_eq!(json(&root, 0, &["audit", "verify"])["sm2"], "absent", "the empty log is older than the key");
    assert_eq!(json(&root, 3, &["audit", "verify", "--require-sm2"])["refused"][0]["code"], "audit/sm2");
    json(&root, 0, &["institution", "add", "second", "--role", "holder", "--zh", "二", "--en", "two"]);
    assert_eq!(json(&root, 0, &["audit", "verify", "--require-sm2"])["sm2"], "verified");
    assert_eq!(json(&root, 3, &["audit", "add-sm2-key"])["refused"][0]["code"], "key/exists");
    // Sealed with it, and the next log has an SM2 key of its own.
    let root = home(&folder.path().join("old")).await;
    json(&root, 0, &["audit", "add-sm2-key"]);
    json(&root, 0, &["audit", "seal"]);
    let verdict = json(&root, 0, &["audit", "verify", "--require-sm2"]);
    assert_eq!((&verdict["sm2"], &verdict["years"][0]["sm2"]), (&"verified".into(), &"verified".into()));
    assert!(!root.join("keys/log.sm2.successor.key").exists() && !root.join("keys/log.sm2.retired.key").exists());
    assert_eq!(fs::read_to_string(root.join("keys/log.vkey")).unwrap().lines().count(), 4);
}
