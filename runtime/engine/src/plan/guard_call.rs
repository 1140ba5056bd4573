//! Functions that fail on some values are only given others; the rest gives NULL. A failure would tell of the row.

use super::guard::to_float;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, TryCast, lit, when};

/// Guards one call; its arguments are guarded already.
pub(super) fn guard_call(expr: Expr) -> Result<Transformed<Expr>> {
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
                        *position = within(std::mem::take(position), least)?;
                    }
                }
                _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A position or length in a text, moved into what texts can have.
fn within(expr: Expr, least: i64) -> Result<Expr> {
    const MOST: i64 = 1 << 31;
    let number = Expr::TryCast(TryCast::new(Box::new(expr), DataType::Int64));
    when(number.clone().lt(lit(least)), lit(least)).when(number.clone().gt(lit(MOST)), lit(MOST)).otherwise(number)
}
