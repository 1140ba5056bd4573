//! Reading beside a running writer, export, counts, and the yearly change of logs.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};
use tlog_tiles::Hash;
use yunei_audit::{
    Archive, Entry, Filter, Log, LogError, Notice, Options, Previous, RETENTION_MILLIS, SigningKey, Trust, move_log,
    receipt_digest, sealed_for, succeed,
};

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, [3; 32]).unwrap()
}

fn trust(name: &str) -> Trust {
    key(name).verifying_key().into()
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

fn entry(n: u64) -> Entry {
    let kind = if n.is_multiple_of(3) { "run/refused" } else { "run/released" };
    let fields = json!({ "institution": format!("i{}", n % 5), "datasets": ["a", format!("d{}", n % 2)] });
    Entry::new(kind, 1000 + n as i64, map(fields)).unwrap()
}

#[test]
fn reading_goes_on_while_the_log_is_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key("a")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Entries of 20 kB, so that the journal comes round several times.
            let pad = "x".repeat(20_000);
            for n in 0..900_u64 {
                let fields = map(json!({ "n": n, "pad": pad }));
                log.append(Entry::new("k", n as i64, fields).unwrap()).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut last = 0;
        while !done.load(Ordering::SeqCst) {
            let archive = Archive::open(&dir, &trust("a")).unwrap();
            assert!(archive.size() >= last);
            last = archive.size();
            if last > 0 {
                assert_eq!(archive.entry(last - 1).unwrap().at_millis(), last as i64 - 1);
                assert_eq!(archive.entry(0).unwrap().at_millis(), 0);
            }
            assert!(Log::verify(&dir, &key("a").verifying_key(), &mut |_, _| {}).unwrap().size() >= last);
        }
    });
    drop(log);
    let verdict = Log::verify(&dir, &key("a").verifying_key(), &mut |_, _| {}).unwrap();
    assert_eq!((verdict.size(), verdict.published(), verdict.clock_steps_back()), (900, 900, 0));
}

#[test]
fn every_proof_between_any_two_sizes_holds() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key("a")).unwrap();
    let mut roots = vec![*log.checkpoint().root()];
    for n in 0..300 {
        log.append(entry(n)).unwrap();
        roots.push(*log.checkpoint().root());
    }
    let archive = Archive::open(&dir, &trust("a")).unwrap();
    for old in (1..=300_u64).step_by(23).chain([255, 256, 257, 300]) {
        for new in (old..=300).step_by(31).chain([300]) {
            let proof = archive.prove_consistency(old, new).unwrap().into_iter().map(Hash).collect();
            tlog_tiles::check_tree(&proof, new, Hash(roots[new as usize]), old, Hash(roots[old as usize])).unwrap();
        }
        let (proof, checkpoint) = log.prove_consistency(old).unwrap();
        let proof = proof.into_iter().map(Hash).collect();
        tlog_tiles::check_tree(&proof, 300, Hash(*checkpoint.root()), old, Hash(roots[old as usize])).unwrap();
    }
    for (old, new) in [(0, 5), (6, 5), (1, 301)] {
        assert!(matches!(archive.prove_consistency(old, new), Err(LogError::NoEntry)));
    }
    for index in [0, 255, 256, 299] {
        let proof = archive.prove_inclusion(index).unwrap();
        assert!(proof.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")));
        assert_eq!(log.prove_inclusion(index).unwrap(), proof);
    }
    assert_eq!(archive.prove_inclusion(300).unwrap_err().code(), "audit/no-entry");
}

#[test]
fn export_and_counts_follow_the_filter() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key("a")).unwrap();
    for n in 0..30 {
        log.append(entry(n)).unwrap();
    }
    let archive = Archive::open(&dir, &trust("a")).unwrap();
    let all = archive.stats(&Filter::new()).unwrap();
    assert_eq!((all.entries(), all.first_at(), all.last_at()), (30, Some(1000), Some(1029)));
    assert_eq!(
        all.by_kind().iter().map(|(k, n)| (k.as_str(), *n)).collect::<Vec<_>>(),
        [("run/refused", 10), ("run/released", 20)]
    );
    let some = Filter::new().kind("run/rel").field("institution", "i1").field("datasets", "d1").from(1005).until(1020);
    let mut out = Vec::new();
    assert_eq!(archive.export_jsonl(0..u64::MAX, &some, &mut out).unwrap(), 1);
    let line: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(line["index"], 11);
    assert_eq!(line["entry"]["fields"]["institution"], "i1");
    assert_eq!(line["leaf"].as_str().unwrap().len(), 64);
    let mut out = Vec::new();
    assert_eq!(archive.export_jsonl(10..20, &Filter::new(), &mut out).unwrap(), 10);
    assert!(out.ends_with(b"\"}\n"));
}

