//! Reading the audit log. Every method asks the policies who reads (`ReadAudit`); nothing here is about persons: entries
//! hold ids, codes, digests and salted commitments.

use super::{Book, Domain};
use crate::dates::format_instant;
use crate::error::DomainError;
use datafusion::arrow::array::{RecordBatch, StringBuilder, TimestampMillisecondBuilder, UInt64Builder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use yunei_audit::{Entry, Filter, LogError, Stats, write_jsonl};
use yunei_policy::Refusal;
use yunei_policy::authorise::{Action, Resource};

/// At most how many entries one page has.
pub const MAX_AUDIT_PAGE: usize = 1_000;
/// How many entries of a Parquet export form a row group.
const ROW_GROUP: usize = 65_536;

/// How a use ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An aggregate run gave a release.
    Released,
    /// The same question was asked before: the recorded release was given again, free.
    Repeated,
    /// A verification was answered.
    Answered,
    /// Policy refused.
    Refused,
    /// It broke off after it was authorised.
    Failed,
    /// A suspension or withdrawal stopped it while it was under way.
    Stopped,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 6] =
        [Outcome::Released, Outcome::Repeated, Outcome::Answered, Outcome::Refused, Outcome::Failed, Outcome::Stopped];

    /// The word, as in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Released => "released",
            Outcome::Repeated => "repeated",
            Outcome::Answered => "answered",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Stopped => "stopped",
        }
    }

    /// The kinds of the entries that tell of it.
    const fn kinds(self) -> &'static [&'static str] {
        match self {
            Outcome::Released => &["run.released"],
            Outcome::Repeated => &["run.repeated"],
            Outcome::Answered => &["verification.answered"],
            Outcome::Refused => &["run.refused", "verification.refused"],
            Outcome::Failed => &["run.failed", "run.interrupted", "verification.failed"],
            Outcome::Stopped => &["run.stopped", "verification.stopped"],
        }
    }

    /// How the use ended that an entry of this kind tells of; `None` where it tells of no end.
    pub fn of_kind(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.kinds().contains(&kind))
    }
}

/// Which entries are asked for. All conditions must hold; what is absent is not asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditQuery {
    /// Who used, granted, submitted or approved.
    pub institution: Option<String>,
    /// Of which product.
    pub product: Option<String>,
    /// Of which dataset: entries about it, and uses of products that read it.
    pub dataset: Option<String>,
    /// How the use ended.
    pub outcome: Option<Outcome>,
    /// For what purpose.
    pub purpose: Option<String>,
    /// Of which run or verification.
    pub run: Option<String>,
    /// What kind of entry: the beginning of its name, for example `run.`.
    pub kind: Option<String>,
    /// From when, milliseconds since 1970 UTC, inclusive.
    pub from_millis: Option<i64>,
    /// Until when, exclusive.
    pub until_millis: Option<i64>,
    /// In the log of which year; of lists, exports and proofs the one that is written where none is named, of counts all.
    pub year: Option<String>,
}

/// One entry, as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its place in the log.
    pub index: u64,
    /// When, UTC.
    pub at: String,
    /// The same in milliseconds since 1970.
    pub at_millis: i64,
    /// What kind of entry.
    pub kind: String,
    /// How the use ended, where it tells of an end.
    pub outcome: Option<Outcome>,
    /// The leaf hash, hex.
    pub leaf: String,
    /// The content.
    pub fields: Map<String, Value>,
}

impl AuditLine {
    /// An entry as it is shown.
    pub fn of(index: u64, entry: &Entry) -> Self {
        Self {
            index,
            at: format_instant(entry.at_millis()),
            at_millis: entry.at_millis(),
            kind: entry.kind().to_owned(),
            outcome: Outcome::of_kind(entry.kind()),
            leaf: hex::encode(entry.leaf_hash()),
            fields: entry.fields().clone(),
        }
    }
}

/// Entries, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditPage {
    /// How many entries the log has.
    pub size: u64,
    /// The entries that were asked for, the newest first.
    pub entries: Vec<AuditLine>,
    /// Where to go on: `before` of the next page; `None` where there is nothing older to look at.
    pub before: Option<u64>,
}

