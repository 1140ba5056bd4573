//! The index of a verification product: who is there and what is true of them, as keyed digests in a file that is mapped into
//! memory. It is derived from one dataset version and can be made again at any time; the Parquet files remain the truth.

mod build;
mod format;
mod map;
mod tag;

pub(crate) use build::{Batch, Builder};
pub(crate) use format::Origin;
pub(crate) use tag::{IndexKey, Wanted, pack};

use format::{BLOCK, HEADER, Header, RECORD, bucket, canary_bits, same};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;
use subtle::{Choice, ConstantTimeEq};

/// An index that was verified when it was opened.
pub(crate) struct Index {
    map: Mmap,
    header: Header,
    key: IndexKey,
    /// Where the records begin.
    records: usize,
}

/// What a look-up found. Each of the three was computed whatever the others are.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// The subject is there, under all its identity fields.
    pub(crate) known: Choice,
    /// It is there, and all that is claimed is true of it.
    pub(crate) holds: Choice,
    /// The number is a canary's.
    pub(crate) canary: Choice,
}

impl Index {
    /// Opens an index and verifies every byte of it; `None` where it is not there, damaged, or not the one that is wanted.
    pub(crate) fn open(path: &Path, key: IndexKey, origin: &Origin) -> Option<Self> {
        let file = File::open(path).ok()?;
        let map = map::map(&file).ok()?;
        let header = Header::read(&map, &key)?;
        if header.total_bytes() != map.len() as u64 || header.origin != *origin {
            return None;
        }
        let mut seal = key.seal();
        seal.update(map.get(HEADER..)?);
        if !same(seal.sign().as_ref(), &header.seal) {
            return None;
        }
        let records = map.len() - usize::try_from(header.records).ok()? * RECORD;
        Some(Self { map, header, key, records })
    }

    /// The key under which questions are asked.
    pub(crate) fn key(&self) -> &IndexKey {
        &self.key
    }

    /// What it was made of.
    pub(crate) fn origin(&self) -> &Origin {
        &self.header.origin
    }

    /// How many subjects it has.
    pub(crate) fn len(&self) -> u64 {
        self.header.records
    }

    /// How many bytes it takes on the disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.header.total_bytes()
    }

    /// Looks a subject up. The steps are the same for everybody: one bucket's offset, a window of records compared in full
    /// and in constant time, one block of the canaries.
    pub(crate) fn look_up(&self, wanted: &Wanted) -> Found {
        let (mut known, mut holds) = (Choice::from(0), Choice::from(0));
        for record in self.window(wanted).chunks_exact(RECORD) {
            let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| record[at + i]));
            let subject = word(0).ct_eq(&wanted.identity.high) & word(8).ct_eq(&wanted.identity.low);
            let claim = word(16).ct_eq(&wanted.claim.high) & word(24).ct_eq(&wanted.claim.low);
            known |= subject;
            holds |= subject & claim;
        }
        Found { known, holds, canary: self.is_canary(wanted) }
    }

    /// The records that a look-up compares: as many for everybody. The window never leaves the records; near their end it
    /// begins earlier.
    fn window(&self, wanted: &Wanted) -> &[u8] {
        let at = HEADER + bucket(wanted.identity, self.header.bits) * 4;
        let start = self.map.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
        let window = self.header.window as usize;
        let start = start.min((self.header.records as usize).saturating_sub(window));
        let from = self.records + start * RECORD;
        let end = (from + window * RECORD).min(self.map.len());
        self.map.get(from..end).unwrap_or_default()
    }

    /// How many records a look-up compares.
    pub(super) fn steps(&self, wanted: &Wanted) -> usize {
        self.window(wanted).len() / RECORD
    }

    fn is_canary(&self, wanted: &Wanted) -> Choice {
        let (block, bits) = canary_bits(wanted.unit, self.header.blocks);
        let from = HEADER + self.header.buckets_bytes() as usize + block * BLOCK;
        let block = self.map.get(from..from + BLOCK).unwrap_or_default();
        let mut all = Choice::from(u8::from(!block.is_empty()));
        for (byte, mask) in bits {
            all &= (block.get(byte).copied().unwrap_or_default() & mask).ct_eq(&mask);
        }
        all
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("version", &self.header.origin.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
