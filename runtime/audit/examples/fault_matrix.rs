//! The fault matrix: breaks every file operation of the append path, in every way, and checks that
//! nothing acknowledged is lost and no size has two roots.
//!
//! ```text
//! cargo build -p yunei-audit --examples && cargo run -p yunei-audit --example fault_matrix
//! ```
//! prints the table; `-- --check runtime/audit/FAULTS.md` compares it with the checked-in one and
//! fails when anything is worse; `--every` leaves out no call where the journal comes round, which
//! takes long. Needs `strace`: it makes the n-th call of a kind fail (EIO, ENOSPC) or kills the
//! process as it enters the call; n goes over every call that the victim makes.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Map;
use tlog_tiles::Hash;
use yunei_audit::{Archive, Entry, Log, SigningKey, Trust, VerifyingKey};

/// The calls that the append path makes: `pwrite64` is the journal and the lock, `write` the tiles
/// and the checkpoint (and the victim's own words), `fdatasync` and `fsync` make them durable.
const CALLS: [&str; 12] = [
    "openat",
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "rename",
    "mkdir",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "flock",
];

const FAULTS: [(&str, &str); 3] = [("EIO", "error=EIO"), ("ENOSPC", "error=ENOSPC"), ("SIGKILL", "signal=SIGKILL")];

/// What the victim does: how many entries are there before, how many it appends, of how many bytes,
/// and which calls are broken (every `step`-th).
struct Scenario {
    name: &'static str,
    before: u64,
    /// Whether a victim was killed on that log before, so that opening it has to replay.
    killed: bool,
    count: u64,
    bytes: usize,
    step: usize,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "a new log", before: 0, killed: false, count: 2, bytes: 10, step: 1 },
    Scenario { name: "across a full tile", before: 253, killed: false, count: 5, bytes: 10, step: 1 },
    Scenario { name: "recovering from a kill", before: 250, killed: true, count: 2, bytes: 10, step: 1 },
    Scenario { name: "the journal comes round", before: 3, killed: false, count: 66, bytes: 65_000, step: 9 },
];

fn key() -> SigningKey {
    SigningKey::from_seed("fault.example/log", [7; 32]).expect("a fixed key")
}

/// An acknowledgement: the index, and the size and root of the checkpoint that covered it.
struct Ack {
    index: u64,
    size: u64,
    root: [u8; 32],
}

struct Run {
    word: String,
    acks: Vec<Ack>,
    /// Whether the fault happened at all.
    hit: bool,
}

