//! Batches, issuers, alarms, who asked; the log from afar, and replays.

#![allow(clippy::unwrap_used)]

mod common;

use common::{House, approve, codes, digest, get, post};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use yunei_engine::{ConsentAlgorithm, ConsentSigner, ConsentTerms};
use yunei_server::client::Sending;

const MANY: &str = "[product]\nid = \"many\"\nkind = \"verification\"\ntitle = { zh = \"批量\", en = \"Many\" }\n\
    purposes = [\"loan\"]\ndatasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"age\"]\n\
    claim = { equals = \"city\" }\nbatch = true\n";

fn terms(product: &str) -> ConsentTerms {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let business = if product == "many" { "business" } else { product };
    let purpose = if product == "many" { "loan" } else { product };
    ConsentTerms {
        domain: common::DOMAIN.into(),
        business: business.into(),
        product: product.into(),
        purpose: purpose.into(),
        uses: 1,
        issued: now - 10,
        expires: now + 3_600,
    }
}

fn identity(i: usize) -> BTreeMap<String, String> {
    let (_, age, _) = common::engine::person(i);
    BTreeMap::from([("id".to_owned(), format!("P{i:07}")), ("age".to_owned(), age.to_string())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_each_item_for_itself() {
    let house = House::new(300, |_| {}).await;
    house.furnish().await;
    let (holder, operator, business) =
        (house.as_("holder").await, house.as_("operator").await, house.as_("business").await);
    let authority = house.authority();
    let _: Value = operator.post("/v1/products", &json!({ "manifest": MANY })).await.unwrap();
    let _: Value = holder.post("/v1/products/many/consents", &json!({ "given": true })).await.unwrap();
    approve(&authority, "products/many").await;
    let agreement = json!({ "digest": digest("协议"), "days": 30 });
    let grant = json!({ "institution": "business", "product": "many", "days": 30, "agreement": agreement });
    let _: Value = authority.post("/v1/grants", &grant).await.unwrap();

    let signer = ConsentSigner::from_pem("bureau", &ConsentSigner::generate(ConsentAlgorithm::EdDsa).unwrap()).unwrap();
    let title = json!({ "zh": "签发局", "en": "Bureau" });
    let issuer = json!({ "id": "bureau", "title": title, "public_key": signer.public().to_pem() });
    assert_eq!(codes(business.post::<Value>("/v1/issuers", &issuer).await), ["authorise/role"]);
    let mut broken = issuer.clone();
    broken["public_key"] = "-----BEGIN PUBLIC KEY-----".into();
    assert_eq!(codes(authority.post::<Value>("/v1/issuers", &broken).await), ["input/public-key"]);
    let _: Value = authority.post("/v1/issuers", &issuer).await.unwrap();
    assert_eq!(codes(authority.post::<Value>("/v1/issuers", &issuer).await), ["store/exists"]);
    assert_eq!(business.list::<Value>("/v1/issuers").await.unwrap()[0]["kid"], "bureau");

    let index = authority.call(Method::POST, "/v1/products/many/index", Sending::default()).await.unwrap();
    assert_eq!(index.json::<Value>().unwrap()["subjects"], 300);
    let audit: Value = authority.post("/v1/products/many/index/audit", &json!({ "sample": 100 })).await.unwrap();
    assert_eq!((audit["sound"].as_bool(), audit["rows"].as_u64()), (Some(true), Some(300)), "{audit}");
    assert_eq!(
        codes(authority.post::<Value>("/v1/products/many/index/audit", &json!({ "sample": 0 })).await),
        ["input/sample"]
    );
    assert_eq!(
        codes(business.post::<Value>("/v1/products/many/index/audit", &json!({ "sample": 1 })).await),
        ["authorise/role"]
    );

    let item = |i: usize| {
        let (city, _, _) = common::engine::person(i);
        let claim = if i.is_multiple_of(2) { city } else { "无" };
        json!({
            "identity": identity(i), "claims": { "city": claim }, "serial": format!("s-{i}"),
            "consent": signer.sign(&terms("many"), &identity(i)).unwrap(),
        })
    };
    let ask = |items: Vec<Value>| {
        let body = json!({ "product": "many", "purpose": "loan", "items": items });
        let business = business.clone();
        async move { business.post::<Value>("/v1/verifications/batch", &body).await }
    };
    let mut items: Vec<Value> = (0..20).map(item).collect();
    items.push(json!({ "identity": identity(21), "claims": { "city": "昆明" } }));
    let answers = ask(items.clone()).await.unwrap()["answers"].as_array().unwrap().clone();
    for (i, answer) in answers.iter().take(20).enumerate() {
        assert_eq!(answer["answer"], if i % 2 == 0 { "match" } else { "no_match" }, "{i}");
        assert!(answer["receipt"].as_str().unwrap().len() > 100);
    }
    assert_eq!(answers[20]["refused"][0]["code"], "consent/missing");
    assert_eq!(codes(ask(Vec::new()).await), ["input/batch"]);
    assert_eq!(codes(ask(vec![items[20].clone(); 1_001]).await), ["input/batch"]);
    // An issuer that is suspended signs nothing that counts.
    let _: Value = authority.post("/v1/issuers/bureau/state", &json!({ "action": "suspend" })).await.unwrap();
    let refused = ask(vec![item(30)]).await.unwrap();
    assert_eq!(refused["answers"][0]["refused"][0]["code"], "consent/invalid");
    let back: Value = authority.post("/v1/issuers/bureau/state", &json!({ "action": "resume" })).await.unwrap();
    assert_eq!(back["state"], "approved");

    // Who asked about me: a subject that proves itself, and nobody else.
    let number = "530103199001010011";
    let number = (0..10)
        .chain([10])
        .map(|c| format!("{}{}", &number[..17], if c == 10 { "X".to_owned() } else { c.to_string() }));
    let mut told = Vec::new();
    for number in number {
        let me = BTreeMap::from([("number".to_owned(), number.clone())]);
        let Ok(consent) = signer.sign(&terms("asked-about-me"), &me) else { continue };
        let body = json!({ "number": number, "consent": consent });
        if let Ok(list) = business.post::<Value>("/v1/verifications/asked", &body).await {
            told.push(list["items"].clone());
            let foreign = json!({ "number": number, "consent": signer.sign(&terms("many"), &me).unwrap() });
            assert_eq!(codes(business.post::<Value>("/v1/verifications/asked", &foreign).await), ["consent/invalid"]);
        }
    }
    assert_eq!(told, [json!([])], "of eleven check digits one is right, and nobody asked");

    let alarms: Value = authority.get("/v1/verifications/alarms").await.unwrap();
    // Ten false claims of twenty look like guessing.
    let told: Vec<&str> = alarms["items"].as_array().unwrap().iter().map(|a| a["alarm"].as_str().unwrap()).collect();
    assert!(told.contains(&"no-match-share"), "{alarms}");
    assert!(alarms["items"].as_array().unwrap().iter().all(|a| a["stops"] == false));
    assert_eq!(codes(business.get::<Value>("/v1/verifications/alarms").await), ["authorise/role"]);
    let resume = json!({ "institution": "business", "product": "many" });
    assert_eq!(codes(authority.post::<Value>("/v1/verifications/resumption", &resume).await), ["verify/not-stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_from_afar() {
    let house = House::new(300, |_| {}).await;
    house.furnish().await;
    let (operator, authority) = (house.as_("operator").await, house.authority());
    let asked = json!({ "product": "by-city", "purpose": "research" });
    let run: Value = post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60")]).await.json().unwrap();
    let id = run["id"].as_str().unwrap();

    let found: Value = authority.get("/v1/audit/search?outcome=released&product=by-city").await.unwrap();
    assert_eq!(found["entries"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["entries"][0]["fields"]["run"], id);
    let index = found["entries"][0]["index"].as_u64().unwrap();
    assert_eq!(authority.get::<Value>(&format!("/v1/audit/entries/{index}")).await.unwrap(), found["entries"][0]);
    // Page by page, newest first, all of them once.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page: Value = authority.get(&format!("/v1/audit/search?limit=7{before}")).await.unwrap();
        seen.extend(page["entries"].as_array().unwrap().iter().map(|e| e["index"].as_u64().unwrap()));
        let Some(next) = page["before"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(seen, (0..house.domain.log().size()).rev().collect::<Vec<_>>());
    for wrong in ["limit=0", "limit=1001", "outcome=lost", "format=jsonl", "from_millis=x", "colour=red"] {
        assert_eq!(get(&authority, &format!("/v1/audit/search?{wrong}"), &[]).await.status, 400, "{wrong}");
    }
    assert_eq!(get(&authority, "/v1/audit/stats?limit=1", &[]).await.status, 400);

    let stats: Value = authority.get("/v1/audit/stats?kind=run.").await.unwrap();
    assert_eq!(stats["by_outcome"]["released"], 1);
    let usage: Value = authority.get("/v1/audit/usage?period=all").await.unwrap();
    assert_eq!(usage["lines"][0]["released"], 1);
    let csv = get(&authority, "/v1/audit/usage?period=all", &[("accept", "text/csv")]).await;
    assert!(csv.body.starts_with(b"period,institution") && csv.header("content-type") == Some("text/csv"));
    assert_eq!(get(&authority, "/v1/audit/usage", &[("accept", "image/png")]).await.status, 406);

    // The export holds every entry byte for byte; who may not read the log gets a problem, not a broken answer.
    let mut lines = Vec::new();
    let take = |piece: &[u8]| {
        lines.extend_from_slice(piece);
        Ok(())
    };
    authority.download("/v1/audit/export", take).await.unwrap();
    let lines: Vec<Value> = lines.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
    assert_eq!(lines.len() as u64, house.domain.log().size());
    assert_eq!(lines[index as usize]["leaf"], found["entries"][0]["leaf"]);
    let reply = get(&authority, "/v1/audit/export?format=parquet", &[]).await;
    let rows = SerializedFileReader::new(reply.body).unwrap().metadata().file_metadata().num_rows();
    assert_eq!(rows as u64, house.domain.log().size());
    assert_eq!(codes(operator.download("/v1/audit/export", |_| Ok(())).await), ["authorise/role"]);

    let proof = get(&authority, &format!("/v1/audit/entries/{index}/proof"), &[]).await;
    assert!(proof.body.starts_with(b"c2sp.org/tlog-proof@v1"), "{}", String::from_utf8_lossy(&proof.body));
    assert_eq!(codes(authority.get::<Value>("/v1/audit/entries/999999/proof").await), ["audit/no-entry"]);
    let consistency: Value = authority.get("/v1/audit/consistency?old=5").await.unwrap();
    assert_eq!(consistency["checkpoint"], house.domain.checkpoint().to_string());
    assert_eq!(codes(authority.get::<Value>("/v1/audit/consistency?old=999999").await), ["audit/no-entry"]);
    assert_eq!(codes(authority.get::<Value>("/v1/audit/consistency").await), ["input/query"]);

    assert_eq!(authority.get::<Value>("/v1/audit/replayable").await.unwrap()["items"], json!([id]));
    let report: Value = authority.post(&format!("/v1/runs/{id}/replay"), &json!({})).await.unwrap();
    assert_eq!(report["identical"], true, "{report}");
    assert_eq!(codes(operator.post::<Value>(&format!("/v1/runs/{id}/replay"), &json!({})).await), ["authorise/role"]);
    assert_eq!(codes(authority.post::<Value>("/v1/runs/run-none/replay", &json!({})).await), ["registry/not-found"]);
}
