//! What the features are called: names in the file, names in the manifest, and what a person adds to both.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::ir::{Input, Model, Null, Num, Op};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

/// Characters of a model's id: what follows for the outputs of several fits into the 64 of a manifest.
const ID_CHARS: usize = 48;

/// What a person says of a model beside its file; everything is optional.
///
/// ```
/// let naming = yunei_import::Naming::parse(r#"
///     [model]
///     id = "credit-risk"
///     version = "1.2.0"
///     [[feature]]
///     from = "f0"          # as the file calls it
///     name = "age"         # as products will
///     missing = 0.0        # what stands for NULL
///     min = 0
///     max = 120
///     [output]
///     step = 0.0001
/// "#).unwrap();
/// # let _ = naming;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Naming {
    #[serde(default)]
    model: NamedModel,
    #[serde(default)]
    feature: Vec<NamedFeature>,
    #[serde(default)]
    output: NamedOutput,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedModel {
    id: Option<String>,
    version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedFeature {
    from: String,
    name: Option<String>,
    missing: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedOutput {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) step: Option<f64>,
    pub(crate) default: Option<f64>,
}

/// Names that a manifest takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) version: String,
    /// One per input, in their order.
    pub(crate) features: Vec<String>,
    pub(crate) output: NamedOutput,
}

impl Naming {
    /// Parses a file of names.
    ///
    /// # Errors
    /// Unknown keys, wrong types, a file that is too large.
    pub fn parse(text: &str) -> Result<Self, Vec<Refusal>> {
        at_most(text.len(), limits::NAMES_BYTES, "bytes of the names", "名称文件字节数").map_err(|r| vec![r])?;
        toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            vec![
                Refusal::new("import/names", format!("the file of names: {}", quote(e.message())), "名称文件无效")
                    .at(format!("line {line}")),
            ]
        })
    }

    /// An id for the model where the file of names has none.
    #[must_use]
    pub fn or_id(mut self, id: &str) -> Self {
        self.model.id.get_or_insert_with(|| plain(id, '-').chars().take(ID_CHARS).collect());
        self
    }

    /// Applies what was said to the inputs, and finds a name for each.
    pub(crate) fn apply(&self, model: &mut Model) -> Result<Named, Vec<Refusal>> {
        let mut wrong = Vec::new();
        if model.inputs.is_empty() {
            return Err(vec![Refusal::malformed(
                "the answer depends on no column: there is no model in the file",
                "输出不依赖任何列：文件中没有可用的模型",
            )]);
        }
        at_most(model.inputs.len(), limits::FEATURES, "features that the model uses", "模型所用特征数")
            .map_err(|r| vec![r])?;
        if let Some(id) = &self.model.id
            && !is_id(id)
        {
            wrong.push(
                Refusal::new(
                    "import/names",
                    format!("a model's id is [a-z0-9-], 1 to {ID_CHARS} characters"),
                    format!("模型标识应为 1 至 {ID_CHARS} 个小写字母、数字或连字符"),
                )
                .at("model.id"),
            );
        }
        let mut names: Vec<Option<String>> = vec![None; model.inputs.len()];
        for said in &self.feature {
            let Some(i) = model.inputs.iter().position(|input| input.name == said.from) else {
                // A feature of the file that no answer depends on has been left out: nothing to say of it.
                continue;
            };
            if let Some(refusal) = said.apply(&mut model.inputs[i]) {
                wrong.push(refusal);
            }
            names[i].clone_from(&said.name);
        }
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for name in names.iter().flatten() {
            if !is_feature(name) {
                wrong.push(name_refusal(
                    "a feature's name is [a-z0-9_], 1 to 64 characters, not a digit first",
                    "特征名应为 1 至 64 个小写字母、数字或下划线，且不以数字开头",
                    name,
                ));
            } else if !taken.insert(name.clone()) {
                wrong.push(name_refusal("two features have one name", "两个特征同名", name));
            }
        }
        let features = names
            .into_iter()
            .zip(&model.inputs)
            .map(|(name, input)| name.unwrap_or_else(|| free(&plain_feature(&input.name), &mut taken)))
            .collect();
        if wrong.is_empty() {
            Ok(Named {
                id: self.model.id.clone().unwrap_or_else(|| "model".to_owned()),
                version: self.model.version.clone().unwrap_or_else(|| "1.0.0".to_owned()),
                features,
                output: self.output,
            })
        } else {
            Err(wrong)
        }
    }
}

