//! SHA-256, as lower-case hex.

use ring::digest::{Context, SHA256, digest};

/// The SHA-256 of `bytes`, as 64 hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// The SHA-256 over parts, each preceded by its length in 8 bytes (little endian), so that no two lists of parts share one.
pub(crate) fn sha256_parts(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn parts_are_not_concatenated() {
        assert_ne!(sha256_parts("d", &[b"ab", b"c"]), sha256_parts("d", &[b"a", b"bc"]));
        assert_ne!(sha256_parts("d", &[b"ab"]), sha256_parts("da", &[b"b"]));
    }
}
