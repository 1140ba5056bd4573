//! What is checked with public keys alone: the whole log, receipts, checkpoints.

use super::{Context, Outcome, usage};
use crate::audit_args::ReceiptCommand;
use crate::term::{Mark, count};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use yunei_audit::{
    Archive, Checkpoint, Keyring, Log, Receipt, ReceiptError, Sm2Status, Trust, Verdict, VerifiedReceipt,
};
use yunei_engine::logyears::{check_chain, kept_logs, public_log_keys};
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

impl Copied {
    fn folder(&self) -> &Path {
        match self {
            Self::Whole(dir) | Self::Public(dir) => dir,
        }
    }

    /// The keys of the log that this is a copy of.
    fn trust(&self, keys: &Keyring) -> Result<Trust, DomainError> {
        let path = match self {
            Self::Whole(dir) => dir.join("public/checkpoint"),
            Self::Public(dir) => dir.join("checkpoint"),
        };
        // Only which keys to take: they decide whether it is to be believed. Where it does not say, the newest are.
        let text = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let known = text.lines().next().and_then(|origin| keys.of(origin));
        Ok(known.unwrap_or(keys.current()).clone())
    }

    fn verify(&self, trust: &Trust, progress: &mut dyn FnMut(u64, u64)) -> Result<Verdict, DomainError> {
        Ok(match self {
            Self::Whole(dir) => Log::verify_with(dir, trust, progress)?,
            Self::Public(dir) => Log::verify_public(dir, trust, progress)?,
        })
    }

    fn open(&self, trust: &Trust) -> Result<Archive, DomainError> {
        Ok(match self {
            Self::Whole(dir) => Archive::open(dir, trust)?,
            Self::Public(dir) => Archive::open_public(dir, trust)?,
        })
    }
}

/// A log that was checked.
struct Checked {
    /// Its year, of a log of an earlier one.
    year: Option<String>,
    copied: Copied,
    trust: Trust,
    verdict: Verdict,
    sm2: Sm2Status,
}

/// Checks a log, entry by entry, on all processors; of a home, the logs of all years that can be reached.
pub(crate) fn verify_log(
    context: &mut Context,
    named: &[String],
    log: Option<&Path>,
    against: Option<&Path>,
    require_sm2: bool,
) -> Outcome {
    let keys = keyring(context, named)?;
    let mut all = vec![(None, Copied::of(context, log))];
    let mut away = Vec::new();
    if log.is_none() {
        for kept in kept_logs(&context.home)? {
            if kept.moved && !kept.dir.join("public/checkpoint").exists() {
                away.push(kept.year);
            } else {
                all.push((Some(kept.year), Copied::Whole(kept.dir)));
            }
        }
    }
    let mut checked = Vec::new();
    for (year, copied) in all {
        checked.push(verify_one(context, &keys, year, copied)?);
    }
    if log.is_none() {
        let current = checked[0].copied.open(&checked[0].trust)?;
        check_chain(&current, &keys, &kept_logs(&context.home)?)?;
    }
    if let Some(path) = against {
        continues(&checked, path)?;
    }
    if require_sm2 && checked[0].sm2 != Sm2Status::Verified {
        return Err(sm2_missing("audit/sm2", checked[0].sm2));
    }
    tell_checked(context, &checked, &away, against.is_some());
    Ok(())
}

fn verify_one(context: &Context, keys: &Keyring, year: Option<String>, copied: Copied) -> Result<Checked, DomainError> {
    let trust = copied.trust(keys)?;
    let mut label = context.term.pick("核对日志", "Checking the log").to_owned();
    if let Some(year) = &year {
        label = format!("{label} {year}");
    }
    let bar = context.term.bar(&label, 0);
    let verdict = copied.verify(&trust, &mut |done, total| bar.move_to(done, total));
    bar.done();
    let verdict = verdict?;
    let sm2 = trust.sm2(verdict.checkpoint()).map_err(|_| yunei_audit::LogError::Key)?;
    Ok(Checked { year, copied, trust, verdict, sm2 })
}

