//! Who asks over the network: a token that was good a moment ago asks nothing once it is not.

use crate::town::{DAY, FREE, Town, codes, request};
use std::sync::atomic::Ordering;
use yunei_engine::domain::{Credential, TokenRequest};
use yunei_engine::registry::Subject;
use yunei_engine::{DomainError, VerifyRequest};
use yunei_policy::authorise::Scopes;

async fn token(town: &Town, institution: &str, days: u32) -> (String, Credential) {
    let wanted = TokenRequest {
        institution: institution.into(),
        label: String::new(),
        scopes: Scopes::all(),
        days,
        certificate: None,
    };
    let issued = town.domain.issue_token("authority", &Scopes::all(), &wanted).await.unwrap();
    (issued.id, Credential::read(&issued.secret, None).unwrap())
}

fn with(shown: &Credential, i: usize) -> VerifyRequest {
    VerifyRequest { credential: Some(shown.clone()), ..request("live", i) }
}

fn told(error: DomainError) -> Vec<&'static str> {
    codes(&error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_asks_nothing_even_where_it_was_let_in_before() {
    let town = Town::new(100).await;
    town.approve("live", &format!("claim = {{ column = \"status\", one_of = [\"有效\"] }}\n{FREE}")).await;
    let (id, shown) = token(&town, "business", 90).await;
    let (_, other) = token(&town, "business", 90).await;
    town.domain.admit_verifier(&shown).await.unwrap();
    town.ask(with(&shown, 1)).await.unwrap();
    // Let in, and revoked before it asks: as a request whose body is still on its way.
    town.domain.admit_verifier(&shown).await.unwrap();
    town.domain.revoke_token("authority", &id).await.unwrap();
    assert_eq!(town.ask(with(&shown, 2)).await.unwrap_err(), ["credential/revoked"]);
    assert_eq!(told(town.domain.admit_verifier(&shown).await.map(drop).unwrap_err()), ["credential/revoked"]);
    town.ask(with(&other, 2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_asks_for_its_own_institution_within_its_time_and_while_it_may() {
    let town = Town::new(100).await;
    town.approve("live", &format!("claim = {{ column = \"status\", one_of = [\"有效\"] }}\n{FREE}")).await;
    let (_, shown) = token(&town, "business", 1).await;
    town.domain.admit_verifier(&shown).await.unwrap();
    let bank = VerifyRequest { institution: "bank".into(), ..with(&shown, 1) };
    assert_eq!(town.ask(bank).await.unwrap_err(), ["credential/unknown"]);
    let forged = Credential::read("yunei_forged", None).unwrap();
    assert_eq!(town.ask(with(&forged, 1)).await.unwrap_err(), ["credential/unknown"]);
    town.domain.suspend("authority", &Subject::Institution("business".into()), "x").await.unwrap();
    assert!(town.domain.admit_verifier(&shown).await.is_err() || town.ask(with(&shown, 1)).await.is_err());
    town.domain.resume("authority", &Subject::Institution("business".into()), "x").await.unwrap();
    town.ask(with(&shown, 1)).await.unwrap();
    town.now.fetch_add(DAY, Ordering::SeqCst);
    assert_eq!(town.ask(with(&shown, 2)).await.unwrap_err(), ["credential/expired"]);
    assert_eq!(told(town.domain.admit_verifier(&shown).await.map(drop).unwrap_err()), ["credential/expired"]);
}
