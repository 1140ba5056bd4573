//! One function of the author's, copied with what metering and containment add.

use wasm_encoder as enc;
use wasm_encoder::reencode::Reencode;
use wasm_encoder::{BlockType, Instruction as I, ValType};
use wasmparser::{FunctionBody, Operator};

use super::contain::Temporaries;
use super::saves::{self, Ask, Asks, Types};
use super::{Copier, Fault, Plan};
use crate::verify::Verified;
use crate::verify::graph::callee_of;
use crate::verify::ops::is_dynamic;

/// Copies function number `index`. What can never run, which is all of it without a `plan`, is not compiled: its
/// body becomes a trap.
pub(super) fn rewrite(
    code: &mut enc::CodeSection,
    index: usize,
    body: &FunctionBody<'_>,
    verified: &Verified,
    types: &Types<'_>,
    plan: Option<&Plan>,
) -> Result<(), Fault> {
    let (graph, facts) = (verified.graph(), verified.facts());
    let Some(plan) = plan.filter(|_| graph.reachable[index]) else {
        let mut f = enc::Function::new([]);
        f.instruction(&I::Unreachable).instruction(&I::End);
        code.function(&f);
        return Ok(());
    };
    let params = facts.types[facts.functions[index] as usize].params().len() as u32;
    let undone = plan.undo && graph.from_model[index];
    let asks = if undone { saves::asks(body, params, types)? } else { Asks::default() };
    let mut out = Copy::begin(body, params, plan, undone, asks)?;
    let charges = &graph.charges[index];
    let frame = facts.bodies[index].frame;
    let mut loops = charges.loops.iter();
    if let Some(entry) = charges.entry {
        out.charge(entry);
    }
    for op in body.get_operators_reader().map_err(|_| Fault)? {
        let op = op.map_err(|_| Fault)?;
        let guard = plan.metered && callee_of(&op).is_some_and(|callee| graph.recurs(index, callee));
        if guard {
            out.push_frame(frame);
        }
        if plan.metered && is_dynamic(&op) && !matches!(op, Operator::MemoryGrow { .. }) {
            out.charge_length();
        }
        let is_loop = matches!(op, Operator::Loop { .. });
        out.contained(op)?;
        if is_loop && let Some(cost) = loops.next() {
            out.charge(*cost);
        }
        if guard {
            out.pop_frame(frame);
        }
    }
    code.function(&out.f);
    Ok(())
}

/// A function on its way from the old module to the new one.
pub(super) struct Copy<'p> {
    pub(super) f: enc::Function,
    re: Copier,
    pub(super) plan: &'p Plan,
    /// Whether what it writes has to be undone: not so for what only the start function runs.
    pub(super) undone: bool,
    /// What its next stores ask for, where that is so.
    pub(super) asks: std::vec::IntoIter<Ask>,
    /// Bytes of its window, if it has one.
    pub(super) window: Option<u32>,
    pub(super) temporaries: Temporaries,
}

impl<'p> Copy<'p> {
    fn begin(body: &FunctionBody<'_>, params: u32, plan: &'p Plan, undone: bool, asks: Asks) -> Result<Self, Fault> {
        let mut re = Copier;
        let mut locals = Vec::new();
        let mut next = params;
        for pair in body.get_locals_reader().map_err(|_| Fault)? {
            let (count, ty) = pair.map_err(|_| Fault)?;
            next += count;
            locals.push((count, re.val_type(ty).map_err(|_| Fault)?));
        }
        let temporaries = Temporaries::after(next);
        locals.extend(Temporaries::TYPES);
        let window = asks.window;
        let asks = asks.of.into_iter();
        let mut copy = Self { f: enc::Function::new(locals), re, plan, undone, temporaries, asks, window };
        if window.is_some() {
            copy.no_window();
        }
        Ok(copy)
    }

    /// Copies an instruction as it is.
    pub(super) fn copy(&mut self, op: Operator<'_>) -> Result<(), Fault> {
        let instruction = self.re.instruction(op).map_err(|_| Fault)?;
        self.f.instruction(&instruction);
        Ok(())
    }

    /// Appends instructions of our own.
    pub(super) fn add(&mut self, instructions: &[I<'_>]) -> &mut Self {
        for instruction in instructions {
            self.f.instruction(instruction);
        }
        self
    }

    /// Traps when the condition on the stack holds.
    pub(super) fn trap_if(&mut self) {
        self.add(&[I::If(BlockType::Empty), I::Unreachable, I::End]);
    }

    /// Takes `cost` from the fuel that is left; traps when there is not enough.
    fn charge(&mut self, cost: u64) {
        if !self.plan.metered {
            return;
        }
        let fuel = self.plan.index.fuel;
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        self.add(&[I::GlobalGet(fuel), I::I64Const(cost), I::I64Sub, I::GlobalSet(fuel)]);
        self.trap_without_fuel();
    }

    /// As [`charge`](Self::charge), one for every eight of the length that lies on the stack.
    fn charge_length(&mut self) {
        let (fuel, length) = (self.plan.index.fuel, self.temporaries.of(ValType::I32));
        self.add(&[I::LocalSet(length), I::GlobalGet(fuel), I::LocalGet(length), I::I64ExtendI32U]).add(&[
            I::I64Const(3),
            I::I64ShrU,
            I::I64Sub,
            I::GlobalSet(fuel),
        ]);
        self.trap_without_fuel();
        self.add(&[I::LocalGet(length)]);
    }

    fn trap_without_fuel(&mut self) {
        self.add(&[I::GlobalGet(self.plan.index.fuel), I::I64Const(0), I::I64LtS]).trap_if();
    }

    /// Before a call that can come back here: takes the caller's frame from the stack that is left.
    fn push_frame(&mut self, frame: i64) {
        let depth = self.plan.index.depth;
        let frame = i32::try_from(frame).unwrap_or(i32::MAX);
        self.add(&[I::GlobalGet(depth), I::I32Const(frame), I::I32Sub, I::GlobalSet(depth)])
            .add(&[I::GlobalGet(depth), I::I32Const(0), I::I32LtS])
            .trap_if();
    }

    fn pop_frame(&mut self, frame: i64) {
        let depth = self.plan.index.depth;
        let frame = i32::try_from(frame).unwrap_or(i32::MAX);
        self.add(&[I::GlobalGet(depth), I::I32Const(frame), I::I32Add, I::GlobalSet(depth)]);
    }
}
