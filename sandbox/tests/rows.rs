//! Row models: results, defaults, NULLs, column types.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, UInt8Array,
};
use common::*;
use yunei_sandbox::{Class, Cost, SandboxError};

fn one_row(kind: &str, body: &str) -> yunei_sandbox::Model {
    let m = manifest("row", &[kind], WIDE, "");
    let text = format!("(module (func (export \"score\") (param {kind}) (result f64) {body}))");
    load(&sandbox(), &m, text)
}

#[test]
fn the_scorecard_is_stateless_bounded_and_plausible() {
    let model = folder(&sandbox(), "credit-risk");
    assert_eq!(model.report().class, Class::Stateless);
    assert!(matches!(model.report().cost, Cost::Bounded(n) if n < 500), "{}", model.report());
    let people = people(20_000, 1);
    let scores = model.score(&columns(&people), people.len()).unwrap();
    let scores: Vec<f64> = scores.values().to_vec();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let spread = (scores.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / scores.len() as f64).sqrt();
    assert!((0.25..0.40).contains(&mean), "{mean}");
    assert!(spread > 0.1, "{spread}");
    assert!(scores.iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn the_scorecard_agrees_with_its_formula() {
    let model = folder(&sandbox(), "credit-risk");
    let people = people(3000, 2);
    let scores = model.score(&columns(&people), people.len()).unwrap();
    for (p, score) in people.iter().zip(scores.values()) {
        let [age, income, months, debts, education] = *p;
        let youth = (45.0 - age) / 45.0;
        let z = -0.55 + 3.4 * (debts / (debts + (income + 10_000.0))) + 0.5 * (youth * youth)
            - 1.6 * (income / (income + 80_000.0))
            - 0.9 * (months / (months + 60.0))
            - 0.12 * (education - 2.0);
        let exact = 0.5 * (1.0 + z / (1.0 + z.abs()));
        assert!((exact - score).abs() <= 0.5001e-4, "{exact} {score}");
    }
}

#[test]
fn a_trap_costs_its_row_and_no_other() {
    let model = one_row("f64", "local.get 0 f64.const 3 f64.eq if unreachable end local.get 0");
    for n in [1, 2, 5, 1023, 1024, 1025, 3000] {
        let column = floats((0..n).map(|i| f64::from(i % 7)));
        let scores = model.score(&[column], n as usize).unwrap();
        for (i, score) in scores.values().iter().enumerate() {
            let want = if i % 7 == 3 { -7.0 } else { (i % 7) as f64 };
            assert_eq!(*score, want, "row {i} of {n}");
        }
    }
    let all = floats(vec![3.0; 2500]);
    assert!(model.score(&[all], 2500).unwrap().values().iter().all(|x| *x == -7.0));
}

#[test]
fn no_rows_are_no_rows() {
    let model = one_row("f64", "local.get 0");
    assert_eq!(model.score(&[floats([])], 0).unwrap().len(), 0);
}

#[test]
fn a_null_without_a_value_for_it_is_null_and_not_shown() {
    let model = one_row("f64", "local.get 0 f64.const 0 f64.eq if unreachable end local.get 0");
    let column: ArrayRef = Arc::new(Float64Array::from_iter((0..3000).map(|i| (i % 3 != 0).then_some(f64::from(i)))));
    let scores = model.score(&[column], 3000).unwrap();
    for i in 0..3000 {
        assert_eq!(scores.is_null(i), i % 3 == 0);
        if i % 3 != 0 {
            assert_eq!(scores.value(i), i as f64);
        }
    }
}

#[test]
fn a_null_with_a_value_for_it_is_that_value() {
    let text = "[model]\nid='m'\nversion='1.0.0'\nkind='row'\nfile='m.wat'\n\
        [[feature]]\nname='a'\ntype='f64'\nmissing=100.5\n[[feature]]\nname='b'\ntype='i32'\nmissing=-3\n\
        [output]\nmin=-1e9\nmax=1e9\ndefault=0\n";
    let m = yunei_sandbox::Manifest::parse(text).unwrap();
    let model = load(
        &sandbox(),
        &m,
        "(module (func (export \"score\") (param f64 i32) (result f64) local.get 0 local.get 1 f64.convert_i32_s f64.add))",
    );
    let a: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(2.0), None]));
    let b: ArrayRef = Arc::new(Int32Array::from(vec![Some(10), Some(20), None, None]));
    let scores = model.score(&[a, b], 4).unwrap();
    assert_eq!(scores.null_count(), 0);
    assert_eq!(scores.values().to_vec(), [11.0, 120.5, -1.0, 97.5]);
}

