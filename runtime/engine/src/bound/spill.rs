//! Rows of one partition on the disk: chunks packed column by column, each encrypted under a key that is nowhere but in memory.
//!
//! ```text
//! record  = length u32 · sealed chunk · tag (16 bytes)
//! chunk   = rows u32 · per column (least i64, width u8) · per column, rows numbers of `width` bytes, from `least` on
//! ```
//!
//! All numbers are little-endian. The cipher is AES-256-GCM; a record's nonce is its number among all that the key has sealed, and
//! what is authenticated beside it says which partition and which record of it this is, so that none can be left out, moved or
//! taken from elsewhere. The key is made anew for every thread of every leaf and dropped with its rows: what a crash leaves behind
//! can not be read by anybody.

use crate::functions::failed;
use datafusion::common::Result;
use datafusion::execution::{SpillFile, SpillWriter, TaskContext};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::{Arc, Mutex};

/// Bytes of a record's tag.
const TAG: usize = 16;

/// Whether records are written as they are, to measure what it costs that they are not. No binary is built with this.
#[cfg(feature = "measure")]
pub(crate) static UNSEALED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// One thread's key.
pub(super) struct Seal {
    key: LessSafeKey,
    sealed: u64,
}

impl Seal {
    /// A fresh key.
    pub(super) fn new() -> Result<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| failed())?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| failed())?;
        Ok(Self { key: LessSafeKey::new(key), sealed: 0 })
    }

    /// Encrypts a record in place; its tag.
    fn seal(&self, number: u64, aad: Aad<[u8; 16]>, bytes: &mut [u8]) -> Result<[u8; TAG]> {
        #[cfg(feature = "measure")]
        if UNSEALED.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok([0; TAG]);
        }
        let tag = self.key.seal_in_place_separate_tag(nonce(number), aad, bytes).map_err(|_| failed())?;
        tag.as_ref().try_into().map_err(|_| failed())
    }

    /// A record again, which stands before its tag.
    fn open<'b>(&self, number: u64, aad: Aad<[u8; 16]>, bytes: &'b mut [u8]) -> Result<&'b mut [u8]> {
        #[cfg(feature = "measure")]
        if UNSEALED.load(std::sync::atomic::Ordering::Relaxed) {
            let end = bytes.len().checked_sub(TAG).ok_or_else(failed)?;
            return Ok(&mut bytes[..end]);
        }
        self.key.open_in_place(nonce(number), aad, bytes).map_err(|_| failed())
    }

    /// No number is given twice: with 64 KiB a record, 2^64 of them are more than any disk holds.
    fn next(&mut self) -> Result<u64> {
        self.sealed = self.sealed.checked_add(1).ok_or_else(failed)?;
        Ok(self.sealed)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn place(partition: usize, record: usize) -> Aad<[u8; 16]> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(partition as u64).to_le_bytes());
    bytes[8..].copy_from_slice(&(record as u64).to_le_bytes());
    Aad::from(bytes)
}

/// The file of one partition.
pub(super) struct Spilled {
    // The file is removed when this is dropped.
    file: Arc<dyn SpillFile>,
    writer: Mutex<Box<dyn SpillWriter>>,
    partition: usize,
    /// The number of each record under the key.
    numbers: Vec<u64>,
    words: usize,
    buffer: Vec<u8>,
}

impl Spilled {
    pub(super) fn create(context: &TaskContext, partition: usize) -> Result<Self> {
        let file = context.runtime_env().disk_manager.create_tmp_file("yunei rows")?;
        let writer = Mutex::new(file.open_writer()?);
        Ok(Self { file, writer, partition, numbers: Vec::new(), words: 0, buffer: Vec::new() })
    }

    /// How many words it holds.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Appends a chunk of whole rows.
    pub(super) fn write(&mut self, seal: &mut Seal, chunk: &[u64], stride: usize) -> Result<()> {
        let number = seal.next()?;
        self.buffer.clear();
        self.buffer.extend([0; 4]);
        pack(chunk, stride, &mut self.buffer)?;
        let aad = place(self.partition, self.numbers.len());
        let tag = seal.seal(number, aad, &mut self.buffer[4..])?;
        self.buffer.extend_from_slice(&tag);
        let length = u32::try_from(self.buffer.len() - 4).map_err(|_| failed())?;
        self.buffer[..4].copy_from_slice(&length.to_le_bytes());
        self.writer.get_mut().map_err(|_| failed())?.write_all(&self.buffer).map_err(|_| failed())?;
        self.numbers.push(number);
        self.words += chunk.len();
        Ok(())
    }

    /// Nothing more is written.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.buffer = Vec::new();
        let writer = self.writer.get_mut().map_err(|_| failed())?;
        writer.flush().map_err(|_| failed())?;
        writer.finish()
    }

    /// Calls `f` with each chunk.
    pub(super) fn each(&self, seal: &Seal, stride: usize, f: &mut dyn FnMut(&[u64]) -> Result<()>) -> Result<()> {
        let path = self.file.path().ok_or_else(failed)?;
        let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(|_| failed())?);
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        for (record, number) in self.numbers.iter().enumerate() {
            let mut length = [0; 4];
            file.read_exact(&mut length).map_err(|_| failed())?;
            bytes.resize(u32::from_le_bytes(length) as usize, 0);
            file.read_exact(&mut bytes).map_err(|_| failed())?;
            let aad = place(self.partition, record);
            let chunk = seal.open(*number, aad, &mut bytes)?;
            unpack(chunk, stride, &mut words)?;
            f(&words)?;
        }
        Ok(())
    }
}

