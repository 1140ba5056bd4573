//! How long the audit log stays: one log a year, and none leaves the domain before its time.
//!
//! Sealing ends a year's log: it takes no further entry and stays where it is, readable like the one that follows. Moving takes
//! it out of the domain's home; that is what has to wait. Nothing is ever deleted.

use super::RegisterRules;
use crate::calendar::year_of;
use crate::refusal::Refusal;
use crate::workdays::format_day;
use serde::Deserialize;

/// Audit records are kept for no less than three years.
pub(super) const LEAST_YEARS: u32 = 3;

const DAY_MILLIS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionRules {
    logs: u32,
}

impl Default for RetentionRules {
    fn default() -> Self {
        Self { logs: LEAST_YEARS }
    }
}

impl RetentionRules {
    pub(super) fn logs(self) -> u32 {
        self.logs
    }

    /// At most so many days have that many years together: a leap day in every four, begun ones too.
    fn days(self) -> i64 {
        let years = i64::from(self.logs);
        years * 365 + (years + 3) / 4
    }
}

impl RegisterRules {
    /// The calendar year that an instant (milliseconds since 1970) lies in, by the calendar of the settings.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "days of the calendar are small")]
    pub fn log_year(&self, at_millis: i64) -> i64 {
        year_of(self.calendar().day_of(at_millis) as f64) as i64
    }

    /// Whether the log whose first entry is of that time may be sealed now: its year must be over.
    ///
    /// # Errors
    /// `retention/year-not-over`, also for a log without entries.
    pub fn may_seal(&self, first_at_millis: Option<i64>, now_millis: i64) -> Result<(), Refusal> {
        let year = self.log_year(first_at_millis.unwrap_or(now_millis));
        if year < self.log_year(now_millis) {
            return Ok(());
        }
        Err(Refusal::new(
            "retention/year-not-over",
            format!("{year} 年度的日志须在年度结束后封存"),
            format!("the log of {year} can be sealed when the year is over"),
        )
        .hint(format!("请在 {} 年 1 月 1 日及以后封存", year + 1), format!("seal it on {}-01-01 or later", year + 1)))
    }

    /// Whether a log whose latest entry is of that time may leave the domain now.
    ///
    /// # Errors
    /// `retention/too-young`, with the first day on which it may; also for a log without entries.
    pub fn may_move(&self, newest_at_millis: Option<i64>, now_millis: i64) -> Result<(), Refusal> {
        let after = |at: i64| at.saturating_add(self.file.retention.days() * DAY_MILLIS);
        if newest_at_millis.is_some_and(|newest| after(newest) <= now_millis) {
            return Ok(());
        }
        let from = after(newest_at_millis.unwrap_or(now_millis));
        let years = self.file.retention.logs;
        // The day after the one on which the moment lies: then it may at any hour.
        let day = format_day(self.calendar().day_of(from) + 1);
        Err(Refusal::new(
            "retention/too-young",
            format!("日志的最后一条未满 {years} 年，不得移出"),
            format!("the latest entry of the log is not {years} years old: it may not be moved"),
        )
        .hint(format!("{day} 起可以移出"), format!("it may be moved from {day} on")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workdays::parse_day;

    /// A moment of Beijing's calendar.
    fn at(day: &str, hour: i64) -> i64 {
        parse_day(day).unwrap() * DAY_MILLIS + (hour - 8) * 3_600_000
    }

    #[test]
    fn a_log_is_sealed_when_its_year_is_over_and_not_an_hour_before() {
        let rules = RegisterRules::default();
        let first = Some(at("2026-01-01", 0));
        assert_eq!(rules.log_year(at("2026-12-31", 24) - 1), 2026);
        let early = rules.may_seal(first, at("2026-12-31", 24) - 1).unwrap_err();
        assert_eq!(early.code(), "retention/year-not-over");
        assert_eq!(early.advice().unwrap().en, "seal it on 2027-01-01 or later");
        assert!(rules.may_seal(first, at("2027-01-01", 0)).is_ok());
        assert!(rules.may_seal(Some(at("2026-12-31", 23)), at("2027-01-01", 0)).is_ok());
        // A clock that was set back, or a log without entries, is no reason.
        assert!(rules.may_seal(first, at("2025-06-01", 0)).is_err());
        assert!(rules.may_seal(None, at("2027-01-01", 0)).is_err());
    }

    #[test]
    fn a_log_is_moved_after_three_years_and_not_a_day_before() {
        let rules = RegisterRules::default();
        let newest = at("2027-01-01", 9);
        let limit = newest + 1_096 * DAY_MILLIS;
        for early in [limit - 1, limit - DAY_MILLIS, newest, 0] {
            assert_eq!(rules.may_move(Some(newest), early).unwrap_err().code(), "retention/too-young");
        }
        assert!(rules.may_move(Some(newest), limit).is_ok());
        assert_eq!(
            rules.may_move(Some(newest), newest).unwrap_err().advice().unwrap().en,
            "it may be moved from 2030-01-02 on"
        );
        assert!(rules.may_move(None, i64::MAX).is_err());
    }

    #[test]
    fn less_than_three_years_can_not_be_set_and_more_can() {
        let with = |years: &str| {
            let text = RegisterRules::default()
                .text()
                .replace("[retention]\nlogs = 3 ", &format!("[retention]\nlogs = {years} "));
            RegisterRules::parse(&text)
        };
        assert_eq!(with("2").unwrap_err().codes(), ["rules/out-of-range"]);
        assert_eq!(with("31").unwrap_err().codes(), ["rules/out-of-range"]);
        let ten = with("10").unwrap();
        assert!(ten.may_move(Some(0), 3_652 * DAY_MILLIS).is_err());
        assert!(ten.may_move(Some(0), 3_653 * DAY_MILLIS).is_ok());
        // A home that names nothing keeps three.
        let start = RegisterRules::default().text().find("[retention]").unwrap();
        let text = RegisterRules::default().text().to_owned();
        let end = text.find("[warning]").unwrap();
        let without = RegisterRules::parse(&format!("{}{}", &text[..start], &text[end..])).unwrap();
        assert!(without.may_move(Some(0), 1_096 * DAY_MILLIS).is_ok());
        assert!(without.may_move(Some(0), 1_096 * DAY_MILLIS - 1).is_err());
    }
}
