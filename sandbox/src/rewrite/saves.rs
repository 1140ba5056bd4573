//! Which stores ask whether the bytes that they write are saved, and for which bytes they ask.
//!
//! A store need not ask where another has asked for its bytes before, on every way that leads to it. Stores that
//! certainly follow one another ask once, for all their bytes: should a later one lie beyond the memory, so that the
//! question traps, then the unit was going to trap, and what it wrote until then nobody sees.
//!
//! Addresses are followed as a sum of a value that is not known and a constant, modulo 2^32. A value that is not known
//! has a number of its own; what a local holds has a new one wherever it could have been set on one of several ways.

use wasmparser::{BlockType, FrameKind, FuncType, FunctionBody, ModuleArity, Operator, SubType};

use super::Fault;
use super::layout::BLOCK;
use crate::verify::ops::store_of;

/// Bytes that a window has at least: for less, the question costs more than it saves.
const WINDOW: u32 = 32;

/// Facts that are looked through for what an address is a sum of.
const ROOTS: usize = 8;

/// Facts that are looked through for one that answers a question: the newest. A function may have very many.
const FACTS: usize = 64;

/// What one store asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Its bytes have been asked for.
    Nothing,
    /// For so many bytes from its address operand plus `from`, modulo 2^32.
    For { from: u32, bytes: u32, window: Window },
}

/// What a question has to do with the function's window, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    /// Its bytes become it.
    Makes,
    /// Its bytes lie there, as far as can be told: the address is the sum of the window's and something.
    Likely,
    /// Nobody knows.
    Perhaps,
}

/// What the stores of a function ask for, in the order of the code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asks {
    pub(super) of: Vec<Ask>,
    /// Bytes of the window.
    pub(super) window: Option<u32>,
}

/// What is known of a module by all its functions.
pub(super) struct Types<'m> {
    types: Vec<SubType>,
    functions: &'m [u32],
}

impl<'m> Types<'m> {
    pub(super) fn new(types: &[FuncType], functions: &'m [u32]) -> Self {
        Self { types: types.iter().map(|ty| SubType::func(ty.clone(), false)).collect(), functions }
    }
}

/// What each store of a function asks for.
pub(super) fn asks(body: &FunctionBody<'_>, params: u32, types: &Types<'_>) -> Result<Asks, Fault> {
    let sets = Sets::of(body)?;
    let mut locals = params;
    for group in body.get_locals_reader().map_err(|_| Fault)? {
        locals += group.map_err(|_| Fault)?.0;
    }
    let mut scan = Scan::new(types, sets, locals as usize);
    for op in body.get_operators_reader().map_err(|_| Fault)? {
        scan.operator(&op.map_err(|_| Fault)?)?;
        scan.position += 1;
    }
    Ok(scan.with_window())
}

/// Where in a function locals are set and loops end; positions count instructions.
struct Sets {
    /// Local and position, sorted.
    sets: Vec<(u32, usize)>,
    /// Per loop, in the order of the code, the position of its end.
    loop_ends: Vec<usize>,
}

impl Sets {
    fn of(body: &FunctionBody<'_>) -> Result<Self, Fault> {
        let (mut sets, mut loop_ends, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for (position, op) in body.get_operators_reader().map_err(|_| Fault)?.into_iter().enumerate() {
            match op.map_err(|_| Fault)? {
                Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                    sets.push((local_index, position));
                }
                Operator::Block { .. } | Operator::If { .. } => open.push(None),
                Operator::Loop { .. } => {
                    open.push(Some(loop_ends.len()));
                    loop_ends.push(position);
                }
                Operator::End => {
                    if let Some(Some(number)) = open.pop() {
                        loop_ends[number] = position;
                    }
                }
                _ => {}
            }
        }
        sets.sort_unstable();
        Ok(Self { sets, loop_ends })
    }

    fn any(&self, local: u32, from: usize, to: usize) -> bool {
        let at = self.sets.partition_point(|set| *set < (local, from));
        self.sets.get(at).is_some_and(|set| *set < (local, to))
    }
}

/// A value plus a constant, modulo 2^32. Number 0 is the value zero.
#[derive(Debug, Clone, Copy)]
struct Value {
    number: u32,
    plus: u32,
    /// The number of one that this is a sum of, if many bytes were asked for there; 0: none.
    root: u32,
}

