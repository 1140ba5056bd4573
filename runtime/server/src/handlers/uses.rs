//! Runs and budgets.

use super::Page;
use crate::app::App;
use crate::content::{Form, json, json_tagged, tagged};
use crate::gate::{Answer, Call};
use crate::jobs::{Job, Outcome};
use crate::problem::Problem;
use crate::schema::NewRun;
use axum::http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use yunei_engine::domain::RunView;
use yunei_engine::registry::{Claim, RunState};
use yunei_engine::{DomainError, Format, RunRequest};
use yunei_policy::{Lang, Refusal};

/// At most how many parameters or identity fields a use has.
pub(super) const MAX_FIELDS: usize = 64;

/// What `Prefer` asks for (RFC 7240): how long to wait.
fn preferred_wait(call: &Call, most: Duration) -> Option<Duration> {
    let values = call.headers.get_all("prefer").iter().filter_map(|v| v.to_str().ok());
    let wait =
        values.flat_map(|v| v.split(',')).find_map(|p| p.trim().strip_prefix("wait=")?.trim().parse::<u64>().ok());
    wait.map(|seconds| Duration::from_secs(seconds).min(most))
}

/// The idempotency key, where one came.
pub(super) fn idempotency_key(call: &Call) -> Result<Option<String>, Problem> {
    let mut all = call.headers.get_all("idempotency-key").iter();
    let Some(first) = all.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|t| (1..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic()));
    match (text, all.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Problem::malformed(
            "input/idempotency-key",
            "幂等键为 1 到 128 个可见 ASCII 字符，且只有一个",
            "an idempotency key is 1 to 128 visible ASCII characters, once",
        )),
    }
}

pub(super) fn other_request() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::new(
            "idempotency/other-request",
            "该幂等键已用于另一个请求",
            "this idempotency key was used for another request",
        )
        .hint("请为新的请求使用新的幂等键", "use a new key for a new request"),
    )
}

/// The runs that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "uses", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::RunPage)))]
pub(crate) async fn runs(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let runs = app.domain.runs_for(call.actor()?, asked.cursor.as_deref(), asked.limit.saturating_add(1)).await?;
    let limit = asked.limit as usize;
    let next = (runs.len() > limit).then(|| runs.get(limit - 1).map(|r| r.id.clone())).flatten();
    let items: Vec<&RunView> = runs.iter().take(limit).collect();
    json_tagged(&call.headers, &json!({ "items": items, "next": next }))
}

