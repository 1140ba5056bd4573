//! The size of a plan, counted without recursion before anything recurses.

use crate::facts::{Aggregate, Expression, Leaf, PlanFacts, Relation};
use crate::refusal::Refusal;
use crate::rules::PlanRules;

/// A refusal where the plan is larger than the rules allow; the first one found, for the rest is not looked at.
pub(crate) fn too_large(facts: &PlanFacts, rules: &PlanRules) -> Option<Refusal> {
    if facts.leaves.len() > rules.max_leaves() {
        return Some(refusal("private leaves", "聚合子句", rules.max_leaves()));
    }
    let mut counter = Counter { left: rules.max_nodes(), rules };
    facts.leaves.iter().find_map(|leaf| counter.leaf(leaf))
}

fn refusal(what: &str, what_zh: &str, most: usize) -> Refusal {
    Refusal::new(
        "plan/too-large",
        format!("查询过大：{what_zh}最多 {most}"),
        format!("the plan is too large: at most {most} {what}"),
    )
    .hint("请拆分或简化查询", "split or simplify the query")
}

struct Counter<'r> {
    left: usize,
    rules: &'r PlanRules,
}

impl Counter<'_> {
    fn leaf(&mut self, leaf: &Leaf) -> Option<Refusal> {
        if leaf.aggregates.len() > self.rules.max_aggregates() || leaf.keys.len() > self.rules.max_aggregates() {
            return Some(refusal(
                "aggregates or keys in one leaf",
                "单个子句的聚合或分组列",
                self.rules.max_aggregates(),
            ));
        }
        let keys = leaf.keys.iter().map(|k| &k.expression);
        self.expressions(keys.chain(arguments(&leaf.aggregates))).or_else(|| self.relations(&leaf.input))
    }

    fn relations(&mut self, root: &Relation) -> Option<Refusal> {
        let mut stack = vec![(root, 1)];
        while let Some((relation, depth)) = stack.pop() {
            if depth > self.rules.max_relation_depth() {
                return Some(refusal("relations below one another", "嵌套层数", self.rules.max_relation_depth()));
            }
            if !self.take(1) {
                return Some(refusal("nodes", "节点数", self.rules.max_nodes()));
            }
            let refused = match relation {
                // Columns and declared domains are the catalogue's, but they are work all the same.
                Relation::Scan(scan) => {
                    (!self.take(scan.columns.len())).then(|| refusal("nodes", "节点数", self.rules.max_nodes()))
                }
                Relation::Filter { input, predicate } => {
                    stack.push((input, depth + 1));
                    self.expressions([predicate])
                }
                Relation::Project { input, outputs } => {
                    stack.push((input, depth + 1));
                    self.expressions(outputs)
                }
                Relation::Join { left, right, on, filter, .. } => {
                    stack.push((left, depth + 1));
                    stack.push((right, depth + 1));
                    self.expressions(on.iter().flat_map(|(l, r)| [l, r]).chain(filter))
                }
                Relation::Union { inputs } => {
                    stack.extend(inputs.iter().map(|input| (input, depth + 1)));
                    None
                }
                Relation::PerUnit { input, keys, aggregates } => {
                    stack.push((input, depth + 1));
                    self.expressions(keys.iter().chain(arguments(aggregates)))
                }
            };
            if refused.is_some() {
                return refused;
            }
        }
        None
    }

    fn expressions<'e>(&mut self, roots: impl IntoIterator<Item = &'e Expression>) -> Option<Refusal> {
        let mut stack = Vec::new();
        for root in roots {
            stack.push((root, 1));
            while let Some((expression, depth)) = stack.pop() {
                if depth > self.rules.max_expression_depth() {
                    let most = self.rules.max_expression_depth();
                    return Some(refusal("expressions inside one another", "表达式嵌套层数", most));
                }
                if !self.take(1) {
                    return Some(refusal("nodes", "节点数", self.rules.max_nodes()));
                }
                each_child(expression, &mut |child| stack.push((child, depth + 1)));
            }
        }
        None
    }

    fn take(&mut self, nodes: usize) -> bool {
        let enough = self.left >= nodes;
        self.left = self.left.saturating_sub(nodes);
        enough
    }
}

fn arguments(aggregates: &[Aggregate]) -> impl Iterator<Item = &Expression> {
    aggregates.iter().flat_map(|a| &a.arguments)
}

/// Calls `f` with each expression directly inside `expression`.
pub(crate) fn each_child<'e>(expression: &'e Expression, f: &mut dyn FnMut(&'e Expression)) {
    match expression {
        Expression::Column(_) | Expression::Literal(_) | Expression::Parameter { .. } => {}
        Expression::Negate(x)
        | Expression::Not(x)
        | Expression::IsTest(x)
        | Expression::IsNotNull(x)
        | Expression::Cast { value: x, .. } => f(x),
        Expression::Binary { left, right, .. } => {
            f(left);
            f(right);
        }
        Expression::Between { value, low, high } => {
            f(value);
            f(low);
            f(high);
        }
        Expression::InList { value, list } => {
            f(value);
            list.iter().for_each(f);
        }
        Expression::Like { value, pattern } => {
            f(value);
            f(pattern);
        }
        Expression::Case { branches, otherwise } => {
            for (condition, result) in branches {
                f(condition);
                f(result);
            }
            if let Some(x) = otherwise {
                f(x);
            }
        }
        Expression::Call { arguments, .. } | Expression::Model { arguments, .. } => arguments.iter().for_each(f),
    }
}
