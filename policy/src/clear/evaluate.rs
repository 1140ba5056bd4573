//! Interval arithmetic over expressions.

use super::dates;
use super::text::image;
use super::value::{Cause, Lattice, Value, Work, hull, interval, outward, union, within};
use crate::calendar::year_of;
use crate::facts::{BinaryOperator, DateField, Expression, Function, Interval, Kind, Literal};

/// The range of every `i32`: arithmetic inside it cannot wrap in any integer type that the engine widens to.
const SINGLE: f64 = 2_147_483_647.0;

/// What is known of `expression` over rows whose columns are `column`. Depth is bounded by the caller.
pub(crate) fn evaluate<'c>(expression: &Expression, column: &dyn Fn(usize) -> Option<&'c Value>, work: &Work) -> Value {
    let eval = |e: &Expression| evaluate(e, column, work);
    match expression {
        Expression::Column(at) => column(*at).cloned().unwrap_or_else(|| Value::text(true)),
        Expression::Literal(literal) => Value::of_literal(literal),
        Expression::Parameter { name, kind, bounds, values } => {
            Value::of_parameter(name, *kind, *bounds, values.as_ref(), work)
        }
        Expression::Negate(x) => negate(&eval(x)),
        Expression::Not(x) => Value::bool().nullable(eval(x).nullable),
        Expression::IsTest(_) | Expression::IsNotNull(_) => Value::bool(),
        Expression::Binary { operator, left, right } => binary(*operator, &eval(left), &eval(right)),
        Expression::Between { value, low, high } => {
            Value::bool().nullable(eval(value).nullable || eval(low).nullable || eval(high).nullable)
        }
        Expression::InList { value, list } => {
            Value::bool().nullable(eval(value).nullable || list.iter().any(|x| eval(x).nullable))
        }
        Expression::Like { value, pattern } => Value::bool().nullable(eval(value).nullable || eval(pattern).nullable),
        Expression::Case { branches, otherwise } => {
            let mut results: Vec<Value> = branches.iter().map(|(_, result)| eval(result)).collect();
            results.push(match otherwise {
                Some(x) => eval(x),
                None => Value::of_literal(&Literal::Null),
            });
            union(results.iter(), work)
        }
        Expression::Cast { value, to, rounds: false } => cast(&eval(value), *to),
        // By how much it rounds is not known here, and so neither what whole numbers come of it.
        Expression::Cast { value, to, rounds: true } => {
            let wide = cast(&eval(value), *to);
            Value { whole: false, domain: None, lattice: Lattice::ALL, ..wide.sure(false).nullable(true) }
        }
        Expression::Call { function, arguments } => {
            let arguments: Vec<Value> = arguments.iter().map(eval).collect();
            call(*function, &arguments, work)
        }
        Expression::Model { output, nullable, .. } => {
            Value::new(Kind::Float, Ok(*output)).sure(true).nullable(*nullable)
        }
    }
}

fn negate(x: &Value) -> Value {
    let range = x.range.clone().and_then(|r| interval(-r.hi(), -r.lo()));
    arithmetic_result(x.kind, range, x.sure, x.whole, x.nullable).lattice(x.lattice.negated())
}

/// A number; `sure` only while integer arithmetic stays where it cannot wrap.
fn arithmetic_result(kind: Kind, range: Result<Interval, Cause>, sure: bool, whole: bool, nullable: bool) -> Value {
    let fits = kind == Kind::Float || within(&range, SINGLE);
    Value::new(kind, range).sure(sure && fits).whole(whole).nullable(nullable)
}

