//! ONNX: one pass over the graph's nodes, which stand in the order of their dependence.
//!
//! Each value is a row's vector, a constant, a column of texts, or a label that is chosen from a list. What a node asks for and
//! is not built is a refusal that names the operator; all of them come at once.

mod attributes;
mod ensemble;
mod header;
mod ml;
mod nn;
mod proto;
mod shape;

use std::collections::{HashMap, HashSet};

use prost::Message;

use self::attributes::Attributes;
use self::proto::kind;
use crate::ir::{Graph, Id, Input, Model, Null, Num, Op, Output};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

/// What a name of the graph stands for.
#[derive(Debug, Clone)]
enum Val {
    /// A vector per row: of the shape `[rows, columns]`.
    Row(Id),
    /// A number per row without an axis of columns: of the shape `[rows]`.
    Flat(Id),
    /// Numbers that are the same for every row, with their shape.
    Constant(Constant),
    /// Inputs that are texts: which ones.
    Texts(Vec<usize>),
    /// The place of a label in a list that the file has; the label itself is not a number that can be computed with.
    Label(Id),
    /// The place of a column, as a number per row, with an axis of columns or without.
    Place { id: Id, flat: bool },
    /// A vector for each column of a row: of the shape `[rows, columns, numbers]`; how many columns.
    Cube(Id, usize),
    /// A tensor of an element type that no answer can be made of.
    Foreign(i32),
}

#[derive(Debug, Clone)]
struct Constant {
    dims: Vec<usize>,
    numbers: Vec<f64>,
    num: Num,
}

impl Constant {
    /// Whether it is spread over rows as a row of numbers: all its dimensions but the last are one.
    fn is_row(&self) -> bool {
        self.dims.iter().rev().skip(1).all(|d| *d == 1)
    }
}

/// The graph on its way.
struct Walk {
    graph: Graph,
    inputs: Vec<Input>,
    vals: HashMap<String, Val>,
    /// What would have been made by something that was refused.
    refused: HashSet<String>,
    /// Which inputs are whole numbers, and which operations are no longer.
    integers: Vec<bool>,
    reals: Vec<Id>,
    /// Which operations give whole numbers, as far as that was asked.
    whole: Vec<bool>,
    /// Whether the file was written for one row at a time.
    one_row: bool,
    /// Texts of classes, for the outputs.
    labels: Vec<String>,
    /// Whether a NaN has a meaning in this model.
    takes_nan: bool,
    /// Vectors that are probabilities.
    probabilities: Vec<Id>,
    /// What a reader should know: English and Chinese.
    warnings: Vec<(String, String)>,
}

/// Parses the bytes of a model.
pub(super) fn read(bytes: &[u8]) -> Result<Model, Vec<Refusal>> {
    let one = |r: Refusal| vec![r];
    let file = proto::Model::decode(bytes).map_err(|_| {
        one(Refusal::malformed(
            "this is not an ONNX model, or not all of it: its protocol buffer is broken",
            "不是有效的 ONNX 模型，或文件不完整：protobuf 损坏",
        ))
    })?;
    let graph =
        file.graph.as_ref().ok_or_else(|| one(Refusal::malformed("the model has no graph", "模型没有计算图")))?;
    at_most(graph.node.len(), limits::GRAPH_NODES, "operators", "算子数").map_err(one)?;
    header::check(&file, graph).map_err(one)?;
    let mut walk = Walk {
        graph: Graph::default(),
        inputs: Vec::new(),
        vals: HashMap::new(),
        refused: HashSet::new(),
        integers: Vec::new(),
        reals: Vec::new(),
        whole: Vec::new(),
        one_row: graph.input.iter().all(proto::ValueInfo::one_row),
        labels: Vec::new(),
        takes_nan: false,
        probabilities: Vec::new(),
        warnings: Vec::new(),
    };
    let mut wrong = Vec::new();
    walk.tensors(graph, &mut wrong);
    walk.columns(&graph.input).map_err(one)?;
    for (i, node) in graph.node.iter().enumerate() {
        if let Err(refusal) = walk.node(node) {
            // What hangs on something that was refused is not refused for that again.
            if refusal.code() != FOLLOWS {
                wrong.push(refusal.within(&place(i, node)));
            }
            walk.refused.extend(node.output.iter().cloned());
        }
    }
    if !wrong.is_empty() {
        wrong.truncate(32);
        return Err(wrong);
    }
    let operators: Vec<&str> = graph.node.iter().map(|n| n.op_type.as_str()).collect();
    let producer = format!("{} {}", quote(&file.producer), quote(&file.producer_version));
    walk.finish(&graph.output, &operators, &producer).map_err(one)
}

/// The code of a refusal that only follows from another one.
const FOLLOWS: &str = "import/follows";

