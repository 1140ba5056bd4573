//! What answers each route: the request in, one call of the domain, the answer out.

pub(crate) mod admin;
pub(crate) mod catalogue;
pub(crate) mod health;
pub(crate) mod log;
pub(crate) mod office;
pub(crate) mod proof;
pub(crate) mod requests;
pub(crate) mod standing;
pub(crate) mod uses;
pub(crate) mod verification;

use crate::gate::Call;
use crate::problem::Problem;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Deserialize;
use yunei_policy::Refusal;

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
        Self::checked(query.limit, query.cursor)
    }

    /// The same, of a list whose query has more to it.
    pub(crate) fn checked(limit: Option<u32>, cursor: Option<String>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(PAGE);
        if !(1..=yunei_engine::domain::MAX_PAGE).contains(&limit) || cursor.as_ref().is_some_and(|c| c.len() > 256) {
            return Err(Problem::malformed(
                "input/page",
                "分页参数超出范围",
                "limit is from 1 to 500, cursor at most 256 bytes",
            ));
        }
        Ok(Self { limit, cursor })
    }
}

/// 204.
pub(crate) fn done() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 406, with the forms that there are.
fn not_acceptable(zh: &str, en: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        Refusal::new("input/accept", "结果不能以所要求的格式给出", "the result can not be given in the form asked for")
            .hint(format!("可用：{zh}"), format!("there are {en}")),
    )
}
