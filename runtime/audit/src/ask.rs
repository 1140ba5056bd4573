//! Questions to a log, whether it is running or only read.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value};
use tlog_tiles::{EMPTY_HASH, Hash};

use crate::checkpoint::Checkpoint;
use crate::receipt::{self, ReceiptBody};
use crate::recorded::Position;
use crate::tree::{Hashes, TileSource, leaf_hash};
use crate::trust::Trust;
use crate::view::View;
use crate::{Entry, LogError, Receipt};

/// An inclusion proof, checked before it is given away.
pub(crate) fn inclusion(
    view: &View,
    index: u64,
    leaf: [u8; 32],
    checkpoint: &Checkpoint,
) -> Result<Vec<[u8; 32]>, LogError> {
    inclusion_of(&Hashes::new(view, checkpoint.size()), index, leaf, checkpoint)
}

fn inclusion_of(
    hashes: &Hashes<'_, View>,
    index: u64,
    leaf: [u8; 32],
    checkpoint: &Checkpoint,
) -> Result<Vec<[u8; 32]>, LogError> {
    let (size, root) = (checkpoint.size(), Hash(*checkpoint.root()));
    if index >= size {
        return Err(LogError::NoEntry);
    }
    let proof = hashes.ask(|hashes| tlog_tiles::prove_record(size, index, hashes))?;
    tlog_tiles::check_record(&proof, size, root, index, Hash(leaf))
        .map_err(|_| LogError::damaged(format!("entry {index} does not hash to the signed root")))?;
    Ok(proof.into_iter().map(|hash| hash.0).collect())
}

/// A consistency proof between two sizes.
pub(crate) fn consistency(tiles: &impl TileSource, old: u64, size: u64) -> Result<Vec<[u8; 32]>, LogError> {
    if old == 0 || old > size {
        return Err(LogError::NoEntry);
    }
    let hashes = Hashes::new(tiles, size);
    let proof = hashes.ask(|hashes| tlog_tiles::prove_tree(size, old, hashes))?;
    Ok(proof.into_iter().map(|hash| hash.0).collect())
}

/// Whether an earlier checkpoint is the beginning of this one.
pub(crate) fn extends(view: &View, earlier: &Checkpoint, newest: &Checkpoint, trust: &Trust) -> Result<(), LogError> {
    trust.check_log(earlier).map_err(|_| LogError::Key)?;
    let (old, new) = (earlier.size(), newest.size());
    let differs = || LogError::disagree(format!("the log of {new} entries does not continue the one of {old}"));
    if old == 0 {
        return if *earlier.root() == EMPTY_HASH.0 { Ok(()) } else { Err(differs()) };
    }
    if old > new {
        return Err(differs());
    }
    let proof = consistency(view, old, new)?.into_iter().map(Hash).collect();
    tlog_tiles::check_tree(&proof, new, Hash(*newest.root()), old, Hash(*earlier.root())).map_err(|_| differs())
}

/// One entry, proven.
pub(crate) fn entry(view: &View, index: u64, checkpoint: &Checkpoint) -> Result<Entry, LogError> {
    let bytes = view.entry(index)?;
    inclusion(view, index, leaf_hash(&bytes), checkpoint)?;
    Ok(Entry::parse(&bytes)?)
}

/// The text of a `tlog-proof` for one entry.
pub(crate) fn tlog_proof(view: &View, index: u64, checkpoint: &Checkpoint) -> Result<String, LogError> {
    let bytes = view.entry(index)?;
    let proof = inclusion(view, index, leaf_hash(&bytes), checkpoint)?;
    Ok(receipt::tlog_proof(index, &proof, checkpoint))
}

/// The receipt of one entry.
pub(crate) fn receipt(
    view: &View,
    position: &Position,
    body: Map<String, Value>,
    checkpoint: Checkpoint,
) -> Result<Receipt, LogError> {
    let index = position.index();
    if index >= checkpoint.size() {
        return Err(LogError::Unwitnessed);
    }
    let bytes = view.entry(index)?;
    if leaf_hash(&bytes) != *position.leaf_hash() {
        return Err(LogError::damaged(format!("entry {index} does not hash to its leaf")));
    }
    let hashes = Hashes::new(view, checkpoint.size());
    let body = ReceiptBody::new(body).map_err(|_| LogError::ReceiptBody)?;
    prove(&hashes, position, Entry::parse(&bytes)?, body, &Arc::new(checkpoint))
}

/// The receipts of entries that were appended just now, under one checkpoint: their proofs share most hashes.
pub(crate) fn receipts(
    view: &View,
    wanted: Vec<Result<(Position, Entry, ReceiptBody), LogError>>,
    checkpoint: Checkpoint,
) -> Vec<Result<(Position, Receipt), LogError>> {
    let (hashes, checkpoint) = (Hashes::new(view, checkpoint.size()), Arc::new(checkpoint));
    let receipt = |wanted: Result<(Position, Entry, ReceiptBody), LogError>| {
        let (position, entry, body) = wanted?;
        let receipt = prove(&hashes, &position, entry, body, &checkpoint)?;
        Ok((position, receipt))
    };
    wanted.into_iter().map(receipt).collect()
}

/// A receipt, with its proof. The entry is the one of the position; a position of another log names another leaf, and fails
/// here.
fn prove(
    hashes: &Hashes<'_, View>,
    position: &Position,
    entry: Entry,
    body: ReceiptBody,
    checkpoint: &Arc<Checkpoint>,
) -> Result<Receipt, LogError> {
    let index = position.index();
    if index >= checkpoint.size() {
        return Err(LogError::Unwitnessed);
    }
    let proof = inclusion_of(hashes, index, *position.leaf_hash(), checkpoint)?;
    Receipt::assemble(body, entry, index, proof, Arc::clone(checkpoint)).ok_or(LogError::ReceiptBody)
}

/// The entries of a range, in order, taken a bundle at a time.
pub(crate) fn entries(
    range: Range<u64>,
    mut run: impl FnMut(u64) -> Result<Vec<Arc<[u8]>>, LogError>,
) -> impl Iterator<Item = Result<(u64, Entry), LogError>> {
    let mut held = Vec::new().into_iter();
    range.map(move |index| {
        let bytes = match held.next() {
            Some(bytes) => bytes,
            None => {
                held = run(index)?.into_iter();
                held.next().ok_or(LogError::NoEntry)?
            }
        };
        Ok((index, Entry::parse(&bytes)?))
    })
}
