//! The log: append, and what is asked of it while it runs.

use std::fs;
use std::fs::{File, Permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::{Map, Value};

use crate::ask;
use crate::checkpoint::Checkpoint;
use crate::files::{self, Layout};
use crate::journal::Journal;
use crate::key::SigningKey;
use crate::lock::{Agree, Agreed, Lock};
use crate::options::{Options, Signers};
use crate::publisher::Publisher;
use crate::recorded::{Position, Recorded};
use crate::sequencer::Sequencer;
use crate::tree::{Edge, leaf_hash};
use crate::trust::Trust;
use crate::verify::Verdict;
use crate::view::View;
use crate::witness::Witnesses;
use crate::{Entry, LogError, Receipt, ReceiptBody, VerifyingKey, recover};

/// A log that is open for appending. Clones are handles of the same log; the folder is free for
/// another process when the last one is dropped.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

/// What the publisher's thread shares with the handles.
struct Shared {
    view: View,
    publisher: Publisher,
}

struct Inner {
    shared: Arc<Shared>,
    sequencer: Sequencer,
    layout: Layout,
    require_witnesses: bool,
    thread: Option<JoinHandle<()>>,
    /// Holds the advisory lock of the folder for as long as the log is open.
    _writer: File,
}

impl Log {
    /// Makes a new, empty log in `dir`, which must not exist or be empty. The log's origin is the
    /// key's name. All or nothing: a process that is killed in between leaves no half log.
    ///
    /// # Errors
    /// [`LogError::Exists`], [`LogError::Disk`].
    pub fn create(dir: &Path, key: SigningKey) -> Result<Self, LogError> {
        Options::new(key).create(dir)
    }

    /// Opens the log in `dir` and finishes what an earlier process left unfinished.
    ///
    /// # Errors
    /// [`LogError::Absent`], [`LogError::Busy`], [`LogError::Key`], and what recovery finds:
    /// [`LogError::Damaged`], [`LogError::Disagree`], [`LogError::Disk`].
    pub fn open(dir: &Path, key: SigningKey) -> Result<Self, LogError> {
        Options::new(key).open(dir)
    }

    pub(crate) fn start(
        dir: &Path,
        signers: Signers,
        witnesses: Witnesses,
        agree: Option<Arc<dyn Agree>>,
    ) -> Result<Self, LogError> {
        let layout = Layout::new(dir);
        if !layout.lock().exists() {
            return Err(LogError::Absent);
        }
        let writer = files::lock_writer(&layout.writer())?;
        let agree = agree.map(|with| Agreed { with, origin: signers.origin().to_owned() });
        let recovered = recover::recover(&layout, &signers.trust(), agree)?;
        let published = recovered.view.recent().checkpoint.size();
        let shared = Arc::new(Shared { view: recovered.view, publisher: Publisher::new() });
        let checkpoint = shared.view.recent().checkpoint.clone();
        // Before anything is signed: a witness that has seen more than we have stops us here.
        let cosigned = witnesses.greet(&checkpoint, &shared.view)?.ok_or(LogError::Unwitnessed)?;
        shared.view.recent().witnessed = cosigned;
        let thread = std::thread::Builder::new().name("audit-publisher".into());
        let (others, tiles) = (Arc::clone(&shared), recovered.tiles);
        let thread = thread
            .spawn(move || others.publisher.run(&others.view, tiles, published))
            .map_err(LogError::disk("start the publisher"))?;
        shared.publisher.nudge();
        let inner = Inner {
            require_witnesses: witnesses.required() > 0,
            layout,
            sequencer: Sequencer::new(signers, witnesses, recovered.desk),
            shared,
            thread: Some(thread),
            _writer: writer,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn view(&self) -> &View {
        &self.inner.shared.view
    }

    /// Appends an entry. Returns when it is on stable storage, covered by a signed checkpoint that
    /// is there as well, and cosigned by as many witnesses as are required. After an error of which
    /// [`LogError::is_fatal`] holds, the entry may or may not be in the log; opening it anew tells.
    ///
    /// # Errors
    /// [`LogError::Stopped`], [`LogError::Disk`], [`LogError::Disagree`], [`LogError::Unwitnessed`],
    /// [`LogError::Sealed`].
    pub fn append(&self, entry: Entry) -> Result<Position, LogError> {
        let shared = &self.inner.shared;
        self.inner.sequencer.append(&entry, &shared.view, &shared.publisher)
    }

    /// Appends an entry and gives the value back as one whose entry is in the log.
    ///
    /// # Errors
    /// Those of [`Log::append`]. The value is dropped: what could not be logged must not go on.
    pub fn record<T>(&self, entry: Entry, value: T) -> Result<Recorded<T>, LogError> {
        Ok(Recorded::new(value, self.append(entry)?))
    }

    /// Appends several entries in their order from one thread, and gives each value back as [`Log::record`] does. They wait
    /// for the disk together.
    ///
    /// # Errors
    /// Those of [`Log::append`], each for itself: the value of an entry that failed is dropped.
    pub fn record_all<T>(&self, entries: Vec<(Entry, T)>) -> Vec<Result<Recorded<T>, LogError>> {
        let (entries, values): (Vec<Entry>, Vec<T>) = entries.into_iter().unzip();
        let shared = &self.inner.shared;
        let positions = self.inner.sequencer.append_all(&entries, &shared.view, &shared.publisher);
        values.into_iter().zip(positions).map(|(value, position)| Ok(Recorded::new(value, position?))).collect()
    }

    /// [`Log::record_all`] for entries that have receipts: each value comes back with the receipt that [`Log::receipt`] would
    /// make, all under one checkpoint. The body has to be the one whose digest the entry names; where it is not, the entry
    /// stands in the log and its value is dropped.
    ///
    /// # Errors
    /// Those of [`Log::append`] and of [`Log::receipt`], each for itself.
    pub fn record_proven<T>(
        &self,
        entries: Vec<(Entry, ReceiptBody, T)>,
    ) -> Vec<Result<(Recorded<T>, Receipt), LogError>> {
        let (mut all, mut rest) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        for (entry, body, value) in entries {
            all.push(entry);
            rest.push((body, value));
        }
        let shared = &self.inner.shared;
        let positions = self.inner.sequencer.append_all(&all, &shared.view, &shared.publisher);
        let (mut wanted, mut values) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for ((position, entry), (body, value)) in positions.into_iter().zip(all).zip(rest) {
            wanted.push(position.map(|position| (position, entry, body)));
            values.push(value);
        }
        let checkpoint = self.view().recent().witnessed.clone();
        let proven = ask::receipts(self.view(), wanted, checkpoint);
        let recorded = |(value, proven): (T, Result<_, LogError>)| {
            let (position, receipt) = proven?;
            Ok((Recorded::new(value, position), receipt))
        };
        values.into_iter().zip(proven).map(recorded).collect()
    }

    /// How many entries the log has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.view().recent().checkpoint.size()
    }

    /// The newest signed checkpoint; where witnesses are required, the newest that they cosigned.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let recent = self.view().recent();
        if self.inner.require_witnesses { recent.witnessed.clone() } else { recent.checkpoint.clone() }
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.inner.sequencer.signers().origin()
    }

    /// The key that checks what this log signs.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.inner.sequencer.signers().primary().verifying_key()
    }

    /// The keys whose checkpoints of this log are its own now: more than one while a key is being replaced.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.inner.sequencer.signers().trust()
    }

    /// The folder that may be served to anybody as static files: `checkpoint` and `tile/`, as C2SP
    /// `tlog-tiles` lays them out. Files that end in `.new` are not finished.
    #[must_use]
    pub fn public_folder(&self) -> std::path::PathBuf {
        self.inner.layout.public()
    }

    /// Whether a fatal error has stopped this log. The process should end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.sequencer.stopped() || self.inner.shared.publisher.failed()
    }

    /// Waits until everything appended so far is in the public folder, durably. Nobody needs this
    /// for safety; it is for those who want to copy or serve the folder at this very point.
    ///
    /// # Errors
    /// [`LogError::Disk`], [`LogError::Stopped`].
    pub fn publish(&self) -> Result<(), LogError> {
        let result = self.inner.shared.publisher.flush();
        if result.is_err() {
            self.inner.sequencer.stop();
        }
        result
    }

    /// Publishes everything and closes this handle.
    ///
    /// # Errors
    /// Those of [`Log::publish`].
    pub fn close(self) -> Result<(), LogError> {
        self.publish()
    }

    /// Reads one entry and checks it against the tree.
    ///
    /// # Errors
    /// [`LogError::NoEntry`], [`LogError::Damaged`], [`LogError::Disk`].
    pub fn entry(&self, index: u64) -> Result<Entry, LogError> {
        let checkpoint = self.view().recent().checkpoint.clone();
        ask::entry(self.view(), index, &checkpoint)
    }

    /// Where the entry of this index stands. Every entry that the log counts is durable.
    ///
    /// # Errors
    /// Those of [`Log::entry`], and [`LogError::Unwitnessed`].
    pub fn position(&self, index: u64) -> Result<Position, LogError> {
        let entry = self.entry(index)?;
        if index >= self.checkpoint().size() {
            return Err(LogError::Unwitnessed);
        }
        Ok(Position::new(index, leaf_hash(entry.bytes())))
    }

    /// Reads the entries of a range, in order, as far as the log has them. They are not proven one
    /// by one; [`Log::verify`] does that for the whole log.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = Result<(u64, Entry), LogError>> + use<> {
        let (log, end) = (self.clone(), range.end.min(self.size()));
        ask::entries(range.start..end, move |index| log.view().run(index, end))
    }

    /// Makes the receipt of an entry whose field `receipt` is the
    /// [`receipt_digest`](crate::receipt_digest) of `body`. It carries the newest checkpoint, with
    /// its cosignatures.
    ///
    /// # Errors
    /// [`LogError::ReceiptBody`] when the entry says otherwise, and those of [`Log::entry`].
    pub fn receipt(&self, position: &Position, body: Map<String, Value>) -> Result<Receipt, LogError> {
        let checkpoint = self.view().recent().witnessed.clone();
        ask::receipt(self.view(), position, body, checkpoint)
    }

    /// The proof, as a C2SP `tlog-proof`, that the entry of this index is in the log.
    ///
    /// # Errors
    /// Those of [`Log::entry`].
    pub fn prove_inclusion(&self, index: u64) -> Result<String, LogError> {
        let checkpoint = self.checkpoint();
        ask::tlog_proof(self.view(), index, &checkpoint)
    }

    /// The proof that the tree of `old` entries is the beginning of the newest one (RFC 6962 section
    /// 2.1.2), with the checkpoint that it leads to.
    ///
    /// # Errors
    /// [`LogError::NoEntry`] when `old` is 0 or beyond the end.
    pub fn prove_consistency(&self, old: u64) -> Result<(Vec<[u8; 32]>, Checkpoint), LogError> {
        let checkpoint = self.checkpoint();
        Ok((ask::consistency(self.view(), old, checkpoint.size())?, checkpoint))
    }

    /// Checks that an earlier checkpoint of this log, kept somewhere else (in the registry, say), is
    /// the beginning of what there is now. It is how a restored backup is noticed without a witness.
    ///
    /// # Errors
    /// [`LogError::Key`] when the checkpoint is not of this log, [`LogError::Disagree`] when the log
    /// was changed since, or is shorter.
    pub fn extends(&self, earlier: &Checkpoint, trust: &Trust) -> Result<(), LogError> {
        let newest = self.view().recent().checkpoint.clone();
        ask::extends(self.view(), earlier, &newest, trust)
    }

    /// Checks the whole log in `dir` against the key: every entry, every tile, the published
    /// checkpoint, the lock, and what is staged but not published yet. Reads only, and works beside
    /// a running writer. `progress` is told (entries checked, entries in all).
    ///
    /// # Errors
    /// [`LogError::Absent`], or the first thing that is wrong.
    pub fn verify(dir: &Path, key: &VerifyingKey, progress: &mut dyn FnMut(u64, u64)) -> Result<Verdict, LogError> {
        Self::verify_with(dir, &Trust::new(key.clone()), progress)
    }

    /// [`Log::verify`] with retired keys and witnesses: the published checkpoint must carry as many
    /// cosignatures as the trust asks for.
    ///
    /// # Errors
    /// Those of [`Log::verify`], and [`LogError::Unwitnessed`].
    pub fn verify_with(dir: &Path, trust: &Trust, progress: &mut dyn FnMut(u64, u64)) -> Result<Verdict, LogError> {
        crate::verify::verify(&Layout::new(dir), trust, progress)
    }

    /// Checks a copy of a log's public folder alone, at its published checkpoint.
    ///
    /// # Errors
    /// Those of [`Log::verify_with`].
    pub fn verify_public(
        public: &Path,
        trust: &Trust,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verdict, LogError> {
        crate::verify::verify_public(public, trust, progress)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.publisher.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if !self.sequencer.stopped() && !self.shared.publisher.failed() {
            // Everything is durable in the tiles. Should this fail, the next opening replays.
            let _ = self.sequencer.desk().journal.reset();
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

/// Makes the folder of a new log under another name and then renames it.
pub(crate) fn make(dir: &Path, signers: &Signers) -> Result<(), LogError> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = dir.file_name().ok_or(LogError::Exists)?.to_string_lossy();
    let building = parent.join(format!(".{name}.{}.new", std::process::id()));
    remove_unfinished(parent, &name)?;
    let made = build(&Layout::new(&building), signers);
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
    files::sync_folder(parent)
}

/// Removes what processes that were killed while making this log have left behind.
fn remove_unfinished(parent: &Path, name: &str) -> Result<(), LogError> {
    let Ok(items) = fs::read_dir(parent) else { return Ok(()) };
    for item in items.flatten() {
        let found = item.file_name();
        let process = found.to_str().and_then(|found| {
            found.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".new")?.parse::<u32>().ok()
        });
        let Some(process) = process else { continue };
        if process == std::process::id() || !Path::new(&format!("/proc/{process}")).exists() {
            fs::remove_dir_all(item.path()).map_err(LogError::disk("remove an unfinished log"))?;
        }
    }
    Ok(())
}

/// Writes the files of an empty log and makes them durable.
fn build(layout: &Layout, signers: &Signers) -> Result<(), LogError> {
    for folder in [layout.root().to_path_buf(), layout.public(), layout.private()] {
        fs::create_dir_all(folder).map_err(LogError::disk("make the log's folder"))?;
    }
    // What is staged need not be served yet.
    fs::set_permissions(layout.private(), Permissions::from_mode(0o700))
        .map_err(LogError::disk("close the private folder"))?;
    let note = Checkpoint::sign(signers, 0, Edge::default().root()).to_string();
    Journal::create(&layout.journal())?;
    files::replace(&layout.checkpoint(), note.as_bytes())?;
    files::sync_file(&layout.checkpoint())?;
    Lock::create(&layout.lock(), note.as_bytes())?;
    for folder in [layout.public(), layout.private(), layout.root().to_path_buf()] {
        files::sync_folder(&folder)?;
    }
    Ok(())
}
