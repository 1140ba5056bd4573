//! `yunei model try`: a model on made-up rows, and next to what its original runtime said.

use super::model::{read, read_text};
use super::{Context, Outcome, usage};
use crate::term::{Mark, count, decimal};
use clap::Args;
use datafusion::arrow::array::{Array, ArrayRef, Float64Array};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use yunei_engine::DomainError;
use yunei_engine::catalogue::{Bounds, ColumnSpec, ColumnType, DatasetSpec, Domain};
use yunei_policy::{Refusal, Refused};
use yunei_sandbox::{FeatureType, Manifest, Model, Rejection, Sandbox, SandboxConfig, Verified};

/// Rows of a file of predictions.
const MOST_ROWS: usize = 1_000_000;
/// Bytes of a file of predictions.
const MOST_BYTES: usize = 512 * 1024 * 1024;
/// A made-up value is missing once in so many rows, where the feature may be.
const MISSING_ONCE_IN: u64 = 20;

#[derive(Args)]
pub(crate) struct TryArgs {
    /// The model's folder, or its manifest.
    model: PathBuf,
    /// A dataset's catalogue entry, whose declared domains the rows are drawn from.
    dataset: Option<PathBuf>,
    /// How many rows.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rows: u64,
    /// Takes the rows from this CSV file instead: the features under their names, and a column `prediction` by the
    /// original runtime to compare with.
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    against: Option<PathBuf>,
    /// Where the random rows begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(context: &mut Context, args: &TryArgs) -> Outcome {
    let manifest_path = if args.model.is_dir() { args.model.join("model.toml") } else { args.model.clone() };
    let manifest = Manifest::parse(&read_text(&manifest_path, 1 << 20)?).map_err(|r| rejected(&r))?;
    let folder = manifest_path.parent().unwrap_or(Path::new("."));
    let module = read(&folder.join(manifest.file()), yunei_sandbox::limits::MODULE_BYTES)?;
    let verified = Verified::check(&module, &manifest).map_err(|r| rejected(&r))?;
    let internal =
        |_| DomainError::Unavailable(Refusal::new("model/sandbox", "沙箱不可用", "the sandbox is not available"));
    let began = Instant::now();
    let sandbox = Sandbox::new(SandboxConfig::default()).map_err(internal)?;
    let model = sandbox.load(&verified, &manifest).map_err(|r| rejected(&[r]))?;
    let compile_ms = began.elapsed().as_millis() as u64;
    let (rows, wanted) = match &args.against {
        Some(path) => {
            let (rows, wanted) = recorded(path, &manifest)?;
            (rows, Some(wanted))
        }
        None => (drawn(args, &manifest)?, None),
    };
    let count = rows.first().map_or(0, |c| c.len());
    let began = Instant::now();
    let scores = model
        .score(&rows, count)
        .map_err(|_| usage("model/rows", "这些行不能交给模型", "the rows can not be given to the model"))?;
    let took = began.elapsed().as_nanos() as f64 / count.max(1) as f64;
    let found = Found::of(&scores, &manifest, compile_ms, took);
    let compared = wanted.map(|wanted| Compared::of(&scores, &wanted));
    show(context, &model, &manifest, &found, compared.as_ref());
    Ok(())
}

fn rejected(reasons: &[Rejection]) -> DomainError {
    let reasons = reasons.iter().map(|r| {
        let mut refusal = Refusal::new(r.code(), r.zh(), r.en());
        if let Some(place) = r.place() {
            refusal = refusal.at(place);
        }
        if r.hint_en().is_empty() { refusal } else { refusal.hint(r.hint_zh(), r.hint_en()) }
    });
    match Refused::from_reasons(reasons.collect()) {
        Some(refused) => DomainError::Refused(refused),
        None => usage("model/invalid", "模型无效", "the model is not valid"),
    }
}

/// Rows out of the declared domains of a dataset; without one, from a bell around zero.
fn drawn(args: &TryArgs, manifest: &Manifest) -> Result<Vec<ArrayRef>, DomainError> {
    let spec = match &args.dataset {
        Some(path) => Some(DatasetSpec::parse(&read_text(path, 1 << 20)?).map_err(DomainError::Refused)?),
        None => None,
    };
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(manifest.features().len());
    for feature in manifest.features() {
        let column = match &spec {
            Some(spec) => {
                let unknown = || {
                    let zh = format!("数据集没有名为 {} 的列", feature.name());
                    let en = format!("the dataset has no column called {}", feature.name());
                    usage("input/dataset", &zh, &en)
                };
                Some(spec.column(feature.name()).ok_or_else(unknown)?)
            }
            None => None,
        };
        let values = (0..args.rows).map(|_| {
            let may_miss = column.map_or(feature.missing().is_some(), ColumnSpec::nullable);
            if may_miss && random.next_u64().is_multiple_of(MISSING_ONCE_IN) {
                return None;
            }
            Some(value(column, &mut random))
        });
        columns.push(typed(values, feature.feature_type()));
    }
    Ok(columns)
}

