//! The figures of BENCH.md: `cargo bench -p yunei-sandbox`. A plain program: what matters are ratios
//! between ways that are measured side by side.
//!
//! `cargo bench -p yunei-sandbox -- NAME…` takes only `stateless`, `contained`, `written`, `ensemble` or
//! `ready`.
#![allow(clippy::print_stdout, clippy::expect_used)]

mod ensemble;
mod guests;
mod race;

use std::hint::black_box;
use std::time::{Duration, Instant};

use arrow_array::ArrayRef;
use guests::{BATCH, arrays, folder, load, manifest, sums};
use race::{each, met, race, table};
use yunei_sandbox::{ArtefactCache, CacheKey, Class, Model, Sandbox, SandboxConfig, Verified};

const ROUNDS: usize = 301;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let sections: [(&str, fn()); 5] = [
        ("stateless", stateless),
        ("contained", contained),
        ("written", written),
        ("ensemble", ensembles),
        ("ready", ready),
    ];
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            section();
        }
    }
}

fn sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig::default()).expect("a sandbox")
}

fn fresh_sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig::default().fresh_instances(true)).expect("a sandbox")
}

fn score(model: &Model, columns: &[ArrayRef], rows: usize) -> f64 {
    black_box(model.score(columns, rows).expect("scores")).value(0)
}

/// The native yardstick: the same columns, a fresh vector of results.
#[inline(never)]
fn native(f: impl Fn(f64, f64, f64, f64) -> f64, c: &[Vec<f64>]) -> Vec<f64> {
    let n = c[0].len();
    let (a, b, d, e) = (&c[0][..n], &c[1][..n], &c[2][..n], &c[3][..n]);
    (0..n).map(|i| f(a[i], b[i], d[i], e[i])).collect()
}