fn binary(operator: BinaryOperator, a: &Value, b: &Value) -> Value {
    use BinaryOperator as Op;
    let nullable = a.nullable || b.nullable;
    match operator {
        Op::Compare | Op::Equal | Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual | Op::And | Op::Or => {
            Value::bool().nullable(nullable)
        }
        Op::Add | Op::Subtract | Op::Multiply => {
            let whole = a.whole && b.whole;
            let range = both(a, b).and_then(|(x, y)| {
                let (lo, hi) = match operator {
                    Op::Add => (x.lo() + y.lo(), x.hi() + y.hi()),
                    Op::Subtract => (x.lo() - y.hi(), x.hi() - y.lo()),
                    _ => hull(&[x.lo() * y.lo(), x.lo() * y.hi(), x.hi() * y.lo(), x.hi() * y.hi()]),
                };
                outward(lo, hi, whole)
            });
            let lattice = match operator {
                _ if !whole => Lattice::ALL,
                Op::Add => a.lattice.plus(b.lattice),
                Op::Subtract => a.lattice.plus(b.lattice.negated()),
                _ => a.lattice.times(b.lattice),
            };
            arithmetic_result(common_kind(operator, a, b), range, a.sure && b.sure, whole, nullable).lattice(lattice)
        }
        Op::Divide => divide(a, b),
        Op::Modulo => modulo(a, b),
    }
}

fn both(a: &Value, b: &Value) -> Result<(Interval, Interval), Cause> {
    Ok((a.range.clone()?, b.range.clone()?))
}

fn common_kind(operator: BinaryOperator, a: &Value, b: &Value) -> Kind {
    match (a.kind, b.kind) {
        (Kind::Date, Kind::Date) if operator == BinaryOperator::Subtract => Kind::Int,
        (Kind::Date, _) | (_, Kind::Date) => Kind::Date,
        (Kind::Int, Kind::Int) => Kind::Int,
        _ => Kind::Float,
    }
}

fn divide(a: &Value, b: &Value) -> Value {
    let kind = common_kind(BinaryOperator::Divide, a, b);
    let zero = b.range.as_ref().map_or(true, |y| y.lo() <= 0.0 && y.hi() >= 0.0);
    let nullable = a.nullable || b.nullable || zero || may_be_least(a);
    if zero {
        return Value::new(kind, Err(Cause::Division)).nullable(nullable);
    }
    let range = both(a, b).and_then(|(x, y)| {
        let (lo, hi) = hull(&[x.lo() / y.lo(), x.lo() / y.hi(), x.hi() / y.lo(), x.hi() / y.hi()]);
        if kind != Kind::Int {
            return outward(lo, hi, false);
        }
        // SQL truncates. A quotient of two i32 that is not whole is further from the next whole number than f64 errs
        // (1/|y| > 2^-31), so that truncating the rounded quotient is exact there; beyond, one more is allowed.
        let slack = if within(&a.range, SINGLE) && within(&b.range, SINGLE) { 0.0 } else { 1.0 };
        outward(lo.trunc() - slack, hi.trunc() + slack, true)
    });
    arithmetic_result(kind, range, a.sure && b.sure, kind == Kind::Int, nullable)
}

fn modulo(a: &Value, b: &Value) -> Value {
    let kind = common_kind(BinaryOperator::Modulo, a, b);
    let zero = b.range.as_ref().map_or(true, |y| y.lo() <= 0.0 && y.hi() >= 0.0);
    let magnitude = |r: &Interval| r.lo().abs().max(r.hi().abs());
    // |a % b| is less than |b|, and no more than |a| where a cannot have wrapped.
    let by_divisor = b.range.as_ref().ok().map(|y| magnitude(y) - f64::from(u8::from(kind == Kind::Int)));
    let by_dividend = a.range.as_ref().ok().filter(|_| a.sure).map(magnitude);
    let most = match (by_divisor, by_dividend) {
        (Some(x), Some(y)) => Ok(x.min(y).max(0.0)),
        (Some(x), None) | (None, Some(x)) => Ok(x.max(0.0)),
        (None, None) => Err(Cause::Function("%")),
    };
    let range = most.and_then(|most| {
        let sign = |test: fn(&Interval) -> bool| a.range.as_ref().ok().filter(|_| a.sure).is_none_or(test);
        let lo = if sign(|x| x.lo() < 0.0) { -most } else { 0.0 };
        let hi = if sign(|x| x.hi() > 0.0) { most } else { 0.0 };
        interval(lo, hi)
    });
    let nullable = a.nullable || b.nullable || zero || may_be_least(a);
    arithmetic_result(kind, range, b.sure, a.whole && b.whole, nullable)
}

