//! The functions that the host calls: `init`, and `run` over rows or over units.

use wasm_encoder as enc;
use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::contain::{self, host};
use super::{Layout, Plan, Sections, export};
use crate::limits;
use crate::manifest::{FeatureType, Kind};

/// How far behind the first function of ours `save` stands.
pub(super) const SAVE: u32 = 4;
const UNDO: u32 = 2;
const COMMIT: u32 = 3;

/// Appends types, functions, code and exports of the driver; `pairs` is its loop over rows where rows run in pairs.
pub(super) fn add(out: &mut Sections, plan: &Plan, pairs: Option<enc::Function>) {
    let (types, functions) = (plan.index.types, plan.index.functions);
    let run_params = match plan.kind {
        Kind::Row => vec![ValType::I32; 2],
        Kind::Unit => vec![ValType::I32; 4],
    };
    out.types.ty().function([], []);
    out.types.ty().function(run_params, [ValType::I32]);
    out.types.ty().function([ValType::I32], []);
    out.types.ty().function([ValType::I32; 2], []);
    let mut add = |ty: u32, body: enc::Function| {
        out.functions.function(types + ty);
        out.code.function(&body);
    };
    add(0, init(plan));
    let run = match plan.kind {
        Kind::Row => pairs.unwrap_or_else(|| rows(plan)),
        Kind::Unit => units(plan),
    };
    add(1, run);
    if plan.undo {
        add(0, contain::undo(plan));
        add(0, contain::commit(plan));
        if plan.index.memory > 0 {
            add(2, contain::save(plan));
            add(3, contain::save_range(plan));
            add(3, contain::touch(plan));
        }
        out.exports.export(export::UNDO, enc::ExportKind::Func, functions + UNDO);
    }
    out.exports
        .export(export::INIT, enc::ExportKind::Func, functions)
        .export(export::RUN, enc::ExportKind::Func, functions + 1)
        .export(export::MEMORY, enc::ExportKind::Memory, plan.index.memory);
}

/// Full fuel and stack, before a unit.
fn refill(f: &mut enc::Function, plan: &Plan) {
    if plan.metered {
        f.instruction(&I::I64Const(i64::try_from(plan.fuel).unwrap_or(i64::MAX)))
            .instruction(&I::GlobalSet(plan.index.fuel))
            .instruction(&I::I32Const(limits::STACK_BUDGET as i32))
            .instruction(&I::GlobalSet(plan.index.depth));
    }
}

fn init(plan: &Plan) -> enc::Function {
    let mut f = enc::Function::new([]);
    if let Some(start) = plan.start {
        refill(&mut f, plan);
        f.instruction(&I::Call(start));
    }
    if plan.undo {
        f.instruction(&I::Call(plan.index.functions + COMMIT));
    }
    f.instruction(&I::End);
    f
}

/// Pushes the features of the row whose number stands in `row`.
fn features(f: &mut enc::Function, plan: &Plan, row: u32) {
    for (i, ty) in plan.params.iter().enumerate() {
        let wide = matches!(ty, FeatureType::F64 | FeatureType::I64);
        let shift = if wide { 3 } else { 2 };
        let arg = host(plan, plan.layout.column(i), shift);
        f.instruction(&I::LocalGet(row)).instruction(&I::I32Const(shift as i32)).instruction(&I::I32Shl).instruction(
            &match ty {
                FeatureType::F64 => I::F64Load(arg),
                FeatureType::F32 => I::F32Load(arg),
                FeatureType::I64 => I::I64Load(arg),
                FeatureType::I32 => I::I32Load(arg),
            },
        );
    }
}

/// Notes the number in `local` as the row or unit that is being worked on.
fn note(f: &mut enc::Function, plan: &Plan, local: u32) {
    f.instruction(&I::I32Const(0)).instruction(&I::LocalGet(local)).instruction(&I::I32Store(host(
        plan,
        Layout::CURRENT,
        2,
    )));
}

fn add_one(f: &mut enc::Function, local: u32) {
    f.instruction(&I::LocalGet(local))
        .instruction(&I::I32Const(1))
        .instruction(&I::I32Add)
        .instruction(&I::LocalSet(local));
}

/// After a unit: puts back what it wrote, and leaves the block `depth` levels up when that is not
/// enough and the instance has to be replaced.
fn undo(f: &mut enc::Function, plan: &Plan, depth: u32) {
    if plan.undo {
        f.instruction(&I::Call(plan.index.functions + UNDO))
            .instruction(&I::I32Const(0))
            .instruction(&I::I32Load(host(plan, Layout::RESET, 2)))
            .instruction(&I::BrIf(depth));
    }
}

