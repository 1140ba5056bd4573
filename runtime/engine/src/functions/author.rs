//! `clamp(x, lo, hi)` and `width_bucket(x, lo, hi, n)`, which product authors may write.

use super::float64;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// The name of `clamp`.
pub(crate) const CLAMP: &str = "clamp";
/// The name of `width_bucket`.
pub(crate) const WIDTH_BUCKET: &str = "width_bucket";

/// All the functions that authors get beside DataFusion's.
pub(crate) fn author_functions() -> Vec<ScalarUDF> {
    let clamp = Numeric { name: CLAMP, arity: 3, output: DataType::Float64, signature: signature(3) };
    let bucket = Numeric { name: WIDTH_BUCKET, arity: 4, output: DataType::Int64, signature: signature(4) };
    vec![ScalarUDF::new_from_impl(clamp), ScalarUDF::new_from_impl(bucket), super::date::date_trunc()]
}

fn signature(arity: usize) -> Signature {
    Signature::exact(vec![DataType::Float64; arity], Volatility::Immutable)
}

/// A function of `arity` numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Numeric {
    name: &'static str,
    arity: usize,
    output: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Numeric {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.output.clone())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.args.len() != self.arity {
            return plan_err!("{} takes {} arguments", self.name, self.arity);
        }
        let all_scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let columns =
            args.args.into_iter().map(|a| a.into_array(rows).and_then(|a| float64(&a))).collect::<Result<Vec<_>>>()?;
        let result: ArrayRef = match self.name {
            CLAMP => Arc::new((0..rows).map(|i| row(&columns, i).and_then(clamp)).collect::<Float64Array>()),
            _ => Arc::new((0..rows).map(|i| row(&columns, i).and_then(width_bucket)).collect::<Int64Array>()),
        };
        if all_scalar {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn row(columns: &[Float64Array], at: usize) -> Option<[f64; 4]> {
    let mut values = [0.0; 4];
    for (value, column) in values.iter_mut().zip(columns) {
        use datafusion::arrow::array::Array;
        *value = (!column.is_null(at)).then(|| column.value(at))?;
    }
    Some(values)
}

/// `x` moved into `[lo, hi]`; NULL where the range is empty or anything is NaN.
fn clamp([x, lo, hi, _]: [f64; 4]) -> Option<f64> {
    (lo <= hi && !x.is_nan()).then(|| x.clamp(lo, hi))
}

/// As SQL's: 0 below `lo`, 1..=n inside, n+1 from `hi` on; NULL where the range is empty.
fn width_bucket([x, lo, hi, n]: [f64; 4]) -> Option<i64> {
    if !(lo < hi && (1.0..=1e9).contains(&n) && !x.is_nan()) {
        return None;
    }
    let n = n.trunc();
    Some(if x < lo {
        0
    } else if x >= hi {
        n as i64 + 1
    } else {
        (((x - lo) / (hi - lo) * n).floor().min(n - 1.0)) as i64 + 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps() {
        assert_eq!(clamp([5.0, 0.0, 3.0, 0.0]), Some(3.0));
        assert_eq!(clamp([-5.0, 0.0, 3.0, 0.0]), Some(0.0));
        assert_eq!(clamp([1.0, 3.0, 0.0, 0.0]), None);
        assert_eq!(clamp([f64::NAN, 0.0, 3.0, 0.0]), None);
    }

    #[test]
    fn buckets() {
        let bucket = |x| width_bucket([x, 0.0, 10.0, 5.0]);
        assert_eq!(
            [-0.1, 0.0, 1.99, 2.0, 9.999, 10.0, 1e300].map(bucket),
            [Some(0), Some(1), Some(1), Some(2), Some(5), Some(6), Some(6)]
        );
        assert_eq!(width_bucket([1.0, 1.0, 1.0, 5.0]), None);
        assert_eq!(width_bucket([1.0, 0.0, 1.0, 0.5]), None);
    }
}
