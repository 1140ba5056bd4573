//! The check of a whole log, offline and without trust in whoever keeps it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

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

/// The most threads of a check. More would wait for the disk.
const MAX_WORKERS: usize = 16;

/// What a check of the whole log found: that everything is as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    checkpoint: Checkpoint,
    published: u64,
    first_at: Option<i64>,
    last_at: Option<i64>,
    newest_at: Option<i64>,
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

    /// The latest time that any entry has. It is the last one's unless the clock was set back.
    #[must_use]
    pub fn newest_at(&self) -> Option<i64> {
        self.newest_at
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
    newest_at: Option<i64>,
    clock_steps_back: u64,
}

impl Walk {
    fn entry(&mut self, bytes: &[u8], full: &mut Vec<FullTile>) -> Result<(), LogError> {
        self.time(self.edge.size(), bytes)?;
        self.edge.push(leaf_hash(bytes), full);
        Ok(())
    }

    /// Checks the form of an entry and takes its time.
    fn time(&mut self, index: u64, bytes: &[u8]) -> Result<(), LogError> {
        let entry =
            Entry::parse(bytes).map_err(|_| LogError::damaged(format!("entry {index} is not in canonical form")))?;
        self.between(entry.at_millis(), entry.at_millis(), entry.at_millis());
        Ok(())
    }

    fn between(&mut self, first_at: i64, last_at: i64, newest_at: i64) {
        self.newest_at = self.newest_at.max(Some(newest_at));
        self.first_at.get_or_insert(first_at);
        if self.last_at.is_some_and(|last| first_at < last) {
            self.clock_steps_back += 1;
        }
        self.last_at = Some(last_at);
    }

    fn verdict(self, published: u64, checkpoint: Checkpoint) -> Verdict {
        Verdict {
            checkpoint,
            published,
            first_at: self.first_at,
            last_at: self.last_at,
            newest_at: self.newest_at,
            clock_steps_back: self.clock_steps_back,
        }
    }

    fn bundle(&mut self, bundle: &Bundle, full: &mut Vec<FullTile>) {
        self.between(bundle.first_at, bundle.last_at, bundle.newest_at);
        self.clock_steps_back += bundle.clock_steps_back;
        self.edge.push_tile(bundle.hash, full);
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
                return Ok(ahead.verdict(published.size(), checkpoint));
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
        let seen = (walk.edge.size() % WIDTH) as usize;
        if seen == 0 && size / WIDTH > number {
            walk_full(reader, walk, number..size / WIDTH, &mut |done| progress(done, size))?;
            continue;
        }
        let width = (size - number * WIDTH).min(WIDTH);
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

/// What one full bundle gives to the walk.
struct Bundle {
    hash: [u8; 32],
    first_at: i64,
    last_at: i64,
    newest_at: i64,
    clock_steps_back: u64,
}

/// Checks one full bundle against its tile of hashes.
fn check_bundle(reader: &Reader, number: u64) -> Result<Bundle, LogError> {
    let mut part = Walk::default();
    let mut hashes = Vec::with_capacity(32 * 256);
    for (index, bytes) in (number * WIDTH..).zip(reader.bundle(number, WIDTH)?) {
        part.time(index, &bytes)?;
        hashes.extend_from_slice(&leaf_hash(&bytes));
    }
    compare(reader, 0, number, &hashes)?;
    Ok(Bundle {
        hash: tlog_tiles::Tile::subtree_hash(&hashes).0,
        first_at: part.first_at.unwrap_or_default(),
        last_at: part.last_at.unwrap_or_default(),
        newest_at: part.newest_at.unwrap_or_default(),
        clock_steps_back: part.clock_steps_back,
    })
}

/// Checks a range of full bundles on all processors and takes them in order.
fn walk_full(
    reader: &Reader,
    walk: &mut Walk,
    range: Range<u64>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), LogError> {
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(MAX_WORKERS));
    let next = AtomicU64::new(range.start);
    // Whoever finds something wrong sends the others home by moving `next` past the end.
    let (sender, results) = mpsc::sync_channel(4 * workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, next, end) = (sender.clone(), &next, range.end);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let result = check_bundle(reader, number);
                    if result.is_err() {
                        next.store(end, Ordering::Relaxed);
                    }
                    if sender.send((number, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut early, mut full, mut failed) = (BTreeMap::new(), Vec::new(), None);
        let mut expected = range.start;
        for (number, result) in results {
            match result {
                Ok(bundle) => early.insert(number, bundle),
                // Of several, the first in the log is told.
                Err(error) => {
                    if failed.as_ref().is_none_or(|(first, _)| number < *first) {
                        failed = Some((number, error));
                    }
                    continue;
                }
            };
            while let Some(bundle) = early.remove(&expected) {
                walk.bundle(&bundle, &mut full);
                expected += 1;
                for tile in full.drain(..) {
                    compare(reader, tile.level, tile.number, &tile.bytes)?;
                }
                progress(walk.edge.size());
            }
        }
        failed.map_or(Ok(()), |(_, error)| Err(error))
    })
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

/// Reads a published checkpoint that the trust believes.
pub(crate) fn read_published(path: &Path, trust: &Trust) -> Result<Checkpoint, LogError> {
    let bytes = files::read_bounded(path, MAX_NOTE_BYTES)?.ok_or(LogError::Absent)?;
    let checkpoint = Checkpoint::parse(&bytes).map_err(|_| LogError::damaged("the published checkpoint is not one"))?;
    trust.check(&checkpoint).map_err(|error| match error {
        CheckpointError::Witness => LogError::Unwitnessed,
        _ => LogError::Key,
    })?;
    Ok(checkpoint)
}

fn published(layout: &Layout, trust: &Trust) -> Result<Checkpoint, LogError> {
    read_published(&layout.checkpoint(), trust).map_err(|error| match error {
        LogError::Absent => LogError::damaged("there is no published checkpoint"),
        other => other,
    })
}

/// Checks a public folder alone; see [`crate::Log::verify_public`].
pub(crate) fn verify_public(
    public: &Path,
    trust: &Trust,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verdict, LogError> {
    let checkpoint = read_published(&public.join("checkpoint"), trust)?;
    let mut walk = Walk::default();
    walk_tiles(&Reader::new(public.to_path_buf()), &mut walk, &checkpoint, progress)?;
    Ok(walk.verdict(checkpoint.size(), checkpoint))
}
