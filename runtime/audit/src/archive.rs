//! A log that is only read: listing, proofs, export, counts. Works beside a running writer.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use crate::ask;
use crate::checkpoint::Checkpoint;
use crate::files::Layout;
use crate::journal::Journal;
use crate::recorded::Position;
use crate::recover::{committed, peek_locked, read_view};
use crate::tiles::Reader;
use crate::trust::Trust;
use crate::verify::read_published;
use crate::view::View;
use crate::{Entry, LogError, Receipt};

/// How often opening starts again when a running writer moved on under it.
const ATTEMPTS: u32 = 20;

/// A log as it was at the moment of opening.
#[derive(Debug)]
pub struct Archive {
    view: View,
    checkpoint: Checkpoint,
}

impl Archive {
    /// Opens the log in `dir` for reading: published entries and those that are only staged yet.
    ///
    /// # Errors
    /// [`LogError::Absent`], [`LogError::Key`], [`LogError::Damaged`], [`LogError::Disk`].
    pub fn open(dir: &Path, trust: &Trust) -> Result<Self, LogError> {
        let layout = Layout::new(dir);
        if !layout.lock().exists() {
            return Err(LogError::Absent);
        }
        let mut attempt = 0;
        loop {
            let checkpoint = peek_locked(&layout, trust)?;
            let view = Journal::records(&layout.journal())
                .map(|records| committed(records, &checkpoint))
                .and_then(|records| read_view(Reader::new(layout.public()), records, &checkpoint));
            match view {
                Ok((view, _)) => return Ok(Self { view, checkpoint }),
                // A writer that is at work rewinds its journal once the tiles have what was in it.
                Err(error) => {
                    attempt += 1;
                    if attempt == ATTEMPTS || peek_locked(&layout, trust)? == checkpoint {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Opens a copy of a log's public folder alone, as whoever follows the log has it, at its
    /// published checkpoint.
    ///
    /// # Errors
    /// [`LogError::Absent`], [`LogError::Key`], [`LogError::Unwitnessed`], [`LogError::Damaged`],
    /// [`LogError::Disk`].
    pub fn open_public(public: &Path, trust: &Trust) -> Result<Self, LogError> {
        let checkpoint = read_published(&public.join("checkpoint"), trust)?;
        let (view, _) = read_view(Reader::new(public.to_path_buf()), Vec::new(), &checkpoint)?;
        Ok(Self { view, checkpoint })
    }

    /// Checks that an earlier checkpoint, kept by somebody, is the beginning of this log: its
    /// signature, and the consistency proof.
    ///
    /// # Errors
    /// [`LogError::Key`] when the checkpoint is not of this log, [`LogError::Disagree`] when the log
    /// was changed since, or is shorter.
    pub fn extends(&self, earlier: &Checkpoint, trust: &Trust) -> Result<(), LogError> {
        ask::extends(&self.view, earlier, &self.checkpoint, trust)
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size()
    }

    /// The newest signed checkpoint, without cosignatures.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Reads one entry and checks it against the signed root.
    ///
    /// # Errors
    /// [`LogError::NoEntry`], [`LogError::Damaged`], [`LogError::Disk`].
    pub fn entry(&self, index: u64) -> Result<Entry, LogError> {
        ask::entry(&self.view, index, &self.checkpoint)
    }

    /// Where an entry stands, for [`Archive::receipt`].
    ///
    /// # Errors
    /// Those of [`Archive::entry`].
    pub fn position(&self, index: u64) -> Result<Position, LogError> {
        let entry = self.entry(index)?;
        Ok(Position::new(index, crate::tree::leaf_hash(entry.bytes())))
    }

    /// Reads the entries of a range, in order, as far as there are any; not proven one by one.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = Result<(u64, Entry), LogError>> + use<'_> {
        let end = range.end.min(self.size());
        ask::entries(range.start..end, move |index| self.view.run(index, end))
    }

    /// The proof, as a C2SP `tlog-proof`, that the entry of this index is in the log.
    ///
    /// # Errors
    /// Those of [`Archive::entry`].
    pub fn prove_inclusion(&self, index: u64) -> Result<String, LogError> {
        ask::tlog_proof(&self.view, index, &self.checkpoint)
    }

    /// The proof that the tree of `old` entries is the beginning of the tree of `new` ones (RFC 6962
    /// section 2.1.2).
    ///
    /// # Errors
    /// [`LogError::NoEntry`] unless 0 < `old` ≤ `new` ≤ size.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<[u8; 32]>, LogError> {
        if new > self.size() {
            return Err(LogError::NoEntry);
        }
        ask::consistency(&self.view, old, new)
    }

    /// Makes the receipt of an entry anew; see [`crate::Log::receipt`].
    ///
    /// # Errors
    /// Those of [`crate::Log::receipt`].
    pub fn receipt(&self, position: &Position, body: Map<String, Value>) -> Result<Receipt, LogError> {
        ask::receipt(&self.view, position, body, self.checkpoint.clone())
    }

    /// Writes the entries of a range that pass the filter as JSON lines:
    /// `{"entry":…,"index":…,"leaf":"…"}`, the entry byte for byte, the leaf hash in hex. Gives how
    /// many were written.
    ///
    /// # Errors
    /// [`LogError::Disk`] when `out` fails, and those of reading.
    pub fn export_jsonl(&self, range: Range<u64>, filter: &Filter, out: &mut dyn Write) -> Result<u64, LogError> {
        let mut count = 0;
        for item in self.entries(range) {
            let (index, entry) = item?;
            if filter.passes(&entry) {
                write_jsonl(index, &entry, out).map_err(LogError::disk("write the export"))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Counts what passes the filter.
    ///
    /// # Errors
    /// Those of reading.
    pub fn stats(&self, filter: &Filter) -> Result<Stats, LogError> {
        let mut stats = Stats::default();
        for item in self.entries(0..self.size()) {
            let (_, entry) = item?;
            if filter.passes(&entry) {
                stats.add(&entry);
            }
        }
        Ok(stats)
    }
}

/// Writes one line of the export: `{"entry":…,"index":…,"leaf":"…"}`, the entry byte for byte.
///
/// # Errors
/// Those of `out`.
pub fn write_jsonl(index: u64, entry: &Entry, out: &mut dyn Write) -> std::io::Result<()> {
    let leaf = hex::encode(entry.leaf_hash());
    out.write_all(b"{\"entry\":")?;
    out.write_all(entry.bytes())?;
    writeln!(out, ",\"index\":{index},\"leaf\":\"{leaf}\"}}")
}

/// Which entries are asked for. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    kind: Option<String>,
    kinds: Option<Vec<String>>,
    from: Option<i64>,
    until: Option<i64>,
    fields: Vec<(Vec<String>, String)>,
}

impl Filter {
    /// Everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only entries whose kind begins with this, for example `run/`.
    #[must_use]
    pub fn kind(mut self, prefix: &str) -> Self {
        self.kind = Some(prefix.to_owned());
        self
    }

    /// Only entries of one of these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: &[&str]) -> Self {
        self.kinds = Some(kinds.iter().map(|kind| (*kind).to_owned()).collect());
        self
    }

    /// Only entries at or after this time, in milliseconds since 1970.
    #[must_use]
    pub fn from(mut self, at_millis: i64) -> Self {
        self.from = Some(at_millis);
        self
    }

    /// Only entries before this time.
    #[must_use]
    pub fn until(mut self, at_millis: i64) -> Self {
        self.until = Some(at_millis);
        self
    }

    /// Only entries whose field has this text, or is a list that contains it.
    #[must_use]
    pub fn field(self, name: &str, text: &str) -> Self {
        self.any_field(&[name], text)
    }

    /// Only entries in which one of these fields has this text, or is a list that contains it.
    #[must_use]
    pub fn any_field(mut self, names: &[&str], text: &str) -> Self {
        self.fields.push((names.iter().map(|name| (*name).to_owned()).collect(), text.to_owned()));
        self
    }

    /// Whether an entry passes.
    #[must_use]
    pub fn passes(&self, entry: &Entry) -> bool {
        let has = |name: &String, text: &str| match entry.fields().get(name) {
            Some(Value::String(value)) => value == text,
            Some(Value::Array(values)) => values.iter().any(|value| value.as_str() == Some(text)),
            _ => false,
        };
        let field = |(names, text): &(Vec<String>, String)| names.iter().any(|name| has(name, text));
        self.kind.as_ref().is_none_or(|prefix| entry.kind().starts_with(prefix.as_str()))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == entry.kind()))
            && self.from.is_none_or(|from| entry.at_millis() >= from)
            && self.until.is_none_or(|until| entry.at_millis() < until)
            && self.fields.iter().all(field)
    }
}

/// Counts over entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    entries: u64,
    bytes: u64,
    by_kind: BTreeMap<String, u64>,
    first_at: Option<i64>,
    last_at: Option<i64>,
}

impl Stats {
    /// Counts one more entry. Entries are told in the order of the log.
    pub fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes += entry.bytes().len() as u64;
        *self.by_kind.entry(entry.kind().to_owned()).or_default() += 1;
        self.first_at.get_or_insert(entry.at_millis());
        self.last_at = Some(entry.at_millis());
    }

    /// How many entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Their bytes together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of each kind.
    #[must_use]
    pub fn by_kind(&self) -> &BTreeMap<String, u64> {
        &self.by_kind
    }

    /// The time of the first one, in milliseconds since 1970.
    #[must_use]
    pub fn first_at(&self) -> Option<i64> {
        self.first_at
    }

    /// The time of the last one.
    #[must_use]
    pub fn last_at(&self) -> Option<i64> {
        self.last_at
    }
}
