//! Operations over vectors of known length.

use super::trees::Ensemble;
use crate::limits;
use crate::refusal::{Refusal, at_most};

/// The arithmetic of a vector's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Num {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl Num {
    /// The number rounded as a value of this type.
    pub fn round(self, x: f64) -> f64 {
        match self {
            Num::F32 => f64::from(x as f32),
            Num::F64 => x,
        }
    }
}

/// The number of an operation in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

impl Id {
    /// The place in the list of operations.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `1 / (1 + e^-x)`, with the exponent at most 88.7 as XGBoost bounds it in binary32.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `e^x`.
    Exp,
    /// `1 / (1 + e^-|x|)`, and one minus that where `x < 0`: the form of ONNX's LOGISTIC.
    Logistic,
    /// `-x`.
    Negate,
    /// `|x|`.
    Absolute,
    /// The square root.
    Root,
    /// `x · |x|`.
    SignedSquare,
    /// 1 where `x > 0`, else 0.
    Positive,
    /// The whole part: rounded towards zero.
    Truncate,
    /// `x`; never stands in a graph.
    Identity,
}

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Subtract,
    /// `a · b`.
    Multiply,
    /// `a / b`.
    Divide,
    /// The smaller; NaN where one is.
    Min,
    /// The larger; NaN where one is.
    Max,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where they are equal, else 0.
    Equal,
}

/// `bias + input · weights`, in the order bias, input 0, input 1, …, in the arithmetic of the operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Rows of the weights follow each other: one per element of the input.
    pub weights: Vec<f64>,
    /// One per column; empty: none.
    pub bias: Vec<f64>,
    /// How many columns.
    pub columns: u32,
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// One input of the model.
    Input(u32),
    /// Numbers of the file.
    Constant(Vec<f64>),
    /// Elements of several vectors: which one, which element.
    Gather(Vec<(Id, u32)>),
    /// The same numbers in another arithmetic.
    Cast(Id),
    /// A function of each element.
    Unary(Unary, Id),
    /// A function of each pair of elements; a vector of one is used with each element of the other.
    Binary(Binary, Id, Id),
    /// Elements of the second where the first is not zero, else of the third; all of one length.
    Select(Id, Id, Id),
    /// 1 where the element is NaN, else 0.
    IsNan(Id),
    /// A product with a matrix.
    Matrix(Id, Matrix),
    /// Trees.
    Trees(Id, Ensemble),
    /// `e^(x - max) / Σ e^(x - max)`, the sum in binary64 where the flag says so.
    Softmax(Id, bool),
    /// The place of the first greatest element.
    ArgMax(Id),
    /// The sum of the elements, in their order.
    Sum(Id),
}

/// An operation with the shape of its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What is computed.
    pub op: Op,
    /// How many elements.
    pub len: u32,
    /// Their arithmetic.
    pub num: Num,
}

/// A list of operations, each of which uses earlier ones only.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    values: Vec<Value>,
}

impl Graph {
    /// The operations in their order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The number of the operation at a place of the list.
    pub(crate) fn id(&self, place: usize) -> Id {
        Id(place as u32)
    }

    /// An operation by its number.
    pub fn get(&self, id: Id) -> &Value {
        &self.values[id.index()]
    }

    /// How many elements an operation's result has.
    pub fn len(&self, id: Id) -> usize {
        self.get(id).len as usize
    }

    /// The arithmetic of an operation's result.
    pub fn num(&self, id: Id) -> Num {
        self.get(id).num
    }

    /// Gives the inputs new numbers, after some were left out.
    pub(crate) fn renumber_inputs(&mut self, place: &[u32]) {
        for value in &mut self.values {
            if let Op::Input(i) = &mut value.op {
                *i = place.get(*i as usize).copied().unwrap_or(0);
            }
        }
    }

    fn push(&mut self, op: Op, len: usize, num: Num) -> Result<Id, Refusal> {
        at_most(len, limits::WIDTH, "elements of one vector", "单个向量的元素数")?;
        // INVARIANT: every vector has an element; one without could be spread over another and be asked for one.
        if len == 0 {
            return Err(Refusal::malformed("an operation over no elements", "运算不含任何元素"));
        }
        at_most(self.values.len() + 1, limits::GRAPH_NODES * 16, "operations", "运算数")?;
        let id = Id(self.values.len() as u32);
        self.values.push(Value { op, len: len as u32, num });
        Ok(id)
    }

    /// Adds an input.
    pub fn input(&mut self, i: usize, num: Num) -> Result<Id, Refusal> {
        self.push(Op::Input(i as u32), 1, num)
    }

    /// Adds all inputs and their vector. Models may have more columns than any operation takes; the vector of
    /// columns is the one exception.
    pub fn inputs(&mut self, columns: usize, num: Num) -> Result<Id, Refusal> {
        let first = self.values.len() as u32;
        self.values.extend((0..columns as u32).map(|i| Value { op: Op::Input(i), len: 1, num }));
        let id = Id(self.values.len() as u32);
        let elements = (0..columns as u32).map(|i| (Id(first + i), 0)).collect();
        at_most(columns, limits::COLUMNS, "columns", "列数")?;
        self.values.push(Value { op: Op::Gather(elements), len: columns as u32, num });
        Ok(id)
    }

    /// Adds numbers.
    pub fn constant(&mut self, numbers: Vec<f64>, num: Num) -> Result<Id, Refusal> {
        let len = numbers.len();
        self.push(Op::Constant(numbers.iter().map(|x| num.round(*x)).collect()), len, num)
    }

