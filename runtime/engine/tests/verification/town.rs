//! A town of people with names and plates, a domain about them, and an issuer of consents.

use crate::common::{create, rules, write};
use datafusion::arrow::array::{ArrayRef, Date32Array, Int32Array, StringArray};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use yunei_engine::registry::{Agreement, Digest};
use yunei_engine::{
    Clock, ConsentAlgorithm, ConsentSigner, ConsentTerms, Domain, DomainError, GrantRequest, VerifyAnswer,
    VerifyRequest,
};
use yunei_policy::Text;
use yunei_policy::register::Term;
use yunei_policy::words::{Role, State};

pub const NOW: i64 = 1_795_392_000_000;
pub const DAY: i64 = 86_400_000;

pub struct Town {
    pub folder: tempfile::TempDir,
    pub domain: Domain,
    pub now: Arc<AtomicI64>,
    pub signer: ConsentSigner,
}

const ENTRY: &str = r#"
[dataset]
id = "people"
title = { zh = "人口", en = "People" }
provider = { name = "公安局", code = "11530000015000011Y" }
files = ["people*.parquet"]
update = "daily"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-4"
unit = { kind = "natural_person", column = "id_number", most_rows = 1 }
release = "personal"
[[column]]
name = "id_number"
type = "utf8"
class = "direct_identifier"
usages = ["verify"]
[[column]]
name = "name"
type = "utf8"
class = "direct_identifier"
usages = ["verify"]
[[column]]
name = "plate"
type = "utf8"
class = "direct_identifier"
usages = ["verify"]
missing = "null"
[[column]]
name = "status"
type = "utf8"
class = "attribute"
usages = ["verify"]
values = ["有效", "注销"]
[[column]]
name = "income"
type = "int32"
class = "sensitive"
usages = ["verify"]
min = 0
max = 100000
[[column]]
name = "born"
type = "date32"
class = "quasi_identifier"
usages = ["verify"]
min = "1900-01-01"
max = "2026-12-31"
"#;

/// The check digit of GB 11643, for test data.
pub fn citizen(county: u32, date: &str, sequence: usize) -> String {
    let body = format!("{county:06}{date}{sequence:03}");
    let weights = [7u32, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(d, w)| u32::from(d - b'0') * w).sum();
    format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

pub fn born(i: usize) -> String {
    format!("{:04}{:02}{:02}", 1950 + i % 50, i / 50 % 12 + 1, i / 600 % 28 + 1)
}

pub fn id(i: usize) -> String {
    citizen(530102, &born(i), i / 16_800 * 7 + 1)
}

pub fn name(i: usize) -> String {
    const FAMILY: [&str; 10] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴"];
    const GIVEN: [&str; 10] = ["伟", "芳", "娜", "敏", "静", "丽", "强", "磊", "军", "洋"];
    format!("{}{}", FAMILY[i % 10], GIVEN[i / 10 % 10])
}

pub fn plate(i: usize) -> Option<String> {
    (!i.is_multiple_of(4)).then(|| format!("云A{i:05}"))
}

pub fn write_people(path: &Path, people: usize) {
    let column = |of: fn(usize) -> String| Arc::new(StringArray::from_iter_values((0..people).map(of))) as ArrayRef;
    let status = |i: usize| if i.is_multiple_of(10) { "注销" } else { "有效" }.to_owned();
    let days = |i: usize| {
        let text = born(i);
        let text = format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..]);
        yunei_engine::dates::parse_date(&text).unwrap()
    };
    write(
        path,
        vec![
            ("id_number", column(id)),
            ("name", column(name)),
            ("plate", Arc::new((0..people).map(plate).collect::<StringArray>())),
            ("status", column(status)),
            ("income", Arc::new(Int32Array::from_iter_values((0..people).map(|i| (i % 1_000) as i32 * 100)))),
            ("born", Arc::new(Date32Array::from_iter_values((0..people).map(days)))),
        ],
    );
}

pub fn product(id: &str, verification: &str) -> String {
    format!(
        "[product]\nid = \"{id}\"\nkind = \"verification\"\ntitle = {{ zh = \"核验\", en = \"v\" }}\npurposes = [\"loan\"]\n\
         datasets = [\"people\"]\n[product.verification]\nidentity = [\"id_number\", \"name\"]\n{verification}\n"
    )
}

pub const FREE: &str = "consent = \"not-required\"\nlegal_basis = \"《反洗钱法》\"";

