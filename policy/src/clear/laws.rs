//! Laws of the analysis, checked on random expressions: what is said of a value holds for the value.

use super::evaluate::evaluate;
use super::value::{Value, Work};
use crate::facts::{BinaryOperator as Op, ColumnFacts, Expression as E, Function as F, Interval, Kind, Literal};
use crate::keys::Ordered;
use crate::words::ColumnClass;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A concrete value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum V {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
}

impl V {
    fn number(self) -> Option<f64> {
        match self {
            V::Null => None,
            V::Bool(b) => Some(f64::from(u8::from(b))),
            V::Int(i) => Some(i as f64),
            V::Float(x) => Some(x),
        }
    }

    fn literal(self) -> Literal {
        match self {
            V::Null => Literal::Null,
            V::Bool(b) => Literal::Bool(b),
            V::Int(i) => Literal::Int(i),
            V::Float(x) => Literal::Float(x),
        }
    }
}

/// How integers behave when they grow: in 64 bits they are exact here (anything larger is not looked at), in 32 they wrap.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Width {
    Wide,
    Wrapping32,
}

/// The value of an expression as the engine would compute it; `Err` where a wide integer overflows, and where NaN comes
/// up, of which ranges do not speak.
fn run(e: &E, row: &[V], width: Width) -> Result<V, ()> {
    match compute(e, row, width)? {
        // SQL widens the results of CASE, least and the like to one type.
        V::Int(i) if evaluate(e, &|at| COLUMNS.get(at), &Work::of_one_plan()).kind == Kind::Float => {
            Ok(V::Float(i as f64))
        }
        V::Float(x) if x.is_nan() => Err(()),
        v => Ok(v),
    }
}

fn compute(e: &E, row: &[V], width: Width) -> Result<V, ()> {
    let int = |i: i128| match width {
        Width::Wide => i64::try_from(i).map(V::Int).map_err(|_| ()),
        Width::Wrapping32 => Ok(V::Int(i64::from(i as i32))),
    };
    Ok(match e {
        E::Column(at) => row[*at],
        E::Literal(Literal::Int(i)) => V::Int(*i),
        E::Literal(Literal::Float(x)) => V::Float(*x),
        E::Literal(Literal::Bool(b)) => V::Bool(*b),
        E::Literal(_) => V::Null,
        E::Negate(x) => match run(x, row, width)? {
            V::Int(i) => int(-i128::from(i))?,
            V::Float(x) => V::Float(-x),
            _ => V::Null,
        },
        E::IsTest(x) => V::Bool(run(x, row, width)? == V::Null),
        E::Binary { operator, left, right } => {
            let (a, b) = (run(left, row, width)?, run(right, row, width)?);
            match (a, b) {
                (V::Null, _) | (_, V::Null) => V::Null,
                (V::Int(a), V::Int(b)) => whole(*operator, a.into(), b.into()).map_or(Ok(V::Null), int)?,
                _ => real(*operator, a.number().unwrap_or(0.0), b.number().unwrap_or(0.0)),
            }
        }
        E::Case { branches, otherwise } => {
            for (when, then) in branches {
                if run(when, row, width)? == V::Bool(true) {
                    return run(then, row, width);
                }
            }
            otherwise.as_ref().map_or(Ok(V::Null), |x| run(x, row, width))?
        }
        E::Cast { value, to, .. } => match (run(value, row, width)?, to) {
            (V::Null, _) => V::Null,
            (v, Kind::Float) => V::Float(v.number().unwrap_or(0.0)),
            // The narrowest integer type: the analysis does not know the width.
            (v, _) => match v.number().unwrap_or(0.0) {
                x if x.trunc().abs() <= 127.0 => V::Int(x.trunc() as i64),
                _ => V::Null,
            },
        },
        E::Call { function, arguments } => {
            let arguments: Vec<V> = arguments.iter().map(|x| run(x, row, width)).collect::<Result<_, _>>()?;
            function_of(*function, &arguments, int)?
        }
        other => unreachable!("not generated: {other:?}"),
    })
}

