//! The sequencer: group commit.
//!
//! Whoever appends while nobody leads becomes the leader, takes all that waits (at most 256 entries
//! or a megabyte), commits it, and hands the lead to the first of those who came meanwhile. So a
//! batch starts as soon as the one before it is durable, a lone writer never changes threads, and no
//! entry waits for a timer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::Checkpoint;
use crate::journal::{Journal, MAX_BATCH, MAX_RECORD, put_entry};
use crate::lock::Lock;
use crate::options::Signers;
use crate::publisher::Publisher;
use crate::recorded::Position;
use crate::tree::{Edge, FullTile, MAX_SIZE, leaf_hash};
use crate::view::View;
use crate::witness::Witnesses;
use crate::{Entry, LogError};

/// The kind of the entry that seals a log: nothing follows it.
pub(crate) const SEAL_KIND: &str = "log/sealed";

/// What a waiting appender is told.
#[derive(Debug)]
enum Word {
    /// Nothing yet.
    Wait,
    /// Take the lead.
    Lead,
    /// The entry is committed at this index.
    Done(u64),
    /// It is committed, but too few witnesses have cosigned it.
    Unwitnessed,
    /// The log stopped.
    Stopped,
}

#[derive(Debug)]
struct Slot {
    word: Mutex<Word>,
    bell: Condvar,
}

impl Slot {
    fn tell(&self, word: Word) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = word;
        self.bell.notify_one();
    }

    fn wait(&self) -> Word {
        let mut word = self.word.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(*word, Word::Wait) {
            word = self.bell.wait(word).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::replace(&mut *word, Word::Wait)
    }
}

#[derive(Debug)]
struct Waiting {
    entry: Arc<[u8]>,
    leaf: [u8; 32],
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    led: bool,
    /// Set by the first fatal error, never unset.
    stopped: bool,
    /// Set by the entry that seals the log; it is the last one.
    sealed: bool,
}

/// What only the leader touches.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) lock: Lock,
    pub(crate) journal: Journal,
    pub(crate) edge: Edge,
    /// Whether the last entry seals the log.
    pub(crate) sealed: bool,
    /// The publisher's ticket for the half of the journal that was left last; 0 while none was.
    pub(crate) flushed: u64,
}

/// The sequencer of an open log.
#[derive(Debug)]
pub(crate) struct Sequencer {
    signers: Signers,
    witnesses: Witnesses,
    queue: Mutex<Queue>,
    desk: Mutex<Desk>,
}

