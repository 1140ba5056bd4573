//! Whose rounding it is where an imported model and its source differ by more than a millionth: both are compared with the same
//! operations in binary64, the weights and inputs being those of the file.
//!
//! A source in binary32 (ONNX Runtime) adds many products of which large ones cancel, in the order of its kernels, which differs from machine to
//! machine. What it says is itself off the value that the file's numbers give by most of a millionth; an imported model stays within a millionth
//! of that value. Where the two are further apart, they are on its two sides.

use yunei_import::ir::{Binary, Graph, Null, Op, Unary};
use yunei_import::{Imported, Style};

use crate::common::*;

/// All operations of a graph in binary64, without any rounding to binary32 but that of the inputs.
fn evaluate(graph: &Graph, inputs: &[f64]) -> Vec<Vec<f64>> {
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(graph.values().len());
    for value in graph.values() {
        let of = |id: yunei_import::ir::Id| &done[id.index()];
        // A vector of one is used with each element of the other.
        let pick = |list: &Vec<f64>, i: usize| if list.len() == 1 { list[0] } else { list[i] };
        let all = |f: &dyn Fn(usize) -> f64| (0..value.len as usize).map(f).collect::<Vec<f64>>();
        let next = match &value.op {
            Op::Input(i) => vec![value.num.round(inputs[*i as usize])],
            Op::Constant(list) => list.clone(),
            Op::Gather(from) => from.iter().map(|(id, i)| of(*id)[*i as usize]).collect(),
            Op::Cast(id) => of(*id).clone(),
            Op::Unary(f, id) => of(*id).iter().map(|x| unary(*f, *x)).collect(),
            Op::Binary(f, a, b) => all(&|i| binary(*f, pick(of(*a), i), pick(of(*b), i))),
            Op::Select(c, a, b) => all(&|i| if pick(of(*c), i) == 0.0 { pick(of(*b), i) } else { pick(of(*a), i) }),
            Op::IsNan(id) => of(*id).iter().map(|x| f64::from(u8::from(x.is_nan()))).collect(),
            Op::Matrix(id, m) => all(&|column| {
                let products = of(*id).iter().enumerate().map(|(r, x)| x * m.weights[r * m.columns as usize + column]);
                products.sum::<f64>() + m.bias.get(column).copied().unwrap_or(0.0)
            }),
            Op::Softmax(id, _) => {
                let most = of(*id).iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = of(*id).iter().map(|x| (x - most).exp()).sum();
                of(*id).iter().map(|x| (x - most).exp() / total).collect()
            }
            Op::Sum(id) => vec![of(*id).iter().sum()],
            // Labels and trees: no answer that is compared here depends on them; a NaN would show it.
            Op::Trees(..) | Op::ArgMax(_) => vec![f64::NAN; value.len as usize],
        };
        done.push(next);
    }
    done
}

fn unary(f: Unary, x: f64) -> f64 {
    match f {
        Unary::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Unary::Sigmoid | Unary::Logistic => 1.0 / (1.0 + (-x).exp()),
        Unary::Tanh => x.tanh(),
        Unary::Exp => x.exp(),
        Unary::Negate => -x,
        Unary::Absolute => x.abs(),
        Unary::Root => x.sqrt(),
        Unary::SignedSquare => x * x.abs(),
        Unary::Truncate => x.trunc(),
        Unary::Positive => f64::from(u8::from(x > 0.0)),
        Unary::Identity => x,
    }
}

fn binary(f: Binary, a: f64, b: f64) -> f64 {
    match f {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Less => f64::from(u8::from(a < b)),
        Binary::Equal => f64::from(u8::from(a == b)),
    }
}

/// The inputs of each row, as the model is given them; `None` for a row that is not shown to it.
fn inputs(imported: &Imported, recorded: &Vectors) -> Vec<Option<Vec<f64>>> {
    let columns = columns(imported, recorded);
    (0..recorded.rows)
        .map(|row| {
            let each = columns.iter().zip(&imported.model.inputs).map(|(column, input)| {
                let column = column.as_any().downcast_ref::<arrow_array::Float64Array>().unwrap();
                match (arrow_array::Array::is_valid(column, row), input.null) {
                    (true, _) => Some(column.value(row)),
                    (false, Null::Nan) => Some(f64::NAN),
                    (false, Null::Value(x)) => Some(x),
                    (false, Null::Refused) => None,
                }
            });
            each.collect()
        })
        .collect()
}

/// The greatest distances from the exact value, of ours and of the source, and between the two; relative to the answer or, where terms
/// cancel, to a tenth of the greatest.
fn distances(name: &str) -> [f64; 3] {
    let recorded = vectors(name);
    let imported = import(&model_file(name), Style::Auto);
    let rows = inputs(&imported, &recorded);
    let mut found = [0.0_f64; 3];
    for (export, said) in &recorded.answers {
        let ours = answers(&imported, export, &recorded);
        let output = imported.model.outputs.iter().find(|o| o.export == *export).unwrap();
        let most = said.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for (row, (ours, theirs)) in ours.iter().zip(said).enumerate() {
            let Some(inputs) = &rows[row] else { continue };
            let (id, element) = output.value;
            let exact = evaluate(&imported.model.graph, inputs)[id.index()][element as usize];
            let scale = theirs.abs().max(0.1 * most);
            let apart = [(ours - exact).abs(), (theirs - exact).abs(), (ours - theirs).abs()];
            found.iter_mut().zip(apart).for_each(|(found, d)| *found = found.max(d / scale));
        }
    }
    println!("{name}: ours {:.1e}, the source {:.1e} from the exact value, {:.1e} apart", found[0], found[1], found[2]);
    found
}

#[test]
fn an_imported_model_is_within_a_millionth_of_what_the_numbers_of_the_file_give() {
    for name in [
        "onnx_mlp_sklearn",
        "onnx_imputed",
        "onnx_categories",
        "onnx_logistic",
        "onnx_mlp",
        "onnx_mlp_softmax",
        "onnx_mlp_regression",
        "onnx_normalizer_max",
        "onnx_torch",
        "onnx_older",
    ] {
        let [ours, theirs, apart] = distances(name);
        // Or nearer than the source, where that is off by more itself.
        assert!(ours <= theirs.max(1e-6), "{name}: {ours:e} beside {theirs:e}");
        assert!(apart <= ours + theirs, "{name}: {apart:e} beside {ours:e} and {theirs:e}");
    }
}
