//! A position stands for a durable entry.
use yunei_audit::Position;

fn forge() -> Position {
    Position { index: 0, leaf: [0; 32] }
}

fn main() {}
