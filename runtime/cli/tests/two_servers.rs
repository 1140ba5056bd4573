//! Two servers on one store in PostgreSQL and one log: one serves, the other stands by; the first is killed with SIGKILL and
//! the other takes over. No budget is spent twice, and there is one log. Runs where `YUNEI_TEST_POSTGRES` names a server.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use yunei_audit::{Archive, Log, Trust};
use yunei_engine::Domain;
use yunei_policy::Text;
use yunei_policy::words::Role;

const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";
const CHECK: &str = "[product]\nid = \"lives-in\"\nkind = \"verification\"\ntitle = { zh = \"住\", en = \"l\" }\n\
    purposes = [\"loan\"]\ndatasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"age\"]\nclaim = { equals = \"city\" }\n\
    consent = \"not-required\"\nlegal_basis = \"测试\"\n";

fn yunei(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yunei"));
    command.current_dir(folder).args(["--lang", "en", "--json"]);
    for name in ["YUNEI_HOME", "YUNEI_SERVER", "YUNEI_TOKEN", "YUNEI_PROFILE", "YUNEI_CA", "YUNEI_STORE"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", folder.join("no-config"));
    command
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// A server process, the lines that it tells, and where it listens.
struct Desk {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Desk {
    fn start(folder: &Path, word: &str) -> Self {
        let mut process = yunei(folder)
            .args(["--home", "home", "serve", "--standby", "--listen", "127.0.0.1:0", "--data", "."])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut desk = Self { process, lines, url: String::new() };
        let line = desk.until(word);
        // The object is written over several lines.
        desk.url = format!("http://{}", line.split('"').nth(3).unwrap());
        desk
    }

    fn until(&mut self, word: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(word)).unwrap()
    }
}

/// Ends the askers however the test goes on.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
fn needs_server() -> bool {
    let there = std::env::var("YUNEI_TEST_POSTGRES").is_ok();
    if !there {
        eprintln!("SKIPPED: YUNEI_TEST_POSTGRES names no server");
    }
    there
}

/// What the log says: ρ of each charged run, the released runs, the answered verifications; each once.
fn told(home: &Path, key: &yunei_audit::VerifyingKey) -> (HashMap<String, u64>, HashSet<String>, HashSet<String>) {
    Log::verify(&home.join("log"), key, &mut |_, _| {}).unwrap();
    let archive = Archive::open(&home.join("log"), &Trust::new(key.clone())).unwrap();
    let (mut charged, mut released, mut answered) = (HashMap::new(), HashSet::new(), HashSet::new());
    for item in archive.entries(0..archive.size()) {
        let (_, entry) = item.unwrap();
        let run = entry.fields().get("run").and_then(|r| r.as_str()).unwrap_or_default().to_owned();
        match entry.kind() {
            "run.charged" => {
                assert!(charged.insert(run, entry.fields()["rho"].as_u64().unwrap()).is_none(), "charged twice");
            }
            "run.released" => assert!(released.insert(run), "released twice"),
            "verification.answered" => assert!(answered.insert(run), "answered twice"),
            _ => {}
        }
    }
    (charged, released, answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed_and_the_other_takes_over() {
    if !needs_server() {
        return;
    }
    let world = World::new(2_000).await;
    let product = World::product_text("by-city", SQL, LEAST).replace("epsilon = 5.0", "epsilon = 0.5");
    world.approve("by-city", &product, "operator", &["research"]).await;
    world.approve("lives-in", CHECK, "business", &["loan"]).await;
    let World { folder, domain } = world;
    let (home, key) = (folder.path().join("home"), domain.verifying_key());
    domain.close().await;
    let folder = folder.path();
    let token = |institution: &str| {
        let issue = ["--home", "home", "token", "issue", "--institution", institution, "--days", "1"];
        document(&yunei(folder).args(issue).output().unwrap())["token"].as_str().unwrap().to_owned()
    };
    let (operator, business) = (token("operator"), token("business"));

    let mut first = Desk::start(folder, "listening");
    let mut second = Desk::start(folder, "standing_by");
    let ask = |url: &str, token: &str, arguments: &[&str]| {
        yunei(folder).env("YUNEI_TOKEN", token).args(["--server", url]).args(arguments).output().unwrap()
    };
    let away = ask(&second.url, &operator, &["grant", "list"]);
    assert_eq!((away.status.code(), document(&away)["refused"][0]["code"].as_str()), (Some(5), Some("server/standby")));

    // Two ask for runs and two for verifications, each at one server and then at the other, until the run's budget is spent.
    let (urls, stop) = ([first.url.clone(), second.url.clone()], AtomicBool::new(false));
    let (runs, checks, next) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let (runs_there, checks_there) = (std::sync::Mutex::new(HashSet::new()), std::sync::Mutex::new(HashSet::new()));
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        for asker in 0..4_u32 {
            let (urls, stop, next) = (&urls, &stop, &next);
            let (runs, checks, runs_there, checks_there) = (&runs, &checks, &runs_there, &checks_there);
            let (operator, business, ask) = (&operator, &business, &ask);
            scope.spawn(move || {
                for turn in 0_usize.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (url, n) = (&urls[turn % 2], next.fetch_add(1, Ordering::SeqCst));
                    if asker % 2 == 0 {
                        let least = format!("least={}", n % 1_000);
                        let run = ["run", "by-city", "--purpose", "research", "-p", &least];
                        let answer = document(&ask(url, operator, &run));
                        if answer["refused"][0]["code"] == "budget/exhausted" {
                            stop.store(true, Ordering::SeqCst);
                        } else if let Some(run) = answer["run"].as_str() {
                            runs_there.lock().unwrap().insert(run.to_owned());
                            runs.fetch_add(1, Ordering::SeqCst);
                        }
                    } else if checks.load(Ordering::SeqCst) > 3 * runs.load(Ordering::SeqCst) + 6 {
                        // Many more of them would look like enumeration, which stops the business.
                        std::thread::sleep(Duration::from_millis(20));
                    } else {
                        let who = n as usize * 797 % 2_000;
                        let (city, age, _) = common::person(who);
                        let (id, age) = (format!("id=P{who:07}"), format!("age={age}"));
                        let check = ["verify", "lives-in", "-i", &id, "-i", &age, "--claim", city, "--purpose", "loan"];
                        let answer = document(&ask(url, business, &check));
                        if let Some(run) = answer["verification"].as_str() {
                            assert_eq!(answer["answer"], "match");
                            checks_there.lock().unwrap().insert(run.to_owned());
                            checks.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
        while runs.load(Ordering::SeqCst) < 4 || checks.load(Ordering::SeqCst) < 4 {
            std::thread::sleep(Duration::from_millis(20));
        }
        first.process.kill().unwrap();
        first.process.wait().unwrap();
        while ask(&second.url, &operator, &["grant", "list"]).status.code() != Some(0) {
            assert!(second.process.try_wait().unwrap().is_none(), "the second ended");
        }
        let (runs_before, checks_before) = (runs.load(Ordering::SeqCst), checks.load(Ordering::SeqCst));
        while !stop.load(Ordering::SeqCst)
            && (runs.load(Ordering::SeqCst) < runs_before + 4 || checks.load(Ordering::SeqCst) < checks_before + 4)
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::SeqCst);
        assert!(checks.load(Ordering::SeqCst) > checks_before, "the second answers");
    });
    let ended = Command::new("kill").arg("-TERM").arg(second.process.id().to_string()).status().unwrap();
    assert!(ended.success() && second.process.wait().unwrap().success());

    let (charged, released, answered) = told(&home, &key);
    assert!(runs_there.lock().unwrap().is_subset(&released), "a run was given out that the log does not know");
    assert!(checks_there.lock().unwrap().is_subset(&answered), "an answer was given that the log does not know");
    assert!(released.iter().all(|run| charged.contains_key(run)));
    let domain = Domain::open(&home, common::clock()).await.unwrap();
    let budgets = domain.budgets("authority").await.unwrap();
    let dataset = budgets.iter().find(|b| b.kind == "dataset" && b.scope.contains("people")).unwrap();
    let all = charged.values().sum::<u64>() as f64 * 1e-12;
    assert!((dataset.spent_rho - all).abs() <= all * 1e-9, "{} is spent, {all} was charged", dataset.spent_rho);
    domain.close().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let (from, name) = (item.as_ref().unwrap().path(), item.unwrap().file_name());
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            std::fs::copy(&from, to.join(name)).unwrap();
        }
    }
}

/// The worst case: both believe that they have the domain, on file systems whose locks do not reach each other.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_over_from_writes_nothing_more() {
    if !needs_server() {
        return;
    }
    let World { folder, domain: first } = World::new(300).await;
    let home = folder.path().join("home");
    let elsewhere = folder.path().join("elsewhere");
    let url = std::fs::read_to_string(home.join("yunei.toml")).unwrap();
    let url = url.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().trim_matches('"').to_owned();
    let title = Text::new("甲", "A");
    let cut = || {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(Command::new("psql").args([&url, "-qXc", cut]).output().unwrap().status.success());
    };
    // Cut off for a moment, and nobody took over: it goes on, with its log.
    for round in 0..3 {
        cut();
        let _ = first.add_institution("authority", &format!("cut-{round}"), Role::Holder, &title).await;
        first.add_institution("authority", &format!("whole-{round}"), Role::Holder, &title).await.unwrap();
    }
    copy(&home, &elsewhere);
    let held = Domain::open(&elsewhere, common::clock()).await.unwrap_err();
    assert_eq!(held.reasons()[0].code(), "store/held");

    // The network between the first and the database breaks; the database gives its lock to the next.
    cut();
    let second = Domain::open(&elsewhere, common::clock()).await.unwrap();
    second.add_institution("authority", "after", Role::Holder, &title).await.unwrap();
    let size = second.log().size();

    let error = first.add_institution("authority", "late", Role::Holder, &title).await.unwrap_err();
    assert_eq!(error.reasons()[0].code(), "store/held");
    let entry = yunei_audit::Entry::new("test.late", 1, serde_json::Map::new()).unwrap();
    let error = first.log().append(entry).unwrap_err();
    assert_eq!(error.code(), "audit/disagree", "{error}");
    assert!(first.log().size() < size);
    second.add_institution("authority", "later", Role::Holder, &title).await.unwrap();
    let (key, known) = (second.verifying_key(), second.institutions().await.unwrap());
    assert!(known.iter().any(|i| i.id == "later") && known.iter().all(|i| i.id != "late"));
    second.close().await;
    Log::verify(&elsewhere.join("log"), &key, &mut |_, _| {}).unwrap();
    drop(first);
    // The first's home is behind: it is refused, not gone on with.
    let error = Domain::open(&home, common::clock()).await.unwrap_err();
    assert_eq!(error.reasons()[0].code(), "audit/disagree");
    assert_eq!(Domain::open(&elsewhere, common::clock()).await.map(|_| ()).map_err(|e| e.reasons()[0].code()), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_home_and_passwords_in_the_open_are_refused() {
    if !needs_server() {
        return;
    }
    let World { folder, domain } = World::new(100).await;
    domain.close().await;
    let written = std::fs::read_to_string(folder.path().join("home/yunei.toml")).unwrap();
    let url = written.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().trim_matches('"').to_owned();
    let run = |arguments: &[&str], store: Option<&str>| {
        let mut command = yunei(folder.path());
        if let Some(store) = store {
            command.env("YUNEI_STORE", store);
        }
        let output = command.args(arguments).output().unwrap();
        let all = [output.stdout.clone(), output.stderr.clone()].concat();
        assert!(!String::from_utf8_lossy(&all).contains("s3cret"), "a password is told");
        (output.status.code(), document(&output)["refused"][0]["code"].as_str().unwrap_or_default().to_owned())
    };
    let code = |exit: i32, code: &str| (Some(exit), code.to_owned());
    // Nothing is left of a home whose store could not be made.
    assert_eq!(run(&["--home", "second", "init", "--store", &url], None), code(5, "store/occupied"));
    assert!(!folder.path().join("second").exists());
    let none = "postgres://127.0.0.1:1/x?sslmode=disable";
    assert_eq!(run(&["--home", "second", "init", "--store", none], None), code(5, "store/unreachable"));
    let open = "postgres://u:s3cret@127.0.0.1:1/x";
    assert_eq!(run(&["--home", "second", "init", "--store", open], None), code(2, "input/password"));
    assert_eq!(run(&["--home", "second", "init"], Some(open)), code(5, "store/unreachable"));
    assert!(!folder.path().join("second").exists());
    // A home that is pointed at the store of another one.
    let other = common::database(&folder.path().join("third")).unwrap();
    assert_eq!(run(&["--home", "third", "init", "--store", &other.public()], None), code(0, ""));
    assert_eq!(run(&["--home", "third", "dataset", "list"], Some(&url)), code(5, "store/other-home"));
    assert_eq!(run(&["--home", "third", "dataset", "list"], None), code(0, ""));
    let with_password = written.replace("url = \"postgres://", "url = \"postgres://u:s3cret@");
    std::fs::write(folder.path().join("home/yunei.toml"), with_password).unwrap();
    assert_eq!(run(&["--home", "home", "dataset", "list"], None), code(5, "store/password"));
}
