//! Requests of data subjects (异议、校核): recorded, routed to the holder, answered.

use super::Page;
use crate::app::App;
use crate::content::{json, json_tagged, page};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use crate::schema::{Extension, NewRequest, NewRequestAnswer};
use axum::http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use std::sync::Arc;
use yunei_engine::domain::SubjectQuery;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    open: bool,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The requests that the caller may see: those that it recorded, those that it has to answer, all of them for the
/// authority.
#[utoipa::path(get, path = "/v1/requests", tag = "requests", params(crate::schema::PageParams,
    ("open" = Option<bool>, Query, description = "The open ones alone.")), responses(
    (status = 200, body = crate::schema::RequestPage)))]
pub(crate) async fn list(app: Arc<App>, call: Call) -> Answer {
    let query: ListQuery = call.query()?;
    let asked = Page::checked(query.limit, query.cursor)?;
    let all = app.domain.requests(call.actor()?, query.open).await?;
    json_tagged(&call.headers, &page(all, |r| r.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// One request.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "requests", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Request)))]
pub(crate) async fn one(app: Arc<App>, call: Call) -> Answer {
    json_tagged(&call.headers, &app.domain.request(call.actor()?, call.path("id")?).await?)
}

/// Records a data subject's request; the holder of the dataset has five working days to answer it.
#[utoipa::path(post, path = "/v1/requests", tag = "requests", request_body = NewRequest, responses(
    (status = 201, body = crate::schema::Request)))]
pub(crate) async fn file(app: Arc<App>, call: Call) -> Answer {
    let new: NewRequest = call.json()?;
    let query =
        SubjectQuery { kind: new.kind.into(), dataset: new.dataset, subject: new.subject, details: new.details };
    let view = app.domain.file_request(call.actor()?, &query).await?;
    let mut answer = json(StatusCode::CREATED, &view)?;
    let place = HeaderValue::from_str(&format!("/v1/requests/{}", view.id)).map_err(|_| Problem::internal())?;
    answer.headers_mut().insert(header::LOCATION, place);
    Ok(answer)
}

/// The holder takes ten working days instead of five, once, with a reason.
#[utoipa::path(post, path = "/v1/requests/{id}/extension", tag = "requests", params(("id" = String, Path)),
    request_body = Extension, responses((status = 200, body = crate::schema::Request)))]
pub(crate) async fn extend(app: Arc<App>, call: Call) -> Answer {
    let Extension { reason } = call.json()?;
    json(StatusCode::OK, &app.domain.extend_request(call.actor()?, call.path("id")?, &reason).await?)
}

/// The holder answers. A correction names the new version of the dataset that holds the corrected data.
#[utoipa::path(post, path = "/v1/requests/{id}/answer", tag = "requests", params(("id" = String, Path)),
    request_body = NewRequestAnswer, responses((status = 200, body = crate::schema::Request)))]
pub(crate) async fn answer(app: Arc<App>, call: Call) -> Answer {
    let new: NewRequestAnswer = call.json()?;
    let (actor, id) = (call.actor()?, call.path("id")?);
    let outcome = new.outcome.into();
    json(StatusCode::OK, &app.domain.answer_request(actor, id, outcome, &new.answer, new.corrected_version).await?)
}