impl NamedFeature {
    fn apply(&self, input: &mut Input) -> Option<Refusal> {
        let (least, most) = input.range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        let (least, most) = (self.min.unwrap_or(least), self.max.unwrap_or(most));
        if least.is_nan() || most.is_nan() || least > most {
            return Some(name_refusal("min is not below max", "min 应不大于 max", &self.from));
        }
        if self.min.is_some() || self.max.is_some() {
            input.range = Some((least, most));
        }
        match self.missing {
            Some(x) if x.is_nan() => input.null = Null::Nan,
            Some(x) if x.abs() <= 1e15 => input.null = Null::Value(x),
            Some(_) => {
                return Some(name_refusal(
                    "missing is at most 1e15 in magnitude",
                    "missing 的绝对值不得超过 1e15",
                    &self.from,
                ));
            }
            None => {}
        }
        if !self.categories.is_empty() {
            input.categories.clone_from(&self.categories);
        }
        None
    }
}

fn name_refusal(en: &str, zh: &str, what: &str) -> Refusal {
    Refusal::new("import/names", en, zh).at(format!("feature `{}`", quote(what)))
}

fn is_id(id: &str) -> bool {
    (1..=ID_CHARS).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_feature(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

/// Lower case, and `other` for what a manifest's names do not take.
fn plain(text: &str, other: char) -> String {
    let mut out: String =
        text.chars().take(64).map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { other }).collect();
    out = out.trim_matches(other).to_owned();
    if out.is_empty() { "model".to_owned() } else { out }
}

fn plain_feature(text: &str) -> String {
    let has_letter = text.chars().any(|c| c.is_ascii_alphanumeric());
    let name = if has_letter { plain(text, '_') } else { "feature".to_owned() };
    let name = if name.as_bytes()[0].is_ascii_digit() { format!("f_{name}") } else { name };
    name.chars().take(56).collect()
}

/// The name, or the name with the first number that makes it new.
fn free(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut n = 2_usize;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}_{n}");
        n += 1;
    }
    candidate
}

/// Leaves out the inputs that no answer depends on; returns their names.
pub(crate) fn drop_unused(model: &mut Model) -> Vec<String> {
    let used = crate::codegen::used_inputs(model);
    let (mut kept, mut unused, mut place) = (Vec::new(), Vec::new(), vec![0; model.inputs.len()]);
    for (i, input) in std::mem::take(&mut model.inputs).into_iter().enumerate() {
        // A model whose answer is a constant keeps one input: the sandbox takes no model without.
        if used.get(i).copied().unwrap_or(false) || (i == 0 && !used.contains(&true)) {
            place[i] = kept.len() as u32;
            kept.push(input);
        } else {
            unused.push(input.name);
        }
    }
    if !used.contains(&true) {
        model.warnings.push((
            "no column has an influence on the answer: it is the same for every row".to_owned(),
            "没有任何列影响输出：每一行的结果相同".to_owned(),
        ));
    }
    model.inputs = kept;
    model.graph.renumber_inputs(&place);
    unused
}

/// The word of a manifest for an arithmetic.
pub(crate) fn type_word(num: Num) -> &'static str {
    match num {
        Num::F32 => "f32",
        Num::F64 => "f64",
    }
}

/// Whether an operation is an input.
pub(crate) fn input_of(op: &Op) -> Option<usize> {
    match op {
        Op::Input(i) => Some(*i as usize),
        _ => None,
    }
}
