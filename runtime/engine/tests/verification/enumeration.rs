//! Enumeration of a register of 100,000: ten businesses together confirm less than a thousandth of it before all are stopped.

use crate::town::{FREE, Town, born, citizen, codes, id, name, request};
use std::collections::{BTreeMap, BTreeSet};
use yunei_engine::{Answer, VerifyRequest};

const PEOPLE: usize = 100_000;
const CLAIM: &str = "claim = { column = \"status\", one_of = [\"有效\", \"注销\"] }";

/// What came of an attack.
struct Outcome {
    confirmed: usize,
    asked: usize,
    stopped: usize,
}

/// Ten businesses take turns until all are stopped or the guesses are used up.
async fn attack(
    town: &Town,
    product: &str,
    businesses: usize,
    guesses: impl Iterator<Item = (String, String)>,
) -> Outcome {
    let mut confirmed = BTreeSet::new();
    let mut left: Vec<String> = (0..businesses).map(|b| format!("{product}-{b}")).collect();
    for business in &left {
        town.business(business, product).await;
    }
    let (mut turn, mut asked) = (0, 0);
    for (number, name) in guesses.take(20_000) {
        if left.is_empty() {
            break;
        }
        turn = (turn + 1) % left.len();
        let identity = BTreeMap::from([("id_number".to_owned(), number.clone()), ("name".to_owned(), name)]);
        let asks = VerifyRequest { institution: left[turn].clone(), identity, ..request(product, 0) };
        asked += 1;
        match town.domain.verify(&asks).await {
            Ok(answer) if answer.answer == Answer::Match => {
                confirmed.insert(number);
            }
            Ok(_) => {}
            Err(error) if codes(&error) == ["verify/stopped"] => {
                left.remove(turn);
            }
            Err(error) => assert_eq!(codes(&error), ["verify/limit-reached"]),
        }
    }
    Outcome { confirmed: confirmed.len(), asked, stopped: businesses - left.len() }
}

#[tokio::test(flavor = "multi_thread")]
async fn enumeration_is_stopped_before_a_thousandth_is_confirmed() {
    let town = Town::new(PEOPLE).await;
    let most = PEOPLE / 1_000;
    let fresh = |product: &'static str| {
        let town = &town;
        async move { town.approve(product, &format!("{CLAIM}\n{FREE}")).await }
    };

    // Whoever knows every name and walks along the numbers, birthday by birthday.
    fresh("birthdays").await;
    let mut known: Vec<(String, String)> = (0..PEOPLE).map(|i| (id(i), name(i))).collect();
    known.sort();
    let outcome = attack(&town, "birthdays", 10, known.clone().into_iter()).await;
    assert!(outcome.stopped == 10 && outcome.confirmed < most, "birthdays: {} of {}", outcome.confirmed, outcome.asked);

    // The same by one business alone.
    fresh("alone").await;
    let outcome = attack(&town, "alone", 1, known.into_iter()).await;
    assert!(outcome.stopped == 1 && outcome.confirmed < most, "alone: {} of {}", outcome.confirmed, outcome.asked);

    // Every sequence number of one birthday after the other, with a common name.
    fresh("sequence").await;
    let sequence = (0..30).flat_map(|i| (0..1_000).map(move |s| (citizen(530102, &born(i), s), "王伟".to_owned())));
    let outcome = attack(&town, "sequence", 10, sequence).await;
    assert!(outcome.stopped == 10 && outcome.confirmed < most, "sequence: {} of {}", outcome.confirmed, outcome.asked);

    // Numbers of the register in no order, each with a name from the dictionary.
    fresh("shuffled").await;
    let shuffled = (0..PEOPLE).map(|i| i * 7_919 % PEOPLE).map(|i| (id(i), name(i * 31 % 100)));
    let outcome = attack(&town, "shuffled", 10, shuffled).await;
    assert!(outcome.stopped == 10 && outcome.confirmed < most, "shuffled: {} of {}", outcome.confirmed, outcome.asked);

    // Generated numbers in no order: some of them are canaries.
    fresh("generated").await;
    let generated = (0..20_000usize).map(|i| (citizen(530102, &born(i * 7_919 % 16_800), i * 271 % 1_000), name(i)));
    let outcome = attack(&town, "generated", 10, generated).await;
    assert!(outcome.stopped == 10 && outcome.confirmed < most, "generated: {} of {}", outcome.confirmed, outcome.asked);

    // The whole dictionary of names on one number.
    fresh("dictionary").await;
    let dictionary = (0..100).map(|i| (id(4_321), name(i * 37 % 100)));
    let outcome = attack(&town, "dictionary", 10, dictionary).await;
    assert!(outcome.confirmed <= 1, "dictionary: {}", outcome.confirmed);
    let tried = outcome.asked;
    assert!(tried >= 90, "{tried}");

    // The authority sees it, and nobody else; what was stopped stays so in the next process, until it is lifted.
    let alarms = town.domain.verification_alarms("authority").await.unwrap();
    for (product, alarm) in [("birthdays", "neighbours"), ("shuffled", "no-match-share"), ("dictionary", "many-claims")]
    {
        assert!(alarms.iter().any(|a| a.product == product && a.alarm == alarm), "{product} {alarm}");
    }
    assert!(town.domain.verification_alarms("business").await.is_err());
    let town = town.reopened().await;
    let by = |business: &str| VerifyRequest { institution: business.into(), ..request("shuffled", 77) };
    assert_eq!(town.ask(by("shuffled-0")).await.unwrap_err(), ["verify/stopped"]);
    assert!(town.domain.resume_verification("business", "shuffled-0", "shuffled").await.is_err());
    town.domain.resume_verification("authority", "shuffled-0", "shuffled").await.unwrap();
    town.ask(by("shuffled-0")).await.unwrap();
    assert_eq!(town.ask(by("shuffled-1")).await.unwrap_err(), ["verify/stopped"]);
    // An honest business is not disturbed by any of it.
    for i in 0..200usize {
        town.ask(request("generated", i * 491 % PEOPLE + 1)).await.unwrap();
    }
}
