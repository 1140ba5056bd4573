//! DataFusion expressions as facts: an exhaustive match; what it does not know is a refusal.

use super::functions::{not_allowed, row_function};
use super::intervals::{constant_day, not_a_date, shift_of};
use crate::functions::RowModel;
use crate::product::Parameter;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use yunei_policy::Refusal;
use yunei_policy::facts::{BinaryOperator, DateField, Expression, Function, Interval, Kind, Literal};

/// Collects the reasons while facts are made.
pub(super) struct Teller<'a> {
    /// What was found to refuse.
    pub(super) reasons: Vec<Refusal>,
    /// The product's parameters.
    pub(super) parameters: &'a [Parameter],
    /// How many parts more may be told than are written: `CASE x WHEN …` says x once for every branch.
    pub(super) copies: usize,
}

/// At most how many parts of expressions may be told more often than they are written.
pub(super) const MAX_COPIES: usize = 20_000;

/// The kind of a type that may occur in a product; other types are refused.
pub(super) fn kind_of(data_type: &DataType) -> Option<Kind> {
    Some(match data_type {
        DataType::Boolean => Kind::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Kind::Int,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Kind::Int,
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _) => Kind::Float,
        DataType::Date32 => Kind::Date,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        _ => return None,
    })
}

impl Teller<'_> {
    fn refuse(&mut self, refusal: Refusal) -> Option<Expression> {
        self.reasons.push(refusal);
        None
    }

    fn unsupported(&mut self, zh: &str, en: &str, place: String) -> Option<Expression> {
        let place: String = place.chars().take(200).collect();
        self.refuse(
            Refusal::new(
                "expression/not-allowed",
                format!("个体数据上不允许使用{zh}"),
                format!("{en} is not allowed over private rows"),
            )
            .at(place),
        )
    }

    /// The facts of an expression over the columns of `schema`.
    pub(super) fn expression(&mut self, expr: &Expr, schema: &DFSchema) -> Option<Expression> {
        match expr {
            Expr::Alias(alias) => self.expression(&alias.expr, schema),
            Expr::Column(column) => match schema.index_of_column(column) {
                Ok(index) => Some(Expression::Column(index)),
                Err(_) => self.unsupported("无法解析的列", "a column that can not be resolved", column.flat_name()),
            },
            Expr::Literal(value, _) => self.literal(value).map(Expression::Literal),
            Expr::Placeholder(placeholder) => self.parameter(&placeholder.id),
            Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => self.chain(binary, schema),
            Expr::BinaryExpr(binary) => self.binary(binary, schema),
            Expr::IsNotNull(inner) => Some(Expression::IsNotNull(Box::new(self.expression(inner, schema)?))),
            Expr::Not(inner) => Some(Expression::Not(Box::new(self.expression(inner, schema)?))),
            Expr::Negative(inner) => Some(Expression::Negate(Box::new(self.expression(inner, schema)?))),
            Expr::IsNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsNotUnknown(inner) => Some(Expression::IsTest(Box::new(self.expression(inner, schema)?))),
            Expr::Between(between) => {
                let value = self.expression(&between.expr, schema);
                let low = self.expression(&between.low, schema);
                let high = self.expression(&between.high, schema);
                let told = Expression::Between { value: Box::new(value?), low: Box::new(low?), high: Box::new(high?) };
                Some(if between.negated { Expression::Not(Box::new(told)) } else { told })
            }
            Expr::InList(list) => self.in_list(list, schema),
            Expr::Like(like) => self.like(like, schema),
            Expr::Case(case) => self.case(case, schema),
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type(), schema),
            Expr::TryCast(cast) => self.cast(&cast.expr, cast.field.data_type(), schema),
            Expr::ScalarFunction(call) => self.call(call, schema),
            Expr::SimilarTo(_) => self.refuse(
                Refusal::new(
                    "expression/not-allowed",
                    "个体数据上不允许使用正则表达式",
                    "a regular expression is not allowed over private rows",
                )
                .at("SIMILAR TO")
                .hint("请用 LIKE", "use LIKE"),
            ),
            Expr::ScalarVariable(..) => self.unsupported("会话变量", "a session variable", expr.to_string()),
            Expr::AggregateFunction(_) => {
                self.unsupported("此处的聚合函数", "an aggregate in this place", expr.to_string())
            }
            Expr::WindowFunction(_) => self.refuse(
                Refusal::new(
                    "expression/window",
                    "个体数据上不允许使用窗口函数",
                    "window functions are not allowed over private rows",
                )
                .at(super::relation::text_of(expr))
                .hint(
                    "请在聚合之后使用窗口函数；每个主体的值请用 GROUP BY 主体列 的子查询计算",
                    "use them above the aggregate; for a value per unit, write a subquery with GROUP BY the unit column",
                ),
            ),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_) => {
                self.refuse(subquery())
            }
            Expr::OuterReferenceColumn(..) => self.refuse(subquery()),
            Expr::GroupingSet(_) => self.unsupported("GROUPING SETS", "GROUPING SETS", expr.to_string()),
            Expr::Unnest(_) => self.unsupported("UNNEST", "UNNEST", expr.to_string()),
            Expr::HigherOrderFunction(_) | Expr::Lambda(_) | Expr::LambdaVariable(_) => {
                self.unsupported("高阶函数", "a higher-order function", expr.to_string())
            }
            #[expect(deprecated, reason = "the variant is still there to be refused")]
            Expr::Wildcard { .. } => self.unsupported("此处的 *", "* in this place", expr.to_string()),
        }
    }

    fn literal(&mut self, value: &ScalarValue) -> Option<Literal> {
        let told = match value {
            value if value.is_null() => Some(Literal::Null),
            ScalarValue::Boolean(Some(v)) => Some(Literal::Bool(*v)),
            ScalarValue::Int8(Some(v)) => Some(Literal::Int(i64::from(*v))),
            ScalarValue::Int16(Some(v)) => Some(Literal::Int(i64::from(*v))),
            ScalarValue::Int32(Some(v)) => Some(Literal::Int(i64::from(*v))),
            ScalarValue::Int64(Some(v)) => Some(Literal::Int(*v)),
            ScalarValue::UInt8(Some(v)) => Some(Literal::Int(i64::from(*v))),
            ScalarValue::UInt16(Some(v)) => Some(Literal::Int(i64::from(*v))),
            ScalarValue::UInt32(Some(v)) => Some(Literal::Int(i64::from(*v))),
            ScalarValue::UInt64(Some(v)) => i64::try_from(*v).ok().map(Literal::Int),
            ScalarValue::Float32(Some(v)) if v.is_finite() => Some(Literal::Float(f64::from(*v))),
            ScalarValue::Float64(Some(v)) if v.is_finite() => Some(Literal::Float(*v)),
            ScalarValue::Decimal128(Some(v), _, scale) => {
                Some(Literal::Float(*v as f64 / 10f64.powi(i32::from(*scale))))
            }
            ScalarValue::Date32(Some(v)) => Some(Literal::Date(*v)),
            ScalarValue::Utf8(Some(v)) | ScalarValue::LargeUtf8(Some(v)) | ScalarValue::Utf8View(Some(v)) => {
                Some(Literal::Text(v.clone()))
            }
            _ => None,
        };
        if matches!(
            value,
            ScalarValue::IntervalMonthDayNano(_) | ScalarValue::IntervalDayTime(_) | ScalarValue::IntervalYearMonth(_)
        ) {
            self.refuse(not_a_date(value.to_string()));
            return None;
        }
        if told.is_none() {
            self.unsupported("这种字面值", "a literal of this type", value.data_type().to_string());
        }
        told
    }

    fn parameter(&mut self, id: &str) -> Option<Expression> {
        let name = id.trim_start_matches('$');
        let found = self.parameters.iter().find(|p| p.name() == name).map(|p| Expression::Parameter {
            name: name.to_owned(),
            kind: p.fact_kind(),
            bounds: p.bounds(),
            values: p.values(),
        });
        found.or_else(|| self.unsupported("未声明的参数", "an undeclared parameter", id.to_owned()))
    }

    fn binary(&mut self, binary: &BinaryExpr, schema: &DFSchema) -> Option<Expression> {
        if let Some(day) = constant_day(binary) {
            return Some(Expression::Literal(Literal::Date(day)));
        }
        if let Some(shift) = shift_of(binary, schema) {
            let date = self.expression(shift.date, schema)?;
            if matches!(&date, Expression::Parameter { kind, .. } if *kind != Kind::Date) {
                return self.refuse(not_a_date(binary.to_string()));
            }
            let function = Function::DateShift { months: shift.months, days: shift.days };
            return Some(Expression::Call { function, arguments: vec![date] });
        }
        let operator = match binary.op {
            Operator::Plus => BinaryOperator::Add,
            Operator::Minus => BinaryOperator::Subtract,
            Operator::Multiply => BinaryOperator::Multiply,
            Operator::Divide => BinaryOperator::Divide,
            Operator::Modulo => BinaryOperator::Modulo,
            Operator::Eq => BinaryOperator::Equal,
            Operator::Lt => BinaryOperator::Less,
            Operator::LtEq => BinaryOperator::LessOrEqual,
            Operator::Gt => BinaryOperator::Greater,
            Operator::GtEq => BinaryOperator::GreaterOrEqual,
            Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => BinaryOperator::Compare,
            Operator::StringConcat => {
                let left = self.expression(&binary.left, schema);
                let right = self.expression(&binary.right, schema);
                return Some(Expression::Call { function: Function::Concat, arguments: vec![left?, right?] });
            }
            other => {
                return self.unsupported(
                    &format!("运算符 {other}"),
                    &format!("the operator {other}"),
                    binary.to_string(),
                );
            }
        };
        let left = self.expression(&binary.left, schema);
        let right = self.expression(&binary.right, schema);
        Some(Expression::Binary { operator, left: Box::new(left?), right: Box::new(right?) })
    }

    /// `a AND b AND …` of any length, as a balanced tree.
    fn chain(&mut self, binary: &BinaryExpr, schema: &DFSchema) -> Option<Expression> {
        let operator = if binary.op == Operator::And { BinaryOperator::And } else { BinaryOperator::Or };
        let mut terms = Vec::new();
        let mut stack = vec![&*binary.right, &*binary.left];
        while let Some(next) = stack.pop() {
            match next {
                Expr::BinaryExpr(inner) if inner.op == binary.op => stack.extend([&*inner.right, &*inner.left]),
                term => terms.push(self.expression(term, schema)),
            }
        }
        let mut level: Vec<Expression> = terms.into_iter().collect::<Option<_>>()?;
        while level.len() > 1 {
            let mut next = Vec::with_capacity(level.len().div_ceil(2));
            let mut items = level.into_iter();
            while let Some(left) = items.next() {
                next.push(match items.next() {
                    Some(right) => Expression::Binary { operator, left: Box::new(left), right: Box::new(right) },
                    None => left,
                });
            }
            level = next;
        }
        level.pop()
    }

    fn in_list(&mut self, list: &InList, schema: &DFSchema) -> Option<Expression> {
        let value = self.expression(&list.expr, schema);
        let items: Vec<_> = list.list.iter().map(|e| self.expression(e, schema)).collect();
        let told = Expression::InList { value: Box::new(value?), list: items.into_iter().collect::<Option<_>>()? };
        Some(if list.negated { Expression::Not(Box::new(told)) } else { told })
    }

    fn like(&mut self, like: &Like, schema: &DFSchema) -> Option<Expression> {
        let value = self.expression(&like.expr, schema);
        let pattern = self.expression(&like.pattern, schema);
        if !is_constant(&like.pattern) {
            return self.unsupported(
                "不是常量的 LIKE 模式",
                "a LIKE pattern that is no constant",
                like.pattern.to_string(),
            );
        }
        let told = Expression::Like { value: Box::new(value?), pattern: Box::new(pattern?) };
        Some(if like.negated { Expression::Not(Box::new(told)) } else { told })
    }

    fn case(&mut self, case: &Case, schema: &DFSchema) -> Option<Expression> {
        let base = case.expr.as_ref().map(|e| self.expression(e, schema));
        // Such a CASE inside the x of another, and so on, would be told as often as all their branches multiply.
        if let Some(Some(base)) = &base {
            let copies = base.parts().saturating_mul(case.when_then_expr.len().saturating_sub(1));
            match self.copies.checked_sub(copies) {
                Some(left) => self.copies = left,
                None => return self.refuse(too_many_copies()),
            }
        }
        let mut branches = Vec::with_capacity(case.when_then_expr.len());
        for (when, then) in &case.when_then_expr {
            let when = self.expression(when, schema);
            let then = self.expression(then, schema);
            branches.push((when, then));
        }
        let otherwise = case.else_expr.as_ref().map(|e| self.expression(e, schema));
        let mut told = Vec::with_capacity(branches.len());
        for (when, then) in branches {
            let when = match &base {
                None => when?,
                Some(base) => Expression::Binary {
                    operator: BinaryOperator::Equal,
                    left: Box::new(base.clone()?),
                    right: Box::new(when?),
                },
            };
            told.push((when, then?));
        }
        let otherwise = match otherwise {
            None => None,
            Some(e) => Some(Box::new(e?)),
        };
        Some(Expression::Case { branches: told, otherwise })
    }

    fn cast(&mut self, expr: &Expr, to: &DataType, schema: &DFSchema) -> Option<Expression> {
        // A date written as text is a date.
        if let (Expr::Literal(ScalarValue::Utf8(Some(text)), _), DataType::Date32) = (expr, to)
            && let Some(days) = crate::dates::parse_date(text)
        {
            return Some(Expression::Literal(Literal::Date(days)));
        }
        let value = self.expression(expr, schema);
        match kind_of(to) {
            Some(kind) => {
                Some(Expression::Cast { value: Box::new(value?), to: kind, rounds: rounds(expr, to, schema) })
            }
            None => self.unsupported("转换到这种类型", "a cast to this type", to.to_string()),
        }
    }

    fn call(&mut self, call: &ScalarFunction, schema: &DFSchema) -> Option<Expression> {
        if let Some(model) = RowModel::of(&call.func) {
            return self.model(model, call, schema);
        }
        let arguments = |teller: &mut Self, args: &[Expr]| {
            let told: Vec<_> = args.iter().map(|a| teller.expression(a, schema)).collect();
            told.into_iter().collect::<Option<Vec<_>>>()
        };
        if matches!(call.name(), "date_part" | "date_trunc") {
            let field = match call.args.first() {
                Some(Expr::Literal(value, _)) => date_field(value),
                _ => None,
            };
            let truncates = call.name() == "date_trunc";
            let field = field.filter(|f| !truncates || !matches!(f, DateField::DayOfWeek | DateField::DayOfYear));
            let rest = arguments(self, call.args.get(1..).unwrap_or_default());
            let Some(field) = field else {
                return self.refuse(date_parts(call.name(), truncates));
            };
            let function = if truncates { Function::DateTrunc(field) } else { Function::DatePart(field) };
            return Some(Expression::Call { function, arguments: rest? });
        }
        // What a text is cut by must be known: with a length from the data some rows would fail and others not.
        if takes_constants(call.name()) && !call.args.iter().skip(1).all(is_whole_constant) {
            return self.refuse(
                Refusal::new(
                    "expression/not-constant",
                    format!("{} 的位置和长度须为不小于 0 的整数常量", call.name()),
                    format!("positions and lengths of {} must be whole constants, not negative", call.name()),
                )
                .at(call.name()),
            );
        }
        let function = row_function(call.name());
        if function.is_none() {
            self.reasons.push(not_allowed(call.name()));
        }
        let arguments = arguments(self, &call.args);
        Some(Expression::Call { function: function?, arguments: arguments? })
    }

    fn model(&mut self, model: &yunei_sandbox::Model, call: &ScalarFunction, schema: &DFSchema) -> Option<Expression> {
        let manifest = model.manifest();
        let told: Vec<_> = call.args.iter().map(|a| self.expression(a, schema)).collect();
        let arguments = told.into_iter().collect::<Option<Vec<_>>>()?;
        let name = format!("{}@{}", manifest.id(), manifest.version());
        match Interval::new(manifest.output().min(), manifest.output().max()) {
            Some(output) => Some(Expression::Model {
                model: name,
                arguments,
                output,
                nullable: manifest.features().iter().any(|f| f.missing().is_none()),
            }),
            None => self.unsupported("没有取值范围的模型", "a model without an output range", name),
        }
    }
}