#[test]
fn a_receipt_can_be_made_again_from_the_archive() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key("a")).unwrap();
    let body = map(json!({"run": "r"}));
    let fields = map(json!({ "receipt": receipt_digest(&body).unwrap() }));
    let position = log.append(Entry::new("k", 0, fields).unwrap()).unwrap();
    let archive = Archive::open(&dir, &trust("a")).unwrap();
    let receipt = archive.receipt(&archive.position(0).unwrap(), body.clone()).unwrap();
    assert_eq!(receipt, log.receipt(&position, body).unwrap());
    assert!(receipt.verify(&key("a").verifying_key()).is_ok());
}

#[test]
fn a_log_is_succeeded_once_and_moved_only_after_three_years() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let old = Log::create(&at("2026"), key("a/2026")).unwrap();
    old.append(Entry::new("k", 7_000, Map::new()).unwrap()).unwrap();
    let follow =
        |old: &Log| succeed(old, Options::new(key("a/2027")), &key("a/2027").verifying_key(), &at("2027"), "me", 5_000);
    let new = follow(&old).unwrap();
    assert_eq!(old.append(Entry::new("k", 0, Map::new()).unwrap()).unwrap_err().code(), "audit/sealed");
    let sealed = old.entry(1).unwrap();
    assert_eq!((sealed.kind(), sealed.fields()["by"].as_str()), ("log/sealed", Some("me")));
    let opened = new.entry(0).unwrap();
    assert_eq!(opened.fields()["previous"]["size"], 2);
    assert_eq!(opened.fields()["previous"]["root"], hex::encode(old.checkpoint().root()));
    drop(new);
    let new = follow(&old).unwrap();
    assert_eq!((old.size(), new.size()), (2, 1), "a second call changes nothing");

    let go = |now: i64, to: &Path| move_log(&new, &at("2026"), &trust("a/2026"), to, notice("档案室", now));
    assert_eq!(go(i64::MAX / 2, &at("old")).unwrap_err().code(), "audit/busy");
    drop(old);
    // The clock was set back between the two entries; the later time is what counts.
    assert_eq!(go(7_000 + RETENTION_MILLIS - 1, &at("old")).unwrap_err().code(), "audit/retained");
    assert_eq!(go(7_000 + RETENTION_MILLIS, &at("2027")).unwrap_err().code(), "audit/exists");
    assert_eq!(go(7_000 + RETENTION_MILLIS, &at("old")).unwrap().index(), 1);
    assert_eq!(new.entry(1).unwrap().fields()["place"], "档案室");
    assert!(!at("2026").exists());
    let verdict = Log::verify_with(&at("old"), &trust("a/2026"), &mut |_, _| {}).unwrap();
    assert_eq!((verdict.size(), verdict.clock_steps_back(), verdict.newest_at()), (2, 1, Some(7_000)));
    assert_eq!(
        move_log(&new.clone(), &at("2027"), &trust("a/2027"), &at("x"), notice("", i64::MAX / 2)).unwrap_err().code(),
        "audit/busy"
    );
}

fn notice(place: &str, now_millis: i64) -> Notice<'_> {
    Notice { place, by: "me", now_millis }
}

#[test]
fn a_move_that_was_cut_short_is_finished_with_one_entry() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let old = Log::create(&at("2026"), key("a/2026")).unwrap();
    let next = key("a/2027").verifying_key();
    let new = succeed(&old, Options::new(key("a/2027")), &next, &at("2027"), "me", 5_000).unwrap();
    drop(old);
    // On another file system nothing is told and nothing moved.
    let elsewhere = Path::new("/proc/self/fd").join("2026");
    let go = |to: &Path| move_log(&new, &at("2026"), &trust("a/2026"), to, notice("x", 5_000 + RETENTION_MILLIS));
    assert_eq!(go(&elsewhere).unwrap_err().code(), "audit/disk");
    assert_eq!(new.size(), 1);
    // As after a kill between the entry and the rename.
    let first = go(&at("old")).unwrap();
    std::fs::rename(at("old"), at("2026")).unwrap();
    assert_eq!(go(&at("old")).unwrap().index(), first.index());
    assert_eq!(new.size(), 2);
}

