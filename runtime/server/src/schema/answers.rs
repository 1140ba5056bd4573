//! What is answered: the catalogue, institutions, uses, and where things stand.

use super::{Refusal, Role, Text, pages};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

pages! {
    DatasetPage of Dataset; VersionPage of Version; ModelPage of Model; ProductPage of Product; GrantPage of Grant;
    IssuerPage of Issuer; InstitutionPage of Institution; TokenPage of Token; KeyPage of Key; RunPage of RunRecord;
}

/// A dataset of the catalogue.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "described by their names; the engine's views say more")]
pub struct Dataset {
    pub id: String,
    #[schema(inline)]
    pub title: Text,
    pub provider: String,
    pub state: String,
    pub release: String,
    pub unit: String,
    pub version: u64,
    pub rows: u64,
    pub epoch: u64,
    pub columns: Vec<Column>,
}

/// A column of a dataset.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub class: String,
    pub usages: Vec<String>,
    #[schema(inline)]
    pub meaning: Option<Text>,
    pub bounds: Option<Vec<f64>>,
    pub range: Option<Vec<String>>,
    pub values: Option<u64>,
    pub listed: Vec<String>,
}

/// A version of a dataset.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Version {
    pub number: u64,
    pub rows: u64,
    pub entry: String,
    pub files: String,
    pub state: String,
    pub registered_at: String,
}

/// Synthetic rows.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Sample {
    pub synthetic: bool,
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Value>,
}

/// A model.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Model {
    pub id: String,
    pub state: String,
    pub submitted_by: String,
    pub module: String,
    pub report: Value,
}

/// A product.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Product {
    pub id: String,
    pub kind: String,
    pub title: Text,
    pub purposes: Vec<String>,
    pub datasets: Vec<String>,
    pub models: Vec<String>,
    pub state: String,
    pub submitted_by: String,
}

/// A product with its manifest.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct ProductWithManifest {
    pub id: String,
    pub kind: String,
    pub title: Text,
    pub purposes: Vec<String>,
    pub datasets: Vec<String>,
    pub models: Vec<String>,
    pub state: String,
    pub submitted_by: String,
    pub manifest: String,
}

/// What a check says.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Checkup {
    pub id: String,
    pub kind: String,
    pub report: Option<Value>,
    pub report_text: Option<String>,
    pub class: Option<String>,
    pub epsilon: Option<f64>,
    pub delta: Option<f64>,
    pub rho: Option<f64>,
    pub columns: Vec<String>,
    pub expected: Vec<Expected>,
    pub timing: Option<Timing>,
}

/// The error to expect of a released number.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Expected {
    pub aggregate: String,
    pub half_width: Option<f64>,
    pub half_width_times_rows: Option<f64>,
}

/// A grant.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Grant {
    pub id: String,
    pub institution: String,
    pub product: String,
    pub purposes: Vec<String>,
    pub from: String,
    pub until: String,
    pub max_runs: Option<u64>,
    pub used_runs: u64,
    pub state: String,
}

/// An institution.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Institution {
    pub id: String,
    pub role: Role,
    pub title: Text,
    pub state: String,
}

/// An issuer of consents.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Issuer {
    /// The id of its key.
    pub kid: String,
    #[schema(inline)]
    pub title: Text,
    /// `EdDSA` or `ES256`: the one algorithm of its key.
    pub algorithm: String,
    pub state: String,
}

/// A token, without its secret.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Token {
    pub id: String,
    pub institution: String,
    pub label: String,
    pub scopes: Vec<String>,
    pub certificate: Option<String>,
    pub issued_by: String,
    pub issued_at: String,
    pub expires_at: String,
    pub revoked_at: Option<String>,
}

/// A token that was issued.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct IssuedToken {
    pub id: String,
    /// The secret. It is told here and never again.
    pub token: String,
    pub expires_at: String,
}

/// A signing key.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Key {
    pub id: String,
    pub institution: String,
    pub label: String,
    pub public_key: String,
    pub added_by: String,
    pub added_at: String,
    pub retired_at: Option<String>,
}

/// A run, as the registry has it.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct RunRecord {
    pub id: String,
    pub institution: String,
    pub product: String,
    pub purpose: String,
    pub state: String,
    pub at: String,
    pub changed_at: String,
}

/// Where a run stands.
#[derive(Deserialize, ToSchema)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// `queued`, `running`, `released`, `repeated`, `refused` or `failed`.
    pub state: String,
    /// Who asked.
    pub institution: String,
    /// For which product.
    pub product: String,
    /// What for.
    pub purpose: String,
    /// When it began.
    pub at: Option<String>,
    /// When its state last changed.
    pub changed_at: Option<String>,
    /// The run that was first asked the same, where this one repeats it.
    pub first: Option<String>,
    /// What it cost; null while it is not over, and for runs of before the server's start.
    pub charge: Option<Cost>,
    /// Why it was refused; empty for runs of before the server's start.
    pub refused: Vec<Refusal>,
    /// Where its result is.
    pub result: Option<String>,
    /// Where its receipt is.
    pub receipt: Option<String>,
}

/// What a run cost.
#[derive(Deserialize, ToSchema)]
pub struct Cost {
    /// ε.
    pub epsilon: f64,
    /// δ of the same statement.
    pub delta: f64,
}

/// An answered verification. All answers are equally long.
#[derive(Deserialize, ToSchema)]
pub struct Verification {
    /// Its id.
    pub verification: String,
    /// The product.
    pub product: String,
    /// `match`, `no_match`, or of some products `not_found`.
    pub answer: String,
    /// Whether it costs the business.
    pub charged: bool,
    /// Nothing: it makes all answers equally long.
    pub pad: String,
    /// As of when the data is.
    pub as_of: String,
    /// The business's own serial number.
    pub serial: Option<String>,
    /// Whether it was given before, under the same serial number.
    pub repeated: bool,
    /// The receipt as text, for `yunei receipt verify`.
    pub receipt: String,
}

