//! Decisions, deadlines, registers, and the requests of data subjects.

use super::{Context, Draft, Outcome, usage};
use crate::commands::lifecycle::SubjectArgs;
use crate::face::Agreed;
use crate::term::{Column, Mark, Table};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use yunei_engine::DomainError;
use yunei_engine::domain::{RequestView, SubjectQuery};
use yunei_engine::registry::{Digest, Outcome as Ending, RequestKind};
use yunei_policy::Text;
use yunei_policy::words::Office;

/// At most how many days an agreement lasts: five years.
pub(super) const MAX_AGREEMENT_DAYS: i64 = 1_826;
/// At most how many bytes of an agreement are digested.
const MAX_AGREEMENT: u64 = 256 << 20;

#[derive(Subcommand)]
pub(crate) enum DecisionCommand {
    /// A holder consents to a product over its datasets, or refuses.
    Agree {
        /// The product.
        product: String,
        /// Refuses, or takes a consent back.
        #[arg(long, requires = "reason")]
        refuse: bool,
        /// Why; needed where it is refused.
        #[arg(long, default_value = "")]
        reason: String,
        /// Shows what the holders say, and changes nothing.
        #[arg(long, conflicts_with_all = ["refuse", "reason"])]
        show: bool,
    },
    /// Declines what was handed in, with every reason at once.
    Decline {
        #[command(flatten)]
        subject: SubjectArgs,
        /// A reason; once for each.
        #[arg(long = "reason", required = true)]
        reasons: Vec<String>,
    },
    /// Admits an institution that a system administrator entered.
    Admit {
        /// Its id.
        id: String,
    },
    /// Appoints a part of the authority's staff: system, security or audit. With all three, none can do another's part.
    Appoint {
        /// Its id.
        id: String,
        /// system, security or audit.
        #[arg(long)]
        office: String,
        /// Its Chinese name.
        #[arg(long)]
        zh: String,
        /// Its English name.
        #[arg(long)]
        en: String,
    },
    /// Lists what is due, the most urgent first.
    Due {
        /// What is overdue alone.
        #[arg(long)]
        overdue: bool,
    },
    /// Lists the registrations, agreements and grants that lapse soon, or have lapsed.
    Lapsing,
    /// The registers of datasets and products.
    #[command(subcommand)]
    Register(RegisterCommand),
    /// Records the agreement that a grant rests on, by the digest of its document.
    Agreement {
        /// The grant.
        grant: String,
        /// The document.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// For how many days, from today; at most five years.
        #[arg(long, default_value_t = 1095, value_parser = clap::value_parser!(i64).range(1..=MAX_AGREEMENT_DAYS))]
        days: i64,
    },
    /// Requests of data subjects.
    #[command(subcommand)]
    Request(RequestCommand),
}

