//! Intervals of numbers that are computed from released ones.
//!
//! | computed | its 95 % interval |
//! |---|---|
//! | `x + y`, `x - y`, independent | by the half-widths of both, squared and added on each side (MOVER: Zou & Donner 2008) |
//! | `x / y`, independent | Fieller (1954) with the wider half of each; none where `y` may be 0 |
//! | the same of numbers that share noise | from the ends themselves: wider, true whatever the noise has in common |
//! | `x + c`, `x * c`, `x / c`, `-x`, casts, `round(x)`, `nullif(x, 0)` | the ends, moved alike |
//! | `SUM(x)` over released rows | as a sum of independent numbers |
//!
//! A number that is computed from very many has none (see `MOST_PARTS`): a common table expression that names a part of it does.
//!
//! Numbers are independent where no measure of the gate went into both: each cell of each measure has noise of its own.

use crate::functions::{Combine, Operation};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TryCast, lit};
use std::collections::BTreeSet;

/// Where the interval of a column stands.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) low: Column,
    pub(super) high: Column,
    pub(super) of: Made,
}

/// What a number was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// The measures of the leaves, by position.
    pub(super) measures: BTreeSet<(usize, usize)>,
    /// Whether it is a mark of disclosure control instead, which only passes on.
    pub(super) mark: bool,
    /// Whether each row has its number once: no join may have doubled it.
    pub(super) once: bool,
}

/// The interval of an expression.
pub(super) struct Derived {
    pub(super) low: Expr,
    pub(super) high: Expr,
    pub(super) of: Made,
}

/// At most how many parts the two ends of an interval may be made of. Each operation over two numbers says both ends of both twice,
/// so that they double with every level that operations nest.
const MOST_PARTS: usize = 4_000;

fn parts(expr: &Expr) -> usize {
    let mut found = 0;
    let _ = expr.apply(|_| {
        found += 1;
        Ok(if found > MOST_PARTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// The interval of `expr` over columns whose intervals are `below`, where one follows.
pub(super) fn derive(expr: &Expr, schema: &DFSchema, below: &[Option<Span>]) -> Option<Derived> {
    match expr {
        Expr::Alias(alias) => derive(&alias.expr, schema, below),
        Expr::Column(column) => {
            let span = below.get(schema.index_of_column(column).ok()?)?.clone()?;
            Some(Derived { low: Expr::Column(span.low), high: Expr::Column(span.high), of: span.of })
        }
        Expr::Cast(cast) => number(&cast.expr, cast.field.data_type(), schema, below),
        Expr::TryCast(cast) => number(&cast.expr, cast.field.data_type(), schema, below),
        Expr::Negative(inner) => {
            let Derived { low, high, of } = derive(inner, schema, below).filter(|d| !d.of.mark)?;
            Some(Derived { low: Expr::Negative(Box::new(high)), high: Expr::Negative(Box::new(low)), of })
        }
        Expr::ScalarFunction(call) if call.name() == "round" || call.name() == "nullif" => {
            derive(call.args.first()?, schema, below).filter(|d| !d.of.mark)
        }
        Expr::BinaryExpr(binary) => of_two(binary, schema, below),
        _ => None,
    }
}

fn number(inner: &Expr, to: &DataType, schema: &DFSchema, below: &[Option<Span>]) -> Option<Derived> {
    derive(inner, schema, below).filter(|d| to.is_numeric() && !d.of.mark)
}

fn float(expr: Expr) -> Expr {
    Expr::TryCast(TryCast::new(Box::new(expr), DataType::Float64))
}

/// A number that stands in the query.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Alias(alias) => constant(&alias.expr),
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::TryCast(cast) => constant(&cast.expr),
        Expr::Negative(inner) => constant(inner).map(|x| -x),
        Expr::Literal(ScalarValue::Int64(Some(x)), _) => Some(*x as f64),
        Expr::Literal(ScalarValue::Float64(Some(x)), _) => Some(*x),
        _ => None,
    }
}

fn of_two(binary: &BinaryExpr, schema: &DFSchema, below: &[Option<Span>]) -> Option<Derived> {
    let (left, right) = (derive(&binary.left, schema, below), derive(&binary.right, schema, below));
    let (a, b) = (constant(&binary.left), constant(&binary.right));
    let swap = |negative: bool, Derived { low, high, of }: Derived| match negative {
        true => Derived { low: high, high: low, of },
        false => Derived { low, high, of },
    };
    let with = |d: Derived, f: &dyn Fn(Expr) -> Expr| Derived { low: f(d.low), high: f(d.high), of: d.of };
    match (binary.op, left, right, a, b) {
        (_, Some(x), _, _, _) | (_, None, Some(x), _, _) if x.of.mark => None,
        (Operator::Plus, Some(x), None, _, Some(c)) | (Operator::Plus, None, Some(x), Some(c), _) => {
            Some(with(x, &|e| e + lit(c)))
        }
        (Operator::Minus, Some(x), None, _, Some(c)) => Some(with(x, &|e| e - lit(c))),
        (Operator::Minus, None, Some(x), Some(c), _) => Some(swap(true, with(x, &|e| lit(c) - e))),
        (Operator::Multiply, Some(x), None, _, Some(c)) | (Operator::Multiply, None, Some(x), Some(c), _) => {
            Some(swap(c < 0.0, with(x, &|e| e * lit(c))))
        }
        (Operator::Divide, Some(x), None, _, Some(c)) if c != 0.0 => Some(swap(c < 0.0, with(x, &|e| e / lit(c)))),
        (Operator::Plus | Operator::Minus | Operator::Divide, Some(x), Some(y), _, _) if !y.of.mark => {
            let operation = match binary.op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                _ => Operation::Divide,
            };
            let all = [binary.left.as_ref(), binary.right.as_ref(), &x.low, &x.high, &y.low, &y.high];
            if all.into_iter().map(parts).sum::<usize>() * 2 > MOST_PARTS {
                return None;
            }
            let independent = x.of.measures.is_disjoint(&y.of.measures);
            let numbers = || {
                let of_x = [float(binary.left.as_ref().clone()), x.low.clone(), x.high.clone()];
                let of_y = [float(binary.right.as_ref().clone()), y.low.clone(), y.high.clone()];
                of_x.into_iter().chain(of_y).collect::<Vec<_>>()
            };
            let end = |high| Combine::udf(operation, independent, high).call(numbers());
            let (low, high) = (end(false), end(true));
            let measures = x.of.measures.union(&y.of.measures).copied().collect();
            Some(Derived { low, high, of: Made { measures, mark: false, once: x.of.once && y.of.once } })
        }
        _ => None,
    }
}
