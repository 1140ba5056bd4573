//! The operators of `ai.onnx.ml`.

use super::attributes::Attributes;
use super::proto;
use super::{Val, Walk, broken};
use crate::ir::{Binary, Id, Matrix, Num, Unary};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

/// Applies `post_transform`.
pub(super) fn transform(walk: &mut Walk, x: Id, a: &Attributes<'_>) -> Result<Id, Refusal> {
    match a.text("post_transform", "NONE").as_str() {
        "NONE" => Ok(x),
        "LOGISTIC" => walk.graph.unary(Unary::Logistic, x),
        "SOFTMAX" => walk.graph.softmax(x, false),
        other => a.refuse("post_transform", other),
    }
}

impl Walk {
    pub(super) fn ml_operator(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let val = match node.op_type.as_str() {
            "TreeEnsembleRegressor" => return self.tree_regressor(node, a),
            "TreeEnsembleClassifier" => return self.tree_classifier(node, a),
            "TreeEnsemble" => return self.tree_ensemble(node, a),
            "LinearClassifier" => return self.linear_classifier(node, a),
            "SVMClassifier" => return self.svm_classifier(node, a),
            "LinearRegressor" => Val::Row(self.linear_regressor(node, a)?),
            "SVMRegressor" => Val::Row(self.svm_regressor(node, a)?),
            "Scaler" => Val::Row(self.scaler(node, a)?),
            "Normalizer" => Val::Row(self.normalizer(node, a)?),
            "Imputer" => Val::Row(self.imputer(node, a)?),
            "OneHotEncoder" => self.one_hot(node, a)?,
            "LabelEncoder" => self.label_encoder(node, a)?,
            "FeatureVectorizer" => {
                let parts = (0..node.input.len()).map(|i| self.float_row(node, i)).collect::<Result<Vec<Id>, _>>()?;
                Val::Row(self.graph.concat(&parts)?)
            }
            "ArrayFeatureExtractor" => match (self.val(node, 0)?, self.val(node, 1)?) {
                (Val::Row(_), Val::Constant(picks)) => Val::Row(self.pick(node, &picks)?),
                // A label out of the list of classes.
                (_, Val::Label(id) | Val::Place { id, .. }) => Val::Label(id),
                _ => return Err(Refusal::unsupported("this use is not supported", "不支持该用法")),
            },
            "ZipMap" => {
                let names = a.texts("classlabels_strings");
                let ints: Vec<String> = a.ints("classlabels_int64s").iter().map(i64::to_string).collect();
                self.labels = if names.is_empty() { ints } else { names };
                self.val(node, 0)?
            }
            "Binarizer" => {
                let x = self.float_row(node, 0)?;
                let threshold = self.graph.constant(vec![f64::from(a.float("threshold", 0.0))], Num::F32)?;
                Val::Row(self.graph.binary(Binary::Less, threshold, x)?)
            }
            other => {
                return Err(Refusal::unsupported(
                    format!("the operator `{}` is not supported", quote(other)),
                    format!("不支持算子 `{}`", quote(other)),
                ));
            }
        };
        Ok(vec![val])
    }

    /// An input as binary32: what these operators compute in.
    fn float_row(&mut self, node: &proto::Node, i: usize) -> Result<Id, Refusal> {
        let x = self.row(node, i)?;
        self.graph.cast(x, Num::F32)
    }

    /// The labels of the classes; how many.
    pub(super) fn class_labels(&mut self, a: &Attributes<'_>) -> Result<u32, Refusal> {
        let mut names: Vec<String> = ["classlabels_strings", "classlabels_ints", "classlabels_int64s"]
            .iter()
            .flat_map(|k| a.texts(k).into_iter().chain(a.ints(k).iter().map(i64::to_string)))
            .collect();
        at_most(names.len(), limits::OUTPUTS, "classes", "类别数")?;
        if names.is_empty() {
            return Err(broken("there are no labels of classes", "缺少类别标签"));
        }
        let n = names.len() as u32;
        self.labels = std::mem::take(&mut names);
        Ok(n)
    }