/// Counts over entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeriodStats {
    /// How many entries.
    pub entries: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// How many of each kind.
    pub by_kind: BTreeMap<String, u64>,
    /// How many uses ended in each way.
    pub by_outcome: BTreeMap<Outcome, u64>,
    /// The time of the first one, UTC.
    pub first_at: Option<String>,
    /// The time of the last one.
    pub last_at: Option<String>,
}

/// A form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// JSON lines: `{"entry":…,"index":…,"leaf":"…"}`, the entry byte for byte.
    Jsonl,
    /// Parquet: `index`, `at`, `kind`, `institution`, `product`, `purpose`, `run`, `outcome`, `leaf`, `entry`.
    Parquet,
}

impl Domain {
    /// A page of entries that pass the query, newest first: at most `limit` (up to [`MAX_AUDIT_PAGE`]), older than index `before`
    /// where that is given.
    ///
    /// # Errors
    /// The reasons why the actor may not read; `audit/…` where the log can not be read.
    pub async fn audit_list(
        &self,
        actor: &str,
        query: &AuditQuery,
        limit: usize,
        before: Option<u64>,
    ) -> Result<AuditPage, DomainError> {
        self.may_read(actor).await?;
        let filter = self.filter(query).await?;
        let (log, limit) = (self.book(query.year.as_deref())?, limit.clamp(1, MAX_AUDIT_PAGE));
        blocking(move || newest(&log, &filter, limit, before)).await
    }

    /// One entry, proven against the signed root; of the log of a year where one is named.
    ///
    /// # Errors
    /// The reasons why the actor may not read; not found where there is no such entry.
    pub async fn audit_entry(&self, actor: &str, index: u64) -> Result<AuditLine, DomainError> {
        self.audit_entry_of(actor, None, index).await
    }

    /// The same in the log of a year.
    ///
    /// # Errors
    /// As [`Domain::audit_entry`]; not found where there is no log of that year, or it is out of reach.
    pub async fn audit_entry_of(&self, actor: &str, year: Option<&str>, index: u64) -> Result<AuditLine, DomainError> {
        self.may_read(actor).await?;
        self.book(year)?.entry(index).map(|entry| AuditLine::of(index, &entry)).map_err(no_entry)
    }

    /// The C2SP `tlog-proof` that an entry is in the log.
    ///
    /// # Errors
    /// As [`Domain::audit_entry`].
    pub async fn audit_prove(&self, actor: &str, index: u64) -> Result<String, DomainError> {
        self.audit_prove_of(actor, None, index).await
    }

    /// The same in the log of a year.
    ///
    /// # Errors
    /// As [`Domain::audit_prove`]; not found where there is no log of that year, or it is out of reach.
    pub async fn audit_prove_of(&self, actor: &str, year: Option<&str>, index: u64) -> Result<String, DomainError> {
        self.may_read(actor).await?;
        self.book(year)?.prove_inclusion(index).map_err(no_entry)
    }

    /// The proof (RFC 6962 section 2.1.2) that the log of `old` entries is the beginning of the newest checkpoint, which is
    /// given with it.
    ///
    /// # Errors
    /// As [`Domain::audit_entry`]; not found where `old` is 0 or beyond the end.
    pub async fn audit_consistency(&self, actor: &str, old: u64) -> Result<(Vec<[u8; 32]>, String), DomainError> {
        self.audit_consistency_of(actor, None, old).await
    }

    /// The same of the log of a year.
    ///
    /// # Errors
    /// As [`Domain::audit_consistency`]; not found where there is no log of that year, or it is out of reach.
    pub async fn audit_consistency_of(
        &self,
        actor: &str,
        year: Option<&str>,
        old: u64,
    ) -> Result<(Vec<[u8; 32]>, String), DomainError> {
        self.may_read(actor).await?;
        self.book(year)?.prove_consistency(old).map_err(no_entry)
    }

    /// Counts what passes the query.
    ///
    /// # Errors
    /// As [`Domain::audit_list`].
    pub async fn audit_stats(&self, actor: &str, query: &AuditQuery) -> Result<PeriodStats, DomainError> {
        self.may_read(actor).await?;
        let filter = self.filter(query).await?;
        let logs = self.books_of(query.year.as_deref(), query.from_millis)?;
        let mut stats = Stats::default();
        let mut by_outcome = BTreeMap::new();
        blocking(move || {
            for log in &logs {
                each(log, &filter, |_, entry| {
                    stats.add(entry);
                    if let Some(outcome) = Outcome::of_kind(entry.kind()) {
                        *by_outcome.entry(outcome).or_default() += 1;
                    }
                    Ok(())
                })?;
            }
            Ok(PeriodStats {
                entries: stats.entries(),
                bytes: stats.bytes(),
                by_kind: stats.by_kind().clone(),
                by_outcome,
                first_at: stats.first_at().map(format_instant),
                last_at: stats.last_at().map(format_instant),
            })
        })
        .await
    }

