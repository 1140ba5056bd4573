//! Problem documents (RFC 9457): what was not done, every reason with its code, in the reader's language.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use yunei_engine::DomainError;
use yunei_policy::{Lang, Refusal, Refused};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    reasons: Vec<Refusal>,
    retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: Refusal) -> Self {
        Self { status, reasons: vec![reason], retry_after: None }
    }

    /// Several reasons under one status.
    pub(crate) fn of(status: StatusCode, reasons: Vec<Refusal>) -> Self {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5);
        Self { status, reasons, retry_after }
    }

    /// With a time in seconds after which to ask again.
    pub(crate) fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The server has no room now; in about so many seconds it may have.
    pub(crate) fn busy(seconds: u32) -> Self {
        let reason = Refusal::new("server/busy", "服务繁忙", "the server has no room for this request at present")
            .hint("请稍后重试", "try again after the time of Retry-After");
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
    }

    /// Something of ours failed; nobody is told more.
    pub(crate) fn internal() -> Self {
        let reason = Refusal::new("server/internal", "系统内部错误", "an internal error; nothing was released");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
    }

    /// The request is malformed.
    pub(crate) fn malformed(code: &'static str, zh: &str, en: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Refusal::new(code, zh, en))
    }

    /// There is nothing at this path.
    pub(crate) fn no_route() -> Self {
        let reason = Refusal::new("server/no-route", "没有这个接口", "there is nothing at this path")
            .hint("接口说明见 /v1/openapi.json", "see /v1/openapi.json");
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn reasons(&self) -> &[Refusal] {
        &self.reasons
    }

    /// The document.
    pub(crate) fn to_json(&self, lang: Lang, request: &str) -> Value {
        let code = self.reasons.first().map_or("server/internal", Refusal::code);
        let title = self.reasons.first().map_or("", |r| r.message().get(lang));
        let refused: Vec<Value> =
            self.reasons.iter().filter_map(|r| serde_json::to_value(r.to_view(lang)).ok()).collect();
        json!({
            "type": format!("urn:yunei:problem:{}", code.replace('/', ":")),
            "title": title,
            "status": self.status.as_u16(),
            "instance": format!("urn:yunei:request:{request}"),
            "refused": refused,
        })
    }

    pub(crate) fn into_response(self, lang: Lang, request: &str) -> Response<Body> {
        let body = self.to_json(lang, request).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"yunei\""));
        }
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        DomainError::Refused(refused).into()
    }
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        let malformed = error.exit_code() == 2;
        let reasons = error.reasons().to_vec();
        let any = |area: &str| reasons.iter().any(|r| r.code().starts_with(area));
        let status = match &error {
            DomainError::NotFound(_) => StatusCode::NOT_FOUND,
            DomainError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            DomainError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            DomainError::Refused(_) if any("credential/too-many") => StatusCode::CONFLICT,
            DomainError::Refused(_) if any("credential/") => StatusCode::UNAUTHORIZED,
            DomainError::Refused(_) if any("authorise/") || any("budget/") || any("store/owner") => {
                StatusCode::FORBIDDEN
            }
            DomainError::Refused(_) if any("store/exists") || any("store/state") => StatusCode::CONFLICT,
            DomainError::Refused(_) if malformed || any("store/limit") => StatusCode::UNPROCESSABLE_ENTITY,
            // A rule says no to what was handed in: the request is understood, and can be mended.
            DomainError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5);
        Self { status, reasons, retry_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: &'static str) -> u16 {
        Problem::from(DomainError::from(Refusal::new(code, "无", "no"))).status().as_u16()
    }

    #[test]
    fn each_kind_of_refusal_has_its_status() {
        let cases = [
            ("credential/expired", 401),
            ("authorise/role", 403),
            ("budget/exhausted", 403),
            ("store/exists", 409),
            ("store/state", 409),
            ("store/limit", 422),
            ("sql/parse", 422),
            ("aggregate/unbounded-sum", 422),
        ];
        for (code, wanted) in cases {
            assert_eq!(status(code), wanted, "{code}");
        }
    }

    #[test]
    fn a_document_tells_every_reason_in_one_language() {
        let reasons = vec![
            Refusal::new("aggregate/unbounded-sum", "求和缺少上下界", "SUM needs bounds").at("SUM(x)"),
            Refusal::new("filter/identifier", "不能按身份筛选", "no filter on identifiers").hint("删去", "drop it"),
        ];
        let problem = Problem { status: StatusCode::UNPROCESSABLE_ENTITY, reasons, retry_after: None };
        let zh = problem.to_json(Lang::Zh, "r1");
        assert_eq!(zh["type"], "urn:yunei:problem:aggregate:unbounded-sum");
        assert_eq!(zh["title"], "求和缺少上下界");
        assert_eq!(zh["refused"][1]["hint"], "删去");
        assert_eq!(problem.to_json(Lang::En, "r1")["refused"][0]["where"], "SUM(x)");
    }
}
