//! Containment: before a block of the guest's memory is written for the first time in a unit, it is
//! saved in the host's memory; after the unit, saved blocks and globals are put back. The cost grows
//! with the blocks written, not with the size of the memory.
//!
//! A store asks the flags of the one or two blocks that it touches, where `saves.rs` does not say that this has been
//! asked before. In a function that asks for many bytes at once, those are its *window*: a store into it asks no further.
//!
//! A memory that can grow is given its greatest size from the start, for no engine can shrink one.
//! Its size as the guest sees it is a number of ours, against which every access is checked.

use wasm_encoder as enc;
use wasm_encoder::{BlockType, Instruction as I, MemArg, ValType};
use wasmparser::Operator;

use super::body::Copy;
use super::layout::BLOCK;
use super::saves::{Ask, Window};
use super::{Fault, Layout, Plan};
use crate::verify::ops::{Access, Write, load_of, store_of, write_of};

const BLOCK_SHIFT: i32 = BLOCK.trailing_zeros() as i32;

/// Where a function's window is before it has one: no memory reaches so far, and a store there traps.
const NOWHERE: i32 = i32::MIN;

/// Locals of our own behind a function's: one per value type, one for an address, one for a source, one for the window.
#[derive(Clone, Copy)]
pub(super) struct Temporaries {
    first: u32,
}

impl Temporaries {
    pub(super) const TYPES: [(u32, ValType); 5] =
        [(4, ValType::I32), (1, ValType::I64), (1, ValType::F32), (1, ValType::F64), (1, ValType::V128)];

    pub(super) fn after(first: u32) -> Self {
        Self { first }
    }

    fn address(self) -> u32 {
        self.first
    }

    fn source(self) -> u32 {
        self.first + 1
    }

    fn window(self) -> u32 {
        self.first + 3
    }

    /// The local for a value of type `ty`.
    pub(super) fn of(self, ty: ValType) -> u32 {
        self.first
            + match ty {
                ValType::I64 => 4,
                ValType::F32 => 5,
                ValType::F64 => 6,
                ValType::V128 => 7,
                _ => 2,
            }
    }
}

/// The type of the value that a store takes.
fn stored_type(op: &Operator<'_>) -> ValType {
    use Operator as O;
    match op {
        O::I64Store { .. } | O::I64Store8 { .. } | O::I64Store16 { .. } | O::I64Store32 { .. } => ValType::I64,
        O::F32Store { .. } => ValType::F32,
        O::F64Store { .. } => ValType::F64,
        O::I32Store { .. } | O::I32Store8 { .. } | O::I32Store16 { .. } => ValType::I32,
        _ => ValType::V128,
    }
}

/// Whether the value of a load lies above its address on the stack: the lane loads take a vector.
fn takes_vector(op: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        op,
        O::V128Load8Lane { .. } | O::V128Load16Lane { .. } | O::V128Load32Lane { .. } | O::V128Load64Lane { .. }
    )
}

