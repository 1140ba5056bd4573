//! A loaded model.

use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::columns::{self, Columns, Rows};
use super::fold::Fold;
use super::guest::{Guest, Span};
use super::loaded::Loaded;
use super::sandbox::Shared;
use super::{SandboxError, output};
use crate::limits::CHUNK;
use crate::manifest::{Kind, Manifest};
use crate::verify::Report;
use arrow_array::{ArrayRef, Float64Array};
use arrow_buffer::ScalarBuffer;

/// A model that is ready to run. Cheap to clone; calls from several threads run side by side, each on
/// an instance of its own.
#[derive(Clone)]
pub struct Model(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) sandbox: Arc<Shared>,
    pub(super) loaded: Arc<Loaded>,
    /// Instances in their initial state.
    pub(super) idle: Mutex<Vec<Guest>>,
}

impl Deref for Inner {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        &self.loaded
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("id", &self.0.manifest.id())
            .field("version", &self.0.manifest.version())
            .field("digest", &self.0.digest)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// What the verifier found.
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// SHA-256 of the author's binary module, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// Scores `rows` rows with a row model: one column per feature, in the manifest's order.
    ///
    /// A row in which a feature without `missing` is NULL gives NULL and is not shown to the model.
    /// A row on which the model traps, runs out of fuel, stack or memory, or gives NaN has the
    /// default; every result lies within the manifest's range and on its grid.
    ///
    /// # Errors
    /// Only faults of the host: see [`SandboxError`].
    pub fn score(&self, columns: &[ArrayRef], rows: usize) -> Result<Float64Array, SandboxError> {
        let mut bound = Columns::none();
        let mut scoring = Scoring::new(&self.0, columns, rows, &mut bound)?;
        for from in (0..rows).step_by(CHUNK) {
            scoring.chunk(from, rows.min(from + CHUNK))?;
        }
        Ok(scoring.end())
    }

    /// Scores the same `rows` rows with several row models, each with its own columns: what
    /// [`score`](Self::score) would give for one after the other, while the rows are still in the
    /// processor's cache.
    ///
    /// # Errors
    /// As [`score`](Self::score), for the first model that has one.
    pub fn score_all(calls: &[(&Model, &[ArrayRef])], rows: usize) -> Result<Vec<Float64Array>, SandboxError> {
        let mut bound: Vec<_> = calls.iter().map(|_| Columns::none()).collect();
        let mut all = calls
            .iter()
            .zip(&mut bound)
            .map(|((model, columns), bound)| Scoring::new(&model.0, columns, rows, bound))
            .collect::<Result<Vec<_>, _>>()?;
        for from in (0..rows).step_by(CHUNK) {
            for scoring in &mut all {
                scoring.chunk(from, rows.min(from + CHUNK))?;
            }
        }
        Ok(all.into_iter().map(Scoring::end).collect())
    }

    /// The most time that one unit can take on this machine: its fuel at the pace of the slowest code
    /// known to us, a trap, and for a contained model the replacement of its instance. Measured when it is
    /// first asked for (some milliseconds) and kept. For the release gate, which hides such times in its
    /// quantum.
    ///
    /// A measurement with a margin of two and no proof: a machine that is much busier later can be slower
    /// than this.
    pub fn max_unit_time(&self) -> Duration {
        *self.0.max_unit_time.get_or_init(|| self.0.sandbox.max_unit_time(&self.0))
    }

    /// Folds units with a unit model. `units` are ranges of rows, in order and without overlap; the
    /// result has one number per range.
    ///
    /// A row in which a feature without `missing` is NULL is left out of its unit. Fuel is for the
    /// whole unit. Everything else is as in [`score`](Self::score).
    ///
    /// # Errors
    /// Only faults of the host: see [`SandboxError`].
    pub fn fold(&self, columns: &[ArrayRef], units: &[Range<usize>]) -> Result<Float64Array, SandboxError> {
        let inner = &*self.0;
        if inner.manifest.kind() != Kind::Unit {
            return Err(SandboxError::Kind);
        }
        let rows = columns.first().map_or(0, arrow_array::Array::len);
        numbered(rows)?;
        let mut bound = Columns::none();
        bound.bind(columns, inner.manifest.features(), rows)?;
        columns::check_units(units, rows)?;
        let mut fold = Fold::new(inner, &bound, units.len())?;
        for unit in units {
            fold.unit(unit.clone())?;
        }
        let mut results = fold.end()?;
        output::finish(&inner.manifest.output(), &mut results);
        Ok(Float64Array::new(ScalarBuffer::from(results), None))
    }
}

