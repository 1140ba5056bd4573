//! Institutions, grants, tokens, keys, policies.

use super::{Page, done};
use crate::app::App;
use crate::content::{json, json_tagged, page, tagged};
use crate::gate::{Answer, Call};
use crate::problem::Problem;
use crate::schema::{NewGrant, NewInstitution, NewKey, NewToken, PoliciesText, Role};
use axum::http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use yunei_engine::GrantRequest;
use yunei_engine::domain::TokenRequest;
use yunei_policy::authorise::Scopes;
use yunei_policy::{Refusal, Text};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// At most how many days a grant lasts: five years.
const MAX_GRANT_DAYS: u32 = 1_830;

fn absent(zh: &str, en: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Refusal::new("registry/not-found", format!("没有这个{zh}"), format!("there is no such {en}")),
    )
}

/// The grants that the caller may see: its own; the authority sees all.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::GrantPage)))]
pub(crate) async fn grants(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let all = app.domain.grants_for(call.actor()?).await?;
    json_tagged(&call.headers, &page(all, |g| g.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// One grant.
#[utoipa::path(get, path = "/v1/grants/{id}", tag = "grants", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Grant)))]
pub(crate) async fn grant(app: Arc<App>, call: Call) -> Answer {
    let id = call.path("id")?;
    let found = app.domain.grants_for(call.actor()?).await?.into_iter().find(|g| g.id == id);
    json_tagged(&call.headers, &found.ok_or_else(|| absent("授权", "grant"))?)
}

/// Grants a product to an institution; in force at once.
#[utoipa::path(post, path = "/v1/grants", tag = "grants", request_body = NewGrant, responses(
    (status = 201, body = crate::schema::Created)))]
pub(crate) async fn add_grant(app: Arc<App>, call: Call) -> Answer {
    let new: NewGrant = call.json()?;
    if !(1..=MAX_GRANT_DAYS).contains(&new.days) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::new("grant/period", "授权期限为 1 到 1830 天", "a grant lasts from 1 to 1830 days").at("days"),
        ));
    }
    let now = app.domain.now();
    let request = GrantRequest {
        institution: new.institution,
        product: new.product,
        purposes: new.purposes,
        from_millis: now,
        until_millis: now.saturating_add(i64::from(new.days) * DAY),
        max_runs: new.max_runs,
    };
    let id = match &new.agreement {
        None => app.domain.add_grant(call.actor()?, &request).await?,
        Some(agreement) => {
            let agreement = super::office::agreement_of(agreement, now)?;
            app.domain.grant_under(call.actor()?, &request, agreement).await?
        }
    };
    json(StatusCode::CREATED, &json!({ "id": id }))
}

/// The institutions that the caller may see: itself; the authority sees all.
#[utoipa::path(get, path = "/v1/institutions", tag = "institutions", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::InstitutionPage)))]
pub(crate) async fn institutions(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let all = app.domain.institutions_for(call.actor()?).await?;
    json_tagged(&call.headers, &page(all, |i| i.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// One institution.
#[utoipa::path(get, path = "/v1/institutions/{id}", tag = "institutions", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Institution)))]
pub(crate) async fn institution(app: Arc<App>, call: Call) -> Answer {
    let id = call.path("id")?;
    let found = app.domain.institutions_for(call.actor()?).await?.into_iter().find(|i| i.id == id);
    json_tagged(&call.headers, &found.ok_or_else(|| absent("机构", "institution"))?)
}

/// Adds an institution.
#[utoipa::path(post, path = "/v1/institutions", tag = "institutions", request_body = NewInstitution, responses(
    (status = 201, body = crate::schema::Created)))]
pub(crate) async fn add_institution(app: Arc<App>, call: Call) -> Answer {
    let new: NewInstitution = call.json()?;
    let (actor, title) = (call.actor()?, Text::new(new.title.zh, new.title.en));
    match (new.office, new.role) {
        (None, role) => app.domain.add_institution(actor, &new.id, role.into(), &title).await?,
        (Some(office), Role::Authority) => app.domain.appoint(actor, &new.id, office.into(), &title).await.map(drop)?,
        (Some(_), _) => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Refusal::new("input/office", "只有主管部门分设职责", "the authority alone has offices").at("office"),
            ));
        }
    }
    json(StatusCode::CREATED, &json!({ "id": new.id }))
}

