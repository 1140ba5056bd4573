//! The log and its witnesses: release waits for them, and a restored backup is noticed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use serde_json::{Map, json};
use yunei_audit::{
    Entry, Log, LogError, Options, Receipt, ReceiptError, SigningKey, Trust, Witness, WitnessKey, WitnessServer,
    WitnessState, receipt_digest, rotate,
};

fn key() -> SigningKey {
    SigningKey::from_seed("domain.example/log", [3; 32]).unwrap()
}

fn witness_key(n: u8) -> SigningKey {
    SigningKey::from_seed(&format!("w{n}.example"), [n; 32]).unwrap()
}

fn entry(n: u64) -> Entry {
    Entry::new("k", n as i64, Map::new()).unwrap()
}

fn serve(dir: &Path, n: u8) -> WitnessServer {
    let state = WitnessState::open(dir, witness_key(n), vec![key().verifying_key()]).unwrap();
    WitnessServer::start(TcpListener::bind("127.0.0.1:0").unwrap(), state).unwrap()
}

fn at(server: &WitnessServer, n: u8) -> Witness {
    Witness::new(WitnessKey::of(&witness_key(n)), &format!("http://{}", server.address())).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        if item.path().is_dir() {
            copy(&item.path(), &to.join(item.file_name()));
        } else {
            fs::copy(item.path(), to.join(item.file_name())).unwrap();
        }
    }
}

#[test]
fn receipts_carry_cosignatures_and_a_quorum_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let servers = [serve(&home.path().join("w1"), 1), serve(&home.path().join("w2"), 2)];
    let options = Options::new(key()).witness(at(&servers[0], 1)).witness(at(&servers[1], 2));
    let log = options.create(&home.path().join("log")).unwrap();
    let mut body = Map::new();
    body.insert("run".into(), json!("r1"));
    let mut fields = Map::new();
    fields.insert("receipt".into(), json!(receipt_digest(&body).unwrap()));
    for n in 0..300 {
        log.append(entry(n)).unwrap();
    }
    let position = log.append(Entry::new("k", 0, fields).unwrap()).unwrap();
    let text = log.receipt(&position, body).unwrap().to_string();
    let trust = Trust::new(key().verifying_key())
        .witness(WitnessKey::of(&witness_key(1)))
        .witness(WitnessKey::of(&witness_key(2)));
    let verified = Receipt::parse(text.as_bytes()).unwrap().verify_with(&trust).unwrap();
    assert_eq!(verified.witnesses(), ["w1.example", "w2.example"]);
    assert!(Receipt::parse(text.as_bytes()).unwrap().verify(&key().verifying_key()).is_ok());
    let third = trust.clone().witness(WitnessKey::of(&witness_key(3)));
    assert_eq!(Receipt::parse(text.as_bytes()).unwrap().verify_with(&third).unwrap_err(), ReceiptError::Witness);
    let two = Receipt::parse(text.as_bytes()).unwrap().verify_with(&third.quorum(2)).unwrap();
    assert_eq!(two.witnesses().len(), 2);
    log.publish().unwrap();
    drop(log);
    assert_eq!(Log::verify_with(&home.path().join("log"), &trust, &mut |_, _| {}).unwrap().size(), 301);
}

#[test]
fn without_the_required_witness_nothing_counts_and_with_it_again_everything_does() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let server = serve(&home.path().join("w"), 1);
    let address = server.address();
    let log = Options::new(key()).witness(at(&server, 1)).create(&dir).unwrap();
    log.append(entry(0)).unwrap();
    drop(server);
    assert_eq!(log.append(entry(1)).unwrap_err().code(), "audit/unwitnessed");
    assert!(!log.is_stopped());
    assert_eq!((log.size(), log.checkpoint().size()), (2, 1));
    assert_eq!(log.position(1).unwrap_err().code(), "audit/unwitnessed");
    let state = WitnessState::open(&home.path().join("w"), witness_key(1), vec![key().verifying_key()]).unwrap();
    let server = WitnessServer::start(TcpListener::bind(address).unwrap(), state).unwrap();
    assert_eq!(log.append(entry(2)).unwrap().index(), 2);
    assert_eq!(log.position(1).unwrap().index(), 1);
    drop(log);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let none = Witness::new(WitnessKey::of(&witness_key(1)), &format!("http://{silent}")).unwrap();
    assert_eq!(Options::new(key()).witness(none).open(&dir).unwrap_err().code(), "audit/unwitnessed");
    // A witness that answers with another key is none.
    let wrong = Witness::new(WitnessKey::of(&witness_key(2)), &format!("http://{}", server.address())).unwrap();
    assert_eq!(Options::new(key()).witness(wrong).open(&dir).unwrap_err().code(), "audit/unwitnessed");
}

