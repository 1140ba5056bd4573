//! Days and the periods they are in: the one definition that analysis and engine share.

use crate::facts::DateField;

/// The first day of the period that a day is in, both counted in days from 1970-01-01; a week begins on Monday. Nothing where
/// the field is no period (day of the week, day of the year).
pub fn first_day(field: DateField, day: i64) -> Option<i64> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "days of the calendar are small")]
    let year = year_of(day as f64) as i64;
    let month_of = |day: i64| (1..=12).rev().find(|m| day_of(year, *m) <= day).unwrap_or(1);
    Some(match field {
        DateField::Year => day_of(year, 1),
        DateField::Quarter => day_of(year, (month_of(day) - 1) / 3 * 3 + 1),
        DateField::Month => day_of(year, month_of(day)),
        // 1970-01-01 was a Thursday.
        DateField::Week => day - (day + 3).rem_euclid(7),
        DateField::Day => day,
        DateField::DayOfWeek | DateField::DayOfYear => return None,
    })
}

/// Days of the calendar that dates are moved within, either way of 1970-01-01: about 2,700 years.
pub const CALENDAR: i64 = 1_000_000;

/// A day moved by months and then by days, as SQL adds an interval to a date: where the month has no such day, its last one is taken.
/// Nothing where the day, or what becomes of it, is outside of [`CALENDAR`]. It never falls when `day` grows.
pub fn shifted(day: i64, months: i32, days: i32) -> Option<i64> {
    let within = |day: i64| (-CALENDAR..=CALENDAR).contains(&day).then_some(day);
    let day = within(day)?;
    let first = first_day(DateField::Month, day)?;
    let to = month_number(first).checked_add(i64::from(months))?;
    // Years that far from the calendar have no day in it again, whatever days are added.
    if to.abs() > 12 * 20_000_000 {
        return None;
    }
    let begins = |month: i64| day_of(1970 + month.div_euclid(12), month.rem_euclid(12) + 1);
    let last = begins(to + 1) - begins(to) - 1;
    within((begins(to) + (day - first).min(last)).checked_add(i64::from(days))?)
}

/// How many months after January 1970 the one is that begins on `first`.
fn month_number(first: i64) -> i64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "days of the calendar are small")]
    let year = year_of(first as f64) as i64;
    let month = (1..=12).rev().find(|m| day_of(year, *m) <= first).unwrap_or(1);
    (year - 1970) * 12 + month - 1
}

/// The first day of a month, counted from 1970-01-01 (Hinnant, *chrono-compatible low-level date algorithms*).
fn day_of(year: i64, month: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// The Gregorian year of a day counted from 1970-01-01 (Hinnant, *chrono-compatible low-level date algorithms*).
pub(crate) fn year_of(days: f64) -> f64 {
    let z = days.floor() + 719_468.0;
    let era = (z / 146_097.0).floor();
    let doe = z - era * 146_097.0;
    let yoe = ((doe - (doe / 1_460.0).floor() + (doe / 36_524.0).floor() - (doe / 146_096.0).floor()) / 365.0).floor();
    let doy = doe - (365.0 * yoe + (yoe / 4.0).floor() - (yoe / 100.0).floor());
    let march_based_month = ((5.0 * doy + 2.0) / 153.0).floor();
    yoe + era * 400.0 + if march_based_month >= 10.0 { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        // 2024-02-29 is day 19,782, a Thursday.
        let of = |field| first_day(field, 19_782).unwrap();
        assert_eq!(of(DateField::Year), 19_723);
        assert_eq!(of(DateField::Quarter), 19_723);
        assert_eq!(of(DateField::Month), 19_754);
        assert_eq!(of(DateField::Week), 19_779);
        assert_eq!(of(DateField::Day), 19_782);
        assert_eq!(first_day(DateField::DayOfWeek, 0), None);
        // Before the epoch.
        assert_eq!(first_day(DateField::Month, -1), Some(-31));
        assert_eq!(first_day(DateField::Week, 0), Some(-3));
    }

    #[test]
    fn days_are_moved_as_sql_moves_them() {
        // 2024-01-31 is day 19,753; 2024-02-29 is 19,782; 2023-02-28 is 19,416.
        assert_eq!(shifted(19_753, 1, 0), Some(19_782));
        assert_eq!(shifted(19_782, -12, 0), Some(19_416));
        assert_eq!(shifted(19_753, 1, 1), Some(19_783));
        assert_eq!(shifted(0, 0, -1), Some(-1));
        assert_eq!(shifted(0, -1, 0), Some(-31));
        assert_eq!(shifted(5, 0, 0), Some(5));
        // At the end of the calendar, and past it.
        assert_eq!(shifted(CALENDAR - 1, 0, 1), Some(CALENDAR));
        assert_eq!(shifted(CALENDAR, 0, 1), None);
        assert_eq!(shifted(-CALENDAR, 0, -1), None);
        assert_eq!(shifted(CALENDAR + 1, 0, -1), None);
        assert_eq!(shifted(i64::MAX, 0, 0), None);
        for far in [i32::MIN, i32::MAX] {
            assert_eq!(shifted(0, far, 0), None);
            assert_eq!(shifted(0, 0, far), None);
            assert_eq!(shifted(0, far, far), None);
        }
    }

    #[test]
    fn moving_keeps_the_order_of_days() {
        for (months, days) in [(1, 0), (-1, 0), (13, -5), (-25, 40), (0, 7), (1_200, 0)] {
            let mut last = i64::MIN;
            for day in -60_000..60_000 {
                let to = shifted(day, months, days).unwrap();
                assert!(to >= last, "{day} {months} {days}");
                let (least, most) = (i64::from(months) * 30, i64::from(months) * 31);
                assert!((to - day - i64::from(days) - least.min(most)).abs() < 2_000, "{day} {months} {days}");
                last = to;
            }
        }
    }

    #[test]
    fn a_period_holds_all_its_days_and_begins_with_itself() {
        for field in [DateField::Year, DateField::Quarter, DateField::Month, DateField::Week] {
            let mut last = i64::MIN;
            for day in -200_000..200_000 {
                let first = first_day(field, day).unwrap();
                assert!(first <= day && first >= last && day - first < 366, "{field:?} {day}");
                assert_eq!(first_day(field, first), Some(first), "{field:?} {day}");
                last = first;
            }
        }
    }
}
