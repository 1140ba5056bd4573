//! Verifications that are replayed: the same question of the same rows, and whatever was changed since, named.

use crate::town::{DAY, FREE, Town, clock, codes, identity, request};
use std::fs;
use std::sync::atomic::Ordering;
use yunei_engine::registry::Subject;
use yunei_engine::replay::{Finding, Step};
use yunei_engine::{Answer, Domain, ReplayOptions, ReplayReport, VerifyRequest};

async fn replay(town: &Town, run: &str, asked: &VerifyRequest) -> ReplayReport {
    town.domain.replay_verification("authority", run, asked, ReplayOptions::default(), |_, _| {}).await.unwrap()
}

fn kinds(town: &Town, from: u64) -> Vec<String> {
    town.domain.log().entries(from..town.domain.log().size()).map(|item| item.unwrap().1.kind().to_owned()).collect()
}

async fn town() -> Town {
    let town = Town::new(200).await;
    town.approve("plate", &format!("claim = {{ equals = \"plate\" }}\nkinds = {{ plate = \"plate\" }}\n{FREE}")).await;
    town.approve("live", "claim = { column = \"status\", one_of = [\"有效\"] }").await;
    town
}

/// Whom the question names, as an auditor gives it: nothing of the rest.
fn subject_of(asked: &VerifyRequest) -> VerifyRequest {
    VerifyRequest {
        identity: asked.identity.clone(),
        claim: asked.claim.clone(),
        consent: asked.consent.clone(),
        ..VerifyRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_out_the_same_of_the_rows_themselves() {
    let town = town().await;
    let claimed = |i: usize, claim: &str| VerifyRequest { claim: Some(claim.into()), ..request("plate", i) };
    let consented = |i: usize| VerifyRequest { consent: Some(town.consent("live", i)), ..request("live", i) };
    let cases = [
        (claimed(5, "云A00005"), Answer::Match),
        (claimed(5, "云A00006"), Answer::NoMatch),
        (claimed(900, "云A00900"), Answer::NoMatch),
        (consented(3), Answer::Match),
        (consented(10), Answer::NoMatch),
    ];
    let mut answered = Vec::new();
    for (asked, expected) in cases {
        let answer = town.ask(asked.clone()).await.unwrap();
        assert_eq!(answer.answer, expected);
        answered.push((answer.run, asked));
    }
    for (run, asked) in &answered {
        let size = town.domain.log().size();
        let report = replay(&town, run, &subject_of(asked)).await;
        assert!(report.identical, "{:?}", report.differences().collect::<Vec<_>>());
        for step in [Step::Receipt, Step::Rules, Step::Entry, Step::Files, Step::Subject, Step::Question, Step::Answer]
        {
            assert!(report.comparisons.iter().any(|c| c.step == step), "{step:?} was not compared");
        }
        // Neither who it was nor what was answered is in the report or in the log of the replay.
        let told = format!("{report:?}");
        assert!(!told.contains("no_match") && asked.identity.values().all(|value| !told.contains(value)));
        let logged = kinds(&town, size);
        assert_eq!(logged, ["replay.authorised", "replay.opened", "replay.executed", "replay.verdict"]);
    }
    let (run, asked) = &answered[0];
    for actor in ["holder", "operator", "business"] {
        let refused = town.domain.replay_verification(actor, run, asked, ReplayOptions::default(), |_, _| {}).await;
        assert_eq!(codes(&refused.unwrap_err()), ["authorise/role"], "{actor}");
    }
    let bare = town.domain.replay("authority", run, ReplayOptions::default(), |_, _| {}).await.unwrap_err();
    assert_eq!(codes(&bare), ["replay/subject-needed"]);
    let none =
        town.domain.replay_verification("authority", "verification-0", asked, ReplayOptions::default(), |_, _| {});
    assert_eq!(none.await.unwrap_err().exit_code(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_subject_question_or_file_is_named_and_nothing_is_looked_up() {
    let town = town().await;
    let asked = VerifyRequest { claim: Some("云A00005".into()), ..request("plate", 5) };
    let run = town.ask(asked.clone()).await.unwrap().run;
    let consented = VerifyRequest { consent: Some(town.consent("live", 3)), ..request("live", 3) };
    let second = town.ask(consented.clone()).await.unwrap().run;
    let wrong = [
        (&run, VerifyRequest { identity: identity(6), ..asked.clone() }, Step::Subject),
        (&run, VerifyRequest { claim: Some("云A00006".into()), ..asked.clone() }, Step::Question),
        (&second, VerifyRequest { consent: None, ..consented.clone() }, Step::Question),
        (&second, VerifyRequest { consent: Some(town.consent("live", 4)), ..consented.clone() }, Step::Question),
    ];
    for (run, asked, step) in wrong {
        let size = town.domain.log().size();
        let report = replay(&town, run, &asked).await;
        assert_eq!(report.first_difference().unwrap().step, step);
        let answer = report.comparisons.iter().find(|c| c.step == Step::Answer).unwrap();
        assert_eq!(answer.finding, Finding::NotReached);
        assert_eq!(kinds(&town, size), ["replay.authorised", "replay.verdict"]);
    }
    let path = town.folder.path().join("people.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let report = replay(&town, &run, &asked).await;
    let difference = report.first_difference().unwrap();
    assert_eq!((difference.step, difference.what.as_str()), (Step::Files, "people@1 file 1 of 1"));
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(replay(&town, &run, &asked).await.identical);

    // The kept answer turned round: its digest is the one in the log no more.
    let Town { folder, domain, now, signer } = town;
    domain.close().await;
    let change = "UPDATE verifications SET body = replace(body, '\"outcome\":\"match\"', '\"outcome\":\"no_match\"')";
    crate::spoil::spoil_store(&folder.path().join("home"), change).await;
    let domain = Domain::open(&folder.path().join("home"), clock(&now)).await.unwrap();
    let town = Town { folder, domain, now, signer };
    assert_eq!(replay(&town, &run, &asked).await.first_difference().unwrap().step, Step::Receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_withdrawn_data_and_of_a_sealed_year_too() {
    let town = town().await;
    let asked = VerifyRequest { claim: Some("云A00005".into()), ..request("plate", 5) };
    let run = town.ask(asked.clone()).await.unwrap().run;
    town.domain.withdraw("holder", &Subject::Dataset("people".into()), "数据主体要求").await.unwrap();
    assert!(town.ask(VerifyRequest { claim: Some("云A00007".into()), ..request("plate", 7) }).await.is_err());
    assert!(replay(&town, &run, &asked).await.identical);
    let Town { folder, domain, now, signer } = town;
    domain.close().await;
    now.fetch_add(60 * DAY, Ordering::SeqCst);
    let home = folder.path().join("home");
    Domain::seal_log(&home, clock(&now), "authority").await.unwrap();
    let domain = Domain::open(&home, clock(&now)).await.unwrap();
    let town = Town { folder, domain, now, signer };
    assert!(replay(&town, &run, &asked).await.identical);
    // The files taken away end it, and are named.
    fs::remove_file(town.folder.path().join("people.parquet")).unwrap();
    let report = replay(&town, &run, &asked).await;
    assert_eq!(
        (report.first_difference().unwrap().step, &report.first_difference().unwrap().found),
        (Step::Files, &None)
    );
}
