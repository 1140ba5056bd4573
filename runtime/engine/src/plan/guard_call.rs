//! Functions that fail on some values are only given others; the rest gives NULL. A failure would tell of the row. Aggregates of a
//! unit's floats are computed so that no order of rows shows in them.

use super::guard::{as_safe_number, to_float};
use crate::functions::{Exact, Guard, power, within};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, TryCast};

/// Guards one call; its arguments are guarded already.
pub(super) fn guard_call(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut call) => {
            let name = call.name().to_owned();
            match (name.as_str(), call.args.as_mut_slice()) {
                ("sqrt", [x]) => *x = Guard::NotNegative.of(to_float(std::mem::take(x))),
                ("substr", [_, positions @ ..]) => {
                    for (least, position) in [-(1i64 << 31), 0].into_iter().zip(positions) {
                        *position = whole_within(std::mem::take(position), least, 1 << 31);
                    }
                }
                // Whole powers overflow; nothing to a negative power fails.
                ("power", [x, y]) => {
                    let (x, y) = (to_float(std::mem::take(x)), to_float(std::mem::take(y)));
                    return Ok(Transformed::yes(power(x, y)));
                }
                // So do digits that fit no 32 bits.
                ("round" | "trunc", [x, digits]) => {
                    *x = roundable(std::mem::take(x), schema)?;
                    *digits = whole_within(std::mem::take(digits), -400, 400);
                }
                ("round" | "trunc" | "floor" | "ceil" | "signum", [x]) => {
                    *x = as_safe_number(std::mem::take(x), schema)?
                }
                ("abs", [x]) => *x = not_least(as_safe_number(std::mem::take(x), schema)?, schema)?,
                _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        Expr::AggregateFunction(AggregateFunction { func, mut params }) if !params.distinct => {
            let exact = match params.args.as_slice() {
                [x] => Exact::of(func.name(), &x.get_type(schema)?),
                _ => None,
            };
            let Some(exact) = exact else {
                return Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })));
            };
            params.args.iter_mut().for_each(|x| *x = to_float(std::mem::take(x)));
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func: exact.udaf(), params })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// What is divided: the least whole number divided by -1 is none.
pub(super) fn divided(expr: Expr, op: Operator, schema: &DFSchema) -> Result<Expr> {
    if matches!(op, Operator::Divide | Operator::Modulo) { not_least(expr, schema) } else { Ok(expr) }
}

/// A 64-bit whole number other than the least one, which has no opposite.
fn not_least(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(if expr.get_type(schema)? == DataType::Int64 { Guard::HasOpposite.of(expr) } else { expr })
}

/// A number that can be rounded to any of its digits: whole numbers so large that they would overflow are NULL.
fn roundable(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let number = as_safe_number(expr, schema)?;
    Ok(if number.get_type(schema)? == DataType::Int64 { Guard::CanBeRounded.of(number) } else { number })
}

/// A whole number moved into a range.
fn whole_within(expr: Expr, least: i64, most: i64) -> Expr {
    within(Expr::TryCast(TryCast::new(Box::new(expr), DataType::Int64)), least, most)
}
