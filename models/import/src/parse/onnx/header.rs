//! What a file says of itself before its operators are read: versions, operators of its own, names.

use std::collections::HashSet;

use super::{place, proto};
use crate::refusal::{Refusal, quote};

/// Versions of the operators of `ai.onnx` that are read as they are meant. Before 7, operands were spread over one another by
/// attributes; after 28 nothing is known (ONNX 1.23).
const STANDARD: std::ops::RangeInclusive<i64> = 7..=28;
/// The same of `ai.onnx.ml`.
const LEARNING: std::ops::RangeInclusive<i64> = 1..=5;

/// Checks versions and names; what a value is called decides what an operator is given.
pub(super) fn check(file: &proto::Model, graph: &proto::Graph) -> Result<(), Refusal> {
    versions(file)?;
    if let Some(function) = file.functions.first() {
        let name = quote(&function.name);
        return Err(Refusal::unsupported(
            format!(
                "the file defines the operator `{name}` itself; functions have to be inlined when the model is exported"
            ),
            format!("文件自定义了算子 `{name}`；导出模型时须将函数内联"),
        )
        .at(format!("function `{name}`")));
    }
    names(graph)
}

fn versions(file: &proto::Model) -> Result<(), Refusal> {
    let domain = |o: &proto::Opset| if o.domain.is_empty() { "ai.onnx".to_owned() } else { o.domain.clone() };
    if file.opset.is_empty() {
        return Err(Refusal::malformed(
            "the file does not say which version of the operators it uses",
            "文件未声明所用算子集的版本",
        )
        .at("opset_import"));
    }
    for opset in &file.opset {
        let known = match domain(opset).as_str() {
            "ai.onnx" => STANDARD,
            "ai.onnx.ml" => LEARNING,
            // Operators of other domains are refused one by one; a domain that none is of does no harm.
            _ => continue,
        };
        if !known.contains(&opset.version) {
            let (name, version, low, high) = (domain(opset), opset.version, known.start(), known.end());
            return Err(Refusal::unsupported(
                format!(
                    "the file uses version {version} of the operators `{name}`; versions {low} to {high} are known"
                ),
                format!("文件使用 `{name}` 算子集第 {version} 版；支持第 {low} 至 {high} 版"),
            )
            .at("opset_import"));
        }
    }
    Ok(())
}

/// Each name stands for one thing. An initializer may be listed among the inputs as well: its value is the input's default.
fn names(graph: &proto::Graph) -> Result<(), Refusal> {
    let twice = |name: &str| {
        Refusal::malformed(
            format!("the name `{}` stands for two values", quote(name)),
            format!("名称 `{}` 对应两个值", quote(name)),
        )
    };
    let mut inputs = HashSet::new();
    for info in &graph.input {
        if !inputs.insert(info.name.as_str()) {
            return Err(twice(&info.name).at(format!("input `{}`", quote(&info.name))));
        }
    }
    let mut tensors = HashSet::new();
    let sparse = graph.sparse.iter().filter_map(|s| s.values.as_ref());
    for tensor in graph.initializer.iter().chain(sparse) {
        if !tensors.insert(tensor.name.as_str()) {
            return Err(twice(&tensor.name).at(format!("tensor `{}`", quote(&tensor.name))));
        }
    }
    for (i, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            if tensors.contains(name.as_str()) || !inputs.insert(name) {
                return Err(twice(name).at(place(i, node)));
            }
        }
    }
    Ok(())
}
