//! The operators of `ai.onnx` that scikit-learn's and PyTorch's models of one row are made of.

use super::attributes::Attributes;
use super::proto::{self, kind};
use super::{Constant, Val, Walk, broken, num_of};
use crate::ir::{Binary, Id, Matrix, Num, Unary};
use crate::refusal::{Refusal, quote};

impl Walk {
    pub(super) fn operator(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let simple = match node.op_type.as_str() {
            "Relu" => Some(Unary::Relu),
            "Sigmoid" => Some(Unary::Logistic),
            "Tanh" => Some(Unary::Tanh),
            "Exp" => Some(Unary::Exp),
            "Neg" => Some(Unary::Negate),
            "Abs" => Some(Unary::Absolute),
            "Sqrt" => Some(Unary::Root),
            _ => None,
        };
        if let Some(f) = simple {
            let x = self.row(node, 0)?;
            let id = self.graph.unary(f, x)?;
            if f == Unary::Logistic {
                self.probabilities.push(id);
            }
            return Ok(vec![Val::Row(id)]);
        }
        let val = match node.op_type.as_str() {
            "Gemm" => Val::Row(self.gemm(node, a)?),
            "MatMul" => {
                let x = self.row(node, 0)?;
                let b = self.constant(node, 1)?;
                let m = weights(&b, false)?;
                Val::Row(self.graph.matrix(x, m)?)
            }
            "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" => Val::Row(self.arithmetic(node)?),
            "Softmax" => {
                let x = self.row(node, 0)?;
                if !matches!(a.int("axis", -1), 1 | -1) {
                    return a.refuse("axis", &a.int("axis", -1).to_string());
                }
                let id = self.graph.softmax(x, false)?;
                self.probabilities.push(id);
                Val::Row(id)
            }
            "ArgMax" => {
                let x = self.row(node, 0)?;
                Val::Label(self.graph.arg_max(x)?)
            }
            "Concat" => {
                let mut parts = Vec::with_capacity(node.input.len());
                for i in 0..node.input.len() {
                    parts.push(self.row(node, i)?);
                }
                let num = if parts.iter().any(|p| self.graph.num(*p) == Num::F64) { Num::F64 } else { Num::F32 };
                let parts = parts.into_iter().map(|p| self.graph.cast(p, num)).collect::<Result<Vec<Id>, _>>()?;
                Val::Row(self.graph.concat(&parts)?)
            }
            "Cast" => self.cast(node, a)?,
            "Identity" | "Flatten" | "Dropout" | "Reshape" | "Squeeze" | "Unsqueeze" => self.plumbing(node)?,
            "Constant" => match a.tensor("value") {
                Some(t) => self.tensor(t)?,
                None => {
                    return Err(Refusal::unsupported(
                        "a constant that is no tensor is not supported",
                        "不支持非张量常量",
                    ));
                }
            },
            "Gather" => {
                let picks = self.constant(node, 1)?;
                match self.val(node, 0)? {
                    Val::Texts(inputs) => {
                        Val::Texts(places(&picks, inputs.len())?.into_iter().map(|p| inputs[p]).collect())
                    }
                    _ => Val::Row(self.pick(node, &picks)?),
                }
            }
            "Clip" => Val::Row(self.clip(node)?),
            "ReduceSum" => {
                let x = self.row(node, 0)?;
                Val::Row(self.graph.sum(x)?)
            }
            other => {
                return Err(Refusal::unsupported(
                    format!("the operator `{}` is not supported", quote(other)),
                    format!("不支持算子 `{}`", quote(other)),
                ));
            }
        };
        Ok(vec![val])
    }

    fn gemm(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        if a.int("transA", 0) != 0 {
            return a.refuse("transA", "1");
        }
        let x = self.row(node, 0)?;
        let b = self.constant(node, 1)?;
        let mut matrix = weights(&b, a.int("transB", 0) != 0)?;
        let (alpha, beta) = (f64::from(a.float("alpha", 1.0)), f64::from(a.float("beta", 1.0)));
        if alpha != 1.0 {
            matrix.weights.iter_mut().for_each(|w| *w *= alpha);
        }
        if self.has(node, 2) {
            let c = self.constant(node, 2)?;
            let columns = matrix.columns as usize;
            matrix.bias = match c.numbers.len() {
                1 => vec![c.numbers[0] * beta; columns],
                n if n == columns && c.is_row() => c.numbers.iter().map(|x| x * beta).collect(),
                _ => return Err(broken("the bias does not fit", "偏置的形状不匹配")),
            };
        }
        self.graph.matrix(x, matrix)
    }

