//! The ledger: never overspent, never given back.

use crate::tools::{begin, entry, fresh, grant, open, path, run, server, store};
use proptest::prelude::*;
use std::collections::BTreeMap;
use yunei_engine::registry::{
    Balance, Charge, ChargeError, Charged, Digest, GrantFault, LedgerRefusal, Line, MAX_LINES, RunState, Store,
};
use yunei_policy::Lang;
use yunei_policy::words::State;

fn line(scope: &str, rho: i64, limit: i64) -> Line {
    Line { scope_key: scope.to_owned(), rho, delta: rho / 2, limit_rho: limit, limit_delta: limit }
}

async fn charge(store: &Store, run: &str, lines: &[Line]) -> Result<Charged, ChargeError> {
    store.charge(Charge { run, question: None, seed: None, lines }, 20, entry(&fresh())).await
}

fn refusal(result: Result<Charged, ChargeError>) -> LedgerRefusal {
    match result.unwrap_err() {
        ChargeError::Refused(refusal) => refusal,
        ChargeError::Store(error) => panic!("{error:?}"),
    }
}

fn code(result: Result<Charged, ChargeError>) -> &'static str {
    match result.unwrap_err() {
        ChargeError::Refused(_) => "refused",
        ChargeError::Store(error) => error.code(),
    }
}

#[test]
fn a_charge_holds_up_to_the_limit_and_not_one_past_it() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        for id in ["a", "b", "c", "d"] {
            begin(&store, id, None).await;
        }
        let charged = charge(&store, "a", &[line("s", 60, 100), line("t", 10, 100)]).await.unwrap();
        assert_eq!(charged.run(), "a");
        assert_eq!(
            charged.balances(),
            [
                Balance { scope_key: "s".into(), rho: 60, delta: 30 },
                Balance { scope_key: "t".into(), rho: 10, delta: 5 }
            ]
        );
        let before = store.outbox_pending().await.unwrap().len();
        let refused = refusal(charge(&store, "b", &[line("t", 1, 100), line("s", 41, 100)]).await);
        assert_eq!(refused, LedgerRefusal { exhausted: vec!["s".into()], grant: None });
        assert_eq!(store.spent("t").await.unwrap(), (10, 5), "not the other line either");
        assert_eq!(store.run("b").await.unwrap().state, RunState::Authorised);
        assert_eq!(store.outbox_pending().await.unwrap().len(), before);
        charge(&store, "b", &[line("s", 40, 100)]).await.unwrap();
        assert_eq!(store.spent("s").await.unwrap(), (100, 50));
        charge(&store, "c", &[line("s", 0, 100)]).await.unwrap();
        let mut delta = line("u", 0, 10);
        delta.delta = 11;
        assert_eq!(refusal(charge(&store, "d", &[delta, line("s", 1, 100)]).await).exhausted, ["u", "s"]);
        assert_eq!(store.spent("u").await.unwrap(), (0, 0));
        let all: Vec<_> = store.spent_all().await.unwrap().into_iter().map(|b| (b.scope_key, b.rho)).collect();
        assert_eq!(all, [("s".to_owned(), 100), ("t".to_owned(), 10)]);
        store.check().await.unwrap();
    });
}

#[test]
fn a_failed_run_stays_charged_and_a_run_is_charged_once() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        begin(&store, "a", None).await;
        charge(&store, "a", &[line("s", 60, 100)]).await.unwrap();
        assert_eq!(code(charge(&store, "a", &[line("s", 1, 100)]).await), "store/state");
        store.set_run_state("a", RunState::Failed, 21, entry(&fresh())).await.unwrap();
        assert_eq!(code(charge(&store, "a", &[line("s", 1, 100)]).await), "store/state");
        assert_eq!(code(charge(&store, "z", &[]).await), "store/not-found");
        assert_eq!(store.spent("s").await.unwrap(), (60, 30));
    });
}

#[test]
fn a_charge_is_there_after_the_store_was_dropped() {
    let home = tempfile::tempdir().unwrap();
    run(async {
        let store = store(&home).await;
        begin(&store, "a", None).await;
        let (question, seed) = (Digest::of(b"question"), [7; 32]);
        let lines = [line("s", 60, 100)];
        let charge = Charge { run: "a", question: Some(question), seed: Some(seed), lines: &lines };
        assert!(!format!("{charge:?}").contains("7, 7"), "the seed is not shown");
        store.charge(charge, 20, entry("charge-a")).await.unwrap();
        // No close: the runtime and its connections are dropped as they are.
    });
    run(async {
        let store = open(&home).await.unwrap();
        assert_eq!(store.spent("s").await.unwrap(), (60, 30));
        assert_eq!(store.seed("a").await.unwrap(), Some([7; 32]));
        assert_eq!(store.seed("b").await.unwrap(), None);
        let got = store.run("a").await.unwrap();
        assert_eq!((got.state, got.question), (RunState::Charged, Some(Digest::of(b"question"))));
        assert_eq!(store.unfinished_runs().await.unwrap(), [got]);
        assert!(store.outbox_pending().await.unwrap().iter().any(|p| p.id == "charge-a"));
    });
}

