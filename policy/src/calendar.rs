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
