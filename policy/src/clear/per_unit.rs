//! Aggregates below a leaf: one value per unit (and perhaps other keys).

use super::relation::{Column, Rows};
use super::usage::{Origins, Role};
use super::value::{Cause, Value, interval, outward};
use crate::facts::{Aggregate, AggregateFunction, Interval, Kind};
use crate::refusal::Refusal;

/// The column that `aggregate` gives over one unit's rows.
pub(crate) fn aggregate(rows: &Rows, aggregate: &Aggregate, unit_alone: bool, reasons: &mut Vec<Refusal>) -> Column {
    use AggregateFunction as F;
    let argument = aggregate.arguments.first().map(|x| rows.evaluate(x));
    let mut origins: Origins = aggregate.arguments.iter().flat_map(|x| rows.origins(x)).collect();
    #[allow(clippy::cast_precision_loss, reason = "rounded outward below")]
    let most = rows.per_unit as f64;
    let value = match (&aggregate.function, argument) {
        (F::Count, x) => {
            let least = if x.is_none_or(|x| !x.nullable) { 1.0 } else { 0.0 };
            Value::new(Kind::Int, interval(least, most)).sure(true)
        }
        (F::CountDistinct, Some(x)) => {
            Value::new(Kind::Int, interval(if x.nullable { 0.0 } else { 1.0 }, most)).sure(true)
        }
        (F::Sum, Some(x)) => {
            let range = x.range.clone().and_then(|r| {
                let all = outward(most * r.lo().min(0.0), most * r.hi().max(0.0), x.whole)?;
                // No rounding makes a sum of nothing negative or of nothing positive.
                let lo = if r.lo() >= 0.0 { 0.0 } else { all.lo() };
                interval(lo, if r.hi() <= 0.0 { 0.0 } else { all.hi() })
            });
            let sure = x.sure && super::value::within(&range, 2_147_483_647.0);
            Value::new(x.kind, range).sure(sure).whole(x.whole).nullable(x.nullable)
        }
        (F::Avg, Some(x)) => {
            // The mean of floats may fall outside by rounding, like a sum of as many terms.
            let range = x.range.clone().and_then(|r| {
                let slack = (r.lo().abs().max(r.hi().abs())) * most * f64::EPSILON;
                interval(r.lo() - slack, r.hi() + slack)
            });
            Value::new(Kind::Float, range).nullable(x.nullable)
        }
        (F::Min | F::Max, Some(x)) => x,
        (F::Quantile { .. }, Some(x)) => Value::new(Kind::Float, x.range.clone()).nullable(x.nullable),
        (F::Variance | F::VariancePop | F::Stddev | F::StddevPop, Some(x)) => spread(&aggregate.function, &x),
        (F::UnitModel { output, .. }, _) => {
            if !unit_alone {
                reasons.push(
                    Refusal::new(
                        "model/unit-keys",
                        "主体模型只能单独按主体列分组",
                        "a unit model can only be grouped by the unit column alone",
                    )
                    .at(&aggregate.text),
                );
            }
            origins = aggregate
                .arguments
                .iter()
                .flat_map(|x| rows.origins(x))
                .map(|(id, role)| match role {
                    Role::Value | Role::Feature => (id, Role::Feature),
                    Role::Condition | Role::FeatureCondition => (id, Role::FeatureCondition),
                })
                .collect();
            Value::new(Kind::Float, Ok(*output)).sure(true)
        }
        (_, None) => Value::text(true),
    };
    Column { value, origins, unit: false, variety: rows.per_unit }
}

/// Popoviciu 1935: the variance of values in `[lo, hi]` is at most ((hi − lo)/2)²; n/(n − 1) ≤ 2 for samples.
fn spread(function: &AggregateFunction, x: &Value) -> Value {
    let sample = matches!(function, AggregateFunction::Variance | AggregateFunction::Stddev);
    let root = matches!(function, AggregateFunction::Stddev | AggregateFunction::StddevPop);
    let range = x.range.clone().and_then(|r: Interval| {
        let half = (r.hi() - r.lo()) / 2.0;
        let variance = half * half * if sample { 2.0 } else { 1.0 };
        if variance.is_finite() {
            outward(0.0, if root { variance.sqrt() } else { variance }, false)
        } else {
            Err(Cause::Overflow)
        }
    });
    Value::new(Kind::Float, range).nullable(x.nullable || sample)
}
