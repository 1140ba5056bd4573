//! What the authority stops and resumes, what a holder withdraws, and what rested on it.

use super::{Context, Outcome, usage};
use crate::term::{Column, Mark, Table};
use clap::{Args, Subcommand};
use serde_json::json;
use yunei_engine::DomainError;
use yunei_engine::domain::{ReleaseView, Stopped};
use yunei_engine::registry::Subject;
use yunei_policy::Lang;
use yunei_policy::words::State;

/// Something with a state.
#[derive(Args)]
pub(crate) struct SubjectArgs {
    /// institution, dataset, version, model, product or grant.
    kind: String,
    /// Its id: of a version DATASET@NUMBER, of a model ID@VERSION.
    id: String,
}

/// Something with a state, and why it is changed.
#[derive(Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Why; those concerned will read it.
    #[arg(long)]
    reason: String,
}

#[derive(Subcommand)]
pub(crate) enum StateCommand {
    /// Suspends something: in force when the command returns.
    Suspend(ChangeArgs),
    /// Undoes a suspension.
    Resume(ChangeArgs),
    /// Ends something for good.
    End(ChangeArgs),
    /// Withdraws a dataset or a version of one, and lists the releases that rested on it.
    Withdraw(ChangeArgs),
    /// Lists the releases that rested on something.
    Releases(SubjectArgs),
    /// Shows the changes of something's state, with their reasons.
    History(SubjectArgs),
}

impl SubjectArgs {
    pub(crate) fn read(&self) -> Result<Subject, DomainError> {
        Subject::read(&self.kind, &self.id).ok_or_else(|| {
            usage(
                "input/subject",
                "对象为 institution、dataset、version、model、product 或 grant 及其编号；版本写作 数据集@版本号，模型写作 编号@版本",
                "a subject is institution, dataset, version, model, product or grant and its id; a version is DATASET@NUMBER, a model ID@VERSION",
            )
        })
    }
}

pub(crate) async fn state(context: &mut Context, command: StateCommand) -> Outcome {
    match command {
        StateCommand::Suspend(args) => {
            let (subject, actor) = (args.subject.read()?, context.actor("authority"));
            let stopped = context.face().await?.suspend(&actor, &subject, &args.reason).await?;
            show_stopped(context, &stopped);
        }
        StateCommand::End(args) => {
            let (subject, actor) = (args.subject.read()?, context.actor("authority"));
            let stopped = context.face().await?.end(&actor, &subject, &args.reason).await?;
            show_stopped(context, &stopped);
        }
        StateCommand::Withdraw(args) => {
            let (subject, actor) = (args.subject.read()?, context.actor("holder"));
            let stopped = context.face().await?.withdraw(&actor, &subject, &args.reason).await?;
            show_stopped(context, &stopped);
        }
        StateCommand::Resume(args) => {
            let (subject, actor) = (args.subject.read()?, context.actor("authority"));
            let state = context.face().await?.resume(&actor, &subject, &args.reason).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "kind": subject.word(), "id": subject.id(), "state": state }));
            } else {
                context.term.item(Mark::Done, &format!("{subject}: {state}"));
            }
        }
        StateCommand::Releases(args) => {
            let (subject, actor) = (args.read()?, context.actor("authority"));
            let releases = context.face().await?.releases_on(&actor, &subject).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "kind": subject.word(), "id": subject.id(), "releases": releases }));
            } else {
                show_releases(context, &releases);
            }
        }
        StateCommand::History(args) => {
            let (subject, actor) = (args.read()?, context.actor("authority"));
            let changes = context.face().await?.state_history(&actor, &subject).await?;
            if context.term.is_json() {
                context.term.json(&json!({ "kind": subject.word(), "id": subject.id(), "changes": changes }));
                return Ok(());
            }
            let headings = [("时间", "At"), ("由", "From"), ("至", "To"), ("办理机构", "By"), ("理由", "Reason")];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for c in &changes {
                table.row([c.at.clone(), c.from.to_string(), c.to.to_string(), c.by.clone(), c.reason.clone()]);
            }
            context.term.table(&table);
        }
    }
    Ok(())
}

fn show_stopped(context: &mut Context, stopped: &Stopped) {
    if context.term.is_json() {
        context.term.json(stopped);
        return;
    }
    let word = match (stopped.state, context.term.lang()) {
        (State::Suspended, Lang::Zh) => "已暂停",
        (State::Suspended, Lang::En) => "Suspended",
        (_, Lang::Zh) => "已终止",
        (_, Lang::En) => "Ended",
    };
    context.term.item(Mark::Done, &format!("{word}: {} {}", stopped.kind, stopped.id));
    let uses = context.term.pick("停止的在途使用", "Uses under way that were stopped").to_owned();
    context.term.note(&format!("{uses}: {}", stopped.stopped.len()));
    if !stopped.ended {
        let text = context
            .term
            .pick("部分使用仍在收尾，不会再发布任何结果", "Some are still ending; they can release nothing")
            .to_owned();
        context.term.note(&text);
    }
    show_releases(context, &stopped.releases);
}

fn show_releases(context: &mut Context, releases: &[ReleaseView]) {
    let text = context.term.pick("此前据此发布的结果", "Releases that rested on it").to_owned();
    context.term.note(&format!("{text}: {}", releases.len()));
    if releases.is_empty() {
        return;
    }
    let headings =
        [("使用编号", "Run"), ("机构", "Institution"), ("产品", "Product"), ("用途", "Purpose"), ("时间", "At")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for r in releases {
        table.row([r.run.clone(), r.institution.clone(), r.product.clone(), r.purpose.clone(), r.at.clone()]);
    }
    context.term.table(&table);
}
