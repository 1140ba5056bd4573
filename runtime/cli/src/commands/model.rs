//! Models beyond what items have: trained files turned into models, and models tried on synthetic rows.

use super::{Context, Draft, Outcome, items, model_try, usage};
use crate::args::ItemCommand;
use crate::term::{Column, Mark, Table, count, decimal, size};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};
use yunei_engine::DomainError;
use yunei_import::{Imported, Naming, Summary};
use yunei_policy::{Lang, Refusal, Refused};

/// What can be done with models.
#[derive(Subcommand)]
pub(crate) enum ModelCommand {
    #[command(flatten)]
    Item(ItemCommand),
    /// Turns a trained model file into a model: XGBoost, LightGBM, ONNX, PMML or CSV scorecards.
    Import(ImportArgs),
    /// Runs a model on synthetic rows, with all that is kept silent on real data.
    Try(model_try::TryArgs),
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The trained model.
    file: PathBuf,
    /// The folder that module and manifest are written to.
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    output: PathBuf,
    /// Names, ranges and what stands for NULL (TOML).
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
}

pub(crate) async fn model(context: &mut Context, command: ModelCommand) -> Outcome {
    match command {
        ModelCommand::Item(command) => items::model(context, command).await,
        ModelCommand::Import(args) => import(context, &args),
        ModelCommand::Try(args) => model_try::run(context, &args),
    }
}

/// Reads a file of at most `most` bytes.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, DomainError> {
    use std::io::Read;
    let place = path.display().to_string();
    let unreadable = |_| {
        DomainError::NotFound(Refusal::new("input/file", "无法读取文件", "the file can not be read").at(place.clone()))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > most {
        let (zh, en) = (format!("文件超过 {most} 字节"), format!("the file has more than {most} bytes"));
        return Err(usage("input/file", &zh, &en));
    }
    Ok(bytes)
}

/// As [`read`], for text.
pub(super) fn read_text(path: &Path, most: usize) -> Result<String, DomainError> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| usage("input/file", "文件不是 UTF-8 文本", "the file is not UTF-8 text"))
}

fn refused(reasons: Vec<yunei_import::Refusal>) -> DomainError {
    let reasons = reasons.iter().map(|r| {
        let refusal = Refusal::new(r.code(), r.zh(), r.en());
        match r.place() {
            Some(place) => refusal.at(place),
            None => refusal,
        }
    });
    match Refused::from_reasons(reasons.collect()) {
        Some(refused) => DomainError::Refused(refused),
        None => usage("import/malformed", "无法导入该文件", "the file can not be imported"),
    }
}

fn import(context: &mut Context, args: &ImportArgs) -> Outcome {
    let bytes = read(&args.file, yunei_import::limits::FILE_BYTES)?;
    let naming = match &args.features {
        Some(path) => Naming::parse(&read_text(path, yunei_import::limits::NAMES_BYTES)?).map_err(refused)?,
        None => Naming::default(),
    };
    let stem = args.file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let imported = yunei_import::import(&bytes, &naming.or_id(&stem)).map_err(refused)?;
    std::fs::create_dir_all(&args.output).map_err(|_| {
        DomainError::Unavailable(
            Refusal::new("output/io", "无法创建文件夹", "the folder can not be made")
                .at(args.output.display().to_string()),
        )
    })?;
    Draft::create(&args.output.join(&imported.file))?.finish(&imported.wasm)?;
    for (name, text) in &imported.manifests {
        Draft::create(&args.output.join(name))?.finish(text.as_bytes())?;
    }
    show(context, &imported, &args.output);
    Ok(())
}

fn show(context: &mut Context, imported: &Imported, folder: &Path) {
    let files: Vec<String> = std::iter::once(&imported.file)
        .chain(imported.manifests.iter().map(|(name, _)| name))
        .map(|name| folder.join(name).display().to_string())
        .collect();
    if context.term.is_json() {
        context.term.json(&json!({ "files": files, "summary": imported.summary }));
        return;
    }
    let s = &imported.summary;
    let lang = context.term.lang();
    let imported_as = context.term.pick("已导入", "Imported").to_owned();
    context.term.item(Mark::Done, &format!("{imported_as}: {}", files.join("  ")));
    let facts = facts(context, s);
    let facts: Vec<(&str, String)> = facts.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    context.term.facts(&facts);
    features(context, s);
    outputs(context, s);
    for warning in &s.warnings {
        let text = if lang == Lang::Zh { &warning.zh } else { &warning.en };
        context.term.item(Mark::Point, text);
    }
    let next = folder.join(&imported.manifests[0].0).display().to_string();
    let (zh, en) = ("接下来：yunei model try", "Next: yunei model try");
    let line = format!("{} {}  ·  yunei model submit {next}", context.term.pick(zh, en), folder.display());
    context.term.note(&line);
}

fn facts(context: &Context, s: &Summary) -> Vec<(String, String)> {
    let pick = |zh: &str, en: &str| context.term.pick(zh, en).to_owned();
    let mut facts = vec![(pick("格式", "Format"), s.format.to_owned()), (pick("种类", "Kind"), s.kind.clone())];
    if s.trees > 0 {
        let (splits, deep) = (pick("个分裂", "splits"), pick("最深", "at most deep"));
        let lanes = pick("棵并行求值", "asked sixteen at once");
        let text = format!(
            "{}  ({} {splits}, {deep} {}, {} {lanes})",
            count(s.trees as u64),
            count(s.splits as u64),
            s.depth,
            count(s.trees_in_lanes as u64)
        );
        facts.push((pick("树", "Trees"), text));
    }
    if s.products > 0 {
        facts.push((pick("每行乘法", "Products per row"), count(s.products as u64)));
    }
    let pages = pick("页常量", "pages of constants");
    let bytes = format!("{}, {} {pages}", size(s.module_bytes as u64), s.memory_pages);
    facts.push((pick("模块", "Module"), bytes));
    facts
}

fn features(context: &mut Context, s: &Summary) {
    let headings =
        [("特征", "Feature"), ("原名", "In the file"), ("类型", "Type"), ("空值", "NULL"), ("编码", "Codes")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for f in &s.features {
        let codes: Vec<String> = f.categories.iter().take(4).enumerate().map(|(i, c)| format!("{i}={c}")).collect();
        let more = if f.categories.len() > 4 { " …" } else { "" };
        table.row([
            f.name.clone(),
            f.from.clone(),
            f.kind.to_owned(),
            f.missing.clone(),
            format!("{}{more}", codes.join(" ")),
        ]);
    }
    context.term.table(&table);
}

fn outputs(context: &mut Context, s: &Summary) {
    let headings = [("输出", "Answer"), ("含义", "Meaning"), ("范围", "Range"), ("每行燃料上限", "Most fuel per row")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for o in &s.outputs {
        let of = o.of.as_ref().map(|of| format!(" ({of})")).unwrap_or_default();
        let range = format!("{} … {}", decimal(o.min, 4), decimal(o.max, 4));
        table.row([o.export.clone(), format!("{}{of}", o.meaning), range, count(o.fuel)]);
    }
    context.term.table(&table);
}