/// Appends the rows of `chunk` column by column, each number with as many bytes as its column needs here.
fn pack(chunk: &[u64], stride: usize, into: &mut Vec<u8>) -> Result<()> {
    let rows = chunk.len() / stride.max(1);
    into.extend(u32::try_from(rows).map_err(|_| failed())?.to_le_bytes());
    let mut columns = Vec::with_capacity(stride);
    for at in 0..stride {
        let mut ends = (i64::MAX, i64::MIN);
        for word in chunk.iter().skip(at).step_by(stride) {
            let value = word.cast_signed();
            ends = (ends.0.min(value), ends.1.max(value));
        }
        let least = ends.0.min(ends.1);
        let width = (64 - ends.1.wrapping_sub(least).cast_unsigned().leading_zeros()).div_ceil(8) as u8;
        into.extend(least.to_le_bytes());
        into.push(width);
        columns.push((least, usize::from(width)));
    }
    for (at, (least, width)) in columns.into_iter().enumerate() {
        let from = into.len();
        // Whole words are written, each over the unused end of the one before.
        into.resize(from + rows * width + 8, 0);
        let out = &mut into[from..];
        for (row, word) in chunk.iter().skip(at).step_by(stride).enumerate() {
            let above = word.wrapping_sub(least.cast_unsigned());
            out[row * width..row * width + 8].copy_from_slice(&above.to_le_bytes());
        }
        into.truncate(from + rows * width);
    }
    Ok(())
}

/// The rows again.
fn unpack(bytes: &[u8], stride: usize, words: &mut Vec<u64>) -> Result<()> {
    let (rows, mut rest) = bytes.split_first_chunk::<4>().ok_or_else(failed)?;
    let rows = u32::from_le_bytes(*rows) as usize;
    let mut columns = Vec::with_capacity(stride);
    for _ in 0..stride {
        let (least, more) = rest.split_first_chunk::<8>().ok_or_else(failed)?;
        let (width, more) = more.split_first().ok_or_else(failed)?;
        columns.push((u64::from_le_bytes(*least), usize::from(*width)));
        rest = more;
    }
    words.clear();
    words.resize(rows * stride, 0);
    for (at, (least, width)) in columns.into_iter().enumerate() {
        let (column, more) = rest.split_at_checked(rows * width).ok_or_else(failed)?;
        let mask = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
        for (row, word) in words.iter_mut().skip(at).step_by(stride).enumerate() {
            let from = row * width;
            let above = match column.get(from..from + 8).and_then(|b| b.first_chunk::<8>()) {
                Some(eight) => u64::from_le_bytes(*eight) & mask,
                // The last few of a column.
                None => {
                    let mut eight = [0; 8];
                    eight[..width].copy_from_slice(&column[from..from + width]);
                    u64::from_le_bytes(eight)
                }
            };
            *word = least.wrapping_add(above);
        }
        rest = more;
    }
    if rest.is_empty() { Ok(()) } else { Err(failed()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_rows_are_the_same_rows(
            stride in 1usize..6,
            rows in 0usize..40,
            words in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..300, Just(u64::MAX)], 240),
        ) {
            let chunk = &words[..rows * stride];
            let (mut bytes, mut found) = (Vec::new(), Vec::new());
            pack(chunk, stride, &mut bytes).unwrap();
            unpack(&bytes, stride, &mut found).unwrap();
            prop_assert_eq!(&found, chunk);
            for cut in 0..bytes.len() {
                let _ = unpack(&bytes[..cut], stride, &mut found);
            }
        }
    }

    fn spilled(seal: &mut Seal, context: &TaskContext) -> Spilled {
        let mut spilled = Spilled::create(context, 3).unwrap();
        for chunk in [[1, 2, 3, 4], [5, 6, 7, u64::MAX], [1, 2, 3, 4]] {
            spilled.write(seal, &chunk, 2).unwrap();
        }
        spilled.finish().unwrap();
        spilled
    }

    fn read(spilled: &Spilled, seal: &Seal) -> Result<Vec<u64>> {
        let mut all = Vec::new();
        spilled.each(seal, 2, &mut |words| {
            all.extend_from_slice(words);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn what_lies_on_the_disk_tells_nothing_and_bears_no_change() {
        let context = TaskContext::default();
        let mut seal = Seal::new().unwrap();
        let file = spilled(&mut seal, &context);
        assert_eq!(read(&file, &seal).unwrap(), [1, 2, 3, 4, 5, 6, 7, u64::MAX, 1, 2, 3, 4]);
        let path = file.file.path().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let record = 4 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert_ne!(bytes[..record], bytes[bytes.len() - record..], "the same rows look different");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(read(&file, &seal).is_err(), "byte {at}");
        }
        let moved = [&bytes[bytes.len() - record..], &bytes[record..bytes.len() - record], &bytes[..record]].concat();
        std::fs::write(&path, moved).unwrap();
        assert!(read(&file, &seal).is_err(), "the first and the last record change places");
        std::fs::write(&path, &bytes).unwrap();
        assert!(read(&file, &Seal::new().unwrap()).is_err(), "another key");
        assert!(read(&file, &seal).is_ok());
    }
}
