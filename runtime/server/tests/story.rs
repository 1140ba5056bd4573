//! Four institutions with their own credentials, through real sockets: from an empty home to a release and a verification.

#![allow(clippy::unwrap_used)]

mod common;

use common::{House, codes, get, post};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use yunei_audit::{Log, Receipt};

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_home_to_a_release_and_a_verification() {
    let mut house = House::new(3_000, |_| {}).await;
    house.furnish().await;
    let operator = house.as_("operator").await;

    // A run that is waited for, and its result in every form with the digests of its receipt.
    let asked = json!({ "product": "by-city", "arguments": { "least": 20 }, "purpose": "research" });
    let reply = post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60")]).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let run: Value = reply.json().unwrap();
    assert_eq!(run["state"], "released");
    assert!(run["charge"]["epsilon"].as_f64().unwrap() > 0.0);
    let receipt = get(&operator, run["receipt"].as_str().unwrap(), &[]).await;
    let receipt = Receipt::parse(&receipt.body).unwrap().verify(&house.domain.verifying_key()).unwrap();
    let forms = [
        ("json", "application/json"),
        ("csv", "text/csv"),
        ("arrow", "application/vnd.apache.arrow.file"),
        ("arrow_stream", "application/vnd.apache.arrow.stream"),
        ("parquet", "application/vnd.apache.parquet"),
    ];
    for (name, media_type) in forms {
        let result = get(&operator, run["result"].as_str().unwrap(), &[("accept", media_type)]).await;
        assert_eq!((result.status, result.header("content-type")), (200, Some(media_type)));
        assert_eq!(result.header("yunei-columns"), Some("3"));
        let digest = ring::digest::digest(&ring::digest::SHA256, &result.body);
        assert_eq!(receipt.body()["released"][name], hex::encode(digest), "{name}");
        let tag = result.header("etag").unwrap().to_owned();
        let again =
            get(&operator, run["result"].as_str().unwrap(), &[("accept", media_type), ("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    let refused = get(&operator, run["result"].as_str().unwrap(), &[("accept", "image/png")]).await;
    assert_eq!(refused.status, 406);

    // The same question again: free, and another run's result.
    let again: Value = post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60")]).await.json().unwrap();
    assert_eq!((again["state"].as_str(), again["first"].as_str()), (Some("repeated"), run["id"].as_str()));
    let rows = get(&operator, again["result"].as_str().unwrap(), &[]).await;
    assert_eq!(rows.json::<Vec<Value>>().unwrap().len(), 3);
    // As a table at once.
    let csv = post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60"), ("accept", "text/csv")]).await;
    assert!(csv.body.starts_with(b"city,people,mean"), "{}", String::from_utf8_lossy(&csv.body));

    // Without waiting: 202, a place to look, and there the result some time later.
    let other = json!({ "product": "by-city", "arguments": { "least": "30" }, "purpose": "research" });
    let reply = post(&operator, "/v1/runs", &other, &[]).await;
    assert_eq!(reply.status, 202);
    let place = reply.header("location").unwrap().to_owned();
    let ended: Value = get(&operator, &place, &[("prefer", "wait=60")]).await.json().unwrap();
    assert_eq!(ended["state"], "released", "{ended}");

    // A verification.
    let business = house.as_("business").await;
    let (city, age, _) = common::engine::person(7);
    let ask = |claim: &str| {
        json!({
            "product": "lives-in", "identity": { "id": "P0000007", "age": age.to_string() }, "claim": claim,
            "purpose": "loan",
        })
    };
    let yes: Value = business.post("/v1/verifications", &ask(city)).await.unwrap();
    assert_eq!(yes["answer"], "match");
    let proof = Receipt::parse(yes["receipt"].as_str().unwrap().as_bytes()).unwrap();
    proof.verify(&house.domain.verifying_key()).unwrap();
    let wrong = common::engine::CITIES.iter().find(|c| **c != city).unwrap();
    let no: Value = business.post("/v1/verifications", &ask(wrong)).await.unwrap();
    assert_eq!(no["answer"], "no_match");

    // Each sees what is its own.
    assert_eq!(business.list::<Value>("/v1/runs").await.unwrap().len(), 0, "a verification is no run");
    assert_eq!(operator.list::<Value>("/v1/runs").await.unwrap().len(), 4);
    assert_eq!(house.authority().list::<Value>("/v1/runs").await.unwrap().len(), 4);
    let foreign = run["id"].as_str().unwrap();
    for path in [format!("/v1/runs/{foreign}"), format!("/v1/runs/{foreign}/receipt")] {
        assert_eq!(codes(business.get::<Value>(&path).await), ["registry/not-found"]);
    }
    assert_eq!(business.list::<Value>("/v1/grants").await.unwrap().len(), 1);

    // A suspended product gives its results to nobody any more.
    let suspend = json!({ "action": "suspend", "reason": "复核" });
    let stopped: Value = house.authority().post("/v1/products/by-city/state", &suspend).await.unwrap();
    assert_eq!(stopped["releases"].as_array().unwrap().len(), 2, "{stopped}");
    assert_eq!(codes(operator.get::<Value>(run["result"].as_str().unwrap()).await), ["authorise/product-state"]);
    let stopped = post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60"), ("accept-language", "zh")]).await;
    assert_eq!(stopped.status, 403);

    assert!(house.stop().await);
    let (home, key) = (house.home(), house.domain.verifying_key());
    drop(house.domain);
    Log::verify(&home.join("log"), &key, &mut |_, _| {}).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_request_are_done_once() {
    let house = House::new(300, |_| {}).await;
    house.furnish().await;
    let (operator, business) = (house.as_("operator").await, house.as_("business").await);
    let asked = json!({ "product": "by-city", "purpose": "research" });
    let headers = [("idempotency-key", "k-1"), ("prefer", "wait=60")];
    // At the same time, from several connections.
    let replies = futures::future::join_all((0..6).map(|_| post(&operator, "/v1/runs", &asked, &headers))).await;
    let ids: BTreeSet<String> =
        replies.iter().map(|r| r.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(operator.list::<Value>("/v1/runs").await.unwrap().len(), 1);
    let replayed = post(&operator, "/v1/runs", &asked, &headers).await;
    assert_eq!((replayed.status, replayed.header("idempotent-replayed")), (200, Some("true")));
    // Another request under the same key; the same key of another institution; keys that are none.
    let other = json!({ "product": "by-city", "arguments": { "least": 1 }, "purpose": "research" });
    let reply = post(&operator, "/v1/runs", &other, &headers).await;
    assert_eq!(
        (reply.status, reply.json::<Value>().unwrap()["refused"][0]["code"].clone()),
        (422, json!("idempotency/other-request"))
    );
    for key in ["", "a b", &"k".repeat(129)] {
        assert_eq!(post(&operator, "/v1/runs", &asked, &[("idempotency-key", key)]).await.status, 400);
    }
    let (city, age, _) = common::engine::person(7);
    let ask = json!({
        "product": "lives-in", "identity": { "id": "P0000007", "age": age.to_string() }, "claim": city, "purpose": "loan",
    });
    let first = post(&business, "/v1/verifications", &ask, &headers).await;
    let second = post(&business, "/v1/verifications", &ask, &headers).await;
    assert_eq!((first.status, &first.body), (200, &second.body));
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    let product = yunei_engine::registry::Subject::Product("lives-in".to_owned());
    assert_eq!(house.domain.releases_on("authority", &product).await.unwrap().len(), 1, "answered once");

    // The kept answer is told to nobody who may not ask any more: a product that is suspended, a token that is revoked.
    let authority = house.authority();
    for (action, status) in [("suspend", 403), ("resume", 200)] {
        let change = json!({ "action": action, "reason": "复核" });
        let _: Value = authority.post("/v1/products/lives-in/state", &change).await.unwrap();
        assert_eq!(post(&business, "/v1/verifications", &ask, &headers).await.status, status, "{action}");
    }
    let who: Value = business.get("/v1/whoami").await.unwrap();
    house.domain.revoke_token("authority", who["token"].as_str().unwrap()).await.unwrap();
    let reply = post(&business, "/v1/verifications", &ask, &headers).await;
    assert_eq!(
        (reply.status, &reply.json::<Value>().unwrap()["refused"][0]["code"]),
        (401, &json!("credential/revoked"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_page_by_page() {
    let house = House::new(30, |_| {}).await;
    let authority = house.authority();
    for i in 0..7 {
        let new = json!({ "id": format!("bank-{i}"), "role": "business", "title": { "zh": "银行", "en": "Bank" } });
        let _: Value = authority.post("/v1/institutions", &new).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Value = authority.get(&format!("/v1/institutions?limit=3{cursor}")).await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|i| i["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 11);
    assert!(seen.is_sorted());
    let (mut entries, mut cursor) = (0, String::new());
    loop {
        let page: Value = authority.get(&format!("/v1/audit/entries?limit=5{cursor}")).await.unwrap();
        entries += page["items"].as_array().unwrap().len() as u64;
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["size"].as_u64(), Some(entries));
            break;
        };
        cursor = format!("&cursor={next}");
    }
    for wrong in ["limit=0", "limit=501", "limit=x", "colour=red", &format!("cursor={}", "a".repeat(300))] {
        assert_eq!(get(&authority, &format!("/v1/institutions?{wrong}"), &[]).await.status, 400, "{wrong}");
    }
}

/// What the description says of an answer is what the answer has, name by name.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_described() {
    let house = House::new(300, |_| {}).await;
    house.furnish().await;
    let (operator, authority) = (house.as_("operator").await, house.authority());
    let asked = json!({ "product": "by-city", "purpose": "research" });
    let run: Value = post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60")]).await.json().unwrap();
    let doc: Value = authority.get("/v1/openapi.json").await.unwrap();
    let compare = |schema: &str, value: &Value| {
        let described: BTreeSet<&str> = doc["components"]["schemas"][schema]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let answered: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, answered, "{schema}");
    };
    let first = |value: Value| value["items"][0].clone();
    compare("Run", &run);
    for (schema, path) in [
        ("Dataset", "/v1/datasets"),
        ("Version", "/v1/datasets/people/versions"),
        ("Model", "/v1/models"),
        ("Product", "/v1/products"),
        ("Grant", "/v1/grants"),
        ("Institution", "/v1/institutions"),
        ("Token", "/v1/tokens"),
        ("Key", "/v1/keys"),
        ("RunRecord", "/v1/runs"),
        ("Budget", "/v1/budgets"),
        ("Entry", "/v1/audit/entries"),
        ("RegisterEntry", "/v1/registers"),
        ("Consent", "/v1/products/by-city/consents"),
    ] {
        compare(schema, &first(authority.get(path).await.unwrap()));
    }
    compare("Column", &authority.get::<Value>("/v1/datasets/people").await.unwrap()["columns"][0]);
    compare("ProductWithManifest", &authority.get("/v1/products/by-city").await.unwrap());
    compare("Whoami", &authority.get("/v1/whoami").await.unwrap());
    compare("Sample", &authority.get("/v1/datasets/people/sample").await.unwrap());
    compare("EntryPage", &authority.get("/v1/audit/entries").await.unwrap());
    let register: Value = first(authority.get("/v1/registers").await.unwrap());
    compare("Elements", &register["elements"]);
    compare("Registration", &register["registration"]);
    compare("Found", &authority.get("/v1/audit/search").await.unwrap());
    compare("EntryStats", &authority.get("/v1/audit/stats").await.unwrap());
    let usage: Value = authority.get("/v1/audit/usage").await.unwrap();
    compare("UsageLine", &usage["lines"][0]);
    compare("Consistency", &authority.get("/v1/audit/consistency?old=1").await.unwrap());
    let report: Value =
        authority.post(&format!("/v1/runs/{}/replay", run["id"].as_str().unwrap()), &json!({})).await.unwrap();
    compare("ReplayReport", &report);
    compare("Comparison", &report["comparisons"][0]);
    compare("ProductBudget", &authority.get("/v1/products/by-city/budget?institution=operator").await.unwrap());
    let filed = json!({ "kind": "objection", "dataset": "people", "subject": "P0000001", "details": "不同意" });
    compare("Request", &operator.post("/v1/requests", &filed).await.unwrap());
    compare("Due", &first(authority.get("/v1/due").await.unwrap()));
    let check: Value = operator.post("/v1/products/check", &json!({ "manifest": common::PRODUCT })).await.unwrap();
    compare("Checkup", &check);
    compare("Expected", &check["expected"][0]);
    let stop = json!({ "action": "suspend", "reason": "复核" });
    let stopped: Value = authority.post("/v1/products/by-city/state", &stop).await.unwrap();
    let mut stands = stopped.clone();
    stands["timing"] = Value::Null;
    compare("Stands", &stands);
    compare("Release", &stopped["releases"][0]);
    compare("Change", &first(authority.get("/v1/audit/history/product/by-city").await.unwrap()));
    let problem = get(&authority, "/v1/datasets/nothing", &[]).await;
    compare("Problem", &problem.json().unwrap());
}
