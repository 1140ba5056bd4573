//! A process that is killed loses nothing that it was told is safe.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Map, json};
use yunei_audit::{Entry, Log, SigningKey};

fn key() -> SigningKey {
    SigningKey::from_seed("domain.example/log", [3; 32]).unwrap()
}

fn entry(n: u64) -> Entry {
    let mut fields = Map::new();
    fields.insert("n".into(), json!(n));
    fields.insert("pad".into(), json!("x".repeat((n % 7) as usize * 300)));
    Entry::new("run/released", n as i64, fields).unwrap()
}

/// The victim: appends from four threads for ever and prints every index it was given.
fn victim(dir: &Path) -> ! {
    let log = if dir.exists() { Log::open(dir, key()).unwrap() } else { Log::create(dir, key()).unwrap() };
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let log = &log;
            scope.spawn(move || {
                for n in 0.. {
                    let n = worker * 1_000_000 + n;
                    let index = log.append(entry(n)).unwrap().index();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "{index} {n}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
    unreachable!()
}

#[test]
fn killed_at_any_moment_the_log_opens_verifies_and_has_every_acknowledged_entry() {
    if let Some(dir) = std::env::var_os("YUNEI_AUDIT_VICTIM") {
        victim(Path::new(&dir));
    }
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let mut acknowledged: Vec<(u64, u64)> = Vec::new();
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "killed_at_any_moment_the_log_opens_verifies_and_has_every_acknowledged_entry",
                "--nocapture",
            ])
            .env("YUNEI_AUDIT_VICTIM", &dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Wait for the first acknowledgement, then a different while each round.
        let reader = std::thread::spawn(move || {
            let pairs = lines.map_while(Result::ok).filter_map(|line| {
                let (index, n) = line.split_once(' ')?;
                Some((index.parse().ok()?, n.parse().ok()?))
            });
            pairs.collect::<Vec<(u64, u64)>>()
        });
        std::thread::sleep(Duration::from_millis(50 + round * 23));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());
        if dir.exists() {
            let verdict = Log::verify(&dir, &key().verifying_key(), &mut |_, _| {}).unwrap();
            let log = Log::open(&dir, key()).unwrap();
            assert_eq!(verdict.size(), log.size());
            let entries: Vec<Entry> = log.entries(0..u64::MAX).map(|entry| entry.unwrap().1).collect();
            for (index, n) in &acknowledged {
                assert_eq!(entries[*index as usize], entry(*n), "round {round}");
            }
        }
    }
    assert!(acknowledged.len() > 100, "the victims did append: {}", acknowledged.len());
}
