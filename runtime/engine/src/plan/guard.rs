//! Private expressions are rewritten so that no row can make them fail: casts give NULL, divisions by zero give NULL,
//! decimals and floats of 32 bits are computed as floats of 64 (decimals could overflow and tell; the analysis of ranges knows one
//! precision).

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, TryCast, when};

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
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(op) => {
            let left = as_safe_number(*left, schema)?;
            let mut right = as_safe_number(*right, schema)?;
            if matches!(op, Operator::Divide | Operator::Modulo) {
                let zero = ScalarValue::new_zero(&right.get_type(schema)?)?;
                right = match &right {
                    Expr::Literal(value, _) if *value != zero => right,
                    _ => when(right.clone().not_eq(Expr::Literal(zero, None)), right).end()?,
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
