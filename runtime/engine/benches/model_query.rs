//! A whole query, `SUM(model(a, b, c, d))` over Parquet, with the engine's own model function and with the same formula as
//! a native scalar function: `cargo bench -p yunei-engine --bench model_query`. Prints the ratio; BENCH.md has figures.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use yunei_sandbox::{Manifest, Sandbox, SandboxConfig, Verified};

const ROWS: usize = 4_000_000;
const BATCH: usize = 100_000;
const ROUNDS: usize = 21;

const MANIFEST: &str = "[model]\nid = \"model\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"m.wat\"\n\
    [[feature]]\nname = \"a\"\ntype = \"f64\"\n[[feature]]\nname = \"b\"\ntype = \"f64\"\n\
    [[feature]]\nname = \"c\"\ntype = \"f64\"\n[[feature]]\nname = \"d\"\ntype = \"f64\"\n\
    [output]\nmin = 0.0\nmax = 1.0\nstep = 0.0001\ndefault = 0.5\n";

/// A scorecard over four features, as in the benchmarks of the sandbox.
const MODULE: &str = "(module
  (func $share (param f64 f64) (result f64)
    (f64.div (local.get 0) (f64.add (local.get 0) (local.get 1))))
  (func (export \"score\") (param f64 f64 f64 f64) (result f64) (local $z f64)
    (local.set $z (f64.sub (f64.mul (f64.const 3.4) (call $share (local.get 0) (f64.add (local.get 1) (f64.const 10000))))
      (f64.mul (f64.const 1.6) (call $share (local.get 2) (f64.const 80000)))))
    (local.set $z (f64.sub (local.get $z) (f64.mul (f64.const 0.00001) (local.get 3))))
    (f64.mul (f64.const 0.5) (f64.add (f64.const 1)
      (f64.div (local.get $z) (f64.add (f64.const 1) (f64.abs (local.get $z))))))))";

fn scorecard(a: f64, b: f64, c: f64, d: f64) -> f64 {
    let share = |x: f64, half: f64| x / (x + half);
    let z = 3.4 * share(a, b + 10_000.0) - 1.6 * share(c, 80_000.0);
    let z = z - 0.00001 * d;
    0.5 * (1.0 + z / (1.0 + z.abs()))
}

/// The yardstick: the formula in Rust.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Native(Signature);

impl ScalarUDFImpl for Native {
    fn name(&self) -> &str {
        "native"
    }
    fn signature(&self) -> &Signature {
        &self.0
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns: Vec<ArrayRef> = args.args.into_iter().map(|a| a.into_array(rows)).collect::<Result<_>>()?;
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| &columns[i].as_primitive::<Float64Type>().values()[..rows]);
        let scores: Float64Array = (0..rows).map(|i| scorecard(a[i], b[i], c[i], d[i])).collect::<Vec<_>>().into();
        Ok(ColumnarValue::Array(Arc::new(scores)))
    }
}

fn write(path: &Path) {
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 200_000) as f64
    };
    let mut writer = None;
    for _ in 0..ROWS / BATCH {
        let columns = ["a", "b", "c", "d"].map(|name| {
            let values: Float64Array = (0..BATCH).map(|_| next()).collect::<Vec<_>>().into();
            (name, Arc::new(values) as ArrayRef, false)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("a batch");
        let writer = writer.get_or_insert_with(|| {
            let file = std::fs::File::create(path).expect("a file");
            ArrowWriter::try_new(file, batch.schema(), None).expect("a writer")
        });
        writer.write(&batch).expect("written");
    }
    writer.expect("a writer").close().expect("closed");
}

async fn sum(context: &SessionContext, function: &str) -> f64 {
    let query = context.sql(&format!("SELECT SUM({function}(a, b, c, d)) FROM t")).await.expect("a query");
    let batches = query.collect().await.expect("a result");
    batches[0].column(0).as_primitive::<Float64Type>().value(0)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn compare(path: &str, threads: usize) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(threads));
    context.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    let manifest = Manifest::parse(MANIFEST).expect("a manifest");
    let verified = Verified::check(MODULE.as_bytes(), &manifest).expect("a model");
    let sandbox = Sandbox::new(SandboxConfig::default()).expect("a sandbox");
    let model = sandbox.load(&verified, &manifest).expect("a model that loads");
    context.register_udf(yunei_engine::testing::row_model(model));
    context.register_udf(ScalarUDF::new_from_impl(Native(Signature::any(4, Volatility::Volatile))));
    let (ours, theirs) = (sum(&context, "model").await, sum(&context, "native").await);
    // Rounding to four digits takes at most 0.00005 from each.
    assert!((ours - theirs).abs() <= ROWS as f64 * 0.00005, "{ours} {theirs}");
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (function, times) in ["native", "model"].iter().zip(&mut times) {
            let start = Instant::now();
            sum(&context, function).await;
            times.push(start.elapsed());
        }
    }
    let [native, model] = times.map(median);
    println!(
        "| {threads} | {:.1} ms | {:.1} ms | {:.2} |",
        native.as_secs_f64() * 1e3,
        model.as_secs_f64() * 1e3,
        model.as_secs_f64() / native.as_secs_f64()
    );
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    write(&path);
    let path = path.display().to_string();
    println!("SUM(model(a, b, c, d)) over {ROWS} rows of Parquet\n");
    println!("| partitions | native function | model | ratio, asked ≤ 1.3 |\n|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for threads in [1, 2] {
        runtime.block_on(compare(&path, threads));
    }
}
