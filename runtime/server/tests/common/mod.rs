//! A domain behind a real socket, and the four institutions with a token each.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../../../engine/tests/common/mod.rs"]
pub mod engine;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;
use yunei_engine::domain::TokenRequest;
use yunei_engine::{Clock, Domain, DomainError};
use yunei_policy::Lang;
use yunei_policy::authorise::Scopes;
use yunei_server::client::{AuthorKey, Client, Reply, Sending};
use yunei_server::{Config, Server};

pub const DOMAIN: &str = "test.example/domain";

pub struct House {
    pub folder: tempfile::TempDir,
    pub domain: Arc<Domain>,
    pub address: SocketAddr,
    pub root: String,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<bool>>,
}

pub fn entry() -> &'static str {
    r#"
[dataset]
id = "people"
title = { zh = "人口", en = "People" }
provider = { name = "统计局", code = "11530000015000011Y" }
files = ["people/*.parquet"]
update = "monthly"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-3"
unit = { kind = "natural_person", column = "id", most_rows = 1 }
release = "personal"
[[column]]
name = "id"
type = "utf8"
class = "direct_identifier"
usages = ["join", "verify"]
[[column]]
name = "city"
type = "utf8"
class = "attribute"
usages = ["filter", "group", "verify"]
values = ["昆明", "曲靖", "大理"]
[[column]]
name = "age"
type = "int32"
class = "quasi_identifier"
usages = ["filter", "group", "feature", "aggregate", "verify"]
min = 0
max = 120
[[column]]
name = "income"
type = "int64"
class = "sensitive"
usages = ["feature", "aggregate"]
min = 0
max = 100000
"#
}

pub const MODEL: &str = "[model]\nid = \"burden\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"burden.wat\"\n\
    [[feature]]\nname = \"age\"\ntype = \"f64\"\n[[feature]]\nname = \"income\"\ntype = \"f64\"\n\
    [output]\nmin = 0.0\nmax = 1.0\nstep = 0.001\ndefault = 0.5\n";
pub const MODULE: &str = r#"(module (func (export "score") (param f64 f64) (result f64)
  (f64.div (local.get 0) (f64.add (local.get 0) (f64.div (local.get 1) (f64.const 1000))))))"#;
pub const PRODUCT: &str = "[product]\nid = \"by-city\"\nkind = \"aggregate\"\ntitle = { zh = \"测\", en = \"t\" }\n\
    purposes = [\"research\"]\ndatasets = [\"people\"]\nmodels = [\"burden@1.0.0\"]\n\
    sql = '''SELECT city, COUNT(*) AS people, AVG(burden(age, income)) AS mean FROM people WHERE age >= $least GROUP BY city'''\n\
    [product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000000\ndefault = 0\n[product.privacy]\nepsilon = 0.5\n";
pub const CHECK: &str = "[product]\nid = \"lives-in\"\nkind = \"verification\"\ntitle = { zh = \"住\", en = \"l\" }\n\
    purposes = [\"loan\"]\ndatasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"age\"]\nclaim = { equals = \"city\" }\n\
    consent = \"not-required\"\nlegal_basis = \"测试\"\n";

