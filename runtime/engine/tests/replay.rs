//! Replay: recorded runs done again, digest for digest; and whatever was changed since, named.

#![allow(clippy::unwrap_used)]

mod common;
mod firms;

use common::World;
use std::fs;
use std::path::{Path, PathBuf};
use yunei_engine::registry::Subject;
use yunei_engine::replay::{Finding, Step};
use yunei_engine::{Domain, ReplayOptions, ReplayReport, Tuning};

const BY_CITY: &str = "SELECT city, COUNT(*) AS people, AVG(burden(age, income)) AS mean, SUM(income) AS total
  FROM people WHERE age >= $least GROUP BY city ORDER BY people DESC";
const BY_BAND: &str = "SELECT CASE WHEN burden(p.age, p.income) < 0.4 THEN 'low' ELSE 'high' END AS band,
  COUNT(*) AS readings, COUNT(DISTINCT p.id) AS people, SUM(m.kwh) AS kwh
  FROM people p JOIN meters m ON p.id = m.id WHERE p.age >= $least GROUP BY 1";
const QUARTERS: &str =
    "SELECT quarter, COUNT(*) AS n, STDDEV(kwh) AS spread FROM meters WHERE quarter >= $least GROUP BY quarter";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";

fn text(id: &str, sql: &str, privacy: &str) -> String {
    World::product_text(id, sql, &format!("{privacy}{LEAST}")).replace("epsilon = 5.0", "epsilon = 0.1")
}

async fn world(people: usize) -> World {
    let world = World::new(people).await;
    for (id, sql, privacy) in [
        ("by-city", BY_CITY, ""),
        ("by-band", BY_BAND, ""),
        // Two of four groups of a unit are kept, by the seed.
        ("quarters", QUARTERS, "max_groups = 2\nmax_rows = 1\n"),
    ] {
        world.approve(id, &text(id, sql, privacy), "operator", &["research"]).await;
    }
    world
}

async fn one_run() -> (World, String) {
    let world = world(300).await;
    let run = world.run("by-city", &[("least", "20")], "research").await.unwrap().run;
    (world, run)
}

async fn replay(domain: &Domain, run: &str) -> ReplayReport {
    domain.replay("authority", run, ReplayOptions::default(), |_, _| {}).await.unwrap()
}

fn home(world: &World) -> PathBuf {
    world.folder.path().join("home")
}

/// The same world with its domain opened again after `change` was done to the folder.
async fn reopened(world: World, change: impl AsyncFnOnce(&Path)) -> World {
    let World { folder, domain } = world;
    domain.close().await;
    change(folder.path()).await;
    let domain = Domain::open(&folder.path().join("home"), common::clock()).await.unwrap();
    World { folder, domain }
}

async fn sql(folder: &Path, statement: &'static str) {
    use sqlx::ConnectOptions;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("home/store.sqlite"));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

async fn spent(domain: &Domain) -> Vec<(String, u64)> {
    let budgets = domain.budgets("authority").await.unwrap();
    budgets.iter().map(|b| (b.scope.clone(), b.spent_rho.to_bits())).collect()
}

