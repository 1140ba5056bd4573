//! A WebAssembly module under construction: functions, constant data, exports.

use std::collections::BTreeMap;

use wasm_encoder as enc;
use wasm_encoder::{Encode, Instruction, MemArg, ValType};

use crate::ir::Num;
use crate::limits;
use crate::refusal::{Refusal, at_most};

/// More values than the generated code ever has on the stack of one function: the arguments of a call, and a few.
const OPERANDS: usize = 160;

/// A function's parameters and results.
type Signature = (Vec<ValType>, Vec<ValType>);

/// The module.
#[derive(Default)]
pub(super) struct Module {
    types: Vec<Signature>,
    functions: Vec<u32>,
    code: enc::CodeSection,
    code_bytes: usize,
    data: Vec<u8>,
    exports: Vec<(String, u32)>,
    /// The most fuel of a call of each function.
    costs: Vec<u64>,
}

impl Module {
    fn type_index(&mut self, signature: Signature) -> u32 {
        let known = self.types.iter().position(|t| *t == signature);
        known.unwrap_or_else(|| {
            self.types.push(signature);
            self.types.len() - 1
        }) as u32
    }

    /// Adds a function and returns its number.
    pub(super) fn add(&mut self, body: Body) -> Result<u32, Refusal> {
        let cost: u64 = body.cost.iter().map(|price| price.resolve(&self.costs)).sum();
        // Entering a function costs one for every eight variables and values on the stack.
        let entry = (body.params.len() + body.locals.len() + OPERANDS) as u64 / 8;
        self.costs.push(cost + entry);
        let ty = self.type_index((body.params, body.results));
        let mut function = enc::Function::new_with_locals_types(body.locals);
        self.code_bytes += body.code.len() + 16;
        at_most(self.code_bytes, limits::MODULE_BYTES, "bytes of code", "代码字节数")?;
        function.raw(body.code);
        function.instruction(&Instruction::End);
        self.code.function(&function);
        self.functions.push(ty);
        Ok(self.functions.len() as u32 - 1)
    }

    /// Adds constants at a multiple of `align` and returns their address.
    pub(super) fn data(&mut self, bytes: impl IntoIterator<Item = u8>, align: usize) -> Result<u32, Refusal> {
        let address = self.data.len().next_multiple_of(align);
        self.data.resize(address, 0);
        self.data.extend(bytes);
        at_most(self.data.len(), limits::MODULE_BYTES, "bytes of constants", "常量字节数")?;
        Ok(address as u32)
    }

    /// Adds numbers of one arithmetic, 64 bytes aligned.
    pub(super) fn numbers(&mut self, xs: impl IntoIterator<Item = f64>, num: Num) -> Result<u32, Refusal> {
        let bytes: Vec<u8> = match num {
            Num::F32 => xs.into_iter().flat_map(|x| (x as f32).to_le_bytes()).collect(),
            Num::F64 => xs.into_iter().flat_map(f64::to_le_bytes).collect(),
        };
        self.data(bytes, 64)
    }

    /// Exports a function.
    pub(super) fn export(&mut self, name: &str, function: u32) {
        self.exports.push((name.to_owned(), function));
    }

    /// The most fuel of one call of each export.
    pub(super) fn export_costs(&self) -> BTreeMap<String, u64> {
        self.exports.iter().map(|(name, f)| (name.clone(), self.costs[*f as usize])).collect()
    }

    /// Pages of memory that the constants take.
    pub(super) fn pages(&self) -> u32 {
        self.data.len().div_ceil(65_536) as u32
    }

