//! Reading the files of an entry and finding out whether they keep to it.

use super::files::{FileEntry, Named, Stamp, changed, digest, expand};
use super::reasons::{Reasons, shown};
use super::scan::{ColumnCheck, counted, reading_type};
use super::schema::Comparison;
use super::spec::DatasetSpec;
use super::units::UnitCounter;
use crate::registry::Digest;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use yunei_policy::{Refusal, Refused};

/// At most how many units are counted at once: below 1 GiB of memory.
const UNITS_AT_ONCE: usize = 14_000_000;

/// Files that keep to their entry. Made by [`survey`] alone.
#[derive(Debug)]
pub struct Surveyed {
    files: Vec<FileEntry>,
    rows: u64,
    spec: Digest,
}

impl Surveyed {
    /// The files, sorted by path.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// How many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The digest of the entry that the files keep to.
    pub fn spec_digest(&self) -> Digest {
        self.spec
    }
}

/// What a file's footer says. The file itself is not kept open: there may be more files than a process may hold.
struct Footer {
    named: Named,
    stamp: Stamp,
    metadata: ArrowReaderMetadata,
    rows: u64,
}

/// Reads the files that `spec` names, relative to `base`: their footers, their digests, then all their rows once (the unit
/// column again for every further 14 million units).
///
/// `progress` is told how much is done and how much there is in all; only the ratio means anything, and `done` never falls.
/// Blocking: call it where blocking is allowed.
///
/// # Errors
/// All the reasons of one stage at once: the files cannot be found or read; they are not Parquet; their columns are not
/// those of the entry; rows break it, told as counts; they changed meanwhile. Never a value.
pub fn survey(spec: &DatasetSpec, base: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Surveyed, Refused> {
    survey_with(spec, base, progress, UNITS_AT_ONCE)
}

fn survey_with(
    spec: &DatasetSpec,
    base: &Path,
    progress: &mut dyn FnMut(u64, u64),
    units_at_once: usize,
) -> Result<Surveyed, Refused> {
    let named = expand(spec, base)?;
    let mut progress = Progress::new(progress);
    let footers = read_footers(spec, named)?;
    // Every byte is digested, then read.
    progress.total = footers.iter().map(|f| f.stamp.bytes * 2).sum();
    let digests = read_all(spec, &footers, &mut progress, units_at_once)?;
    let rows = footers.iter().map(|f| f.rows).sum();
    for footer in &footers {
        let now = std::fs::metadata(&footer.named.path).map_err(|_| unreadable(&footer.named.name))?;
        if Stamp::of(&now) != footer.stamp {
            return Err(changed().at(shown(&footer.named.name)).into());
        }
    }
    progress.finish();
    let entry = |(f, sha256): (Footer, Digest)| FileEntry::new(f.named.path, f.stamp, sha256, f.rows);
    let files = footers.into_iter().zip(digests).map(entry).collect();
    Ok(Surveyed { files, rows, spec: spec.digest() })
}

struct Progress<'p> {
    report: &'p mut dyn FnMut(u64, u64),
    done: u64,
    total: u64,
}

impl<'p> Progress<'p> {
    fn new(report: &'p mut dyn FnMut(u64, u64)) -> Self {
        Self { report, done: 0, total: 0 }
    }

    fn to(&mut self, done: u64) {
        self.done = done.min(self.total).max(self.done);
        (self.report)(self.done, self.total);
    }

    fn finish(&mut self) {
        self.to(self.total);
    }
}

fn read_footers(spec: &DatasetSpec, named: Vec<Named>) -> Result<Vec<Footer>, Refused> {
    let mut reasons = Reasons::default();
    let mut comparison = Comparison::default();
    let mut footers = Vec::with_capacity(named.len());
    for named in named {
        match footer(spec, named) {
            Ok((footer, schema)) => {
                comparison.compare(spec, &footer.named, &schema);
                footers.push(footer);
            }
            Err(refused) => refused.reasons().iter().cloned().for_each(|r| reasons.push(r)),
        }
    }
    comparison.tell(&mut reasons);
    reasons.unless(footers)
}

fn unreadable(name: &str) -> Refusal {
    Refusal::new("catalogue/unreadable", "无法读取该文件", "this file cannot be read").at(shown(name))
}