/// What a local holds, and the frame in which that became so.
#[derive(Clone, Copy)]
struct Local {
    value: Value,
    depth: usize,
    serial: u32,
}

/// A block, loop or arm that is open.
struct Frame {
    serial: u32,
    kind: FrameKind,
    ty: BlockType,
    /// Operands below it.
    height: usize,
    /// Facts that hold when it is entered.
    facts: usize,
    /// Nothing leads here: operands may come out of nowhere.
    dead: bool,
}

/// Bytes that are saved: from `from` to before `to`, counted from a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes {
    number: u32,
    from: i64,
    to: i64,
}

/// A store of the stretch of code that is being read.
#[derive(Clone, Copy)]
struct Store {
    bytes: Bytes,
    /// Its number among the function's stores.
    index: usize,
    /// The constant of the instruction.
    offset: u32,
}

struct Scan<'m> {
    types: &'m Types<'m>,
    sets: Sets,
    position: usize,
    loops: usize,
    serials: u32,
    numbers: u32,
    locals: Vec<Local>,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    /// The depth of each open loop and the positions of its start and end.
    open_loops: Vec<(usize, usize, usize)>,
    facts: Vec<Bytes>,
    stretch: Vec<Store>,
    asks: Vec<Ask>,
    /// Of each of them the root of its address.
    roots: Vec<u32>,
    /// The question for most bytes, those bytes, and the number that they are counted from.
    window: Option<(usize, u32, u32)>,
}

impl ModuleArity for Scan<'_> {
    fn sub_type_at(&self, index: u32) -> Option<&SubType> {
        self.types.types.get(index as usize)
    }

    fn tag_type_arity(&self, _: u32) -> Option<(u32, u32)> {
        None
    }

    fn type_index_of_function(&self, function: u32) -> Option<u32> {
        self.types.functions.get(function as usize).copied()
    }

    fn func_type_of_cont_type(&self, _: &wasmparser::ContType) -> Option<&FuncType> {
        None
    }

    fn sub_type_of_ref_type(&self, _: &wasmparser::RefType) -> Option<&SubType> {
        None
    }

    fn control_stack_height(&self) -> u32 {
        self.frames.len() as u32
    }

    fn label_block(&self, depth: u32) -> Option<(BlockType, FrameKind)> {
        let at = self.frames.len().checked_sub(1 + depth as usize)?;
        Some((self.frames[at].ty, self.frames[at].kind))
    }
}

impl<'m> Scan<'m> {
    fn new(types: &'m Types<'m>, sets: Sets, locals: usize) -> Self {
        let mut scan = Self {
            types,
            sets,
            position: 0,
            loops: 0,
            serials: 0,
            numbers: 0,
            locals: Vec::new(),
            stack: Vec::new(),
            frames: Vec::new(),
            open_loops: Vec::new(),
            facts: Vec::new(),
            stretch: Vec::new(),
            asks: Vec::new(),
            roots: Vec::new(),
            window: None,
        };
        // The function's own results are looked at by nobody here.
        scan.open(FrameKind::Block, BlockType::Empty, 0);
        scan.locals = (0..locals).map(|_| Local { value: scan.unknown(), depth: 0, serial: scan.serials }).collect();
        scan
    }

    fn unknown(&mut self) -> Value {
        self.numbers += 1;
        Value { number: self.numbers, plus: 0, root: 0 }
    }

    fn push_unknown(&mut self, count: u32) {
        for _ in 0..count {
            let value = self.unknown();
            self.stack.push(value);
        }
    }

    fn pop(&mut self) -> Value {
        let height = self.frames.last().map_or(0, |f| f.height);
        if self.stack.len() > height
            && let Some(value) = self.stack.pop()
        {
            return value;
        }
        self.unknown()
    }

    fn open(&mut self, kind: FrameKind, ty: BlockType, height: usize) {
        self.serials += 1;
        let frame = Frame { serial: self.serials, kind, ty, height, facts: self.facts.len(), dead: false };
        self.frames.push(frame);
    }

