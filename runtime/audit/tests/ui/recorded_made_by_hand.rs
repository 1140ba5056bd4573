//! A `Recorded` comes from the log and from nowhere else.
use yunei_audit::{Position, Recorded};

fn forge(position: Position) -> Recorded<u8> {
    Recorded { value: 1, position }
}

fn main() {}
