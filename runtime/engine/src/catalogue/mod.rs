//! The catalogue: what a holder states of a dataset, and whether the data keeps to it.
//!
//! [`DatasetSpec::parse`] turns a catalogue entry (`dataset.toml`, DESIGN §2) into a value that cannot be wrong by itself;
//! [`survey`] reads the files that it names and finds out whether they keep to it. Both tell all the reasons at once.
//! What is told of the data are names of columns, types and counts; never a value.

mod column;
mod columns;
mod document;
mod files;
mod parse;
mod reasons;
mod rules;
mod scalar;
mod scan;
mod schema;
mod spec;
mod survey;
mod units;

pub use column::{Bounds, ColumnSpec, ColumnType, Domain};
pub use files::{FileEntry, current_digests, verify_digests, verify_unchanged};
pub(crate) use files::{files_within, paths_within};
pub use spec::{Access, Attribute, DatasetSpec, Grade, Provider, Unit, Update};
pub use survey::{Surveyed, survey};

/// At most how long a catalogue entry is, in bytes.
pub const MAX_ENTRY_BYTES: usize = 1 << 20;
/// At most how many columns a dataset has.
pub const MAX_COLUMNS: usize = 500;
/// At most how many values a declared domain has.
pub const MAX_VALUES: usize = 10_000;
/// At most how many file names and patterns an entry has.
pub const MAX_PATTERNS: usize = 1_000;
/// At most how many files a dataset version has.
pub const MAX_FILES: usize = 10_000;
/// At most how many rows a unit may be declared to have.
pub const MAX_ROWS_PER_UNIT: u32 = 1_000_000;
