//! One exported function per output: the operations in their order, element by element, in local variables.

use std::collections::BTreeMap;

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::math::{Math, from_bool};
use super::module::{Arithmetic, Body, Module, val_type};
use super::trees::{Planned, Sums};
use super::{Generated, Style, matrix, needed};
use crate::ir::{Binary, Graph, Id, Model, Num, Op, Output};
use crate::refusal::{Refusal, at_most};

/// Where an element stands while a function runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Elem {
    Local(u32),
    Const(f64),
}

/// A computed vector: numbers one by one, or four at a time in vector variables.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Elements(Vec<Elem>),
    Lanes(Vec<u32>),
}

/// The module on its way, with what its functions share.
pub(super) struct Emitter<'m> {
    model: &'m Model,
    style: Style,
    module: Module,
    math: Math,
    planned: BTreeMap<Id, Planned>,
    sums: Sums,
}

/// One exported function on its way.
struct Frame<'g> {
    graph: &'g Graph,
    body: Body,
    forms: Vec<Option<Form>>,
    needed: Vec<Vec<bool>>,
}

impl<'m> Emitter<'m> {
    pub(super) fn new(model: &'m Model, style: Style) -> Self {
        Self {
            model,
            style,
            module: Module::default(),
            math: Math::default(),
            planned: BTreeMap::new(),
            sums: Sums::default(),
        }
    }

    pub(super) fn finish(self) -> Result<Generated, Refusal> {
        let mut shapes = BTreeMap::new();
        for planned in self.planned.values() {
            for (shape, n) in planned.shapes() {
                *shapes.entry(shape).or_insert(0) += n;
            }
        }
        let cost = self.module.export_costs();
        Ok(Generated { memory_pages: self.module.pages(), wasm: self.module.finish()?, cost, shapes })
    }

    pub(super) fn export(&mut self, output: &Output) -> Result<(), Refusal> {
        let graph = &self.model.graph;
        let params = self.model.inputs.iter().map(|i| val_type(i.num)).collect();
        let mut frame = Frame {
            graph,
            body: Body::new(params, vec![ValType::F64]),
            forms: vec![None; graph.values().len()],
            needed: needed::of(graph, output.value),
        };
        for i in 0..graph.values().len() {
            if !frame.needed[i].is_empty() {
                let form = self.operation(&mut frame, i)?;
                frame.forms[i] = Some(form);
                at_most(frame.body.len(), 1 << 20, "bytes of one function", "单个函数的字节数")?;
            }
        }
        let (id, element) = output.value;
        frame.push(id, element as usize);
        if graph.num(id) == Num::F32 {
            frame.body.push(I::F64PromoteF32);
        }
        let function = self.module.add(frame.body)?;
        self.module.export(&output.export, function);
        Ok(())
    }

    fn operation(&mut self, f: &mut Frame<'_>, i: usize) -> Result<Form, Refusal> {
        let value = &f.graph.values()[i];
        let num = value.num;
        match &value.op {
            Op::Input(k) => Ok(Form::Elements(vec![Elem::Local(*k)])),
            Op::Constant(xs) => Ok(Form::Elements(xs.iter().map(|x| Elem::Const(*x)).collect())),
            Op::Gather(from) => {
                let mut out = Vec::with_capacity(from.len());
                for (e, (id, at)) in from.iter().enumerate() {
                    out.push(if f.needed[i][e] { f.element(*id, *at as usize) } else { Elem::Const(0.0) });
                }
                Ok(Form::Elements(out))
            }
            Op::Cast(id) => self.each(f, i, num, |_, f, e| {
                f.push(*id, e);
                f.body.push(if num == Num::F32 { I::F32DemoteF64 } else { I::F64PromoteF32 });
                Ok(())
            }),
            Op::Unary(function, id) => {
                if let Some(form) = matrix::relu(&mut f.body, *function, f.forms[id.index()].as_ref()) {
                    return Ok(form);
                }
                self.each(f, i, num, |this, f, e| {
                    f.push(*id, e);
                    this.math.unary(&mut f.body, &mut this.module, *function, num)
                })
            }
            Op::Binary(function, a, b) => self.each(f, i, num, |_, f, e| {
                f.push(*a, e);
                f.push(*b, e);
                binary(&mut f.body, *function, num);
                Ok(())
            }),
            Op::Select(c, a, b) => self.each(f, i, num, |_, f, e| {
                f.push(*a, e);
                f.push(*b, e);
                f.push(*c, e);
                let condition = f.graph.num(*c);
                f.body.all([condition.constant(0.0), condition.ne(), I::Select]);
                Ok(())
            }),
            Op::IsNan(id) => self.each(f, i, num, |_, f, e| {
                f.push(*id, e);
                f.push(*id, e);
                f.body.all([num.ne(), from_bool(num)]);
                Ok(())
            }),
            Op::Matrix(id, m) => {
                let input = f.forms[id.index()].clone().unwrap_or(Form::Elements(Vec::new()));
                let width = f.graph.len(*id);
                matrix::product(&mut f.body, &mut self.module, &input, width, m, num)
            }
            Op::Trees(id, ensemble) => self.trees(f, i, *id, ensemble, num),
            Op::Softmax(id, wide) => self.softmax(f, *id, *wide, num),
            Op::ArgMax(id) => Ok(arg_max(f, *id, num)),
            Op::Sum(id) => {
                let n = f.graph.len(*id);
                f.body.push(num.constant(0.0));
                for e in 0..n {
                    f.push(*id, e);
                    f.body.push(num.add());
                }
                Ok(Form::Elements(vec![f.set(num)]))
            }
        }
    }