fn not_parquet(name: &str) -> Refusal {
    Refusal::new("catalogue/not-parquet", "不是完整的 Parquet 文件", "this is not a whole Parquet file")
        .at(shown(name))
        .hint("文件可能被截断、损坏、加密或是其他格式", "it may be cut off, damaged, encrypted or of another format")
}

/// Reads a file's footer; gives the schema that the file itself states.
fn footer(spec: &DatasetSpec, named: Named) -> Result<(Footer, SchemaRef), Refused> {
    let mut file = File::open(&named.path).map_err(|_| unreadable(&named.name))?;
    let stamp = Stamp::of(&file.metadata().map_err(|_| unreadable(&named.name))?);
    let mut magic = [0; 4];
    // The footer would tell as well, but a file of another format should not reach the footer's reader.
    if file.read_exact(&mut magic).is_err() || &magic != b"PAR1" {
        return Err(not_parquet(&named.name).into());
    }
    let load = |options| guarded(|| ArrowReaderMetadata::load(&file, options).ok());
    let metadata = load(ArrowReaderOptions::new()).ok_or_else(|| not_parquet(&named.name))?;
    let rows: i64 = metadata.metadata().row_groups().iter().map(|g| g.num_rows()).sum();
    let rows = u64::try_from(rows).map_err(|_| not_parquet(&named.name))?;
    let stated = metadata.schema().clone();
    // Where the reader takes our wishes it reads in the type that is checked fastest; else the batches are cast.
    let wished = ArrowReaderOptions::new().with_schema(reading_schema(spec, &stated));
    let metadata =
        guarded(|| ArrowReaderMetadata::try_new(metadata.metadata().clone(), wished).ok()).unwrap_or(metadata);
    Ok((Footer { named, stamp, metadata, rows }, stated))
}

fn reading_schema(spec: &DatasetSpec, stated: &SchemaRef) -> SchemaRef {
    let wished = |field: &Arc<datafusion::arrow::datatypes::Field>| match spec.column(field.name()) {
        Some(column) if column.column_type().accepts(field.data_type()) => {
            Arc::new(field.as_ref().clone().with_data_type(reading_type(column)))
        }
        _ => field.clone(),
    };
    Arc::new(Schema::new(stated.fields().iter().map(wished).collect::<Vec<_>>()))
}

/// Runs a reader of foreign bytes; a panic of the library on them is as good as an error.
fn guarded<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok().flatten()
}

/// Opens a file again; refuses one that is no longer what its footer was read from.
fn reopen(footer: &Footer) -> Result<File, Refused> {
    let file = File::open(&footer.named.path).map_err(|_| unreadable(&footer.named.name))?;
    let metadata = file.metadata().map_err(|_| unreadable(&footer.named.name))?;
    if Stamp::of(&metadata) == footer.stamp { Ok(file) } else { Err(changed().at(shown(&footer.named.name)).into()) }
}

/// Digests and scans every file, each through one handle.
fn read_all(
    spec: &DatasetSpec,
    footers: &[Footer],
    progress: &mut Progress<'_>,
    units_at_once: usize,
) -> Result<Vec<Digest>, Refused> {
    let mut checks: Vec<ColumnCheck<'_>> = spec.columns().iter().map(ColumnCheck::new).collect();
    let unit = spec.unit().copied();
    let mut units = UnitCounter::new(units_at_once);
    let mut digests = Vec::with_capacity(footers.len());
    for footer in footers {
        let mut file = reopen(footer)?;
        let (before, mut read) = (progress.done, 0);
        let digest = digest(&mut file, &mut |bytes| {
            read += bytes;
            progress.to(before + read);
        });
        digests.push(digest.map_err(|_| unreadable(&footer.named.name))?);
        scan(spec, footer, &file, &mut checks, unit.map(|u| (u.column(), &mut units)), progress)?;
    }
    let mut reasons = Reasons::default();
    for (position, check) in checks.iter().enumerate() {
        check.tell(unit.is_some_and(|u| u.column() == position), &mut reasons);
    }
    if let Some(unit) = unit {
        let (mut above, mut more) = units.finish(unit.most_rows());
        while more {
            for footer in footers {
                count_units(spec, footer, unit.column(), &mut units)?;
            }
            let (found, further) = units.finish(unit.most_rows());
            above += found;
            more = further;
        }
        if above > 0 {
            reasons.push(too_many_rows(above, unit.most_rows()));
        }
    }
    reasons.unless(digests)
}

