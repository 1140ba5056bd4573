//! Measures verification: the index, the look-up, its timing, and whole verifications in one process.
//!
//! A plain program, so that every figure is a distribution of single measurements. `YUNEI_BENCH_SUBJECTS` subjects
//! (10,000,000), in the folder `YUNEI_BENCH_DIR` (a temporary one). What it prints stands in `BENCH-verification.md`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use yunei_engine::verify::measure::Synthetic;
use yunei_engine::{Clock, ConsentAlgorithm, ConsentSigner, ConsentTerms, Domain, GrantRequest, VerifyRequest};
use yunei_policy::Text;
use yunei_policy::words::State;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn main() {
    let subjects = setting("YUNEI_BENCH_SUBJECTS", 10_000_000);
    let kept = std::env::var("YUNEI_BENCH_DIR").map(PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let folder = kept.unwrap_or_else(|_| folder.path().to_owned());
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    fsync(&folder);
    synthetic(&folder, subjects);
    runtime.block_on(async {
        let domain = Arc::new(town(&folder, subjects).await);
        verifications(&domain).await;
    });
}

fn percentile(sorted: &[u64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 / 1e6
}

fn spread(name: &str, mut nanos: Vec<u64>) {
    nanos.sort_unstable();
    let [p50, p99] = [0.5, 0.99].map(|p| percentile(&nanos, p));
    println!("{name}: p50 {p50:.4} ms, p99 {p99:.4} ms");
}

/// The machine's own yardstick: 512 bytes over existing ones, and fdatasync.
fn fsync(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("yardstick")).unwrap();
    file.write_all(&[0; 512]).unwrap();
    file.sync_all().unwrap();
    let mut nanos = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        file.rewind().unwrap();
        file.write_all(&[1; 512]).unwrap();
        file.sync_data().unwrap();
        nanos.push(start.elapsed().as_nanos() as u64);
    }
    spread("machine: 512 bytes and fdatasync", nanos);
}

/// An index made of nothing but digests: its size, look-ups, and what their time tells.
fn synthetic(folder: &Path, subjects: u64) {
    let start = Instant::now();
    let index = Synthetic::build(folder, subjects).unwrap();
    println!(
        "index of {subjects} made-up subjects, one thread: {:.1} s, {:.2} bytes a subject",
        start.elapsed().as_secs_f64(),
        index.bytes() as f64 / subjects as f64
    );
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 20
    };
    for _ in 0..2_000_000 {
        black_box(index.ask(random() % subjects * 2, 3));
    }
    let count = 1_000_000u64;
    let start = Instant::now();
    for _ in 0..count {
        black_box(index.ask(random() % subjects * 2, 3));
    }
    println!("look-up, digests included, warm: {:.3} µs", start.elapsed().as_secs_f64() * 1e6 / count as f64);
    let mut single: Vec<u64> = (0..count)
        .map(|_| {
            let asked = random() % subjects * 2;
            let start = Instant::now();
            black_box(index.ask(asked, 3));
            start.elapsed().as_nanos() as u64
        })
        .collect();
    single.sort_unstable();
    println!(
        "one look-up: p50 {:.3} µs, p99 {:.3} µs",
        percentile(&single, 0.5) * 1e3,
        percentile(&single, 0.99) * 1e3
    );
    timing(&index, subjects, &mut random);
}

