//! The module that really runs: the author's functions, metered where they have to be, and a driver
//! that loops over the rows inside the module.
//!
//! The driver's columns, results and notes lie in a second memory. The guest cannot address it: its
//! own code may only name memory 0 (the verifier lets one memory in), or none at all.

mod body;
mod contain;
mod driver;
mod lanes;
mod layout;
mod range;
mod saves;

use wasm_encoder as enc;
use wasm_encoder::reencode::{Error, Reencode};
use wasmparser::{Parser, Payload, ValType};

pub(crate) use self::layout::Layout;
use self::saves::Types;

use crate::limits;
use crate::manifest::{FeatureType, Kind, Manifest};
use crate::verify::{Class, Cost, Report, Verified};

/// Names of what the host calls in the rewritten module.
pub(crate) mod export {
    /// The memory of columns and results.
    pub(crate) const MEMORY: &str = "memory";
    /// Runs the start function, if there is one, and fixes the initial state.
    pub(crate) const INIT: &str = "init";
    /// Runs rows or units.
    pub(crate) const RUN: &str = "run";
    /// Puts the initial state back after a unit that trapped; only in modules that undo.
    pub(crate) const UNDO: &str = "undo";
}

/// How a module is rewritten.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) params: Vec<FeatureType>,
    pub(crate) roots: Vec<u32>,
    pub(crate) metered: bool,
    /// Whether writes are logged and undone after each unit.
    pub(crate) undo: bool,
    /// Whether the size of the guest's memory is a number of ours.
    pub(crate) growing: bool,
    pub(crate) fuel: u64,
    pub(crate) start: Option<u32>,
    /// Pages that the guest's memory has in the engine.
    pub(crate) guest_pages: u32,
    /// Globals that are put back after each unit.
    pub(crate) kept: Vec<Kept>,
    pub(crate) layout: Layout,
    pub(crate) index: Index,
}

/// A global and the one of ours that holds its initial value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) global: u32,
    pub(crate) shadow: u32,
    ty: ValType,
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
    /// Blocks in the undo log, `i32`.
    pub(crate) log: u32,
    /// Bytes of the guest's memory as the guest sees it, `i64`.
    pub(crate) bytes: u32,
    /// The first type of ours.
    pub(crate) types: u32,
    /// The first function of ours.
    pub(crate) functions: u32,
    /// `save`, and behind it `save_range` and `touch`.
    pub(crate) save: u32,
}

/// How a contained module is brought back to its initial state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Containment {
    /// By undoing its writes.
    Undo,
    /// By throwing the instance away.
    Fresh,
}

/// Where columns and results of a model lie: told by the manifest and the report alone.
pub(crate) fn layout(manifest: &Manifest, report: &Report, containment: Containment) -> Layout {
    let logged = if undoes(report, containment) { guest_pages(report, containment) } else { 0 };
    Layout::new(manifest.features().len(), logged)
}

fn undoes(report: &Report, containment: Containment) -> bool {
    report.class == Class::Contained && containment == Containment::Undo
}

/// Pages of the guest's memory in the engine: all that it may come to have, where that is undone.
fn guest_pages(report: &Report, containment: Containment) -> u32 {
    if undoes(report, containment) { report.memory_pages_max } else { report.memory_pages }
}

impl Plan {
    pub(crate) fn of(verified: &Verified, containment: Containment) -> Self {
        let (facts, report, manifest) = (verified.facts(), verified.report(), verified.manifest());
        let undo = undoes(report, containment);
        let growing = undo && report.memory_pages_max > report.memory_pages;
        let guest_pages = guest_pages(report, containment);
        let globals = facts.globals.len() as u32;
        let functions = facts.functions.len() as u32;
        let mut plan = Plan {
            kind: manifest.kind(),
            params: manifest.features().iter().map(|f| f.feature_type()).collect(),
            roots: verified.roots().to_vec(),
            metered: matches!(report.cost, Cost::Metered(_)) || facts.start.is_some(),
            undo,
            growing,
            fuel: manifest.limits().fuel(),
            start: facts.start,
            guest_pages,
            kept: Vec::new(),
            layout: layout(manifest, report, containment),
            index: Index {
                memory: u32::from(facts.memory.is_some()),
                fuel: globals,
                depth: globals + 1,
                log: globals + 2,
                bytes: globals + 3,
                types: facts.types.len() as u32,
                functions,
                save: functions + driver::SAVE,
            },
        };
        if undo {
            plan.keep(verified);
        }
        plan
    }

