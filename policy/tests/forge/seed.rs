//! The bytes of a seed cannot be read back.
use yunei_policy::release::Seed;

fn main() {
    let seed = Seed::from_bytes([0; 32]);
    let _ = seed.0;
}
