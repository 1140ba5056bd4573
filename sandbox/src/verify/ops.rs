//! What each instruction means to the verifier: its name, its proposal, its cost, what it may change.

use wasmparser::Operator;

macro_rules! tables {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The instruction's name, as in `i32_store`.
        fn raw_name(op: &Operator<'_>) -> &'static str {
            match op {
                $( Operator::$op { .. } => &stringify!($visit)["visit_".len()..], )*
                _ => "unknown",
            }
        }
        /// The proposal that brought the instruction.
        pub(super) fn proposal(op: &Operator<'_>) -> &'static str {
            match op {
                $( Operator::$op { .. } => stringify!($proposal), )*
                _ => "unknown",
            }
        }
    };
}
wasmparser::for_each_operator!(tables);

/// The instruction's name as the text format spells it: `i32.store`.
pub(super) fn name(op: &Operator<'_>) -> String {
    raw_name(op).replacen('_', ".", 1)
}

/// What an instruction changes that outlives a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// Bytes of the memory.
    Memory,
    /// The size of the memory.
    Grow,
    /// A global.
    Global,
    /// A table, or whether a data or element segment is still there.
    Table,
}

/// What `op` changes, if anything. Exhaustive over the proposals that are let in: everything not
/// named here computes on the operand stack, locals and control flow alone.
pub(crate) fn write_of(op: &Operator<'_>) -> Option<Write> {
    use Operator as O;
    match op {
        O::MemoryGrow { .. } => Some(Write::Grow),
        O::MemoryFill { .. } | O::MemoryCopy { .. } | O::MemoryInit { .. } => Some(Write::Memory),
        O::GlobalSet { .. } => Some(Write::Global),
        O::TableSet { .. }
        | O::TableGrow { .. }
        | O::TableFill { .. }
        | O::TableCopy { .. }
        | O::TableInit { .. }
        | O::ElemDrop { .. }
        | O::DataDrop { .. } => Some(Write::Table),
        _ if store_of(op).is_some() => Some(Write::Memory),
        _ => None,
    }
}

/// The bytes that a load or store touches: so many from its address plus a static offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) width: u32,
    pub(crate) offset: u64,
}

fn access(width: u32, memarg: &wasmparser::MemArg) -> Option<Access> {
    Some(Access { width, offset: memarg.offset })
}

/// What a store writes; `None` for every other instruction.
pub(crate) fn store_of(op: &Operator<'_>) -> Option<Access> {
    use Operator as O;
    match op {
        O::I32Store8 { memarg, .. } | O::I64Store8 { memarg, .. } | O::V128Store8Lane { memarg, .. } => {
            access(1, memarg)
        }
        O::I32Store16 { memarg, .. } | O::I64Store16 { memarg, .. } | O::V128Store16Lane { memarg, .. } => {
            access(2, memarg)
        }
        O::I32Store { memarg, .. }
        | O::F32Store { memarg, .. }
        | O::I64Store32 { memarg, .. }
        | O::V128Store32Lane { memarg, .. } => access(4, memarg),
        O::I64Store { memarg, .. } | O::F64Store { memarg, .. } | O::V128Store64Lane { memarg, .. } => {
            access(8, memarg)
        }
        O::V128Store { memarg, .. } => access(16, memarg),
        _ => None,
    }
}

/// What a load reads; `None` for every other instruction.
pub(crate) fn load_of(op: &Operator<'_>) -> Option<Access> {
    use Operator as O;
    match op {
        O::I32Load8S { memarg, .. }
        | O::I32Load8U { memarg, .. }
        | O::I64Load8S { memarg, .. }
        | O::I64Load8U { memarg, .. }
        | O::V128Load8Splat { memarg, .. }
        | O::V128Load8Lane { memarg, .. } => access(1, memarg),
        O::I32Load16S { memarg, .. }
        | O::I32Load16U { memarg, .. }
        | O::I64Load16S { memarg, .. }
        | O::I64Load16U { memarg, .. }
        | O::V128Load16Splat { memarg, .. }
        | O::V128Load16Lane { memarg, .. } => access(2, memarg),
        O::I32Load { memarg, .. }
        | O::F32Load { memarg, .. }
        | O::I64Load32S { memarg, .. }
        | O::I64Load32U { memarg, .. }
        | O::V128Load32Splat { memarg, .. }
        | O::V128Load32Lane { memarg, .. }
        | O::V128Load32Zero { memarg, .. } => access(4, memarg),
        O::I64Load { memarg, .. }
        | O::F64Load { memarg, .. }
        | O::V128Load64Splat { memarg, .. }
        | O::V128Load64Lane { memarg, .. }
        | O::V128Load64Zero { memarg, .. }
        | O::V128Load8x8S { memarg, .. }
        | O::V128Load8x8U { memarg, .. }
        | O::V128Load16x4S { memarg, .. }
        | O::V128Load16x4U { memarg, .. }
        | O::V128Load32x2S { memarg, .. }
        | O::V128Load32x2U { memarg, .. } => access(8, memarg),
        O::V128Load { memarg, .. } => access(16, memarg),
        _ => None,
    }
}

