//! What answers each route: the request in, one call of the domain, the answer out.

pub(crate) mod admin;
pub(crate) mod catalogue;
pub(crate) mod health;
pub(crate) mod proof;
pub(crate) mod standing;
pub(crate) mod uses;

use crate::gate::Call;
use crate::problem::Problem;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Deserialize;

/// How many items a page has where nothing is asked for.
const PAGE: u32 = 100;

/// The query of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Where a page begins and how long it is.
pub(crate) struct Page {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

impl Page {
    pub(crate) fn of(call: &Call) -> Result<Self, Problem> {
        let query: PageQuery = call.query()?;
        let limit = query.limit.unwrap_or(PAGE);
        if !(1..=yunei_engine::domain::MAX_PAGE).contains(&limit)
            || query.cursor.as_ref().is_some_and(|c| c.len() > 256)
        {
            return Err(Problem::malformed(
                "input/page",
                "分页参数超出范围",
                "limit is from 1 to 500, cursor at most 256 bytes",
            ));
        }
        Ok(Self { limit, cursor: query.cursor })
    }
}

/// 204.
pub(crate) fn done() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
