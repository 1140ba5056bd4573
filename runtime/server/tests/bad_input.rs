//! What comes wrong, late, twice, too large or from the wrong hands: each gets its problem document, and nothing is
//! written.

#![allow(clippy::unwrap_used)]

mod common;

use common::{House, codes, get, post, raw};
use serde_json::{Value, json};
use std::time::Duration;
use yunei_server::client::{AuthorKey, Client, Sending};
use yunei_server::route::{Access, table};

fn is_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "wanted {code}: {answer}");
}

fn concrete(path: &str) -> String {
    path.replace("{kind}", "dataset").replace("{id}", "x").replace("{number}", "1").replace("{index}", "0")
}

/// No route is reached without a decision: without a token, with one that is not good, with one whose scopes do not
/// cover it, and by an institution that is suspended, every one of them says no.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_who_it_is_and_whether_it_may() {
    let house = House::new(30, |_| {}).await;
    let authority = house.authority();
    let suspended = house.as_("holder").await;
    let stop = json!({ "action": "suspend", "reason": "复核" });
    let _: Value = authority.post("/v1/institutions/holder/state", &stop).await.unwrap();
    let revoked = house.token("operator", &["read"]).await;
    let id = authority.list::<Value>("/v1/tokens").await.unwrap();
    let id = id.iter().find(|t| t["institution"] == "operator").unwrap()["id"].as_str().unwrap().to_owned();
    authority.call(hyper::Method::DELETE, &format!("/v1/tokens/{id}"), Sending::default()).await.unwrap();
    let narrow = [
        ("read", house.client(&house.token("authority", &["read"]).await)),
        ("use", house.client(&house.token("authority", &["use"]).await)),
    ];
    let size = house.domain.log().size();
    for route in table() {
        let Access::Needs(action) = route.access else { continue };
        let path = concrete(route.path);
        let method = hyper::Method::from_bytes(route.method.as_bytes()).unwrap();
        let answer = raw(
            house.address,
            format!("{} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", route.method)
                .as_bytes(),
        )
        .await;
        is_problem(&answer, 401, "credential/missing");
        let ask = |client: Client| {
            let (method, path) = (method.clone(), path.clone());
            async move { client.call(method, &path, Sending::default()).await }
        };
        assert_eq!(codes(ask(house.client("yunei_AAAA")).await), ["credential/unknown"], "{path}");
        assert_eq!(codes(ask(house.client(&revoked)).await), ["credential/revoked"], "{path}");
        let answer = codes(ask(suspended.clone()).await);
        assert!(answer.contains(&"authorise/institution-state"), "{} {path}: {answer:?}", route.method);
        for (scope, client) in &narrow {
            let covered = action.scope().is_none_or(|s| s.as_str() == *scope);
            let answer = ask(client.clone()).await;
            let said_no = answer.is_err_and(|e| e.reasons().iter().any(|r| r.code() == "authorise/scope"));
            assert_eq!(said_no, !covered, "{} {path} with {scope}", route.method);
        }
    }
    assert_eq!(house.domain.log().size(), size, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_bounds_shape_and_time() {
    let house = House::new(30, |config| {
        config.limits.body = Duration::from_millis(300);
        config.limits.head = Duration::from_millis(500);
    })
    .await;
    let token = house.token("operator", &["read", "submit", "use"]).await;
    let size = house.domain.log().size();
    let head = |length: &str| {
        format!(
            "POST /v1/runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\n{length}\r\n"
        )
    };
    let with = |body: &str| format!("{}{body}", head(&format!("content-length: {}\r\n", body.len())));
    // Too large: as announced, and as it comes.
    is_problem(&raw(house.address, head("content-length: 65537\r\n").as_bytes()).await, 413, "input/too-large");
    let chunk = format!("{:x}\r\n{}\r\n", 65_600, "a".repeat(65_600));
    let chunked = format!("{}{chunk}0\r\n\r\n", head("transfer-encoding: chunked\r\n"));
    is_problem(&raw(house.address, chunked.as_bytes()).await, 413, "input/too-large");
    // Too slow, and never whole.
    is_problem(&raw(house.address, head("content-length: 10\r\n").as_bytes()).await, 408, "input/too-slow");
    // A head that never ends: the connection is closed.
    let begun = std::time::Instant::now();
    raw(house.address, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    assert!(begun.elapsed() < Duration::from_secs(15));
    // Bombs and other shapes.
    let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep = format!("{{\"product\":\"p\",\"purpose\":\"q\",\"arguments\":{{\"a\":{nested}}}}}");
    is_problem(&raw(house.address, with(&nested).as_bytes()).await, 400, "input/shape");
    is_problem(&raw(house.address, with(&deep).as_bytes()).await, 400, "input/json");
    for (body, code) in [
        ("", "input/json"),
        ("{", "input/json"),
        ("nul", "input/json"),
        ("\u{feff}{}", "input/json"),
        ("[]", "input/shape"),
        ("{}", "input/shape"),
        ("{\"product\":\"p\",\"purpose\":\"q\",\"extra\":1}", "input/shape"),
        ("{\"product\":\"p\",\"product\":\"p\",\"purpose\":\"q\"}", "input/shape"),
        ("{\"product\":7,\"purpose\":\"q\"}", "input/shape"),
    ] {
        is_problem(&raw(house.address, with(body).as_bytes()).await, 400, code);
    }
    is_problem(
        &raw(house.address, with("{\"product\":\"p\",\"purpose\":\"q\",\"arguments\":{\"a\":[1]}}").as_bytes()).await,
        422,
        "parameter/shape",
    );
    let other = with("{}").replace("application/json", "text/plain");
    is_problem(&raw(house.address, other.as_bytes()).await, 415, "input/media-type");
    let packed = with("{}").replace("content-type", "content-encoding: gzip\r\ncontent-type");
    is_problem(&raw(house.address, packed.as_bytes()).await, 415, "input/encoding");
    // Two tokens are none.
    let twice = with("{}").replace("content-type", "authorization: Bearer yunei_x\r\ncontent-type");
    is_problem(&raw(house.address, twice.as_bytes()).await, 401, "credential/missing");
    assert_eq!(house.domain.log().size(), size, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_and_languages() {
    let house = House::new(30, |_| {}).await;
    let authority = house.authority();
    assert_eq!(get(&authority, "/v1/nothing", &[]).await.status, 404);
    assert_eq!(get(&authority, "/v1/datasets/..%2f..%2fetc%2fpasswd", &[]).await.status, 404);
    assert_eq!(get(&authority, "/v1/datasets/%ff", &[]).await.status, 404);
    assert_eq!(get(&authority, "/v1/audit/entries/99999999999999999999", &[]).await.status, 404);
    let wrong = post(&authority, "/v1/whoami", &json!({}), &[]).await;
    assert_eq!((wrong.status, wrong.header("content-type")), (405, Some("application/problem+json")));
    let english = get(&authority, "/v1/datasets/nothing", &[]).await;
    let problem: Value = english.json().unwrap();
    assert_eq!(problem["refused"][0]["message"], "there is no dataset called nothing");
    assert_eq!(english.header("content-language"), Some("en"));
    // The client always sends a language of its own: this one is asked for by hand.
    let chinese = raw(
        house.address,
        b"GET /v1/whoami HTTP/1.1\r\nhost: x\r\naccept-language: zh-CN,en;q=0.5\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(chinese.contains("缺少访问令牌") && chinese.contains("content-language: zh"), "{chinese}");
    // Metrics are the machine's, and hold no id of anything.
    let metrics = get(&authority, "/metrics", &[]).await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("yunei_requests_total{method=\"GET\",route=\"/v1/datasets/{id}\",status=\"404\"}"), "{text}");
    assert!(!text.contains("nothing") && !text.contains("seconds_bucket"), "{text}");
    assert_eq!(get(&authority, "/healthz", &[]).await.status, 200);
    assert_eq!(get(&authority, "/readyz", &[]).await.status, 200);
    let page = get(&authority, "/v1/docs", &[]).await;
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_signatures_that_do_not_fit() {
    let house = House::new(30, |_| {}).await;
    let (holder, operator) = (house.as_("holder").await, house.as_("operator").await);
    let outside = house.folder.path().join("data/people/people.parquet").display().to_string();
    let size = house.domain.log().size();
    for file in ["../home/keys/log.key", "/etc/passwd", outside.as_str(), "people/../people/people.parquet"] {
        let new = json!({ "entry": common::entry().replace("people/*.parquet", file) });
        let refused = codes(holder.post::<Value>("/v1/datasets", &new).await);
        assert!(refused.iter().all(|c| ["catalogue/path", "catalogue/bad-path"].contains(c)), "{file}: {refused:?}");
    }
    assert_eq!(house.domain.log().size(), size, "nothing was written");

    let key = AuthorKey::create(&house.folder.path().join("author.pem")).unwrap();
    let _: Value = operator.post("/v1/keys", &json!({ "public_key": key.public() })).await.unwrap();
    let right = common::submission(&key, "operator", common::MODEL, common::MODULE);
    // Signed for another module, for another institution, by a key that is not registered.
    let mut moved = right.clone();
    moved["module"] = common::submission(&key, "operator", common::MODEL, "(module)")["module"].clone();
    assert_ne!(codes(operator.post::<Value>("/v1/models", &moved).await), [""; 0]);
    let foreign = common::submission(&key, "business", common::MODEL, common::MODULE);
    assert_eq!(codes(operator.post::<Value>("/v1/models", &foreign).await), ["signature/statement"]);
    let stranger = AuthorKey::create(&house.folder.path().join("other.pem")).unwrap();
    let unknown = common::submission(&stranger, "operator", common::MODEL, common::MODULE);
    assert_eq!(codes(operator.post::<Value>("/v1/models", &unknown).await), ["signature/unknown-key"]);
    assert!(operator.list::<Value>("/v1/models").await.unwrap().is_empty());
    let _: Value = operator.post("/v1/models", &right).await.unwrap();
    // The same signature once more, also by somebody else who got hold of it.
    assert_eq!(codes(operator.post::<Value>("/v1/models", &right).await), ["store/exists"]);
    assert_eq!(codes(house.as_("business").await.post::<Value>("/v1/models", &right).await), ["authorise/role"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_says_so_and_comes_back() {
    let mut house = House::new(3_000, |config| {
        config.limits.runs = 1;
        config.limits.queue = 2;
        config.limits.requests = 8;
    })
    .await;
    house.furnish().await;
    let operator = house.as_("operator").await;
    let ask = |least: u32| {
        let operator = operator.clone();
        async move {
            let asked = json!({ "product": "by-city", "arguments": { "least": least }, "purpose": "research" });
            post(&operator, "/v1/runs", &asked, &[("prefer", "wait=60")]).await
        }
    };
    let replies = futures::future::join_all((1..=30).map(ask)).await;
    let busy: Vec<_> = replies.iter().filter(|r| r.status == 503).collect();
    assert!(!busy.is_empty() && replies.iter().all(|r| [200, 503].contains(&r.status)), "{replies:?}");
    assert!(busy.iter().all(|r| r.header("retry-after").is_some()));
    let done = replies.iter().filter(|r| r.status == 200).count();
    assert!(done >= 3, "{done}");
    // Exactly what was answered is charged.
    let budgets: Value = operator.get("/v1/budgets").await.unwrap();
    let spent = budgets["items"].as_array().unwrap().iter().find(|b| b["kind"] == "product").unwrap().clone();
    let one = house.domain.log().entries(0..house.domain.log().size());
    let charged: u64 = one
        .filter_map(|e| e.ok().filter(|(_, e)| e.kind() == "run.charged"))
        .map(|(_, e)| e.fields()["rho"].as_u64().unwrap())
        .sum();
    assert!((spent["spent_rho"].as_f64().unwrap() - charged as f64 * 1e-12).abs() < 1e-15, "{spent} {charged}");
    assert_eq!(operator.list::<Value>("/v1/runs").await.unwrap().len(), done);
    assert!(house.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_runs_end_and_begins_none() {
    let mut house = House::new(20_000, |config| config.limits.runs = 1).await;
    house.furnish().await;
    let operator = house.as_("operator").await;
    let mut ids = Vec::new();
    for least in 0..6 {
        let asked = json!({ "product": "by-city", "arguments": { "least": least }, "purpose": "research" });
        let reply = post(&operator, "/v1/runs", &asked, &[]).await;
        assert_eq!(reply.status, 202);
        ids.push(reply.json::<Value>().unwrap()["id"].as_str().unwrap().to_owned());
    }
    assert!(house.stop().await, "everything under way came to its end");
    let mut states = Vec::new();
    for id in &ids {
        // A run that only waited was never begun: the registry does not know it, and nothing was charged.
        match house.domain.run_for("authority", id).await {
            Ok(run) => states.push(run.state.as_str()),
            Err(_) => states.push("none"),
        }
    }
    assert!(states.iter().all(|s| ["released", "none"].contains(s)), "{states:?}");
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err(), "nobody listens any more");
}