fn stateless() {
    let sandbox = sandbox();
    let columns = sums(4, BATCH);
    let arrays = arrays(&columns);
    let mut rows = Vec::new();
    let mut line = |name: &str, text: &str, f: &dyn Fn() -> Vec<f64>, same: &dyn Fn() -> Vec<f64>| {
        let model = load(&sandbox, &manifest(4, ""), text.as_bytes());
        assert_eq!(model.report().class, Class::Stateless);
        let scores = model.score(&arrays, BATCH).expect("scores");
        assert!(same().iter().zip(scores.values()).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
        let [native, bounded, ours] = race(
            ROUNDS,
            [&mut || drop(black_box(f())), &mut || drop(black_box(same())), &mut || {
                score(&model, &arrays, BATCH);
            }],
        );
        let ratio = |to: Duration| ours.as_secs_f64() / to.as_secs_f64();
        rows.push(vec![
            name.to_owned(),
            format!("{:.2} ns", each(native, BATCH)),
            format!("{:.2} ns", each(bounded, BATCH)),
            format!("{:.2} ns", each(ours, BATCH)),
            format!("{:.2}", ratio(native)),
            met(ratio(native) <= 2.0),
            format!("{:.2}", ratio(bounded)),
        ]);
    };
    macro_rules! line {
        ($name:literal, $text:expr, $f:expr) => {
            line($name, $text, &|| native($f, black_box(&columns)), &|| {
                native(|a, b, c, d| guests::bounded($f(a, b, c, d)), black_box(&columns))
            });
        };
    }
    line!("scorecard", guests::SCORECARD, guests::scorecard);
    line!("distance", guests::DISTANCE, guests::distance);
    line!("points", guests::POINTS, guests::points);
    line!("weighted sum", guests::LINEAR, guests::linear);
    let [copies] = race(ROUNDS, [&mut || copies(&columns)]);
    rows.push(vec!["copying the columns alone".to_owned(), format!("{:.2} ns", each(copies, BATCH))]);
    table(
        "Stateless, 4 × f64, batches of 8,192 rows",
        &["model", "native loop", "native loop with the same bounds", "sandbox", "ratio", "≤ 2.0", "ratio with bounds"],
        &rows,
    );
}

/// The least that a way through another memory costs: four columns into the nearest cache, chunk by chunk.
fn copies(columns: &[Vec<f64>]) {
    const CHUNK: usize = 1024;
    let mut place = [0.0; 4 * CHUNK];
    for from in (0..BATCH).step_by(CHUNK) {
        for (column, to) in black_box(columns).iter().zip(place.chunks_exact_mut(CHUNK)) {
            to.copy_from_slice(&column[from..from + CHUNK]);
        }
        black_box(&mut place);
    }
}

fn contained() {
    let (sandbox, fresh) = (sandbox(), fresh_sandbox());
    let few = 64;
    let arrays = arrays(&sums(4, BATCH));
    let some: Vec<ArrayRef> = arrays.iter().map(|a| a.slice(0, few)).collect();
    let mut rows = Vec::new();
    for name in ["concentration/c", "concentration/rust"] {
        let (model, yardstick) = (folder(&sandbox, name), folder(&fresh, name));
        assert_eq!(model.report().class, Class::Contained);
        let [ours, theirs] = race(
            ROUNDS,
            [
                &mut || {
                    score(&model, &arrays, BATCH);
                },
                &mut || {
                    score(&yardstick, &some, few);
                },
            ],
        );
        let (ours, theirs) = (each(ours, BATCH), each(theirs, few));
        rows.push(vec![
            name.to_owned(),
            format!("{ours:.1} ns"),
            format!("{theirs:.0} ns"),
            format!("{:.0} ×", theirs / ours),
            met(ours <= 40.0 && theirs / ours >= 100.0),
        ]);
    }
    table(
        "Contained: models that write 64 bytes a row",
        &["model", "undone", "fresh instance", "faster by", "≤ 40 ns and ≥ 100 ×"],
        &rows,
    );
}

fn written() {
    let sandbox = sandbox();
    let arrays = arrays(&sums(1, BATCH));
    let mut rows = Vec::new();
    for words in [1, 8, 64, 512] {
        let mut row = vec![format!("{}", words * 8)];
        for pages in [1, 16, 1024] {
            let limits = format!("memory_pages = {pages}");
            let model = load(&sandbox, &manifest(1, &limits), guests::writer(pages, words).as_bytes());
            let [time] = race(
                31,
                [&mut || {
                    score(&model, &arrays, BATCH);
                }],
            );
            row.push(format!("{:.1} ns", each(time, BATCH)));
        }
        rows.push(row);
    }
    table(
        "Cost of a row by bytes written and size of the memory",
        &["bytes written", "64 KiB", "1 MiB", "64 MiB"],
        &rows,
    );
}

fn ensembles() {
    let sandbox = sandbox();
    let trees = ensemble::trees();
    let module = ensemble::module(&trees);
    let model = load(&sandbox, &manifest(ensemble::FEATURES, "fuel = 1000000"), &module);
    let columns = ensemble::columns(BATCH);
    let arrays = arrays(&columns);
    let rows: Vec<Vec<f64>> = (0..BATCH).map(|i| columns.iter().map(|c| c[i]).collect()).collect();
    let want: Vec<f64> = rows.iter().map(|row| ensemble::native(&trees, row)).collect();
    let got = model.score(&arrays, BATCH).expect("scores");
    assert!(want.iter().zip(got.values()).all(|(a, b)| (a - b).abs() <= 0.0001));
    let imported = std::env::var_os("YUNEI_ENSEMBLE").map(|folder| {
        let model = guests::at(&sandbox, std::path::Path::new(&folder));
        let got = model.score(&arrays, BATCH).expect("scores");
        assert!(want.iter().zip(got.values()).all(|(a, b)| (a - b).abs() <= 0.001), "another ensemble");
        model
    });
    let fast = imported.as_ref().unwrap_or(&model);
    let [nested, ours, native] = race(
        31,
        [
            &mut || {
                score(&model, &arrays, BATCH);
            },
            &mut || {
                score(fast, &arrays, BATCH);
            },
            &mut || {
                black_box(rows.iter().map(|row| ensemble::native(&trees, row)).sum::<f64>());
            },
        ],
    );
    table(
        &format!("{} trees of depth {}, {} features", ensemble::TREES, ensemble::DEPTH, ensemble::FEATURES),
        &["way", "a row"],
        &[
            vec!["sandbox, nested ifs".to_owned(), format!("{:.0} ns", each(nested, BATCH))],
            vec![
                "sandbox, as imported (YUNEI_ENSEMBLE)".to_owned(),
                match imported {
                    Some(_) => format!("{:.0} ns", each(ours, BATCH)),
                    None => "not given".to_owned(),
                },
            ],
            vec!["native Rust over arrays of nodes".to_owned(), format!("{:.0} ns", each(native, BATCH))],
        ],
    );
    // For peers/ensemble.py, which compares and checks that the ensemble is the same.
    println!("\nensemble: {:.1} ns/row, sum {:.6}", each(ours, BATCH), want.iter().sum::<f64>());
}

fn ready() {
    let mut rows = Vec::new();
    let (manifest_one, large) = (manifest(1, "fuel = 1000000"), large_module());
    let [time] = race(31, [&mut || drop(black_box(Verified::check(&large, &manifest_one).expect("a model")))]);
    rows.push(vec![
        format!("verification of {} bytes", large.len()),
        format!("{:.1} ms", time.as_secs_f64() * 1e3),
        "< 100 ms".to_owned(),
        met(time.as_secs_f64() < 0.1),
    ]);
    let home = tempfile::tempdir().expect("a folder");
    let cached = || {
        let cache = ArtefactCache::new(home.path(), CacheKey::new(&[1; 32]));
        Sandbox::new(SandboxConfig::default().cache(cache)).expect("a sandbox")
    };
    let trees = ensemble::module(&ensemble::trees());
    let scorecard = wat::parse_str(guests::SCORECARD).expect("a module");
    for (name, manifest, module) in [
        ("the scorecard", manifest(4, ""), scorecard),
        ("100 trees", manifest(ensemble::FEATURES, "fuel = 1000000"), trees),
        ("the large module", manifest_one, large),
    ] {
        let first = cached().open(&module, &manifest).expect("compiled and kept");
        let digest = first.digest().to_owned();
        let known = cached();
        // Each sandbox that knows nothing is a process that begins; setting it up is not the model's time.
        let times = |known: Option<&Sandbox>, open: &dyn Fn(&Sandbox) -> Model| {
            let times = (0..101).map(|_| {
                let new = cached();
                let sandbox = known.unwrap_or(&new);
                let start = Instant::now();
                let model = black_box(open(sandbox));
                let time = start.elapsed();
                drop(model);
                time
            });
            times.min().unwrap_or_default().as_secs_f64() * 1e3
        };
        let by_bytes = times(None, &|s| s.open(&module, &manifest).expect("cached"));
        let by_digest = times(None, &|s| s.recall(&digest, &manifest).expect("cached"));
        let loaded = times(Some(&known), &|s| s.recall(&digest, &manifest).expect("cached"));
        let file =
            std::fs::read_dir(home.path()).expect("a folder").flatten().map(|e| e.metadata().map_or(0, |m| m.len()));
        let artefact = file.max().unwrap_or(0);
        for (how, ms) in
            [("from its bytes", by_bytes), ("from its digest", by_digest), ("again in the process", loaded)]
        {
            rows.push(vec![
                format!("{name}, {} bytes ({artefact} at most of code), {how}", module.len()),
                format!("{ms:.3} ms"),
                "< 1 ms".to_owned(),
                met(ms < 1.0),
            ]);
        }
    }
    table("Until a model is ready", &["what", "time", "asked", "met"], &rows);
}

/// About one MiB of arithmetic in functions of ten kilobytes. `copysign` keeps it from running in pairs, which would leave
/// little code.
fn large_module() -> Vec<u8> {
    let adds = format!("{}local.get 0 f64.copysign ", "f64.const 1.5 f64.add f64.const 0.5 f64.mul ".repeat(400));
    let functions: String =
        (0..131).map(|i| format!("(func $f{i} (param f64) (result f64) local.get 0 {adds})")).collect();
    let calls: String = (0..131).map(|i| format!("call $f{i} ")).collect();
    let text = format!("(module {functions} (func (export \"score\") (param f64) (result f64) local.get 0 {calls}))");
    wat::parse_str(&text).expect("a module")
}