#[derive(Subcommand)]
pub(crate) enum RegisterCommand {
    /// Lists the entries with their registrations.
    List,
    /// Renews a registration, or makes the first one.
    Renew(SubjectArgs),
    /// Writes the catalogue as DCAT in JSON-LD.
    Export {
        /// Where to; standard output where it is not given.
        #[arg(short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct FileArgs {
    /// objection or correction.
    #[arg(long)]
    kind: String,
    /// The dataset.
    #[arg(long)]
    dataset: String,
    /// What is said, or - for a JSON object {"subject", "details"} on standard input.
    #[arg(long)]
    details: String,
    /// The data subject's number; left out where it comes on standard input.
    #[arg(long)]
    subject: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum RequestCommand {
    /// Records one and routes it to the holder.
    File(FileArgs),
    /// Lists them.
    List {
        /// The open ones alone.
        #[arg(long)]
        open: bool,
    },
    /// Shows one.
    Show {
        /// Its id.
        id: String,
    },
    /// Takes ten working days instead of five.
    Extend {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Answers one.
    Answer {
        /// Its id.
        id: String,
        /// corrected, upheld or rejected.
        #[arg(long)]
        outcome: String,
        /// The answer to the data subject.
        #[arg(long)]
        answer: String,
        /// The version with the corrected data.
        #[arg(long)]
        corrected_version: Option<u64>,
    },
}

pub(crate) async fn decide(context: &mut Context, command: DecisionCommand) -> Outcome {
    match command {
        DecisionCommand::Agree { product, refuse, reason, show } => {
            consent(context, &product, refuse, &reason, show).await
        }
        DecisionCommand::Decline { subject, reasons } => {
            let subject = subject.read()?;
            let state = context.face().await?.decline(&context.actor("authority"), &subject, &reasons).await?;
            said(context, subject.word(), &subject.id(), &state.to_string());
            Ok(())
        }
        DecisionCommand::Admit { id } => {
            let state = context.face().await?.admit_institution(&context.actor("authority"), &id).await?;
            said(context, "institution", &id, &state.to_string());
            Ok(())
        }
        DecisionCommand::Appoint { id, office, zh, en } => {
            let office = Office::ALL.into_iter().find(|o| o.as_str() == office).ok_or_else(|| {
                usage("input/office", "职责为 system、security 或 audit", "an office is system, security or audit")
            })?;
            let domain = context.face().await?;
            let state = domain.appoint(&context.actor("authority"), &id, office, &Text::new(zh, en)).await?;
            said(context, "institution", &id, &state.to_string());
            Ok(())
        }
        DecisionCommand::Due { overdue } => due(context, overdue).await,
        DecisionCommand::Lapsing => lapsing(context).await,
        DecisionCommand::Register(command) => register(context, command).await,
        DecisionCommand::Agreement { grant, file, days } => {
            let digest = digest_of(&file)?;
            let agreed = Agreed { digest, days };
            context.face().await?.record_agreement(&context.actor("authority"), &grant, agreed).await?;
            said(context, "agreement", &grant, &digest.to_string());
            Ok(())
        }
        DecisionCommand::Request(command) => request(context, command).await,
    }
}

fn said(context: &mut Context, kind: &str, id: &str, state: &str) {
    if context.term.is_json() {
        context.term.json(&json!({ "kind": kind, "id": id, "state": state }));
    } else {
        context.term.item(Mark::Done, &format!("{kind} {id}: {state}"));
    }
}

async fn consent(context: &mut Context, product: &str, refuse: bool, reason: &str, show: bool) -> Outcome {
    let (actor, domain) = (context.actor("holder"), context.face().await?);
    let words = if show {
        domain.consents(&actor, product).await?
    } else {
        domain.consent(&actor, product, !refuse, reason).await?
    };
    if context.term.is_json() {
        context.term.json(&json!({ "product": product, "consents": words }));
        return Ok(());
    }
    let headings = [("数据集", "Dataset"), ("提供单位", "Holder"), ("意见", "Says"), ("理由", "Reason")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for w in &words {
        table.row([w.dataset.clone(), w.holder.clone(), w.verdict.clone(), w.reason.clone()]);
    }
    context.term.table(&table);
    Ok(())
}

async fn due(context: &mut Context, overdue: bool) -> Outcome {
    let all = context.face().await?.due(&context.actor("authority"), overdue).await?;
    if context.term.is_json() {
        context.term.json(&json!({ "due": all }));
        return Ok(());
    }
    if all.is_empty() {
        let text = context.term.pick("没有待办事项。", "Nothing is due.").to_owned();
        context.term.text(&text);
        return Ok(());
    }
    let headings = [
        ("事项", "Step"),
        ("对象", "Of"),
        ("办理", "To do by"),
        ("提交", "Waiting"),
        ("期限", "Due"),
        ("剩余工作日", "Working days left"),
        ("一次性告知截止", "Missing told by"),
    ];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for d in &all {
        let step = serde_json::to_value(d.step).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let left = if d.overdue {
            format!("{} {}", d.days_left, context.term.pick("（逾期）", "(overdue)"))
        } else {
            d.days_left.to_string()
        };
        table.row([
            step,
            format!("{} {}", d.kind, d.id),
            d.owner.clone(),
            d.waiting.clone(),
            d.due.clone(),
            left,
            d.materials_by.clone().unwrap_or_else(|| "–".to_owned()),
        ]);
    }
    context.term.table(&table);
    Ok(())
}

async fn lapsing(context: &mut Context) -> Outcome {
    let all = context.face().await?.lapsing(&context.actor("authority")).await?;
    if context.term.is_json() {
        context.term.json(&json!({ "lapsing": all }));
        return Ok(());
    }
    if all.is_empty() {
        let text = context.term.pick("近期没有到期事项。", "Nothing lapses soon.").to_owned();
        context.term.text(&text);
        return Ok(());
    }
    let headings = [("类别", "What"), ("对象", "Of"), ("编号", "Number"), ("有效期至", "Until"), ("状态", "State")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for l in &all {
        let state = if l.lapsed {
            context.term.pick("已到期，新的使用被拒绝", "lapsed: new uses are refused")
        } else {
            context.term.pick("即将到期", "lapses soon")
        };
        table.row([l.what.to_owned(), l.of.clone(), l.number.clone(), l.until.clone(), state.to_owned()]);
    }
    context.term.table(&table);
    Ok(())
}

async fn register(context: &mut Context, command: RegisterCommand) -> Outcome {
    let (actor, domain) = (context.actor("authority"), context.face().await?);
    match command {
        RegisterCommand::Renew(subject) => {
            let subject = subject.read()?;
            let renewed = domain.renew_registration(&actor, &subject).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "kind": subject.word(), "id": subject.id(), "registration": renewed }));
            } else {
                let until = context.term.pick("有效期至", "holds until").to_owned();
                context.term.item(Mark::Done, &format!("{subject}: {} {until} {}", renewed.number, renewed.until));
            }
        }
        RegisterCommand::Export { output } => {
            let catalogue = domain.dcat(&actor).await?;
            let text = serde_json::to_string_pretty(&catalogue).unwrap_or_default();
            match output {
                None if context.term.is_json() => context.term.json(&catalogue),
                // Printed as it is: folded lines would not be JSON.
                None => writeln!(std::io::stdout(), "{text}")
                    .map_err(|_| usage("output/io", "无法输出", "can not be printed"))?,
                Some(path) => {
                    Draft::create(&path)?.finish(text.as_bytes())?;
                    said(context, "catalogue", &path.display().to_string(), "dcat");
                }
            }
        }
        RegisterCommand::List => {
            let all = domain.registers(&actor).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "registers": all }));
                return Ok(());
            }
            let lang = context.term.lang();
            let headings = [
                ("类别", "Kind"),
                ("编号", "Id"),
                ("名称", "Name"),
                ("登记编号", "Registration"),
                ("有效期至", "Until"),
                ("有效", "Holds"),
                ("状态", "State"),
            ];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for e in &all {
                let (number, until, holds) = match &e.registration {
                    Some(r) => (r.number.clone(), r.until.clone(), r.holding.to_string()),
                    None => ("–".to_owned(), "–".to_owned(), "missing".to_owned()),
                };
                let name = e.elements.name.get(lang).to_owned();
                table.row([e.kind.to_owned(), e.id.clone(), name, number, until, holds, e.state.to_string()]);
            }
            context.term.table(&table);
        }
    }
    Ok(())
}

