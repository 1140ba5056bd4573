//! Registers, deadlines, consents of holders, agreements, declines, admissions.

use super::Page;
use crate::app::App;
use crate::content::{json, json_tagged, page, tagged};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use crate::schema::{Decline, NewAgreement, NewConsent};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use yunei_engine::DomainError;
use yunei_engine::dates::format_instant;
use yunei_engine::registry::{Agreement, Digest, Subject};
use yunei_policy::Refusal;
use yunei_policy::register::Term;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// At most how many days an agreement lasts: five years.
const MAX_AGREEMENT_DAYS: u32 = 1_826;

/// The registers of datasets and products: the thirteen core elements, the registration, the price.
#[utoipa::path(get, path = "/v1/registers", tag = "registers", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::RegisterPage)))]
pub(crate) async fn registers(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let all = app.domain.registers(call.actor()?).await?;
    let key = |e: &yunei_engine::domain::RegisterView| format!("{}/{}", e.kind, e.id);
    json_tagged(&call.headers, &page(all, key, asked.cursor.as_deref(), asked.limit as usize))
}

/// The catalogue as DCAT 3 in JSON-LD.
#[utoipa::path(get, path = "/v1/registers/dcat", tag = "registers", responses(
    (status = 200, body = Object, content_type = "application/ld+json")))]
pub(crate) async fn dcat(app: Arc<App>, call: Call) -> Answer {
    let catalogue = app.domain.dcat(call.actor()?).await?;
    let bytes = serde_json::to_vec(&catalogue).map_err(|_| Problem::internal())?;
    Ok(tagged(&call.headers, "application/ld+json", bytes))
}

/// The registrations, agreements and grants that lapse soon, or have lapsed.
#[utoipa::path(get, path = "/v1/registers/lapsing", tag = "registers", responses(
    (status = 200, body = crate::schema::LapseList)))]
pub(crate) async fn lapsing(app: Arc<App>, call: Call) -> Answer {
    json_tagged(&call.headers, &json!({ "items": app.domain.lapsing(call.actor()?).await? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DueQuery {
    #[serde(default)]
    overdue: bool,
}

/// What is due, the most urgent first.
#[utoipa::path(get, path = "/v1/due", tag = "registers", params(
    ("overdue" = Option<bool>, Query, description = "What is overdue alone.")), responses(
    (status = 200, body = crate::schema::DueList)))]
pub(crate) async fn due(app: Arc<App>, call: Call) -> Answer {
    let query: DueQuery = call.query()?;
    json_tagged(&call.headers, &json!({ "items": app.domain.due(call.actor()?, query.overdue).await? }))
}

async fn renew(app: &App, call: &Call, subject: Subject) -> Answer {
    json(StatusCode::OK, &app.domain.renew_registration(call.actor()?, &subject).await?)
}

/// Renews the registration of a dataset, or makes the first one.
#[utoipa::path(post, path = "/v1/datasets/{id}/registration", tag = "registers", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Registration)))]
pub(crate) async fn renew_dataset(app: Arc<App>, call: Call) -> Answer {
    let subject = Subject::Dataset(call.path("id")?.to_owned());
    renew(&app, &call, subject).await
}

/// Renews the registration of a product, or makes the first one.
#[utoipa::path(post, path = "/v1/products/{id}/registration", tag = "registers", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Registration)))]
pub(crate) async fn renew_product(app: Arc<App>, call: Call) -> Answer {
    let subject = Subject::Product(call.path("id")?.to_owned());
    renew(&app, &call, subject).await
}

/// An agreement that runs from now on.
pub(super) fn agreement_of(new: &NewAgreement, now: i64) -> Result<Agreement, Problem> {
    let wrong = |place: &'static str, zh: &str, en: &str| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Refusal::new("agreement/malformed", zh, en).at(place))
    };
    let digest: Digest = new.digest.parse().map_err(|_| {
        wrong(
            "digest",
            "协议摘要为文件的 SHA-256：64 位小写十六进制",
            "an agreement is named by the SHA-256 of its document: 64 lower-case hexadecimal digits",
        )
    })?;
    if !(1..=MAX_AGREEMENT_DAYS).contains(&new.days) {
        return Err(wrong("days", "协议期限为 1 到 1826 天", "an agreement lasts from 1 to 1826 days"));
    }
    let until_millis = now.saturating_add(i64::from(new.days) * DAY);
    Ok(Agreement { digest, term: Term { from_millis: now, until_millis } })
}