#[test]
fn a_restored_backup_and_a_fork_are_noticed_by_the_witness() {
    let home = tempfile::tempdir().unwrap();
    let (dir, backup) = (home.path().join("log"), home.path().join("backup"));
    let server = serve(&home.path().join("w"), 1);
    let open = |dir: &Path| Options::new(key()).witness(at(&server, 1)).open(dir);
    let log = Options::new(key()).witness(at(&server, 1)).create(&dir).unwrap();
    log.append(entry(0)).unwrap();
    drop(log);
    copy(&dir, &backup);
    let log = open(&dir).unwrap();
    log.append(entry(1)).unwrap();
    drop(log);
    // The backup is a good log by itself; only the witness can know that it is old.
    assert_eq!(Log::verify(&backup, &key().verifying_key(), &mut |_, _| {}).unwrap().size(), 1);
    let error = open(&backup).unwrap_err();
    assert!(matches!(error, LogError::Disagree { .. }), "{error}");
    // Grown to the same size and beyond without the witness, it is a fork.
    let log = Log::open(&backup, key()).unwrap();
    log.append(entry(7)).unwrap();
    drop(log);
    assert_eq!(open(&backup).unwrap_err().code(), "audit/disagree");
    Log::open(&backup, key()).unwrap().append(entry(8)).unwrap();
    assert_eq!(open(&backup).unwrap_err().code(), "audit/disagree");
    assert_eq!(open(&dir).unwrap().size(), 2);
}

#[test]
fn a_replaced_key_keeps_old_receipts_good() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let next = || SigningKey::from_seed("domain.example/log", [4; 32]).unwrap();
    let mut body = Map::new();
    body.insert("run".into(), json!("r1"));
    let mut fields = Map::new();
    fields.insert("receipt".into(), json!(receipt_digest(&body).unwrap()));
    let log = Log::create(&dir, key()).unwrap();
    let position = log.append(Entry::new("k", 0, fields).unwrap()).unwrap();
    let old = log.receipt(&position, body.clone()).unwrap().to_string();
    drop(log);
    assert_eq!(Log::open(&dir, next()).unwrap_err().code(), "audit/key");
    let stranger = SigningKey::from_seed("other.example/log", [4; 32]).unwrap();
    assert_eq!(rotate(&dir, key(), stranger, 5).unwrap_err().code(), "audit/key");
    assert_eq!(rotate(&dir, key(), next(), 5).unwrap().index(), 1);
    // With overlap: both keys sign, holders of either verify.
    let log = Options::new(next()).also_sign(key()).unwrap().open(&dir).unwrap();
    assert_eq!(log.entry(1).unwrap().kind(), "log/key");
    let both = log.receipt(&position, body.clone()).unwrap().to_string();
    for key in [key(), next()] {
        assert!(Receipt::parse(both.as_bytes()).unwrap().verify(&key.verifying_key()).is_ok());
    }
    drop(log);
    // After it: only the new one.
    let log = Log::open(&dir, next()).unwrap();
    log.append(entry(2)).unwrap();
    let new = log.receipt(&position, body).unwrap().to_string();
    drop(log);
    let verify = |text: &str, trust: &Trust| Receipt::parse(text.as_bytes()).unwrap().verify_with(trust);
    let trust = Trust::new(next().verifying_key());
    assert_eq!(verify(&old, &trust).unwrap_err(), ReceiptError::Signature);
    let trust = trust.retired(key().verifying_key());
    assert!(verify(&old, &trust).is_ok() && verify(&new, &trust).is_ok());
    assert_eq!(Log::open(&dir, key()).unwrap_err().code(), "audit/key", "the old key is retired");
}

#[test]
fn a_sealed_log_takes_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let log = Log::create(&dir, key()).unwrap();
    log.append(Entry::new("log/sealed", 1, Map::new()).unwrap()).unwrap();
    assert_eq!(log.append(entry(1)).unwrap_err().code(), "audit/sealed");
    drop(log);
    let log = Log::open(&dir, key()).unwrap();
    assert_eq!(log.append(entry(1)).unwrap_err().code(), "audit/sealed");
    assert_eq!(log.size(), 1);
}

#[test]
fn the_server_outlives_whatever_is_sent_to_it() {
    let home = tempfile::tempdir().unwrap();
    let server = serve(&home.path().join("w"), 1);
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        // The server may answer, or hang up, before it has read all of it.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(ask(b"GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
    assert_eq!(ask(b"GET /add-checkpoint HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(ask(b"POST /add-checkpoint HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"), "HTTP/1.1 400 Bad Request");
    for refused in [
        b"".to_vec(),
        b"\xff\xfe".to_vec(),
        b"POST /add-checkpoint HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc".to_vec(),
        b"POST /add-checkpoint HTTP/1.1\r\ncontent-length: 65537\r\n\r\n".to_vec(),
        b"POST /add-checkpoint HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        vec![b'a'; 100_000],
    ] {
        assert_eq!(ask(&refused), "");
    }
    // As many as leave one place, each silent; then a good one.
    let silent: Vec<TcpStream> = (0..15).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let log = Options::new(key()).witness(at(&server, 1)).create(&home.path().join("log")).unwrap();
    assert_eq!(log.append(entry(0)).unwrap().index(), 0);
    drop(silent);
}
