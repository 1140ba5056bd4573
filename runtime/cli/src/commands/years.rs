//! The logs of all years, and the log's SM2 key.

use super::{Context, Outcome, clock};
use crate::term::{Column, Mark, Table, count};
use serde_json::json;
use std::path::Path;
use yunei_engine::domain::{LogState, LogView};
use yunei_engine::{Domain, DomainError};
use yunei_policy::Refusal;

/// The folders of the logs are the machine's.
fn at_home(context: &Context) -> Outcome {
    context.here(
        "各年度日志及其密钥由保管域的机器管理",
        "the logs of the years and their keys are kept by the domain's machine",
    )
}

/// Lists them.
pub(crate) async fn list(context: &mut Context) -> Outcome {
    at_home(context)?;
    let domain = context.domain().await?;
    let logs = domain.audit_logs(&context.actor("authority")).await?;
    show(context, &logs);
    Ok(())
}

fn show(context: &mut Context, logs: &[LogView]) {
    if context.term.is_json() {
        context.term.json(&json!({ "logs": logs }));
        return;
    }
    let pick = |zh: &'static str, en: &'static str| context.term.pick(zh, en);
    let mut table = Table::new([
        Column::left(pick("年度", "Year")),
        Column::left(pick("状态", "State")),
        Column::right(pick("条数", "Entries")),
        Column::left(pick("最早", "First")),
        Column::left(pick("最晚", "Last")),
        Column::left(pick("日志名", "Name")),
    ]);
    for log in logs {
        let state = match (log.state, log.here) {
            (LogState::Current, _) => pick("在写", "written"),
            (LogState::Sealed, _) => pick("已封存", "sealed"),
            (LogState::Moved, true) => pick("已移出", "moved"),
            (LogState::Moved, false) => pick("已移出（当前不可读取）", "moved, out of reach"),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        table.row([
            log.year.clone(),
            state.to_owned(),
            log.size.map_or_else(|| "–".to_owned(), count),
            text(&log.first_at),
            text(&log.last_at),
            text(&log.origin),
        ]);
    }
    context.term.table(&table);
}

/// Seals the log of a year that is over.
pub(crate) async fn seal(context: &mut Context) -> Outcome {
    at_home(context)?;
    let logs = Domain::seal_log(&context.home, clock(), &context.actor("authority")).await?;
    if !context.term.is_json() {
        let done = context
            .term
            .pick(
                "上一年度日志已封存，新年度日志已启用",
                "The log of the year that is over is sealed, the next one is written",
            )
            .to_owned();
        context.term.item(Mark::Done, &done);
        let hand = context
            .term
            .pick(
                "请把新的 keys/log.vkey（含各年度公钥）交给核对凭证的人和见证方",
                "Hand the new keys/log.vkey (the public keys of all years) to those who check receipts, and to the witness",
            )
            .to_owned();
        context.term.note(&hand);
    }
    show(context, &logs);
    Ok(())
}

/// Moves the log of a year out of the home.
pub(crate) async fn move_log(context: &mut Context, year: &str, to: &Path, place: Option<&str>) -> Outcome {
    at_home(context)?;
    let domain = context.domain().await?;
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let label = context.term.pick("核对并移出日志", "Checking and moving the log").to_owned();
    let bar = std::sync::Arc::new(context.term.bar(&label, 0));
    let moving = std::sync::Arc::clone(&bar);
    let progress = move |done: u64, of: u64| moving.move_to(done, of);
    let actor = context.actor("authority");
    let index = domain.move_log(&actor, year, to, place.unwrap_or(&name), progress).await?;
    drop(bar);
    if context.term.is_json() {
        context.term.json(&json!({ "moved": year, "to": to, "log_index": index }));
        return Ok(());
    }
    let done = context.term.pick("年度日志已移出", "The log was moved").to_owned();
    context.term.item(Mark::Done, &format!("{done}: {year} → {}", to.display()));
    Ok(())
}

/// Gives the log an SM2 key.
pub(crate) fn add_sm2_key(context: &mut Context) -> Outcome {
    at_home(context)?;
    let key = Domain::add_sm2_key(&context.home, &clock())?;
    if context.term.is_json() {
        context.term.json(&json!({ "sm2_key": key }));
        return Ok(());
    }
    let done = context
        .term
        .pick(
            "日志此后同时以 SM2 签名；公钥已加入 keys/log.vkey",
            "The log signs with SM2 as well; keys/log.vkey has the public key",
        )
        .to_owned();
    context.term.item(Mark::Done, &done);
    context.term.note(&key);
    Ok(())
}

/// The refusal of a program that was built without SM2.
pub(crate) fn no_sm2() -> DomainError {
    DomainError::Unavailable(
        Refusal::new(
            "key/sm2-unsupported",
            "本程序未包含国密签名（编译时未启用 sm 功能）",
            "this program was built without SM2 (feature sm)",
        )
        .hint(
            "请使用以 cargo build --release --features sm 编译的 yunei",
            "use a yunei that was built with cargo build --release --features sm",
        ),
    )
}