/// Records the agreement that a grant rests on (安全承诺书、开放利用协议), by the digest of its document, or a renewed one.
#[utoipa::path(put, path = "/v1/grants/{id}/agreement", tag = "grants", params(("id" = String, Path)),
    request_body = NewAgreement, responses((status = 200, body = crate::schema::Agreement)))]
pub(crate) async fn agreement(app: Arc<App>, call: Call) -> Answer {
    let Agreement { digest, term } = agreement_of(&call.json()?, app.domain.now())?;
    let grant = call.path("id")?;
    app.domain.record_agreement(call.actor()?, grant, digest, term).await?;
    json(
        StatusCode::OK,
        &json!({
            "grant": grant, "digest": digest, "from": format_instant(term.from_millis),
            "until": format_instant(term.until_millis),
        }),
    )
}

/// What the holders of its datasets say of a product.
#[utoipa::path(get, path = "/v1/products/{id}/consents", tag = "catalogue", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Consents)))]
pub(crate) async fn consents(app: Arc<App>, call: Call) -> Answer {
    let words = app.domain.consents(call.actor()?, call.path("id")?).await?;
    json_tagged(&call.headers, &json!({ "items": words }))
}

/// A holder consents to a product over all of its own datasets that it reads, refuses, or takes a consent back.
#[utoipa::path(post, path = "/v1/products/{id}/consents", tag = "catalogue", params(("id" = String, Path)),
    request_body = NewConsent, responses((status = 200, body = crate::schema::Consents)))]
pub(crate) async fn consent(app: Arc<App>, call: Call) -> Answer {
    let new: NewConsent = call.json()?;
    let words = app.domain.consent(call.actor()?, call.path("id")?, new.given, &new.reason).await?;
    json(StatusCode::OK, &json!({ "items": words }))
}

fn subject(call: &Call) -> Result<Subject, Problem> {
    Subject::read(call.path("kind")?, call.path("id")?).ok_or_else(|| {
        DomainError::NotFound(Refusal::new("registry/not-found", "没有这个对象", "there is no such thing")).into()
    })
}

/// Why something was last declined.
#[utoipa::path(get, path = "/v1/declines/{kind}/{id}", tag = "registers", params(
    ("kind" = String, Path, description = "`institution`, `dataset`, `model` or `product`"),
    ("id" = String, Path)), responses((status = 200, body = crate::schema::Declined)))]
pub(crate) async fn decline_reasons(app: Arc<App>, call: Call) -> Answer {
    let subject = subject(&call)?;
    let reasons = app.domain.decline_reasons(call.actor()?, &subject).await?;
    json_tagged(&call.headers, &json!({ "kind": subject.word(), "id": subject.id(), "reasons": reasons }))
}

/// Declines what was handed in, with every reason at once (一次性告知).
#[utoipa::path(post, path = "/v1/declines/{kind}/{id}", tag = "registers", params(
    ("kind" = String, Path, description = "`institution`, `dataset`, `model` or `product`"),
    ("id" = String, Path)), request_body = Decline, responses((status = 200, body = crate::schema::Standing)))]
pub(crate) async fn decline(app: Arc<App>, call: Call) -> Answer {
    let subject = subject(&call)?;
    let Decline { reasons } = call.json()?;
    let state = app.domain.decline(call.actor()?, &subject, &reasons).await?;
    json(StatusCode::OK, &json!({ "kind": subject.word(), "id": subject.id(), "state": state }))
}

/// Admits an institution that a system administrator entered.
#[utoipa::path(post, path = "/v1/institutions/{id}/admission", tag = "institutions", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Standing)))]
pub(crate) async fn admit(app: Arc<App>, call: Call) -> Answer {
    let id = call.path("id")?;
    let state = app.domain.admit_institution(call.actor()?, id).await?;
    json(StatusCode::OK, &json!({ "kind": "institution", "id": id, "state": state }))
}
