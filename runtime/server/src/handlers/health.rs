//! Whether the server lives, what it is, who asks.

use crate::app::App;
use crate::content::{json, json_tagged, tagged};
use crate::gate::{Answer, Call};
use crate::openapi;
use crate::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use std::sync::Arc;

/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses((status = 200, description = "The process lives.")))]
pub(crate) async fn alive(_: Arc<App>, _: Call) -> Answer {
    json(StatusCode::OK, &json!({ "alive": true }))
}

/// Whether requests can be served: the store answers, the log takes entries, and no stop is under way.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()), responses(
    (status = 200, description = "Requests are served."),
    (status = 503, description = "Not now.", body = crate::schema::Problem, content_type = "application/problem+json")))]
pub(crate) async fn ready(app: Arc<App>, _: Call) -> Answer {
    if app.is_stopping() || !app.domain.is_ready().await {
        return Err(Problem::busy(5));
    }
    json(StatusCode::OK, &json!({ "ready": true }))
}

pub(crate) async fn metrics(app: Arc<App>, _: Call) -> Answer {
    let in_flight = app.config.limits.requests.saturating_sub(app.requests.available_permits());
    let ready = !app.is_stopping() && app.domain.is_ready().await;
    let text = app.metrics.render(in_flight, app.jobs.under_way(), ready);
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    Ok(response)
}

pub(crate) async fn openapi(_: Arc<App>, call: Call) -> Answer {
    Ok(tagged(&call.headers, "application/json", openapi::text().as_bytes().to_vec()))
}

/// What the reader's page may load: its own script and style, and the description.
const READER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(crate) async fn reader(_: Arc<App>, call: Call) -> Answer {
    let page = include_str!("../../assets/reader.html");
    let mut response = tagged(&call.headers, "text/html; charset=utf-8", page.as_bytes().to_vec());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(READER_POLICY));
    Ok(response)
}

pub(crate) async fn reader_script(_: Arc<App>, call: Call) -> Answer {
    let script = include_str!("../../assets/reader.js");
    Ok(tagged(&call.headers, "text/javascript; charset=utf-8", script.as_bytes().to_vec()))
}

pub(crate) async fn reader_style(_: Arc<App>, call: Call) -> Answer {
    let style = include_str!("../../assets/reader.css");
    Ok(tagged(&call.headers, "text/css; charset=utf-8", style.as_bytes().to_vec()))
}

/// Who the token's institution is and what the token is good for.
#[utoipa::path(get, path = "/v1/whoami", tag = "service", responses(
    (status = 200, body = crate::schema::Whoami)))]
pub(crate) async fn whoami(app: Arc<App>, call: Call) -> Answer {
    let caller = call.caller()?;
    let state = app.domain.standing(caller).await?;
    json_tagged(
        &call.headers,
        &json!({
            "institution": caller.institution(), "role": caller.role(), "state": state,
            "token": caller.token(), "scopes": caller.scopes().words(), "domain": app.domain.name(),
        }),
    )
}
