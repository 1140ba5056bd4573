//! What is checked with public keys alone: the whole log, receipts, checkpoints.

use super::{Context, Outcome, usage};
use crate::audit_args::ReceiptCommand;
use crate::term::{Mark, count};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use yunei_audit::{Archive, Checkpoint, Log, Receipt, ReceiptError, Trust};
use yunei_engine::{DomainError, Format};
use yunei_policy::Refusal;

/// At most how many bytes a list of keys has.
const MAX_KEYS: u64 = 64 * 1024;
/// At most how many bytes of a result file are digested.
const MAX_DATA: u64 = 4 << 30;

/// A log's folder, or a copy of its public part alone.
enum Copied {
    Whole(PathBuf),
    Public(PathBuf),
}

impl Copied {
    fn of(context: &Context, named: Option<&Path>) -> Self {
        match named {
            None => Self::Whole(context.home.join("log")),
            Some(path) if path.join("checkpoint").exists() => Self::Public(path.to_owned()),
            Some(path) => Self::Whole(path.to_owned()),
        }
    }
}

/// Checks a log, entry by entry, on all processors.
pub(crate) fn verify_log(
    context: &mut Context,
    keys: &[String],
    log: Option<&Path>,
    against: Option<&Path>,
) -> Outcome {
    let trust = trust(context, keys)?;
    let copied = Copied::of(context, log);
    let label = context.term.pick("核对日志", "Checking the log").to_owned();
    let bar = context.term.bar(&label, 0);
    let mut progress = |done: u64, total: u64| bar.move_to(done, total);
    let verdict = match &copied {
        Copied::Whole(dir) => Log::verify_with(dir, &trust, &mut progress),
        Copied::Public(dir) => Log::verify_public(dir, &trust, &mut progress),
    };
    bar.done();
    let verdict = verdict?;
    if let Some(path) = against {
        let bytes = read(path, 64 * 1024)?;
        let earlier = Checkpoint::parse(&bytes)
            .map_err(|_| usage("input/checkpoint", "这不是检查点", "this is no checkpoint"))?;
        let archive = match &copied {
            Copied::Whole(dir) => Archive::open(dir, &trust)?,
            Copied::Public(dir) => Archive::open_public(dir, &trust)?,
        };
        archive.extends(&earlier, &trust)?;
    }
    if context.term.is_json() {
        context.term.json(&json!({
            "verified": true, "size": verdict.size(), "root": verdict.root_hex(), "published": verdict.published(),
            "clock_steps_back": verdict.clock_steps_back(), "checkpoint": verdict.checkpoint().to_string(),
        }));
        return Ok(());
    }
    let text = context.term.pick("条记录与签名的检查点一致", "entries agree with the signed checkpoint").to_owned();
    context.term.item(Mark::Done, &format!("{} {text}", count(verdict.size())));
    if against.is_some() {
        let text = context.term.pick("日志是先前检查点的延续", "The log continues the earlier checkpoint").to_owned();
        context.term.item(Mark::Done, &text);
    }
    if verdict.clock_steps_back() > 0 {
        let text = context.term.pick("时钟曾向后跳的次数", "The clock stepped back, times").to_owned();
        context.term.note(&format!("{text}: {}", count(verdict.clock_steps_back())));
    }
    context.term.note(&format!("root {}", verdict.root_hex()));
    Ok(())
}

/// Prints the newest signed checkpoint, without a lock.
pub(crate) async fn checkpoint(context: &mut Context) -> Outcome {
    if let Some(remote) = context.server()? {
        let (checkpoint, text) = remote.checkpoint().await?;
        if context.term.is_json() {
            context.term.json(&json!({ "size": checkpoint.size(), "checkpoint": text }));
        } else {
            context.term.raw(&text);
        }
        return Ok(());
    }
    let trust = trust(context, &[])?;
    let archive = Archive::open(&context.home.join("log"), &trust)?;
    let text = archive.checkpoint().to_string();
    if context.term.is_json() {
        context.term.json(&json!({ "size": archive.size(), "checkpoint": text }));
    } else {
        context.term.raw(&text);
    }
    Ok(())
}

