//! Damage anywhere: opening and verifying never panic, and never believe another history.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Map;
use yunei_audit::{Archive, Checkpoint, Entry, Log, SigningKey, Trust};

fn key() -> SigningKey {
    SigningKey::from_seed("a", [3; 32]).unwrap()
}

/// A small generator (splitmix64), so that every run damages the same bytes.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut items: Vec<_> = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect();
    items.sort();
    for path in items {
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

/// Breaks one file: a bit, a sector, its end, or all of it.
fn damage(dice: &mut Dice, path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    // The journal is mostly empty; what counts stands at its start.
    let length = bytes.len().min(200_000);
    match dice.below(4) {
        0 if length > 0 => bytes[dice.below(length)] ^= 1 << dice.below(8),
        1 if length > 0 => {
            let start = dice.below(length) / 512 * 512;
            let end = (start + 512).min(bytes.len());
            bytes[start..end].fill(0);
        }
        2 if length > 0 => bytes.truncate(dice.below(length)),
        _ => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_log_is_refused_or_is_the_same_history() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log");
    let trust = Trust::new(key().verifying_key());
    {
        let log = Log::create(&dir, key()).unwrap();
        for n in 0..250 {
            log.append(Entry::new("k", n, Map::new()).unwrap()).unwrap();
        }
    }
    // Open again, so that the journal holds the end of the log and no more.
    let log = Log::open(&dir, key()).unwrap();
    let mut history = vec![log.checkpoint()];
    for n in 250..262 {
        log.append(Entry::new("k", n, Map::new()).unwrap()).unwrap();
        history.push(log.checkpoint());
    }
    let mut all = Vec::new();
    files(&dir, &mut all);
    let same = |checkpoint: &Checkpoint| history.iter().any(|known| known == checkpoint);
    let (mut dice, mut refused, mut opened) = (Dice(1), 0, 0);
    for round in 0..120 {
        let copy = home.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        for path in &all {
            let target = copy.join(path.strip_prefix(&dir).unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(path, target).unwrap();
        }
        // Every third round the lock or the journal, the rest anything.
        let name = match round % 6 {
            0 => "private/lock".into(),
            3 => "private/journal".into(),
            _ => all[dice.below(all.len())].strip_prefix(&dir).unwrap().to_path_buf(),
        };
        damage(&mut dice, &copy.join(&name));
        let _ = Log::verify(&copy, &key().verifying_key(), &mut |_, _| {});
        if let Ok(archive) = Archive::open(&copy, &trust) {
            assert!(same(archive.checkpoint()), "round {round}: {}", name.display());
        }
        match Log::open(&copy, key()) {
            Ok(log) => {
                opened += 1;
                assert!(same(&log.checkpoint()), "round {round}: {}", name.display());
                log.append(Entry::new("k", 0, Map::new()).unwrap()).unwrap();
            }
            Err(error) => {
                refused += 1;
                assert!(
                    ["audit/damaged", "audit/disagree", "audit/absent", "audit/disk"].contains(&error.code()),
                    "round {round}: {}: {error}",
                    name.display()
                );
            }
        }
    }
    assert!(refused > 10 && opened > 10, "{refused} refused, {opened} opened");
}
