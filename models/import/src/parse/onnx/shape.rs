//! Operators that move numbers about, and the shapes that they may have.
//!
//! A batch is `[rows, columns]`, or `[rows]` where each row has one number. What would mix rows, or give a row more axes than
//! one, is refused: an answer for a row must come of that row alone, and operators that follow would mean other numbers.

use super::attributes::{Attributes, across_rows};
use super::proto::{self, kind};
use super::{Constant, Val, Walk, broken, num_of};
use crate::ir::{Binary, Id, Num, Op, Unary};
use crate::refusal::Refusal;

fn unfit() -> Refusal {
    Refusal::unsupported(
        "the numbers of a batch have to stay in the shape [rows, columns]; this makes another one of them",
        "批数据须保持 [行, 列] 的形状；此算子会改变该形状",
    )
}

impl Walk {
    pub(super) fn concat(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let cubes = (0..node.input.len()).map(|i| self.val(node, i)).collect::<Result<Vec<Val>, _>>()?;
        let cubes: Vec<Id> =
            cubes.iter().filter_map(|v| if let Val::Cube(id, 1) = v { Some(*id) } else { None }).collect();
        if cubes.len() == node.input.len() && matches!(a.int("axis", 0), 2 | -1) {
            return Ok(Val::Cube(self.graph.concat(&cubes)?, 1));
        }
        a.along_columns(0)?;
        let parts = (0..node.input.len()).map(|i| self.row(node, i)).collect::<Result<Vec<Id>, _>>()?;
        let num = if parts.iter().any(|p| self.graph.num(*p) == Num::F64) { Num::F64 } else { Num::F32 };
        let parts = parts.into_iter().map(|p| self.graph.cast(p, num)).collect::<Result<Vec<Id>, _>>()?;
        Ok(Val::Row(self.graph.concat(&parts)?))
    }

    pub(super) fn gather(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        a.along_columns(0)?;
        let picks = self.constant(node, 1)?;
        if let Val::Texts(inputs) = self.val(node, 0)? {
            return Ok(Val::Texts(places(&picks, inputs.len())?.into_iter().map(|p| inputs[p]).collect()));
        }
        let id = self.pick(node, &picks)?;
        match picks.dims.len() {
            // One place that is no list takes the axis away.
            0 => Ok(Val::Flat(id)),
            1 => Ok(Val::Row(id)),
            _ => Err(unfit()),
        }
    }

    /// Elements of a row by constant places.
    pub(super) fn pick(&mut self, node: &proto::Node, picks: &Constant) -> Result<Id, Refusal> {
        let x = self.row(node, 0)?;
        let from = places(picks, self.graph.len(x))?.into_iter().map(|place| (x, place as u32)).collect();
        self.graph.gather(from)
    }

    pub(super) fn reduce_sum(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        a.pass(&["noop_with_empty_axes"]);
        match self.axes(node, a)?.as_slice() {
            [1.0] | [-1.0] => {}
            [] => return across_rows(0),
            other => return across_rows(other[0] as i64),
        }
        let x = self.row(node, 0)?;
        let sum = self.graph.sum(x)?;
        Ok(if a.int("keepdims", 1) == 1 { Val::Row(sum) } else { Val::Flat(sum) })
    }

