//! Scorecards: characteristics with bins, the first that holds gives its points; the points are added up.

use std::collections::BTreeMap;

use crate::ir::{Binary, Graph, Id, Input, Null, Num};
use crate::limits;
use crate::refusal::{Refusal, at_most, quote};

/// When a bin holds. A missing value satisfies [`Rule::Missing`], [`Rule::Always`] and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    Always,
    Never,
    Missing(String),
    Present(String),
    /// `low < x < high`; either end may be part of it.
    Between {
        field: String,
        low: f64,
        low_in: bool,
        high: f64,
        high_in: bool,
    },
    /// One of these texts or numbers.
    Among(String, Vec<String>),
    /// Present and none of these.
    NotAmong(String, Vec<String>),
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

/// A characteristic: bins in their order.
pub(super) struct Characteristic {
    pub(super) name: String,
    pub(super) bins: Vec<(Rule, f64)>,
}

/// The inputs of a scorecard on the way to a graph.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) inputs: Vec<Input>,
    ids: Vec<Id>,
    place: BTreeMap<String, usize>,
    pub(super) graph: Graph,
}

impl Fields {
    /// Adds a field; texts where it has categories.
    pub(super) fn add(&mut self, name: &str, null: Null, categories: Option<Vec<String>>) -> Result<(), Refusal> {
        at_most(self.inputs.len() + 1, limits::WIDTH, "columns", "列数")?;
        let place = self.inputs.len();
        self.ids.push(self.graph.input(place, Num::F64)?);
        self.place.insert(name.to_owned(), place);
        let categories = categories.unwrap_or_default();
        self.inputs.push(Input { name: name.to_owned(), num: Num::F64, null, categories, range: None });
        Ok(())
    }

    fn id(&self, name: &str) -> Result<Id, Refusal> {
        self.place.get(name).map(|p| self.ids[*p]).ok_or_else(|| {
            Refusal::unsupported(
                format!(
                    "the field `{}` is not one of the model's columns; derived fields are not supported",
                    quote(name)
                ),
                format!("字段 `{}` 不是模型的输入列；不支持派生字段", quote(name)),
            )
        })
    }

    fn number(&mut self, x: f64) -> Result<Id, Refusal> {
        self.graph.constant(vec![x], Num::F64)
    }

    /// 1 where a rule holds, else 0.
    fn rule(&mut self, rule: &Rule, depth: usize) -> Result<Id, Refusal> {
        at_most(depth, limits::NESTING, "nested predicates", "谓词嵌套层数")?;
        match rule {
            Rule::Always => self.number(1.0),
            Rule::Never => self.number(0.0),
            Rule::Missing(field) => {
                let x = self.id(field)?;
                self.graph.is_nan(x)
            }
            Rule::Present(field) => {
                let x = self.id(field)?;
                self.graph.binary(Binary::Equal, x, x)
            }
            Rule::Between { field, low, low_in, high, high_in } => {
                let x = self.id(field)?;
                let mut out = None;
                if *low > f64::NEG_INFINITY {
                    let low = self.number(if *low_in { low.next_down() } else { *low })?;
                    out = Some(self.graph.binary(Binary::Less, low, x)?);
                }
                if *high < f64::INFINITY {
                    let high = self.number(if *high_in { high.next_up() } else { *high })?;
                    let below = self.graph.binary(Binary::Less, x, high)?;
                    out = Some(match out {
                        Some(above) => self.graph.binary(Binary::Multiply, above, below)?,
                        None => below,
                    });
                }
                match out {
                    Some(id) => Ok(id),
                    None => self.graph.binary(Binary::Equal, x, x),
                }
            }
            Rule::Among(field, list) => self.among(field, list),
            Rule::NotAmong(field, list) => {
                let (x, one) = (self.id(field)?, self.number(1.0)?);
                let among = self.among(field, list)?;
                let not = self.graph.binary(Binary::Subtract, one, among)?;
                let present = self.graph.binary(Binary::Equal, x, x)?;
                self.graph.binary(Binary::Multiply, not, present)
            }
            Rule::All(rules) => self.join(rules, Binary::Multiply, 1.0, depth),
            Rule::Any(rules) => self.join(rules, Binary::Max, 0.0, depth),
        }
    }

    fn join(&mut self, rules: &[Rule], f: Binary, start: f64, depth: usize) -> Result<Id, Refusal> {
        let mut out = self.number(start)?;
        for rule in rules {
            let next = self.rule(rule, depth + 1)?;
            out = self.graph.binary(f, out, next)?;
        }
        Ok(out)
    }

    fn among(&mut self, field: &str, list: &[String]) -> Result<Id, Refusal> {
        let x = self.id(field)?;
        at_most(list.len(), limits::WIDTH, "categories", "类别数")?;
        let place = self.place.get(field).copied().unwrap_or(0);
        let mut out = self.number(0.0)?;
        for text in list {
            let codes = &self.inputs[place].categories;
            let code = if codes.is_empty() {
                text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
            } else {
                codes.iter().position(|c| c == text).map(|c| c as f64)
            };
            let code = code.ok_or_else(|| {
                Refusal::malformed(
                    format!("`{}` is no value of `{}`", quote(text), quote(field)),
                    format!("`{}` 不是 `{}` 的取值", quote(text), quote(field)),
                )
            })?;
            let code = self.number(code)?;
            let is = self.graph.binary(Binary::Equal, x, code)?;
            out = self.graph.binary(Binary::Max, out, is)?;
        }
        Ok(out)
    }

    /// The sum of all points, beginning with `start`. A value that is in no bin makes the sum NaN.
    pub(super) fn total(&mut self, start: f64, characteristics: &[Characteristic]) -> Result<Id, Refusal> {
        let mut points = vec![self.number(start)?];
        for c in characteristics {
            at_most(c.bins.len(), limits::BINS, "bins", "分箱数")?;
            let mut out = self.number(f64::NAN)?;
            for (rule, score) in c.bins.iter().rev() {
                let holds = self.rule(rule, 0).map_err(|r| r.at(format!("characteristic `{}`", quote(&c.name))))?;
                let score = self.number(*score)?;
                out = self.graph.select(holds, score, out)?;
            }
            points.push(out);
        }
        let all = self.graph.concat(&points)?;
        self.graph.sum(all)
    }
}