    /// Rows of coefficients, one per output, as weights.
    fn linear(&mut self, x: Id, coefficients: &[f64], mut bias: Vec<f64>, outputs: usize) -> Result<Id, Refusal> {
        let width = self.graph.len(x);
        if outputs == 0 || coefficients.len() != width.saturating_mul(outputs) {
            return Err(broken("there are not as many coefficients as features", "系数数与特征数不符"));
        }
        if bias.is_empty() {
            bias = vec![0.0; outputs];
        }
        let weights = (0..width).flat_map(|f| (0..outputs).map(move |o| coefficients[o * width + f])).collect();
        self.graph.matrix(x, Matrix { weights, bias, columns: outputs as u32 })
    }

    fn linear_regressor(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let x = self.float_row(node, 0)?;
        let targets = usize::try_from(a.int("targets", 1)).unwrap_or(0);
        at_most(targets, limits::OUTPUTS, "outputs", "输出数")?;
        super::ensemble::single_target(targets as u32, &a.text("post_transform", "NONE"))?;
        let sums = self.linear(x, &a.floats("coefficients"), a.floats("intercepts"), targets)?;
        transform(self, sums, a)
    }

    fn linear_classifier(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let x = self.float_row(node, 0)?;
        let classes = self.class_labels(a)? as usize;
        // Whether one class was learnt against each other: post_transform says what that comes to.
        a.pass(&["multi_class"]);
        let coefficients = a.floats("coefficients");
        let scores = coefficients.len() / self.graph.len(x).max(1);
        at_most(scores, limits::OUTPUTS, "classes", "类别数")?;
        let sums = self.linear(x, &coefficients, a.floats("intercepts"), scores)?;
        let out = if scores == 1 && classes == 2 {
            let post = a.text("post_transform", "NONE");
            if !matches!(post.as_str(), "NONE" | "LOGISTIC") {
                return a.refuse_for(
                    "post_transform",
                    &format!("as {} of one score for two classes", quote(&post)),
                    &format!("两个类别只有一个得分时不支持 {}", quote(&post)),
                );
            }
            let p = transform(self, sums, a)?;
            self.with_rest(p)?
        } else {
            transform(self, sums, a)?
        };
        self.probabilities.push(out);
        let label = self.graph.arg_max(out)?;
        Ok(vec![Val::Label(label), Val::Row(out)])
    }

    /// `[1 - p, p]`.
    fn with_rest(&mut self, p: Id) -> Result<Id, Refusal> {
        let one = self.graph.constant(vec![1.0], self.graph.num(p))?;
        let rest = self.graph.binary(Binary::Subtract, one, p)?;
        self.graph.concat(&[rest, p])
    }

    /// The weights that a linear kernel comes down to: `Σ coefficient · support vector`.
    fn kernel(&mut self, x: Id, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let kernel = a.text("kernel_type", "LINEAR");
        if kernel != "LINEAR" {
            return a.refuse("kernel_type", &kernel);
        }
        // Parameters of other kernels, and counts that the lists of vectors have themselves.
        a.pass(&["kernel_params", "n_supports", "vectors_per_class"]);
        let width = self.graph.len(x);
        let (coefficients, vectors) = (a.floats("coefficients"), a.floats("support_vectors"));
        let rho = a.floats("rho").first().copied().unwrap_or(0.0);
        let weights = if vectors.is_empty() {
            coefficients
        } else {
            if vectors.len() != coefficients.len().saturating_mul(width) {
                return Err(broken("the support vectors do not fit", "支持向量的形状不匹配"));
            }
            (0..width).map(|f| coefficients.iter().enumerate().map(|(i, c)| c * vectors[i * width + f]).sum()).collect()
        };
        self.linear(x, &weights, vec![rho], 1)
    }

    fn svm_regressor(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let x = self.float_row(node, 0)?;
        if a.int("one_class", 0) != 0 {
            return a.refuse("one_class", "1");
        }
        super::ensemble::single_target(1, &a.text("post_transform", "NONE"))?;
        self.kernel(x, a)
    }