    /// Adds a choice of elements of vectors of one arithmetic.
    pub fn gather(&mut self, from: Vec<(Id, u32)>) -> Result<Id, Refusal> {
        let num = from.first().map_or(Num::F32, |(id, _)| self.num(*id));
        let fits = from.iter().all(|(id, i)| (*i as usize) < self.len(*id) && self.num(*id) == num);
        let len = from.len();
        if fits { self.push(Op::Gather(from), len, num) } else { Err(shape("Gather")) }
    }

    /// Adds all elements of several vectors, one behind the other.
    pub fn concat(&mut self, parts: &[Id]) -> Result<Id, Refusal> {
        let total: usize = parts.iter().map(|p| self.len(*p)).sum();
        at_most(total, limits::WIDTH, "elements of one vector", "单个向量的元素数")?;
        let elements = parts.iter().flat_map(|p| (0..self.len(*p) as u32).map(|i| (*p, i))).collect();
        self.gather(elements)
    }

    /// Adds a change of arithmetic; none where there is nothing to change.
    pub fn cast(&mut self, id: Id, num: Num) -> Result<Id, Refusal> {
        if self.num(id) == num {
            return Ok(id);
        }
        self.push(Op::Cast(id), self.len(id), num)
    }

    /// Adds a function of each element.
    pub fn unary(&mut self, f: Unary, id: Id) -> Result<Id, Refusal> {
        if f == Unary::Identity {
            return Ok(id);
        }
        self.push(Op::Unary(f, id), self.len(id), self.num(id))
    }

    /// Adds a function of pairs.
    pub fn binary(&mut self, f: Binary, a: Id, b: Id) -> Result<Id, Refusal> {
        let (m, n) = (self.len(a), self.len(b));
        if self.num(a) != self.num(b) || !(m == n || m == 1 || n == 1) {
            return Err(shape("Binary"));
        }
        self.push(Op::Binary(f, a, b), m.max(n), self.num(a))
    }

    /// Adds a choice between two vectors.
    pub fn select(&mut self, condition: Id, a: Id, b: Id) -> Result<Id, Refusal> {
        let n = self.len(condition);
        if self.len(a) != n || self.len(b) != n || self.num(a) != self.num(b) {
            return Err(shape("Select"));
        }
        self.push(Op::Select(condition, a, b), n, self.num(a))
    }

    /// Adds a question for NaN.
    pub fn is_nan(&mut self, id: Id) -> Result<Id, Refusal> {
        self.push(Op::IsNan(id), self.len(id), self.num(id))
    }

    /// Adds a product.
    pub fn matrix(&mut self, id: Id, matrix: Matrix) -> Result<Id, Refusal> {
        let (rows, columns) = (self.len(id), matrix.columns as usize);
        at_most(rows.saturating_mul(columns), limits::PRODUCTS, "products of one row", "单行乘法次数")?;
        if matrix.weights.len() != rows * columns || !(matrix.bias.is_empty() || matrix.bias.len() == columns) {
            return Err(shape("Matrix"));
        }
        let num = self.num(id);
        let round = |xs: Vec<f64>| xs.into_iter().map(|x| num.round(x)).collect();
        let matrix = Matrix { weights: round(matrix.weights), bias: round(matrix.bias), ..matrix };
        self.push(Op::Matrix(id, matrix), columns, num)
    }

    /// Adds trees; their sums are made in `num`.
    pub fn trees(&mut self, id: Id, ensemble: Ensemble, num: Num) -> Result<Id, Refusal> {
        if ensemble.trees.is_empty() {
            return Err(Refusal::malformed("there is no tree that has an answer", "没有任何带输出值的树"));
        }
        at_most(ensemble.trees.len(), limits::TREES, "trees", "树的数量")?;
        at_most(ensemble.outputs as usize, limits::OUTPUTS, "outputs", "输出数")?;
        let nodes: usize = ensemble.trees.iter().map(|(_, t)| t.nodes().len()).sum();
        at_most(nodes, limits::NODES, "nodes of all trees", "全部树的节点总数")?;
        let outputs = ensemble.outputs as usize;
        let width = self.len(id) as u32;
        let fits = ensemble.start.len() == outputs
            && ensemble.end.len() == outputs
            && ensemble.trees.iter().all(|(o, t)| *o < ensemble.outputs && t.splits().all(|s| s.feature < width));
        if !fits {
            return Err(Refusal::malformed(
                "a tree names a feature or an output that does not exist",
                "树引用了不存在的特征或输出",
            ));
        }
        self.push(Op::Trees(id, ensemble), outputs, num)
    }

    /// Adds a softmax.
    pub fn softmax(&mut self, id: Id, wide_sum: bool) -> Result<Id, Refusal> {
        self.push(Op::Softmax(id, wide_sum), self.len(id), self.num(id))
    }

    /// Adds the place of the greatest element.
    pub fn arg_max(&mut self, id: Id) -> Result<Id, Refusal> {
        self.push(Op::ArgMax(id), 1, self.num(id))
    }

    /// Adds a sum.
    pub fn sum(&mut self, id: Id) -> Result<Id, Refusal> {
        self.push(Op::Sum(id), 1, self.num(id))
    }
}

fn shape(what: &str) -> Refusal {
    Refusal::malformed(format!("the shapes at {what} do not fit"), format!("{what} 处的形状不匹配"))
}
