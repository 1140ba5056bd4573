//! Relations below a leaf: what is known of their columns, and of how many rows one unit can have.

use super::evaluate::evaluate;
use super::per_unit;
use super::usage::{self, Origins, Source, SourceId, check, origins};
use super::value::{Value, Work};
use crate::facts::{Aggregate, Expression, Kind, Relation, Scan};
use crate::refusal::Refusal;
use crate::words::{ColumnClass, ReleaseClass, UnitKind, Usage};
use std::rc::Rc;

/// A column of a relation.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) value: Value,
    pub(crate) origins: Origins,
    /// Whether it holds the unit of the row.
    pub(crate) unit: bool,
}

/// A relation.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<Column>,
    /// At most how many rows are about one unit. Of an open relation: at most how many share the value of a `unit` column.
    pub(crate) per_unit: u64,
    /// Whom private rows are about; `None` where all is open.
    pub(crate) private: Option<UnitKind>,
    pub(crate) class: ReleaseClass,
    /// The holders' promises of how many groups a unit touches.
    pub(crate) most_groups: Option<u32>,
    work: Rc<Work>,
}

impl Rows {
    pub(crate) fn evaluate(&self, expression: &Expression) -> Value {
        evaluate(expression, &|at| self.columns.get(at).map(|c| &c.value), &self.work)
    }

    pub(crate) fn origins(&self, expression: &Expression) -> Origins {
        origins(expression, &|at| self.columns.get(at).map(|c| &c.origins))
    }

    /// Whether `expression` is the unit itself, perhaps in another width of the same type.
    pub(crate) fn is_unit(&self, expression: &Expression) -> bool {
        match expression {
            Expression::Column(at) => self.columns.get(*at).is_some_and(|c| c.unit),
            Expression::Cast { value, to } => {
                self.is_unit(value) && self.evaluate(value).kind == *to && matches!(to, Kind::Text | Kind::Int)
            }
            _ => false,
        }
    }

    /// Whether `expression` is the unit column itself: grouping by it gives one group per unit, which a cast need not.
    pub(crate) fn is_unit_column(&self, expression: &Expression) -> bool {
        matches!(expression, Expression::Column(_)) && self.is_unit(expression)
    }

    pub(crate) fn unit_column(&self) -> Option<usize> {
        self.columns.iter().position(|c| c.unit)
    }

    fn column(&self, expression: &Expression) -> Column {
        Column {
            value: self.evaluate(expression),
            origins: self.origins(expression),
            unit: self.is_unit_column(expression),
        }
    }
}

/// Walks the relations of a plan.
#[derive(Debug)]
pub(crate) struct Walk {
    work: Rc<Work>,
    pub(crate) sources: Vec<Source>,
    pub(crate) reasons: Vec<Refusal>,
}

impl Walk {
    pub(crate) fn new(work: Rc<Work>) -> Self {
        Self { work, sources: Vec::new(), reasons: Vec::new() }
    }

    pub(crate) fn work(&self) -> &Rc<Work> {
        &self.work
    }

    pub(crate) fn check(&mut self, origins: &Origins, usage: Usage, place: &str) {
        check(origins, usage, &self.sources, place, &mut self.reasons);
    }

    /// What is known of `relation`. Recursion is bounded by the plan limits.
    pub(crate) fn rows(&mut self, relation: &Relation) -> Rows {
        match relation {
            Relation::Scan(scan) => self.scan(scan),
            Relation::Filter { input, predicate } => {
                let rows = self.rows(input);
                self.condition(&rows, predicate, "WHERE");
                rows
            }
            Relation::Project { input, outputs } => {
                let rows = self.rows(input);
                let columns = outputs.iter().map(|output| rows.column(output)).collect();
                Rows { columns, ..rows }
            }
            Relation::Join { left, right, on, filter } => {
                let (left, right) = (self.rows(left), self.rows(right));
                let joined = self.join(left, right, on);
                if let Some(filter) = filter {
                    self.condition(&joined, filter, "JOIN ON");
                }
                joined
            }
            Relation::PerUnit { input, keys, aggregates } => {
                let rows = self.rows(input);
                self.per_unit(rows, keys, aggregates)
            }
        }
    }

