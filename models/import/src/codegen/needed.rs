//! Which elements of which operations an output depends on.

use crate::ir::{Graph, Id, Op};

/// Per operation, per element: whether it is needed. Empty where nothing of the operation is.
pub(super) fn of(graph: &Graph, output: (Id, u32)) -> Vec<Vec<bool>> {
    let mut needed: Vec<Vec<bool>> = vec![Vec::new(); graph.values().len()];
    mark(&mut needed, graph, output.0, Some(output.1));
    for i in (0..graph.values().len()).rev() {
        if needed[i].is_empty() {
            continue;
        }
        let elements: Vec<u32> = (0..needed[i].len() as u32).filter(|e| needed[i][*e as usize]).collect();
        match &graph.values()[i].op {
            Op::Input(_) | Op::Constant(_) => {}
            Op::Gather(from) => {
                for e in elements {
                    let (id, at) = from[e as usize];
                    mark(&mut needed, graph, id, Some(at));
                }
            }
            Op::Cast(id) | Op::Unary(_, id) | Op::IsNan(id) => pointwise(&mut needed, graph, &elements, &[*id]),
            Op::Binary(_, a, b) => pointwise(&mut needed, graph, &elements, &[*a, *b]),
            Op::Select(c, a, b) => pointwise(&mut needed, graph, &elements, &[*c, *a, *b]),
            Op::Matrix(id, _) | Op::Softmax(id, _) | Op::ArgMax(id) | Op::Sum(id) => {
                mark(&mut needed, graph, *id, None);
            }
            Op::Trees(id, ensemble) => {
                for (output, tree) in &ensemble.trees {
                    if needed[i][*output as usize] {
                        for split in tree.splits() {
                            mark(&mut needed, graph, *id, Some(split.feature));
                        }
                    }
                }
            }
        }
    }
    needed
}

fn pointwise(needed: &mut [Vec<bool>], graph: &Graph, elements: &[u32], ids: &[Id]) {
    for id in ids {
        for e in elements {
            // A vector of one stands for all.
            let at = if graph.len(*id) == 1 { 0 } else { *e };
            mark(needed, graph, *id, Some(at));
        }
    }
}

fn mark(needed: &mut [Vec<bool>], graph: &Graph, id: Id, element: Option<u32>) {
    let flags = &mut needed[id.index()];
    flags.resize(graph.len(id), false);
    match element {
        Some(e) => flags[e as usize] = true,
        None => flags.fill(true),
    }
}