impl Copy<'_> {
    /// Copies an instruction, with what keeps its writes within the unit.
    pub(super) fn contained(&mut self, op: Operator<'_>) -> Result<(), Fault> {
        let growing = self.plan.growing;
        if let Some(access) = store_of(&op) {
            if growing || self.undoes() {
                self.store(&op, access);
            }
            return self.copy(op);
        }
        if let (true, Some(access)) = (growing, load_of(&op)) {
            self.load(&op, access);
            return self.copy(op);
        }
        match op {
            Operator::MemorySize { .. } if growing => {
                self.add(&[I::GlobalGet(self.plan.index.bytes), I::I64Const(16), I::I64ShrU, I::I32WrapI64]);
                return Ok(());
            }
            Operator::MemoryGrow { .. } if growing => {
                self.grow();
                return Ok(());
            }
            Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => self.bulk(&op),
            _ if write_of(&op) == Some(Write::Table) && self.undoes() => self.ask_for_reset(),
            _ => {}
        }
        self.copy(op)
    }

    fn undoes(&self) -> bool {
        self.undone && self.plan.undo
    }

    /// Traps unless `width` bytes from `address + offset` lie within the memory as the guest sees it.
    fn check(&mut self, address: u32, beyond: u64) {
        let bytes = self.plan.index.bytes;
        // A static offset is below 2^32 and a width at most 16: the sum fits.
        let beyond = beyond as i64;
        self.add(&[I::LocalGet(address), I::I64ExtendI32U, I::I64Const(beyond), I::I64Add])
            .add(&[I::GlobalGet(bytes), I::I64GtU])
            .trap_if();
    }

    /// As [`check`](Self::check), for a length that stands in a local.
    fn check_length(&mut self, address: u32, length: u32) {
        let bytes = self.plan.index.bytes;
        self.add(&[I::LocalGet(address), I::I64ExtendI32U, I::LocalGet(length), I::I64ExtendI32U, I::I64Add])
            .add(&[I::GlobalGet(bytes), I::I64GtU])
            .trap_if();
    }

    fn load(&mut self, op: &Operator<'_>, access: Access) {
        let address = self.temporaries.address();
        let vector = self.temporaries.of(ValType::V128);
        if takes_vector(op) {
            self.add(&[I::LocalSet(vector)]);
        }
        self.add(&[I::LocalSet(address)]);
        self.check(address, access.offset + u64::from(access.width));
        self.add(&[I::LocalGet(address)]);
        if takes_vector(op) {
            self.add(&[I::LocalGet(vector)]);
        }
    }

    fn store(&mut self, op: &Operator<'_>, access: Access) {
        let address = self.temporaries.address();
        let value = self.temporaries.of(stored_type(op));
        self.add(&[I::LocalSet(value), I::LocalSet(address)]);
        if self.plan.growing {
            self.check(address, access.offset + u64::from(access.width));
        }
        match self.asks.next() {
            Some(Ask::For { from, bytes, window }) => self.ask(address, from, bytes, window),
            Some(Ask::Nothing) | None => {}
        }
        self.add(&[I::LocalGet(address), I::LocalGet(value)]);
    }

    /// No block is known to be saved when a function begins.
    pub(super) fn no_window(&mut self) {
        self.add(&[I::I32Const(NOWHERE), I::LocalSet(self.temporaries.window())]);
    }

    /// Sees to it that so many bytes from `address + from` are saved, modulo 2^32.
    fn ask(&mut self, address: u32, from: u32, bytes: u32, window: Window) {
        let place = self.temporaries.window();
        let mut first = vec![I::LocalGet(address)];
        if from != 0 {
            first.extend([I::I32Const(from.cast_signed()), I::I32Add]);
        }
        let room = self.window.and_then(|extent| extent.checked_sub(bytes)).filter(|_| window != Window::Makes);
        if let Some(room) = room {
            self.add(&first).add(&[I::LocalGet(place), I::I32Sub, I::I32Const(room.cast_signed()), I::I32GtU]);
            self.add(&[I::If(BlockType::Empty)]);
        }
        // Where the window is not expected to answer, a call for each store that it does not answer would be dear.
        let flags = bytes <= BLOCK && !(room.is_some() && window == Window::Likely);
        if flags {
            self.ask_flags(address, from, bytes);
        }
        let touch = I::Call(self.plan.index.save + 2);
        self.add(&first).add(&[I::I32Const(bytes.cast_signed()), touch]);
        for _ in 0..u32::from(flags) + u32::from(room.is_some()) {
            self.add(&[I::End]);
        }
        if window == Window::Makes {
            self.add(&first).add(&[I::LocalSet(place)]);
        }
    }

    /// Begins what is done where not all blocks of so many bytes, a block at most, are saved.
    fn ask_flags(&mut self, address: u32, from: u32, bytes: u32) {
        let flag = I::I32Load8U(host(self.plan, self.plan.layout.flags(), 0));
        self.block(address, from).add(std::slice::from_ref(&flag));
        if bytes > 1 {
            self.block(address, from.wrapping_add(bytes - 1)).add(&[flag, I::I32And]);
        }
        self.add(&[I::I32Eqz, I::If(BlockType::Empty)]);
    }

    /// Pushes the number of the block at `address + offset`.
    fn block(&mut self, address: u32, offset: u32) -> &mut Self {
        self.add(&[I::LocalGet(address)]);
        if offset != 0 {
            self.add(&[I::I32Const(offset as i32), I::I32Add]);
        }
        self.add(&[I::I32Const(BLOCK_SHIFT), I::I32ShrU])
    }

    /// `memory.fill`, `memory.copy`, `memory.init`: destination, value or source, length.
    fn bulk(&mut self, op: &Operator<'_>) {
        let (address, source) = (self.temporaries.address(), self.temporaries.source());
        let length = self.temporaries.of(ValType::I32);
        if !self.plan.growing && !self.undoes() {
            return;
        }
        self.add(&[I::LocalSet(length), I::LocalSet(source), I::LocalSet(address)]);
        if self.plan.growing {
            self.check_length(address, length);
            if matches!(op, Operator::MemoryCopy { .. }) {
                self.check_length(source, length);
            }
        }
        if self.undoes() {
            let save_range = I::Call(self.plan.index.save + 1);
            self.add(&[I::LocalGet(address), I::LocalGet(length), save_range]);
        }
        self.add(&[I::LocalGet(address), I::LocalGet(source), I::LocalGet(length)]);
    }

    /// `memory.grow` on the number of ours: the old size in pages, or -1.
    fn grow(&mut self) {
        let (more, bytes) = (self.temporaries.of(ValType::I32), self.plan.index.bytes);
        let most = i64::from(self.plan.guest_pages) << 16;
        let asked = [I::LocalGet(more), I::I64ExtendI32U, I::I64Const(16), I::I64Shl];
        self.add(&[I::LocalSet(more)])
            .add(&asked)
            .add(&[I::I64Const(most), I::GlobalGet(bytes), I::I64Sub, I::I64GtU])
            .add(&[I::If(BlockType::Result(ValType::I32)), I::I32Const(-1), I::Else])
            .add(&[I::GlobalGet(bytes), I::I64Const(16), I::I64ShrU, I::I32WrapI64, I::GlobalGet(bytes)])
            .add(&asked)
            .add(&[I::I64Add, I::GlobalSet(bytes), I::End]);
    }

    /// Tables and dropped segments are not undone: the instance is replaced after the unit.
    fn ask_for_reset(&mut self) {
        let at = host(self.plan, Layout::RESET, 2);
        self.add(&[I::I32Const(0), I::I32Const(1), I::I32Store(at)]);
    }
}

