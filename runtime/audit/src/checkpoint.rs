//! Checkpoints: C2SP `tlog-checkpoint`, a signed statement of a tree's size and root.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::VerifyingKey;
use crate::note::{Note, Signature};
use crate::options::Signers;
use crate::tree::MAX_SIZE;

/// Why bytes are no checkpoint, or not one to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not the text of a checkpoint.
    #[error("checkpoint/form: these bytes are not a signed checkpoint")]
    Form,
    /// The log's key did not sign it, or it is of another log.
    #[error("checkpoint/signature: the checkpoint is not signed by this log's key")]
    Signature,
    /// Fewer witnesses cosigned it than are asked for.
    #[error("checkpoint/witness: too few witnesses have cosigned the checkpoint")]
    Witness,
}

impl CheckpointError {
    /// The stable code, for example `checkpoint/form`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form => "checkpoint/form",
            Self::Signature => "checkpoint/signature",
            Self::Witness => "checkpoint/witness",
        }
    }
}

/// A signed tree head. Reading one does not verify it; [`Checkpoint::verify`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: [u8; 32],
    note: Note,
}

impl Checkpoint {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::read(bytes).ok_or(CheckpointError::Form)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let note = Note::parse(bytes)?;
        let mut lines = note.text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        if origin.is_empty() || lines.any(str::is_empty) {
            return None;
        }
        let root: [u8; 32] = STANDARD.decode(root).ok()?.try_into().ok()?;
        let (origin, size) = (origin.to_owned(), parse_size(size)?);
        Some(Self { origin, size, root, note })
    }

    /// Signs the head of a tree.
    pub(crate) fn sign(signers: &Signers, size: u64, root: [u8; 32]) -> Self {
        let text = format!("{}\n{size}\n{}\n", signers.origin(), STANDARD.encode(root));
        let signatures = signers.sign(&text);
        Self { origin: signers.origin().to_owned(), size, root, note: Note { text, signatures } }
    }

    /// The text that is signed and cosigned.
    pub(crate) fn text(&self) -> &str {
        &self.note.text
    }

    pub(crate) fn signatures(&self) -> &[Signature] {
        &self.note.signatures
    }

    pub(crate) fn add_signature(&mut self, line: Signature) {
        self.note.signatures.push(line);
    }

    /// What there is of a key's signature; see [`Note::signature_of`].
    pub(crate) fn signature_of(&self, key: &VerifyingKey) -> Option<bool> {
        self.note.signature_of(key)
    }

    /// Whether this key signed it, under its own name as origin.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), CheckpointError> {
        if self.origin == key.name() && self.note.signed_by(key) { Ok(()) } else { Err(CheckpointError::Signature) }
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root hash of the tree (RFC 6962 section 2.1).
    #[must_use]
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }
}

/// A tree size or an index: decimal, no sign, no leading zero, within what the log can hold.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if text.len() > 1 && text.starts_with('0') {
        return None;
    }
    text.parse().ok().filter(|size| *size <= MAX_SIZE)
}

impl fmt::Display for Checkpoint {
    /// The signed note, byte for byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.note.render())
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("origin", &self.origin)
            .field("size", &self.size)
            .field("root", &hex::encode(self.root))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn the_specifications_own_example_is_read_and_a_signed_one_verifies() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
            \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let read = Checkpoint::parse(text.as_bytes()).unwrap();
        assert_eq!((read.origin(), read.size()), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.to_string(), text);

        let key = SigningKey::from_seed("a.example/log", [1; 32]).unwrap();
        let verifying = key.verifying_key();
        let signed = Checkpoint::sign(&Signers::one(key), 5, [9; 32]);
        let read = Checkpoint::parse(signed.to_string().as_bytes()).unwrap();
        assert_eq!(read, signed);
        assert!(read.verify(&verifying).is_ok());
        let other = SigningKey::from_seed("a.example/log", [2; 32]).unwrap();
        assert_eq!(read.verify(&other.verifying_key()), Err(CheckpointError::Signature));
    }

    #[test]
    fn sizes_are_plain_decimals_within_bounds() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size(&MAX_SIZE.to_string()), Some(MAX_SIZE));
        let past = (MAX_SIZE + 1).to_string();
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "1e3", "18446744073709551616", &past] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
