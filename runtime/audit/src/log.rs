//! The log: append, and what is asked of it while it runs.

use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value};
use tlog_tiles::Hash;

use crate::checkpoint::Checkpoint;
use crate::files::{self, Layout};
use crate::journal::{self, Journal};
use crate::key::SigningKey;
use crate::lock::Lock;
use crate::recorded::{Position, Recorded};
use crate::tiles::{self, Kind};
use crate::tree::{Edge, FullTile, Hashes, MAX_SIZE, WIDTH, leaf_hash};
use crate::verify::Verdict;
use crate::{Entry, LogError, Receipt, VerifyingKey, recover};

/// A log that is open for appending. Clones are handles of the same log; the folder is free for
/// another process when the last one is dropped.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    key: SigningKey,
    state: Mutex<State>,
    /// Holds the advisory lock of the folder for as long as the log is open.
    _writer: File,
}

/// What the one appender at a time changes.
pub(crate) struct State {
    pub(crate) lock: Lock,
    pub(crate) journal: Journal,
    pub(crate) tiles: tiles::Writer,
    pub(crate) edge: Edge,
    /// The entries of the bundle that is not full yet.
    pub(crate) tail: Vec<Vec<u8>>,
    /// The number of that bundle.
    pub(crate) tail_number: u64,
    /// The newest checkpoint that is on stable storage.
    pub(crate) checkpoint: Checkpoint,
    /// Set by the first fatal error, never unset.
    pub(crate) stopped: bool,
}

impl Log {
    /// Makes a new, empty log in `dir`, which must not exist or be empty. The log's origin is the
    /// key's name. All or nothing: a process that is killed in between leaves no half log.
    ///
    /// # Errors
    /// [`LogError::Exists`], [`LogError::Disk`].
    pub fn create(dir: &Path, key: SigningKey) -> Result<Self, LogError> {
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = dir.file_name().ok_or(LogError::Exists)?.to_string_lossy();
        let building = parent.join(format!(".{name}.{}.new", std::process::id()));
        if building.exists() {
            fs::remove_dir_all(&building).map_err(LogError::disk("remove an unfinished log"))?;
        }
        let made = build(&Layout::new(&building), &key);
        let renamed = made.and_then(|()| {
            fs::rename(&building, dir).map_err(|error| match error.kind() {
                std::io::ErrorKind::DirectoryNotEmpty
                | std::io::ErrorKind::AlreadyExists
                | std::io::ErrorKind::NotADirectory => LogError::Exists,
                _ => LogError::Disk { action: "name the log's folder", source: error },
            })
        });
        if let Err(error) = renamed {
            let _ = fs::remove_dir_all(&building);
            return Err(error);
        }
        files::sync_folder(parent)?;
        Self::open(dir, key)
    }