    fn get(&mut self, index: u32) -> Value {
        let Local { value, depth, serial } = self.locals[index as usize];
        let still_open = self.frames.get(depth).is_some_and(|f| f.serial == serial);
        // Of the loops that were entered since, the outermost has all that the others have.
        let entered = self.open_loops.partition_point(|(loop_depth, ..)| *loop_depth <= depth);
        let set_again = self.open_loops.get(entered).is_some_and(|(_, from, to)| self.sets.any(index, *from, *to));
        if still_open && !set_again {
            return value;
        }
        let value = self.unknown();
        self.set(index, value);
        value
    }

    fn set(&mut self, index: u32, value: Value) {
        let depth = self.frames.len().saturating_sub(1);
        let serial = self.frames.last().map_or(0, |f| f.serial);
        self.locals[index as usize] = Local { value, depth, serial };
    }

    /// The root of a sum that has this value in it.
    fn root(&self, value: Value) -> u32 {
        let many = |f: &Bytes| f.number == value.number && f.to - f.from >= i64::from(WINDOW);
        if self.facts.iter().rev().take(ROOTS).any(many) { value.number } else { value.root }
    }

    fn operator(&mut self, op: &Operator<'_>) -> Result<(), Fault> {
        use Operator as O;
        match op {
            O::LocalGet { local_index } => {
                let value = self.get(*local_index);
                self.stack.push(value);
            }
            O::LocalSet { local_index } => {
                let value = self.pop();
                self.set(*local_index, value);
            }
            O::LocalTee { local_index } => {
                let value = self.pop();
                self.set(*local_index, value);
                self.stack.push(value);
            }
            O::I32Const { value } => self.stack.push(Value { number: 0, plus: *value as u32, root: 0 }),
            O::I32Add | O::I32Sub => {
                let (b, a) = (self.pop(), self.pop());
                let sum = match (op, a.number, b.number) {
                    (O::I32Add, _, 0) => Value { plus: a.plus.wrapping_add(b.plus), ..a },
                    (O::I32Add, 0, _) => Value { plus: b.plus.wrapping_add(a.plus), ..b },
                    (O::I32Sub, _, 0) => Value { plus: a.plus.wrapping_sub(b.plus), ..a },
                    _ => Value { root: self.root(a).max(self.root(b)), ..self.unknown() },
                };
                self.stack.push(sum);
            }
            O::Block { .. } | O::Loop { .. } | O::If { .. } | O::Else | O::End => self.structure(op)?,
            O::Br { .. } | O::BrTable { .. } | O::Return | O::Unreachable => self.leave(),
            O::ReturnCall { .. } | O::ReturnCallIndirect { .. } => self.leave(),
            _ => self.other(op)?,
        }
        Ok(())
    }

    /// An instruction after which the code goes on, and that is no matter of locals or structure.
    fn other(&mut self, op: &Operator<'_>) -> Result<(), Fault> {
        if matches!(op, Operator::BrIf { .. }) {
            self.end_stretch();
        }
        let (takes, gives) = op.operator_arity(&*self).ok_or(Fault)?;
        // A store takes a value and, below it, the address.
        let mut lowest = None;
        for _ in 0..takes {
            lowest = Some(self.pop());
        }
        self.push_unknown(gives);
        if let (Some(access), Some(address)) = (store_of(op), lowest) {
            // A valid constant of a 32-bit memory fits; modulo 2^32 it is as good as any.
            let offset = access.offset as u32;
            let from = i64::from(address.plus.wrapping_add(offset).cast_signed());
            let bytes = Bytes { number: address.number, from, to: from + i64::from(access.width) };
            self.stretch.push(Store { bytes, index: self.asks.len(), offset });
            self.asks.push(Ask::For { from: offset, bytes: access.width, window: Window::Perhaps });
            self.roots.push(address.root);
        }
        Ok(())
    }

    /// What follows an instruction that goes elsewhere is not reached.
    fn leave(&mut self) {
        self.end_stretch();
        if let Some(frame) = self.frames.last_mut() {
            frame.dead = true;
            self.stack.truncate(frame.height);
        }
    }

