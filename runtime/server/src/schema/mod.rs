//! The shapes of requests and answers, as the description tells them. Requests are parsed into these; an answer is what
//! the domain's own views serialise to, and the conformance test compares the two.

mod answers;
mod log;
mod office;
mod requests;

pub use answers::*;
pub use log::*;
pub use office::*;
pub use requests::*;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The query of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes a query that the handlers read themselves")]
pub struct PageParams {
    /// At most how many items; 100 where nothing is said.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// Where to go on: `next` of the page before.
    #[param(max_length = 256)]
    pub cursor: Option<String>,
}

/// A text in both languages.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// What may be done to where a thing stands.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateAction {
    /// Puts into use what was handed in. It needs no reason.
    Approve,
    /// Stops it: no new use, those under way end, nothing more is released.
    Suspend,
    /// Undoes a suspension.
    Resume,
    /// Ends it for good, in force as a suspension is.
    End,
}

/// A role.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// 数据提供单位.
    Holder,
    /// 运营机构.
    Operator,
    /// 企业.
    Business,
    /// 数据主管部门.
    Authority,
}

impl From<Role> for yunei_policy::words::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Holder => Self::Holder,
            Role::Operator => Self::Operator,
            Role::Business => Self::Business,
            Role::Authority => Self::Authority,
        }
    }
}
/// Why something was not done (RFC 9457).
#[derive(Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:yunei:problem:` and the first reason's code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first reason, for people.
    pub title: String,
    /// The status.
    pub status: u16,
    /// The request.
    pub instance: String,
    /// Every reason.
    pub refused: Vec<Refusal>,
}

/// One reason.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// The rule, for people.
    pub message: String,
    /// Where it is.
    #[serde(rename = "where")]
    #[schema(required = false)]
    pub place: Option<String>,
    /// What to change.
    #[schema(required = false)]
    pub hint: Option<String>,
}

/// A part of the authority's staff.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Office {
    /// 系统管理员.
    System,
    /// 安全管理员.
    Security,
    /// 审计管理员.
    Audit,
}

impl From<Office> for yunei_policy::words::Office {
    fn from(office: Office) -> Self {
        match office {
            Office::System => Self::System,
            Office::Security => Self::Security,
            Office::Audit => Self::Audit,
        }
    }
}

/// What a data subject asks for.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// 异议: that data is held or used at all.
    Objection,
    /// 校核: that data is wrong.
    Correction,
}

impl From<RequestKind> for yunei_engine::registry::RequestKind {
    fn from(kind: RequestKind) -> Self {
        match kind {
            RequestKind::Objection => Self::Objection,
            RequestKind::Correction => Self::Correction,
        }
    }
}

/// How a data subject's request ended.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestOutcome {
    /// The data was corrected, in a new version.
    Corrected,
    /// The objection is upheld.
    Upheld,
    /// It is not granted.
    Rejected,
}

impl From<RequestOutcome> for yunei_engine::registry::Outcome {
    fn from(outcome: RequestOutcome) -> Self {
        match outcome {
            RequestOutcome::Corrected => Self::Corrected,
            RequestOutcome::Upheld => Self::Upheld,
            RequestOutcome::Rejected => Self::Rejected,
        }
    }
}

macro_rules! pages {
    ($($page:ident of $item:ident;)*) => {$(
        /// A page of a list.
        #[derive(Deserialize, ToSchema)]
        pub struct $page {
            /// The items.
            pub items: Vec<$item>,
            /// The cursor of the next page; null on the last.
            pub next: Option<String>,
        }
    )*};
}

pub(crate) use pages;
