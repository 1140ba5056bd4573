//! Numbers that the functions and operators above them fail on are NULL here. Nobody can write these functions: they are put
//! around operands over private rows, and above the leaves.
//!
//! Each takes its operand once. A condition (`CASE WHEN x <> 0 THEN x END`) would have to say it twice, and as operands nest the plan
//! would double with every level.

use super::failed;
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use std::sync::Arc;

/// What is asked of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// It is not 0: it can be divided by.
    NotZero,
    /// It is not the least whole number, which has no opposite.
    HasOpposite,
    /// It is no whole number so large that rounding to its digits would overflow.
    CanBeRounded,
    /// It is not negative, so that it has a root.
    NotNegative,
}

impl Guard {
    /// The number where it meets what is asked, else NULL.
    pub(crate) fn of(self, number: Expr) -> Expr {
        call(Kind::Guard(self), 1, vec![number])
    }
}

/// A whole number moved into `[least, most]`.
pub(crate) fn within(number: Expr, least: i64, most: i64) -> Expr {
    call(Kind::Within, 3, vec![number, lit(least), lit(most)])
}

/// `x` to the power of `y`, floats; NULL where nothing is taken to a negative power.
pub(crate) fn power(x: Expr, y: Expr) -> Expr {
    call(Kind::Power, 2, vec![x, y])
}

/// Whether a function is one of these.
pub(crate) fn is_guard(name: &str) -> bool {
    ALL.iter().any(|kind| kind.name() == name)
}

fn call(kind: Kind, arity: usize, arguments: Vec<Expr>) -> Expr {
    ScalarUDF::new_from_impl(Guarded { kind, signature: Signature::any(arity, Volatility::Immutable) }).call(arguments)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Guard(Guard),
    Within,
    Power,
}

const ALL: &[Kind] = &[
    Kind::Guard(Guard::NotZero),
    Kind::Guard(Guard::HasOpposite),
    Kind::Guard(Guard::CanBeRounded),
    Kind::Guard(Guard::NotNegative),
    Kind::Within,
    Kind::Power,
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Guard(Guard::NotZero) => "yunei_not_zero",
            Self::Guard(Guard::HasOpposite) => "yunei_has_opposite",
            Self::Guard(Guard::CanBeRounded) => "yunei_can_be_rounded",
            Self::Guard(Guard::NotNegative) => "yunei_not_negative",
            Self::Within => "yunei_within",
            Self::Power => "yunei_power",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.kind.name()
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        use DataType as T;
        Ok(match (self.kind, types) {
            (_, [T::Null, ..]) => T::Null,
            (Kind::Guard(Guard::NotZero), [of @ (T::Int64 | T::UInt64 | T::Float64 | T::Date32)]) => of.clone(),
            (Kind::Guard(Guard::HasOpposite | Guard::CanBeRounded), [T::Int64]) => T::Int64,
            (Kind::Guard(Guard::NotNegative), [T::Float64]) => T::Float64,
            (Kind::Within, [T::Int64, T::Int64, T::Int64]) => T::Int64,
            (Kind::Power, [T::Float64, T::Float64]) => T::Float64,
            _ => return plan_err!("no number that could be computed with"),
        })
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let guarded = apply(self.kind, &columns)?;
        if scalar {
            return ScalarValue::try_from_array(&guarded, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(guarded))
    }
}

fn apply(kind: Kind, columns: &[ArrayRef]) -> Result<ArrayRef> {
    let first = columns.first().ok_or_else(failed)?;
    if first.data_type().is_null() {
        return Ok(Arc::clone(first));
    }
    let whole = || first.as_primitive_opt::<Int64Type>().ok_or_else(failed);
    let float = |at: usize| columns.get(at).and_then(|c| c.as_primitive_opt::<Float64Type>()).ok_or_else(failed);
    Ok(match kind {
        Kind::Guard(Guard::NotZero) => not_zero(first)?,
        Kind::Guard(Guard::HasOpposite) => {
            Arc::new(whole()?.unary_opt::<_, Int64Type>(|x| (x != i64::MIN).then_some(x)))
        }
        Kind::Guard(Guard::CanBeRounded) => {
            let most = 1i64 << 62;
            Arc::new(whole()?.unary_opt::<_, Int64Type>(|x| (-most..=most).contains(&x).then_some(x)))
        }
        // What is no number stays none.
        Kind::Guard(Guard::NotNegative) => {
            Arc::new(float(0)?.unary_opt::<_, Float64Type>(|x| (x >= 0.0 || x.is_nan()).then_some(x)))
        }
        Kind::Within => {
            let end = |at: usize| columns.get(at).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(failed);
            let (least, most) = (end(1)?, end(2)?);
            if first.is_empty() {
                return Ok(Arc::clone(first));
            }
            let (least, most) = (least.value(0), most.value(0));
            Arc::new(whole()?.unary::<_, Int64Type>(|x| x.max(least).min(most)))
        }
        Kind::Power => {
            let raised = |(x, y): (Option<f64>, Option<f64>)| {
                let (x, y) = (x?, y?);
                (x != 0.0 || y >= 0.0 || y.is_nan()).then(|| x.powf(y))
            };
            Arc::new(float(0)?.iter().zip(float(1)?).map(raised).collect::<Float64Array>())
        }
    })
}

