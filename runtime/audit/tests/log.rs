//! What a caller sees of the log: append, read, receipts, verification, and the second process.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use yunei_audit::{
    Checkpoint, Entry, Log, LogError, Receipt, ReceiptBody, ReceiptError, SigningKey, VerifyingKey, commitment,
    receipt_digest,
};

fn key() -> SigningKey {
    SigningKey::from_seed("domain.example/log", [3; 32]).unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

fn entry(n: u64) -> Entry {
    Entry::new("run/released", 1_763_900_000_000 + n as i64, map(json!({ "run": format!("r{n}") }))).unwrap()
}

fn verify(dir: &Path) -> Result<yunei_audit::Verdict, LogError> {
    Log::verify(dir, &key().verifying_key(), &mut |_, _| {})
}

fn new_log() -> (tempfile::TempDir, PathBuf, Log) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key()).unwrap();
    (home, dir, log)
}

#[test]
fn entries_come_back_in_order_and_the_whole_verifies_at_every_size() {
    let (_home, dir, log) = new_log();
    assert_eq!(verify(&dir).unwrap().size(), 0);
    for n in 0..600_u64 {
        let position = log.append(entry(n)).unwrap();
        assert_eq!(position.index(), n);
        if n % 97 == 0 || n == 255 || n == 256 {
            let mut seen = 0;
            let verdict = Log::verify(&dir, &key().verifying_key(), &mut |done, all| {
                assert!(done > seen && done <= all);
                seen = done;
            });
            let verdict = verdict.unwrap();
            assert_eq!((verdict.size(), seen), (n + 1, n + 1));
            assert_eq!(verdict.root_hex(), hex::encode(log.checkpoint().root()));
        }
    }
    assert_eq!(log.size(), 600);
    assert_eq!(log.entry(300).unwrap(), entry(300));
    assert_eq!(log.entry(600).unwrap_err().code(), "audit/no-entry");
    let read: Vec<_> = log.entries(250..9_999).map(Result::unwrap).collect();
    assert_eq!(read.len(), 350);
    assert!(read.iter().all(|(n, e)| *e == entry(*n)));
    assert_eq!(log.position(7).unwrap().index(), 7);
    drop(log);
    let log = Log::open(&dir, key()).unwrap();
    assert_eq!(log.append(entry(600)).unwrap().index(), 600);
    assert_eq!(verify(&dir).unwrap().size(), 601);
    assert_eq!(verify(&dir).unwrap().first_at(), Some(1_763_900_000_000));
}

#[test]
fn a_receipt_proves_its_body_and_nothing_else() {
    let (_home, dir, log) = new_log();
    for n in 0..5 {
        log.append(entry(n)).unwrap();
    }
    let body = map(json!({"run": "r-1", "institution": "某银行", "charge": "0.5", "released": "ab".repeat(32)}));
    let digest = receipt_digest(&body).unwrap();
    let leaf = Entry::new("run/released", 9, map(json!({ "receipt": digest }))).unwrap();
    let recorded = log.record(leaf.clone(), "the value").unwrap();
    assert_eq!(*recorded.get(), "the value");
    assert_eq!(format!("{recorded:?}"), "Recorded { index: 5, .. }");
    for n in 6..300 {
        log.append(entry(n)).unwrap();
    }
    let receipt = log.receipt(recorded.position(), body.clone()).unwrap();
    let text = receipt.to_string();
    insta::assert_snapshot!(text);
    let read = Receipt::parse(text.as_bytes()).unwrap();
    assert_eq!(read, receipt);
    let verified = read.verify(&key().verifying_key()).unwrap();
    assert_eq!((verified.body(), verified.entry(), verified.index()), (&body, &leaf, 5));
    assert_eq!(verified.checkpoint().size(), 300);

    let mut other = body.clone();
    other.insert("charge".into(), json!("0.4"));
    assert_eq!(log.receipt(recorded.position(), other).unwrap_err().code(), "audit/receipt-body");
    let plain = log.position(1).unwrap();
    assert_eq!(log.receipt(&plain, body).unwrap_err().code(), "audit/receipt-body");
    let stranger = SigningKey::from_seed("domain.example/log", [4; 32]).unwrap().verifying_key();
    assert_eq!(Receipt::parse(text.as_bytes()).unwrap().verify(&stranger).unwrap_err(), ReceiptError::Signature);
    drop(log);
    assert_eq!(verify(&dir).unwrap().size(), 300);
}

