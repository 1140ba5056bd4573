//! The host: compiles verified modules and runs them over Arrow columns.

mod columns;
mod guest;
mod output;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, Float64Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use wasmtime::{Config, Engine, InstancePre, Linker, Module, OptLevel};

use self::columns::{Columns, Rows};
use self::guest::{Birth, Guest, Span};
use crate::limits::{self, CHUNK};
use crate::manifest::{Kind, Manifest};
use crate::rejection::Rejection;
use crate::rewrite::{self, Containment, Plan};
use crate::verify::{Class, Report, Verified};

/// A fault of the host or of its caller. Never of a model: what a model does wrong gives its unit the
/// default. Carries numbers of features and rows, no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// Not one column per feature.
    #[error("the model has {expected} features, {got} columns were given")]
    Columns {
        /// Features of the model.
        expected: usize,
        /// Columns given.
        got: usize,
    },
    /// A column whose type the feature does not accept.
    #[error("the column for feature {feature} has a type that the feature does not accept")]
    Type {
        /// Number of the feature, from 0.
        feature: usize,
    },
    /// Columns of different lengths.
    #[error("the column for feature {feature} has {got} rows instead of {expected}")]
    Rows {
        /// Number of the feature, from 0.
        feature: usize,
        /// Rows that it should have.
        expected: usize,
        /// Rows that it has.
        got: usize,
    },
    /// More rows than can be numbered in one call.
    #[error("a call takes at most 2^31 rows")]
    TooManyRows,
    /// Ranges of units that overlap, run backwards or go past the end.
    #[error("the range of unit {unit} is out of order")]
    Units {
        /// Number of the unit, from 0.
        unit: usize,
    },
    /// `score` was called on a unit model or `fold` on a row model.
    #[error("the model is of the other kind")]
    Kind,
    /// The machine has no room for another instance.
    #[error("no room for another instance")]
    Exhausted,
    /// The WebAssembly engine failed where it cannot.
    #[error("the sandbox failed: {0}")]
    Internal(&'static str),
}

/// How a sandbox is set up. The default runs in this process with nothing kept between runs.
#[derive(Debug, Clone, Default)]
pub struct SandboxConfig {
    fresh_instances: bool,
}

impl SandboxConfig {
    /// With `true`, a contained model gets a fresh instance for every unit: slow, and the yardstick
    /// for everything faster.
    #[must_use]
    pub fn fresh_instances(mut self, fresh: bool) -> Self {
        self.fresh_instances = fresh;
        self
    }
}

/// The engines that models run on. One per process is enough; it can be shared between threads.
pub struct Sandbox {
    /// For modules that cannot tell NaNs apart.
    plain: Engine,
    /// For modules that could.
    canonical: Engine,
    config: SandboxConfig,
}

impl Sandbox {
    /// Sets the engines up.
    ///
    /// # Errors
    /// [`SandboxError::Internal`] where the machine cannot run compiled WebAssembly.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let engine = |canonical| Engine::new(&engine_config(canonical)).map_err(|_| SandboxError::Internal("engine"));
        Ok(Self { plain: engine(false)?, canonical: engine(true)?, config })
    }

    /// Compiles a verified module and brings its first instance up.
    ///
    /// # Errors
    /// `model/manifest` when `manifest` is not the one the module was verified under, `model/compile`
    /// when the compiler gives up, `model/start` when data segments or the start function fail.
    pub fn load(&self, verified: &Verified, manifest: &Manifest) -> Result<Model, Rejection> {
        if verified.manifest() != manifest {
            return Err(Rejection::new(
                "model/manifest",
                "the module was verified under another manifest",
                "该模块是按另一份清单校验的",
            ));
        }
        let containment = if self.config.fresh_instances { Containment::Fresh } else { Containment::Undo };
        let plan = Plan::of(verified, containment);
        let wasm = rewrite::rewrite(verified, &plan).map_err(|_| compile_failed())?;
        let engine = if verified.report().canonical_nan { &self.canonical } else { &self.plain };
        let module = Module::from_binary(engine, &wasm).map_err(|_| compile_failed())?;
        let pre = Linker::new(engine).instantiate_pre(&module).map_err(|_| compile_failed())?;
        let first = Guest::new(&pre, manifest.kind()).map_err(|birth| match birth {
            Birth::Guest => Rejection::new(
                "model/start",
                "the module does not come up: a segment lies out of bounds, or its start function traps or does not end within the fuel",
                "模块无法启动：数据段或元素段越界，或启动函数出错、未在燃料限额内结束",
            ),
            Birth::Host => Rejection::new("model/start", "the machine has no room for the module", "系统资源不足，无法启动模块"),
        })?;
        Ok(Model(Arc::new(Inner {
            manifest: manifest.clone(),
            report: verified.report().clone(),
            digest: verified.digest().to_owned(),
            fresh: containment == Containment::Fresh && verified.report().class == Class::Contained,
            plan,
            pre,
            idle: Mutex::new(vec![first]),
        })))
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.config).finish_non_exhaustive()
    }
}

fn compile_failed() -> Rejection {
    Rejection::new("model/compile", "the module cannot be compiled", "模块无法编译")
}

fn engine_config(canonical_nan: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(true)
        .wasm_tail_call(true)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(canonical_nan)
        .max_wasm_stack(limits::STACK_BYTES)
        // Memories never move, so that the compiled loop need not ask where they are.
        .memory_may_move(false);
    config
}

/// A model that is ready to run. Cheap to clone; calls from several threads run side by side, each on
/// an instance of its own.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    manifest: Manifest,
    report: Report,
    digest: String,
    plan: Plan,
    pre: InstancePre<()>,
    /// Whether instances are thrown away after each unit.
    fresh: bool,
    /// Instances in their initial state.
    idle: Mutex<Vec<Guest>>,
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
    fn guest(&self) -> Result<Guest, SandboxError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(guest) => Ok(guest),
            None => self.fresh_guest(),
        }
    }

    fn fresh_guest(&self) -> Result<Guest, SandboxError> {
        // The first instance came up, and each one does the same: only the machine can be in the way.
        Guest::new(&self.pre, self.manifest.kind()).map_err(|_| SandboxError::Exhausted)
    }

    /// Keeps an instance for the next call. One that was lost to an error is not missed.
    fn give_back(&self, guest: Guest) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(guest);
    }

    /// Rows or units that one instance may work on without being replaced.
    fn at_once(&self) -> usize {
        if self.fresh { 1 } else { CHUNK }
    }

    fn replace(&self, guest: &mut Guest) -> Result<(), SandboxError> {
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

/// Folding in progress: units are gathered until a chunk is full.
struct Fold<'a> {
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
    fn new(inner: &'a Inner, columns: &'a Columns<'a>) -> Result<Self, SandboxError> {
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

    fn unit(&mut self, range: Range<usize>) -> Result<(), SandboxError> {
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

    fn end(mut self) -> Result<Vec<f64>, SandboxError> {
        self.flush(false)?;
        self.inner.give_back(self.guest);
        Ok(self.results)
    }
}
