//! The log: reading it, metering, proofs.

use super::{Context, Draft, Outcome, proof, replay, usage, witness, years};
use crate::audit_args::{AuditCommand, DayArgs, FilterArgs, PeriodArg};
use crate::term::{Column, Mark, Table, count, decimal};
use serde_json::{Map, Value, json};
use std::path::Path;
use yunei_engine::domain::{AuditLine, AuditQuery, ExportFormat, UsageLine, UsageQuery, usage_csv};
use yunei_engine::product::PriceClass;

/// Why the log's key is not replaced from afar.
const KEYS: (&str, &str) = ("日志私钥不离开域所在的机器", "the log's private key never leaves the domain's machine");

pub(crate) async fn audit(context: &mut Context, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::List { filter, last, before } => list(context, filter, usize::from(last), before).await,
        AuditCommand::Show { index, year } => show(context, year.as_deref(), index).await,
        AuditCommand::Stats { filter } => stats(context, filter).await,
        AuditCommand::Usage { institution, product, days, period, csv } => {
            meter(context, (institution, product), &days, period, csv.as_deref()).await
        }
        AuditCommand::Export { filter, output } => export(context, filter, &output).await,
        AuditCommand::Prove { index: Some(index), year, .. } => prove(context, year.as_deref(), index).await,
        AuditCommand::Prove { index: None, consistency, year } => {
            consistent(context, year.as_deref(), consistency.unwrap_or(0)).await
        }
        AuditCommand::Verify { key, log, against, require_sm2 } => {
            if log.is_none() {
                let (zh, en) = (
                    "核对日志的人不应轻信服务器，请用 --log 指明日志副本，用 --key 指明公钥",
                    "who checks a log does not take the server's word for it: name a copy with --log, its key with --key",
                );
                context.here(zh, en)?;
            }
            proof::verify_log(context, &key, log.as_deref(), against.as_deref(), require_sm2)
        }
        AuditCommand::Checkpoint => proof::checkpoint(context).await,
        AuditCommand::Logs => years::list(context).await,
        AuditCommand::Seal => years::seal(context).await,
        AuditCommand::Move { year, to, place } => years::move_log(context, &year, &to, place.as_deref()).await,
        AuditCommand::AddSm2Key => years::add_sm2_key(context),
        AuditCommand::Replay { runs, recorded_policy, identity, claims, consent, .. } if !identity.is_empty() => {
            let subject = super::verify::subject(&identity, &claims, consent.as_deref())?;
            replay::verification(context, &runs, &subject, recorded_policy).await
        }
        AuditCommand::Replay { runs, all, recorded_policy, .. } => {
            replay::replay(context, runs, all, recorded_policy).await
        }
        AuditCommand::Witness { dir, name, listen, logs } => witness::serve(context, &dir, &name, listen, &logs).await,
        AuditCommand::RotateKey => {
            context.here(KEYS.0, KEYS.1)?;
            witness::rotate_key(context)
        }
        AuditCommand::EndOverlap => {
            context.here(KEYS.0, KEYS.1)?;
            witness::end_overlap(context)
        }
    }
}

impl From<FilterArgs> for AuditQuery {
    fn from(args: FilterArgs) -> Self {
        let (from_millis, until_millis) = args.days.millis();
        Self {
            institution: args.institution,
            product: args.product,
            dataset: args.dataset,
            outcome: args.outcome.map(Into::into),
            purpose: args.purpose,
            run: args.run,
            kind: args.kind,
            from_millis,
            until_millis,
            year: args.year,
        }
    }
}