fn whole(op: Op, a: i128, b: i128) -> Option<i128> {
    match op {
        Op::Add => Some(a + b),
        Op::Subtract => Some(a - b),
        Op::Multiply => Some(a * b),
        Op::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
}

fn real(op: Op, a: f64, b: f64) -> V {
    match op {
        Op::Add => V::Float(a + b),
        Op::Subtract => V::Float(a - b),
        Op::Multiply => V::Float(a * b),
        _ if b == 0.0 => V::Null,
        Op::Divide => V::Float(a / b),
        _ => V::Float(a % b),
    }
}

fn function_of(f: F, x: &[V], int: impl Fn(i128) -> Result<V, ()>) -> Result<V, ()> {
    if f == F::Coalesce {
        return Ok(x.iter().copied().find(|v| *v != V::Null).unwrap_or(V::Null));
    }
    if matches!(f, F::Least | F::Greatest) {
        let known = x.iter().copied().filter(|v| *v != V::Null);
        let by = |a: &V, b: &V| a.number().partial_cmp(&b.number()).unwrap_or(std::cmp::Ordering::Equal);
        return Ok(if f == F::Least { known.min_by(by) } else { known.max_by(by) }.unwrap_or(V::Null));
    }
    if f == F::NullIf {
        return Ok(if x[0].number() == x[1].number() { V::Null } else { x[0] });
    }
    if x.contains(&V::Null) {
        return Ok(V::Null);
    }
    let n: Vec<f64> = x.iter().filter_map(|v| v.number()).collect();
    let same = |g: fn(f64) -> f64| match x[0] {
        V::Int(i) => V::Int(i),
        _ => V::Float(g(n[0])),
    };
    Ok(match f {
        F::Abs => match x[0] {
            V::Int(i) => int(i128::from(i).abs())?,
            _ => V::Float(n[0].abs()),
        },
        F::Ceil => same(f64::ceil),
        F::Floor => same(f64::floor),
        F::Round => same(f64::round),
        F::Trunc => same(f64::trunc),
        F::Sqrt => V::Float(n[0].sqrt()),
        F::Exp => V::Float(n[0].exp()),
        F::Ln if n[0] > 0.0 => V::Float(n[0].ln()),
        F::Ln => V::Null,
        F::Signum => V::Float(n[0].signum()),
        F::Power => V::Float(n[0].powf(n[1])),
        F::Clamp if n[1] > n[2] => V::Null,
        F::Clamp if n[0].is_nan() => V::Float(n[0]),
        F::Clamp => match (x[0], x[1], x[2]) {
            (V::Int(a), V::Int(lo), V::Int(hi)) => V::Int(a.clamp(lo, hi)),
            _ => V::Float(n[0].clamp(n[1], n[2])),
        },
        F::WidthBucket => V::Int((((n[0] - n[1]) / (n[2] - n[1]) * n[3]).floor() + 1.0).clamp(0.0, n[3] + 1.0) as i64),
        other => unreachable!("not generated: {other:?}"),
    })
}

fn column(name: &str, kind: Kind, bounds: (f64, f64), nullable: bool) -> ColumnFacts {
    ColumnFacts {
        name: name.into(),
        kind,
        class: ColumnClass::Attribute,
        usages: BTreeSet::new(),
        bounds: Interval::new(bounds.0, bounds.1),
        values: None,
        nullable,
    }
}

static COLUMNS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [
        column("a", Kind::Int, (-50.0, 50.0), true),
        column("b", Kind::Float, (-3.0, 8.5), true),
        column("c", Kind::Int, (1.0, 9.0), false),
        column("d", Kind::Float, (0.25, 4.0), false),
        column("e", Kind::Int, (0.0, 2e9), false),
    ]
    .iter()
    .map(|c| Value::of_column(c, &Work::of_one_plan()))
    .collect()
});

