//! Attributes of a node, by name.

use super::proto;
use crate::refusal::{Refusal, quote};

pub(super) struct Attributes<'n>(&'n [proto::Attribute]);

impl<'n> Attributes<'n> {
    pub(super) fn new(list: &'n [proto::Attribute]) -> Self {
        Self(list)
    }

    fn get(&self, name: &str) -> Option<&'n proto::Attribute> {
        self.0.iter().find(|a| a.name == name)
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

    /// Refuses an attribute whose value is not one of those that are built.
    pub(super) fn refuse<T>(&self, name: &str, value: &str) -> Result<T, Refusal> {
        Err(Refusal::unsupported(
            format!("`{name}` = {} is not supported", quote(value)),
            format!("不支持 `{name}` = {}", quote(value)),
        ))
    }
}
