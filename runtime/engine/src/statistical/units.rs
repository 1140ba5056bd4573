//! The numbers that stand for units in the history of releases.
//!
//! One file in the home, `units.idx`: records of 16 bytes (a keyed 64-bit digest, the number of the unit, a check), whose
//! position is the number of the member. A member is a unit, or a unit with a certain choice of its rows. Numbers are given
//! out once and for all, so that bitmaps of earlier releases stay comparable; no identifier stands in the file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

const RECORD: usize = 16;

/// The index, open.
pub(crate) struct UnitIndex {
    file: File,
    numbers: HashMap<u64, u32>,
    /// The unit of each member.
    units: Vec<u32>,
    /// Members that are on the disk.
    durable: usize,
}

fn check(digest: u64, unit: u32, at: usize) -> u32 {
    let mixed = (digest ^ u64::from(unit).rotate_left(32) ^ (at as u64)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

fn record(digest: u64, unit: u32, at: usize) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..8].copy_from_slice(&digest.to_le_bytes());
    bytes[8..12].copy_from_slice(&unit.to_le_bytes());
    bytes[12..].copy_from_slice(&check(digest, unit, at).to_le_bytes());
    bytes
}

impl UnitIndex {
    /// Opens the index, or makes an empty one. What a crash left half-written at the end is dropped: nothing refers to it,
    /// since the index is made durable before a release that does.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut numbers = HashMap::with_capacity(bytes.len() / RECORD);
        let mut units: Vec<u32> = Vec::with_capacity(bytes.len() / RECORD);
        for chunk in bytes.chunks_exact(RECORD) {
            let digest = chunk.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
            let unit = chunk[8..].first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
            let at = units.len();
            if record(digest, unit, at) != chunk || unit as usize > at {
                break;
            }
            numbers.insert(digest, u32::try_from(at).map_err(std::io::Error::other)?);
            units.push(unit);
        }
        let durable = units.len();
        file.set_len((durable * RECORD) as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, numbers, units, durable })
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.units.len()
    }

    /// The number of the unit with this digest.
    pub(crate) fn unit(&mut self, digest: u64) -> std::io::Result<u32> {
        self.number(digest, None)
    }

    /// The number of a unit's choice of rows with this digest.
    pub(crate) fn member(&mut self, digest: u64, unit: u32) -> std::io::Result<u32> {
        self.number(digest, Some(unit))
    }

    fn number(&mut self, digest: u64, unit: Option<u32>) -> std::io::Result<u32> {
        if let Some(known) = self.numbers.get(&digest) {
            return Ok(*known);
        }
        let number = u32::try_from(self.units.len()).map_err(std::io::Error::other)?;
        self.numbers.insert(digest, number);
        self.units.push(unit.unwrap_or(number));
        Ok(number)
    }

    /// The unit that a member stands for.
    pub(crate) fn unit_of(&self, member: u32) -> u32 {
        self.units.get(member as usize).copied().unwrap_or(member)
    }

    /// Makes all members durable.
    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        if self.durable == self.units.len() {
            return Ok(());
        }
        let mut digests = vec![0u64; self.units.len() - self.durable];
        for (digest, number) in &self.numbers {
            if let Some(at) = (*number as usize).checked_sub(self.durable) {
                digests[at] = *digest;
            }
        }
        let mut bytes = Vec::with_capacity(digests.len() * RECORD);
        for (i, digest) in digests.into_iter().enumerate() {
            let at = self.durable + i;
            bytes.extend(record(digest, self.units[at], at));
        }
        self.file.write_all(&bytes)?;
        self.file.sync_all()?;
        self.durable = self.units.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_last_and_a_torn_end_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("units.idx");
        let mut index = UnitIndex::open(&path).unwrap();
        let (a, b) = (index.unit(11).unwrap(), index.unit(22).unwrap());
        let c = index.member(33, b).unwrap();
        assert_eq!((a, b, c, index.unit(11).unwrap()), (0, 1, 2, 0));
        index.flush().unwrap();
        index.unit(44).unwrap();
        drop(index);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(&[7; 21]).unwrap();
        let mut index = UnitIndex::open(&path).unwrap();
        assert_eq!(index.len(), 3);
        assert_eq!((index.unit(22).unwrap(), index.unit_of(2), index.unit(55).unwrap()), (1, 1, 3));
        index.flush().unwrap();
        assert_eq!(UnitIndex::open(&path).unwrap().len(), 4);
    }
}
