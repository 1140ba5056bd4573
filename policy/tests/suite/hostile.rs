//! Any facts get an answer: a seeded grammar of plans, well-formed or not.

use crate::fixture::*;
use proptest::prelude::*;
use yunei_policy::clear::{Mechanism, Preferences, clear_with};
use yunei_policy::facts::*;
use yunei_policy::rules::RuleSet;
use yunei_policy::words::{ReleaseClass, UnitKind};

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        prop_oneof![any::<f64>(), Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(-0.0)].prop_map(Literal::Float),
        any::<i32>().prop_map(Literal::Date),
        "[a-z\u{4e00}-\u{4e10}]{0,5}".prop_map(Literal::Text),
    ]
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Bool), Just(Kind::Int), Just(Kind::Float), Just(Kind::Date), Just(Kind::Text)]
}

fn operators() -> impl Strategy<Value = BinaryOperator> {
    use BinaryOperator::*;
    proptest::sample::select(vec![
        Add,
        Subtract,
        Multiply,
        Divide,
        Modulo,
        Compare,
        Equal,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        And,
        Or,
    ])
}

fn functions() -> impl Strategy<Value = Function> {
    use Function::*;
    proptest::sample::select(vec![
        Abs,
        Ceil,
        Floor,
        Round,
        Trunc,
        Sqrt,
        Exp,
        Ln,
        Log10,
        Log2,
        Power,
        Signum,
        Clamp,
        Least,
        Greatest,
        Coalesce,
        NullIf,
        WidthBucket,
        Lower,
        Upper,
        Trim,
        CharacterLength,
        Substring,
        Concat,
        StartsWith,
        DatePart(DateField::Year),
        DatePart(DateField::Week),
        DatePart(DateField::DayOfYear),
        DateTrunc(DateField::Year),
        DateTrunc(DateField::Month),
        DateTrunc(DateField::Week),
        DateTrunc(DateField::DayOfYear),
        Left,
        Right,
        TrimStart,
        Position,
        Contains,
    ])
}

fn expressions() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        3 => (0usize..14).prop_map(col),
        2 => literals().prop_map(Expression::Literal),
        1 => (kinds(), prop::option::of(prop::collection::vec(literals(), 0..4))).prop_map(|(kind, values)| {
            Expression::Parameter { name: "p".into(), kind, bounds: Interval::new(-1e300, 1e300), values }
        }),
    ];
    leaf.prop_recursive(6, 48, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let list = prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            3 => (operators(), boxed.clone(), boxed.clone())
                .prop_map(|(operator, left, right)| Expression::Binary { operator, left, right }),
            3 => (functions(), list.clone()).prop_map(|(function, arguments)| Expression::Call { function, arguments }),
            1 => boxed.clone().prop_map(Expression::Negate),
            1 => boxed.clone().prop_map(Expression::Not),
            1 => boxed.clone().prop_map(Expression::IsTest),
            1 => boxed.clone().prop_map(Expression::IsNotNull),
            1 => (boxed.clone(), kinds()).prop_map(|(value, to)| Expression::Cast { value, to, rounds: to == Kind::Float }),
            1 => (boxed.clone(), boxed.clone(), boxed.clone())
                .prop_map(|(value, low, high)| Expression::Between { value, low, high }),
            1 => (boxed.clone(), list.clone()).prop_map(|(value, list)| Expression::InList { value, list }),
            1 => (prop::collection::vec((inner.clone(), inner), 0..4), prop::option::of(boxed))
                .prop_map(|(branches, otherwise)| Expression::Case { branches, otherwise }),
            1 => list.prop_map(model),
        ]
    })
}

fn aggregates() -> impl Strategy<Value = Aggregate> {
    use AggregateFunction::*;
    let output = Interval::new(0.0, 1.0).unwrap();
    let functions = vec![
        Count,
        CountDistinct,
        Sum,
        Avg,
        Variance,
        Stddev,
        VariancePop,
        StddevPop,
        Quantile { q: 0.5 },
        Quantile { q: f64::NAN },
        Min,
        Max,
        UnitModel { model: "m@1".into(), output },
    ];
    (proptest::sample::select(functions), prop::collection::vec(expressions(), 0..3))
        .prop_map(|(function, arguments)| aggregate("x)(", function, arguments))
}

fn scans() -> impl Strategy<Value = Scan> {
    (
        proptest::sample::select(vec![residents(), power(), cities()]),
        prop::option::of(0usize..14),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<u32>()),
        proptest::sample::select(vec![ReleaseClass::Personal, ReleaseClass::Statistical, ReleaseClass::Open]),
        any::<bool>(),
    )
        .prop_map(|(scan, unit, most_rows, most_groups, release, keep)| {
            if keep {
                return scan;
            }
            Scan { unit, most_rows, most_groups, release, unit_kind: UnitKind::LegalPerson, ..scan }
        })
}

