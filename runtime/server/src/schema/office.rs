//! What is answered of registers, deadlines, consents and the requests of data subjects.

use super::{RequestKind, RequestOutcome, Text, pages};
use serde::Deserialize;
use utoipa::ToSchema;

pages! {
    RegisterPage of RegisterEntry; RequestPage of Request;
}

/// An entry of the registers.
#[derive(Deserialize, ToSchema)]
pub struct RegisterEntry {
    /// `dataset` or `product`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: String,
    /// The core elements.
    pub elements: Elements,
    /// Its registration; null where it has none, so that it can not be used.
    pub registration: Option<Registration>,
    /// `free`, `guided` or `market`.
    pub price: String,
    /// The most that may be charged for one use, yuan.
    pub fee_cap_yuan: Option<u64>,
}

/// The thirteen core elements of a directory entry (政务信息资源目录核心元数据).
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "described by their names; the policy's elements say more")]
pub struct Elements {
    pub category: String,
    #[schema(inline)]
    pub name: Text,
    pub code: String,
    pub provider: String,
    pub provider_code: String,
    #[schema(inline)]
    pub summary: Text,
    pub format: String,
    pub items: Vec<String>,
    pub sharing: String,
    pub opening: String,
    pub update: String,
    pub date: String,
    pub related: Vec<String>,
}

/// A registration and its term.
#[derive(Deserialize, ToSchema)]
pub struct Registration {
    /// Its number.
    pub number: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub until: String,
    /// `current`, `missing` or `lapsed`.
    pub holding: String,
}

/// An agreement as it was recorded.
#[derive(Deserialize, ToSchema)]
pub struct Agreement {
    /// The grant that rests on it.
    pub grant: String,
    /// SHA-256 of its document.
    pub digest: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub until: String,
}

/// What is due.
#[derive(Deserialize, ToSchema)]
pub struct DueList {
    /// The most urgent first.
    pub items: Vec<Due>,
}

/// Something that waits for somebody.
#[derive(Deserialize, ToSchema)]
pub struct Due {
    /// What is to be done.
    pub step: String,
    /// `institution`, `dataset`, `model`, `product` or `request`.
    pub kind: String,
    /// Of what.
    pub id: String,
    /// Who has to do it; `authority` for the authority as a whole.
    pub owner: String,
    /// Who waits for it.
    pub waiting: String,
    /// Since when.
    pub since: String,
    /// How many working days there are for it.
    pub working_days: u32,
    /// The last day.
    pub due: String,
    /// How many working days are left; negative where it is overdue.
    pub days_left: i64,
    /// Whether it is overdue.
    pub overdue: bool,
    /// The last day to tell everything that is missing of a submission.
    pub materials_by: Option<String>,
}

/// What lapses soon, or has lapsed.
#[derive(Deserialize, ToSchema)]
pub struct LapseList {
    /// The earliest first.
    pub items: Vec<Lapse>,
}

/// Something whose term has ended or ends soon.
#[derive(Deserialize, ToSchema)]
pub struct Lapse {
    /// `registration`, `agreement` or `grant`.
    pub what: String,
    /// Of what.
    pub of: String,
    /// Its number, or the grant's product.
    pub number: String,
    /// Until when.
    pub until: String,
    /// Whether it has lapsed: new uses are refused.
    pub lapsed: bool,
}

/// What the holders say of a product.
#[derive(Deserialize, ToSchema)]
pub struct Consents {
    /// One for each of its datasets.
    pub items: Vec<Consent>,
}

/// A holder's word on a product over one of its datasets.
#[derive(Deserialize, ToSchema)]
pub struct Consent {
    /// The dataset.
    pub dataset: String,
    /// Its holder.
    pub holder: String,
    /// `missing`, `given`, `refused` or `withdrawn`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// When; null where nothing was said yet.
    pub at: Option<String>,
}

/// Why something was last declined.
#[derive(Deserialize, ToSchema)]
pub struct Declined {
    /// `institution`, `dataset`, `model` or `product`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Every reason.
    pub reasons: Vec<String>,
}

/// A request of a data subject.
#[derive(Deserialize, ToSchema)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// What is asked for.
    pub kind: RequestKind,
    /// Of which dataset.
    pub dataset: String,
    /// The newest version when it was recorded.
    pub version: u64,
    /// The holder that answers it.
    pub holder: String,
    /// A salted commitment to whom it is about.
    pub subject: String,
    /// What is said.
    pub details: String,
    /// Who recorded it.
    pub filed_by: String,
    /// When.
    pub filed: String,
    /// The last day for the answer.
    pub due: String,
    /// How many working days are left; null once it is answered.
    pub days_left: Option<i64>,
    /// Why the time was extended.
    pub extended: Option<String>,
    /// How it ended; null while it is open.
    pub outcome: Option<RequestOutcome>,
    /// The answer.
    pub answer: Option<String>,
    /// The version with the corrected data.
    pub corrected_version: Option<u64>,
    /// When it was answered.
    pub answered: Option<String>,
    /// Whether the answer came, or still is, too late.
    pub late: bool,
}
