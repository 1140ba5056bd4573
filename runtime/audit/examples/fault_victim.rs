//! The program that the fault matrix breaks: opens or creates a log, appends, and says what it was
//! told. `fault_victim DIR COUNT BYTES` prints `open`, then `ack INDEX SIZE ROOT` for every
//! acknowledged entry, then `closed`; an error prints `error CODE` and ends with exit code 3.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Map;
use yunei_audit::{Entry, Log, LogError, SigningKey};

fn say(line: &str) {
    // The driver reads what was said before the kill; a broken pipe is its business.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn run(dir: &Path, count: u64, bytes: usize) -> Result<(), LogError> {
    let key = SigningKey::from_seed("fault.example/log", [7; 32]).map_err(|_| LogError::Key)?;
    let log = match Log::open(dir, key) {
        Err(LogError::Absent) => {
            let key = SigningKey::from_seed("fault.example/log", [7; 32]).map_err(|_| LogError::Key)?;
            Log::create(dir, key)?
        }
        other => other?,
    };
    say("open");
    let first = log.size();
    for n in first..first + count {
        let mut fields = Map::new();
        fields.insert("pad".into(), "x".repeat(bytes).into());
        let position = log.append(Entry::new("fault/entry", n as i64, fields)?)?;
        let checkpoint = log.checkpoint();
        let root: String = checkpoint.root().iter().map(|byte| format!("{byte:02x}")).collect();
        say(&format!("ack {} {} {root}", position.index(), checkpoint.size()));
    }
    log.close()?;
    say("closed");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, count, bytes] = arguments.as_slice() else { return ExitCode::from(2) };
    let (Ok(count), Ok(bytes)) = (count.parse(), bytes.parse()) else { return ExitCode::from(2) };
    match run(Path::new(dir), count, bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error {}", error.code()));
            ExitCode::from(3)
        }
    }
}
