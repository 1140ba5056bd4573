//! The log and its receipts.

use super::{Context, Outcome, usage};
use crate::args::{AuditCommand, ReceiptCommand};
use crate::term::{Column, Mark, Table, count};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::io::Read;
use std::path::Path;
use yunei_audit::{Entry, Log, Receipt, VerifyingKey};
use yunei_engine::dates::format_instant;
use yunei_engine::{DomainError, Format};
use yunei_policy::Refusal;

/// At most how many bytes of a result file are digested.
const MAX_DATA: u64 = 4 << 30;

pub(crate) async fn audit(context: &mut Context, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::Verify { key } => verify_log(context, key.as_deref()),
        AuditCommand::List { last } => {
            let domain = context.domain().await?;
            let size = domain.log().size();
            let entries = domain.log().entries(size.saturating_sub(last)..size).collect::<Result<Vec<_>, _>>()?;
            if context.term.is_json() {
                let all: Vec<_> = entries.iter().map(|(index, entry)| view(*index, entry)).collect();
                context.term.json(&json!({ "size": size, "entries": all }));
                return Ok(());
            }
            let headings = [("序号", "#"), ("时间", "At"), ("事项", "What"), ("机构", "Institution"), ("对象", "Of")];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for (index, entry) in &entries {
                let field = |names: &[&str]| {
                    let found = names.iter().find_map(|n| entry.fields().get(*n).and_then(|v| v.as_str()));
                    found.unwrap_or("–").to_owned()
                };
                table.row([
                    index.to_string(),
                    format_instant(entry.at_millis()),
                    entry.kind().to_owned(),
                    field(&["institution", "by"]),
                    field(&["run", "product", "model", "dataset", "subject", "grant"]),
                ]);
            }
            context.term.table(&table);
            Ok(())
        }
        AuditCommand::Show { index } => {
            let domain = context.domain().await?;
            let entry = domain.log().entry(index).map_err(|_| {
                DomainError::NotFound(Refusal::new("audit/no-entry", "日志中没有这一条", "the log has no such entry"))
            })?;
            let shown = view(index, &entry);
            if context.term.is_json() {
                context.term.json(&shown);
            } else {
                context.term.text(&serde_json::to_string_pretty(&shown).unwrap_or_default());
            }
            Ok(())
        }
    }
}

fn view(index: u64, entry: &Entry) -> serde_json::Value {
    json!({ "index": index, "at": format_instant(entry.at_millis()), "kind": entry.kind(), "fields": entry.fields() })
}

fn verify_log(context: &mut Context, key: Option<&str>) -> Outcome {
    let key = public_key(context, key)?;
    let label = context.term.pick("核对日志", "Checking the log").to_owned();
    let bar = context.term.bar(&label, 100);
    let verdict = Log::verify(&context.home.join("log"), &key, &mut |done, total| {
        bar.set(done.saturating_mul(100) / total.max(1));
    });
    bar.done();
    let verdict = verdict?;
    if context.term.is_json() {
        context.term.json(&json!({ "verified": true, "size": verdict.size(), "root": verdict.root_hex() }));
        return Ok(());
    }
    let text = context.term.pick("条记录与签名的检查点一致", "entries agree with the signed checkpoint").to_owned();
    context.term.item(Mark::Done, &format!("{} {text}", count(verdict.size())));
    context.term.note(&format!("root {}", verdict.root_hex()));
    Ok(())
}

/// The key that was named, as text or file; else the home's.
fn public_key(context: &Context, named: Option<&str>) -> Result<VerifyingKey, DomainError> {
    let wrong = || usage("input/key", "公钥无法读取", "that is no public key");
    let text = match named {
        Some(text) if text.contains('+') => text.to_owned(),
        Some(path) => std::fs::read_to_string(path).map_err(|_| wrong())?,
        None => std::fs::read_to_string(context.home.join("keys/log.vkey")).map_err(|_| {
            DomainError::NotFound(
                Refusal::new("home/absent", "这里没有域的公钥", "there is no domain's public key here")
                    .hint("用 --key 指明公钥", "name the public key with --key"),
            )
        })?,
    };
    text.trim().parse().map_err(|_| wrong())
}

pub(crate) async fn receipt(context: &mut Context, command: ReceiptCommand) -> Outcome {
    match command {
        ReceiptCommand::Show { run } => {
            let domain = context.domain().await?;
            let text = domain.receipt(&run).await?;
            if context.term.is_json() {
                let receipt = Receipt::parse(text.as_bytes()).map_err(|_| malformed())?;
                context.term.json(&receipt.to_json());
            } else {
                context.term.text(&text);
            }
            Ok(())
        }
        ReceiptCommand::Verify { file, key, data } => verify_receipt(context, &file, key.as_deref(), data.as_deref()),
    }
}

fn malformed() -> DomainError {
    usage("receipt/malformed", "这不是凭证", "this is no receipt")
}

fn verify_receipt(context: &mut Context, file: &Path, key: Option<&str>, data: Option<&Path>) -> Outcome {
    let key = public_key(context, key)?;
    let bytes = read(file, yunei_audit::MAX_RECEIPT_BYTES as u64)?;
    let receipt = Receipt::parse(&bytes).map_err(|_| malformed())?;
    let verified = receipt.verify(&key).map_err(|_| {
        DomainError::from(Refusal::new(
            "receipt/invalid",
            "凭证与日志的签名不符",
            "the receipt does not agree with the log's signature",
        ))
    })?;
    if let Some(path) = data {
        let name = match Format::of_path(path) {
            Some(Format::Json) => "json",
            Some(Format::Csv) => "csv",
            Some(Format::Arrow) => "arrow",
            Some(Format::Parquet) => "parquet",
            None => return Err(usage("input/output", "结果文件的格式未知", "the result file is of no known form")),
        };
        let found: String =
            digest(&SHA256, &read(path, MAX_DATA)?).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        if verified.body()["released"][name].as_str() != Some(found.as_str()) {
            return Err(Refusal::new(
                "receipt/data",
                "结果文件不是凭证所述的那一份",
                "the result file is not the one of the receipt",
            )
            .into());
        }
    }
    if context.term.is_json() {
        context.term.json(&json!({ "verified": true, "index": verified.index(), "body": verified.body() }));
        return Ok(());
    }
    let text = context.term.pick("凭证有效，日志位置", "The receipt holds, at place").to_owned();
    context.term.item(Mark::Done, &format!("{text} {}", verified.index()));
    context.term.text(&serde_json::to_string_pretty(verified.body()).unwrap_or_default());
    Ok(())
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, DomainError> {
    let absent = |_: std::io::Error| {
        DomainError::NotFound(
            Refusal::new("input/no-file", "没有这个文件，或无法读取", "there is no such file, or it can not be read")
                .at(path.display().to_string()),
        )
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(absent)?.take(most + 1).read_to_end(&mut bytes).map_err(absent)?;
    if bytes.len() as u64 > most {
        return Err(usage("input/too-large", "文件过大", "the file is too large"));
    }
    Ok(bytes)
}
