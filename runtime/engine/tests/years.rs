//! One log a year: sealed when its year is over, moved when it is old enough, read as before wherever it is.

#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use yunei_audit::{Archive, Log, Receipt};
use yunei_engine::domain::{AuditQuery, LogState, Period, UsageQuery};
use yunei_engine::logyears::{check_chain, kept_logs, public_log_keys};
use yunei_engine::{Clock, Domain, DomainError, ReplayOptions, RunAnswer, RunRequest};

const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";
const DAY: i64 = 86_400_000;
/// 2027-01-01 00:00 in Beijing.
const NEW_YEAR: i64 = 1_798_732_800_000;
/// Three years, a leap day included.
const THREE_YEARS: i64 = 1_096 * DAY;

struct Home {
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
    first: RunAnswer,
}

impl Home {
    /// A home of November 2026 with a run.
    async fn new() -> Self {
        let world = World::new(120).await;
        let text = World::product_text("by-city", SQL, LEAST).replace("epsilon = 5.0", "epsilon = 0.1");
        world.approve("by-city", &text, "operator", &["research"]).await;
        let first = world.run("by-city", &[("least", "20")], "research").await.unwrap();
        let World { folder, domain } = world;
        let now = Arc::new(AtomicI64::new(domain.now()));
        domain.close().await;
        Self { folder, now, first }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Arc::new(move || now.load(Ordering::SeqCst))
    }

    fn at(&self, now: i64) -> &Self {
        self.now.store(now, Ordering::SeqCst);
        self
    }

    async fn open(&self) -> Domain {
        Domain::open(&self.root(), self.clock()).await.unwrap()
    }

    async fn seal(&self) -> Result<Vec<yunei_engine::domain::LogView>, DomainError> {
        Domain::seal_log(&self.root(), self.clock(), "authority").await
    }

    /// Every log in its place verifies, and each follows the one before.
    fn verify(&self) -> usize {
        let root = self.root();
        let (keys, kept) = (public_log_keys(&root).unwrap(), kept_logs(&root).unwrap());
        Log::verify_with(&root.join("log"), keys.current(), &mut |_, _| {}).unwrap();
        let current = Archive::open(&root.join("log"), keys.current()).unwrap();
        let found = check_chain(&current, &keys, &kept).unwrap();
        for (one, _) in &found {
            Log::verify_with(&one.dir, &one.trust(&keys).unwrap(), &mut |_, _| {}).unwrap();
        }
        found.len()
    }
}

async fn run(domain: &Domain, least: &str) -> Result<RunAnswer, DomainError> {
    let request = RunRequest {
        institution: "operator".into(),
        product: "by-city".into(),
        arguments: [("least".to_owned(), least.to_owned())].into(),
        purpose: "research".into(),
    };
    domain.run(&request).await
}

fn code(error: &DomainError) -> &str {
    error.reasons()[0].code()
}

fn year(name: &str) -> AuditQuery {
    AuditQuery { year: Some(name.into()), ..AuditQuery::default() }
}

