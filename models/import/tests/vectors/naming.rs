//! Names, ranges, manifests: what a person says of a model beside its file.

use crate::common::*;
use yunei_import::{Naming, Refusal, import};
use yunei_sandbox::Manifest;

fn named(name: &str, names: &str) -> Vec<(String, String)> {
    import(&model_file(name), &Naming::parse(names).unwrap()).unwrap().manifests
}

fn refused(name: &str, names: &str) -> Refusal {
    let naming = match Naming::parse(names) {
        Ok(naming) => naming,
        Err(wrong) => return wrong[0].clone(),
    };
    import(&model_file(name), &naming).unwrap_err()[0].clone()
}

#[test]
fn what_is_said_stands_in_the_manifest() {
    let text = &named(
        "xgboost_binary",
        "[model]\nid = 'risk'\nversion = '2.1.0'\n[[feature]]\nfrom = 'f0'\nname = 'age'\nmissing = -1\nmin = 0\nmax = 120\n[output]\nstep = 0.25\ndefault = 0.5\n",
    )[0]
    .1;
    let m = Manifest::parse(text).unwrap();
    assert_eq!((m.id(), m.version(), m.file(), m.export()), ("risk", "2.1.0", "risk.wasm", "score"));
    assert_eq!((m.features()[0].name(), m.features()[0].missing()), ("age", Some(-1.0)));
    assert!(m.features()[1].missing().unwrap().is_nan());
    let o = m.output();
    assert_eq!((o.min(), o.max(), o.step(), o.default()), (0.0, 1.0, 0.25, 0.5));
    assert!(text.contains("# range: 0 to 120") && text.contains("# in the model file: f0"), "{text}");
}

#[test]
fn ranges_of_features_make_the_range_of_a_linear_answer() {
    let open = import(&model_file("onnx_linear"), &Naming::default()).unwrap().summary;
    assert!(open.warnings.iter().any(|w| w.en.contains("placeholders") && w.zh.contains("占位值")));
    let features: String = (0..6).map(|i| format!("[[feature]]\nfrom = 'X_{i}'\nmin = -1\nmax = 1\n")).collect();
    let m = Manifest::parse(&named("onnx_linear", &features)[0].1).unwrap();
    assert!(m.output().min() > -100.0 && m.output().max() < 100.0 && m.output().min() < m.output().max());
    let closed = import(&model_file("onnx_linear"), &Naming::parse(&features).unwrap()).unwrap().summary;
    assert!(closed.warnings.is_empty(), "{:?}", closed.warnings);
}

#[test]
fn several_classes_are_one_module_and_a_manifest_each() {
    let imported = import(&model_file("xgboost_classes"), &Naming::default().or_id("Three Classes.v2")).unwrap();
    let files: Vec<&str> = imported.manifests.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(files, ["model.class-0.toml", "model.class-1.toml", "model.class-2.toml"]);
    let second = Manifest::parse(&imported.manifests[1].1).unwrap();
    assert_eq!(
        (second.id(), second.export(), second.file()),
        ("three-classes-v2-class-1", "class_1", "three_classes_v2.wasm")
    );
}

#[test]
fn texts_become_codes_that_the_manifest_lists() {
    let imported = import(&model_file("onnx_categories"), &Naming::default()).unwrap();
    let town = imported.summary.features.iter().find(|f| f.from == "town").unwrap();
    assert_eq!(town.categories, ["dali", "kunming", "lijiang", "qujing"]);
    assert!(imported.manifests[0].1.contains("# 0 = dali"));
}

#[test]
fn a_column_without_influence_is_left_out_and_named() {
    let card = b"feature,bin,points\nage,<30,1\nage,else,2\nheight,else,3\nheight,missing,3\n";
    let imported = import(card, &Naming::default()).unwrap();
    assert_eq!(imported.summary.outputs[0].max, 5.00001);
    assert_eq!(imported.summary.outputs[0].min, 3.99999);
    // Height is asked for NaN, and so it is an input; nothing else is.
    assert_eq!(imported.summary.features.len(), 2);
    let linear = import(&model_file("xgboost_categories"), &Naming::default()).unwrap();
    assert_eq!(linear.summary.features.len() + linear.summary.unused.len(), 6);
}

#[test]
fn names_that_a_manifest_would_not_take_are_refused() {
    let feature = |more: &str| format!("[[feature]]\nfrom = 'f0'\n{more}\n");
    for (names, place) in [
        ("[model]\nidd = 'x'\n".to_owned(), "line 2"),
        ("[model]\nid = 'Risk'\n".to_owned(), "model.id"),
        (feature("name = 'Age'"), "feature `Age`"),
        (feature("name = '1a'"), "feature `1a`"),
        (format!("{}{}", feature("name = 'a'"), "[[feature]]\nfrom = 'f1'\nname = 'a'\n"), "feature `a`"),
        (feature("min = 3\nmax = 2"), "feature `f0`"),
        (feature("missing = 1e300"), "feature `f0`"),
        ("[output]\nmin = 3\nmax = 2\n".to_owned(), "output"),
    ] {
        let wrong = refused("xgboost_binary", &names);
        assert_eq!((wrong.code(), wrong.place()), ("import/names", Some(place)), "{names}");
    }
}
