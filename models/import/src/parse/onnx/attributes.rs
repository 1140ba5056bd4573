//! Attributes of a node, by name. Those that nobody asked for change what an operator does, and are refused.

use std::cell::RefCell;

use super::proto;
use crate::refusal::{Refusal, quote};

/// Attributes that have no influence on the answer for a row.
const HARMLESS: [&str; 8] = [
    // How often a node was visited in training.
    "nodes_hitrates",
    "nodes_hitrates_as_tensor",
    // Of Dropout, in training.
    "ratio",
    "seed",
    // Of a cast to a type of eight bits, which is refused.
    "saturate",
    "round_mode",
    // Where memory could be shared, before opset 6 and from some exporters still.
    "consumed_inputs",
    // How many columns each input has, which the inputs say themselves.
    "inputdimensions",
];

pub(super) struct Attributes<'n> {
    list: &'n [proto::Attribute],
    asked: RefCell<Vec<&'n str>>,
}

impl<'n> Attributes<'n> {
    pub(super) fn new(list: &'n [proto::Attribute]) -> Self {
        Self { list, asked: RefCell::new(Vec::new()) }
    }

    fn get(&self, name: &str) -> Option<&'n proto::Attribute> {
        let found = self.list.iter().find(|a| a.name == name)?;
        self.asked.borrow_mut().push(&found.name);
        Some(found)
    }

    /// Refuses what nobody asked for, and what stands twice.
    pub(super) fn all_asked(&self) -> Result<(), Refusal> {
        for (i, a) in self.list.iter().enumerate() {
            if self.list[..i].iter().any(|b| b.name == a.name) {
                return Err(Refusal::malformed(
                    format!("the attribute `{}` stands twice", quote(&a.name)),
                    format!("属性 `{}` 重复", quote(&a.name)),
                ));
            }
            if !self.asked.borrow().contains(&a.name.as_str()) && !HARMLESS.contains(&a.name.as_str()) {
                return Err(Refusal::unsupported(
                    format!("the attribute `{}` is not supported here", quote(&a.name)),
                    format!("此处不支持属性 `{}`", quote(&a.name)),
                ));
            }
        }
        Ok(())
    }

    /// Takes note of attributes that have been looked at in other ways, or do not matter here.
    pub(super) fn pass(&self, names: &[&str]) {
        names.iter().for_each(|n| {
            self.get(n);
        });
    }

    /// Along which axis of `[rows, columns]`: only along the columns of a row.
    pub(super) fn along_columns(&self, default: i64) -> Result<(), Refusal> {
        let axis = self.int("axis", default);
        if matches!(axis, 1 | -1) { Ok(()) } else { across_rows(axis) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.get(name).map_or(default, |a| a.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.get(name).map_or(default, |a| a.f)
    }

    pub(super) fn ints(&self, name: &str) -> &'n [i64] {
        self.get(name).map_or(&[], |a| &a.ints)
    }

    /// Numbers of a list, or of a tensor under the same name with `_as_tensor` behind it.
    pub(super) fn floats(&self, name: &str) -> Vec<f64> {
        if let Some(t) = self.tensor(&format!("{name}_as_tensor")).or_else(|| self.tensor(name)) {
            return super::numbers(t);
        }
        self.get(name).map_or_else(Vec::new, |a| a.floats.iter().map(|x| f64::from(*x)).collect())
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'n proto::Tensor> {
        self.get(name).and_then(|a| a.t.as_ref())
    }

    /// Whether numbers stand as a tensor of binary64.
    pub(super) fn is_double(&self, name: &str) -> bool {
        let t = self.tensor(&format!("{name}_as_tensor")).or_else(|| self.tensor(name));
        t.is_some_and(|t| t.data_type == proto::kind::DOUBLE)
    }

    pub(super) fn text(&self, name: &str, default: &str) -> String {
        self.get(name).map_or_else(|| default.to_owned(), |a| String::from_utf8_lossy(&a.s).into_owned())
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.get(name)
            .map_or_else(Vec::new, |a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
    }

    /// Refuses an attribute for a reason, told in English and Chinese behind its name.
    pub(super) fn refuse_for<T>(&self, name: &str, en: &str, zh: &str) -> Result<T, Refusal> {
        Err(Refusal::unsupported(format!("`{name}` is not supported {en}"), format!("不支持 `{name}`：{zh}")))
    }

    /// Refuses an attribute whose value is not one of those that are built.
    pub(super) fn refuse<T>(&self, name: &str, value: &str) -> Result<T, Refusal> {
        Err(Refusal::unsupported(
            format!("`{name}` = {} is not supported", quote(value)),
            format!("不支持 `{name}` = {}", quote(value)),
        ))
    }
}

/// What a row says must not depend on other rows.
pub(super) fn across_rows<T>(axis: i64) -> Result<T, Refusal> {
    Err(Refusal::unsupported(
        format!(
            "`axis` = {axis} is not supported: an operator works along the columns of a row (1 or -1), not across rows"
        ),
        format!("不支持 `axis` = {axis}：算子只能沿一行的各列（1 或 -1）计算，不能跨行"),
    ))
}
