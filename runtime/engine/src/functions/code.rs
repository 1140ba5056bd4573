//! The code of a declared enum: what a category becomes before it enters a model.

use super::failed;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::collections::HashMap;
use std::sync::Arc;

/// Text to its position in the declared domain; NULL where it is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Code {
    values: Vec<String>,
    signature: Signature,
}

impl Code {
    /// The function for one column.
    pub(crate) fn udf(values: Vec<String>) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self { values, signature: Signature::any(1, Volatility::Volatile) })
    }

    /// The codes of an array of texts.
    pub(crate) fn codes(values: &[String], array: &ArrayRef) -> Result<Int64Array> {
        let index: HashMap<&str, i64> = values.iter().zip(0i64..).map(|(v, i)| (v.as_str(), i)).collect();
        let array = cast(array, &DataType::Utf8View).map_err(|_| failed())?;
        let texts = array.as_string_view_opt().ok_or_else(failed)?;
        Ok(texts.iter().map(|t| t.and_then(|t| index.get(t).copied())).collect())
    }
}

impl ScalarUDFImpl for Code {
    fn name(&self) -> &str {
        "yunei_code"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [value] = <[ColumnarValue; 1]>::try_from(args.args).map_err(|_| failed())?;
        let codes = Self::codes(&self.values, &value.into_array(rows)?)?;
        Ok(ColumnarValue::Array(Arc::new(codes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::StringArray;

    #[test]
    fn unknown_and_null_have_no_code() {
        let values = vec!["小学".to_owned(), "初中".to_owned()];
        let array: ArrayRef = Arc::new(StringArray::from(vec![Some("初中"), None, Some("小学"), Some("x")]));
        let codes = Code::codes(&values, &array).expect("codes");
        assert_eq!(codes.iter().collect::<Vec<_>>(), vec![Some(1), None, Some(0), None]);
    }
}
