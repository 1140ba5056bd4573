//! Figures for people. Chinese and English take the same comma and point.

use std::time::Duration;

/// A whole number with a comma before every third digit: `-1,234,567`.
pub(crate) fn count(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

/// A number with `places` decimals and commas: `1,234.50`. What is not a number is a dash.
pub(crate) fn decimal(number: f64, places: usize) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.places$}", number.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    // Rounded to nothing is nothing, not minus nothing.
    let sign = if number < 0.0 && text.bytes().any(|b| b.is_ascii_digit() && b != b'0') { "-" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{}.{fraction}", grouped(whole)),
        None => format!("{sign}{}", grouped(whole)),
    }
}

/// A share of one as per cent: `0.125` is `12.5 %`.
pub(crate) fn percent(share: f64, places: usize) -> String {
    format!("{} %", decimal(share * 100.0, places))
}

/// A value and half the width of its interval: `12,345 ± 67`.
pub(crate) fn plus_minus(value: f64, half_width: f64, places: usize) -> String {
    format!("{} ± {}", decimal(value, places), decimal(half_width, places))
}

/// A number of bytes in binary units: `512 B`, `1.5 KiB`, `64.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Rounding to the nearest double is of no matter for one decimal.
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{} {}", decimal(amount, 1), UNITS[unit])
}

/// How long something took: `8 ms`, `1.2 s`, `3 min 20 s`.
pub(crate) fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    if ms < 1_000 {
        format!("{ms} ms")
    } else if ms < 59_950 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        let seconds = time.as_secs() + u64::from(time.subsec_millis() >= 500);
        format!("{} min {} s", count(seconds / 60), seconds % 60)
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
