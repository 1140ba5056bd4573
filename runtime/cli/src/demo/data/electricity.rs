//! The meters: twelve monthly readings for each metered resident.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Builder, Int32Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::parquet::errors::ParquetError;

use super::DataError;
use super::draw::{Draw, Of};
use super::residents::{MAX_RESIDENTS, Resident, resident};
use super::table::{self, Progress, Shape};

/// Readings of each meter: January to December.
pub(crate) const METER_MONTHS: u64 = 12;

const MOST_KWH: f64 = 3_000.0;

/// What heating and cooling do to each month, in per cent.
const SEASON: [f64; 12] = [118.0, 112.0, 98.0, 92.0, 96.0, 102.0, 108.0, 108.0, 98.0, 90.0, 94.0, 112.0];

/// The index of the resident who has the `meter`th of `meters` meters: spread evenly over all residents, no
/// two on one. `meter` is below `meters`, which is at most `residents`.
pub(crate) fn metered_resident(residents: u64, meters: u64, meter: u64) -> u64 {
    meter * residents / meters
}

/// The twelve readings in kWh, January first, of the resident of row `index`: two decimals, 0 to 3000.
pub(crate) fn readings(seed: u64, index: u64) -> [f64; 12] {
    readings_of(&resident(seed, index), seed, index)
}

fn readings_of(who: &Resident, seed: u64, index: u64) -> [f64; 12] {
    let mut draw = Draw::new(Of::Meter, seed, index);
    // The household: invented so that use grows with income, slowly.
    let income = f64::from(i32::try_from(who.income).expect("at most 500,000"));
    let household = (70.0 + (income / 25.0).sqrt() * 2.2) * draw.lognormal(0.35);
    SEASON.map(|per_cent| {
        let kwh = household * per_cent / 100.0 * draw.lognormal(0.12);
        (kwh.clamp(0.0, MOST_KWH) * 100.0).round() / 100.0
    })
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id_number", DataType::Utf8, false),
        Field::new("month", DataType::Int32, false),
        Field::new("kwh", DataType::Float64, false),
    ]))
}

/// Writes the readings of `meters` of the first `residents` residents of `seed` to a Parquet file at `path`:
/// twelve rows each, person by person.
///
/// # Errors
/// [`DataError::TooMany`] above [`MAX_RESIDENTS`] and [`DataError::TooManyMeters`] when there are more meters than
/// residents, before anything is written; [`DataError::Io`], [`DataError::Parquet`].
pub(crate) fn electricity(
    path: &Path,
    residents: u64,
    meters: u64,
    seed: u64,
    progress: &mut Progress<'_>,
) -> Result<(), DataError> {
    if residents > MAX_RESIDENTS {
        return Err(DataError::TooMany { most: MAX_RESIDENTS });
    }
    if meters > residents {
        return Err(DataError::TooManyMeters);
    }
    let shape = Shape { rows: meters * METER_MONTHS, schema: schema(), unique: &[] };
    table::write(path, &shape, progress, |range| {
        batch(&shape.schema, range, |meter| {
            let index = metered_resident(residents, meters, meter);
            let who = resident(seed, index);
            let readings = readings_of(&who, seed, index);
            (who, readings)
        })
    })
}

/// A batch may begin and end in the middle of a meter; the meter is then made twice.
fn batch(
    schema: &SchemaRef,
    range: Range<u64>,
    make: impl Fn(u64) -> (Resident, [f64; 12]),
) -> Result<RecordBatch, ParquetError> {
    let (mut id_number, mut month, mut kwh) = (StringBuilder::new(), Int32Builder::new(), Float64Builder::new());
    for meter in range.start / METER_MONTHS..range.end.div_ceil(METER_MONTHS) {
        let (who, readings) = make(meter);
        for (n, (number, reading)) in (1..).zip(readings).enumerate() {
            let row = meter * METER_MONTHS + n as u64;
            if range.contains(&row) {
                id_number.append_value(who.id_number.as_str());
                month.append_value(number);
                kwh.append_value(reading);
            }
        }
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(id_number.finish()), Arc::new(month.finish()), Arc::new(kwh.finish())];
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