fn not_zero(of: &ArrayRef) -> Result<ArrayRef> {
    Ok(match of.data_type() {
        DataType::Int64 => {
            Arc::new(of.as_primitive::<Int64Type>().unary_opt::<_, Int64Type>(|x| (x != 0).then_some(x)))
        }
        DataType::UInt64 => {
            Arc::new(of.as_primitive::<UInt64Type>().unary_opt::<_, UInt64Type>(|x| (x != 0).then_some(x)))
        }
        DataType::Float64 => {
            Arc::new(of.as_primitive::<Float64Type>().unary_opt::<_, Float64Type>(|x| (x != 0.0).then_some(x)))
        }
        DataType::Date32 => {
            Arc::new(of.as_primitive::<Date32Type>().unary_opt::<_, Date32Type>(|x| (x != 0).then_some(x)))
        }
        _ => return Err(failed()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Int64Array;

    fn whole(kind: Kind, numbers: &[Option<i64>], rest: &[i64]) -> Vec<Option<i64>> {
        let first: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let rest = rest.iter().map(|x| Arc::new(Int64Array::from(vec![*x; numbers.len()])) as ArrayRef);
        let columns: Vec<ArrayRef> = std::iter::once(first).chain(rest).collect();
        apply(kind, &columns).unwrap().as_primitive::<Int64Type>().iter().collect()
    }

    fn float(kind: Kind, columns: &[&[f64]]) -> Vec<Option<f64>> {
        let columns: Vec<ArrayRef> =
            columns.iter().map(|c| Arc::new(Float64Array::from(c.to_vec())) as ArrayRef).collect();
        apply(kind, &columns).unwrap().as_primitive::<Float64Type>().iter().collect()
    }

    #[test]
    fn what_would_fail_is_null() {
        let guard = Kind::Guard;
        assert_eq!(whole(guard(Guard::NotZero), &[Some(0), Some(-1), None], &[]), [None, Some(-1), None]);
        let (least, next) = (i64::MIN, i64::MIN + 1);
        assert_eq!(whole(guard(Guard::HasOpposite), &[Some(least), Some(next)], &[]), [None, Some(next)]);
        let most = 1i64 << 62;
        let numbers = [Some(most), Some(most + 1), Some(-most), Some(-most - 1)];
        assert_eq!(whole(guard(Guard::CanBeRounded), &numbers, &[]), [Some(most), None, Some(-most), None]);
        assert_eq!(
            whole(Kind::Within, &[Some(-9), Some(9), Some(3), None], &[-4, 5]),
            [Some(-4), Some(5), Some(3), None]
        );
        assert!(whole(Kind::Within, &[], &[-4, 5]).is_empty());
        assert_eq!(float(guard(Guard::NotZero), &[&[0.0, -0.0, 0.5]]), [None, None, Some(0.5)]);
        let roots = float(guard(Guard::NotNegative), &[&[-0.1, 0.0, f64::NAN, f64::NEG_INFINITY]]);
        assert!(roots[0].is_none() && roots[1] == Some(0.0) && roots[2].is_some_and(f64::is_nan) && roots[3].is_none());
        let powers = float(Kind::Power, &[&[0.0, -0.0, 0.0, 2.0, -8.0], &[-1.0, -0.5, 0.0, 10.0, 0.5]]);
        assert_eq!(powers[..4], [None, None, Some(1.0), Some(1_024.0)]);
        assert!(powers[4].is_some_and(f64::is_nan));
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|kind| kind.name()).collect();
        assert!(names.len() == ALL.len() && names.iter().all(|name| is_guard(name) && name.starts_with("yunei_")));
        assert!(!is_guard("abs"));
    }
}
