//! Indexes of made-up subjects, for measurements: they have a key of their own and nothing to do with any domain.

use super::index::{Batch, Builder, Index, IndexKey, Origin, pack};
use std::path::Path;

/// An index of made-up people.
pub struct Synthetic {
    index: Index,
    people: u64,
}

impl std::fmt::Debug for Synthetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Synthetic").field("people", &self.people).finish()
    }
}

const ORIGIN: Origin = Origin { product: [1; 32], source: [2; 32], version: 1, as_of: 0 };
const KEY: [u8; 32] = [7; 32];

fn packed(values: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for value in values {
        pack(&mut out, value.as_bytes());
    }
    out
}

/// Every second number is given out: known and unknown ones are spelled alike.
fn number(i: u64) -> String {
    format!("P{i:09}")
}

impl Synthetic {
    /// Makes an index of `people` in a folder, and opens it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn build(folder: &Path, people: u64) -> std::io::Result<Self> {
        let mut builder = Builder::new(IndexKey::new(&KEY), ORIGIN, people, folder)?;
        for from in (0..people).step_by(8_192) {
            let mut batch = Batch::default();
            for i in from..people.min(from + 8_192) {
                let id = number(2 * i);
                batch.push(builder.key(), &packed(&[&id, "张三"]), &id, &packed(&[&(i % 9).to_string()]), true);
            }
            builder.add(batch)?;
        }
        let path = folder.join("synthetic.index");
        builder.finish(&path)?;
        let index = Index::open(&path, IndexKey::new(&KEY), &ORIGIN);
        Ok(Self { index: index.ok_or_else(|| std::io::Error::other("the index does not verify"))?, people })
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// Asks as a verification does, digests included: whether all holds. Even numbers are people, of whom `(number / 2) % 9`
    /// is true; odd ones are nobody's.
    pub fn ask(&self, asked: u64, claim: u64) -> bool {
        let id = number(asked);
        let wanted = self.index.key().wanted(&packed(&[&id, "张三"]), id.as_bytes(), &packed(&[&claim.to_string()]));
        self.index.look_up(&wanted).holds.into()
    }

    /// How many records a look-up compares, whoever is asked about.
    pub fn steps(&self, asked: u64, claim: u64) -> usize {
        let id = number(asked);
        let wanted = self.index.key().wanted(&packed(&[&id, "张三"]), id.as_bytes(), &packed(&[&claim.to_string()]));
        self.index.steps(&wanted)
    }
}
