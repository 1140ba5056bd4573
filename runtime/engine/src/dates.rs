//! Dates as days since 1970-01-01, without a calendar library: only the civil calendar is needed.

use datafusion::arrow::array::types::Date32Type;
use datafusion::arrow::compute::kernels::cast_utils::Parser;

/// Reads `YYYY-MM-DD` (a real date of the civil calendar, years 1900 to 2999).
pub fn parse_date(text: &str) -> Option<i32> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    let days = shape.then(|| Date32Type::parse(text)).flatten()?;
    (-25_567..=376_199).contains(&days).then_some(days)
}

/// Writes `YYYY-MM-DD`.
pub fn format_date(days: i32) -> String {
    Date32Type::to_naive_date_opt(days).map_or_else(|| days.to_string(), |d| d.to_string())
}

/// Writes an instant, in milliseconds since 1970-01-01 UTC, as `YYYY-MM-DDTHH:MM:SSZ`.
pub fn format_instant(millis: i64) -> String {
    let seconds = millis.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let date = i32::try_from(days).map_or_else(|_| days.to_string(), format_date);
    format!("{date}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_round_trip_and_have_limits() {
        for text in ["1970-01-01", "1992-01-01", "2024-02-29", "1900-01-01", "2999-12-31"] {
            assert_eq!(parse_date(text).map(format_date).as_deref(), Some(text));
        }
        for text in ["1899-12-31", "3000-01-01", "2023-02-29", "2023-2-9", "", "2023-01-01x", "abcd-ef-gh"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn instants() {
        assert_eq!(format_instant(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_instant(1_795_392_000_123), "2026-11-23T00:00:00Z");
    }
}
