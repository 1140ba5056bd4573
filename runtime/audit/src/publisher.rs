//! The publisher: a thread that brings what is committed into the public folder.
//!
//! It is off the path of an append. An entry is safe in the journal, and the checkpoint that covers
//! it in the lock, before the publisher hears of it; tiles are written from memory, and made
//! durable when a half of the journal is full, which the other half bridges.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::LogError;
use crate::journal::put_entry;
use crate::tiles::{self, Kind};
use crate::tree::{Edge, FullTile, WIDTH};
use crate::view::{Recent, View};

/// The least time between two publications of a busy log. Without it a lone writer would have its
/// partial bundle written out after every entry, and a busy one its widest many times over.
const PAUSE: Duration = Duration::from_millis(200);

/// What the appenders and the publisher tell each other.
#[derive(Debug)]
struct Desk {
    /// There may be something new.
    nudged: bool,
    /// Somebody waits until everything committed is durable in the tiles.
    flush_asked: u64,
    flush_done: u64,
    stop: bool,
    /// The publisher ended: in order, or by an error that nobody has taken yet.
    ended: bool,
    error: Option<LogError>,
}

/// The handle of the publisher.
#[derive(Debug)]
pub(crate) struct Publisher {
    desk: Mutex<Desk>,
    bell: Condvar,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let desk = Desk { nudged: false, flush_asked: 0, flush_done: 0, stop: false, ended: false, error: None };
        Self { desk: Mutex::new(desk), bell: Condvar::new() }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that there is something new.
    pub(crate) fn nudge(&self) {
        let mut desk = self.desk();
        if !desk.nudged {
            desk.nudged = true;
            self.bell.notify_all();
        }
    }

    /// Whether the publisher has failed; its work can not go on and nor can the log's.
    pub(crate) fn failed(&self) -> bool {
        let desk = self.desk();
        desk.ended && !desk.stop || desk.error.is_some()
    }

    /// Asks that everything that was committed before the call is made durable in the tiles; what is given is waited for
    /// with [`Self::flushed`].
    pub(crate) fn ask_flush(&self) -> u64 {
        let mut desk = self.desk();
        desk.flush_asked += 1;
        self.bell.notify_all();
        desk.flush_asked
    }

    /// Waits until everything that was committed before the call is durable in the tiles.
    pub(crate) fn flush(&self) -> Result<(), LogError> {
        self.flushed(self.ask_flush())
    }

    /// Waits until what was asked for is durable in the tiles.
    pub(crate) fn flushed(&self, ticket: u64) -> Result<(), LogError> {
        let mut desk = self.desk();
        while desk.flush_done < ticket && !desk.ended {
            desk = self.bell.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
        match desk.error.take() {
            Some(error) => Err(error),
            None if desk.flush_done < ticket => Err(LogError::Stopped),
            None => Ok(()),
        }
    }

    /// Asks the thread to publish and flush once more and to end.
    pub(crate) fn stop(&self) {
        self.desk().stop = true;
        self.bell.notify_all();
    }

    /// The body of the thread. `writer` has `published` entries on disk.
    pub(crate) fn run(&self, view: &View, writer: tiles::Writer, published: u64) {
        // A panic must not leave appenders waiting for a flush that never comes.
        let ended = Ended(self);
        let mut work = Work { writer, published, partial: Vec::new(), note: String::new() };
        let result = self.rounds(view, &mut work);
        if let Err(error) = result {
            self.desk().error = Some(error);
        }
        drop(ended);
    }

    fn rounds(&self, view: &View, work: &mut Work) -> Result<(), LogError> {
        loop {
            let (asked, stop) = {
                let mut desk = self.desk();
                while !desk.nudged && !desk.stop && desk.flush_asked == desk.flush_done {
                    desk = self.bell.wait(desk).unwrap_or_else(PoisonError::into_inner);
                }
                desk.nudged = false;
                (desk.flush_asked, desk.stop)
            };
            work.publish(view)?;
            let mut desk = self.desk();
            if asked > desk.flush_done || stop {
                drop(desk);
                work.writer.flush()?;
                desk = self.desk();
                desk.flush_done = asked;
                self.bell.notify_all();
            }
            if stop {
                return Ok(());
            }
            let busy = |desk: &mut Desk| !desk.stop && desk.flush_asked == desk.flush_done;
            let _ = self.bell.wait_timeout_while(desk, PAUSE, busy).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Ended<'a>(&'a Publisher);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.desk().ended = true;
        self.0.bell.notify_all();
    }
}

struct Work {
    writer: tiles::Writer,
    published: u64,
    /// The partial tiles as they were written last, so that an unchanged one is not written again.
    partial: Vec<(u8, u64, usize)>,
    /// The checkpoint as it was published last.
    note: String,
}

impl Work {
    /// Writes the tiles of everything that is committed, then the checkpoint: whoever follows the
    /// public folder never sees a checkpoint before its tiles.
    fn publish(&mut self, view: &View) -> Result<(), LogError> {
        let (checkpoint, edge, base, entries, full) = {
            let recent = view.recent();
            let newest = if recent.witnessed.size() == recent.checkpoint.size() {
                &recent.witnessed
            } else {
                &recent.checkpoint
            };
            (newest.clone(), recent.edge.clone(), recent.base, recent.entries.clone(), recent.full_tiles())
        };
        self.put_tiles(&edge, base, entries, &full)?;
        let note = checkpoint.to_string();
        if note != self.note {
            self.writer.publish(&note)?;
            self.note = note;
        }
        view.recent().forget(edge.size(), &full);
        Ok(())
    }

    fn put_tiles(
        &mut self,
        edge: &Edge,
        base: u64,
        entries: VecDeque<Arc<[u8]>>,
        full: &[Arc<FullTile>],
    ) -> Result<(), LogError> {
        let size = edge.size();
        let entries = Vec::from(entries);
        if size > self.published {
            for (number, bundle) in (base / WIDTH..).zip(entries.chunks(WIDTH as usize)) {
                let mut bytes = Vec::new();
                for entry in bundle {
                    put_entry(&mut bytes, entry);
                }
                self.writer.put(Kind::Entries, number, bundle.len() as u64, &bytes)?;
            }
            for tile in full {
                self.writer.put(Kind::Hashes(tile.level), tile.number, WIDTH, &tile.bytes)?;
            }
            let mut partial = Vec::new();
            for (level, number, bytes) in edge.partial() {
                let mark = (level, number, bytes.len() / 32);
                if !self.partial.contains(&mark) {
                    self.writer.put(Kind::Hashes(level), number, bytes.len() as u64 / 32, bytes)?;
                }
                partial.push(mark);
            }
            self.partial = partial;
        }
        self.published = size;
        Ok(())
    }
}

/// Writes and syncs the tiles of everything in `recent`, of which `published` entries are on disk.
/// For recovery, which publishes the checkpoint itself.
pub(crate) fn publish_all(writer: &mut tiles::Writer, recent: &mut Recent, published: u64) -> Result<(), LogError> {
    let empty = tiles::Writer::new(std::path::PathBuf::new());
    let mut work =
        Work { writer: std::mem::replace(writer, empty), published, partial: Vec::new(), note: String::new() };
    let full = recent.full_tiles();
    let put = work.put_tiles(&recent.edge, recent.base, recent.entries.clone(), &full);
    *writer = work.writer;
    put?;
    recent.forget(recent.edge.size(), &full);
    writer.flush()
}
