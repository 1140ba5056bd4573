//! The authority's and the holders' desks, and the requests of data subjects, through the interface.

#![allow(clippy::unwrap_used)]

mod common;

use common::{House, approve, codes, digest, get, post};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use yunei_server::client::{Client, Sending};

const TABLE: &str = "[product]\nid = \"heads\"\nkind = \"aggregate\"\ntitle = { zh = \"人数\", en = \"Heads\" }\n\
    purposes = [\"research\"]\ndatasets = [\"people\"]\nsql = '''SELECT city, COUNT(*) AS n FROM people GROUP BY city'''\n\
    [product.privacy]\nepsilon = 0.5\n";

async fn put(client: &Client, path: &str, body: &Value) -> Result<Value, yunei_engine::DomainError> {
    client.call(Method::PUT, path, Sending { body: Some(body), ..Sending::default() }).await?.json()
}

async fn bare(client: &Client, path: &str) -> Result<Value, yunei_engine::DomainError> {
    client.call(Method::POST, path, Sending::default()).await?.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_takes_consent_registration_and_an_agreement() {
    let house = House::new(300, |_| {}).await;
    let (holder, operator, authority) = (house.as_("holder").await, house.as_("operator").await, house.authority());
    let _: Value = holder.post("/v1/datasets", &json!({ "entry": common::entry() })).await.unwrap();
    approve(&authority, "datasets/people").await;
    let _: Value = operator.post("/v1/products", &json!({ "manifest": TABLE })).await.unwrap();

    // What waits for whom.
    let due: Value = authority.get("/v1/due").await.unwrap();
    let steps: BTreeSet<&str> = due["items"].as_array().unwrap().iter().map(|d| d["step"].as_str().unwrap()).collect();
    assert_eq!(steps, BTreeSet::from(["consent", "product"]));
    let due: Value = holder.get("/v1/due").await.unwrap();
    assert_eq!(due["items"].as_array().unwrap().len(), 1);
    let overdue: Value = authority.get("/v1/due?overdue=true").await.unwrap();
    assert_eq!(overdue["items"], json!([]));

    // The holder's word, and nobody else's.
    let state = "/v1/products/heads/state";
    let refused = codes(authority.post::<Value>(state, &json!({ "action": "approve" })).await);
    assert_eq!(refused, ["authorise/consent", "holder/consent"]);
    let consents = "/v1/products/heads/consents";
    for client in [&operator, &authority] {
        assert!(codes(client.post::<Value>(consents, &json!({ "given": true })).await).contains(&"authorise/role"));
    }
    assert_eq!(codes(holder.post::<Value>(consents, &json!({ "given": false })).await), ["input/reason"]);
    let said: Value = holder.post(consents, &json!({ "given": true })).await.unwrap();
    assert_eq!(said["items"][0]["verdict"], "given");
    assert_eq!(operator.get::<Value>(consents).await.unwrap(), said);
    let stands: Value = authority.post(state, &json!({ "action": "approve" })).await.unwrap();
    assert!(stands["timing"]["quantum_millis"].as_u64().unwrap() > 0, "{stands}");

    // A grant rests on an agreement.
    let grant = json!({ "institution": "operator", "product": "heads", "days": 30 });
    let mut wrong = grant.clone();
    wrong["agreement"] = json!({ "digest": "x", "days": 30 });
    assert_eq!(codes(authority.post::<Value>("/v1/grants", &wrong).await), ["agreement/malformed"]);
    assert!(authority.list::<Value>("/v1/grants").await.unwrap().is_empty(), "nothing was granted");
    let granted: Value = authority.post("/v1/grants", &grant).await.unwrap();
    let run = json!({ "product": "heads", "purpose": "research" });
    let ask = || post(&operator, "/v1/runs", &run, &[("prefer", "wait=60")]);
    let refused = ask().await;
    assert_eq!(
        (refused.status, &refused.json::<Value>().unwrap()["refused"][0]["code"]),
        (403, &json!("authorise/agreement"))
    );
    let place = format!("/v1/grants/{}/agreement", granted["id"].as_str().unwrap());
    let agreement = json!({ "digest": digest("开放利用协议"), "days": 365 });
    assert_eq!(codes(put(&operator, &place, &agreement).await), ["authorise/role"]);
    assert_eq!(
        codes(put(&authority, &place, &json!({ "digest": digest("x"), "days": 1827 })).await),
        ["agreement/malformed"]
    );
    assert_eq!(codes(put(&authority, "/v1/grants/none/agreement", &agreement).await), ["registry/not-found"]);
    assert_eq!(put(&authority, &place, &agreement).await.unwrap()["digest"], agreement["digest"]);
    assert_eq!(ask().await.status, 200);
    let budget: Value = operator.get("/v1/products/heads/budget").await.unwrap();
    assert!(budget["epsilon"].as_f64().unwrap() > 0.0 && budget["budgets"].as_array().unwrap().len() == 3, "{budget}");
    assert_eq!(
        codes(operator.get::<Value>("/v1/products/heads/budget?institution=business").await),
        ["authorise/role"]
    );

    // The registers.
    let entries = operator.list::<Value>("/v1/registers").await.unwrap();
    let ids: Vec<&str> = entries.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["people", "heads"]);
    assert!(entries.iter().all(|e| e["registration"]["holding"] == "current"));
    let page: Value = operator.get("/v1/registers?limit=1").await.unwrap();
    assert_eq!(page["next"], "dataset/people");
    let dcat = get(&operator, "/v1/registers/dcat", &[]).await;
    assert_eq!(dcat.header("content-type"), Some("application/ld+json"));
    assert_eq!(dcat.json::<Value>().unwrap()["dcat:service"].as_array().unwrap().len(), 1);
    let renewed = bare(&authority, "/v1/products/heads/registration").await.unwrap();
    assert_eq!(renewed["number"], entries[1]["registration"]["number"]);
    assert_eq!(codes(bare(&holder, "/v1/datasets/people/registration").await), ["authorise/role"]);
    let lapsing: Value = operator.get("/v1/registers/lapsing").await.unwrap();
    assert_eq!(lapsing["items"][0]["what"], "grant", "the grant of thirty days: {lapsing}");
    assert_eq!(bare(&authority, "/v1/datasets/people/epochs").await.unwrap()["epoch"], 2);

    // A consent that is taken back is in force at once.
    let _: Value = holder.post(consents, &json!({ "given": false, "reason": "不再同意" })).await.unwrap();
    assert_eq!(ask().await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn declines_tell_every_reason_and_offices_divide_the_authority() {
    let house = House::new(30, |_| {}).await;
    let (holder, operator, authority) = (house.as_("holder").await, house.as_("operator").await, house.authority());
    let _: Value = holder.post("/v1/datasets", &json!({ "entry": common::entry() })).await.unwrap();
    let place = "/v1/declines/dataset/people";
    assert_eq!(codes(authority.post::<Value>(place, &json!({ "reasons": [] })).await), ["input/reason"]);
    assert_eq!(codes(operator.post::<Value>(place, &json!({ "reasons": ["缺少附件"] })).await), ["authorise/role"]);
    assert_eq!(codes(holder.get::<Value>(place).await), ["registry/not-found"]);
    let reasons = json!({ "reasons": ["缺少附件", "更新周期不明"] });
    assert_eq!(authority.post::<Value>(place, &reasons).await.unwrap()["state"], "declined");
    assert_eq!(holder.get::<Value>(place).await.unwrap()["reasons"], reasons["reasons"]);
    assert_eq!(codes(authority.post::<Value>("/v1/declines/table/people", &reasons).await), ["registry/not-found"]);
    assert_eq!(codes(authority.post::<Value>("/v1/declines/grant/people", &reasons).await), ["input/subject"]);

    let title = json!({ "zh": "管理员", "en": "Administrator" });
    let new = json!({ "id": "x", "role": "holder", "title": title, "office": "audit" });
    assert_eq!(codes(authority.post::<Value>("/v1/institutions", &new).await), ["input/office"]);
    for office in ["system", "security", "audit"] {
        let new = json!({ "id": office, "role": "authority", "title": title, "office": office });
        let _: Value = authority.post("/v1/institutions", &new).await.unwrap();
    }
    // Divided: the undivided authority does nothing any more, and what the system administrator enters waits.
    let late = json!({ "id": "bank", "role": "business", "title": title });
    assert_eq!(codes(authority.post::<Value>("/v1/institutions", &late).await), ["authorise/divided"]);
    let token = |office: &'static str| {
        let request = yunei_engine::domain::TokenRequest {
            institution: office.into(),
            label: "t".into(),
            scopes: yunei_policy::authorise::Scopes::all(),
            days: 1,
            certificate: None,
        };
        let domain = &house.domain;
        async move {
            let all = yunei_policy::authorise::Scopes::all();
            domain.issue_token(office, &all, &request).await.unwrap().secret
        }
    };
    let (system, security) = (house.client(&token("system").await), house.client(&token("security").await));
    let _: Value = system.post("/v1/institutions", &late).await.unwrap();
    assert_eq!(
        codes(bare(&system, "/v1/institutions/bank/admission").await),
        ["authorise/office", "authorise/own-submission"]
    );
    assert_eq!(bare(&security, "/v1/institutions/bank/admission").await.unwrap()["state"], "approved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_subject_is_heard() {
    let house = House::new(30, |_| {}).await;
    let (holder, operator, authority) = (house.as_("holder").await, house.as_("operator").await, house.authority());
    let business = house.as_("business").await;
    let _: Value = holder.post("/v1/datasets", &json!({ "entry": common::entry() })).await.unwrap();
    approve(&authority, "datasets/people").await;
    let new = json!({ "kind": "correction", "dataset": "people", "subject": "P0000007", "details": "年龄有误" });
    let reply = post(&business, "/v1/requests", &new, &[]).await;
    assert_eq!(reply.status, 201);
    let filed: Value = reply.json().unwrap();
    let place = reply.header("location").unwrap().to_owned();
    assert_eq!((filed["holder"].as_str(), filed["outcome"].is_null()), (Some("holder"), true));
    assert!(!filed["subject"].as_str().unwrap().contains("P0000007"));
    assert_eq!(authority.get::<Value>(&place).await.unwrap(), filed);
    assert_eq!(codes(operator.get::<Value>(&place).await), ["authorise/not-yours"]);
    assert!(operator.list::<Value>("/v1/requests").await.unwrap().is_empty());
    let open: Value = holder.get("/v1/requests?open=true&limit=1").await.unwrap();
    assert_eq!(open["items"][0]["id"], filed["id"]);
    for (body, code) in [
        (json!({ "kind": "complaint", "dataset": "people", "subject": "x", "details": "y" }), "input/shape"),
        (json!({ "kind": "objection", "dataset": "people", "subject": " ", "details": "y" }), "input/subject-number"),
        (json!({ "kind": "objection", "dataset": "none", "subject": "x", "details": "y" }), "registry/not-found"),
    ] {
        assert_eq!(codes(business.post::<Value>("/v1/requests", &body).await), [code]);
    }
    let extension = format!("{place}/extension");
    let late: Value = holder.post(&extension, &json!({ "reason": "需与派出所核对" })).await.unwrap();
    assert_ne!(late["due"], filed["due"]);
    assert_eq!(codes(holder.post::<Value>(&extension, &json!({ "reason": "再延" })).await), ["store/state"]);
    let answer = format!("{place}/answer");
    let corrected = json!({ "outcome": "corrected", "answer": "已更正", "corrected_version": 2 });
    assert_eq!(codes(holder.post::<Value>(&answer, &corrected).await), ["input/corrected-version"]);
    let rejected = json!({ "outcome": "rejected", "answer": "经核实无误" });
    assert!(codes(business.post::<Value>(&answer, &rejected).await).contains(&"authorise/role"));
    assert_eq!(holder.post::<Value>(&answer, &rejected).await.unwrap()["outcome"], "rejected");
    let open: Value = holder.get("/v1/requests?open=true").await.unwrap();
    assert_eq!(open["items"], json!([]));
    assert_eq!(codes(holder.get::<Value>("/v1/requests?open=perhaps").await), ["input/query"]);
}
