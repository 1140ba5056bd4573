//! Domains of group keys.

use super::KeyDomain;
use super::relation::{Rows, Walk};
use super::value::{Lattice, Value};
use crate::facts::{GroupKey, Kind, Literal};
use crate::refusal::Refusal;
use crate::words::Usage;

/// How many values `value` may take, NULL included; `None` where it is not finite or not sure.
pub(crate) fn size_of(value: &Value) -> Option<u64> {
    let null = u64::from(value.nullable && !value.null);
    if let Some(domain) = &value.domain {
        return Some(domain.len() as u64 + null.max(u64::from(value.null)));
    }
    let range = value.range.as_ref().ok().filter(|_| value.sure && value.whole)?;
    #[allow(clippy::cast_precision_loss, reason = "steps that matter are small")]
    let step = value.lattice.step.max(1) as f64;
    // One more than there may be: where the steps begin does not matter here.
    let size = ((range.hi().floor() - range.lo().ceil()) / step).floor() + if step > 1.0 { 2.0 } else { 1.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared first")]
    (0.0..1e15).contains(&size).then_some(size as u64 + null)
}

/// The domains of a leaf's keys, with the refusals of those that cannot be keys.
pub(crate) fn domains(walk: &mut Walk, rows: &Rows, keys: &[GroupKey], max_cells: u32) -> Vec<KeyDomain> {
    let mut domains = Vec::with_capacity(keys.len());
    let mut cells = 1u64;
    for key in keys {
        walk.check(&rows.origins(&key.expression), Usage::Group, &key.text);
        let value = rows.evaluate(&key.expression);
        let domain = domain(&value, max_cells);
        if domain == KeyDomain::Open && value.kind == Kind::Float {
            walk.reasons.push(unbanded(key));
        }
        if let KeyDomain::Declared(values) = &domain {
            cells = cells.saturating_mul(values.len() as u64);
        }
        domains.push(domain);
    }
    let complete = domains.iter().all(|d| matches!(d, KeyDomain::Declared(_)));
    if complete && cells > u64::from(max_cells) {
        walk.reasons.push(
            Refusal::new(
                "group/too-many-cells",
                format!("分组表有 {cells} 格，超过上限 {max_cells}"),
                format!("the grid of groups has {cells} cells, more than {max_cells}"),
            )
            .at("GROUP BY")
            .hint("减少分组列，或合并为较宽的区间", "group by fewer keys, or by wider bands"),
        );
    }
    domains
}

fn unbanded(key: &GroupKey) -> Refusal {
    Refusal::new("group/float", "不能按连续数值分组", "groups cannot be made by a continuous number")
        .at(&key.text)
        .hint(
            format!("先分段，如 width_bucket({}, 下限, 上限, 段数) 或 CASE", key.text),
            format!("band it first, e.g. width_bucket({}, lo, hi, n) or CASE", key.text),
        )
}

fn domain(value: &Value, max_cells: u32) -> KeyDomain {
    if size_of(value).is_none_or(|size| size > u64::from(max_cells)) {
        return KeyDomain::Open;
    }
    let mut values = match (&value.domain, &value.range) {
        (Some(domain), _) => domain.as_ref().clone(),
        (None, Ok(range)) => numbers(value.kind, value.lattice, range.lo().ceil(), range.hi().floor()),
        (None, Err(_)) => return KeyDomain::Open,
    };
    if value.nullable {
        values.push(Literal::Null);
    }
    KeyDomain::Declared(values)
}

/// The whole numbers of a range that was checked to be small.
#[allow(clippy::cast_possible_truncation, reason = "sure integer ranges lie within i32 or were checked to be exact")]
fn numbers(kind: Kind, lattice: Lattice, lo: f64, hi: f64) -> Vec<Literal> {
    let (lo, hi) = (lo as i64, hi as i64);
    let (first, step) = match lattice.step {
        0 => (lattice.at, i64::MAX),
        step => (lo + (lattice.at - lo).rem_euclid(step), step),
    };
    std::iter::successors(Some(first), |at| at.checked_add(step))
        .take_while(|at| *at <= hi)
        .filter(|at| *at >= lo)
        .map(|i| match kind {
            Kind::Bool => Literal::Bool(i != 0),
            Kind::Date => Literal::Date(i as i32),
            #[allow(clippy::cast_precision_loss, reason = "whole numbers of Float lie within 2^24")]
            Kind::Float => Literal::Float(i as f64),
            Kind::Int | Kind::Text => Literal::Int(i),
        })
        .collect()
}
