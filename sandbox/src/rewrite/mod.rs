//! The module that really runs: the author's functions, metered where they have to be, and a driver
//! that loops over the rows inside the module.
//!
//! The driver's columns, results and notes lie in a second memory. The guest cannot address it: its
//! own code may only name memory 0 (the verifier lets one memory in), or none at all.

mod body;
mod driver;
mod layout;

use wasm_encoder as enc;
use wasm_encoder::reencode::{Error, Reencode};
use wasmparser::{Parser, Payload};

pub(crate) use self::layout::Layout;

use crate::limits;
use crate::manifest::{FeatureType, Kind};
use crate::verify::{Class, Cost, Verified};

/// Names of what the host calls in the rewritten module.
pub(crate) mod export {
    /// The memory of columns and results.
    pub(crate) const MEMORY: &str = "memory";
    /// Runs the start function, if there is one, and fixes the initial state.
    pub(crate) const INIT: &str = "init";
    /// Runs rows or units.
    pub(crate) const RUN: &str = "run";
}

/// How a module is rewritten.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) params: Vec<FeatureType>,
    pub(crate) roots: Vec<u32>,
    pub(crate) metered: bool,
    pub(crate) contained: bool,
    pub(crate) fuel: u64,
    pub(crate) start: Option<u32>,
    pub(crate) layout: Layout,
    pub(crate) index: Index,
}

/// Numbers of what the rewriting adds behind the author's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index {
    /// The host's memory.
    pub(crate) memory: u32,
    /// Fuel left, `i64`.
    pub(crate) fuel: u32,
    /// Stack left, in the verifier's estimated bytes, `i32`.
    pub(crate) depth: u32,
    pub(crate) types: u32,
    pub(crate) functions: u32,
}

impl Plan {
    pub(crate) fn of(verified: &Verified) -> Self {
        let facts = verified.facts();
        let manifest = verified.manifest();
        let report = verified.report();
        let contained = report.class == Class::Contained;
        let globals = facts.globals.len() as u32;
        Plan {
            kind: manifest.kind(),
            params: manifest.features().iter().map(|f| f.feature_type()).collect(),
            roots: verified.roots().to_vec(),
            metered: matches!(report.cost, Cost::Metered(_)) || facts.start.is_some(),
            contained,
            fuel: manifest.limits().fuel(),
            start: facts.start,
            layout: Layout::new(manifest.features().len()),
            index: Index {
                memory: u32::from(facts.memory.is_some()),
                fuel: globals,
                depth: globals + 1,
                types: facts.types.len() as u32,
                functions: facts.functions.len() as u32,
            },
        }
    }
}

/// The sections of the new module, in the order of the binary format.
#[derive(Default)]
struct Sections {
    types: enc::TypeSection,
    functions: enc::FunctionSection,
    tables: enc::TableSection,
    memories: enc::MemorySection,
    globals: enc::GlobalSection,
    exports: enc::ExportSection,
    elements: enc::ElementSection,
    data_count: Option<u32>,
    code: enc::CodeSection,
    data: enc::DataSection,
}

/// Copies what is the author's, with the bounds that the sandbox sets to it.
pub(crate) struct Copier;

impl Reencode for Copier {
    type Error = std::convert::Infallible;

    /// A table may grow up to the bound on all tables' elements and no further.
    fn table_type(&mut self, ty: wasmparser::TableType) -> Result<enc::TableType, Error<Self::Error>> {
        let mut ty = enc::reencode::utils::table_type(self, ty)?;
        ty.maximum = Some(ty.maximum.unwrap_or(u64::MAX).min(limits::TABLE_ELEMENTS));
        Ok(ty)
    }
}

/// Rewrites a verified module. Only a fault of this crate can make it fail.
pub(crate) fn rewrite(verified: &Verified, plan: &Plan) -> Result<Vec<u8>, Fault> {
    let wasm = verified.wasm();
    let mut out = Sections::default();
    let mut function = 0_usize;
    let mut re = Copier;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|_| Fault)? {
            Payload::TypeSection(r) => re.parse_type_section(&mut out.types, r).map_err(|_| Fault)?,
            Payload::FunctionSection(r) => re.parse_function_section(&mut out.functions, r).map_err(|_| Fault)?,
            Payload::TableSection(r) => re.parse_table_section(&mut out.tables, r).map_err(|_| Fault)?,
            Payload::GlobalSection(r) => re.parse_global_section(&mut out.globals, r).map_err(|_| Fault)?,
            Payload::ElementSection(r) => re.parse_element_section(&mut out.elements, r).map_err(|_| Fault)?,
            Payload::DataCountSection { count, .. } => out.data_count = Some(count),
            Payload::DataSection(r) => re.parse_data_section(&mut out.data, r).map_err(|_| Fault)?,
            Payload::CodeSectionEntry(body) => {
                body::rewrite(&mut out.code, function, &body, verified, plan)?;
                function += 1;
            }
            _ => {}
        }
    }
    memories(&mut out, verified, plan);
    globals(&mut out, plan);
    driver::add(&mut out, plan);
    Ok(assemble(&out))
}

/// The guest's memory with its declared limits, cut to the manifest's, and the host's behind it.
fn memories(out: &mut Sections, verified: &Verified, plan: &Plan) {
    let report = verified.report();
    if verified.facts().memory.is_some() {
        out.memories.memory(fixed(report.memory_pages.into(), report.memory_pages_max.into()));
    }
    let pages = plan.layout.pages();
    out.memories.memory(fixed(pages, pages));
}

fn fixed(minimum: u64, maximum: u64) -> enc::MemoryType {
    enc::MemoryType { minimum, maximum: Some(maximum), memory64: false, shared: false, page_size_log2: None }
}

fn globals(out: &mut Sections, _plan: &Plan) {
    let global = |val_type| enc::GlobalType { val_type, mutable: true, shared: false };
    out.globals.global(global(enc::ValType::I64), &enc::ConstExpr::i64_const(0));
    out.globals.global(global(enc::ValType::I32), &enc::ConstExpr::i32_const(limits::STACK_BUDGET as i32));
}

fn assemble(out: &Sections) -> Vec<u8> {
    let mut module = enc::Module::new();
    module
        .section(&out.types)
        .section(&out.functions)
        .section(&out.tables)
        .section(&out.memories)
        .section(&out.globals)
        .section(&out.exports)
        .section(&out.elements);
    if let Some(count) = out.data_count {
        module.section(&enc::DataCountSection { count });
    }
    module.section(&out.code).section(&out.data);
    module.finish()
}

/// The rewriting met something that the verifier should have refused.
#[derive(Debug)]
pub(crate) struct Fault;
