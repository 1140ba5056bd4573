//! `date_trunc('month', d)` over dates: the first day of a period, as a date. It takes the place of the query engine's own, which
//! makes a timestamp of it. And `yunei_shift(d, months, days)`, what `d + INTERVAL '…'` becomes over rows: nobody can write it.

use super::failed;
use datafusion::arrow::array::{AsArray, Date32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int32Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;
use yunei_policy::calendar::{first_day, shifted};
use yunei_policy::facts::DateField;

/// The function.
pub(super) fn date_trunc() -> ScalarUDF {
    ScalarUDF::new_from_impl(DateTrunc { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    signature: Signature,
}

/// The period of a name.
fn period(name: &str) -> Option<DateField> {
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => DateField::Year,
        "quarter" => DateField::Quarter,
        "month" => DateField::Month,
        "week" => DateField::Week,
        "day" => DateField::Day,
        _ => return None,
    })
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "date_trunc"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [field, date] = types else { return plan_err!("date_trunc takes a period and a date") };
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if !text(field) || !(text(date) || matches!(date, DataType::Date32 | DataType::Timestamp(..) | DataType::Null))
        {
            return plan_err!("date_trunc takes a period such as 'month', and a date");
        }
        Ok(vec![DataType::Utf8, DataType::Date32])
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [field, date] = <[ColumnarValue; 2]>::try_from(args.args).map_err(|_| failed())?;
        let ColumnarValue::Scalar(ScalarValue::Utf8(Some(field))) = field else {
            return plan_err!("the period of date_trunc must be a constant");
        };
        let Some(period) = period(&field) else {
            return plan_err!("date_trunc knows year, quarter, month, week and day");
        };
        let scalar = matches!(date, ColumnarValue::Scalar(_));
        let dates = cast(&date.into_array(if scalar { 1 } else { rows })?, &DataType::Date32).map_err(|_| failed())?;
        let first = |day: i32| first_day(period, day.into()).and_then(|day| i32::try_from(day).ok());
        let days: Date32Array = dates.as_primitive::<Date32Type>().iter().map(|day| day.and_then(first)).collect();
        if scalar {
            return ScalarValue::try_from_array(&days, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(Arc::new(days)))
    }
}

/// Dates moved by months and days; NULL where that leaves the calendar.
pub(crate) fn date_shift() -> ScalarUDF {
    let types = vec![DataType::Date32, DataType::Int32, DataType::Int32];
    ScalarUDF::new_from_impl(DateShift { signature: Signature::exact(types, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateShift {
    signature: Signature,
}

impl ScalarUDFImpl for DateShift {
    fn name(&self) -> &str {
        "yunei_shift"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let [dates, months, days] = <[_; 3]>::try_from(arrays).map_err(|_| failed())?;
        let (dates, months, days) = (
            dates.as_primitive_opt::<Date32Type>().ok_or_else(failed)?,
            months.as_primitive_opt::<Int32Type>().ok_or_else(failed)?,
            days.as_primitive_opt::<Int32Type>().ok_or_else(failed)?,
        );
        let moved = dates.iter().zip(months).zip(days).map(|((date, months), days)| {
            shifted(date?.into(), months?, days?).and_then(|day| i32::try_from(day).ok())
        });
        let moved: Date32Array = moved.collect();
        if scalar {
            return ScalarValue::try_from_array(&moved, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(Arc::new(moved)))
    }
}
