//! Functions that fail on some values are only given others; the rest gives NULL. A failure would tell of the row.

use super::guard::to_float;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, TryCast, lit, when};

/// Guards one call; its arguments are guarded already.
pub(super) fn guard_call(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(mut call) => {
            let name = call.name().to_owned();
            match (name.as_str(), call.args.as_mut_slice()) {
                ("sqrt", [x]) => {
                    let number = to_float(std::mem::take(x));
                    *x = when(number.clone().gt_eq(lit(0.0)), number).end()?;
                }
                ("substr", [_, positions @ ..]) => {
                    for (least, position) in [-(1i64 << 31), 0].into_iter().zip(positions) {
                        *position = within(std::mem::take(position), least, 1 << 31)?;
                    }
                }
                // Whole powers overflow; so do digits that fit no 32 bits.
                ("power", args) => args.iter_mut().for_each(|x| *x = to_float(std::mem::take(x))),
                ("round" | "trunc", [_, digits]) => *digits = within(std::mem::take(digits), -400, 400)?,
                ("abs", [x]) => *x = not_least(std::mem::take(x), schema)?,
                _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
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
    if expr.get_type(schema)? != DataType::Int64 || matches!(expr, Expr::Literal(..)) {
        return Ok(expr);
    }
    when(expr.clone().gt(lit(i64::MIN)), expr).end()
}

/// A whole number moved into a range.
fn within(expr: Expr, least: i64, most: i64) -> Result<Expr> {
    let number = Expr::TryCast(TryCast::new(Box::new(expr), DataType::Int64));
    when(number.clone().lt(lit(least)), lit(least)).when(number.clone().gt(lit(most)), lit(most)).otherwise(number)
}
