//! Runs and releases.

use crate::tools::{begin, entry, fresh, grant, new_run, open, run, store};
use yunei_engine::registry::{Charge, Digest, Kind, NewRelease, NewRun, RunState, Store, StoreError};

async fn charge(store: &Store, run: &str) {
    let charge = Charge { run, question: None, seed: None, lines: &[] };
    store.charge(charge, 11, entry(&fresh())).await.unwrap();
}

async fn state(store: &Store, run: &str) -> RunState {
    store.run(run).await.unwrap().state
}

#[test]
fn a_run_goes_its_way_and_is_kept() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        grant(&store, "g", None).await.unwrap();
        let question = Digest::of(b"question");
        store
            .begin_run(NewRun { question: Some(question), ..new_run("r", Some("g")) }, 10, entry(&fresh()))
            .await
            .unwrap();
        let got = store.run("r").await.unwrap();
        assert_eq!((got.state, got.at, got.question), (RunState::Authorised, 10, Some(question)));
        assert_eq!((got.grant.as_deref(), got.purpose.as_str()), (Some("g"), "credit-research"));
        charge(&store, "r").await;
        store.set_run_state("r", RunState::Executed, 12, entry(&fresh())).await.unwrap();
        assert_eq!(store.release(&question).await.unwrap(), None);
        let new = NewRelease { run: "r", question, file_digest: Digest::of(b"file"), release: r#"{"rows":3}"# };
        store.record_release(new, 13, entry(&fresh())).await.unwrap();
        let got = store.release(&question).await.unwrap().unwrap();
        assert_eq!((got.run.as_str(), got.file_digest, got.release.as_str()), ("r", new.file_digest, new.release));
        assert_eq!((got.receipt.as_deref(), got.at), (None, 13));
        store.record_receipt("r", "receipt").await.unwrap();
        store.record_receipt("r", "receipt").await.unwrap();
        assert_eq!(store.record_receipt("r", "another").await.unwrap_err().code(), "store/exists");
        assert_eq!(store.record_receipt("s", "receipt").await.unwrap_err().code(), "store/not-found");
        let got = store.release_of("r").await.unwrap().unwrap();
        assert_eq!(got.receipt.as_deref(), Some("receipt"));
        assert_eq!(store.release_of("s").await.unwrap(), None);
        let got = store.run("r").await.unwrap();
        assert_eq!((got.state, got.at, got.changed_at), (RunState::Released, 10, 13));

        store.close().await;
        let again = open(&home).await.unwrap();
        assert_eq!(again.run("r").await.unwrap(), got);
        assert_eq!(again.unfinished_runs().await.unwrap(), []);
    });
}

#[test]
fn a_step_out_of_turn_is_refused_and_changes_nothing() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        begin(&store, "r", None).await;
        let release = |question: &'static [u8]| NewRelease {
            run: "r",
            question: Digest::of(question),
            file_digest: Digest::of(b""),
            release: "{}",
        };
        assert_eq!(
            store.set_run_state("r", RunState::Executed, 12, entry(&fresh())).await.unwrap_err().code(),
            "store/state"
        );
        assert_eq!(store.record_release(release(b"q"), 12, entry(&fresh())).await.unwrap_err().code(), "store/state");
        assert_eq!(store.release_of("r").await.unwrap(), None);
        for to in [RunState::Authorised, RunState::Charged, RunState::Released] {
            assert_eq!(store.set_run_state("r", to, 12, entry(&fresh())).await.unwrap_err().code(), "store/limit");
        }
        assert_eq!(state(&store, "r").await, RunState::Authorised);
        charge(&store, "r").await;
        assert_eq!(
            store.set_run_state("r", RunState::Refused, 12, entry(&fresh())).await.unwrap_err().code(),
            "store/state"
        );
        store.set_run_state("r", RunState::Failed, 12, entry(&fresh())).await.unwrap();
        assert_eq!(
            store.set_run_state("r", RunState::Failed, 12, entry(&fresh())).await.unwrap_err().code(),
            "store/state"
        );
    });
}

#[test]
fn a_question_is_answered_once() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let question = Digest::of(b"question");
        for id in ["r", "s"] {
            begin(&store, id, None).await;
            charge(&store, id).await;
            store.set_run_state(id, RunState::Executed, 12, entry(&fresh())).await.unwrap();
        }
        let new = |run| NewRelease { run, question, file_digest: Digest::of(b""), release: "{}" };
        store.record_release(new("r"), 13, entry(&fresh())).await.unwrap();
        let error = store.record_release(new("s"), 13, entry(&fresh())).await.unwrap_err();
        assert!(matches!(error, StoreError::Exists { kind: Kind::Release, .. }));
        assert_eq!(state(&store, "s").await, RunState::Executed);
        assert_eq!(store.release(&question).await.unwrap().unwrap().run, "r");
    });
}

#[test]
fn runs_are_begun_once_and_under_their_own_grant() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        grant(&store, "g", None).await.unwrap();
        begin(&store, "r", Some("g")).await;
        let cases = [
            (new_run("r", None), "store/exists"),
            (new_run("s", Some("h")), "store/not-found"),
            (NewRun { institution: "business", ..new_run("s", Some("g")) }, "store/owner"),
            (NewRun { institution: "nobody", ..new_run("s", None) }, "store/not-found"),
            (new_run("", None), "store/limit"),
            (NewRun { purpose: "", ..new_run("s", None) }, "store/limit"),
        ];
        for (new, code) in cases {
            assert_eq!(store.begin_run(new, 10, entry(&fresh())).await.unwrap_err().code(), code, "{new:?}");
        }
        store.refused_run(NewRun { product: "no such", ..new_run("s", None) }, 10, entry(&fresh())).await.unwrap();
        assert_eq!(state(&store, "s").await, RunState::Refused);
        begin(&store, "t", None).await;
        let ids = |runs: Vec<yunei_engine::registry::Run>| runs.into_iter().map(|r| r.id).collect::<Vec<_>>();
        assert_eq!(ids(store.runs(2).await.unwrap()), ["t", "s"]);
        assert_eq!(ids(store.unfinished_runs().await.unwrap()), ["r", "t"]);
    });
}
