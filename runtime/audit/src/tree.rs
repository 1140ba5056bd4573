//! The Merkle tree as the log sees it. All arithmetic is that of the `tlog_tiles` crate (RFC 6962
//! section 2.1); here is only where its hashes are kept.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tlog_tiles::{Error, Hash, HashReader, Tile};

use crate::LogError;

/// The height of a tile: 256 hashes (`tlog-tiles`).
pub(crate) const HEIGHT: u8 = 8;

/// How many hashes or entries a full tile has.
pub(crate) const WIDTH: u64 = 256;

/// The most entries that a log may have. Far beyond any use; it keeps index arithmetic from overflow.
pub(crate) const MAX_SIZE: u64 = 1 << 48;

/// A tile that has just become full.
#[derive(Debug, Clone)]
pub(crate) struct FullTile {
    pub(crate) level: u8,
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The right edge of the tree: on each level the hashes of the tile that is not full yet. It is all
/// that is needed to append and to tell the root, so the cost of an append does not grow with the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edge {
    size: u64,
    levels: Vec<Vec<u8>>,
}

impl Edge {
    /// The edge of a tree of `size`, from the partial tiles' bytes, lowest level first.
    pub(crate) fn from_tiles(size: u64, levels: Vec<Vec<u8>>) -> Self {
        Self { size, levels }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf hash. Tiles that become full are handed to `full`, lowest level first.
    pub(crate) fn push(&mut self, leaf: [u8; 32], full: &mut Vec<FullTile>) {
        self.push_at(0, leaf, full);
    }

    /// Adds the hash of a full tile of level 0, for 256 leaves at once; the size is a multiple of 256.
    pub(crate) fn push_tile(&mut self, hash: [u8; 32], full: &mut Vec<FullTile>) {
        debug_assert!(self.size.is_multiple_of(WIDTH));
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        self.push_at(1, hash, full);
    }

    fn push_at(&mut self, lowest: u8, mut hash: [u8; 32], full: &mut Vec<FullTile>) {
        let span = |level: u8| 1_u64 << (u32::from(HEIGHT) * u32::from(level));
        let before = self.size;
        self.size += span(lowest);
        for level in lowest..HEIGHT - 1 {
            let index = usize::from(level);
            if self.levels.len() == index {
                self.levels.push(Vec::with_capacity(32 * 256));
            }
            self.levels[index].extend_from_slice(&hash);
            if self.levels[index].len() < 32 * 256 {
                return;
            }
            let bytes = std::mem::replace(&mut self.levels[index], Vec::with_capacity(32 * 256));
            hash = Tile::subtree_hash(&bytes).0;
            full.push(FullTile { level, number: before / span(level + 1), bytes });
        }
    }

    /// The root hash.
    pub(crate) fn root(&self) -> [u8; 32] {
        tlog_tiles::tree_hash(self.size, self)
            .expect("the edge holds every hash that the root is made of, and nothing else is asked")
            .0
    }

    /// The partial tiles: level, number, bytes. Empty ones are left out.
    pub(crate) fn partial(&self) -> impl Iterator<Item = (u8, u64, &[u8])> {
        (0..HEIGHT)
            .zip(&self.levels)
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(level, bytes)| (level, self.size >> (u32::from(HEIGHT) * (u32::from(level) + 1)), bytes.as_slice()))
    }
}

impl HashReader for Edge {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        indexes
            .iter()
            .map(|&index| {
                let tile = Tile::from_index(HEIGHT, index);
                let bytes = self.levels.get(usize::from(tile.level())).ok_or(Error::IndexesNotInTree)?;
                tile.hash_at_index(bytes, index)
            })
            .collect()
    }
}

/// Anything that can give the first `width` hashes of a tile.
pub(crate) trait TileSource {
    /// At least `width` hashes of tile `number` on `level`.
    fn tile(&self, level: u8, number: u64, width: u32) -> Result<Vec<u8>, LogError>;
}

/// Reads stored hashes of a tree of a fixed size out of tiles, each tile once. It is made for one
/// question and then dropped.
pub(crate) struct Hashes<'a, S> {
    source: &'a S,
    size: u64,
    tiles: RefCell<HashMap<(u8, u64), Vec<u8>>>,
    /// What was asked before: the proofs of neighbours share most of their hashes.
    known: RefCell<HashMap<u64, Hash>>,
    failed: Cell<Option<LogError>>,
}

impl<'a, S: TileSource> Hashes<'a, S> {
    pub(crate) fn new(source: &'a S, size: u64) -> Self {
        Self { source, size, tiles: RefCell::default(), known: RefCell::default(), failed: Cell::new(None) }
    }

    /// Runs `question` and gives the source's own error when that is why it failed.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, LogError> {
        question(self)
            .map_err(|error| self.failed.take().unwrap_or_else(|| LogError::damaged(format!("hash tree: {error}"))))
    }

    fn hash(&self, index: u64) -> Result<Hash, Error> {
        let known = self.known.borrow().get(&index).copied();
        match known {
            Some(hash) => Ok(hash),
            None => {
                let hash = self.compute(index)?;
                self.known.borrow_mut().insert(index, hash);
                Ok(hash)
            }
        }
    }

    fn compute(&self, index: u64) -> Result<Hash, Error> {
        let least = Tile::from_index(HEIGHT, index);
        let (level, number) = (least.level(), least.level_index());
        // The whole width that the tree of this size has, so that one read serves later questions.
        let there = (self.size >> (u32::from(HEIGHT) * u32::from(level))).saturating_sub(number * WIDTH);
        let width = u32::try_from(there.min(WIDTH)).map_err(|_| Error::BadMath)?;
        if width < least.width() {
            return Err(Error::IndexesNotInTree);
        }
        let mut tiles = self.tiles.borrow_mut();
        let bytes = match tiles.entry((level, number)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let bytes = self.source.tile(level, number, width).map_err(|error| {
                    self.failed.set(Some(error));
                    Error::InvalidTile
                })?;
                entry.insert(bytes)
            }
        };
        least.hash_at_index(bytes, index)
    }
}

impl<S: TileSource> HashReader for Hashes<'_, S> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        indexes.iter().map(|&index| self.hash(index)).collect()
    }
}

/// The leaf hash of an entry: `SHA-256(0x00 || entry)` (RFC 6962 section 2.1).
pub(crate) fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    tlog_tiles::record_hash(entry).0
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stored(Vec<Hash>);
    impl HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
            indexes.iter().map(|&i| self.0.get(i as usize).copied().ok_or(Error::IndexesNotInTree)).collect()
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_whole_tree_at_every_size_across_two_levels() {
        let (mut edge, mut all, mut full) = (Edge::default(), Stored(Vec::new()), Vec::new());
        assert_eq!(edge.root(), tlog_tiles::EMPTY_HASH.0);
        for n in 0..66_000_u64 {
            let data = n.to_be_bytes();
            let hashes = tlog_tiles::stored_hashes(n, &data, &all).unwrap();
            all.0.extend(hashes);
            edge.push(leaf_hash(&data), &mut full);
            if !(600..=65_500).contains(&n) {
                assert_eq!(edge.root(), tlog_tiles::tree_hash(n + 1, &all).unwrap().0, "{n}");
            }
        }
        assert_eq!(full.len(), 66_000 / 256 + 1, "257 full tiles on level 0, one on level 1");
        let partial: Vec<_> = edge.partial().map(|(l, n, b)| (l, n, b.len() / 32)).collect();
        assert_eq!(partial, [(0, 257, 66_000 - 257 * 256), (1, 1, 1), (2, 0, 1)]);
    }
}
