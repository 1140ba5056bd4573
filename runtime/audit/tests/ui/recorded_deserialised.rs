//! Bytes are no proof.
use yunei_audit::{Position, Recorded};

fn main() {
    let _: Recorded<u8> = serde_json::from_str("{}").unwrap();
    let _: Position = serde_json::from_str("{}").unwrap();
}