/// Whether it may be the least whole number, which has no opposite: the engine gives NULL for what it would be divided into.
fn may_be_least(x: &Value) -> bool {
    x.kind == Kind::Int && !(x.sure && x.range.as_ref().is_ok_and(|r| r.lo() > -9e18))
}

/// Whether it may be no number at all (NaN), which no range speaks of.
fn may_be_nan(x: &Value) -> bool {
    x.kind == Kind::Float && !x.sure
}

fn cast(x: &Value, to: Kind) -> Value {
    if x.null {
        let mut null = x.clone();
        null.kind = to;
        return null;
    }
    let number = x.kind != Kind::Text;
    // Where the target is narrower than the value, the cast gives NULL; the width is not known here.
    let narrow = |range: &Result<Interval, Cause>| !range.as_ref().is_ok_and(|r| r.lo() >= 0.0 && r.hi() <= 127.0);
    match (x.kind, to) {
        (a, b) if a == b => {
            let mut same = x.clone();
            same.nullable = x.nullable || (to == Kind::Int && narrow(&x.range));
            same
        }
        (_, Kind::Text) => Value::text(x.nullable),
        (_, Kind::Bool) => Value::bool().nullable(x.nullable || !number),
        (_, Kind::Float) if number => {
            let range = x.range.clone().and_then(|r| outward(r.lo(), r.hi(), x.whole));
            Value::new(to, range).sure(x.sure).whole(x.whole).nullable(x.nullable).lattice(x.whole_lattice())
        }
        (_, _) if number => {
            let range = x.range.clone().and_then(|r| interval(r.lo().trunc(), r.hi().trunc()));
            let nullable = x.nullable || narrow(&range) || may_be_nan(x);
            arithmetic_result(to, range, x.sure, true, nullable).lattice(x.whole_lattice())
        }
        _ => Value::new(to, Err(Cause::Text)).nullable(true),
    }
}

fn call(function: Function, arguments: &[Value], work: &Work) -> Value {
    use Function as F;
    let any_null = arguments.iter().any(|a| a.nullable);
    match (function, arguments) {
        (F::Abs, [x]) => {
            let range = x.range.clone().and_then(|r| {
                let lo = if r.lo() > 0.0 { r.lo() } else { (-r.hi()).max(0.0) };
                interval(lo, r.lo().abs().max(r.hi().abs()))
            });
            arithmetic_result(x.kind, range, x.sure, x.whole, any_null || may_be_least(x))
        }
        (F::Ceil, [x]) => whole_of(x, f64::ceil),
        (F::Floor, [x]) => whole_of(x, f64::floor),
        (F::Trunc, [x]) => whole_of(x, f64::trunc),
        (F::Round, [x]) => whole_of(x, f64::round),
        (F::Round | F::Trunc, [x, digits]) => rounded(x, digits),
        (F::Signum, [x]) => Value::new(Kind::Float, interval(-1.0, 1.0)).sure(x.sure).whole(true).nullable(x.nullable),
        (F::Sqrt | F::Exp | F::Ln | F::Log10 | F::Log2, [x]) => transcendental(function, x),
        (F::Power, [x, y]) => power(x, y),
        (F::Clamp, [x, lo, hi]) => clamp(x, lo, hi, work),
        (F::Least | F::Greatest, [_, ..]) => extreme(arguments, function == F::Least, work),
        (F::Coalesce, [_, ..]) => {
            let used = arguments.iter().position(|a| !a.nullable).map_or(arguments.len(), |at| at + 1);
            let nullable = arguments.iter().all(|a| a.nullable);
            union(arguments[..used].iter(), work).nullable(nullable)
        }
        (F::NullIf, [x, _]) => x.clone().nullable(true),
        (F::WidthBucket, [x, lo, hi, n]) => {
            // NULL where the band has no width, where there is less than one bucket, and of what is no number.
            let ordered = matches!((&lo.range, &hi.range), (Ok(l), Ok(h)) if l.hi() < h.lo());
            let counted = n.point().is_some_and(|n| (1.0..=1e9).contains(&n));
            let known = ordered && counted && ![x, lo, hi, n].into_iter().any(may_be_nan);
            let range = match n.point() {
                Some(n) if n >= 1.0 => interval(0.0, n + 1.0),
                _ => Err(Cause::Function("width_bucket")),
            };
            Value::new(Kind::Int, range).sure(true).nullable(any_null || !known)
        }
        (F::DateTrunc(field), [x]) => dates::truncated(field, x, work).nullable(any_null),
        (F::DateShift { months, days }, [x]) => dates::moved(x, months, days, work),
        (F::DatePart(field), [x]) => {
            Value::new(Kind::Int, date_range(field, x)).sure(x.sure || field != DateField::Year).nullable(any_null)
        }
        (F::StartsWith | F::EndsWith | F::Contains, _) => Value::bool().nullable(any_null),
        (F::CharacterLength, _) => Value::new(Kind::Int, Err(Cause::Function("character_length"))).nullable(any_null),
        (F::Position, _) => Value::new(Kind::Int, Err(Cause::Function("strpos"))).nullable(any_null),
        (
            F::Lower | F::Upper | F::Trim | F::TrimStart | F::TrimEnd | F::Substring | F::Left | F::Right | F::Concat,
            _,
        ) => {
            let mut text = Value::text(any_null);
            text.domain = image(function, arguments, work);
            text
        }
        // A wrong number of arguments: the engine will not have planned it.
        _ => Value::text(true),
    }
}

