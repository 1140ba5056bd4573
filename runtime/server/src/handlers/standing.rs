//! Where things stand: approved, suspended, resumed, ended, withdrawn; and what became of it.

use crate::app::App;
use crate::content::{json, json_tagged};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use crate::schema::{StateAction, StateChange, Withdrawal};
use axum::http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use yunei_engine::registry::Subject;
use yunei_engine::{DomainError, TimingView};
use yunei_policy::Refusal;
use yunei_policy::words::State;

fn absent() -> Problem {
    DomainError::NotFound(Refusal::new("registry/not-found", "没有这个对象", "there is no such thing")).into()
}

async fn change(app: &App, call: &Call, subject: &Subject) -> Answer {
    let change: StateChange = call.json()?;
    let actor = call.actor()?;
    let stands = |state: State, timing: Option<TimingView>| {
        json(
            StatusCode::OK,
            &json!({
                "kind": subject.word(), "id": subject.id(), "state": state, "stopped": [], "ended": true, "releases": [],
                "timing": timing,
            }),
        )
    };
    let stopped = match change.action {
        StateAction::Approve => {
            let state = approve(app, actor, subject).await?;
            // It is approved by now: a time that can not be measured is not told.
            let timing = match subject {
                Subject::Product(id) => app.domain.product_timing(id).await.ok().flatten(),
                _ => None,
            };
            return stands(state, timing);
        }
        StateAction::Resume => return stands(app.domain.resume(actor, subject, &change.reason).await?, None),
        StateAction::Suspend => app.domain.suspend(actor, subject, &change.reason).await?,
        StateAction::End => app.domain.end(actor, subject, &change.reason).await?,
    };
    json(StatusCode::OK, &stopped)
}

/// Puts into use what was handed in, and gives where it stands then.
async fn approve(app: &App, actor: &str, subject: &Subject) -> Result<State, Problem> {
    let id = subject.id();
    match subject {
        Subject::Dataset(_) => app.domain.set_dataset_state(actor, &id, State::Approved).await?,
        Subject::Model { .. } => app.domain.set_model_state(actor, &id, State::Approved).await?,
        Subject::Product(_) => app.domain.set_product_state(actor, &id, State::Approved).await?,
        Subject::Version { .. } | Subject::Institution(_) | Subject::Grant(_) => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Refusal::new("input/state-action", "该类对象无需批准", "such a thing is in force without an approval")
                    .hint("恢复使用请用 resume", "use resume to undo a suspension"),
            ));
        }
    };
    Ok(State::Approved)
}

async fn withdraw(app: &App, call: &Call, subject: &Subject) -> Answer {
    let withdrawal: Withdrawal = call.json()?;
    json(StatusCode::OK, &app.domain.withdraw(call.actor()?, subject, &withdrawal.reason).await?)
}

fn of(call: &Call, kind: &str) -> Result<Subject, Problem> {
    Subject::read(kind, call.path("id")?).ok_or_else(absent)
}

fn version_of(call: &Call) -> Result<Subject, Problem> {
    let id = format!("{}@{}", call.path("id")?, call.path("number")?);
    Subject::read("version", &id).ok_or_else(absent)
}

/// Publishes, suspends, resumes or ends a dataset.
#[utoipa::path(post, path = "/v1/datasets/{id}/state", tag = "catalogue", params(("id" = String, Path)),
    request_body = StateChange, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn dataset(app: Arc<App>, call: Call) -> Answer {
    change(&app, &call, &of(&call, "dataset")?).await
}

/// Withdraws a dataset (撤回), as its holder or the authority.
#[utoipa::path(post, path = "/v1/datasets/{id}/withdrawal", tag = "catalogue", params(("id" = String, Path)),
    request_body = Withdrawal, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn withdraw_dataset(app: Arc<App>, call: Call) -> Answer {
    withdraw(&app, &call, &of(&call, "dataset")?).await
}

/// Suspends, resumes or ends a version of a dataset.
#[utoipa::path(post, path = "/v1/datasets/{id}/versions/{number}/state", tag = "catalogue",
    params(("id" = String, Path), ("number" = u64, Path, minimum = 1)),
    request_body = StateChange, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn version(app: Arc<App>, call: Call) -> Answer {
    change(&app, &call, &version_of(&call)?).await
}

/// Withdraws a version of a dataset, as its holder or the authority.
#[utoipa::path(post, path = "/v1/datasets/{id}/versions/{number}/withdrawal", tag = "catalogue",
    params(("id" = String, Path), ("number" = u64, Path, minimum = 1)),
    request_body = Withdrawal, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn withdraw_version(app: Arc<App>, call: Call) -> Answer {
    withdraw(&app, &call, &version_of(&call)?).await
}

/// Approves, suspends, resumes or ends a model.
#[utoipa::path(post, path = "/v1/models/{id}/state", tag = "catalogue",
    params(("id" = String, Path, description = "`id@version`")),
    request_body = StateChange, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn model(app: Arc<App>, call: Call) -> Answer {
    change(&app, &call, &of(&call, "model")?).await
}

/// Approves, suspends, resumes or ends a product.
#[utoipa::path(post, path = "/v1/products/{id}/state", tag = "catalogue", params(("id" = String, Path)),
    request_body = StateChange, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn product(app: Arc<App>, call: Call) -> Answer {
    change(&app, &call, &of(&call, "product")?).await
}

/// Suspends, resumes or ends a grant.
#[utoipa::path(post, path = "/v1/grants/{id}/state", tag = "grants", params(("id" = String, Path)),
    request_body = StateChange, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn grant(app: Arc<App>, call: Call) -> Answer {
    change(&app, &call, &of(&call, "grant")?).await
}

/// Suspends, resumes or ends an institution. Its tokens open nothing while it is suspended.
#[utoipa::path(post, path = "/v1/institutions/{id}/state", tag = "institutions", params(("id" = String, Path)),
    request_body = StateChange, responses((status = 200, body = crate::schema::Stands)))]
pub(crate) async fn institution(app: Arc<App>, call: Call) -> Answer {
    change(&app, &call, &of(&call, "institution")?).await
}

/// The history of something's states, with the reasons, oldest first.
#[utoipa::path(get, path = "/v1/audit/history/{kind}/{id}", tag = "audit", params(
    ("kind" = String, Path, description = "`institution`, `dataset`, `version`, `model`, `product` or `grant`"),
    ("id" = String, Path)), responses((status = 200, body = crate::schema::History)))]
pub(crate) async fn history(app: Arc<App>, call: Call) -> Answer {
    let subject = of(&call, call.path("kind")?)?;
    json_tagged(&call.headers, &json!({ "items": app.domain.state_history(call.actor()?, &subject).await? }))
}

/// The releases that rested on something, newest first.
#[utoipa::path(get, path = "/v1/audit/releases/{kind}/{id}", tag = "audit", params(
    ("kind" = String, Path, description = "`institution`, `dataset`, `version`, `model`, `product` or `grant`"),
    ("id" = String, Path)), responses((status = 200, body = crate::schema::Releases)))]
pub(crate) async fn releases(app: Arc<App>, call: Call) -> Answer {
    let subject = of(&call, call.path("kind")?)?;
    json_tagged(&call.headers, &json!({ "items": app.domain.releases_on(call.actor()?, &subject).await? }))
}