/// 100,000 look-ups each of a match, a wrong claim and an unknown subject, in random order.
fn timing(index: &Synthetic, subjects: u64, random: &mut impl FnMut() -> u64) {
    const EACH: usize = 100_000;
    let mut times: [Vec<u64>; 3] = [const { Vec::new() }; 3];
    while times.iter().any(|t| t.len() < EACH) {
        let class = (random() % 3) as usize;
        let person = random() % subjects;
        let (person, claim) = match class {
            0 => (person * 2, person % 9),
            1 => (person * 2, (person + 1) % 9),
            _ => (person * 2 + 1, person % 9),
        };
        let start = Instant::now();
        let holds = black_box(index.ask(black_box(person), black_box(claim)));
        let took = start.elapsed().as_nanos() as u64;
        assert_eq!(holds, class == 0);
        if times[class].len() < EACH {
            times[class].push(took);
        }
    }
    for (name, a, b) in [("match / wrong claim", 0, 1), ("match / unknown", 0, 2), ("wrong claim / unknown", 1, 2)] {
        let mut medians = [&times[a], &times[b]].map(|t| t.clone());
        medians.iter_mut().for_each(|t| t.sort_unstable());
        let [x, y] = medians.each_ref().map(|t| t[t.len() / 2] as f64);
        println!(
            "timing, {name}: medians {x:.0} and {y:.0} ns ({:+.2} %), probability that one is slower {:.4}",
            (y / x - 1.0) * 100.0,
            slower(&medians[0], &medians[1])
        );
    }
}

/// The probability that a value of `b` is greater than one of `a`, ties counted half (Mann & Whitney 1947): 0.5 where the two
/// can not be told apart.
fn slower(a: &[u64], b: &[u64]) -> f64 {
    let below = |values: &[u64], x: u64| values.partition_point(|v| *v < x);
    let upto = |values: &[u64], x: u64| values.partition_point(|v| *v <= x);
    let sum: f64 = b.iter().map(|x| below(a, *x) as f64 + (upto(a, *x) - below(a, *x)) as f64 / 2.0).sum();
    sum / (a.len() as f64 * b.len() as f64)
}

fn id(i: u64) -> String {
    format!("P{i:09}")
}

const ENTRY: &str = r#"
[dataset]
id = "people"
title = { zh = "人口", en = "People" }
provider = { name = "公安局", code = "11530000015000011Y" }
files = ["people.parquet"]
update = "daily"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-4"
unit = { kind = "natural_person", column = "id", most_rows = 1 }
release = "personal"
[[column]]
name = "id"
type = "utf8"
class = "direct_identifier"
usages = ["verify"]
[[column]]
name = "name"
type = "utf8"
class = "direct_identifier"
usages = ["verify"]
[[column]]
name = "city"
type = "utf8"
class = "attribute"
usages = ["verify"]
"#;

fn write_people(path: &Path, subjects: u64) {
    let mut writer: Option<ArrowWriter<std::fs::File>> = None;
    for from in (0..subjects).step_by(1_000_000) {
        let part = from..subjects.min(from + 1_000_000);
        let column =
            |of: &dyn Fn(u64) -> String| Arc::new(StringArray::from_iter_values(part.clone().map(of))) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            ("id", column(&id)),
            ("name", column(&|i| format!("张{}", i % 1_000))),
            ("city", column(&|i| (i % 9).to_string())),
        ])
        .unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
}

fn clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