/// The log of the earlier checkpoint's name must go on from it.
fn continues(checked: &[Checked], path: &Path) -> Result<(), DomainError> {
    let bytes = read(path, 64 * 1024)?;
    let earlier =
        Checkpoint::parse(&bytes).map_err(|_| usage("input/checkpoint", "这不是检查点", "this is no checkpoint"))?;
    let of = checked.iter().find(|one| one.trust.origin() == earlier.origin()).unwrap_or(&checked[0]);
    Ok(of.copied.open(&of.trust)?.extends(&earlier, &of.trust)?)
}

fn tell_checked(context: &mut Context, checked: &[Checked], away: &[String], against: bool) {
    let (newest, earlier) = (&checked[0], &checked[1..]);
    let verdict = &newest.verdict;
    if context.term.is_json() {
        let years: Vec<_> = earlier
            .iter()
            .map(|one| {
                json!({
                    "year": one.year, "size": one.verdict.size(), "root": one.verdict.root_hex(),
                    "sm2": one.sm2.as_str(), "folder": one.copied.folder(),
                })
            })
            .collect();
        context.term.json(&json!({
            "verified": true, "size": verdict.size(), "root": verdict.root_hex(), "published": verdict.published(),
            "clock_steps_back": verdict.clock_steps_back(), "checkpoint": verdict.checkpoint().to_string(),
            "sm2": newest.sm2.as_str(), "years": years, "out_of_reach": away,
        }));
        return;
    }
    let text = context.term.pick("条记录与签名的检查点一致", "entries agree with the signed checkpoint").to_owned();
    for one in checked {
        let year = one.year.as_ref().map(|year| format!("{year}: ")).unwrap_or_default();
        context.term.item(Mark::Done, &format!("{year}{} {text}", count(one.verdict.size())));
    }
    if !earlier.is_empty() {
        let text = context.term.pick("各年度日志首尾相接", "The logs of the years follow one another").to_owned();
        context.term.item(Mark::Done, &text);
    }
    for year in away {
        let text = context.term.pick("已移出、当前不可读取，未核对", "moved and out of reach: NOT checked").to_owned();
        context.term.note(&format!("{year}: {text}"));
    }
    if against {
        let text = context.term.pick("日志是先前检查点的延续", "The log continues the earlier checkpoint").to_owned();
        context.term.item(Mark::Done, &text);
    }
    tell_sm2(context, newest.sm2);
    if verdict.clock_steps_back() > 0 {
        let text = context.term.pick("时钟曾向后跳的次数", "The clock stepped back, times").to_owned();
        context.term.note(&format!("{text}: {}", count(verdict.clock_steps_back())));
    }
    context.term.note(&format!("root {}", verdict.root_hex()));
}

/// Says what was done about the SM2 signature, where a key of that kind is known.
fn tell_sm2(context: &mut Context, sm2: Sm2Status) {
    let (zh, en) = match sm2 {
        Sm2Status::NoKey => return,
        Sm2Status::Verified => ("SM2 签名有效", "The SM2 signature holds"),
        Sm2Status::Absent => ("检查点没有 SM2 签名", "The checkpoint has no SM2 signature"),
        Sm2Status::NotChecked => (
            "SM2 签名未核验：本程序编译时未启用 sm 功能",
            "The SM2 signature was NOT checked: this program was built without SM2 (feature sm)",
        ),
    };
    let text = context.term.pick(zh, en).to_owned();
    if sm2 == Sm2Status::Verified {
        context.term.item(Mark::Done, &text);
    } else {
        context.term.note(&text);
    }
}

fn sm2_missing(code: &'static str, sm2: Sm2Status) -> DomainError {
    match sm2 {
        Sm2Status::NotChecked => super::years::no_sm2(),
        Sm2Status::NoKey => Refusal::new(code, "未提供 SM2 公钥", "no SM2 public key was given")
            .hint("请用 --key 给出含 SM2 公钥的 log.vkey", "name a log.vkey with the SM2 public key with --key")
            .into(),
        _ => Refusal::new(code, "检查点没有 SM2 签名", "the checkpoint has no SM2 signature").into(),
    }
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
    let keys = keyring(context, &[])?;
    let archive = Archive::open(&context.home.join("log"), keys.current())?;
    let text = archive.checkpoint().to_string();
    if context.term.is_json() {
        context.term.json(&json!({ "size": archive.size(), "checkpoint": text }));
    } else {
        context.term.raw(&text);
    }
    Ok(())
}

