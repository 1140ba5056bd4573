//! Reading the log, metering, receipts, and registry and log remembering each other.

#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use yunei_audit::{Archive, Log, Receipt, ReceiptError, SigningKey, Trust, WitnessKey, WitnessServer, WitnessState};
use yunei_engine::domain::{AuditQuery, ExportFormat, Outcome, Period, UsageQuery, usage_csv};
use yunei_engine::{Domain, RunRequest};

const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";

/// Two products, a charged and a free one; runs of both, a repeat, a refusal, a verification.
async fn busy() -> World {
    let world = World::new(300).await;
    for (id, price) in [("industry", "charged"), ("welfare", "free")] {
        let text = World::product_text(id, SQL, LEAST).replace("epsilon = 5.0", "epsilon = 0.1");
        let text = text.replace("purposes =", &format!("price_class = \"{price}\"\npurposes ="));
        world.approve(id, &text, "operator", &["research"]).await;
    }
    for least in ["10", "20"] {
        world.run("industry", &[("least", least)], "research").await.unwrap();
    }
    world.run("industry", &[("least", "10")], "research").await.unwrap();
    world.run("welfare", &[], "research").await.unwrap();
    world.run("welfare", &[], "=cmd|' /C calc'!A0").await.unwrap_err();
    world
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (item, name) = item.map(|i| (i.path(), i.file_name())).unwrap();
        if item.is_dir() { copy(&item, &to.join(name)) } else { fs::copy(&item, to.join(name)).map(drop).unwrap() }
    }
}

