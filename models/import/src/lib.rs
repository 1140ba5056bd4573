//! Trained model files become models that the sandbox runs: stateless, bounded WebAssembly and its manifest.
//!
//! Nobody who works at an operating institution writes WebAssembly; they have a model file. [`import`] reads it as
//! hostile input, turns it into operations with a static worst case, and generates code that needs no import,
//! writes nothing and has no loop. What it answers is what the original runtime answers: comparisons in the
//! source's own precision, sums in the source's order.
//!
//! ```text
//! bytes ─ parse ─▶ ir::Model ─ codegen ─▶ module        Naming ─▶ manifest
//! ```
//!
//! The crate knows neither the engine nor the sandbox; tests run what it makes through the sandbox.

mod codegen;
pub mod ir;
pub mod limits;
mod manifest;
mod naming;
mod parse;
mod refusal;
mod summary;

pub use codegen::Style;
pub use naming::Naming;
pub use parse::Format;
pub use refusal::Refusal;
pub use summary::Summary;

/// What comes of a model file.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The module.
    pub wasm: Vec<u8>,
    /// The module's file name.
    pub file: String,
    /// Manifests: file name and text. One for each output; `model.toml` where there is one.
    pub manifests: Vec<(String, String)>,
    /// What a person reads of it.
    pub summary: Summary,
    /// The model as it was understood.
    pub model: ir::Model,
}

/// Imports a model file.
///
/// # Errors
/// All reasons that can be told apart, each with the operator or field that it is about.
pub fn import(bytes: &[u8], naming: &Naming) -> Result<Imported, Vec<Refusal>> {
    import_styled(bytes, naming, Style::Auto)
}

/// As [`import`], with a say in how trees become code; for measurements and tests.
///
/// # Errors
/// As [`import`].
pub fn import_styled(bytes: &[u8], naming: &Naming, style: Style) -> Result<Imported, Vec<Refusal>> {
    let format = Format::of(bytes).map_err(|r| vec![r])?;
    let mut model = parse::parse(format, bytes)?;
    let unused = naming::drop_unused(&mut model);
    let named = naming.apply(&mut model)?;
    let generated = codegen::generate(&model, style).map_err(|r| vec![r])?;
    let file = format!("{}.wasm", named.id.replace('-', "_"));
    let manifests = manifest::all(&model, &named, &file, &generated)?;
    let summary = summary::of(&model, &named, &generated, unused);
    Ok(Imported { wasm: generated.wasm, file, manifests, summary, model })
}