/// The keys that were named, as texts or files; else the home's.
fn trust(context: &Context, named: &[String]) -> Result<Trust, DomainError> {
    if !named.is_empty() {
        return read_trust(named);
    }
    let text = std::fs::read_to_string(context.home.join("keys/log.vkey")).map_err(|_| {
        DomainError::NotFound(
            Refusal::new("home/absent", "这里没有域的公钥", "there is no domain's public key here")
                .hint("用 --key 指明公钥", "name the public key with --key"),
        )
    })?;
    Trust::parse(&text).map_err(|_| wrong_key())
}

fn wrong_key() -> DomainError {
    usage("input/key", "公钥无法读取", "that is no public key")
}

/// Keys as texts, or files with one a line.
pub(crate) fn read_trust(named: &[String]) -> Result<Trust, DomainError> {
    let mut lines = String::new();
    for text in named {
        if text.contains('+') && !Path::new(text).exists() {
            lines.push_str(text);
        } else {
            let bytes = read(Path::new(text), MAX_KEYS).map_err(|_| wrong_key())?;
            lines.push_str(&String::from_utf8(bytes).map_err(|_| wrong_key())?);
        }
        lines.push('\n');
    }
    Trust::parse(&lines).map_err(|_| wrong_key())
}

pub(crate) async fn receipt(context: &mut Context, command: ReceiptCommand) -> Outcome {
    match command {
        ReceiptCommand::Show { run } => {
            let text = context.face().await?.receipt(&run).await?;
            if context.term.is_json() {
                let receipt = Receipt::parse(text.as_bytes()).map_err(|_| malformed())?;
                context.term.json(&receipt.to_json());
            } else {
                context.term.text(&text);
            }
            Ok(())
        }
        ReceiptCommand::Verify { file, mut key, data } => {
            if let (true, Some(remote)) = (key.is_empty(), context.server()?) {
                key.push(remote.text("/v1/key").await?.trim().to_owned());
            }
            verify_receipt(context, &file, &key, data.as_deref())
        }
    }
}

fn malformed() -> DomainError {
    usage("receipt/malformed", "这不是凭证", "this is no receipt")
}

fn verify_receipt(context: &mut Context, file: &Path, keys: &[String], data: Option<&Path>) -> Outcome {
    let trust = trust(context, keys)?;
    let bytes = read(file, yunei_audit::MAX_RECEIPT_BYTES as u64)?;
    let receipt = Receipt::parse(&bytes).map_err(|_| malformed())?;
    let verified = receipt.verify_with(&trust).map_err(|error| {
        let refusal = Refusal::new(error.code(), error.text_zh(), error.text_en());
        DomainError::from(match error {
            ReceiptError::Signature => refusal.hint(
                "密钥更换过的日志，请用 --key 同时给出新旧公钥",
                "of a log whose key was replaced, name all its public keys with --key",
            ),
            _ => refusal,
        })
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
        context.term.json(&json!({
            "verified": true, "index": verified.index(), "size": verified.checkpoint().size(),
            "origin": verified.checkpoint().origin(), "witnesses": verified.witnesses(), "kind": verified.entry().kind(),
            "body": verified.body(),
        }));
        return Ok(());
    }
    let text = context.term.pick("凭证有效，日志位置", "The receipt holds, at place").to_owned();
    let origin = verified.checkpoint().origin().to_owned();
    context.term.item(Mark::Done, &format!("{text} {} / {}  {origin}", verified.index(), verified.checkpoint().size()));
    if !verified.witnesses().is_empty() {
        let text = context.term.pick("联署的见证方", "Cosigned by").to_owned();
        context.term.note(&format!("{text}: {}", verified.witnesses().join(", ")));
    }
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
