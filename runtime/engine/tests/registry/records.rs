//! Institutions, datasets, models, products and grants.

use crate::tools::{dataset, entry, fresh, grant, open, run, store};
use yunei_engine::registry::{Digest, Kind, NewDataset, NewGrant, NewModel, NewProduct, StoreError, next_state};
use yunei_policy::words::{Role, State, Text};

const STATES: [State; 4] = [State::Submitted, State::Approved, State::Suspended, State::Retired];

#[test]
fn institutions_are_added_approved_and_once() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let got = store.institution("authority").await.unwrap();
        assert_eq!((got.role, got.state, got.title.zh.as_str()), (Role::Authority, State::Approved, "机构"));
        let title = Text::new("甲", "A");
        let error = store.add_institution("holder", Role::Holder, &title, 1, entry(&fresh())).await.unwrap_err();
        assert!(matches!(error, StoreError::Exists { kind: Kind::Institution, .. }));
        for (id, code) in [("", "store/limit"), (&"x".repeat(129), "store/limit"), (&"机".repeat(128), "ok")] {
            let added = store.add_institution(id, Role::Holder, &title, 1, entry(&fresh())).await;
            assert_eq!(added.map_or_else(|e| e.code(), |()| "ok"), code);
        }
    });
}

#[test]
fn every_change_of_state_is_the_one_rule() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let digest = Digest::of(b"");
        let mut number = 0;
        // Every walk of three steps over the states, from submitted.
        for walk in 0..64 {
            let steps = [walk % 4, walk / 4 % 4, walk / 16].map(|i: usize| STATES[i]);
            number += 1;
            let id = format!("m{number}");
            let new = NewModel {
                id: &id,
                version: "1",
                manifest_digest: digest,
                wasm_digest: digest,
                report: "{}",
                submitted_by: "operator",
            };
            store.submit_model(new, 1, entry(&fresh())).await.unwrap();
            let mut at = State::Submitted;
            for step in steps {
                match store.set_model_state(&id, "1", step, 2, entry(&fresh())).await {
                    Ok(from) => {
                        assert!(next_state(at, step), "{at} -> {step}");
                        assert_eq!(from, at);
                        at = step;
                    }
                    Err(error) => {
                        assert_eq!(error.code(), "store/state");
                        assert!(!next_state(at, step), "{at} -> {step}");
                    }
                }
                assert_eq!(store.model(&id, "1").await.unwrap().state, at);
            }
        }
    });
}

#[test]
fn what_is_not_there_is_said_so() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let to = State::Approved;
        let errors = [
            store.institution("x").await.unwrap_err(),
            store.dataset("x").await.unwrap_err(),
            store.dataset_version("x", u64::MAX).await.unwrap_err(),
            store.model("x", "1").await.unwrap_err(),
            store.product("x").await.unwrap_err(),
            store.grant("x").await.unwrap_err(),
            store.run("x").await.unwrap_err(),
            store.set_institution_state("x", to, 1, entry("e")).await.unwrap_err(),
            store.set_dataset_state("x", to, 1, entry("e")).await.unwrap_err(),
            store.set_model_state("x", "1", to, 1, entry("e")).await.unwrap_err(),
            store.set_product_state("x", to, 1, entry("e")).await.unwrap_err(),
            store.set_grant_state("x", to, 1, entry("e")).await.unwrap_err(),
            store.advance_epoch("x", 1, entry("e")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), "store/not-found");
            assert!(!error.is_fatal());
        }
        assert_eq!(store.datasets().await.unwrap(), []);
        assert_eq!(store.models().await.unwrap(), []);
        assert_eq!(store.grants().await.unwrap(), []);
        assert_eq!(store.dataset_versions("x").await.unwrap(), []);
    });
}

#[test]
fn versions_are_added_and_a_changed_entry_is_a_new_submission() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let register = |(spec, surveyed), by: &'static str, at| {
            let store = &store;
            async move {
                let new = NewDataset { spec: &spec, surveyed: &surveyed, submitted_by: by };
                store.register_dataset(new, at, entry(&fresh())).await
            }
        };
        let first = dataset(home.path(), "d", "one", 3);
        let files = first.1.files().to_vec();
        assert_eq!(register(first, "holder", 100).await.unwrap(), 1);
        let got = store.dataset("d").await.unwrap();
        assert_eq!((got.state, got.epoch, got.newest, got.submitted_by.as_str()), (State::Submitted, 1, 1, "holder"));
        let version = store.dataset_version("d", 1).await.unwrap();
        assert_eq!((version.files, version.rows, version.registered_at), (files, 3, 100));
        assert_eq!((version.spec_digest, version.spec_toml), (got.spec_digest, got.spec_toml));

        store.set_dataset_state("d", State::Approved, 101, entry(&fresh())).await.unwrap();
        assert_eq!(register(dataset(home.path(), "d", "one", 4), "holder", 102).await.unwrap(), 2);
        assert_eq!(store.dataset("d").await.unwrap().state, State::Approved, "new data under the same entry");
        assert_eq!(register(dataset(home.path(), "d", "two", 4), "holder", 103).await.unwrap(), 3);
        let got = store.dataset("d").await.unwrap();
        assert_eq!((got.state, got.newest), (State::Submitted, 3), "another entry");
        let versions = store.dataset_versions("d").await.unwrap();
        assert_eq!(versions.iter().map(|v| (v.number, v.rows)).collect::<Vec<_>>(), [(1, 3), (2, 4), (3, 4)]);
        assert_ne!(versions[1].spec_digest, versions[2].spec_digest);

        assert_eq!(store.advance_epoch("d", 104, entry(&fresh())).await.unwrap(), 2);
        assert_eq!(store.dataset("d").await.unwrap().epoch, 2);

        let error = register(dataset(home.path(), "d", "two", 4), "operator", 105).await.unwrap_err();
        assert_eq!(error.code(), "store/owner");
        let error = register(dataset(home.path(), "e", "two", 4), "nobody", 105).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { kind: Kind::Institution, .. }));
        let (spec, _) = dataset(home.path(), "d", "three", 4);
        let (_, other) = dataset(home.path(), "d", "two", 4);
        assert_eq!(
            register((spec, other), "holder", 105).await.unwrap_err().code(),
            "store/limit",
            "another entry's files"
        );

        for to in [State::Approved, State::Retired] {
            store.set_dataset_state("d", to, 106, entry(&fresh())).await.unwrap();
        }
        let error = register(dataset(home.path(), "d", "two", 4), "holder", 107).await.unwrap_err();
        assert_eq!(error.code(), "store/state");
        assert_eq!(store.dataset("d").await.unwrap().newest, 3);

        store.close().await;
        let again = open(&home).await.unwrap();
        assert_eq!(again.dataset_versions("d").await.unwrap(), versions);
    });
}