fn kinds(domain: &Domain, from: u64) -> Vec<String> {
    domain.log().entries(from..domain.log().size()).map(|item| item.unwrap().1.kind().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_runs_come_out_the_same_whatever_the_threads_and_batches() {
    let mut world = world(500).await;
    let mut runs = Vec::new();
    for n in 0..200_u32 {
        let product = ["by-city", "by-band", "quarters"][n as usize % 3];
        let least = if product == "quarters" { n % 4 + 1 } else { n / 3 };
        let answer = world.run(product, &[("least", &least.to_string())], "research").await.unwrap();
        runs.push(answer.run);
    }
    runs.dedup();
    for (tuning, every) in [
        (Tuning { partitions: 1, batch_rows: 8_192 }, 1),
        (Tuning { partitions: 7, batch_rows: 13 }, 4),
        (Tuning { partitions: 2, batch_rows: 100_000 }, 5),
    ] {
        world.domain = world.domain.tuned(tuning);
        for run in runs.iter().step_by(every) {
            let report = replay(&world.domain, run).await;
            assert!(report.identical, "{tuning:?}: {:#?}", report.differences().collect::<Vec<_>>());
            for step in [Step::Receipt, Step::Rules, Step::Files, Step::Plan, Step::Seed, Step::Sums, Step::Release] {
                assert!(report.comparisons.iter().any(|c| c.step == step), "{step:?} was not compared");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_logged_charges_nothing_and_is_for_the_authority() {
    let (world, run) = one_run().await;
    let (before, grants) = (spent(&world.domain).await, world.domain.grants().await.unwrap());
    let size = world.domain.log().size();
    let report = replay(&world.domain, &run).await;
    assert!(report.identical, "{report:#?}");
    assert_eq!(spent(&world.domain).await, before);
    let used = |grants: &[yunei_engine::domain::GrantView]| grants.iter().map(|g| g.used_runs).collect::<Vec<_>>();
    assert_eq!(used(&world.domain.grants().await.unwrap()), used(&grants));
    let logged = kinds(&world.domain, size);
    assert_eq!(logged, ["replay.authorised", "replay.opened", "replay.executed", "replay.verdict"]);
    assert_eq!(report.log_index, world.domain.log().size() - 1);
    assert_eq!(world.domain.replayable("authority").await.unwrap().as_slice(), std::slice::from_ref(&run));
    // Nothing of the result, and nothing that was computed from data, is in the report.
    for comparison in report.comparisons.iter().filter(|c| c.step >= Step::Sums) {
        assert!(comparison.found.is_none() && comparison.recorded.is_none(), "{comparison:?}");
    }
    for actor in ["operator", "holder", "business"] {
        let error = world.domain.replay(actor, &run, ReplayOptions::default(), |_, _| {}).await.unwrap_err();
        assert_eq!(error.reasons()[0].code(), "authorise/role", "{actor}");
    }
    // Of a repeated run, the first is replayed; of nothing, nothing.
    let again = world.run("by-city", &[("least", "20")], "research").await.unwrap();
    assert!(again.repeated);
    let repeated = world
        .domain
        .audit_list(
            "authority",
            &yunei_engine::domain::AuditQuery {
                outcome: Some(yunei_engine::domain::Outcome::Repeated),
                ..Default::default()
            },
            1,
            None,
        )
        .await
        .unwrap();
    let second = repeated.entries[0].fields["run"].as_str().unwrap().to_owned();
    assert_ne!(second, run);
    assert_eq!(replay(&world.domain, &second).await.run, run);
    let error = world.domain.replay("authority", "run-nothing", ReplayOptions::default(), |_, _| {}).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_of_a_dataset_is_named() {
    let (world, run) = one_run().await;
    let path = world.folder.path().join("people.parquet");
    let (mut bytes, times) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    // Size and time as they were: only the digest tells.
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    let size = world.domain.log().size();
    let report = replay(&world.domain, &run).await;
    assert!(!report.identical);
    let differing: Vec<_> = report.differences().collect();
    assert_eq!(differing.len(), 1);
    assert_eq!((differing[0].step, differing[0].what.as_str()), (Step::Files, "people@1 file 1 of 1"));
    assert_ne!(differing[0].recorded, differing[0].found);
    assert_eq!(kinds(&world.domain, size), ["replay.authorised", "replay.verdict"], "nothing was executed");
    let sums = report.comparisons.iter().find(|c| c.step == Step::Sums).unwrap();
    assert_eq!(sums.finding, Finding::NotReached);
    fs::remove_file(&path).unwrap();
    assert_eq!(replay(&world.domain, &run).await.first_difference().unwrap().found, None);
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(replay(&world.domain, &run).await.identical, "the same bytes at another time are the same version");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_number_of_the_policy_is_named() {
    let (world, run) = one_run().await;
    let world = reopened(world, async |folder| {
        let path = folder.join("home/policy/rules.toml");
        let rules = fs::read_to_string(&path).unwrap();
        assert!(rules.contains("max_cells = 20000"));
        fs::write(&path, rules.replace("max_cells = 20000", "max_cells = 20001")).unwrap();
    })
    .await;
    let report = replay(&world.domain, &run).await;
    let difference = report.first_difference().unwrap();
    assert_eq!((difference.step, report.identical), (Step::Rules, false));
    assert_eq!(difference.note.as_ref().unwrap().en, "personal.max_cells: 20000 → 20001");
    // The rules of that day are kept: under them the run is the same.
    let options = ReplayOptions { recorded_policy: true };
    let report = world.domain.replay("authority", &run, options, |_, _| {}).await.unwrap();
    assert!(report.identical, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_module_is_named_wherever_it_was_put() {
    let (world, run) = one_run().await;
    let report = replay(&world.domain, &run).await;
    let module = report.comparisons.iter().find(|c| c.step == Step::Module).unwrap().recorded.clone().unwrap();
    // In the place of the kept file.
    let kept = home(&world).join("files/sha256").join(&module[..2]).join(&module);
    let (good, other) = (fs::read(&kept).unwrap(), b"\0asm\x01\0\0\0");
    fs::write(&kept, other).unwrap();
    let report = replay(&world.domain, &run).await;
    let difference = report.first_difference().unwrap();
    assert_eq!((difference.step, difference.what.as_str()), (Step::Module, "burden@1.0.0"));
    assert_eq!(difference.recorded.as_ref(), Some(&module));
    assert!(difference.found.as_ref().is_some_and(|found| *found != module));
    fs::write(&kept, good).unwrap();
    // In the registry: another approved module under the same name and version.
    let manifest = "[model]\nid = \"other\"\nversion = \"1.0.0\"\nkind = \"row\"\nfile = \"other.wat\"\n[[feature]]\nname = \"age\"\ntype = \"f64\"\n\
        [[feature]]\nname = \"income\"\ntype = \"f64\"\n[output]\nmin = 0.0\nmax = 1.0\nstep = 0.001\ndefault = 0.5\n";
    let wat = "(module (func (export \"score\") (param f64 f64) (result f64) (f64.const 0.25)))";
    world.model(manifest, "other.wat", wat).await;
    let world = reopened(world, async |folder| {
        sql(
            folder,
            "UPDATE models SET wasm_digest = (SELECT wasm_digest FROM models WHERE id = 'other') WHERE id = 'burden'",
        )
        .await;
    })
    .await;
    let report = replay(&world.domain, &run).await;
    let difference = report.first_difference().unwrap();
    assert_eq!((difference.step, difference.recorded.as_ref()), (Step::Module, Some(&module)));
    assert_eq!(world.domain.model("other@1.0.0").await.unwrap().module, *difference.found.as_ref().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_seed_receipt_product_or_kept_release_is_named() {
    let (world, run) = one_run().await;
    let world = reopened(world, async |folder| {
        sql(folder, "DROP TRIGGER seeds_are_immutable; UPDATE seeds SET seed = zeroblob(32)").await;
    })
    .await;
    assert_eq!(replay(&world.domain, &run).await.first_difference().unwrap().step, Step::Seed);

    let (world, run) = one_run().await;
    let world = reopened(world, async |folder| {
        sql(
            folder,
            "UPDATE releases SET receipt = replace(receipt, '\"outcome\":\"released\"', '\"outcome\":\"refused\"')",
        )
        .await;
    })
    .await;
    assert_eq!(replay(&world.domain, &run).await.first_difference().unwrap().step, Step::Receipt);

    let (world, run) = one_run().await;
    let report = replay(&world.domain, &run).await;
    let digest = report.comparisons.iter().find(|c| c.step == Step::Product).unwrap().recorded.clone().unwrap();
    let path = home(&world).join("files/sha256").join(&digest[..2]).join(&digest);
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("epsilon = 0.1", "epsilon = 0.2")).unwrap();
    // Authorising needs the product as it is registered; the damage shows there already, or in the comparison.
    match world.domain.replay("authority", &run, ReplayOptions::default(), |_, _| {}).await {
        Ok(report) => assert_eq!(report.first_difference().unwrap().step, Step::Product),
        Err(error) => assert_eq!(error.reasons()[0].code(), "store/damaged"),
    }
    fs::write(&path, manifest).unwrap();
    let released = world
        .domain
        .audit_list(
            "authority",
            &yunei_engine::domain::AuditQuery {
                outcome: Some(yunei_engine::domain::Outcome::Released),
                ..Default::default()
            },
            1,
            None,
        )
        .await
        .unwrap();
    let digest = released.entries[0].fields["released"].as_str().unwrap().to_owned();
    fs::write(home(&world).join("files/sha256").join(&digest[..2]).join(&digest), b"other").unwrap();
    let report = replay(&world.domain, &run).await;
    assert_eq!(report.differences().map(|c| c.step).collect::<Vec<_>>(), [Step::Kept]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_suspended_or_registered_anew_is_replayed_as_it_was() {
    let (world, run) = one_run().await;
    // A new version of the data, and everything suspended: the record names the old ones.
    let path = world.folder.path().join("people.toml");
    let entry = fs::read_to_string(&path).unwrap().replace("people.parquet", "people2.parquet");
    fs::copy(world.folder.path().join("people.parquet"), world.folder.path().join("people2.parquet")).unwrap();
    let path = world.file("people-next.toml", &entry);
    world.domain.register_dataset("holder", &path, |_, _| {}).await.unwrap();
    for subject in [Subject::Product("by-city".into()), Subject::Model { id: "burden".into(), version: "1.0.0".into() }]
    {
        world.domain.suspend("authority", &subject, "复核期间").await.unwrap();
    }
    assert!(replay(&world.domain, &run).await.identical);
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_data_is_replayed_by_the_audit_administrator_alone() {
    let (world, run) = one_run().await;
    world.domain.withdraw("holder", &Subject::Dataset("people".into()), "期满撤回").await.unwrap();
    // Nobody runs on it any more.
    let refused = world.run("by-city", &[("least", "41")], "research").await.unwrap_err();
    assert!(refused.reasons().iter().any(|reason| reason.code() == "authorise/dataset-state"), "{refused:?}");
    let size = world.domain.log().size();
    assert!(replay(&world.domain, &run).await.identical);
    assert_eq!(kinds(&world.domain, size).last().unwrap(), "replay.verdict", "it is on record");
    let refused = world.domain.replay("holder", &run, ReplayOptions::default(), |_, _| {}).await.unwrap_err();
    assert_eq!(refused.reasons()[0].code(), "authorise/role");
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_under_disclosure_control_are_replayed_beside_those_of_their_day() {
    let mut all = firms::ordinary(240);
    all[17].4 = 19_999;
    all[0].5 = 400_000_000;
    let mut world = firms::world(&all).await;
    for (id, sql) in [
        ("towns", "SELECT town, trade, COUNT(*) AS n, SUM(tax) AS tax FROM firms GROUP BY town, trade"),
        ("total", "SELECT COUNT(*) AS n, SUM(staff) AS staff FROM firms"),
        // By one firm less: withheld because of the one before, and that one not because of this.
        ("less", "SELECT COUNT(*) AS n FROM firms WHERE staff < 19999"),
        ("trades", "SELECT trade, AVG(staff) AS staff, COUNT(*) AS n FROM firms GROUP BY trade"),
    ] {
        firms::ask(&world, id, sql).await;
    }
    let runs = world.domain.replayable("authority").await.unwrap();
    assert_eq!(runs.len(), 4);
    for tuning in [Tuning::default(), Tuning { partitions: 1, batch_rows: 7 }, Tuning { partitions: 5, batch_rows: 50 }]
    {
        world.domain = world.domain.tuned(tuning);
        for run in &runs {
            let report = replay(&world.domain, run).await;
            assert!(report.identical, "{tuning:?}: {:#?}", report.differences().collect::<Vec<_>>());
        }
    }
    // The history is what it was: a further difference is still withheld.
    let batch = firms::ask(&world, "later", "SELECT SUM(staff) AS staff FROM firms WHERE staff < 19999").await;
    assert_eq!(firms::numbers(&batch, "staff"), [None]);
}
