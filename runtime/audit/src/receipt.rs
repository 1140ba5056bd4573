//! Receipts: one entry, what it stands for, and the proof that it is in the log.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};
use tlog_tiles::Hash;

use crate::canonical;
use crate::checkpoint::{CheckpointError, parse_size};
use crate::tree::leaf_hash;
use crate::trust::Trust;
use crate::{Checkpoint, Entry, EntryError, VerifyingKey};

/// The most bytes of a receipt that is read.
pub const MAX_RECEIPT_BYTES: usize = 256 * 1024;

/// The most bytes of a receipt's body.
const MAX_BODY_BYTES: usize = 128 * 1024;

/// An inclusion proof has at most one hash per level of the tree.
const MAX_PROOF: usize = 63;

const FIRST_LINE: &str = "yunei.receipt@v1";
const PROOF_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The field of an entry that holds the digest of a receipt's body.
pub(crate) const DIGEST_FIELD: &str = "receipt";

/// Why bytes are no receipt, or one that proves nothing. No variant carries what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Longer than [`MAX_RECEIPT_BYTES`].
    #[error("receipt/size: a receipt has at most 262144 bytes")]
    Size,
    /// Not the text of a receipt.
    #[error("receipt/form: these bytes are not a receipt")]
    Form,
    /// The body's digest does not stand in the entry.
    #[error("receipt/body: the body is not the one that was logged")]
    Body,
    /// The entry is not where the receipt says, or not in the tree of its checkpoint.
    #[error("receipt/proof: the entry is not in the log of this checkpoint")]
    Proof,
    /// The checkpoint is not signed by this key.
    #[error("receipt/signature: the checkpoint is not signed by this key")]
    Signature,
    /// Fewer witnesses cosigned the checkpoint than are asked for.
    #[error("receipt/witness: too few witnesses have cosigned the checkpoint")]
    Witness,
}

impl ReceiptError {
    /// The stable code, for example `receipt/proof`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Size => "receipt/size",
            Self::Form => "receipt/form",
            Self::Body => "receipt/body",
            Self::Proof => "receipt/proof",
            Self::Signature => "receipt/signature",
            Self::Witness => "receipt/witness",
        }
    }
}

/// The digest that binds a receipt's body to its entry: SHA-256 over the canonical JSON, as 64 hex
/// digits. It belongs into the entry's field `receipt`.
///
/// # Errors
/// [`EntryError`] when the body has no canonical form or more than 131,072 bytes.
pub fn receipt_digest(body: &Map<String, Value>) -> Result<String, EntryError> {
    Ok(digest_of(canonical_body(body)?.as_bytes()))
}

fn digest_of(text: &[u8]) -> String {
    hex::encode(digest(&SHA256, text))
}

fn canonical_body(body: &Map<String, Value>) -> Result<String, EntryError> {
    let bytes = canonical::object(body)?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(EntryError::Size);
    }
    String::from_utf8(bytes).map_err(|_| EntryError::Form)
}

/// What a receipt says, with its canonical text and the digest of that: written and hashed once, however often they are
/// asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptBody {
    fields: Map<String, Value>,
    text: String,
    digest: String,
}

impl ReceiptBody {
    /// The body of these fields.
    ///
    /// # Errors
    /// Those of [`receipt_digest`].
    pub fn new(fields: Map<String, Value>) -> Result<Self, EntryError> {
        let text = canonical_body(&fields)?;
        let digest = digest_of(text.as_bytes());
        Ok(Self { fields, text, digest })
    }

