//! Verifications, one at a time and in batches; what guards them; who may sign consents.

use super::Page;
use super::uses::{MAX_FIELDS, bounded, idempotency_key, other_request};
use crate::app::App;
use crate::content::{json, json_bytes, json_tagged, page};
use crate::gate::{Answer, Call};
use crate::jobs::Known;
use crate::problem::Problem;
use crate::schema::{
    IndexSample, IssuerAction, IssuerChange, NewBatch, NewIssuer, NewVerification, Resumption, SubjectProof,
};
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use yunei_engine::registry::Claim;
use yunei_engine::verify::BATCH_AT_A_TIME;
use yunei_engine::{BatchItem, BatchRequest, ConsentKey, VerifyRequest};
use yunei_policy::authorise::Action;
use yunei_policy::words::{State, UnitKind};
use yunei_policy::{Refusal, Text};

/// At most how many rows of an index are looked up at once.
const MAX_SAMPLE: u64 = 1_000_000;

/// Asks a verification product about one subject: `match` or `no_match`.
#[utoipa::path(post, path = "/v1/verifications", tag = "uses", request_body = NewVerification, params(
    ("Idempotency-Key" = Option<String>, Header, description = "The same key and request are counted and answered once.")),
    responses((status = 200, body = crate::schema::Verification)))]
pub(crate) async fn verify(app: Arc<App>, call: Call) -> Answer {
    let new: NewVerification = call.json()?;
    bounded(&new.product, &new.purpose)?;
    if new.identity.len() > MAX_FIELDS || new.claims.len() > MAX_FIELDS {
        return Err(Problem::malformed("input/identity", "身份字段过多", "there are too many identity fields"));
    }
    let mut kept = None;
    if let Some(key) = idempotency_key(&call)? {
        let asked = serde_json::to_vec(&said(&new)).map_err(|_| Problem::internal())?;
        let id = app.domain.run_id()?;
        match app.domain.claim(call.caller()?, &key, &asked, &id).await? {
            Claim::New => {
                app.answers.begin(&id);
                kept = Some(id);
            }
            Claim::Other => return Err(other_request()),
            Claim::Same(first) => {
                let shown = call.credential.as_ref().ok_or_else(Problem::internal)?;
                app.domain.may_repeat(shown, &new.product, &new.purpose).await?;
                return replayed(&app, &first);
            }
        }
    }
    match (answered(&app, &call, new).await, kept) {
        (Ok(bytes), kept) => {
            if let Some(id) = kept {
                app.answers.put(&id, bytes.clone());
            }
            Ok(json_bytes(StatusCode::OK, bytes))
        }
        (Err(problem), kept) => {
            if let Some(id) = kept {
                app.answers.forget(&id);
            }
            Err(problem)
        }
    }
}

/// All that makes a request the same request.
fn said(new: &NewVerification) -> Value {
    json!(
        ["verify", new.product, new.identity, new.claim, new.claims, new.purpose, new.scene, new.serial, new.consent,]
    )
}

async fn answered(app: &App, call: &Call, new: NewVerification) -> Result<Bytes, Problem> {
    let Ok(_room) = app.verifications.try_acquire() else { return Err(Problem::busy(1)) };
    let request = VerifyRequest {
        institution: call.actor()?.to_owned(),
        product: new.product,
        identity: new.identity,
        claim: new.claim,
        claims: new.claims,
        purpose: new.purpose,
        scene: new.scene,
        serial: new.serial,
        consent: new.consent,
        credential: call.credential.clone(),
    };
    let answer = app.domain.verify(&request).await?;
    let bytes = serde_json::to_vec(&answer.envelope(Some(&request.product))).map_err(|_| Problem::internal())?;
    Ok(bytes.into())
}

