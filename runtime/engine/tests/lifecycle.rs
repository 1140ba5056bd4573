//! The lifecycle with separated duties, the registers, the deadlines, and the requests of data subjects.

#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use yunei_engine::domain::SubjectQuery;
use yunei_engine::registry::{Agreement, Digest, Outcome, RequestKind, Subject};
use yunei_engine::{Clock, Domain, DomainError, GrantRequest};
use yunei_policy::Text;
use yunei_policy::register::{Holding, Step, Term};
use yunei_policy::words::{Office, Role, State};

const SQL: &str = "SELECT city, COUNT(*) AS n FROM people GROUP BY city";
const DAY: i64 = 86_400_000;
/// Monday 23 November 2026, midnight UTC: eight in the morning in China.
const NOW: i64 = 1_795_392_000_000;

fn codes(error: &DomainError) -> Vec<&'static str> {
    error.reasons().iter().map(|r| r.code()).collect()
}

/// The same home where a holder's silence is consent, and a use needs no agreement.
async fn lenient(world: World, now: Arc<AtomicI64>) -> (tempfile::TempDir, Domain) {
    let settings = world.folder.path().join("home/policy/register.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    assert_eq!(text.matches("required = true").count(), 2);
    std::fs::write(&settings, text.replace("required = true", "required = false")).unwrap();
    reopened(world, now).await
}

/// The same home under a clock that the test moves.
async fn reopened(world: World, now: Arc<AtomicI64>) -> (tempfile::TempDir, Domain) {
    let World { folder, domain } = world;
    let home = folder.path().join("home");
    domain.close().await;
    let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
    let domain = Domain::open(&home, clock).await.unwrap();
    (folder, domain)
}

fn product(folder: &Path, id: &str, extra: &str) -> std::path::PathBuf {
    let path = folder.join(format!("{id}.toml"));
    let text =
        World::product_text(id, SQL, extra).replace("datasets = [\"people\", \"meters\"]", "datasets = [\"people\"]");
    std::fs::write(&path, text.replace("models = [\"burden@1.0.0\"]\n", "")).unwrap();
    path
}

async fn grant(domain: &Domain, product: &str) -> String {
    let request = GrantRequest {
        institution: "operator".into(),
        product: product.into(),
        purposes: Vec::new(),
        from_millis: 0,
        until_millis: domain.now() + 4_000 * DAY,
        max_runs: None,
    };
    domain.grant_under("authority", &request, common::agreement(domain.now())).await.unwrap()
}

async fn run(domain: &Domain, product: &str) -> Result<yunei_engine::RunAnswer, DomainError> {
    let request = yunei_engine::RunRequest {
        institution: "operator".into(),
        product: product.into(),
        arguments: std::collections::BTreeMap::new(),
        purpose: "research".into(),
    };
    domain.run(&request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_needs_the_consent_of_every_holder() {
    let (folder, domain) = reopened(World::new(60).await, Arc::new(AtomicI64::new(NOW))).await;
    let (domain, folder) = (&domain, folder.path());
    domain.submit_product("operator", &product(folder, "p", "")).await.unwrap();
    let refused = domain.set_product_state("authority", "p", State::Approved).await.unwrap_err();
    assert_eq!(codes(&refused), ["authorise/consent", "holder/consent"]);
    assert_eq!(refused.reasons()[1].place(), Some("dataset people"));
    // Neither who submitted it, nor the authority, nor a holder of other data consents.
    domain.add_institution("authority", "other", Role::Holder, &Text::new("另", "Other")).await.unwrap();
    for (actor, code) in
        [("operator", "authorise/role"), ("authority", "authorise/role"), ("other", "authorise/not-yours")]
    {
        let error = domain.consent(actor, "p", true, "").await.unwrap_err();
        assert!(codes(&error).contains(&code), "{actor}: {error}");
    }
    assert_eq!(codes(&domain.consent("holder", "p", false, "").await.unwrap_err()), ["input/reason"]);
    let words = domain.consent("holder", "p", false, "用途不明确").await.unwrap();
    assert_eq!((words[0].verdict.as_str(), words[0].reason.as_str()), ("refused", "用途不明确"));
    assert!(domain.set_product_state("authority", "p", State::Approved).await.is_err());
    let words = domain.consent("holder", "p", true, "").await.unwrap();
    assert_eq!(words[0].verdict, "given");
    domain.set_product_state("authority", "p", State::Approved).await.unwrap();
    grant(domain, "p").await;
    run(domain, "p").await.unwrap();
    // Taken back: in force at once, even for what was released before.
    let words = domain.consent("holder", "p", false, "不再同意").await.unwrap();
    assert_eq!(words[0].verdict, "withdrawn");
    assert_eq!(codes(&run(domain, "p").await.unwrap_err()), ["authorise/consent", "holder/consent"]);
    domain.consent("holder", "p", true, "").await.unwrap();
    assert!(run(domain, "p").await.unwrap().repeated);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_silence_is_consent_a_refusal_is_one() {
    let (folder, domain) = lenient(World::new(60).await, Arc::new(AtomicI64::new(NOW))).await;
    let (domain, folder) = (&domain, folder.path());
    domain.submit_product("operator", &product(folder, "p", "")).await.unwrap();
    domain.consent("holder", "p", false, "用途不明确").await.unwrap();
    let refused = domain.set_product_state("authority", "p", State::Approved).await.unwrap_err();
    assert_eq!(codes(&refused), ["authorise/consent", "holder/consent"]);
    domain.submit_product("operator", &product(folder, "q", "")).await.unwrap();
    domain.set_product_state("authority", "q", State::Approved).await.unwrap();
    let bare = GrantRequest {
        institution: "operator".into(),
        product: "q".into(),
        purposes: Vec::new(),
        from_millis: 0,
        until_millis: domain.now() + DAY,
        max_runs: None,
    };
    domain.add_grant("authority", &bare).await.unwrap();
    run(domain, "q").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declined_says_why_and_comes_back_changed() {
    let world = World::new(60).await;
    let (domain, folder) = (&world.domain, world.folder.path());
    let path = product(folder, "p", "");
    domain.submit_product("operator", &path).await.unwrap();
    let subject = Subject::Product("p".into());
    assert_eq!(codes(&domain.decline("authority", &subject, &[]).await.unwrap_err()), ["input/reason"]);
    let wrong = ["".to_owned(), "身份证 11010519491231002X".to_owned()];
    assert_eq!(
        codes(&domain.decline("authority", &subject, &wrong).await.unwrap_err()),
        ["input/reason", "input/reason-personal"]
    );
    assert_eq!(codes(&domain.decline("holder", &subject, &["x".into()]).await.unwrap_err()), ["authorise/role"]);
    let reasons = ["缺少安全承诺书".to_owned(), "用途须更具体".to_owned()];
    assert_eq!(domain.decline("authority", &subject, &reasons).await.unwrap(), State::Declined);
    assert_eq!(domain.product("p").await.unwrap().0.state, State::Declined);
    assert_eq!(domain.decline_reasons("operator", &subject).await.unwrap(), reasons);
    // Declined: neither approved, nor declined again, nor taken unchanged, nor taken from somebody else.
    let approve = domain.set_product_state("authority", "p", State::Approved).await.unwrap_err();
    assert!(codes(&approve).contains(&"authorise/product-state"));
    assert_eq!(codes(&domain.decline("authority", &subject, &reasons).await.unwrap_err()), ["authorise/state"]);
    assert_eq!(codes(&domain.submit_product("operator", &path).await.unwrap_err()), ["store/exists"]);
    domain.add_institution("authority", "op2", Role::Operator, &Text::new("另", "Other")).await.unwrap();
    let changed = product(folder, "p", "max_groups = 3\n");
    assert_eq!(codes(&domain.submit_product("op2", &changed).await.unwrap_err()), ["store/exists"]);
    domain.submit_product("operator", &changed).await.unwrap();
    assert_eq!(domain.product("p").await.unwrap().0.state, State::Submitted);
    // A consent is to what was seen: it is asked for again.
    domain.consent("holder", "p", true, "").await.unwrap();
    domain.set_product_state("authority", "p", State::Approved).await.unwrap();
    assert_eq!(codes(&domain.submit_product("operator", &changed).await.unwrap_err()), ["store/exists"]);
    assert_eq!(codes(&domain.decline("authority", &subject, &reasons).await.unwrap_err()), ["authorise/state"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_hold_three_years_lapse_and_are_renewed() {
    let now = Arc::new(AtomicI64::new(NOW));
    let (folder, domain) = reopened(World::new(60).await, now.clone()).await;
    domain.submit_product("operator", &product(folder.path(), "p", "")).await.unwrap();
    domain.consent("holder", "p", true, "").await.unwrap();
    domain.set_product_state("authority", "p", State::Approved).await.unwrap();
    grant(&domain, "p").await;
    run(&domain, "p").await.unwrap();
    let of = |registers: Vec<yunei_engine::domain::RegisterView>, id: &str| {
        registers.into_iter().find(|r| r.id == id).unwrap()
    };
    let entry = of(domain.registers("operator").await.unwrap(), "people");
    let registration = entry.registration.unwrap();
    assert_eq!((registration.until.as_str(), registration.holding), ("2029-11-23T00:00:00Z", Holding::Current));
    assert!(registration.number.starts_with("YND"), "{}", registration.number);
    assert_eq!(of(domain.registers("operator").await.unwrap(), "p").registration.unwrap().number, "YNP0000000001");
    assert!(domain.lapsing("authority").await.unwrap().is_empty());

    // Ninety days before its end it is listed; at its end new uses are refused, and told which and since when.
    now.store(NOW + (3 * 365 + 1 - 90) * DAY, Ordering::Relaxed);
    let lapsing = domain.lapsing("authority").await.unwrap();
    assert_eq!(lapsing.iter().filter(|l| l.what == "registration" && !l.lapsed).count(), 3, "{lapsing:?}");
    run(&domain, "p").await.unwrap();
    now.store(NOW + (3 * 365 + 1) * DAY, Ordering::Relaxed);
    let refused = run(&domain, "p").await.unwrap_err();
    assert_eq!(codes(&refused), ["authorise/register-lapsed", "register/lapsed", "register/lapsed"]);
    let places: Vec<_> = refused.reasons()[1..].iter().map(|r| r.place().unwrap()).collect();
    assert_eq!(places, ["dataset people", "product p"]);
    assert!(domain.lapsing("operator").await.unwrap().iter().any(|l| l.lapsed && l.of == "product p"));

    let people = Subject::Dataset("people".into());
    assert_eq!(codes(&domain.renew_registration("holder", &people).await.unwrap_err()), ["authorise/role"]);
    let renewed = domain.renew_registration("authority", &people).await.unwrap();
    assert_eq!((renewed.number, renewed.holding), (registration.number, Holding::Current));
    assert_eq!(codes(&run(&domain, "p").await.unwrap_err()), ["authorise/register-lapsed", "register/lapsed"]);
    domain.renew_registration("authority", &Subject::Product("p".into())).await.unwrap();
    run(&domain, "p").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn agreements_last_five_years_at_most_and_block_when_they_end() {
    let now = Arc::new(AtomicI64::new(NOW));
    let world = World::new(60).await;
    let (folder, domain) = reopened(world, now.clone()).await;
    domain.submit_product("operator", &product(folder.path(), "p", "")).await.unwrap();
    domain.consent("holder", "p", true, "").await.unwrap();
    domain.set_product_state("authority", "p", State::Approved).await.unwrap();
    let bare = GrantRequest {
        institution: "operator".into(),
        product: "p".into(),
        purposes: Vec::new(),
        from_millis: 0,
        until_millis: domain.now() + 4_000 * DAY,
        max_runs: None,
    };
    // An agreement that is none is told before anything is granted.
    let wrong = Agreement { digest: Digest::of(b"x"), term: Term { from_millis: NOW, until_millis: NOW } };
    let refused = domain.grant_under("authority", &bare, wrong).await.unwrap_err();
    assert_eq!(codes(&refused), ["agreement/period"]);
    assert!(domain.grants().await.unwrap().is_empty());
    let id = domain.add_grant("authority", &bare).await.unwrap();
    assert_eq!(codes(&run(&domain, "p").await.unwrap_err()), ["authorise/agreement"]);
    let digest = Digest::of("安全承诺书、开放利用协议".as_bytes());
    let five_years = (5 * 365 + 1) * DAY;
    let term = |days: i64| Term { from_millis: NOW, until_millis: NOW + days };
    let agree = |actor: &'static str, term| domain.record_agreement(actor, &id, digest, term);
    assert_eq!(codes(&agree("authority", term(five_years + 1)).await.unwrap_err()), ["agreement/too-long"]);
    assert_eq!(codes(&agree("authority", term(0)).await.unwrap_err()), ["agreement/period"]);
    assert_eq!(codes(&agree("operator", term(DAY)).await.unwrap_err()), ["authorise/role"]);
    agree("authority", term(five_years)).await.unwrap();
    agree("authority", term(30 * DAY)).await.unwrap();
    run(&domain, "p").await.unwrap();
    let lapsing = domain.lapsing("operator").await.unwrap();
    assert!(lapsing.iter().any(|l| l.what == "agreement" && l.of == id && !l.lapsed));
    assert!(domain.lapsing("business").await.unwrap().is_empty(), "another's grant");
    now.store(NOW + 30 * DAY, Ordering::Relaxed);
    assert_eq!(codes(&run(&domain, "p").await.unwrap_err()), ["authorise/agreement"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_listed_and_what_is_overdue() {
    let now = Arc::new(AtomicI64::new(NOW));
    let (folder, domain) = reopened(World::new(60).await, now.clone()).await;
    domain.submit_product("operator", &product(folder.path(), "p", "")).await.unwrap();
    std::fs::write(
        folder.path().join("m.wat"),
        "(module (func (export \"score\") (param f64) (result f64) local.get 0))",
    )
    .unwrap();
    let manifest = "[model]\nid = \"m\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"m.wat\"\n[[feature]]\nname = \"age\"\ntype = \"f64\"\n\
        [output]\nmin = 0.0\nmax = 1.0\nstep = 0.1\ndefault = 0.0\n";
    std::fs::write(folder.path().join("m.toml"), manifest).unwrap();
    domain.submit_model("operator", &folder.path().join("m.toml")).await.unwrap();
    let due = domain.due("authority", false).await.unwrap();
    let told: Vec<_> = due.iter().map(|d| (d.step, d.owner.as_str(), d.due.as_str(), d.days_left)).collect();
    assert_eq!(
        told,
        [
            (Step::Model, "authority", "2026-12-07", 10),
            (Step::Consent, "holder", "2026-12-07", 10),
            (Step::Product, "authority", "2026-12-14", 15),
        ]
    );
    assert_eq!(due[0].materials_by.as_deref(), Some("2026-11-25"));
    assert_eq!(domain.due("holder", false).await.unwrap().len(), 1);
    assert_eq!(domain.due("operator", false).await.unwrap().len(), 3, "what it waits for");
    assert!(domain.due("business", false).await.unwrap().is_empty());
    assert!(domain.due("authority", true).await.unwrap().is_empty());
    // The last instant of 7 December in China, and the first of the 8th.
    let midnight = NOW + 15 * DAY - 8 * 3_600_000;
    now.store(midnight - 1, Ordering::Relaxed);
    assert!(domain.due("authority", true).await.unwrap().is_empty());
    now.store(midnight, Ordering::Relaxed);
    let overdue = domain.due("authority", true).await.unwrap();
    assert_eq!(
        overdue.iter().map(|d| (d.step, d.days_left)).collect::<Vec<_>>(),
        [(Step::Model, -1), (Step::Consent, -1)]
    );
    domain.set_model_state("authority", "m@1.0.0", State::Approved).await.unwrap();
    domain.consent("holder", "p", true, "").await.unwrap();
    assert!(domain.due("authority", true).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_divided_and_none_does_anothers_part() {
    let world = World::new(60).await;
    let domain = &world.domain;
    let title = Text::new("管理员", "Administrator");
    for (id, office) in [("sys", Office::System), ("sec", Office::Security)] {
        assert_eq!(domain.appoint("authority", id, office, &title).await.unwrap(), State::Approved);
    }
    // Two of three: the undivided authority still acts, the parts keep to theirs.
    domain.budgets("authority").await.unwrap();
    assert_eq!(codes(&domain.appoint("sec", "x", Office::Audit, &title).await.unwrap_err()), ["authorise/office"]);
    domain.appoint("authority", "aud", Office::Audit, &title).await.unwrap();
    let product = Subject::Model { id: "burden".into(), version: "1.0.0".into() };
    let why = "例行检查";
    assert_eq!(codes(&domain.suspend("authority", &product, why).await.unwrap_err()), ["authorise/divided"]);
    for actor in ["sys", "aud"] {
        assert_eq!(codes(&domain.suspend(actor, &product, why).await.unwrap_err()), ["authorise/office"]);
    }
    domain.suspend("sec", &product, why).await.unwrap();
    assert_eq!(codes(&domain.state_history("sec", &product).await.unwrap_err()), ["authorise/office"]);
    assert_eq!(domain.state_history("aud", &product).await.unwrap().len(), 2, "approved, suspended");
    // Whom the system administrator enters, the security administrator admits.
    let entered = domain.appoint("sys", "sec2", Office::Security, &title).await.unwrap();
    assert_eq!(entered, State::Submitted);
    assert!(codes(&domain.suspend("sec2", &product, why).await.unwrap_err()).contains(&"authorise/institution-state"));
    assert_eq!(
        codes(&domain.admit_institution("sys", "sec2").await.unwrap_err()),
        ["authorise/office", "authorise/own-submission"]
    );
    assert_eq!(domain.due("sec", false).await.unwrap()[0].step, Step::Institution);
    domain.admit_institution("sec", "sec2").await.unwrap();
    domain.resume("sec2", &product, why).await.unwrap();
    // The last of a part is not stopped; and a vacancy would not bring the undivided authority back.
    let last = domain.suspend("sec", &Subject::Institution("aud".into()), why).await.unwrap_err();
    assert_eq!(codes(&last), ["registry/last-administrator"]);
    domain.suspend("sec", &Subject::Institution("sec2".into()), why).await.unwrap();
    assert_eq!(codes(&domain.suspend("authority", &product, why).await.unwrap_err()), ["authorise/divided"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_data_subjects_go_to_the_holder_and_are_answered_in_time() {
    let now = Arc::new(AtomicI64::new(NOW));
    let (folder, domain) = reopened(World::new(60).await, now.clone()).await;
    let query = SubjectQuery {
        kind: RequestKind::Correction,
        dataset: "people".into(),
        subject: "P0000007".into(),
        details: "年龄有误".into(),
    };
    assert_eq!(format!("{query:?}"), "SubjectQuery { dataset: \"people\", .. }");
    let empty = SubjectQuery { details: " ".into(), subject: String::new(), ..query.clone() };
    assert_eq!(
        codes(&domain.file_request("business", &empty).await.unwrap_err()),
        ["input/details", "input/subject-number"]
    );
    let long = SubjectQuery { details: "字".repeat(4_001), ..query.clone() };
    assert_eq!(codes(&domain.file_request("business", &long).await.unwrap_err()), ["input/details"]);
    let filed = domain.file_request("business", &query).await.unwrap();
    assert_eq!((filed.holder.as_str(), filed.due.as_str(), filed.days_left), ("holder", "2026-11-30", Some(5)));
    assert!(!filed.subject.contains("P0000007"));
    let again = domain.file_request("operator", &query).await.unwrap();
    assert_eq!(again.subject, filed.subject);
    // Nothing that was said stands in the log.
    for entry in domain.log().entries(0..domain.log().size()) {
        let text = String::from_utf8(entry.unwrap().1.bytes().to_vec()).unwrap();
        assert!(!text.contains("年龄有误") && !text.contains("P0000007"));
    }
    assert_eq!(codes(&domain.request("operator", &filed.id).await.unwrap_err()), ["authorise/not-yours"]);
    assert_eq!(domain.requests("operator", true).await.unwrap().len(), 1);
    assert_eq!(domain.requests("holder", true).await.unwrap().len(), 2);
    assert!(domain.due("holder", false).await.unwrap().iter().any(|d| d.step == Step::Request && d.id == filed.id));

    domain.extend_request("holder", &filed.id, "需与派出所核对").await.unwrap();
    let twice = domain.extend_request("holder", &filed.id, "再延").await.unwrap_err();
    assert_eq!(codes(&twice), ["store/state"]);
    assert_eq!(domain.request("business", &filed.id).await.unwrap().due, "2026-12-07");

    // A correction is a new version, registered after the request.
    let answer = |outcome, version| domain.answer_request("holder", &filed.id, outcome, "已更正", version);
    for (outcome, version) in [
        (Outcome::Corrected, None),
        (Outcome::Corrected, Some(1)),
        (Outcome::Corrected, Some(2)),
        (Outcome::Rejected, Some(2)),
    ] {
        assert_eq!(codes(&answer(outcome, version).await.unwrap_err()), ["input/corrected-version"]);
    }
    assert_eq!(
        codes(&domain.answer_request("business", &filed.id, Outcome::Rejected, "x", None).await.unwrap_err()),
        ["authorise/role", "authorise/not-yours"]
    );
    let corrected = World::new(61).await;
    std::fs::copy(corrected.folder.path().join("people.parquet"), folder.path().join("people.parquet")).unwrap();
    let submitted = domain.register_dataset("holder", &folder.path().join("people.toml"), |_, _| {}).await.unwrap();
    assert_eq!(submitted.version, Some(2));
    now.store(NOW + 20 * DAY, Ordering::Relaxed);
    let answered = answer(Outcome::Corrected, Some(2)).await.unwrap();
    assert_eq!(
        (answered.outcome, answered.corrected_version, answered.late),
        (Some(Outcome::Corrected), Some(2), true)
    );
    assert_eq!(codes(&answer(Outcome::Corrected, Some(2)).await.unwrap_err()), ["authorise/request-state"]);
    let rejected = domain.answer_request("holder", &again.id, Outcome::Rejected, "经核实无误", None).await.unwrap();
    assert_eq!(rejected.outcome, Some(Outcome::Rejected));
    assert!(domain.requests("authority", true).await.unwrap().is_empty());
    assert_eq!(domain.requests("authority", false).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_as_dcat() {
    let world = World::new(60).await;
    let (domain, folder) = (&world.domain, world.folder.path());
    let table = "[product.directory]\ncategory = \"theme\"\nsummary = { zh = \"各城市人数\", en = \"People by city\" }\n\
        price = { class = \"guided\", cap_yuan = 500 }\n";
    domain.submit_product("operator", &product(folder, "p", table)).await.unwrap();
    domain.consent("holder", "p", true, "").await.unwrap();
    domain.set_product_state("authority", "p", State::Approved).await.unwrap();
    let bad = product(folder, "q", "[product.directory]\nprice = { class = \"guided\" }\n");
    let refused = domain.submit_product("operator", &bad).await.unwrap_err();
    assert_eq!((codes(&refused), refused.exit_code()), (vec!["directory/price"], 2));
    let catalogue = domain.dcat("business").await.unwrap();
    insta::assert_snapshot!("dcat", serde_json::to_string_pretty(&catalogue).unwrap());
}
