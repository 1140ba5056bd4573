//! The bytes of an index.
//!
//! ```text
//! header    256 bytes: magic, counts, what it was made of, seals
//! buckets   (2^bits + 1) × u32   where the records begin whose identity's first `bits` bits are the bucket's number
//! canaries  blocks × 64 bytes    a blocked Bloom filter (Putze, Sanders & Singler 2007), 8 bits a canary in one block
//! records   n × 32 bytes         identity tag, claim tag; sorted by the identity tag
//! ```
//! All numbers little endian. The seal is an HMAC under the index's key over everything after the header; the header ends in
//! one over itself. Tags are spread evenly, so that a bucket has about four records; a look-up reads `window` records from
//! the bucket's beginning, always as many, whoever is asked about.

use super::tag::{IndexKey, Tag};

pub(super) const MAGIC: &[u8; 8] = b"YNINDEX1";
pub(super) const HEADER: usize = 256;
pub(super) const RECORD: usize = 32;
pub(super) const BLOCK: usize = 64;
/// Bits of a canary in its block.
pub(super) const PROBES: usize = 8;
/// Bits of the filter per canary.
const BITS_PER_CANARY: u64 = 32;
/// More records than that an index does not have: its offsets are 32 bits.
pub(crate) const MAX_RECORDS: u64 = (u32::MAX - 1) as u64;

/// A subject in an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) identity: Tag,
    pub(super) claim: Tag,
}

impl Record {
    pub(super) fn bytes(&self) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        let words = [self.identity.high, self.identity.low, self.claim.high, self.claim.low];
        for (slot, word) in out.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// What an index was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The product's manifest.
    pub(crate) product: [u8; 32],
    /// The dataset's entry, files and models.
    pub(crate) source: [u8; 32],
    /// The dataset's version.
    pub(crate) version: u64,
    /// When the files were registered, milliseconds since 1970.
    pub(crate) as_of: i64,
}

/// The head of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) records: u64,
    pub(super) bits: u32,
    pub(super) window: u32,
    pub(super) blocks: u64,
    pub(super) origin: Origin,
    pub(super) seal: [u8; 32],
}

impl Header {
    pub(super) fn buckets_bytes(&self) -> u64 {
        ((1u64 << self.bits) + 1) * 4
    }

    pub(super) fn total_bytes(&self) -> u64 {
        HEADER as u64 + self.buckets_bytes() + self.blocks * BLOCK as u64 + self.records * RECORD as u64
    }

    pub(super) fn write(&self, key: &IndexKey) -> [u8; HEADER] {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.bits.to_le_bytes());
        out.extend_from_slice(&self.window.to_le_bytes());
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.extend_from_slice(&self.origin.version.to_le_bytes());
        out.extend_from_slice(&self.origin.as_of.to_le_bytes());
        out.extend_from_slice(&self.origin.product);
        out.extend_from_slice(&self.origin.source);
        out.extend_from_slice(&self.seal);
        out.resize(HEADER - 32, 0);
        let mut context = key.seal();
        context.update(&out);
        out.extend_from_slice(context.sign().as_ref());
        let mut header = [0; HEADER];
        header.copy_from_slice(&out);
        header
    }

    /// Reads a header; `None` where it is none, or was not made under this key.
    pub(super) fn read(bytes: &[u8], key: &IndexKey) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let digest = |at: usize| std::array::from_fn(|i| bytes[at + i]);
        let header = Self {
            records: word(8),
            bits: half(16),
            window: half(20),
            blocks: word(24),
            origin: Origin { version: word(32), as_of: word(40) as i64, product: digest(48), source: digest(80) },
            seal: digest(112),
        };
        let sound = header.records <= MAX_RECORDS && header.bits <= 31 && header.blocks <= 1 << 32;
        // Written again it must come out the same, seal and padding included.
        (sound && same(&header.write(key), bytes)).then_some(header)
    }
}

/// In the same time wherever they differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

/// How many bits of a tag choose its bucket: about four records each.
pub(super) fn bucket_bits(records: u64) -> u32 {
    (records / 4).max(1).ilog2().min(31)
}

/// The bucket of a tag.
pub(super) fn bucket(tag: Tag, bits: u32) -> usize {
    if bits == 0 { 0 } else { (tag.high >> (64 - bits)) as usize }
}

/// The block of a canary, and its bits in it: byte and mask of each.
pub(super) fn canary_bits(tag: Tag, blocks: u64) -> (usize, [(usize, u8); PROBES]) {
    let block = ((u128::from(tag.high) * u128::from(blocks.max(1))) >> 64) as usize;
    // Seven times nine bits of one half; the eighth from the end of the other, whose beginning chose the block.
    let bit = |i: usize| (if i == 7 { tag.high } else { tag.low >> (9 * i) } & 511) as usize;
    (block, std::array::from_fn(|i| (bit(i) / 8, 1 << (bit(i) % 8))))
}

/// The filter of some canaries.
pub(super) fn canary_filter(canaries: &[Tag]) -> Vec<u8> {
    let blocks = (canaries.len() as u64 * BITS_PER_CANARY).div_ceil(BLOCK as u64 * 8).max(1);
    let mut filter = vec![0u8; blocks as usize * BLOCK];
    for canary in canaries {
        let (block, bits) = canary_bits(*canary, blocks);
        for (byte, mask) in bits {
            filter[block * BLOCK + byte] |= mask;
        }
    }
    filter
}