fn put_back(backup: &Path, home: &Path, name: &str) {
    let (from, to) = (backup.join(name), home.join(name));
    if from.is_dir() {
        fs::remove_dir_all(&to).unwrap();
        copy(&from, &to);
    } else {
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.join(format!("{name}{ending}")));
        }
        fs::copy(from, to).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_listed_by_every_filter_and_page_by_page() {
    let world = busy().await;
    let domain = &world.domain;
    let list = async |query: AuditQuery| {
        let page = domain.audit_list("authority", &query, 1_000, None).await.unwrap();
        assert_eq!(page.before, None);
        page.entries
    };
    let query = AuditQuery::default;
    let all = list(query()).await;
    assert_eq!(all.len() as u64, domain.log().size());
    assert!(all.windows(2).all(|w| w[0].index == w[1].index + 1), "newest first, none left out");
    let count = async |query: AuditQuery| list(query).await.len();
    for (outcome, expected) in [
        (Outcome::Released, 3),
        (Outcome::Repeated, 1),
        (Outcome::Refused, 1),
        (Outcome::Answered, 0),
        (Outcome::Failed, 0),
    ] {
        assert_eq!(count(AuditQuery { outcome: Some(outcome), ..query() }).await, expected, "{outcome:?}");
    }
    let industry = AuditQuery { product: Some("industry".into()), outcome: Some(Outcome::Released), ..query() };
    assert_eq!(count(industry).await, 2);
    let people = list(AuditQuery { dataset: Some("people".into()), ..query() }).await;
    for kind in ["dataset.registered", "dataset.state", "run.released", "grant.added", "run.refused"] {
        assert!(people.iter().any(|line| line.kind == kind), "{kind}");
    }
    assert_eq!(count(AuditQuery { dataset: Some("nothing".into()), ..query() }).await, 0);
    assert_eq!(
        count(AuditQuery { institution: Some("holder".into()), kind: Some("dataset.reg".into()), ..query() }).await,
        2
    );
    assert_eq!(
        count(AuditQuery { purpose: Some("research".into()), outcome: Some(Outcome::Refused), ..query() }).await,
        0
    );
    assert_eq!(count(AuditQuery { from_millis: Some(domain.now()), ..query() }).await, all.len());
    assert_eq!(count(AuditQuery { until_millis: Some(domain.now()), ..query() }).await, 0);
    let run = all.iter().find(|line| line.kind == "run.repeated").unwrap().fields["run"].as_str().unwrap().to_owned();
    let kinds: Vec<_> =
        list(AuditQuery { run: Some(run), ..query() }).await.into_iter().map(|line| line.kind).collect();
    assert_eq!(kinds, ["run.repeated", "run.authorised"]);

    // Page by page it is the same list.
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = domain.audit_list("authority", &query(), 7, before).await.unwrap();
        assert!(page.entries.len() <= 7);
        pages.extend(page.entries.into_iter().map(|line| line.index));
        before = page.before;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, all.iter().map(|line| line.index).collect::<Vec<_>>());

    let stats = domain.audit_stats("authority", &query()).await.unwrap();
    assert_eq!((stats.entries, stats.by_outcome[&Outcome::Released]), (domain.log().size(), 3));
    let line = domain.audit_entry("holder", 3).await.unwrap();
    assert_eq!(line.leaf, hex::encode(domain.log().entry(3).unwrap().leaf_hash()));
    assert_eq!(domain.audit_entry("authority", domain.log().size()).await.unwrap_err().exit_code(), 4);
    assert!(domain.audit_prove("authority", 3).await.unwrap().starts_with("c2sp.org/tlog-proof@v1\nindex 3\n"));
    assert!(!domain.audit_consistency("authority", 5).await.unwrap().0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_say_who_reads() {
    let world = World::new(30).await;
    let domain = &world.domain;
    for actor in ["operator", "business"] {
        let query = AuditQuery::default();
        let mut codes = vec![
            domain.audit_list(actor, &query, 10, None).await.unwrap_err(),
            domain.audit_entry(actor, 0).await.unwrap_err(),
            domain.audit_prove(actor, 0).await.unwrap_err(),
            domain.audit_consistency(actor, 1).await.unwrap_err(),
            domain.audit_stats(actor, &query).await.unwrap_err(),
            domain.audit_usage(actor, &UsageQuery::default()).await.unwrap_err(),
            domain.replayable(actor).await.unwrap_err(),
        ];
        let page = Page::default();
        codes.push(domain.audit_export(actor, &query, ExportFormat::Jsonl, page.clone()).await.unwrap_err());
        assert!(page.0.lock().unwrap().is_empty());
        assert!(codes.iter().all(|error| error.reasons()[0].code() == "authorise/role"), "{actor}: {codes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_totalled_for_the_bill() {
    let world = busy().await;
    let lines = world.domain.audit_usage("authority", &UsageQuery::default()).await.unwrap();
    let of = |product: &str, purpose: &str| {
        lines.iter().find(|line| line.product == product && line.purpose == purpose).unwrap().clone()
    };
    let industry = of("industry", "research");
    assert_eq!((industry.released, industry.repeated, industry.billable), (2, 1, 2));
    assert_eq!((industry.period.as_str(), industry.institution.as_str()), ("2026-11", "operator"));
    let welfare = of("welfare", "research");
    assert_eq!((welfare.released, welfare.billable, welfare.refused), (1, 0, 0));
    assert!(welfare.rho > 0.0 && (industry.rho - 2.0 * welfare.rho).abs() < 1e-9);
    let all = UsageQuery { period: Period::All, product: Some("welfare".into()), ..UsageQuery::default() };
    let all = world.domain.audit_usage("authority", &all).await.unwrap();
    assert_eq!((all.len(), all[0].period.as_str()), (2, "all"));
    let none = UsageQuery { until_millis: Some(0), ..UsageQuery::default() };
    assert!(world.domain.audit_usage("authority", &none).await.unwrap().is_empty());
    let rho = |csv: String| {
        csv.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(rho(usage_csv(&lines)));
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_hold_the_entries_byte_for_byte() {
    let world = busy().await;
    let (domain, query) = (&world.domain, AuditQuery { kind: Some("run.".into()), ..AuditQuery::default() });
    let page = Page::default();
    let count = domain.audit_export("authority", &query, ExportFormat::Jsonl, page.clone()).await.unwrap();
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count() as u64, count);
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let entry = domain.log().entry(value["index"].as_u64().unwrap()).unwrap();
        assert!(line.starts_with(&format!("{{\"entry\":{}", String::from_utf8_lossy(entry.bytes()))));
    }
    let page = Page::default();
    assert_eq!(domain.audit_export("authority", &query, ExportFormat::Parquet, page.clone()).await.unwrap(), count);
    let path = world.file("export.parquet", "");
    fs::write(&path, page.0.lock().unwrap().as_slice()).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap().build().unwrap();
    let mut rows = 0;
    for batch in reader {
        let batch = batch.unwrap();
        let index = batch["index"].as_primitive::<UInt64Type>();
        let (entries, institutions) = (batch["entry"].as_string::<i32>(), batch["institution"].as_string::<i32>());
        for row in 0..batch.num_rows() {
            let entry = domain.log().entry(index.value(row)).unwrap();
            assert_eq!(entries.value(row).as_bytes(), entry.bytes());
            assert_eq!(institutions.value(row), "operator");
            rows += 1;
        }
    }
    assert_eq!(rows, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_says_everything_that_an_auditor_needs() {
    let world = busy().await;
    let run = world.run("industry", &[("least", "30")], "research").await.unwrap();
    let verified = run.receipt.verify(&world.domain.verifying_key()).unwrap();
    let body = verified.body();
    for name in [
        "run",
        "domain",
        "institution",
        "product",
        "purpose",
        "at",
        "question",
        "parameters",
        "plan",
        "rules",
        "policies",
        "runtime",
        "datasets",
        "models",
        "class",
        "charge",
        "seed",
        "sums",
        "outcome",
        "released",
        "price_class",
    ] {
        assert!(body.contains_key(name), "{name}");
    }
    let dataset = &body["datasets"][0];
    for name in
        ["id", "version", "epoch", "entry", "files", "file_digests", "title", "provider", "provider_code", "registered"]
    {
        assert!(!dataset[name].is_null(), "{name}");
    }
    assert!(!body["models"][0]["module"].is_null() && !body["models"][0]["manifest"].is_null());
    let people = hex::encode(ring::digest::digest(
        &ring::digest::SHA256,
        &fs::read(world.folder.path().join("people.parquet")).unwrap(),
    ));
    assert_eq!(dataset["file_digests"][0], people);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_registry_or_of_the_log_alone_is_refused() {
    let world = busy().await;
    let World { folder, domain } = world;
    let (home, backup) = (folder.path().join("home"), folder.path().join("backup"));
    domain.close().await;
    copy(&home, &backup);
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    let request = RunRequest {
        institution: "operator".into(),
        product: "industry".into(),
        arguments: [("least".to_owned(), "40".to_owned())].into(),
        purpose: "research".into(),
    };
    domain.run(&request).await.unwrap();
    domain.close().await;
    let newest = folder.path().join("newest");
    copy(&home, &newest);

    put_back(&backup, &home, "store.sqlite");
    let error = Domain::open(&home, common::clock()).await.unwrap_err();
    assert_eq!((error.reasons()[0].code(), error.exit_code()), ("home/registry-older-than-log", 5));
    put_back(&newest, &home, "store.sqlite");
    put_back(&backup, &home, "log");
    let error = Domain::open(&home, common::clock()).await.unwrap_err();
    assert_eq!(error.reasons()[0].code(), "audit/disagree");
    put_back(&newest, &home, "log");
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    domain.close().await;
    // Both together are a whole domain of an earlier time: only a witness, or a kept checkpoint, can tell.
    put_back(&backup, &home, "log");
    put_back(&backup, &home, "store.sqlite");
    Domain::open(&home, common::clock()).await.unwrap().close().await;
}

fn witness(dir: &Path, log: &yunei_audit::VerifyingKey) -> (WitnessServer, WitnessKey) {
    let key = SigningKey::from_seed("authority.example/witness", [9; 32]).unwrap();
    let public = WitnessKey::of(&key);
    let state = WitnessState::open(dir, key, vec![log.clone()]).unwrap();
    (WitnessServer::start(TcpListener::bind("127.0.0.1:0").unwrap(), state).unwrap(), public)
}

fn require(home: &Path, key: &WitnessKey, server: &WitnessServer, count: usize) {
    let text = fs::read_to_string(home.join("yunei.toml")).unwrap();
    let domain = text.split("[audit]").next().unwrap();
    let address = server.address();
    let audit =
        format!("[audit]\nrequire_witness = {count}\n[[audit.witness]]\nkey = \"{key}\"\nurl = \"http://{address}\"\n");
    fs::write(home.join("yunei.toml"), format!("{domain}{audit}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_for_the_witness_and_a_home_put_back_signs_nothing() {
    let world = busy().await;
    let World { folder, domain } = world;
    let (home, state) = (folder.path().join("home"), folder.path().join("witness"));
    let log_key = domain.verifying_key();
    domain.close().await;
    let (server, key) = witness(&state, &log_key);
    require(&home, &key, &server, 1);
    let run = |least: &str| RunRequest {
        institution: "operator".into(),
        product: "industry".into(),
        arguments: [("least".to_owned(), least.to_owned())].into(),
        purpose: "research".into(),
    };
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    let answer = domain.run(&run("50")).await.unwrap();
    let trust = Trust::new(log_key.clone()).witness(key.clone());
    assert_eq!(answer.receipt.verify_with(&trust).unwrap().witnesses(), ["authority.example/witness"]);
    // The witness is away: nothing leaves, and the charge of the run that broke off stands.
    drop(server);
    let released = |domain: &Domain| {
        domain.log().entries(0..domain.log().size()).filter(|e| e.as_ref().unwrap().1.kind() == "run.released").count()
    };
    let before = released(&domain);
    let error = domain.run(&run("51")).await.unwrap_err();
    assert_eq!((error.reasons()[0].code(), error.exit_code()), ("audit/unwitnessed", 5));
    assert_eq!(released(&domain), before);
    domain.close().await;
    assert_eq!(Domain::open(&home, common::clock()).await.unwrap_err().reasons()[0].code(), "audit/unwitnessed");
    // It is back: the domain opens, finishes what is pending, and goes on.
    let (server, _) = witness(&state, &log_key);
    require(&home, &key, &server, 1);
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    domain.run(&run("51")).await.unwrap();
    domain.close().await;
    let backup = folder.path().join("backup");
    copy(&home, &backup);
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    domain.run(&run("52")).await.unwrap();
    domain.close().await;
    // The whole home is put back. Log and registry agree; the witness has seen more.
    for name in ["log", "store.sqlite"] {
        put_back(&backup, &home, name);
    }
    let size = Archive::open(&home.join("log"), &trust).unwrap().size();
    let error = Domain::open(&home, common::clock()).await.unwrap_err();
    assert_eq!(error.reasons()[0].code(), "audit/disagree");
    assert_eq!(Archive::open(&home.join("log"), &trust).unwrap().size(), size, "nothing was signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_that_are_misconfigured_keep_the_home_shut() {
    let world = World::new(30).await;
    let World { folder, domain } = world;
    domain.close().await;
    let home = folder.path().join("home");
    let text = fs::read_to_string(home.join("yunei.toml")).unwrap();
    let key = WitnessKey::of(&SigningKey::from_seed("w.example", [9; 32]).unwrap()).to_string();
    for (audit, place) in [
        ("require_witness = 1\n".to_owned(), "audit.require_witness"),
        ("[[audit.witness]]\nkey = \"x\"\nurl = \"http://127.0.0.1:1\"\n".to_owned(), "audit.witness[0].key"),
        (format!("[[audit.witness]]\nkey = \"{key}\"\nurl = \"https://a\"\n"), "audit.witness[0].url"),
        ("witnesses = 1\n".to_owned(), ""),
    ] {
        fs::write(home.join("yunei.toml"), format!("{text}[audit]\n{audit}")).unwrap();
        let error = Domain::open(&home, common::clock()).await.unwrap_err();
        assert_eq!((error.reasons()[0].code(), error.exit_code()), ("home/malformed", 5), "{audit}");
        assert!(error.reasons()[0].place().unwrap_or_default().contains(place), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_with_an_overlap_and_old_receipts_stay_good() {
    let world = busy().await;
    let first = world.run("industry", &[("least", "60")], "research").await.unwrap().receipt.to_string();
    let World { folder, domain } = world;
    let home = folder.path().join("home");
    let old = domain.verifying_key();
    assert_eq!(Domain::rotate_log_key(&home, &common::clock()).unwrap_err().exit_code(), 5, "somebody has it open");
    domain.close().await;
    let rotation = Domain::rotate_log_key(&home, &common::clock()).unwrap();
    assert_eq!(rotation.retired, old);
    assert_eq!(Domain::rotate_log_key(&home, &common::clock()).unwrap_err().reasons()[0].code(), "key/overlap");
    let verify = |text: &str, trust: &Trust| Receipt::parse(text.as_bytes()).unwrap().verify_with(trust).map(drop);
    let (old, next) = (Trust::new(old), Trust::new(rotation.next.clone()));
    let run = |least: &str| RunRequest {
        institution: "operator".into(),
        product: "industry".into(),
        arguments: [("least".to_owned(), least.to_owned())].into(),
        purpose: "research".into(),
    };
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    assert_eq!(domain.verifying_key(), rotation.next);
    let second = domain.run(&run("61")).await.unwrap().receipt.to_string();
    domain.close().await;
    assert!(Domain::end_key_overlap(&home, &common::clock()).unwrap());
    assert!(!Domain::end_key_overlap(&home, &common::clock()).unwrap());
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    let third = domain.run(&run("62")).await.unwrap().receipt.to_string();
    let both = domain.log_trust().unwrap();
    for (receipt, by_old, by_next) in [(&first, true, false), (&second, true, true), (&third, false, true)] {
        assert_eq!(verify(receipt, &old).is_ok(), by_old);
        assert_eq!(verify(receipt, &next).is_ok(), by_next);
        assert_eq!(verify(receipt, &both), Ok(()));
    }
    assert_eq!(verify(&third, &old), Err(ReceiptError::Signature));
    domain.close().await;
    assert!(Log::verify_with(&home.join("log"), &both, &mut |_, _| {}).is_ok());
    // A replacement that was broken off after its key was made is finished by the next opening.
    SigningKey::generate(rotation.next.name()).unwrap().save(&home.join("keys/log.next.key")).unwrap();
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    assert_ne!(domain.verifying_key(), rotation.next);
    assert_eq!(domain.log_trust().unwrap().keys().len(), 3);
    assert!(!home.join("keys/log.next.key").exists());
    domain.run(&run("63")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_back_changes_no_order_and_loses_nothing() {
    let world = busy().await;
    let World { folder, domain } = world;
    let home = folder.path().join("home");
    let (size, key) = (domain.log().size(), domain.verifying_key());
    domain.close().await;
    // Ten years back: no registration has begun by then, so that a use is refused, and that is logged in its order.
    let earlier = common::clock()() - 10 * 365 * 86_400_000;
    let domain = Domain::open(&home, Arc::new(move || earlier)).await.unwrap();
    let request = RunRequest {
        institution: "operator".into(),
        product: "industry".into(),
        arguments: [("least".to_owned(), "70".to_owned())].into(),
        purpose: "research".into(),
    };
    let refused = domain.run(&request).await.unwrap_err();
    assert!(refused.reasons().iter().any(|r| r.code() == "authorise/register-lapsed"), "{refused:?}");
    assert!(domain.log().size() > size);
    let page = domain.audit_list("authority", &AuditQuery::default(), 1_000, None).await.unwrap();
    assert!(page.entries[0].at_millis < page.entries[page.entries.len() - 1].at_millis);
    assert!(page.entries.windows(2).all(|w| w[0].index == w[1].index + 1));
    let old = AuditQuery { until_millis: Some(earlier + 1), ..AuditQuery::default() };
    assert_eq!(domain.audit_stats("authority", &old).await.unwrap().entries, domain.log().size() - size);
    domain.close().await;
    let verdict = Log::verify(&home.join("log"), &key, &mut |_, _| {}).unwrap();
    assert_eq!(verdict.clock_steps_back(), 1);
    // And forward again.
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    assert!(!domain.run(&request).await.unwrap().repeated);
}
