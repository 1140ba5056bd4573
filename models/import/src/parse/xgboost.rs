//! XGBoost's own model format (JSON and UBJSON have the same document): `doc/model.schema` of XGBoost 1.6 to 3.
//!
//! Features and thresholds are compared in binary32, `x < t` to the left, missing values by `default_left`. The
//! sum of a row is made in binary32 in the order of the trees.

use serde::Deserialize;

use crate::ir::{Ensemble, Graph, Id, Input, Missing, Model, Node, Null, Num, Output, Split, Test, Tree, Unary};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

#[derive(Deserialize)]
struct Document {
    learner: Learner,
    #[serde(default)]
    version: Vec<u64>,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: Param,
    objective: Objective,
}

#[derive(Deserialize)]
struct Param {
    base_score: String,
    #[serde(default)]
    num_class: String,
    #[serde(default)]
    num_feature: String,
    #[serde(default)]
    num_target: String,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    /// Of gbtree.
    model: Option<Forest>,
    /// Of dart: its trees, and what each is multiplied by.
    gbtree: Option<Inner>,
    #[serde(default)]
    weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
struct Inner {
    model: Forest,
}

#[derive(Deserialize)]
struct Forest {
    trees: Vec<RawTree>,
    #[serde(default)]
    tree_info: Vec<i64>,
}

#[derive(Deserialize)]
struct RawTree {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<i64>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<i64>,
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    categories_nodes: Vec<i64>,
    #[serde(default)]
    categories_segments: Vec<i64>,
    #[serde(default)]
    categories_sizes: Vec<i64>,
    tree_param: TreeParam,
}

#[derive(Deserialize)]
struct TreeParam {
    #[serde(default)]
    size_leaf_vector: String,
}

/// A truth value, written as such or as a number.
struct Flag(bool);

impl<'d> Deserialize<'d> for Flag {
    fn deserialize<D: serde::Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl serde::de::Visitor<'_> for Seen {
            type Value = Flag;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a truth value")
            }
            fn visit_bool<E>(self, b: bool) -> Result<Flag, E> {
                Ok(Flag(b))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Flag, E> {
                Ok(Flag(n != 0))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Flag, E> {
                Ok(Flag(n != 0))
            }
        }
        deserializer.deserialize_any(Seen)
    }
}

/// Parses the JSON document.
pub(super) fn json(bytes: &[u8]) -> Result<Model, Refusal> {
    let document: Document = serde_json::from_slice(bytes).map_err(|e| {
        Refusal::malformed(
            format!("this is not XGBoost's JSON: {}", reason(&e)),
            "不是有效的 XGBoost JSON 模型文件".to_owned(),
        )
        .at(format!("line {}, column {}", e.line(), e.column()))
    })?;
    model(document)
}

/// Parses the binary document.
pub(super) fn ubjson(bytes: &[u8]) -> Result<Model, Refusal> {
    model(super::ubjson::read(bytes)?)
}

/// What is wrong in words without a value of the file; the place is told beside it.
fn reason(e: &serde_json::Error) -> String {
    let text = e.to_string();
    quote(text.split(" at line ").next().unwrap_or("malformed"))
}

/// What an objective makes of a sum.
enum Link {
    Identity,
    Sigmoid,
    Exp,
    Positive,
    Softmax,
    ArgMax,
}

/// What an objective makes of the base score before it is added to sums.
#[derive(Clone, Copy)]
enum Base {
    Plain,
    Logit,
    Log,
}

fn objective(name: &str) -> Result<(Link, Base, &'static str), Refusal> {
    Ok(match name {
        "reg:squarederror"
        | "reg:linear"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => (Link::Identity, Base::Plain, "value"),
        "binary:logistic" | "reg:logistic" => (Link::Sigmoid, Base::Logit, "probability"),
        "binary:logitraw" => (Link::Identity, Base::Logit, "margin"),
        "binary:hinge" => (Link::Positive, Base::Plain, "class"),
        "count:poisson" | "reg:gamma" | "reg:tweedie" => (Link::Exp, Base::Log, "value"),
        "multi:softprob" => (Link::Softmax, Base::Plain, "probability"),
        "multi:softmax" => (Link::ArgMax, Base::Plain, "class"),
        other => {
            return Err(Refusal::unsupported(
                format!("the objective `{}` is not supported", quote(other)),
                format!("不支持目标函数 `{}`", quote(other)),
            )
            .at("learner.objective.name"));
        }
    })
}

fn number<T: std::str::FromStr>(text: &str, default: T, place: &str) -> Result<T, Refusal> {
    if text.is_empty() {
        return Ok(default);
    }
    text.trim().parse().map_err(|_| {
        Refusal::malformed(format!("`{}` is not a number", quote(text)), format!("`{}` 不是数值", quote(text)))
            .at(place)
    })
}