fn too_many_rows(above: u64, most: u32) -> Refusal {
    Refusal::new(
        "catalogue/too-many-rows-per-unit",
        format!("有 {above} 个主体的行数超过 {most}"),
        format!("more than {} stand for {}", counted(most.into(), "row"), counted(above, "unit")),
    )
    .at("dataset.unit.most_rows")
    .hint("提高 most_rows，或清理重复的行", "raise most_rows, or remove rows that stand twice")
}

fn reader(one: &Footer, file: &File, columns: usize, mask: Option<ProjectionMask>) -> Option<ParquetRecordBatchReader> {
    // Wide tables are read in smaller steps, so that a batch stays small.
    let rows = if columns <= 64 { 32_768 } else { 4_096 };
    let file = file.try_clone().ok()?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, one.metadata.clone()).with_batch_size(rows);
    match mask {
        Some(mask) => builder.with_projection(mask).build().ok(),
        None => builder.build().ok(),
    }
}

fn next(reader: &mut ParquetRecordBatchReader, one: &Footer) -> Result<Option<RecordBatch>, Refused> {
    guarded(|| reader.next().transpose().ok()).ok_or_else(|| not_parquet(&one.named.name).into())
}

fn scan(
    spec: &DatasetSpec,
    one: &Footer,
    file: &File,
    checks: &mut [ColumnCheck<'_>],
    mut unit: Option<(usize, &mut UnitCounter)>,
    progress: &mut Progress<'_>,
) -> Result<(), Refused> {
    let damaged = || not_parquet(&one.named.name);
    let places = places(spec, one).ok_or_else(damaged)?;
    let mut reader = guarded(|| reader(one, file, places.len(), None)).ok_or_else(damaged)?;
    let (before, mut rows) = (progress.done, 0u64);
    while let Some(batch) = next(&mut reader, one)? {
        for (position, (check, place)) in checks.iter_mut().zip(&places).enumerate() {
            let column = guarded(|| check.check(batch.columns().get(*place)?).ok()).ok_or_else(damaged)?;
            if let Some((unit_column, units)) = &mut unit
                && *unit_column == position
            {
                units.count(&column);
            }
        }
        rows += batch.num_rows() as u64;
        // One u128 step keeps the product from overflowing; the quotient is at most the file's bytes.
        let share = u128::from(one.stamp.bytes) * u128::from(rows.min(one.rows)) / u128::from(one.rows.max(1));
        progress.to(before + u64::try_from(share).unwrap_or(one.stamp.bytes));
    }
    if rows != one.rows {
        return Err(damaged().into());
    }
    progress.to(before + one.stamp.bytes);
    Ok(())
}

/// Where the entry's columns stand in the file.
fn places(spec: &DatasetSpec, one: &Footer) -> Option<Vec<usize>> {
    let fields = one.metadata.schema().fields();
    let by_name: HashMap<&str, usize> = fields.iter().enumerate().map(|(i, f)| (f.name().as_str(), i)).collect();
    spec.columns().iter().map(|c| by_name.get(c.name()).copied()).collect()
}

/// A further pass over the unit column alone.
fn count_units(spec: &DatasetSpec, one: &Footer, unit: usize, units: &mut UnitCounter) -> Result<(), Refused> {
    let damaged = || not_parquet(&one.named.name);
    let place = places(spec, one).and_then(|p| p.get(unit).copied()).ok_or_else(damaged)?;
    let file = reopen(one)?;
    let mask = ProjectionMask::roots(one.metadata.parquet_schema(), [place]);
    let mut reader = guarded(|| reader(one, &file, 1, Some(mask))).ok_or_else(damaged)?;
    let column = spec.columns().get(unit).ok_or_else(damaged)?;
    while let Some(batch) = next(&mut reader, one)? {
        let mut check = ColumnCheck::new(column);
        units.count(&guarded(|| check.check(batch.columns().first()?).ok()).ok_or_else(damaged)?);
    }
    Ok(())
}
