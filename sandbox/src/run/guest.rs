//! One instance of a rewritten module, and the loop that outlives its traps.

use std::ops::Range;

use wasmtime::{Instance, Memory, Store, Trap, TypedFunc};

use super::SandboxError;
use crate::compile::{Alive, Code};
use crate::manifest::Kind;
use crate::rewrite::{Layout, export};

type RowsFn = TypedFunc<(i32, i32), i32>;
type UnitsFn = TypedFunc<(i32, i32, i32, i32), i32>;

enum Run {
    Rows(RowsFn),
    Units(UnitsFn),
}

/// An instance in its initial state or, between two calls of an unfinished unit, in that unit's.
pub(crate) struct Guest {
    alive: Alive,
    memory: Memory,
    run: Run,
    /// In modules that undo.
    undo: Option<TypedFunc<(), ()>>,
}

/// Why an instance does not come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Birth {
    /// A data or element segment lies out of bounds, or the start function trapped.
    Guest,
    /// The machine has no room for it.
    Host,
}

/// Units that one call works on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Rows or units from the first of the chunk.
    pub(crate) count: usize,
    /// The first unit goes on where the last call stopped.
    pub(crate) open: bool,
    /// The last unit is not finished yet.
    pub(crate) unclosed: bool,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// The last unit trapped.
    pub(crate) last_trapped: bool,
}

impl Guest {
    pub(crate) fn new(code: &Code, kind: Kind) -> Result<Self, Birth> {
        let mut alive = code.instantiate().map_err(|e| birth(&e))?;
        let (store, instance) = alive.parts();
        let init = instance.get_typed_func::<(), ()>(&mut *store, export::INIT).map_err(|_| Birth::Host)?;
        init.call(&mut *store, ()).map_err(|e| birth(&e))?;
        let (memory, run) = faces(instance, store, kind).ok_or(Birth::Host)?;
        let undo = instance.get_typed_func(store, export::UNDO).ok();
        Ok(Self { alive, memory, run, undo })
    }

    /// The memory of columns and results.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.memory.data_mut(self.alive.store())
    }

    /// Runs the units of `span`, whose columns `fill` writes into the memory, and appends what they give to `results`. A
    /// unit that traps gives a NaN and the next one is begun. An instance that undoing cannot bring back is
    /// replaced by one that `fresh` makes.
    pub(crate) fn run(
        &mut self,
        layout: &Layout,
        span: Span,
        results: &mut Vec<f64>,
        fill: impl Fn(&mut [u8]),
        fresh: impl Fn() -> Result<Guest, SandboxError>,
    ) -> Result<Outcome, SandboxError> {
        let mut outcome = Outcome::default();
        let (mut next, mut open) = (0, span.open);
        fill(self.bytes());
        while next < span.count {
            let from = next;
            let mut trapped = false;
            match self.call(next, span.count, open, span.unclosed) {
                Ok(reached) => next = reached.clamp(from + 1, span.count),
                Err(error) => {
                    error.downcast_ref::<Trap>().ok_or(SandboxError::Internal("call"))?;
                    trapped = true;
                    let current = (self.word(Layout::CURRENT) as usize).clamp(from, span.count - 1);
                    self.put_result(layout, current, f64::NAN);
                    outcome.last_trapped = current + 1 == span.count;
                    next = current + 1;
                    self.undo()?;
                }
            }
            self.take_results(layout, from..next, results);
            open = false;
            // The last unit may be unfinished: what it wrote is still needed then.
            let unfinished = next == span.count && span.unclosed && !trapped;
            if !unfinished && self.word(Layout::RESET) != 0 {
                *self = fresh()?;
                if next < span.count {
                    fill(self.bytes());
                }
            }
        }
        Ok(outcome)
    }

    fn undo(&mut self) -> Result<(), SandboxError> {
        match &self.undo {
            Some(undo) => undo.call(self.alive.store(), ()).map_err(|_| SandboxError::Internal("undo")),
            None => Ok(()),
        }
    }

    fn call(&mut self, from: usize, to: usize, open: bool, unclosed: bool) -> wasmtime::Result<usize> {
        // A chunk has at most CHUNK units; both numbers fit.
        let (from, to) = (from as i32, to as i32);
        let reached = match &self.run {
            Run::Rows(run) => run.call(self.alive.store(), (from, to))?,
            Run::Units(run) => run.call(self.alive.store(), (from, to, open.into(), unclosed.into()))?,
        };
        Ok(reached as usize)
    }

    fn word(&mut self, at: u32) -> u32 {
        let at = at as usize;
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes()[at..at + 4]);
        u32::from_le_bytes(word)
    }

    fn put_result(&mut self, layout: &Layout, i: usize, value: f64) {
        let at = layout.results() as usize + i * 8;
        self.bytes()[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn take_results(&mut self, layout: &Layout, units: Range<usize>, results: &mut Vec<f64>) {
        let place = |unit| layout.results() as usize + unit * 8;
        let (numbers, _) = self.bytes()[place(units.start)..place(units.end)].as_chunks();
        results.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
    }
}

fn faces(instance: &Instance, store: &mut Store<()>, kind: Kind) -> Option<(Memory, Run)> {
    let memory = instance.get_memory(&mut *store, export::MEMORY)?;
    let run = match kind {
        Kind::Row => Run::Rows(instance.get_typed_func(&mut *store, export::RUN).ok()?),
        Kind::Unit => Run::Units(instance.get_typed_func(&mut *store, export::RUN).ok()?),
    };
    Some((memory, run))
}

fn birth(error: &wasmtime::Error) -> Birth {
    if error.downcast_ref::<Trap>().is_some() { Birth::Guest } else { Birth::Host }
}
