//! What every format is parsed into: inputs, a graph of vectors, named outputs.
//!
//! A graph is a list of operations over vectors whose lengths are known; each operation names earlier ones. It
//! has no loop and no condition on its shape, so that the code made of it has a static worst case.

mod graph;
mod range;
mod trees;

pub use graph::{Binary, Graph, Id, Matrix, Num, Op, Unary, Value};
pub use range::Range;
pub(crate) use range::of_output;
pub use trees::{Ensemble, Missing, Node, Split, Test, Tree, ZERO};

/// What a model is given for NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Null {
    /// A NaN: the model has an answer for what is missing.
    Nan,
    /// A number.
    Value(f64),
    /// The model is not asked; its answer is NULL.
    Refused,
}

/// One input of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name in the file, or its position as text.
    pub name: String,
    /// The number that it is compared and computed as.
    pub num: Num,
    /// What stands for NULL.
    pub null: Null,
    /// What the codes 0, 1, … of a categorical input stand for; empty for a number.
    pub categories: Vec<String>,
    /// The range that the file states, where it states one.
    pub range: Option<(f64, f64)>,
}

/// One number that a model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The exported function: `score`, or one per class or target.
    pub export: String,
    /// What it is: `probability`, `margin`, `class`, `value`, `points`.
    pub meaning: &'static str,
    /// Which class or target, where there are several.
    pub of: Option<String>,
    /// Where it stands in the graph: an operation and an element of it.
    pub value: (Id, u32),
}

/// A model out of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The format, such as `XGBoost`.
    pub format: &'static str,
    /// What the file says it is: objective, operators.
    pub kind: String,
    /// The inputs, in the order of the file.
    pub inputs: Vec<Input>,
    /// The operations.
    pub graph: Graph,
    /// What is exported.
    pub outputs: Vec<Output>,
    /// What a reader should know: English and Chinese.
    pub warnings: Vec<(String, String)>,
}

impl Output {
    /// Exports of all elements of an operation: `score`, or one per class or target.
    pub(crate) fn all(graph: &Graph, id: Id, meaning: &'static str, groups: usize) -> Vec<Output> {
        let n = graph.len(id);
        let word = if meaning == "probability" { "class" } else { "target" };
        (0..n as u32)
            .map(|e| {
                let single = n == 1 || groups == 1;
                let export = if single { "score".to_owned() } else { format!("{word}_{e}") };
                Output { export, meaning, of: (!single).then(|| e.to_string()), value: (id, e) }
            })
            .collect()
    }
}
