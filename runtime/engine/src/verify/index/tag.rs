//! Keyed digests: what stands in an index instead of identifiers.

use ring::hmac;

/// A keyed digest, cut to 128 bits: among 2^32 subjects two share one with a probability below 2^-64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    pub(super) high: u64,
    pub(super) low: u64,
}

/// What a tag is over, so that no two uses of the key meet.
#[derive(Clone, Copy)]
enum Use {
    Identity = 1,
    Holds = 2,
    Fails = 3,
    Unit = 4,
}

/// The key of one index: of one product, dataset version and home (HMAC-SHA-256, RFC 2104).
pub(crate) struct IndexKey {
    key: hmac::Key,
}

/// What is looked up: who is asked about, and the digest that a subject has of whom everything claimed is true.
pub(crate) struct Wanted {
    pub(super) identity: Tag,
    pub(super) claim: Tag,
    pub(super) unit: Tag,
}

impl IndexKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    fn digest(&self, use_: Use, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[use_ as u8]);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// A seal over an index's bytes.
    pub(super) fn seal(&self) -> hmac::Context {
        hmac::Context::with_key(&self.key)
    }

    /// The tag of a unit's number.
    pub(super) fn unit(&self, unit: &[u8]) -> Tag {
        Tag::cut(&self.digest(Use::Unit, &[unit]))
    }

    /// The two tags of a subject: `identity` and `asked` are packed by [`pack`]; `holds` says whether all that the product
    /// fixes is true of it. Whether it holds is part of the digest, so that nobody can read it from an index.
    pub(super) fn subject(&self, identity: &[u8], asked: &[u8], holds: bool) -> (Tag, Tag) {
        let identity = self.digest(Use::Identity, &[identity]);
        let claim = self.digest(if holds { Use::Holds } else { Use::Fails }, &[&identity, asked]);
        (Tag::cut(&identity), Tag::cut(&claim))
    }

    /// What a question looks for.
    pub(crate) fn wanted(&self, identity: &[u8], unit: &[u8], asked: &[u8]) -> Wanted {
        let (identity, claim) = self.subject(identity, asked, true);
        Wanted { identity, claim, unit: self.unit(unit) }
    }
}

impl Tag {
    fn cut(digest: &[u8; 32]) -> Self {
        let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| digest[at + i]));
        Self { high: word(0), low: word(8) }
    }
}

/// Appends a value with its length before it, so that no two lists of values are packed alike.
pub(crate) fn pack(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(value);
}