#[test]
fn every_changed_byte_of_a_receipt_is_noticed() {
    let (_home, _dir, log) = new_log();
    let body = map(json!({"run": "r-1"}));
    let leaf = Entry::new("k", 9, map(json!({ "receipt": receipt_digest(&body).unwrap() }))).unwrap();
    log.append(entry(0)).unwrap();
    let position = log.append(leaf).unwrap();
    log.append(entry(2)).unwrap();
    let text = log.receipt(&position, body).unwrap().to_string().into_bytes();
    let key = key().verifying_key();
    let good = |bytes: &[u8]| Receipt::parse(bytes).is_ok_and(|receipt| receipt.verify(&key).is_ok());
    assert!(good(&text));
    for i in 0..text.len() {
        let mut changed = text.clone();
        changed[i] ^= 1;
        assert!(!good(&changed), "byte {i}");
        assert!(!good(&text[..i]), "cut at {i}");
    }
}

#[test]
fn a_second_process_a_wrong_key_and_a_wrong_folder_are_refused() {
    let (home, dir, log) = new_log();
    log.append(entry(0)).unwrap();
    assert_eq!(Log::open(&dir, key()).unwrap_err().code(), "audit/busy");
    assert_eq!(Log::create(&dir, key()).unwrap_err().code(), "audit/exists");
    let clone = log.clone();
    drop(log);
    assert_eq!(Log::open(&dir, key()).unwrap_err().code(), "audit/busy");
    drop(clone);
    let other = SigningKey::from_seed("domain.example/log", [4; 32]).unwrap();
    assert_eq!(Log::open(&dir, other).unwrap_err().code(), "audit/key");
    assert_eq!(Log::open(&home.path().join("none"), key()).unwrap_err().code(), "audit/absent");
    assert_eq!(verify(&home.path().join("none")).unwrap_err().code(), "audit/absent");
    let wrong: VerifyingKey = SigningKey::generate("domain.example/log").unwrap().verifying_key();
    assert_eq!(Log::verify(&dir, &wrong, &mut |_, _| {}).unwrap_err().code(), "audit/key");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing half-made stays");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .flat_map(|item| {
            let path = item.unwrap().path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn any_changed_byte_of_the_public_folder_is_noticed() {
    let (_home, dir, log) = new_log();
    for n in 0..259 {
        log.append(entry(n)).unwrap();
    }
    drop(log);
    for file in files(&dir.join("public")) {
        // Partial tiles of earlier sizes are no longer part of the newest tree.
        let name = file.to_string_lossy().into_owned();
        if name.contains(".p/") && !name.ends_with("/3") && !name.ends_with("1.p/1") && !name.contains("tile/1/") {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        let step = (bytes.len() / 7).max(1);
        for i in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            fs::write(&file, &changed).unwrap();
            let used = !name.ends_with("001.p/1");
            assert_eq!(verify(&dir).is_err(), used, "{name} byte {i}");
        }
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(verify(&dir).unwrap().size(), 259);
}

#[test]
fn a_restored_lock_or_a_lost_tail_is_refused() {
    let (_home, dir, log) = new_log();
    log.append(entry(0)).unwrap();
    drop(log);
    let old = fs::read(dir.join("private/lock")).unwrap();
    let log = Log::open(&dir, key()).unwrap();
    log.append(entry(1)).unwrap();
    drop(log);
    let new = fs::read(dir.join("private/lock")).unwrap();
    fs::write(dir.join("private/lock"), old).unwrap();
    assert_eq!(Log::open(&dir, key()).unwrap_err().code(), "audit/disagree");
    assert_eq!(verify(&dir).unwrap_err().code(), "audit/disagree");
    fs::write(dir.join("private/lock"), new).unwrap();
    assert_eq!(Log::open(&dir, key()).unwrap().size(), 2);
    fs::remove_file(dir.join("public/tile/entries/000.p/2")).unwrap();
    assert_eq!(verify(&dir).unwrap_err().code(), "audit/damaged");
}

#[test]
fn a_lost_public_folder_is_rebuilt_as_far_as_the_journal_goes_and_a_lost_checkpoint_is_published_again() {
    let (_home, dir, log) = new_log();
    for n in 0..3 {
        log.append(entry(n)).unwrap();
    }
    let expected = log.checkpoint().to_string();
    drop(log);
    for lost in ["public/checkpoint", "public/checkpoint.new"] {
        let _ = fs::remove_file(dir.join(lost));
    }
    let log = Log::open(&dir, key()).unwrap();
    assert_eq!(log.checkpoint().to_string(), expected);
    assert_eq!(fs::read_to_string(dir.join("public/checkpoint")).unwrap(), expected);
    assert!(Checkpoint::parse(expected.as_bytes()).unwrap().verify(&key().verifying_key()).is_ok());
}

#[test]
fn two_handles_in_many_threads_lose_nothing() {
    let (_home, dir, log) = new_log();
    std::thread::scope(|scope| {
        for worker in 0..8_u64 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0..40 {
                    log.append(entry(worker * 1000 + n)).unwrap();
                }
            });
        }
    });
    let mut seen: Vec<_> = log.entries(0..log.size()).map(|e| e.unwrap().1.at_millis()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 320);
    assert_eq!(verify(&dir).unwrap().size(), 320);
}

