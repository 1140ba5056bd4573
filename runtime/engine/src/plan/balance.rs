//! Long chains of AND and OR as balanced trees.
//!
//! `a AND b AND c …` is parsed into a tree as deep as it is long, and the engine asks every level for its type, which looks at
//! all that is below: a chain of n conditions cost n² steps in every pass. A balanced tree of the same conditions in the same order
//! means the same and costs n log n. Short chains stay as they are: what they are called in the result, if they are, is the author's.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Statement, Value, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Chains of at most so many conditions stay as they are written.
const SHORT: usize = 16;

/// Balances every long chain of a statement.
pub(super) fn balance(statement: &mut Statement) {
    let _ = VisitMut::visit(statement, &mut Chains);
}

struct Chains;

impl VisitorMut for Chains {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(op) = operator(expr)
            && conditions(expr, &op) > SHORT
        {
            *expr = balanced(flattened(std::mem::replace(expr, truth(false)), &op), &op);
        }
        ControlFlow::Continue(())
    }
}

fn truth(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

fn operator(expr: &Expr) -> Option<BinaryOperator> {
    match expr {
        Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => Some(op.clone()),
        _ => None,
    }
}

/// How many conditions a chain has. What stands in brackets is one.
fn conditions(expr: &Expr, op: &BinaryOperator) -> usize {
    let (mut stack, mut found) = (vec![expr], 0);
    while let Some(next) = stack.pop() {
        match next {
            Expr::BinaryOp { left, op: o, right } if o == op => stack.extend([right.as_ref(), left.as_ref()]),
            _ => found += 1,
        }
    }
    found
}

fn flattened(expr: Expr, op: &BinaryOperator) -> Vec<Expr> {
    let (mut stack, mut found) = (vec![expr], Vec::new());
    while let Some(next) = stack.pop() {
        match next {
            Expr::BinaryOp { left, op: o, right } if o == *op => stack.extend([*right, *left]),
            term => found.push(term),
        }
    }
    found
}

fn balanced(mut level: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut terms = level.into_iter();
        while let Some(left) = terms.next() {
            next.push(match terms.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        level = next;
    }
    level.pop().unwrap_or_else(|| truth(*op == BinaryOperator::And))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn parsed(sql: &str) -> Statement {
        Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0)
    }

    struct Deepest(usize, usize);

    impl VisitorMut for Deepest {
        type Break = ();
        fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
            self.0 += 1;
            self.1 = self.1.max(self.0);
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
    }

    fn depth(statement: &mut Statement) -> usize {
        let mut deepest = Deepest(0, 0);
        let _ = VisitMut::visit(statement, &mut deepest);
        deepest.1
    }

    #[test]
    fn a_long_chain_is_balanced_and_says_the_same() {
        for (op, terms) in [("AND", 499), ("OR", 300), ("AND", 17)] {
            let chain = (0..terms).map(|i| format!("x = {i}")).collect::<Vec<_>>().join(&format!(" {op} "));
            let mut statement = parsed(&format!("SELECT 1 FROM t WHERE {chain}"));
            let before = statement.to_string();
            assert!(depth(&mut statement) > terms);
            balance(&mut statement);
            // The text has no brackets: same conditions, same order.
            assert_eq!(statement.to_string(), before);
            assert!(depth(&mut statement) <= terms.ilog2() as usize + 4, "{}", depth(&mut statement));
        }
    }

    #[test]
    fn short_chains_and_brackets_stay_as_written() {
        let chain = |n: usize| vec!["x > 1"; n].join(" AND ");
        for sql in [
            format!("SELECT 1 FROM t WHERE {}", chain(SHORT)),
            "SELECT a OR b AND c OR (d AND e) FROM t".to_owned(),
            format!("SELECT 1 FROM t WHERE ({}) OR ({})", chain(9), chain(9)),
        ] {
            let mut statement = parsed(&sql);
            balance(&mut statement);
            assert_eq!(statement, parsed(&sql));
        }
        // A chain of one kind inside one of the other is a chain of its own.
        let mut mixed = parsed(&format!("SELECT 1 FROM t WHERE {} OR {}", chain(40), chain(40)));
        balance(&mut mixed);
        assert!(depth(&mut mixed) < 12);
    }
}
