//! Working days: which days count, and until when something is due.
//!
//! A period of N working days begins on the day after the one on which it was set going, and ends with the end of its last
//! day, in the authority's local time. Saturdays, Sundays and holidays do not count; weekend days that are declared working
//! days (调休) do.

use crate::refusal::Refusal;
use std::collections::BTreeSet;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// The longest period, in working days.
pub const MAX_WORKING_DAYS: u32 = 260;
/// The most holidays, and the most declared working days.
pub const MAX_DATES: usize = 4_000;

/// A calendar of working days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    offset_minutes: i64,
    holidays: BTreeSet<i64>,
    workdays: BTreeSet<i64>,
}

impl Calendar {
    /// A calendar at so many minutes east of UTC, with its holidays and its declared working days as `YYYY-MM-DD`.
    ///
    /// # Errors
    /// `calendar/…` for every date that is none or stands in both lists, an offset beyond ±14 hours, and too many dates.
    pub fn new(offset_minutes: i64, holidays: &[String], workdays: &[String]) -> Result<Self, Vec<Refusal>> {
        let mut reasons = Vec::new();
        if !(-840..=840).contains(&offset_minutes) {
            reasons.push(Refusal::new("calendar/offset", "时差须在 ±14 小时以内", "an offset is within ±14 hours"));
        }
        if holidays.len() > MAX_DATES || workdays.len() > MAX_DATES {
            reasons.push(Refusal::new(
                "calendar/too-many",
                format!("日期最多 {MAX_DATES} 个"),
                format!("there are at most {MAX_DATES} dates"),
            ));
            return Err(reasons);
        }
        let holidays = dates(holidays, &mut reasons);
        let workdays = dates(workdays, &mut reasons);
        for day in holidays.intersection(&workdays) {
            reasons.push(
                Refusal::new("calendar/both", "同一天既是假日又是工作日", "a day is both a holiday and a working day")
                    .at(format_day(*day)),
            );
        }
        if reasons.is_empty() { Ok(Self { offset_minutes, holidays, workdays }) } else { Err(reasons) }
    }

    /// The local day of an instant, in days since 1970-01-01.
    pub fn day_of(&self, millis: i64) -> i64 {
        millis.saturating_add(self.offset_minutes * 60_000).div_euclid(DAY)
    }

    /// Whether a day counts.
    pub fn is_working_day(&self, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let weekend = matches!((day + 3).rem_euclid(7), 5 | 6);
        if weekend { self.workdays.contains(&day) } else { !self.holidays.contains(&day) }
    }

    /// When a period of `days` working days that was set going at `from` ends: the first instant that is too late,
    /// milliseconds since 1970 UTC. No days: the end of the same day. More than 260 count as 260.
    pub fn due(&self, from_millis: i64, days: u32) -> i64 {
        let mut day = self.day_of(from_millis);
        let mut left = days.min(MAX_WORKING_DAYS);
        // A year of holidays in a row is beyond any calendar: the search is bounded all the same.
        let last = day + 10 * 366;
        while left > 0 && day < last {
            day += 1;
            left -= u32::from(self.is_working_day(day));
        }
        (day + 1) * DAY - self.offset_minutes * 60_000
    }

    /// How many working days are left from `now` until `due`: 0 on the last day, negative where it is past.
    pub fn working_days_left(&self, now_millis: i64, due_millis: i64) -> i64 {
        let (today, last) = (self.day_of(now_millis), self.day_of(due_millis - 1));
        let count = |from: i64, to: i64| {
            let to = to.min(from + 10 * 366);
            (from + 1..=to).filter(|day| self.is_working_day(*day)).count()
        };
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        if now_millis < due_millis { number(count(today, last)) } else { -number(count(last, today).max(1)) }
    }
}

fn dates(texts: &[String], reasons: &mut Vec<Refusal>) -> BTreeSet<i64> {
    let mut days = BTreeSet::new();
    for text in texts {
        match parse_day(text) {
            Some(day) => {
                days.insert(day);
            }
            None => {
                let shown: String = text.chars().take(20).collect();
                reasons.push(Refusal::new("calendar/date", "日期写作 YYYY-MM-DD", "a date is YYYY-MM-DD").at(shown));
            }
        }
    }
    days
}

