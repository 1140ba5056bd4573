//! Relations below a leaf: what is known of their columns, and of how many rows one unit can have.

use super::evaluate::evaluate;
use super::per_unit;
use super::usage::{self, Origins, Source, SourceId, check, origins};
use super::value::{Value, Work};
use crate::facts::{Aggregate, BinaryOperator, Expression, JoinKind, Kind, Relation, Scan};
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
    /// At most how many different values it has over the rows of one unit.
    pub(crate) variety: u64,
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
    /// Whether the unit of each row can be told: its column stands below, though it may have been projected away.
    pub(crate) has_unit: bool,
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
            Expression::Cast { value, to, .. } => {
                self.is_unit(value) && self.evaluate(value).kind == *to && matches!(to, Kind::Text | Kind::Int)
            }
            _ => false,
        }
    }

    /// Whether `expression` is the unit column itself: grouping by it gives one group per unit, which a cast need not.
    pub(crate) fn is_unit_column(&self, expression: &Expression) -> bool {
        matches!(expression, Expression::Column(_)) && self.is_unit(expression)
    }

    /// Whether `expression` is `CASE WHEN condition THEN unit END`: the unit where the condition holds.
    pub(crate) fn unit_where<'e>(&self, expression: &'e Expression) -> Option<&'e Expression> {
        match expression {
            Expression::Case { branches, otherwise: None } => match branches.as_slice() {
                [(condition, unit)] if self.is_unit_column(unit) => Some(condition),
                _ => None,
            },
            _ => None,
        }
    }

    /// At most how many different values `expression` has over the rows of one unit.
    pub(crate) fn variety(&self, expression: &Expression) -> u64 {
        let mut columns = std::collections::BTreeSet::new();
        let mut stack = vec![expression];
        while let Some(next) = stack.pop() {
            if let Expression::Column(at) = next {
                columns.insert(*at);
            }
            super::limits::each_child(next, &mut |child| stack.push(child));
        }
        let of = |at: &usize| self.columns.get(*at).map_or(u64::MAX, |c| c.variety);
        columns.iter().map(of).fold(1, u64::saturating_mul).min(self.per_unit).max(1)
    }

    pub(crate) fn unit_column(&self) -> Option<usize> {
        self.columns.iter().position(|c| c.unit)
    }

    fn column(&self, expression: &Expression) -> Column {
        Column {
            value: self.evaluate(expression),
            origins: self.origins(expression),
            unit: self.is_unit_column(expression),
            variety: self.variety(expression),
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
                let mut rows = self.rows(input);
                self.condition(&rows, predicate, "WHERE");
                narrow(&mut rows, predicate);
                rows
            }
            Relation::Project { input, outputs } => {
                let rows = self.rows(input);
                let columns = outputs.iter().map(|output| rows.column(output)).collect();
                Rows { columns, ..rows }
            }
            Relation::Join { kind, left, right, on, filter } => {
                let (left, right) = (self.rows(left), self.rows(right));
                let left_columns = left.columns.len();
                let mut joined = self.join(*kind, left, right, on);
                if let Some(filter) = filter {
                    self.condition(&joined, filter, "JOIN ON");
                    if *kind == JoinKind::Inner {
                        narrow(&mut joined, filter);
                    }
                }
                if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
                    joined.columns.truncate(left_columns);
                }
                joined
            }
            Relation::Union { inputs } => self.union(inputs),
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
                let most = u64::from(scan.most_rows.unwrap_or(u32::MAX));
                Column {
                    value: Value::of_column(facts, &self.work),
                    origins,
                    unit,
                    variety: if unit { 1 } else { most },
                }
            })
            .collect();
        Rows {
            has_unit: scan.unit.is_some(),
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
        if matches!(predicate, Expression::IsTest(x) | Expression::IsNotNull(x) if rows.is_unit(x)) {
            return;
        }
        self.check(&rows.origins(predicate), Usage::Filter, place);
    }

    fn join(&mut self, kind: JoinKind, left: Rows, right: Rows, on: &[(Expression, Expression)]) -> Rows {
        // Across types the engine compares what it makes of them, and '1' and '01' are one number.
        let alike = |l: &Expression, r: &Expression| left.evaluate(l).kind == right.evaluate(r).kind;
        let unit_pair = on.iter().any(|(l, r)| left.is_unit(l) && right.is_unit(r) && alike(l, r));
        // `IN (SELECT … FROM an open dataset)` is a condition (see `join_open`), not a join.
        let selects = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        let condition = selects && left.private.is_some() && right.private.is_none();
        for (l, r) in on {
            if !condition {
                self.check(&left.origins(l), Usage::Join, "JOIN ON");
            }
            self.check(&right.origins(r), Usage::Join, "JOIN ON");
            self.check_pair(&left, l, &right, r);
        }
        let mut keep_units = (true, true);
        let per_unit = if selects { left.per_unit } else { left.per_unit.saturating_mul(right.per_unit) };
        self.check_kept(kind, &left, &right);
        match (left.private, right.private) {
            (Some(a), Some(b)) => self.join_private(unit_pair, a == b),
            (Some(unit), None) => {
                keep_units.1 = false;
                self.join_open(unit, &left, &right, selects, on.iter().map(|(l, r)| (l, r)));
            }
            (None, Some(unit)) => {
                keep_units.0 = false;
                self.join_open(unit, &right, &left, selects, on.iter().map(|(l, r)| (r, l)));
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
        // The side that an outer join fills up with NULLs is nullable, and holds no unit.
        let (fills_left, fills_right) = (kind == JoinKind::Right, kind == JoinKind::Left);
        let column = |keep: bool, filled: bool| {
            move |c: Column| {
                let nullable = c.value.nullable || filled;
                let variety = c.variety.saturating_add(u64::from(filled)).min(per_unit);
                Column { unit: c.unit && keep && !filled, value: c.value.nullable(nullable), variety, ..c }
            }
        };
        // What an open row says depends on the private row that meets it.
        let met = |keys: &mut dyn Iterator<Item = u64>, rows: u64| keys.fold(rows, u64::saturating_mul).min(per_unit);
        let open_variety = match (left.private, right.private) {
            (Some(_), None) => met(&mut on.iter().map(|(l, _)| left.variety(l)), right.per_unit),
            (None, Some(_)) => met(&mut on.iter().map(|(_, r)| right.variety(r)), left.per_unit),
            _ => u64::MAX,
        };
        let of_open = |rows: &Rows| {
            let open = rows.private.is_none() && private.is_some();
            move |c: Column| if open { Column { variety: open_variety, ..c } } else { c }
        };
        let (of_left, of_right) = (of_open(&left), of_open(&right));
        let has_unit = match (left.private, right.private) {
            (Some(_), Some(_)) if fills_left => right.has_unit,
            (Some(_), _) => left.has_unit,
            (None, Some(_)) => right.has_unit,
            (None, None) => left.has_unit || right.has_unit,
        };
        let lefts = left.columns.into_iter().map(of_left).map(column(keep_units.0, fills_left));
        let rights = right.columns.into_iter().map(of_right).map(column(keep_units.1, fills_right));
        let columns = lefts.chain(rights).collect();
        Rows { columns, per_unit, private, class, most_groups, has_unit, work: Rc::clone(&self.work) }
    }

    /// A unit is joined with a unit. An identifier joined with anything else is a condition on it: what is computed on the other
    /// side could name somebody.
    fn check_pair(&mut self, left: &Rows, l: &Expression, right: &Rows, r: &Expression) {
        if left.is_unit(l) && right.is_unit(r) {
            return;
        }
        for origins in [left.origins(l), right.origins(r)] {
            let named = origins.iter().any(|(id, _)| self.sources.get(*id as usize).is_some_and(|s| s.identifier));
            if named {
                self.check(&origins, Usage::Filter, "JOIN ON");
            }
        }
    }

    /// An outer or anti-join keeps rows because nothing meets them: open rows must not tell whom they met.
    fn check_kept(&mut self, kind: JoinKind, left: &Rows, right: &Rows) {
        let kept_open = match kind {
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti => left.private.is_none() && right.private.is_some(),
            JoinKind::Right => right.private.is_none() && left.private.is_some(),
            JoinKind::Inner => false,
        };
        if kept_open {
            self.reasons.push(
                Refusal::new(
                    "join/keeps-open-rows",
                    "开放数据集的行不能因为没有对应个体而保留",
                    "rows of an open dataset can not be kept for having met no private row",
                )
                .at("JOIN")
                .hint(
                    "请把个体数据写在保留的一侧（FROM 个体数据 LEFT JOIN 开放数据），或用 INNER JOIN；声明了取值的分组列会输出空组",
                    "put the private dataset on the side that is kept (FROM private LEFT JOIN open), or use INNER JOIN; a key \
                     with a declared domain shows its empty groups anyway",
                ),
            );
        }
    }

    fn union(&mut self, inputs: &[Relation]) -> Rows {
        let mut all: Vec<Rows> = inputs.iter().map(|input| self.rows(input)).collect();
        let Some(mut first) = (!all.is_empty()).then(|| all.remove(0)) else {
            // The engine never tells of a union of nothing.
            self.reasons.push(Refusal::new("plan/node", "UNION 没有输入", "a UNION of nothing"));
            let class = ReleaseClass::Personal;
            let work = Rc::clone(&self.work);
            return Rows {
                columns: Vec::new(),
                per_unit: u64::MAX,
                private: None,
                class,
                most_groups: None,
                has_unit: false,
                work,
            };
        };
        for next in all {
            if first.class == ReleaseClass::Statistical || next.class == ReleaseClass::Statistical {
                self.reasons.push(
                    Refusal::new(
                        "statistical/union",
                        "统计类数据集不能用 UNION ALL 合并后再聚合",
                        "datasets under disclosure control are not put together by UNION ALL before they are aggregated",
                    )
                    .at("UNION ALL")
                    .hint("先分别聚合，再用 UNION ALL 合并结果", "aggregate each on its own, and put the results together"),
                );
            }
            let fits = first.columns.len() == next.columns.len() && first.private == next.private;
            let alike = |a: &Column, b: &Column| a.unit && b.unit && a.value.kind == b.value.kind;
            let units = first.columns.iter().zip(&next.columns).any(|(a, b)| alike(a, b));
            if !fits || (first.private.is_some() && !units) {
                self.reasons.push(
                    Refusal::new(
                        "union/unit",
                        "UNION ALL 的各部分须为同一类主体，且主体列在相同位置",
                        "the parts of a UNION ALL must be about the same kind of unit, with the unit column in the same place",
                    )
                    .at("UNION ALL")
                    .hint("在各部分 SELECT 的同一位置列出主体列", "list the unit column in the same place of every SELECT"),
                );
            }
            first.per_unit = first.per_unit.saturating_add(next.per_unit);
            first.class = first.class.min(next.class);
            first.has_unit &= next.has_unit;
            first.most_groups = match (first.most_groups, next.most_groups) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                _ => None,
            };
            for (a, b) in first.columns.iter_mut().zip(next.columns) {
                let a_kind = a.value.kind;
                a.value = super::value::union([&a.value, &b.value].into_iter(), &self.work);
                a.origins.extend(b.origins);
                a.unit &= b.unit && a_kind == b.value.kind;
                a.variety = if a.unit { 1 } else { a.variety.saturating_add(b.variety) };
            }
        }
        first
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
        selects: bool,
        on: impl Iterator<Item = (&'e Expression, &'e Expression)> + Clone,
    ) {
        // A semi- or anti-join multiplies nothing: it is a condition on the private rows.
        if selects {
            for (p, _) in on.clone() {
                self.check(&private.origins(p), Usage::Filter, "IN (SELECT …)");
            }
        } else if !(open.per_unit < u64::from(u32::MAX)
            && on.clone().any(|(p, o)| open.is_unit(o) && private.evaluate(p).kind == open.evaluate(o).kind))
        {
            self.reasons.push(
                Refusal::new(
                    "join/open-not-unique",
                    "与开放数据集连接时，须使用其已声明唯一的键列",
                    "an open dataset can only be joined on the key column that its entry declares unique",
                )
                .at("JOIN ON")
                .hint(
                    "请数据提供单位在开放数据集目录中声明该键列：unit = { kind = \"none\", column = \"键列\", most_rows = 1 }",
                    "ask its holder to declare that key in the entry: unit = { kind = \"none\", column = \"key\", most_rows = 1 }",
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
                groups = groups.saturating_mul(domain.unwrap_or(u64::MAX).min(rows.variety(key)));
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
        for column in &mut columns {
            column.variety = column.variety.min(per_unit);
        }
        Rows { columns, per_unit, has_unit, ..rows }
    }
}

/// Takes what a condition says of single columns into what is known of the rows that meet it.
fn narrow(rows: &mut Rows, predicate: &Expression) {
    use BinaryOperator as Op;
    match predicate {
        Expression::Binary { operator: Op::And, left, right } => {
            narrow(rows, left);
            narrow(rows, right);
        }
        Expression::Binary { operator, left, right } => {
            let turned = match operator {
                Op::Less => Op::Greater,
                Op::LessOrEqual => Op::GreaterOrEqual,
                Op::Greater => Op::Less,
                Op::GreaterOrEqual => Op::LessOrEqual,
                other => *other,
            };
            compared(rows, *operator, left, right);
            compared(rows, turned, right, left);
        }
        Expression::Between { value, low, high } => {
            compared(rows, Op::GreaterOrEqual, value, low);
            compared(rows, Op::LessOrEqual, value, high);
        }
        Expression::InList { value, list } => {
            let literals: Option<Vec<_>> = list
                .iter()
                .map(|e| match e {
                    Expression::Literal(literal) => Some(literal.clone()),
                    _ => None,
                })
                .collect();
            if let (Expression::Column(at), Some(literals)) = (value.as_ref(), literals.filter(|l| !l.is_empty()))
                && rows.work.take(literals.len())
            {
                change(rows, *at, |value| value.among(&literals));
            }
        }
        Expression::IsNotNull(x) => {
            if let Expression::Column(at) = x.as_ref() {
                change(rows, *at, |value| value.nullable(false));
            }
        }
        _ => {}
    }
}

fn change(rows: &mut Rows, at: usize, to: impl FnOnce(Value) -> Value) {
    if let Some(column) = rows.columns.get_mut(at) {
        column.value = to(column.value.clone());
    }
}

/// What `value operator other` says of `value`, where that is a column.
fn compared(rows: &mut Rows, operator: BinaryOperator, value: &Expression, other: &Expression) {
    use BinaryOperator as Op;
    let Expression::Column(at) = value else { return };
    let other_value = rows.evaluate(other);
    if let (Op::Equal, Expression::Literal(literal)) = (operator, other) {
        change(rows, *at, |value| value.among(std::slice::from_ref(literal)));
        return;
    }
    let Some(kind) = rows.columns.get(*at).map(|c| c.value.kind) else { return };
    // Across kinds the engine's coercion decides what is compared, which is not known here.
    let numbers = |kind: Kind| matches!(kind, Kind::Int | Kind::Float);
    let comparable = kind == other_value.kind || (numbers(kind) && numbers(other_value.kind));
    let ends = other_value.range.as_ref().ok().filter(|_| comparable && other_value.sure);
    let (lo, hi) = match operator {
        Op::Less | Op::LessOrEqual => (None, ends.map(crate::facts::Interval::hi)),
        Op::Greater | Op::GreaterOrEqual => (ends.map(crate::facts::Interval::lo), None),
        Op::Equal => (ends.map(crate::facts::Interval::lo), ends.map(crate::facts::Interval::hi)),
        _ => return,
    };
    change(rows, *at, |value| value.between(lo, hi));
}
