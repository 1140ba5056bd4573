//! The staging journal: batches of entries, durable before the checkpoint that covers them is.
//!
//! One file of a fixed size whose pages exist from the start, so that writing a record changes no
//! metadata and `fdatasync` is as cheap as the disk allows. A record begins on a page of its own:
//! no later write touches a page of an acknowledged one. The file has two halves. When one is full,
//! writing goes on in the other, whose records have been made durable in the tiles meanwhile: only
//! a disk that is slower at that than at filling a half makes an append wait for it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::LogError;
use crate::tree::MAX_SIZE;

/// The bytes of one half of the journal file.
pub(crate) const HALF: u64 = 4 * 1024 * 1024;

/// The bytes of the journal file.
pub(crate) const JOURNAL_BYTES: u64 = 2 * HALF;

/// The most entries of one batch.
pub(crate) const MAX_BATCH: usize = 256;

/// The most bytes of one record, head and all. A quarter of a half; one entry always fits.
pub(crate) const MAX_RECORD: usize = 1024 * 1024;

const PAGE: u64 = 4096;
const MAGIC: &[u8; 8] = b"YUNEIJ01";
const HEAD: usize = 8 + 8 + 4 + 4 + 32 + 32 + 32;

/// A batch as it was staged.
#[derive(Debug)]
pub(crate) struct Record {
    /// The size of the tree before the batch.
    pub(crate) start: u64,
    /// The root before it.
    pub(crate) root_before: [u8; 32],
    /// The root after it.
    pub(crate) root_after: [u8; 32],
    /// The entries, in order.
    pub(crate) entries: Vec<Vec<u8>>,
}

impl Record {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    fn follows(&self, before: &Record) -> bool {
        self.start == before.end() && self.root_before == before.root_after
    }
}

/// The bytes that entries take in a record or a bundle: each with a 16-bit length before it.
pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &[u8]) {
    // An entry has at most 65,535 bytes by construction.
    out.extend_from_slice(&(entry.len() as u16).to_be_bytes());
    out.extend_from_slice(entry);
}

/// Takes the next length-prefixed entry off `bytes`.
pub(crate) fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *bytes = rest;
    Some(entry)
}

/// The opened journal.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Where the half begins that is written now.
    half: u64,
    /// Where the next record goes.
    next: u64,
}

impl Journal {
    /// Makes the journal of a new log. The caller syncs the folder.
    pub(crate) fn create(path: &Path) -> Result<(), LogError> {
        let write = || {
            let mut file = File::create(path)?;
            let zeros = vec![0; 256 * 1024];
            for _ in 0..JOURNAL_BYTES / zeros.len() as u64 {
                file.write_all(&zeros)?;
            }
            file.sync_all()
        };
        write().map_err(LogError::disk("make the journal"))
    }

    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        let file = File::options().read(true).write(true).open(path).map_err(LogError::disk("open the journal"))?;
        Ok(Self { file, half: 0, next: 0 })
    }

    /// Whether a record with `payload` bytes of entries still fits into this half.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        self.next + (HEAD + payload) as u64 <= self.half + HALF
    }

    /// Goes on in the other half. Everything that was staged there must be durable in the tiles by now.
    pub(crate) fn turn(&mut self) {
        self.half = HALF - self.half;
        self.next = self.half;
    }

    /// Starts anew and makes sure that nothing of before can be read as a record.
    pub(crate) fn reset(&mut self) -> Result<(), LogError> {
        (self.half, self.next) = (0, 0);
        self.file
            .write_all_at(&[0; HEAD], 0)
            .and_then(|()| self.file.write_all_at(&[0; HEAD], HALF))
            .and_then(|()| self.file.sync_data())
            .map_err(LogError::disk("reset the journal"))
    }

    /// Stages a batch. After this returns, it is on stable storage.
    pub(crate) fn stage(
        &mut self,
        start: u64,
        count: u32,
        before: &[u8; 32],
        after: &[u8; 32],
        payload: &[u8],
    ) -> Result<(), LogError> {
        let mut record = Vec::with_capacity(HEAD + payload.len());
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(&start.to_be_bytes());
        record.extend_from_slice(&count.to_be_bytes());
        record.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        record.extend_from_slice(before);
        record.extend_from_slice(after);
        let sum = checksum(&record, payload);
        record.extend_from_slice(&sum);
        record.extend_from_slice(payload);
        self.file
            .write_all_at(&record, self.next)
            .and_then(|()| self.file.sync_data())
            .map_err(LogError::disk("stage a batch"))?;
        self.next += (record.len() as u64).next_multiple_of(PAGE);
        Ok(())
    }

    /// The records that follow one another: those of the half that was written before, where they lead up to the other's,
    /// and those of the half that was written last.
    pub(crate) fn records(path: &Path) -> Result<Vec<Record>, LogError> {
        let bytes = crate::files::read_bounded(path, JOURNAL_BYTES as usize)?
            .ok_or_else(|| LogError::damaged("the journal is missing"))?;
        let (first, second) = bytes.split_at_checked(HALF as usize).unwrap_or((&bytes, &[]));
        let (mut first, mut second) = (chain(first), chain(second));
        let end = |records: &[Record]| records.last().map_or(0, Record::end);
        if end(&first) > end(&second) {
            std::mem::swap(&mut first, &mut second);
        }
        match (first.last(), second.first()) {
            (Some(last), Some(next)) if next.follows(last) => {
                first.append(&mut second);
                Ok(first)
            }
            _ => Ok(second),
        }
    }
}

