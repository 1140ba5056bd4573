//! Verification products.

use crate::fixture::*;
use yunei_policy::facts::Interval;
use yunei_policy::rules::RuleSet;
use yunei_policy::verification::{Claim, VerificationFacts, clear_verification};
use yunei_policy::words::{ReleaseClass, Usage};

fn facts() -> VerificationFacts {
    VerificationFacts {
        scan: residents(),
        identity: vec![ID, NAME],
        claims: vec![Claim::Equals { column: MARRIED }],
        legal_basis: None,
    }
}

fn codes(facts: &VerificationFacts) -> Vec<&'static str> {
    clear_verification(facts, &RuleSet::default()).map_or_else(|refused| refused.codes(), |_| Vec::new())
}

fn score(features: Vec<usize>, threshold: f64) -> Claim {
    let output = Interval::new(0.0, 1.0).unwrap();
    Claim::Model { model: "m@1".into(), features, output, least: threshold, most: f64::INFINITY }
}

#[test]
fn two_identity_fields_with_the_unit_and_a_claim_are_cleared() {
    assert!(codes(&facts()).is_empty());
    assert!(codes(&VerificationFacts { claims: vec![score(vec![AGE, MONTHS], 0.6)], ..facts() }).is_empty());
}

#[test]
fn identity_needs_two_fields_and_the_unit() {
    assert_eq!(codes(&VerificationFacts { identity: vec![ID], ..facts() }), ["verify/identity-fields"]);
    assert_eq!(codes(&VerificationFacts { identity: vec![ID, ID], ..facts() }), ["verify/identity-fields"]);
    let without = codes(&VerificationFacts { identity: vec![NAME, MARRIED], ..facts() });
    assert_eq!(without, ["verify/identity-unit", "verify/claim-is-identity"]);
    assert_eq!(codes(&VerificationFacts { identity: vec![ID, AGE], ..facts() }), ["column/usage"]);
    assert_eq!(codes(&VerificationFacts { identity: vec![ID, 99], ..facts() }), ["verify/unknown-column"]);
}

#[test]
fn claims_need_their_usages_and_a_threshold_in_range() {
    assert_eq!(codes(&VerificationFacts { claims: vec![Claim::Equals { column: CITY }], ..facts() }), ["column/usage"]);
    assert_eq!(codes(&VerificationFacts { claims: vec![score(vec![CITY], 0.6)], ..facts() }), ["column/usage"]);
    assert!(codes(&VerificationFacts { claims: vec![score(vec![AGE], 1.0)], ..facts() }).is_empty());
    for bad in [1.000_1, -0.1, f64::NAN] {
        assert_eq!(codes(&VerificationFacts { claims: vec![score(vec![AGE], bad)], ..facts() }), ["verify/threshold"]);
    }
    let mut named = facts();
    named.scan.columns[NAME].usages.insert(Usage::Feature);
    named.claims = vec![score(vec![NAME], 0.5)];
    assert_eq!(codes(&named), ["feature/identifier"]);
}

#[test]
fn there_must_be_a_subject_with_one_row() {
    let mut open = facts();
    open.scan.release = ReleaseClass::Open;
    assert_eq!(codes(&open), ["verify/no-subject"]);
    let mut many = facts();
    many.scan.most_rows = Some(2);
    assert_eq!(codes(&many), ["verify/many-rows"]);
}

#[test]
fn claims_are_closed_and_bounded() {
    use yunei_policy::verification::{MOST_CLAIMS, MOST_VALUES};
    let claims = |claims: Vec<Claim>| codes(&VerificationFacts { claims, ..facts() });
    let one_of =
        |n: usize| Claim::OneOf { column: MARRIED, values: (0..n).map(|i| i.to_string()).collect(), negated: false };
    let band = |least, most| Claim::Band { column: AGE, least, most };
    let mut aged = facts();
    aged.scan.columns[AGE].usages.insert(Usage::Verify);
    let banded = |claim| codes(&VerificationFacts { claims: vec![claim], ..aged.clone() });
    assert!(banded(band(18.0, f64::INFINITY)).is_empty());
    assert!(banded(band(18.0, 18.0)).is_empty());
    assert_eq!(banded(band(19.0, 18.0)), ["verify/threshold"]);
    assert_eq!(banded(band(f64::NAN, 18.0)), ["verify/threshold"]);
    assert_eq!(banded(band(f64::NEG_INFINITY, f64::INFINITY)), ["verify/threshold"]);
    assert_eq!(claims(vec![]), ["verify/claims"]);
    assert!(claims(vec![one_of(1); MOST_CLAIMS]).is_empty());
    assert_eq!(claims(vec![one_of(1); MOST_CLAIMS + 1]), ["verify/claims"]);
    assert_eq!(claims(vec![Claim::Equals { column: MARRIED }, Claim::Equals { column: MARRIED }]), ["verify/claims"]);
    assert!(claims(vec![one_of(MOST_VALUES)]).is_empty());
    assert_eq!(claims(vec![one_of(MOST_VALUES + 1)]), ["verify/values"]);
    assert_eq!(claims(vec![one_of(0)]), ["verify/values"]);
}

#[test]
fn what_needs_no_consent_needs_a_legal_basis() {
    let basis = |text: &str| codes(&VerificationFacts { legal_basis: Some(text.into()), ..facts() });
    assert!(basis("《中华人民共和国反洗钱法》第三十条").is_empty());
    assert_eq!(basis("  "), ["verify/legal-basis"]);
    assert!(basis(&"法".repeat(1_000)).is_empty());
    assert_eq!(basis(&"法".repeat(1_001)), ["verify/legal-basis"]);
}
