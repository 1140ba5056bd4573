//! `TreeEnsembleRegressor`, `TreeEnsembleClassifier` and `TreeEnsemble` (v5).
//!
//! ONNX Runtime compares and sums in the element type of the input (binary32, or binary64 where the numbers stand
//! as binary64 tensors), adds a row's trees in their order and the base value at the end.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::ml::transform;
use super::proto;
use super::{Val, Walk, broken};
use crate::ir::{Binary, Ensemble, Id, Missing, Node, Num, Split, Test, Tree, Unary};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

const NOT_EQUAL: &str = "BRANCH_NEQ";

/// A leaf's weights: output and number.
type Weights = Vec<(u32, f64)>;

/// The trees of a file.
struct Forest {
    trees: Vec<(u32, Tree)>,
    /// How many the file has; each may be here once for every output.
    count: usize,
    /// Of which outputs something is said of every row: by every leaf of some tree.
    always: Vec<bool>,
}

impl Forest {
    /// Refuses what ONNX Runtime makes of an output of which nothing is said: it depends on the row in ways that the standard does not know.
    fn says_always(&self, output: usize) -> Result<(), Refusal> {
        if self.always.get(output).copied().unwrap_or(false) {
            return Ok(());
        }
        Err(Refusal::unsupported(
            format!("some rows reach no weight for output {output}, which ONNX Runtime treats in a way of its own"),
            format!("有的行到不了输出 {output} 的权重，而 ONNX Runtime 对此有特殊处理"),
        ))
    }
}

/// A node before its children's numbers are known to be sound.
enum Raw {
    Leaf(Weights),
    Split { feature: u32, test: Test, swap: bool, missing_true: bool, yes: u32, no: u32 },
}

/// Splits a forest of raw nodes into one tree per output that a tree speaks of.
fn trees(raw: &[Raw], roots: &[u32], outputs: u32) -> Result<Forest, Refusal> {
    at_most(roots.len(), limits::TREES, "trees", "树的数量")?;
    let mut out = Vec::new();
    let mut total = 0_usize;
    let mut always = vec![false; outputs as usize];
    for (number, &root) in roots.iter().enumerate() {
        let own = reached(raw, root).map_err(|r| r.within(&format!("tree {number}")))?;
        let mut spoken: Vec<u32> = Vec::new();
        for id in &own {
            if let Raw::Leaf(weights) = &raw[*id as usize] {
                let mut here: Vec<u32> = weights.iter().map(|w| w.0).collect();
                here.sort_unstable();
                here.dedup();
                spoken.append(&mut here);
            }
        }
        let leaves = own.iter().filter(|id| matches!(raw[**id as usize], Raw::Leaf(_))).count();
        for (output, always) in always.iter_mut().enumerate() {
            *always |= spoken.iter().filter(|o| **o == output as u32).count() == leaves;
        }
        spoken.sort_unstable();
        spoken.dedup();
        let place: BTreeMap<u32, u32> = own.iter().enumerate().map(|(i, id)| (*id, i as u32)).collect();
        for output in spoken {
            if output >= outputs {
                return Err(broken("a leaf speaks of an output that does not exist", "叶节点引用了不存在的输出"));
            }
            let nodes: Vec<Node> = own.iter().map(|id| node(&raw[*id as usize], output, &place)).collect();
            total += nodes.len();
            at_most(total, limits::NODES, "nodes of all trees", "全部树的节点总数")?;
            let tree = Tree::new(&nodes, 0).map_err(|r| r.within(&format!("tree {number}")))?;
            out.push((output, tree));
        }
    }
    Ok(Forest { trees: out, count: roots.len(), always })
}

/// The nodes below a root, the root first.
fn reached(raw: &[Raw], root: u32) -> Result<Vec<u32>, Refusal> {
    let mut own = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut todo = vec![root];
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            return Err(broken(
                "a node is reached twice: what has a circle is no tree",
                "有节点被重复引用：含环的不是树",
            ));
        }
        at_most(own.len() + 1, limits::TREE_NODES, "nodes of one tree", "单棵树的节点数")?;
        match raw.get(id as usize) {
            None => return Err(broken("a node does not exist", "节点不存在")),
            Some(Raw::Leaf(_)) => {}
            Some(Raw::Split { yes, no, .. }) => todo.extend([*no, *yes]),
        }
        own.push(id);
    }
    Ok(own)
}

