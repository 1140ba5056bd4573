//! The shapes of requests and answers, as the description tells them. Requests are parsed into these; an answer is what
//! the domain's own views serialise to, and the conformance test compares the two.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
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

/// A change of state.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateChange {
    /// What is to be done.
    pub action: StateAction,
    /// Why, for those concerned; needed for everything but an approval. Without numbers of persons or firms.
    #[serde(default)]
    pub reason: String,
}

/// A withdrawal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// Why, for those concerned.
    pub reason: String,
}

/// A dataset that is registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDataset {
    /// The catalogue entry, TOML. Its `files` are relative paths under the server's data folder.
    pub entry: String,
}

/// The manifest of a product.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestText {
    /// The manifest, TOML.
    pub manifest: String,
}

/// Policies.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoliciesText {
    /// All the policies, in Cedar.
    pub policies: String,
}

/// A model that is checked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelCheck {
    /// The manifest, TOML.
    pub manifest: String,
    /// The module, binary or text, base64.
    pub module: String,
}

/// A model that is handed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSubmission {
    /// The manifest, TOML.
    pub manifest: String,
    /// The module, binary or text, base64.
    pub module: String,
    /// Its author's signature.
    pub envelope: Envelope,
}

/// A DSSE envelope around an in-toto statement.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// `application/vnd.in-toto+json`.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The statement, base64.
    pub payload: String,
    /// At least one of a registered key.
    pub signatures: Vec<Signature>,
}

/// A signature of an envelope.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The SHA-256 of the public key.
    pub keyid: String,
    /// Ed25519 over the pre-authentication encoding, base64.
    pub sig: String,
}

/// A grant that is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// To whom.
    pub institution: String,
    /// Of what.
    pub product: String,
    /// For what; all the product's purposes where none is named.
    #[serde(default)]
    pub purposes: Vec<String>,
    /// For how many days from now, 1 to 1830.
    #[schema(minimum = 1, maximum = 1830)]
    pub days: u32,
    /// At most how many uses.
    #[schema(minimum = 0)]
    pub max_runs: Option<u64>,
}

/// An institution that is added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInstitution {
    /// Its id: lower-case letters, digits and hyphens.
    pub id: String,
    /// What it does.
    pub role: Role,
    /// Its name.
    pub title: Text,
}

/// A token that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose it is to be; the caller's where nothing is said.
    pub institution: Option<String>,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// Any of `read`, `submit`, `use`, `approve`, `audit`, `admin`, as far as the caller's token has them.
    pub scopes: Vec<String>,
    /// For how many days, 1 to 400.
    #[schema(minimum = 1, maximum = 400)]
    pub days: u32,
    /// SHA-256 of the client certificate that has to come with it.
    pub certificate: Option<String>,
}

/// A key that models are signed with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Whose it is; the caller's where nothing is said.
    pub institution: Option<String>,
    /// The public key: the 32 bytes of Ed25519, base64.
    pub public_key: String,
    /// What people call it.
    #[serde(default)]
    pub label: String,
}

/// A run that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The product.
    pub product: String,
    /// Its parameters: texts, numbers, truth values.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: BTreeMap<String, Value>,
    /// What for.
    pub purpose: String,
}

/// A verification that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVerification {
    /// The product.
    pub product: String,
    /// The identity fields of the subject, by column.
    pub identity: BTreeMap<String, String>,
    /// The claimed value, where the product takes one.
    pub claim: Option<String>,
    /// The claimed values by column, where it takes several.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// What for.
    pub purpose: String,
    /// In which scene, in the business's own words.
    pub scene: Option<String>,
    /// The business's own serial number: the same one with the same question gives the same answer again, uncharged.
    pub serial: Option<String>,
    /// The subject's consent, a compact JWS.
    pub consent: Option<String>,
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

pages! {
    DatasetPage of Dataset; VersionPage of Version; ModelPage of Model; ProductPage of Product; GrantPage of Grant;
    InstitutionPage of Institution; TokenPage of Token; KeyPage of Key; RunPage of RunRecord;
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
    pub bounds: Option<Vec<f64>>,
    pub values: Option<u64>,
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
    pub timing: Option<Value>,
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

/// Entries of the log.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct EntryPage {
    pub items: Vec<Entry>,
    pub next: Option<String>,
    pub size: u64,
}

/// One entry of the log.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "as above")]
pub struct Entry {
    pub index: u64,
    pub at: String,
    pub kind: String,
    #[schema(value_type = Object)]
    pub fields: Value,
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
