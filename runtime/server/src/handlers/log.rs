//! What is asked of the log: entries by what they are about, counts, metering, exports, replays.

use crate::app::App;
use crate::content::{Form, json, json_tagged, tagged};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use crate::schema::NewReplay;
use crate::spool;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use yunei_engine::ReplayOptions;
use yunei_engine::domain::{AuditQuery, ExportFormat, MAX_AUDIT_PAGE, Outcome, Period, UsageQuery, usage_csv};
use yunei_policy::authorise::Action;

/// How many entries are given where nothing is asked for.
const FOUND: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryQuery {
    institution: Option<String>,
    product: Option<String>,
    dataset: Option<String>,
    outcome: Option<Outcome>,
    purpose: Option<String>,
    run: Option<String>,
    kind: Option<String>,
    from_millis: Option<i64>,
    until_millis: Option<i64>,
    limit: Option<usize>,
    before: Option<u64>,
    format: Option<ExportWord>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExportWord {
    Jsonl,
    Parquet,
}

impl EntryQuery {
    /// The query of a route; what belongs to another route's query is unknown here.
    fn of(call: &Call, pages: bool, formats: bool) -> Result<Self, Problem> {
        let query: Self = call.query()?;
        let strange =
            (!pages && (query.limit.is_some() || query.before.is_some())) || (!formats && query.format.is_some());
        match strange {
            true => {
                Err(Problem::malformed("input/query", "查询参数不正确", "a parameter of the query is unknown here"))
            }
            false => Ok(query),
        }
    }

    fn filter(self) -> AuditQuery {
        AuditQuery {
            institution: self.institution,
            product: self.product,
            dataset: self.dataset,
            outcome: self.outcome,
            purpose: self.purpose,
            run: self.run,
            kind: self.kind,
            from_millis: self.from_millis,
            until_millis: self.until_millis,
            year: None,
        }
    }
}

/// Entries by what they are about, newest first.
#[utoipa::path(get, path = "/v1/audit/search", tag = "audit", params(crate::schema::EntryParams,
    ("limit" = Option<u32>, Query, description = "At most how many; 100 where nothing is said.", minimum = 1, maximum = 1000),
    ("before" = Option<u64>, Query, description = "Only entries older than this place in the log.", minimum = 0)),
    responses((status = 200, body = crate::schema::Found)))]
pub(crate) async fn search(app: Arc<App>, call: Call) -> Answer {
    let query = EntryQuery::of(&call, true, false)?;
    let (limit, before) = (query.limit.unwrap_or(FOUND), query.before);
    if !(1..=MAX_AUDIT_PAGE).contains(&limit) {
        return Err(Problem::malformed("input/page", "分页参数超出范围", "limit is from 1 to 1000"));
    }
    json_tagged(&call.headers, &app.domain.audit_list(call.actor()?, &query.filter(), limit, before).await?)
}

/// Counts of entries by kind and outcome.
#[utoipa::path(get, path = "/v1/audit/stats", tag = "audit", params(crate::schema::EntryParams), responses(
    (status = 200, body = crate::schema::EntryStats)))]
pub(crate) async fn stats(app: Arc<App>, call: Call) -> Answer {
    let query = EntryQuery::of(&call, false, false)?.filter();
    json_tagged(&call.headers, &app.domain.audit_stats(call.actor()?, &query).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeterQuery {
    institution: Option<String>,
    product: Option<String>,
    from_millis: Option<i64>,
    until_millis: Option<i64>,
    #[serde(default)]
    period: Period,
}

/// Totals of uses for billing, by the calendar of Beijing; as CSV where `Accept` asks for it.
#[utoipa::path(get, path = "/v1/audit/usage", tag = "audit", params(
    ("institution" = Option<String>, Query, description = "Of this institution only."),
    ("product" = Option<String>, Query, description = "Of this product only."),
    ("from_millis" = Option<i64>, Query, description = "From when, milliseconds since 1970 UTC, inclusive."),
    ("until_millis" = Option<i64>, Query, description = "Until when, exclusive."),
    ("period" = Option<String>, Query, description = "`day`, `month` (where nothing is said), `year` or `all`.")), responses(
    (status = 200, content((crate::schema::Usage = "application/json"), (String = "text/csv")))))]
pub(crate) async fn usage(app: Arc<App>, call: Call) -> Answer {
    let MeterQuery { institution, product, from_millis, until_millis, period } = call.query()?;
    let query = UsageQuery { institution, product, from_millis, until_millis, period };
    let lines = app.domain.audit_usage(call.actor()?, &query).await?;
    match Form::of(&call.headers, &[Form::Json, Form::Csv]) {
        Some(Form::Csv) => Ok(tagged(&call.headers, "text/csv", usage_csv(&lines).into_bytes())),
        Some(_) => json_tagged(&call.headers, &json!({ "lines": lines })),
        None => Err(super::not_acceptable("application/json、text/csv", "application/json and text/csv")),
    }
}

/// Entries with their leaf hashes, oldest first, however many there are: JSON lines with each entry byte for byte, or
/// Parquet.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(crate::schema::EntryParams,
    ("format" = Option<String>, Query, description = "`jsonl` (where nothing is said) or `parquet`.")), responses(
    (status = 200, content((String = "application/jsonl"), (Vec<u8> = "application/vnd.apache.parquet")))))]
pub(crate) async fn export(app: Arc<App>, call: Call) -> Answer {
    let query = EntryQuery::of(&call, false, true)?;
    let (format, media_type) = match query.format {
        Some(ExportWord::Parquet) => (ExportFormat::Parquet, "application/vnd.apache.parquet"),
        Some(ExportWord::Jsonl) | None => (ExportFormat::Jsonl, "application/jsonl"),
    };
    let actor = call.actor()?.to_owned();
    // What may not be read is refused before the answer begins; afterwards it could only break off.
    app.domain.ask(&actor, Action::ReadAudit).await?;
    let Ok(room) = Arc::clone(&app.heavy).try_acquire_owned() else { return Err(Problem::busy(10)) };
    let (writer, body) = spool::pipe();
    let (domain, filter) = (Arc::clone(&app.domain), query.filter());
    tokio::spawn(async move {
        let ending = writer.ending();
        let written = domain.audit_export(&actor, &filter, format, writer).await;
        // An answer that is not whole must not look as if it were.
        if written.is_err() {
            ending.break_off().await;
        }
        drop(room);
    });
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(answer)
}

/// The runs that released something and can be replayed, oldest first.
#[utoipa::path(get, path = "/v1/audit/replayable", tag = "audit", responses(
    (status = 200, body = crate::schema::Replayable)))]
pub(crate) async fn replayable(app: Arc<App>, call: Call) -> Answer {
    json_tagged(&call.headers, &json!({ "items": app.domain.replayable(call.actor()?).await? }))
}

/// Does a recorded run again inside the domain and compares every digest; answered when it is over. It charges nothing and
/// gives the verdict alone.
#[utoipa::path(post, path = "/v1/runs/{id}/replay", tag = "audit", params(("id" = String, Path)), request_body = NewReplay,
    responses((status = 200, body = crate::schema::ReplayReport)))]
pub(crate) async fn replay(app: Arc<App>, call: Call) -> Answer {
    let NewReplay { recorded_policy } = call.json()?;
    // It takes as much as the run itself did.
    let Ok(_alone) = app.heavy.try_acquire() else { return Err(Problem::busy(10)) };
    let options = ReplayOptions { recorded_policy };
    json(StatusCode::OK, &app.domain.replay(call.actor()?, call.path("id")?, options, |_, _| {}).await?)
}