impl House {
    /// An empty home, the holder's files beside it, a server on a port of its own, and the authority's first token.
    pub async fn new(people: usize, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data/people");
        std::fs::create_dir_all(&data).unwrap();
        let rows: Vec<_> = (0..people).map(engine::person).collect();
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..people).map(|i| format!("P{i:07}"))));
        let cities: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0)));
        let ages: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1)));
        let incomes: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2)));
        engine::write(
            &data.join("people.parquet"),
            vec![("id", ids), ("city", cities), ("age", ages), ("income", incomes)],
        );
        let clock: Clock =
            Arc::new(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64);
        let rules = engine::rules();
        let domain = engine::create(&folder.path().join("home"), DOMAIN, &rules, clock).await;
        let first = TokenRequest {
            institution: "authority".into(),
            label: "first".into(),
            scopes: Scopes::all(),
            days: 365,
            certificate: None,
        };
        let first = domain.issue_token("authority", &Scopes::all(), &first).await.unwrap();
        let mut config =
            Config { listen: ([127, 0, 0, 1], 0).into(), data: Some(folder.path().join("data")), ..Config::default() };
        change(&mut config);
        let domain = Arc::new(domain);
        let server = Server::bind(Arc::clone(&domain), config).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { folder, domain, address, root: first.secret, stop: Some(stop), served: Some(served) }
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn client(&self, token: &str) -> Client {
        Client::new(&format!("http://{}", self.address), token, Lang::En, None, None).unwrap()
    }

    pub fn authority(&self) -> Client {
        self.client(&self.root)
    }

    /// A token for an institution, by the authority and through the interface.
    pub async fn token(&self, institution: &str, scopes: &[&str]) -> String {
        let body = json!({ "institution": institution, "label": "t", "scopes": scopes, "days": 30 });
        let issued: Value = self.authority().post("/v1/tokens", &body).await.unwrap();
        issued["token"].as_str().unwrap().to_owned()
    }

    pub async fn as_(&self, institution: &str) -> Client {
        self.client(&self.token(institution, &["read", "submit", "use", "approve", "audit", "admin"]).await)
    }

    /// Everything up to two granted products, by way of the interface alone.
    pub async fn furnish(&self) {
        let (holder, operator, authority) = (self.as_("holder").await, self.as_("operator").await, self.authority());
        let _: Value = holder.post("/v1/datasets", &json!({ "entry": entry() })).await.unwrap();
        approve(&authority, "datasets/people").await;
        let key = AuthorKey::create(&self.folder.path().join("author.pem")).unwrap();
        let _: Value = operator.post("/v1/keys", &json!({ "public_key": key.public(), "label": "ci" })).await.unwrap();
        let _: Value = operator.post("/v1/models", &submission(&key, "operator", MODEL, MODULE)).await.unwrap();
        approve(&authority, "models/burden@1.0.0").await;
        for (manifest, id, institution) in [(PRODUCT, "by-city", "operator"), (CHECK, "lives-in", "business")] {
            let _: Value = operator.post("/v1/products", &json!({ "manifest": manifest })).await.unwrap();
            let consents = format!("/v1/products/{id}/consents");
            let _: Value = holder.post(&consents, &json!({ "given": true })).await.unwrap();
            approve(&authority, &format!("products/{id}")).await;
            let agreement = json!({ "digest": digest("协议"), "days": 90 });
            let grant = json!({ "institution": institution, "product": id, "days": 90, "agreement": agreement });
            let _: Value = authority.post("/v1/grants", &grant).await.unwrap();
        }
    }

    /// Stops the server as a signal does; whether everything under way came to its end.
    pub async fn stop(&mut self) -> bool {
        let _ = self.stop.take().unwrap().send(());
        self.served.take().unwrap().await.unwrap()
    }
}

pub fn submission(key: &AuthorKey, institution: &str, manifest: &str, module: &str) -> Value {
    use base64::Engine as _;
    json!({
        "manifest": manifest,
        "module": base64::engine::general_purpose::STANDARD.encode(module),
        "envelope": key.envelope(DOMAIN, institution, "burden@1.0.0", manifest.as_bytes(), module.as_bytes()),
    })
}

pub async fn approve(authority: &Client, what: &str) {
    let stands: Value = authority.post(&format!("/v1/{what}/state"), &json!({ "action": "approve" })).await.unwrap();
    assert_eq!(stands["state"], "approved");
}

/// What names a document.
pub fn digest(document: &str) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, document.as_bytes()))
}

pub fn codes<T: std::fmt::Debug>(result: Result<T, DomainError>) -> Vec<&'static str> {
    result.unwrap_err().reasons().iter().map(|r| r.code()).collect()
}

pub async fn post(client: &Client, path: &str, body: &Value, headers: &[(&'static str, &str)]) -> Reply {
    let headers = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    client.send(hyper::Method::POST, path, Sending { body: Some(body), headers }).await.unwrap()
}

pub async fn get(client: &Client, path: &str, headers: &[(&'static str, &str)]) -> Reply {
    let headers = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    client.send(hyper::Method::GET, path, Sending { body: None, headers }).await.unwrap()
}

/// Bytes over a bare socket, and what comes back until the server closes or falls silent.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
