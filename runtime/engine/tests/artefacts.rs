//! Compiled models are kept in the home, and taken only as they were put there.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::World;
use yunei_engine::Domain;

const SQL: &str = "SELECT city, AVG(burden(age, income)) AS mean FROM people GROUP BY city";

fn artefacts(world: &World) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(world.folder.path().join("home/artefacts")).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// The domain as the next process opens it: this one keeps the models that it has loaded.
async fn reopened(world: World) -> World {
    let World { folder, domain } = world;
    domain.close().await;
    let domain = Domain::open(&folder.path().join("home"), common::clock()).await.unwrap();
    World { folder, domain }
}

#[tokio::test]
async fn a_model_is_compiled_once_and_again_when_its_artefact_is_damaged() {
    let world = World::new(20).await;
    let kept = artefacts(&world);
    assert_eq!(kept.len(), 1);
    let good = fs::read(&kept[0]).unwrap();
    // The first check measures the machine's pace with small models of its own; these are kept too.
    world.check(SQL).await.unwrap();
    let all = artefacts(&world);
    assert!(all.contains(&kept[0]));
    world.check(SQL).await.unwrap();
    assert_eq!(artefacts(&world), all);
    assert_eq!(fs::read(&kept[0]).unwrap(), good);

    // One bit of machine code: it must not be run.
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(&kept[0], &bad).unwrap();
    // What is loaded already is not read again.
    world.check(SQL).await.unwrap();
    assert_eq!(fs::read(&kept[0]).unwrap(), bad);
    let world = reopened(world).await;
    world.check(SQL).await.unwrap();
    assert_ne!(fs::read(&kept[0]).unwrap(), bad);

    // Nor an artefact of another home: its key is another.
    let other = World::new(20).await;
    let theirs = fs::read(&artefacts(&other)[0]).unwrap();
    assert_ne!(theirs, fs::read(&kept[0]).unwrap());
    fs::write(&kept[0], &theirs).unwrap();
    let world = reopened(world).await;
    world.check(SQL).await.unwrap();
    assert_ne!(fs::read(&kept[0]).unwrap(), theirs);

    fs::remove_dir_all(world.folder.path().join("home/artefacts")).unwrap();
    let world = reopened(world).await;
    world.check(SQL).await.unwrap();
    assert!(artefacts(&world).contains(&kept[0]));
}