/// Asks for a run of an aggregate product. It goes on by itself: the answer is 202 and says where to look, or, with
/// `Prefer: wait=SECONDS`, the finished run. With another `Accept` than JSON a finished run is answered by its result.
#[utoipa::path(post, path = "/v1/runs", tag = "uses", request_body = NewRun, params(
    ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`: how long to wait for the run to end."),
    ("Idempotency-Key" = Option<String>, Header, description = "The same key and request give the same run.")), responses(
    (status = 200, description = "The run is over.", content(
        (crate::schema::Run = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.arrow.file"), (Vec<u8> = "application/vnd.apache.parquet"))),
    (status = 202, description = "The run waits or runs.", body = crate::schema::Run)))]
pub(crate) async fn run(app: Arc<App>, call: Call) -> Answer {
    let new: NewRun = call.json()?;
    let request = RunRequest {
        institution: call.actor()?.to_owned(),
        product: new.product,
        arguments: arguments(new.arguments)?,
        purpose: new.purpose,
    };
    bounded(&request.product, &request.purpose)?;
    let form = Form::negotiate(&call.headers).ok_or_else(not_acceptable)?;
    let mut id = app.domain.run_id()?;
    let mut replayed = false;
    if let Some(key) = idempotency_key(&call)? {
        let asked = serde_json::to_vec(&json!(["run", request.product, request.arguments, request.purpose]))
            .map_err(|_| Problem::internal())?;
        match app.domain.claim(call.caller()?, &key, &asked, &id).await? {
            Claim::New => {}
            Claim::Other => return Err(other_request()),
            Claim::Same(first) => {
                replayed = true;
                id = first;
            }
        }
    }
    // A key that was claimed just before a crash names a run that never began: it begins now, under that id.
    let known = replayed && app.jobs.find(&id).is_none() && app.domain.run_for(call.actor()?, &id).await.is_ok();
    if !known {
        let mut job = app.jobs.begin(&app.domain, &id, request)?;
        if let Some(wait) = preferred_wait(&call, app.config.limits.wait) {
            job.wait(wait).await;
        }
    }
    let mut answer = told(&app, &call, &id, form, replayed).await?;
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/runs/{id}")) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    if replayed {
        answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(answer)
}

/// A run that was just asked for: over, with its result or its refusal; or under way.
async fn told(app: &App, call: &Call, id: &str, form: Form, replayed: bool) -> Answer {
    let status = status(app, call, id).await?;
    let state = status["state"].as_str().unwrap_or_default();
    match state {
        "released" | "repeated" if form != Form::Json => written(app, call, id, form).await,
        "released" | "repeated" => json(StatusCode::OK, &status),
        "refused" | "failed" => {
            if let (false, Some(Outcome::Refused { reasons, status })) =
                (replayed, app.jobs.find(id).and_then(|job| job.outcome()))
            {
                return Err(refusal(reasons, status));
            }
            json(StatusCode::OK, &status)
        }
        _ => json(StatusCode::ACCEPTED, &status),
    }
}

fn refusal(reasons: Vec<Refusal>, status: u16) -> Problem {
    Problem::of(StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), reasons)
}

/// Parameters as texts: whole numbers, decimals, words and truth values are all written plainly in JSON.
fn arguments(given: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, Problem> {
    let wrong = || {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::new(
                "parameter/shape",
                "参数须为字符串、数字或真假值，最多 64 个",
                "a parameter is a text, a number or a truth value; there are at most 64",
            )
            .at("arguments"),
        )
    };
    if given.len() > MAX_FIELDS {
        return Err(wrong());
    }
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(wrong()),
    };
    given.into_iter().map(|(name, value)| Ok((name, text(value)?))).collect()
}

pub(super) fn bounded(product: &str, purpose: &str) -> Result<(), Problem> {
    let fits = |text: &str| (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits(product) && fits(purpose) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::new(
            "input/field",
            "产品与用途为 1 到 128 个字符，不含控制字符",
            "product and purpose are 1 to 128 characters, none of them a control character",
        ),
    ))
}

/// Where a run stands.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "uses", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Run)))]
pub(crate) async fn run_status(app: Arc<App>, call: Call) -> Answer {
    let id = call.path("id")?;
    if let (Some(wait), Some(mut job)) = (preferred_wait(&call, app.config.limits.wait), own_job(&app, &call, id)?) {
        job.wait(wait).await;
    }
    json_tagged(&call.headers, &status(&app, &call, id).await?)
}

fn own_job(app: &App, call: &Call, id: &str) -> Result<Option<Job>, Problem> {
    let actor = call.actor()?;
    Ok(app.jobs.find(id).filter(|job| job.institution == actor))
}

async fn status(app: &App, call: &Call, id: &str) -> Result<Value, Problem> {
    let job = own_job(app, call, id)?;
    let recorded = match app.domain.run_for(call.actor()?, id).await {
        Ok(run) => Some(run),
        Err(DomainError::NotFound(_)) if job.is_some() => None,
        Err(other) => return Err(other.into()),
    };
    let outcome = job.as_ref().and_then(Job::outcome);
    let state = match (&recorded, &outcome) {
        (_, Some(Outcome::Refused { .. })) => {
            let failed = recorded.as_ref().is_some_and(|r| r.state == RunState::Failed);
            if failed { "failed" } else { "refused" }
        }
        (Some(run), Some(Outcome::Released { .. })) => run.state.as_str(),
        // What is recorded as released is told so only when the log has it: then the run is over.
        (Some(run), None) if job.is_some() || !run.state.is_final() => "running",
        (Some(run), None) => run.state.as_str(),
        (None, _) => "queued",
    };
    let released = matches!(state, "released" | "repeated");
    let mut value = json!({
        "id": id,
        "state": state,
        "institution": recorded.as_ref().map(|r| r.institution.clone()).or(job.as_ref().map(|j| j.institution.clone())),
        "product": recorded.as_ref().map(|r| r.product.clone()).or(job.as_ref().map(|j| j.request.product.clone())),
        "purpose": recorded.as_ref().map(|r| r.purpose.clone()).or(job.as_ref().map(|j| j.request.purpose.clone())),
        "at": recorded.as_ref().map(|r| r.at.clone()),
        "changed_at": recorded.as_ref().map(|r| r.changed_at.clone()),
        "first": Value::Null, "charge": Value::Null, "refused": [],
        "result": released.then(|| format!("/v1/runs/{id}/result")),
        "receipt": released.then(|| format!("/v1/runs/{id}/receipt")),
    });
    match outcome {
        Some(Outcome::Released { run, repeated, epsilon, delta }) => {
            value["charge"] = json!({ "epsilon": epsilon, "delta": delta });
            if repeated {
                value["first"] = run.into();
            }
        }
        Some(Outcome::Refused { reasons, .. }) => value["refused"] = views(&reasons, call.lang),
        None => {}
    }
    Ok(value)
}

fn views(reasons: &[Refusal], lang: Lang) -> Value {
    reasons.iter().filter_map(|r| serde_json::to_value(r.to_view(lang)).ok()).collect()
}

fn not_acceptable() -> Problem {
    super::not_acceptable(
        "application/json、text/csv、application/vnd.apache.arrow.stream、application/vnd.apache.arrow.file、application/vnd.apache.parquet",
        "application/json, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.arrow.file and application/vnd.apache.parquet",
    )
}

/// What a run released: JSON, CSV, Arrow stream or file, Parquet, by `Accept`. The bytes are those of the receipt's digests.
#[utoipa::path(get, path = "/v1/runs/{id}/result", tag = "uses", params(("id" = String, Path)), responses(
    (status = 200, content(
        (Vec<Value> = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Vec<u8> = "application/vnd.apache.arrow.file"), (Vec<u8> = "application/vnd.apache.parquet")))))]
pub(crate) async fn result(app: Arc<App>, call: Call) -> Answer {
    let form = Form::negotiate(&call.headers).ok_or_else(not_acceptable)?;
    written(&app, &call, call.path("id")?, form).await
}

async fn written(app: &App, call: &Call, id: &str, form: Form) -> Answer {
    let recovered = app.domain.result_for(call.actor()?, id).await?;
    let columns = recovered.released.columns();
    let write = move || match form {
        Form::Json => recovered.released.write(Format::Json),
        Form::Csv => recovered.released.write(Format::Csv),
        Form::ArrowStream => recovered.released.write_stream(),
        Form::ArrowFile => recovered.released.write(Format::Arrow),
        Form::Parquet => recovered.released.write(Format::Parquet),
    };
    let bytes = tokio::task::spawn_blocking(write).await.map_err(|_| Problem::internal())?;
    let bytes = bytes.map_err(|_| Problem::internal())?;
    let mut answer = tagged(&call.headers, form.media_type(), bytes);
    // How many of the columns are the product's own; the rest are ends of intervals.
    answer.headers_mut().insert("yunei-columns", HeaderValue::from(columns));
    Ok(answer)
}

/// The receipt of a run, as text, for `yunei receipt verify`.
#[utoipa::path(get, path = "/v1/runs/{id}/receipt", tag = "uses", params(("id" = String, Path)), responses(
    (status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn receipt(app: Arc<App>, call: Call) -> Answer {
    let text = app.domain.receipt_for(call.actor()?, call.path("id")?).await?;
    Ok(tagged(&call.headers, "text/plain; charset=utf-8", text.into_bytes()))
}

/// What is left of the budgets that the caller may see.
#[utoipa::path(get, path = "/v1/budgets", tag = "uses", responses((status = 200, body = crate::schema::Budgets)))]
pub(crate) async fn budgets(app: Arc<App>, call: Call) -> Answer {
    json_tagged(&call.headers, &json!({ "items": app.domain.budgets(call.actor()?).await? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetQuery {
    institution: Option<String>,
}

/// What is left for one product, if the caller runs it, or the institution that the authority names.
#[utoipa::path(get, path = "/v1/products/{id}/budget", tag = "uses", params(("id" = String, Path),
    ("institution" = Option<String>, Query, description = "Who would run it; the caller where nothing is said.")), responses(
    (status = 200, body = crate::schema::ProductBudget)))]
pub(crate) async fn product_budget(app: Arc<App>, call: Call) -> Answer {
    let query: BudgetQuery = call.query()?;
    let actor = call.actor()?;
    let institution = query.institution.as_deref().unwrap_or(actor);
    json_tagged(&call.headers, &app.domain.product_budget(actor, call.path("id")?, institution).await?)
}