fn whole_of(x: &Value, f: fn(f64) -> f64) -> Value {
    let range = x.range.clone().and_then(|r| interval(f(r.lo()), f(r.hi())));
    let kind = if x.kind == Kind::Int { Kind::Int } else { Kind::Float };
    arithmetic_result(kind, range, x.sure, true, x.nullable).lattice(x.whole_lattice())
}

fn rounded(x: &Value, digits: &Value) -> Value {
    let kind = if x.kind == Kind::Int { Kind::Int } else { Kind::Float };
    let nullable = x.nullable || (x.kind == Kind::Int && !(x.sure && within(&x.range, 4e18)));
    let Some(digits) = digits.point().filter(|d| d.abs() <= 30.0) else {
        return Value::new(kind, Err(Cause::Function("round"))).nullable(true);
    };
    // Rounding and truncating move a value by less than one step.
    let step = 10f64.powf(-digits.trunc());
    if (-15.0..=0.0).contains(&digits) {
        // Multiples of the step; neither rounding nor truncating passes by one.
        let range =
            x.range.clone().and_then(|r| interval((r.lo() / step).floor() * step, (r.hi() / step).ceil() * step));
        #[allow(clippy::cast_possible_truncation, reason = "at most 10^15")]
        let lattice = Lattice::multiples(step as i64);
        return arithmetic_result(kind, range, x.sure, true, nullable).lattice(lattice);
    }
    let range = x.range.clone().and_then(|r| outward(r.lo() - step, r.hi() + step, false));
    arithmetic_result(kind, range, x.sure, digits <= 0.0, nullable)
}

fn transcendental(function: Function, x: &Value) -> Value {
    let name = match function {
        Function::Sqrt => "sqrt",
        Function::Exp => "exp",
        Function::Ln => "ln",
        Function::Log10 => "log10",
        _ => "log2",
    };
    let apply = |v: f64| match function {
        Function::Sqrt => v.sqrt(),
        Function::Exp => v.exp(),
        Function::Ln => v.ln(),
        Function::Log10 => v.log10(),
        _ => v.log2(),
    };
    let range = x.range.clone().and_then(|r| {
        let logarithm = !matches!(function, Function::Sqrt | Function::Exp);
        if (logarithm && r.lo() <= 0.0) || (function == Function::Sqrt && r.hi() < 0.0) {
            return Err(Cause::Function(name));
        }
        // sqrt of a negative number is NaN, which no range speaks of.
        let from = if function == Function::Sqrt { r.lo().max(0.0) } else { r.lo() };
        widened(apply(from), apply(r.hi()))
    });
    // The value where the function is not defined is NaN or NULL, as the engine guards it.
    let undefined = match function {
        Function::Exp => false,
        Function::Sqrt => !(x.sure && x.range.as_ref().is_ok_and(|r| r.lo() >= 0.0)),
        _ => !x.range.as_ref().is_ok_and(|r| r.lo() > 0.0),
    };
    Value::new(Kind::Float, range).sure(x.sure).nullable(x.nullable || undefined)
}

