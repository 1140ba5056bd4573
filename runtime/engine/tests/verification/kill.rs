//! Power loss: a process that answers is killed at any moment; no consent is used twice and no use is forgotten.

use crate::town::{Town, clock, codes, request};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use yunei_engine::{ConsentTerms, Domain, VerifyRequest};

const HOME: &str = "YUNEI_TEST_VICTIM_HOME";
const TOKENS: usize = 60;
const USES: u32 = 2;
const ROUNDS: u64 = 12;

fn asks(token: &str, i: usize) -> VerifyRequest {
    VerifyRequest { consent: Some(token.to_owned()), ..request("live", i) }
}

/// Not a test by itself: what the killed process does. It uses every token as often as it may and tells each answer.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(home) = std::env::var(HOME) else { return };
    let tokens: Vec<String> =
        std::fs::read_to_string(format!("{home}/../tokens")).unwrap().lines().map(str::to_owned).collect();
    let now = Arc::new(AtomicI64::new(crate::town::NOW));
    let domain = Arc::new(Domain::open(home.as_ref(), clock(&now)).await.unwrap());
    let (next, tokens) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokens));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (domain, next, tokens) = (Arc::clone(&domain), Arc::clone(&next), Arc::clone(&tokens));
        tasks.spawn(async move {
            loop {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let i = at % TOKENS;
                if at >= TOKENS * (USES as usize + 1) {
                    return;
                }
                if let Ok(answer) = domain.verify(&asks(&tokens[i], i)).await {
                    // One write, so that the line is whole or not there.
                    std::io::stdout().lock().write_all(format!("answer {i} {}\n", answer.run).as_bytes()).unwrap();
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn no_consent_is_used_twice_and_no_use_forgotten() {
    let mut town = Town::with_rules(
        TOKENS,
        // The guard of subjects is tested elsewhere.
        &crate::town::quick()
            .replace("subject_no_match = 5", "subject_no_match = 1000000")
            .replace("subject_per_day = 20", "subject_per_day = 1000000"),
    )
    .await;
    town.approve("live", "claim = { column = \"status\", one_of = [\"有效\"] }").await;
    let mut before = 0;
    for round in 0..ROUNDS {
        let terms = ConsentTerms { uses: USES, ..town.terms("live") };
        let tokens: Vec<String> =
            (0..TOKENS).map(|i| town.signer.sign(&terms, &crate::town::identity(i)).unwrap()).collect();
        std::fs::write(town.folder.path().join("tokens"), tokens.join("\n")).unwrap();
        let Town { folder, domain, now, signer } = town;
        domain.close().await;
        let answered = kill(&folder.path().join("home"), Duration::from_millis(40 + round * 35));
        let domain = Domain::open(&folder.path().join("home"), clock(&now)).await.unwrap();
        town = Town { folder, domain, now, signer };

        let mut uses: BTreeMap<usize, u32> = BTreeMap::new();
        for (i, _) in &answered {
            *uses.entry(*i).or_default() += 1;
        }
        assert!(uses.values().all(|n| *n <= USES), "{uses:?}");
        // Every answer that was given stands in the log, once.
        let mut entries: BTreeMap<String, u32> = BTreeMap::new();
        for found in town.domain.log().entries(0..town.domain.log().size()) {
            let entry = found.unwrap().1;
            if entry.kind() == "verification.answered" {
                *entries.entry(entry.fields()["run"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        assert!(answered.iter().all(|(_, run)| entries.get(run) == Some(&1)));
        // Nobody forgot a use: of the grant, and of each token.
        let used = town.domain.grants().await.unwrap()[0].used_runs;
        assert!(used >= before + answered.len() as u64, "{used} of {before} and {}", answered.len());
        for i in (0..TOKENS).step_by(7) {
            let given = uses.get(&i).copied().unwrap_or(0);
            let mut more = 0;
            let last = loop {
                match town.domain.verify(&asks(&tokens[i], i)).await {
                    Ok(_) => more += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(codes(&last), ["consent/used"]);
            assert!(given + more <= USES, "token {i}: {given} before, {more} after");
        }
        before = town.domain.grants().await.unwrap()[0].used_runs;
    }
}

/// Starts the victim, kills it after a while, and gives what it told: token and run of each answer.
fn kill(home: &std::path::Path, after: Duration) -> BTreeSet<(usize, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::victim", "--nocapture", "--test-threads", "1"])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut told = BTreeSet::new();
        for line in out.lines().map_while(Result::ok) {
            let mut words = line.split(' ').skip_while(|w| !w.ends_with("answer")).skip(1);
            if let (Some(i), Some(run)) = (words.next(), words.next()) {
                told.insert((i.parse().unwrap(), run.to_owned()));
            }
        }
        told
    });
    std::thread::sleep(after + Duration::from_millis(250));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}