/// Reads `YYYY-MM-DD` (proleptic Gregorian calendar, years 1900 to 2999) as days since 1970-01-01.
pub fn parse_day(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !shape {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let found = days_from_civil(year, month, day);
    ((1900..3000).contains(&year) && (1..=12).contains(&month) && civil_from_days(found) == (year, month, day))
        .then_some(found)
}

/// Writes days since 1970-01-01 as `YYYY-MM-DD`.
pub fn format_day(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

// Both after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", sections days_from_civil and civil_from_days.

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted - era * 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The instant `years` years later: the same local day of the year, or 1 March where that is 29 February.
pub(crate) fn add_years(millis: i64, years: u32, offset_minutes: i64) -> i64 {
    let local = millis.saturating_add(offset_minutes * 60_000);
    let (year, month, day) = civil_from_days(local.div_euclid(DAY));
    let year = year + i64::from(years);
    let mut days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        days = days_from_civil(year, 3, 1);
    }
    days * DAY + local.rem_euclid(DAY) - offset_minutes * 60_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(days: &[&str]) -> Vec<String> {
        days.iter().map(|d| (*d).to_owned()).collect()
    }

    /// China Standard Time, with the National Day holiday of 2026 and its two working weekend days.
    fn october() -> Calendar {
        let holidays: Vec<String> = (1..=7).map(|d| format!("2026-10-{d:02}")).collect();
        Calendar::new(480, &holidays, &texts(&["2026-09-20", "2026-10-10"])).unwrap()
    }

    fn at(day: &str, hour: i64) -> i64 {
        parse_day(day).unwrap() * DAY + (hour - 8) * 3_600_000
    }

    fn due_day(calendar: &Calendar, from: i64, days: u32) -> String {
        format_day(calendar.day_of(calendar.due(from, days) - 1))
    }

    #[test]
    fn weekends_holidays_and_working_weekends() {
        let calendar = october();
        // Wednesday 30 September: Thursday 1 to Wednesday 7 are holidays; Saturday 10 is a working day.
        let from = at("2026-09-30", 9);
        for (days, due) in [
            (0, "2026-09-30"),
            (1, "2026-10-08"),
            (2, "2026-10-09"),
            (3, "2026-10-10"),
            (4, "2026-10-12"),
            (5, "2026-10-13"),
            (10, "2026-10-20"),
            (15, "2026-10-27"),
        ] {
            assert_eq!(due_day(&calendar, from, days), due, "{days}");
        }
        // Handed in on a Saturday evening: counting begins on Monday.
        assert_eq!(due_day(&calendar, at("2026-11-21", 23), 1), "2026-11-23");
        // Just before and just after midnight in the authority's time, which is the same day in UTC.
        let midnight = at("2026-11-24", 0);
        assert_eq!(due_day(&calendar, midnight - 1, 1), "2026-11-24");
        assert_eq!(due_day(&calendar, midnight, 1), "2026-11-25");
    }

    #[test]
    fn what_is_left_and_what_is_overdue() {
        let calendar = october();
        let due = calendar.due(at("2026-09-30", 9), 5);
        for (now, left) in [
            (at("2026-09-30", 9), 5),
            (at("2026-10-03", 9), 5),
            (at("2026-10-08", 9), 4),
            (at("2026-10-13", 23), 0),
            (due - 1, 0),
            (due, -1),
            (at("2026-10-16", 9), -3),
        ] {
            assert_eq!(calendar.working_days_left(now, due), left);
        }
    }

    #[test]
    fn what_is_no_calendar() {
        let codes = |offset, holidays: &[&str], workdays: &[&str]| {
            let reasons = Calendar::new(offset, &texts(holidays), &texts(workdays)).unwrap_err();
            reasons.iter().map(Refusal::code).collect::<Vec<_>>()
        };
        assert_eq!(codes(841, &[], &[]), ["calendar/offset"]);
        assert!(Calendar::new(840, &[], &[]).is_ok());
        assert_eq!(codes(0, &["2026-02-29", "2026-1-1", ""], &["x"]), ["calendar/date"; 4]);
        assert_eq!(codes(0, &["2026-10-01"], &["2026-10-01"]), ["calendar/both"]);
        let many = vec!["2026-10-01".to_owned(); MAX_DATES + 1];
        assert_eq!(Calendar::new(0, &many, &[]).unwrap_err()[0].code(), "calendar/too-many");
        assert!(Calendar::new(0, &many[1..], &[]).is_ok());
    }

    #[test]
    fn years_later() {
        for (from, years, to) in
            [("2026-11-26", 3, "2029-11-26"), ("2024-02-29", 3, "2027-03-01"), ("2024-02-29", 4, "2028-02-29")]
        {
            assert_eq!(add_years(at(from, 9), years, 480), at(to, 9), "{from}");
        }
    }

    proptest! {
        #[test]
        fn dates_round_trip(days in -25_567_i64..=376_199) {
            prop_assert_eq!(parse_day(&format_day(days)), Some(days));
        }

        #[test]
        fn a_period_holds_exactly_its_working_days(from in 0_i64..4_000_000_000_000, days in 0_u32..=MAX_WORKING_DAYS) {
            let calendar = october();
            let due = calendar.due(from, days);
            let counted = (calendar.day_of(from) + 1..=calendar.day_of(due - 1)).filter(|d| calendar.is_working_day(*d)).count();
            prop_assert_eq!(counted, days as usize);
            prop_assert_eq!(calendar.working_days_left(from, due), i64::from(days));
            prop_assert!(calendar.due(from, days + 1) > due || days == MAX_WORKING_DAYS);
        }
    }
}
