//! What is loaded of a model, and what of it stays between two runs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::compile::{Code, Name};
use crate::manifest::Manifest;
use crate::rewrite::Layout;
use crate::verify::Report;

/// Models that stay loaded in a process.
const MODELS: usize = 64;
/// Bytes of machine code that they may have together.
const BYTES: usize = 256 << 20;

/// A model's machine code, ready for instances, and what is known of it. It has no memory of any instance.
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    pub(super) report: Report,
    pub(super) digest: String,
    pub(super) layout: Layout,
    pub(super) code: Code,
    /// Whether instances are thrown away after each unit.
    pub(super) fresh: bool,
    /// Whether its results come within the manifest's range and on its grid.
    pub(super) bounded: bool,
    pub(super) max_unit_time: OnceLock<Duration>,
}

/// The models that were used last. Instances are not kept: the memory of the units that they saw goes with the run.
#[derive(Default)]
pub(super) struct Kept {
    /// The latest at the end.
    models: Vec<(Name, Arc<Loaded>)>,
}

impl Kept {
    /// The model `name`, which is then the latest.
    pub(super) fn get(&mut self, name: &Name) -> Option<Arc<Loaded>> {
        let at = self.models.iter().position(|(n, _)| n == name)?;
        let found = self.models.remove(at);
        let loaded = Arc::clone(&found.1);
        self.models.push(found);
        Some(loaded)
    }

    /// Keeps a model, and gives it back. Others make room for it, the longest unused first; one that is too large by
    /// itself is not kept.
    pub(super) fn put(&mut self, name: Name, loaded: Arc<Loaded>) -> Arc<Loaded> {
        self.models.retain(|(n, _)| *n != name);
        self.models.push((name, Arc::clone(&loaded)));
        let mut bytes: usize = self.models.iter().map(|(_, l)| l.code.length()).sum();
        let mut go = 0;
        while self.models.len() - go > MODELS || bytes > BYTES {
            bytes -= self.models[go].1.code.length();
            go += 1;
        }
        self.models.drain(..go);
        loaded
    }
}
