//! Salted commitments: how an entry names a thing without telling it.

use ring::digest::{Context, SHA256};

/// The commitment to `value` under `salt`, as 64 lower-case hex digits:
/// `SHA-256("yunei/commitment/v1" || 0x00 || salt || value)`.
///
/// The salt has a fixed length, so that no two pairs give the same input. With the salt erased the
/// value cannot be recovered, not even one from a small set such as identity numbers; whoever keeps
/// salt and value can open the commitment.
#[must_use]
pub fn commitment(salt: &[u8; 32], value: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"yunei/commitment/v1\0");
    context.update(salt);
    context.update(value);
    hex::encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_and_value_both_count() {
        let one = commitment(&[1; 32], b"530102199001011234");
        assert_eq!(one.len(), 64);
        assert_eq!(one, commitment(&[1; 32], b"530102199001011234"));
        assert_ne!(one, commitment(&[2; 32], b"530102199001011234"));
        assert_ne!(one, commitment(&[1; 32], b"530102199001011235"));
        // The fixed vector of docs/log-format.md.
        assert_eq!(commitment(&[0; 32], b""), "ed6d816abcda4fac87dc83d4723add162c2ba56ab91fe5d3d8d3c898ced79d9a");
    }
}
