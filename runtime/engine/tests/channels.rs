//! What leaves besides results: failures, times, files, log entries, texts.

#![allow(clippy::unwrap_used)]

mod common;
mod firms;

use common::World;
use firms::{ask, ordinary, texts, world};

const SQL: &str = "SELECT city, COUNT(*) AS n FROM people GROUP BY city";

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn spilled_files_are_the_owners_alone_and_do_not_stay() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(60).await;
    let tmp = world.folder.path().join("home/tmp");
    assert_eq!(std::fs::metadata(&tmp).unwrap().permissions().mode() & 0o777, 0o700);
    world.approve("p", &World::product_text("p", SQL, ""), "operator", &["research"]).await;
    world.run("p", &[], "research").await.unwrap();
    let files = |at: &std::path::Path| -> usize {
        let mut found = 0;
        let mut folders = vec![at.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { found += 1 }
            }
        }
        found
    };
    assert_eq!(files(&tmp), 0);
    // What a killed process left is gone when the home is opened.
    std::fs::write(tmp.join("left-behind"), b"rows").unwrap();
    let home = world.folder.path().join("home");
    world.domain.close().await;
    let domain = yunei_engine::Domain::open(&home, common::clock()).await.unwrap();
    assert_eq!(files(&tmp), 0);
    assert_eq!(std::fs::metadata(&tmp).unwrap().permissions().mode() & 0o777, 0o700);
    domain.close().await;
}

/// The log says the same of a run over sixty people and over one: digests and times differ, nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_no_number_that_depends_on_the_data() {
    let mut told = Vec::new();
    for people in [60, 1] {
        let world = World::new(people).await;
        world.approve("p", &World::product_text("p", SQL, ""), "operator", &["research"]).await;
        let before = world.domain.log().size();
        world.run("p", &[], "research").await.unwrap();
        let mut entries = Vec::new();
        for found in world.domain.log().entries(before..world.domain.log().size()) {
            let (_, entry) = found.unwrap();
            let numbers: Vec<String> =
                entry.fields().iter().filter(|(_, v)| v.is_number()).map(|(k, v)| format!("{k}={v}")).collect();
            entries.push((entry.kind().to_owned(), entry.fields().keys().cloned().collect::<Vec<_>>(), numbers));
        }
        told.push(entries);
    }
    assert_eq!(told[0], told[1]);
}

/// A run that is given up half way frees what it held: the domain goes on, and nothing of it is left on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_given_up_frees() {
    let world = World::new(300).await;
    for i in 0..6u64 {
        let id = format!("p{i}");
        let text = World::product_text(&id, &format!("{SQL} -- {i}"), "");
        world.approve(&id, &text, "operator", &["research"]).await;
        let run = world.run(&id, &[], "research");
        let _ = tokio::time::timeout(std::time::Duration::from_millis(i * 7), run).await;
    }
    world.approve("after", &World::product_text("after", SQL, ""), "operator", &["research"]).await;
    assert!(world.run("after", &[], "research").await.is_ok());
    let home = world.folder.path().join("home");
    world.domain.close().await;
    // What was given up is closed as failed, and stays charged.
    let domain = yunei_engine::Domain::open(&home, common::clock()).await.unwrap();
    domain.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_is_told_what_time_can_tell() {
    let world = World::new(30).await;
    let path = world.file("p.toml", &World::product_text("p", SQL, ""));
    let timing = world.domain.check_product(&path).await.unwrap().timing.unwrap();
    assert_eq!(timing.quantum_millis, 20);
    assert!(timing.unit_micros >= 20 && timing.shift > 0.0 && timing.shift <= 1.0, "{timing:?}");
    assert!((timing.shift - (timing.unit_micros as f64 / 20_000.0).min(1.0)).abs() < 1e-3, "{timing:?}");
    // Four rows of a unit take four times as long.
    let path = world.file("q.toml", &World::product_text("q", "SELECT COUNT(*) AS n FROM meters", ""));
    let more = world.domain.check_product(&path).await.unwrap().timing.unwrap();
    assert!(more.unit_micros > timing.unit_micros);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_with_numbers_of_persons_are_refused() {
    let world = World::new(30).await;
    for text in [
        World::product_text("p", "SELECT COUNT(*) FROM people WHERE city = '11010519491231002X'", ""),
        World::product_text("p", "SELECT COUNT(*) FROM people -- 138 1234 5678", ""),
        World::product_text("p", SQL, "").replace("en = \"t\"", "en = \"call 13812345678\""),
    ] {
        let path = world.file("p.toml", &text);
        let error = world.domain.check_product(&path).await.unwrap_err();
        assert_eq!(error.reasons().first().unwrap().code(), "text/personal-number");
        assert!(!error.to_string().contains("1234"), "{error}");
        assert!(world.domain.submit_product("operator", &path).await.is_err());
    }
    let manifest = "[model]\nid = \"list\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"list.wat\"\n[[feature]]\nname = \"age\"\n\
        type = \"f64\"\n[output]\nmin = 0.0\nmax = 1.0\ndefault = 0.0\n";
    for segment in ["13812345678", "1\\003\\008\\001\\002\\003\\004\\005\\006\\007\\008\\00", "11010519491231002x"] {
        let wat = format!(
            "(module (memory 1) (data (i32.const 0) \"{segment}\") (func (export \"score\") (param f64) (result f64) (local.get 0)))"
        );
        world.file("list.wat", &wat);
        let path = world.file("list.toml", manifest);
        let error = world.domain.submit_model("operator", &path).await.unwrap_err();
        assert_eq!(error.reasons().first().unwrap().code(), "text/personal-number", "{segment}");
    }
}

/// A group key over the threshold that is a telephone number stays all the same.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_numbers_of_persons_stay() {
    let mut firms = ordinary(120);
    firms.iter_mut().take(40).for_each(|f| f.3 = "热线 138-1234-5678".to_owned());
    let world = world(&firms).await;
    let batch = ask(&world, "brands", "SELECT brand, COUNT(*) AS n FROM firms GROUP BY brand").await;
    let brands = texts(&batch, "brand");
    assert!(brands.iter().flatten().all(|b| b.starts_with('牌')), "{brands:?}");
    assert!(brands.iter().any(Option::is_none));
}
