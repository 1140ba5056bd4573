//! Terms, deadlines and their bounds.

use super::*;
use crate::workdays::parse_day;

fn at(day: &str) -> i64 {
    parse_day(day).unwrap() * 86_400_000
}

#[test]
fn a_registration_holds_three_years_and_is_renewed_from_its_end() {
    let rules = RegisterRules::default();
    let now = at("2026-11-26");
    let first = rules.registration(now, None);
    assert_eq!((first.from_millis, first.until_millis), (now, at("2029-11-26")));
    assert_eq!(Term::holding(Some(first), first.until_millis - 1), Holding::Current);
    assert_eq!(Term::holding(Some(first), first.until_millis), Holding::Lapsed);
    assert_eq!(Term::holding(Some(first), now - 1), Holding::Lapsed);
    assert_eq!(Term::holding(None, now), Holding::Missing);
    // Renewed in time: it goes on from its end. Too late: it begins anew.
    let renewed = rules.registration(at("2029-10-01"), Some(first));
    assert_eq!((renewed.from_millis, renewed.until_millis), (now, at("2032-11-26")));
    let late = rules.registration(at("2030-01-01"), Some(first));
    assert_eq!((late.from_millis, late.until_millis), (at("2030-01-01"), at("2033-01-01")));
    assert_eq!(rules.number('D', 12), "YND0000000012");
}

#[test]
fn an_agreement_lasts_five_years_at_most() {
    let rules = RegisterRules::default();
    let term = |from: &str, until: &str| Term { from_millis: at(from), until_millis: at(until) };
    assert!(rules.check_agreement(term("2026-11-26", "2031-11-26")).is_ok());
    let mut longer = term("2026-11-26", "2031-11-26");
    longer.until_millis += 1;
    assert_eq!(rules.check_agreement(longer).unwrap_err().code(), "agreement/too-long");
    assert_eq!(rules.check_agreement(term("2026-11-26", "2026-11-26")).unwrap_err().code(), "agreement/period");
}

#[test]
fn what_lapses_soon() {
    let rules = RegisterRules::default();
    let until = at("2026-12-31");
    assert!(!rules.lapses_soon(until, until - 90 * 86_400_000 - 1));
    assert!(rules.lapses_soon(until, until - 90 * 86_400_000));
    assert!(rules.lapses_soon(until, until + 1));
}

#[test]
fn deadlines_are_those_of_the_settings() {
    let rules = RegisterRules::default();
    let days = [Step::Institution, Step::Materials, Step::Dataset, Step::Model, Step::Product].map(|s| rules.days(s));
    assert_eq!(days, [1, 2, 5, 10, 15]);
    assert_eq!((rules.days(Step::Request), rules.days(Step::RequestExtended)), (5, 10));
    // Friday 27 November 2026, in China.
    assert_eq!(rules.due(Step::Dataset, at("2026-11-27")), at("2026-12-05") - 8 * 3_600_000);
}

#[test]
fn settings_out_of_their_bounds_are_refused_all_at_once() {
    let codes = |from: &str, to: &str| {
        let text = SHIPPED.replace(from, to);
        assert_ne!(text, SHIPPED, "{from}");
        RegisterRules::parse(&text).map_or_else(|refused| refused.codes(), |_| Vec::new())
    };
    assert!(codes("years = 3 ", "years = 10 ").is_empty());
    assert_eq!(codes("years = 3 ", "years = 11 "), ["rules/out-of-range"]);
    assert!(codes("model = 10", "model = 260").is_empty());
    assert_eq!(codes("model = 10", "model = 261"), ["rules/out-of-range"]);
    assert_eq!(codes("model = 10", "model = 0"), ["rules/out-of-range"]);
    assert_eq!(codes("\"YN\"", "\"Y-N\""), ["rules/prefix"]);
    assert_eq!(codes("\"2026-10-01\"", "\"2026-10-32\""), ["calendar/date"]);
    assert_eq!(codes("required = true", "required = 1"), ["rules/malformed"]);
    assert_eq!(codes("required = true", "needed = true"), ["rules/malformed"]);
    let both = SHIPPED.replace("years = 3 ", "years = 0 ").replace("offset_minutes = 480", "offset_minutes = 900");
    assert_eq!(RegisterRules::parse(&both).unwrap_err().codes(), ["rules/out-of-range", "calendar/offset"]);
    let long = format!("{SHIPPED}\n#{}", "x".repeat(MAX_REGISTER_BYTES));
    assert_eq!(RegisterRules::parse(&long).unwrap_err().codes(), ["rules/malformed"]);
}