fn model(document: Document) -> Result<Model, Refusal> {
    let learner = document.learner;
    let (link, base, meaning) = objective(&learner.objective.name)?;
    let (forest, weights) = booster(learner.gradient_booster)?;
    let param = &learner.learner_model_param;
    let classes: usize = number(&param.num_class, 0, "learner.learner_model_param.num_class")?;
    let targets: usize = number(&param.num_target, 1, "learner.learner_model_param.num_target")?;
    let groups = classes.max(targets).max(1);
    at_most(groups, limits::OUTPUTS, "classes or targets", "类别或目标数")?;
    at_most(forest.trees.len(), limits::TREES, "trees", "树的数量")?;
    let columns: usize = number(&param.num_feature, 0, "learner.learner_model_param.num_feature")?;
    at_most(columns, limits::COLUMNS, "columns", "列数")?;
    let starts = base_scores(&param.base_score, base, groups)?;
    let mut trees = Vec::with_capacity(forest.trees.len());
    for (i, raw) in forest.trees.iter().enumerate() {
        let weight = weights.get(i).copied().unwrap_or(1.0);
        let tree = tree(raw, weight, columns).map_err(|r| {
            let inner = r.place().map(|p| format!(", {p}")).unwrap_or_default();
            r.moved(format!("tree {i}{inner}"))
        })?;
        let group = forest.tree_info.get(i).copied().unwrap_or(0);
        let group = u32::try_from(group).map_err(|_| {
            Refusal::malformed("a tree's class is negative", "树的类别号为负").at(format!("tree_info[{i}]"))
        })?;
        trees.push((group, tree));
    }
    let mut graph = Graph::default();
    let (inputs, row) = inputs(&mut graph, &learner.feature_names, columns)?;
    let zero = vec![0.0; groups];
    let ensemble = Ensemble { trees, outputs: groups as u32, start: starts, end: zero };
    let sums = graph.trees(row, ensemble, Num::F32)?;
    let outputs = outputs(&mut graph, sums, &link, meaning, groups)?;
    let version: Vec<String> = document.version.iter().take(3).map(u64::to_string).collect();
    Ok(Model {
        format: "XGBoost",
        kind: format!("{} (XGBoost {})", learner.objective.name, version.join(".")),
        inputs,
        graph,
        outputs,
        warnings: Vec::new(),
    })
}

fn booster(booster: Booster) -> Result<(Forest, Vec<f32>), Refusal> {
    let place = "learner.gradient_booster";
    let missing = || Refusal::malformed("the booster has no trees", "模型中没有树").at(place);
    match booster.name.as_str() {
        "gbtree" => Ok((booster.model.ok_or_else(missing)?, Vec::new())),
        "dart" => {
            let forest = booster.gbtree.ok_or_else(missing)?.model;
            if booster.weight_drop.len() != forest.trees.len() {
                return Err(Refusal::malformed("there is not one weight per tree", "权重数与树数不一致")
                    .at("learner.gradient_booster.weight_drop"));
            }
            Ok((forest, booster.weight_drop))
        }
        other => Err(Refusal::unsupported(
            format!("the booster `{}` is not supported; gbtree and dart are", quote(other)),
            format!("不支持提升器 `{}`，仅支持 gbtree 与 dart", quote(other)),
        )
        .at("learner.gradient_booster.name")),
    }
}

/// The base score of each group as a sum begins with it.
///
/// XGBoost writes it in the space of the answer: as a number, since 3.1 as a list.
fn base_scores(text: &str, base: Base, groups: usize) -> Result<Vec<f64>, Refusal> {
    let place = "learner.learner_model_param.base_score";
    let list = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores = list.split(',').map(|s| number::<f32>(s, 0.5, place)).collect::<Result<Vec<f32>, _>>()?;
    let margins: Vec<f64> = scores
        .iter()
        .map(|p| {
            f64::from(match base {
                Base::Plain => *p,
                Base::Logit => -(1.0_f32 / p - 1.0).ln(),
                Base::Log => p.ln(),
            })
        })
        .collect();
    if margins.iter().any(|m| !m.is_finite()) {
        return Err(Refusal::malformed("the base score has no margin", "基准分无法换算").at(place));
    }
    match margins.len() {
        1 => Ok(vec![margins[0]; groups]),
        n if n == groups => Ok(margins),
        _ => Err(Refusal::malformed("there is not one base score per class", "基准分数与类别数不一致").at(place)),
    }
}