#[test]
fn the_journal_comes_round_and_entries_of_the_greatest_size_fit() {
    let (_home, dir, log) = new_log();
    let big = |n: i64| {
        let overhead = Entry::new("k", n, map(json!({"s": ""}))).unwrap().bytes().len();
        Entry::new("k", n, map(json!({"s": "x".repeat(65_535 - overhead)}))).unwrap()
    };
    for n in 0..150 {
        log.append(big(n)).unwrap();
    }
    drop(log);
    let log = Log::open(&dir, key()).unwrap();
    assert_eq!(log.entry(149).unwrap(), big(149));
    assert_eq!(verify(&dir).unwrap().size(), 150);
}

#[test]
fn a_commitment_needs_its_salt() {
    assert_ne!(commitment(&[0; 32], b"a"), commitment(&[1; 32], b"a"));
}

#[test]
fn the_private_folder_is_closed_and_leftovers_of_a_killed_creation_go() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    // No process has the highest number that the kernel can give.
    for left in [".log.4194304.new", ".log.x.new", ".other.4194304.new"] {
        fs::create_dir_all(home.path().join(left).join("private")).unwrap();
    }
    drop(Log::create(&dir, key()).unwrap());
    assert_eq!(fs::metadata(dir.join("private")).unwrap().permissions().mode() & 0o777, 0o700);
    let mut names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|i| i.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".log.x.new", ".other.4194304.new", "log"]);
}

#[test]
fn handles_go_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<Log>();
    both::<SigningKey>();
    both::<Receipt>();
    both::<yunei_audit::Archive>();
    both::<yunei_audit::Recorded<u8>>();
}

/// Copies a folder; whether nothing was added, renamed or removed in it meanwhile.
fn copy(from: &Path, to: &Path) -> bool {
    let names = || fs::read_dir(from).unwrap().map(|item| item.unwrap().path()).collect::<BTreeSet<_>>();
    fs::create_dir_all(to).unwrap();
    let before = names();
    let whole = before.iter().all(|item| {
        let target = to.join(item.file_name().unwrap());
        if item.is_dir() { copy(item, &target) } else { fs::copy(item, target).is_ok() }
    });
    whole && names() == before
}