/// A number in 0..1.
fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

fn value(column: Option<&ColumnSpec>, random: &mut ChaCha8Rng) -> f64 {
    let u = unit(random);
    let whole = |low: f64, high: f64| (low + (u * (high - low + 1.0)).floor()).min(high);
    let pick = |n: usize| ((u * n as f64) as usize).min(n.saturating_sub(1));
    let Some(column) = column else {
        // The sum of four uniform numbers, centred: near enough to a bell.
        let sum: f64 = u + (0..3).map(|_| unit(random)).sum::<f64>();
        return (sum - 2.0) * 3.0;
    };
    match (column.domain(), column.bounds()) {
        // A text enters as its place in the declared domain.
        (Some(Domain::Text(list)), _) => pick(list.len()) as f64,
        (Some(Domain::Int(list)), _) => list[pick(list.len())] as f64,
        (Some(Domain::Date(list)), _) => f64::from(list[pick(list.len())]),
        (None, Some(Bounds::Int(low, high))) => whole(low as f64, high as f64),
        (None, Some(Bounds::Date(low, high))) => whole(low.into(), high.into()),
        (None, Some(Bounds::Float(low, high))) => low + u * (high - low),
        (None, Some(Bounds::Decimal(low, high))) => {
            let scale = match column.column_type() {
                ColumnType::Decimal { scale, .. } => 10_f64.powi(scale.into()),
                _ => 1.0,
            };
            whole(low as f64, high as f64) / scale
        }
        (None, None) if column.column_type() == ColumnType::Bool => f64::from(u8::from(u < 0.5)),
        (None, None) => whole(0.0, 1000.0),
    }
}

fn typed(values: impl Iterator<Item = Option<f64>>, kind: FeatureType) -> ArrayRef {
    match kind {
        FeatureType::F64 | FeatureType::F32 => Arc::new(values.collect::<Float64Array>()),
        FeatureType::I64 | FeatureType::I32 => {
            let whole = values.map(|x| x.map(|x| x as i64));
            Arc::new(whole.collect::<datafusion::arrow::array::Int64Array>())
        }
    }
}

/// Rows and predictions out of a CSV file.
fn recorded(path: &Path, manifest: &Manifest) -> Result<(Vec<ArrayRef>, Vec<f64>), DomainError> {
    let text = read_text(path, MOST_BYTES)?;
    let mut lines = text.lines().filter(|l| !l.trim().is_empty());
    let clean = |s: &str| s.trim().trim_matches(['"', '\u{feff}']).to_lowercase();
    let heading: Vec<String> = lines.next().unwrap_or("").split(',').map(clean).collect();
    let place = |names: &[&str]| heading.iter().position(|h| names.contains(&h.as_str()));
    let mut wrong = Vec::new();
    let mut at = Vec::new();
    for feature in manifest.features() {
        match place(&[feature.name()]) {
            Some(i) => at.push(i),
            None => wrong.push(
                Refusal::new(
                    "input/predictions",
                    format!("文件缺少特征列 {}", feature.name()),
                    format!("the file has no column {}", feature.name()),
                )
                .at(path.display().to_string()),
            ),
        }
    }
    let prediction = place(&["prediction", "=score", "score", "预测"]);
    if prediction.is_none() {
        wrong.push(Refusal::new("input/predictions", "文件缺少 prediction 列", "the file has no column prediction"));
    }
    if let Some(refused) = Refused::from_reasons(wrong) {
        return Err(DomainError::Refused(refused));
    }
    let prediction = prediction.unwrap_or(0);
    let (mut columns, mut wanted) = (vec![Vec::new(); at.len()], Vec::new());
    for (i, line) in lines.enumerate() {
        let unreadable = || {
            let (zh, en) = (format!("第 {} 行无法读取", i + 2), format!("line {} can not be read", i + 2));
            usage("input/predictions", &zh, &en)
        };
        if i == MOST_ROWS {
            return Err(usage("input/predictions", "行数超过一百万", "the file has more than a million rows"));
        }
        let fields: Vec<&str> = line.split(',').map(|f| f.trim().trim_matches('"')).collect();
        let number = |i: usize| -> Result<Option<f64>, DomainError> {
            match fields.get(i).copied() {
                None => Err(unreadable()),
                Some("") => Ok(None),
                Some(text) => text.parse().map(Some).map_err(|_| unreadable()),
            }
        };
        for (column, i) in columns.iter_mut().zip(&at) {
            // NaN in the file is NULL in the domain.
            column.push(number(*i)?.filter(|x: &f64| !x.is_nan()));
        }
        wanted.push(number(prediction)?.unwrap_or(f64::NAN));
    }
    let arrays = columns.into_iter().zip(manifest.features()).map(|(c, f)| typed(c.into_iter(), f.feature_type()));
    Ok((arrays.collect(), wanted))
}