/// The keys that were named, as texts or files; else the home's.
fn keyring(context: &Context, named: &[String]) -> Result<Keyring, DomainError> {
    if named.is_empty() { public_log_keys(&context.home) } else { read_keys(named) }
}

fn wrong_key() -> DomainError {
    usage("input/key", "公钥无法读取", "that is no public key")
}

/// Keys as texts, or files with one a line.
pub(crate) fn read_keys(named: &[String]) -> Result<Keyring, DomainError> {
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
    Keyring::parse(&lines).map_err(|_| wrong_key())
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
        ReceiptCommand::Verify { file, mut key, data, require_sm2 } => {
            if let (true, Some(remote)) = (key.is_empty(), context.server()?) {
                key.push(remote.text("/v1/key").await?.trim().to_owned());
            }
            verify_receipt(context, &file, &key, data.as_deref(), require_sm2)
        }
    }
}

fn malformed() -> DomainError {
    usage("receipt/malformed", "这不是凭证", "this is no receipt")
}

fn verify_receipt(
    context: &mut Context,
    file: &Path,
    named: &[String],
    data: Option<&Path>,
    require_sm2: bool,
) -> Outcome {
    let keys = keyring(context, named)?;
    let bytes = read(file, yunei_audit::MAX_RECEIPT_BYTES as u64)?;
    let receipt = Receipt::parse(&bytes).map_err(|_| malformed())?;
    // The log of the year that the receipt names; a name that there is no key of fails on the signature.
    let trust = keys.of(receipt.checkpoint().origin()).unwrap_or(keys.current());
    let verified = receipt.verify_with(trust).map_err(|error| {
        let refusal = Refusal::new(error.code(), error.text_zh(), error.text_en());
        DomainError::from(match error {
            ReceiptError::Signature => refusal.hint(
                "密钥更换过的日志，请用 --key 同时给出新旧公钥",
                "of a log whose key was replaced, name all its public keys with --key",
            ),
            _ => refusal,
        })
    })?;
    let sm2 = trust.sm2(verified.checkpoint()).map_err(|_| malformed())?;
    if require_sm2 && sm2 != Sm2Status::Verified {
        return Err(sm2_missing("receipt/sm2", sm2));
    }
    if let Some(path) = data {
        check_data(&verified, path)?;
    }
    tell_receipt(context, &verified, sm2);
    Ok(())
}

/// A result file is the one that the receipt is about.
fn check_data(verified: &VerifiedReceipt, path: &Path) -> Outcome {
    let name = match Format::of_path(path) {
        Some(Format::Json) => "json",
        Some(Format::Csv) => "csv",
        Some(Format::Arrow) => "arrow",
        Some(Format::Parquet) => "parquet",
        None => return Err(usage("input/output", "结果文件的格式未知", "the result file is of no known form")),
    };
    let found: String = digest(&SHA256, &read(path, MAX_DATA)?).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    if verified.body()["released"][name].as_str() == Some(found.as_str()) {
        return Ok(());
    }
    let (zh, en) = ("结果文件不是凭证所述的那一份", "the result file is not the one of the receipt");
    Err(Refusal::new("receipt/data", zh, en).into())
}

fn tell_receipt(context: &mut Context, verified: &VerifiedReceipt, sm2: Sm2Status) {
    if context.term.is_json() {
        context.term.json(&json!({
            "verified": true, "index": verified.index(), "size": verified.checkpoint().size(),
            "origin": verified.checkpoint().origin(), "witnesses": verified.witnesses(), "kind": verified.entry().kind(),
            "sm2": sm2.as_str(), "body": verified.body(),
        }));
        return;
    }
    let text = context.term.pick("凭证有效，日志位置", "The receipt holds, at place").to_owned();
    let origin = verified.checkpoint().origin().to_owned();
    context.term.item(Mark::Done, &format!("{text} {} / {}  {origin}", verified.index(), verified.checkpoint().size()));
    if !verified.witnesses().is_empty() {
        let text = context.term.pick("联署的见证方", "Cosigned by").to_owned();
        context.term.note(&format!("{text}: {}", verified.witnesses().join(", ")));
    }
    tell_sm2(context, sm2);
    context.term.text(&serde_json::to_string_pretty(verified.body()).unwrap_or_default());
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