fn inputs(graph: &mut Graph, names: &[String], columns: usize) -> Result<(Vec<Input>, Id), Refusal> {
    let columns = columns.max(names.len());
    at_most(columns, limits::COLUMNS, "columns", "列数")?;
    let mut inputs = Vec::with_capacity(columns);
    for i in 0..columns {
        let name = names.get(i).cloned().unwrap_or_else(|| format!("f{i}"));
        inputs.push(Input { name, num: Num::F32, null: Null::Nan, categories: Vec::new(), range: None });
    }
    let row = graph.inputs(columns, Num::F32)?;
    Ok((inputs, row))
}

fn outputs(
    graph: &mut Graph,
    sums: Id,
    link: &Link,
    meaning: &'static str,
    groups: usize,
) -> Result<Vec<Output>, Refusal> {
    let answers = match link {
        Link::Identity => sums,
        Link::Sigmoid => graph.unary(Unary::Sigmoid, sums)?,
        Link::Exp => graph.unary(Unary::Exp, sums)?,
        Link::Positive => graph.unary(Unary::Positive, sums)?,
        Link::Softmax => graph.softmax(sums, true)?,
        Link::ArgMax => graph.arg_max(sums)?,
    };
    Ok(Output::all(graph, answers, meaning, groups))
}

fn tree(raw: &RawTree, weight: f32, columns: usize) -> Result<Tree, Refusal> {
    if !matches!(raw.tree_param.size_leaf_vector.as_str(), "" | "0" | "1") {
        return Err(Refusal::unsupported(
            "trees with a vector in each leaf (multi_output_tree) are not supported",
            "不支持叶节点为向量的树（multi_output_tree）",
        )
        .at("tree_param.size_leaf_vector"));
    }
    let n = raw.left_children.len();
    at_most(n, limits::TREE_NODES, "nodes of one tree", "单棵树的节点数")?;
    let lengths =
        [raw.right_children.len(), raw.split_indices.len(), raw.split_conditions.len(), raw.default_left.len()];
    if n == 0 || lengths.iter().any(|l| *l != n) {
        return Err(Refusal::malformed("the lists of a tree differ in length", "树的各列表长度不一致"));
    }
    let sets = categories(raw)?;
    let mut nodes = Vec::with_capacity(n);
    for i in 0..n {
        let (left, right) = (raw.left_children[i], raw.right_children[i]);
        let value = raw.split_conditions[i];
        if left == -1 {
            nodes.push(Node::Leaf(f64::from(value * weight)));
            continue;
        }
        let child = |c: i64| {
            u32::try_from(c)
                .map_err(|_| Refusal::malformed("a child is negative", "子节点号为负").at(format!("node {i}")))
        };
        let feature =
            usize::try_from(raw.split_indices[i]).ok().filter(|f| columns == 0 || *f < columns).ok_or_else(|| {
                Refusal::malformed("a split names a column that does not exist", "分裂引用了不存在的列")
                    .at(format!("node {i}"))
            })?;
        let (mut left, mut right) = (child(left)?, child(right)?);
        let mut missing_left = raw.default_left[i].0;
        let test = if raw.split_type.get(i) == Some(&1) {
            let set = sets.get(&(i as i64)).cloned().unwrap_or_default();
            // The listed categories go to the right.
            std::mem::swap(&mut left, &mut right);
            missing_left = !missing_left;
            Test::Category { set, truncate: false }
        } else {
            Test::Below(f64::from(value))
        };
        let missing = if missing_left { Missing::Left } else { Missing::Right };
        nodes.push(Node::Split(Split { feature: feature as u32, test, missing, left, right }));
    }
    Tree::new(&nodes, 0)
}

/// The sets of categories by node.
fn categories(raw: &RawTree) -> Result<std::collections::BTreeMap<i64, Vec<u32>>, Refusal> {
    let wrong = || Refusal::malformed("the lists of categories do not fit", "类别列表不一致").at("categories");
    let n = raw.categories_nodes.len();
    if raw.categories_segments.len() != n || raw.categories_sizes.len() != n {
        return Err(wrong());
    }
    let mut sets = std::collections::BTreeMap::new();
    for i in 0..n {
        let from = usize::try_from(raw.categories_segments[i]).map_err(|_| wrong())?;
        let size = usize::try_from(raw.categories_sizes[i]).map_err(|_| wrong())?;
        let own = from.checked_add(size).and_then(|to| raw.categories.get(from..to)).ok_or_else(wrong)?;
        let mut set = own.iter().map(|c| u32::try_from(*c).map_err(|_| wrong())).collect::<Result<Vec<u32>, _>>()?;
        set.sort_unstable();
        set.dedup();
        sets.insert(raw.categories_nodes[i], set);
    }
    Ok(sets)
}