async fn list(context: &mut Context, filter: FilterArgs, last: usize, before: Option<u64>) -> Outcome {
    let domain = context.face().await?;
    let page = domain.audit_list(&context.actor("authority"), &filter.into(), last, before).await?;
    if context.term.is_json() {
        context.term.json(&page);
        return Ok(());
    }
    let headings =
        [("序号", "#"), ("时间", "At"), ("事项", "What"), ("机构", "Institution"), ("对象", "Of"), ("用途", "Purpose")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    // The oldest of the page first, so that the newest stands last on the screen.
    for line in page.entries.iter().rev() {
        let of = subject(line);
        let field = |names: &[&str]| text(&line.fields, names);
        table.row([
            line.index.to_string(),
            line.at.clone(),
            line.kind.clone(),
            field(&["institution", "by"]),
            of,
            field(&["purpose"]),
        ]);
    }
    context.term.table(&table);
    if let Some(before) = page.before {
        let more = context.term.pick("更早的记录：加上 --before", "Older ones: add --before").to_owned();
        context.term.note(&format!("{more} {before}"));
    }
    Ok(())
}

fn text(fields: &Map<String, Value>, names: &[&str]) -> String {
    let found = names.iter().find_map(|name| fields.get(*name).and_then(Value::as_str));
    found.unwrap_or("–").to_owned()
}

/// What an entry is about: of a use, its product and its id.
fn subject(line: &AuditLine) -> String {
    let of = |names: &[&str]| text(&line.fields, names);
    match (line.fields.get("product").and_then(Value::as_str), line.fields.get("run").and_then(Value::as_str)) {
        (Some(product), Some(run)) => format!("{product} {run}"),
        _ => of(&["run", "product", "model", "dataset", "subject", "grant", "next"]),
    }
}

/// The domain, for a question about the log of an earlier year.
async fn of_year(context: &Context) -> Result<yunei_engine::Domain, yunei_engine::DomainError> {
    context.here("往年的日志请在域所在的机器上查阅", "logs of earlier years are read at the domain's machine")?;
    context.domain().await
}

async fn show(context: &mut Context, year: Option<&str>, index: u64) -> Outcome {
    let actor = context.actor("authority");
    let line = match year {
        Some(year) => of_year(context).await?.audit_entry_of(&actor, Some(year), index).await?,
        None => context.face().await?.audit_entry(&actor, index).await?,
    };
    if context.term.is_json() {
        context.term.json(&line);
    } else {
        context.term.text(&serde_json::to_string_pretty(&line).unwrap_or_default());
    }
    Ok(())
}

async fn stats(context: &mut Context, filter: FilterArgs) -> Outcome {
    let domain = context.face().await?;
    let stats = domain.audit_stats(&context.actor("authority"), &filter.into()).await?;
    if context.term.is_json() {
        context.term.json(&stats);
        return Ok(());
    }
    let dash = "–".to_owned();
    let (entries, bytes) =
        (context.term.pick("条数", "Entries").to_owned(), context.term.pick("字节", "Bytes").to_owned());
    let (first, last) = (context.term.pick("最早", "First").to_owned(), context.term.pick("最晚", "Last").to_owned());
    context.term.facts(&[
        (&entries, count(stats.entries)),
        (&bytes, count(stats.bytes)),
        (&first, stats.first_at.clone().unwrap_or(dash.clone())),
        (&last, stats.last_at.clone().unwrap_or(dash)),
    ]);
    let headings = [Column::left(context.term.pick("事项", "What")), Column::right(context.term.pick("次数", "Times"))];
    let mut table = Table::new(headings);
    for (kind, times) in &stats.by_kind {
        table.row([kind.clone(), count(*times)]);
    }
    context.term.blank();
    context.term.table(&table);
    Ok(())
}

async fn meter(
    context: &mut Context,
    (institution, product): (Option<String>, Option<String>),
    days: &DayArgs,
    period: PeriodArg,
    csv: Option<&Path>,
) -> Outcome {
    let (from_millis, until_millis) = days.millis();
    let draft = csv.map(Draft::create).transpose()?;
    let query = UsageQuery { institution, product, from_millis, until_millis, period: period.into() };
    let domain = context.face().await?;
    let lines = domain.audit_usage(&context.actor("authority"), &query).await?;
    if let Some(draft) = draft {
        draft.finish(usage_csv(&lines).as_bytes())?;
    }
    if context.term.is_json() {
        context.term.json(&json!({ "lines": lines }));
        return Ok(());
    }
    let table = usage_table(context, &lines);
    context.term.table(&table);
    if let Some(path) = csv {
        let written = context.term.pick("已写入", "Written to").to_owned();
        context.term.item(Mark::Done, &format!("{written} {}", path.display()));
    }
    Ok(())
}

fn usage_table(context: &Context, lines: &[UsageLine]) -> Table {
    let left =
        [("期间", "Period"), ("机构", "Institution"), ("产品", "Product"), ("用途", "Purpose"), ("价格", "Price")];
    let right = [
        ("发布", "Released"),
        ("重复", "Repeated"),
        ("核验", "Answered"),
        ("拒绝", "Refused"),
        ("失败", "Failed"),
        ("计费", "Billable"),
        ("ρ", "ρ"),
    ];
    let pick = |(zh, en): (&'static str, &'static str)| context.term.pick(zh, en);
    let columns = left.map(|text| Column::left(pick(text))).into_iter();
    let mut table = Table::new(columns.chain(right.map(|text| Column::right(pick(text)))));
    for line in lines {
        let price = match line.price_class {
            Some(PriceClass::Free) => pick(("无偿", "free")),
            Some(PriceClass::Charged) => pick(("收费", "charged")),
            None => pick(("未定", "none")),
        };
        let texts = [&line.period, &line.institution, &line.product, &line.purpose].map(Clone::clone).into_iter();
        let numbers =
            [line.released, line.repeated, line.answered, line.refused, line.failed, line.billable].map(count);
        table.row(texts.chain([price.to_owned()]).chain(numbers).chain([decimal(line.rho, 6)]));
    }
    table
}

async fn export(context: &mut Context, filter: FilterArgs, output: &Path) -> Outcome {
    let format = match output.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl" | "ndjson") => ExportFormat::Jsonl,
        Some("parquet") => ExportFormat::Parquet,
        _ => {
            let (zh, en) = ("输出文件须以 .jsonl 或 .parquet 结尾", "the output ends in .jsonl or .parquet");
            return Err(usage("input/output", zh, en));
        }
    };
    let draft = Draft::create(output)?;
    let domain = context.face().await?;
    let label = context.term.pick("导出日志", "Exporting the log").to_owned();
    let spinner = context.term.spinner(&label);
    let written = domain.audit_export(&context.actor("authority"), &filter.into(), format, draft.writer()?).await;
    spinner.done();
    let written = written?;
    draft.place()?;
    let written = written.or_else(|| rows_of(output)).unwrap_or(0);
    if context.term.is_json() {
        context.term.json(&json!({ "file": output, "entries": written }));
        return Ok(());
    }
    let text = context.term.pick("条记录已写入", "entries written to").to_owned();
    context.term.item(Mark::Done, &format!("{} {text} {}", count(written), output.display()));
    Ok(())
}

