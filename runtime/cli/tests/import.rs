//! `yunei model import` and `yunei model try`, as a person uses them.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn yunei(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yunei")).args(["--lang", "en", "--json"]).args(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = yunei(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stdout));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_example_s_models_are_imported_and_say_what_their_runtimes_said() {
    let example = root().join("examples/import");
    let work = tempfile::tempdir().unwrap();
    for (file, names, close) in [
        ("risk_xgboost.json", "names.toml", 5.01e-5),
        ("risk_lightgbm.txt", "names.toml", 5.01e-5),
        ("risk_sklearn.onnx", "names_sklearn.toml", 5.01e-5),
    ] {
        let name = file.split('.').next().unwrap();
        let folder = work.path().join(name);
        let (model, names) = (example.join("models").join(file), example.join(names));
        let imported = json(&["model", "import", text(&model), "-o", text(&folder), "--features", text(&names)]);
        let features = imported["summary"]["features"].as_array().unwrap();
        let features: Vec<&str> = features.iter().map(|f| f["name"].as_str().unwrap()).collect();
        assert_eq!(features, ["age", "income", "months_insured", "debts"]);
        assert_eq!(imported["summary"]["outputs"][0]["meaning"], "probability");
        let predictions = example.join(format!("predictions/{name}.csv"));
        let tried = json(&["model", "try", text(&folder), "--against", text(&predictions)]);
        assert_eq!(tried["report"]["class"], "stateless");
        assert!(tried["report"]["cost"]["bounded"].is_u64(), "{tried}");
        assert_eq!(tried["against"]["rows"], 500);
        // The names ask for a grid of 0.0001: half a step is the most that rounding may change.
        assert!(tried["against"]["greatest_difference"].as_f64().unwrap() <= close, "{tried}");
        let entry = root().join("runtime/cli/src/demo/assets/residents.toml");
        let drawn = json(&["model", "try", text(&folder), "--rows", "2000", text(&entry)]);
        assert_eq!(drawn["rows"]["rows"], 2000);
        let mean = drawn["rows"]["mean"].as_f64().unwrap();
        assert!((0.0..1.0).contains(&mean), "{drawn}");
        let checked = json(&["model", "check", text(&folder.join("model.toml"))]);
        assert_eq!(checked["kind"], "model");
    }
}

#[test]
fn wrong_input_is_told_with_its_place_and_leaves_nothing() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("out");
    let bad = work.path().join("bad.json");
    for (content, code) in
        [(&b"not a model"[..], "import/format"), (b"{\"learner\": 7}", "import/malformed"), (b"", "import/format")]
    {
        std::fs::write(&bad, content).unwrap();
        let out = yunei(&["model", "import", text(&bad), "-o", text(&folder)]);
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(answer["refused"][0]["code"], code);
        assert_eq!(out.status.code(), Some(2));
        assert!(!folder.exists());
    }
    let missing = work.path().join("none.json");
    assert_eq!(yunei(&["model", "import", text(&missing), "-o", text(&folder)]).status.code(), Some(4));
    let names = work.path().join("names.toml");
    std::fs::write(&names, "[model]\nidd = 'x'\n").unwrap();
    let model = root().join("examples/import/models/risk_xgboost.json");
    let out = yunei(&["model", "import", text(&model), "-o", text(&folder), "--features", text(&names)]);
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&answer["refused"][0]["code"], out.status.code()), (&Value::from("import/names"), Some(2)));
    json(&["model", "import", text(&model), "-o", text(&folder)]);
    std::fs::write(&bad, "age,prediction\n1,0.5\n").unwrap();
    let out = yunei(&["model", "try", text(&folder), "--against", text(&bad)]);
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(answer["refused"].as_array().unwrap().len(), 3, "each column that is missing: {answer}");
    assert_eq!(out.status.code(), Some(2));
}
