//! Where things lie in the host's memory.

use crate::limits::CHUNK;

const PAGE: u32 = 65_536;
/// Bytes of a slot in a column or in the results.
const SLOT: u32 = 8;

/// Addresses in the host's memory: notes, columns, offsets of units, results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    columns: u32,
    end: u32,
}

impl Layout {
    /// The row or unit that is being worked on, `i32`.
    pub(crate) const CURRENT: u32 = 0;
    /// Not zero: the instance cannot be put back by undoing and has to be replaced, `i32`.
    pub(crate) const RESET: u32 = 4;
    const COLUMNS: u32 = 64;

    pub(crate) fn new(columns: usize) -> Self {
        let columns = columns as u32;
        let slots = CHUNK as u32 * SLOT;
        // Columns, then the results, then one more column for the offsets of units.
        let end = Self::COLUMNS + (columns + 1) * slots + slots + SLOT;
        Layout { columns, end }
    }

    /// The first byte of a column.
    pub(crate) fn column(&self, i: usize) -> u32 {
        Self::COLUMNS + i as u32 * CHUNK as u32 * SLOT
    }

    /// The first byte of the results.
    pub(crate) fn results(&self) -> u32 {
        self.column(self.columns as usize)
    }

    /// The first byte of the offsets of units, `i32` each, one more than there are units.
    pub(crate) fn offsets(&self) -> u32 {
        self.results() + CHUNK as u32 * SLOT
    }

    /// Pages of the memory.
    pub(crate) fn pages(&self) -> u64 {
        u64::from(self.end.div_ceil(PAGE))
    }
}