fn node(raw: &Raw, output: u32, place: &BTreeMap<u32, u32>) -> Node {
    let at = |id: &u32| place.get(id).copied().unwrap_or(u32::MAX);
    match raw {
        Raw::Leaf(weights) => Node::Leaf(weights.iter().filter(|w| w.0 == output).map(|w| w.1).sum()),
        Raw::Split { feature, test, swap, missing_true, yes, no } => {
            let (left, right) = if *swap { (at(no), at(yes)) } else { (at(yes), at(no)) };
            let missing = if *missing_true != *swap { Missing::Left } else { Missing::Right };
            Node::Split(Split { feature: *feature, test: test.clone(), missing, left, right })
        }
    }
}

/// A comparison as a test, and whether the sides are swapped: what is not true is false, for NaN too.
fn test(mode: &str, value: f64, num: Num) -> Result<(Test, bool), Refusal> {
    let above = |t: f64| match num {
        Num::F32 => f64::from((t as f32).next_up()),
        Num::F64 => t.next_up(),
    };
    Ok(match mode {
        "BRANCH_LT" => (Test::Below(value), false),
        "BRANCH_LEQ" => (Test::Below(above(value)), false),
        "BRANCH_GTE" => (Test::Below(value), true),
        "BRANCH_GT" => (Test::Below(above(value)), true),
        "BRANCH_EQ" => (Test::Equal(value), false),
        NOT_EQUAL => (Test::Equal(value), true),
        other => {
            return Err(Refusal::unsupported(
                format!("the mode `{}` is not supported", quote(other)),
                format!("不支持节点模式 `{}`", quote(other)),
            ));
        }
    })
}

impl Walk {
    /// The attributes of ai.onnx.ml 1 and 3: parallel lists of nodes and weights.
    fn listed(&self, a: &Attributes<'_>, who: &str, outputs: u32, x: Id) -> Result<Forest, Refusal> {
        let (num, width) = (self.graph.num(x), self.graph.len(x));
        let (ids, tree_ids) = (a.ints("nodes_nodeids"), a.ints("nodes_treeids"));
        let (features, modes) = (a.ints("nodes_featureids"), a.texts("nodes_modes"));
        let (yes, no) = (a.ints("nodes_truenodeids"), a.ints("nodes_falsenodeids"));
        let (values, missing) = (a.floats("nodes_values"), a.ints("nodes_missing_value_tracks_true"));
        let n = ids.len();
        at_most(n, limits::NODES, "nodes of all trees", "全部树的节点总数")?;
        let lengths = [tree_ids.len(), features.len(), modes.len(), yes.len(), no.len(), values.len()];
        if n == 0 || lengths.iter().any(|l| *l != n) || !(missing.is_empty() || missing.len() == n) {
            return Err(broken("the lists of nodes differ in length", "节点列表长度不一致"));
        }
        let at = |i: usize| format!("tree {}, node {}", tree_ids[i], ids[i]);
        let mut place: BTreeMap<(i64, i64), u32> = BTreeMap::new();
        let mut roots: BTreeMap<i64, u32> = BTreeMap::new();
        for i in 0..n {
            if place.insert((tree_ids[i], ids[i]), i as u32).is_some() {
                return Err(broken("a node stands twice", "节点重复").at(at(i)));
            }
            // The first node of a tree is its root.
            roots.entry(tree_ids[i]).or_insert(i as u32);
        }
        let mut weights: Vec<Weights> = vec![Vec::new(); n];
        let key = |what: &str| format!("{who}_{what}");
        let (leaf_trees, leaf_nodes) = (a.ints(&key("treeids")), a.ints(&key("nodeids")));
        let (leaf_outputs, leaf_weights) = (a.ints(&key("ids")), a.floats(&key("weights")));
        let m = leaf_trees.len();
        if leaf_nodes.len() != m || leaf_outputs.len() != m || leaf_weights.len() != m {
            return Err(broken("the lists of weights differ in length", "权重列表长度不一致"));
        }
        for i in 0..m {
            let where_ = || format!("tree {}, node {}", leaf_trees[i], leaf_nodes[i]);
            let node = place.get(&(leaf_trees[i], leaf_nodes[i]));
            let node = node.ok_or_else(|| {
                broken("a weight is of a node that does not exist", "权重引用了不存在的节点").at(where_())
            })?;
            let output = u32::try_from(leaf_outputs[i])
                .map_err(|_| broken("an output is negative", "输出号为负").at(where_()))?;
            weights[*node as usize].push((output, leaf_weights[i]));
        }
        let mut raw = Vec::with_capacity(n);
        for i in 0..n {
            if modes[i] == "LEAF" {
                raw.push(Raw::Leaf(std::mem::take(&mut weights[i])));
                continue;
            }
            let child = |id: i64| {
                let found = place.get(&(tree_ids[i], id)).copied();
                found.ok_or_else(|| {
                    broken(&format!("its child {id} does not exist"), &format!("其子节点 {id} 不存在")).at(at(i))
                })
            };
            let (test, swap) = test(&modes[i], values[i], num).map_err(|r| r.at(at(i)))?;
            let feature = feature(features[i], width).map_err(|r| r.at(at(i)))?;
            // A NaN differs from every number.
            let missing_true = missing.get(i) == Some(&1) || modes[i] == NOT_EQUAL;
            raw.push(Raw::Split { feature, test, swap, missing_true, yes: child(yes[i])?, no: child(no[i])? });
        }
        trees(&raw, &roots.into_values().collect::<Vec<u32>>(), outputs)
    }

