//! Verifications, and what belongs to them: batches, indexes, alarms, issuers, consents.

use super::{Context, Draft, Outcome, clock, usage};
use crate::args::pair;
use crate::face::Verified;
use crate::term::{Cell, Column, Mark, Table};
use crate::verify_args::{ConsentCommand, IssuerCommand, SignArgs, VerifyArgs, VerifyCommand};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use yunei_engine::dates::format_instant;
use yunei_engine::{
    BatchItem, BatchRequest, ConsentAlgorithm, ConsentKey, ConsentSigner, ConsentTerms, DomainError, VerifyRequest,
};
use yunei_policy::words::{State, UnitKind};
use yunei_policy::{Refusal, Text};

/// At most how many bytes of a key, a token or a batch are read.
const MAX_SMALL: u64 = 16 * 1024;
const MAX_BATCH: u64 = 16 << 20;

pub(crate) async fn verify(context: &mut Context, args: VerifyArgs) -> Outcome {
    match args.command {
        Some(command) => commands(context, command).await,
        None => one(context, args).await,
    }
}

async fn one(context: &mut Context, args: VerifyArgs) -> Outcome {
    let (claim, claims) = claims(&args.claims);
    let request = VerifyRequest {
        institution: context.actor("business"),
        product: args.product.unwrap_or_default(),
        identity: identity(&args.identity)?,
        claim,
        claims,
        purpose: args.purpose.unwrap_or_default(),
        scene: args.scene,
        serial: args.serial,
        consent: args.consent.as_deref().map(token).transpose()?,
        credential: None,
    };
    let receipt = args.receipt.as_deref().map(Draft::create).transpose()?;
    let domain = context.face().await?;
    let answer = domain.verify(&request).await;
    domain.close().await;
    let Verified { document, receipt: text } = answer?;
    if let Some(receipt) = receipt {
        receipt.finish(text.as_bytes())?;
    }
    if context.term.is_json() {
        context.term.json(&document);
        return Ok(());
    }
    let told = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    context.term.item(Mark::Done, &told("answer"));
    let run = context.term.pick("核验编号", "Verification").to_owned();
    context.term.note(&format!("{run}: {}", told("verification")));
    let as_of = context.term.pick("数据截至", "Data as of").to_owned();
    context.term.note(&format!("{as_of}: {}", told("as_of")));
    if document["repeated"] == true {
        let text =
            context.term.pick("同一流水号：给出已记录的答复", "The same serial number: the recorded answer again");
        let text = text.to_owned();
        context.term.note(&text);
    }
    Ok(())
}

/// The subject of a verification that is replayed, as it was asked about.
pub(crate) fn subject(
    identity: &[String],
    claims: &[String],
    consent: Option<&Path>,
) -> Result<VerifyRequest, DomainError> {
    let (claim, claims) = self::claims(claims);
    let consent = consent.map(token).transpose()?;
    Ok(VerifyRequest { identity: self::identity(identity)?, claim, claims, consent, ..VerifyRequest::default() })
}

/// `VALUE`, or `FIELD=VALUE` where there are several.
fn claims(given: &[String]) -> (Option<String>, BTreeMap<String, String>) {
    let pairs: Vec<_> = given.iter().filter_map(|text| pair(text).ok()).collect();
    match given {
        [one] if pairs.is_empty() => (Some(one.clone()), BTreeMap::new()),
        _ if pairs.len() == given.len() => (None, pairs.into_iter().collect()),
        _ => (given.first().cloned(), pairs.into_iter().collect()),
    }
}

fn identity(given: &[String]) -> Result<BTreeMap<String, String>, DomainError> {
    let wrong = || {
        usage(
            "input/identity",
            "身份字段写作 FIELD=VALUE，或用 - 从标准输入读取 JSON 对象",
            "identity fields are FIELD=VALUE, or - for a JSON object on standard input",
        )
    };
    if given == ["-"] {
        let mut text = String::new();
        std::io::stdin().take(64 * 1024).read_to_string(&mut text).map_err(|_| wrong())?;
        return serde_json::from_str(&text).map_err(|_| wrong());
    }
    given.iter().map(|text| pair(text).map_err(|_| wrong())).collect()
}

