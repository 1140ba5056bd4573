//! A made-up ensemble of trees, the same in `../peers/ensemble.py`: every number is a small multiple of
//! a power of two, so that 32-bit and 64-bit floats decide alike.

use std::fmt::Write as _;

use crate::guests::Random;

pub(crate) const TREES: usize = 100;
pub(crate) const DEPTH: usize = 6;
pub(crate) const FEATURES: usize = 16;
const SEED: u64 = 1;
const ROWS_SEED: u64 = 2;
/// Thresholds and features are multiples of 2^-20 in [0, 1).
const GRID: u64 = 1 << 20;

pub(crate) struct Tree {
    /// Inner nodes in the order of a heap: feature and threshold; to the left where it is less.
    nodes: Vec<(usize, f64)>,
    leaves: Vec<f64>,
}

pub(crate) fn trees() -> Vec<Tree> {
    let mut r = Random(SEED);
    let inner = (1 << DEPTH) - 1;
    (0..TREES)
        .map(|_| Tree {
            nodes: (0..inner).map(|_| (r.below(FEATURES as u64) as usize, fraction(&mut r))).collect(),
            leaves: (0..=inner).map(|_| (r.below(1024) as f64 - 512.0) / 8192.0).collect(),
        })
        .collect()
}

fn fraction(r: &mut Random) -> f64 {
    r.below(GRID) as f64 / GRID as f64
}

/// Rows of features, by column.
pub(crate) fn columns(rows: usize) -> Vec<Vec<f64>> {
    let mut r = Random(ROWS_SEED);
    let mut columns: Vec<Vec<f64>> = (0..FEATURES).map(|_| Vec::with_capacity(rows)).collect();
    for _ in 0..rows {
        columns.iter_mut().for_each(|c| c.push(fraction(&mut r)));
    }
    columns
}

/// The sum of the trees' leaves, in native code over the same arrays.
pub(crate) fn native(trees: &[Tree], row: &[f64]) -> f64 {
    let inner = (1 << DEPTH) - 1;
    trees
        .iter()
        .map(|tree| {
            let mut node = 0;
            while node < inner {
                let (feature, threshold) = tree.nodes[node];
                node = 2 * node + 2 - usize::from(row[feature] < threshold);
            }
            tree.leaves[node - inner]
        })
        .sum()
}

/// Each tree as nested ifs, and their sum: what a person or a simple compiler would write.
pub(crate) fn module(trees: &[Tree]) -> Vec<u8> {
    let params: String = (0..FEATURES).map(|i| format!("(param $x{i} f64) ")).collect();
    let args: String = (0..FEATURES).map(|i| format!("(local.get $x{i}) ")).collect();
    let mut text = String::from("(module ");
    for (i, tree) in trees.iter().enumerate() {
        let _ = write!(text, "(func $t{i} {params} (result f64) ");
        branch(&mut text, tree, 0);
        text.push(')');
    }
    let _ = write!(text, "(func (export \"score\") {params} (result f64) (f64.const 0) ");
    for i in 0..trees.len() {
        let _ = write!(text, "(call $t{i} {args}) (f64.add) ");
    }
    text.push_str("))");
    wat::parse_str(&text).expect("a module")
}

fn branch(text: &mut String, tree: &Tree, node: usize) {
    let inner = (1 << DEPTH) - 1;
    if node >= inner {
        let _ = write!(text, "(f64.const {}) ", tree.leaves[node - inner]);
        return;
    }
    let (feature, threshold) = tree.nodes[node];
    let _ = write!(text, "(if (result f64) (f64.lt (local.get $x{feature}) (f64.const {threshold})) (then ");
    branch(text, tree, 2 * node + 1);
    text.push_str(") (else ");
    branch(text, tree, 2 * node + 2);
    text.push_str(")) ");
}