    /// The input of trees, in the arithmetic that they compare in.
    fn tree_input(&mut self, node: &proto::Node, double: bool) -> Result<(Id, Num), Refusal> {
        self.takes_nan = true;
        let x = self.row(node, 0)?;
        let num = if double { Num::F64 } else { Num::F32 };
        Ok((self.graph.cast(x, num)?, num))
    }

    /// Sums of trees with base values behind them.
    fn sums(
        &mut self,
        x: Id,
        forest: Forest,
        mut base: Vec<f64>,
        aggregate: &str,
        outputs: u32,
        num: Num,
    ) -> Result<Id, Refusal> {
        let n = outputs as usize;
        if !(base.is_empty() || base.len() == n) {
            return Err(broken("there is not one base value per output", "基准值数与输出数不一致"));
        }
        base.resize(n, 0.0);
        let Forest { trees, count, .. } = forest;
        let average = match aggregate {
            "SUM" | "1" => false,
            "AVERAGE" | "0" => true,
            other => {
                return Err(Refusal::unsupported(
                    format!("`aggregate_function` = {} is not supported; SUM and AVERAGE are", quote(other)),
                    format!("不支持 `aggregate_function` = {}，仅支持 SUM 与 AVERAGE", quote(other)),
                ));
            }
        };
        let end = if average { vec![0.0; n] } else { base.clone() };
        let mut sums = self.graph.trees(x, Ensemble { trees, outputs, start: vec![0.0; n], end }, num)?;
        if average {
            let count = self.graph.constant(vec![count as f64], num)?;
            sums = self.graph.binary(Binary::Divide, sums, count)?;
            let base = self.graph.constant(base, num)?;
            sums = self.graph.binary(Binary::Add, sums, base)?;
        }
        Ok(sums)
    }

    pub(super) fn tree_regressor(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let (x, num) = self.tree_input(node, a.is_double("nodes_values"))?;
        let outputs = count(a.int("n_targets", 1))?;
        let forest = self.listed(a, "target", outputs, x)?;
        let (aggregate, base) = (a.text("aggregate_function", "SUM"), a.floats("base_values"));
        if outputs > 1 {
            // Where nothing is said, several targets go without their base values, and one alone does not.
            let mut based = base.iter().enumerate().filter(|(_, b)| **b != 0.0);
            based.try_for_each(|(output, _)| forest.says_always(output))?;
        }
        let sums = self.sums(x, forest, base, &aggregate, outputs, num)?;
        single_target(outputs, &a.text("post_transform", "NONE"))?;
        let out = transform(self, sums, a)?;
        Ok(vec![Val::Row(out)])
    }

