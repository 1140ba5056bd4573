//! What somebody with a stolen disk image, or the operator of the domain, might try with texts and files.
#![allow(clippy::unwrap_used)]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use yunei_audit::{
    Archive, Checkpoint, CheckpointError, Entry, Log, Options, Receipt, ReceiptError, SigningKey, Trust, receipt_digest,
};

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed("a", [n; 32]).unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

/// A log in which every entry has a receipt, and its receipts.
fn log_with_receipts(dir: &std::path::Path, many: u64) -> Vec<String> {
    let log = Log::create(dir, key(1)).unwrap();
    let mut positions = Vec::new();
    for n in 0..many {
        let body = map(json!({ "run": format!("r-{n}") }));
        let fields = map(json!({ "receipt": receipt_digest(&body).unwrap() }));
        positions.push((log.append(Entry::new("k", n as i64, fields).unwrap()).unwrap(), body));
    }
    positions.into_iter().map(|(position, body)| log.receipt(&position, body).unwrap().to_string()).collect()
}

fn verdict(text: &str) -> Result<(), ReceiptError> {
    Receipt::parse(text.as_bytes())?.verify(&key(1).verifying_key()).map(drop)
}

#[test]
fn no_part_of_a_receipt_serves_in_another() {
    let home = tempfile::tempdir().unwrap();
    let receipts = log_with_receipts(&home.path().join("log"), 21);
    let parts = |text: &str| {
        let (head, proof) = text.split_once("\n\n").unwrap();
        let lines: Vec<String> = head.lines().map(str::to_owned).collect();
        let (path, checkpoint) = proof.split_once("\n\n").unwrap();
        let (index, hashes) = path.split_once('\n').unwrap().1.split_once('\n').unwrap();
        (lines[1].clone(), lines[2].clone(), index.to_owned(), hashes.to_owned(), checkpoint.to_owned())
    };
    let build = |(body, entry, index, hashes, checkpoint): (String, String, String, String, String)| {
        format!("yunei.receipt@v1\n{body}\n{entry}\n\nc2sp.org/tlog-proof@v1\n{index}\n{hashes}\n\n{checkpoint}")
    };
    let (mine, other) = (parts(&receipts[4]), parts(&receipts[13]));
    assert_eq!(verdict(&build(mine.clone())), Ok(()));
    let mut forged = mine.clone();
    forged.0.clone_from(&other.0);
    assert_eq!(verdict(&build(forged)), Err(ReceiptError::Body));
    for part in 1..4 {
        let mut forged = mine.clone();
        match part {
            1 => (forged.0, forged.1) = (other.0.clone(), other.1.clone()),
            2 => forged.2.clone_from(&other.2),
            _ => forged.3.clone_from(&other.3),
        }
        assert_eq!(verdict(&build(forged)), Err(ReceiptError::Proof), "part {part}");
    }
    // A good checkpoint of the same log at another size.
    let earlier = log_with_receipts(&home.path().join("earlier"), 9);
    let mut forged = mine;
    forged.4 = parts(&earlier[4]).4;
    assert_eq!(verdict(&build(forged)), Err(ReceiptError::Proof));
}

