//! The static verifier: arbitrary bytes in, a module with proven properties out.

pub(crate) mod facts;
pub(crate) mod graph;
pub(crate) mod ops;
mod report;

use wasmparser::{Parser, ValType};

pub use self::report::{Class, Cost, Report};

use self::facts::{Facts, Function};
use self::graph::Graph;
use crate::limits as max;
use crate::manifest::{FeatureType, Kind, Manifest};
use crate::rejection::Rejection;

/// A module that passed the verifier under a manifest: within every bound, valid, without imports,
/// exporting the functions that the manifest promises, with its class and cost known.
#[derive(Clone)]
pub struct Verified {
    wasm: Vec<u8>,
    digest: String,
    manifest: Manifest,
    facts: Facts,
    graph: Graph,
    roots: Vec<u32>,
    report: Report,
}

impl Verified {
    /// Verifies `bytes`, a binary module or the text format, under `manifest`.
    ///
    /// Total: any byte string comes back as a value, after work proportional to its length.
    ///
    /// # Errors
    /// All reasons that can be told apart: not a module, beyond a bound, a refused proposal, imports,
    /// exports that do not match the manifest, more memory than the manifest allows.
    pub fn check(bytes: &[u8], manifest: &Manifest) -> Result<Self, Vec<Rejection>> {
        let wasm = binary(bytes).map_err(|r| vec![r])?;
        let facts = facts::read(&wasm).map_err(|r| vec![r])?;
        let mut wrong = memory(&facts, manifest);
        wrong.extend(segments(&facts));
        let roots = match roots(&facts, manifest) {
            Ok(roots) => roots,
            Err(more) => {
                wrong.extend(more);
                return Err(wrong);
            }
        };
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let graph = Graph::build(&wasm, &facts, &roots);
        let report = report(&wasm, &facts, &graph, &roots, manifest);
        Ok(Self { digest: digest_of(&wasm), manifest: manifest.clone(), wasm, facts, graph, roots, report })
    }

    /// The binary module.
    pub fn wasm(&self) -> &[u8] {
        &self.wasm
    }

    /// SHA-256 of the binary module, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the verifier found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The manifest that the module was verified under.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The row model's function, or `begin`, `step`, `finish`.
    pub(crate) fn roots(&self) -> &[u32] {
        &self.roots
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("digest", &self.digest).field("report", &self.report).finish_non_exhaustive()
    }
}