fn read(path: &Path, most: u64, code: &'static str) -> Result<String, DomainError> {
    let wrong = || usage(code, "文件无法读取或过大", "the file can not be read, or is too large");
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(most + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).map_err(|_| wrong())?.take(most + 1).read_to_string(&mut text)
    };
    let length = read.map_err(|_| wrong())? as u64;
    if length > most { Err(wrong()) } else { Ok(text) }
}

fn token(path: &Path) -> Result<String, DomainError> {
    Ok(read(path, MAX_SMALL, "input/consent")?.trim().to_owned())
}

async fn commands(context: &mut Context, command: VerifyCommand) -> Outcome {
    match command {
        VerifyCommand::Batch { product, file, purpose, scene, output } => {
            let items = items(&read(&file, MAX_BATCH, "input/batch")?)?;
            let institution = context.actor("business");
            let request = BatchRequest { institution, product, purpose, scene, items, credential: None };
            batch(context, request, output.as_deref()).await
        }
        VerifyCommand::Index { product } => index(context, &product).await,
        VerifyCommand::Audit { product, sample } => audit(context, &product, sample).await,
        VerifyCommand::Alarms => alarms(context).await,
        VerifyCommand::Resume { institution, product } => {
            let domain = context.face().await?;
            let lifted = domain.resume_verification(&context.actor("authority"), &institution, &product).await;
            domain.close().await;
            let lifted = lifted?;
            if context.term.is_json() {
                context.term.json(&json!({ "institution": institution, "product": product, "lifted": lifted }));
            } else {
                let text = context.term.pick("已恢复", "May ask again").to_owned();
                context.term.item(Mark::Done, &format!("{text}: {institution} → {product}"));
            }
            Ok(())
        }
        VerifyCommand::Asked { number, consent, legal_person } => {
            let number = match number.as_str() {
                "-" => read(Path::new("-"), MAX_SMALL, "input/field")?.trim().to_owned(),
                given => given.to_owned(),
            };
            let kind = if legal_person { UnitKind::LegalPerson } else { UnitKind::NaturalPerson };
            asked(context, kind, &number, &token(&consent)?).await
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    identity: BTreeMap<String, String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    serial: Option<String>,
    consent: Option<String>,
}

fn items(text: &str) -> Result<Vec<BatchItem>, DomainError> {
    let mut items = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        // The parser's message could repeat a value: the line's number is enough.
        let item: Item = serde_json::from_str(line).map_err(|_| {
            DomainError::from(
                Refusal::new(
                    "input/batch",
                    "每行须为一个 JSON 对象：identity、claims、serial、consent",
                    "each line is a JSON object with identity, claims, serial and consent",
                )
                .at(format!("line {}", at + 1)),
            )
        })?;
        let Item { identity, claims, serial, consent } = item;
        items.push(BatchItem { identity, claims, serial, consent });
    }
    Ok(items)
}

async fn batch(context: &mut Context, request: BatchRequest, output: Option<&Path>) -> Outcome {
    let output = output.map(Draft::create).transpose()?;
    let domain = context.face().await?;
    let label = context.term.pick("批量核验", "Verifying").to_owned();
    let spinner = context.term.spinner(&label);
    let documents = domain.verify_batch(request, context.term.lang()).await;
    spinner.done();
    domain.close().await;
    let documents = documents?;
    if let Some(output) = output {
        let lines: String = documents.iter().map(|d| format!("{d}\n")).collect();
        output.finish(lines.as_bytes())?;
    }
    if context.term.is_json() {
        context.term.json(&json!({ "answers": documents }));
        return Ok(());
    }
    let (number, word) = (context.term.pick("序号", "Item").to_owned(), context.term.pick("答复", "Answer").to_owned());
    let mut table = Table::new([Column::right(&number), Column::left(&word)]);
    for (at, document) in documents.iter().enumerate() {
        table.row([Cell::from((at + 1).to_string()), Cell::from(word_of(document))]);
    }
    context.term.table(&table);
    Ok(())
}

/// The answer of an item, or the codes of the reasons why there is none.
fn word_of(document: &Value) -> String {
    let codes = document["refused"]
        .as_array()
        .map(|reasons| reasons.iter().filter_map(|reason| reason["code"].as_str()).collect::<Vec<_>>().join(", "));
    codes.unwrap_or_else(|| document["answer"].as_str().unwrap_or_default().to_owned())
}

async fn index(context: &mut Context, product: &str) -> Outcome {
    let domain = context.face().await?;
    let label = context.term.pick("建立核验索引", "Making the index").to_owned();
    let bar = std::sync::Arc::new(context.term.bar(&label, 100));
    let shown = std::sync::Arc::clone(&bar);
    let progress = move |done: u64, total: u64| shown.set(done.saturating_mul(100) / total.max(1));
    let view = domain.build_index(&context.actor("authority"), product, progress).await;
    drop(bar);
    domain.close().await;
    let view = view?;
    if context.term.is_json() {
        context.term.json(&json!({ "index": view }));
        return Ok(());
    }
    let text = context.term.pick("索引就绪", "The index is ready").to_owned();
    context.term.item(Mark::Done, &format!("{text}: {product}"));
    let (subjects, bytes) = (context.term.pick("主体", "subjects"), context.term.pick("字节", "bytes"));
    let note = format!("v{}  {} {subjects}  {} {bytes}", view.version, view.subjects, view.bytes);
    context.term.note(&note);
    Ok(())
}

async fn audit(context: &mut Context, product: &str, sample: u64) -> Outcome {
    let domain = context.face().await?;
    let label = context.term.pick("抽查核验索引", "Sampling the index").to_owned();
    let spinner = context.term.spinner(&label);
    let audit = domain.audit_index(&context.actor("authority"), product, sample).await;
    spinner.done();
    domain.close().await;
    let audit = audit?;
    let sound = audit.is_sound();
    if context.term.is_json() {
        context.term.json(&json!({ "audit": audit, "sound": sound }));
    } else {
        let text = if sound {
            context.term.pick("索引与数据文件一致", "The index says what the files say")
        } else {
            context.term.pick("索引与数据文件不一致", "The index differs from the files")
        };
        let (text, mark) = (text.to_owned(), if sound { Mark::Done } else { Mark::Failed });
        context.term.item(mark, &format!("{text}: {product}"));
        let words = context.term.pick("抽查 / 不符 / 误命中", "sampled / differing / found though absent").to_owned();
        context.term.note(&format!("{words}: {} / {} / {}", audit.sampled, audit.differing, audit.found_absent));
    }
    if sound {
        return Ok(());
    }
    Err(DomainError::Failed(Refusal::new(
        "verify/index-differs",
        "请删除该索引并重新建立，同时核查原因",
        "remove the index, make it anew, and find out why",
    )))
}

async fn alarms(context: &mut Context) -> Outcome {
    let domain = context.face().await?;
    let alarms = domain.verification_alarms(&context.actor("authority")).await?;
    if context.term.is_json() {
        context.term.json(&json!({ "alarms": alarms }));
        return Ok(());
    }
    let heads = [
        ("时间", "At"),
        ("企业", "Business"),
        ("产品", "Product"),
        ("警报", "Alarm"),
        ("停止", "Stops"),
        ("解除", "Lifted"),
    ];
    let heads = heads.map(|(zh, en)| context.term.pick(zh, en).to_owned());
    let mut table = Table::new(heads.iter().map(|head| Column::left(head)));
    for alarm in alarms {
        table.row([
            Cell::from(format_instant(alarm.at)),
            Cell::from(alarm.institution),
            Cell::from(alarm.product),
            Cell::from(alarm.alarm),
            Cell::from(if alarm.stops { "✓" } else { "" }.to_owned()),
            Cell::from(alarm.lifted_at.map(format_instant).unwrap_or_default()),
        ]);
    }
    context.term.table(&table);
    Ok(())
}

async fn asked(context: &mut Context, kind: UnitKind, number: &str, token: &str) -> Outcome {
    let domain = context.face().await?;
    let records = domain.asked_about(kind, number, token).await;
    domain.close().await;
    let records = records?;
    if context.term.is_json() {
        context.term.json(&json!({ "verifications": records }));
        return Ok(());
    }
    let heads = [
        ("时间", "At"),
        ("企业", "Business"),
        ("产品", "Product"),
        ("用途", "Purpose"),
        ("场景", "Scene"),
        ("授权同意", "Consent"),
    ];
    let heads = heads.map(|(zh, en)| context.term.pick(zh, en).to_owned());
    let mut table = Table::new(heads.iter().map(|head| Column::left(head)));
    for record in records {
        table.row([
            Cell::from(format_instant(record.at)),
            Cell::from(record.institution),
            Cell::from(record.product),
            Cell::from(record.purpose),
            Cell::from(record.scene.unwrap_or_default()),
            Cell::from(if record.consented { "✓" } else { "" }.to_owned()),
        ]);
    }
    context.term.table(&table);
    Ok(())
}

pub(crate) async fn issuer(context: &mut Context, command: IssuerCommand) -> Outcome {
    let actor = context.actor("authority");
    let (id, state) = match command {
        IssuerCommand::Add { id, key, zh, en } => {
            let key = ConsentKey::from_pem(&read(&key, MAX_SMALL, "input/public-key")?)?;
            let domain = context.face().await?;
            domain.add_issuer(&actor, &id, &Text::new(zh, en), &key).await?;
            (id, State::Approved)
        }
        IssuerCommand::List => return issuers(context).await,
        IssuerCommand::Suspend { id } => {
            context.face().await?.set_issuer_state(&actor, &id, State::Suspended).await?;
            (id, State::Suspended)
        }
        IssuerCommand::Resume { id } => {
            context.face().await?.set_issuer_state(&actor, &id, State::Approved).await?;
            (id, State::Approved)
        }
    };
    if context.term.is_json() {
        context.term.json(&json!({ "issuer": id, "state": state }));
    } else {
        context.term.item(Mark::Done, &format!("{id}: {state}"));
    }
    Ok(())
}

async fn issuers(context: &mut Context) -> Outcome {
    let domain = context.face().await?;
    let issuers = domain.issuers().await?;
    if context.term.is_json() {
        context.term.json(&json!({ "issuers": issuers }));
        return Ok(());
    }
    let heads = [("标识", "Id"), ("名称", "Name"), ("算法", "Algorithm"), ("状态", "State")];
    let heads = heads.map(|(zh, en)| context.term.pick(zh, en).to_owned());
    let lang = context.term.lang();
    let mut table = Table::new(heads.iter().map(|head| Column::left(head)));
    for issuer in issuers {
        table.row([
            Cell::from(issuer.kid),
            Cell::from(issuer.title.get(lang).to_owned()),
            Cell::from(issuer.algorithm),
            Cell::from(issuer.state.to_string()),
        ]);
    }
    context.term.table(&table);
    Ok(())
}

pub(crate) fn consent(context: &mut Context, command: ConsentCommand) -> Outcome {
    match command {
        ConsentCommand::Keygen { file, es256 } => {
            let algorithm = if es256 { ConsentAlgorithm::Es256 } else { ConsentAlgorithm::EdDsa };
            let pem = ConsentSigner::generate(algorithm)?;
            let public = ConsentSigner::from_pem("new", &pem)?.public().to_pem();
            new_private(&file, &pem)?;
            let mut name = file.clone().into_os_string();
            name.push(".pub");
            Draft::create(Path::new(&name))?.finish(public.as_bytes())?;
            if context.term.is_json() {
                context.term.json(&json!({ "algorithm": algorithm.as_str(), "public_key": public }));
            } else {
                context.term.item(Mark::Done, &format!("{} {}", algorithm.as_str(), file.display()));
            }
            Ok(())
        }
        ConsentCommand::Sign(args) => sign(context, args),
    }
}

fn sign(context: &mut Context, args: SignArgs) -> Outcome {
    let signer = ConsentSigner::from_pem(&args.issuer, &read(&args.key, MAX_SMALL, "input/signing-key")?)?;
    let now = clock()().div_euclid(1_000);
    let terms = ConsentTerms {
        domain: args.domain,
        business: args.business,
        product: args.product,
        purpose: args.purpose,
        uses: args.uses,
        issued: now,
        expires: now + args.days * 86_400,
    };
    let token = signer.sign(&terms, &args.identity.into_iter().collect())?;
    if let Some(path) = &args.output {
        Draft::create(path)?.finish(format!("{token}\n").as_bytes())?;
    }
    if context.term.is_json() {
        context.term.json(&json!({ "consent": token }));
    } else if args.output.is_none() {
        context.term.item(Mark::Done, &token);
    }
    Ok(())
}

/// A file that its owner alone may read, and that was not there before.
fn new_private(path: &Path, text: &str) -> Outcome {
    use std::io::Write;
    let failed = |_: std::io::Error| {
        DomainError::Unavailable(
            Refusal::new(
                "output/io",
                "无法写入文件（可能已存在）",
                "the file can not be written (it may be there already)",
            )
            .at(path.display().to_string()),
        )
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