/// The files of a log as a killed process would leave them. Its publisher may be at work: only a copy of one moment counts.
fn left_behind(from: &Path, to: &Path) {
    while !copy(from, to) {
        fs::remove_dir_all(to).unwrap();
    }
}

#[test]
fn the_halves_of_the_journal_bridge_each_other_wherever_the_power_goes() {
    let (home, _dir, log) = new_log();
    let long = |n: u64| {
        let text = "字".repeat(18_000);
        Entry::new("run/released", 1_763_900_000_000 + n as i64, map(json!({ "run": format!("r{n}"), "text": text })))
            .unwrap()
    };
    // 60 entries of 54 KB are three quarters of a half: the halves are turned again and again, at another place each time.
    for round in 0..9_u64 {
        let entries: Vec<_> = (round * 60..(round + 1) * 60).map(|n| (long(n), n)).collect();
        for (recorded, n) in log.record_all(entries).into_iter().zip(round * 60..) {
            let recorded = recorded.unwrap();
            assert_eq!((*recorded.get(), recorded.position().index()), (n, n));
        }
        // What a killed process leaves: the files as they are, whatever the publisher was about to do.
        let left = home.path().join(format!("left{round}"));
        left_behind(&home.path().join("log"), &left);
        let reopened = Log::open(&left, key()).unwrap();
        assert_eq!(reopened.size(), (round + 1) * 60);
        assert_eq!(reopened.entry(round * 60 + 59).unwrap(), long(round * 60 + 59));
        reopened.append(long(9_999)).unwrap();
        drop(reopened);
        assert_eq!(verify(&left).unwrap().size(), (round + 1) * 60 + 1);
        fs::remove_dir_all(left).unwrap();
    }
}

#[test]
fn receipts_that_are_made_together_are_those_that_are_made_one_by_one() {
    let (_home, _dir, log) = new_log();
    let body = |n: u64| map(json!({ "n": n }));
    let entry =
        |n: u64| Entry::new("k", 9, map(json!({ "n": n, "receipt": receipt_digest(&body(n)).unwrap() }))).unwrap();
    let body_of = |n: u64| ReceiptBody::new(body(n)).unwrap();
    // One whose body is another one fails alone.
    let wanted = (0..600).map(|n| (entry(n), body_of(if n == 17 { 18 } else { n }), n)).collect();
    for (n, proven) in (0..600).zip(log.record_proven(wanted)) {
        match n {
            17 => assert_eq!(proven.unwrap_err().code(), "audit/receipt-body"),
            n => {
                let (recorded, receipt) = proven.unwrap();
                assert_eq!((*recorded.get(), recorded.position().index()), (n, n));
                assert_eq!(receipt.to_string(), log.receipt(recorded.position(), body(n)).unwrap().to_string());
                receipt.verify(&key().verifying_key()).unwrap();
            }
        }
    }
}

#[test]
fn entries_of_one_thread_and_of_others_all_stand_where_they_were_told() {
    let (_home, dir, log) = new_log();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let log = &log;
            scope.spawn(move || {
                for round in 0..5_u64 {
                    let numbers = (0..150).map(|n| thread * 10_000 + round * 1_000 + n);
                    let told = log.record_all(numbers.clone().map(|n| (entry(n), n)).collect());
                    let mut last = None;
                    for recorded in told {
                        let recorded = recorded.unwrap();
                        assert!(last < Some(recorded.position().index()), "in their order");
                        last = Some(recorded.position().index());
                        assert_eq!(log.entry(recorded.position().index()).unwrap(), entry(*recorded.get()));
                    }
                }
            });
        }
    });
    assert_eq!(log.record_all::<()>(Vec::new()).len(), 0);
    assert_eq!(verify(&dir).unwrap().size(), 4 * 5 * 150);
}