#[test]
fn one_meaning_has_one_spelling_in_body_and_entry() {
    let home = tempfile::tempdir().unwrap();
    let receipt = log_with_receipts(&home.path().join("log"), 3).remove(1);
    let body = "{\"run\":\"r-1\"}";
    assert!(receipt.contains(body));
    for spelled in [
        "{\"run\": \"r-1\"}",
        "{\"run\":\"r-0\",\"run\":\"r-1\"}",
        "{\"run\":\"r-1\",\"run\":\"r-1\"}",
        "{\"run\":\"\\u0072-1\"}",
        "{\"run\":\"r-1\"} ",
        "\u{feff}{\"run\":\"r-1\"}",
        "{\"n\":1e400,\"run\":\"r-1\"}",
        "{\"n\":9007199254740993,\"run\":\"r-1\"}",
        "{\"n\":1.0,\"run\":\"r-1\"}",
        "{\"n\":-0,\"run\":\"r-1\"}",
        "{\"run\":\"r-1\",\"a\":1}",
        "{\"run\":\"\\ud800\"}",
        "[\"r-1\"]",
        "null",
    ] {
        let forged = receipt.replacen(body, spelled, 1);
        assert_eq!(verdict(&forged), Err(ReceiptError::Form), "{spelled}");
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    assert_eq!(verdict(&receipt.replacen(body, &deep, 1)), Err(ReceiptError::Form));
    let long = format!("{{\"n\":{}}}", "9".repeat(100_000));
    assert_eq!(verdict(&receipt.replacen(body, &long, 1)), Err(ReceiptError::Form));
    for (from, to) in
        [("\"v\":1}", "\"v\":1,\"v\":1}"), ("\"at\":1,", "\"at\":01,"), ("\"kind\":\"k\"", "\"kind\":\"K\"")]
    {
        assert!(receipt.contains(from));
        assert_eq!(verdict(&receipt.replacen(from, to, 1)), Err(ReceiptError::Form), "{to}");
    }
    for (from, to) in
        [("index 1\n", "index 01\n"), ("index 1\n", "index 18446744073709551617\n"), ("index 1\n", "index -1\n")]
    {
        assert_eq!(verdict(&receipt.replacen(from, to, 1)), Err(ReceiptError::Form), "{to}");
    }
}

#[test]
fn a_bad_line_of_a_retired_key_spoils_a_checkpoint_that_the_new_key_signed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Options::new(key(2)).also_sign(key(1)).unwrap().create(&dir).unwrap();
    log.append(Entry::new("k", 1, Map::new()).unwrap()).unwrap();
    let text = log.checkpoint().to_string();
    let trust = Trust::new(key(2).verifying_key()).retired(key(1).verifying_key());
    assert!(trust.check(&log.checkpoint()).is_ok());
    let lines: Vec<&str> = text.lines().collect();
    for at in [4, 5] {
        let (name, data) = lines[at].rsplit_once(' ').unwrap();
        let mut bytes = STANDARD.decode(data).unwrap();
        bytes[40] ^= 1;
        let mut forged: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        forged[at] = format!("{name} {}", STANDARD.encode(bytes));
        let forged = Checkpoint::parse(format!("{}\n", forged.join("\n")).as_bytes()).unwrap();
        assert_eq!(trust.check(&forged), Err(CheckpointError::Signature), "line {at}");
    }
    // A line of a key that nobody knows is passed over, whatever stands in it.
    let unknown = SigningKey::from_seed("other", [9; 32]).unwrap().verifying_key();
    let line = format!("\u{2014} other {}\n", STANDARD.encode([&unknown.id().to_be_bytes()[..], &[7; 64]].concat()));
    assert!(trust.check(&Checkpoint::parse(format!("{text}{line}").as_bytes()).unwrap()).is_ok());
    // Another origin over the same signatures, and a size written otherwise.
    for (from, to) in [("a\n1\n", "b\n1\n"), ("a\n1\n", "a\n2\n"), ("a\n1\n", "a\n01\n"), ("a\n1\n", "a\n1\n\n")] {
        let forged = Checkpoint::parse(text.replacen(from, to, 1).as_bytes());
        assert!(forged.is_err() || trust.check(&forged.unwrap()).is_err(), "{to:?}");
    }
}

#[test]
fn a_tile_or_bundle_that_was_cut_or_lengthened_is_never_read_as_whole() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key(1)).unwrap();
    for n in 0..300 {
        log.append(Entry::new("k", n, Map::new()).unwrap()).unwrap();
    }
    log.close().unwrap();
    let (public, trust) = (dir.join("public"), Trust::new(key(1).verifying_key()));
    for name in ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"] {
        let path = public.join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = vec![Vec::new(), whole[..1].to_vec(), whole[..whole.len() - 1].to_vec()];
        changed.push(whole[..whole.len() / 64 * 32].to_vec());
        changed.push([&whole[..], &[0]].concat());
        changed.push([&whole[..], &whole[..32.min(whole.len())]].concat());
        for bytes in changed {
            fs::write(&path, &bytes).unwrap();
            let told = Log::verify_public(&public, &trust, &mut |_, _| {});
            assert!(told.is_err(), "{name} of {} bytes instead of {}", bytes.len(), whole.len());
            // Whatever a reader still gives of it is what was signed.
            if let Ok(archive) = Archive::open_public(&public, &trust) {
                for index in [0, 255, 256, 299] {
                    assert!(archive.entry(index).is_err() || archive.entry(index).unwrap().at_millis() == index as i64);
                }
            }
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(Log::verify_public(&public, &trust, &mut |_, _| {}).unwrap().size(), 300);
}
