//! The functions that Yunei adds to DataFusion: the models, three for authors (`clamp`, `width_bucket`, `date_trunc`), and those that
//! the private part of a plan is built of. The latter can not be named in SQL: they are registered nowhere.

mod author;
mod bounded;
mod code;
mod combine;
mod date;
mod exact;
mod guard;
mod model;
mod row;
mod sum;

pub(crate) use author::{CLAMP, WIDTH_BUCKET, author_functions};
pub(crate) use bounded::{Bar, Grid};
pub(crate) use code::Code;
pub(crate) use combine::{Combine, Operation};
pub(crate) use date::date_shift;
pub(crate) use exact::Exact;
pub(crate) use guard::{Guard, is_guard, power, within};
pub(crate) use model::{RowModel, UnitModel, sql_name};
pub(crate) use row::RowDigest;
pub(crate) use sum::sum128;

use datafusion::arrow::array::{ArrayRef, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, cast::as_float64_array};

/// An error of the private part. It says nothing: its text could reach a caller.
pub(crate) fn failed() -> DataFusionError {
    DataFusionError::Execution("run/failed".to_owned())
}

fn float64(array: &ArrayRef) -> Result<Float64Array> {
    let array = cast(array, &DataType::Float64).map_err(|_| failed())?;
    Ok(as_float64_array(&array).map_err(|_| failed())?.clone())
}