    /// The binary module.
    pub(super) fn finish(self) -> Result<Vec<u8>, Refusal> {
        let mut types = enc::TypeSection::new();
        for (params, results) in &self.types {
            types.ty().function(params.iter().copied(), results.iter().copied());
        }
        let mut functions = enc::FunctionSection::new();
        for ty in &self.functions {
            functions.function(*ty);
        }
        let mut exports = enc::ExportSection::new();
        for (name, function) in &self.exports {
            exports.export(name, enc::ExportKind::Func, *function);
        }
        let mut module = enc::Module::new();
        module.section(&types).section(&functions);
        let pages = u64::from(self.pages());
        if pages > 0 {
            let mut memories = enc::MemorySection::new();
            memories.memory(enc::MemoryType {
                minimum: pages,
                maximum: Some(pages),
                memory64: false,
                shared: false,
                page_size_log2: None,
            });
            module.section(&memories);
        }
        module.section(&exports).section(&self.code);
        if pages > 0 {
            let mut data = enc::DataSection::new();
            data.active(0, &enc::ConstExpr::i32_const(0), self.data.iter().copied());
            module.section(&data);
        }
        let wasm = module.finish();
        at_most(wasm.len(), limits::MODULE_BYTES, "bytes of the module", "模块字节数")?;
        Ok(wasm)
    }
}

/// A function's body under construction.
pub(super) struct Body {
    params: Vec<ValType>,
    results: Vec<ValType>,
    locals: Vec<ValType>,
    code: Vec<u8>,
    /// Fuel so far of each open branch, the outermost first, and the finished first arms of those that have one.
    cost: Vec<Price>,
    arms: Vec<Option<Price>>,
}

/// The fuel of one instruction, as the sandbox counts it (`sandbox/src/verify/ops.rs`), of those that are generated.
fn fuel(instruction: &Instruction<'_>) -> u64 {
    use Instruction as I;
    match instruction {
        I::F32Div | I::F64Div | I::F32Sqrt | I::F64Sqrt => 8,
        I::F32Min
        | I::F32Max
        | I::F64Min
        | I::F64Max
        | I::F64Nearest
        | I::F32Trunc
        | I::F64Trunc
        | I::I32Popcnt
        | I::I32TruncSatF32S
        | I::I32TruncSatF64S
        | I::I64TruncSatF64S
        | I::V128Const(_)
        | I::V128And
        | I::V128Or
        | I::V128Bitselect
        | I::I8x16Shuffle(_)
        | I::I8x16GtS
        | I::I8x16ReplaceLane(_)
        | I::I8x16ExtractLaneU(_)
        | I::I8x16Bitmask
        | I::I16x8Bitmask
        | I::I32x4Bitmask
        | I::I16x8NarrowI32x4S
        | I::I8x16NarrowI16x8S
        | I::F32x4Splat
        | I::F32x4ExtractLane(_)
        | I::F32x4Add
        | I::F32x4Mul
        | I::F32x4Lt
        | I::F32x4PMin
        | I::F32x4PMax
        | I::F64x2Splat
        | I::F64x2Lt
        | I::F64x2PMin
        | I::F64x2PMax => 4,
        _ => 1,
    }
}

/// The most fuel of a piece of code, before it is known what the functions that it calls cost.
#[derive(Default)]
struct Price {
    own: u64,
    calls: Vec<u32>,
    either: Vec<(Price, Price)>,
}

impl Price {
    fn resolve(&self, functions: &[u64]) -> u64 {
        let calls = self.calls.iter().map(|f| 4 + functions.get(*f as usize).copied().unwrap_or(0));
        let either = self.either.iter().map(|(a, b)| a.resolve(functions).max(b.resolve(functions)));
        self.own + calls.sum::<u64>() + either.sum::<u64>()
    }

    fn is_plain(&self) -> bool {
        self.calls.is_empty() && self.either.is_empty()
    }
}

impl Body {
    pub(super) fn new(params: Vec<ValType>, results: Vec<ValType>) -> Self {
        Self { params, results, locals: Vec::new(), code: Vec::new(), cost: vec![Price::default()], arms: Vec::new() }
    }

    /// A new local variable.
    pub(super) fn local(&mut self, ty: ValType) -> u32 {
        self.locals.push(ty);
        (self.params.len() + self.locals.len() - 1) as u32
    }

    pub(super) fn push(&mut self, instruction: Instruction<'_>) -> &mut Self {
        self.account(&instruction);
        instruction.encode(&mut self.code);
        self
    }

