//! The check of a whole log, offline and without trust in whoever keeps it.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::files::{self, Layout};
use crate::journal::Journal;
use crate::note::MAX_NOTE_BYTES;
use crate::recover::{committed, peek_locked};
use crate::tiles::Reader;
use crate::tree::{Edge, FullTile, TileSource, WIDTH, leaf_hash};
use crate::trust::Trust;
use crate::{Entry, LogError};

/// How often the check starts again when a running writer moved on under it.
const ATTEMPTS: u32 = 20;

/// What a check of the whole log found: that everything is as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    checkpoint: Checkpoint,
    published: u64,
    first_at: Option<i64>,
    last_at: Option<i64>,
    clock_steps_back: u64,
}

impl Verdict {
    /// How many entries were checked: all that are durable.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size()
    }

    /// The root hash, as hex.
    #[must_use]
    pub fn root_hex(&self) -> String {
        hex::encode(self.checkpoint.root())
    }

    /// The newest signed checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How many of them are published as tiles; the rest are staged and follow.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published
    }

    /// The time of the first entry, in milliseconds since 1970.
    #[must_use]
    pub fn first_at(&self) -> Option<i64> {
        self.first_at
    }

    /// The time of the last entry.
    #[must_use]
    pub fn last_at(&self) -> Option<i64> {
        self.last_at
    }

    /// How many entries carry an earlier time than the entry before them. Their order is the one of
    /// the log; a number above zero says that the clock was set back.
    #[must_use]
    pub fn clock_steps_back(&self) -> u64 {
        self.clock_steps_back
    }
}

/// What is known of the entries so far.
#[derive(Clone, Default)]
struct Walk {
    edge: Edge,
    first_at: Option<i64>,
    last_at: Option<i64>,
    clock_steps_back: u64,
}

impl Walk {
    fn entry(&mut self, bytes: &[u8], full: &mut Vec<FullTile>) -> Result<(), LogError> {
        let index = self.edge.size();
        let entry =
            Entry::parse(bytes).map_err(|_| LogError::damaged(format!("entry {index} is not in canonical form")))?;
        self.first_at.get_or_insert(entry.at_millis());
        if self.last_at.is_some_and(|last| entry.at_millis() < last) {
            self.clock_steps_back += 1;
        }
        self.last_at = Some(entry.at_millis());
        self.edge.push(leaf_hash(bytes), full);
        Ok(())
    }
}

/// Checks the log; see [`crate::Log::verify`].
pub(crate) fn verify(layout: &Layout, trust: &Trust, progress: &mut dyn FnMut(u64, u64)) -> Result<Verdict, LogError> {
    if !layout.lock().exists() {
        return Err(LogError::Absent);
    }
    let reader = Reader::new(layout.public());
    let mut walk = Walk::default();
    let mut attempt = 0;
    loop {
        let published = published(layout, trust)?;
        walk_tiles(&reader, &mut walk, &published, progress)?;
        let mut ahead = walk.clone();
        match walk_staged(layout, trust, &mut ahead) {
            Ok(checkpoint) => {
                if checkpoint.size() > published.size() {
                    progress(checkpoint.size(), checkpoint.size());
                }
                return Ok(Verdict {
                    checkpoint,
                    published: published.size(),
                    first_at: ahead.first_at,
                    last_at: ahead.last_at,
                    clock_steps_back: ahead.clock_steps_back,
                });
            }
            Err(error) => {
                // A writer that is at work may have rewound its journal while we read it. Then it
                // has published more by now, and the next round takes that from the tiles.
                attempt += 1;
                if attempt == ATTEMPTS || self::published(layout, trust)?.size() == published.size() {
                    return Err(error);
                }
            }
        }
    }
}

/// Follows the tiles up to the published size and compares every one with what the entries say.
fn walk_tiles(
    reader: &Reader,
    walk: &mut Walk,
    published: &Checkpoint,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), LogError> {
    let size = published.size();
    if size < walk.edge.size() {
        return Err(LogError::disagree("the published checkpoint went back"));
    }
    let mut full = Vec::new();
    while walk.edge.size() < size {
        let number = walk.edge.size() / WIDTH;
        let width = (size - number * WIDTH).min(WIDTH);
        let seen = (walk.edge.size() % WIDTH) as usize;
        for entry in &reader.bundle(number, width)?[seen..] {
            walk.entry(entry, &mut full)?;
        }
        for tile in full.drain(..) {
            compare(reader, tile.level, tile.number, &tile.bytes)?;
        }
        progress(walk.edge.size(), size);
    }
    for (level, number, bytes) in walk.edge.partial() {
        compare(reader, level, number, bytes)?;
    }
    if walk.edge.root() == *published.root() {
        Ok(())
    } else {
        Err(LogError::damaged("the entries do not hash to the published root"))
    }
}

fn compare(reader: &Reader, level: u8, number: u64, bytes: &[u8]) -> Result<(), LogError> {
    let width = u32::try_from(bytes.len() / 32).unwrap_or_default();
    if reader.tile(level, number, width)? == bytes {
        Ok(())
    } else {
        Err(LogError::damaged(format!("tile {number} on level {level} is not the hash of what is below it")))
    }
}

/// Follows the staged batches from where the tiles end to the checkpoint in the lock.
fn walk_staged(layout: &Layout, trust: &Trust, walk: &mut Walk) -> Result<Checkpoint, LogError> {
    let locked = peek_locked(layout, trust)?;
    if locked.size() < walk.edge.size() {
        return Err(LogError::disagree("the published checkpoint is ahead of the lock"));
    }
    if locked.size() > walk.edge.size() {
        let mut full = Vec::new();
        for record in committed(Journal::records(&layout.journal())?, &locked) {
            for (index, entry) in (record.start..).zip(&record.entries) {
                if index == walk.edge.size() {
                    walk.entry(entry, &mut full)?;
                }
            }
        }
    }
    if walk.edge.size() == locked.size() && walk.edge.root() == *locked.root() {
        Ok(locked)
    } else {
        Err(LogError::damaged("the entries do not lead to the checkpoint in the lock"))
    }
}

fn published(layout: &Layout, trust: &Trust) -> Result<Checkpoint, LogError> {
    let bytes = files::read_bounded(&layout.checkpoint(), MAX_NOTE_BYTES)?
        .ok_or_else(|| LogError::damaged("there is no published checkpoint"))?;
    let checkpoint = Checkpoint::parse(&bytes).map_err(|_| LogError::damaged("the published checkpoint is not one"))?;
    trust.check(&checkpoint).map_err(|error| match error {
        CheckpointError::Witness => LogError::Unwitnessed,
        _ => LogError::Key,
    })?;
    Ok(checkpoint)
}