/// What the rows came to.
#[derive(serde::Serialize)]
struct Found {
    rows: usize,
    nulls: usize,
    at_default: usize,
    at_min: usize,
    at_max: usize,
    mean: f64,
    quantiles: [f64; 5],
    compile_ms: u64,
    ns_per_row: f64,
}

impl Found {
    fn of(scores: &Float64Array, manifest: &Manifest, compile_ms: u64, ns_per_row: f64) -> Self {
        let mut values: Vec<f64> = scores.iter().flatten().collect();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let at = |x: f64| values.iter().filter(|v| **v == x).count();
        let quantile = |q: f64| values.get(((n.max(1) - 1) as f64 * q) as usize).copied().unwrap_or(f64::NAN);
        let output = manifest.output();
        Self {
            rows: scores.len(),
            nulls: scores.null_count(),
            at_default: at(output.default()),
            at_min: at(output.min()),
            at_max: at(output.max()),
            mean: values.iter().sum::<f64>() / n.max(1) as f64,
            quantiles: [0.0, 0.25, 0.5, 0.75, 1.0].map(quantile),
            compile_ms,
            ns_per_row,
        }
    }
}

/// How far the answers are from those of the original runtime.
#[derive(serde::Serialize)]
struct Compared {
    rows: usize,
    same_binary32: usize,
    greatest_difference: f64,
    greatest_relative: f64,
    /// The row with the greatest difference, counted from one: row, ours, theirs.
    worst: Option<(usize, f64, f64)>,
}

impl Compared {
    fn of(scores: &Float64Array, wanted: &[f64]) -> Self {
        let mut out = Self { rows: 0, same_binary32: 0, greatest_difference: 0.0, greatest_relative: 0.0, worst: None };
        for (row, (ours, theirs)) in scores.iter().zip(wanted).enumerate() {
            let Some(ours) = ours.filter(|_| !theirs.is_nan()) else { continue };
            out.rows += 1;
            out.same_binary32 += usize::from((ours as f32).to_bits() == (*theirs as f32).to_bits());
            let difference = (ours - theirs).abs();
            if difference > out.greatest_difference {
                out.greatest_difference = difference;
                out.worst = Some((row + 1, ours, *theirs));
            }
            let relative = difference / theirs.abs().max(f64::MIN_POSITIVE);
            out.greatest_relative = out.greatest_relative.max(if difference == 0.0 { 0.0 } else { relative });
        }
        out
    }
}

fn show(context: &mut Context, model: &Model, manifest: &Manifest, found: &Found, compared: Option<&Compared>) {
    let id = format!("{}@{}", manifest.id(), manifest.version());
    if context.term.is_json() {
        context.term.json(&json!({ "model": id, "report": model.report(), "rows": found, "against": compared }));
        return;
    }
    let tried = context.term.pick("已试算", "Tried").to_owned();
    context.term.item(Mark::Done, &format!("{id}: {tried}"));
    context.term.text(&model.report().to_string());
    let pick = |zh: &str, en: &str| context.term.pick(zh, en).to_owned();
    let quantiles: Vec<String> = found.quantiles.iter().map(|q| decimal(*q, 4)).collect();
    let mut facts = vec![
        (pick("行数", "Rows"), count(found.rows as u64)),
        (pick("结果为空", "NULL answers"), count(found.nulls as u64)),
        (pick("等于缺省值", "At the default"), count(found.at_default as u64)),
        (
            pick("触及上下限", "At min, at max"),
            format!("{}, {}", count(found.at_min as u64), count(found.at_max as u64)),
        ),
        (pick("均值", "Mean"), decimal(found.mean, 4)),
        (pick("最小、四分位、最大", "Least, quartiles, greatest"), quantiles.join("  ")),
        (pick("编译", "Compiled in"), format!("{} ms", count(found.compile_ms))),
        (pick("每行耗时", "Time per row"), format!("{} ns", decimal(found.ns_per_row, 0))),
    ];
    if let Some(c) = compared {
        facts.push((pick("对照行数", "Rows compared"), count(c.rows as u64)));
        facts.push((pick("单精度逐位相同", "The same binary32"), count(c.same_binary32 as u64)));
        facts.push((pick("最大差", "Greatest difference"), format!("{:.2e}", c.greatest_difference)));
        let step = manifest.output().step();
        if step > 0.0 {
            // What a reader compares with was not rounded: half a step is no fault of the model.
            let what = pick("其中按清单步长取整，至多", "Of that, rounding to the manifest's step, at most");
            facts.push((what, format!("{:.2e}", step / 2.0)));
        }
        facts.push((pick("最大相对差", "Greatest relative difference"), format!("{:.2e}", c.greatest_relative)));
        if let Some((row, ours, theirs)) = c.worst {
            facts.push((pick("差最大的行", "In row"), format!("{row}: {ours} / {theirs}")));
        }
    }
    let facts: Vec<(&str, String)> = facts.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    context.term.facts(&facts);
}
