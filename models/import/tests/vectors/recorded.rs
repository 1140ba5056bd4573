//! Imported models say what the original runtime said: recorded vectors of `conformance/record.py`.

use crate::common::*;
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
    /// Relative to the answer or, where terms cancel, to the greatest answer: sums in binary32 in another order.
    Near(f64),
}

fn check(name: &str, close: Close) {
    let (file, recorded) = (model_file(name), vectors(name));
    for style in [Style::Nested, Style::Lanes, Style::Auto] {
        let imported = import(&file, style);
        for (export, wanted) in &recorded.answers {
            let said = answers(&imported, export, &recorded);
            let most = wanted.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            for (row, (a, b)) in said.iter().zip(wanted).enumerate() {
                let near = match close {
                    Close::Bits => ulps(*a, *b) == 0,
                    Close::Ulps(n) => ulps(*a, *b) <= n,
                    Close::Exact => a == b,
                    Close::Near(r) => (a - b).abs() <= r * b.abs().max(0.1 * most),
                    Close::Relative(r) => (a - b).abs() <= r * b.abs().max(1e-30),
                };
                assert!(near, "{name} {style:?} {export} row {row}: {a:e} for {b:e}");
            }
        }
    }
}

#[test]
fn xgboost_sums_are_the_same_bits() {
    for name in [
        "xgboost_regression",
        "xgboost_deep",
        "xgboost_dense",
        "xgboost_categories",
        "xgboost_dart",
        "xgboost_logitraw",
    ] {
        check(name, Close::Bits);
    }
}

#[test]
fn xgboost_probabilities_and_counts_are_within_one_ulp() {
    for name in [
        "xgboost_binary",
        "xgboost_ubjson",
        "xgboost_poisson",
        "xgboost_classes",
        "xgboost_dart_classes",
        "xgboost_categories_binary",
    ] {
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
        "lightgbm_frame",
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

#[test]
fn onnx_trees_are_the_same_bits() {
    // One thread of ONNX Runtime adds a row's trees in their order, as the module does.
    for name in ["onnx_forest", "onnx_boosting", "onnx_forest_classes", "onnx_ensemble_v5", "onnx_columns"] {
        check(name, Close::Bits);
    }
    // Every way of comparing, on values that stand on thresholds, and NaN on both sides of each.
    for name in ["onnx_modes", "onnx_average", "onnx_classifier_plain"] {
        check(name, Close::Bits);
    }
}

#[test]
fn onnx_probabilities_of_trees_are_within_one_ulp() {
    check("onnx_histogram_classes", Close::Ulps(1));
}

#[test]
fn onnx_linear_models_and_networks_are_within_a_millionth() {
    for name in [
        "onnx_linear",
        "onnx_svr",
        "onnx_logistic",
        "onnx_logistic_classes",
        "onnx_boosting_binary",
        "onnx_mlp",
        "onnx_mlp_softmax",
        // Columns taken out of a row and put back; axes and bounds as attributes, as opset 10 has them.
        "onnx_flat",
        "onnx_older",
    ] {
        check(name, Close::Near(1e-6));
    }
}

#[test]
fn sums_in_binary32_that_the_source_makes_otherwise_are_within_three_millionths() {
    // A sigmoid of a sum whose terms cancel, behind a layer or a norm that is summed in another order; the support vector machine is compared
    // with Platt's formula over scikit-learn's binary64 score.
    for name in [
        "onnx_mlp_sklearn",
        "onnx_imputed",
        "onnx_categories",
        "onnx_svc",
        "onnx_torch",
        "onnx_mlp_regression",
        "onnx_normalizer_max",
    ] {
        check(name, Close::Near(3e-6));
    }
}

#[test]
fn scorecards_give_the_same_points() {
    for name in ["pmml_scorecard", "card_scorecard"] {
        check(name, Close::Exact);
    }
}

/// What a code stands for is in the file where the model was learnt from a data frame; a person has to be told.
#[test]
fn categories_of_data_frames_keep_their_names() {
    let categories = |name: &str| -> Vec<Vec<String>> {
        import(&model_file(name), Style::Auto).summary.features.iter().map(|f| f.categories.clone()).collect()
    };
    let towns = ["kunming", "dali", "lijiang", "qujing", "baoshan"].map(str::to_owned).to_vec();
    assert_eq!(categories("xgboost_categories_binary"), [Vec::new(), towns]);
    let (towns, kinds) = (["dali", "昆明", "lijiang", "qujing"].map(str::to_owned), ["1", "2", "7"].map(str::to_owned));
    assert_eq!(categories("lightgbm_frame"), [Vec::new(), towns.to_vec(), kinds.to_vec()]);
    // Beginnings that do not fit the texts: no names, and no other answers.
    let file = String::from_utf8(model_file("lightgbm_frame")).unwrap();
    for broken in ["[[\"a\"]]", "[[[1]],[2],[3]]", "null", "nonsense", "[["] {
        let end = file.rfind("pandas_categorical:").unwrap();
        let imported = import(format!("{}pandas_categorical:{broken}\n", &file[..end]).as_bytes(), Style::Auto);
        assert!(imported.summary.features.iter().all(|f| f.categories.is_empty()), "{broken}");
    }
}