    /// What it says.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The same as canonical JSON (RFC 8785), one line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What belongs into the entry's field `receipt`; see [`receipt_digest`].
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl fmt::Debug for ReceiptBody {
    // What it says is for who holds the receipt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptBody").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// A receipt, not yet believed. [`Receipt::verify`] makes a [`VerifiedReceipt`] of it.
///
/// The text form is: a first line, the body and the entry as canonical JSON on a line each, an
/// empty line, then a C2SP `tlog-proof` with the checkpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    body: ReceiptBody,
    entry: Entry,
    index: u64,
    proof: Vec<[u8; 32]>,
    checkpoint: Arc<Checkpoint>,
}

impl Receipt {
    /// Puts a receipt together; `None` when the body is not the one of the entry.
    pub(crate) fn assemble(
        body: ReceiptBody,
        entry: Entry,
        index: u64,
        proof: Vec<[u8; 32]>,
        checkpoint: Arc<Checkpoint>,
    ) -> Option<Self> {
        let receipt = Self { body, entry, index, proof, checkpoint };
        receipt.body_matches().then_some(receipt)
    }

    fn body_matches(&self) -> bool {
        self.entry.fields().get(DIGEST_FIELD).and_then(Value::as_str) == Some(self.body.digest())
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`ReceiptError::Size`], [`ReceiptError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::Size);
        }
        Self::read(bytes).ok_or(ReceiptError::Form)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(bytes).ok()?;
        let mut line = || {
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            Some(line)
        };
        if line()? != FIRST_LINE {
            return None;
        }
        let body_line = line()?;
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(body_line) else { return None };
        // One body, one spelling: the line is what the digest is taken of.
        let body = ReceiptBody::new(fields).ok()?;
        if body.text() != body_line {
            return None;
        }
        let entry = Entry::parse(line()?.as_bytes()).ok()?;
        if !line()?.is_empty() || line()? != PROOF_LINE {
            return None;
        }
        let index = parse_size(line()?.strip_prefix("index ")?)?;
        let mut proof = Vec::new();
        loop {
            let hash = line()?;
            if hash.is_empty() {
                break;
            }
            if proof.len() == MAX_PROOF {
                return None;
            }
            proof.push(STANDARD.decode(hash).ok()?.try_into().ok()?);
        }
        let checkpoint = Checkpoint::parse(rest.as_bytes()).ok()?;
        Some(Self { body, entry, index, proof, checkpoint: Arc::new(checkpoint) })
    }

    /// Checks everything: the body against the entry, the entry against the tree, the tree against
    /// the log's key. Needs nothing but the receipt and the key.
    ///
    /// # Errors
    /// [`ReceiptError`], the first thing that fails.
    pub fn verify(self, key: &VerifyingKey) -> Result<VerifiedReceipt, ReceiptError> {
        self.verify_with(&Trust::new(key.clone()))
    }

    /// [`Receipt::verify`] with retired keys and witnesses.
    ///
    /// # Errors
    /// [`ReceiptError`], the first thing that fails.
    pub fn verify_with(self, trust: &Trust) -> Result<VerifiedReceipt, ReceiptError> {
        let witnesses = trust.check(&self.checkpoint).map_err(|error| match error {
            CheckpointError::Witness => ReceiptError::Witness,
            _ => ReceiptError::Signature,
        })?;
        if !self.body_matches() {
            return Err(ReceiptError::Body);
        }
        let proof: Vec<Hash> = self.proof.iter().map(|hash| Hash(*hash)).collect();
        let (size, root) = (self.checkpoint.size(), Hash(*self.checkpoint.root()));
        let leaf = Hash(leaf_hash(self.entry.bytes()));
        tlog_tiles::check_record(&proof, size, root, self.index, leaf).map_err(|_| ReceiptError::Proof)?;
        Ok(VerifiedReceipt { receipt: self, witnesses })
    }

    /// What the receipt is about.
    #[must_use]
    pub fn body(&self) -> &Map<String, Value> {
        self.body.fields()
    }

    /// The entry in the log.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The index of the entry.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint that the proof leads to.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The part that any `tlog-proof` reader takes.
    #[must_use]
    pub fn tlog_proof(&self) -> String {
        tlog_proof(self.index, &self.proof, &self.checkpoint)
    }

    /// The same content as one JSON object, for machines: `body`, `entry`, `index`, `proof`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::json!({
            "format": FIRST_LINE,
            "body": self.body.fields(),
            "entry": {
                "kind": self.entry.kind(),
                "at": self.entry.at_millis(),
                "fields": self.entry.fields(),
            },
            "index": self.index,
            "origin": self.checkpoint.origin(),
            "size": self.checkpoint.size(),
            "proof": self.tlog_proof(),
        })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = std::str::from_utf8(self.entry.bytes()).map_err(|_| fmt::Error)?;
        for part in [FIRST_LINE, "\n", self.body.text(), "\n", entry, "\n\n", &self.tlog_proof()] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("index", &self.index).finish_non_exhaustive()
    }
}

/// The text of a C2SP `tlog-proof`.
pub(crate) fn tlog_proof(index: u64, proof: &[[u8; 32]], checkpoint: &Checkpoint) -> String {
    let head = checkpoint.to_string();
    let mut text = format!("{PROOF_LINE}\nindex {index}\n");
    // 32 bytes are 44 signs of base64.
    text.reserve(45 * proof.len() + 1 + head.len());
    for hash in proof {
        STANDARD.encode_string(hash, &mut text);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&head);
    text
}

/// A receipt that was checked against the log's key.
#[derive(Debug)]
pub struct VerifiedReceipt {
    receipt: Receipt,
    witnesses: Vec<String>,
}

impl VerifiedReceipt {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// What the receipt is about.
    #[must_use]
    pub fn body(&self) -> &Map<String, Value> {
        self.receipt.body()
    }

    /// The entry in the log.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.receipt.entry
    }

    /// The index of the entry.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.receipt.index
    }

    /// The names of the known witnesses that cosigned.
    #[must_use]
    pub fn witnesses(&self) -> &[String] {
        &self.witnesses
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.receipt.checkpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use crate::options::Signers;
    use proptest::prelude::*;

    fn receipt(index: u64, size: u64, proof: Vec<[u8; 32]>) -> String {
        let key = SigningKey::from_seed("a", [1; 32]).unwrap();
        let checkpoint = Checkpoint::sign(&Signers::one(key), size, [7; 32]);
        let mut fields = Map::new();
        fields.insert(DIGEST_FIELD.into(), receipt_digest(&Map::new()).unwrap().into());
        let entry = Entry::new("k", 0, fields).unwrap();
        let body = ReceiptBody::new(Map::new()).unwrap();
        Receipt::assemble(body, entry, index, proof, Arc::new(checkpoint)).unwrap().to_string()
    }

    #[test]
    fn bounds_at_the_limit_and_one_past_it() {
        let parse = |n: usize| Receipt::parse(receipt(0, 5, vec![[0; 32]; n]).as_bytes());
        assert!(parse(MAX_PROOF).is_ok());
        assert_eq!(parse(MAX_PROOF + 1), Err(ReceiptError::Form));
        assert_eq!(Receipt::parse(&[b'x'; MAX_RECEIPT_BYTES]), Err(ReceiptError::Form));
        assert_eq!(Receipt::parse(&[b'x'; MAX_RECEIPT_BYTES + 1]), Err(ReceiptError::Size));
        let body = |n: usize| {
            let mut map = Map::new();
            map.insert("s".into(), "x".repeat(n).into());
            map
        };
        assert!(receipt_digest(&body(MAX_BODY_BYTES - 8)).is_ok());
        assert_eq!(receipt_digest(&body(MAX_BODY_BYTES - 7)), Err(EntryError::Size));
    }

    proptest! {
        #[test]
        fn parsing_and_verifying_are_total(
            index in prop_oneof![0..20_u64, any::<u64>()],
            size in prop_oneof![0..20_u64, any::<u64>()],
            length in 0..70_usize,
            cut in 0..2000_usize,
            text in "(?s).{0,300}",
        ) {
            let key = SigningKey::from_seed("a", [1; 32]).unwrap().verifying_key();
            let text = [receipt(index, size, vec![[3; 32]; length]), text];
            for bytes in text.iter().map(String::as_bytes) {
                for part in [bytes, &bytes[..cut.min(bytes.len())]] {
                    if let Ok(receipt) = Receipt::parse(part) {
                        prop_assert!(receipt.verify(&key).is_err());
                    }
                }
            }
        }
    }
}
