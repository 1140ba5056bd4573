//! Witnesses, seen from the log: C2SP `tlog-witness` and `tlog-cosignature`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use tlog_tiles::Hash;

use crate::LogError;
use crate::checkpoint::{Checkpoint, parse_size};
use crate::http::{self, Url};
use crate::key::{KeyError, SigningKey, format_vkey, key_id, parse_vkey};
use crate::note::Signature;
use crate::tree::{Hashes, TileSource};

/// The signature type of timestamped Ed25519 cosignatures (`signed-note`, "Signature types").
pub(crate) const TYPE_COSIGNATURE: &[u8] = &[0x04];

/// How long one witness may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a witness that did not answer is asked last.
const REST: Duration = Duration::from_secs(10);

/// The public key of a witness, written `name+hash+base64` (a vkey of type 0x04).
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    public: [u8; 32],
}

impl WitnessKey {
    /// The key that checks the cosignatures made with this signing key.
    #[must_use]
    pub fn of(key: &SigningKey) -> Self {
        Self { name: key.name().to_owned(), public: key.public() }
    }

    /// The name of the witness.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this line is a cosignature of `text` by this witness.
    pub(crate) fn cosigned(&self, text: &str, line: &Signature) -> bool {
        let mine = line.name == self.name && line.id == key_id(&self.name, TYPE_COSIGNATURE, &self.public);
        let Some((time, signature)) = line.bytes.split_first_chunk::<8>() else { return false };
        let message = cosigned_message(u64::from_be_bytes(*time), text);
        mine && UnparsedPublicKey::new(&ED25519, &self.public).verify(message.as_bytes(), signature).is_ok()
    }
}

/// What a cosignature signs (`tlog-cosignature`, "Ed25519 signed message").
fn cosigned_message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Cosigns a checkpoint's text.
pub(crate) fn cosign(key: &SigningKey, time: u64, text: &str) -> Signature {
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend_from_slice(&key.sign_raw(cosigned_message(time, text).as_bytes()));
    Signature { name: key.name().to_owned(), id: key_id(key.name(), TYPE_COSIGNATURE, &key.public()), bytes }
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, public) = parse_vkey(text, TYPE_COSIGNATURE)?;
        Ok(Self { name, public })
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_vkey(&self.name, TYPE_COSIGNATURE, &self.public))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({self})")
    }
}

/// A witness that the log asks: its key, and where it listens.
#[derive(Debug)]
pub struct Witness {
    key: WitnessKey,
    url: Url,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The size that it cosigned last, as far as we know.
    known: Option<u64>,
    failed: Option<Instant>,
}

impl Witness {
    /// A witness with this key at `http://host:port/prefix`.
    ///
    /// # Errors
    /// [`KeyError::Form`] when the address is not of this form.
    pub fn new(key: WitnessKey, url: &str) -> Result<Self, KeyError> {
        let url = Url::parse(url).ok_or(KeyError::Form)?;
        Ok(Self { key, url, memory: Mutex::default() })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    fn resting(&self) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.failed.is_some_and(|failed| failed.elapsed() < REST)
    }