#[test]
fn a_copy_of_the_files_at_any_moment_shows_every_charge_that_was_confirmed() {
    if server().is_some() {
        // Its files are the server's own affair; `postgres::` kills the server instead.
        return;
    }
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        for i in 0..10 {
            let id = format!("r{i}");
            begin(&store, &id, None).await;
            charge(&store, &id, &[line("s", 1, 100)]).await.unwrap();
            // What a crash at this moment would leave: the files as they are, with the write-ahead log.
            let crashed = tempfile::tempdir().unwrap();
            for name in ["registry.db", "registry.db-wal"] {
                std::fs::copy(home.path().join(name), crashed.path().join(name)).unwrap();
            }
            let found = Store::open(&path(&crashed)).await.unwrap();
            assert_eq!(found.spent("s").await.unwrap().0, i + 1);
            found.close().await;
        }
    });
}

#[test]
fn sixty_four_at_once_never_overspend() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let one = store(&home).await;
        let other = open(&home).await.unwrap();
        grant(&one, "g", Some(40)).await.unwrap();
        for i in 0..64 {
            begin(&one, &format!("r{i}"), Some("g")).await;
        }
        let tasks: Vec<_> = (0..64)
            .map(|i| {
                let store = if i % 2 == 0 { one.clone() } else { other.clone() };
                tokio::spawn(
                    async move { charge(&store, &format!("r{i}"), &[line("s", 7, 100), line("t", 2, 1000)]).await },
                )
            })
            .collect();
        let mut held = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => held += 1,
                Err(ChargeError::Refused(refused)) => assert_eq!(refused.exhausted, ["s"]),
                Err(ChargeError::Store(error)) => panic!("{error:?}"),
            }
        }
        assert_eq!(held, 14, "14 times 7 fit into 100");
        assert_eq!(other.spent("s").await.unwrap(), (98, 42));
        assert_eq!(one.spent("t").await.unwrap(), (28, 14));
        assert_eq!(one.grant("g").await.unwrap().used_runs, 14);
        one.check().await.unwrap();
    });
}

#[test]
fn a_charge_that_is_given_up_half_way_is_whole_or_not_there() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        grant(&store, "g", None).await.unwrap();
        for i in 0..60u64 {
            begin(&store, &format!("r{i}"), Some("g")).await;
            let other = store.clone();
            let task = tokio::spawn(async move {
                charge(&other, &format!("r{i}"), &[line("s", 3, 1000), line("t", 2, 1000)]).await
            });
            // Given up sooner or later on its way.
            for _ in 0..i {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(std::time::Duration::from_micros(i * 20)).await;
            task.abort();
            let _ = task.await;
        }
        // A further writer waits for whatever is still on its way.
        begin(&store, "last", None).await;
        let charged = store.runs(100).await.unwrap().iter().filter(|r| r.state == RunState::Charged).count();
        let charged = i64::try_from(charged).unwrap();
        assert_eq!(store.spent("s").await.unwrap().0, 3 * charged);
        assert_eq!(store.spent("t").await.unwrap().0, 2 * charged);
        assert_eq!(store.grant("g").await.unwrap().used_runs, charged.unsigned_abs());
        store.check().await.unwrap();
    });
}

#[test]
fn a_grant_bears_its_runs_and_not_one_more() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        grant(&store, "g", Some(2)).await.unwrap();
        grant(&store, "none", Some(0)).await.unwrap();
        grant(&store, "free", None).await.unwrap();
        for (id, of) in [("a", "g"), ("b", "g"), ("c", "g"), ("d", "none"), ("e", "free"), ("f", "free")] {
            begin(&store, id, Some(of)).await;
        }
        charge(&store, "a", &[line("s", 1, 10)]).await.unwrap();
        assert_eq!(refusal(charge(&store, "b", &[line("s", 11, 10)]).await).grant, None);
        assert_eq!(store.grant("g").await.unwrap().used_runs, 1, "a refused charge reserves nothing");
        charge(&store, "b", &[]).await.unwrap();
        let refused = refusal(charge(&store, "c", &[line("s", 11, 10)]).await);
        assert_eq!(refused, LedgerRefusal { exhausted: vec!["s".into()], grant: Some(GrantFault::NoRunsLeft) });
        assert_eq!(refusal(charge(&store, "d", &[]).await).grant, Some(GrantFault::NoRunsLeft));
        charge(&store, "e", &[]).await.unwrap();
        store.set_grant_state("free", State::Suspended, 20, entry(&fresh())).await.unwrap();
        assert_eq!(refusal(charge(&store, "f", &[]).await).grant, Some(GrantFault::NotApproved));
        assert_eq!(store.grant("free").await.unwrap().used_runs, 1);
    });
}

