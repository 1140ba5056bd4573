//! Small notations: dates, decimals, unified social credit codes.

use datafusion::arrow::compute::kernels::cast_utils::Parser;
use datafusion::arrow::datatypes::Date32Type;

/// Days from 1970-01-01 to a `YYYY-MM-DD` date of the years 0001 to 9999; `None` where it is not one.
///
/// Proleptic Gregorian calendar, as Arrow's `Date32`.
pub(super) fn date(text: &str) -> Option<i32> {
    // Arrow's parser takes further notations.
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    (shape && text >= "0001").then(|| Date32Type::parse(text)).flatten()
}

/// The integer `x · 10^scale` of a plain decimal notation (sign, digits, at most one point); `None` where the notation is
/// another one, has more than 38 digits or more places than `scale`.
pub(super) fn decimal(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let places = places.trim_end_matches('0');
    let scale = usize::from(scale);
    let digit = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digit(whole) || !digit(places) || places.len() > scale || whole.len() + scale > 38 {
        return None;
    }
    let written = format!("{whole}{places:0<scale$}");
    let value: i128 = written.parse().ok()?;
    Some(if negative { -value } else { value })
}

/// Whether this is a unified social credit code with a right check character (GB 32100-2015, clauses 4 and 5).
pub(super) fn is_credit_code(text: &str) -> bool {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let positions: Option<Vec<usize>> =
        text.bytes().map(|byte| ALPHABET.iter().position(|letter| *letter == byte)).collect();
    let Some(positions) = positions.filter(|p| p.len() == 18) else { return false };
    // The weight of position i is 3^(i-1) mod 31; the check character makes the weighted sum a multiple of 31.
    let mut weight = 1;
    let mut sum = 0;
    for position in positions.iter().take(17) {
        sum += position * weight;
        weight = weight * 3 % 31;
    }
    positions.last() == Some(&((31 - sum % 31) % 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_days_since_1970() {
        let cases = [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-23", Some(20_780)),
            ("0001-01-01", Some(-719_162)),
            ("9999-12-31", Some(2_932_896)),
            ("1900-02-29", None),
            ("2023-02-29", None),
            ("2023-13-01", None),
            ("2023-00-01", None),
            ("2023-01-00", None),
            ("2023-04-31", None),
            ("0000-01-01", None),
            ("2023-1-01", None),
            ("2023/01/01", None),
            ("2023-01-01T", None),
            ("二〇二三", None),
        ];
        for (text, days) in cases {
            assert_eq!(date(text), days, "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        let cases = [
            ("0.1", 2, Some(10)),
            ("-0.10", 1, Some(-1)),
            ("+3", 0, Some(3)),
            ("0.125", 2, None),
            ("1e3", 2, None),
            ("", 2, None),
            (".5", 2, None),
            ("1.5.2", 2, None),
            ("99999999999999999999999999999999999999", 0, Some(99_999_999_999_999_999_999_999_999_999_999_999_999)),
            ("999999999999999999999999999999999999999", 0, None),
        ];
        for (text, scale, value) in cases {
            assert_eq!(decimal(text, scale), value, "{text}");
        }
    }

    #[test]
    fn credit_codes_carry_their_check_character() {
        assert!(is_credit_code("91350100M000100Y43"));
        assert!(!is_credit_code("91350100M000100Y44"), "check character");
        assert!(!is_credit_code("91350100M000100Y4"), "17 characters");
        assert!(!is_credit_code("91350100M000100Y430"), "19 characters");
        assert!(!is_credit_code("91350100I000100Y43"), "a letter that the alphabet leaves out");
        assert!(!is_credit_code("91350100m000100y43"), "lower case");
    }
}
