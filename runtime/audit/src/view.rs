//! What readers see of a running log: everything that is committed, published or not.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::LogError;
use crate::checkpoint::Checkpoint;
use crate::tiles;
use crate::tree::{Edge, FullTile, TileSource, WIDTH};

/// The committed end of the log, in memory. What is older is read from full tiles on disk. Its size
/// is bounded by the journal: nothing stays here once it is published.
#[derive(Debug)]
pub(crate) struct Recent {
    /// The newest durable checkpoint, with the log's own signatures.
    pub(crate) checkpoint: Checkpoint,
    /// The newest one with as many cosignatures as are required.
    pub(crate) witnessed: Checkpoint,
    /// The edge of the tree of `checkpoint`.
    pub(crate) edge: Edge,
    /// The index of the first entry in `entries`; a multiple of 256.
    pub(crate) base: u64,
    pub(crate) entries: VecDeque<Arc<[u8]>>,
    /// Full tiles that are not on disk yet.
    pub(crate) full: HashMap<(u8, u64), Arc<FullTile>>,
}

impl Recent {
    /// Adds a committed batch.
    pub(crate) fn extend(&mut self, entries: Vec<Arc<[u8]>>, full: Vec<FullTile>, edge: Edge, checkpoint: Checkpoint) {
        self.entries.extend(entries);
        self.full.extend(full.into_iter().map(|tile| ((tile.level, tile.number), Arc::new(tile))));
        self.edge = edge;
        self.checkpoint = checkpoint;
    }

    /// The full tiles that are not on disk yet, lowest level first.
    pub(crate) fn full_tiles(&self) -> Vec<Arc<FullTile>> {
        let mut full: Vec<_> = self.full.values().cloned().collect();
        full.sort_by_key(|tile| (tile.level, tile.number));
        full
    }

    /// Forgets what is on disk now that `size` entries are published.
    pub(crate) fn forget(&mut self, size: u64, written: &[Arc<FullTile>]) {
        while self.base + WIDTH <= size {
            self.entries.drain(..WIDTH as usize);
            self.base += WIDTH;
        }
        for tile in written {
            self.full.remove(&(tile.level, tile.number));
        }
    }
}

/// The shared view.
#[derive(Debug)]
pub(crate) struct View {
    reader: tiles::Reader,
    recent: Mutex<Recent>,
}

impl View {
    pub(crate) fn new(reader: tiles::Reader, recent: Recent) -> Self {
        Self { reader, recent: Mutex::new(recent) }
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        // Every change to it is a few assignments that cannot panic half way.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a committed entry.
    pub(crate) fn entry(&self, index: u64) -> Result<Arc<[u8]>, LogError> {
        {
            let recent = self.recent();
            if index >= recent.checkpoint.size() {
                return Err(LogError::NoEntry);
            }
            if index >= recent.base {
                let place = usize::try_from(index - recent.base).map_err(|_| LogError::NoEntry)?;
                return recent.entries.get(place).cloned().ok_or(LogError::NoEntry);
            }
        }
        let bundle = self.reader.bundle(index / WIDTH, WIDTH)?;
        bundle.into_iter().nth((index % WIDTH) as usize).map(Arc::from).ok_or(LogError::NoEntry)
    }

    /// Up to a bundle's worth of entries from `index` on, below `end`.
    pub(crate) fn run(&self, index: u64, end: u64) -> Result<Vec<Arc<[u8]>>, LogError> {
        let end = end.min((index / WIDTH + 1) * WIDTH);
        let length = usize::try_from(end.saturating_sub(index)).unwrap_or_default();
        {
            let recent = self.recent();
            if index >= recent.base {
                let skip = usize::try_from(index - recent.base).unwrap_or(usize::MAX);
                return Ok(recent.entries.iter().skip(skip).take(length).cloned().collect());
            }
        }
        let bundle = self.reader.bundle(index / WIDTH, WIDTH)?;
        Ok(bundle.into_iter().skip((index % WIDTH) as usize).take(length).map(Arc::from).collect())
    }
}

impl TileSource for View {
    fn tile(&self, level: u8, number: u64, width: u32) -> Result<Vec<u8>, LogError> {
        let length = 32 * width as usize;
        {
            let recent = self.recent();
            let full = recent.full.get(&(level, number)).map(|tile| tile.bytes.as_slice());
            let partial =
                || recent.edge.partial().find(|(l, n, _)| (*l, *n) == (level, number)).map(|(_, _, bytes)| bytes);
            if let Some(bytes) = full.or_else(partial).and_then(|bytes| bytes.get(..length)) {
                return Ok(bytes.to_vec());
            }
        }
        // Neither new nor partial, so it is a full one on disk.
        let mut bytes = self.reader.tile(level, number, WIDTH as u32)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}