/// An address in the host's memory.
pub(super) fn host(plan: &Plan, offset: u32, align: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align, memory_index: plan.index.memory }
}

/// An address in the guest's memory.
fn guest(offset: u32, align: u32) -> MemArg {
    MemArg { offset: u64::from(offset), align, memory_index: 0 }
}

/// Copies the 64 bytes at the address in `from` to that in `to`.
fn copy_block(
    f: &mut enc::Function,
    from: u32,
    from_arg: impl Fn(u32) -> MemArg,
    to: u32,
    to_arg: impl Fn(u32) -> MemArg,
) {
    for i in 0..BLOCK / 16 {
        f.instruction(&I::LocalGet(to))
            .instruction(&I::LocalGet(from))
            .instruction(&I::V128Load(from_arg(i * 16)))
            .instruction(&I::V128Store(to_arg(i * 16)));
    }
}

fn all(f: &mut enc::Function, instructions: &[I<'_>]) {
    for instruction in instructions {
        f.instruction(instruction);
    }
}

/// `save(block)`: puts a block into the log unless it is there; a full log asks for a reset.
pub(super) fn save(plan: &Plan) -> enc::Function {
    let (block, count, saved) = (0, 1, 2);
    let (layout, log) = (&plan.layout, plan.index.log);
    let mut f = enc::Function::new([(2, ValType::I32)]);
    all(&mut f, &[I::LocalGet(block), I::I32Load8U(host(plan, layout.flags(), 0))]);
    all(&mut f, &[I::If(BlockType::Empty), I::Return, I::End]);
    all(&mut f, &[I::GlobalGet(log), I::LocalTee(count), I::I32Const(layout.log_blocks() as i32), I::I32GeU]);
    all(&mut f, &[I::If(BlockType::Empty), I::I32Const(0), I::I32Const(1)]);
    all(&mut f, &[I::I32Store(host(plan, Layout::RESET, 2)), I::Return, I::End]);
    all(&mut f, &[I::LocalGet(block), I::I32Const(1), I::I32Store8(host(plan, layout.flags(), 0))]);
    all(&mut f, &[I::LocalGet(count), I::I32Const(2), I::I32Shl, I::LocalGet(block)]);
    all(&mut f, &[I::I32Store(host(plan, layout.numbers(), 2))]);
    all(&mut f, &[I::LocalGet(count), I::I32Const(BLOCK_SHIFT), I::I32Shl, I::LocalSet(saved)]);
    all(&mut f, &[I::LocalGet(count), I::I32Const(1), I::I32Add, I::GlobalSet(log)]);
    all(&mut f, &[I::LocalGet(block), I::I32Const(BLOCK_SHIFT), I::I32Shl, I::LocalSet(block)]);
    copy_block(&mut f, block, |i| guest(i, 4), saved, |i| host(plan, layout.saved() + i, 4));
    f.instruction(&I::End);
    f
}

/// `save_range(address, length)`: saves every block of a range. One that goes beyond the memory is
/// left alone: the operation itself traps.
pub(super) fn save_range(plan: &Plan) -> enc::Function {
    let (address, length, last) = (0, 1, 2);
    let mut f = enc::Function::new([(1, ValType::I32)]);
    all(&mut f, &[I::LocalGet(length), I::I32Eqz, I::If(BlockType::Empty), I::Return, I::End]);
    all(&mut f, &[I::LocalGet(address), I::I64ExtendI32U, I::LocalGet(length), I::I64ExtendI32U, I::I64Add]);
    all(&mut f, &[I::I64Const(i64::from(plan.guest_pages) << 16), I::I64GtU]);
    all(&mut f, &[I::If(BlockType::Empty), I::Return, I::End]);
    all(&mut f, &[I::LocalGet(address), I::LocalGet(length), I::I32Add, I::I32Const(1), I::I32Sub]);
    all(&mut f, &[I::I32Const(BLOCK_SHIFT), I::I32ShrU, I::LocalSet(last)]);
    all(&mut f, &[I::LocalGet(address), I::I32Const(BLOCK_SHIFT), I::I32ShrU, I::LocalSet(address)]);
    all(&mut f, &[I::Loop(BlockType::Empty), I::LocalGet(address), I::Call(plan.index.save)]);
    all(&mut f, &[I::LocalGet(address), I::I32Const(1), I::I32Add, I::LocalTee(address)]);
    all(&mut f, &[I::LocalGet(last), I::I32LeU, I::BrIf(0), I::End, I::End]);
    f
}

/// `touch(address, length)`: saves every block of a range that is going to be written, at least one byte. Traps where it
/// goes beyond the memory, as the unit is going to.
pub(super) fn touch(plan: &Plan) -> enc::Function {
    let (address, length) = (0, 1);
    let mut f = enc::Function::new([]);
    all(&mut f, &[I::LocalGet(address), I::I64ExtendI32U, I::LocalGet(length), I::I64ExtendI32U, I::I64Add]);
    all(&mut f, &[I::I64Const(i64::from(plan.guest_pages) << 16), I::I64GtU]);
    all(&mut f, &[I::If(BlockType::Empty), I::Unreachable, I::End]);
    all(&mut f, &[I::LocalGet(address), I::LocalGet(length), I::Call(plan.index.save + 1), I::End]);
    f
}

/// A loop over the log; with `restore` the blocks are put back. Either way their flags are cleared
/// and the log is empty afterwards.
fn empty_log(f: &mut enc::Function, plan: &Plan, [count, i, block, saved]: [u32; 4], restore: bool) {
    let (layout, log) = (&plan.layout, plan.index.log);
    all(f, &[I::GlobalGet(log), I::LocalTee(count), I::If(BlockType::Empty)]);
    all(f, &[I::I32Const(0), I::LocalSet(i), I::Loop(BlockType::Empty)]);
    all(
        f,
        &[I::LocalGet(i), I::I32Const(2), I::I32Shl, I::I32Load(host(plan, layout.numbers(), 2)), I::LocalTee(block)],
    );
    all(f, &[I::I32Const(0), I::I32Store8(host(plan, layout.flags(), 0))]);
    if restore {
        all(f, &[I::LocalGet(block), I::I32Const(BLOCK_SHIFT), I::I32Shl, I::LocalSet(block)]);
        all(f, &[I::LocalGet(i), I::I32Const(BLOCK_SHIFT), I::I32Shl, I::LocalSet(saved)]);
        copy_block(f, saved, |i| host(plan, layout.saved() + i, 4), block, |i| guest(i, 4));
    }
    all(f, &[I::LocalGet(i), I::I32Const(1), I::I32Add, I::LocalTee(i)]);
    all(f, &[I::LocalGet(count), I::I32LtU, I::BrIf(0), I::End]);
    all(f, &[I::I32Const(0), I::GlobalSet(log), I::End]);
}

/// `undo()`: puts everything back that the unit wrote.
pub(super) fn undo(plan: &Plan) -> enc::Function {
    let mut f = enc::Function::new([(4, ValType::I32)]);
    if plan.index.memory > 0 {
        empty_log(&mut f, plan, [0, 1, 2, 3], true);
    }
    for kept in &plan.kept {
        all(&mut f, &[I::GlobalGet(kept.shadow), I::GlobalSet(kept.global)]);
    }
    f.instruction(&I::End);
    f
}

/// `commit()`: makes the present state the one to come back to.
pub(super) fn commit(plan: &Plan) -> enc::Function {
    let mut f = enc::Function::new([(4, ValType::I32)]);
    if plan.index.memory > 0 {
        empty_log(&mut f, plan, [0, 1, 2, 3], false);
    }
    for kept in &plan.kept {
        all(&mut f, &[I::GlobalGet(kept.global), I::GlobalSet(kept.shadow)]);
    }
    all(&mut f, &[I::I32Const(0), I::I32Const(0), I::I32Store(host(plan, Layout::RESET, 2)), I::End]);
    f
}
