//! The ends of the interval of a sum, a difference or a ratio of two numbers that have intervals.

use super::{failed, float64};
use datafusion::arrow::array::{Array, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// `x + y`
    Add,
    /// `x - y`
    Subtract,
    /// `x / y`
    Divide,
}

/// One end of the interval, from `(x, low, high, y, low, high)`; NULL where none can be told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Combine {
    operation: Operation,
    independent: bool,
    high: bool,
    signature: Signature,
}

impl Combine {
    /// The function for one end.
    pub(crate) fn udf(operation: Operation, independent: bool, high: bool) -> ScalarUDF {
        let signature = Signature::exact(vec![DataType::Float64; 6], Volatility::Immutable);
        ScalarUDF::new_from_impl(Self { operation, independent, high, signature })
    }
}

impl ScalarUDFImpl for Combine {
    fn name(&self) -> &str {
        match (self.operation, self.high) {
            (Operation::Add, false) => "yunei_sum_low",
            (Operation::Add, true) => "yunei_sum_high",
            (Operation::Subtract, false) => "yunei_difference_low",
            (Operation::Subtract, true) => "yunei_difference_high",
            (Operation::Divide, false) => "yunei_ratio_low",
            (Operation::Divide, true) => "yunei_ratio_high",
        }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns =
            args.args.into_iter().map(|a| a.into_array(rows).and_then(|a| float64(&a))).collect::<Result<Vec<_>>>()?;
        let columns: [Float64Array; 6] = columns.try_into().map_err(|_| failed())?;
        let ends: Float64Array = (0..rows)
            .map(|at| {
                let known = columns.iter().all(|c| c.is_valid(at));
                let numbers = columns.each_ref().map(|c| c.value(at));
                let (low, high) = known.then(|| combine(self.operation, self.independent, numbers)).flatten()?;
                Some(if self.high { high } else { low })
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(ends)))
    }
}

/// The interval, where it is one.
fn combine(operation: Operation, independent: bool, [x, xl, xh, y, yl, yh]: [f64; 6]) -> Option<(f64, f64)> {
    // A rounded number may stand a little outside of its interval.
    let half = |from: f64, to: f64| (to - from).max(0.0);
    let (low, high) = match (operation, independent) {
        (Operation::Add, true) => (x + y - half(xl, x).hypot(half(yl, y)), x + y + half(x, xh).hypot(half(y, yh))),
        (Operation::Subtract, true) => (x - y - half(xl, x).hypot(half(y, yh)), x - y + half(x, xh).hypot(half(yl, y))),
        (Operation::Add, false) => (xl + yl, xh + yh),
        (Operation::Subtract, false) => (xl - yh, xh - yl),
        (Operation::Divide, true) => {
            let (ex, ey) = (half(xl, x).max(half(x, xh)), half(yl, y).max(half(y, yh)));
            let (a, b, c) = (y * y - ey * ey, x * y, x * x - ex * ex);
            let root = (b * b - a * c).max(0.0).sqrt();
            if a <= 0.0 || a.is_nan() {
                return None;
            }
            ((b - root) / a, (b + root) / a)
        }
        (Operation::Divide, false) => {
            if yl <= 0.0 && yh >= 0.0 {
                return None;
            }
            let corners = [xl / yl, xl / yh, xh / yl, xh / yh];
            (
                corners.iter().copied().fold(f64::INFINITY, f64::min),
                corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            )
        }
    };
    (low.is_finite() && high.is_finite()).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of twelve uniform numbers: near enough to a normal distribution for a coverage test, and always the same.
    struct Normal(u64);

    impl Normal {
        fn draw(&mut self) -> f64 {
            let mut uniform = || {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 11) as f64 / (1u64 << 53) as f64
            };
            (0..12).map(|_| uniform()).sum::<f64>() - 6.0
        }
    }

    fn coverage(operation: Operation, independent: bool, truth: (f64, f64), sigmas: (f64, f64), shared: bool) -> f64 {
        let mut normal = Normal(1);
        let rounds = 20_000;
        let wanted = match operation {
            Operation::Add => truth.0 + truth.1,
            Operation::Subtract => truth.0 - truth.1,
            Operation::Divide => truth.0 / truth.1,
        };
        let inside = (0..rounds).filter(|_| {
            let a = normal.draw();
            let b = if shared { a } else { normal.draw() };
            let (x, y) = (truth.0 + a * sigmas.0, truth.1 + b * sigmas.1);
            let (hx, hy) = (1.96 * sigmas.0, 1.96 * sigmas.1);
            combine(operation, independent, [x, x - hx, x + hx, y, y - hy, y + hy])
                .is_none_or(|(low, high)| low <= wanted && wanted <= high)
        });
        inside.count() as f64 / f64::from(rounds)
    }

    #[test]
    fn intervals_hold_with_95_percent() {
        for operation in [Operation::Add, Operation::Subtract, Operation::Divide] {
            for truth in [(1_000.0, 300.0), (50.0, -400.0), (-3.0, 90.0), (0.0, 1_000.0)] {
                for sigmas in [(10.0, 10.0), (1.0, 25.0), (30.0, 2.0)] {
                    let found = coverage(operation, true, truth, sigmas, false);
                    assert!(
                        (0.945..=0.965).contains(&found) || found > 0.965 && operation == Operation::Divide,
                        "{operation:?} {truth:?} {sigmas:?}: {found}"
                    );
                    for shared in [false, true] {
                        let found = coverage(operation, false, truth, sigmas, shared);
                        assert!(found >= 0.945, "{operation:?} {truth:?} {sigmas:?}, shared {shared}: {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_ratio_over_what_may_be_zero_has_none() {
        assert_eq!(combine(Operation::Divide, true, [5.0, 4.0, 6.0, 1.0, -1.0, 3.0]), None);
        assert_eq!(combine(Operation::Divide, false, [5.0, 4.0, 6.0, 1.0, 0.0, 3.0]), None);
        assert_eq!(combine(Operation::Divide, false, [4.0, 2.0, 6.0, -2.0, -4.0, -1.0]), Some((-6.0, -0.5)));
    }
}