fn parse_ack(line: &str) -> Option<Ack> {
    let mut words = line.strip_prefix("ack ")?.split(' ');
    let (index, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let root = hex::decode(words.next()?).ok()?.try_into().ok()?;
    Some(Ack { index, size, root })
}

/// Runs the victim with the `nth` call of a kind broken.
fn run(victim: &Path, home: &Path, scenario: &Scenario, call: &str, fault: &str, nth: usize) -> std::io::Result<Run> {
    let trace = home.join("trace");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", &trace.to_string_lossy(), "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{fault}:when={nth}")])
        .arg(victim)
        .arg(home.join("log"))
        .args([scenario.count.to_string(), scenario.bytes.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = match (output.status.code(), text.lines().last()) {
        (Some(0), _) => "survived".to_owned(),
        (Some(3), Some(last)) => last.trim_start_matches("error ").to_owned(),
        // The loader or the runtime failed before the program began.
        (Some(_), _) => "not started".to_owned(),
        (None, _) => "killed".to_owned(),
    };
    let traced = fs::read_to_string(&trace).unwrap_or_default();
    let hit = traced.contains("(INJECTED)") || traced.contains("killed by SIGKILL");
    Ok(Run { word, acks: text.lines().filter_map(parse_ack).collect(), hit })
}

/// Verifies what is left, opens it again, holds it against everything that was acknowledged,
/// appends to it, and verifies once more.
fn examine(dir: &Path, acks: &[Ack], before: u64) -> Result<(), String> {
    if !dir.exists() {
        return if acks.is_empty() && before == 0 { Ok(()) } else { Err("the log is gone".into()) };
    }
    let public: VerifyingKey = key().verifying_key();
    let text = |error: yunei_audit::LogError| error.to_string();
    let verdict = Log::verify(dir, &public, &mut |_, _| {}).map_err(text)?;
    let archive = Archive::open(dir, &Trust::new(public.clone())).map_err(text)?;
    let size = archive.size();
    if verdict.size() != size || size < before {
        return Err(format!("{size} entries are left"));
    }
    for ack in acks {
        if archive.entry(ack.index).map_err(text)?.at_millis() != ack.index as i64 {
            return Err(format!("entry {} is another one", ack.index));
        }
        // One root for one size: what was signed then is the beginning of what is signed now.
        let proof = archive.prove_consistency(ack.size, size).map_err(text)?.into_iter().map(Hash).collect();
        let root = Hash(*archive.checkpoint().root());
        tlog_tiles::check_tree(&proof, size, root, ack.size, Hash(ack.root))
            .map_err(|_| format!("size {} has two roots", ack.size))?;
    }
    let log = Log::open(dir, key()).map_err(text)?;
    let entry = Entry::new("fault/after", size as i64, Map::new()).map_err(|error| error.to_string())?;
    if log.append(entry).map_err(text)?.index() != size {
        return Err("the log did not go on where it ended".into());
    }
    log.close().map_err(text)?;
    let verdict = Log::verify(dir, &public, &mut |_, _| {}).map_err(text)?;
    if verdict.size() == size + 1 { Ok(()) } else { Err("the log did not go on".into()) }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        if item.path().is_dir() {
            copy(&item.path(), &to.join(item.file_name()))?;
        } else {
            fs::copy(item.path(), to.join(item.file_name()))?;
        }
    }
    Ok(())
}

/// Makes the log that a scenario begins with. Gives how many entries it has.
fn prepare(victim: &Path, home: &Path, scenario: &Scenario) -> Result<u64, String> {
    let text = |error: yunei_audit::LogError| error.to_string();
    let (base, dir) = (home.join("base"), home.join("log"));
    let log = Log::create(&base, key()).map_err(text)?;
    for n in 0..scenario.before {
        let entry = Entry::new("fault/entry", n as i64, Map::new()).map_err(|error| error.to_string())?;
        log.append(entry).map_err(text)?;
    }
    log.close().map_err(text)?;
    if scenario.killed {
        copy(&base, &dir).map_err(|error| error.to_string())?;
        let long = Scenario { count: 1000, ..*scenario };
        // The 40th write at an offset: some twenty entries are staged, and the tile is crossed.
        let run = run(victim, home, &long, "pwrite64", "signal=SIGKILL", 40).map_err(|error| error.to_string())?;
        if run.word != "killed" {
            return Err("the first victim was not killed".into());
        }
        let _ = fs::remove_dir_all(&base);
        copy(&dir, &base).map_err(|error| error.to_string())?;
    }
    Ok(Archive::open(&base, &Trust::new(key().verifying_key())).map_err(text)?.size())
}

/// One row of the table: every point of one call broken in one way.
fn row(
    victim: &Path,
    home: &Path,
    scenario: &Scenario,
    before: u64,
    call: &str,
    fault: (&str, &str),
) -> Result<Option<String>, String> {
    let text = |error: std::io::Error| error.to_string();
    let (base, dir) = (home.join("base"), home.join("log"));
    let (mut words, mut after, mut points) = (BTreeSet::new(), BTreeSet::new(), 0_usize);
    let step = if std::env::args().any(|argument| argument == "--every") { 1 } else { scenario.step };
    for nth in (1..).step_by(step) {
        let _ = fs::remove_dir_all(&dir);
        if scenario.before > 0 {
            copy(&base, &dir).map_err(text)?;
        }
        let run = run(victim, home, scenario, call, fault.1, nth).map_err(text)?;
        if !run.hit {
            break;
        }
        points += 1;
        words.insert(run.word);
        let whole = examine(&dir, &run.acks, if scenario.before > 0 { before } else { 0 });
        after.insert(whole.map_or_else(|what| format!("**{what}**"), |()| "whole".to_owned()));
    }
    if points == 0 {
        return Ok(None);
    }
    let join = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
    Ok(Some(format!("| {} | `{call}` | {} | {} | {} |", scenario.name, fault.0, join(words), join(after))))
}

/// Whether every row of `found` was expected: the same end, and no way for the victim to get there
/// that the table does not name (which of them are seen depends on how the threads run).
fn compare(found: &[String], table: &str) -> Vec<String> {
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let known: Vec<Vec<String>> = table.lines().map(cells).collect();
    let fits = |row: &&String| {
        let row = cells(row);
        known.iter().any(|other| {
            let words: BTreeSet<&str> = other.get(4).map(|cell| cell.split(", ").collect()).unwrap_or_default();
            other.get(1..4) == row.get(1..4)
                && other.get(5) == row.get(5)
                && row[4].split(", ").all(|word| words.contains(word))
        })
    };
    found.iter().filter(|row| !fits(row)).cloned().collect()
}

fn matrix(out: &mut dyn Write) -> Result<Vec<String>, String> {
    let victim: PathBuf = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("fault_victim");
    if !victim.exists() {
        return Err("build the examples first: cargo build -p yunei-audit --examples".into());
    }
    let mut rows = Vec::new();
    for scenario in &SCENARIOS {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let before = prepare(&victim, home.path(), scenario)?;
        for call in CALLS {
            for fault in FAULTS {
                if let Some(row) = row(&victim, home.path(), scenario, before, call, fault)? {
                    let _ = writeln!(out, "{row}");
                    rows.push(row);
                }
            }
        }
    }
    Ok(rows)
}

fn main() -> ExitCode {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("SKIPPED: the fault matrix needs strace (apt install strace)");
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = match matrix(&mut std::io::stdout()) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let [flag, file, ..] = arguments.as_slice()
        && flag == "--check"
    {
        let wrong = compare(&rows, &fs::read_to_string(file).unwrap_or_default());
        for row in &wrong {
            eprintln!("not as checked in: {row}");
        }
        return if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    ExitCode::SUCCESS
}
