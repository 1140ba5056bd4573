//! One question: predicates, answers, what is told and what is not.

use crate::town::{DAY, FREE, Town, clock, codes, id, identity, name, plate, request, write_people};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use yunei_engine::registry::Subject;
use yunei_engine::{Answer, BatchItem, BatchRequest, Domain, VerifyRequest};

type Holds = fn(usize) -> bool;

fn claimed(product: &str, i: usize, claim: &str) -> VerifyRequest {
    VerifyRequest { claim: Some(claim.into()), ..request(product, i) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_predicate_answers_from_the_index() {
    let town = Town::new(500).await;
    let cases: [(&str, Holds); 5] = [
        ("claim = { column = \"status\", one_of = [\"有效\"] }", |i| !i.is_multiple_of(10)),
        ("claim = { column = \"status\", none_of = [\"有效\"] }", |i| i.is_multiple_of(10)),
        ("claim = { column = \"income\", at_least = 500, at_most = 1000 }", |i| (5..=10).contains(&(i % 1_000))),
        ("claim = { column = \"born\", at_most = 1959-12-31 }", |i| i % 50 < 10),
        ("claims = [{ column = \"status\", one_of = [\"有效\"] }, { column = \"income\", at_least = 1000 }]", |i| {
            !i.is_multiple_of(10) && i >= 10
        }),
    ];
    for (at, (claim, holds)) in cases.into_iter().enumerate() {
        let product = format!("p{at}");
        town.approve(&product, &format!("{claim}\n{FREE}")).await;
        for i in [0usize, 5, 7, 10, 11, 49] {
            let answer = town.ask(request(&product, i)).await.unwrap();
            let expected = if holds(i) { Answer::Match } else { Answer::NoMatch };
            assert_eq!(answer.answer, expected, "{claim} of {i}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equality_sees_through_dresses_and_tells_nothing_else() {
    let town = Town::new(300).await;
    town.approve("plate", &format!("claim = {{ equals = \"plate\" }}\nkinds = {{ plate = \"plate\" }}\n{FREE}")).await;
    let mut wide = claimed("plate", 7, " 云ａ·00007 ");
    wide.identity
        .insert("id_number".into(), id(7).chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect());
    wide.identity.insert("name".into(), format!(" {}\u{200b} {} ", &name(7)[..3], &name(7)[3..]));
    assert_eq!(town.ask(wide).await.unwrap().answer, Answer::Match);
    for i in [7, 9, 11, 13, 15] {
        assert_eq!(town.ask(claimed("plate", i, &plate(i).unwrap())).await.unwrap().answer, Answer::Match);
    }
    // A false claim, a wrong name, nobody, no plate at all: one answer, of one length.
    let mut wrong_name = claimed("plate", 21, &plate(21).unwrap());
    wrong_name.identity.insert("name".into(), "无名氏".into());
    let nobody = VerifyRequest {
        identity: BTreeMap::from([
            ("id_number".to_owned(), crate::town::citizen(530103, "19900101", 5)),
            ("name".to_owned(), "无名氏".to_owned()),
        ]),
        ..claimed("plate", 0, "云A00001")
    };
    let mut lengths = std::collections::BTreeSet::new();
    for asked in [claimed("plate", 22, "云A99999"), wrong_name, nobody, claimed("plate", 24, "云A00024")] {
        let answer = town.ask(asked).await.unwrap();
        assert_eq!(answer.answer, Answer::NoMatch);
        answer.receipt.clone().verify(&town.domain.verifying_key()).unwrap();
        lengths.insert(serde_json::to_string(&answer.receipt.body()).unwrap().len());
    }
    let yes = town.ask(claimed("plate", 25, &plate(25).unwrap())).await.unwrap();
    lengths.insert(serde_json::to_string(&yes.receipt.body()).unwrap().len());
    assert_eq!(lengths.len(), 1, "{lengths:?}");
    // What the log says of it names nobody.
    let log = std::fs::read_dir(town.home().join("log")).unwrap();
    assert!(log.count() > 0);
    for found in town.domain.log().entries(0..town.domain.log().size()) {
        let text = String::from_utf8(found.unwrap().1.bytes().to_vec()).unwrap();
        assert!(!text.contains(&id(7)) && !text.contains(&name(7)) && !text.contains("云A"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_told_before_anything_is_looked_up() {
    let town = Town::new(100).await;
    town.approve("plate", &format!("claim = {{ equals = \"plate\" }}\nkinds = {{ plate = \"plate\" }}\n{FREE}")).await;
    let with = |field: &str, value: &str| {
        let mut asked = claimed("plate", 7, "云A00007");
        asked.identity.insert(field.into(), value.into());
        asked
    };
    let known = id(7);
    let broken = format!("{}{}", &known[..17], if known.ends_with('0') { '1' } else { '0' });
    let stranger = crate::town::citizen(110105, "19491231", 2);
    let broken_stranger = format!("{}{}", &stranger[..17], if stranger.ends_with('0') { '1' } else { '0' });
    let refusal = |asked: VerifyRequest| {
        let town = &town;
        async move { town.domain.verify(&asked).await.unwrap_err().to_string() }
    };
    // The same words for a number that is almost somebody's and for one that is nobody's.
    assert_eq!(refusal(with("id_number", &broken)).await, refusal(with("id_number", &broken_stranger)).await);
    for (asked, code) in [
        (with("id_number", &broken), "input/field"),
        (with("name", ""), "input/field"),
        (with("name", &"a".repeat(257)), "input/field"),
        (with("name", "a\u{0}b"), "input/field"),
        (with("mother", "x"), "input/unknown-field"),
        (claimed("plate", 7, "不是车牌"), "input/field"),
        (request("plate", 7), "input/missing-field"),
        (VerifyRequest { serial: Some("x".repeat(65)), ..claimed("plate", 7, "云A00007") }, "input/serial"),
        (VerifyRequest { serial: Some(String::new()), ..claimed("plate", 7, "云A00007") }, "input/serial"),
        (VerifyRequest { scene: Some("a".repeat(129)), ..claimed("plate", 7, "云A00007") }, "input/scene"),
        (
            VerifyRequest { claims: BTreeMap::from([("x".into(), "y".into())]), ..request("plate", 7) },
            "input/unknown-field",
        ),
    ] {
        let told = town.domain.verify(&asked).await.unwrap_err();
        assert!(codes(&told).contains(&code), "{code}: {told}");
        assert!(!told.to_string().contains(&known), "{told}");
        assert_eq!(told.exit_code(), 2);
    }
    assert!(town.ask(VerifyRequest { serial: Some("x".repeat(64)), ..claimed("plate", 7, "云A00007") }).await.is_ok());
    let other = VerifyRequest { purpose: "gossip".into(), ..claimed("plate", 7, "云A00007") };
    assert!(town.ask(other).await.unwrap_err().contains(&"authorise/purpose"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_state_and_what_is_free() {
    let town = Town::new(100).await;
    let claim = "claim = { column = \"status\", one_of = [\"有效\"] }";
    town.approve("told", &format!("{claim}\n{FREE}\nnot_found = true\nfree = [\"not_found\"]")).await;
    let mut stranger = request("told", 3);
    stranger.identity.insert("name".into(), "无名氏".into());
    let none = town.ask(stranger.clone()).await.unwrap();
    assert_eq!((none.answer, none.charged), (Answer::NotFound, false));
    let no = town.ask(request("told", 10)).await.unwrap();
    assert_eq!((no.answer, no.charged), (Answer::NoMatch, true));
    let yes = town.ask(request("told", 3)).await.unwrap();
    assert_eq!((yes.answer, yes.charged), (Answer::Match, true));
    let length = |a: &yunei_engine::VerifyAnswer| serde_json::to_string(a.receipt.body()).unwrap().len();
    assert!(length(&none) == length(&no) && length(&no) == length(&yes));
    assert_eq!(yes.as_of, "2026-11-23T00:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serial_number_is_charged_once() {
    let town = Town::new(100).await;
    town.approve("live", &format!("claim = {{ column = \"status\", one_of = [\"有效\"] }}\n{FREE}")).await;
    let asked = VerifyRequest { serial: Some("A-1".into()), ..request("live", 3) };
    let first = town.ask(asked.clone()).await.unwrap();
    let town = town.reopened().await;
    let again = town.ask(asked.clone()).await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.run, again.answer, again.as_of), (first.run.clone(), first.answer, first.as_of));
    assert_eq!(again.receipt.body(), first.receipt.body());
    let other = VerifyRequest { identity: identity(4), ..asked };
    assert_eq!(town.ask(other).await.unwrap_err(), ["input/serial-reused"]);
    assert_eq!(town.domain.grants().await.unwrap()[0].used_runs, 1);
    assert!(town.domain.receipt(&first.run).await.unwrap().contains(&first.run));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_registry_holds_at_once() {
    let town = Town::new(100).await;
    town.approve("live", &format!("claim = {{ column = \"status\", one_of = [\"有效\"] }}\n{FREE}")).await;
    assert!(town.ask(request("live", 3)).await.is_ok());
    let product = Subject::Product("live".into());
    town.domain.suspend("authority", &product, "收到投诉").await.unwrap();
    assert_eq!(town.ask(request("live", 4)).await.unwrap_err(), ["authorise/product-state"]);
    town.domain.resume("authority", &product, "已查明").await.unwrap();
    assert!(town.ask(request("live", 4)).await.is_ok());
    // A grant that is used up, and another one.
    town.domain
        .add_institution("authority", "bank", yunei_policy::words::Role::Business, &yunei_policy::Text::new("银", "b"))
        .await
        .unwrap();
    let by_bank = |i| VerifyRequest { institution: "bank".into(), ..request("live", i) };
    assert_eq!(town.ask(by_bank(5)).await.unwrap_err(), ["authorise/no-grant"]);
    town.grant("bank", "live", Some(2)).await;
    assert!(town.ask(by_bank(5)).await.is_ok() && town.ask(by_bank(6)).await.is_ok());
    assert!(town.ask(by_bank(7)).await.unwrap_err().contains(&"authorise/grant-quota"));
    town.grant("bank", "live", Some(1)).await;
    assert!(town.ask(by_bank(7)).await.is_ok());
    // A new version of the data answers from then on.
    std::fs::remove_file(town.folder.path().join("people.parquet")).unwrap();
    write_people(&town.folder.path().join("people-2.parquet"), 20);
    let entry = town.folder.path().join("people.toml");
    town.now.fetch_add(DAY, Ordering::SeqCst);
    town.domain.register_dataset("holder", &entry, |_, _| {}).await.unwrap();
    let gone = town.ask(request("live", 33)).await.unwrap();
    assert_eq!((gone.answer, gone.as_of.as_str()), (Answer::NoMatch, "2026-11-24T00:00:00Z"));
    assert_eq!(std::fs::read_dir(town.home().join("index/live")).unwrap().count(), 1, "the old index is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_counted_one_by_one() {
    let town = std::sync::Arc::new(Town::new(400).await);
    town.approve("live", &format!("claim = {{ column = \"status\", one_of = [\"有效\"] }}\n{FREE}")).await;
    town.domain
        .add_institution("authority", "bank", yunei_policy::words::Role::Business, &yunei_policy::Text::new("银", "b"))
        .await
        .unwrap();
    town.grant("bank", "live", Some(100)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..150usize {
        let town = std::sync::Arc::clone(&town);
        tasks.spawn(async move {
            let i = if i.is_multiple_of(10) { i + 1 } else { i };
            town.ask(VerifyRequest { institution: "bank".into(), ..request("live", i * 2 % 400 + 1) }).await
        });
    }
    let mut answered = 0;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(_) => answered += 1,
            Err(codes) => assert!(codes.contains(&"authorise/grant-quota"), "{codes:?}"),
        }
    }
    assert_eq!(answered, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_a_product_of_its_own() {
    let town = Town::with_rules(300, &crate::town::quick().replace("batch_items = 1000", "batch_items = 40")).await;
    let claim = "claim = { column = \"status\", one_of = [\"有效\"] }";
    town.approve("many", &format!("{claim}\nbatch = true")).await;
    town.approve("one", &format!("{claim}\n{FREE}")).await;
    let item =
        |i: usize| BatchItem { identity: identity(i), consent: Some(town.consent("many", i)), ..BatchItem::default() };
    let batch = |items: Vec<BatchItem>| BatchRequest {
        institution: "business".into(),
        product: "many".into(),
        purpose: "loan".into(),
        items,
        ..BatchRequest::default()
    };
    let mut items: Vec<BatchItem> = (1..40).map(item).collect();
    items.push(BatchItem { consent: None, ..item(41) });
    let answers = town.domain.verify_batch(batch(items)).await.unwrap();
    for (i, answer) in answers.iter().take(39).enumerate() {
        let expected = if (i + 1).is_multiple_of(10) { Answer::NoMatch } else { Answer::Match };
        assert_eq!(answer.as_ref().unwrap().answer, expected);
    }
    assert_eq!(codes(answers[39].as_ref().unwrap_err()), ["consent/missing"]);
    for wrong in [vec![], (0..41).map(item).collect()] {
        assert_eq!(codes(&town.domain.verify_batch(batch(wrong)).await.unwrap_err()), ["input/batch"]);
    }
    assert_eq!(
        town.ask(VerifyRequest { consent: Some(town.consent("many", 60)), ..request("many", 60) }).await.unwrap_err(),
        ["verify/batch-only"]
    );
    let single = BatchRequest { product: "one".into(), ..batch(vec![item(61)]) };
    assert_eq!(codes(town.domain.verify_batch(single).await.unwrap()[0].as_ref().unwrap_err()), ["verify/not-batch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn products_that_may_not_be_are_refused_with_all_reasons() {
    let town = Town::new(30).await;
    let claim = "claim = { column = \"status\", one_of = [\"有效\"] }";
    for (verification, code) in [
        ("claim = { column = \"income\", at_least = \"many\" }", "verify/threshold"),
        ("claim = { column = \"status\", at_least = 3 }", "verify/band-type"),
        ("claim = { column = \"income\", one_of = [\"x\"] }", "verify/values"),
        ("claim = { equals = \"name\" }", "verify/claim-is-identity"),
        ("claim = { equals = \"nothing\" }", "verification/column"),
        ("claim = { equals = \"plate\" }\nkinds = { income = \"plate\" }", "product/field-kind"),
        ("claim = { equals = \"plate\" }\nconsent = \"not-required\"\nlegal_basis = \" \"", "verify/legal-basis"),
    ] {
        assert!(town.refused(verification).await.contains(&code), "{verification}");
    }
    let path = town.folder.path().join("ok.toml");
    std::fs::write(&path, crate::town::product("ok", claim)).unwrap();
    assert!(town.domain.check_product(&path).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_held_against_the_files() {
    let town = Town::new(2_000).await;
    town.approve("plate", &format!("claim = {{ equals = \"plate\" }}\n{FREE}")).await;
    let view = town.domain.build_index("authority", "plate", |_, _| {}).await.unwrap();
    assert_eq!((view.subjects, view.version), (2_000, 1));
    assert!(view.bytes <= 2_000 * 40 + 4_096, "{}", view.bytes);
    let audit = town.domain.audit_index("authority", "plate", 500).await.unwrap();
    assert!(audit.is_sound() && (300..700).contains(&audit.sampled), "{audit:?}");
    assert!(town.domain.build_index("business", "plate", |_, _| {}).await.is_err());
    // A damaged index is not answered from: it is made again.
    let folder = town.home().join("index/plate");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let town = town.reopened().await;
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(town.ask(claimed("plate", 7, &plate(7).unwrap())).await.unwrap().answer, Answer::Match);
    assert!(town.domain.audit_index("authority", "plate", 100).await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_sealed_year_keeps_its_receipt_and_its_serial_number() {
    let town = Town::new(100).await;
    town.approve("live", &format!("claim = {{ column = \"status\", one_of = [\"有效\"] }}\n{FREE}")).await;
    let asked = VerifyRequest { serial: Some("A-1".into()), ..request("live", 3) };
    let first = town.ask(asked.clone()).await.unwrap();
    let Town { folder, domain, now, signer } = town;
    domain.close().await;
    now.fetch_add(60 * DAY, Ordering::SeqCst);
    let home = folder.path().join("home");
    Domain::seal_log(&home, clock(&now), "authority").await.unwrap();
    let domain = Domain::open(&home, clock(&now)).await.unwrap();
    let town = Town { folder, domain, now, signer };
    // Entries of the new log, as many as the old one had: the index alone does not say which log is meant.
    for i in 4..40 {
        town.ask(VerifyRequest { serial: Some(format!("B-{i}")), ..request("live", i) }).await.unwrap();
    }
    assert!(town.domain.log().size() > first.receipt.index());
    let again = town.ask(asked).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.run, again.answer), (first.run.clone(), first.answer));
    assert_eq!(again.receipt.checkpoint().origin(), first.receipt.checkpoint().origin());
    assert_eq!((again.receipt.index(), again.receipt.body()), (first.receipt.index(), first.receipt.body()));
    let receipt = town.domain.receipt(&first.run).await.unwrap();
    let keys = town.domain.log_keys().unwrap();
    let receipt = yunei_audit::Receipt::parse(receipt.as_bytes()).unwrap();
    receipt.verify_with(keys.of(again.receipt.checkpoint().origin()).unwrap()).unwrap();
}
