//! A process that is killed loses nothing that it was told is safe.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Map, json};
use yunei_audit::{Checkpoint, Entry, Log, SigningKey};

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

/// All files below a folder with their bytes, by path from it.
fn files(root: &Path, folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files(root, &path, into);
        } else {
            into.insert(path.strip_prefix(root).unwrap().to_path_buf(), fs::read(&path).unwrap());
        }
    }
}

/// After a power failure, what was written since the last flush may be empty, gone, or there, file by
/// file. Only the journal and the lock were synced; from them everything comes back.
#[test]
fn after_a_power_failure_the_tiles_come_back_from_the_journal() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let mut log = Log::create(&dir, key()).unwrap();
    for flushed in [0_u64, 3, 253, 256, 300] {
        while log.size() < flushed {
            log.append(entry(log.size())).unwrap();
        }
        // Opening makes all of it durable and begins the journal anew: the tiles are the only copy.
        drop(log);
        log = Log::open(&dir, key()).unwrap();
        let mut safe = BTreeMap::new();
        files(&dir, &dir.join("public"), &mut safe);
        for _ in 0..12 {
            log.append(entry(log.size())).unwrap();
        }
        let size = log.size();
        // Until the publisher has written it all, unsynced.
        let published = || {
            let text = fs::read_to_string(dir.join("public/checkpoint")).unwrap();
            Checkpoint::parse(text.as_bytes()).unwrap().size()
        };
        while published() < size {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut now = BTreeMap::new();
        files(&dir, &dir, &mut now);
        for lost in ["empty", "gone", "some"] {
            let copy = home.path().join(format!("{flushed}-{lost}"));
            for (n, (path, bytes)) in now.iter().enumerate() {
                let target = copy.join(path);
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                let kept =
                    path.starts_with("private") || safe.get(path) == Some(bytes) || (lost == "some" && n % 2 == 0);
                if kept {
                    fs::write(target, bytes).unwrap();
                } else if lost != "gone" {
                    fs::write(target, b"").unwrap();
                }
            }
            let again = Log::open(&copy, key()).unwrap_or_else(|error| panic!("{flushed} {lost}: {error}"));
            assert_eq!(again.checkpoint(), log.checkpoint());
            drop(again);
            assert_eq!(Log::verify(&copy, &key().verifying_key(), &mut |_, _| {}).unwrap().size(), size);
        }
    }
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