    /// Axes, as an attribute (before opset 13) or as an input; none where none are said.
    fn axes(&self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<f64>, Refusal> {
        let said: Vec<f64> = a.ints("axes").iter().map(|i| *i as f64).collect();
        if said.is_empty() && self.has(node, 1) { Ok(self.constant(node, 1)?.numbers) } else { Ok(said) }
    }

    pub(super) fn flatten(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        a.along_columns(1)?;
        let val = self.val(node, 0)?;
        if a.int("axis", 1) == -1 && matches!(val, Val::Flat(_) | Val::Place { flat: true, .. }) {
            // The last axis is that of the rows.
            return across_rows(-1);
        }
        match val {
            Val::Flat(id) | Val::Row(id) => Ok(Val::Row(id)),
            Val::Cube(id, _) if a.int("axis", 1) == 1 => Ok(Val::Row(id)),
            Val::Place { id, .. } => Ok(Val::Place { id, flat: false }),
            label @ Val::Label(_) => Ok(label),
            other => Err(self.unfit(node, 0, &other)),
        }
    }

    pub(super) fn dropout(&mut self, node: &proto::Node) -> Result<Val, Refusal> {
        // Input 2 is whether the model is being trained.
        if self.has(node, 2) && self.constant(node, 2)?.numbers.iter().any(|x| *x != 0.0) {
            return Err(Refusal::unsupported(
                "`training_mode` = true is not supported; export the model for inference",
                "不支持 `training_mode` = true；请以推理模式导出模型",
            ));
        }
        self.val(node, 0)
    }

    pub(super) fn squeeze(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let axes = self.axes(node, a)?;
        match self.val(node, 0)? {
            Val::Row(id) if self.graph.len(id) == 1 && matches!(axes.as_slice(), [] | [1.0] | [-1.0]) => {
                Ok(Val::Flat(id))
            }
            Val::Row(id) if self.graph.len(id) > 1 && axes.is_empty() => Ok(Val::Row(id)),
            Val::Place { id, flat: false } if matches!(axes.as_slice(), [] | [1.0] | [-1.0]) => {
                Ok(Val::Place { id, flat: true })
            }
            label @ Val::Label(_) if !axes.contains(&0.0) => Ok(label),
            Val::Constant(c) => Ok(Val::Constant(squeezed(c, &axes))),
            _ => Err(unfit()),
        }
    }

    pub(super) fn unsqueeze(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let axes = self.axes(node, a)?;
        match self.val(node, 0)? {
            Val::Flat(id) if matches!(axes.as_slice(), [1.0] | [-1.0]) => Ok(Val::Row(id)),
            Val::Place { id, flat: true } if matches!(axes.as_slice(), [1.0] | [-1.0]) => {
                Ok(Val::Place { id, flat: false })
            }
            label @ Val::Label(_) if matches!(axes.as_slice(), [1.0] | [-1.0]) => Ok(label),
            Val::Constant(c) => Ok(Val::Constant(unsqueezed(c, &axes)?)),
            _ => Err(unfit()),
        }
    }

    /// To `[rows, columns]` or, of one column, to `[rows]`; the rows as 0 (as before), -1 (as many as there are), or 1 where the file
    /// was written for one row.
    pub(super) fn reshape(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let shape = self.constant(node, 1)?.numbers;
        if a.int("allowzero", 0) != 0 {
            return a.refuse("allowzero", "1");
        }
        let (id, kept, place) = match self.val(node, 0)? {
            Val::Row(id) => (id, true, false),
            Val::Flat(id) | Val::Cube(id, _) => (id, false, false),
            Val::Place { id, flat } => (id, !flat, true),
            label @ Val::Label(_) if shape.len() <= 2 => return Ok(label),
            other => return Err(self.unfit(node, 0, &other)),
        };
        let width = self.graph.len(id) as f64;
        let rows = |n: &f64| *n == 0.0 || *n == -1.0 || (*n == 1.0 && self.one_row);
        let flat = match shape.as_slice() {
            [n, columns] if rows(n) && *columns == width => false,
            // The number of columns is what remains.
            [n, -1.0] if rows(n) && *n != -1.0 => false,
            [n, 0.0] if rows(n) && kept => false,
            [-1.0] if width == 1.0 => true,
            _ => return Err(unfit()),
        };
        Ok(match (place, flat) {
            (true, flat) => Val::Place { id, flat },
            (false, true) => Val::Flat(id),
            (false, false) => Val::Row(id),
        })
    }

    pub(super) fn cast(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let to = i32::try_from(a.int("to", 1)).unwrap_or(0);
        let (id, flat) = match self.val(node, 0)? {
            Val::Row(id) => (id, false),
            Val::Flat(id) => (id, true),
            Val::Place { id, flat } if matches!(to, kind::INT32 | kind::INT64) => return Ok(Val::Place { id, flat }),
            Val::Place { id, flat } => (id, flat),
            label @ Val::Label(_) => return Ok(label),
            Val::Constant(c) if to == kind::FLOAT => return Ok(Val::Constant(Constant { num: Num::F32, ..c })),
            other => return Err(self.unfit(node, 0, &other)),
        };
        let whole = matches!(to, kind::INT32 | kind::INT64);
        if to == kind::INT64 && !self.is_integer(id) {
            let id = self.truncated(id)?;
            return Ok(if flat { Val::Flat(id) } else { Val::Row(id) });
        }
        let num = match num_of(to) {
            // What is whole already stays what it is; others might not fit.
            Some(num) if to != kind::BOOL && (!whole || self.is_integer(id)) => num,
            _ => return a.refuse("to", kind::name(to)),
        };
        let mut cast = self.graph.cast(id, num)?;
        if !whole && self.is_integer(cast) {
            // The same numbers in the same arithmetic, and no longer whole ones to those who ask.
            cast = self.graph.gather((0..self.graph.len(cast) as u32).map(|i| (cast, i)).collect())?;
            self.reals.push(cast);
        }
        Ok(if flat { Val::Flat(cast) } else { Val::Row(cast) })
    }

    /// The whole parts of numbers, as numbers of 64 bits have them: what is missing becomes the least of them, as processors (x86-64) and so
    /// ONNX Runtime have it.
    pub(super) fn truncated(&mut self, id: Id) -> Result<Id, Refusal> {
        let wide = self.graph.cast(id, Num::F64)?;
        let whole = self.graph.unary(Unary::Truncate, wide)?;
        let missing = self.graph.is_nan(wide)?;
        let least = self.graph.constant(vec![i64::MIN as f64; self.graph.len(wide)], Num::F64)?;
        self.graph.select(missing, least, whole)
    }

    /// Whether the type of a value is one of whole numbers: division cuts off, and a cast to whole numbers changes nothing.
    pub(super) fn is_integer(&mut self, id: Id) -> bool {
        for (i, value) in self.graph.values().iter().enumerate().skip(self.whole.len()) {
            let of = |id: &Id| self.whole[id.index()];
            let whole = match &value.op {
                Op::Input(k) => self.integers.get(*k as usize).copied().unwrap_or(false),
                Op::Gather(from) => from.iter().all(|(id, _)| of(id)),
                // The format asks both sides for one type.
                Op::Binary(Binary::Less | Binary::Equal, ..) => false,
                Op::Binary(_, a, b) => of(a) || of(b),
                Op::Unary(Unary::Negate | Unary::Absolute | Unary::Relu, a) => of(a),
                Op::ArgMax(_) | Op::Unary(Unary::Truncate, _) => true,
                Op::Select(_, _, a) => of(a),
                _ => false,
            };
            self.whole.push(whole && !self.reals.contains(&self.graph.id(i)));
        }
        self.whole[id.index()]
    }
}

/// Indices into a row of `width`; those below zero count from its end.
fn places(picks: &Constant, width: usize) -> Result<Vec<usize>, Refusal> {
    let width = width as f64;
    let place = |p: &f64| {
        let place = if *p < 0.0 { p + width } else { *p };
        if (0.0..width).contains(&place) {
            Ok(place as usize)
        } else {
            Err(broken("an index lies outside the row", "下标越界"))
        }
    };
    picks.numbers.iter().map(place).collect()
}

fn squeezed(mut c: Constant, axes: &[f64]) -> Constant {
    let rank = c.dims.len() as f64;
    let gone = |i: usize| axes.is_empty() || axes.iter().any(|a| *a == i as f64 || *a + rank == i as f64);
    c.dims = c.dims.iter().enumerate().filter(|(i, d)| !(**d == 1 && gone(*i))).map(|(_, d)| *d).collect();
    c
}

fn unsqueezed(mut c: Constant, axes: &[f64]) -> Result<Constant, Refusal> {
    let rank = c.dims.len() + axes.len();
    let mut at: Vec<f64> = axes.iter().map(|a| if *a < 0.0 { a + rank as f64 } else { *a }).collect();
    at.sort_by(f64::total_cmp);
    for axis in at {
        if !(0.0..=c.dims.len() as f64).contains(&axis) || c.dims.len() > 8 {
            return Err(broken("an axis lies outside the shape", "轴超出张量形状"));
        }
        c.dims.insert(axis as usize, 1);
    }
    Ok(c)
}
