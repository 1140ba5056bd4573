//! Released rows as bytes: JSON, CSV, Arrow IPC, Parquet.

use super::Released;
use crate::functions::failed;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv::WriterBuilder as CsvBuilder;
use datafusion::arrow::ipc::reader::FileReader;
use datafusion::arrow::ipc::writer::{FileWriter, StreamWriter};
use datafusion::arrow::json::writer::{JsonArray, WriterBuilder as JsonBuilder};
use datafusion::common::Result;
use datafusion::parquet::arrow::ArrowWriter;
use std::io::Cursor;
use std::path::Path;

/// A form of a released file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An array of objects, one per row.
    Json,
    /// RFC 4180 with a header line.
    Csv,
    /// The Arrow IPC file format.
    Arrow,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// By the ending of a file's name: `.json`, `.csv`, `.arrow`, `.parquet`.
    pub fn of_path(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Format::Json,
            "csv" => Format::Csv,
            "arrow" | "ipc" | "feather" => Format::Arrow,
            "parquet" => Format::Parquet,
            _ => return None,
        })
    }
}

impl Released {
    /// The rows in a form. The same release gives the same bytes.
    ///
    /// # Errors
    /// `run/failed` where the rows can not be written in that form.
    pub fn write(&self, format: Format) -> Result<Vec<u8>> {
        write_batch(&self.batch, format)
    }

    /// The rows in the Arrow IPC streaming format. The same release gives the same bytes.
    ///
    /// # Errors
    /// `run/failed` where the rows can not be written.
    pub fn write_stream(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &self.batch.schema()).map_err(|_| failed())?;
        writer.write(&self.batch).and_then(|()| writer.finish()).map_err(|_| failed())?;
        drop(writer);
        Ok(bytes)
    }
}

pub(super) fn write_batch(batch: &RecordBatch, format: Format) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let schema = batch.schema();
    match format {
        Format::Json => {
            let mut writer = JsonBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
            writer.write(batch).and_then(|()| writer.finish()).map_err(|_| failed())?;
            if bytes.is_empty() {
                bytes.extend_from_slice(b"[]");
            }
        }
        Format::Csv => {
            let mut writer = CsvBuilder::new().with_header(true).build(&mut bytes);
            writer.write(batch).map_err(|_| failed())?;
        }
        Format::Arrow => {
            let mut writer = FileWriter::try_new(&mut bytes, &schema).map_err(|_| failed())?;
            writer.write(batch).and_then(|()| writer.finish()).map_err(|_| failed())?;
        }
        Format::Parquet => {
            let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).map_err(|_| failed())?;
            writer.write(batch).map_err(|_| failed())?;
            writer.close().map_err(|_| failed())?;
        }
    }
    Ok(bytes)
}

/// Reads back what `Format::Arrow` wrote.
pub(crate) fn read_arrow(bytes: &[u8]) -> Result<RecordBatch> {
    let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(|_| failed())?;
    let schema = reader.schema();
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|_| failed())?;
    datafusion::arrow::compute::concat_batches(&schema, &batches).map_err(|_| failed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};
    use std::sync::Arc;

    fn batch() -> RecordBatch {
        let city: ArrayRef = Arc::new(StringArray::from(vec![Some("昆明"), None]));
        let risk: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.25), None]));
        RecordBatch::try_from_iter_with_nullable([("city", city, true), ("risk", risk, true)]).expect("batch")
    }

    #[test]
    fn every_form_is_written_and_nulls_are_told() {
        let json = write_batch(&batch(), Format::Json).expect("json");
        assert_eq!(String::from_utf8_lossy(&json), r#"[{"city":"昆明","risk":0.25},{"city":null,"risk":null}]"#);
        let csv = write_batch(&batch(), Format::Csv).expect("csv");
        assert_eq!(String::from_utf8_lossy(&csv), "city,risk\n昆明,0.25\n,\n");
        let arrow = write_batch(&batch(), Format::Arrow).expect("arrow");
        assert_eq!(read_arrow(&arrow).expect("read"), batch());
        assert_eq!(&write_batch(&batch(), Format::Parquet).expect("parquet")[..4], b"PAR1");
        assert!(read_arrow(b"ARROW1").is_err());
    }

    #[test]
    fn forms_by_ending() {
        assert_eq!(Format::of_path(Path::new("a/b.PARQUET")), Some(Format::Parquet));
        assert_eq!(Format::of_path(Path::new("x.xlsx")), None);
        assert_eq!(Format::of_path(Path::new("json")), None);
    }
}
