//! Consent: bound to one question, used as often as it says, never again.

use crate::town::{DAY, FREE, Town, id, identity, request};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use yunei_engine::verify::consent::ASKED_ABOUT_ME;
use yunei_engine::{ConsentAlgorithm, ConsentSigner, ConsentTerms, VerifyRequest};
use yunei_policy::Text;
use yunei_policy::words::{State, UnitKind};

const CLAIM: &str = "claim = { column = \"status\", one_of = [\"有效\"] }";

fn with(token: &str, i: usize) -> VerifyRequest {
    VerifyRequest { consent: Some(token.to_owned()), ..request("live", i) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_is_used_once_for_what_it_names() {
    let town = Town::new(100).await;
    town.approve("live", CLAIM).await;
    town.approve("other", CLAIM).await;
    assert_eq!(town.ask(request("live", 3)).await.unwrap_err(), ["consent/missing"]);
    let token = town.consent("live", 3);
    // Another subject, product, business or purpose; a refusal uses nothing.
    assert_eq!(town.ask(with(&token, 4)).await.unwrap_err(), ["consent/invalid"]);
    let other = VerifyRequest { consent: Some(token.clone()), ..request("other", 3) };
    assert_eq!(town.ask(other).await.unwrap_err(), ["consent/invalid"]);
    town.business("bank", "live").await;
    let bank = VerifyRequest { institution: "bank".into(), ..with(&token, 3) };
    assert_eq!(town.ask(bank).await.unwrap_err(), ["consent/invalid"]);
    for change in [
        |t: &mut ConsentTerms| t.domain = "elsewhere".into(),
        |t: &mut ConsentTerms| t.purpose = "gossip".into(),
        |t: &mut ConsentTerms| t.uses = 0,
        |t: &mut ConsentTerms| t.uses = 101,
        |t: &mut ConsentTerms| t.expires = t.issued + 90 * 86_400 + 1,
        |t: &mut ConsentTerms| t.issued += 3_600,
    ] {
        let mut terms = town.terms("live");
        change(&mut terms);
        let token = town.signer.sign(&terms, &identity(3)).unwrap();
        assert_eq!(town.ask(with(&token, 3)).await.unwrap_err(), ["consent/invalid"], "{terms:?}");
    }
    town.ask(with(&token, 3)).await.unwrap();
    assert_eq!(town.ask(with(&token, 3)).await.unwrap_err(), ["consent/used"]);
    let town = town.reopened().await;
    assert_eq!(town.ask(with(&token, 3)).await.unwrap_err(), ["consent/used"]);
    // Expired.
    let token = town.consent("live", 5);
    town.now.fetch_add(DAY, Ordering::SeqCst);
    assert_eq!(town.ask(with(&token, 5)).await.unwrap_err(), ["consent/invalid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_for_three_uses_has_three_whoever_hurries() {
    let town = Arc::new(Town::new(100).await);
    town.approve("live", CLAIM).await;
    let token = town.signer.sign(&ConsentTerms { uses: 3, ..town.terms("live") }, &identity(3)).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (town, token) = (Arc::clone(&town), token.clone());
        tasks.spawn(async move { town.ask(with(&token, 3)).await });
    }
    let mut answered = 0;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(_) => answered += 1,
            Err(codes) => assert_eq!(codes, ["consent/used"]),
        }
    }
    assert_eq!(answered, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_are_the_authoritys_and_are_suspended_at_once() {
    let town = Town::new(100).await;
    town.approve("live", CLAIM).await;
    let pem = ConsentSigner::generate(ConsentAlgorithm::Es256).unwrap();
    let second = ConsentSigner::from_pem("second", &pem).unwrap();
    let title = Text::new("第二局", "Second");
    for who in ["business", "operator", "holder"] {
        assert!(town.domain.add_issuer(who, "second", &title, &second.public()).await.is_err());
    }
    let token = second.sign(&town.terms("live"), &identity(3)).unwrap();
    assert_eq!(town.ask(with(&token, 3)).await.unwrap_err(), ["consent/invalid"]);
    town.domain.add_issuer("authority", "second", &title, &second.public()).await.unwrap();
    assert!(town.domain.add_issuer("authority", "second", &title, &second.public()).await.is_err());
    town.domain.set_issuer_state("authority", "second", State::Suspended).await.unwrap();
    assert_eq!(town.ask(with(&token, 3)).await.unwrap_err(), ["consent/invalid"]);
    town.domain.set_issuer_state("authority", "second", State::Approved).await.unwrap();
    town.ask(with(&token, 3)).await.unwrap();
    assert_eq!(town.domain.issuers().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_learns_who_asked_about_it() {
    let town = Town::new(100).await;
    town.approve("live", CLAIM).await;
    town.approve("law", &format!("{CLAIM}\n{FREE}")).await;
    town.ask(with(&town.consent("live", 3), 3)).await.unwrap();
    town.ask(VerifyRequest { scene: Some("开户".into()), ..request("law", 3) }).await.unwrap();
    town.ask(request("law", 4)).await.unwrap();
    let proof = |i: usize| {
        let me = ASKED_ABOUT_ME.to_owned();
        let terms = ConsentTerms { business: me.clone(), product: me.clone(), purpose: me, ..town.terms("live") };
        town.signer.sign(&terms, &BTreeMap::from([("number".to_owned(), id(i))])).unwrap()
    };
    let list = town.domain.asked_about(UnitKind::NaturalPerson, &id(3).to_lowercase(), &proof(3)).await.unwrap();
    let told: Vec<_> =
        list.iter().map(|r| (r.product.as_str(), r.scene.as_deref(), r.consented, r.state.as_str())).collect();
    assert_eq!(told, [("law", Some("开户"), false, "answered"), ("live", None, true, "answered")]);
    assert!(list.iter().all(|r| r.log_index.is_some()));
    // Somebody else's token, and one that is for a verification.
    assert!(town.domain.asked_about(UnitKind::NaturalPerson, &id(3), &proof(4)).await.is_err());
    assert!(town.domain.asked_about(UnitKind::NaturalPerson, &id(3), &town.consent("live", 3)).await.is_err());
    assert!(town.domain.asked_about(UnitKind::LegalPerson, &id(3), &proof(3)).await.map_or(true, |l| l.is_empty()));
}
