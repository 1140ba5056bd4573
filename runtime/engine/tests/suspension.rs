//! Suspension holds before its call returns: no new use, those under way stopped, nothing more released.

#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use yunei_audit::Log;
use yunei_engine::domain::Stopped;
use yunei_engine::registry::Subject;
use yunei_engine::{Domain, DomainError, RunAnswer, VerifyRequest};
use yunei_policy::words::{Role, State, Text};

const SQL: &str = "SELECT city, AVG(slow(age, income)) AS mean FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";
const WHY: &str = "试验：收到投诉";

const SLOW: &str = r#"
[model]
id = "slow"
version = "1.0.0"
kind = "row"
file = "slow.wat"
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
[limits]
fuel = 1000000
"#;

/// A hundred thousand rounds for every row.
const SLOW_WAT: &str = r#"(module (func (export "score") (param f64 f64) (result f64) (local i32) (local f64)
  (loop $again
    (local.set 3 (f64.add (f64.mul (local.get 3) (f64.const 0.999)) (f64.div (local.get 0) (f64.const 1000))))
    (local.set 2 (i32.add (local.get 2) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get 2) (i32.const 100000))))
  (f64.div (local.get 3) (f64.add (local.get 3) (f64.const 50)))))"#;

async fn world() -> Arc<World> {
    let world = World::new(600).await;
    world.model(SLOW, "slow.wat", SLOW_WAT).await;
    let product = World::product_text("slow-mean", SQL, LEAST)
        .replace("epsilon = 5.0", "epsilon = 0.05")
        .replace("burden@1.0.0", "slow@1.0.0");
    world.approve("slow-mean", &product, "operator", &["research"]).await;
    Arc::new(world)
}

type Jobs = JoinSet<Result<RunAnswer, DomainError>>;

