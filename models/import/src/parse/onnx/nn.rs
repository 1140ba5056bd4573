//! The operators of `ai.onnx` that scikit-learn's and PyTorch's models of one row are made of.

use super::attributes::Attributes;
use super::proto;
use super::{Constant, Val, Walk, broken};
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
            return Ok(vec![self.simple(node, f)?]);
        }
        let val = match node.op_type.as_str() {
            "Gemm" => Val::Row(self.gemm(node, a)?),
            "MatMul" => {
                let x = self.row(node, 0)?;
                let b = self.constant(node, 1)?;
                let product = self.graph.matrix(x, weights(&b, false)?)?;
                // A product with a vector has no axis of columns.
                if b.dims.len() == 1 { Val::Flat(product) } else { Val::Row(product) }
            }
            "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" => self.arithmetic(node)?,
            "Softmax" => {
                a.along_columns(-1)?;
                let x = self.row(node, 0)?;
                let id = self.graph.softmax(x, false)?;
                self.probabilities.push(id);
                Val::Row(id)
            }
            "ArgMax" => {
                a.along_columns(0)?;
                let flat = a.int("keepdims", 1) == 0;
                if a.int("select_last_index", 0) != 0 {
                    return a.refuse("select_last_index", "1");
                }
                let x = self.row(node, 0)?;
                Val::Place { id: self.graph.arg_max(x)?, flat }
            }
            "Concat" => self.concat(node, a)?,
            "Cast" => self.cast(node, a)?,
            "Identity" => self.val(node, 0)?,
            "Dropout" => self.dropout(node)?,
            "Flatten" => self.flatten(node, a)?,
            "Reshape" => self.reshape(node, a)?,
            "Squeeze" => self.squeeze(node, a)?,
            "Unsqueeze" => self.unsqueeze(node, a)?,
            "Constant" => self.constant_node(a)?,
            "Gather" => self.gather(node, a)?,
            "ReduceSum" => self.reduce_sum(node, a)?,
            "Clip" => Val::Row(self.clip(node, a)?),
            other => {
                return Err(Refusal::unsupported(
                    format!("the operator `{}` is not supported", quote(other)),
                    format!("不支持算子 `{}`", quote(other)),
                ));
            }
        };
        Ok(vec![val])
    }

    /// A function of each number.
    fn simple(&mut self, node: &proto::Node, f: Unary) -> Result<Val, Refusal> {
        let flat = matches!(self.val(node, 0)?, Val::Flat(_) | Val::Place { flat: true, .. });
        let x = self.number(node, 0)?;
        let id = self.graph.unary(f, x)?;
        if f == Unary::Logistic {
            self.probabilities.push(id);
        }
        Ok(if flat { Val::Flat(id) } else { Val::Row(id) })
    }

    /// An input of a function of each number: with columns or without.
    fn number(&mut self, node: &proto::Node, i: usize) -> Result<Id, Refusal> {
        match self.val(node, i)? {
            Val::Flat(id) | Val::Place { id, .. } => Ok(id),
            _ => self.row(node, i),
        }
    }

    fn constant_node(&mut self, a: &Attributes<'_>) -> Result<Val, Refusal> {
        if let Some(t) = a.tensor("value") {
            return self.tensor(t);
        }
        let constant = |dims: Vec<usize>, numbers: Vec<f64>, num| Val::Constant(Constant { dims, numbers, num });
        let list = |numbers: Vec<f64>, num| constant(vec![numbers.len()], numbers, num);
        if a.has("value_float") {
            return Ok(constant(Vec::new(), vec![f64::from(a.float("value_float", 0.0))], Num::F32));
        }
        if a.has("value_int") {
            return Ok(constant(Vec::new(), vec![a.int("value_int", 0) as f64], Num::F64));
        }
        if a.has("value_floats") {
            return Ok(list(a.floats("value_floats"), Num::F32));
        }
        if a.has("value_ints") {
            return Ok(list(a.ints("value_ints").iter().map(|i| *i as f64).collect(), Num::F64));
        }
        Err(Refusal::unsupported("a constant of texts or a sparse one is not supported", "不支持文本常量或稀疏常量"))
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

    fn arithmetic(&mut self, node: &proto::Node) -> Result<Val, Refusal> {
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
        let (a, b) = (self.val(node, 0)?, self.val(node, 1)?);
        if f == Binary::Add {
            for (product, bias) in [(&a, &b), (&b, &a)] {
                if let (Val::Row(p), Val::Constant(c)) = (product, bias)
                    && c.is_row()
                    && let Some(id) = self.with_bias(*p, &c.numbers)?
                {
                    return Ok(Val::Row(id));
                }
            }
        }
        let single = |val: &Val| match val {
            Val::Flat(_) | Val::Place { flat: true, .. } => true,
            Val::Constant(c) => c.numbers.len() == 1 && c.dims.len() <= 1,
            _ => false,
        };
        // Without an axis of columns on either side: row by row. With one on one side only, rows would meet columns.
        let flat = single(&a) && single(&b);
        let (x, y) = if flat {
            (self.number(node, 0)?, self.number(node, 1)?)
        } else {
            (self.row(node, 0)?, self.row(node, 1)?)
        };
        if f == Binary::Divide && (self.is_integer(x) || self.is_integer(y)) {
            return Err(Refusal::unsupported(
                "a division of whole numbers, which cuts off the remainder, is not supported",
                "不支持整数除法（会舍去余数）",
            ));
        }
        let id = self.graph.binary(f, x, y)?;
        Ok(if flat { Val::Flat(id) } else { Val::Row(id) })
    }

    /// Bounds as inputs, or as attributes before opset 11.
    fn clip(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let mut x = self.row(node, 0)?;
        for (i, f, name) in [(1, Binary::Max, "min"), (2, Binary::Min, "max")] {
            let bound = if self.has(node, i) {
                self.row(node, i)?
            } else if a.has(name) {
                self.graph.constant(vec![f64::from(a.float(name, 0.0))], self.graph.num(x))?
            } else {
                continue;
            };
            x = self.graph.binary(f, x, bound)?;
        }
        Ok(x)
    }
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
