//! The range of an output by interval arithmetic, so that the manifest's bounds need not be guessed.

use super::graph::{Binary, Graph, Op, Unary};
use super::{Ensemble, Input, Model, Output};

/// The least and greatest value that an element can have; infinite where nothing is known.
pub type Range = (f64, f64);

/// The range of nothing.
const NONE: Range = (f64::INFINITY, f64::NEG_INFINITY);
const ANY: Range = (f64::NEG_INFINITY, f64::INFINITY);

/// The range of an output.
pub(crate) fn of_output(model: &Model, output: &Output) -> Range {
    let mut ranges: Vec<Vec<Range>> = Vec::with_capacity(model.graph.values().len());
    for value in model.graph.values() {
        let mut range = of(&value.op, &ranges, &model.inputs, &model.graph);
        range.resize(value.len as usize, ANY);
        for r in &mut range {
            if r.0.is_nan() || r.1.is_nan() {
                *r = ANY;
            }
        }
        ranges.push(range);
    }
    ranges[output.value.0.index()].get(output.value.1 as usize).copied().unwrap_or(ANY)
}

fn of(op: &Op, known: &[Vec<Range>], inputs: &[Input], graph: &Graph) -> Vec<Range> {
    match op {
        Op::Input(i) => vec![inputs.get(*i as usize).and_then(|input| input.range).unwrap_or(ANY)],
        // A NaN is no answer: the sandbox puts the default in its place.
        Op::Constant(xs) => xs.iter().map(|x| if x.is_nan() { NONE } else { (*x, *x) }).collect(),
        Op::Gather(from) => from.iter().map(|(id, i)| known[id.index()][*i as usize]).collect(),
        Op::Cast(id) => known[id.index()].clone(),
        Op::Unary(f, id) => known[id.index()].iter().map(|r| unary(*f, *r)).collect(),
        Op::Binary(f, a, b) => {
            let (a, b) = (&known[a.index()], &known[b.index()]);
            let n = a.len().max(b.len());
            let at = |v: &[Range], i: usize| if v.len() == 1 { v[0] } else { v[i] };
            (0..n).map(|i| binary(*f, at(a, i), at(b, i))).collect()
        }
        Op::Select(_, a, b) => {
            let pairs = known[a.index()].iter().zip(&known[b.index()]);
            pairs.map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect()
        }
        Op::IsNan(id) => vec![(0.0, 1.0); graph.len(*id)],
        Op::Matrix(id, m) => {
            let columns = m.columns as usize;
            (0..columns)
                .map(|c| {
                    let start = m.bias.get(c).copied().unwrap_or(0.0);
                    let terms =
                        known[id.index()].iter().enumerate().map(|(r, x)| scale(*x, m.weights[r * columns + c]));
                    terms.fold((start, start), add)
                })
                .collect()
        }
        Op::Trees(_, ensemble) => trees(ensemble),
        Op::Softmax(id, _) => vec![(0.0, 1.0); graph.len(*id)],
        Op::ArgMax(id) => vec![(0.0, graph.len(*id) as f64 - 1.0)],
        Op::Sum(id) => vec![known[id.index()].iter().copied().fold((0.0, 0.0), add)],
    }
}

fn trees(ensemble: &Ensemble) -> Vec<Range> {
    let mut sums: Vec<Range> = ensemble.start.iter().zip(&ensemble.end).map(|(a, b)| (a + b, a + b)).collect();
    for (output, tree) in &ensemble.trees {
        let least = tree.leaves().fold(f64::INFINITY, f64::min);
        let most = tree.leaves().fold(f64::NEG_INFINITY, f64::max);
        let sum = &mut sums[*output as usize];
        *sum = add(*sum, (least, most));
    }
    sums
}

fn add(a: Range, b: Range) -> Range {
    (a.0 + b.0, a.1 + b.1)
}

fn scale(r: Range, by: f64) -> Range {
    if by == 0.0 {
        return (0.0, 0.0);
    }
    let (a, b) = (r.0 * by, r.1 * by);
    (a.min(b), a.max(b))
}

fn unary(f: Unary, r: Range) -> Range {
    let both = |g: fn(f64) -> f64| (g(r.0), g(r.1));
    match f {
        Unary::Relu => (r.0.max(0.0), r.1.max(0.0)),
        Unary::Sigmoid | Unary::Logistic => (0.0, 1.0),
        Unary::Tanh => (-1.0, 1.0),
        Unary::Exp => both(f64::exp),
        Unary::Negate => (-r.1, -r.0),
        Unary::Absolute if r.0 <= 0.0 && r.1 >= 0.0 => (0.0, r.1.max(-r.0)),
        Unary::Absolute => (r.0.abs().min(r.1.abs()), r.0.abs().max(r.1.abs())),
        Unary::Root => (r.0.max(0.0).sqrt(), r.1.max(0.0).sqrt()),
        Unary::SignedSquare => both(|x| x * x.abs()),
        Unary::Positive => (0.0, 1.0),
        Unary::Truncate => both(f64::trunc),
        Unary::Identity => r,
    }
}

fn binary(f: Binary, a: Range, b: Range) -> Range {
    match f {
        Binary::Add => add(a, b),
        Binary::Subtract => (a.0 - b.1, a.1 - b.0),
        Binary::Multiply => {
            let all = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
            if all.iter().any(|x| x.is_nan()) {
                return ANY;
            }
            (all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(f64::NEG_INFINITY, f64::max))
        }
        Binary::Divide if b.0 <= 0.0 && b.1 >= 0.0 => ANY,
        Binary::Divide => binary(Binary::Multiply, a, (1.0 / b.1, 1.0 / b.0)),
        Binary::Min => (a.0.min(b.0), a.1.min(b.1)),
        Binary::Max => (a.0.max(b.0), a.1.max(b.1)),
        Binary::Less | Binary::Equal => (0.0, 1.0),
    }
}