    fn structure(&mut self, op: &Operator<'_>) -> Result<(), Fault> {
        self.end_stretch();
        match op {
            Operator::Block { blockty } => self.enter(FrameKind::Block, *blockty)?,
            Operator::If { blockty } => {
                self.pop();
                self.enter(FrameKind::If, *blockty)?;
            }
            Operator::Loop { blockty } => {
                let (params, _) = self.block_type_arity(*blockty).ok_or(Fault)?;
                self.enter(FrameKind::Loop, *blockty)?;
                // They come from before the loop or from its own branches.
                for _ in 0..params {
                    self.pop();
                }
                self.push_unknown(params);
                let end = self.sets.loop_ends.get(self.loops).copied().ok_or(Fault)?;
                self.loops += 1;
                self.open_loops.push((self.frames.len() - 1, self.position, end));
            }
            Operator::Else => {
                let frame = self.close()?;
                let (params, _) = self.block_type_arity(frame.ty).ok_or(Fault)?;
                self.open(FrameKind::Else, frame.ty, frame.height);
                self.push_unknown(params);
            }
            _ => {
                let frame = self.close()?;
                let (_, results) = self.block_type_arity(frame.ty).ok_or(Fault)?;
                self.push_unknown(results);
            }
        }
        Ok(())
    }

    fn enter(&mut self, kind: FrameKind, ty: BlockType) -> Result<(), Fault> {
        let (params, _) = self.block_type_arity(ty).ok_or(Fault)?;
        let (dead, below) = self.frames.last().map_or((false, 0), |f| (f.dead, f.height));
        // Where nothing leads, parameters may come out of nowhere.
        let height = self.stack.len().saturating_sub(params as usize).max(below);
        self.open(kind, ty, height);
        if let Some(frame) = self.frames.last_mut() {
            frame.dead = dead;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<Frame, Fault> {
        let frame = self.frames.pop().ok_or(Fault)?;
        self.stack.truncate(frame.height);
        self.facts.truncate(frame.facts);
        if matches!(frame.kind, FrameKind::Loop) {
            self.open_loops.pop();
        }
        Ok(frame)
    }

    /// The stores since the last instruction that may go elsewhere, or that others may come to, follow one another
    /// certainly: of those whose bytes are neighbours the first asks for all.
    fn end_stretch(&mut self) {
        let mut stretch = std::mem::take(&mut self.stretch);
        // Where nothing leads, each store goes on asking for itself.
        if self.frames.last().is_none_or(|f| f.dead) {
            return;
        }
        stretch.sort_unstable_by_key(|s| (s.bytes, s.index));
        let mut rest = &stretch[..];
        while let Some(first) = rest.first() {
            let mut hull = first.bytes;
            let mut count = 0;
            // A gap of less than a block leaves none out: no more is saved than would have been.
            while let Some(store) = rest.get(count)
                && store.bytes.number == hull.number
                && store.bytes.from < hull.to + i64::from(BLOCK)
            {
                hull.to = hull.to.max(store.bytes.to);
                count += 1;
            }
            let (group, others) = rest.split_at(count);
            self.group(group, hull);
            rest = others;
        }
    }

    fn group(&mut self, group: &[Store], hull: Bytes) {
        for store in group {
            self.asks[store.index] = Ask::Nothing;
        }
        let known = |f: &Bytes| f.number == hull.number && f.from <= hull.from && hull.to <= f.to;
        if self.facts.iter().rev().take(FACTS).any(known) {
            return;
        }
        if let Some(first) = group.iter().min_by_key(|s| s.index) {
            // Both differences are below 2^32.
            let before = (hull.from - first.bytes.from) as u32;
            let (from, bytes) = (first.offset.wrapping_add(before), (hull.to - hull.from) as u32);
            self.asks[first.index] = Ask::For { from, bytes, window: Window::Perhaps };
            if bytes > self.window.map_or(WINDOW - 1, |(_, most, _)| most) {
                self.window = Some((first.index, bytes, hull.number));
            }
            self.facts.push(hull);
        }
    }

    /// The question for most bytes makes the window: as a rule it is where the function's arrays lie.
    fn with_window(mut self) -> Asks {
        let Some((makes, bytes, number)) = self.window else { return Asks { of: self.asks, window: None } };
        for (i, (ask, root)) in self.asks.iter_mut().zip(&self.roots).enumerate() {
            if let Ask::For { window, .. } = ask {
                *window = match () {
                    () if i == makes => Window::Makes,
                    () if *root == number && number != 0 => Window::Likely,
                    () => Window::Perhaps,
                };
            }
        }
        Asks { of: self.asks, window: Some(bytes) }
    }
}
