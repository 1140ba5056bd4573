//! Folding of units: rows are gathered until a chunk is full, whatever the sizes of the units.

use std::ops::Range;

use super::SandboxError;
use super::columns::{Columns, Rows};
use super::guest::{Guest, Span};
use super::model::Inner;
use crate::limits::CHUNK;

/// A list of bounded length on the stack.
struct List<const N: usize> {
    items: [u32; N],
    length: usize,
}

impl<const N: usize> List<N> {
    fn new() -> Self {
        Self { items: [0; N], length: 0 }
    }

    /// The caller sees to it that there is room.
    fn push(&mut self, item: usize) {
        self.items[self.length] = item as u32;
        self.length += 1;
    }

    fn get(&self) -> &[u32] {
        &self.items[..self.length]
    }
}

/// Folding in progress: units are gathered until a chunk is full.
pub(super) struct Fold<'a> {
    inner: &'a Inner,
    columns: &'a Columns<'a>,
    guest: Guest,
    /// Rows gathered.
    rows: List<CHUNK>,
    /// Where each gathered unit begins among the gathered rows, and where the last one ends.
    offsets: List<{ CHUNK + 1 }>,
    /// The first gathered unit was begun in an earlier call.
    open: bool,
    /// That unit trapped: what is left of it is not shown to the model.
    dead: bool,
    results: Vec<f64>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(inner: &'a Inner, columns: &'a Columns<'a>, units: usize) -> Result<Self, SandboxError> {
        let guest = inner.guest()?;
        let (rows, mut offsets) = (List::new(), List::new());
        offsets.push(0);
        // A call may have one unit more than are finished.
        let results = Vec::with_capacity(units + 1);
        Ok(Self { inner, columns, guest, rows, offsets, open: false, dead: false, results })
    }

    pub(super) fn unit(&mut self, range: Range<usize>) -> Result<(), SandboxError> {
        let complete = self.columns.complete();
        for row in range {
            if self.dead {
                break;
            }
            if complete.is_some_and(|c| c.is_null(row)) {
                continue;
            }
            if self.rows.length == CHUNK {
                self.flush(true)?;
            }
            if !self.dead {
                self.rows.push(row);
            }
        }
        if self.dead {
            // Its result, a NaN, has been noted when it trapped.
            self.dead = false;
            return Ok(());
        }
        self.offsets.push(self.rows.length);
        if self.offsets.length > self.inner.at_once() {
            self.flush(false)?;
        }
        Ok(())
    }

    /// Runs what is gathered. With `unclosed`, the last unit has more rows to come.
    fn flush(&mut self, unclosed: bool) -> Result<(), SandboxError> {
        if unclosed {
            self.offsets.push(self.rows.length);
        }
        let count = self.offsets.length - 1;
        if count > 0 {
            self.call(count, unclosed)?;
        }
        self.rows.length = 0;
        self.offsets.length = 1;
        Ok(())
    }

    fn call(&mut self, count: usize, unclosed: bool) -> Result<(), SandboxError> {
        let layout = &self.inner.layout;
        let rows = match self.rows.get() {
            [first, .., last] if (last - first) as usize + 1 == self.rows.length => {
                Rows::Range(*first as usize, *last as usize + 1)
            }
            rows => Rows::List(rows),
        };
        let fill = |bytes: &mut [u8]| {
            self.columns.write(rows, bytes, |i| layout.column(i) as usize);
            let at = layout.offsets() as usize;
            for (slot, offset) in bytes[at..].chunks_exact_mut(4).zip(self.offsets.get()) {
                slot.copy_from_slice(&offset.to_le_bytes());
            }
        };
        let span = Span { count, open: self.open, unclosed };
        let outcome = self.guest.run(layout, span, &mut self.results, fill, || self.inner.fresh_guest())?;
        self.dead = unclosed && outcome.last_trapped;
        self.open = unclosed && !self.dead;
        if self.open {
            self.results.pop();
        } else {
            self.inner.replace(&mut self.guest)?;
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<Vec<f64>, SandboxError> {
        self.flush(false)?;
        self.inner.give_back(self.guest);
        Ok(self.results)
    }
}
