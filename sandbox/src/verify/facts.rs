//! One pass over a module's bytes: bounds, validity, and what each function does.

use std::collections::HashMap;

use wasmparser::{
    DataKind, ElementItems, ElementKind, ExternalKind, FuncType, FuncValidatorAllocations, FunctionBody, MemoryType,
    Operator, Parser, Payload, TableInit, ValType, ValidPayload, Validator, WasmFeatures,
};

use super::ops::{self, Write};
use crate::limits as max;
use crate::rejection::{Rejection, clean_name};

/// The proposals that a model may use.
pub(super) const ALLOWED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST);

/// Estimated bytes of a frame without locals and operands.
pub(super) const FRAME_BASE: i64 = 64;

/// What one function does by itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct Function {
    /// Functions that it calls by number.
    pub(crate) calls: Vec<u32>,
    /// Types that it calls through a table.
    pub(crate) indirect: Vec<u32>,
    /// The first instruction that changes what outlives the call, and its offset.
    pub(crate) write: Option<(String, usize)>,
    /// Whether it has a loop, and where.
    pub(crate) loops: Option<usize>,
    /// The first instruction whose work depends on an operand.
    pub(crate) dynamic: Option<(String, usize)>,
    /// Whether it could tell NaNs apart.
    pub(crate) sees_nan: bool,
    /// Whether it has vectors of four floats, and of two.
    pub(crate) float_lanes: (bool, bool),
    /// Globals that it sets.
    pub(crate) sets: Vec<u32>,
    /// Whether it grows the memory.
    pub(crate) grows: bool,
    /// The greatest use of its frame, in estimated bytes.
    pub(crate) frame: i64,
    /// Its body within the module.
    pub(crate) body: std::ops::Range<usize>,
}

/// What a module is made of; made only of modules within bounds and valid.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    pub(crate) types: Vec<FuncType>,
    /// Type number of every function.
    pub(crate) functions: Vec<u32>,
    pub(crate) bodies: Vec<Function>,
    pub(crate) memory: Option<MemoryType>,
    /// Value type and mutability of every global.
    pub(crate) globals: Vec<(ValType, bool)>,
    pub(crate) exports: HashMap<String, u32>,
    pub(crate) start: Option<u32>,
    /// Functions whose reference exists anywhere: they may stand in a table.
    pub(crate) referenced: Vec<u32>,
    pub(crate) names: HashMap<u32, String>,
    pub(crate) constant_bytes: u64,
    /// Where the active data segments end.
    pub(crate) data_end: u64,
}

/// The running sums that have a bound over the whole module.
#[derive(Default)]
struct Totals {
    custom: usize,
    table_elements: u64,
    elements: u64,
    br_targets: u64,
    imports: u32,
    first_import: String,
}

pub(super) fn read(wasm: &[u8]) -> Result<Facts, Rejection> {
    let mut scan = Scan {
        facts: Facts::default(),
        totals: Totals::default(),
        validator: Validator::new_with_features(ALLOWED),
        allocations: FuncValidatorAllocations::default(),
    };
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|e| invalid(wasm, &e))?;
        scan.bounds(&payload, wasm)?;
        let valid = scan.validator.payload(&payload).map_err(|e| invalid(wasm, &e))?;
        if let ValidPayload::Func(function, body) = valid {
            let mut validator = function.into_validator(std::mem::take(&mut scan.allocations));
            scan.body(&mut validator, &body, wasm)?;
            scan.allocations = validator.into_allocations();
        }
        scan.payload(payload, wasm)?;
    }
    if scan.totals.imports > 0 {
        return Err(imports(&scan.totals));
    }
    scan.facts.referenced.sort_unstable();
    scan.facts.referenced.dedup();
    Ok(scan.facts)
}

fn imports(totals: &Totals) -> Rejection {
    Rejection::new(
        "model/import",
        format!(
            "the module has {} import(s), the first is {}; a model has none",
            totals.imports, totals.first_import
        ),
        format!("模块有 {} 项导入（首项为 {}）；模型不得有任何导入", totals.imports, totals.first_import),
    )
    .hint(
        "build for wasm32-unknown-unknown without a standard library that needs a host (no WASI, no console, no clock, no random numbers)",
        "请以 wasm32-unknown-unknown 为目标编译，不使用需要宿主支持的标准库（无 WASI、控制台、时钟、随机数）",
    )
}

