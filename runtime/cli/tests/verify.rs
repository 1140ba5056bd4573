//! Verifications as a business, an issuer, a subject and the authority type them.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const PRODUCT: &str = r#"
[product]
id = "NAME"
kind = "verification"
title = { zh = "住在", en = "Lives in" }
purposes = ["loan"]
datasets = ["people"]
[product.verification]
identity = ["id", "age"]
claim = { equals = "city" }
"#;

const BY_LAW: &str = "consent = \"not-required\"\nlegal_basis = \"《反洗钱法》\"\n";

fn yunei(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_yunei"))
        .current_dir(folder)
        .env_remove("YUNEI_HOME")
        .args(["--lang", "en", "--home", "home", "--json"])
        .args(arguments)
        .output()
        .unwrap()
}

fn told(folder: &Path, arguments: &[&str]) -> Value {
    let output = yunei(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(folder: &Path, exit: i32, arguments: &[&str]) -> String {
    let output = yunei(folder, arguments);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["refused"][0]["code"].as_str().unwrap().to_owned()
}

#[test]
fn from_key_pair_to_answer_and_back() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let world = runtime.block_on(async {
        let world = World::new(300).await;
        for (name, rest) in [("lives-in", ""), ("by-law", BY_LAW), ("many", "batch = true\n")] {
            let text = format!("{}{rest}", PRODUCT.replace("NAME", name));
            world.approve(name, &text, "business", &["loan"]).await;
        }
        world
    });
    let World { folder, domain } = world;
    runtime.block_on(domain.close());
    let at = folder.path();

    told(at, &["consent", "keygen", "bureau.pem"]);
    assert_eq!(refused(at, 5, &["consent", "keygen", "bureau.pem"]), "output/io");
    told(at, &["issuer", "add", "bureau", "--key", "bureau.pem.pub", "--zh", "授权中心", "--en", "Bureau"]);
    assert_eq!(
        refused(at, 2, &["issuer", "add", "x", "--key", "bureau.pem", "--zh", "x", "--en", "x"]),
        "input/public-key"
    );
    assert_eq!(told(at, &["issuer", "list"])["issuers"][0]["algorithm"], "EdDSA");
    let (city, age, _) = common::person(7);
    let age = format!("age={age}");
    let sign = |business: &str, product: &str, purpose: &str, fields: &[&str], file: &str| {
        let mut line =
            vec!["consent", "sign", "--key", "bureau.pem", "--issuer", "bureau", "--domain", "test.example/domain"];
        line.extend(["--business", business, "--product", product, "--purpose", purpose, "-o", file]);
        line.extend(fields.iter().flat_map(|f| ["-i", f]));
        told(at, &line)["consent"].as_str().unwrap().to_owned()
    };
    let token = sign("business", "lives-in", "loan", &["id=P0000007", &age], "consent.jws");

    let ask = ["verify", "lives-in", "-i", "id=p0000007", "-i", &age, "--claim", city, "--purpose", "loan"];
    let asked = |more: &[&'static str]| [&ask[..], more].concat();
    assert_eq!(refused(at, 3, &ask), "consent/missing");
    assert_eq!(refused(at, 2, &asked(&["--consent", "nowhere"])), "input/consent");
    let answer =
        told(at, &asked(&["--consent", "consent.jws", "--serial", "A-1", "--receipt", "r", "--scene", "开户"]));
    assert_eq!((answer["answer"].as_str(), answer["charged"].as_bool()), (Some("match"), Some(true)));
    assert_eq!(refused(at, 3, &asked(&["--consent", "consent.jws"])), "consent/used");
    let again = told(at, &asked(&["--consent", "consent.jws", "--serial", "A-1", "--scene", "开户"]));
    assert_eq!((&again["verification"], &again["repeated"]), (&answer["verification"], &Value::Bool(true)));
    assert_eq!(told(at, &["receipt", "verify", "r"])["outcome"].as_str().unwrap_or("match"), "match");
    assert!(!told(at, &["receipt", "show", answer["verification"].as_str().unwrap()]).is_null());

    // The subject learns of it; the authority sees no alarm, and an index that says what the files say.
    sign("asked-about-me", "asked-about-me", "asked-about-me", &["number=P0000007"], "me.jws");
    let list = told(at, &["verify", "asked", "P0000007", "--consent", "me.jws"]);
    assert_eq!(list["verifications"].as_array().unwrap().len(), 1);
    assert_eq!(list["verifications"][0]["scene"], "开户");
    assert_eq!(refused(at, 3, &["verify", "asked", "P0000008", "--consent", "me.jws"]), "consent/invalid");
    assert_eq!(told(at, &["verify", "alarms"])["alarms"].as_array().unwrap().len(), 0);
    assert_eq!(told(at, &["verify", "index", "by-law"])["index"]["subjects"], 300);
    assert_eq!(told(at, &["verify", "audit", "by-law", "--sample", "100"])["sound"], true);
    assert_eq!(refused(at, 3, &["verify", "resume", "business", "by-law"]), "verify/not-stopped");

    // A batch: one of its items has no consent.
    let second = sign("business", "many", "loan", &["id=P0000007", &age], "second.jws");
    assert_ne!(second, token);
    let item = |consent: Value| serde_json::json!({ "identity": { "id": "P0000007", "age": age[4..] }, "claims": { "city": city }, "consent": consent });
    std::fs::write(at.join("items"), format!("{}\n\n{}\n", item(second.into()), item(Value::Null))).unwrap();
    let answers = told(at, &["verify", "batch", "many", "items", "--purpose", "loan", "-o", "answers"]);
    assert_eq!(answers["answers"][0]["answer"], "match");
    assert_eq!(answers["answers"][1]["refused"][0]["code"], "consent/missing");
    assert_eq!(std::fs::read_to_string(at.join("answers")).unwrap().lines().count(), 2);
    std::fs::write(at.join("items"), "{\"identity\":{\"id\":\"P0000007\"},\"mother\":1}\n").unwrap();
    assert_eq!(refused(at, 2, &["verify", "batch", "many", "items", "--purpose", "loan"]), "input/batch");

    // A suspended issuer's tokens count no more.
    told(at, &["issuer", "suspend", "bureau"]);
    sign("business", "lives-in", "loan", &["id=P0000007", &age], "consent.jws");
    assert_eq!(refused(at, 3, &asked(&["--consent", "consent.jws"])), "consent/invalid");
    told(at, &["issuer", "resume", "bureau"]);
    assert_eq!(told(at, &asked(&["--consent", "consent.jws"]))["answer"], "match");
}
