//! LightGBM's text format (`v3`, `v4`), as `GBDT::SaveModelToString` and `Tree::ToString` write it.
//!
//! Features and thresholds are compared in binary64, `x <= t` to the left; a sum is made in binary64 in the order
//! of the trees.

use std::collections::BTreeMap;

use crate::ir::{
    Binary, Ensemble, Graph, Id, Input, Missing, Model, Node, Null, Num, Output, Split, Test, Tree, Unary,
};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

/// `key=value` lines of one block.
struct Block<'t> {
    keys: BTreeMap<&'t str, &'t str>,
    place: String,
}

impl<'t> Block<'t> {
    fn get(&self, key: &str) -> Result<&'t str, Refusal> {
        self.keys.get(key).copied().ok_or_else(|| {
            Refusal::malformed(format!("`{key}` is missing"), format!("缺少 `{key}`")).at(self.place.clone())
        })
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, Refusal> {
        let text = self.get(key)?;
        text.trim().parse().map_err(|_| self.wrong(key))
    }

    fn list<T: std::str::FromStr>(&self, key: &str) -> Result<Vec<T>, Refusal> {
        let text = self.get(key)?;
        text.split_ascii_whitespace().map(|w| w.parse().map_err(|_| self.wrong(key))).collect()
    }

    fn wrong(&self, key: &str) -> Refusal {
        Refusal::malformed(format!("`{key}` is not what it should be"), format!("`{key}` 的值无效"))
            .at(self.place.clone())
    }
}

/// The header, and the trees behind it.
fn blocks(text: &str) -> Result<(Block<'_>, Vec<Block<'_>>), Refusal> {
    let mut header = Block { keys: BTreeMap::new(), place: "header".to_owned() };
    let mut trees: Vec<Block<'_>> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end();
        if line == "end of trees" {
            return Ok((header, trees));
        }
        if line.starts_with("Tree=") {
            at_most(trees.len() + 1, limits::TREES, "trees", "树的数量")?;
            trees.push(Block { keys: BTreeMap::new(), place: format!("tree {}", trees.len()) });
            continue;
        }
        let block = trees.last_mut().unwrap_or(&mut header);
        match line.split_once('=') {
            Some((key, value)) => {
                block.keys.insert(key, value);
            }
            // `average_output` and `linear_tree` stand alone.
            None if !line.is_empty() => {
                block.keys.insert(line, "");
            }
            None => {}
        }
        at_most(block.keys.len(), 256, "keys of one block", "单个段落的键数")?;
    }
    Err(Refusal::malformed("the file ends before its trees do", "文件在树结束之前中断")
        .at(format!("line {}", text.lines().count())))
}

/// Parses the text.
pub(super) fn text(bytes: &[u8]) -> Result<Model, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Refusal::malformed("the file is not text", "文件不是文本").at(format!("byte {}", e.valid_up_to()))
    })?;
    let (header, blocks) = blocks(text)?;
    let per_iteration: usize = header.number("num_tree_per_iteration")?;
    at_most(per_iteration, limits::OUTPUTS, "classes", "类别数")?;
    if per_iteration == 0 {
        return Err(header.wrong("num_tree_per_iteration"));
    }
    let columns = header.number::<usize>("max_feature_idx")?.saturating_add(1);
    at_most(columns, limits::COLUMNS, "columns", "列数")?;
    let mut trees = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.iter().enumerate() {
        let tree = tree(block, columns).map_err(|r| {
            let inner = r.place().filter(|p| *p != block.place).map(|p| format!(", {p}")).unwrap_or_default();
            r.moved(format!("{}{inner}", block.place))
        })?;
        trees.push(((i % per_iteration) as u32, tree));
    }
    let mut graph = Graph::default();
    let names: Vec<&str> = header.get("feature_names")?.split(' ').collect();
    let infos: Vec<&str> = header.keys.get("feature_infos").map(|s| s.split(' ').collect()).unwrap_or_default();
    let row = graph.inputs(columns, Num::F64)?;
    let mut inputs: Vec<Input> = (0..columns).map(|i| input(i, names.get(i).copied(), infos.get(i).copied())).collect();
    categories(text, &infos, &mut inputs);
    let zero = vec![0.0; per_iteration];
    let iterations = trees.len().div_ceil(per_iteration);
    let ensemble = Ensemble { trees, outputs: per_iteration as u32, start: zero.clone(), end: zero };
    let mut sums = graph.trees(row, ensemble, Num::F64)?;
    if header.keys.contains_key("average_output") {
        let n = graph.constant(vec![iterations as f64], Num::F64)?;
        sums = graph.binary(Binary::Divide, sums, n)?;
    }
    let objective = header.keys.get("objective").copied().unwrap_or("custom");
    let (answers, meaning) = link(&mut graph, sums, objective)?;
    let outputs = Output::all(&graph, answers, meaning, per_iteration);
    let mut warnings = Vec::new();
    if objective == "custom" {
        warnings.push((
            "the file names no objective: the model answers with the plain sum of its trees".to_owned(),
            "文件未写明目标函数：模型输出为各树之和".to_owned(),
        ));
    }
    Ok(Model {
        format: "LightGBM",
        kind: format!("{} (LightGBM {})", quote(objective), quote(header.keys.get("version").copied().unwrap_or(""))),
        inputs,
        graph,
        outputs,
        warnings,
    })
}

