//! A disk that is really full: a log on a small file system of its own, written to until nothing goes any more.
//!
//! ```text
//! cargo run -p yunei-audit --example full_disk
//! ```
//! The program starts itself again in a mount namespace of its own (`unshare`), with a `tmpfs` of forty megabytes, all but
//! one of which are taken by ballast and the journal; where that is not possible it says so and does nothing. It expects: the append that finds no room answers `audit/disk`, all
//! later ones `audit/stopped`; opening while the disk is full is refused or works, and loses nothing; once there is room,
//! the log opens, verifies, and has every acknowledged entry. Room for that is what was taken by the ballast: all that the
//! journal may hold, as partial bundles of two sizes. The sizes go over many bytes, so that another file is the
//! one that finds no room each time.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::Map;
use yunei_audit::{Entry, Log, LogError, SigningKey};

const MARK: &str = "YUNEI_FULL_DISK_INSIDE";

fn key() -> SigningKey {
    SigningKey::from_seed("full.example/log", [7; 32]).expect("a fixed key")
}

fn entry(n: u64, bytes: usize) -> Result<Entry, LogError> {
    let mut fields = Map::new();
    fields.insert("pad".into(), "x".repeat(bytes).into());
    Ok(Entry::new("full/entry", n as i64, fields)?)
}

/// What one size of the disk showed.
struct Seen {
    acknowledged: u64,
    error: &'static str,
    while_full: &'static str,
}

fn one(root: &Path, ballast: usize, bytes: usize) -> Result<Seen, String> {
    let text = |error: LogError| error.to_string();
    let dir = root.join("log");
    fs::write(root.join("ballast"), vec![0; ballast]).map_err(|error| error.to_string())?;
    let log = Log::create(&dir, key()).map_err(text)?;
    let mut acknowledged = 0;
    let error = loop {
        match log.append(entry(acknowledged, bytes).map_err(text)?) {
            Ok(position) if position.index() == acknowledged => acknowledged += 1,
            Ok(_) => return Err("an entry is at another place".into()),
            Err(error) => break error.code(),
        }
        if acknowledged == 100_000 {
            return Err("the disk was not filled".into());
        }
    };
    let later = log.append(entry(0, 1).map_err(text)?).err().map(|error| error.code());
    if !matches!(later, Some("audit/stopped" | "audit/disk")) {
        return Err(format!("after the failure: {later:?}"));
    }
    drop(log);
    let while_full = match Log::open(&dir, key()) {
        Ok(log) if log.size() < acknowledged => return Err("entries are gone while the disk is full".into()),
        Ok(_) => "opens",
        Err(error) if error.code() == "audit/disk" => "audit/disk",
        Err(error) => return Err(format!("opened on the full disk: {error}")),
    };
    fs::remove_file(root.join("ballast")).map_err(|error| error.to_string())?;
    let log = Log::open(&dir, key()).map_err(text)?;
    if log.size() < acknowledged {
        return Err(format!("{} of {acknowledged} acknowledged entries are left", log.size()));
    }
    for index in 0..acknowledged {
        if log.entry(index).map_err(text)?.at_millis() != index as i64 {
            return Err(format!("entry {index} is another one"));
        }
    }
    let size = log.size();
    log.append(entry(size, 1).map_err(text)?).map_err(text)?;
    log.close().map_err(text)?;
    let verdict = Log::verify(&dir, &key().verifying_key(), &mut |_, _| {}).map_err(text)?;
    if verdict.size() != size + 1 {
        return Err("the log did not go on".into());
    }
    fs::remove_dir_all(&dir).map_err(|error| error.to_string())?;
    Ok(Seen { acknowledged, error, while_full })
}

fn inside(root: &Path) -> ExitCode {
    println!("| ballast | entry | acknowledged | then | opened while full | with room again |");
    println!("|---|---|---|---|---|---|");
    for step in 0..24_usize {
        let (ballast, bytes) = (32_700_000 + step * 4_099, [120, 900, 9_000, 60_000][step % 4]);
        match one(root, ballast, bytes) {
            Ok(seen) => println!(
                "| {ballast} | {bytes} | {} | {} | {} | whole |",
                seen.acknowledged, seen.error, seen.while_full
            ),
            Err(what) => {
                eprintln!("ballast {ballast}, entries of {bytes} bytes: {what}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    if let Some(root) = std::env::var_os(MARK) {
        return inside(Path::new(&root));
    }
    let (Ok(me), Ok(root)) = (std::env::current_exe(), tempfile::tempdir()) else { return ExitCode::FAILURE };
    let script = "mount -t tmpfs -o size=40m tmpfs \"$0\" || exit 77; exec \"$1\"";
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .args([root.path(), me.as_path()])
        .env(MARK, root.path())
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => ExitCode::SUCCESS,
        Ok(Some(77)) | Err(_) => {
            eprintln!("SKIPPED: a full disk needs unshare and a tmpfs of its own");
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
    }
}
