//! A small domain for the tests: people with a city, an age and an income; their meters.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yunei_engine::registry::{Agreement, Digest, StoreUrl};
use yunei_engine::{Clock, Domain, DomainError, GrantRequest, RunAnswer, RunRequest};
use yunei_policy::register::Term;
use yunei_policy::words::State;

pub const CITIES: [&str; 3] = ["昆明", "曲靖", "大理"];

pub struct World {
    pub folder: tempfile::TempDir,
    pub domain: Domain,
}

pub fn clock() -> Clock {
    Arc::new(|| 1_795_392_000_000)
}

/// An empty database for a home, where `YUNEI_TEST_POSTGRES` names a server (see `conformance/postgres.sh`).
pub fn database(home: &Path) -> Option<StoreUrl> {
    let server = std::env::var("YUNEI_TEST_POSTGRES").ok()?;
    let made = format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", database_name(home));
    let made = std::process::Command::new("psql").args([&server, "-qXc", &made]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(StoreUrl::parse(&store_address(home)).unwrap())
}

fn database_name(home: &Path) -> String {
    let name: String = home.to_string_lossy().bytes().map(|b| format!("{b:02x}")).collect();
    // The server cuts longer names; the end is what differs.
    format!("home_{}", &name[name.len().saturating_sub(40)..])
}

/// Where the store of a home is, for tests that look into it or spoil it.
pub fn store_address(home: &Path) -> String {
    let Ok(server) = std::env::var("YUNEI_TEST_POSTGRES") else {
        return format!("sqlite:{}", home.join("store.sqlite").display());
    };
    let (address, parameters) = server.split_once('?').map_or((server.as_str(), ""), |(a, p)| (a, p));
    let address = format!("{}/{}?{parameters}", address.rsplit_once('/').unwrap().0, database_name(home));
    address.trim_end_matches('?').to_owned()
}

/// Makes a domain: its store is a file in the home, or a database where the tests run against a server.
pub async fn create(home: &Path, name: &str, rules: &str, clock: Clock) -> Domain {
    Domain::create_in(home, name, Some(rules), database(home), clock).await.unwrap()
}

/// City, age and income of person `i`.
pub fn person(i: usize) -> (&'static str, i32, i64) {
    (CITIES[i % 3], 20 + (i % 60) as i32, 20_000 + (i as i64 * 7_919) % 80_000)
}

pub fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const PEOPLE: &str = r#"
[dataset]
id = "people"
title = { zh = "人口", en = "People" }
provider = { name = "统计局", code = "11530000015000011Y" }
files = ["people.parquet"]
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
usages = ["filter", "group", "join", "verify"]
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
"#;

const METERS: &str = r#"
[dataset]
id = "meters"
title = { zh = "电表", en = "Meters" }
provider = { name = "电网", code = "11530000015000011Y" }
files = ["meters.parquet"]
update = "monthly"
sharing = { attribute = "conditional", conditions = "x" }
opening = { type = "conditional", conditions = "x" }
grade = "general-3"
unit = { kind = "natural_person", column = "id", most_rows = 4 }
release = "personal"
[[column]]
name = "id"
type = "utf8"
class = "direct_identifier"
usages = ["join"]
[[column]]
name = "quarter"
type = "int32"
class = "attribute"
usages = ["filter", "group", "feature"]
min = 1
max = 4
[[column]]
name = "kwh"
type = "float64"
class = "attribute"
usages = ["filter", "aggregate", "feature"]
min = 0
max = 1000
"#;

const BIRTHS: &str = r#"
[dataset]
id = "births"
title = { zh = "出生", en = "Births" }
provider = { name = "公安局", code = "11530000015000011Y" }
files = ["births.parquet"]
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
usages = ["join"]
[[column]]
name = "born"
type = "date32"
class = "quasi_identifier"
usages = ["filter", "group"]
min = "1960-01-01"
max = "2009-12-31"
"#;

const REGIONS: &str = r#"
[dataset]
id = "regions"
title = { zh = "地区", en = "Regions" }
provider = { name = "民政厅", code = "11530000015000011Y" }
files = ["regions.parquet"]
update = "yearly"
sharing = { attribute = "unconditional" }
opening = { type = "unconditional" }
grade = "general-1"
unit = { kind = "none", column = "city", most_rows = 1 }
release = "open"
[[column]]
name = "city"
type = "utf8"
class = "attribute"
usages = ["join", "filter", "group"]
[[column]]
name = "region"
type = "utf8"
class = "attribute"
usages = ["filter", "group"]
values = ["滇中", "滇西"]
"#;

/// The day of birth of person `i`, from 1970-01-01.
pub fn born(i: usize) -> i32 {
    (i as i32 * 37) % 14_000
}

const MODEL: &str = r#"
[model]
id = "burden"
version = "1.0.0"
kind = "row"
file = "burden.wat"
[[feature]]
name = "age"
type = "f64"
[[feature]]
name = "income"
type = "f64"
[output]
min = 0.0
max = 1.0
step = 0.001
default = 0.5
"#;

const WAT: &str = r#"(module (func (export "score") (param f64 f64) (result f64)
  (f64.div (local.get 0) (f64.add (local.get 0) (f64.div (local.get 1) (f64.const 1000))))))"#;

