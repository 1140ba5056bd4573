//! Verification products.

use crate::fixture::*;
use yunei_policy::facts::Interval;
use yunei_policy::rules::RuleSet;
use yunei_policy::verification::{Claim, Comparison, VerificationFacts, clear_verification};
use yunei_policy::words::{ReleaseClass, Usage};

fn facts() -> VerificationFacts {
    VerificationFacts { scan: residents(), identity: vec![ID, NAME], claim: Claim::Equals { column: MARRIED } }
}

fn codes(facts: &VerificationFacts) -> Vec<&'static str> {
    clear_verification(facts, &RuleSet::default()).map_or_else(|refused| refused.codes(), |_| Vec::new())
}

fn score(features: Vec<usize>, threshold: f64) -> Claim {
    let output = Interval::new(0.0, 1.0).unwrap();
    Claim::Model { model: "m@1".into(), features, output, comparison: Comparison::AtLeast, threshold }
}

#[test]
fn two_identity_fields_with_the_unit_and_a_claim_are_cleared() {
    assert!(codes(&facts()).is_empty());
    assert!(codes(&VerificationFacts { claim: score(vec![AGE, MONTHS], 0.6), ..facts() }).is_empty());
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
    assert_eq!(codes(&VerificationFacts { claim: Claim::Equals { column: CITY }, ..facts() }), ["column/usage"]);
    assert_eq!(codes(&VerificationFacts { claim: score(vec![CITY], 0.6), ..facts() }), ["column/usage"]);
    assert!(codes(&VerificationFacts { claim: score(vec![AGE], 1.0), ..facts() }).is_empty());
    for bad in [1.000_1, -0.1, f64::NAN] {
        assert_eq!(codes(&VerificationFacts { claim: score(vec![AGE], bad), ..facts() }), ["verify/threshold"]);
    }
    let mut named = facts();
    named.scan.columns[NAME].usages.insert(Usage::Feature);
    named.claim = score(vec![NAME], 0.5);
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