fn replayed(app: &App, id: &str) -> Answer {
    let conflict = |code, zh: &str, en: &str| Problem::new(StatusCode::CONFLICT, Refusal::new(code, zh, en));
    match app.answers.find(id) {
        Some(Known::Answered(bytes)) => {
            let mut answer = json_bytes(StatusCode::OK, bytes);
            answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
            Ok(answer)
        }
        Some(Known::UnderWay) => {
            Err(conflict("idempotency/under-way", "同一请求正在处理", "the same request is being answered"))
        }
        None => Err(conflict(
            "idempotency/not-kept",
            "该请求已处理过，其答复不再保存",
            "the same request was answered before or refused, and the answer is not kept",
        )),
    }
}

/// Asks a batch product about many subjects, each with its own consent. The answers come in the order of the items, and
/// each stands for itself: some may be refused while others are answered.
#[utoipa::path(post, path = "/v1/verifications/batch", tag = "uses", request_body = NewBatch, responses(
    (status = 200, body = crate::schema::BatchAnswers)))]
pub(crate) async fn batch(app: Arc<App>, call: Call) -> Answer {
    let new: NewBatch = call.json()?;
    bounded(&new.product, &new.purpose)?;
    if new.items.iter().any(|i| i.identity.len() > MAX_FIELDS || i.claims.len() > MAX_FIELDS) {
        return Err(Problem::malformed("input/identity", "身份字段过多", "there are too many identity fields"));
    }
    // As much room as it takes at a time; a server with less room than that gives it all.
    let room = BATCH_AT_A_TIME.min(app.config.limits.verifications);
    let room = u32::try_from(room).map_err(|_| Problem::internal())?;
    let Ok(_room) = app.verifications.try_acquire_many(room) else { return Err(Problem::busy(1)) };
    let items = new.items.into_iter().map(|item| BatchItem {
        identity: item.identity,
        claims: item.claims,
        serial: item.serial,
        consent: item.consent,
    });
    let request = BatchRequest {
        institution: call.actor()?.to_owned(),
        product: new.product.clone(),
        purpose: new.purpose,
        scene: new.scene,
        items: items.collect(),
        credential: call.credential.clone(),
    };
    let answers = app.domain.verify_batch(request).await?;
    let answers: Result<Vec<Value>, _> = answers
        .iter()
        .map(|answer| match answer {
            Ok(answer) => serde_json::to_value(answer.envelope(Some(&new.product))),
            Err(error) => {
                let reasons = error.reasons().iter().map(|r| r.to_view(call.lang));
                Ok(json!({ "refused": reasons.collect::<Vec<_>>() }))
            }
        })
        .collect();
    let answers = answers.map_err(|_| Problem::internal())?;
    json(StatusCode::OK, &json!({ "answers": answers }))
}

/// What looked like enumeration, newest first.
#[utoipa::path(get, path = "/v1/verifications/alarms", tag = "audit", responses(
    (status = 200, body = crate::schema::Alarms)))]
pub(crate) async fn alarms(app: Arc<App>, call: Call) -> Answer {
    json_tagged(&call.headers, &json!({ "items": app.domain.verification_alarms(call.actor()?).await? }))
}

/// Lets a business that was stopped ask again.
#[utoipa::path(post, path = "/v1/verifications/resumption", tag = "institutions", request_body = Resumption, responses(
    (status = 200, body = crate::schema::Lifted)))]
pub(crate) async fn resume(app: Arc<App>, call: Call) -> Answer {
    let Resumption { institution, product } = call.json()?;
    let lifted = app.domain.resume_verification(call.actor()?, &institution, &product).await?;
    json(StatusCode::OK, &json!({ "institution": institution, "product": product, "lifted": lifted }))
}

/// Who asked about a subject: for the subject, through whichever institution it turns to. The consent proves who it is.
#[utoipa::path(post, path = "/v1/verifications/asked", tag = "requests", request_body = SubjectProof, responses(
    (status = 200, body = crate::schema::Asked)))]