#[test]
fn a_grant_holds_from_its_first_millisecond_to_before_its_last() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        grant(&store, "g", None).await.unwrap();
        for (i, (at, holds)) in [(-1, false), (0, true), (999, true), (1000, false)].into_iter().enumerate() {
            let id = format!("r{i}");
            begin(&store, &id, Some("g")).await;
            let charge = Charge { run: &id, question: None, seed: None, lines: &[] };
            let charged = store.charge(charge, at, entry(&fresh())).await;
            if holds {
                charged.unwrap();
            } else {
                assert_eq!(refusal(charged).grant, Some(GrantFault::OutsidePeriod));
            }
        }
    });
}

#[test]
fn malformed_charges_are_refused() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        begin(&store, "a", None).await;
        begin(&store, "b", None).await;
        let negative = |change: fn(&mut Line)| {
            let mut bad = line("s", 1, 10);
            change(&mut bad);
            vec![bad]
        };
        let cases = [
            negative(|l| l.rho = -1),
            negative(|l| l.delta = -1),
            negative(|l| l.limit_rho = -1),
            negative(|l| l.limit_delta = -1),
            negative(|l| l.scope_key.clear()),
            negative(|l| l.scope_key = "x".repeat(513)),
            vec![line("s", 1, 10), line("s", 1, 10)],
            (0..=MAX_LINES).map(|i| line(&format!("s{i}"), 1, 10)).collect(),
        ];
        for lines in cases {
            assert_eq!(code(charge(&store, "a", &lines).await), "store/limit");
        }
        let most: Vec<Line> =
            (1..MAX_LINES).map(|i| line(&format!("s{i}"), 1, 10)).chain([line(&"x".repeat(512), 1, 10)]).collect();
        charge(&store, "a", &most).await.unwrap();
        let full = charge(&store, "b", &[line("s1", i64::MAX, i64::MAX)]).await;
        assert_eq!(refusal(full).exhausted, ["s1"], "a sum beyond 64 bits is no sum");
    });
}

#[test]
fn refusals_have_their_words() {
    let all = [GrantFault::NotApproved, GrantFault::OutsidePeriod, GrantFault::NoRunsLeft];
    let mut told = String::new();
    for grant in all {
        let refused = LedgerRefusal { exhausted: vec!["dataset/residents/1".into()], grant: Some(grant) }.to_refused();
        for reason in refused.reasons() {
            for lang in [Lang::En, Lang::Zh] {
                let hint = reason.advice().map_or("", |h| h.get(lang));
                told += &format!(
                    "{} [{}] {} | {hint}\n",
                    reason.code(),
                    reason.place().unwrap_or("-"),
                    reason.message().get(lang)
                );
            }
        }
    }
    insta::assert_snapshot!("ledger_refusals", told);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_keeps_to_a_plain_model(
        charges in prop::collection::vec(prop::collection::btree_map("[stu]", (0i64..40, 0i64..40), 0..4), 1..25)
    ) {
        run(async {
            let home = tempfile::tempdir().unwrap();
            let store = store(&home).await;
            let mut model: BTreeMap<String, (i64, i64)> = BTreeMap::new();
            for (i, scopes) in charges.iter().enumerate() {
                let id = format!("r{i}");
                begin(&store, &id, None).await;
                let lines: Vec<Line> = scopes
                    .iter()
                    .map(|(s, (rho, delta))| Line { scope_key: s.clone(), rho: *rho, delta: *delta, limit_rho: 100, limit_delta: 90 })
                    .collect();
                let after: Vec<(String, (i64, i64))> = lines
                    .iter()
                    .map(|l| {
                        let (rho, delta) = model.get(&l.scope_key).copied().unwrap_or((0, 0));
                        (l.scope_key.clone(), (rho + l.rho, delta + l.delta))
                    })
                    .collect();
                let exhausted: Vec<String> =
                    after.iter().filter(|(_, (r, d))| *r > 100 || *d > 90).map(|(s, _)| s.clone()).collect();
                match charge(&store, &id, &lines).await {
                    Ok(_) => {
                        assert!(exhausted.is_empty());
                        model.extend(after);
                    }
                    Err(ChargeError::Refused(refused)) => assert_eq!(refused.exhausted, exhausted),
                    Err(ChargeError::Store(error)) => panic!("{error:?}"),
                }
            }
            let spent: BTreeMap<_, _> =
                store.spent_all().await.unwrap().into_iter().map(|b| (b.scope_key, (b.rho, b.delta))).collect();
            assert_eq!(spent, model);
            store.check().await.unwrap();
        });
    }
}
