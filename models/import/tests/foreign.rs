//! Files of `conformance/foreign.py`: foreign, broken, hostile, or asking for what is not built. What is said of each, in English and in
//! Chinese, stands in `foreign.txt`, and is what a person reads who has such a file at hand.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use yunei_import::{Naming, import};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign")
}

/// What is said of a file: one block of lines.
fn said(name: &str, bytes: &[u8]) -> String {
    let mut out = format!("{name}\n");
    match import(bytes, &Naming::default()) {
        Ok(imported) => {
            out.push_str("  taken\n");
            let range = |en: &&(String, String)| !en.0.contains("placeholders");
            for (en, zh) in imported.model.warnings.iter().filter(range) {
                writeln!(out, "  en {en}\n  zh {zh}").unwrap();
            }
            let exports: Vec<&str> = imported.summary.outputs.iter().map(|o| o.export.as_str()).collect();
            exports.iter().for_each(|e| drop(common::load(&imported, e)));
        }
        Err(wrong) => {
            for r in wrong {
                writeln!(out, "  {} at {}\n  en {}\n  zh {}", r.code(), r.place().unwrap_or("-"), r.en(), r.zh())
                    .unwrap();
                assert!(r.zh().chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{name}: {}", r.zh());
            }
        }
    }
    out
}

#[test]
fn what_is_said_of_foreign_files_is_what_was_agreed() {
    let mut names: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 120, "{} files", names.len());
    let found: String = names.iter().map(|n| said(n, &std::fs::read(folder().join(n)).unwrap())).collect();
    let file = folder().with_extension("txt");
    if std::env::var_os("YUNEI_WRITE").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    let agreed = std::fs::read_to_string(file).unwrap();
    for (a, b) in found.lines().zip(agreed.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(found.len(), agreed.len());
}

/// Only these are taken: each answers as its own runtime does, or says what it leaves out.
#[test]
fn hardly_any_of_them_is_taken() {
    let agreed = std::fs::read_to_string(folder().with_extension("txt")).unwrap();
    let blocks: Vec<&str> = agreed.split_inclusive('\n').collect();
    let taken: Vec<&str> = blocks.windows(2).filter(|w| w[1].trim() == "taken").map(|w| w[0].trim()).collect();
    assert_eq!(
        taken,
        [
            "card_else_first.csv",
            "card_gap.csv",
            "cast_double_int.onnx",
            "cast_int.onnx",
            "clip_attribute.onnx",
            "pmml_reasons.pmml",
            "tree_ids_large.onnx",
            "tree_ok.onnx",
            "xgb_no_splits.json",
            "xgb_stopped_early.json",
        ]
    );
}
