//! What a product's plan does, told without any query engine.
//!
//! `yunei-engine` turns a DataFusion plan into these facts by an exhaustive match; what it does not know it reports as a
//! refusal. Everything here is public knowledge (catalogue, product, model manifests), never data.
//!
//! Columns are named by position in the output of the relation below.

use crate::words::{ColumnClass, ReleaseClass, UnitKind, Usage};
use std::collections::BTreeSet;

/// The type of a value, as far as decisions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Truth value.
    Bool,
    /// Signed integer of at most 64 bits.
    Int,
    /// Floating point or decimal.
    Float,
    /// Days since 1970-01-01.
    Date,
    /// Text.
    Text,
}

/// A public value: a literal of the product or a member of a declared domain.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// SQL NULL.
    Null,
    /// Truth value.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Number; never NaN.
    Float(f64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Text.
    Text(String),
}

/// A closed interval of numbers, `lo <= hi`, both finite. Dates count in days, booleans as 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    lo: f64,
    hi: f64,
}

impl Interval {
    /// `[lo, hi]`, or nothing where it would not be one.
    pub fn new(lo: f64, hi: f64) -> Option<Self> {
        (lo.is_finite() && hi.is_finite() && lo <= hi).then_some(Self { lo, hi })
    }

    /// The interval of one number.
    pub fn point(at: f64) -> Option<Self> {
        Self::new(at, at)
    }

    /// The lower end.
    pub fn lo(&self) -> f64 {
        self.lo
    }

    /// The upper end.
    pub fn hi(&self) -> f64 {
        self.hi
    }
}

/// A column of a registered dataset version, as its catalogue entry declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// What it says about its unit.
    pub class: ColumnClass,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// Public bounds of a number or date.
    pub bounds: Option<Interval>,
    /// The declared domain, in the declared order.
    pub values: Option<Vec<Literal>>,
    /// Whether NULL may occur.
    pub nullable: bool,
}

/// A read of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The dataset's id.
    pub dataset: String,
    /// How its aggregates may leave.
    pub release: ReleaseClass,
    /// Whom its rows are about.
    pub unit_kind: UnitKind,
    /// The position of the unit column; `None` where `unit_kind` is none.
    pub unit: Option<usize>,
    /// At most how many rows a unit has (checked on the data at registration); `None` where there is no unit.
    pub most_rows: Option<u32>,
    /// At most how many groups the holder says a unit touches in any grouping; a promise, enforced at run time.
    pub most_groups: Option<u32>,
    /// All the columns of the dataset.
    pub columns: Vec<ColumnFacts>,
}

/// A relation below a private leaf's aggregate (or wholly over open data).
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    /// Rows of a dataset.
    Scan(Scan),
    /// Rows for which the predicate holds.
    Filter {
        /// The rows.
        input: Box<Relation>,
        /// The condition, over the input's columns.
        predicate: Expression,
    },
    /// One output column per expression.
    Project {
        /// The rows.
        input: Box<Relation>,
        /// The outputs.
        outputs: Vec<Expression>,
    },
    /// Equi-join; the output is the columns of `left`, then of `right` (of `left` alone for semi- and anti-joins).
    Join {
        /// Which rows it keeps.
        kind: JoinKind,
        /// Left rows.
        left: Box<Relation>,
        /// Right rows.
        right: Box<Relation>,
        /// Pairs of equal expressions: over the left's columns, over the right's.
        on: Vec<(Expression, Expression)>,
        /// A further condition over the output's columns.
        filter: Option<Expression>,
    },
    /// All rows of several relations with the same columns (`UNION ALL`); at least one.
    Union {
        /// The relations.
        inputs: Vec<Relation>,
    },
    /// One row per unit: an aggregate below the leaf, grouped by the unit column (and perhaps more).
    /// The output is the keys, then the aggregates.
    PerUnit {
        /// The rows.
        input: Box<Relation>,
        /// The group keys, over the input's columns.
        keys: Vec<Expression>,
        /// The aggregates.
        aggregates: Vec<Aggregate>,
    },
}