    fn scan(&mut self, scan: &Scan) -> Rows {
        let private = scan.release != ReleaseClass::Open;
        if private && (scan.unit.is_none_or(|at| at >= scan.columns.len()) || scan.unit_kind == UnitKind::None) {
            self.reasons.push(
                Refusal::new(
                    "unit/missing",
                    format!("数据集 {} 未声明数据主体列", scan.dataset),
                    format!("dataset {} declares no unit column", scan.dataset),
                )
                .at(&scan.dataset),
            );
        }
        if private && scan.most_rows.is_none_or(|rows| rows == 0) {
            self.reasons.push(
                Refusal::new(
                    "unit/most-rows",
                    format!("数据集 {} 未声明每个主体最多多少行", scan.dataset),
                    format!("dataset {} does not say how many rows a unit has at most", scan.dataset),
                )
                .at(&scan.dataset),
            );
        }
        let columns = scan
            .columns
            .iter()
            .enumerate()
            .map(|(at, facts)| {
                let id = SourceId::try_from(self.sources.len()).unwrap_or(SourceId::MAX);
                let unit = scan.unit == Some(at);
                self.sources.push(Source {
                    dataset: scan.dataset.clone(),
                    column: facts.name.clone(),
                    usages: facts.usages.clone(),
                    identifier: facts.class == ColumnClass::DirectIdentifier || (unit && private),
                    sensitive: facts.class == ColumnClass::Sensitive,
                });
                let origins = Origins::from([(id, usage::Role::Value)]);
                Column { value: Value::of_column(facts, &self.work), origins, unit }
            })
            .collect();
        Rows {
            columns,
            per_unit: u64::from(scan.most_rows.unwrap_or(u32::MAX)),
            private: private.then_some(scan.unit_kind),
            class: scan.release,
            most_groups: scan.most_groups,
            work: Rc::clone(&self.work),
        }
    }

    fn condition(&mut self, rows: &Rows, predicate: &Expression, place: &str) {
        // `unit IS NOT NULL` chooses nobody; planners add it below joins.
        if let Expression::Binary { operator: crate::facts::BinaryOperator::And, left, right } = predicate {
            self.condition(rows, left, place);
            self.condition(rows, right, place);
            return;
        }
        if matches!(predicate, Expression::IsTest(x) if rows.is_unit(x)) {
            return;
        }
        self.check(&rows.origins(predicate), Usage::Filter, place);
    }

    fn join(&mut self, left: Rows, right: Rows, on: &[(Expression, Expression)]) -> Rows {
        let unit_pair = on.iter().any(|(l, r)| left.is_unit(l) && right.is_unit(r));
        for (l, r) in on {
            self.check(&left.origins(l), Usage::Join, "JOIN ON");
            self.check(&right.origins(r), Usage::Join, "JOIN ON");
        }
        let mut keep_units = (true, true);
        let per_unit = left.per_unit.saturating_mul(right.per_unit);
        match (left.private, right.private) {
            (Some(a), Some(b)) => self.join_private(unit_pair, a == b),
            (Some(kind), None) => {
                keep_units.1 = false;
                self.join_open(kind, &left, &right, on.iter().map(|(l, r)| (l, r)));
            }
            (None, Some(kind)) => {
                keep_units.0 = false;
                self.join_open(kind, &right, &left, on.iter().map(|(l, r)| (r, l)));
            }
            // Open rows stay open; their key only survives where both sides share it.
            (None, None) => keep_units = (unit_pair, unit_pair),
        }
        let most_groups = match (left.most_groups, right.most_groups) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let class = left.class.min(right.class);
        let private = left.private.or(right.private);
        let column = |keep: bool| move |c: Column| Column { unit: c.unit && keep, ..c };
        let columns = left.columns.into_iter().map(column(keep_units.0));
        let columns = columns.chain(right.columns.into_iter().map(column(keep_units.1))).collect();
        Rows { columns, per_unit, private, class, most_groups, work: Rc::clone(&self.work) }
    }