fn numbered(rows: usize) -> Result<(), SandboxError> {
    if i32::try_from(rows).is_ok() { Ok(()) } else { Err(SandboxError::TooManyRows) }
}

impl Inner {
    pub(super) fn guest(&self) -> Result<Guest, SandboxError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(guest) => Ok(guest),
            None => self.fresh_guest(),
        }
    }

    pub(super) fn fresh_guest(&self) -> Result<Guest, SandboxError> {
        // The first instance came up, and each one does the same: only the machine can be in the way.
        Guest::new(&self.code, self.manifest.kind()).map_err(|_| SandboxError::Exhausted)
    }

    /// Keeps an instance for the next call. One that was lost to an error is not missed.
    pub(super) fn give_back(&self, guest: Guest) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(guest);
    }

    /// Rows or units that one instance may work on without being replaced.
    pub(super) fn at_once(&self) -> usize {
        if self.fresh { 1 } else { CHUNK }
    }

    pub(super) fn replace(&self, guest: &mut Guest) -> Result<(), SandboxError> {
        if self.fresh {
            *guest = self.fresh_guest()?;
        }
        Ok(())
    }

    /// Runs a row model over `rows`, and appends what it gives to `results`.
    fn run(
        &self,
        guest: &mut Guest,
        columns: &Columns<'_>,
        rows: Rows<'_>,
        results: &mut Vec<f64>,
    ) -> Result<(), SandboxError> {
        let layout = &self.layout;
        let span = Span { count: rows.len(), open: false, unclosed: false };
        let fill = |bytes: &mut [u8]| columns.write(rows, bytes, |i| layout.column(i) as usize);
        guest.run(layout, span, results, fill, || self.fresh_guest())?;
        self.replace(guest)
    }
}

/// Rows on their way through a row model.
struct Scoring<'a> {
    inner: &'a Inner,
    columns: &'a Columns<'a>,
    guest: Guest,
    results: Vec<f64>,
}

impl<'a> Scoring<'a> {
    fn new(
        inner: &'a Inner,
        columns: &'a [ArrayRef],
        rows: usize,
        bound: &'a mut Columns<'a>,
    ) -> Result<Self, SandboxError> {
        if inner.manifest.kind() != Kind::Row {
            return Err(SandboxError::Kind);
        }
        numbered(rows)?;
        bound.bind(columns, inner.manifest.features(), rows)?;
        Ok(Self { inner, columns: bound, guest: inner.guest()?, results: Vec::with_capacity(rows) })
    }

    /// Scores the rows `from..to`, at most [`CHUNK`] of them.
    fn chunk(&mut self, from: usize, to: usize) -> Result<(), SandboxError> {
        match self.columns.complete() {
            None => self.all(from, to)?,
            Some(complete) => {
                let mut list = [0; CHUNK];
                let mut count = 0;
                for row in (from..to).filter(|r| complete.is_valid(*r)) {
                    list[count] = row as u32;
                    count += 1;
                }
                self.some(from..to, &list[..count])?;
            }
        }
        if !self.inner.bounded {
            output::finish(&self.inner.manifest.output(), &mut self.results[from..to]);
        }
        Ok(())
    }

    fn all(&mut self, from: usize, to: usize) -> Result<(), SandboxError> {
        let step = self.inner.at_once();
        for start in (from..to).step_by(step) {
            let end = to.min(start + step);
            self.inner.run(&mut self.guest, self.columns, Rows::Range(start, end), &mut self.results)?;
        }
        Ok(())
    }

    /// Scores those of the rows `all` that `list` names, which have all they need. The others have a zero, which the mask
    /// hides.
    fn some(&mut self, all: Range<usize>, list: &[u32]) -> Result<(), SandboxError> {
        for rows in list.chunks(self.inner.at_once()) {
            self.inner.run(&mut self.guest, self.columns, Rows::List(rows), &mut self.results)?;
        }
        self.results.resize(all.end, 0.0);
        // From the last to the first: no place is taken before what stood there has moved on.
        for (i, row) in list.iter().enumerate().rev() {
            let score = std::mem::take(&mut self.results[all.start + i]);
            self.results[*row as usize] = score;
        }
        Ok(())
    }

    fn end(self) -> Float64Array {
        self.inner.give_back(self.guest);
        Float64Array::new(ScalarBuffer::from(self.results), self.columns.complete().cloned())
    }
}
