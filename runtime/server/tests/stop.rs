//! A suspension through the interface while a hundred runs are under way: none of them releases anything afterwards.

#![allow(clippy::unwrap_used)]

mod common;

use common::{House, approve, codes, digest, get, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use yunei_server::client::AuthorKey;

const MODEL: &str = "[model]\nid = \"slow\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"slow.wat\"\n\
    [[feature]]\nname = \"age\"\ntype = \"f64\"\n[output]\nmin = 0.0\nmax = 1.0\nstep = 0.001\ndefault = 0.5\n\
    [limits]\nfuel = 1000000\n";
/// A hundred thousand rounds for every row.
const MODULE: &str = r#"(module (func (export "score") (param f64) (result f64) (local i32) (local f64)
  (loop $again
    (local.set 2 (f64.add (f64.mul (local.get 2) (f64.const 0.999)) (f64.div (local.get 0) (f64.const 1000))))
    (local.set 1 (i32.add (local.get 1) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get 1) (i32.const 100000))))
  (f64.div (local.get 2) (f64.add (local.get 2) (f64.const 50)))))"#;
const PRODUCT: &str = "[product]\nid = \"slow-mean\"\nkind = \"aggregate\"\ntitle = { zh = \"慢\", en = \"s\" }\n\
    purposes = [\"research\"]\ndatasets = [\"people\"]\nmodels = [\"slow@1.0.0\"]\n\
    sql = '''SELECT city, AVG(slow(age)) AS mean FROM people WHERE age >= $least GROUP BY city'''\n\
    [product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000000\ndefault = 0\n[product.privacy]\nepsilon = 0.05\n";
const JOBS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_under_way_release_nothing_after_a_suspension() {
    let mut house = House::new(600, |config| config.limits.runs = JOBS).await;
    let (holder, operator, authority) = (house.as_("holder").await, house.as_("operator").await, house.authority());
    let _: Value = holder.post("/v1/datasets", &json!({ "entry": common::entry() })).await.unwrap();
    approve(&authority, "datasets/people").await;
    let key = AuthorKey::create(&house.folder.path().join("author.pem")).unwrap();
    let _: Value = operator.post("/v1/keys", &json!({ "public_key": key.public() })).await.unwrap();
    let mut submission = common::submission(&key, "operator", MODEL, MODULE);
    submission["envelope"] = serde_json::to_value(key.envelope(
        common::DOMAIN,
        "operator",
        "slow@1.0.0",
        MODEL.as_bytes(),
        MODULE.as_bytes(),
    ))
    .unwrap();
    let _: Value = operator.post("/v1/models", &submission).await.unwrap();
    approve(&authority, "models/slow@1.0.0").await;
    let _: Value = operator.post("/v1/products", &json!({ "manifest": PRODUCT })).await.unwrap();
    let _: Value = holder.post("/v1/products/slow-mean/consents", &json!({ "given": true })).await.unwrap();
    approve(&authority, "products/slow-mean").await;
    let agreement = json!({ "digest": digest("协议"), "days": 90 });
    let grant = json!({ "institution": "operator", "product": "slow-mean", "days": 90, "agreement": agreement });
    let _: Value = authority.post("/v1/grants", &grant).await.unwrap();

    let ask = |least: usize| {
        let operator = operator.clone();
        async move {
            let asked = json!({ "product": "slow-mean", "arguments": { "least": least }, "purpose": "research" });
            let reply = post(&operator, "/v1/runs", &asked, &[]).await;
            assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
            reply.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned()
        }
    };
    let ids = futures::future::join_all((0..JOBS).map(ask)).await;
    let kinds = |kind: &str| {
        let log = house.domain.log();
        log.entries(0..log.size()).filter(|e| e.as_ref().is_ok_and(|(_, e)| e.kind() == kind)).count()
    };
    let patience = Instant::now() + Duration::from_secs(120);
    while kinds("run.authorised") < JOBS {
        assert!(Instant::now() < patience, "the runs do not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stop = json!({ "action": "suspend", "reason": "收到投诉" });
    let stopped: Value = authority.post("/v1/products/slow-mean/state", &stop).await.unwrap();
    let answered = house.domain.log().size();
    assert!(stopped["stopped"].as_array().unwrap().len() > JOBS / 2, "most were under way: {stopped}");

    // Every run comes to an end; what left stood in the log before the suspension did.
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for id in &ids {
        let run: Value = get(&operator, &format!("/v1/runs/{id}"), &[("prefer", "wait=60")]).await.json().unwrap();
        *states.entry(run["state"].as_str().unwrap().to_owned()).or_default() += 1;
        if run["state"] == "released" {
            assert_eq!(
                codes(operator.get::<Value>(run["result"].as_str().unwrap()).await),
                ["authorise/product-state"]
            );
        }
    }
    assert!(states.keys().all(|s| ["failed", "refused", "released"].contains(&s.as_str())), "{states:?}");
    let log = house.domain.log();
    let entries: Vec<_> = log.entries(0..log.size()).map(Result::unwrap).collect();
    let suspended = entries.iter().find(|(_, e)| e.kind() == "product.state" && e.fields()["state"] == "suspended");
    let suspended = suspended.unwrap().0;
    assert!(suspended < answered, "in force before it was answered");
    let late =
        entries.iter().filter(|(index, e)| *index > suspended && ["run.released", "run.repeated"].contains(&e.kind()));
    assert_eq!(late.count(), 0);
    assert_eq!(states.get("released").copied().unwrap_or(0), kinds("run.released"));
    assert!(house.stop().await);
}