#[test]
fn neither_of_two_years_can_be_replaced_without_the_other() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let make = |dir: &str, kind: &str, next: &str| {
        let old = Log::create(&at(dir), key("a/2026")).unwrap();
        old.append(Entry::new(kind, 1, Map::new()).unwrap()).unwrap();
        let follows = key(next).verifying_key();
        succeed(&old, Options::new(key(next)), &follows, &at(&format!("{dir}-next")), "me", 2).unwrap()
    };
    let (new, other) = (make("true", "k", "a/2027"), make("forged", "other", "a/2027"));
    let elsewhere = make("elsewhere", "k", "a/2028");
    let read = |dir: &str| Archive::open(&at(dir), &trust("a/2026")).unwrap();
    let previous = Previous::of(&new.entry(0).unwrap()).unwrap();
    assert_eq!((previous.origin(), previous.size()), ("a/2026", 2));
    previous.check(&read("true"), &trust("a/2027")).unwrap();
    assert_eq!(sealed_for(&read("true")).unwrap(), Some(key("a/2027").verifying_key()));
    for (log, next) in [("forged", "a/2027"), ("elsewhere", "a/2027"), ("true", "a/2028")] {
        assert_eq!(previous.check(&read(log), &trust(next)).unwrap_err().code(), "audit/disagree", "{log} {next}");
    }
    let of_other = Previous::of(&other.entry(0).unwrap()).unwrap();
    assert_eq!(of_other.check(&read("true"), &trust("a/2027")).unwrap_err().code(), "audit/disagree");
    assert!(Previous::of(&elsewhere.entry(0).unwrap()).is_some());
    let plain = Log::create(&at("plain"), key("p")).unwrap();
    plain.append(entry(1)).unwrap();
    assert_eq!(Previous::of(&plain.entry(0).unwrap()), None);
    assert_eq!(sealed_for(&Archive::open(&at("plain"), &trust("p")).unwrap()).unwrap(), None);
}

#[test]
fn a_follower_needs_only_the_public_folder_and_the_checkpoint_it_kept() {
    let home = tempfile::tempdir().unwrap();
    let (dir, other) = (home.path().join("log"), home.path().join("other"));
    let log = Log::create(&dir, key("a")).unwrap();
    let fork = Log::create(&other, key("a")).unwrap();
    let mut kept = vec![log.checkpoint()];
    for n in 0..260 {
        log.append(entry(n)).unwrap();
        fork.append(entry(if n == 5 { 6 } else { n })).unwrap();
        kept.push(log.checkpoint());
    }
    log.publish().unwrap();
    fork.publish().unwrap();
    let public = log.public_folder();
    let verdict = Log::verify_public(&public, &trust("a"), &mut |_, _| {}).unwrap();
    assert_eq!((verdict.size(), verdict.published()), (260, 260));
    let archive = Archive::open_public(&public, &trust("a")).unwrap();
    assert_eq!(archive.entry(5).unwrap(), entry(5));
    for checkpoint in &kept {
        archive.extends(checkpoint, &trust("a")).unwrap();
    }
    let forked = Archive::open_public(&fork.public_folder(), &trust("a")).unwrap();
    assert!(forked.extends(&kept[5], &trust("a")).is_ok(), "the same until then");
    assert_eq!(forked.extends(&kept[6], &trust("a")).unwrap_err().code(), "audit/disagree");
    assert_eq!(forked.extends(&kept[260], &trust("a")).unwrap_err().code(), "audit/disagree");
    assert_eq!(
        archive
            .extends(&Log::create(&home.path().join("b"), key("b")).unwrap().checkpoint(), &trust("a"))
            .unwrap_err()
            .code(),
        "audit/key"
    );
    log.append(entry(260)).unwrap();
    assert_eq!(
        archive.extends(&log.checkpoint(), &trust("a")).unwrap_err().code(),
        "audit/disagree",
        "the copy is older"
    );
    assert_eq!(Archive::open_public(home.path(), &trust("a")).unwrap_err().code(), "audit/absent");
}
