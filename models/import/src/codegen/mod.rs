//! From a model to a WebAssembly module: no import, no write, no loop, no recursion.

mod emit;
mod lanes;
mod math;
mod matrix;
mod module;
mod needed;
mod nested;
mod trees;

use std::collections::BTreeMap;

use crate::ir::Model;
use crate::refusal::Refusal;

/// How trees become code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Whichever is estimated to be faster, tree by tree.
    #[default]
    Auto,
    /// Nested conditionals.
    Nested,
    /// Sixteen trees at once in the lanes of vectors, where a tree fits.
    Lanes,
}

/// A module and what it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    pub(crate) wasm: Vec<u8>,
    pub(crate) memory_pages: u32,
    /// The most fuel of one row, per export, counted as the sandbox counts it.
    pub(crate) cost: BTreeMap<String, u64>,
    /// How many trees became code of which shape.
    pub(crate) shapes: BTreeMap<&'static str, usize>,
}

/// Generates the module of a model.
pub(crate) fn generate(model: &Model, style: Style) -> Result<Generated, Refusal> {
    let mut emitter = emit::Emitter::new(model, style);
    for output in &model.outputs {
        emitter.export(output)?;
    }
    emitter.finish()
}

/// Which inputs the answers of a model depend on.
pub(crate) fn used_inputs(model: &Model) -> Vec<bool> {
    let mut used = vec![false; model.inputs.len()];
    for output in &model.outputs {
        let needed = needed::of(&model.graph, output.value);
        for (value, needed) in model.graph.values().iter().zip(needed) {
            if let Some(i) = crate::naming::input_of(&value.op)
                && !needed.is_empty()
                && let Some(flag) = used.get_mut(i)
            {
                *flag = true;
            }
        }
    }
    used
}
