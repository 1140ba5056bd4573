//! Released cells written by hand.
use yunei_policy::release::ReleasedCells;

fn main() {
    let _ = ReleasedCells { rows: Vec::new() };
}
