//! One form per content: how an array came to be (in how many batches, beside which nulls) must not show in its bytes.

use crate::functions::failed;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

/// The same rows in arrays whose buffers depend on the values alone: without a validity buffer where nothing is null, with
/// zeros where something is.
pub(super) fn canonical(batch: &RecordBatch) -> Result<RecordBatch> {
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let fields = batch.columns().iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(|_| failed())?;
    let rows = converter.convert_columns(batch.columns()).map_err(|_| failed())?;
    let columns = converter.convert_rows(&rows).map_err(|_| failed())?;
    RecordBatch::try_new(batch.schema(), columns).map_err(|_| failed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Format;
    use crate::release::write::write_batch;
    use datafusion::arrow::array::{
        Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, StringViewArray,
    };
    use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
    use datafusion::arrow::compute::concat_batches;
    use std::sync::Arc;

    fn batch(nulls: Option<NullBuffer>, hidden: f64) -> RecordBatch {
        let floats = ScalarBuffer::from(vec![1.5, hidden, -0.0]);
        let with_null = NullBuffer::new(BooleanBuffer::from(vec![true, false, true]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int64Array::new(ScalarBuffer::from(vec![1, 2, 3]), nulls))),
            ("b", Arc::new(Float64Array::new(floats, Some(with_null)))),
            ("c", Arc::new(StringArray::from(vec![Some("昆明"), None, Some("")]))),
            ("d", Arc::new(StringViewArray::from(vec!["a long text that is not inline", "b", "c"]))),
            ("e", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("f", Arc::new(Date32Array::from(vec![1, 2, 3]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn the_same_rows_are_the_same_bytes() {
        let one = batch(None, 0.0);
        let other = batch(Some(NullBuffer::new_valid(3)), 7.0);
        let parts = concat_batches(&one.schema(), &[other.slice(0, 1), one.slice(1, 2)]).unwrap();
        let bytes = |batch: &RecordBatch| write_batch(&canonical(batch).unwrap(), Format::Arrow).unwrap();
        assert_eq!(bytes(&one), bytes(&other));
        assert_eq!(bytes(&one), bytes(&parts));
        let same = canonical(&one).unwrap();
        assert_eq!((same.num_rows(), same.schema()), (3, one.schema()));
        assert_eq!(same.column(0).as_ref(), one.column(0).as_ref());
        assert!(same.column(1).is_null(1) && same.column(0).nulls().is_none());
        let zero = same.column(1).as_any().downcast_ref::<Float64Array>().unwrap();
        assert!(zero.value(2).is_sign_negative(), "minus zero stays what it is");
        assert_eq!(canonical(&one.slice(0, 0)).unwrap().num_rows(), 0);
    }
}