/// Starts runs with different parameters and waits until all of them have taken this step.
async fn start(world: &Arc<World>, from: u32, count: u32, step: &str) -> Jobs {
    let mut jobs = JoinSet::new();
    let begun = world.domain.log().size();
    for least in from..from + count {
        let world = world.clone();
        jobs.spawn(async move { world.run("slow-mean", &[("least", &least.to_string())], "research").await });
    }
    let patience = Instant::now() + Duration::from_secs(120);
    while taken_since(&world.domain, begun, step) < count as usize {
        assert!(Instant::now() < patience, "the runs do not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    jobs
}

fn taken_since(domain: &Domain, from: u64, step: &str) -> usize {
    let entries = domain.log().entries(from..domain.log().size());
    entries.filter(|e| e.as_ref().is_ok_and(|(_, e)| e.kind() == step)).count()
}

/// The places in the log of everything that left, and of the changes of state.
fn left_and_stopped(domain: &Domain) -> (BTreeMap<String, u64>, Vec<u64>) {
    let (mut left, mut stops) = (BTreeMap::new(), Vec::new());
    for entry in domain.log().entries(0..domain.log().size()) {
        let (index, entry) = entry.unwrap();
        match entry.kind() {
            "run.released" | "run.repeated" | "verification.answered" => {
                left.insert(entry.fields()["run"].as_str().unwrap().to_owned(), index);
            }
            kind if kind.ends_with(".state") && entry.fields()["state"] == "suspended" => stops.push(index),
            _ => {}
        }
    }
    (left, stops)
}

/// Lets the jobs end; which runs released and the codes of the others.
async fn outcomes(mut jobs: Jobs) -> (BTreeSet<String>, BTreeSet<&'static str>) {
    let (mut released, mut codes) = (BTreeSet::new(), BTreeSet::new());
    while let Some(outcome) = jobs.join_next().await {
        match outcome.unwrap() {
            Ok(answer) => {
                released.insert(answer.run);
            }
            Err(error) => codes.extend(error.reasons().iter().map(|r| r.code())),
        }
    }
    (released, codes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_running_jobs_release_nothing_after_their_product_is_suspended() {
    let world = world().await;
    let jobs = start(&world, 0, 100, "run.authorised").await;
    let subject = Subject::Product("slow-mean".into());
    let stopped: Stopped = world.domain.suspend("authority", &subject, WHY).await.unwrap();
    // The call has returned: what was to be released stands in the log by now, and nothing is under way.
    let size = world.domain.log().size();
    assert_eq!(stopped.state, State::Suspended);
    assert!(stopped.ended, "all that were under way have ended");
    assert!(stopped.stopped.len() > 50, "only {} were under way", stopped.stopped.len());

    let (released, codes) = outcomes(jobs).await;
    let (left, stops) = left_and_stopped(&world.domain);
    assert_eq!(stops.len(), 1);
    assert!(left.values().all(|place| *place < stops[0]), "a release stands after the suspension");
    assert_eq!(left.keys().cloned().collect::<BTreeSet<_>>(), released);
    assert!(stops[0] < size);
    assert!(released.is_disjoint(&stopped.stopped.iter().cloned().collect()));
    let listed: BTreeSet<String> = stopped.releases.iter().map(|r| r.run.clone()).collect();
    assert_eq!(listed, released, "the authority is told who had received something");
    // A run that had not been charged yet is refused, one that was authorised too late is told so.
    assert!(codes.contains("run/stopped"), "{codes:?}");
    assert!(codes.iter().all(|c| ["run/stopped", "authorise/product-state"].contains(c)), "{codes:?}");
    assert_eq!(world.domain.uses_under_way(), 0);

    let refused = world.run("slow-mean", &[("least", "500")], "research").await.unwrap_err();
    assert_eq!(refused.reasons()[0].code(), "authorise/product-state");
    let resumed = world.domain.resume("operator", &subject, WHY).await.unwrap_err();
    assert_eq!(resumed.reasons()[0].code(), "authorise/role");
    world.domain.resume("authority", &subject, "已查明").await.unwrap();
    let again = world.run("slow-mean", &[("least", "500")], "research").await.unwrap();
    assert!(!again.repeated);
    let history = world.domain.state_history("authority", &subject).await.unwrap();
    assert_eq!(
        history.iter().map(|c| (c.to, c.reason.as_str())).collect::<Vec<_>>(),
        [(State::Approved, ""), (State::Suspended, WHY), (State::Approved, "已查明")]
    );

    let (home, key) = (world.folder.path().join("home"), world.domain.verifying_key());
    let verdict = Log::verify(&home.join("log"), &key, &mut |_, _| {}).unwrap();
    assert_eq!(verdict.size(), world.domain.log().size());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_run_rests_on_can_be_stopped_and_resumed() {
    let world = world().await;
    let grant = world.domain.grants().await.unwrap()[0].id.clone();
    let subjects = [
        (Subject::Institution("operator".into()), "authorise/institution-state"),
        (Subject::Grant(grant), "authorise/grant-state"),
        (Subject::Model { id: "slow".into(), version: "1.0.0".into() }, "authorise/model-state"),
        (Subject::Dataset("people".into()), "authorise/dataset-state"),
        (Subject::Version { dataset: "people".into(), number: 1 }, "authorise/version-state"),
    ];
    let mut from = 0;
    for (subject, code) in subjects {
        let jobs = start(&world, from, 4, "run.charged").await;
        from += 4;
        let stopped = world.domain.suspend("authority", &subject, WHY).await.unwrap();
        let size = world.domain.log().size();
        assert!(stopped.ended && !stopped.stopped.is_empty(), "{subject}");
        let (_, codes) = outcomes(jobs).await;
        assert!(codes.contains("run/stopped"), "{subject}: {codes:?}");
        let (left, _) = left_and_stopped(&world.domain);
        assert!(left.values().all(|place| *place < size), "{subject}: released after the suspension");

        let refused = world.run("slow-mean", &[("least", "900")], "research").await.unwrap_err();
        assert!(refused.reasons().iter().any(|r| r.code() == code), "{subject}: {refused}");
        let twice = world.domain.suspend("authority", &subject, WHY).await.unwrap_err();
        assert_eq!(twice.reasons()[0].code(), "authorise/state", "{subject}");
        world.domain.resume("authority", &subject, WHY).await.unwrap();
    }
    assert!(world.run("slow-mean", &[("least", "901")], "research").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_release_is_not_given_again_while_what_it_rests_on_is_stopped() {
    let world = world().await;
    let first = world.run("slow-mean", &[], "research").await.unwrap();
    let subject = Subject::Version { dataset: "people".into(), number: 1 };
    let stopped = world.domain.withdraw("holder", &subject, "数据有误").await.unwrap();
    assert_eq!(stopped.releases.iter().map(|r| r.run.as_str()).collect::<Vec<_>>(), [first.run.as_str()]);
    assert!(stopped.releases[0].file.is_some());
    let refused = world.run("slow-mean", &[], "research").await.unwrap_err();
    assert_eq!(refused.reasons()[0].code(), "authorise/version-state");
    // It does not come back: not by its holder, not by the authority, not by being registered once more.
    let resumed = world.domain.resume("authority", &subject, WHY).await.unwrap_err();
    assert_eq!(resumed.reasons()[0].code(), "authorise/state");
    let entry = world.folder.path().join("people.toml");
    let again = world.domain.register_dataset("holder", &entry, |_, _| {}).await.unwrap_err();
    assert_eq!(again.reasons()[0].code(), "registry/stopped-version");
    // A corrected version takes its place; the releases of the old one stay on the list.
    let corrected = World::new(450).await;
    std::fs::copy(corrected.folder.path().join("people.parquet"), world.folder.path().join("people.parquet")).unwrap();
    let submitted = world.domain.register_dataset("holder", &entry, |_, _| {}).await.unwrap();
    assert_eq!((submitted.version, submitted.state), (Some(2), State::Approved));
    assert!(!world.run("slow-mean", &[], "research").await.unwrap().repeated);
    let on_first = world.domain.releases_on("authority", &subject).await.unwrap();
    assert_eq!(on_first.len(), 1);
    let on_all = world.domain.releases_on("authority", &Subject::Dataset("people".into())).await.unwrap();
    assert_eq!(on_all.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_stop_what_and_why_is_asked() {
    let world = world().await;
    let domain = &world.domain;
    let product = Subject::Product("slow-mean".into());
    let codes = |error: DomainError| error.reasons().iter().map(|r| r.code()).collect::<Vec<_>>();
    for actor in ["holder", "operator", "business"] {
        assert_eq!(codes(domain.suspend(actor, &product, WHY).await.unwrap_err()), ["authorise/role"], "{actor}");
        assert_eq!(codes(domain.end(actor, &product, WHY).await.unwrap_err()), ["authorise/role"], "{actor}");
    }
    let itself = Subject::Institution("authority".into());
    assert_eq!(codes(domain.suspend("authority", &itself, WHY).await.unwrap_err()), ["authorise/own-suspension"]);
    // The reason is needed, bounded, and names nobody.
    let long = "字".repeat(2_001);
    for reason in ["", " \n", long.as_str(), "a\u{7}b"] {
        assert_eq!(codes(domain.suspend("authority", &product, reason).await.unwrap_err()), ["input/reason"]);
    }
    let named = "当事人 11010519491231002X 投诉";
    assert_eq!(codes(domain.suspend("authority", &product, named).await.unwrap_err()), ["input/reason-personal"]);
    let absent = Subject::Product("nothing".into());
    assert!(matches!(domain.suspend("authority", &absent, WHY).await, Err(DomainError::NotFound(_))));
    let version = Subject::Version { dataset: "people".into(), number: 2 };
    assert!(matches!(domain.withdraw("holder", &version, WHY).await, Err(DomainError::NotFound(_))));
    assert_eq!(codes(domain.withdraw("holder", &product, WHY).await.unwrap_err()), ["input/subject"]);
    domain.add_institution("authority", "other", Role::Holder, &Text::new("另", "Other")).await.unwrap();
    let people = Subject::Dataset("people".into());
    assert_eq!(codes(domain.withdraw("other", &people, WHY).await.unwrap_err()), ["authorise/not-yours"]);
    // At the limit; and what has ended never comes back.
    domain.suspend("authority", &product, &"字".repeat(2_000)).await.unwrap();
    domain.end("authority", &product, WHY).await.unwrap();
    assert_eq!(codes(domain.resume("authority", &product, WHY).await.unwrap_err()), ["authorise/state"]);
    assert_eq!(codes(domain.end("authority", &product, WHY).await.unwrap_err()), ["authorise/state"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn verifications_are_stopped_too() {
    let world = World::new(300).await;
    let text = "[product]\nid = \"lives-in\"\nkind = \"verification\"\ntitle = { zh = \"住\", en = \"l\" }\n\
        purposes = [\"loan\"]\ndatasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"age\"]\nclaim = { equals = \"city\" }\n\
        consent = \"not-required\"\nlegal_basis = \"测试\"\n";
    world.approve("lives-in", text, "business", &["loan"]).await;
    let ask = || {
        let identity = BTreeMap::from([("id".to_owned(), "P0000001".to_owned()), ("age".to_owned(), "21".to_owned())]);
        let request = VerifyRequest {
            institution: "business".into(),
            product: "lives-in".into(),
            identity,
            claim: Some("昆明".into()),
            purpose: "loan".into(),
            ..VerifyRequest::default()
        };
        let domain = &world.domain;
        async move { domain.verify(&request).await }
    };
    let answer = ask().await.unwrap();
    let people = Subject::Dataset("people".into());
    let stopped = world.domain.suspend("authority", &people, WHY).await.unwrap();
    assert_eq!(stopped.releases.len(), 1);
    assert_eq!((stopped.releases[0].run.as_str(), &stopped.releases[0].file), (answer.run.as_str(), &None));
    assert_eq!(ask().await.unwrap_err().reasons()[0].code(), "authorise/dataset-state");
}
