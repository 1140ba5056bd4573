//! A loaded model.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, Float64Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use wasmtime::InstancePre;

use super::columns::{self, Columns, Rows};
use super::fold::Fold;
use super::guest::{Guest, Span};
use super::{SandboxError, output};
use crate::limits::CHUNK;
use crate::manifest::{Kind, Manifest};
use crate::rewrite::Plan;
use crate::verify::Report;

/// A model that is ready to run. Cheap to clone; calls from several threads run side by side, each on
/// an instance of its own.
#[derive(Clone)]
pub struct Model(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) manifest: Manifest,
    pub(super) report: Report,
    pub(super) digest: String,
    pub(super) plan: Plan,
    pub(super) pre: InstancePre<()>,
    /// Whether instances are thrown away after each unit.
    pub(super) fresh: bool,
    /// Instances in their initial state.
    pub(super) idle: Mutex<Vec<Guest>>,
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
        let inner = &*self.0;
        if inner.manifest.kind() != Kind::Row {
            return Err(SandboxError::Kind);
        }
        numbered(rows)?;
        let columns = Columns::bind(columns, inner.manifest.features(), rows)?;
        let mut results = vec![0.0; rows];
        let mut guest = inner.guest()?;
        match columns.complete().cloned() {
            None => inner.score_all(&mut guest, &columns, &mut results)?,
            Some(complete) => inner.score_complete(&mut guest, &columns, &complete, &mut results)?,
        }
        inner.give_back(guest);
        output::finish(&inner.manifest.output(), &mut results);
        let nulls = columns.complete().cloned();
        Ok(Float64Array::new(ScalarBuffer::from(results), nulls))
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
        let columns = Columns::bind(columns, inner.manifest.features(), rows)?;
        columns::check_units(units, rows)?;
        let mut fold = Fold::new(inner, &columns)?;
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
        Guest::new(&self.pre, self.manifest.kind()).map_err(|_| SandboxError::Exhausted)
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

    fn score_rows(
        &self,
        guest: &mut Guest,
        columns: &Columns<'_>,
        rows: Rows<'_>,
        results: &mut [f64],
    ) -> Result<(), SandboxError> {
        let layout = &self.plan.layout;
        let span = Span { count: rows.len(), open: false, unclosed: false };
        let fill = |bytes: &mut [u8]| columns.write(rows, bytes, |i| layout.column(i) as usize);
        guest.run(layout, span, results, fill, || self.fresh_guest())?;
        self.replace(guest)
    }

    fn score_all(&self, guest: &mut Guest, columns: &Columns<'_>, results: &mut [f64]) -> Result<(), SandboxError> {
        let step = self.at_once();
        for (i, results) in results.chunks_mut(step).enumerate() {
            let rows = Rows::Range(i * step, i * step + results.len());
            self.score_rows(guest, columns, rows, results)?;
        }
        Ok(())
    }

    /// As [`score_all`](Self::score_all), for the rows that have all they need.
    fn score_complete(
        &self,
        guest: &mut Guest,
        columns: &Columns<'_>,
        complete: &NullBuffer,
        results: &mut [f64],
    ) -> Result<(), SandboxError> {
        let rows: Vec<u32> = complete.valid_indices().map(|r| r as u32).collect();
        let mut chunk = [0.0; CHUNK];
        for rows in rows.chunks(self.at_once()) {
            let chunk = &mut chunk[..rows.len()];
            self.score_rows(guest, columns, Rows::List(rows), chunk)?;
            for (row, result) in rows.iter().zip(chunk) {
                results[*row as usize] = *result;
            }
        }
        Ok(())
    }
}
