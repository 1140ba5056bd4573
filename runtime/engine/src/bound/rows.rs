//! Rows in partitions by unit: a few words each, in memory or in temporary files.

use super::groups::Groups;
use super::spill::{Seal, Spilled};
use super::{Shape, whole_numbers};
use crate::functions::failed;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::Arc;

/// Into how many partitions units are spread.
pub(super) const PARTITIONS: usize = 64;
/// How many words a chunk of rows has at most.
const CHUNK: usize = 8 << 10;

/// How units are told apart: whole numbers as they are, anything else by a keyed 128-bit hash. Two of n units have the same hash
/// with probability below n² / 2^129, which for 10^10 units is 10^-19; the key is secret and new in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitKey {
    Whole,
    Hashed,
}

impl UnitKey {
    fn of(data_type: &DataType) -> Self {
        if data_type.is_integer() && *data_type != DataType::UInt64 { Self::Whole } else { Self::Hashed }
    }

    /// How many words it takes.
    pub(super) fn words(self) -> usize {
        match self {
            Self::Whole => 1,
            Self::Hashed => 2,
        }
    }
}

/// A fast mix of one word (the finaliser of MurmurHash3).
pub(super) fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Rows of one thread and partition.
#[derive(Default)]
struct Partition {
    /// Full chunks.
    full: Vec<Vec<u64>>,
    open: Vec<u64>,
    spilled: Option<Spilled>,
}

/// One thread's partitions.
pub(super) struct Rows {
    partitions: Vec<Partition>,
    pub(super) unit: UnitKey,
    /// Words per row: unit, group, columns.
    pub(super) stride: usize,
    /// Where some of them are on the disk.
    seal: Option<Seal>,
}

/// What one thread has scattered.
pub(super) struct Scattered {
    pub(super) groups: Groups,
    pub(super) rows: Rows,
}

/// Scatters the rows of one thread.
pub(super) struct Scatterer {
    groups: Groups,
    rows: Rows,
    shape: Arc<Shape>,
    columns: Vec<usize>,
    key: [u8; 16],
    salt: u64,
    ids: Vec<usize>,
    held: usize,
    memory: usize,
    context: Arc<TaskContext>,
}