/// The answers of a batch, in the order of its items.
#[derive(Deserialize, ToSchema)]
pub struct BatchAnswers {
    /// Each stands for itself.
    pub answers: Vec<BatchAnswer>,
}

/// The answer to one item.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum BatchAnswer {
    /// It was answered.
    Answered(Box<Verification>),
    /// It was not.
    Refused {
        /// Every reason.
        refused: Vec<Refusal>,
    },
}

/// What looked like enumeration.
#[derive(Deserialize, ToSchema)]
pub struct Alarms {
    /// The newest first.
    pub items: Vec<Alarm>,
}

/// Something that looked like enumeration.
#[derive(Deserialize, ToSchema)]
pub struct Alarm {
    /// The business.
    pub institution: String,
    /// The product.
    pub product: String,
    /// `no-match-share`, `canaries`, `neighbours` or `many-claims`.
    pub alarm: String,
    /// Whether it stopped the business for this product.
    pub stops: bool,
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    /// When the authority lifted it.
    pub lifted_at: Option<i64>,
}

/// How many stops were lifted.
#[derive(Deserialize, ToSchema)]
pub struct Lifted {
    /// The business.
    pub institution: String,
    /// For which product.
    pub product: String,
    /// How many there were.
    pub lifted: u64,
}

/// Who asked about a subject.
#[derive(Deserialize, ToSchema)]
pub struct Asked {
    /// The newest first, at most 1,000.
    pub items: Vec<AskedOnce>,
}

/// A verification, as its subject sees it.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct AskedOnce {
    pub id: String,
    pub institution: String,
    pub product: String,
    pub purpose: String,
    pub scene: Option<String>,
    pub consented: bool,
    pub state: String,
    /// When, milliseconds since 1970 UTC.
    pub at: i64,
    pub log_index: Option<u64>,
}

/// The index of a verification product.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Index {
    pub product: String,
    pub version: u64,
    pub as_of: String,
    pub subjects: u64,
    pub bytes: u64,
}

/// An index held against the data.
#[derive(Deserialize, ToSchema)]
pub struct IndexAudit {
    /// The product.
    pub product: String,
    /// The dataset's version.
    pub version: u64,
    /// Rows of the files that name a subject.
    pub rows: u64,
    /// Subjects of the index.
    pub subjects: u64,
    /// Rows that were looked up.
    pub sampled: u64,
    /// Of those, rows whose answer is not the one that the row itself gives.
    pub differing: u64,
    /// Made-up subjects that were looked up, and found.
    pub found_absent: u64,
    /// Whether the index says what the files say.
    pub sound: bool,
}

/// What is left for one product, if an institution runs it.
#[derive(Deserialize, ToSchema)]
pub struct ProductBudget {
    /// ε of one run; 0 where runs cost nothing.
    pub epsilon: f64,
    /// About how many more different runs like this all its budgets bear; null where runs cost nothing.
    pub runs_left: Option<u64>,
    /// Its budgets.
    pub budgets: Vec<Budget>,
}

/// Budgets.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Budgets {
    pub items: Vec<Budget>,
}

/// What is left in one scope.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Budget {
    pub kind: String,
    pub scope: String,
    pub limit_epsilon: f64,
    pub spent_epsilon: f64,
    pub left_epsilon: f64,
    pub limit_rho: f64,
    pub spent_rho: f64,
    pub runs_left: Option<u64>,
}

/// What was handed in.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Submitted {
    pub id: String,
    pub version: Option<u64>,
    pub rows: Option<u64>,
    pub state: String,
}

/// What was made.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Created {
    pub id: String,
}

/// Where a thing stands now, and what its stopping did.
#[derive(Deserialize, ToSchema)]
pub struct Stands {
    /// `institution`, `dataset`, `version`, `model`, `product` or `grant`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: String,
    /// The uses that were under way and were stopped.
    pub stopped: Vec<String>,
    /// Whether all of them had ended when this was answered. None of them releases anything in any case.
    pub ended: bool,
    /// The releases that rested on it, newest first.
    pub releases: Vec<Release>,
    /// Of a product that was approved: what the time of its runs can tell.
    pub timing: Option<Timing>,
}

/// What the time of a run can tell about one unit, for those who approve it.
#[derive(Deserialize, ToSchema)]
pub struct Timing {
    /// The quantum at whose ticks results leave, milliseconds.
    pub quantum_millis: u64,
    /// The most time that one unit can add, microseconds.
    pub unit_micros: u64,
    /// With at most this probability one unit moves the tick at which a result leaves.
    pub shift: f64,
}

/// What was done, and where it stands now.
#[derive(Deserialize, ToSchema)]
pub struct Standing {
    /// What kind of thing.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: String,
}

/// A release, as the authority is shown it.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Release {
    pub run: String,
    pub institution: String,
    pub product: String,
    pub purpose: String,
    pub at: String,
    pub file: Option<String>,
}

/// Releases.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Releases {
    pub items: Vec<Release>,
}

/// The history of something's states.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct History {
    pub items: Vec<Change>,
}

/// A change of state that was made.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Change {
    pub from: String,
    pub to: String,
    pub reason: String,
    pub by: String,
    pub at: String,
}

/// A budget epoch.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Epoch {
    pub dataset: String,
    pub epoch: u64,
}

/// Who asks.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Whoami {
    pub institution: String,
    pub role: Role,
    pub state: String,
    pub token: String,
    pub scopes: Vec<String>,
    pub domain: String,
}
