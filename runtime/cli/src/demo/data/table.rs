//! A table written to Parquet as it is made.

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;

use super::DataError;

/// Told after every batch: rows done, rows in all.
pub(crate) type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Rows made at a time.
pub(crate) const BATCH_ROWS: u64 = 16 * 1024;
/// Rows of a Parquet row group: what the writer holds, compressed, before it goes to the file.
pub(crate) const ROW_GROUP_ROWS: usize = 128 * 1024;

/// What every table of the demo has.
pub(super) struct Shape<'a> {
    pub(super) rows: u64,
    pub(super) schema: SchemaRef,
    /// Columns whose values do not repeat: a dictionary of them would only cost time.
    pub(super) unique: &'a [&'a str],
}

/// Writes `shape.rows` rows to `path`, asking `batch` for each range of them in turn.
///
/// The file appears under its name only when it is whole; what a failure leaves is removed.
///
/// # Errors
/// [`DataError::Io`] and [`DataError::Parquet`].
pub(super) fn write(
    path: &Path,
    shape: &Shape<'_>,
    progress: &mut Progress<'_>,
    batch: impl FnMut(Range<u64>) -> Result<RecordBatch, ParquetError>,
) -> Result<(), DataError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let file = File::create(partial).map_err(io)?;
    let written = stream(file, shape, progress, batch)
        .map_err(|source| DataError::Parquet { path: path.to_owned(), source })
        .and_then(|()| fs::rename(partial, path).map_err(io));
    if written.is_err() {
        // The error that brought us here says more than a failure to tidy up would.
        let _ = fs::remove_file(partial);
    }
    written
}

fn stream(
    file: File,
    shape: &Shape<'_>,
    progress: &mut Progress<'_>,
    mut batch: impl FnMut(Range<u64>) -> Result<RecordBatch, ParquetError>,
) -> Result<(), ParquetError> {
    let mut writer = ArrowWriter::try_new(file, shape.schema.clone(), Some(properties(shape)?))?;
    let mut done = 0;
    progress(0, shape.rows);
    while done < shape.rows {
        let end = (done + BATCH_ROWS).min(shape.rows);
        writer.write(&batch(done..end)?)?;
        done = end;
        progress(done, shape.rows);
    }
    writer.close()?;
    Ok(())
}

fn properties(shape: &Shape<'_>) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by("yunei demo".to_owned());
    for column in shape.unique {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    Ok(properties.build())
}