/// Mathematical libraries err by a few units in the last place: 4 ulp and a little are added.
fn widened(lo: f64, hi: f64) -> Result<Interval, Cause> {
    let slack = |v: f64| v.abs() * 1e-15 + f64::MIN_POSITIVE;
    interval(lo - slack(lo), hi + slack(hi))
}

fn power(x: &Value, y: &Value) -> Value {
    let range = both(x, y).and_then(|(a, b)| {
        let corners = [a.lo().powf(b.lo()), a.lo().powf(b.hi()), a.hi().powf(b.lo()), a.hi().powf(b.hi())];
        if a.lo() > 0.0 {
            // x^y = e^(y ln x), and y ln x is bilinear: the extremes are at the corners.
            let (lo, hi) = hull(&corners);
            return widened(lo, hi);
        }
        if a.lo() >= 0.0 && b.lo() >= 0.0 {
            let (_, hi) = hull(&corners);
            return widened(0.0, hi.max(1.0));
        }
        if b.lo() == b.hi() && b.lo() >= 0.0 && b.lo().fract() == 0.0 {
            let most = corners[0].abs().max(corners[2].abs()).max(1.0);
            let lo = if b.lo() % 2.0 == 0.0 { 0.0 } else { -most };
            return widened(lo, most);
        }
        Err(Cause::Function("power"))
    });
    // Some engines give whole numbers for whole numbers; as a number of any kind it is told either way.
    // Nothing to a negative power is NULL.
    let defined = |r: &Result<Interval, Cause>, least: f64| r.as_ref().is_ok_and(|r| r.lo() >= least);
    let divides = !((x.sure && defined(&x.range, f64::MIN_POSITIVE)) || (y.sure && defined(&y.range, 0.0)));
    Value::new(Kind::Float, range).nullable(x.nullable || y.nullable || divides)
}

fn clamp(x: &Value, lo: &Value, hi: &Value, work: &Work) -> Value {
    let kind = union([x, lo, hi].into_iter(), work).kind;
    let range = both(lo, hi).and_then(|(l, h)| {
        if l.hi() > h.lo() {
            return Err(Cause::Function("clamp"));
        }
        Ok(match &x.range {
            // min(max(x, lo), hi) grows with each of the three.
            Ok(r) if x.sure => interval(r.lo().max(l.lo()).min(h.lo()), r.hi().max(l.hi()).min(h.hi()))?,
            _ => interval(l.lo(), h.hi())?,
        })
    });
    let nullable = [x, lo, hi].into_iter().any(|v| v.nullable || may_be_nan(v)) || range.is_err();
    Value::new(kind, range).sure(lo.sure && hi.sure).whole(x.whole && lo.whole && hi.whole).nullable(nullable)
}

/// `least` and `greatest` skip NULL arguments.
fn extreme(arguments: &[Value], least: bool, work: &Work) -> Value {
    let mut all = union(arguments.iter(), work);
    all.nullable = arguments.iter().all(|a| a.nullable);
    let sure = arguments.iter().filter(|a| !a.nullable && a.sure);
    let ends = sure.filter_map(|a| a.range.as_ref().ok());
    all.range = all.range.and_then(|r| {
        if least {
            interval(r.lo(), ends.map(Interval::hi).fold(r.hi(), f64::min))
        } else {
            interval(ends.map(Interval::lo).fold(r.lo(), f64::max), r.hi())
        }
    });
    all
}

fn date_range(field: DateField, x: &Value) -> Result<Interval, Cause> {
    match field {
        DateField::Year => {
            let r = x.range.clone()?;
            interval(year_of(r.lo()), year_of(r.hi()))
        }
        DateField::Quarter => interval(1.0, 4.0),
        DateField::Month => interval(1.0, 12.0),
        DateField::Week => interval(1.0, 53.0),
        DateField::Day => interval(1.0, 31.0),
        DateField::DayOfWeek => interval(0.0, 6.0),
        DateField::DayOfYear => interval(1.0, 366.0),
    }
}