    /// Writes the entries that pass the query, oldest first. How many were written.
    ///
    /// # Errors
    /// As [`Domain::audit_list`]; `output/io` where `out` fails.
    pub async fn audit_export(
        &self,
        actor: &str,
        query: &AuditQuery,
        format: ExportFormat,
        mut out: impl Write + Send + 'static,
    ) -> Result<u64, DomainError> {
        self.may_read(actor).await?;
        let filter = self.filter(query).await?;
        let log = self.book(query.year.as_deref())?;
        blocking(move || match format {
            ExportFormat::Jsonl => {
                let count = each(&log, &filter, |index, entry| {
                    write_jsonl(index, entry, &mut out).map_err(|e| DomainError::io("export", &e))
                })?;
                out.flush().map_err(|e| DomainError::io("export", &e))?;
                Ok(count)
            }
            ExportFormat::Parquet => export_parquet(&log, &filter, out),
        })
        .await
    }

    pub(crate) async fn may_read(&self, actor: &str) -> Result<(), DomainError> {
        self.authorise(actor, Action::ReadAudit, Resource::Domain).await.map(drop)
    }

    /// The query as a filter over entries. A dataset is found by the entries about it, by the uses that name it, and by
    /// those of products that read it.
    async fn filter(&self, query: &AuditQuery) -> Result<EntryFilter, DomainError> {
        let mut filter = Filter::new();
        if let Some(institution) = &query.institution {
            filter = filter.any_field(&["institution", "by"], institution);
        }
        if let Some(product) = &query.product {
            filter = filter.any_field(&["product", "subject"], product);
        }
        if let Some(purpose) = &query.purpose {
            filter = filter.any_field(&["purpose", "purposes"], purpose);
        }
        if let Some(run) = &query.run {
            filter = filter.any_field(&["run", "first"], run);
        }
        if let Some(kind) = &query.kind {
            filter = filter.kind(kind);
        }
        if let Some(outcome) = query.outcome {
            filter = filter.kinds(outcome.kinds());
        }
        if let Some(from) = query.from_millis {
            filter = filter.from(from);
        }
        if let Some(until) = query.until_millis {
            filter = filter.until(until);
        }
        let mut products = BTreeSet::new();
        if let Some(dataset) = &query.dataset {
            for record in self.store.products().await? {
                let (_, product) = self.product_record(&record.id).await?;
                if product.datasets().contains(dataset) {
                    products.insert(record.id);
                }
            }
        }
        Ok(EntryFilter { filter, dataset: query.dataset.clone(), products })
    }
}

/// A query, ready to be asked of entries.
struct EntryFilter {
    filter: Filter,
    dataset: Option<String>,
    /// The products that read the dataset.
    products: BTreeSet<String>,
}

impl EntryFilter {
    fn passes(&self, entry: &Entry) -> bool {
        self.filter.passes(entry) && self.dataset.as_ref().is_none_or(|dataset| self.is_about(entry, dataset))
    }

    fn is_about(&self, entry: &Entry, dataset: &str) -> bool {
        let text = |name: &str| entry.fields().get(name).and_then(Value::as_str);
        match entry.fields().get("datasets") {
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(dataset)),
            _ => {
                text("dataset") == Some(dataset)
                    || (entry.kind().starts_with("dataset") && text("subject") == Some(dataset))
                    || text("product").is_some_and(|product| self.products.contains(product))
            }
        }
    }
}

/// Looks through the log from its end, a bundle of 256 at a time.
fn newest(log: &Book, filter: &EntryFilter, limit: usize, before: Option<u64>) -> Result<AuditPage, DomainError> {
    let size = log.size();
    let mut end = before.map_or(size, |before| before.min(size));
    let mut entries = Vec::new();
    while end > 0 {
        let start = (end - 1) / 256 * 256;
        let bundle = log.entries(start..end).collect::<Result<Vec<_>, _>>()?;
        for (index, entry) in bundle.iter().rev() {
            if entries.len() == limit {
                return Ok(AuditPage { size, entries, before: Some(index + 1) });
            }
            if filter.passes(entry) {
                entries.push(AuditLine::of(*index, entry));
            }
        }
        end = start;
    }
    Ok(AuditPage { size, entries, before: None })
}