    /// Every global that the model's functions can set, and the size of a growing memory.
    fn keep(&mut self, verified: &Verified) {
        let (facts, graph) = (verified.facts(), verified.graph());
        let mut set: Vec<u32> = facts
            .bodies
            .iter()
            .zip(&graph.from_model)
            .filter(|(_, runs)| **runs)
            .flat_map(|(f, _)| f.sets.iter().copied())
            .collect();
        set.sort_unstable();
        set.dedup();
        let mut shadow = self.index.bytes + 1;
        let mut keep = |global, ty| {
            self.kept.push(Kept { global, shadow, ty });
            shadow += 1;
        };
        for global in set {
            keep(global, facts.globals[global as usize].0);
        }
        if self.growing {
            keep(self.index.bytes, ValType::I64);
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

/// The module that runs.
pub(crate) struct Rewritten {
    pub(crate) wasm: Vec<u8>,
    /// Whether its results are within the manifest's range and on its grid already.
    pub(crate) bounded: bool,
}

/// Rewrites a verified module. Only a fault of this crate can make it fail.
pub(crate) fn rewrite(verified: &Verified, plan: &Plan) -> Result<Rewritten, Fault> {
    let wasm = verified.wasm();
    let pairs = lanes::rows(plan, verified);
    let bounded = pairs.is_some();
    let mut out = Sections::default();
    let types = Types::new(&verified.facts().types, &verified.facts().functions);
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
                // Where rows run in pairs, all that runs is in the driver's loop.
                body::rewrite(&mut out.code, function, &body, verified, &types, (!bounded).then_some(plan))?;
                function += 1;
            }
            _ => {}
        }
    }
    memories(&mut out, verified, plan);
    globals(&mut out, verified, plan)?;
    driver::add(&mut out, plan, pairs);
    Ok(Rewritten { wasm: assemble(&out), bounded })
}

/// Whether the driver takes two rows at once.
pub(crate) fn in_pairs(verified: &Verified, plan: &Plan) -> bool {
    lanes::rows(plan, verified).is_some()
}

/// The guest's memory, within the manifest's bound, and the host's behind it.
fn memories(out: &mut Sections, verified: &Verified, plan: &Plan) {
    if verified.facts().memory.is_some() {
        let most = verified.report().memory_pages_max;
        out.memories.memory(memory(plan.guest_pages.into(), most.into()));
    }
    let pages = plan.layout.pages();
    out.memories.memory(memory(pages, pages));
}

fn memory(minimum: u64, maximum: u64) -> enc::MemoryType {
    enc::MemoryType { minimum, maximum: Some(maximum), memory64: false, shared: false, page_size_log2: None }
}

fn globals(out: &mut Sections, verified: &Verified, plan: &Plan) -> Result<(), Fault> {
    let global = |val_type| enc::GlobalType { val_type, mutable: true, shared: false };
    let bytes = i64::from(verified.report().memory_pages) << 16;
    out.globals
        .global(global(enc::ValType::I64), &enc::ConstExpr::i64_const(0))
        .global(global(enc::ValType::I32), &enc::ConstExpr::i32_const(limits::STACK_BUDGET as i32))
        .global(global(enc::ValType::I32), &enc::ConstExpr::i32_const(0))
        .global(global(enc::ValType::I64), &enc::ConstExpr::i64_const(bytes));
    for kept in &plan.kept {
        let ty = Copier.val_type(kept.ty).map_err(|_| Fault)?;
        let zero = match ty {
            enc::ValType::I32 => enc::ConstExpr::i32_const(0),
            enc::ValType::I64 => enc::ConstExpr::i64_const(0),
            enc::ValType::F32 => enc::ConstExpr::f32_const(0.0_f32.into()),
            enc::ValType::F64 => enc::ConstExpr::f64_const(0.0_f64.into()),
            enc::ValType::V128 => enc::ConstExpr::v128_const(0),
            enc::ValType::Ref(r) => enc::ConstExpr::ref_null(r.heap_type),
        };
        out.globals.global(global(ty), &zero);
    }
    Ok(())
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
