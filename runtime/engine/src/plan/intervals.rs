//! `d + INTERVAL '1 month'`: dates moved by whole months and days.
//!
//! The engine's own sum fails where a date leaves its range, so that one row could make a query fail. Over rows it is our
//! `yunei_shift` instead, which gives NULL there; what is told to policy and what runs come of the same `shift_of`.

use crate::functions::date_shift;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};
use yunei_policy::Refusal;

/// A date and by what it is moved.
pub(super) struct Shift<'e> {
    pub(super) date: &'e Expr,
    pub(super) months: i32,
    pub(super) days: i32,
}

/// What a sum says, where it is a date (or a parameter, which may be one) and a constant interval of whole months and days.
pub(super) fn shift_of<'e>(binary: &'e BinaryExpr, schema: &DFSchema) -> Option<Shift<'e>> {
    let BinaryExpr { left, op, right } = binary;
    let (date, interval, back) = match op {
        Operator::Plus => match interval_of(right) {
            Some(interval) => (left, interval, false),
            None => (right, interval_of(left)?, false),
        },
        Operator::Minus => (left, interval_of(right)?, true),
        _ => return None,
    };
    let (months, days) = months_and_days(interval)?;
    let (months, days) = if back { (months.checked_neg()?, days.checked_neg()?) } else { (months, days) };
    is_date(date, schema).then_some(Shift { date, months, days })
}

/// Whether it is a date. A parameter without its value has no type: what it may be is looked at where it is told.
fn is_date(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Placeholder(_) => true,
        Expr::BinaryExpr(binary) if shift_of(binary, schema).is_some() => true,
        _ => expr.get_type(schema).is_ok_and(|of| matches!(of, DataType::Date32)),
    }
}

/// The same sum by our function.
pub(super) fn guarded(binary: &BinaryExpr, schema: &DFSchema) -> Option<Expr> {
    let Shift { date, months, days } = shift_of(binary, schema)?;
    Some(date_shift().call(vec![date.clone(), lit(months), lit(days)]))
}

/// Whether an interval is part of a sum.
pub(super) fn adds_interval(binary: &BinaryExpr) -> bool {
    interval_of(&binary.left).is_some() || interval_of(&binary.right).is_some()
}

fn months_and_days(interval: &ScalarValue) -> Option<(i32, i32)> {
    match interval {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.nanoseconds == 0 => Some((i.months, i.days)),
        ScalarValue::IntervalDayTime(Some(i)) if i.milliseconds == 0 => Some((0, i.days)),
        ScalarValue::IntervalYearMonth(Some(months)) => Some((*months, 0)),
        _ => None,
    }
}

/// The refusal of an interval that stands anywhere else.
pub(super) fn not_a_date(place: String) -> Refusal {
    Refusal::new(
        "expression/interval",
        "INTERVAL 只能与日期相加减，且须为整月、整日的常量",
        "INTERVAL is added to or taken from a date, and is a constant of whole months and days",
    )
    .at(place.chars().take(200).collect::<String>())
    .hint(
        "如 d + INTERVAL '30 days' < DATE '2024-01-01'、$from - INTERVAL '1 month'；两个日期之差是天数：d1 - d2 > 30",
        "e.g. d + INTERVAL '30 days' < DATE '2024-01-01', $from - INTERVAL '1 month'; the difference of two dates is a number \
         of days: d1 - d2 > 30",
    )
}

/// `DATE '2024-01-01' - INTERVAL '30 days'`: the day that is meant, computed as the engine does.
pub(super) fn constant_day(binary: &BinaryExpr) -> Option<i32> {
    let BinaryExpr { left, op, right } = binary;
    let (day, interval) = match (op, day_of(left), interval_of(right)) {
        (Operator::Plus | Operator::Minus, Some(day), Some(interval)) => (day, interval),
        (Operator::Plus, ..) => (day_of(right)?, interval_of(left)?),
        _ => return None,
    };
    let (day, interval) = (ScalarValue::Date32(Some(day)).to_scalar().ok()?, interval.to_scalar().ok()?);
    let moved = if *op == Operator::Plus { numeric::add(&day, &interval) } else { numeric::sub(&day, &interval) };
    match ScalarValue::try_from_array(&moved.ok()?, 0).ok()? {
        ScalarValue::Date32(day) => day,
        _ => None,
    }
}

fn day_of(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Alias(alias) => day_of(&alias.expr),
        Expr::Literal(ScalarValue::Date32(day), _) => *day,
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Date32 => match cast.expr.as_ref() {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => crate::dates::parse_date(text),
            inner => day_of(inner),
        },
        Expr::BinaryExpr(binary) => constant_day(binary),
        _ => None,
    }
}

fn interval_of(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Alias(alias) => interval_of(&alias.expr),
        Expr::Literal(
            value @ (ScalarValue::IntervalMonthDayNano(Some(_))
            | ScalarValue::IntervalDayTime(Some(_))
            | ScalarValue::IntervalYearMonth(Some(_))),
            _,
        ) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::IntervalMonthDayNano;
    use yunei_policy::calendar::shifted;

    /// What runs over rows is what the engine computes of constants.
    #[test]
    fn our_sum_is_the_engines() {
        for (months, days) in [(1, 0), (-1, 0), (12, 1), (-13, 40), (0, -7), (27, -31)] {
            let interval = ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, 0)));
            for day in (-30_000..60_000).step_by(17).chain(11_000..11_500) {
                let sum = BinaryExpr::new(
                    Box::new(lit(ScalarValue::Date32(Some(day)))),
                    Operator::Plus,
                    Box::new(lit(interval.clone())),
                );
                let ours = shifted(day.into(), months, days).and_then(|day| i32::try_from(day).ok());
                assert_eq!(constant_day(&sum), ours, "{day} + {months} months {days} days");
            }
        }
    }

    #[test]
    fn only_whole_days_of_dates_are_moved() {
        let empty = DFSchema::empty();
        let of = |interval: ScalarValue, date: ScalarValue, op| {
            let sum = BinaryExpr::new(Box::new(lit(date)), op, Box::new(lit(interval)));
            shift_of(&sum, &empty).map(|shift| (shift.months, shift.days))
        };
        let interval = |m, d, n| ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(m, d, n)));
        let date = || ScalarValue::Date32(Some(1));
        assert_eq!(of(interval(2, 3, 0), date(), Operator::Plus), Some((2, 3)));
        assert_eq!(of(interval(2, -3, 0), date(), Operator::Minus), Some((-2, 3)));
        assert_eq!(of(ScalarValue::IntervalYearMonth(Some(14)), date(), Operator::Minus), Some((-14, 0)));
        assert_eq!(of(interval(0, 0, 1), date(), Operator::Plus), None);
        assert_eq!(of(interval(i32::MIN, 0, 0), date(), Operator::Minus), None);
        assert_eq!(of(interval(0, i32::MIN, 0), date(), Operator::Minus), None);
        assert_eq!(of(interval(1, 0, 0), date(), Operator::Multiply), None);
        assert_eq!(of(interval(1, 0, 0), ScalarValue::Int64(Some(1)), Operator::Plus), None);
        assert_eq!(of(ScalarValue::IntervalMonthDayNano(None), date(), Operator::Plus), None);
    }
}
