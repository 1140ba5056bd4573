//! The log.

use super::Page;
use crate::app::App;
use crate::content::{json_tagged, tagged};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use serde_json::{Value, json};
use std::sync::Arc;
use yunei_engine::DomainError;
use yunei_engine::dates::format_instant;
use yunei_policy::Refusal;

/// The public key with which receipts and checkpoints are checked.
#[utoipa::path(get, path = "/v1/key", tag = "audit", security(()), responses(
    (status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn key(app: Arc<App>, call: Call) -> Answer {
    let text = format!("{}\n", app.domain.verifying_key());
    Ok(tagged(&call.headers, "text/plain; charset=utf-8", text.into_bytes()))
}

/// The newest signed checkpoint (C2SP `tlog-checkpoint`).
#[utoipa::path(get, path = "/v1/audit/checkpoint", tag = "audit", responses(
    (status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn checkpoint(app: Arc<App>, call: Call) -> Answer {
    Ok(tagged(&call.headers, "text/plain; charset=utf-8", app.domain.checkpoint().to_string().into_bytes()))
}

/// Entries of the log, oldest first. The cursor is the index to begin with.
#[utoipa::path(get, path = "/v1/audit/entries", tag = "audit", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::EntryPage)))]
pub(crate) async fn entries(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let from = match asked.cursor.as_deref().map(str::parse::<u64>) {
        None => 0,
        Some(Ok(index)) => index,
        Some(Err(_)) => return Err(Problem::malformed("input/page", "游标不正确", "that is no cursor of this list")),
    };
    let (size, entries) = app.domain.audit_for(call.actor()?, from, asked.limit).await?;
    let after = entries.last().map_or(size, |(index, _)| index + 1);
    let items: Vec<Value> = entries.iter().map(|(index, entry)| view(*index, entry)).collect();
    let next = (after < size).then(|| after.to_string());
    json_tagged(&call.headers, &json!({ "items": items, "next": next, "size": size }))
}

/// One entry of the log.
#[utoipa::path(get, path = "/v1/audit/entries/{index}", tag = "audit",
    params(("index" = u64, Path, minimum = 0)), responses(
    (status = 200, body = crate::schema::Entry)))]
pub(crate) async fn entry(app: Arc<App>, call: Call) -> Answer {
    let absent = || {
        Problem::from(DomainError::NotFound(Refusal::new(
            "audit/no-entry",
            "日志中没有这一条",
            "the log has no such entry",
        )))
    };
    let index = call.path("index")?.parse::<u64>().map_err(|_| absent())?;
    let (_, entries) = app.domain.audit_for(call.actor()?, index, 1).await?;
    let (index, entry) = entries.first().filter(|(found, _)| *found == index).ok_or_else(absent)?;
    json_tagged(&call.headers, &view(*index, entry))
}

fn view(index: u64, entry: &yunei_engine::domain::LogEntry) -> Value {
    json!({ "index": index, "at": format_instant(entry.at_millis()), "kind": entry.kind(), "fields": entry.fields() })
}
