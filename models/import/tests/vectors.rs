//! Imported models say what the original runtime said: recorded vectors of `conformance/record.py`.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use yunei_import::Style;

/// How close answers have to be.
#[derive(Clone, Copy)]
enum Close {
    /// The same binary32.
    Bits,
    /// So many units in the last place of binary32.
    Ulps(u64),
    /// The same binary64.
    Exact,
    /// Relative.
    Relative(f64),
}

fn check(name: &str, close: Close) {
    let (file, recorded) = (model_file(name), vectors(name));
    for style in [Style::Nested, Style::Lanes, Style::Auto] {
        let imported = import(&file, style);
        for (export, wanted) in &recorded.answers {
            let said = answers(&imported, export, &recorded);
            for (row, (a, b)) in said.iter().zip(wanted).enumerate() {
                let near = match close {
                    Close::Bits => ulps(*a, *b) == 0,
                    Close::Ulps(n) => ulps(*a, *b) <= n,
                    Close::Exact => a == b,
                    Close::Relative(r) => (a - b).abs() <= r * b.abs().max(1e-30),
                };
                assert!(near, "{name} {style:?} {export} row {row}: {a:e} for {b:e}");
            }
        }
    }
}

#[test]
fn xgboost_sums_are_the_same_bits() {
    for name in ["xgboost_regression", "xgboost_deep", "xgboost_dense", "xgboost_categories", "xgboost_dart"] {
        check(name, Close::Bits);
    }
}

#[test]
fn xgboost_probabilities_and_counts_are_within_one_ulp() {
    for name in ["xgboost_binary", "xgboost_poisson", "xgboost_classes"] {
        check(name, Close::Ulps(1));
    }
}

#[test]
fn xgboost_labels_are_the_same() {
    check("xgboost_label", Close::Exact);
}

#[test]
fn lightgbm_sums_are_the_same_bits() {
    for name in [
        "lightgbm_regression",
        "lightgbm_zero",
        "lightgbm_no_missing",
        "lightgbm_forest",
        "lightgbm_categories",
        "lightgbm_leafwise",
    ] {
        check(name, Close::Exact);
    }
}

#[test]
fn lightgbm_probabilities_are_within_rounding() {
    for name in ["lightgbm_binary", "lightgbm_classes"] {
        check(name, Close::Relative(1e-14));
    }
}