/// Which rows a join keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs that meet.
    Inner,
    /// Pairs that meet, and left rows that meet nothing, with NULLs.
    Left,
    /// Pairs that meet, and right rows that meet nothing, with NULLs.
    Right,
    /// Left rows that meet something (`IN (SELECT …)`, `EXISTS`).
    Semi,
    /// Left rows that meet nothing (`NOT EXISTS`).
    Anti,
}

/// Operators over two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/` (NULL where the divisor is 0)
    Divide,
    /// `%` (NULL where the divisor is 0)
    Modulo,
    /// `<>`, `IS [NOT] DISTINCT FROM`
    Compare,
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `AND`
    And,
    /// `OR`
    Or,
}

/// Functions of one row that may stand below a private leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `abs(x)`
    Abs,
    /// `ceil(x)`
    Ceil,
    /// `floor(x)`
    Floor,
    /// `round(x)` or `round(x, digits)`
    Round,
    /// `trunc(x)`
    Trunc,
    /// `sqrt(x)`
    Sqrt,
    /// `exp(x)`
    Exp,
    /// `ln(x)`
    Ln,
    /// `log10(x)`
    Log10,
    /// `log2(x)`
    Log2,
    /// `power(x, y)`
    Power,
    /// `signum(x)`
    Signum,
    /// `clamp(x, lo, hi)`, ours
    Clamp,
    /// `least(…)`
    Least,
    /// `greatest(…)`
    Greatest,
    /// `coalesce(…)`
    Coalesce,
    /// `nullif(x, y)`
    NullIf,
    /// `width_bucket(x, lo, hi, n)`, ours: 0 below, 1..=n inside, n+1 above
    WidthBucket,
    /// `date_part('field', d)`; the field is given in the facts
    DatePart(DateField),
    /// `date_trunc('field', d)`: the first day of the year, quarter, month or (Monday's) week
    DateTrunc(DateField),
    /// `d + INTERVAL '…'` of whole months and days (see [`crate::calendar::shifted`]); NULL where that leaves the calendar
    DateShift {
        /// Months, taken first; the day of a month that has no such day becomes its last.
        months: i32,
        /// Days, taken then.
        days: i32,
    },
    /// `lower(s)`
    Lower,
    /// `upper(s)`
    Upper,
    /// `trim(s)`
    Trim,
    /// `character_length(s)`
    CharacterLength,
    /// `substr(s, from, length)`
    Substring,
    /// `concat(…)` or `||`
    Concat,
    /// `starts_with(s, prefix)`
    StartsWith,
    /// `ends_with(s, suffix)`
    EndsWith,
    /// `contains(s, part)`
    Contains,
    /// `left(s, n)`
    Left,
    /// `right(s, n)`
    Right,
    /// `ltrim(s)`
    TrimStart,
    /// `rtrim(s)`
    TrimEnd,
    /// `strpos(s, part)`
    Position,
}

/// Fields of `date_part` with their range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateField {
    /// The year.
    Year,
    /// 1..=4
    Quarter,
    /// 1..=12
    Month,
    /// 1..=53
    Week,
    /// 1..=31
    Day,
    /// 0..=6
    DayOfWeek,
    /// 1..=366
    DayOfYear,
}