/// SHA-256 in hexadecimal: how a module is called.
pub(crate) fn digest_of(wasm: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, wasm).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The binary module: as it is, or assembled from the text format.
fn binary(bytes: &[u8]) -> Result<Vec<u8>, Rejection> {
    if bytes.starts_with(b"\0asm") {
        too_large(bytes.len(), max::MODULE_BYTES)?;
        if Parser::is_component(bytes) {
            return Err(Rejection::new(
                "model/component",
                "this is a component; a model is a core module",
                "这是组件（component）；模型应为核心模块",
            )
            .hint("build for wasm32-unknown-unknown", "请以 wasm32-unknown-unknown 为目标编译"));
        }
        return Ok(bytes.to_vec());
    }
    too_large(bytes.len(), max::TEXT_BYTES)?;
    let not_wasm = || {
        Rejection::new(
            "model/not-wasm",
            "this is neither a WebAssembly module nor its text format",
            "这既不是 WebAssembly 模块，也不是其文本格式",
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|_| not_wasm())?;
    if !text.contains("(module") {
        return Err(not_wasm());
    }
    let wasm = wat::parse_str(text).map_err(|e| {
        // The assembler's message quotes the source; the place is all that is passed on.
        let place = place_in(&e.to_string());
        let rejection = Rejection::new("model/wat", "the text format cannot be assembled", "文本格式无法汇编");
        match place {
            Some(place) => rejection.at(place),
            None => rejection,
        }
    })?;
    too_large(wasm.len(), max::MODULE_BYTES)?;
    Ok(wasm)
}

/// `line N, column M` out of the `<anon>:N:M` of the assembler's message.
fn place_in(message: &str) -> Option<String> {
    let rest = message.split("<anon>:").nth(1)?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    let (line, column) = (numbers.next()?, numbers.next()?);
    (!line.is_empty() && !column.is_empty()).then(|| format!("line {line}, column {column}"))
}

fn too_large(len: usize, bound: usize) -> Result<(), Rejection> {
    if len <= bound {
        return Ok(());
    }
    Err(Rejection::new(
        "model/too-large",
        format!("the module has {len} bytes; at most {bound} are taken"),
        format!("模块有 {len} 字节，上限为 {bound} 字节"),
    )
    .hint("strip names and debug information", "请去除符号名与调试信息"))
}

fn memory(facts: &Facts, manifest: &Manifest) -> Vec<Rejection> {
    let pages = manifest.limits().memory_pages();
    match &facts.memory {
        Some(memory) if memory.initial > u64::from(pages) => vec![
            Rejection::new(
                "model/memory",
                format!("the module starts with {} pages of memory; the manifest allows {pages}", memory.initial),
                format!("模块初始内存为 {} 页，清单只允许 {pages} 页", memory.initial),
            )
            .hint(
                "raise limits.memory_pages or link with a smaller stack (-z stack-size)",
                "请调高 limits.memory_pages，或以更小的栈（-z stack-size）链接",
            ),
        ],
        _ => Vec::new(),
    }
}

fn segments(facts: &Facts) -> Option<Rejection> {
    let bytes = facts.memory.as_ref().map_or(0, |m| m.initial.saturating_mul(65_536));
    (facts.data_end > bytes).then(|| {
        Rejection::new(
            "model/segment",
            format!("a data segment ends at byte {} of a memory of {bytes} bytes", facts.data_end),
            format!("数据段止于第 {} 字节，而内存只有 {bytes} 字节", facts.data_end),
        )
    })
}

/// The functions that the manifest promises, or what is wrong with them.
fn roots(facts: &Facts, manifest: &Manifest) -> Result<Vec<u32>, Vec<Rejection>> {
    let params: Vec<ValType> = manifest.features().iter().map(|f| value_type(f.feature_type())).collect();
    let wanted: &[(&str, &[ValType], &[ValType])] = match manifest.kind() {
        Kind::Row => &[(manifest.export(), &params, &[ValType::F64])],
        Kind::Unit => &[("begin", &[], &[]), ("step", &params, &[]), ("finish", &[], &[ValType::F64])],
    };
    let mut roots = Vec::new();
    let mut wrong = Vec::new();
    for (name, params, results) in wanted {
        let wants = signature(params, results);
        let Some(&index) = facts.exports.get(*name) else {
            wrong.push(Rejection::new(
                "model/export-missing",
                format!("the module does not export the function `{name}`, {wants}"),
                format!("模块未导出函数 `{name}`（{wants}）"),
            ));
            continue;
        };
        let ty = &facts.types[facts.functions[index as usize] as usize];
        if ty.params() != *params || ty.results() != *results {
            let has = signature(ty.params(), ty.results());
            wrong.push(
                Rejection::new(
                    "model/export-type",
                    format!("`{name}` is {has}; the manifest's features make it {wants}"),
                    format!("`{name}` 的类型为 {has}，按清单的特征应为 {wants}"),
                )
                .at(format!("function `{name}`")),
            );
        }
        roots.push(index);
    }
    if wrong.is_empty() { Ok(roots) } else { Err(wrong) }
}

/// The most callers that a report names.
const WAY: usize = 5;

fn value_type(t: FeatureType) -> ValType {
    match t {
        FeatureType::F64 => ValType::F64,
        FeatureType::F32 => ValType::F32,
        FeatureType::I64 => ValType::I64,
        FeatureType::I32 => ValType::I32,
    }
}

/// A function type in a message: `(f64 f64) -> f64`, bounded by the verifier's bound on arity.
fn signature(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| {
        let words: Vec<String> = types.iter().map(ToString::to_string).collect();
        format!("({})", words.join(" "))
    };
    format!("{} -> {}", list(params), list(results))
}

fn report(wasm: &[u8], facts: &Facts, graph: &Graph, roots: &[u32], manifest: &Manifest) -> Report {
    let first = |find: &dyn Fn(&Function) -> Option<String>| {
        facts
            .bodies
            .iter()
            .enumerate()
            .filter(|(i, _)| graph.from_model[*i])
            .find_map(|(i, f)| find(f).map(|what| format!("{} in {}", what, way_to(facts, graph, i))))
    };
    let write = first(&|f| f.write.as_ref().map(|(op, at)| format!("{op} at offset {at}")));
    let unbounded = first(&|f| f.loops.map(|at| format!("loop at offset {at}")))
        .or_else(|| first(&|f| f.dynamic.as_ref().map(|(op, at)| format!("{op} at offset {at}"))))
        .or_else(|| {
            let i = (0..facts.functions.len()).find(|i| graph.from_model[*i] && graph.recursive[*i])?;
            Some(format!("recursion through {}", way_to(facts, graph, i)))
        });
    let fuel = manifest.limits().fuel();
    let worst = roots.iter().fold(0_u64, |sum, r| sum.saturating_add(graph.worst[*r as usize]));
    let why_not_bounded = unbounded
        .or_else(|| (manifest.kind() == Kind::Unit).then(|| "a unit may have any number of rows".to_owned()))
        .or_else(|| (worst > fuel).then(|| format!("its worst case, {worst}, is more than the fuel of the manifest")));
    let (memory_pages, memory_pages_max) = pages(facts, graph, manifest);
    let reachable = |i: &usize| graph.reachable[*i];
    Report {
        class: if write.is_some() { Class::Contained } else { Class::Stateless },
        cost: if why_not_bounded.is_some() { Cost::Metered(fuel) } else { Cost::Bounded(worst) },
        memory_pages,
        memory_pages_max,
        why_not_stateless: write,
        why_not_bounded,
        functions: facts.functions.len() as u32,
        reachable_functions: (0..facts.functions.len()).filter(reachable).count() as u32,
        constant_bytes: facts.constant_bytes,
        module_bytes: wasm.len() as u64,
        canonical_nan: sees_nan(facts, graph),
        start: facts.start.is_some(),
    }
}

/// Whether what can run could tell one NaN from another: it looks at bits of floats, or reads floats of one width
/// as floats of the other.
fn sees_nan(facts: &Facts, graph: &Graph) -> bool {
    let running = || facts.bodies.iter().zip(&graph.reachable).filter(|(_, r)| **r).map(|(f, _)| f);
    running().any(|f| f.sees_nan) || (running().any(|f| f.float_lanes.0) && running().any(|f| f.float_lanes.1))
}

/// Pages of memory at the start and at most. Both are bounded by the manifest.
fn pages(facts: &Facts, graph: &Graph, manifest: &Manifest) -> (u32, u32) {
    let Some(memory) = &facts.memory else {
        return (0, 0);
    };
    let bound = manifest.limits().memory_pages();
    let initial = u32::try_from(memory.initial).unwrap_or(bound).min(bound);
    let grows = facts.bodies.iter().zip(&graph.reachable).any(|(f, r)| *r && f.grows);
    if !grows {
        return (initial, initial);
    }
    let most = memory.maximum.and_then(|m| u32::try_from(m).ok()).unwrap_or(bound);
    (initial, most.min(bound))
}

/// A function, and who calls it on a shortest way from the model's own.
fn way_to(facts: &Facts, graph: &Graph, i: usize) -> String {
    let mut way = function_name(facts, i);
    let mut at = i;
    for step in 0.. {
        let Some(caller) = graph.called_by[at] else { break };
        if step == WAY {
            way.push_str(", called by others");
            break;
        }
        at = caller as usize;
        way.push_str(", called by ");
        way.push_str(&function_name(facts, at));
    }
    way
}

fn function_name(facts: &Facts, i: usize) -> String {
    let index = i as u32;
    match facts.names.get(&index) {
        Some(name) => format!("function {i} `{name}`"),
        None => format!("function {i}"),
    }
}