async fn prove(context: &mut Context, year: Option<&str>, index: u64) -> Outcome {
    let actor = context.actor("authority");
    let proof = match year {
        Some(year) => of_year(context).await?.audit_prove_of(&actor, Some(year), index).await?,
        None => context.face().await?.audit_prove(&actor, index).await?,
    };
    if context.term.is_json() {
        context.term.json(&json!({ "index": index, "proof": proof }));
    } else {
        context.term.raw(&proof);
    }
    Ok(())
}

async fn consistent(context: &mut Context, year: Option<&str>, old: u64) -> Outcome {
    let actor = context.actor("authority");
    let (hashes, checkpoint) = match year {
        Some(year) => {
            let (hashes, checkpoint) = of_year(context).await?.audit_consistency_of(&actor, Some(year), old).await?;
            (hashes.iter().map(|hash| hex(hash)).collect(), checkpoint)
        }
        None => context.face().await?.audit_consistency(&actor, old).await?,
    };
    if context.term.is_json() {
        context.term.json(&json!({ "old": old, "proof": hashes, "checkpoint": checkpoint }));
        return Ok(());
    }
    context.term.raw(&format!("old {old}\n{}\n\n{checkpoint}", hashes.join("\n")));
    Ok(())
}

/// How many rows a Parquet file has.
fn rows_of(path: &Path) -> Option<u64> {
    let file = std::fs::File::open(path).ok()?;
    let reader = datafusion::parquet::file::reader::SerializedFileReader::new(file).ok()?;
    u64::try_from(datafusion::parquet::file::reader::FileReader::metadata(&reader).file_metadata().num_rows()).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