    /// Computes every needed element and keeps it in a variable.
    fn each(
        &mut self,
        f: &mut Frame<'_>,
        i: usize,
        num: Num,
        mut push: impl FnMut(&mut Self, &mut Frame<'_>, usize) -> Result<(), Refusal>,
    ) -> Result<Form, Refusal> {
        let n = f.needed[i].len();
        let mut out = vec![Elem::Const(0.0); n];
        for (e, slot) in out.iter_mut().enumerate() {
            if f.needed[i][e] {
                push(self, f, e)?;
                *slot = f.set(num);
            }
        }
        Ok(Form::Elements(out))
    }

    fn trees(
        &mut self,
        f: &mut Frame<'_>,
        i: usize,
        id: Id,
        ensemble: &crate::ir::Ensemble,
        sum: Num,
    ) -> Result<Form, Refusal> {
        let compare = f.graph.num(id);
        let key = f.graph.id(i);
        if !self.planned.contains_key(&key) {
            let planned = Planned::new(ensemble, compare, self.style, &mut self.module)?;
            self.planned.insert(key, planned);
        }
        let Some(planned) = self.planned.get(&key) else {
            return Err(Refusal::malformed("trees without a plan", "树未能规划"));
        };
        let width = f.graph.len(id);
        // Trees without a split ask for nothing.
        let asked = |f: &Frame<'_>, e: usize| f.needed[id.index()].get(e) == Some(&true);
        let inputs: Vec<Elem> =
            (0..width).map(|e| if asked(f, e) { f.element(id, e) } else { Elem::Const(0.0) }).collect();
        let needed = f.needed[i].clone();
        let outputs: Vec<u32> = (0..needed.len() as u32).filter(|o| needed[*o as usize]).collect();
        let mut out = vec![Elem::Const(0.0); needed.len()];
        let answers: Vec<u32> = outputs.iter().map(|_| f.body.local(val_type(sum))).collect();
        let ways = planned.ways();
        if ways.len() > 1 {
            planned.any_missing(&mut f.body, &inputs);
            f.body.push(I::If(BlockType::Empty));
        }
        for &whole in ways {
            if whole {
                f.body.push(I::Else);
            }
            let ranks = planned.ranks(&mut f.body, &inputs, whole);
            for (o, answer) in outputs.iter().zip(&answers) {
                let key = (key, *o, whole);
                let call = self.sums.function(key, planned, ensemble, compare, sum, &mut self.module)?;
                call.push(&mut f.body, &ranks, &inputs, compare);
                f.body.push(I::LocalSet(*answer));
                out[*o as usize] = Elem::Local(*answer);
            }
        }
        if ways.len() > 1 {
            f.body.push(I::End);
        }
        Ok(Form::Elements(out))
    }

    fn softmax(&mut self, f: &mut Frame<'_>, id: Id, wide: bool, num: Num) -> Result<Form, Refusal> {
        let n = f.graph.len(id);
        f.push(id, 0);
        for e in 1..n {
            f.push(id, e);
            binary(&mut f.body, Binary::Max, num);
        }
        let Elem::Local(most) = f.set(num) else {
            return Err(Refusal::malformed("softmax of nothing", "softmax 的输入为空"));
        };
        let mut exps = Vec::with_capacity(n);
        for e in 0..n {
            f.push(id, e);
            f.body.all([I::LocalGet(most), num.sub()]);
            self.math.push_exp(&mut f.body, &mut self.module, num)?;
            exps.push(f.set(num));
        }
        let promote = wide && num == Num::F32;
        let sum = if promote { Num::F64 } else { num };
        f.body.push(sum.constant(0.0));
        for e in &exps {
            f.push_elem(*e, num);
            if promote {
                f.body.push(I::F64PromoteF32);
            }
            f.body.push(sum.add());
        }
        if promote {
            f.body.push(I::F32DemoteF64);
        }
        let total = f.set(num);
        let mut out = Vec::with_capacity(n);
        for e in exps {
            f.push_elem(e, num);
            f.push_elem(total, num);
            f.body.push(num.div());
            out.push(f.set(num));
        }
        Ok(Form::Elements(out))
    }
}

impl Frame<'_> {
    /// Where element `e` of an operation stands; a vector of one stands for all.
    fn element(&mut self, id: Id, e: usize) -> Elem {
        let e = if self.graph.len(id) == 1 { 0 } else { e };
        match self.forms[id.index()].clone() {
            Some(Form::Elements(elements)) => elements.get(e).copied().unwrap_or(Elem::Const(0.0)),
            Some(Form::Lanes(lanes)) => {
                self.body.push(I::LocalGet(lanes[e / 4])).push(I::F32x4ExtractLane((e % 4) as u8));
                self.set(Num::F32)
            }
            None => Elem::Const(0.0),
        }
    }