fn keys_of(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root.join("keys"))
        .unwrap()
        .map(|item| item.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_sealed_when_it_is_over_and_read_as_before() {
    let home = Home::new().await;
    let root = home.root();
    let old_key = fs::read_to_string(root.join("keys/log.key")).unwrap();
    assert_eq!(code(&home.at(NEW_YEAR - 1).seal().await.unwrap_err()), "retention/year-not-over");
    assert!(!root.join("log.successor").exists() && !root.join("keys/log.successor.key").exists());
    let sealed_size = home.open().await.log().size();
    for actor in ["holder", "operator", "business"] {
        let refused = Domain::seal_log(&root, home.at(NEW_YEAR).clock(), actor).await.unwrap_err();
        assert_eq!(code(&refused), "authorise/role", "{actor}");
    }
    let logs = home.at(NEW_YEAR).seal().await.unwrap();
    let told: Vec<_> = logs.iter().map(|log| (log.year.as_str(), log.state, log.size.unwrap())).collect();
    assert_eq!(told, [("2027", LogState::Current, 1), ("2026", LogState::Sealed, sealed_size + 1)]);
    assert_eq!(home.verify(), 1);
    assert_eq!(keys_of(&root), ["domain.key", "log.key", "log.vkey"]);
    assert_ne!(fs::read_to_string(root.join("keys/log.key")).unwrap(), old_key, "the key of the sealed log is gone");

    let domain = home.open().await;
    assert!(domain.log().origin().ends_with("/2027"));
    let second = run(&domain, "30").await.unwrap();
    assert!(run(&domain, "20").await.unwrap().repeated, "the release of the year before is given again");
    // Receipts of both years, with the one list of keys.
    let keys = domain.log_keys().unwrap();
    for receipt in [&home.first.receipt, &second.receipt] {
        let trust = keys.of(receipt.checkpoint().origin()).unwrap();
        Receipt::parse(receipt.to_string().as_bytes()).unwrap().verify_with(trust).unwrap();
    }
    assert_ne!(home.first.receipt.checkpoint().origin(), second.receipt.checkpoint().origin());
    assert_eq!(domain.receipt(&home.first.run).await.unwrap(), home.first.receipt.to_string());
    for run in [&home.first.run, &second.run] {
        let report = domain.replay("authority", run, ReplayOptions::default(), |_, _| {}).await.unwrap();
        assert!(report.identical, "{:?}", report.differences().collect::<Vec<_>>());
    }
    // Lists, entries and proofs of the year that is named; counts of all.
    let page = domain.audit_list("authority", &year("2026"), 1_000, None).await.unwrap();
    assert_eq!((page.size, page.entries[0].kind.as_str()), (sealed_size + 1, "log/sealed"));
    let newest = domain.audit_list("authority", &year("2027"), 1_000, None).await.unwrap();
    assert_eq!(newest.entries.last().unwrap().kind, "log/opened");
    assert_eq!(domain.audit_entry_of("authority", Some("2026"), sealed_size).await.unwrap().kind, "log/sealed");
    let proof = domain.audit_prove_of("authority", Some("2026"), 3).await.unwrap();
    assert!(proof.contains(home.first.receipt.checkpoint().origin()));
    assert!(!domain.audit_consistency_of("authority", Some("2026"), 5).await.unwrap().0.is_empty());
    assert_eq!(domain.audit_entry_of("authority", Some("2025"), 0).await.unwrap_err().exit_code(), 4);
    let all = domain.audit_stats("authority", &AuditQuery::default()).await.unwrap();
    let of = async |name| domain.audit_stats("authority", &year(name)).await.unwrap().entries;
    assert_eq!(all.entries, of("2026").await + of("2027").await);
    let usage = UsageQuery { period: Period::Year, ..UsageQuery::default() };
    let lines = domain.audit_usage("authority", &usage).await.unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.period.as_str(), line.released, line.repeated)).collect();
    assert_eq!(told, [("2026", 1, 0), ("2027", 1, 1)]);
    domain.close().await;
    assert_eq!(code(&home.at(NEW_YEAR + DAY).seal().await.unwrap_err()), "retention/year-not-over");
    // A year later the next one, and the chain is of three.
    home.at(NEW_YEAR + 370 * DAY).seal().await.unwrap();
    assert_eq!(home.verify(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_moved_three_years_later_and_not_a_day_before() {
    let home = Home::new().await;
    let root = home.root();
    home.at(NEW_YEAR).seal().await.unwrap();
    let sealed_at = NEW_YEAR;
    let to = home.folder.path().join("archive-2026");
    let go = async |now: i64, actor: &str, name: &str, to: &Path| {
        let domain = home.at(now).open().await;
        let moved = domain.move_log(actor, name, to, "省档案馆", |_, _| {}).await;
        let size = domain.log().size();
        domain.close().await;
        moved.map_err(|error| (error.reasons()[0].code().to_owned(), size))
    };
    let refused = |answer: Result<u64, (String, u64)>| answer.unwrap_err().0;
    for early in [NEW_YEAR + DAY, sealed_at + THREE_YEARS - DAY, sealed_at + THREE_YEARS - 1] {
        assert_eq!(refused(go(early, "authority", "2026", &to).await), "retention/too-young");
    }
    let due = sealed_at + THREE_YEARS;
    for actor in ["holder", "operator", "business"] {
        assert_eq!(refused(go(due, actor, "2026", &to).await), "authorise/role", "{actor}");
    }
    assert_eq!(refused(go(due, "authority", "2027", &to).await), "registry/not-found", "it is written");
    assert_eq!(refused(go(due, "authority", "../log", &to).await), "registry/not-found");
    assert_eq!(refused(go(due, "authority", "2026", &root).await), "audit/exists");
    assert_eq!(go(due, "authority", "2026", Path::new("/proc/self/fd/x")).await.unwrap_err().0, "audit/disk");
    assert!(root.join("logs/2026").exists() && !root.join("logs/2026.moved").exists());
    let before = home.open().await.log().size();
    let index = go(due, "authority", "2026", &to).await.unwrap();
    assert_eq!(index, before, "no refused try has left an entry");
    assert!(to.join("public/checkpoint").exists() && !root.join("logs/2026").exists());
    assert_eq!(refused(go(due, "authority", "2026", &to).await), "registry/not-found", "once");

    // All that was read in its place is read where it went.
    assert_eq!(home.verify(), 1);
    let domain = home.open().await;
    let entry = domain.audit_entry("authority", index).await.unwrap();
    assert_eq!((entry.kind.as_str(), entry.fields["place"].as_str()), ("log/moved", Some("省档案馆")));
    assert_eq!(entry.fields["by"], "authority");
    let logs = domain.audit_logs("authority").await.unwrap();
    assert_eq!((logs[1].state, logs[1].here), (LogState::Moved, true));
    assert!(domain.audit_prove_of("authority", Some("2026"), 3).await.is_ok());
    let usage = async || domain.audit_usage("authority", &UsageQuery::default()).await;
    assert_eq!(usage().await.unwrap().len(), 1);
    // Out of reach: told, and no total is given that leaves it out.
    fs::rename(&to, home.folder.path().join("unmounted")).unwrap();
    assert!(!domain.audit_logs("authority").await.unwrap()[1].here);
    assert_eq!(code(&usage().await.unwrap_err()), "audit/out-of-reach");
    assert_eq!(code(&domain.audit_list("authority", &year("2026"), 9, None).await.unwrap_err()), "audit/out-of-reach");
    let later = UsageQuery { from_millis: Some(NEW_YEAR), ..UsageQuery::default() };
    assert!(domain.audit_usage("authority", &later).await.unwrap().is_empty());
    domain.close().await;
    assert_eq!(home.verify(), 0, "what can be reached still verifies");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let (item, name) = item.map(|i| (i.path(), i.file_name())).unwrap();
        if item.is_dir() { copy(&item, &to.join(name)) } else { fs::copy(&item, to.join(name)).map(drop).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_sealed_year_can_be_neither_put_back_nor_replaced_nor_taken_away() {
    let home = Home::new().await;
    let root = home.root();
    let backup = home.folder.path().join("backup");
    copy(&root, &backup);
    home.at(NEW_YEAR).seal().await.unwrap();
    let after = home.folder.path().join("after");
    copy(&root, &after);
    let restore = || {
        fs::remove_dir_all(&root).unwrap();
        copy(&after, &root);
    };

    // Log and keys as they were before the sealing, beside the registry of today: the old log would simply go on.
    for part in ["log", "keys"] {
        fs::remove_dir_all(root.join(part)).unwrap();
        copy(&backup.join(part), &root.join(part));
    }
    fs::remove_dir_all(root.join("logs")).unwrap();
    let refused = Domain::open(&root, home.clock()).await.unwrap_err();
    assert_eq!(code(&refused), "audit/disagree");

    // The sealed log replaced by one that the same (stolen) key signed: the log that follows names another root.
    restore();
    let stolen = yunei_audit::SigningKey::load(&backup.join("keys/log.key")).unwrap();
    fs::remove_dir_all(root.join("logs/2026")).unwrap();
    let forged = Log::create(&root.join("logs/2026"), stolen).unwrap();
    forged.append(yunei_audit::Entry::new("k", 1, serde_json::Map::new()).unwrap()).unwrap();
    forged.close().unwrap();
    let chain = |root: &Path| {
        let (keys, kept) = (public_log_keys(root).unwrap(), kept_logs(root).unwrap());
        let current = Archive::open(&root.join("log"), keys.current()).unwrap();
        check_chain(&current, &keys, &kept).map(|found| found.len()).map_err(|error| code(&error).to_owned())
    };
    assert_eq!(chain(&root), Err("audit/disagree".into()));

    // Taken away; cut short; one too many.
    restore();
    assert_eq!(chain(&root), Ok(1));
    fs::rename(root.join("logs/2026"), home.folder.path().join("away")).unwrap();
    assert_eq!(chain(&root), Err("audit/disagree".into()));
    restore();
    fs::remove_dir_all(root.join("logs/2026")).unwrap();
    copy(&backup.join("log"), &root.join("logs/2026"));
    assert_eq!(chain(&root), Err("audit/disagree".into()), "the beginning of it alone");
    restore();
    copy(&backup.join("log"), &root.join("logs/2025"));
    assert_eq!(chain(&root), Err("audit/disagree".into()), "a year that nothing follows");
    // The sealed log itself takes nothing more, with its own key.
    let stolen = yunei_audit::SigningKey::load(&backup.join("keys/log.key")).unwrap();
    let reopened = Log::open(&root.join("logs/2026"), stolen).unwrap();
    let entry = yunei_audit::Entry::new("k", 1, serde_json::Map::new()).unwrap();
    assert_eq!(reopened.append(entry).unwrap_err().code(), "audit/sealed");
}