    fn svm_classifier(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Vec<Val>, Refusal> {
        let x = self.float_row(node, 0)?;
        let classes = self.class_labels(a)?;
        if classes != 2 {
            return a.refuse_for(
                "classlabels",
                &format!("with {classes} classes; two are"),
                &format!("有 {classes} 个类别，仅支持两个"),
            );
        }
        let post = a.text("post_transform", "NONE");
        if post != "NONE" {
            return a.refuse("post_transform", &post);
        }
        let (slope, offset) = (a.floats("prob_a"), a.floats("prob_b"));
        let score = self.kernel(x, a)?;
        let (Some(slope), Some(offset)) = (slope.first(), offset.first()) else {
            return a.refuse_for(
                "prob_a",
                "when absent: the model has no probabilities (probability=True)",
                "缺失：模型没有概率（probability=True）",
            );
        };
        self.warnings.push((
            "the probability is Platt's sigmoid of the score, exactly; ONNX Runtime approximates it by an iteration \
             that stops at 0.0025, so that the two differ by about as much"
                .to_owned(),
            "概率按 Platt 公式精确计算；ONNX Runtime 用迭代近似（精度 0.0025），两者会有相应差异".to_owned(),
        ));
        // Platt's scaling: the first class has the probability 1 / (1 + e^(a · score + b)).
        let (slope, offset) =
            (self.graph.constant(vec![*slope], Num::F32)?, self.graph.constant(vec![*offset], Num::F32)?);
        let scaled = self.graph.binary(Binary::Multiply, slope, score)?;
        let scaled = self.graph.binary(Binary::Add, scaled, offset)?;
        let p = self.graph.unary(Unary::Logistic, scaled)?;
        let out = self.with_rest(p)?;
        self.probabilities.push(out);
        let label = self.graph.arg_max(out)?;
        Ok(vec![Val::Label(label), Val::Row(out)])
    }

    fn scaler(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let x = self.float_row(node, 0)?;
        let offset = self.graph.constant(a.floats("offset"), Num::F32)?;
        let scale = self.graph.constant(a.floats("scale"), Num::F32)?;
        let moved = self.graph.binary(Binary::Subtract, x, offset)?;
        self.graph.binary(Binary::Multiply, moved, scale)
    }

    fn normalizer(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let x = self.float_row(node, 0)?;
        let probability = self.probabilities.contains(&x);
        let norm = match a.text("norm", "MAX").as_str() {
            "L1" => {
                let size = self.graph.unary(Unary::Absolute, x)?;
                self.graph.sum(size)?
            }
            "L2" => {
                let square = self.graph.binary(Binary::Multiply, x, x)?;
                let sum = self.graph.sum(square)?;
                self.graph.unary(Unary::Root, sum)?
            }
            "MAX" => {
                // A NaN is greater than nothing.
                let mut most = self.graph.constant(vec![f64::from(f32::MIN)], Num::F32)?;
                for i in 0..self.graph.len(x) {
                    let next = self.graph.gather(vec![(x, i as u32)])?;
                    let greater = self.graph.binary(Binary::Less, most, next)?;
                    most = self.graph.select(greater, next, most)?;
                }
                most
            }
            other => return a.refuse("norm", other),
        };
        // A row of zeros stays one.
        let (zero, one) = (self.graph.constant(vec![0.0], Num::F32)?, self.graph.constant(vec![1.0], Num::F32)?);
        let empty = self.graph.binary(Binary::Equal, norm, zero)?;
        let norm = self.graph.select(empty, one, norm)?;
        let out = self.graph.binary(Binary::Divide, x, norm)?;
        if probability {
            self.probabilities.push(out);
        }
        Ok(out)
    }

    fn imputer(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Id, Refusal> {
        let x = self.row(node, 0)?;
        let num = self.graph.num(x);
        let (mut values, replaced) = if a.ints("imputed_value_int64s").is_empty() {
            (a.floats("imputed_value_floats"), f64::from(a.float("replaced_value_float", 0.0)))
        } else {
            let ints = a.ints("imputed_value_int64s").iter().map(|i| *i as f64).collect();
            (ints, a.int("replaced_value_int64", 0) as f64)
        };
        let n = self.graph.len(x);
        if values.len() == 1 {
            values = vec![values[0]; n];
        }
        let with = self.graph.constant(values, num)?;
        let missing = if replaced.is_nan() {
            self.takes_nan = true;
            self.graph.is_nan(x)?
        } else {
            let replaced = self.graph.constant(vec![replaced], num)?;
            self.graph.binary(Binary::Equal, x, replaced)?
        };
        self.graph.select(missing, with, x)
    }

    fn one_hot(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let (numbers, texts) = (a.ints("cats_int64s"), a.texts("cats_strings"));
        let (columns, codes): (Vec<(Id, u32)>, Vec<Vec<f64>>) = match self.val(node, 0)? {
            Val::Texts(inputs) => {
                let codes: Vec<Vec<f64>> = inputs.iter().map(|i| self.codes(*i, &texts)).collect::<Result<_, _>>()?;
                let ids = inputs.iter().map(|i| (self.input_id(*i), 0)).collect();
                (ids, codes)
            }
            _ => {
                let mut x = self.row(node, 0)?;
                // Categories are whole numbers; of others the whole part is looked up.
                if !self.is_integer(x) {
                    x = self.truncated(x)?;
                }
                let n = self.graph.len(x);
                let codes = vec![numbers.iter().map(|i| *i as f64).collect(); n];
                ((0..n as u32).map(|i| (x, i)).collect(), codes)
            }
        };
        if a.int("zeros", 1) == 0 {
            self.warnings.push((
                "a category that the model does not know is encoded as none; the original runtime refuses such a row"
                    .to_owned(),
                "模型未见过的类别按全零编码；原运行时会拒绝这样的行".to_owned(),
            ));
        }
        let (mut parts, width) = (Vec::new(), columns.len());
        for (column, codes) in columns.into_iter().zip(codes) {
            let num = self.graph.num(column.0);
            let x = self.graph.gather(vec![column])?;
            let categories = self.graph.constant(codes, num)?;
            let hot = self.graph.binary(Binary::Equal, x, categories)?;
            parts.push(self.graph.cast(hot, Num::F32)?);
        }
        Ok(Val::Cube(self.graph.concat(&parts)?, width))
    }

    /// The codes of texts at an input: their places in its list of categories, which grows as needed.
    fn codes(&mut self, input: usize, texts: &[String]) -> Result<Vec<f64>, Refusal> {
        at_most(texts.len(), limits::WIDTH, "categories", "类别数")?;
        let list = &mut self.inputs[input].categories;
        Ok(texts
            .iter()
            .map(|t| {
                let place = list.iter().position(|c| c == t).unwrap_or_else(|| {
                    list.push(t.clone());
                    list.len() - 1
                });
                place as f64
            })
            .collect())
    }

    fn input_id(&self, input: usize) -> Id {
        let is = |i: &usize| matches!(self.graph.values()[*i].op, crate::ir::Op::Input(k) if k as usize == input);
        self.graph.id((0..self.graph.values().len()).find(is).unwrap_or(0))
    }

    /// A list from keys to numbers. Texts become numbers; a list from numbers to texts names labels.
    fn label_encoder(&mut self, node: &proto::Node, a: &Attributes<'_>) -> Result<Val, Refusal> {
        let keys: Vec<f64> = a.ints("keys_int64s").iter().map(|k| *k as f64).chain(a.floats("keys_floats")).collect();
        let values: Vec<f64> =
            a.ints("values_int64s").iter().map(|k| *k as f64).chain(a.floats("values_floats")).collect();
        let default = if a.ints("values_int64s").is_empty() {
            f64::from(a.float("default_float", 0.0))
        } else {
            a.int("default_int64", -1) as f64
        };
        a.pass(&["default_string", "default_float", "default_int64"]);
        let x = match self.val(node, 0)? {
            Val::Place { id, .. } if !values.is_empty() => id,
            Val::Label(id) | Val::Place { id, .. } => {
                // It names the classes; which one it is stays the same.
                a.pass(&["keys_strings", "values_strings", "classes_strings"]);
                return Ok(Val::Label(id));
            }
            Val::Texts(inputs) if inputs.len() == 1 => {
                let keys = self.codes(inputs[0], &a.texts("keys_strings"))?;
                let id = self.input_id(inputs[0]);
                return self.lookup(id, &keys, &values, default);
            }
            _ => self.row(node, 0)?,
        };
        self.lookup(x, &keys, &values, default)
    }

    fn lookup(&mut self, x: Id, keys: &[f64], values: &[f64], default: f64) -> Result<Val, Refusal> {
        if keys.is_empty() || keys.len() != values.len() || self.graph.len(x) != 1 {
            return Err(Refusal::unsupported(
                "a list is supported from texts or numbers to numbers, of one column",
                "仅支持对单列、由文本或数值到数值的映射表",
            ));
        }
        let num = self.graph.num(x);
        let mut out = self.graph.constant(vec![default], num)?;
        // Of a key that stands twice, the first value counts.
        for (key, value) in keys.iter().zip(values).rev() {
            let (key, value) = (self.graph.constant(vec![*key], num)?, self.graph.constant(vec![*value], num)?);
            let is = self.graph.binary(Binary::Equal, x, key)?;
            out = self.graph.select(is, value, out)?;
        }
        Ok(Val::Row(out))
    }
}