async fn request(context: &mut Context, command: RequestCommand) -> Outcome {
    let domain = context.face().await?;
    let view = match command {
        RequestCommand::File(args) => domain.file_request(&context.actor("business"), &query(args)?).await?,
        RequestCommand::Show { id } => domain.request(&context.actor("authority"), &id).await?,
        RequestCommand::Extend { id, reason } => domain.extend_request(&context.actor("holder"), &id, &reason).await?,
        RequestCommand::Answer { id, outcome, answer, corrected_version } => {
            let outcome = Ending::from_word(&outcome).ok_or_else(|| {
                usage(
                    "input/outcome",
                    "结果为 corrected、upheld 或 rejected",
                    "an outcome is corrected, upheld or rejected",
                )
            })?;
            domain.answer_request(&context.actor("holder"), &id, outcome, &answer, corrected_version).await?
        }
        RequestCommand::List { open } => {
            let all = domain.requests(&context.actor("authority"), open).await?;
            return show_requests(context, &all);
        }
    };
    if context.term.is_json() {
        context.term.json(&view);
        return Ok(());
    }
    let outcome = view.outcome.map_or("open", Ending::as_str);
    context.term.heading(&format!("{}  {outcome}", view.id));
    let days = view.days_left.map_or_else(|| "–".to_owned(), |n| n.to_string());
    let facts = [
        (context.term.pick("类别", "Kind").to_owned(), view.kind.as_str().to_owned()),
        (context.term.pick("数据集", "Dataset").to_owned(), format!("{}@{}", view.dataset, view.version)),
        (context.term.pick("答复单位", "To be answered by").to_owned(), view.holder.clone()),
        (context.term.pick("期限", "Due").to_owned(), view.due.clone()),
        (context.term.pick("剩余工作日", "Working days left").to_owned(), days),
        (context.term.pick("内容", "Says").to_owned(), view.details.clone()),
        (context.term.pick("答复", "Answer").to_owned(), view.answer.clone().unwrap_or_else(|| "–".to_owned())),
    ];
    let facts: Vec<(&str, String)> = facts.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    context.term.facts(&facts);
    Ok(())
}