    pub(super) fn tree_classifier(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let (x, num) = self.tree_input(node, a.is_double("nodes_values"))?;
        let classes = self.class_labels(a)?;
        let ids = a.ints("class_ids");
        let weights = a.floats("class_weights");
        let base = a.floats("base_values");
        let one_class = classes == 2 && ids.windows(2).all(|w| w[0] == w[1]);
        if !one_class {
            let forest = self.listed(a, "class", classes, x)?;
            if classes == 2 {
                forest.says_always(1)?;
                if !base.is_empty() {
                    return a.refuse_for(
                        "base_values",
                        "where two classes both have weights",
                        "两个类别都有权重时含义不一",
                    );
                }
            }
            let sums = self.sums(x, forest, base, "SUM", classes, num)?;
            let out = transform(self, sums, a)?;
            self.probabilities.push(out);
            let label = self.graph.arg_max(out)?;
            return Ok(vec![Val::Label(label), Val::Row(out)]);
        }
        // Two classes and weights of one: the other class is what is left.
        let at = count(ids.first().copied().unwrap_or(0) + 1)?;
        if at != 1 {
            // ONNX Runtime gives the first class then an answer of its own, and adds base values to it.
            return a.refuse_for(
                "class_ids",
                "where of two classes the second alone has weights",
                "两个类别中只有第二类有权重时含义不一",
            );
        }
        let mut forest = self.listed(a, "class", at, x)?;
        if base.iter().any(|b| *b != 0.0) {
            forest.says_always(0)?;
        }
        forest.trees.iter_mut().for_each(|(o, _)| *o = 0);
        let base = match base.as_slice() {
            [] => vec![0.0],
            [b] => vec![*b],
            _ => {
                return a.refuse_for(
                    "base_values",
                    "with more than one value where one of two classes has weights",
                    "两个类别中仅一类有权重时只能有一个值",
                );
            }
        };
        let sum = self.sums(x, forest, base, "SUM", 1, num)?;
        let positive = weights.iter().all(|w| *w >= 0.0);
        let post = a.text("post_transform", "NONE");
        let pair = if positive && post == "NONE" {
            let one = self.graph.constant(vec![1.0], num)?;
            let rest = self.graph.binary(Binary::Subtract, one, sum)?;
            self.graph.concat(&[rest, sum])?
        } else {
            let negated = self.graph.unary(Unary::Negate, sum)?;
            let pair = self.graph.concat(&[negated, sum])?;
            match post.as_str() {
                "LOGISTIC" => self.graph.unary(Unary::Logistic, pair)?,
                "NONE" => pair,
                other => return a.refuse("post_transform", other),
            }
        };
        self.probabilities.push(pair);
        let label = self.graph.arg_max(pair)?;
        Ok(vec![Val::Label(label), Val::Row(pair)])
    }