#[test]
fn models_and_products_are_submitted_once() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        let new = NewModel {
            id: "credit-risk",
            version: "1.2.0",
            manifest_digest: Digest::of(b"manifest"),
            wasm_digest: Digest::of(b"wasm"),
            report: r#"{"class":"stateless"}"#,
            submitted_by: "operator",
        };
        store.submit_model(new, 5, entry(&fresh())).await.unwrap();
        let got = store.model("credit-risk", "1.2.0").await.unwrap();
        assert_eq!((got.manifest_digest, got.wasm_digest), (new.manifest_digest, new.wasm_digest));
        assert_eq!(
            (got.report.as_str(), got.submitted_by.as_str(), got.state),
            (new.report, "operator", State::Submitted)
        );
        assert_eq!(store.submit_model(new, 6, entry(&fresh())).await.unwrap_err().code(), "store/exists");
        store.submit_model(NewModel { version: "1.3.0", ..new }, 6, entry(&fresh())).await.unwrap();
        assert_eq!(
            store.models().await.unwrap().iter().map(|m| m.version.as_str()).collect::<Vec<_>>(),
            ["1.2.0", "1.3.0"]
        );
        let nobody = NewModel { version: "2", submitted_by: "nobody", ..new };
        assert_eq!(store.submit_model(nobody, 6, entry(&fresh())).await.unwrap_err().code(), "store/not-found");
        let long = "x".repeat((1 << 20) + 1);
        let long = NewModel { version: "3", report: &long, ..new };
        assert_eq!(store.submit_model(long, 6, entry(&fresh())).await.unwrap_err().code(), "store/limit");

        let new = NewProduct {
            id: "q",
            toml_digest: Digest::of(b"q"),
            header: r#"{"kind":"aggregate"}"#,
            submitted_by: "operator",
        };
        store.submit_product(new, 7, entry(&fresh())).await.unwrap();
        assert_eq!(store.submit_product(new, 8, entry(&fresh())).await.unwrap_err().code(), "store/exists");
        let got = store.product("q").await.unwrap();
        assert_eq!((got.toml_digest, got.header.as_str(), got.state), (new.toml_digest, new.header, State::Submitted));
        assert_eq!(store.set_product_state("q", State::Approved, 9, entry(&fresh())).await.unwrap(), State::Submitted);
        assert_eq!(
            store.products().await.unwrap().iter().map(|p| p.state).collect::<Vec<_>>(),
            [State::Submitted, State::Approved]
        );
    });
}

#[test]
fn grants_are_given_within_limits() {
    run(async {
        let home = tempfile::tempdir().unwrap();
        let store = store(&home).await;
        grant(&store, "g", Some(3)).await.unwrap();
        let got = store.grant("g").await.unwrap();
        assert_eq!((got.max_runs, got.used_runs, got.state), (Some(3), 0, State::Approved));
        assert_eq!((got.from_millis, got.until_millis), (0, 1000));
        assert_eq!(got.purposes, ["credit-research"]);
        assert_eq!(got.agreement_digest, Some(Digest::of(b"agreement")));
        assert_eq!(grant(&store, "g", None).await.unwrap_err().code(), "store/exists");
        assert_eq!(store.grants_of("operator", "p").await.unwrap(), [got]);
        assert_eq!(store.grants_of("business", "p").await.unwrap(), []);

        let many = |n: usize| vec!["x".to_owned(); n];
        let purposes = many(1);
        let good = NewGrant {
            id: "h",
            institution: "operator",
            product: "p",
            purposes: &purposes,
            from_millis: 5,
            until_millis: 6,
            max_runs: None,
            agreement_digest: None,
        };
        let (none, hundred, more) = (many(0), many(100), many(101));
        let cases = [
            (NewGrant { institution: "nobody", ..good }, "store/not-found"),
            (NewGrant { product: "nothing", ..good }, "store/not-found"),
            (NewGrant { until_millis: 5, ..good }, "store/limit"),
            (NewGrant { purposes: &none, ..good }, "store/limit"),
            (NewGrant { purposes: &more, ..good }, "store/limit"),
            (NewGrant { max_runs: Some(u64::MAX), ..good }, "store/limit"),
            (NewGrant { purposes: &hundred, ..good }, "ok"),
        ];
        for (new, code) in cases {
            let added = store.add_grant(new, 9, entry(&fresh())).await;
            assert_eq!(added.map_or_else(|e| e.code(), |()| "ok"), code, "{new:?}");
        }
        store.set_grant_state("g", State::Suspended, 10, entry(&fresh())).await.unwrap();
        assert_eq!(
            store.grants().await.unwrap().iter().map(|g| g.state).collect::<Vec<_>>(),
            [State::Suspended, State::Approved]
        );
    });
}