fn show_requests(context: &mut Context, all: &[RequestView]) -> Outcome {
    if context.term.is_json() {
        context.term.json(&json!({ "requests": all }));
        return Ok(());
    }
    let headings = [
        ("编号", "Id"),
        ("类别", "Kind"),
        ("数据集", "Dataset"),
        ("答复单位", "Holder"),
        ("期限", "Due"),
        ("结果", "Outcome"),
    ];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for r in all {
        let late = if r.late { context.term.pick("（逾期）", " (late)") } else { "" };
        let outcome = format!("{}{late}", r.outcome.map_or("open", Ending::as_str));
        table.row([
            r.id.clone(),
            r.kind.as_str().to_owned(),
            r.dataset.clone(),
            r.holder.clone(),
            r.due.clone(),
            outcome,
        ]);
    }
    context.term.table(&table);
    Ok(())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    subject: String,
    details: String,
}

fn query(args: FileArgs) -> Result<SubjectQuery, DomainError> {
    let kind = RequestKind::from_word(&args.kind).ok_or_else(|| {
        usage("input/kind", "类别为 objection 或 correction", "a request is an objection or a correction")
    })?;
    let wrong = || {
        usage(
            "input/details",
            "用 --subject 和 --details，或用 --details - 从标准输入读取 {\"subject\", \"details\"}",
            "use --subject and --details, or --details - for {\"subject\", \"details\"} on standard input",
        )
    };
    let said = match (args.details.as_str(), args.subject) {
        ("-", None) => {
            let mut text = String::new();
            std::io::stdin().take(64 * 1024).read_to_string(&mut text).map_err(|_| wrong())?;
            serde_json::from_str(&text).map_err(|_| wrong())?
        }
        ("-", Some(_)) | (_, None) => return Err(wrong()),
        (_, Some(subject)) => Said { subject, details: args.details },
    };
    Ok(SubjectQuery { kind, dataset: args.dataset, subject: said.subject, details: said.details })
}

pub(super) fn digest_of(path: &Path) -> Result<Digest, DomainError> {
    let absent = |_: std::io::Error| {
        DomainError::NotFound(
            yunei_policy::Refusal::new(
                "input/no-file",
                "没有这个文件，或无法读取",
                "there is no such file, or it can not be read",
            )
            .at(path.display().to_string()),
        )
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(absent)?.take(MAX_AGREEMENT + 1).read_to_end(&mut bytes).map_err(absent)?;
    if bytes.len() as u64 > MAX_AGREEMENT || bytes.is_empty() {
        return Err(usage("input/too-large", "文件为空或过大", "the file is empty or too large"));
    }
    Ok(Digest::of(&bytes))
}
