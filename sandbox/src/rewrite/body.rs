//! One function of the author's, copied with what metering adds.

use wasm_encoder as enc;
use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Instruction as I, ValType};
use wasmparser::{FunctionBody, Operator};

use super::{Copier, Fault, Plan};
use crate::verify::Verified;
use crate::verify::graph::callee_of;
use crate::verify::ops::is_dynamic;

/// Copies function number `index`. What can never run is not compiled: its body becomes a trap.
pub(super) fn rewrite(
    code: &mut enc::CodeSection,
    index: usize,
    body: &FunctionBody<'_>,
    verified: &Verified,
    plan: &Plan,
) -> Result<(), Fault> {
    let graph = verified.graph();
    if !graph.reachable[index] {
        let mut f = enc::Function::new([]);
        f.instruction(&I::Unreachable).instruction(&I::End);
        code.function(&f);
        return Ok(());
    }
    let mut re = Copier;
    let mut locals = Vec::new();
    let mut next = verified.facts().types[verified.facts().functions[index] as usize].params().len() as u32;
    for pair in body.get_locals_reader().map_err(|_| Fault)? {
        let (count, ty) = pair.map_err(|_| Fault)?;
        next += count;
        locals.push((count, re.val_type(ty).map_err(|_| Fault)?));
    }
    let length = next;
    locals.push((1, ValType::I32));
    let mut out = Copy { f: enc::Function::new(locals), re, plan, length };
    let charges = &graph.charges[index];
    let mut loops = charges.loops.iter();
    if let Some(entry) = charges.entry {
        out.charge(entry);
    }
    for op in body.get_operators_reader().map_err(|_| Fault)? {
        let op = op.map_err(|_| Fault)?;
        let guard = plan.metered && callee_of(&op).is_some_and(|callee| graph.recurs(index, callee));
        if guard {
            out.push_frame(verified.facts().bodies[index].frame);
        }
        if plan.metered && is_dynamic(&op) {
            out.charge_length();
        }
        let is_loop = matches!(op, Operator::Loop { .. });
        out.copy(op)?;
        if is_loop && let Some(cost) = loops.next() {
            out.charge(*cost);
        }
        if guard {
            out.pop_frame(verified.facts().bodies[index].frame);
        }
    }
    code.function(&out.f);
    Ok(())
}

struct Copy<'p> {
    f: enc::Function,
    re: Copier,
    plan: &'p Plan,
    /// A local of our own for the length of a bulk operation.
    length: u32,
}

impl Copy<'_> {
    fn copy(&mut self, op: Operator<'_>) -> Result<(), Fault> {
        let instruction = self.re.instruction(op).map_err(|_| Fault)?;
        self.f.instruction(&instruction);
        Ok(())
    }

    /// Takes `cost` from the fuel that is left; traps when there is not enough.
    fn charge(&mut self, cost: u64) {
        if !self.plan.metered {
            return;
        }
        let fuel = self.plan.index.fuel;
        self.f
            .instruction(&I::GlobalGet(fuel))
            .instruction(&I::I64Const(i64::try_from(cost).unwrap_or(i64::MAX)))
            .instruction(&I::I64Sub)
            .instruction(&I::GlobalSet(fuel));
        self.trap_without_fuel();
    }

    /// As [`charge`](Self::charge), one for every eight of the length that lies on the stack.
    fn charge_length(&mut self) {
        let fuel = self.plan.index.fuel;
        self.f
            .instruction(&I::LocalSet(self.length))
            .instruction(&I::GlobalGet(fuel))
            .instruction(&I::LocalGet(self.length))
            .instruction(&I::I64ExtendI32U)
            .instruction(&I::I64Const(3))
            .instruction(&I::I64ShrU)
            .instruction(&I::I64Sub)
            .instruction(&I::GlobalSet(fuel));
        self.trap_without_fuel();
        self.f.instruction(&I::LocalGet(self.length));
    }

    fn trap_without_fuel(&mut self) {
        self.f
            .instruction(&I::GlobalGet(self.plan.index.fuel))
            .instruction(&I::I64Const(0))
            .instruction(&I::I64LtS)
            .instruction(&I::If(BlockType::Empty))
            .instruction(&I::Unreachable)
            .instruction(&I::End);
    }

    /// Before a call that can come back here: takes the caller's frame from the stack that is left.
    fn push_frame(&mut self, frame: i64) {
        let depth = self.plan.index.depth;
        self.f
            .instruction(&I::GlobalGet(depth))
            .instruction(&I::I32Const(i32::try_from(frame).unwrap_or(i32::MAX)))
            .instruction(&I::I32Sub)
            .instruction(&I::GlobalSet(depth))
            .instruction(&I::GlobalGet(depth))
            .instruction(&I::I32Const(0))
            .instruction(&I::I32LtS)
            .instruction(&I::If(BlockType::Empty))
            .instruction(&I::Unreachable)
            .instruction(&I::End);
    }

    fn pop_frame(&mut self, frame: i64) {
        let depth = self.plan.index.depth;
        self.f
            .instruction(&I::GlobalGet(depth))
            .instruction(&I::I32Const(i32::try_from(frame).unwrap_or(i32::MAX)))
            .instruction(&I::I32Add)
            .instruction(&I::GlobalSet(depth));
    }
}
