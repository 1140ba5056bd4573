//! Files that lie: cut, damaged, nested without end, with counts that no memory holds. Every one is a value.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use yunei_import::{Naming, Refusal, import};

fn refusal(bytes: &[u8]) -> Refusal {
    match import(bytes, &Naming::default()) {
        Ok(imported) => panic!("accepted: {}", imported.summary.kind),
        Err(wrong) => wrong[0].clone(),
    }
}

/// One small file of each format.
const SAMPLES: [&str; 8] = [
    "xgboost_label",
    "xgboost_ubjson",
    "lightgbm_zero",
    "onnx_logistic_classes",
    "onnx_ensemble_v5",
    "onnx_categories",
    "pmml_scorecard",
    "card_scorecard",
];

#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_whole() {
    for name in SAMPLES {
        let file = model_file(name);
        let mut r = Random(7);
        for _ in 0..60 {
            let cut = r.below(file.len() as u64) as usize;
            let _ = import(&file[..cut], &Naming::default());
        }
    }
    // What ends in the middle of its trees is never taken for a smaller model.
    for name in ["xgboost_label", "xgboost_ubjson", "lightgbm_zero", "pmml_scorecard"] {
        let file = model_file(name);
        refusal(&file[..file.len() / 2]);
    }
}

#[test]
fn a_file_that_is_damaged_anywhere_is_a_value() {
    for name in SAMPLES {
        let file = model_file(name);
        let mut r = Random(11);
        for _ in 0..150 {
            let mut bad = file.clone();
            for _ in 0..=r.below(4) {
                let at = r.below(bad.len() as u64) as usize;
                match r.below(4) {
                    0 => bad[at] = r.next() as u8,
                    1 => bad[at] ^= 1 << r.below(8),
                    2 => {
                        bad.remove(at);
                    }
                    _ => {
                        let to = (at + r.below(40) as usize).min(bad.len());
                        let piece = bad[at..to].to_vec();
                        bad.splice(at..at, piece);
                    }
                }
            }
            if let Ok(imported) = import(&bad, &Naming::default()) {
                // What is taken still has to pass the sandbox, or be refused by it for a reason of its own.
                for (_, text) in &imported.manifests {
                    if let Ok(manifest) = yunei_sandbox::Manifest::parse(text) {
                        let verified = yunei_sandbox::Verified::check(&imported.wasm, &manifest);
                        assert!(verified.is_ok(), "{name}: {:?}", verified.err());
                    }
                }
            }
        }
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    refusal(format!("{{\"learner\":{}}}", deep("[", "]", 100_000)).as_bytes());
    refusal(format!("{{\"x\":{}}}", deep("{\"a\":[", "]}", 50_000)).as_bytes());
    let mut ubjson = b"{U\x01x".to_vec();
    ubjson.extend(b"[".repeat(100_000));
    refusal(&ubjson);
    let mut pmml = b"<PMML>".to_vec();
    pmml.extend(b"<a>".repeat(200_000));
    refusal(&pmml);
    let mut predicates = String::from(
        "<PMML><DataDictionary><DataField name='x' dataType='double'/></DataDictionary><Scorecard><MiningSchema><MiningField name='x'/>\
         </MiningSchema><Characteristics><Characteristic><Attribute partialScore='1'>",
    );
    predicates.push_str(&"<CompoundPredicate booleanOperator='and'>".repeat(50_000));
    refusal(predicates.as_bytes());
    // A message within a message within a message, 100,000 times: the field of a graph's attribute of a node.
    let mut onnx = Vec::new();
    for _ in 0..2_000 {
        let mut outer = vec![0x3a];
        let mut n = onnx.len();
        while n >= 0x80 {
            outer.push((n as u8 & 0x7f) | 0x80);
            n >>= 7;
        }
        outer.push(n as u8);
        outer.extend(&onnx);
        onnx = outer;
    }
    let mut file = vec![0x08, 0x08];
    file.extend(onnx);
    let _ = import(&file, &Naming::default());
}

#[test]
fn counts_that_no_memory_holds_are_refused() {
    // UBJSON: an array of 2^62 bytes of floats, and of values that take no bytes at all.
    for kind in [b'd', b'U', b'T', b'Z', b'N', b'['] {
        let mut file = b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{L\x00\x00\x00\x00\x00\x00\x00\x01a[$".to_vec();
        file.push(kind);
        file.extend(b"#L\x40\x00\x00\x00\x00\x00\x00\x00");
        refusal(&file);
    }
    refusal(b"{L\x7f\xff\xff\xff\xff\xff\xff\xffx");
    // LightGBM: more leaves than there are lines.
    let header = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=3\nfeature_names=a b c d\n";
    for n in ["4294967295", "99999999999999999999", "-1", "65537"] {
        let text = format!("{header}\nTree=0\nnum_leaves={n}\nleaf_value=1\n\nend of trees\n");
        refusal(text.as_bytes());
    }
    let columns = header.replace("max_feature_idx=3", "max_feature_idx=18446744073709551615");
    refusal(format!("{columns}\nend of trees\n").as_bytes());
    // XGBoost: a million columns.
    let json = String::from_utf8(model_file("xgboost_label")).unwrap();
    refusal(json.replace("\"num_feature\":\"6\"", "\"num_feature\":\"100000000\"").as_bytes());
    refusal(json.replace("\"num_class\":\"3\"", "\"num_class\":\"65\"").as_bytes());
}

#[test]
fn trees_that_are_no_trees_are_refused() {
    let tree = |left: &str, right: &str| {
        format!(
            "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=a\nobjective=regression\n\n\
             Tree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 0\nthreshold=1 2\ndecision_type=2 2\nleft_child={left}\n\
             right_child={right}\nleaf_value=1 2 3\n\nend of trees\n"
        )
    };
    assert!(import(tree("1 -1", "-3 -2").as_bytes(), &Naming::default()).is_ok());
    for (left, right) in
        [("0 -1", "-3 -2"), ("1 0", "-3 -2"), ("1 -1", "1 -2"), ("1 -1", "-9 -2"), ("1 -1", "7 -2"), ("1 -1", "-3 -1")]
    {
        let wrong = refusal(tree(left, right).as_bytes());
        assert_eq!(wrong.code(), "import/malformed", "{left} / {right}: {wrong}");
        assert!(wrong.place().unwrap().starts_with("tree 0"), "{wrong}");
    }
}

/// A chain of splits: as deep as a tree may be, and one deeper.
fn chain(depth: usize) -> Vec<u8> {
    let list = |f: &dyn Fn(usize) -> String| (0..depth).map(f).collect::<Vec<_>>().join(" ");
    let left = list(&|i| if i + 1 < depth { (i + 1).to_string() } else { format!("-{}", depth + 1) });
    let right = list(&|i| format!("-{}", i + 1));
    let values = (0..=depth).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
    format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\nfeature_names=a\nobjective=regression\n\n\
         Tree=0\nnum_leaves={}\nnum_cat=0\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={left}\n\
         right_child={right}\nleaf_value={values}\n\nend of trees\n",
        depth + 1,
        list(&|_| "0".to_owned()),
        list(&|i| (1000 - i).to_string()),
        list(&|_| "2".to_owned()),
    )
    .into_bytes()
}

#[test]
fn a_tree_may_be_two_hundred_splits_deep_and_no_deeper() {
    let imported = import(&chain(200), &Naming::default()).unwrap();
    load(&imported, "score");
    assert_eq!(refusal(&chain(201)).code(), "import/limit");
}

#[test]
fn sixty_four_features_are_taken_and_not_one_more() {
    let card = |n: usize| {
        let mut text = String::from("feature,bin,points\n");
        for i in 0..n {
            text.push_str(&format!("f{i},<3,1\nf{i},>=3,2\n"));
        }
        text.into_bytes()
    };
    let imported = import(&card(64), &Naming::default()).unwrap();
    load(&imported, "score");
    assert_eq!(refusal(&card(65)).code(), "import/limit");
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    let json = String::from_utf8(model_file("xgboost_label")).unwrap();
    let wrong = refusal(json.replace("multi:softmax", "survival:aft").as_bytes());
    assert_eq!((wrong.code(), wrong.place()), ("import/unsupported", Some("learner.objective.name")));
    let wrong = refusal(json.replace("\"name\":\"gbtree\"", "\"name\":\"gblinear\"").as_bytes());
    assert_eq!((wrong.code(), wrong.place()), ("import/unsupported", Some("learner.gradient_booster.name")));
    let text = String::from_utf8(model_file("lightgbm_zero")).unwrap();
    let wrong = refusal(text.replace("objective=regression", "objective=cross_entropy_lambda").as_bytes());
    assert_eq!((wrong.code(), wrong.place()), ("import/unsupported", Some("objective")));
    let wrong = refusal(text.replacen("is_linear=0", "is_linear=1", 1).as_bytes());
    assert_eq!((wrong.code(), wrong.place()), ("import/unsupported", Some("tree 0, is_linear")));
    let pmml = String::from_utf8(model_file("pmml_scorecard")).unwrap();
    let wrong = refusal(pmml.replacen("isMissing", "matches", 1).as_bytes());
    assert_eq!(wrong.code(), "import/unsupported");
    assert!(wrong.place().unwrap().starts_with("element SimplePredicate, line"), "{wrong}");
    let wrong = refusal(pmml.replace("Scorecard", "TreeModel").as_bytes());
    assert!(wrong.en().contains("TreeModel"), "{wrong}");
    // Same length, so that the protocol buffer stays whole: Relu becomes Rely.
    let mut onnx = model_file("onnx_mlp");
    let at = onnx.windows(4).position(|w| w == b"Relu").unwrap();
    onnx[at..at + 4].copy_from_slice(b"Rely");
    let wrong = refusal(&onnx);
    assert_eq!(wrong.code(), "import/unsupported");
    assert!(wrong.place().unwrap().contains("node 1, operator Rely"), "{wrong}");
    assert_eq!(refusal(b"PK\x03\x04").code(), "import/format");
    assert_eq!(refusal(b"").code(), "import/format");
    for name in SAMPLES {
        for wrong in import(&model_file(name)[..20], &Naming::default()).err().unwrap_or_default() {
            assert!(
                !wrong.en().is_empty() && wrong.zh().chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)),
                "{wrong}"
            );
        }
    }
}

/// Found by fuzzing: a vector without elements was spread over one with one.
#[test]
fn an_operation_over_no_elements_is_refused() {
    use yunei_import::ir::{Graph, Num};
    assert!(Graph::default().constant(Vec::new(), Num::F32).is_err());
    refusal(include_bytes!("hostile-files/no-elements.onnx"));
}
