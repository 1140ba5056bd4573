//! Folding of units: rows are gathered until a chunk is full, whatever the sizes of the units.

use std::ops::Range;

use super::SandboxError;
use super::columns::{Columns, Rows};
use super::guest::{Guest, Span};
use super::model::Inner;
use crate::limits::CHUNK;

/// Folding in progress: units are gathered until a chunk is full.
pub(super) struct Fold<'a> {
    inner: &'a Inner,
    columns: &'a Columns<'a>,
    guest: Guest,
    /// Rows gathered.
    rows: Vec<u32>,
    /// Where each gathered unit begins among the gathered rows, and where the last one ends.
    offsets: Vec<u32>,
    /// The first gathered unit was begun in an earlier call.
    open: bool,
    /// That unit trapped: what is left of it is not shown to the model.
    dead: bool,
    results: Vec<f64>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(inner: &'a Inner, columns: &'a Columns<'a>) -> Result<Self, SandboxError> {
        Ok(Self {
            inner,
            columns,
            guest: inner.guest()?,
            rows: Vec::with_capacity(CHUNK),
            offsets: vec![0],
            open: false,
            dead: false,
            results: Vec::new(),
        })
    }

    pub(super) fn unit(&mut self, range: Range<usize>) -> Result<(), SandboxError> {
        let complete = self.columns.complete().cloned();
        for row in range {
            if self.dead {
                break;
            }
            if complete.as_ref().is_some_and(|c| c.is_null(row)) {
                continue;
            }
            if self.rows.len() == CHUNK {
                self.flush(true)?;
            }
            if !self.dead {
                self.rows.push(row as u32);
            }
        }
        if self.dead {
            // Its result, a NaN, has been noted when it trapped.
            self.dead = false;
            return Ok(());
        }
        self.offsets.push(self.rows.len() as u32);
        if self.offsets.len() > self.inner.at_once() {
            self.flush(false)?;
        }
        Ok(())
    }

    /// Runs what is gathered. With `unclosed`, the last unit has more rows to come.
    fn flush(&mut self, unclosed: bool) -> Result<(), SandboxError> {
        if unclosed {
            self.offsets.push(self.rows.len() as u32);
        }
        let count = self.offsets.len() - 1;
        if count > 0 {
            self.call(count, unclosed)?;
        }
        self.rows.clear();
        self.offsets.truncate(1);
        Ok(())
    }

    fn call(&mut self, count: usize, unclosed: bool) -> Result<(), SandboxError> {
        let layout = &self.inner.plan.layout;
        let rows = match (self.rows.first(), self.rows.last()) {
            (Some(first), Some(last)) if (last - first) as usize + 1 == self.rows.len() => {
                Rows::Range(*first as usize, *last as usize + 1)
            }
            _ => Rows::List(&self.rows),
        };
        let fill = |bytes: &mut [u8]| {
            self.columns.write(rows, bytes, |i| layout.column(i) as usize);
            let at = layout.offsets() as usize;
            for (slot, offset) in bytes[at..].chunks_exact_mut(4).zip(&self.offsets) {
                slot.copy_from_slice(&offset.to_le_bytes());
            }
        };
        let done = self.results.len();
        self.results.resize(done + count, 0.0);
        let span = Span { count, open: self.open, unclosed };
        let outcome = self.guest.run(layout, span, &mut self.results[done..], fill, || self.inner.fresh_guest())?;
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
