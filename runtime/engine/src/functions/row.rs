//! A keyed digest of a whole row: which rows of a unit are in a cell, told without saying what is in them.

use super::failed;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use ring::digest::{Context, SHA256};
use std::sync::Arc;

/// The first 64 bits of SHA-256 over a key and the row's values as text. The digest is kept (through sums) in the history of
/// releases, so that it must not change with a library's version: no hash of the query engine is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RowDigest {
    key: [u8; 32],
    signature: Signature,
}

impl RowDigest {
    /// The function under one key.
    pub(crate) fn udf(key: [u8; 32]) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self { key, signature: Signature::variadic_any(Volatility::Volatile) })
    }
}

impl ScalarUDFImpl for RowDigest {
    fn name(&self) -> &str {
        "yunei_row"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns: Vec<ArrayRef> = args
            .args
            .into_iter()
            .map(|a| cast(&a.into_array(rows)?, &DataType::Utf8).map_err(|_| failed()))
            .collect::<Result<_>>()?;
        let digests = (0..rows).map(|row| {
            let mut context = Context::new(&SHA256);
            context.update(&self.key);
            for column in &columns {
                if column.is_null(row) {
                    context.update(&u64::MAX.to_le_bytes());
                } else {
                    let text = column.as_string::<i32>().value(row).as_bytes();
                    context.update(&(text.len() as u64).to_le_bytes());
                    context.update(text);
                }
            }
            let digest = context.finish();
            digest.as_ref().first_chunk::<8>().map(|first| i64::from_le_bytes(*first))
        });
        Ok(ColumnarValue::Array(Arc::new(digests.collect::<Int64Array>())))
    }
}
