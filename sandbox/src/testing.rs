//! What differential tests need from the inside: the module that really runs, for a second engine.
//! Not part of the interface.

use crate::rewrite::{self, Containment, Plan};
use crate::verify::Verified;

/// A rewritten module and where its columns and results lie in its exported memory.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The module, which exports `memory`, `init` and `run`.
    pub wasm: Vec<u8>,
    /// The first byte of each column.
    pub columns: Vec<usize>,
    /// The first byte of the results.
    pub results: usize,
}

/// Rewrites a module, with the undo log or for fresh instances.
pub fn rewritten(verified: &Verified, undo: bool) -> Option<Rewritten> {
    let containment = if undo { Containment::Undo } else { Containment::Fresh };
    let plan = Plan::of(verified, containment);
    Some(Rewritten {
        wasm: rewrite::rewrite(verified, &plan).ok()?.wasm,
        columns: (0..plan.params.len()).map(|i| plan.layout.column(i) as usize).collect(),
        results: plan.layout.results() as usize,
    })
}

/// Whether a module runs two rows at once.
pub fn in_pairs(verified: &Verified) -> bool {
    rewrite::in_pairs(verified, &Plan::of(verified, Containment::Undo))
}
