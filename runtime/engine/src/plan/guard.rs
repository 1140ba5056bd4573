//! Private expressions are rewritten so that no row can make them fail: casts give NULL, divisions by zero give NULL,
//! decimals and floats of 32 bits are computed as floats of 64 (decimals could overflow and tell; the analysis of ranges knows one
//! precision).

use crate::functions::Guard;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, TryCast};

/// Guards every expression of a plan, keeping the names of its columns.
pub(super) fn guard_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    let guarded = plan.transform_up(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let guarded = guard(expr, &schema)?;
            Ok(guarded.update_data(|e| name.restore(e)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(guarded.data)
}

/// Guards one expression over the columns of `schema`.
pub(super) fn guard(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::Cast(cast) => Ok(Transformed::yes(Expr::TryCast(TryCast::new_from_field(cast.expr, cast.field)))),
        Expr::BinaryExpr(binary) if is_arithmetic(binary.op) => {
            if let Some(moved) = super::intervals::guarded(&binary, schema) {
                return Ok(Transformed::yes(moved));
            }
            let BinaryExpr { left, op, right } = binary;
            let left = as_safe_number(*left, schema)?;
            let mut right = as_safe_number(*right, schema)?;
            if matches!(op, Operator::Divide | Operator::Modulo) {
                let zero = ScalarValue::new_zero(&right.get_type(schema)?)?;
                right = match &right {
                    Expr::Literal(value, _) if *value != zero => right,
                    _ => Guard::NotZero.of(right),
                };
            }
            let left = super::guard_call::divided(left, op, schema)?;
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) })))
        }
        other => super::guard_call::guard_call(other, schema),
    })
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

pub(super) fn as_safe_number(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match expr.get_type(schema)? {
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) | DataType::Float32 => to_float(expr),
        // 32-bit arithmetic would wrap where 64-bit arithmetic does not.
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            try_cast(expr, DataType::Int64)
        }
        _ => expr,
    })
}

/// The expression as a 64-bit float, NULL where it is none.
pub(super) fn to_float(expr: Expr) -> Expr {
    try_cast(expr, DataType::Float64)
}

fn try_cast(expr: Expr, to: DataType) -> Expr {
    Expr::TryCast(TryCast::new(Box::new(expr), to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::common::tree_node::TreeNodeRecursion;
    use datafusion::functions::math::expr_fn::{abs, power, round, sqrt, trunc};
    use datafusion::functions::unicode::expr_fn::substr;
    use datafusion::logical_expr::{col, lit};

    fn parts(expr: &Expr) -> usize {
        let mut found = 0;
        let _ = expr.apply(|_| {
            found += 1;
            Ok(TreeNodeRecursion::Continue)
        });
        found
    }

    /// What guards add is in proportion to what they guard: a plan whose operands were said twice would double with every level.
    #[test]
    fn guards_say_their_operands_once() {
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
        let schema = DFSchema::try_from(schema).unwrap();
        let of = |levels: usize, f: fn(Expr) -> Expr| {
            let mut expr = col("x");
            for _ in 0..levels {
                expr = f(expr);
            }
            parts(&guard(expr, &schema).unwrap().data)
        };
        type Outer = fn(Expr) -> Expr;
        let functions: [(&str, Outer); 10] = [
            ("abs", abs),
            ("sqrt", sqrt),
            ("round", |x| round(vec![x, lit(-1i64)])),
            ("trunc", |x| trunc(vec![lit(1.5), x])),
            ("base", |x| power(x, lit(2.0))),
            ("exponent", |x| power(lit(2.0), x)),
            ("divisor", |x| lit(7i64) / x),
            ("dividend", |x| x / col("x")),
            ("modulo", |x| lit(7i64) % x),
            ("position", |x| datafusion::functions::unicode::expr_fn::character_length(substr(lit("abc"), x))),
        ];
        for (name, f) in functions {
            let (ten, forty) = (of(10, f), of(40, f));
            assert!(forty <= ten * 5, "{name}: {ten} parts of 10 levels, {forty} of 40");
        }
    }
}