pub(crate) async fn asked(app: Arc<App>, call: Call) -> Answer {
    let proof: SubjectProof = call.json()?;
    let kind = if proof.legal_person { UnitKind::LegalPerson } else { UnitKind::NaturalPerson };
    let records = app.domain.asked_about(kind, &proof.number, &proof.consent).await?;
    json(StatusCode::OK, &json!({ "items": records }))
}

/// Makes the index of a verification product ahead of its first question; answered when it is ready.
#[utoipa::path(post, path = "/v1/products/{id}/index", tag = "audit", params(("id" = String, Path)), responses(
    (status = 200, body = crate::schema::Index)))]
pub(crate) async fn index(app: Arc<App>, call: Call) -> Answer {
    let Ok(_alone) = app.heavy.try_acquire() else { return Err(Problem::busy(10)) };
    json(StatusCode::OK, &app.domain.build_index(call.actor()?, call.path("id")?, |_, _| {}).await?)
}

/// Samples the index of a verification product against the data.
#[utoipa::path(post, path = "/v1/products/{id}/index/audit", tag = "audit", params(("id" = String, Path)),
    request_body = IndexSample, responses((status = 200, body = crate::schema::IndexAudit)))]
pub(crate) async fn audit_index(app: Arc<App>, call: Call) -> Answer {
    let IndexSample { sample } = call.json()?;
    if !(1..=MAX_SAMPLE).contains(&sample) {
        let (zh, en) = ("抽查行数为 1 到 1000000", "a sample is from 1 to 1000000 rows");
        return Err(Problem::malformed("input/sample", zh, en));
    }
    let Ok(_alone) = app.heavy.try_acquire() else { return Err(Problem::busy(10)) };
    let audit = app.domain.audit_index(call.actor()?, call.path("id")?, sample).await?;
    let mut document = serde_json::to_value(&audit).map_err(|_| Problem::internal())?;
    document["sound"] = audit.is_sound().into();
    json(StatusCode::OK, &document)
}

/// Who may sign consents.
#[utoipa::path(get, path = "/v1/issuers", tag = "institutions", params(crate::schema::PageParams), responses(
    (status = 200, body = crate::schema::IssuerPage)))]
pub(crate) async fn issuers(app: Arc<App>, call: Call) -> Answer {
    app.domain.ask(call.actor()?, Action::ReadCatalogue).await?;
    let asked = Page::of(&call)?;
    let all = app.domain.issuers().await?;
    json_tagged(&call.headers, &page(all, |i| i.kid.clone(), asked.cursor.as_deref(), asked.limit as usize))
}

/// Registers who may sign consents; in force at once.
#[utoipa::path(post, path = "/v1/issuers", tag = "institutions", request_body = NewIssuer, responses(
    (status = 201, body = crate::schema::Created)))]
pub(crate) async fn add_issuer(app: Arc<App>, call: Call) -> Answer {
    let new: NewIssuer = call.json()?;
    let key = ConsentKey::from_pem(&new.public_key)?;
    app.domain.add_issuer(call.actor()?, &new.id, &Text::new(new.title.zh, new.title.en), &key).await?;
    json(StatusCode::CREATED, &json!({ "id": new.id }))
}

/// Suspends or resumes an issuer: its tokens count, or do not, when this is answered.
#[utoipa::path(post, path = "/v1/issuers/{id}/state", tag = "institutions", params(("id" = String, Path)),
    request_body = IssuerChange, responses((status = 200, body = crate::schema::Standing)))]
pub(crate) async fn issuer_state(app: Arc<App>, call: Call) -> Answer {
    let to = match call.json::<IssuerChange>()?.action {
        IssuerAction::Suspend => State::Suspended,
        IssuerAction::Resume => State::Approved,
    };
    let id = call.path("id")?;
    app.domain.set_issuer_state(call.actor()?, id, to).await?;
    json(StatusCode::OK, &json!({ "kind": "issuer", "id": id, "state": to }))
}