/// A value computed from one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// The input's column at this position.
    Column(usize),
    /// A literal or a bound parameter.
    Literal(Literal),
    /// A product parameter of which only the declared range is known (when a product is checked without values).
    Parameter {
        /// Its name.
        name: String,
        /// Its type.
        kind: Kind,
        /// Its declared range.
        bounds: Option<Interval>,
        /// Its declared choices.
        values: Option<Vec<Literal>>,
    },
    /// `-x`
    Negate(Box<Expression>),
    /// `NOT x`
    Not(Box<Expression>),
    /// `x IS NULL`, `IS [NOT] TRUE` and the like: a truth value, never NULL
    IsTest(Box<Expression>),
    /// `x IS NOT NULL`
    IsNotNull(Box<Expression>),
    /// Two values and an operator.
    Binary {
        /// The operator.
        operator: BinaryOperator,
        /// The left value.
        left: Box<Expression>,
        /// The right value.
        right: Box<Expression>,
    },
    /// `x BETWEEN lo AND hi`
    Between {
        /// The value.
        value: Box<Expression>,
        /// The lower end.
        low: Box<Expression>,
        /// The upper end.
        high: Box<Expression>,
    },
    /// `x IN (…)`
    InList {
        /// The value.
        value: Box<Expression>,
        /// The list.
        list: Vec<Expression>,
    },
    /// `x LIKE pattern`
    Like {
        /// The value.
        value: Box<Expression>,
        /// The pattern.
        pattern: Box<Expression>,
    },
    /// `CASE`; a simple CASE (`CASE x WHEN v …`) comes with its comparisons written out.
    Case {
        /// Conditions and results.
        branches: Vec<(Expression, Expression)>,
        /// `ELSE`; NULL where there is none.
        otherwise: Option<Box<Expression>>,
    },
    /// A cast; NULL where it does not fit.
    Cast {
        /// The value.
        value: Box<Expression>,
        /// The type it becomes.
        to: Kind,
        /// Whether that type holds fewer digits than a number of its kind may have (a decimal, a float of 32 bits): it
        /// rounds, and gives NULL where the number is too large for it.
        rounds: bool,
    },
    /// An allowed function.
    Call {
        /// Which one.
        function: Function,
        /// Its arguments.
        arguments: Vec<Expression>,
    },
    /// An approved model over features.
    Model {
        /// `id@version`.
        model: String,
        /// Its features, in order.
        arguments: Vec<Expression>,
        /// Its declared output range; the host clamps to it.
        output: Interval,
        /// Whether a NULL feature may make the output NULL.
        nullable: bool,
    },
}

impl Expression {
    /// How many parts it has, itself included.
    pub fn parts(&self) -> usize {
        let (mut stack, mut found) = (vec![self], 0);
        while let Some(next) = stack.pop() {
            found += 1;
            crate::clear::each_child(next, &mut |child| stack.push(child));
        }
        found
    }
}

/// Aggregate functions that may be a leaf's (or, below it, a unit's).
#[derive(Debug, Clone, PartialEq)]
pub enum AggregateFunction {
    /// `COUNT(*)`, and `COUNT(x)` where `argument` is given
    Count,
    /// `COUNT(DISTINCT x)`
    CountDistinct,
    /// `SUM(x)`
    Sum,
    /// `AVG(x)`
    Avg,
    /// `VAR_SAMP(x)`
    Variance,
    /// `STDDEV_SAMP(x)`
    Stddev,
    /// `VAR_POP(x)`
    VariancePop,
    /// `STDDEV_POP(x)`
    StddevPop,
    /// The `q`-quantile of `x`, 0 ≤ q ≤ 1 (the median is 0.5), from a noisy histogram over the range of `x`
    Quantile {
        /// Which one.
        q: f64,
    },
    /// `MIN(x)`: only below a leaf, per unit
    Min,
    /// `MAX(x)`: only below a leaf, per unit
    Max,
    /// A unit model folding a unit's rows: only below a leaf, grouped by the unit alone
    UnitModel {
        /// `id@version`.
        model: String,
        /// Its declared output range.
        output: Interval,
    },
}

/// One aggregate of a leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// As the product's author would recognise it, e.g. `sum(income)`; used in refusals.
    pub text: String,
    /// The function.
    pub function: AggregateFunction,
    /// The arguments over the leaf's input; empty for `COUNT(*)`.
    pub arguments: Vec<Expression>,
}

/// One group key of a leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupKey {
    /// As the product's author would recognise it.
    pub text: String,
    /// The expression over the leaf's input.
    pub expression: Expression,
}

/// A private leaf: a maximal aggregate over private scans.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The rows.
    pub input: Relation,
    /// The group keys; empty for one cell.
    pub keys: Vec<GroupKey>,
    /// The aggregates; at least one, or the leaf is refused (it would be a DISTINCT).
    pub aggregates: Vec<Aggregate>,
}

/// The privacy that a product demands.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivacyDemand {
    /// ε of the whole run.
    pub epsilon: f64,
    /// At most how many groups a unit may touch in each leaf.
    pub max_groups: Option<u32>,
    /// At most how many rows of a unit count in each group.
    pub max_rows: Option<u32>,
}

/// All that a product's plan does with private data.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanFacts {
    /// The private leaves, in plan order.
    pub leaves: Vec<Leaf>,
    /// What the product demands; `None` where it does not say.
    pub demand: Option<PrivacyDemand>,
}
