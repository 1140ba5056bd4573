//! What is known of dates that are truncated and moved.

use super::value::{Cause, Lattice, Value, Work, interval, without_null};
use crate::calendar::{CALENDAR, first_day, shifted};
use crate::facts::{DateField, Interval, Kind, Literal};
use std::sync::Arc;

#[allow(clippy::cast_precision_loss, reason = "days of the calendar are small")]
const MOST_DAY: f64 = CALENDAR as f64;

/// At most how many periods a truncated date has a domain of.
const MOST_PERIODS: usize = 4_000;

/// The first and the last day of a range within the calendar.
#[allow(clippy::cast_possible_truncation, reason = "within the calendar")]
fn days_of(range: &Result<Interval, Cause>) -> Result<(i64, i64), Cause> {
    match range {
        Ok(r) if r.lo() >= -MOST_DAY && r.hi() <= MOST_DAY => Ok((r.lo().ceil() as i64, r.hi().floor() as i64)),
        Ok(_) => Err(Cause::Overflow),
        Err(cause) => Err(cause.clone()),
    }
}

/// `date_trunc(field, x)`.
pub(crate) fn truncated(field: DateField, x: &Value, work: &Work) -> Value {
    let (lo, hi) = match days_of(&x.range) {
        Ok(days) => days,
        Err(cause) => return Value::new(Kind::Date, Err(cause)),
    };
    let (Some(first), Some(last)) = (first_day(field, lo), first_day(field, hi)) else {
        return Value::new(Kind::Date, Err(Cause::Function("date_trunc")));
    };
    #[allow(clippy::cast_precision_loss, reason = "within the calendar")]
    let mut value = Value::new(Kind::Date, interval(first as f64, last as f64)).sure(x.sure);
    // The period after one that begins on `day`: no period is longer than 366 days, and none shorter than its guess.
    let least = match field {
        DateField::Year => 365,
        DateField::Quarter => 90,
        DateField::Month => 28,
        DateField::Week => 7,
        _ => 1,
    };
    let next = |day: i64| (least..=366).find_map(|n| first_day(field, day + n).filter(|d| *d > day));
    // To count the periods is work as well: it is taken first, for as many as there are at most.
    let most = usize::try_from((last - first) / least + 1).unwrap_or(usize::MAX);
    if !x.sure || most > MOST_PERIODS * 2 || !work.take(most) {
        return value;
    }
    let periods = std::iter::successors(Some(first), |day| next(*day)).take_while(|day| *day <= last);
    let days: Vec<_> = periods.take(MOST_PERIODS + 1).collect();
    if days.len() <= MOST_PERIODS {
        #[allow(clippy::cast_possible_truncation, reason = "within the calendar")]
        let literals = days.into_iter().map(|d| Literal::Date(d as i32)).collect();
        value.domain = Some(Arc::new(literals));
    }
    value
}

/// `x` moved by months and days. What leaves the calendar is NULL.
pub(crate) fn moved(x: &Value, months: i32, days: i32, work: &Work) -> Value {
    let to = |day: i64| shifted(day, months, days).ok_or(Cause::Overflow);
    #[allow(clippy::cast_precision_loss, reason = "within the calendar")]
    let range = days_of(&x.range).and_then(|(lo, hi)| interval(to(lo)? as f64, to(hi)? as f64));
    let known = x.sure && range.is_ok();
    let mut value = Value::new(Kind::Date, range).sure(known).nullable(x.nullable || !known);
    if months == 0 {
        value.lattice = x.lattice.plus(Lattice { step: 0, at: i64::from(days) });
    }
    let moved = |literal: &Literal| match literal {
        Literal::Date(day) => {
            shifted((*day).into(), months, days).and_then(|d| i32::try_from(d).ok()).map(Literal::Date)
        }
        _ => None,
    };
    if let Some(domain) = x.domain.as_ref().filter(|domain| known && work.take(domain.len())) {
        let image: Option<Vec<Literal>> = domain.iter().map(moved).collect();
        value.domain = image.map(|image| Arc::new(without_null(&image)));
    }
    value
}