/// Whether the work of `op` depends on an operand: copying, filling, growing.
pub(crate) fn is_dynamic(op: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        op,
        O::MemoryFill { .. }
            | O::MemoryCopy { .. }
            | O::MemoryInit { .. }
            | O::MemoryGrow { .. }
            | O::TableFill { .. }
            | O::TableCopy { .. }
            | O::TableInit { .. }
            | O::TableGrow { .. }
    )
}

/// Whether a module that uses `op` could tell one NaN from another. Arithmetic alone cannot; moving
/// the bits of a float to an integer or to memory can, and so can the sign that `copysign` copies.
/// Vector instructions share their bits between lanes of all types; see [`float_lanes`] for those that keep to one.
pub(super) fn sees_nan(op: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        op,
        O::I32ReinterpretF32
            | O::I64ReinterpretF64
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::F32Copysign
            | O::F64Copysign
    ) || (proposal(op) == "simd"
        && !matches!(op, O::V128Load { .. } | O::V128Const { .. })
        && float_lanes(op).is_none())
}

/// The lanes of a vector instruction that only computes with floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatLanes {
    /// Four of 32 bits.
    F32,
    /// Two of 64 bits.
    F64,
}

/// Which lanes `op` has, where it takes and gives floats of one width alone. A module whose vector
/// instructions are all of one such width, beside loads and constants, has no way to look at the bits of a
/// lane: it can tell NaNs apart no better than scalar arithmetic can.
pub(super) fn float_lanes(op: &Operator<'_>) -> Option<FloatLanes> {
    use Operator as O;
    match op {
        O::F32x4Splat
        | O::F32x4ExtractLane { .. }
        | O::F32x4ReplaceLane { .. }
        | O::F32x4Add
        | O::F32x4Sub
        | O::F32x4Mul
        | O::F32x4Div
        | O::F32x4Sqrt
        | O::F32x4Min
        | O::F32x4Max
        | O::F32x4PMin
        | O::F32x4PMax => Some(FloatLanes::F32),
        O::F64x2Splat
        | O::F64x2ExtractLane { .. }
        | O::F64x2ReplaceLane { .. }
        | O::F64x2Add
        | O::F64x2Sub
        | O::F64x2Mul
        | O::F64x2Div
        | O::F64x2Sqrt
        | O::F64x2Min
        | O::F64x2Max
        | O::F64x2PMin
        | O::F64x2PMax => Some(FloatLanes::F64),
        _ => None,
    }
}

/// Whether machines need several instructions for `op`: rounding, conversions between floats and unsigned
/// integers, minima of floats, shifts of bytes.
fn is_several(op: &Operator<'_>) -> bool {
    use Operator as O;
    match op {
        O::F32Min
        | O::F32Max
        | O::F64Min
        | O::F64Max
        | O::F32Ceil
        | O::F32Floor
        | O::F32Trunc
        | O::F32Nearest
        | O::F64Ceil
        | O::F64Floor
        | O::F64Trunc
        | O::F64Nearest
        | O::F32ConvertI64U
        | O::F64ConvertI64U
        | O::I32Popcnt
        | O::I64Popcnt
        | O::I32TruncF32S
        | O::I32TruncF32U
        | O::I32TruncF64S
        | O::I32TruncF64U
        | O::I64TruncF32S
        | O::I64TruncF32U
        | O::I64TruncF64S
        | O::I64TruncF64U
        | O::I32TruncSatF32S
        | O::I32TruncSatF32U
        | O::I32TruncSatF64S
        | O::I32TruncSatF64U
        | O::I64TruncSatF32S
        | O::I64TruncSatF32U
        | O::I64TruncSatF64S
        | O::I64TruncSatF64U => true,
        // Loads and stores of vectors are single instructions; what computes on lanes may not be.
        _ => proposal(op) == "simd" && load_of(op).is_none() && store_of(op).is_none(),
    }
}

/// The cost of one instruction in fuel. About one per machine instruction of the compiled code.
pub(crate) fn cost(op: &Operator<'_>) -> u64 {
    use Operator as O;
    match op {
        O::Nop | O::Block { .. } | O::Loop { .. } | O::End | O::Else | O::Drop => 0,
        O::Call { .. } | O::ReturnCall { .. } => 4,
        O::CallIndirect { .. } | O::ReturnCallIndirect { .. } => 8,
        O::I32DivS
        | O::I32DivU
        | O::I32RemS
        | O::I32RemU
        | O::I64DivS
        | O::I64DivU
        | O::I64RemS
        | O::I64RemU
        | O::F32Div
        | O::F64Div
        | O::F32Sqrt
        | O::F64Sqrt => 8,
        O::F32x4Div | O::F64x2Div | O::F32x4Sqrt | O::F64x2Sqrt => 16,
        _ if is_dynamic(op) => 64,
        // A store may be the first into its block: the block is then saved and put back later.
        _ if store_of(op).is_some() => 8,
        _ if is_several(op) => 4,
        _ => 1,
    }
}
