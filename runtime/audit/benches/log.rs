//! The figures of BENCH.md: `cargo bench -p yunei-audit`. A plain program: each figure is a
//! distribution of single measurements, which a statistics harness would average away.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, json};
use yunei_audit::{Archive, Entry, Log, Options, SigningKey, Witness, WitnessKey, WitnessServer, WitnessState};

fn key() -> SigningKey {
    SigningKey::from_seed("bench.example/log", [5; 32]).unwrap()
}

/// An entry of the size that the engine writes: about 500 bytes.
fn entry(n: u64) -> Entry {
    let digest = format!("{n:064x}");
    let fields = json!({
        "run": format!("r-{n}"), "institution": "bank-of-kunming", "product": "risk-by-city@3", "purpose": "credit-research",
        "model": digest, "policy": digest, "plan": digest, "released": digest,
    });
    let serde_json::Value::Object(fields) = fields else { unreachable!() };
    Entry::new("run/released", 1_763_900_000_000 + n as i64, fields).unwrap()
}

struct Times(Vec<Duration>);

impl Times {
    fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    }

    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", self.at(0.5), self.at(0.99), self.at(1.0))
    }
}

fn measure(count: u64, mut step: impl FnMut(u64)) -> Times {
    Times::new(
        (0..count)
            .map(|n| {
                let start = Instant::now();
                step(n);
                start.elapsed()
            })
            .collect(),
    )
}

/// The machine's own: 512 bytes over existing ones, and fdatasync.
fn machine(dir: &Path) -> Times {
    let path = dir.join("machine");
    std::fs::write(&path, vec![0; 4 << 20]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.sync_all().unwrap();
    measure(2000, |n| {
        file.write_all_at(&[1; 512], n * 512 % (4 << 20)).unwrap();
        file.sync_data().unwrap();
    })
}

/// Gives the appends a second and the distribution of their times.
fn many_writers(dir: &Path, writers: u64, each: u64) -> (f64, Times) {
    let log = Log::create(dir, key()).unwrap();
    let start = Instant::now();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..writers)
            .map(|worker| {
                let log = log.clone();
                scope.spawn(move || {
                    measure(each, |n| {
                        log.append(entry(worker * each + n)).unwrap();
                    })
                    .0
                })
            })
            .collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    let took = start.elapsed().as_secs_f64();
    let total = (writers * each) as f64;
    let times = Times::new(times);
    println!("append, {writers:2} writers: {:.0}/s; {times}", total / took);
    log.close().unwrap();
    (total / took, times)
}

/// A figure beside the one that was asked for.
fn asked(what: &str, measured: f64, bound: f64, most: bool) {
    let kept = if most { measured <= bound } else { measured >= bound };
    let sign = if most { "≤" } else { "≥" };
    println!("  {} {what}: {measured:.3}, asked {sign} {bound:.3}", if kept { "kept" } else { "NOT KEPT" });
}

/// A lone writer that waits for a witness on the same machine.
fn witnessed(dir: &Path) {
    let cosigner = SigningKey::from_seed("w.example", [6; 32]).unwrap();
    let witness_key = WitnessKey::of(&cosigner);
    let state = WitnessState::open(&dir.join("witness"), cosigner, vec![key().verifying_key()]).unwrap();
    let server = WitnessServer::start(TcpListener::bind("127.0.0.1:0").unwrap(), state).unwrap();
    let witness = Witness::new(witness_key, &format!("http://{}", server.address())).unwrap();
    let log = Options::new(key()).witness(witness).create(&dir.join("log")).unwrap();
    let times = measure(1000, |n| {
        log.append(entry(n)).unwrap();
    });
    println!("append, a lone writer with a witness: {times}");
}

/// Grows the log to `size` entries with many writers.
fn grow(log: &Log, size: u64) {
    let next = std::sync::atomic::AtomicU64::new(log.size());
    std::thread::scope(|scope| {
        for _ in 0..256 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if n >= size {
                        return;
                    }
                    log.append(entry(n)).unwrap();
                }
            });
        }
    });
}

fn flat(dir: &Path, largest: u64) {
    let log = Log::create(dir, key()).unwrap();
    let mut first = None;
    for size in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        if size > largest {
            break;
        }
        let start = Instant::now();
        let before = log.size();
        grow(&log, size);
        let rate = (size - before) as f64 / start.elapsed().as_secs_f64();
        log.publish().unwrap();
        let alone = measure(1000, |n| {
            log.append(entry(size + n)).unwrap();
        });
        println!("a lone writer at {size:>8} entries: {alone} (grown at {rate:.0}/s by 256 writers)");
        let least = *first.get_or_insert(alone.at(0.5));
        println!("  {:.2} of its p50 at 1,000 entries, beside {}", alone.at(0.5) / least, machine(dir));
        if size == 1_000_000 {
            questions(dir, &log);
        }
    }
}

fn questions(dir: &Path, log: &Log) {
    let size = log.size();
    let proof = measure(2000, |n| {
        log.prove_inclusion(n * 7_919_017 % size).unwrap();
    });
    println!("proof of inclusion among {size}: {proof}");
    asked("p99 of a proof, ms", proof.at(0.99), 1.0, true);
    let mut body = Map::new();
    body.insert("run".into(), "r".into());
    let mut fields = Map::new();
    fields.insert("receipt".into(), yunei_audit::receipt_digest(&body).unwrap().into());
    let position = log.append(Entry::new("k", 0, fields).unwrap()).unwrap();
    let receipt = measure(2000, |_| {
        log.receipt(&position, body.clone()).unwrap();
    });
    println!("a receipt: {receipt}");
    let text = log.receipt(&position, body).unwrap().to_string();
    let public = key().verifying_key();
    let check = measure(2000, |_| {
        yunei_audit::Receipt::parse(text.as_bytes()).unwrap().verify(&public).unwrap();
    });
    println!("checking a receipt: {check}");
    log.publish().unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let verdict = Log::verify(dir, &public, &mut |_, _| {}).unwrap();
        let took = start.elapsed().as_secs_f64();
        println!("verify {} entries: {took:.2} s", verdict.size());
        asked("verification, s", took, 5.0, true);
    }
    let start = Instant::now();
    let archive = Archive::open(dir, &public.into()).unwrap();
    println!("open for reading: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(archive);
}

fn main() {
    // `cargo test --all-targets` runs this too, with nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let largest = std::env::var("YUNEI_BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let home = tempfile::tempdir_in(std::env::var_os("YUNEI_BENCH_DIR").unwrap_or_else(|| ".".into())).unwrap();
    println!("{} bytes an entry", entry(1_000_000).bytes().len());
    let before = machine(home.path());
    println!("the machine: 512 bytes and fdatasync: {before}");
    for (writers, each) in [(1, 4000), (8, 2000), (64, 2000)] {
        let (rate, times) = many_writers(&home.path().join(format!("writers-{writers}")), writers, each);
        // What the machine does between two figures is part of both: the yardstick is measured on either side.
        let after = machine(home.path());
        let fsync = |share: f64| before.at(share).max(after.at(share));
        match writers {
            1 => asked("p50 in the machine's fsync", times.at(0.5) / fsync(0.5), 4.0, true),
            64 => {
                asked("appends a second", rate, 10_000.0, false);
                asked("p99, ms", times.at(0.99), 50.0 + 3.0 * fsync(0.99), true);
            }
            _ => {}
        }
    }
    witnessed(&home.path().join("witnessed"));
    println!("the machine again: {}", machine(home.path()));
    flat(&home.path().join("flat"), largest);
}