/// Whether a number may lose digits in this cast, or not fit.
fn rounds(expr: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    let narrow = matches!(to, DataType::Float16 | DataType::Float32 | DataType::Decimal128(..));
    narrow && expr.get_type(schema).map_or(true, |from| from != *to)
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) | Expr::Placeholder(_) => true,
        Expr::Alias(alias) => is_constant(&alias.expr),
        Expr::Cast(cast) => is_constant(&cast.expr),
        Expr::TryCast(cast) => is_constant(&cast.expr),
        _ => false,
    }
}

fn is_whole_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => match value {
            ScalarValue::Int64(Some(v)) => *v >= 0,
            ScalarValue::Int32(Some(v)) => *v >= 0,
            ScalarValue::UInt64(Some(_)) | ScalarValue::UInt32(Some(_)) => true,
            _ => false,
        },
        Expr::Cast(cast) => is_whole_constant(&cast.expr),
        Expr::TryCast(cast) => is_whole_constant(&cast.expr),
        _ => false,
    }
}

fn takes_constants(name: &str) -> bool {
    matches!(name, "substr" | "left" | "right")
}

fn date_parts(function: &str, truncates: bool) -> Refusal {
    let parts = if truncates { "year, quarter, month, week, day" } else { "year, quarter, month, week, day, dow, doy" };
    Refusal::new(
        "expression/date-part",
        format!("{function} 不支持这个日期部分"),
        format!("{function} does not know this part of a date"),
    )
    .at(function)
    .hint(format!("可用：{parts}"), format!("known: {parts}"))
}

