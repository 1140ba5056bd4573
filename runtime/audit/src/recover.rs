//! Recovery: from lock and storage to a log that can go on, or a clear refusal.
//!
//! The lock decides. What it names was durable in the journal before it was written, so the tiles
//! can be rebuilt up to it; what the journal holds beyond it was never acknowledged and is dropped.

use crate::checkpoint::Checkpoint;
use crate::files::{self, Layout};
use crate::journal::{Journal, Record};
use crate::key::VerifyingKey;
use crate::lock::{self, Lock};
use crate::log::State;
use crate::note::MAX_NOTE_BYTES;
use crate::tiles::{self, Reader};
use crate::tree::{Edge, HEIGHT, Hashes, TileSource, WIDTH, leaf_hash};
use crate::{LogError, tree};

/// Opens the state of a log. The caller holds the writer's file lock.
pub(crate) fn recover(layout: &Layout, key: &VerifyingKey) -> Result<State, LogError> {
    let mut lock = Lock::open(&layout.lock())?;
    let locked = believe(&lock.held().note, key)?;
    // Whatever the kernel shows of a swap that failed to sync may be gone after the next power
    // failure. Writing it once more, durably, comes before anybody can see it.
    let note = lock.held().note.clone();
    lock.swap(&note)?;

    let reader = Reader::new(layout.public());
    let records = committed(Journal::records(&layout.journal())?, &locked);
    let (base, base_root) = match records.first() {
        Some(first) => (first.start, first.root_before),
        None => (locked.size(), *locked.root()),
    };
    let edge = load_edge(&reader, base)?;
    if edge.root() != base_root {
        return Err(LogError::damaged(format!("the tiles of size {base} do not hash to the signed root")));
    }
    let mut state = State {
        lock,
        journal: Journal::open(&layout.journal())?,
        tiles: tiles::Writer::new(layout.public()),
        edge,
        tail: if base % WIDTH == 0 { Vec::new() } else { reader.bundle(base / WIDTH, base % WIDTH)? },
        tail_number: base / WIDTH,
        checkpoint: locked.clone(),
        stopped: false,
    };
    check_tail(&state.edge, &state.tail)?;
    replay(&mut state, records, &locked)?;
    check_published(layout, key, &reader, &locked)?;
    state.tiles.publish(&locked.to_string())?;
    state.tiles.flush()?;
    state.journal.reset()?;
    Ok(state)
}

/// Reads a checkpoint that must be ours.
pub(crate) fn believe(note: &[u8], key: &VerifyingKey) -> Result<Checkpoint, LogError> {
    let checkpoint = Checkpoint::parse(note).map_err(|_| LogError::damaged("the lock does not hold a checkpoint"))?;
    checkpoint.verify(key).map_err(|_| LogError::Key)?;
    Ok(checkpoint)
}

/// The records that lead up to the locked size. What stands beyond it was never acknowledged; when
/// the chain does not reach it, the journal was started anew after a flush and has nothing to say.
pub(crate) fn committed(mut records: Vec<Record>, locked: &Checkpoint) -> Vec<Record> {
    records.retain(|record| record.end() <= locked.size());
    if records.last().is_some_and(|last| last.end() == locked.size()) { records } else { Vec::new() }
}

/// The edge of the tree of `size`, from the stored partial tiles.
fn load_edge(reader: &Reader, size: u64) -> Result<Edge, LogError> {
    let mut levels = Vec::new();
    let mut there = size;
    for level in 0..HEIGHT {
        if there == 0 {
            break;
        }
        let width = u32::try_from(there % WIDTH).unwrap_or_default();
        levels.push(match width {
            0 => Vec::new(),
            width => reader.tile(level, there / WIDTH, width)?,
        });
        there /= WIDTH;
    }
    Ok(Edge::from_tiles(size, levels))
}

/// The entries of the partial bundle must be the ones whose hashes stand in the partial tile.
fn check_tail(edge: &Edge, tail: &[Vec<u8>]) -> Result<(), LogError> {
    let hashes: Vec<u8> = tail.iter().flat_map(|entry| leaf_hash(entry)).collect();
    let stored = edge.partial().find(|(level, ..)| *level == 0).map(|(_, _, bytes)| bytes);
    if stored.unwrap_or_default() == hashes {
        Ok(())
    } else {
        Err(LogError::damaged("the last entry bundle does not hash to its tile"))
    }
}

/// Puts the staged batches into the tiles.
fn replay(state: &mut State, records: Vec<Record>, locked: &Checkpoint) -> Result<(), LogError> {
    let mut full = Vec::new();
    let mut entries = Vec::new();
    for record in records {
        for entry in record.entries {
            state.edge.push(leaf_hash(&entry), &mut full);
            entries.push(entry);
        }
        if state.edge.root() != record.root_after {
            return Err(LogError::damaged("a staged batch does not hash to its root"));
        }
    }
    if state.edge.root() != *locked.root() {
        return Err(LogError::damaged("what is staged does not hash to the signed root"));
    }
    state.put_tiles(entries, &full)
}

/// What was published before must be a part of what the lock says.
fn check_published(layout: &Layout, key: &VerifyingKey, reader: &Reader, locked: &Checkpoint) -> Result<(), LogError> {
    // An empty file is what a power failure leaves of a rename that was never synced.
    let bytes = files::read_bounded(&layout.checkpoint(), MAX_NOTE_BYTES)?.unwrap_or_default();
    if bytes.is_empty() {
        return Ok(());
    }
    let published = Checkpoint::parse(&bytes).map_err(|_| LogError::damaged("the published checkpoint is not one"))?;
    published.verify(key).map_err(|_| LogError::damaged("the published checkpoint is not signed by this key"))?;
    if published.size() > locked.size() {
        return Err(LogError::disagree(format!(
            "the published checkpoint has {} entries, the lock {}: an older lock was restored",
            published.size(),
            locked.size()
        )));
    }
    let hashes = Hashes::new(reader, published.size());
    let root = hashes.ask(|hashes| tlog_tiles::tree_hash(published.size(), hashes))?;
    if root.0 != *published.root() {
        return Err(LogError::disagree(format!(
            "the published checkpoint and the stored tiles have different roots at size {}",
            published.size()
        )));
    }
    Ok(())
}

/// Reads the lock's checkpoint beside a running writer.
pub(crate) fn peek_locked(layout: &Layout, key: &VerifyingKey) -> Result<Checkpoint, LogError> {
    // A slot is one write of one page; a reader that catches it half written sees the other slot,
    // which is the one before, and that is a true answer too.
    let held = lock::peek(&layout.lock())?.ok_or_else(|| LogError::damaged("no slot of the lock is whole"))?;
    let checkpoint = believe(&held.note, key)?;
    debug_assert!(checkpoint.size() <= tree::MAX_SIZE);
    Ok(checkpoint)
}
