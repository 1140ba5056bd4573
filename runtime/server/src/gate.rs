//! The way of every request: room, who it is, whether it may, its body under a limit and a deadline; then its handler, in
//! a task of its own, so that a client that goes away leaves nothing half done.

use crate::app::{App, BODY_UNIT, Connection};
use crate::content::language;
use crate::problem::Problem;
use crate::route::{Access, Route};
use axum::RequestExt;
use axum::body::{Body, Bytes};
use axum::extract::RawPathParams;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use yunei_engine::domain::{Caller, Credential};
use yunei_policy::authorise::Action;
use yunei_policy::{Lang, Refusal};

/// An answer or why there is none.
pub(crate) type Answer = Result<Response<Body>, Problem>;

/// A request that was let in.
pub(crate) struct Call {
    /// Who sent it; nobody on a route that is open to all.
    caller: Option<Arc<Caller>>,
    /// What showed it, where that is looked at again when the use is charged.
    pub(crate) credential: Option<Credential>,
    /// The language of the answer's texts.
    pub(crate) lang: Lang,
    pub(crate) headers: HeaderMap,
    uri: Uri,
    parameters: Vec<(String, String)>,
    body: Bytes,
    /// The room that the body takes; given back when the request is done.
    _room: Option<OwnedSemaphorePermit>,
}

impl Call {
    /// Who sent it.
    pub(crate) fn caller(&self) -> Result<&Caller, Problem> {
        // A route whose handler asks for a caller without demanding one in the table is a fault of ours.
        self.caller.as_deref().ok_or_else(Problem::internal)
    }

    /// The institution that sent it.
    pub(crate) fn actor(&self) -> Result<&str, Problem> {
        Ok(self.caller()?.institution())
    }

    /// A part of the path.
    pub(crate) fn path(&self, name: &str) -> Result<&str, Problem> {
        let found = self.parameters.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(Problem::internal)
    }

    /// The query, as a struct that knows each of its fields.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        axum::extract::Query::try_from_uri(&self.uri).map(|q| q.0).map_err(|_| {
            Problem::malformed("input/query", "查询参数不正确", "a parameter of the query is unknown or malformed")
        })
    }

    /// The body, as JSON of a known shape. Nesting is bounded by the parser (128), everything else by the body's limit.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Refusal::new("input/media-type", "请求体须为 application/json", "the body has to be application/json"),
            ));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // The message names fields and positions, and may quote what was sent: only the position is told.
            let place = format!("line {}, column {}", error.line(), error.column());
            let refusal = match error.classify() {
                serde_json::error::Category::Data => Refusal::new(
                    "input/shape",
                    "请求体的字段不符合接口说明",
                    "the body does not have the fields of this request",
                ),
                _ => Refusal::new("input/json", "请求体不是正确的 JSON", "the body is not well-formed JSON"),
            };
            Problem::new(StatusCode::BAD_REQUEST, refusal.at(place).hint("见 /v1/openapi.json", "see /v1/openapi.json"))
        })
    }
}

/// Takes a request through the gate and to its handler.
pub(crate) async fn pass(app: Arc<App>, route: &'static Route, request: Request<Body>) -> Response<Body> {
    let id = request_id();
    let lang = language(request.headers());
    let (answer, institution) = admit(&app, route, request, lang).await;
    let mut response = answer.unwrap_or_else(|problem| problem.into_response(lang, &id));
    finish(&mut response, lang, &id);
    let status = response.status().as_u16();
    app.metrics.answered(route.method, route.path, status);
    tracing::info!(
        request = %id, method = route.method, route = route.path, status,
        institution = institution.as_deref().unwrap_or("-"), "answered"
    );
    response
}

async fn admit(app: &Arc<App>, route: &'static Route, request: Request<Body>, lang: Lang) -> (Answer, Option<String>) {
    // Whether the server lives is told however busy it is.
    let _room = match route.access {
        Access::Health => None,
        _ => match app.requests.try_acquire() {
            Ok(room) => Some(room),
            Err(_) => return (Err(Problem::busy(1)), None),
        },
    };
    match enter(app, route, request, lang).await {
        Err(problem) => (Err(problem), None),
        Ok(call) => {
            let institution = call.caller.as_ref().map(|c| c.institution().to_owned());
            let task = tokio::spawn((route.handler)(Arc::clone(app), call));
            let answer = match task.await {
                Ok(answer) => answer,
                Err(_) => Err(Problem::internal()),
            };
            (answer, institution)
        }
    }
}

