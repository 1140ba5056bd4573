//! The log.

use super::Page;
use crate::app::App;
use crate::content::{json_tagged, tagged};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use yunei_engine::DomainError;
use yunei_engine::domain::AuditLine;
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
    let items: Vec<AuditLine> = entries.iter().map(|(index, entry)| AuditLine::of(*index, entry)).collect();
    let next = (after < size).then(|| after.to_string());
    json_tagged(&call.headers, &json!({ "items": items, "next": next, "size": size }))
}

/// One entry of the log.
#[utoipa::path(get, path = "/v1/audit/entries/{index}", tag = "audit",
    params(("index" = u64, Path, minimum = 0)), responses(
    (status = 200, body = crate::schema::Entry)))]
pub(crate) async fn entry(app: Arc<App>, call: Call) -> Answer {
    json_tagged(&call.headers, &app.domain.audit_entry(call.actor()?, place(&call)?).await?)
}

fn place(call: &Call) -> Result<u64, Problem> {
    let absent =
        |_| DomainError::NotFound(Refusal::new("audit/no-entry", "日志中没有这一条", "the log has no such entry"));
    call.path("index")?.parse().map_err(|e: std::num::ParseIntError| absent(e).into())
}

/// The C2SP `tlog-proof` that an entry is in the log.
#[utoipa::path(get, path = "/v1/audit/entries/{index}/proof", tag = "audit",
    params(("index" = u64, Path, minimum = 0)), responses(
    (status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn inclusion(app: Arc<App>, call: Call) -> Answer {
    let proof = app.domain.audit_prove(call.actor()?, place(&call)?).await?;
    Ok(tagged(&call.headers, "text/plain; charset=utf-8", proof.into_bytes()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyQuery {
    old: u64,
}

/// The proof that an earlier log is the beginning of the newest checkpoint.
#[utoipa::path(get, path = "/v1/audit/consistency", tag = "audit",
    params(("old" = u64, Query, description = "The size of the earlier log.", minimum = 0)), responses(
    (status = 200, body = crate::schema::Consistency)))]
pub(crate) async fn consistency(app: Arc<App>, call: Call) -> Answer {
    let ConsistencyQuery { old } = call.query()?;
    let (proof, checkpoint) = app.domain.audit_consistency(call.actor()?, old).await?;
    let proof: Vec<String> = proof.iter().map(hex::encode).collect();
    json_tagged(&call.headers, &json!({ "old": old, "proof": proof, "checkpoint": checkpoint }))
}