    /// The operator of ai.onnx.ml 5: interior nodes and leaves apart.
    pub(super) fn tree_ensemble(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let (x, num) = self.tree_input(node, a.is_double("nodes_splits"))?;
        let outputs = count(a.int("n_targets", 1))?;
        let (features, splits, modes) = (a.ints("nodes_featureids"), a.floats("nodes_splits"), a.floats("nodes_modes"));
        let (yes, no) = (a.ints("nodes_truenodeids"), a.ints("nodes_falsenodeids"));
        let (yes_leaf, no_leaf) = (a.ints("nodes_trueleafs"), a.ints("nodes_falseleafs"));
        let missing = a.ints("nodes_missing_value_tracks_true");
        let (targets, weights) = (a.ints("leaf_targetids"), a.floats("leaf_weights"));
        let n = features.len();
        at_most(n.saturating_add(weights.len()), limits::NODES, "nodes of all trees", "全部树的节点总数")?;
        let lengths = [splits.len(), modes.len(), yes.len(), no.len(), yes_leaf.len(), no_leaf.len()];
        if lengths.iter().any(|l| *l != n) || targets.len() != weights.len() {
            return Err(broken("the lists of nodes differ in length", "节点列表长度不一致"));
        }
        let mut members =
            a.floats("membership_values").split(|x| x.is_nan()).map(<[f64]>::to_vec).collect::<Vec<_>>().into_iter();
        let wrong = || broken("a child does not exist", "子节点不存在");
        let child = |id: i64, leaf: i64| {
            let (bound, offset) = if leaf == 0 { (n, 0) } else { (weights.len(), n) };
            usize::try_from(id).ok().filter(|id| *id < bound).map(|id| (id + offset) as u32).ok_or_else(wrong)
        };
        let mut raw = Vec::with_capacity(n + weights.len());
        for i in 0..n {
            const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
            let (test, swap) = if modes[i] == 6.0 {
                let set = members.next().unwrap_or_default();
                if set.iter().any(|x| *x < 0.0) {
                    return Err(Refusal::unsupported(
                        "a set with a number below zero is not supported: ONNX Runtime takes numbers between whole ones for members of it",
                        "不支持含负数的成员集合：ONNX Runtime 会把介于整数之间的值误判为成员",
                    )
                    .at(format!("node {i}")));
                }
                (Test::Member(set), false)
            } else {
                let mode = MODES.get(modes[i] as usize).copied().unwrap_or("unknown");
                test(mode, splits[i], num)?
            };
            let feature = feature(features[i], self.graph.len(x)).map_err(|r| r.at(format!("node {i}")))?;
            raw.push(Raw::Split {
                feature,
                test,
                swap,
                missing_true: missing.get(i) == Some(&1) || modes[i] == 5.0,
                yes: child(yes[i], yes_leaf[i])?,
                no: child(no[i], no_leaf[i])?,
            });
        }
        for (target, weight) in targets.iter().zip(&weights) {
            let target = u32::try_from(*target).map_err(|_| broken("an output is negative", "输出号为负"))?;
            raw.push(Raw::Leaf(vec![(target, *weight)]));
        }
        let roots = a
            .ints("tree_roots")
            .iter()
            .map(|r| u32::try_from(*r).map_err(|_| wrong()))
            .collect::<Result<Vec<u32>, _>>()?;
        let forest = trees(&raw, &roots, outputs)?;
        let aggregate = a.int("aggregate_function", 1).to_string();
        let sums = self.sums(x, forest, Vec::new(), &aggregate, outputs, num)?;
        if a.int("post_transform", 0) != 0 {
            return a.refuse_for(
                "post_transform",
                "of TreeEnsemble: the standard and ONNX Runtime count the transforms differently; an operator of its own (Sigmoid, Softmax) behind the \
                 trees says what is meant",
                "TreeEnsemble 中标准与 ONNX Runtime 的编号不一致；请在树之后另加算子（如 Sigmoid、Softmax）明确含义",
            );
        }
        Ok(vec![Val::Row(sums)])
    }
}

/// What is made of the sum of a single target is not the same everywhere.
pub(super) fn single_target(outputs: u32, post: &str) -> Result<(), Refusal> {
    if outputs > 1 || post == "NONE" {
        return Ok(());
    }
    Err(Refusal::unsupported(
        format!(
            "`post_transform` = {} of one target is not supported: the standard asks for it, and ONNX Runtime leaves it out; \
             an operator of its own (Sigmoid) behind it says what is meant",
            quote(post)
        ),
        format!(
            "不支持单目标的 `post_transform` = {}：标准要求执行，而 ONNX Runtime 会忽略；请在其后另加算子（如 Sigmoid）明确含义",
            quote(post)
        ),
    ))
}

/// A column that is asked for.
fn feature(id: i64, width: usize) -> Result<u32, Refusal> {
    u32::try_from(id).ok().filter(|f| (*f as usize) < width).ok_or_else(|| {
        broken(
            &format!("it asks for column {id} of an input of {width}"),
            &format!("其引用第 {id} 列，而输入只有 {width} 列"),
        )
    })
}

/// A count of outputs.
fn count(n: i64) -> Result<u32, Refusal> {
    u32::try_from(n)
        .ok()
        .filter(|n| (1..=limits::OUTPUTS as u32).contains(n))
        .ok_or_else(|| Refusal::limit("outputs", "输出数", limits::OUTPUTS))
}
