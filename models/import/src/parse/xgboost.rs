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
    #[serde(default)]
    attributes: std::collections::BTreeMap<String, String>,
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
    /// Absent where the booster has none (gblinear), which its name tells.
    #[serde(default)]
    trees: Vec<RawTree>,
    #[serde(default)]
    tree_info: Vec<i64>,
    /// How many trees there are before each round, and after the last.
    #[serde(default)]
    iteration_indptr: Vec<i64>,
    /// What the codes of categories stand for, where they were learnt from a data frame (since 3.1).
    #[serde(default)]
    cats: Categories,
}

#[derive(Deserialize, Default)]
struct Categories {
    /// One per column; empty for a column of numbers.
    #[serde(default)]
    enc: Vec<Encoded>,
}

/// Texts one behind the other, in bytes, and where each begins; numbers have no beginnings.
#[derive(Deserialize, Default)]
struct Encoded {
    #[serde(default)]
    offsets: Vec<i64>,
    #[serde(default)]
    values: Vec<f64>,
}

impl Encoded {
    /// The texts in the order of their codes; none where that is not what this is.
    fn texts(&self) -> Vec<String> {
        let text = |pair: &[i64]| {
            let (from, to) = (usize::try_from(pair[0]).ok()?, usize::try_from(pair[1]).ok()?);
            let own = self.values.get(from..to)?;
            // Bytes are written with their sign.
            let bytes = own.iter().map(|b| (*b as i64).rem_euclid(256) as u8).collect();
            String::from_utf8(bytes).ok()
        };
        self.offsets.windows(2).take(limits::CATEGORIES).map(text).collect::<Option<Vec<String>>>().unwrap_or_default()
    }
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
        let place = format!("line {}, column {}", e.line(), e.column());
        relative(bytes).unwrap_or_else(|| {
            Refusal::malformed(
                format!("this is not a model as XGBoost's save_model writes it: {}", reason(&e)),
                format!("不是 XGBoost save_model 写出的 JSON 模型：{}", reason_zh(&e)),
            )
            .at(place)
        })
    })?;
    model(document)
}

/// JSON of somebody else's, by a key that nobody else has.
fn relative(bytes: &[u8]) -> Option<Refusal> {
    let head = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    let has = |word: &[u8]| head.windows(word.len()).any(|w| w == word);
    if has(b"\"learner\"") {
        return None;
    }
    if has(b"\"oblivious_trees\"") || has(b"\"features_info\"") {
        return Some(Refusal::unsupported(
            "this is CatBoost's JSON, which is not supported; models without categories can be exported to ONNX (save_model, format=\"onnx\")",
            "这是 CatBoost 的 JSON，暂不支持；不含类别特征的模型可导出为 ONNX（save_model，format=\"onnx\"）",
        ));
    }
    (has(b"\"tree_info\"") || has(b"\"num_tree_per_iteration\"")).then(dump_of_lightgbm)
}

fn dump_of_lightgbm() -> Refusal {
    Refusal::unsupported(
        "this is LightGBM's JSON dump (dump_model); save the model as text by save_model",
        "这是 LightGBM 的 JSON 转储（dump_model）；请用 save_model 保存为文本格式",
    )
}

/// Parses the binary document.
pub(super) fn ubjson(bytes: &[u8]) -> Result<Model, Refusal> {
    model(super::ubjson::read(bytes)?)
}

/// What is wrong in words without a value of the file; the place is told beside it.
fn reason(e: &serde_json::Error) -> String {
    let text = e.to_string();
    match text.split(" at line ").next() {
        Some("expected value") => "a value is expected (NaN and Infinity are none in JSON)".to_owned(),
        other => quote(other.unwrap_or("malformed")),
    }
}

/// The same in Chinese, as far as it is a field that is told; names and kinds stay as they are.
fn reason_zh(e: &serde_json::Error) -> String {
    let text = reason(e);
    if e.is_eof() {
        return "文件不完整（提前结束）".to_owned();
    }
    match text.strip_prefix("missing field ") {
        Some(field) => format!("缺少字段 {field}"),
        None if text.contains("NaN") => "JSON 语法错误，此处应为一个值（NaN、Infinity 不是 JSON 的值）".to_owned(),
        None if e.is_syntax() => format!("JSON 语法错误（{text}）"),
        None => format!("字段类型不符（{text}）"),
    }
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
        // Its base score is a margin already.
        "binary:logitraw" => (Link::Identity, Base::Plain, "margin"),
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
        let tree = tree(raw, weight, columns).map_err(|r| r.within(&format!("tree {i}")))?;
        let group = forest.tree_info.get(i).copied().unwrap_or(0);
        let group = u32::try_from(group).map_err(|_| {
            Refusal::malformed("a tree's class is negative", "树的类别号为负").at(format!("tree_info[{i}]"))
        })?;
        trees.push((group, tree));
    }
    let mut graph = Graph::default();
    let (mut inputs, row) = inputs(&mut graph, &learner.feature_names, columns)?;
    for (input, encoded) in inputs.iter_mut().zip(&forest.cats.enc) {
        input.categories = encoded.texts();
    }
    let zero = vec![0.0; groups];
    let ensemble = Ensemble { trees, outputs: groups as u32, start: starts, end: zero };
    let sums = graph.trees(row, ensemble, Num::F32)?;
    let outputs = outputs(&mut graph, sums, &link, meaning, groups)?;
    let warnings = stopped_early(&learner.attributes, forest.iteration_indptr.len().saturating_sub(1));
    let version: Vec<String> = document.version.iter().take(3).map(u64::to_string).collect();
    Ok(Model {
        format: "XGBoost",
        kind: format!("{} (XGBoost {})", learner.objective.name, version.join(".")),
        inputs,
        graph,
        outputs,
        warnings,
    })
}

/// All rounds count, as for `Booster.predict`; XGBoost's interface for scikit-learn leaves out those after the best one.
fn stopped_early(attributes: &std::collections::BTreeMap<String, String>, rounds: usize) -> Vec<(String, String)> {
    let best = attributes.get("best_iteration").and_then(|s| s.parse::<usize>().ok());
    let Some(used) = best.and_then(|b| b.checked_add(1)).filter(|used| *used < rounds) else {
        return Vec::new();
    };
    vec![(
        format!(
            "training stopped early: all {rounds} rounds are imported, as Booster.predict uses them; XGBClassifier and XGBRegressor use the \
             first {used} only. For those, save booster[:{used}]"
        ),
        format!(
            "训练提前停止：已导入全部 {rounds} 轮（与 Booster.predict 一致）；XGBClassifier、XGBRegressor 只用前 {used} 轮。\
             若需后者，请保存 booster[:{used}]"
        ),
    )]
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
            "trees with a vector in each leaf are not supported; train with multi_strategy=\"one_output_per_tree\"",
            "不支持叶节点为向量的树；请以 multi_strategy=\"one_output_per_tree\" 训练",
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