fn place(i: usize, node: &proto::Node) -> String {
    let name = if node.name.is_empty() { String::new() } else { format!(" `{}`", quote(&node.name)) };
    format!("node {i}{name}, operator {}", quote(&node.op_type))
}

fn broken(en: &str, zh: &str) -> Refusal {
    Refusal::malformed(en, zh)
}

/// The arithmetic of an element type; integers and truth values are exact in binary64 as far as models use them.
fn num_of(kind: i32) -> Option<Num> {
    match kind {
        kind::FLOAT => Some(Num::F32),
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::BOOL => Some(Num::F64),
        _ => None,
    }
}

impl Walk {
    /// The constants of the graph; what is wrong with each.
    fn tensors(&mut self, graph: &proto::Graph, wrong: &mut Vec<Refusal>) {
        for tensor in &graph.initializer {
            match self.tensor(tensor) {
                Ok(val) => {
                    self.vals.insert(tensor.name.clone(), val);
                }
                Err(refusal) => {
                    wrong.push(refusal);
                    self.refused.insert(tensor.name.clone());
                }
            }
        }
        for tensor in graph.sparse.iter().filter_map(|s| s.values.as_ref()) {
            wrong.push(
                Refusal::unsupported("sparse tensors are not supported", "不支持稀疏张量")
                    .at(format!("tensor `{}`", quote(&tensor.name))),
            );
            self.refused.insert(tensor.name.clone());
        }
    }

