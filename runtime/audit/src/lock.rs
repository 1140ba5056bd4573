//! The lock: the one place that says what the newest signed checkpoint is.
//!
//! Two slots of one page each are written in turn, so that a torn write leaves the checkpoint
//! before it whole. A swap first reads both slots back and compares them with what this process
//! wrote last; anything else there means that somebody wrote beside us, and is fatal.
//!
//! Where several machines can open one log, a second place has to agree ([`Agree`]): it is asked first and it decides, and
//! the file is what it was told.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use crate::LogError;

const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"YUNEIL01";
const HEAD: usize = 8 + 8 + 4;
/// The most bytes that a checkpoint may have in its slot.
const MAX_NOTE: usize = SLOT - HEAD - 32;

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Counts the swaps; the slot with the higher number is the newer one.
    pub(crate) sequence: u64,
    /// The signed checkpoint, as text.
    pub(crate) note: Vec<u8>,
}

/// A second place that says what the newest signed checkpoint is, for a log that several machines can open: a file's lock
/// holds on one machine for certain, and not on every file system over more.
///
/// Whoever opens such a log must have it from elsewhere that nobody else has it open; what is asked here is that two who both
/// believe so do not both succeed. Both calls may block.
pub trait Agree: std::fmt::Debug + Send + Sync {
    /// The number of the last swap of the log of this name and its checkpoint; `None` where it was never told of one.
    ///
    /// # Errors
    /// [`LogError`], and the log is not opened.
    fn held(&self, origin: &str) -> Result<Option<(u64, Vec<u8>)>, LogError>;

    /// Puts `next` in the place of `before`, durably, where `before` is what it holds and we are who may.
    ///
    /// # Errors
    /// [`LogError::Disagree`] where either is not so; any error is fatal for the log, and nothing is asked twice.
    fn swap(&self, origin: &str, before: Option<(u64, &[u8])>, next: (u64, &[u8])) -> Result<(), LogError>;
}

/// The opened lock.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    held: Held,
    agree: Option<Agreed>,
}

/// The second place, and what it knows this log by.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) with: Arc<dyn Agree>,
    pub(crate) origin: String,
}

impl Lock {
    /// Makes the lock file of a new log. The caller syncs the folder.
    pub(crate) fn create(path: &Path, note: &[u8]) -> Result<(), LogError> {
        let held = Held { sequence: 1, note: note.to_vec() };
        let mut bytes = vec![0; 2 * SLOT];
        bytes[SLOT..].copy_from_slice(&encode(&held)?);
        fs::write(path, bytes).map_err(LogError::disk("write the lock"))?;
        crate::files::sync_file(path)
    }

    /// Opens the lock for writing.
    pub(crate) fn open(path: &Path, agree: Option<Agreed>) -> Result<Self, LogError> {
        let file = File::options().read(true).write(true).open(path).map_err(LogError::disk("open the lock"))?;
        let held = newest(&file)?.ok_or_else(|| LogError::damaged("no slot of the lock is whole"))?;
        let mut lock = Self { file, held, agree };
        lock.catch_up()?;
        Ok(lock)
    }

    /// Brings the file to where the second place is: one swap behind it at most, by a process that was killed between.
    fn catch_up(&mut self) -> Result<(), LogError> {
        let Some(Agreed { with, origin }) = &self.agree else { return Ok(()) };
        match with.held(origin)? {
            None => with.swap(origin, None, (self.held.sequence, &self.held.note)),
            Some((sequence, note)) if sequence == self.held.sequence && note == self.held.note => Ok(()),
            Some((sequence, note)) if sequence == self.held.sequence + 1 => self.write(Held { sequence, note }),
            Some((sequence, _)) => Err(LogError::disagree(format!(
                "the lock in the home is at swap {}, the one in the store at {sequence}: one of them was put back, or is of another log",
                self.held.sequence
            ))),
        }
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Replaces the checkpoint. After this returns, the new one is on stable storage.
    pub(crate) fn swap(&mut self, note: &[u8]) -> Result<(), LogError> {
        if newest(&self.file)?.as_ref() != Some(&self.held) {
            return Err(LogError::disagree("the lock was changed by another writer"));
        }
        let next = Held { sequence: self.held.sequence + 1, note: note.to_vec() };
        if let Some(Agreed { with, origin }) = &self.agree {
            with.swap(origin, Some((self.held.sequence, &self.held.note)), (next.sequence, &next.note))?;
        }
        self.write(next)
    }

    fn write(&mut self, next: Held) -> Result<(), LogError> {
        let place = (next.sequence % 2) * SLOT as u64;
        self.file
            .write_all_at(&encode(&next)?, place)
            .and_then(|()| self.file.sync_data())
            .map_err(LogError::disk("write the lock"))?;
        self.held = next;
        Ok(())
    }
}

/// Reads the lock without opening it for writing.
pub(crate) fn peek(path: &Path) -> Result<Option<Held>, LogError> {
    let file = File::open(path).map_err(LogError::disk("open the lock"))?;
    newest(&file)
}

fn newest(file: &File) -> Result<Option<Held>, LogError> {
    let mut best: Option<Held> = None;
    for slot in 0..2 {
        let mut bytes = [0; SLOT];
        match file.read_exact_at(&mut bytes, slot * SLOT as u64) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(LogError::disk("read the lock")(error)),
        }
        if let Some(held) = decode(&bytes)
            && held.sequence % 2 == slot
            && best.as_ref().is_none_or(|other| other.sequence < held.sequence)
        {
            best = Some(held);
        }
    }
    Ok(best)
}