    /// Asks for a cosignature. `Ok(None)` when the witness cannot be had just now.
    fn ask(&self, checkpoint: &Checkpoint, tiles: &impl TileSource) -> Result<Option<Signature>, LogError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // A first request without a proof tells what the witness has, in a 409, if not the same.
        let mut old = memory.known.unwrap_or(checkpoint.size()).min(checkpoint.size());
        let mut answer = None;
        for _ in 0..3 {
            let body = request(old, checkpoint, tiles)?;
            match http::post(&self.url, "/add-checkpoint", body.as_bytes(), TIMEOUT) {
                Ok((200, body)) => {
                    answer = self.read_cosignature(checkpoint, &body);
                    break;
                }
                Ok((409, body)) => old = self.conflict(old, checkpoint, &body)?,
                Ok((422, _)) => return Err(self.disagreement("has another history of this log")),
                Ok(_) | Err(_) => break,
            }
        }
        memory.failed = answer.is_none().then(Instant::now);
        memory.known = answer.is_some().then(|| checkpoint.size());
        Ok(answer)
    }

    /// The size to go on from after a 409.
    fn conflict(&self, old: u64, checkpoint: &Checkpoint, body: &[u8]) -> Result<u64, LogError> {
        let size = std::str::from_utf8(body).ok().and_then(|text| parse_size(text.strip_suffix('\n').unwrap_or(text)));
        match size {
            Some(size) if size > checkpoint.size() => {
                Err(self.disagreement("has seen more entries than there are: an older log was restored"))
            }
            // It has the same size and still refuses: another root.
            Some(size) if size == old => Err(self.disagreement("has another root at this size")),
            Some(size) => Ok(size),
            None if old == checkpoint.size() => Err(self.disagreement("has another root at this size")),
            None => Ok(checkpoint.size()),
        }
    }

    fn disagreement(&self, what: &str) -> LogError {
        LogError::disagree(format!("witness {} {what}", self.key.name))
    }

    fn read_cosignature(&self, checkpoint: &Checkpoint, body: &[u8]) -> Option<Signature> {
        let text = std::str::from_utf8(body).ok()?;
        text.lines().take(16).filter_map(Signature::parse).find(|line| self.key.cosigned(checkpoint.text(), line))
    }
}

/// The body of an `add-checkpoint` request.
fn request(old: u64, checkpoint: &Checkpoint, tiles: &impl TileSource) -> Result<String, LogError> {
    let size = checkpoint.size();
    let mut body = format!("old {old}\n");
    if old > 0 && old < size {
        let hashes = Hashes::new(tiles, size);
        for Hash(hash) in hashes.ask(|hashes| tlog_tiles::prove_tree(size, old, hashes))? {
            body.push_str(&STANDARD.encode(hash));
            body.push('\n');
        }
    }
    body.push('\n');
    body.push_str(&checkpoint.to_string());
    Ok(body)
}

/// The witnesses of a log and how many of them must have cosigned before an append counts.
#[derive(Debug, Default)]
pub(crate) struct Witnesses {
    all: Vec<Witness>,
    require: Option<usize>,
}

impl Witnesses {
    pub(crate) fn add(&mut self, witness: Witness) {
        self.all.push(witness);
    }

    pub(crate) fn set_required(&mut self, count: usize) {
        self.require = Some(count);
    }

    /// How many must cosign: all, unless it was said otherwise.
    pub(crate) fn required(&self) -> usize {
        self.require.unwrap_or(self.all.len())
    }

    /// Gives the checkpoint with as many cosignatures as are required, or nothing when they cannot
    /// be had. That a witness knows more or other than we do is an error, and fatal.
    pub(crate) fn cosign(
        &self,
        checkpoint: &Checkpoint,
        tiles: &impl TileSource,
    ) -> Result<Option<Checkpoint>, LogError> {
        let mut cosigned = checkpoint.clone();
        let mut count = 0;
        // Those that failed a moment ago come last, so that one that is down costs its timeout once.
        let (rested, resting): (Vec<_>, Vec<_>) = self.all.iter().partition(|witness| !witness.resting());
        for witness in rested.into_iter().chain(resting) {
            if count == self.required() {
                break;
            }
            if let Some(line) = witness.ask(checkpoint, tiles)? {
                cosigned.add_signature(line);
                count += 1;
            }
        }
        Ok((count >= self.required()).then_some(cosigned))
    }

    /// Asks every witness once, at the start: a restored backup must be noticed before anything is
    /// signed. Gives the checkpoint with the cosignatures.
    pub(crate) fn greet(
        &self,
        checkpoint: &Checkpoint,
        tiles: &impl TileSource,
    ) -> Result<Option<Checkpoint>, LogError> {
        let mut cosigned = checkpoint.clone();
        let mut count = 0;
        for witness in &self.all {
            if let Some(line) = witness.ask(checkpoint, tiles)? {
                cosigned.add_signature(line);
                count += 1;
            }
        }
        Ok((count >= self.required()).then_some(cosigned))
    }
}