async fn town(folder: &Path, subjects: u64) -> Domain {
    write_people(&folder.join("people.parquet"), subjects);
    std::fs::write(folder.join("people.toml"), ENTRY).unwrap();
    // The limits of a day are not what is measured.
    let rules = yunei_policy::rules::RuleSet::default().text().to_owned();
    let rules = rules
        .replace("_per_day = 200000", "_per_day = 900000000")
        .replace("_per_day = 1000000", "_per_day = 900000000");
    let domain = Domain::create(&folder.join("home"), "bench.example/town", Some(&rules), clock()).await.unwrap();
    let start = Instant::now();
    domain.register_dataset("holder", &folder.join("people.toml"), |_, _| {}).await.unwrap();
    println!("registering {subjects} rows: {:.1} s", start.elapsed().as_secs_f64());
    domain.set_dataset_state("authority", "people", State::Approved).await.unwrap();
    for (id, consent) in [("free", "consent = \"not-required\"\nlegal_basis = \"x\""), ("consented", "")] {
        let text = format!(
            "[product]\nid = \"{id}\"\nkind = \"verification\"\ntitle = {{ zh = \"核\", en = \"v\" }}\npurposes = [\"loan\"]\n\
             datasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"name\"]\nclaim = {{ equals = \"city\" }}\n{consent}\n"
        );
        let path = folder.join("product.toml");
        std::fs::write(&path, text).unwrap();
        domain.submit_product("operator", &path).await.unwrap();
        domain.consent("holder", id, true, "").await.unwrap();
        domain.set_product_state("authority", id, State::Approved).await.unwrap();
        let now = domain.now();
        let grant = GrantRequest {
            institution: "business".into(),
            product: id.into(),
            purposes: Vec::new(),
            from_millis: 0,
            until_millis: now + 86_400_000,
            max_runs: None,
        };
        let agreement = yunei_engine::registry::Agreement {
            digest: yunei_engine::registry::Digest::of(b"agreement"),
            term: yunei_policy::register::Term { from_millis: now, until_millis: now + 86_400_000 },
        };
        domain.grant_under("authority", &grant, agreement).await.unwrap();
    }
    let start = Instant::now();
    let view = domain.build_index("authority", "free", |_, _| {}).await.unwrap();
    println!(
        "index of {} rows of Parquet: {:.1} s, {:.2} bytes a subject",
        view.subjects,
        start.elapsed().as_secs_f64(),
        view.bytes as f64 / view.subjects as f64
    );
    let audit = domain.audit_index("authority", "free", 10_000).await.unwrap();
    println!("audit of {} rows: {} differing", audit.sampled, audit.differing);
    domain
}

async fn verifications(domain: &Arc<Domain>) {
    let pem = ConsentSigner::generate(ConsentAlgorithm::EdDsa).unwrap();
    let signer = ConsentSigner::from_pem("bureau", &pem).unwrap();
    domain.add_issuer("authority", "bureau", &Text::new("局", "b"), &signer.public()).await.unwrap();
    let issued = domain.now() / 1_000;
    let terms = ConsentTerms {
        domain: domain.name().to_owned(),
        business: "business".into(),
        product: "consented".into(),
        purpose: "loan".into(),
        uses: 1,
        issued,
        expires: issued + 86_400,
    };
    let rows = setting("YUNEI_BENCH_SUBJECTS", 10_000_000);
    let next = AtomicU64::new(1);
    let request = |product: &str| {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let i = at.wrapping_mul(7_919_777) % rows;
        let identity = BTreeMap::from([("id".to_owned(), id(i)), ("name".to_owned(), format!("张{}", i % 1_000))]);
        let consent = (product == "consented").then(|| signer.sign(&terms, &identity).unwrap());
        VerifyRequest {
            institution: "business".into(),
            product: product.into(),
            identity,
            claim: Some((i % 9).to_string()),
            purpose: "loan".into(),
            consent,
            ..VerifyRequest::default()
        }
    };
    for product in ["free", "consented"] {
        let mut alone = Vec::new();
        for _ in 0..300 {
            let asked = request(product);
            let start = Instant::now();
            domain.verify(&asked).await.unwrap();
            alone.push(start.elapsed().as_nanos() as u64);
        }
        spread(&format!("{product}: one client"), alone);
        let asks: Vec<VerifyRequest> = (0..setting("YUNEI_BENCH_ASKS", 60_000)).map(|_| request(product)).collect();
        let (asks, at) = (Arc::new(asks), Arc::new(AtomicU64::new(0)));
        let start = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (domain, asks, at) = (Arc::clone(domain), Arc::clone(&asks), Arc::clone(&at));
            clients.spawn(async move {
                let mut took = Vec::new();
                while let Some(asked) = asks.get(at.fetch_add(1, Ordering::Relaxed) as usize) {
                    let start = Instant::now();
                    domain.verify(asked).await.unwrap();
                    took.push(start.elapsed().as_nanos() as u64);
                }
                took
            });
        }
        let mut took: Vec<u64> = Vec::new();
        while let Some(done) = clients.join_next().await {
            took.extend(done.unwrap());
        }
        let rate = took.len() as f64 / start.elapsed().as_secs_f64();
        spread(&format!("{product}: 64 clients, {rate:.0} verifications/s"), took);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}