fn encode(held: &Held) -> Result<Vec<u8>, LogError> {
    if held.note.len() > MAX_NOTE {
        return Err(LogError::damaged("a checkpoint is too long for the lock"));
    }
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&held.sequence.to_be_bytes());
    // MAX_NOTE is below 2^32.
    bytes.extend_from_slice(&(held.note.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&held.note);
    bytes.resize(SLOT - 32, 0);
    let sum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(sum.as_ref());
    Ok(bytes)
}

fn decode(bytes: &[u8; SLOT]) -> Option<Held> {
    let (body, sum) = bytes.split_last_chunk::<32>()?;
    if digest(&SHA256, body).as_ref() != sum || &body[..8] != MAGIC {
        return None;
    }
    let sequence = u64::from_be_bytes(body[8..16].try_into().ok()?);
    let length = u32::from_be_bytes(body[16..20].try_into().ok()?) as usize;
    Some(Held { sequence, note: body.get(HEAD..HEAD.checked_add(length)?)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_alternate_and_a_torn_slot_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        Lock::create(&path, b"one").unwrap();
        let mut lock = Lock::open(&path, None).unwrap();
        lock.swap(b"two").unwrap();
        lock.swap(b"three").unwrap();
        assert_eq!(peek(&path).unwrap().unwrap(), Held { sequence: 3, note: b"three".to_vec() });
        let whole = fs::read(&path).unwrap();
        for cut in [0, 1, HEAD, HEAD + 2, SLOT - 1] {
            let mut torn = whole.clone();
            torn[SLOT + cut] ^= 1;
            fs::write(&path, &torn).unwrap();
            assert_eq!(peek(&path).unwrap().unwrap().note, b"two");
        }
        fs::write(&path, &whole[..SLOT]).unwrap();
        assert_eq!(peek(&path).unwrap().unwrap().note, b"two");
        fs::write(&path, b"").unwrap();
        assert_eq!(Lock::open(&path, None).unwrap_err().code(), "audit/damaged");
    }

    /// A second place in memory, which may be told to fail after it has agreed.
    #[derive(Debug, Default)]
    struct Other {
        held: std::sync::Mutex<Option<(u64, Vec<u8>)>>,
    }

    impl Agree for Other {
        fn held(&self, _: &str) -> Result<Option<(u64, Vec<u8>)>, LogError> {
            Ok(self.held.lock().unwrap().clone())
        }

        fn swap(&self, _: &str, before: Option<(u64, &[u8])>, next: (u64, &[u8])) -> Result<(), LogError> {
            let mut held = self.held.lock().unwrap();
            if held.as_ref().map(|(n, note)| (*n, note.as_slice())) != before {
                return Err(LogError::disagree("another writer"));
            }
            *held = Some((next.0, next.1.to_vec()));
            Ok(())
        }
    }

    fn agreed(other: &Arc<Other>) -> Option<Agreed> {
        Some(Agreed { with: Arc::clone(other) as Arc<dyn Agree>, origin: "o".to_owned() })
    }

    #[test]
    fn of_two_who_swap_one_is_agreed_with_whatever_the_files_say() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        Lock::create(&a, b"one").unwrap();
        fs::copy(&a, &b).unwrap();
        let other = Arc::new(Other::default());
        // Two machines whose file systems do not see each other's writes.
        let mut first = Lock::open(&a, agreed(&other)).unwrap();
        let mut second = Lock::open(&b, agreed(&other)).unwrap();
        first.swap(b"two").unwrap();
        assert_eq!(second.swap(b"other two").unwrap_err().code(), "audit/disagree");
        assert_eq!(peek(&b).unwrap().unwrap().note, b"one");
        // Agreed, and killed before the file was written: the next one to open it goes on from there.
        other.swap("o", Some((2, b"two")), (3, b"three")).unwrap();
        drop(first);
        let mut third = Lock::open(&a, agreed(&other)).unwrap();
        assert_eq!(third.held(), &Held { sequence: 3, note: b"three".to_vec() });
        third.swap(b"four").unwrap();
        // Put back: the file by more than a swap, or the second place.
        assert_eq!(Lock::open(&b, agreed(&other)).unwrap_err().code(), "audit/disagree");
        *other.held.lock().unwrap() = Some((2, b"two".to_vec()));
        assert_eq!(Lock::open(&a, agreed(&other)).unwrap_err().code(), "audit/disagree");
    }

    #[test]
    fn a_second_writer_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        Lock::create(&path, b"one").unwrap();
        let mut a = Lock::open(&path, None).unwrap();
        let mut b = Lock::open(&path, None).unwrap();
        a.swap(b"two").unwrap();
        assert_eq!(b.swap(b"other two").unwrap_err().code(), "audit/disagree");
        assert_eq!(peek(&path).unwrap().unwrap().note, b"two");
    }

    #[test]
    fn notes_at_the_limit_and_one_past_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        Lock::create(&path, b"one").unwrap();
        let mut lock = Lock::open(&path, None).unwrap();
        lock.swap(&[b'x'; MAX_NOTE]).unwrap();
        assert_eq!(peek(&path).unwrap().unwrap().note.len(), MAX_NOTE);
        assert!(lock.swap(&[b'x'; MAX_NOTE + 1]).is_err());
    }
}
