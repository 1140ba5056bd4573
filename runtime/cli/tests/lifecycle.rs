//! The authority's commands through the binary: stopping, deadlines, registers, requests of data subjects.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

struct Desk {
    home: PathBuf,
}

impl Desk {
    fn yunei(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_yunei")).arg("--home").arg(&self.home).args(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.yunei(&all);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, exit: i32, code: &str, arguments: &[&str]) {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.yunei(&all);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let codes: Vec<&str> =
            told["refused"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap()).collect();
        assert!(codes.contains(&code), "{arguments:?}: {codes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_at_its_desk() {
    let world = World::new(300).await;
    let sql = "SELECT city, COUNT(*) AS n FROM people GROUP BY city";
    world.approve("by-city", &World::product_text("by-city", sql, ""), "operator", &["research"]).await;
    let World { folder, domain } = world;
    let home = folder.path().join("home");
    domain.close().await;
    let desk = Desk { home };

    let run = ["run", "by-city", "--purpose", "research"];
    let first = desk.json(&run);
    desk.refused(2, "input/reason", &["suspend", "product", "by-city", "--reason", " "]);
    desk.refused(2, "input/subject", &["suspend", "table", "by-city", "--reason", "x"]);
    desk.refused(4, "registry/not-found", &["suspend", "product", "nothing", "--reason", "x"]);
    desk.refused(3, "authorise/role", &["--as", "operator", "suspend", "product", "by-city", "--reason", "x"]);
    let stopped = desk.json(&["suspend", "product", "by-city", "--reason", "收到投诉"]);
    assert_eq!((&stopped["state"], &stopped["releases"][0]["run"]), (&"suspended".into(), &first["run"]));
    desk.refused(3, "authorise/product-state", &run);
    desk.json(&["resume", "product", "by-city", "--reason", "已查明"]);
    assert_eq!(desk.json(&run)["repeated"], true);
    assert_eq!(desk.json(&["history", "product", "by-city"])["changes"].as_array().unwrap().len(), 3);

    let listed = desk.json(&["register", "list"]);
    let listed: Vec<_> = listed["registers"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert!(["people", "meters", "by-city"].iter().all(|id| listed.contains(id)), "{listed:?}");
    assert_eq!(desk.json(&["register", "export"])["@type"], "dcat:Catalog");
    desk.json(&["register", "renew", "dataset", "people"]);
    desk.refused(2, "input/subject", &["register", "renew", "institution", "holder"]);
    assert!(desk.json(&["due"])["due"].as_array().unwrap().is_empty());

    desk.refused(
        2,
        "input/details",
        &["request", "file", "--kind", "objection", "--dataset", "people", "--details", "x"],
    );
    let file = [
        "request",
        "file",
        "--kind",
        "correction",
        "--dataset",
        "people",
        "--subject",
        "P0000001",
        "--details",
        "年龄有误",
    ];
    let filed = desk.json(&file);
    let id = filed["id"].as_str().unwrap();
    desk.refused(2, "input/corrected-version", &["request", "answer", id, "--outcome", "corrected", "--answer", "x"]);
    let answered = desk.json(&["request", "answer", id, "--outcome", "rejected", "--answer", "经核实无误"]);
    assert_eq!(answered["outcome"], "rejected");

    let withdrawn = desk.json(&["withdraw", "version", "people@1", "--reason", "数据有误"]);
    assert_eq!(withdrawn["releases"].as_array().unwrap().len(), 1);
    desk.refused(3, "authorise/version-state", &run);
    // For people: in both languages, and it does not fail where there is nothing to show.
    for lang in ["zh", "en"] {
        for arguments in [
            &["due"][..],
            &["lapsing"],
            &["register", "list"],
            &["request", "list"],
            &["history", "version", "people@1"],
        ] {
            let mut all = vec!["--lang", lang];
            all.extend(arguments);
            let output = desk.yunei(&all);
            assert!(output.status.success() && !output.stdout.is_empty(), "{arguments:?}");
        }
    }
}