/// Tells of every entry that passes, oldest first; how many.
fn each(
    log: &Book,
    filter: &EntryFilter,
    mut tell: impl FnMut(u64, &Entry) -> Result<(), DomainError>,
) -> Result<u64, DomainError> {
    let mut count = 0;
    for item in log.entries(0..log.size()) {
        let (index, entry) = item?;
        if filter.passes(&entry) {
            tell(index, &entry)?;
            count += 1;
        }
    }
    Ok(count)
}

/// The columns of an export that are texts of an entry.
const TEXTS: [&str; 8] = ["kind", "institution", "product", "purpose", "run", "outcome", "leaf", "entry"];

fn export_parquet(log: &Book, filter: &EntryFilter, out: impl Write + Send) -> Result<u64, DomainError> {
    let failed = |_| DomainError::io("export", &std::io::ErrorKind::Other.into());
    let utc = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let texts = TEXTS.map(|name| Field::new(name, DataType::Utf8, !matches!(name, "kind" | "leaf" | "entry")));
    let first = [Field::new("index", DataType::UInt64, false), Field::new("at", utc, false)];
    let schema = Arc::new(Schema::new(first.into_iter().chain(texts).collect::<Vec<_>>()));
    let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), None).map_err(failed)?;
    let mut rows = Rows::default();
    let count = each(log, filter, |index, entry| {
        rows.push(index, entry);
        if rows.count < ROW_GROUP {
            return Ok(());
        }
        let batch = rows.take(&schema)?;
        writer.write(&batch).and_then(|()| writer.flush()).map_err(failed)
    })?;
    writer.write(&rows.take(&schema)?).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(count)
}

/// Rows of an export under way.
#[derive(Default)]
struct Rows {
    count: usize,
    index: UInt64Builder,
    at: TimestampMillisecondBuilder,
    texts: [StringBuilder; 8],
}

impl Rows {
    fn push(&mut self, index: u64, entry: &Entry) {
        self.count += 1;
        self.index.append_value(index);
        self.at.append_value(entry.at_millis());
        let text = |name: &str| entry.fields().get(name).and_then(Value::as_str).map(str::to_owned);
        for (name, column) in TEXTS.iter().zip(&mut self.texts) {
            column.append_option(match *name {
                "kind" => Some(entry.kind().to_owned()),
                "institution" => text("institution").or_else(|| text("by")),
                "outcome" => Outcome::of_kind(entry.kind()).map(|outcome| outcome.as_str().to_owned()),
                "leaf" => Some(hex::encode(entry.leaf_hash())),
                "entry" => Some(String::from_utf8_lossy(entry.bytes()).into_owned()),
                name => text(name),
            });
        }
    }

    fn take(&mut self, schema: &Arc<Schema>) -> Result<RecordBatch, DomainError> {
        self.count = 0;
        let mut columns: Vec<datafusion::arrow::array::ArrayRef> =
            vec![Arc::new(self.index.finish()), Arc::new(self.at.finish().with_timezone("UTC"))];
        for column in &mut self.texts {
            columns.push(Arc::new(column.finish()));
        }
        RecordBatch::try_new(Arc::clone(schema), columns)
            .map_err(|_| DomainError::io("export", &std::io::ErrorKind::InvalidData.into()))
    }
}

pub(super) fn no_entry(error: LogError) -> DomainError {
    match error {
        LogError::NoEntry => {
            DomainError::NotFound(Refusal::new("audit/no-entry", "日志中没有这一条", "the log has no such entry"))
        }
        other => other.into(),
    }
}

/// Reading a long log takes a while: it happens beside the runtime's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DomainError> + Send + 'static,
) -> Result<T, DomainError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(LogError::Stopped.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_outcomes() {
        for outcome in Outcome::ALL {
            for kind in outcome.kinds() {
                assert_eq!(Outcome::of_kind(kind), Some(outcome));
            }
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert_eq!(Outcome::of_kind("run.charged"), None);
    }
}