    fn push(&mut self, id: Id, e: usize) {
        let element = self.element(id, e);
        self.push_elem(element, self.graph.num(id));
    }

    fn push_elem(&mut self, element: Elem, num: Num) {
        match element {
            Elem::Local(local) => self.body.push(I::LocalGet(local)),
            Elem::Const(x) => self.body.push(num.constant(x)),
        };
    }

    /// Takes a number off the stack into a new variable.
    fn set(&mut self, num: Num) -> Elem {
        let local = self.body.local(val_type(num));
        self.body.push(I::LocalSet(local));
        Elem::Local(local)
    }
}

fn binary(body: &mut Body, f: Binary, num: Num) {
    match f {
        Binary::Add => body.push(num.add()),
        Binary::Subtract => body.push(num.sub()),
        Binary::Multiply => body.push(num.mul()),
        Binary::Divide => body.push(num.div()),
        Binary::Min => body.push(if num == Num::F32 { I::F32Min } else { I::F64Min }),
        Binary::Max => body.push(if num == Num::F32 { I::F32Max } else { I::F64Max }),
        Binary::Less => body.all([num.lt(), from_bool(num)]),
        Binary::Equal => body.all([num.eq(), from_bool(num)]),
    };
}

/// The place of the first greatest element.
fn arg_max(f: &mut Frame<'_>, id: Id, num: Num) -> Form {
    let ty = val_type(num);
    let (best, place) = (f.body.local(ty), f.body.local(ty));
    f.push(id, 0);
    f.body.push(I::LocalSet(best));
    for e in 1..f.graph.len(id) {
        let element = f.element(id, e);
        let push = |f: &mut Frame<'_>| f.push_elem(element, num);
        // place = x > best ? e : place; best = x > best ? x : best
        f.body.push(num.constant(e as f64)).push(I::LocalGet(place));
        push(f);
        f.body.all([I::LocalGet(best), num.gt(), I::Select, I::LocalSet(place)]);
        push(f);
        f.body.push(I::LocalGet(best));
        push(f);
        f.body.all([I::LocalGet(best), num.gt(), I::Select, I::LocalSet(best)]);
    }
    Form::Elements(vec![Elem::Local(place)])
}