    /// Counts the fuel of the dearest way, as the sandbox's verifier does.
    fn account(&mut self, instruction: &Instruction<'_>) {
        use Instruction as I;
        let Some(last) = self.cost.last_mut() else { return };
        match instruction {
            I::If(_) => {
                last.own += 1;
                self.cost.push(Price::default());
                self.arms.push(None);
            }
            I::Else => {
                if let Some(arm) = self.arms.last_mut() {
                    *arm = Some(std::mem::take(last));
                }
            }
            I::End => {
                let first = self.arms.pop().flatten().unwrap_or_default();
                let second = self.cost.pop().unwrap_or_default();
                if let Some(before) = self.cost.last_mut() {
                    if first.is_plain() && second.is_plain() {
                        before.own += first.own.max(second.own);
                    } else {
                        before.either.push((first, second));
                    }
                }
            }
            I::Call(f) => last.calls.push(*f),
            _ => last.own += fuel(instruction),
        }
    }

    pub(super) fn all<'i>(&mut self, instructions: impl IntoIterator<Item = Instruction<'i>>) -> &mut Self {
        for instruction in instructions {
            self.push(instruction);
        }
        self
    }

    /// Bytes of code so far.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }
}

/// The WebAssembly type of an arithmetic.
pub(super) fn val_type(num: Num) -> ValType {
    match num {
        Num::F32 => ValType::F32,
        Num::F64 => ValType::F64,
    }
}

/// A memory operand at a constant address plus what lies on the stack.
pub(super) fn at(offset: u32, align: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align, memory_index: 0 }
}

/// The instructions of an arithmetic.
pub(super) trait Arithmetic {
    fn constant(self, x: f64) -> Instruction<'static>;
    fn add(self) -> Instruction<'static>;
    fn sub(self) -> Instruction<'static>;
    fn mul(self) -> Instruction<'static>;
    fn div(self) -> Instruction<'static>;
    fn lt(self) -> Instruction<'static>;
    fn gt(self) -> Instruction<'static>;
    fn ge(self) -> Instruction<'static>;
    fn eq(self) -> Instruction<'static>;
    fn ne(self) -> Instruction<'static>;
    fn abs(self) -> Instruction<'static>;
    fn load(self, offset: u32) -> Instruction<'static>;
}

macro_rules! pick {
    ($num:expr, $f32:ident, $f64:ident) => {
        match $num {
            Num::F32 => Instruction::$f32,
            Num::F64 => Instruction::$f64,
        }
    };
}

impl Arithmetic for Num {
    fn constant(self, x: f64) -> Instruction<'static> {
        match self {
            Num::F32 => Instruction::F32Const((x as f32).into()),
            Num::F64 => Instruction::F64Const(x.into()),
        }
    }
    fn add(self) -> Instruction<'static> {
        pick!(self, F32Add, F64Add)
    }
    fn sub(self) -> Instruction<'static> {
        pick!(self, F32Sub, F64Sub)
    }
    fn mul(self) -> Instruction<'static> {
        pick!(self, F32Mul, F64Mul)
    }
    fn div(self) -> Instruction<'static> {
        pick!(self, F32Div, F64Div)
    }
    fn lt(self) -> Instruction<'static> {
        pick!(self, F32Lt, F64Lt)
    }
    fn gt(self) -> Instruction<'static> {
        pick!(self, F32Gt, F64Gt)
    }
    fn ge(self) -> Instruction<'static> {
        pick!(self, F32Ge, F64Ge)
    }
    fn eq(self) -> Instruction<'static> {
        pick!(self, F32Eq, F64Eq)
    }
    fn ne(self) -> Instruction<'static> {
        pick!(self, F32Ne, F64Ne)
    }
    fn abs(self) -> Instruction<'static> {
        pick!(self, F32Abs, F64Abs)
    }
    fn load(self, offset: u32) -> Instruction<'static> {
        match self {
            Num::F32 => Instruction::F32Load(at(offset, 2)),
            Num::F64 => Instruction::F64Load(at(offset, 3)),
        }
    }
}
