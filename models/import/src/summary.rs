//! What a person reads of an imported model.

use crate::codegen::Generated;
use crate::ir::{Model, Null, Op};
use crate::manifest;
use crate::naming::{Named, type_word};

/// What was imported and what came of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The format of the file.
    pub format: &'static str,
    /// What the file says it is.
    pub kind: String,
    /// Trees.
    pub trees: usize,
    /// Their splits.
    pub splits: usize,
    /// The most splits from a root to a leaf.
    pub depth: usize,
    /// Trees that are asked sixteen at once.
    pub trees_in_lanes: usize,
    /// Multiplications by a weight, per row.
    pub products: usize,
    /// The features, in the order of the parameters.
    pub features: Vec<FeatureSummary>,
    /// Columns of the file that no answer depends on.
    pub unused: Vec<String>,
    /// The answers.
    pub outputs: Vec<OutputSummary>,
    /// Bytes of the module.
    pub module_bytes: usize,
    /// Pages of 64 KiB for constants.
    pub memory_pages: u32,
    /// What a reader should know.
    pub warnings: Vec<Warning>,
}

/// A feature of an imported model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct FeatureSummary {
    /// The name in the manifest.
    pub name: String,
    /// The name in the file.
    pub from: String,
    /// The type of the parameter.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What stands for NULL: `nan`, a number, or `null` where the answer is NULL.
    pub missing: String,
    /// What the codes 0, 1, … stand for.
    pub categories: Vec<String>,
}

/// An answer of an imported model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OutputSummary {
    /// The exported function.
    pub export: String,
    /// `probability`, `margin`, `class`, `value` or `points`.
    pub meaning: &'static str,
    /// Of which class or target.
    pub of: Option<String>,
    /// The least answer.
    pub min: f64,
    /// The greatest answer.
    pub max: f64,
    /// The most fuel of one row.
    pub fuel: u64,
}

/// A remark in both languages.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Warning {
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

pub(crate) fn of(model: &Model, named: &Named, generated: &Generated, unused: Vec<String>) -> Summary {
    let mut trees = (0, 0, 0);
    let mut products = 0;
    for value in model.graph.values() {
        match &value.op {
            Op::Trees(_, ensemble) => {
                for (_, tree) in &ensemble.trees {
                    trees = (trees.0 + 1, trees.1 + tree.splits().count(), trees.2.max(tree.depth()));
                }
            }
            Op::Matrix(_, matrix) => products += matrix.weights.len(),
            _ => {}
        }
    }
    let features = model
        .inputs
        .iter()
        .zip(&named.features)
        .map(|(input, name)| FeatureSummary {
            name: name.clone(),
            from: input.name.clone(),
            kind: type_word(input.num),
            missing: match input.null {
                Null::Nan => "nan".to_owned(),
                Null::Value(x) => x.to_string(),
                Null::Refused => "null".to_owned(),
            },
            categories: input.categories.clone(),
        })
        .collect();
    let outputs = model
        .outputs
        .iter()
        .map(|output| {
            let (min, max) = manifest::bounds(model, named, output).unwrap_or((0.0, 0.0));
            let fuel = generated.cost.get(&output.export).copied().unwrap_or(0);
            OutputSummary {
                export: output.export.clone(),
                meaning: output.meaning,
                of: output.of.clone(),
                min,
                max,
                fuel,
            }
        })
        .collect();
    Summary {
        format: model.format,
        kind: model.kind.clone(),
        trees: trees.0,
        splits: trees.1,
        depth: trees.2,
        trees_in_lanes: generated.shapes.get("lanes").copied().unwrap_or(0),
        products,
        features,
        outputs,
        module_bytes: generated.wasm.len(),
        memory_pages: generated.memory_pages,
        warnings: warnings(model, named, &unused),
        unused,
    }
}

fn warnings(model: &Model, named: &Named, unused: &[String]) -> Vec<Warning> {
    let mut out: Vec<Warning> =
        model.warnings.iter().map(|(en, zh)| Warning { en: en.clone(), zh: zh.clone() }).collect();
    let said = named.output.min.is_some() && named.output.max.is_some();
    if !said && model.outputs.iter().any(|o| !manifest::is_bounded(model, o)) {
        out.push(Warning {
            en: "the range of the answer does not follow from the model: min and max in the manifest are placeholders. \
                 Say the ranges of the features or of the output in the file of names; noise is scaled to them."
                .to_owned(),
            zh: "无法由模型推出输出范围：清单中的 min、max 只是占位值。请在名称文件中写明特征或输出的范围，噪声按此范围确定。".to_owned(),
        });
    }
    if !unused.is_empty() {
        out.push(Warning {
            en: format!("{} column(s) of the file have no influence on the answer and are left out", unused.len()),
            zh: format!("文件中有 {} 列不影响输出，已略去", unused.len()),
        });
    }
    if model.inputs.iter().zip(&named.features).any(|(i, n)| !i.name.is_ascii() && n.starts_with("feature")) {
        out.push(Warning {
            en: "some names of the file cannot stand in a manifest; name those features in the file of names"
                .to_owned(),
            zh: "部分原名不能用于清单，请在名称文件中为这些特征命名".to_owned(),
        });
    }
    out
}