    fn tensor(&self, t: &proto::Tensor) -> Result<Val, Refusal> {
        let place = || format!("tensor `{}`", quote(&t.name));
        if t.data_location != 0 {
            return Err(Refusal::unsupported(
                "weights in another file are not supported; save the model with its weights in one file",
                "不支持存放在其他文件中的权重；请将权重与模型保存为同一文件",
            )
            .at(place()));
        }
        let Some(num) = num_of(t.data_type) else {
            return Ok(Val::Foreign(t.data_type));
        };
        let mut dims = Vec::with_capacity(t.dims.len().min(8));
        for d in &t.dims {
            dims.push(usize::try_from(*d).map_err(|_| broken("a dimension is negative", "维度为负").at(place()))?);
        }
        let n = dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d)).unwrap_or(usize::MAX);
        let numbers = numbers(t);
        if numbers.len() != n {
            return Err(
                broken("a tensor has not as many numbers as its shape says", "张量元素数与形状不符").at(place())
            );
        }
        Ok(Val::Constant(Constant { dims, numbers, num }))
    }

    /// The inputs that no initializer stands for.
    fn columns(&mut self, infos: &[proto::ValueInfo]) -> Result<(), Refusal> {
        for info in infos {
            if self.vals.contains_key(&info.name) {
                continue;
            }
            let place = || format!("input `{}`", quote(&info.name));
            let tensor = info.kind.as_ref().and_then(|k| k.tensor.as_ref());
            let tensor =
                tensor.ok_or_else(|| Refusal::unsupported("an input is not a tensor", "输入不是张量").at(place()))?;
            let dims: Vec<i64> = tensor.shape.iter().flat_map(|s| s.dim.iter().map(|d| d.value)).collect();
            // An unnamed number of rows is 0; one row for an example is 1.
            let width = match dims.as_slice() {
                [0 | 1] => 1,
                [_, width] => usize::try_from(*width).unwrap_or(0),
                _ => 0,
            };
            if width == 0 {
                return Err(Refusal::unsupported(
                    "an input has to have the shape [rows, columns] with a fixed number of columns",
                    "输入的形状应为 [行, 列] 且列数固定",
                )
                .at(place()));
            }
            at_most(self.inputs.len().saturating_add(width), limits::WIDTH, "columns", "列数")
                .map_err(|r| r.at(place()))?;
            let first = self.inputs.len();
            let text = tensor.elem_type == kind::STRING;
            let num = if text { Some(Num::F64) } else { num_of(tensor.elem_type) };
            let num = num.ok_or_else(|| {
                let kind = kind::name(tensor.elem_type);
                Refusal::unsupported(
                    format!("inputs of the element type {kind} are not supported; FLOAT, DOUBLE, INT32, INT64, BOOL and STRING are"),
                    format!("不支持元素类型为 {kind} 的输入；支持 FLOAT、DOUBLE、INT32、INT64、BOOL 与 STRING"),
                )
                .at(place())
            })?;
            let integer = matches!(tensor.elem_type, kind::INT32 | kind::INT64);
            let mut ids = Vec::with_capacity(width);
            for i in 0..width {
                let name = if width == 1 { info.name.clone() } else { format!("{}_{i}", info.name) };
                ids.push(self.graph.input(first + i, num)?);
                self.integers.push(integer);
                self.inputs.push(Input { name, num, null: Null::Refused, categories: Vec::new(), range: None });
            }
            let val = match (text, dims.len()) {
                (true, _) => Val::Texts((first..first + width).collect()),
                (false, 1) => Val::Flat(self.graph.concat(&ids)?),
                (false, _) => Val::Row(self.graph.concat(&ids)?),
            };
            self.vals.insert(info.name.clone(), val);
        }
        Ok(())
    }

    fn node(&mut self, node: &proto::Node) -> Result<(), Refusal> {
        let attributes = Attributes::new(&node.attribute);
        let outputs = match node.domain.as_str() {
            "" | "ai.onnx" => self.operator(node, &attributes)?,
            "ai.onnx.ml" => self.ml_operator(node, &attributes)?,
            other => {
                return Err(Refusal::unsupported(
                    format!("the operators of the domain `{}` are not supported", quote(other)),
                    format!("不支持 `{}` 域的算子", quote(other)),
                ));
            }
        };
        attributes.all_asked()?;
        for (name, val) in node.output.iter().zip(outputs) {
            self.vals.insert(name.clone(), val);
        }
        Ok(())
    }

    fn val(&self, node: &proto::Node, i: usize) -> Result<Val, Refusal> {
        let name = node.input.get(i).map(String::as_str).unwrap_or("");
        match self.vals.get(name) {
            Some(val) => Ok(val.clone()),
            None if name.is_empty() => Err(broken("an operator lacks an input", "算子缺少输入")),
            None if self.refused.contains(name) => {
                Err(Refusal::new(FOLLOWS, "an input of the operator was refused", "算子的输入已被拒绝"))
            }
            None => Err(Refusal::malformed(
                format!(
                    "nothing before this operator makes its input `{}`: the graph is incomplete, out of order or a circle",
                    quote(name)
                ),
                format!("此算子之前没有产生输入 `{}`：计算图不完整、次序错误或存在环", quote(name)),
            )),
        }
    }

    /// An input that has a vector per row.
    fn row(&mut self, node: &proto::Node, i: usize) -> Result<Id, Refusal> {
        match self.val(node, i)? {
            Val::Row(id) | Val::Place { id, flat: false } => Ok(id),
            Val::Constant(c) if c.is_row() => self.graph.constant(c.numbers, c.num),
            other => Err(self.unfit(node, i, &other)),
        }
    }

    /// Why an operator cannot do with an input.
    fn unfit(&self, node: &proto::Node, i: usize, val: &Val) -> Refusal {
        let name = quote(node.input.get(i).map(String::as_str).unwrap_or(""));
        let (en, zh) = match val {
            Val::Foreign(kind) => (
                format!("a tensor of the element type {}", kind::name(*kind)),
                format!(" {} 类型的张量", kind::name(*kind)),
            ),
            Val::Texts(_) => ("text".to_owned(), "文本".to_owned()),
            Val::Flat(_) | Val::Place { .. } => {
                ("of the shape [rows], without columns".to_owned(), "形状为 [行]、没有列的值".to_owned())
            }
            Val::Constant(_) => ("a constant that is not one row of numbers".to_owned(), "非单行数值的常量".to_owned()),
            Val::Label(_) => ("the label of a class".to_owned(), "类别标签".to_owned()),
            Val::Cube(..) => {
                ("of the shape [rows, columns, numbers]".to_owned(), "形状为 [行, 列, 数] 的值".to_owned())
            }
            Val::Row(_) => ("a value that differs from row to row".to_owned(), "逐行变化的值".to_owned()),
        };
        Refusal::unsupported(
            format!("its input `{name}` is {en}; the operator does not take that here"),
            format!("其输入 `{name}` 是{zh}，此处算子不支持"),
        )
    }

    /// An input that is the same for all rows.
    fn constant(&self, node: &proto::Node, i: usize) -> Result<Constant, Refusal> {
        match self.val(node, i)? {
            Val::Constant(c) => Ok(c),
            other => Err(self.unfit(node, i, &other)),
        }
    }

    /// Whether there is such an input.
    fn has(&self, node: &proto::Node, i: usize) -> bool {
        node.input.get(i).is_some_and(|n| !n.is_empty())
    }

    /// Every output is made by some operator.
    fn all_made(&self, outputs: &[proto::ValueInfo]) -> Result<(), Refusal> {
        let Some(unknown) = outputs.iter().find(|o| !self.vals.contains_key(&o.name)) else { return Ok(()) };
        let name = quote(&unknown.name);
        Err(broken(&format!("no operator makes the output `{name}`"), &format!("没有算子产生输出 `{name}`"))
            .at(format!("output `{name}`")))
    }

    fn finish(mut self, outputs: &[proto::ValueInfo], operators: &[&str], producer: &str) -> Result<Model, Refusal> {
        self.all_made(outputs)?;
        let names_probability = |name: &str| name.to_lowercase().contains("prob");
        let rows: Vec<Id> = outputs
            .iter()
            .filter_map(|o| match self.vals.get(&o.name) {
                Some(Val::Row(id) | Val::Flat(id)) => Some(*id),
                _ => None,
            })
            .collect();
        let labels: Vec<Id> = outputs
            .iter()
            .filter_map(|o| match self.vals.get(&o.name) {
                Some(Val::Label(id) | Val::Place { id, .. }) => Some(*id),
                _ => None,
            })
            .collect();
        let mut all = Vec::new();
        let mut warnings = std::mem::take(&mut self.warnings);
        if let Some(&id) = rows.first() {
            let n = self.graph.len(id);
            let named = outputs.iter().any(|o| {
                names_probability(&o.name)
                    && matches!(self.vals.get(&o.name), Some(Val::Row(other) | Val::Flat(other)) if *other == id)
            });
            let probability = named || self.probabilities.contains(&id);
            let meaning = if probability { "probability" } else { "value" };
            let of = |k: usize| self.labels.get(k).cloned().unwrap_or_else(|| k.to_string());
            if n == 2 && (self.labels.len() == 2 || probability) {
                all.push(Output { export: "score".to_owned(), meaning, of: Some(of(1)), value: (id, 1) });
            } else {
                all = Output::all(&self.graph, id, meaning, n);
                for (k, output) in all.iter_mut().enumerate() {
                    if self.labels.len() == n && n > 1 {
                        output.export = format!("class_{k}");
                        output.of = Some(of(k));
                    }
                }
            }
            if rows.len() > 1 {
                warnings.push((
                    "the model has several numeric outputs; the first one is imported".to_owned(),
                    "模型有多个数值输出，仅导入第一个".to_owned(),
                ));
            }
        } else if let Some(&id) = labels.first() {
            all.push(Output { export: "score".to_owned(), meaning: "class", of: None, value: (id, 0) });
        }
        if all.is_empty() {
            return Err(Refusal::unsupported("no output of the model is a number per row", "模型没有逐行的数值输出"));
        }
        at_most(all.len(), limits::OUTPUTS, "outputs", "输出数")?;
        if self.takes_nan {
            for input in self.inputs.iter_mut().filter(|i| i.categories.is_empty()) {
                input.null = Null::Nan;
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        for op in operators {
            if !seen.contains(op) {
                seen.push(op);
            }
        }
        let kind = format!("{} (ONNX, {producer})", seen.iter().map(|s| quote(s)).collect::<Vec<_>>().join(", "));
        Ok(Model { format: "ONNX", kind, inputs: self.inputs, graph: self.graph, outputs: all, warnings })
    }

    /// A bias that is added to a product becomes part of it.
    fn with_bias(&mut self, product: Id, bias: &[f64]) -> Result<Option<Id>, Refusal> {
        let Op::Matrix(input, matrix) = &self.graph.get(product).op else {
            return Ok(None);
        };
        if !matrix.bias.is_empty() || bias.len() != matrix.columns as usize {
            return Ok(None);
        }
        let (input, mut matrix) = (*input, matrix.clone());
        matrix.bias = bias.to_vec();
        self.graph.matrix(input, matrix).map(Some)
    }
}

/// The numbers of a tensor, from whichever field holds them; a broken one has another count than its shape says.
fn numbers(t: &proto::Tensor) -> Vec<f64> {
    fn raw<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|c| read(*c)).collect()
    }
    let bytes = &t.raw_data;
    match t.data_type {
        kind::FLOAT if bytes.is_empty() => t.float_data.iter().map(|x| f64::from(*x)).collect(),
        kind::FLOAT => raw(bytes, |b| f64::from(f32::from_le_bytes(b))),
        kind::DOUBLE if bytes.is_empty() => t.double_data.clone(),
        kind::DOUBLE => raw(bytes, f64::from_le_bytes),
        kind::INT64 if bytes.is_empty() => t.int64_data.iter().map(|x| *x as f64).collect(),
        kind::INT64 => raw(bytes, |b| i64::from_le_bytes(b) as f64),
        kind::INT8 if !bytes.is_empty() => bytes.iter().map(|b| f64::from(b.cast_signed())).collect(),
        kind::INT32 | kind::BOOL | kind::UINT8 | kind::INT8 if bytes.is_empty() => {
            t.int32_data.iter().map(|x| f64::from(*x)).collect()
        }
        kind::INT32 => raw(bytes, |b| f64::from(i32::from_le_bytes(b))),
        kind::BOOL | kind::UINT8 => bytes.iter().map(|b| f64::from(*b)).collect(),
        _ => Vec::new(),
    }
}
