//! The tamper-evident log and its receipts.
//!
//! An append-only RFC 6962 Merkle tree in the C2SP `tlog-tiles` layout, with signed
//! `tlog-checkpoint` heads and receipts that anybody who holds the log's public key can check
//! offline. The crate knows nothing of datasets, models or policies: an [`Entry`] is a small
//! canonical JSON object, and what stands in it is the caller's business.
//!
//! The one promise that everything above rests on: [`Log::append`] returns only when the entry is
//! on stable storage and covered by a signed checkpoint that is there as well. [`Log::record`]
//! turns that promise into a type: a [`Recorded<T>`] exists only for a value whose entry is durable.
//!
//! ```
//! use serde_json::{Map, json};
//! use yunei_audit::{Entry, Log, Receipt, SigningKey, receipt_digest};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! # let dir = home.path().join("log");
//! let log = Log::create(&dir, SigningKey::generate("domain.example/log")?)?;
//! // What the receipt will say goes into the entry as a digest.
//! let mut body = Map::new();
//! body.insert("run".into(), json!("r-1"));
//! let mut fields = Map::new();
//! fields.insert("receipt".into(), json!(receipt_digest(&body)?));
//! let recorded = log.record(Entry::new("run/released", 1_763_900_000_000, fields)?, "the result")?;
//! let receipt = log.receipt(recorded.position(), body)?.to_string();
//! // Years later, on another machine, with the log's public key alone:
//! let verified = Receipt::parse(receipt.as_bytes())?.verify(&log.verifying_key())?;
//! assert_eq!(verified.body()["run"], "r-1");
//! # Ok(())
//! # }
//! ```
//!
//! Byte-exact formats and the reasons for them are in `docs/log-format.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod archive;
mod ask;
mod canonical;
mod checkpoint;
mod commitment;
mod entry;
mod error;
mod files;
mod http;
mod journal;
mod key;
mod keyring;
mod lock;
mod log;
mod note;
mod options;
mod publisher;
mod receipt;
mod recorded;
mod recover;
mod retention;
mod sequencer;
#[cfg(feature = "sm")]
mod sm;
mod sm_key;
mod tiles;
mod tree;
mod trust;
mod verify;
mod view;
mod witness;
mod witness_server;
mod words;

pub use archive::{Archive, Filter, Stats, write_jsonl};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use commitment::commitment;
pub use entry::{Entry, EntryError, MAX_ENTRY_BYTES};
pub use error::LogError;
pub use key::{KeyError, SigningKey, VerifyingKey};
pub use keyring::Keyring;
pub use lock::Agree;
pub use log::Log;
pub use options::{Options, rotate};
pub use receipt::{MAX_RECEIPT_BYTES, Receipt, ReceiptBody, ReceiptError, VerifiedReceipt, receipt_digest};
pub use recorded::{Position, Recorded};
pub use retention::{Notice, Previous, RETENTION_MILLIS, move_log, open_after, sealed_for, succeed};
#[cfg(feature = "sm")]
pub use sm::{SmSigningKey, SmVerifyingKey};
pub use sm_key::{Sm2Key, Sm2Status};
pub use trust::Trust;
pub use verify::Verdict;
pub use witness::{Witness, WitnessKey};
pub use witness_server::{WitnessServer, WitnessState};
