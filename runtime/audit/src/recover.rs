//! Recovery: from lock and storage to a log that can go on, or a clear refusal.
//!
//! The lock decides. What it names was durable in the journal before it was written, so the tiles
//! can be rebuilt up to it; what the journal holds beyond it was never acknowledged and is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::files::{self, Layout};
use crate::journal::{Journal, Record};
use crate::lock::{self, Agreed, Lock};
use crate::note::MAX_NOTE_BYTES;
use crate::publisher;
use crate::sequencer::{Desk, SEAL_KIND};
use crate::tiles::{self, Reader};
use crate::tree::{Edge, HEIGHT, Hashes, TileSource, WIDTH, leaf_hash};
use crate::trust::Trust;
use crate::view::{Recent, View};
use crate::{Entry, LogError};

/// What recovery gives to the log that starts.
pub(crate) struct Recovered {
    pub(crate) desk: Desk,
    pub(crate) tiles: tiles::Writer,
    pub(crate) view: View,
}

/// Opens the state of a log. The caller holds the writer's file lock.
pub(crate) fn recover(layout: &Layout, trust: &Trust, agree: Option<Agreed>) -> Result<Recovered, LogError> {
    let mut lock = Lock::open(&layout.lock(), agree)?;
    let locked = believe(&lock.held().note, trust)?;
    // Whatever the kernel shows of a swap that failed to sync may be gone after the next power
    // failure. Writing it once more, durably, comes before anybody can see it.
    let note = lock.held().note.clone();
    lock.swap(&note)?;

    check_published(layout, trust, &locked)?;
    let records = committed(Journal::records(&layout.journal())?, &locked);
    let (view, base) = read_view(Reader::new(layout.public()), records, &locked)?;
    check_history(layout, &view, &locked)?;
    // The public folder is complete and durable before the journal forgets.
    let mut tiles = tiles::Writer::new(layout.public());
    publisher::publish_all(&mut tiles, &mut view.recent(), base)?;
    publish_checkpoint(layout, &locked)?;
    let mut journal = Journal::open(&layout.journal())?;
    journal.reset()?;
    let last = locked.size().checked_sub(1).map(|last| view.entry(last)).transpose()?;
    let sealed = last.is_some_and(|last| Entry::parse(&last).is_ok_and(|entry| entry.kind() == SEAL_KIND));
    let desk = Desk { lock, journal, edge: view.recent().edge.clone(), sealed, flushed: 0 };
    Ok(Recovered { desk, tiles, view })
}

/// Reads the end of the log, staged batches and all. Gives the size that the tiles have for certain.
pub(crate) fn read_view(reader: Reader, records: Vec<Record>, locked: &Checkpoint) -> Result<(View, u64), LogError> {
    let (base, base_root) = match records.first() {
        Some(first) => (first.start, first.root_before),
        None => (locked.size(), *locked.root()),
    };
    let edge = load_edge(&reader, base)?;
    if edge.root() != base_root {
        return Err(LogError::damaged(format!("the tiles of size {base} do not hash to the signed root")));
    }
    let first = base - base % WIDTH;
    let tail = if base == first { Vec::new() } else { reader.bundle(base / WIDTH, base % WIDTH)? };
    check_tail(&edge, &tail)?;
    let mut recent = Recent {
        checkpoint: locked.clone(),
        witnessed: locked.clone(),
        edge,
        base: first,
        entries: tail.into_iter().map(Arc::from).collect(),
        full: HashMap::new(),
    };
    replay(&mut recent, records, locked)?;
    Ok((View::new(reader, recent), base))
}

/// Reads a checkpoint that must be ours.
pub(crate) fn believe(note: &[u8], trust: &Trust) -> Result<Checkpoint, LogError> {
    let checkpoint = Checkpoint::parse(note).map_err(|_| LogError::damaged("the lock does not hold a checkpoint"))?;
    trust.check_log(&checkpoint).map_err(|_| LogError::Key)?;
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

/// Puts the staged batches onto the edge.
fn replay(recent: &mut Recent, records: Vec<Record>, locked: &Checkpoint) -> Result<(), LogError> {
    let mut edge = recent.edge.clone();
    for record in records {
        let mut full = Vec::new();
        for entry in &record.entries {
            edge.push(leaf_hash(entry), &mut full);
        }
        if edge.root() != record.root_after {
            return Err(LogError::damaged("a staged batch does not hash to its root"));
        }
        let entries = record.entries.into_iter().map(Arc::from).collect();
        recent.extend(entries, full, edge.clone(), locked.clone());
    }
    if recent.edge.root() == *locked.root() {
        Ok(())
    } else {
        Err(LogError::damaged("what is staged does not hash to the signed root"))
    }
}

/// The checkpoint that was published before, if it is there. An empty file is what a power failure
/// leaves of a rename that was never synced.
fn published(layout: &Layout) -> Result<Option<Checkpoint>, LogError> {
    let bytes = files::read_bounded(&layout.checkpoint(), MAX_NOTE_BYTES)?.unwrap_or_default();
    if bytes.is_empty() {
        return Ok(None);
    }
    let checkpoint = Checkpoint::parse(&bytes).map_err(|_| LogError::damaged("the published checkpoint is not one"))?;
    Ok(Some(checkpoint))
}

/// What was published before is by us and not ahead of the lock.
fn check_published(layout: &Layout, trust: &Trust, locked: &Checkpoint) -> Result<(), LogError> {
    let Some(published) = published(layout)? else { return Ok(()) };
    trust
        .check_log(&published)
        .map_err(|_| LogError::damaged("the published checkpoint is not signed by this log's key"))?;
    if published.size() > locked.size() {
        return Err(LogError::disagree(format!(
            "the published checkpoint has {} entries, the lock {}: an older lock was restored",
            published.size(),
            locked.size()
        )));
    }
    Ok(())
}

/// What was published before is the beginning of what the lock says.
fn check_history(layout: &Layout, view: &View, locked: &Checkpoint) -> Result<(), LogError> {
    if let Some(published) = published(layout)? {
        let hashes = Hashes::new(view, locked.size());
        let root = hashes.ask(|hashes| tlog_tiles::tree_hash(published.size(), hashes))?;
        if root.0 != *published.root() {
            return Err(LogError::disagree(format!(
                "the published checkpoint and the stored tiles have different roots at size {}",
                published.size()
            )));
        }
    }
    Ok(())
}

fn publish_checkpoint(layout: &Layout, locked: &Checkpoint) -> Result<(), LogError> {
    files::replace(&layout.checkpoint(), locked.to_string().as_bytes())?;
    files::sync_file(&layout.checkpoint())?;
    files::sync_folder(&layout.public())
}

/// Reads the lock's checkpoint beside a running writer.
pub(crate) fn peek_locked(layout: &Layout, trust: &Trust) -> Result<Checkpoint, LogError> {
    // A slot is one write of one page; a reader that catches it half written sees the other slot,
    // which is the one before, and that is a true answer too.
    let held = lock::peek(&layout.lock())?.ok_or_else(|| LogError::damaged("no slot of the lock is whole"))?;
    believe(&held.note, trust)
}