pub const RULES_FOR_TESTS: f64 = 100.0;

pub fn rules() -> String {
    yunei_policy::rules::RuleSet::default()
        .text()
        .lines()
        .map(|l| match l.split_once('=').map(|(k, _)| k.trim()) {
            Some("dataset") => "dataset = 100.0".to_owned(),
            Some("institution_dataset") => "institution_dataset = 100.0".to_owned(),
            Some("product") => "product = 100.0".to_owned(),
            Some("max_epsilon_per_run") => "max_epsilon_per_run = 10.0".to_owned(),
            _ => l.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n")
        .replace("quantum_millis = 200", "quantum_millis = 20")
}

/// An agreement that began a day before and lasts 1,800 days.
pub fn agreement(now: i64) -> Agreement {
    let term = Term { from_millis: now - 86_400_000, until_millis: now + 1_800 * 86_400_000 };
    Agreement { digest: Digest::of("安全承诺书、开放利用协议".as_bytes()), term }
}

impl World {
    /// People and their meters.
    pub async fn new(people: usize) -> Self {
        Self::with(people, &[("people.toml", PEOPLE), ("meters.toml", METERS)]).await
    }

    /// Their births and an open table of regions as well.
    pub async fn wide(people: usize) -> Self {
        let all =
            [("people.toml", PEOPLE), ("meters.toml", METERS), ("births.toml", BIRTHS), ("regions.toml", REGIONS)];
        Self::with(people, &all).await
    }

    async fn with(people: usize, entries: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<_> = (0..people).map(person).collect();
        let ids: Vec<String> = (0..people).map(|i| format!("P{i:07}")).collect();
        write(
            &folder.path().join("people.parquet"),
            vec![
                ("id", Arc::new(StringArray::from(ids.clone()))),
                ("city", Arc::new(StringArray::from(rows.iter().map(|r| r.0).collect::<Vec<_>>()))),
                ("age", Arc::new(Int32Array::from(rows.iter().map(|r| r.1).collect::<Vec<_>>()))),
                ("income", Arc::new(Int64Array::from(rows.iter().map(|r| r.2).collect::<Vec<_>>()))),
            ],
        );
        let metered: Vec<usize> = (0..people).step_by(2).flat_map(|i| [i; 4]).collect();
        write(
            &folder.path().join("meters.parquet"),
            vec![
                ("id", Arc::new(StringArray::from(metered.iter().map(|i| ids[*i].clone()).collect::<Vec<_>>()))),
                (
                    "quarter",
                    Arc::new(Int32Array::from((0..metered.len()).map(|i| (i % 4) as i32 + 1).collect::<Vec<_>>())),
                ),
                ("kwh", Arc::new(Float64Array::from(metered.iter().map(|i| (i % 100) as f64).collect::<Vec<_>>()))),
            ],
        );
        write(
            &folder.path().join("births.parquet"),
            vec![
                ("id", Arc::new(StringArray::from(ids.clone()))),
                ("born", Arc::new((0..people).map(|i| Some(born(i))).collect::<Date32Array>())),
            ],
        );
        write(
            &folder.path().join("regions.parquet"),
            vec![
                ("city", Arc::new(StringArray::from(CITIES.to_vec()))),
                ("region", Arc::new(StringArray::from(vec!["滇中", "滇中", "滇西"]))),
            ],
        );
        let domain = create(&folder.path().join("home"), "test.example/domain", &rules(), clock()).await;
        let world = Self { folder, domain };
        for (name, text) in entries.iter().copied() {
            let path = world.file(name, text);
            let submission = world.domain.register_dataset("holder", &path, |_, _| {}).await.unwrap();
            world.domain.set_dataset_state("authority", &submission.id, State::Approved).await.unwrap();
        }
        world.model(MODEL, "burden.wat", WAT).await;
        world
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub async fn model(&self, manifest: &str, file: &str, wat: &str) {
        self.file(file, wat);
        let path = self.file("model.toml", manifest);
        let submission = self.domain.submit_model("operator", &path).await.unwrap();
        self.domain.set_model_state("authority", &submission.id, State::Approved).await.unwrap();
    }

    pub fn product_text(id: &str, sql: &str, extra: &str) -> String {
        let used = ["births", "regions"].into_iter().filter(|name| sql.contains(name));
        let more: String = used.map(|name| format!(", \"{name}\"")).collect();
        format!(
            "[product]\nid = \"{id}\"\nkind = \"aggregate\"\ntitle = {{ zh = \"测\", en = \"t\" }}\npurposes = [\"research\"]\n\
             datasets = [\"people\", \"meters\"{more}]\nmodels = [\"burden@1.0.0\"]\nsql = '''{sql}'''\n[product.privacy]\nepsilon = 5.0\n{extra}"
        )
    }

    pub async fn check(&self, sql: &str) -> Result<yunei_engine::domain::Checkup, Vec<&'static str>> {
        let path = self.file("product.toml", &Self::product_text("probe", sql, ""));
        self.domain.check_product(&path).await.map_err(|e| e.reasons().iter().map(|r| r.code()).collect())
    }

    /// The refusals of a query that must be refused.
    pub async fn refusals(&self, sql: &str) -> Vec<yunei_policy::Refusal> {
        let path = self.file("product.toml", &Self::product_text("probe", sql, ""));
        self.domain.check_product(&path).await.expect_err(sql).reasons().to_vec()
    }

    /// The reasons against a query, in words.
    pub async fn why(&self, sql: &str) -> Result<(), String> {
        let path = self.file("product.toml", &Self::product_text("probe", sql, ""));
        self.domain.check_product(&path).await.map(drop).map_err(|e| e.to_string())
    }

    pub async fn approve(&self, id: &str, text: &str, institution: &str, purposes: &[&str]) {
        let path = self.file("product.toml", text);
        let submission = self.domain.submit_product("operator", &path).await.unwrap();
        assert_eq!(submission.id, id);
        self.domain.consent("holder", id, true, "").await.unwrap();
        self.domain.set_product_state("authority", id, State::Approved).await.unwrap();
        let now = self.domain.now();
        let grant = GrantRequest {
            institution: institution.to_owned(),
            product: id.to_owned(),
            purposes: purposes.iter().map(|p| (*p).to_owned()).collect(),
            from_millis: 0,
            until_millis: now + 3_650 * 86_400_000,
            max_runs: None,
        };
        self.domain.grant_under("authority", &grant, agreement(now)).await.unwrap();
    }

    pub async fn run(
        &self,
        product: &str,
        arguments: &[(&str, &str)],
        purpose: &str,
    ) -> Result<RunAnswer, DomainError> {
        let arguments: BTreeMap<_, _> = arguments.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let request =
            RunRequest { institution: "operator".into(), product: product.into(), arguments, purpose: purpose.into() };
        self.domain.run(&request).await
    }
}
