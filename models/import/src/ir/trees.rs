//! Decision trees in one form, whatever file they came from.

use crate::limits;
use crate::refusal::{Refusal, at_most};

/// Magnitudes up to this count as zero where LightGBM takes zero for missing: its `kZeroThreshold`, which is
/// the binary32 nearest to 1e-35.
pub const ZERO: f64 = 1e-35_f32 as f64;

/// Which way a split goes; left where the test holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `x < t`.
    Below(f64),
    /// `x == t`.
    Equal(f64),
    /// `x` is one of these numbers.
    Member(Vec<f64>),
    /// The whole part of `x` is one of these categories, sorted.
    Category {
        /// The categories.
        set: Vec<u32>,
        /// Whether numbers between -1 and 0 are category 0, as a conversion to an integer makes them, or in no set.
        truncate: bool,
    },
}

/// Where a split sends a value that is missing (NaN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Where zero goes.
    Zero,
    /// To the left, and with it everything that is as small as [`ZERO`].
    ZeroLeft,
    /// To the right, and with it everything that is as small as [`ZERO`].
    ZeroRight,
}

/// An inner node.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Which element of the ensemble's input is tested.
    pub feature: u32,
    /// The test.
    pub test: Test,
    /// What happens to NaN.
    pub missing: Missing,
    /// The node where the test holds.
    pub left: u32,
    /// The node where it does not.
    pub right: u32,
}

/// A node of a tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The tree's answer.
    Leaf(f64),
    /// A question.
    Split(Split),
}

/// A tree.
///
/// Invariant: the nodes are numbered in the order of a walk (node, left, right) from node 0, every node is
/// reached exactly once, and no leaf lies deeper than [`limits::DEPTH`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
    depth: usize,
}

impl Tree {
    /// Makes a tree of nodes in any order; what is not reached from `root` is left out.
    ///
    /// # Errors
    /// A child that does not exist, a node with two parents, a cycle, a tree that is too large or too deep, a
    /// number that is not finite where it has to be.
    pub fn new(nodes: &[Node], root: u32) -> Result<Self, Refusal> {
        at_most(nodes.len(), limits::TREE_NODES, "nodes of one tree", "单棵树的节点数")?;
        let mut seen = vec![false; nodes.len()];
        let mut out: Vec<Node> = Vec::with_capacity(nodes.len());
        let mut deepest = 0;
        // Node, depth, and the place in `out` whose right child it is.
        let mut todo: Vec<(u32, usize, Option<usize>)> = vec![(root, 0, None)];
        while let Some((id, depth, right_of)) = todo.pop() {
            let node = nodes.get(id as usize).ok_or_else(|| broken(id, "does not exist", "不存在"))?;
            if std::mem::replace(&mut seen[id as usize], true) {
                return Err(broken(id, "is reached twice", "被重复引用"));
            }
            at_most(depth, limits::DEPTH, "splits from root to leaf", "树的深度")?;
            deepest = deepest.max(depth);
            let place = out.len();
            if let Some(parent) = right_of
                && let Some(Node::Split(split)) = out.get_mut(parent)
            {
                split.right = place as u32;
            }
            match node {
                Node::Leaf(value) if !value.is_finite() => {
                    return Err(broken(id, "has a leaf value that is not finite", "的叶值不是有限数"));
                }
                Node::Leaf(value) => out.push(Node::Leaf(*value)),
                Node::Split(split) => {
                    check(split, id)?;
                    todo.push((split.right, depth + 1, Some(place)));
                    todo.push((split.left, depth + 1, None));
                    out.push(Node::Split(Split { left: place as u32 + 1, right: 0, ..split.clone() }));
                }
            }
        }
        Ok(Self { nodes: out, depth: deepest })
    }

    /// The nodes, the root first; a left child follows its parent.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The most splits from the root to a leaf.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The values of the leaves from left to right.
    pub fn leaves(&self) -> impl Iterator<Item = f64> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Leaf(value) => Some(*value),
            Node::Split(_) => None,
        })
    }

    /// The splits.
    pub fn splits(&self) -> impl Iterator<Item = &Split> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Split(split) => Some(split),
            Node::Leaf(_) => None,
        })
    }

    /// The answer for one row: what the generated code has to say as well.
    pub fn answer(&self, row: &[f64]) -> f64 {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf(value) => return *value,
                Node::Split(s) => {
                    at = if s.goes_left(row[s.feature as usize]) { s.left as usize } else { s.right as usize };
                }
            }
        }
    }
}

impl Split {
    /// Whether a value goes to the left.
    pub fn goes_left(&self, x: f64) -> bool {
        let small = x.is_nan() || x.abs() <= ZERO;
        let x = match self.missing {
            Missing::Left if x.is_nan() => return true,
            Missing::Right if x.is_nan() => return false,
            Missing::ZeroLeft if small => return true,
            Missing::ZeroRight if small => return false,
            Missing::Zero if x.is_nan() => 0.0,
            _ => x,
        };
        match &self.test {
            Test::Below(t) => x < *t,
            Test::Equal(t) => x == *t,
            Test::Member(set) => set.contains(&x),
            Test::Category { set, truncate } => {
                let in_range = if *truncate { x > -1.0 } else { x >= 0.0 };
                in_range && x < f64::from(u32::MAX) && set.binary_search(&(x as u32)).is_ok()
            }
        }
    }
}

fn check(split: &Split, id: u32) -> Result<(), Refusal> {
    let sound = match &split.test {
        // `x < inf` is a fair question, and so is `x < -inf`.
        Test::Below(t) | Test::Equal(t) => !t.is_nan(),
        Test::Member(set) => set.len() <= limits::CATEGORIES && set.iter().all(|x| !x.is_nan()),
        Test::Category { set, .. } => {
            set.len() <= limits::CATEGORIES
                && set.is_sorted()
                && set.last().is_none_or(|c| (*c as usize) < limits::CATEGORIES)
        }
    };
    if sound {
        Ok(())
    } else {
        Err(broken(id, "has a threshold or set that is not usable", "的阈值或类别集合无效"))
    }
}

fn broken(id: u32, en: &str, zh: &str) -> Refusal {
    Refusal::malformed(format!("node {id} {en}"), format!("节点 {id} {zh}")).at(format!("node {id}"))
}

/// How a file's trees become a number: for each output the sum of its trees in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    /// The trees, each with the number of the output that it adds to.
    pub trees: Vec<(u32, Tree)>,
    /// How many outputs.
    pub outputs: u32,
    /// What a sum begins with, one per output.
    pub start: Vec<f64>,
    /// What is added when a sum is done, one per output.
    pub end: Vec<f64>,
}
