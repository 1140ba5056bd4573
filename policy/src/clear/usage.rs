//! What columns are used for.
//!
//! A column counts as used where a value that was computed from it is consumed: in a row condition (`filter`), a group
//! key (`group`), an aggregate's argument (`aggregate`), a join key (`join`). On the way it may have passed through
//! projections, CASE and models, which decide what its catalogue entry must allow:
//!
//! | it stands in … | it needs |
//! |---|---|
//! | the consumed value itself (also inside functions, casts, CASE results) | the consumer's usage |
//! | a CASE condition | the consumer's usage or `filter` |
//! | a model's argument | `feature`, whoever consumes the score |
//! | a CASE condition inside a model's argument | `feature` or `filter` |
//!
//! Direct identifiers and unit columns may only be join keys and the argument of `COUNT(DISTINCT unit)`.

use super::limits::each_child;
use crate::facts::Expression;
use crate::refusal::Refusal;
use crate::words::Usage;
use std::collections::BTreeSet;

/// A column of a dataset, by its position among all that the plan reads.
pub(crate) type SourceId = u32;

/// How a value depends on a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Value,
    Condition,
    Feature,
    FeatureCondition,
}

impl Role {
    /// The role of a column that has role `self` in a value which stands in role `outer` in another.
    fn inside(self, outer: Role) -> Role {
        match (outer, self) {
            (_, Role::Feature | Role::FeatureCondition) => self,
            (Role::Feature, Role::Condition) | (Role::FeatureCondition, _) => Role::FeatureCondition,
            (Role::Feature, Role::Value) => Role::Feature,
            (Role::Condition, _) => Role::Condition,
            (Role::Value, role) => role,
        }
    }
}

/// The columns that a value depends on.
pub(crate) type Origins = BTreeSet<(SourceId, Role)>;

/// A column of a dataset that the plan reads.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) dataset: String,
    pub(crate) column: String,
    pub(crate) usages: BTreeSet<Usage>,
    /// A direct identifier or the unit column.
    pub(crate) identifier: bool,
    /// A sensitive attribute.
    pub(crate) sensitive: bool,
}

/// The columns that `expression` depends on, where `column` tells those of the input's columns. Recursion is bounded by
/// the plan limits.
pub(crate) fn origins<'c>(expression: &Expression, column: &dyn Fn(usize) -> Option<&'c Origins>) -> Origins {
    let mut found = Origins::new();
    collect(expression, Role::Value, column, &mut found);
    found
}

fn collect<'c>(
    expression: &Expression,
    role: Role,
    column: &dyn Fn(usize) -> Option<&'c Origins>,
    found: &mut Origins,
) {
    match expression {
        Expression::Column(at) => {
            let inner = column(*at).into_iter().flatten();
            found.extend(inner.map(|(source, inner)| (*source, inner.inside(role))));
        }
        Expression::Case { branches, otherwise } => {
            let condition = match role {
                Role::Value | Role::Condition => Role::Condition,
                Role::Feature | Role::FeatureCondition => Role::FeatureCondition,
            };
            for (when, then) in branches {
                collect(when, condition, column, found);
                collect(then, role, column, found);
            }
            if let Some(otherwise) = otherwise {
                collect(otherwise, role, column, found);
            }
        }
        Expression::Model { arguments, .. } => {
            arguments.iter().for_each(|x| collect(x, Role::Feature, column, found));
        }
        other => each_child(other, &mut |child| collect(child, role, column, found)),
    }
}

/// What is wrong with consuming a value of these origins as `usage`; `place` names the consumer.
pub(crate) fn check(origins: &Origins, usage: Usage, sources: &[Source], place: &str, reasons: &mut Vec<Refusal>) {
    for (id, role) in origins {
        let Some(source) = sources.get(*id as usize) else { continue };
        let feature = matches!(role, Role::Feature | Role::FeatureCondition);
        if source.identifier && usage != Usage::Join {
            reasons.push(identifier(source, if feature { Usage::Feature } else { usage }, place));
            continue;
        }
        let needed = if feature { Usage::Feature } else { usage };
        let filter_too = matches!(role, Role::Condition | Role::FeatureCondition);
        let allowed = source.usages.contains(&needed) || (filter_too && source.usages.contains(&Usage::Filter));
        if !allowed {
            reasons.push(undeclared(source, needed, place));
        }
    }
}

pub(crate) fn undeclared(source: &Source, usage: Usage, place: &str) -> Refusal {
    let Source { dataset, column, .. } = source;
    Refusal::new(
        "column/usage",
        format!("目录未允许将 {dataset}.{column} 用于{}", usage.zh()),
        format!("the catalogue does not allow {dataset}.{column} to be used for {usage}"),
    )
    .at(place)
    .hint(
        format!("请数据提供单位在 {column} 的 usages 中加入 \"{usage}\"，或不使用该列"),
        format!("ask the holder to add \"{usage}\" to the usages of {column}, or do without it"),
    )
}

fn identifier(source: &Source, usage: Usage, place: &str) -> Refusal {
    let Source { dataset, column, .. } = source;
    let (code, zh, en) = match usage {
        Usage::Group => ("group/identifier", "不能按标识列分组", "groups cannot be made by an identifier"),
        Usage::Feature => ("feature/identifier", "标识列不能输入模型", "an identifier cannot be given to a model"),
        Usage::Aggregate => ("aggregate/identifier", "标识列不能聚合", "an identifier cannot be aggregated"),
        _ => ("filter/identifier", "不能以标识列为条件", "rows cannot be chosen by an identifier"),
    };
    let refusal =
        Refusal::new(code, format!("{zh}：{dataset}.{column}"), format!("{en}: {dataset}.{column}")).at(place);
    match usage {
        Usage::Aggregate => refusal.hint(
            format!("计人数用 COUNT(DISTINCT {column})（仅限主体列），计行数用 COUNT(*)"),
            format!("count units by COUNT(DISTINCT {column}) if it is the unit column, rows by COUNT(*)"),
        ),
        Usage::Group => {
            refusal.hint("按地区、年龄段等属性分组", "group by an attribute such as a region or an age band")
        }
        _ => refusal.hint("标识列只能用于连接", "identifiers may only be join keys"),
    }
}
