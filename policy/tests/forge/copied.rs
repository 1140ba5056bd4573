//! An authorisation copied and one read from JSON.
use yunei_policy::authorise::Authorised;

fn needs_clone<T: Clone>() {}
fn needs_deserialize<T: serde::de::DeserializeOwned>() {}

fn main() {
    needs_clone::<Authorised>();
    needs_deserialize::<Authorised>();
    needs_deserialize::<yunei_policy::clear::Clearance>();
    needs_deserialize::<yunei_policy::release::ReleasedCells>();
}