impl Scatterer {
    pub(super) fn new(
        groups: Groups,
        shape: &Arc<Shape>,
        seed: &[u8; 32],
        memory: usize,
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        let columns: Vec<usize> = shape.slots.iter().filter_map(super::Slot::column).collect();
        let digest = crate::digest::sha256_parts("yunei/unit/1", &[seed]);
        let key = digest[..16].try_into().map_err(|_| failed())?;
        let salt = u64::from_le_bytes(digest[16..24].try_into().map_err(|_| failed())?);
        let partitions = (0..PARTITIONS).map(|_| Partition::default()).collect();
        Ok(Self {
            groups,
            rows: Rows { partitions, unit: UnitKey::Whole, stride: 0, seal: None },
            shape: Arc::clone(shape),
            columns,
            key,
            salt,
            ids: Vec::new(),
            held: 0,
            memory,
            context: Arc::clone(context),
        })
    }

    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        self.groups.intern(batch, &mut self.ids)?;
        let units = batch.column(self.shape.unit());
        if units.null_count() > 0 {
            // A row about nobody: the catalogue says that there is none.
            return Err(failed());
        }
        self.rows.unit = UnitKey::of(units.data_type());
        self.rows.stride = self.rows.unit.words() + 1 + self.columns.len();
        let values = self.columns.iter().map(|c| whole_numbers(batch.column(*c))).collect::<Result<Vec<_>>>()?;
        let mut row = vec![0u64; self.rows.stride];
        match self.rows.unit {
            UnitKey::Whole => {
                let units = cast(units, &DataType::Int64).map_err(|_| failed())?;
                for (at, unit) in units.as_primitive::<Int64Type>().values().iter().enumerate() {
                    row[0] = unit.cast_unsigned();
                    fill(&mut row[1..], self.ids[at], &values, at);
                    self.rows.push(&row, mix(row[0] ^ self.salt), &mut self.held);
                }
            }
            UnitKey::Hashed => {
                let hashes = self.hashes(units)?;
                for (at, hash) in hashes.into_iter().enumerate() {
                    row[..2].copy_from_slice(&hash);
                    fill(&mut row[2..], self.ids[at], &values, at);
                    self.rows.push(&row, hash[0], &mut self.held);
                }
            }
        }
        if self.held > self.memory { self.spill() } else { Ok(()) }
    }

    fn hashes(&self, units: &ArrayRef) -> Result<Vec<[u64; 2]>> {
        let hash = |bytes: &[u8]| {
            let mut hasher = SipHasher13::new_with_key(&self.key);
            hasher.write(bytes);
            let hash = hasher.finish128();
            [hash.h1, hash.h2]
        };
        if let Some(texts) = units.as_string_view_opt() {
            return Ok((0..texts.len()).map(|at| hash(texts.value(at).as_bytes())).collect());
        }
        let texts = matches!(units.data_type(), DataType::Utf8 | DataType::LargeUtf8);
        if texts {
            return self.hashes(&cast(units, &DataType::Utf8View).map_err(|_| failed())?);
        }
        let converter = RowConverter::new(vec![SortField::new(units.data_type().clone())]).map_err(|_| failed())?;
        let rows = converter.convert_columns(std::slice::from_ref(units)).map_err(|_| failed())?;
        Ok(rows.iter().map(|row| hash(row.as_ref())).collect())
    }

    /// Full chunks of all partitions go to files.
    fn spill(&mut self) -> Result<()> {
        let seal = match &mut self.rows.seal {
            Some(seal) => seal,
            none => none.insert(Seal::new()?),
        };
        for (at, partition) in self.rows.partitions.iter_mut().enumerate() {
            if partition.full.is_empty() {
                continue;
            }
            let spilled = match &mut partition.spilled {
                Some(spilled) => spilled,
                none => none.insert(Spilled::create(&self.context, at)?),
            };
            for chunk in partition.full.drain(..) {
                spilled.write(seal, &chunk, self.rows.stride)?;
                self.held -= chunk.capacity() * 8;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Scattered> {
        for spilled in self.rows.partitions.iter_mut().filter_map(|p| p.spilled.as_mut()) {
            spilled.finish()?;
        }
        Ok(Scattered { groups: self.groups, rows: self.rows })
    }
}

fn fill(rest: &mut [u64], group: usize, values: &[&[i64]], at: usize) {
    rest[0] = group as u64;
    for (word, values) in rest[1..].iter_mut().zip(values) {
        *word = values[at].cast_unsigned();
    }
}

impl Rows {
    fn push(&mut self, row: &[u64], hash: u64, held: &mut usize) {
        // The upper bits: the lower ones choose the place in the tables of the second step.
        let partition = &mut self.partitions[(hash >> 58) as usize];
        if partition.open.len() + row.len() > partition.open.capacity() {
            let rows = (CHUNK / row.len()).max(1);
            let fresh = Vec::with_capacity(rows * row.len());
            let full = std::mem::replace(&mut partition.open, fresh);
            *held += full.capacity() * 8;
            if !full.is_empty() {
                partition.full.push(full);
            }
        }
        partition.open.extend_from_slice(row);
    }

    /// How many rows a partition has.
    pub(super) fn count(&self, partition: usize) -> usize {
        let Partition { full, open, spilled } = &self.partitions[partition];
        let words = full.iter().map(Vec::len).sum::<usize>() + open.len() + spilled.as_ref().map_or(0, Spilled::words);
        words / self.stride.max(1)
    }

    /// Calls `f` with pieces of a partition, each of whole rows.
    pub(super) fn each(&self, partition: usize, f: &mut dyn FnMut(&[u64]) -> Result<()>) -> Result<()> {
        let Partition { full, open, spilled } = &self.partitions[partition];
        if let (Some(spilled), Some(seal)) = (spilled, &self.seal) {
            spilled.each(seal, self.stride, f)?;
        }
        for chunk in full.iter().chain([open]) {
            f(chunk)?;
        }
        Ok(())
    }
}