fn too_many_copies() -> Refusal {
    Refusal::new(
        "sql/too-complex",
        "CASE 表达式嵌套过多：CASE x WHEN … 的每个分支都要与 x 比较一次",
        "there is too much CASE inside CASE: each branch of CASE x WHEN … is a comparison with x",
    )
    .at("product.sql")
    .hint("请在子查询中先算出 x", "compute x in a subquery first")
}

fn subquery() -> Refusal {
    Refusal::new(
        "plan/subquery-over-private",
        "个体数据的条件或表达式中不能有子查询",
        "a subquery can not stand in a condition or expression over private rows",
    )
    .hint(
        "条件中可用：主体列 IN (SELECT 主体列 …) 或 EXISTS（按主体列关联），写在 WHERE 的顶层；其余请改写为按主体列的 JOIN",
        "allowed as a condition at the top level of WHERE: unit IN (SELECT unit …), or EXISTS correlated by the unit column; \
         write anything else as a JOIN on the unit column",
    )
}

fn date_field(value: &ScalarValue) -> Option<DateField> {
    let (ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) | ScalarValue::LargeUtf8(Some(name))) =
        value
    else {
        return None;
    };
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => DateField::Year,
        "quarter" => DateField::Quarter,
        "month" => DateField::Month,
        "week" => DateField::Week,
        "day" => DateField::Day,
        "dow" => DateField::DayOfWeek,
        "doy" => DateField::DayOfYear,
        _ => return None,
    })
}
