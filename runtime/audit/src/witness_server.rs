//! A witness of our own: the authority's process that cosigns what it has checked.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use tlog_tiles::{EMPTY_HASH, Hash};

use crate::checkpoint::{Checkpoint, parse_size};
use crate::files;
use crate::http::{self, Answer};
use crate::note::MAX_NOTE_BYTES;
use crate::witness::{WitnessKey, cosign};
use crate::{LogError, SigningKey, VerifyingKey};

/// How many requests are worked on at once; one more waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `tlog-witness` allows at most this many proof lines.
const MAX_PROOF: usize = 63;

/// A witness: a key, the logs it knows, and the last checkpoint that it cosigned of each, on disk.
#[derive(Debug)]
pub struct WitnessState {
    dir: PathBuf,
    key: SigningKey,
    logs: Vec<VerifyingKey>,
    /// Held from reading the last checkpoint to having replaced it: otherwise two requests could
    /// bring the state back to the smaller of two sizes. False after a failed write.
    healthy: Mutex<bool>,
    _writer: File,
}

impl WitnessState {
    /// Opens, or begins, the state in `dir`. `logs` are the keys of the logs to be witnessed, more
    /// than one of a name while a log's key is being replaced.
    ///
    /// # Errors
    /// [`LogError::Busy`] when another process has it open, [`LogError::Disk`].
    pub fn open(dir: &Path, key: SigningKey, logs: Vec<VerifyingKey>) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(LogError::disk("make the witness's folder"))?;
        let writer = files::lock_writer(&dir.join("writer"))?;
        Ok(Self { dir: dir.to_path_buf(), key, logs, healthy: Mutex::new(true), _writer: writer })
    }

    /// The key that checks this witness's cosignatures.
    #[must_use]
    pub fn key(&self) -> WitnessKey {
        WitnessKey::of(&self.key)
    }

    /// The last checkpoint of this log that was cosigned.
    ///
    /// # Errors
    /// [`LogError::Disk`], [`LogError::Damaged`].
    pub fn latest(&self, origin: &str) -> Result<Option<Checkpoint>, LogError> {
        match files::read_bounded(&self.path(origin), MAX_NOTE_BYTES)? {
            None => Ok(None),
            Some(bytes) => Checkpoint::parse(&bytes)
                .map(Some)
                .map_err(|_| LogError::damaged("the witness's state is not a checkpoint")),
        }
    }

    fn path(&self, origin: &str) -> PathBuf {
        self.dir.join(format!("{}.checkpoint", hex::encode(digest(&SHA256, origin.as_bytes()))))
    }

    fn store(&self, checkpoint: &Checkpoint) -> Result<(), LogError> {
        let path = self.path(checkpoint.origin());
        let temporary = path.with_extension("new");
        File::create(&temporary)
            .and_then(|mut file| file.write_all(checkpoint.to_string().as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(LogError::disk("write the witness's state"))?;
        files::sync_folder(&self.dir)
    }

    /// Answers an `add-checkpoint` request at `now` (POSIX seconds).
    fn add_checkpoint(&self, body: &[u8], now: u64) -> Answer {
        let Some((old, proof, checkpoint)) = parse_request(body) else {
            return plain(400, "malformed request\n");
        };
        let keys: Vec<_> = self.logs.iter().filter(|key| key.name() == checkpoint.origin()).collect();
        if keys.is_empty() {
            return plain(404, "unknown log\n");
        }
        if !keys.iter().any(|key| checkpoint.verify(key).is_ok()) {
            return plain(403, "not signed by a known key of this log\n");
        }
        if old > checkpoint.size() {
            return plain(400, "the old size is beyond the checkpoint\n");
        }
        let mut healthy = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(latest) = self.latest(checkpoint.origin()) else {
            *healthy = false;
            return plain(500, "state\n");
        };
        if !*healthy {
            return plain(500, "the state could not be written; restart the witness\n");
        }
        let (size, root) = latest.map_or((0, EMPTY_HASH), |latest| (latest.size(), Hash(*latest.root())));
        if let Err(answer) = decide((old, &proof), (size, root), &checkpoint) {
            return answer;
        }
        // Before the answer, and fatal on failure: a cosignature that the witness forgets could be
        // followed by one on a fork.
        if self.store(&checkpoint).is_err() {
            *healthy = false;
            return plain(500, "the state could not be written\n");
        }
        let line = cosign(&self.key, now, checkpoint.text()).line();
        Answer { status: 200, content_type: "text/plain; charset=utf-8", body: line.into_bytes() }
    }
}

fn plain(status: u16, body: &str) -> Answer {
    Answer { status, content_type: "text/plain; charset=utf-8", body: body.as_bytes().to_vec() }
}

/// Whether the checkpoint follows from what was cosigned last.
fn decide((old, proof): (u64, &Vec<Hash>), (size, root): (u64, Hash), checkpoint: &Checkpoint) -> Result<(), Answer> {
    let conflict = Answer { status: 409, content_type: "text/x.tlog.size", body: format!("{size}\n").into_bytes() };
    if old != size {
        return Err(conflict);
    }
    let new = Hash(*checkpoint.root());
    if old == checkpoint.size() {
        if root != new {
            return Err(conflict);
        }
        return if proof.is_empty() { Ok(()) } else { Err(plain(422, "a proof between equal sizes is empty\n")) };
    }
    let follows = if old == 0 {
        proof.is_empty()
    } else {
        tlog_tiles::check_tree(proof, checkpoint.size(), new, old, root).is_ok()
    };
    if follows { Ok(()) } else { Err(plain(422, "the consistency proof does not hold\n")) }
}

fn parse_request(body: &[u8]) -> Option<(u64, Vec<Hash>, Checkpoint)> {
    let text = std::str::from_utf8(body).ok()?;
    let (first, mut rest) = text.split_once('\n')?;
    let old = parse_size(first.strip_prefix("old ")?)?;
    let mut proof = Vec::new();
    loop {
        let (line, after) = rest.split_once('\n')?;
        rest = after;
        if line.is_empty() {
            break;
        }
        if proof.len() == MAX_PROOF {
            return None;
        }
        proof.push(Hash(STANDARD.decode(line).ok()?.try_into().ok()?));
    }
    Some((old, proof, Checkpoint::parse(rest.as_bytes()).ok()?))
}

/// A witness that listens. It ends when this is dropped.
#[derive(Debug)]
pub struct WitnessServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WitnessServer {
    /// Serves `POST /add-checkpoint` on this listener, in threads of its own.
    ///
    /// # Errors
    /// [`LogError::Disk`] when the listener has no address.
    pub fn start(listener: TcpListener, state: WitnessState) -> Result<Self, LogError> {
        let address = listener.local_addr().map_err(LogError::disk("read the listener's address"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || accept(&listener, &Arc::new(state), &flag));
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for ever, or until another thread drops the process.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for WitnessServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // The thread waits in accept; a connection wakes it.
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<WitnessState>, stop: &AtomicBool) {
    let busy = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else {
                // Out of file descriptors, for example: do not spin.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            while busy.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
                std::thread::sleep(Duration::from_millis(5));
            }
            busy.fetch_add(1, Ordering::SeqCst);
            let (state, busy) = (Arc::clone(state), Arc::clone(&busy));
            scope.spawn(move || {
                // What goes wrong with one connection concerns its client alone.
                let _ = http::serve(stream, TIMEOUT, |method, path, body| route(&state, method, path, body));
                busy.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
}

fn route(state: &WitnessState, method: &str, path: &str, body: &[u8]) -> Answer {
    match (method, path) {
        ("POST", "/add-checkpoint") => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
            state.add_checkpoint(body, now)
        }
        (_, "/add-checkpoint") => plain(405, "POST only\n"),
        _ => plain(404, "not found\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Edge, leaf_hash};
    use proptest::prelude::*;

    fn log_key() -> SigningKey {
        SigningKey::from_seed("a.example/log", [1; 32]).unwrap()
    }

    /// The checkpoint of a log of `size` entries, on one of two branches after entry 3.
    fn checkpoint(size: u64, branch: u8) -> Checkpoint {
        let mut edge = Edge::default();
        for n in 0..size {
            edge.push(leaf_hash(&[if n < 3 { 0 } else { branch }, n as u8]), &mut Vec::new());
        }
        Checkpoint::sign(&crate::options::Signers::one(log_key()), size, edge.root())
    }

    fn proof(old: u64, size: u64) -> String {
        struct Stored(Vec<Hash>);
        impl tlog_tiles::HashReader for Stored {
            fn read_hashes(&self, at: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
                Ok(at.iter().map(|&i| self.0[i as usize]).collect())
            }
        }
        let mut stored = Stored(Vec::new());
        for n in 0..size {
            let data = [0, n as u8];
            let hashes = tlog_tiles::stored_hashes(n, &data, &stored).unwrap();
            stored.0.extend(hashes);
        }
        tlog_tiles::prove_tree(size, old, &stored).unwrap().iter().map(|h| format!("{h}\n")).collect()
    }

    #[test]
    fn every_answer_of_the_specification() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("w.example", [9; 32]).unwrap();
        let state = WitnessState::open(dir.path(), key, vec![log_key().verifying_key()]).unwrap();
        let ask = |old: u64, proof: &str, checkpoint: &Checkpoint| {
            state.add_checkpoint(format!("old {old}\n{proof}\n{checkpoint}").as_bytes(), 1_700_000_000)
        };
        let size =
            |answer: &Answer| (answer.status, answer.content_type, String::from_utf8(answer.body.clone()).unwrap());
        assert_eq!(ask(0, "", &checkpoint(2, 0)).status, 200);
        let stale = ask(0, "", &checkpoint(5, 0));
        assert_eq!(size(&stale), (409, "text/x.tlog.size", "2\n".into()));
        assert_eq!(ask(2, "", &checkpoint(5, 0)).status, 422, "no proof");
        assert_eq!(ask(2, &proof(2, 6), &checkpoint(5, 0)).status, 422, "another proof");
        let good = ask(2, &proof(2, 5), &checkpoint(5, 0));
        assert_eq!(good.status, 200);
        let line = Signature::parse(std::str::from_utf8(&good.body).unwrap().trim_end()).unwrap();
        assert!(state.key().cosigned(checkpoint(5, 0).text(), &line));
        assert!(!state.key().cosigned(checkpoint(5, 1).text(), &line));
        // The same again, a fork of the same size, an older one, and one that claims too much.
        assert_eq!(ask(5, "", &checkpoint(5, 0)).status, 200);
        assert_eq!(ask(5, "", &checkpoint(5, 1)).status, 409);
        assert_eq!(ask(5, &proof(5, 6), &checkpoint(6, 1)).status, 422);
        assert_eq!(size(&ask(2, "", &checkpoint(3, 0))), (409, "text/x.tlog.size", "5\n".into()));
        assert_eq!(ask(6, "", &checkpoint(5, 0)).status, 400);
        let stranger = crate::options::Signers::one(SigningKey::from_seed("a.example/log", [2; 32]).unwrap());
        assert_eq!(ask(5, "", &Checkpoint::sign(&stranger, 5, [0; 32])).status, 403);
        let other = crate::options::Signers::one(SigningKey::from_seed("b.example/log", [2; 32]).unwrap());
        assert_eq!(ask(0, "", &Checkpoint::sign(&other, 5, [0; 32])).status, 404);
        assert_eq!(state.latest("a.example/log").unwrap().unwrap().size(), 5);
        assert_eq!(WitnessState::open(dir.path(), log_key(), Vec::new()).unwrap_err().code(), "audit/busy");
    }

    use crate::note::Signature;

    #[test]
    fn a_witness_that_cannot_write_says_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("w.example", [9; 32]).unwrap();
        let state = WitnessState::open(dir.path(), key, vec![log_key().verifying_key()]).unwrap();
        let ask = |size: u64| state.add_checkpoint(format!("old 0\n\n{}", checkpoint(size, 0)).as_bytes(), 1).status;
        fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(ask(2), 500);
        fs::create_dir_all(dir.path()).unwrap();
        assert_eq!(ask(2), 500, "until it is restarted");
    }

    #[test]
    fn proof_lines_at_the_limit_and_one_past_it() {
        let with =
            |n: usize| format!("old 1\n{}\n{}", format!("{}\n", STANDARD.encode([0; 32])).repeat(n), checkpoint(5, 0));
        assert_eq!(parse_request(with(MAX_PROOF).as_bytes()).unwrap().1.len(), MAX_PROOF);
        assert!(parse_request(with(MAX_PROOF + 1).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn parsing_a_request_is_total(text in "(old [0-9]{1,3}\n)?(?s).{0,200}") {
            let _ = parse_request(text.as_bytes());
        }
    }
}
