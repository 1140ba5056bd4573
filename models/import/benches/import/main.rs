//! What importing costs and how fast imported models run: `cargo bench -p yunei-import`.
//!
//! `cargo bench -p yunei-import -- NAME…` takes only `ensembles`, `network` or `files`. A plain program: every way of a table takes its turn in
//! each round, and the shortest time of each counts, since whatever else the machine does can only add to it. The original runtimes
//! beside the same models: `models/import/conformance/speed.py`.
#![allow(clippy::print_stdout, clippy::expect_used)]

mod made;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Float32Array, Float64Array};
use yunei_import::ir::Op;
use yunei_import::{Imported, Naming, Style};
use yunei_sandbox::{Cost, Manifest, Model, Sandbox, SandboxConfig, Verified};

const ROWS: usize = 2048;
const ROUNDS: usize = 41;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let sections: [(&str, fn()); 3] = [("ensembles", ensembles), ("network", network), ("files", files)];
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            section();
        }
    }
}

/// An imported model in the sandbox, and what it took.
struct Ready {
    imported: Imported,
    model: Model,
    import: Duration,
    verify: Duration,
    compile: Duration,
}

impl Ready {
    fn new(file: &[u8], style: Style) -> Self {
        let start = Instant::now();
        let imported = yunei_import::import_styled(file, &Naming::default(), style).expect("a model file");
        let import = start.elapsed();
        let manifest = Manifest::parse(&imported.manifests[0].1).expect("a manifest");
        let start = Instant::now();
        let verified = Verified::check(&imported.wasm, &manifest).expect("a module");
        let verify = start.elapsed();
        let sandbox = Sandbox::new(SandboxConfig::default()).expect("a sandbox");
        let start = Instant::now();
        let model = sandbox.load(&verified, &manifest).expect("a model");
        Self { imported, model, import, verify, compile: start.elapsed() }
    }

    /// Columns for rows whose values, by the file's columns, `value` gives.
    fn columns(&self, value: impl Fn(usize, &str) -> f64) -> Vec<ArrayRef> {
        let features = self.imported.summary.features.iter();
        features
            .map(|f| {
                let values = (0..ROWS).map(|row| value(row, &f.from));
                match f.kind {
                    "f32" => Arc::new(Float32Array::from_iter_values(values.map(|x| x as f32))) as ArrayRef,
                    _ => Arc::new(Float64Array::from_iter_values(values)),
                }
            })
            .collect()
    }

    fn row(&self, name: &str, time: Duration, yardstick: Option<Duration>) -> Vec<String> {
        let ms = |d: Duration| format!("{:.1} ms", d.as_secs_f64() * 1e3);
        let Cost::Bounded(fuel) = self.model.report().cost else { panic!("an imported model is bounded") };
        let ratio = yardstick.map_or("–".to_owned(), |y| format!("{:.2}", y.as_secs_f64() / time.as_secs_f64()));
        let (import, verify, compile) = (ms(self.import), ms(self.verify), ms(self.compile));
        let bytes = self.imported.wasm.len().to_string();
        vec![name.to_owned(), each(time), ratio, fuel.to_string(), bytes, import, verify, compile]
    }
}

const HEAD: [&str; 8] =
    ["model", "a row", "native Rust ÷ ours", "fuel", "bytes of the module", "import", "verify", "compile"];

fn each(time: Duration) -> String {
    format!("{:.0} ns", time.as_nanos() as f64 / ROWS as f64)
}

/// Every way once a round, in turn; the shortest time of each.
fn race(mut ways: Vec<Box<dyn FnMut() + '_>>) -> Vec<Duration> {
    let mut best = vec![Duration::MAX; ways.len()];
    for _ in 0..ROUNDS {
        for (way, best) in ways.iter_mut().zip(&mut best) {
            let start = Instant::now();
            way();
            *best = start.elapsed().min(*best);
        }
    }
    best
}

fn score<'a>(ready: &'a Ready, columns: &'a [ArrayRef]) -> Box<dyn FnMut() + 'a> {
    Box::new(|| drop(black_box(ready.model.score(columns, ROWS).expect("scores"))))
}