    /// Opens the log in `dir` and finishes what an earlier process left unfinished.
    ///
    /// # Errors
    /// [`LogError::Absent`], [`LogError::Busy`], [`LogError::Key`], and what recovery finds:
    /// [`LogError::Damaged`], [`LogError::Disagree`], [`LogError::Disk`].
    pub fn open(dir: &Path, key: SigningKey) -> Result<Self, LogError> {
        let layout = Layout::new(dir);
        if !layout.lock().exists() {
            return Err(LogError::Absent);
        }
        let writer = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(layout.writer())
            .map_err(LogError::disk("open the writer file"))?;
        writer.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogError::Busy,
            TryLockError::Error(source) => LogError::Disk { action: "lock the writer file", source },
        })?;
        let state = recover::recover(&layout, &key.verifying_key())?;
        let inner = Inner { layout, key, state: Mutex::new(state), _writer: writer };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(|poisoned| {
            // A panic in the middle of an append leaves the state unknown: stop, as after a failed write.
            let mut state = poisoned.into_inner();
            state.stopped = true;
            state
        })
    }

    /// Appends an entry. Returns when it is on stable storage and covered by a signed checkpoint
    /// that is there as well. After an error of which [`LogError::is_fatal`] holds, the entry may or
    /// may not be in the log; opening it anew tells.
    ///
    /// # Errors
    /// [`LogError::Stopped`], [`LogError::Disk`], [`LogError::Disagree`].
    pub fn append(&self, entry: Entry) -> Result<Position, LogError> {
        let mut state = self.state();
        if state.stopped {
            return Err(LogError::Stopped);
        }
        let result = state.commit(&self.inner.key, &[entry.bytes()]);
        state.stopped = result.is_err();
        result.map(|start| Position::new(start, leaf_hash(entry.bytes())))
    }

    /// Appends an entry and gives the value back as one whose entry is in the log.
    ///
    /// # Errors
    /// Those of [`Log::append`]. The value is dropped: what could not be logged must not go on.
    pub fn record<T>(&self, entry: Entry, value: T) -> Result<Recorded<T>, LogError> {
        Ok(Recorded::new(value, self.append(entry)?))
    }

    /// How many entries the log has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.state().checkpoint.size()
    }

    /// The newest signed checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.state().checkpoint.clone()
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.inner.key.name()
    }

    /// The key that checks what this log signs.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.inner.key.verifying_key()
    }

    fn reader(&self) -> tiles::Reader {
        tiles::Reader::new(self.inner.layout.public())
    }

    /// Reads one entry and checks it against the tree.
    ///
    /// # Errors
    /// [`LogError::NoEntry`], [`LogError::Damaged`], [`LogError::Disk`].
    pub fn entry(&self, index: u64) -> Result<Entry, LogError> {
        let checkpoint = self.checkpoint();
        if index >= checkpoint.size() {
            return Err(LogError::NoEntry);
        }
        let bytes = self.read_bundle(index / WIDTH, checkpoint.size())?.swap_remove((index % WIDTH) as usize);
        self.prove(index, leaf_hash(&bytes), &checkpoint)?;
        Ok(Entry::parse(&bytes)?)
    }

    /// Where the entry of this index stands. Every entry that the log counts is durable.
    ///
    /// # Errors
    /// Those of [`Log::entry`].
    pub fn position(&self, index: u64) -> Result<Position, LogError> {
        let entry = self.entry(index)?;
        Ok(Position::new(index, leaf_hash(entry.bytes())))
    }

    fn read_bundle(&self, number: u64, size: u64) -> Result<Vec<Vec<u8>>, LogError> {
        let width = (size - number * WIDTH).min(WIDTH);
        self.reader().bundle(number, width)
    }

    /// Reads the entries of a range, in order, as far as the log has them. They are not proven one
    /// by one; [`Log::verify`] does that for the whole log.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = Result<(u64, Entry), LogError>> + use<> {
        let size = self.size();
        let log = self.clone();
        let mut bundle: (u64, Vec<Vec<u8>>) = (u64::MAX, Vec::new());
        (range.start..range.end.min(size)).map(move |index| {
            let number = index / WIDTH;
            if bundle.0 != number {
                bundle = (number, log.read_bundle(number, size)?);
            }
            let bytes = bundle.1.get((index % WIDTH) as usize).ok_or(LogError::NoEntry)?;
            Ok((index, Entry::parse(bytes)?))
        })
    }

    /// The inclusion proof of `index` in the tree of `checkpoint`, checked.
    fn prove(&self, index: u64, leaf: [u8; 32], checkpoint: &Checkpoint) -> Result<Vec<[u8; 32]>, LogError> {
        let (size, root) = (checkpoint.size(), Hash(*checkpoint.root()));
        let reader = self.reader();
        let hashes = Hashes::new(&reader, size);
        let proof = hashes.ask(|hashes| tlog_tiles::prove_record(size, index, hashes))?;
        tlog_tiles::check_record(&proof, size, root, index, Hash(leaf))
            .map_err(|_| LogError::damaged(format!("entry {index} does not hash to the signed root")))?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }

    /// Makes the receipt of an entry whose field `receipt` is the
    /// [`receipt_digest`](crate::receipt_digest) of `body`.
    ///
    /// # Errors
    /// [`LogError::ReceiptBody`] when the entry says otherwise, and those of [`Log::entry`].
    pub fn receipt(&self, position: &Position, body: Map<String, Value>) -> Result<Receipt, LogError> {
        let checkpoint = self.checkpoint();
        let index = position.index();
        if index >= checkpoint.size() {
            return Err(LogError::NoEntry);
        }
        let bytes = self.read_bundle(index / WIDTH, checkpoint.size())?.swap_remove((index % WIDTH) as usize);
        // A position of another log names another leaf, or fails the proof.
        let proof = self.prove(index, *position.leaf_hash(), &checkpoint)?;
        let entry = Entry::parse(&bytes)?;
        if leaf_hash(entry.bytes()) != *position.leaf_hash() {
            return Err(LogError::damaged(format!("entry {index} does not hash to its leaf")));
        }
        Receipt::assemble(body, entry, index, proof, checkpoint).ok_or(LogError::ReceiptBody)
    }

    /// Checks the whole log in `dir` against the key: every entry, every tile, the published
    /// checkpoint, the lock, and what is staged but not published yet. Reads only, and works beside
    /// a running writer. `progress` is told (entries checked, entries in all).
    ///
    /// # Errors
    /// [`LogError::Absent`], or the first thing that is wrong.
    pub fn verify(dir: &Path, key: &VerifyingKey, progress: &mut dyn FnMut(u64, u64)) -> Result<Verdict, LogError> {
        crate::verify::verify(&Layout::new(dir), key, progress)
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

/// Writes the files of an empty log and makes them durable.
fn build(layout: &Layout, key: &SigningKey) -> Result<(), LogError> {
    for folder in [layout.root().to_path_buf(), layout.public(), layout.private()] {
        fs::create_dir_all(folder).map_err(LogError::disk("make the log's folder"))?;
    }
    let note = Checkpoint::sign(key, 0, Edge::default().root()).to_string();
    Journal::create(&layout.journal())?;
    files::replace(&layout.checkpoint(), note.as_bytes())?;
    files::sync_file(&layout.checkpoint())?;
    Lock::create(&layout.lock(), note.as_bytes())?;
    for folder in [layout.public(), layout.private(), layout.root().to_path_buf()] {
        files::sync_folder(&folder)?;
    }
    Ok(())
}

impl State {
    /// Commits a batch: stage, sign, swap the lock, publish. Gives the index of the first entry.
    /// Any error is fatal, since the batch may be on the disk in part.
    fn commit(&mut self, key: &SigningKey, entries: &[&[u8]]) -> Result<u64, LogError> {
        let start = self.edge.size();
        if start + entries.len() as u64 > MAX_SIZE {
            return Err(LogError::damaged("the log is full"));
        }
        let mut payload = Vec::new();
        for entry in entries {
            journal::put_entry(&mut payload, entry);
        }
        if !self.journal.fits(payload.len()) {
            // Fatal on failure: records may only be overwritten once their tiles are durable.
            self.tiles.flush()?;
            self.journal.rewind();
        }
        let mut full = Vec::new();
        for entry in entries {
            self.edge.push(leaf_hash(entry), &mut full);
        }
        let root = self.edge.root();
        // Fatal on failure: the disk holds the record or not, and only a new reading can tell.
        self.journal.stage(start, entries.len() as u32, self.checkpoint.root(), &root, &payload)?;
        let checkpoint = Checkpoint::sign(key, self.edge.size(), root);
        // Fatal on failure: the new checkpoint may have reached the disk, so that signing another
        // one for the same size could give that size two roots.
        self.lock.swap(checkpoint.to_string().as_bytes())?;
        self.put_tiles(entries.iter().map(|entry| entry.to_vec()).collect(), &full)?;
        self.tiles.publish(&checkpoint.to_string())?;
        self.checkpoint = checkpoint;
        Ok(start)
    }

    /// Writes the tiles of new entries. The checkpoint that covers them is published afterwards, so
    /// that whoever follows the public folder never sees a checkpoint before its tiles.
    pub(crate) fn put_tiles(&mut self, entries: Vec<Vec<u8>>, full: &[FullTile]) -> Result<(), LogError> {
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            self.tail.push(entry);
            if self.tail.len() as u64 == WIDTH {
                self.put_bundle()?;
                self.tail.clear();
                self.tail_number += 1;
            }
        }
        for tile in full {
            self.tiles.put(Kind::Hashes(tile.level), tile.number, WIDTH, &tile.bytes)?;
        }
        if !self.tail.is_empty() {
            self.put_bundle()?;
        }
        for (level, number, bytes) in self.edge.partial() {
            self.tiles.put(Kind::Hashes(level), number, bytes.len() as u64 / 32, bytes)?;
        }
        Ok(())
    }

    fn put_bundle(&mut self) -> Result<(), LogError> {
        let mut bytes = Vec::new();
        for entry in &self.tail {
            journal::put_entry(&mut bytes, entry);
        }
        self.tiles.put(Kind::Entries, self.tail_number, self.tail.len() as u64, &bytes)
    }
}