/// Which refused proposal would have let the module pass beyond the first error.
fn invalid(wasm: &[u8], error: &wasmparser::Error) -> Rejection {
    const REFUSED: [(WasmFeatures, &str, &str, &str); 12] = [
        (WasmFeatures::THREADS, "model/threads", "shared memory or atomic instructions", "共享内存或原子指令"),
        (WasmFeatures::SHARED_EVERYTHING_THREADS, "model/threads", "shared-everything threads", "共享线程"),
        (
            WasmFeatures::RELAXED_SIMD,
            "model/relaxed-simd",
            "relaxed SIMD, whose results depend on the machine",
            "结果随机器而异的 relaxed SIMD 指令",
        ),
        (WasmFeatures::MEMORY64, "model/memory64", "64-bit memory", "64 位内存"),
        (WasmFeatures::MULTI_MEMORY, "model/multi-memory", "more than one memory", "多个内存"),
        (WasmFeatures::EXCEPTIONS, "model/exceptions", "exceptions", "异常处理"),
        (WasmFeatures::LEGACY_EXCEPTIONS, "model/exceptions", "legacy exceptions", "旧式异常处理"),
        (WasmFeatures::GC_TYPES, "model/gc", "external references", "外部引用类型"),
        (WasmFeatures::FUNCTION_REFERENCES, "model/gc", "typed function references", "类型化函数引用"),
        (
            WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES).union(WasmFeatures::GC_TYPES),
            "model/gc",
            "garbage-collected types",
            "垃圾回收类型",
        ),
        (WasmFeatures::CUSTOM_PAGE_SIZES, "model/unsupported", "custom page sizes", "自定义页大小"),
        (WasmFeatures::WIDE_ARITHMETIC, "model/unsupported", "wide arithmetic", "宽位运算"),
    ];
    for (feature, code, en, zh) in REFUSED {
        let further = match Validator::new_with_features(ALLOWED.union(feature)).validate_all(wasm) {
            Ok(_) => true,
            Err(e) => e.offset() > error.offset(),
        };
        if further {
            return Rejection::new(
                code,
                format!("the module uses {en}; a model may not"),
                format!("模块使用了{zh}；模型不得使用"),
            )
            .at(format!("offset {}", error.offset()));
        }
    }
    if Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).is_ok() {
        return Rejection::new(
            "model/unsupported",
            "the module uses proposals that a model may not",
            "模块使用了模型不得使用的 WebAssembly 提案",
        )
        .at(format!("offset {}", error.offset()));
    }
    // The validator's own words can quote names from the module; only the offset is passed on.
    Rejection::new("model/invalid", "the module is not valid WebAssembly", "模块不是有效的 WebAssembly")
        .at(format!("offset {}", error.offset()))
        .hint(
            "validate it with the tools of your compiler, such as wasm-validate",
            "请用编译工具链（如 wasm-validate）检查",
        )
}

fn too_many(what: &str, zh: &str, bound: u64) -> Rejection {
    Rejection::new("model/limit", format!("the module has more than {bound} {what}"), format!("模块的{zh}超过 {bound}"))
}

fn at_most(n: u64, bound: u64, what: &str, zh: &str) -> Result<(), Rejection> {
    if n > bound { Err(too_many(what, zh, bound)) } else { Ok(()) }
}

struct Scan {
    facts: Facts,
    totals: Totals,
    validator: Validator,
    allocations: FuncValidatorAllocations,
}