fn table(title: &str, rows: &[Vec<String>]) {
    println!("\n### {title}\n\n| {} |\n|{}", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

fn number(from: &str) -> usize {
    from.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a numbered column")
}

/// Made-up complete trees, as XGBoost writes them: each shape of code, and native Rust over arrays of nodes.
fn ensembles() {
    let mut rows = Vec::new();
    for (count, depth) in [(100, 6), (1000, 8)] {
        let trees = made::Trees::new(count, depth);
        let file = trees.file();
        let data: Vec<Vec<f32>> = trees.rows(ROWS);
        // Nested conditionals of the larger one take the compiler longer than the benchmark is worth.
        let styles: &[(&str, Style)] = match count {
            100 => &[("auto", Style::Auto), ("nested", Style::Nested)],
            _ => &[("auto", Style::Auto)],
        };
        let ready: Vec<Ready> = styles.iter().map(|(_, style)| Ready::new(&file, *style)).collect();
        let columns: Vec<_> = ready.iter().map(|r| r.columns(|row, f| f64::from(data[row][number(f)]))).collect();
        for (ready, columns) in ready.iter().zip(&columns) {
            let said = ready.model.score(columns, ROWS).expect("scores");
            assert!(data.iter().zip(said.values()).all(|(row, x)| trees.sum(row).to_bits() == (*x as f32).to_bits()));
        }
        let mut ways: Vec<_> = ready.iter().zip(&columns).map(|(r, c)| score(r, c)).collect();
        ways.push(Box::new(|| drop(black_box(data.iter().map(|row| trees.sum(row)).collect::<Vec<f32>>()))));
        let times = race(ways);
        let native = times[times.len() - 1];
        for ((ready, (style, _)), time) in ready.iter().zip(styles).zip(&times) {
            rows.push(ready.row(&format!("{count} trees × depth {depth}, {style}"), *time, Some(native)));
        }
    }
    table("Ensembles of complete trees, 20 features", &rows);
}

/// The network 32-64-64-1 of the recorded vectors, and the same products in native Rust.
fn network() {
    let ready = Ready::new(&recorded("onnx_mlp.onnx"), Style::Auto);
    let single = |list: &[f64]| -> Vec<f32> { list.iter().map(|x| *x as f32).collect() };
    let layers: Vec<(usize, Vec<f32>, Vec<f32>)> = ready
        .imported
        .model
        .graph
        .values()
        .iter()
        .filter_map(|v| match &v.op {
            Op::Matrix(_, m) => Some((m.columns as usize, single(&m.weights), single(&m.bias))),
            _ => None,
        })
        .collect();
    let data: Vec<Vec<f32>> = made::uniform(ROWS, 32);
    let columns = ready.columns(|row, f| f64::from(data[row][number(f)]));
    let native = |row: &Vec<f32>| {
        let mut x = row.clone();
        for (i, (columns, weights, bias)) in layers.iter().enumerate() {
            let mut sums = bias.clone();
            for (x, weights) in x.iter().zip(weights.chunks_exact(*columns)) {
                sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
            }
            if i + 1 < layers.len() {
                sums.iter_mut().for_each(|sum| *sum = sum.max(0.0));
            }
            x = sums;
        }
        1.0 / (1.0 + (-x[0]).exp())
    };
    let said = ready.model.score(&columns, ROWS).expect("scores");
    assert!(data.iter().zip(said.values()).all(|(row, x)| (f64::from(native(row)) - x).abs() <= 1e-6));
    let times = race(vec![
        score(&ready, &columns),
        Box::new(|| drop(black_box(data.iter().map(&native).collect::<Vec<f32>>()))),
    ]);
    table("A network, 32-64-64-1", &[ready.row("MLP", times[0], Some(times[1]))]);
}

/// Trained models of every format among the recorded vectors.
fn files() {
    let mut rows = Vec::new();
    for name in [
        "xgboost_regression.json",
        "xgboost_ubjson.ubj",
        "lightgbm_regression.txt",
        "onnx_forest.onnx",
        "onnx_logistic.onnx",
        "pmml_scorecard.pmml",
        "card_scorecard.card.csv",
    ] {
        let ready = Ready::new(&recorded(name), Style::Auto);
        let columns = ready.columns(|row, _| (row % 97) as f64 / 13.0 - 3.0);
        let time = race(vec![score(&ready, &columns)])[0];
        rows.push(ready.row(name, time, None));
    }
    table("Trained models", &rows);
}

fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(path).expect("a recorded model")
}