/// A column; `feature_infos` has `[min:max]` of numbers, `a:b:c` of categories, `none` of what is not used.
fn input(i: usize, name: Option<&str>, info: Option<&str>) -> Input {
    let range = info
        .and_then(|s| s.strip_prefix('[')?.strip_suffix(']')?.split_once(':'))
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
        .filter(|(a, b): &(f64, f64)| a.is_finite() && b.is_finite());
    let name = name.filter(|n| !n.is_empty()).map_or_else(|| format!("column_{i}"), str::to_owned);
    Input { name, num: Num::F64, null: Null::Nan, categories: Vec::new(), range }
}

/// What codes stand for, where the model was learnt from a data frame: a line behind the trees has one list per column of categories, whose
/// places are the codes. Which columns those are is known where there are as many of them as lists.
fn categories(text: &str, infos: &[&str], inputs: &mut [Input]) {
    let tail = text.split_once("\nend of trees").map_or("", |(_, tail)| tail);
    let line = tail.lines().find_map(|l| l.strip_prefix("pandas_categorical:")).unwrap_or("null");
    let Ok(Some(lists)) = serde_json::from_str::<Option<Vec<Vec<serde_json::Value>>>>(line) else { return };
    let is_set = |info: &str| !info.starts_with('[') && info != "none" && !info.is_empty();
    let columns: Vec<usize> = infos.iter().enumerate().filter(|(_, i)| is_set(i)).map(|(i, _)| i).collect();
    if columns.len() != lists.len() || lists.iter().any(|l| l.len() > limits::CATEGORIES) {
        return;
    }
    for (column, list) in columns.into_iter().zip(lists) {
        let word = |v: serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        if let Some(input) = inputs.get_mut(column) {
            input.categories = list.into_iter().map(word).collect();
        }
    }
}

/// What the objective makes of a sum.
fn link(graph: &mut Graph, sums: Id, objective: &str) -> Result<(Id, &'static str), Refusal> {
    let mut words = objective.split_ascii_whitespace();
    let name = words.next().unwrap_or("custom");
    let options: BTreeMap<&str, &str> = words.clone().filter_map(|w| w.split_once(':')).collect();
    let flags: Vec<&str> = words.collect();
    let sigmoid = |graph: &mut Graph| -> Result<Id, Refusal> {
        let factor: f64 = options.get("sigmoid").map_or(Ok(1.0), |s| s.parse()).unwrap_or(f64::NAN);
        if !(factor.is_finite() && factor > 0.0) {
            return Err(
                Refusal::malformed("the factor of the sigmoid is not positive", "sigmoid 系数应为正数").at("objective")
            );
        }
        let factor = graph.constant(vec![factor], Num::F64)?;
        let scaled = graph.binary(Binary::Multiply, factor, sums)?;
        graph.unary(Unary::Sigmoid, scaled)
    };
    Ok(match name {
        "regression" | "regression_l2" if flags.contains(&"sqrt") => (graph.unary(Unary::SignedSquare, sums)?, "value"),
        "regression" | "regression_l2" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "custom"
        | "lambdarank" | "rank_xendcg" => (sums, "value"),
        "binary" | "multiclassova" => (sigmoid(graph)?, "probability"),
        "multiclass" => (graph.softmax(sums, true)?, "probability"),
        "cross_entropy" => (graph.unary(Unary::Sigmoid, sums)?, "probability"),
        "poisson" | "gamma" | "tweedie" => (graph.unary(Unary::Exp, sums)?, "value"),
        other => {
            return Err(Refusal::unsupported(
                format!("the objective `{}` is not supported", quote(other)),
                format!("不支持目标函数 `{}`", quote(other)),
            )
            .at("objective"));
        }
    })
}

