//! What is asked and answered of the log.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Which entries; all conditions must hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes a query that the handlers read themselves")]
pub struct EntryParams {
    /// Who used, granted, submitted or approved.
    pub institution: Option<String>,
    /// Of which product.
    pub product: Option<String>,
    /// Of which dataset, and uses of products that read it.
    pub dataset: Option<String>,
    /// `released`, `repeated`, `answered`, `refused`, `failed` or `stopped`.
    pub outcome: Option<String>,
    /// For what purpose.
    pub purpose: Option<String>,
    /// Of which run or verification.
    pub run: Option<String>,
    /// The beginning of its kind, for example `run.`.
    pub kind: Option<String>,
    /// From when, milliseconds since 1970 UTC, inclusive.
    pub from_millis: Option<i64>,
    /// Until when, exclusive.
    pub until_millis: Option<i64>,
}

/// Entries of the log, oldest first.
#[derive(Deserialize, ToSchema)]
pub struct EntryPage {
    /// The entries.
    pub items: Vec<Entry>,
    /// The cursor of the next page; null on the last.
    pub next: Option<String>,
    /// How many entries the log has.
    pub size: u64,
}

/// Entries that were looked for, newest first.
#[derive(Deserialize, ToSchema)]
pub struct Found {
    /// How many entries the log has.
    pub size: u64,
    /// Those that were asked for.
    pub entries: Vec<Entry>,
    /// `before` of the next page; null where there is nothing older to look at.
    pub before: Option<u64>,
}

/// One entry of the log.
#[derive(Deserialize, ToSchema)]
pub struct Entry {
    /// Its place in the log.
    pub index: u64,
    /// When, UTC.
    pub at: String,
    /// The same in milliseconds since 1970.
    pub at_millis: i64,
    /// What kind of entry.
    pub kind: String,
    /// How the use ended, where it tells of an end.
    pub outcome: Option<String>,
    /// The leaf hash, hexadecimal.
    pub leaf: String,
    /// The content.
    #[schema(value_type = Object)]
    pub fields: Value,
}

/// Counts over entries.
#[derive(Deserialize, ToSchema)]
pub struct EntryStats {
    /// How many entries.
    pub entries: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// How many of each kind.
    pub by_kind: BTreeMap<String, u64>,
    /// How many uses ended in each way.
    pub by_outcome: BTreeMap<String, u64>,
    /// The time of the first one, UTC.
    pub first_at: Option<String>,
    /// The time of the last one.
    pub last_at: Option<String>,
}

/// Totals of uses.
#[derive(Deserialize, ToSchema)]
pub struct Usage {
    /// By period, institution, product, purpose and price class, in that order.
    pub lines: Vec<UsageLine>,
}

/// The uses of one product by one institution for one purpose in one period.
#[derive(Deserialize, ToSchema)]
#[allow(missing_docs, reason = "described by their names; the engine's line says more")]
pub struct UsageLine {
    pub period: String,
    pub institution: String,
    pub product: String,
    pub purpose: String,
    pub price_class: Option<String>,
    pub released: u64,
    pub repeated: u64,
    pub answered: u64,
    pub refused: u64,
    pub failed: u64,
    pub billable: u64,
    /// Privacy budget that was spent, ρ.
    pub rho: f64,
}

/// The proof (RFC 6962 section 2.1.2) that an earlier log is the beginning of the newest checkpoint.
#[derive(Deserialize, ToSchema)]
pub struct Consistency {
    /// The size of the earlier log.
    pub old: u64,
    /// The hashes, hexadecimal.
    pub proof: Vec<String>,
    /// The checkpoint.
    pub checkpoint: String,
}

/// The runs that can be replayed.
#[derive(Deserialize, ToSchema)]
pub struct Replayable {
    /// Oldest first.
    pub items: Vec<String>,
}

/// What a replay found. The result itself is dropped.
#[derive(Deserialize, ToSchema)]
pub struct ReplayReport {
    /// The replayed run.
    pub run: String,
    /// Whether everything came out as recorded.
    pub identical: bool,
    /// The comparisons, in order.
    pub comparisons: Vec<Comparison>,
    /// The release of the runtime that made the run, and the one that replayed it.
    pub runtime: Vec<Option<String>>,
    /// Where the verdict stands in the log.
    pub log_index: u64,
}

/// One comparison of a replay.
#[derive(Deserialize, ToSchema)]
pub struct Comparison {
    /// The step.
    pub step: String,
    /// What exactly.
    pub what: String,
    /// `same`, `differs` or `not_reached`.
    pub finding: String,
    /// The recorded digest or number, where it is public.
    pub recorded: Option<String>,
    /// The one found now; of inputs alone.
    pub found: Option<String>,
    /// More, for people.
    pub note: Option<super::Text>,
}