impl Scan {
    /// The counts that a section declares, before anything is allocated for them.
    fn bounds(&mut self, payload: &Payload<'_>, wasm: &[u8]) -> Result<(), Rejection> {
        use Payload as P;
        match payload {
            P::TypeSection(r) => at_most(r.count().into(), max::TYPES.into(), "types", "类型"),
            P::FunctionSection(r) => at_most(r.count().into(), max::FUNCTIONS.into(), "functions", "函数"),
            P::CodeSectionStart { count, .. } => at_most((*count).into(), max::FUNCTIONS.into(), "functions", "函数"),
            P::TableSection(r) => at_most(r.count().into(), max::TABLES.into(), "tables", "表"),
            P::GlobalSection(r) => at_most(r.count().into(), max::GLOBALS.into(), "globals", "全局变量"),
            P::ExportSection(r) => at_most(r.count().into(), max::EXPORTS.into(), "exports", "导出项"),
            P::ElementSection(r) => at_most(r.count().into(), max::ELEMENTS, "element segments", "元素段"),
            P::DataSection(r) => at_most(r.count().into(), max::DATA_SEGMENTS.into(), "data segments", "数据段"),
            P::DataCountSection { count, .. } => {
                at_most((*count).into(), max::DATA_SEGMENTS.into(), "data segments", "数据段")
            }
            P::CodeSectionEntry(body) => at_most(
                body.range().len() as u64,
                max::FUNCTION_BYTES as u64,
                "bytes in one function",
                "单个函数字节数",
            ),
            P::CustomSection(r) => {
                self.totals.custom = self.totals.custom.saturating_add(r.data().len());
                at_most(
                    self.totals.custom as u64,
                    max::CUSTOM_BYTES as u64,
                    "bytes of custom sections",
                    "自定义段字节数",
                )
            }
            P::ImportSection(r) => {
                for import in r.clone().into_imports() {
                    let import = import.map_err(|e| invalid(wasm, &e))?;
                    if self.totals.imports == 0 {
                        self.totals.first_import =
                            format!("`{}.{}`", clean_name(import.module), clean_name(import.name));
                    }
                    self.totals.imports += 1;
                }
                if self.totals.imports > 0 { Err(imports(&self.totals)) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn payload(&mut self, payload: Payload<'_>, wasm: &[u8]) -> Result<(), Rejection> {
        use Payload as P;
        let broken = |e: wasmparser::Error| invalid(wasm, &e);
        match payload {
            P::TypeSection(r) => {
                for ty in r.into_iter_err_on_gc_types() {
                    let ty = ty.map_err(broken)?;
                    at_most(
                        ty.params().len().max(ty.results().len()) as u64,
                        max::ARITY as u64,
                        "parameters or results of one type",
                        "单个类型的参数或结果数",
                    )?;
                    self.facts.types.push(ty);
                }
            }
            P::FunctionSection(r) => {
                for ty in r {
                    self.facts.functions.push(ty.map_err(broken)?);
                }
            }
            P::MemorySection(r) => {
                for memory in r {
                    self.facts.memory = Some(memory.map_err(broken)?);
                }
            }
            P::TableSection(r) => {
                for table in r {
                    let table = table.map_err(broken)?;
                    self.totals.table_elements = self.totals.table_elements.saturating_add(table.ty.initial);
                    at_most(self.totals.table_elements, max::TABLE_ELEMENTS, "table elements", "表元素")?;
                    if let TableInit::Expr(expr) = table.init {
                        self.references(expr.get_operators_reader(), wasm)?;
                    }
                }
            }
            P::GlobalSection(r) => {
                for global in r {
                    let global = global.map_err(broken)?;
                    self.facts.globals.push((global.ty.content_type, global.ty.mutable));
                    self.references(global.init_expr.get_operators_reader(), wasm)?;
                }
            }
            P::ExportSection(r) => {
                for export in r {
                    let export = export.map_err(broken)?;
                    if export.kind == ExternalKind::Func {
                        self.facts.exports.insert(export.name.to_owned(), export.index);
                        self.facts.names.entry(export.index).or_insert_with(|| clean_name(export.name));
                    }
                }
            }
            P::StartSection { func, .. } => self.facts.start = Some(func),
            P::ElementSection(r) => {
                for element in r {
                    self.element(element.map_err(broken)?, wasm)?;
                }
            }
            P::DataSection(r) => {
                for data in r {
                    let data = data.map_err(broken)?;
                    let length = data.data.len() as u64;
                    self.facts.constant_bytes += length;
                    if let DataKind::Active { offset_expr, .. } = data.kind {
                        let start = constant(offset_expr.get_operators_reader());
                        self.facts.data_end = self.facts.data_end.max(u64::from(start) + length);
                    }
                }
            }
            P::CustomSection(r) => self.custom(&r),
            _ => {}
        }
        Ok(())
    }

    /// Function names for the report. A broken name section costs the names, nothing else.
    fn custom(&mut self, section: &wasmparser::CustomSectionReader<'_>) {
        let wasmparser::KnownCustom::Name(names) = section.as_known() else {
            return;
        };
        for subsection in names.into_iter().flatten() {
            if let wasmparser::Name::Function(map) = subsection {
                for naming in map.into_iter().take(max::FUNCTIONS as usize).flatten() {
                    self.facts.names.insert(naming.index, clean_name(naming.name));
                }
            }
        }
    }

    fn element(&mut self, element: wasmparser::Element<'_>, wasm: &[u8]) -> Result<(), Rejection> {
        if let ElementKind::Active { offset_expr, .. } = &element.kind {
            self.references(offset_expr.get_operators_reader(), wasm)?;
        }
        let count = match &element.items {
            ElementItems::Functions(r) => r.count(),
            ElementItems::Expressions(_, r) => r.count(),
        };
        self.totals.elements = self.totals.elements.saturating_add(count.into());
        at_most(self.totals.elements, max::ELEMENTS, "elements", "元素")?;
        match element.items {
            ElementItems::Functions(r) => {
                for function in r {
                    self.facts.referenced.push(function.map_err(|e| invalid(wasm, &e))?);
                }
            }
            ElementItems::Expressions(_, r) => {
                for expr in r {
                    let expr = expr.map_err(|e| invalid(wasm, &e))?;
                    self.references(expr.get_operators_reader(), wasm)?;
                }
            }
        }
        Ok(())
    }

    /// The functions that a constant expression refers to.
    fn references(&mut self, reader: wasmparser::OperatorsReader<'_>, wasm: &[u8]) -> Result<(), Rejection> {
        for op in reader {
            if let Operator::RefFunc { function_index } = op.map_err(|e| invalid(wasm, &e))? {
                self.facts.referenced.push(function_index);
            }
        }
        Ok(())
    }

    fn body(
        &mut self,
        validator: &mut wasmparser::FuncValidator<wasmparser::ValidatorResources>,
        body: &FunctionBody<'_>,
        wasm: &[u8],
    ) -> Result<(), Rejection> {
        let broken = |e: wasmparser::Error| invalid(wasm, &e);
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader).map_err(broken)?;
        at_most(validator.len_locals().into(), max::LOCALS.into(), "locals in one function", "单个函数的局部变量")?;
        let mut function = Function { body: body.range(), ..Function::default() };
        let mut operands = 0;
        let mut ops = wasmparser::OperatorsReader::new(reader);
        while !ops.eof() {
            let (op, offset) = ops.read_with_offset().map_err(broken)?;
            validator.op(offset, &op).map_err(broken)?;
            operands = operands.max(validator.operand_stack_height());
            at_most(
                operands.into(),
                max::OPERANDS.into(),
                "values on the stack of one function",
                "单个函数的操作数栈",
            )?;
            at_most(
                validator.control_stack_height().into(),
                max::NESTING.into(),
                "nested blocks in one function",
                "单个函数的嵌套层数",
            )?;
            self.operator(&op, offset, &mut function)?;
        }
        ops.finish().map_err(broken)?;
        function.calls.sort_unstable();
        function.calls.dedup();
        function.indirect.sort_unstable();
        function.indirect.dedup();
        function.sets.sort_unstable();
        function.sets.dedup();
        function.frame = FRAME_BASE + 8 * i64::from(validator.len_locals() + operands);
        self.facts.bodies.push(function);
        Ok(())
    }

    fn operator(&mut self, op: &Operator<'_>, offset: usize, f: &mut Function) -> Result<(), Rejection> {
        match op {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                f.calls.push(*function_index)
            }
            Operator::CallIndirect { type_index, .. } | Operator::ReturnCallIndirect { type_index, .. } => {
                f.indirect.push(*type_index)
            }
            Operator::RefFunc { function_index } => self.facts.referenced.push(*function_index),
            Operator::GlobalSet { global_index } => f.sets.push(*global_index),
            Operator::Loop { .. } => f.loops = f.loops.or(Some(offset)),
            Operator::BrTable { targets } => {
                at_most(targets.len().into(), max::BR_TABLE.into(), "targets in one br_table", "单个 br_table 的目标")?;
                self.totals.br_targets += u64::from(targets.len());
                at_most(self.totals.br_targets, max::BR_TABLE_ALL, "br_table targets", "br_table 目标总数")?;
            }
            _ => {}
        }
        if let Some(write) = ops::write_of(op) {
            f.grows |= write == Write::Grow;
            f.write.get_or_insert_with(|| (ops::name(op), offset));
        }
        if ops::is_dynamic(op) {
            f.dynamic.get_or_insert_with(|| (ops::name(op), offset));
        }
        f.sees_nan |= ops::sees_nan(op);
        match ops::float_lanes(op) {
            Some(ops::FloatLanes::F32) => f.float_lanes.0 = true,
            Some(ops::FloatLanes::F64) => f.float_lanes.1 = true,
            None => {}
        }
        Ok(())
    }
}

/// The value of a constant `i32` expression. Without imported globals, constants and the three
/// operations of the extended-const proposal are all that a valid one can hold.
fn constant(reader: wasmparser::OperatorsReader<'_>) -> u32 {
    let mut stack: Vec<u32> = Vec::new();
    for op in reader.into_iter().flatten() {
        let operation: fn(u32, u32) -> u32 = match op {
            Operator::I32Const { value } => {
                stack.push(value as u32);
                continue;
            }
            Operator::I32Add => u32::wrapping_add,
            Operator::I32Sub => u32::wrapping_sub,
            Operator::I32Mul => u32::wrapping_mul,
            _ => continue,
        };
        let (b, a) = (stack.pop().unwrap_or_default(), stack.pop().unwrap_or_default());
        stack.push(operation(a, b));
    }
    stack.pop().unwrap_or_default()
}
