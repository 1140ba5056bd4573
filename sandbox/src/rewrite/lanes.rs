//! Two rows at once: a stateless model that is a formula over `f64` becomes the same formula over pairs of
//! `f64`, inside the driver's loop.
//!
//! Every instruction that is taken over computes each lane as its scalar counterpart computes its one
//! value, bit by bit but for NaNs, which nothing taken over can tell apart. None of them can trap, so that
//! neither fuel nor the number of the row need be kept. Of an `if` both arms are computed, and what they
//! set is chosen by a mask. A module with anything else, or whose arms are too many, runs row by row.

use std::collections::HashMap;

use wasm_encoder as enc;
use wasm_encoder::{BlockType, Instruction as I, ValType};
use wasmparser::{BinaryReader, FunctionBody, Operator};

use super::Plan;
use super::contain::host;
use super::range::Range;
use crate::manifest::{FeatureType, Kind, Output};
use crate::run::{Grid, ROUND, finish};
use crate::verify::ops;
use crate::verify::{Class, Cost, Verified};

/// Locals of the generated function.
const LOCALS: u32 = 4096;
/// Calls within calls that are taken into the loop.
const DEPTH: u32 = 16;

/// Instructions of a pair beyond which a second pair beside it is worth nothing: the loop itself is little then.
const SMALL: usize = 128;

/// `run(from, to) -> next` over pairs of rows, where the model allows it. Its results are bounded already, as
/// `finish` (`run/output.rs`) would bound them.
pub(super) fn rows(plan: &Plan, verified: &Verified) -> Option<enc::Function> {
    let report = verified.report();
    let Cost::Bounded(worst) = report.cost else { return None };
    let formula = plan.kind == Kind::Row
        && report.class == Class::Stateless
        && !plan.metered
        && plan.params.iter().all(|p| *p == FeatureType::F64);
    if !formula {
        return None;
    }
    let (row, to) = (0, 1);
    // Both rows of a pair would cost as much one after the other.
    let budget = worst.saturating_mul(2);
    let mut pairs = vec![pair(plan, verified, budget, 0, 2)?];
    if pairs[0].code.len() <= SMALL {
        let locals = pairs[0].locals;
        pairs.push(pair(plan, verified, budget, 1, locals)?);
    }
    let mut f = enc::Function::new([(pairs[pairs.len() - 1].locals - 2, ValType::V128)]);
    let mut all = |instructions: &[I<'_>]| {
        for instruction in instructions {
            f.instruction(instruction);
        }
    };
    all(&[I::Block(BlockType::Empty), I::LocalGet(row), I::LocalGet(to), I::I32GeU, I::BrIf(0)]);
    all(&[I::Loop(BlockType::Empty)]);
    for pair in &pairs {
        all(&pair.code);
    }
    all(&[I::LocalGet(row), I::I32Const(2 * pairs.len() as i32), I::I32Add, I::LocalTee(row)]);
    all(&[I::LocalGet(to), I::I32LtU, I::BrIf(0), I::End, I::End]);
    // The last pairs may have rows that nobody asked for: a chunk ends after whole pairs.
    f.instruction(&I::LocalGet(to)).instruction(&I::End);
    Some(f)
}

/// The formula over pair number `ahead` from the row in local 0, from the columns to the bounded results.
fn pair<'v>(plan: &Plan, verified: &'v Verified, budget: u64, ahead: u32, locals: u32) -> Option<Lanes<'v>> {
    let mut lanes = Lanes {
        verified,
        code: Vec::new(),
        locals,
        known: HashMap::new(),
        stack: Vec::new(),
        mask: None,
        spent: 0,
        budget,
    };
    let address = [I::LocalGet(0), I::I32Const(3), I::I32Shl];
    for i in 0..plan.params.len() {
        lanes.add(&address);
        lanes.add(&[I::V128Load(host(plan, plan.layout.column(i) + ahead * 16, 3))]);
        lanes.push(Item::Value, Range::ALL);
    }
    lanes.function(plan.roots[0], DEPTH)?;
    lanes.bound(verified.manifest().output())?;
    let result = lanes.keep(Item::Value)?;
    lanes.add(&address);
    lanes.add(&[I::LocalGet(result), I::V128Store(host(plan, plan.layout.results() + ahead * 16, 3))]);
    Some(lanes)
}