    fn join_private(&mut self, unit_pair: bool, same_kind: bool) {
        if !unit_pair || !same_kind {
            self.reasons.push(
                Refusal::new(
                    "join/not-on-unit",
                    "两个受保护的数据集只能按数据主体列连接",
                    "two protected datasets can only be joined on their unit columns",
                )
                .at("JOIN ON")
                .hint(
                    "在 ON 中写明 a.主体列 = b.主体列（两侧主体类型相同）",
                    "write ON a.unit = b.unit, both about the same kind of unit",
                ),
            );
        }
    }

    /// `private ⋈ open`: every private row must meet a known number of open rows.
    fn join_open<'e>(
        &mut self,
        kind: UnitKind,
        private: &Rows,
        open: &Rows,
        on: impl Iterator<Item = (&'e Expression, &'e Expression)> + Clone,
    ) {
        if !(open.per_unit < u64::from(u32::MAX) && on.clone().any(|(_, o)| open.is_unit(o))) {
            self.reasons.push(
                Refusal::new(
                    "join/open-not-unique",
                    "与开放数据集连接时，须使用其已声明唯一的键列",
                    "an open dataset can only be joined on the key column that its entry declares unique",
                )
                .at("JOIN ON")
                .hint(
                    "请数据提供单位在开放数据集目录中声明 unit 列与 most_rows = 1",
                    "ask its holder to declare that key as unit column with most_rows = 1",
                ),
            );
        }
        // A join with a public list of identifiers is a filter on identifiers.
        for (p, _) in on {
            let named =
                private.origins(p).iter().any(|(id, _)| self.sources.get(*id as usize).is_some_and(|s| s.identifier));
            if named && kind == UnitKind::NaturalPerson {
                self.reasons.push(
                    Refusal::new(
                        "join/identifier-with-open",
                        "个人标识列不能与开放数据集连接",
                        "an identifier of natural persons cannot be joined with an open dataset",
                    )
                    .at("JOIN ON")
                    .hint("按地区等属性列连接", "join on an attribute such as a region code"),
                );
            }
        }
    }

    fn per_unit(&mut self, rows: Rows, keys: &[Expression], aggregates: &[Aggregate]) -> Rows {
        let has_unit = keys.iter().any(|key| rows.is_unit_column(key));
        if rows.private.is_some() && !has_unit {
            self.reasons.push(
                Refusal::new(
                    "unit/nested-aggregate",
                    "内层聚合须按数据主体列分组",
                    "an aggregate below another must be grouped by the unit column",
                )
                .at("GROUP BY")
                .hint("在内层 GROUP BY 中加入主体列", "add the unit column to the inner GROUP BY"),
            );
        }
        let mut columns = Vec::with_capacity(keys.len() + aggregates.len());
        // Rows of one unit afterwards: no more than before, and no more than the other keys have values.
        let mut groups = 1u64;
        for key in keys {
            let column = rows.column(key);
            if !rows.is_unit_column(key) {
                self.check(&column.origins, Usage::Group, "GROUP BY");
                let domain = super::keys::size_of(&column.value);
                groups = groups.saturating_mul(domain.unwrap_or(u64::MAX));
            }
            columns.push(column);
        }
        let unit_alone = keys.iter().all(|key| rows.is_unit_column(key));
        for aggregate in aggregates {
            let column = per_unit::aggregate(&rows, aggregate, unit_alone, &mut self.reasons);
            // A unit model's arguments come back as features, which are checked as such.
            self.check(&column.origins, Usage::Aggregate, &aggregate.text);
            columns.push(column);
        }
        // Without the unit among the keys, groups mix units; the refusal above ends it, or all is open.
        let per_unit = if has_unit || rows.private.is_some() { rows.per_unit.min(groups) } else { u64::MAX };
        Rows { columns, per_unit, ..rows }
    }
}