    fn arithmetic(&mut self, node: &proto::Node) -> Result<Id, Refusal> {
        let f = match node.op_type.as_str() {
            "Add" => Binary::Add,
            "Sub" => Binary::Subtract,
            "Mul" => Binary::Multiply,
            "Div" => Binary::Divide,
            "Min" => Binary::Min,
            _ => Binary::Max,
        };
        if node.input.len() != 2 {
            return Err(Refusal::unsupported("other than two operands are not supported", "仅支持两个操作数"));
        }
        if f == Binary::Add {
            for (product, bias) in [(0, 1), (1, 0)] {
                if let (Val::Row(p), Val::Constant(c)) = (self.val(node, product)?, self.val(node, bias)?)
                    && c.is_row()
                    && let Some(id) = self.with_bias(p, &c.numbers)?
                {
                    return Ok(id);
                }
            }
        }
        let (x, y) = (self.row(node, 0)?, self.row(node, 1)?);
        self.graph.binary(f, x, y)
    }

    fn cast(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let to = i32::try_from(a.int("to", 1)).unwrap_or(0);
        match self.val(node, 0)? {
            Val::Row(id) => {
                let from_label = matches!(to, kind::INT64 | kind::INT32) && self.graph.num(id) == Num::F32;
                if from_label {
                    return a.refuse("to", "an integer type");
                }
                let num = num_of(to).ok_or(()).or_else(|()| a.refuse("to", &to.to_string()))?;
                Ok(Val::Row(self.graph.cast(id, num)?))
            }
            other => Ok(other),
        }
    }

    /// What changes the shape of a batch and not the numbers of a row.
    fn plumbing(&mut self, node: &proto::Node) -> Result<Val, Refusal> {
        let val = self.val(node, 0)?;
        if let (Val::Row(id), "Reshape") = (&val, node.op_type.as_str()) {
            let shape = self.constant(node, 1)?;
            let columns: f64 = shape.numbers.iter().skip(1).product();
            let width = self.graph.len(*id) as f64;
            let whole = columns == width || columns < 0.0 || (shape.numbers.len() == 1 && width == 1.0);
            if !whole {
                return Err(Refusal::unsupported(
                    "a Reshape that changes the numbers of a row is not supported",
                    "不支持改变行内元素的 Reshape",
                ));
            }
        }
        Ok(val)
    }

    /// Elements of a row by constant places.
    pub(super) fn pick(&mut self, node: &proto::Node, picks: &Constant) -> Result<Id, Refusal> {
        let x = self.row(node, 0)?;
        let from = places(picks, self.graph.len(x))?.into_iter().map(|place| (x, place as u32)).collect();
        self.graph.gather(from)
    }

    fn clip(&mut self, node: &proto::Node) -> Result<Id, Refusal> {
        let mut x = self.row(node, 0)?;
        for (i, f) in [(1, Binary::Max), (2, Binary::Min)] {
            if self.has(node, i) {
                let bound = self.row(node, i)?;
                x = self.graph.binary(f, x, bound)?;
            }
        }
        Ok(x)
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

/// A constant as weights: rows are inputs, unless it stands the other way.
fn weights(b: &Constant, transposed: bool) -> Result<Matrix, Refusal> {
    let (rows, columns) = match b.dims.as_slice() {
        [rows, columns] => (*rows, *columns),
        [rows] => (*rows, 1),
        _ => return Err(broken("the weights are no matrix", "权重不是矩阵")),
    };
    if !transposed {
        return Ok(Matrix { weights: b.numbers.clone(), bias: Vec::new(), columns: columns as u32 });
    }
    let weights = (0..columns).flat_map(|c| (0..rows).map(move |r| b.numbers[r * columns + c])).collect();
    Ok(Matrix { weights, bias: Vec::new(), columns: rows as u32 })
}