/// The end of a loop within a block, and of that block.
fn loop_end(f: &mut enc::Function) {
    f.instruction(&I::Br(0)).instruction(&I::End).instruction(&I::End);
}

/// `run(from, to) -> next`: scores the rows `from..to`; `next < to` asks for a fresh instance.
fn rows(plan: &Plan) -> enc::Function {
    let (row, to) = (0, 1);
    let mut f = enc::Function::new([]);
    f.instruction(&I::Block(BlockType::Empty))
        .instruction(&I::Loop(BlockType::Empty))
        .instruction(&I::LocalGet(row))
        .instruction(&I::LocalGet(to))
        .instruction(&I::I32GeU)
        .instruction(&I::BrIf(1));
    note(&mut f, plan, row);
    refill(&mut f, plan);
    f.instruction(&I::LocalGet(row)).instruction(&I::I32Const(3)).instruction(&I::I32Shl);
    features(&mut f, plan, row);
    f.instruction(&I::Call(plan.roots[0])).instruction(&I::F64Store(host(plan, plan.layout.results(), 3)));
    add_one(&mut f, row);
    undo(&mut f, plan, 1);
    f.instruction(&I::Br(0))
        .instruction(&I::End)
        .instruction(&I::End)
        .instruction(&I::LocalGet(row))
        .instruction(&I::End);
    f
}

/// `run(from, to, open, unclosed) -> next`: folds the units `from..to`. With `open` the first of them
/// goes on where the last call stopped; with `unclosed` the last of them is not finished yet.
fn units(plan: &Plan) -> enc::Function {
    let (unit, to, open, unclosed, row, end) = (0, 1, 2, 3, 4, 5);
    let offsets = plan.layout.offsets();
    let mut f = enc::Function::new([(2, ValType::I32)]);
    f.instruction(&I::Block(BlockType::Empty))
        .instruction(&I::Loop(BlockType::Empty))
        .instruction(&I::LocalGet(unit))
        .instruction(&I::LocalGet(to))
        .instruction(&I::I32GeU)
        .instruction(&I::BrIf(1));
    note(&mut f, plan, unit);
    f.instruction(&I::LocalGet(open)).instruction(&I::I32Eqz).instruction(&I::If(BlockType::Empty));
    refill(&mut f, plan);
    f.instruction(&I::Call(plan.roots[0]))
        .instruction(&I::End)
        .instruction(&I::I32Const(0))
        .instruction(&I::LocalSet(open));
    for (local, offset) in [(row, offsets), (end, offsets + 4)] {
        f.instruction(&I::LocalGet(unit))
            .instruction(&I::I32Const(2))
            .instruction(&I::I32Shl)
            .instruction(&I::I32Load(host(plan, offset, 2)))
            .instruction(&I::LocalSet(local));
    }
    steps(&mut f, plan, row, end);
    // The last unit stays open: its number has been noted, its state is kept.
    f.instruction(&I::LocalGet(unclosed))
        .instruction(&I::LocalGet(unit))
        .instruction(&I::I32Const(1))
        .instruction(&I::I32Add)
        .instruction(&I::LocalGet(to))
        .instruction(&I::I32Eq)
        .instruction(&I::I32And)
        .instruction(&I::If(BlockType::Empty))
        .instruction(&I::LocalGet(to))
        .instruction(&I::Return)
        .instruction(&I::End)
        .instruction(&I::LocalGet(unit))
        .instruction(&I::I32Const(3))
        .instruction(&I::I32Shl)
        .instruction(&I::Call(plan.roots[2]))
        .instruction(&I::F64Store(host(plan, plan.layout.results(), 3)));
    add_one(&mut f, unit);
    undo(&mut f, plan, 1);
    f.instruction(&I::Br(0))
        .instruction(&I::End)
        .instruction(&I::End)
        .instruction(&I::LocalGet(unit))
        .instruction(&I::End);
    f
}

/// `step` for the rows `row..end`.
fn steps(f: &mut enc::Function, plan: &Plan, row: u32, end: u32) {
    f.instruction(&I::Block(BlockType::Empty))
        .instruction(&I::Loop(BlockType::Empty))
        .instruction(&I::LocalGet(row))
        .instruction(&I::LocalGet(end))
        .instruction(&I::I32GeU)
        .instruction(&I::BrIf(1));
    features(f, plan, row);
    f.instruction(&I::Call(plan.roots[1]));
    add_one(f, row);
    loop_end(f);
}