fn rows() -> impl Strategy<Value = Vec<V>> {
    let or_null = |v: BoxedStrategy<V>| prop_oneof![1 => Just(V::Null), 4 => v];
    (
        or_null((-50i64..=50).prop_map(V::Int).boxed()),
        or_null((-3.0f64..=8.5).prop_map(V::Float).boxed()),
        prop_oneof![Just(1), Just(9), 1i64..=9].prop_map(V::Int),
        prop_oneof![Just(0.25), Just(4.0), 0.25f64..=4.0].prop_map(V::Float),
        prop_oneof![Just(0i64), Just(2_000_000_000), 0..=2_000_000_000i64].prop_map(V::Int),
    )
        .prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

fn expressions() -> impl Strategy<Value = E> {
    let leaf = prop_oneof![
        4 => (0usize..5).prop_map(E::Column),
        2 => (-12i64..=12).prop_map(|i| E::Literal(Literal::Int(i))),
        2 => (-9.0f64..9.0).prop_map(|x| E::Literal(Literal::Float(x))),
        1 => Just(E::Literal(Literal::Null)),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let operator =
            prop_oneof![Just(Op::Add), Just(Op::Subtract), Just(Op::Multiply), Just(Op::Divide), Just(Op::Modulo)];
        let one = prop_oneof![
            Just(F::Abs),
            Just(F::Ceil),
            Just(F::Floor),
            Just(F::Round),
            Just(F::Trunc),
            Just(F::Sqrt),
            Just(F::Exp),
            Just(F::Ln),
            Just(F::Signum)
        ];
        let many = prop_oneof![Just(F::Least), Just(F::Greatest), Just(F::Coalesce)];
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            4 => (operator, boxed.clone(), boxed.clone())
                .prop_map(|(operator, left, right)| E::Binary { operator, left, right }),
            1 => boxed.clone().prop_map(E::Negate),
            2 => (one, inner.clone()).prop_map(|(function, x)| E::Call { function, arguments: vec![x] }),
            1 => (many, prop::collection::vec(inner.clone(), 1..4))
                .prop_map(|(function, arguments)| E::Call { function, arguments }),
            1 => (inner.clone(), inner.clone())
                .prop_map(|(x, y)| E::Call { function: F::NullIf, arguments: vec![x, y] }),
            1 => (inner.clone(), inner.clone())
                .prop_map(|(x, y)| E::Call { function: F::Power, arguments: vec![x, y] }),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(x, lo, hi)| E::Call { function: F::Clamp, arguments: vec![x, lo, hi] }),
            1 => (inner.clone(), 1i64..20).prop_map(|(x, n)| E::Call {
                function: F::WidthBucket,
                arguments: [vec![x], [0, 100, n].map(|i| E::Literal(Literal::Int(i))).to_vec()].concat(),
            }),
            1 => (boxed.clone(), prop_oneof![Just(Kind::Int), Just(Kind::Float)])
                .prop_map(|(value, to)| E::Cast { value, to, rounds: false }),
            2 => (boxed.clone(), inner.clone(), prop::option::of(boxed)).prop_map(|(test, then, otherwise)| {
                E::Case { branches: vec![(E::IsTest(test), then)], otherwise }
            }),
        ]
    })
}

/// Whether `v` is what `value` says, apart from the range.
fn fits(v: V, value: &Value, wrapped: bool) -> Result<(), String> {
    if v == V::Null {
        return if value.nullable { Ok(()) } else { Err("NULL was said to be impossible".into()) };
    }
    let Some(x) = v.number().filter(|x| !x.is_nan()) else { return Ok(()) };
    if let Some(domain) = &value.domain {
        let inside = domain.iter().any(|l| Ordered::of(l) == Ordered::of(&v.literal()));
        if !inside {
            return Err(format!("outside of the domain {domain:?}"));
        }
    }
    if let Ok(range) = &value.range {
        let inside = range.lo() <= x && x <= range.hi();
        if !inside && (!wrapped || value.sure) {
            return Err(format!("outside of {range:?}, sure: {}", value.sure));
        }
    }
    if value.whole && x.is_finite() && x.fract() != 0.0 {
        return Err("was said to be whole".into());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_of_an_expression_holds(e in expressions(), row in rows()) {
            let value = evaluate(&e, &|at| COLUMNS.get(at), &Work::of_one_plan());
        if let Ok(v) = run(&e, &row, Width::Wide) {
            let fit = fits(v, &value, false);
            prop_assert!(fit.is_ok(), "{v:?} of {e:?}: {fit:?}");
        }
    }

    #[test]
    fn a_sure_range_survives_integers_that_wrap(e in expressions(), row in rows()) {
            let value = evaluate(&e, &|at| COLUMNS.get(at), &Work::of_one_plan());
        if let Ok(v) = run(&e, &row, Width::Wrapping32) {
            let sure = value.sure;
            if sure {
                let fit = fits(v, &value, true);
                prop_assert!(fit.is_ok(), "{v:?} of {e:?}: {fit:?}");
            }
        }
    }
}