impl Sequencer {
    pub(crate) fn new(signers: Signers, witnesses: Witnesses, desk: Desk) -> Self {
        let queue = Queue { sealed: desk.sealed, ..Queue::default() };
        Self { signers, witnesses, queue: Mutex::new(queue), desk: Mutex::new(desk) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn signers(&self) -> &Signers {
        &self.signers
    }

    pub(crate) fn stopped(&self) -> bool {
        self.queue().stopped
    }

    /// Stops the log: nothing is appended any more.
    pub(crate) fn stop(&self) {
        self.queue().stopped = true;
    }

    /// Takes the parts of a log that nobody uses any more.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends; see [`crate::Log::append`].
    pub(crate) fn append(&self, entry: &Entry, view: &View, publisher: &Publisher) -> Result<Position, LogError> {
        let (leaf, slot) = self.enqueue(&mut self.queue(), entry)?;
        self.outcome(&slot, leaf, view, publisher)
    }

    /// Appends several entries, in order, from one thread: they wait together, and mostly share a batch.
    pub(crate) fn append_all(
        &self,
        entries: &[Entry],
        view: &View,
        publisher: &Publisher,
    ) -> Vec<Result<Position, LogError>> {
        let slots: Vec<Result<_, LogError>> = {
            let mut queue = self.queue();
            entries.iter().map(|entry| self.enqueue(&mut queue, entry)).collect()
        };
        // The queue is first in, first out: nobody is asked to lead before those in front of it were answered.
        slots.into_iter().map(|slot| slot.and_then(|(leaf, slot)| self.outcome(&slot, leaf, view, publisher))).collect()
    }

    fn enqueue(&self, queue: &mut Queue, entry: &Entry) -> Result<([u8; 32], Arc<Slot>), LogError> {
        if queue.stopped {
            return Err(LogError::Stopped);
        }
        if queue.sealed {
            return Err(LogError::Sealed);
        }
        let leaf = leaf_hash(entry.bytes());
        let slot = Arc::new(Slot { word: Mutex::new(Word::Wait), bell: Condvar::new() });
        queue.sealed = entry.kind() == SEAL_KIND;
        queue.waiting.push_back(Waiting { entry: entry.bytes().into(), leaf, slot: Arc::clone(&slot) });
        if !queue.led {
            queue.led = true;
            slot.tell(Word::Lead);
        }
        Ok((leaf, slot))
    }

    fn outcome(&self, slot: &Slot, leaf: [u8; 32], view: &View, publisher: &Publisher) -> Result<Position, LogError> {
        loop {
            match slot.wait() {
                Word::Wait => {}
                // A leader's own entry is the first of its batch, so its own error is its answer.
                Word::Lead => self.lead(view, publisher)?,
                Word::Done(index) => return Ok(Position::new(index, leaf)),
                Word::Unwitnessed => return Err(LogError::Unwitnessed),
                Word::Stopped => return Err(LogError::Stopped),
            }
        }
    }

    /// Commits one batch and hands the lead on.
    fn lead(&self, view: &View, publisher: &Publisher) -> Result<(), LogError> {
        let batch = self.take_batch();
        // Until it is disarmed, leaving this function stops the log and wakes everybody: a panic in
        // here must not leave others waiting.
        let mut guard = Guard { sequencer: self, batch: &batch, armed: true };
        if publisher.failed() {
            publisher.flush()?;
            return Err(LogError::Stopped);
        }
        let (start, checkpoint) = self.commit(&mut self.desk(), &batch, view, publisher)?;
        // Fatal on failure: a witness that knows more of this log than we do has seen another writer.
        let cosigned = self.witnesses.cosign(&checkpoint, view)?;
        let enough = cosigned.is_some();
        if let Some(cosigned) = cosigned {
            view.recent().witnessed = cosigned;
        }
        publisher.nudge();
        guard.armed = false;
        self.hand_on();
        for (index, waiting) in (start..).zip(&batch) {
            waiting.slot.tell(if enough { Word::Done(index) } else { Word::Unwitnessed });
        }
        Ok(())
    }

    fn take_batch(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let (mut count, mut bytes) = (0, 0);
        for waiting in &queue.waiting {
            bytes += waiting.entry.len() + 2;
            if count == MAX_BATCH || (count > 0 && bytes > MAX_RECORD) {
                break;
            }
            count += 1;
        }
        queue.waiting.drain(..count).collect()
    }

    fn hand_on(&self) {
        let mut queue = self.queue();
        match queue.waiting.front() {
            Some(next) => next.slot.tell(Word::Lead),
            None => queue.led = false,
        }
    }

    /// Stage, sign, swap the lock, show. Any error is fatal: the batch may be on the disk in part.
    fn commit(
        &self,
        desk: &mut Desk,
        batch: &[Waiting],
        view: &View,
        publisher: &Publisher,
    ) -> Result<(u64, Checkpoint), LogError> {
        let start = desk.edge.size();
        if start + batch.len() as u64 > MAX_SIZE {
            return Err(LogError::damaged("the log is full"));
        }
        let mut payload = Vec::new();
        for waiting in batch {
            put_entry(&mut payload, &waiting.entry);
        }
        if !desk.journal.fits(payload.len()) {
            // Fatal on failure: a record may only be overwritten once its tiles are durable. That was asked for when the
            // other half was left, and is over by now on any but the slowest disks.
            publisher.flushed(desk.flushed)?;
            desk.journal.turn();
            desk.flushed = publisher.ask_flush();
        }
        let before = view.recent().checkpoint.clone();
        let mut full: Vec<FullTile> = Vec::new();
        for waiting in batch {
            desk.edge.push(waiting.leaf, &mut full);
        }
        let root = desk.edge.root();
        // Fatal on failure: the disk holds the record or not, and only a new reading can tell.
        desk.journal.stage(start, batch.len() as u32, before.root(), &root, &payload)?;
        let checkpoint = Checkpoint::sign(&self.signers, desk.edge.size(), root);
        // Fatal on failure: the new checkpoint may have reached the disk, and signing another one
        // for the same size would give that size two roots.
        desk.lock.swap(checkpoint.to_string().as_bytes())?;
        let entries = batch.iter().map(|waiting| Arc::clone(&waiting.entry)).collect();
        view.recent().extend(entries, full, desk.edge.clone(), checkpoint.clone());
        Ok((start, checkpoint))
    }
}

struct Guard<'a> {
    sequencer: &'a Sequencer,
    batch: &'a [Waiting],
    armed: bool,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let mut queue = self.sequencer.queue();
        queue.stopped = true;
        for waiting in self.batch.iter().chain(&queue.waiting) {
            waiting.slot.tell(Word::Stopped);
        }
        queue.waiting.clear();
    }
}
