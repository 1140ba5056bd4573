//! Where things lie in the host's memory.

use crate::limits::{CHUNK, UNDO_BLOCKS};

const PAGE: u32 = 65_536;
/// Bytes of a slot in a column or in the results.
const SLOT: u32 = 8;
/// Bytes from one column to the next: a chunk and a cache line, so that the values of a row do not all fall into the same
/// set of the nearest cache, which has room for eight of them.
const COLUMN: u32 = CHUNK as u32 * SLOT + 64;
/// Bytes of a block of the guest's memory, the unit of undoing: a cache line.
pub(crate) const BLOCK: u32 = 64;

/// Addresses in the host's memory: notes, columns, results, offsets of units, and the undo log.
///
/// The flags of the blocks come last and end where the memory ends: a block beyond the guest's
/// memory has its flag beyond the host's, and asking for it traps as the guest's own access would.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    columns: u32,
    /// Blocks of the guest's memory that can be undone.
    blocks: u32,
    end: u32,
}

impl Layout {
    /// The row or unit that is being worked on, `i32`.
    pub(crate) const CURRENT: u32 = 0;
    /// Not zero: the instance cannot be put back by undoing and has to be replaced, `i32`.
    pub(crate) const RESET: u32 = 4;
    const RESULTS: u32 = 64;

    /// For so many columns, and an undo log for so many pages of the guest's memory.
    pub(crate) fn new(columns: usize, guest_pages: u32) -> Self {
        let mut layout = Layout { columns: columns as u32, blocks: guest_pages * (PAGE / BLOCK), end: 0 };
        let unrounded = layout.saved() + layout.log_blocks() * BLOCK + layout.blocks;
        layout.end = unrounded.next_multiple_of(PAGE);
        layout
    }

    /// The first byte of a column.
    pub(crate) fn column(&self, i: usize) -> u32 {
        self.results() + (i as u32 + 1) * COLUMN
    }

    /// The first byte of the results.
    pub(crate) fn results(&self) -> u32 {
        Self::RESULTS
    }

    /// The first byte of the offsets of units, `i32` each, one more than there are units.
    pub(crate) fn offsets(&self) -> u32 {
        self.column(self.columns as usize)
    }

    /// Blocks that the log can hold.
    pub(crate) fn log_blocks(&self) -> u32 {
        self.blocks.min(UNDO_BLOCKS)
    }

    /// The numbers of the blocks in the log, `i32` each.
    pub(crate) fn numbers(&self) -> u32 {
        (self.offsets() + (CHUNK as u32 + 1) * 4).next_multiple_of(BLOCK)
    }

    /// What the blocks in the log held before they were written.
    pub(crate) fn saved(&self) -> u32 {
        (self.numbers() + self.log_blocks() * 4).next_multiple_of(BLOCK)
    }

    /// One byte per block of the guest's memory: whether it is in the log.
    pub(crate) fn flags(&self) -> u32 {
        self.end - self.blocks
    }

    /// Pages of the memory.
    pub(crate) fn pages(&self) -> u64 {
        u64::from(self.end / PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn regions_do_not_overlap_and_flags_end_the_memory() {
        for columns in [1, 5, limits::FEATURES] {
            for pages in [0, 1, 16, 17, limits::MEMORY_PAGES] {
                let l = Layout::new(columns, pages);
                assert!(l.results() + CHUNK as u32 * SLOT <= l.column(0));
                assert!(l.column(columns - 1) + CHUNK as u32 * SLOT <= l.offsets());
                assert!(l.offsets() + (CHUNK as u32 + 1) * 4 <= l.numbers());
                assert!(l.numbers() + l.log_blocks() * 4 <= l.saved());
                assert!(l.saved() + l.log_blocks() * BLOCK <= l.flags());
                assert_eq!(u64::from(l.flags()) + u64::from(pages) * 1024, l.pages() * 65_536);
            }
        }
    }
}
