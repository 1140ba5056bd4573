//! Replay of recorded runs.

use super::{Context, Outcome};
use crate::face::Face;
use crate::term::{Column, Mark, Table, count};
use serde_json::json;
use std::sync::Arc;
use yunei_engine::replay::{Comparison, Finding};
use yunei_engine::{DomainError, ReplayOptions, ReplayReport, VerifyRequest};
use yunei_policy::{Refusal, Refused};

pub(crate) async fn replay(context: &mut Context, runs: Vec<String>, all: bool, recorded_policy: bool) -> Outcome {
    let domain = context.face().await?;
    let actor = context.actor("authority");
    let runs = if all { domain.replayable(&actor).await? } else { runs };
    let options = ReplayOptions { recorded_policy };
    let reports = replay_all(context, &domain, &actor, &runs, options).await?;
    tell(context, &reports)
}

/// One verification, of the subject that is given again.
pub(crate) async fn verification(
    context: &mut Context,
    runs: &[String],
    subject: &VerifyRequest,
    recorded_policy: bool,
) -> Outcome {
    let [run] = runs else {
        let (zh, en) = ("每次复核一项核验", "one verification is replayed at a time");
        return Err(super::usage("input/replay", zh, en));
    };
    context.here("核验的复核在域所在的机器上进行", "a verification is replayed at the domain's machine")?;
    let domain = context.domain().await?;
    let actor = context.actor("authority");
    let label = context.term.pick("复核", "Replaying").to_owned();
    let bar = Arc::new(context.term.bar(&label, 100));
    let moving = Arc::clone(&bar);
    let progress = move |read: u64, of: u64| moving.set(read.saturating_mul(100) / of.max(1));
    let options = ReplayOptions { recorded_policy };
    let report = domain.replay_verification(&actor, run, subject, options, progress).await?;
    tell(context, &[report])
}

fn tell(context: &mut Context, reports: &[ReplayReport]) -> Outcome {
    let differing: Vec<&ReplayReport> = reports.iter().filter(|report| !report.identical).collect();
    let identical = reports.len() - differing.len();
    if context.term.is_json() {
        context.term.json(&json!({
            "identical": identical, "differing": differing.len(), "reports": reports,
        }));
        return if differing.is_empty() { Ok(()) } else { Err(told(&differing)) };
    }
    if let [report] = reports {
        let table = comparisons(context, report);
        context.term.table(&table);
    }
    for report in &differing {
        for comparison in report.differences() {
            let line = difference(context, report, comparison);
            context.term.item(Mark::Failed, &line);
        }
    }
    let line = match context.term.lang() {
        yunei_policy::Lang::Zh => {
            format!("复核 {} 次使用：{} 次逐项一致", count(reports.len() as u64), count(identical as u64))
        }
        yunei_policy::Lang::En => {
            format!("{} runs replayed: {} identical", count(reports.len() as u64), count(identical as u64))
        }
    };
    context.term.item(if differing.is_empty() { Mark::Done } else { Mark::Failed }, &line);
    if differing.is_empty() { Ok(()) } else { Err(told(&differing)) }
}

async fn replay_all(
    context: &Context,
    domain: &Face,
    actor: &str,
    runs: &[String],
    options: ReplayOptions,
) -> Result<Vec<ReplayReport>, DomainError> {
    let label = context.term.pick("复核", "Replaying").to_owned();
    let one = runs.len() == 1;
    let bar = Arc::new(context.term.bar(&label, if one { 100 } else { runs.len() as u64 }));
    let mut reports = Vec::with_capacity(runs.len());
    for (done, run) in runs.iter().enumerate() {
        let moving = Arc::clone(&bar);
        let progress = move |read: u64, of: u64| {
            if one {
                moving.set(read.saturating_mul(100) / of.max(1));
            }
        };
        reports.push(domain.replay(actor, run, options, progress).await?);
        if !one {
            bar.set(done as u64 + 1);
        }
    }
    Ok(reports)
}

fn comparisons(context: &Context, report: &ReplayReport) -> Table {
    let headings = [("步骤", "Step"), ("对象", "Of"), ("结论", "Finding"), ("登记的摘要", "Recorded digest")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for comparison in &report.comparisons {
        let finding = match comparison.finding {
            Finding::Same => context.term.pick("一致", "same"),
            Finding::Differs => context.term.pick("不一致", "differs"),
            Finding::NotReached => context.term.pick("未进行", "not reached"),
        };
        table.row([
            comparison.step.title().get(context.term.lang()).to_owned(),
            comparison.what.clone(),
            finding.to_owned(),
            short(comparison.recorded.as_deref()),
        ]);
    }
    table
}

/// The beginning of a digest.
fn short(digest: Option<&str>) -> String {
    match digest {
        Some(digest) if digest.len() == 64 => format!("{}…", &digest[..16]),
        Some(other) => other.to_owned(),
        None => String::new(),
    }
}

fn difference(context: &Context, report: &ReplayReport, comparison: &Comparison) -> String {
    let lang = context.term.lang();
    let title = comparison.step.title();
    let mut line = format!("{}: {}", report.run, title.get(lang));
    if !comparison.what.is_empty() {
        line.push_str(&format!(" {}", comparison.what));
    }
    if let Some(recorded) = &comparison.recorded {
        let nothing = context.term.pick("无", "nothing");
        let found = comparison.found.as_deref().unwrap_or(nothing);
        line.push_str(&match lang {
            yunei_policy::Lang::Zh => format!("，登记为 {recorded}，现为 {found}"),
            yunei_policy::Lang::En => format!(", recorded {recorded}, found {found}"),
        });
    }
    if let Some(note) = &comparison.note {
        line.push_str(&format!(" ({})", note.get(lang)));
    }
    line
}

/// The exit code of a replay that found a difference is 1; with `--json` the report is the document.
fn told(differing: &[&ReplayReport]) -> DomainError {
    let reasons = differing.iter().flat_map(|report| report.differences().map(move |comparison| (report, comparison)));
    let reasons: Vec<Refusal> = reasons
        .take(20)
        .map(|(report, comparison)| {
            let title = comparison.step.title();
            Refusal::new(
                "replay/differs",
                format!("{}与登记的不一致", title.zh),
                format!("{} is not as recorded", title.en),
            )
            .at(format!("{} {}", report.run, comparison.what).trim_end().to_owned())
        })
        .collect();
    match Refused::from_reasons(reasons).and_then(|refused| refused.reasons().first().cloned()) {
        Some(reason) => DomainError::Failed(reason),
        None => DomainError::Failed(Refusal::new("replay/differs", "与登记的不一致", "not as recorded")),
    }
}