/// The tokens of the caller's institution, without their secrets; the authority sees everybody's.
#[utoipa::path(get, path = "/v1/tokens", tag = "credentials", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::TokenPage)))]
pub(crate) async fn tokens(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let all = app.domain.tokens_for(call.actor()?).await?;
    json_tagged(&call.headers, &page(all, |t| t.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// Issues a token. Its secret is told in this answer and never again.
#[utoipa::path(post, path = "/v1/tokens", tag = "credentials", request_body = NewToken, responses(
    (status = 201, body = crate::schema::IssuedToken)))]
pub(crate) async fn issue_token(app: Arc<App>, call: Call) -> Answer {
    let new: NewToken = call.json()?;
    let caller = call.caller()?;
    let request = TokenRequest {
        institution: new.institution.unwrap_or_else(|| caller.institution().to_owned()),
        label: new.label,
        scopes: Scopes::parse(new.scopes.iter().map(String::as_str))
            .map_err(|r| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, r))?,
        days: new.days,
        certificate: new.certificate,
    };
    let issued = app.domain.issue_token(caller.institution(), caller.scopes(), &request).await?;
    json(StatusCode::CREATED, &json!({ "id": issued.id, "token": issued.secret, "expires_at": issued.expires_at }))
}

/// Revokes a token; it opens nothing any more when this is answered.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "credentials", params(("id" = String, Path)), responses(
    (status = 204, description = "Revoked.")))]
pub(crate) async fn revoke_token(app: Arc<App>, call: Call) -> Answer {
    app.domain.revoke_token(call.actor()?, call.path("id")?).await?;
    Ok(done())
}

/// The keys that the caller's institution signs its models with; the authority sees everybody's.
#[utoipa::path(get, path = "/v1/keys", tag = "credentials", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::KeyPage)))]
pub(crate) async fn keys(app: Arc<App>, call: Call) -> Answer {
    let asked = Page::of(&call)?;
    let all = app.domain.signing_keys_for(call.actor()?).await?;
    json_tagged(&call.headers, &page(all, |k| k.id.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// Registers a key that models are signed with.
#[utoipa::path(post, path = "/v1/keys", tag = "credentials", request_body = NewKey, responses(
    (status = 201, body = crate::schema::Key)))]
pub(crate) async fn add_key(app: Arc<App>, call: Call) -> Answer {
    let new: NewKey = call.json()?;
    let actor = call.actor()?;
    let institution = new.institution.as_deref().unwrap_or(actor);
    json(StatusCode::CREATED, &app.domain.add_signing_key(actor, institution, &new.public_key, &new.label).await?)
}

/// Retires a key; nothing signed with it is taken any more.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "credentials", params(("id" = String, Path)), responses(
    (status = 204, description = "Retired.")))]
pub(crate) async fn retire_key(app: Arc<App>, call: Call) -> Answer {
    app.domain.retire_signing_key(call.actor()?, call.path("id")?).await?;
    Ok(done())
}

/// The Cedar policies in force, with their schema.
#[utoipa::path(get, path = "/v1/policies", tag = "institutions", responses(
    (status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn policies(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, yunei_policy::authorise::Action::ReadAudit).await?;
    let text = app.domain.policies().text().as_bytes().to_vec();
    Ok(tagged(&call.headers, "text/plain; charset=utf-8", text))
}

/// Puts other Cedar policies into force: checked against the schema, recorded, in force when this is answered.
#[utoipa::path(put, path = "/v1/policies", tag = "institutions", request_body = PoliciesText, responses(
    (status = 204, description = "In force.")))]
pub(crate) async fn change_policies(app: Arc<App>, call: Call) -> Answer {
    let new: PoliciesText = call.json()?;
    app.domain.change_policies(call.actor()?, &new.policies).await?;
    Ok(done())
}