/// The records that follow one another from the start of a half.
fn chain(mut rest: &[u8]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    while let Some((record, length)) = decode(rest) {
        // What an earlier round left behind does not continue the chain.
        if records.last().is_some_and(|last| !record.follows(last)) {
            break;
        }
        records.push(record);
        rest = rest.get((length as u64).next_multiple_of(PAGE) as usize..).unwrap_or_default();
    }
    records
}

fn checksum(head: &[u8], payload: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(head);
    context.update(payload);
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// The record at the start of `bytes` and its length, when there is a whole one.
fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let head = bytes.get(..HEAD)?;
    if &head[..8] != MAGIC {
        return None;
    }
    let start = u64::from_be_bytes(head[8..16].try_into().ok()?);
    let count = u32::from_be_bytes(head[16..20].try_into().ok()?) as usize;
    let length = u32::from_be_bytes(head[20..24].try_into().ok()?) as usize;
    if start > MAX_SIZE || count == 0 || count > MAX_BATCH || length > MAX_RECORD {
        return None;
    }
    let mut payload = bytes.get(HEAD..HEAD + length)?;
    if checksum(&head[..88], payload) != head[88..] {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(take_entry(&mut payload)?.to_vec());
    }
    if !payload.is_empty() {
        return None;
    }
    let (root_before, root_after) = (head[24..56].try_into().ok()?, head[56..88].try_into().ok()?);
    Some((Record { start, root_before, root_after, entries }, HEAD + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(entries: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        entries.iter().for_each(|entry| put_entry(&mut out, entry));
        out
    }

    #[test]
    fn records_chain_and_a_torn_or_older_one_ends_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        Journal::create(&path).unwrap();
        assert!(Journal::records(&path).unwrap().is_empty());
        let mut journal = Journal::open(&path).unwrap();
        journal.stage(10, 2, &[0; 32], &[1; 32], &payload(&[b"a", b"bb"])).unwrap();
        journal.stage(12, 1, &[1; 32], &[2; 32], &payload(&[&[b'c'; 5000]])).unwrap();
        journal.stage(13, 1, &[2; 32], &[3; 32], &payload(&[b""])).unwrap();
        let ends = |path: &Path| -> Vec<u64> { Journal::records(path).unwrap().iter().map(Record::end).collect() };
        assert_eq!(ends(&path), [12, 13, 14]);
        // The other half goes on, and leads back to the first.
        journal.turn();
        journal.stage(14, 1, &[3; 32], &[4; 32], &payload(&[b"d"])).unwrap();
        assert_eq!(ends(&path), [12, 13, 14, 15]);
        // The second round: the first record is new, what stands behind it in its half is of before.
        journal.turn();
        journal.stage(15, 1, &[4; 32], &[5; 32], &payload(&[b"e"])).unwrap();
        assert_eq!(ends(&path), [15, 16]);
        // A half that does not lead up to the newest record is of before.
        journal.turn();
        journal.stage(20, 1, &[8; 32], &[9; 32], &payload(&[b"f"])).unwrap();
        assert_eq!(ends(&path), [21]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HALF as usize + HEAD + 2] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(ends(&path), [16]);
        journal.reset().unwrap();
        assert!(ends(&path).is_empty());
    }

    #[test]
    fn the_last_record_that_fits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        Journal::create(&path).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        for _ in 0..3 {
            assert!(journal.fits(HALF as usize - HEAD));
            assert!(!journal.fits(HALF as usize - HEAD + 1));
            journal.turn();
        }
    }

    proptest! {
        #[test]
        fn decoding_is_total(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
            if magic && bytes.len() > 8 {
                bytes[..8].copy_from_slice(MAGIC);
            }
            prop_assert!(decode(&bytes).is_none(), "no checksum by chance");
            let mut rest = bytes.as_slice();
            while take_entry(&mut rest).is_some() {}
        }

        #[test]
        fn a_changed_byte_of_a_record_is_noticed(place in any::<proptest::sample::Index>(), bit in 0..8_u8) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            std::fs::write(&path, vec![0; 8192]).unwrap();
            let entries = payload(&[b"first", b"second"]);
            Journal::open(&path).unwrap().stage(7, 2, &[1; 32], &[2; 32], &entries).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let (record, length) = decode(&bytes).unwrap();
            prop_assert_eq!((record.start, record.end(), length), (7, 9, HEAD + entries.len()));
            bytes[place.index(length)] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_none());
        }
    }
}
