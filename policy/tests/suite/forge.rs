//! What proves a decision cannot be made by hand, copied or read from outside.

#[test]
fn proofs_cannot_be_forged() {
    trybuild::TestCases::new().compile_fail("tests/forge/*.rs");
}