async fn enter(app: &Arc<App>, route: &'static Route, mut request: Request<Body>, lang: Lang) -> Result<Call, Problem> {
    let connection = request.extensions().get::<Connection>().cloned();
    let mut credential = None;
    let caller = match route.access {
        Access::Health | Access::Open => None,
        Access::Machine => {
            if !connection.is_some_and(|c| c.peer.ip().to_canonical().is_loopback()) {
                return Err(Problem::no_route());
            }
            None
        }
        // Over a picture of the registry, for the charge asks again; what is told without one asks `may_repeat`.
        Access::Needs(Action::Verify) => {
            let shown = Credential::read(bearer(request.headers())?, connection.and_then(|c| c.certificate))?;
            let caller = app.domain.admit_verifier(&shown).await?;
            credential = Some(shown);
            Some(caller)
        }
        Access::Needs(action) => {
            let secret = bearer(request.headers())?;
            let caller = app.domain.authenticate(secret, connection.and_then(|c| c.certificate)).await?;
            app.domain.admit(&caller, action).await?;
            Some(Arc::new(caller))
        }
    };
    let parameters = match request.extract_parts::<RawPathParams>().await {
        Ok(found) => found.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        Err(_) => return Err(Problem::no_route()),
    };
    let (parts, body) = request.into_parts();
    let (body, _room) = read_body(app, route, &parts.headers, body).await?;
    Ok(Call { caller, credential, lang, headers: parts.headers, uri: parts.uri, parameters, body, _room })
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            Refusal::new("credential/missing", "缺少访问令牌", "a token is needed")
                .hint("请在 Authorization 头中携带 Bearer 令牌", "send it as Authorization: Bearer"),
        )
    };
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return Err(missing()) };
    let (scheme, secret) = one.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(secret.trim()) } else { Err(missing()) }
}

async fn read_body(
    app: &App,
    route: &Route,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::new(
                "input/too-large",
                format!("请求体超过 {} 字节", route.most),
                format!("the body has more than {} bytes", route.most),
            ),
        )
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::new("input/encoding", "不接受压缩的请求体", "a compressed body is not taken"),
        ));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|length: u64| length > route.most as u64) {
        return Err(too_large());
    }
    // Room for what is announced; for the most that it may be where nothing is. Small bodies need none: they are as many
    // as the requests at most, and long ones that come slowly must not keep them out.
    let length = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(route.most).min(route.most);
    let room = match u32::try_from(length.div_ceil(BODY_UNIT)).map_err(|_| too_large())? {
        0 | 1 => None,
        units => Some(Arc::clone(&app.bodies).try_acquire_many_owned(units).map_err(|_| Problem::busy(1))?),
    };
    let read = Limited::new(body, route.most).collect();
    match tokio::time::timeout(app.config.limits.body, read).await {
        Ok(Ok(collected)) => Ok((collected.to_bytes(), room)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::malformed("input/broken", "请求体不完整", "the body broke off")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            Refusal::new("input/too-slow", "请求体传输过慢", "the body took too long to come"),
        )),
    }
}

/// What every answer says of itself.
pub(crate) fn finish(response: &mut Response<Body>, lang: Lang, id: &str) {
    let headers = response.headers_mut();
    let language = match lang {
        Lang::Zh => "zh",
        Lang::En => "en",
    };
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language));
    headers.insert(header::VARY, HeaderValue::from_static("authorization, accept, accept-language"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
}

/// 64 random bits; where the system has none, a name that says so.
pub(crate) fn request_id() -> String {
    let mut bytes = [0; 8];
    match ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes) {
        Ok(()) => hex::encode(bytes),
        Err(_) => "0".repeat(16),
    }
}