fn tree(block: &Block<'_>, columns: usize) -> Result<Tree, Refusal> {
    if block.keys.get("is_linear").is_some_and(|v| v.trim() == "1") {
        return Err(Refusal::unsupported(
            "linear trees are not supported; train with linear_tree=false",
            "不支持线性树；请以 linear_tree=false 训练",
        )
        .at("is_linear"));
    }
    let leaves: usize = block.number("num_leaves")?;
    at_most(leaves, limits::TREE_NODES / 2, "leaves of one tree", "单棵树的叶节点数")?;
    let values: Vec<f64> = block.list("leaf_value")?;
    if leaves == 0 || values.len() != leaves {
        return Err(block.wrong("leaf_value"));
    }
    if leaves == 1 {
        return Tree::new(&[Node::Leaf(values[0])], 0);
    }
    let splits = leaves - 1;
    let features: Vec<usize> = block.list("split_feature")?;
    let thresholds: Vec<f64> = block.list("threshold")?;
    let decisions: Vec<u8> = block.list("decision_type")?;
    let (left, right): (Vec<i64>, Vec<i64>) = (block.list("left_child")?, block.list("right_child")?);
    for (key, n) in [
        ("split_feature", features.len()),
        ("threshold", thresholds.len()),
        ("decision_type", decisions.len()),
        ("left_child", left.len()),
        ("right_child", right.len()),
    ] {
        if n != splits {
            return Err(block.wrong(key));
        }
    }
    // Splits first, leaves behind them; a child below zero is the leaf `-child - 1`.
    let child = |c: i64, key: &str| {
        let place = if c < 0 { splits as i64 - c - 1 } else { c };
        u32::try_from(place).map_err(|_| block.wrong(key))
    };
    let mut nodes = Vec::with_capacity(splits + leaves);
    for i in 0..splits {
        if features[i] >= columns {
            return Err(block.wrong("split_feature"));
        }
        let (test, missing) = decision(block, decisions[i], thresholds[i])?;
        nodes.push(Node::Split(Split {
            feature: features[i] as u32,
            test,
            missing,
            left: child(left[i], "left_child")?,
            right: child(right[i], "right_child")?,
        }));
    }
    nodes.extend(values.into_iter().map(Node::Leaf));
    Tree::new(&nodes, 0)
}

/// `decision_type`: bit 0 categorical, bit 1 missing to the left, bits 2 and 3 what is missing (0 nothing, 1 zero, 2 NaN).
fn decision(block: &Block<'_>, decision: u8, threshold: f64) -> Result<(Test, Missing), Refusal> {
    if decision & 1 == 1 {
        // What is missing is in no set.
        return Ok((Test::Category { set: set(block, threshold)?, truncate: true }, Missing::Right));
    }
    if threshold.is_nan() {
        return Err(block.wrong("threshold"));
    }
    let left = decision & 2 != 0;
    let missing = match (decision >> 2 & 3, left) {
        (0, _) => Missing::Zero,
        (1, true) => Missing::ZeroLeft,
        (1, false) => Missing::ZeroRight,
        (2, true) => Missing::Left,
        (2, false) => Missing::Right,
        _ => return Err(block.wrong("decision_type")),
    };
    // `x <= t` is `x < t'` for the next number t'.
    Ok((Test::Below(threshold.next_up()), missing))
}

/// The set of categories number `threshold`: words of 32 bits between two entries of `cat_boundaries`.
fn set(block: &Block<'_>, threshold: f64) -> Result<Vec<u32>, Refusal> {
    let wrong = || block.wrong("cat_boundaries");
    let boundaries: Vec<usize> = block.list("cat_boundaries")?;
    let words: Vec<u32> = block.list("cat_threshold")?;
    if !(threshold >= 0.0 && threshold < boundaries.len() as f64) {
        return Err(wrong());
    }
    let i = threshold as usize;
    let (from, to) = (boundaries[i], boundaries.get(i + 1).copied().ok_or_else(wrong)?);
    let own = words.get(from..to).ok_or_else(wrong)?;
    at_most(own.len(), limits::CATEGORIES / 32, "words of a set of categories", "类别集合长度")?;
    let bits = own
        .iter()
        .enumerate()
        .flat_map(|(w, word)| (0..32).filter(move |b| word >> b & 1 == 1).map(move |b| w as u32 * 32 + b));
    Ok(bits.collect())
}
