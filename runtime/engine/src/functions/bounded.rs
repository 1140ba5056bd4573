//! What a row adds: its number on the grid of a sum, or the bar of a histogram that it falls into.

use super::{failed, float64};
use datafusion::arrow::array::{Array, Int64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// A row's number as a whole number of grid steps: `round((clamp(x, lo, hi) - offset)^power * 2^scale)`.
/// NULL and NaN count as nothing (0): whether a row has a value is counted by a measure of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    lo: u64,
    hi: u64,
    offset: u64,
    scale: i32,
    squared: bool,
    signature: Signature,
}

impl Grid {
    /// The function for one measure.
    pub(crate) fn udf(lo: f64, hi: f64, offset: f64, scale: i32, squared: bool) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self {
            lo: lo.to_bits(),
            hi: hi.to_bits(),
            offset: offset.to_bits(),
            scale,
            squared,
            signature: Signature::exact(vec![DataType::Float64], Volatility::Volatile),
        })
    }

    fn step(&self) -> impl Fn(f64) -> i64 + use<> {
        let (lo, hi, offset) = (f64::from_bits(self.lo), f64::from_bits(self.hi), f64::from_bits(self.offset));
        let (factor, squared) = (2f64.powi(self.scale), self.squared);
        // The cast saturates; policy has chosen the scale so that nothing in [lo, hi] comes near it.
        move |x: f64| {
            if x.is_nan() {
                return 0;
            }
            let centred = x.clamp(lo, hi) - offset;
            let value = if squared { centred * centred } else { centred };
            (value * factor).round_ties_even() as i64
        }
    }
}

impl ScalarUDFImpl for Grid {
    fn name(&self) -> &str {
        "yunei_grid"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else { return Err(failed()) };
        let step = self.step();
        match value {
            ColumnarValue::Scalar(scalar) => {
                let value = match scalar {
                    ScalarValue::Float64(Some(x)) => step(*x),
                    _ => 0,
                };
                Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(value))))
            }
            ColumnarValue::Array(array) => {
                let array = float64(array)?;
                let mut values: Vec<i64> = array.values().iter().map(|x| step(*x)).collect();
                if let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) {
                    for (value, valid) in values.iter_mut().zip(nulls.iter()) {
                        *value *= i64::from(valid);
                    }
                }
                debug_assert_eq!(
                    array.data_type(),
                    &<Float64Type as datafusion::arrow::datatypes::ArrowPrimitiveType>::DATA_TYPE
                );
                Ok(ColumnarValue::Array(Arc::new(Int64Array::from(values))))
            }
        }
    }
}

/// Which bar of a histogram a row's number falls into, counted from 0; -1 where it is NULL or NaN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bar {
    lo: u64,
    hi: u64,
    of: u32,
    signature: Signature,
}

impl Bar {
    /// The function for one histogram.
    pub(crate) fn udf(lo: f64, hi: f64, of: u32) -> ScalarUDF {
        let signature = Signature::exact(vec![DataType::Float64], Volatility::Volatile);
        ScalarUDF::new_from_impl(Self { lo: lo.to_bits(), hi: hi.to_bits(), of, signature })
    }

    /// As `yunei_policy::clear::Measure::bar_of`, bit by bit.
    fn bar(&self) -> impl Fn(f64) -> i64 + use<> {
        let (lo, hi, of) = (f64::from_bits(self.lo), f64::from_bits(self.hi), f64::from(self.of));
        move |x: f64| {
            if x.is_nan() {
                return -1;
            }
            ((x - lo) / (hi - lo) * of).floor().clamp(0.0, of - 1.0) as i64
        }
    }
}

impl ScalarUDFImpl for Bar {
    fn name(&self) -> &str {
        "yunei_bar"
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
        let array = float64(&value.into_array(rows)?)?;
        let bar = self.bar();
        let bars: Int64Array = array.iter().map(|x| Some(x.map_or(-1, &bar))).collect();
        Ok(ColumnarValue::Array(Arc::new(bars)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(lo: f64, hi: f64, offset: f64, scale: i32, squared: bool) -> Grid {
        Grid {
            lo: lo.to_bits(),
            hi: hi.to_bits(),
            offset: offset.to_bits(),
            scale,
            squared,
            signature: Signature::any(1, Volatility::Volatile),
        }
    }

    #[test]
    fn everything_lands_inside_the_limits() {
        let step = grid(0.0, 100.0, 50.0, 4, false).step();
        for x in [f64::NEG_INFINITY, -1.0, 0.0, 1e-300, 50.0, 99.999, 100.0, 1e300, f64::INFINITY] {
            assert!((-800..=800).contains(&step(x)), "{x}");
        }
        assert_eq!(step(f64::NAN), 0);
        assert_eq!(step(50.0 + 1.0 / 16.0), 1);
    }

    #[test]
    fn squares() {
        let step = grid(-2.0, 2.0, 0.0, 0, true).step();
        assert_eq!((step(-2.0), step(2.0), step(9.0), step(0.5)), (4, 4, 4, 0));
    }
}