#[test]
fn a_null_may_arrive_as_nan() {
    let text = "[model]\nid='m'\nversion='1.0.0'\nkind='row'\nfile='m.wat'\nexport='second'\n\
        [[feature]]\nname='a'\ntype='f32'\nmissing=nan\n[output]\nmin=-1e9\nmax=1e9\ndefault=0\n";
    let m = yunei_sandbox::Manifest::parse(text).unwrap();
    let module = "(module (func (export \"score\") (param f32) (result f64) unreachable)
        (func (export \"second\") (param f32) (result f64)
            local.get 0 local.get 0 f32.ne if (result f64) f64.const 5 else local.get 0 f64.promote_f32 end))";
    let model = load(&sandbox(), &m, module);
    let a: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]));
    assert_eq!(values(&model.score(&[a], 3).unwrap()), [Some(1.0), Some(5.0), Some(5.0)]);
}

#[test]
fn every_column_type_arrives() {
    let f64s = one_row("f64", "local.get 0");
    let i64s = one_row("i64", "local.get 0 f64.convert_i64_s");
    let i32s = one_row("i32", "local.get 0 f64.convert_i32_s");
    let f32s = one_row("f32", "local.get 0 f64.promote_f32");
    let same: Vec<(ArrayRef, [f64; 3])> = vec![
        (Arc::new(Int64Array::from(vec![-1, 0, 5])), [-1.0, 0.0, 5.0]),
        (Arc::new(UInt8Array::from(vec![255, 0, 5])), [255.0, 0.0, 5.0]),
        (Arc::new(BooleanArray::from(vec![true, false, true])), [1.0, 0.0, 1.0]),
        (Arc::new(Date32Array::from(vec![-1, 0, 20_000])), [-1.0, 0.0, 20_000.0]),
        (
            Arc::new(DictionaryArray::<Int8Type>::new(vec![1_i8, 0, 1].into(), Arc::new(Int64Array::from(vec![7, 9])))),
            [9.0, 7.0, 9.0],
        ),
        (Arc::new(Int64Array::from(vec![9, 9, 1, 2, 3, 9]).slice(2, 3)), [1.0, 2.0, 3.0]),
    ];
    for (array, want) in &same {
        for model in [&f64s, &i64s, &i32s, &f32s] {
            let got = model.score(std::slice::from_ref(array), 3).unwrap();
            assert_eq!(got.values().to_vec(), want, "{}", array.data_type());
        }
    }
    let decimal: ArrayRef =
        Arc::new(Decimal128Array::from(vec![12_345, -5, 0]).with_precision_and_scale(20, 2).unwrap());
    assert_eq!(f64s.score(std::slice::from_ref(&decimal), 3).unwrap().values().to_vec(), [123.45, -0.05, 0.0]);
    assert_eq!(i64s.score(&[decimal], 3).unwrap().values().to_vec(), [12_345.0, -5.0, 0.0]);
    let big: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 1 << 31]));
    let ends = [f64::from(i32::MAX), f64::from(i32::MIN), f64::from(i32::MAX)];
    assert_eq!(i32s.score(&[big], 3).unwrap().values().to_vec(), ends);
    let single: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 1.5, -2.0]));
    let wide: Vec<f64> = [0.1_f32, 1.5, -2.0].iter().map(|x| f64::from(*x)).collect();
    assert_eq!(f64s.score(&[single], 3).unwrap().values().to_vec(), wide);
}

#[test]
fn a_dictionary_with_nulls_in_keys_and_values() {
    let model = one_row("i64", "local.get 0 f64.convert_i64_s");
    let entries = Arc::new(Int64Array::from(vec![Some(7), None]));
    let keys = arrow_array::Int8Array::from(vec![Some(0), Some(1), None, Some(0)]);
    let array: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, entries));
    assert_eq!(values(&model.score(&[array], 4).unwrap()), [Some(7.0), None, None, Some(7.0)]);
    let empty = Arc::new(Int64Array::from(Vec::<i64>::new()));
    let none: ArrayRef =
        Arc::new(DictionaryArray::<Int8Type>::new(arrow_array::Int8Array::from(vec![None, None]), empty));
    assert_eq!(values(&model.score(&[none], 2).unwrap()), [None, None]);
}

#[test]
fn a_caller_s_mistakes_are_errors_without_values() {
    let model = one_row("i64", "f64.const 0");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["secret"]));
    assert_eq!(model.score(&[text], 1), Err(SandboxError::Type { feature: 0 }));
    assert_eq!(model.score(&[floats([1.0])], 1), Err(SandboxError::Type { feature: 0 }));
    assert_eq!(model.score(&[], 1), Err(SandboxError::Columns { expected: 1, got: 0 }));
    let short: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert_eq!(
        model.score(std::slice::from_ref(&short), 2),
        Err(SandboxError::Rows { feature: 0, expected: 2, got: 1 })
    );
    assert_eq!(model.fold(&[short], &[]), Err(SandboxError::Kind));
}

#[test]
fn models_run_from_several_threads() {
    let model = folder(&sandbox(), "credit-risk");
    let people = people(5000, 3);
    let want = model.score(&columns(&people), 5000).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(model.score(&columns(&people), 5000).unwrap(), want));
        }
    });
}
