//! An authorisation written by hand.
use yunei_policy::authorise::{Action, Authorised};

fn main() {
    let _ = Authorised {
        institution: String::from("me"),
        action: Action::Run,
        resource: String::new(),
        purpose: None,
        at_millis: 0,
        grants: Vec::new(),
    };
}