/// A constant in both lanes.
fn both(x: f64) -> I<'static> {
    let bits = u128::from(x.to_bits());
    I::V128Const((bits << 64 | bits) as i128)
}

/// What lies on the operand stack: a pair of values, or a pair of truth values as masks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Value,
    Mask,
}

/// A block that is open.
enum Open {
    Block,
    If {
        condition: u32,
        /// The mask around it.
        outer: Option<u32>,
        result: bool,
        /// The value of the first arm, once it is closed.
        then: Option<u32>,
    },
}

struct Lanes<'v> {
    verified: &'v Verified,
    code: Vec<I<'static>>,
    locals: u32,
    /// What locals can hold, in every lane, for however few of them the code was meant.
    known: HashMap<u32, Range>,
    stack: Vec<(Item, Range)>,
    /// Which lanes the code here is meant for; `None`: both.
    mask: Option<u32>,
    spent: u64,
    budget: u64,
}

impl Lanes<'_> {
    fn add(&mut self, instructions: &[I<'static>]) {
        self.code.extend_from_slice(instructions);
    }

    fn local(&mut self) -> Option<u32> {
        (self.locals < LOCALS).then(|| {
            self.locals += 1;
            self.locals - 1
        })
    }

    /// Of masks nothing is known.
    fn push(&mut self, item: Item, range: Range) {
        self.stack.push((item, range));
    }

    fn pop(&mut self, item: Item) -> Option<Range> {
        let (found, range) = self.stack.pop()?;
        (found == item).then_some(range)
    }

    /// Takes a value from the stack into a new local.
    fn keep(&mut self, item: Item) -> Option<u32> {
        let range = self.pop(item)?;
        let local = self.local()?;
        self.add(&[I::LocalSet(local)]);
        self.known.insert(local, range);
        Some(local)
    }

    fn range(&self, local: u32) -> Range {
        self.known.get(&local).copied().unwrap_or(Range::ALL)
    }

    /// Pushes what a local holds.
    fn get(&mut self, local: u32) {
        self.add(&[I::LocalGet(local)]);
        self.push(Item::Value, self.range(local));
    }

    /// Brings the values on the stack into the declared range and onto the grid: the same bits as `finish`
    /// (`run/output.rs`) gives, without those of its steps that change nothing under this manifest.
    fn bound(&mut self, output: Output) -> Option<()> {
        // Zero has one sign here: what is below is compared with it, or added to.
        let (min, max) = (output.min() + 0.0, output.max() + 0.0);
        let x = self.keep(Item::Value)?;
        let inside = self.range(x).within(min, max);
        if inside {
            self.add(&[I::LocalGet(x)]);
        } else {
            // pmax(a, b) is b where a < b, pmin(a, b) is b where b < a, and a in any other case: of `min` and a NaN, `min`.
            self.add(&[both(min), I::LocalGet(x), I::F64x2PMax, both(max), I::F64x2PMin]);
        }
        match Grid::of(&output) {
            Some(Grid { inverse, step }) => {
                let end = min + (((max - min) * inverse + ROUND) - ROUND) * step;
                if min != 0.0 {
                    self.add(&[both(min), I::F64x2Sub]);
                }
                // As adding `ROUND` and taking it away: ties to even, and no number here is negative, or too great.
                self.add(&[both(inverse), I::F64x2Mul, I::F64x2Nearest]);
                self.add(&[both(step), I::F64x2Mul]);
                // A zero makes no difference but to a negative one, which `min` has taken the place of by now, if anything has.
                if min != 0.0 || inside {
                    self.add(&[both(min), I::F64x2Add]);
                }
                // Every step before is monotone: no multiple is above that of `max`.
                if end > max {
                    self.add(&[both(max), I::F64x2PMin]);
                }
            }
            // A negative zero: with a grid, zero is a sum of two that are not both negative zeros.
            None if inside || (min < 0.0 && max >= 0.0) => self.add(&[both(0.0), I::F64x2Add]),
            None => {}
        }
        let finished = |x: f64| {
            let mut one = [x];
            finish(&output, &mut one);
            one[0]
        };
        // What a NaN has become by now is what `min` becomes.
        let (for_nan, so_far) = (finished(f64::NAN), finished(min));
        if !inside && for_nan.to_bits() != so_far.to_bits() {
            self.add(&[both(for_nan), I::LocalGet(x), I::LocalGet(x), I::F64x2Eq, I::V128Bitselect]);
        }
        self.push(Item::Value, Range::ALL);
        Some(())
    }

    /// The body of a function whose arguments lie on the stack; its result lies there afterwards.
    fn function(&mut self, index: u32, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let facts = self.verified.facts();
        let ty = &facts.types[*facts.functions.get(index as usize)? as usize];
        let float = wasmparser::ValType::F64;
        if ty.results() != [float] || ty.params().iter().any(|p| *p != float) {
            return None;
        }
        let mut locals = vec![0; ty.params().len()];
        for local in locals.iter_mut().rev() {
            *local = self.keep(Item::Value)?;
        }
        let range = facts.bodies[index as usize].body.clone();
        let body = FunctionBody::new(BinaryReader::new(&self.verified.wasm()[range], 0));
        for group in body.get_locals_reader().ok()? {
            let (count, ty) = group.ok()?;
            if ty != float {
                return None;
            }
            for _ in 0..count {
                let local = self.local()?;
                self.add(&[I::V128Const(0), I::LocalSet(local)]);
                self.known.insert(local, Range::constant(0.0));
                locals.push(local);
            }
        }
        let height = self.stack.len();
        let mut open = Vec::new();
        for op in body.get_operators_reader().ok()? {
            let op = op.ok()?;
            self.spent += ops::cost(&op);
            if self.spent > self.budget {
                return None;
            }
            if matches!(op, Operator::End) && open.is_empty() {
                return (self.stack.len() == height + 1 && self.stack.last()?.0 == Item::Value).then_some(());
            }
            self.operator(&op, &locals, &mut open, depth)?;
        }
        None
    }

    fn operator(&mut self, op: &Operator<'_>, locals: &[u32], open: &mut Vec<Open>, depth: u32) -> Option<()> {
        use Operator as O;
        match op {
            O::Nop => {}
            O::Drop => {
                self.stack.pop()?;
                self.add(&[I::Drop]);
            }
            O::F64Const { value } => {
                let value = f64::from_bits(value.bits());
                self.add(&[both(value)]);
                self.push(Item::Value, Range::constant(value));
            }
            O::LocalGet { local_index } => {
                self.get(locals[*local_index as usize]);
            }
            O::LocalSet { local_index } => self.set(locals[*local_index as usize])?,
            O::LocalTee { local_index } => {
                let value = self.keep(Item::Value)?;
                self.get(value);
                self.set(locals[*local_index as usize])?;
                self.get(value);
            }
            O::Select | O::TypedSelect { .. } => {
                self.pop(Item::Mask)?;
                let (b, a) = (self.pop(Item::Value)?, self.pop(Item::Value)?);
                self.add(&[I::V128Bitselect]);
                self.push(Item::Value, a.or(b));
            }
            O::Call { function_index } => self.function(*function_index, depth)?,
            O::Block { blockty } => {
                matches!(blockty, wasmparser::BlockType::Empty | wasmparser::BlockType::Type(_)).then_some(())?;
                open.push(Open::Block);
            }
            O::If { blockty } => self.branch(*blockty, open)?,
            O::Else => self.otherwise(open)?,
            O::End => self.close(open)?,
            _ => self.arithmetic(op)?,
        }
        Some(())
    }

    /// Sets a local to what lies on the stack, in the lanes that the code here is meant for.
    fn set(&mut self, local: u32) -> Option<()> {
        let mut range = self.pop(Item::Value)?;
        if let Some(mask) = self.mask {
            self.add(&[I::LocalGet(local), I::LocalGet(mask), I::V128Bitselect]);
            range = range.or(self.range(local));
        }
        self.add(&[I::LocalSet(local)]);
        self.known.insert(local, range);
        Some(())
    }

    fn branch(&mut self, ty: wasmparser::BlockType, open: &mut Vec<Open>) -> Option<()> {
        let result = match ty {
            wasmparser::BlockType::Empty => false,
            wasmparser::BlockType::Type(wasmparser::ValType::F64) => true,
            _ => return None,
        };
        let condition = self.keep(Item::Mask)?;
        let outer = self.mask;
        self.mask = Some(match outer {
            None => condition,
            Some(outer) => self.masked(outer, condition, I::V128And)?,
        });
        open.push(Open::If { condition, outer, result, then: None });
        Some(())
    }

    /// A new mask of `a` and `b`.
    fn masked(&mut self, a: u32, b: u32, operation: I<'static>) -> Option<u32> {
        let mask = self.local()?;
        self.add(&[I::LocalGet(a), I::LocalGet(b), operation, I::LocalSet(mask)]);
        Some(mask)
    }

    fn otherwise(&mut self, open: &mut [Open]) -> Option<()> {
        let Some(Open::If { condition, outer, result, then }) = open.last_mut() else { return None };
        if *result {
            *then = Some(self.keep(Item::Value)?);
        }
        self.mask = Some(match *outer {
            Some(outer) => self.masked(outer, *condition, I::V128AndNot)?,
            None => {
                let mask = self.local()?;
                self.add(&[I::LocalGet(*condition), I::V128Not, I::LocalSet(mask)]);
                mask
            }
        });
        Some(())
    }

    fn close(&mut self, open: &mut Vec<Open>) -> Option<()> {
        let Open::If { condition, outer, result, then } = open.pop()? else { return Some(()) };
        self.mask = outer;
        if result {
            let (then, otherwise) = (then?, self.keep(Item::Value)?);
            self.add(&[I::LocalGet(then), I::LocalGet(otherwise), I::LocalGet(condition), I::V128Bitselect]);
            self.push(Item::Value, self.range(then).or(self.range(otherwise)));
        }
        Some(())
    }

    /// What computes on the operand stack alone.
    fn arithmetic(&mut self, op: &Operator<'_>) -> Option<()> {
        use Item::{Mask, Value};
        use Operator as O;
        let (takes, instruction, gives): (&[Item], _, _) = match op {
            O::F64Add => (&[Value; 2], I::F64x2Add, Value),
            O::F64Sub => (&[Value; 2], I::F64x2Sub, Value),
            O::F64Mul => (&[Value; 2], I::F64x2Mul, Value),
            O::F64Div => (&[Value; 2], I::F64x2Div, Value),
            O::F64Min => (&[Value; 2], I::F64x2Min, Value),
            O::F64Max => (&[Value; 2], I::F64x2Max, Value),
            O::F64Abs => (&[Value], I::F64x2Abs, Value),
            O::F64Neg => (&[Value], I::F64x2Neg, Value),
            O::F64Sqrt => (&[Value], I::F64x2Sqrt, Value),
            O::F64Ceil => (&[Value], I::F64x2Ceil, Value),
            O::F64Floor => (&[Value], I::F64x2Floor, Value),
            O::F64Trunc => (&[Value], I::F64x2Trunc, Value),
            O::F64Nearest => (&[Value], I::F64x2Nearest, Value),
            O::F64Eq => (&[Value; 2], I::F64x2Eq, Mask),
            O::F64Ne => (&[Value; 2], I::F64x2Ne, Mask),
            O::F64Lt => (&[Value; 2], I::F64x2Lt, Mask),
            O::F64Gt => (&[Value; 2], I::F64x2Gt, Mask),
            O::F64Le => (&[Value; 2], I::F64x2Le, Mask),
            O::F64Ge => (&[Value; 2], I::F64x2Ge, Mask),
            O::I32Eqz => (&[Mask], I::V128Not, Mask),
            O::I32And => (&[Mask; 2], I::V128And, Mask),
            O::I32Or => (&[Mask; 2], I::V128Or, Mask),
            O::I32Xor => (&[Mask; 2], I::V128Xor, Mask),
            _ => return None,
        };
        let b = self.pop(takes[0])?;
        let a = if takes.len() == 2 { self.pop(takes[1])? } else { b };
        self.add(&[instruction]);
        self.push(gives, result(op, a, b));
        Some(())
    }
}

/// What an instruction can give, of what it takes.
fn result(op: &Operator<'_>, a: Range, b: Range) -> Range {
    use Operator as O;
    match op {
        O::F64Add => a.add(b),
        O::F64Sub => a.sub(b),
        O::F64Mul => a.mul(b),
        O::F64Min => a.extremum(b, f64::min),
        O::F64Max => a.extremum(b, f64::max),
        O::F64Abs => a.abs(),
        O::F64Neg => a.neg(),
        O::F64Sqrt => a.sqrt(),
        O::F64Ceil => a.map(f64::ceil),
        O::F64Floor => a.map(f64::floor),
        O::F64Trunc => a.map(f64::trunc),
        O::F64Nearest => a.map(f64::round_ties_even),
        _ => Range::ALL,
    }
}
