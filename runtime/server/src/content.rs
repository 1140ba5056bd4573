//! What a client asks to be answered in: language and form; and answers that know their own version.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use yunei_policy::Lang;

use crate::problem::Problem;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Csv,
    ArrowStream,
    ArrowFile,
    Parquet,
}

impl Form {
    /// In the order of preference where a client has none.
    const ALL: [Form; 5] = [Form::Json, Form::Csv, Form::ArrowStream, Form::ArrowFile, Form::Parquet];

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv",
            Form::ArrowStream => "application/vnd.apache.arrow.stream",
            Form::ArrowFile => "application/vnd.apache.arrow.file",
            Form::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The form that the client likes best; `None` where it takes none of them (RFC 9110, 12.5.1).
    pub(crate) fn negotiate(headers: &HeaderMap) -> Option<Self> {
        Self::of(headers, &Self::ALL)
    }

    /// The same, of some forms.
    pub(crate) fn of(headers: &HeaderMap, forms: &[Self]) -> Option<Self> {
        let offers: Vec<&str> = forms.iter().map(|form| form.media_type()).collect();
        choose(headers.get_all(header::ACCEPT).iter(), &offers).and_then(|at| forms.get(at).copied())
    }
}

/// Which of the offers a list of ranges prefers. No list takes anything.
fn choose<'a>(values: impl Iterator<Item = &'a HeaderValue>, offers: &[&str]) -> Option<usize> {
    let ranges: Vec<(String, f32)> = values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let range = parts.next()?.to_ascii_lowercase();
            let q = parts.find_map(|p| p.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
            (!range.is_empty()).then_some((range, q.clamp(0.0, 1.0)))
        })
        .take(64)
        .collect();
    if ranges.is_empty() {
        return (!offers.is_empty()).then_some(0);
    }
    let quality = |offer: &str| {
        let family = offer.split('/').next().unwrap_or_default();
        let exact = ranges.iter().find(|(r, _)| r == offer);
        let wide = || ranges.iter().find(|(r, _)| r.strip_suffix("/*") == Some(family));
        let any = || ranges.iter().find(|(r, _)| r == "*/*");
        exact.or_else(wide).or_else(any).map_or(0.0, |(_, q)| *q)
    };
    let mut best = None;
    for (at, offer) in offers.iter().enumerate() {
        let q = quality(offer);
        if q > 0.0 && best.is_none_or(|(_, most)| q > most) {
            best = Some((at, q));
        }
    }
    best.map(|(at, _)| at)
}

/// Chinese or English, by `Accept-Language` (RFC 9110, 12.5.4); English where nothing is asked for.
pub(crate) fn language(headers: &HeaderMap) -> Lang {
    let mut best = (Lang::En, 0.0_f32);
    let values = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok());
    for item in values.flat_map(|v| v.split(',')).take(64) {
        let mut parts = item.split(';').map(str::trim);
        let tag = parts.next().unwrap_or_default().to_ascii_lowercase();
        let q = parts.find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        let lang = match tag.split('-').next() {
            Some("zh") => Lang::Zh,
            Some("en" | "*") => Lang::En,
            _ => continue,
        };
        if q > best.1 {
            best = (lang, q);
        }
    }
    best.0
}

/// Whether the client's copy is the one with this tag (RFC 9110, 13.1.2).
pub(crate) fn is_current(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|t| t.trim().trim_start_matches("W/"))
        .any(|t| t == tag || t == "*")
}

/// Bytes with a media type and a tag over them; 304 where the client has them already.
pub(crate) fn tagged(headers: &HeaderMap, media_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let tag = format!("\"{}\"", hex::encode(digest));
    let current = is_current(headers, &tag);
    let mut response = Response::new(if current { Body::empty() } else { Body::from(bytes) });
    if current {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|_| Problem::internal())?;
    Ok(json_bytes(status, bytes.into()))
}

/// A JSON answer that is written already.
pub(crate) fn json_bytes(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON answer to a GET, with its tag.
pub(crate) fn json_tagged(headers: &HeaderMap, value: &impl Serialize) -> Result<Response<Body>, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|_| Problem::internal())?;
    Ok(tagged(headers, "application/json", bytes))
}

/// A page of a list that is sorted by a key: those after `after`, at most `limit`, and the cursor of the next page.
pub(crate) fn page<T: Serialize>(all: Vec<T>, key: impl Fn(&T) -> String, after: Option<&str>, limit: usize) -> Value {
    let mut all: Vec<(String, T)> = all.into_iter().map(|item| (key(&item), item)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let rest = all.into_iter().filter(|(k, _)| after.is_none_or(|after| k.as_str() > after));
    let mut items: Vec<(String, T)> = rest.take(limit.saturating_add(1)).collect();
    let next = (items.len() > limit).then(|| items.get(limit.saturating_sub(1)).map(|(k, _)| k.clone())).flatten();
    items.truncate(limit);
    let items: Vec<T> = items.into_iter().map(|(_, item)| item).collect();
    serde_json::json!({ "items": items, "next": next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn forms_by_preference() {
        let form = |accept| Form::negotiate(&headers(header::ACCEPT, accept));
        assert_eq!(Form::negotiate(&HeaderMap::new()), Some(Form::Json));
        assert_eq!(form("*/*"), Some(Form::Json));
        assert_eq!(form("text/csv"), Some(Form::Csv));
        assert_eq!(form("text/*, application/json;q=0.5"), Some(Form::Csv));
        assert_eq!(form("application/json;q=0, */*;q=0.1"), Some(Form::Csv));
        assert_eq!(form("application/vnd.apache.parquet, application/json;q=0.9"), Some(Form::Parquet));
        assert_eq!(form("image/png"), None);
        assert_eq!(form("text/csv;q=0"), None);
    }

    #[test]
    fn languages_by_preference() {
        let lang = |accept| language(&headers(header::ACCEPT_LANGUAGE, accept));
        assert_eq!(language(&HeaderMap::new()), Lang::En);
        assert_eq!(lang("zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(lang("en;q=0.4, zh;q=0.3"), Lang::En);
        assert_eq!(lang("fr, zh-Hans;q=0.2"), Lang::Zh);
        assert_eq!(lang("fr"), Lang::En);
    }

    #[test]
    fn pages_follow_each_other() {
        let all = || vec!["c", "a", "e", "b", "d"];
        let first = page(all(), |s| (*s).to_owned(), None, 2);
        assert_eq!(first, serde_json::json!({ "items": ["a", "b"], "next": "b" }));
        let second = page(all(), |s| (*s).to_owned(), Some("b"), 2);
        assert_eq!(second, serde_json::json!({ "items": ["c", "d"], "next": "d" }));
        let last = page(all(), |s| (*s).to_owned(), Some("d"), 2);
        assert_eq!(last, serde_json::json!({ "items": ["e"], "next": null }));
        assert_eq!(page(all(), |s| (*s).to_owned(), Some("b"), 3)["next"], Value::Null);
    }
}
