//! A run killed with SIGKILL at any step leaves a home that opens, whose log verifies, and whose budget is never less
//! spent than what was released.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use yunei_audit::Log;
use yunei_engine::Domain;

const KILLS: u32 = 24;
const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";

fn start(home: &Path, least: u32) -> Child {
    Command::new(env!("CARGO_BIN_EXE_yunei"))
        .arg("--home")
        .arg(home)
        .args(["--as", "operator", "--json", "run", "by-city", "--purpose", "research", "-p"])
        .arg(format!("least={least}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// ρ charged by each run and which runs were released, as the log tells it.
fn told(domain: &Domain) -> (HashMap<String, u64>, HashSet<String>) {
    let (mut charged, mut released) = (HashMap::new(), HashSet::new());
    for entry in domain.log().entries(0..domain.log().size()) {
        let (_, entry) = entry.unwrap();
        let run = entry.fields().get("run").and_then(|r| r.as_str()).unwrap_or_default().to_owned();
        match entry.kind() {
            "run.charged" => {
                charged.insert(run, entry.fields()["rho"].as_u64().unwrap());
            }
            "run.released" => {
                released.insert(run);
            }
            _ => {}
        }
    }
    (charged, released)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step() {
    let world = World::new(2_000).await;
    let product = World::product_text("by-city", SQL, LEAST).replace("epsilon = 5.0", "epsilon = 0.5");
    world.approve("by-city", &product, "operator", &["research"]).await;
    let World { folder, domain } = world;
    let home = folder.path().join("home");
    let key = domain.verifying_key();
    domain.close().await;

    let begun = Instant::now();
    let whole = start(&home, 0).wait_with_output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stdout));
    let whole = begun.elapsed();

    let mut answered = 1;
    for kill in 1..=KILLS {
        let mut child = start(&home, kill);
        std::thread::sleep(Duration::from_micros(whole.as_micros() as u64 * u64::from(kill) / u64::from(KILLS)));
        let _ = child.kill();
        answered += u64::from(child.wait().unwrap().success());

        let domain = Domain::open(&home, common::clock()).await.unwrap();
        let (charged, released) = told(&domain);
        let needed: u64 = released.iter().map(|run| charged[run]).sum();
        let budgets = domain.budgets("authority").await.unwrap();
        let spent = budgets.iter().find(|b| b.kind == "dataset" && b.scope.contains("people")).unwrap().spent_rho;
        assert!(spent >= needed as f64 * 1e-12 * (1.0 - 1e-9), "kill {kill}: {spent} spent, {needed} released");
        assert!(released.len() as u64 >= answered, "kill {kill}: an answer that the log does not know");
        domain.close().await;
        Log::verify(&home.join("log"), &key, &mut |_, _| {}).unwrap();
    }
}