fn relations() -> impl Strategy<Value = Relation> {
    scans().prop_map(Relation::Scan).prop_recursive(4, 10, 2, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let list = || prop::collection::vec(expressions(), 0..4);
        prop_oneof![
            (boxed.clone(), expressions()).prop_map(|(input, predicate)| Relation::Filter { input, predicate }),
            (boxed.clone(), list()).prop_map(|(input, outputs)| Relation::Project { input, outputs }),
            (
                proptest::sample::select(vec![
                    JoinKind::Inner,
                    JoinKind::Left,
                    JoinKind::Right,
                    JoinKind::Semi,
                    JoinKind::Anti
                ]),
                boxed.clone(),
                boxed.clone(),
                prop::collection::vec((expressions(), expressions()), 0..3),
                prop::option::of(expressions())
            )
                .prop_map(|(kind, left, right, on, filter)| Relation::Join {
                    kind,
                    left,
                    right,
                    on,
                    filter
                }),
            prop::collection::vec(inner, 0..3).prop_map(|inputs| Relation::Union { inputs }),
            (boxed, list(), prop::collection::vec(aggregates(), 0..3))
                .prop_map(|(input, keys, aggregates)| Relation::PerUnit { input, keys, aggregates }),
        ]
    })
}

fn leaves() -> impl Strategy<Value = Leaf> {
    let keys = prop::collection::vec(expressions().prop_map(|x| key("k", x)), 0..3);
    (relations(), keys, prop::collection::vec(aggregates(), 0..4)).prop_map(|(input, keys, aggregates)| Leaf {
        input,
        keys,
        aggregates,
    })
}

/// Whether the unit of each row can still be told: its column stands below, though a projection may have left it out.
fn keeps_unit(relation: &Relation) -> bool {
    match relation {
        Relation::Scan(scan) => scan.unit.is_some(),
        Relation::Filter { input, .. } | Relation::Project { input, .. } => keeps_unit(input),
        Relation::Join { kind, left, right, .. } => match kind {
            JoinKind::Left | JoinKind::Semi | JoinKind::Anti => keeps_unit(left),
            JoinKind::Right => keeps_unit(right),
            JoinKind::Inner => keeps_unit(if is_private(left) { left } else { right }),
        },
        Relation::Union { inputs } => inputs.iter().all(keeps_unit),
        // The unit is one of the keys: a plain column of it.
        Relation::PerUnit { input, keys, .. } => {
            keys.iter().any(|key| matches!(key, Expression::Column(_))) && keeps_unit(input)
        }
    }
}

fn is_private(relation: &Relation) -> bool {
    match relation {
        Relation::Scan(scan) => scan.release != ReleaseClass::Open,
        Relation::Filter { input, .. } | Relation::Project { input, .. } | Relation::PerUnit { input, .. } => {
            is_private(input)
        }
        Relation::Join { left, right, .. } => is_private(left) || is_private(right),
        Relation::Union { inputs } => inputs.iter().any(is_private),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    /// Reasons or a clearance, and a clearance that keeps its promises about itself.
    #[test]
    fn any_facts_get_an_answer(
        leaves in prop::collection::vec(leaves(), 0..3),
        epsilon in prop_oneof![0.001f64..2.0, any::<f64>()],
        max_groups in prop::option::of(any::<u32>()),
        max_rows in prop::option::of(any::<u32>()),
        laplace in any::<bool>(),
    ) {
        let demand = Some(PrivacyDemand { epsilon, max_groups, max_rows });
        let mechanism = if laplace { Mechanism::Laplace } else { Mechanism::Gaussian };
        let preferences = Preferences { mechanism, ..Preferences::default() };
        let facts = PlanFacts { leaves, demand };
        match clear_with(&facts, &RuleSet::default(), &preferences) {
            Err(refused) => prop_assert!(!refused.reasons().is_empty()),
            Ok(clearance) => {
                let parts: u64 = clearance.leaves().iter().map(|l| l.charge().rho.units()).sum();
                prop_assert!(parts <= clearance.charge().rho.units());
                for (leaf, told) in clearance.leaves().iter().zip(&facts.leaves) {
                    // What one unit adds can only be bounded where it is known who the unit is.
                    prop_assert!(leaf.bounding().is_none() || leaf.unit().is_some() || keeps_unit(&told.input));
                    prop_assert_eq!(leaf.measures().is_empty(), leaf.class() == ReleaseClass::Open);
                    for measure in leaf.measures() {
                        prop_assert!(measure.sigma_grid().is_finite() && measure.sigma_grid() > 0.0);
                        prop_assert!(measure.lo() <= measure.hi() && measure.scale().abs() < 1_000);
                    }
                }
            }
        }
    }
}
