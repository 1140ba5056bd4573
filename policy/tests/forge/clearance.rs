//! A clearance written by hand, and one used twice.
use yunei_policy::clear::Clearance;

fn twice(clearance: &Clearance) -> Clearance {
    clearance.clone()
}

fn main() {
    let _ = Clearance { leaves: Vec::new() };
}