pub fn quick() -> String {
    // Ticks of a millisecond: the tests ask thousands of questions.
    rules().replace("quantum_millis = 5", "quantum_millis = 1").replace("slow_millis = 1000", "slow_millis = 0")
}

impl Town {
    pub async fn new(people: usize) -> Self {
        Self::with_rules(people, &quick()).await
    }

    pub async fn with_rules(people: usize, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_people(&folder.path().join("people.parquet"), people);
        let now = Arc::new(AtomicI64::new(NOW));
        let domain = create(&folder.path().join("home"), "test.example/town", rules, clock(&now)).await;
        let entry = folder.path().join("people.toml");
        std::fs::write(&entry, ENTRY).unwrap();
        domain.register_dataset("holder", &entry, |_, _| {}).await.unwrap();
        domain.set_dataset_state("authority", "people", State::Approved).await.unwrap();
        let pem = ConsentSigner::generate(ConsentAlgorithm::EdDsa).unwrap();
        let signer = ConsentSigner::from_pem("bureau", &pem).unwrap();
        domain.add_issuer("authority", "bureau", &Text::new("签发局", "Bureau"), &signer.public()).await.unwrap();
        Self { folder, domain, now, signer }
    }

    pub async fn approve(&self, id: &str, verification: &str) {
        let path = self.folder.path().join(format!("{id}.toml"));
        std::fs::write(&path, product(id, verification)).unwrap();
        self.domain.submit_product("operator", &path).await.unwrap();
        self.domain.consent("holder", id, true, "").await.unwrap();
        self.domain.set_product_state("authority", id, State::Approved).await.unwrap();
        self.grant("business", id, None).await;
    }

    pub async fn refused(&self, verification: &str) -> Vec<&'static str> {
        let path = self.folder.path().join("wrong.toml");
        std::fs::write(&path, product("wrong", verification)).unwrap();
        codes(&self.domain.check_product(&path).await.unwrap_err())
    }

    pub async fn grant(&self, institution: &str, product: &str, max_runs: Option<u64>) -> String {
        let grant = GrantRequest {
            institution: institution.into(),
            product: product.into(),
            purposes: Vec::new(),
            from_millis: 0,
            until_millis: NOW + 3_650 * DAY,
            max_runs,
        };
        let term = Term { from_millis: NOW - DAY, until_millis: NOW + 1_800 * DAY };
        let agreement = Agreement { digest: Digest::of("协议".as_bytes()), term };
        self.domain.grant_under("authority", &grant, agreement).await.unwrap()
    }

    pub async fn business(&self, id: &str, product: &str) {
        self.domain.add_institution("authority", id, Role::Business, &Text::new("企业", "b")).await.unwrap();
        self.grant(id, product, None).await;
    }

    pub fn terms(&self, product: &str) -> ConsentTerms {
        let issued = self.domain.now() / 1_000;
        ConsentTerms {
            domain: self.domain.name().to_owned(),
            business: "business".into(),
            product: product.into(),
            purpose: "loan".into(),
            uses: 1,
            issued,
            expires: issued + 86_400,
        }
    }

    pub fn consent(&self, product: &str, i: usize) -> String {
        self.signer.sign(&self.terms(product), &identity(i)).unwrap()
    }

    pub async fn ask(&self, request: VerifyRequest) -> Result<VerifyAnswer, Vec<&'static str>> {
        self.domain.verify(&request).await.map_err(|e| codes(&e))
    }

    pub fn home(&self) -> std::path::PathBuf {
        self.folder.path().join("home")
    }

    /// The domain closed and opened again, as by the next process.
    pub async fn reopened(self) -> Self {
        let Self { folder, domain, now, signer } = self;
        domain.close().await;
        let domain = Domain::open(&folder.path().join("home"), clock(&now)).await.unwrap();
        Self { folder, domain, now, signer }
    }
}

pub fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = Arc::clone(now);
    Arc::new(move || now.load(Ordering::SeqCst))
}

pub fn codes(error: &DomainError) -> Vec<&'static str> {
    error.reasons().iter().map(|r| r.code()).collect()
}

pub fn identity(i: usize) -> BTreeMap<String, String> {
    BTreeMap::from([("id_number".to_owned(), id(i)), ("name".to_owned(), name(i))])
}

pub fn request(product: &str, i: usize) -> VerifyRequest {
    VerifyRequest {
        institution: "business".into(),
        product: product.into(),
        identity: identity(i),
        purpose: "loan".into(),
        ..VerifyRequest::default()
    }
}
