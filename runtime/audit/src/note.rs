//! C2SP `signed-note`: text, a blank line, signature lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::{VerifyingKey, check_name};

/// The most bytes of a note that is read.
pub(crate) const MAX_NOTE_BYTES: usize = 16 * 1024;

/// The most signature lines of a note that is read (`signed-note` asks for at least 16).
pub(crate) const MAX_SIGNATURES: usize = 32;

/// One signature line: `— name base64(id || signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) id: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Signature {
    /// The line with its newline.
    pub(crate) fn line(&self) -> String {
        let mut data = self.id.to_be_bytes().to_vec();
        data.extend_from_slice(&self.bytes);
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(data))
    }

    /// Reads a line without its newline.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (name, data) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        check_name(name).ok()?;
        let data = STANDARD.decode(data).ok()?;
        let (id, bytes) = data.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }
}

/// A note that was read, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) signatures: Vec<Signature>,
}

impl Note {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_NOTE_BYTES {
            return None;
        }
        let all = std::str::from_utf8(bytes).ok()?;
        if all.bytes().any(|b| b < 0x20 && b != b'\n') {
            return None;
        }
        // The last empty line parts the text from the signatures.
        let cut = all.rfind("\n\n")?;
        let (text, lines) = (&all[..=cut], &all[cut + 2..]);
        let lines = lines.strip_suffix('\n')?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return None;
            }
            signatures.push(Signature::parse(line)?);
        }
        Some(Self { text: text.to_owned(), signatures })
    }

    pub(crate) fn render(&self) -> String {
        let mut out = self.text.clone();
        out.push('\n');
        for signature in &self.signatures {
            out.push_str(&signature.line());
        }
        out
    }

    /// What there is of `key`: nothing, or lines that all verify, or not. A line that claims to be by a known key and does
    /// not verify spoils the note (`signed-note`: clients should reject the whole note).
    pub(crate) fn signature_of(&self, key: &VerifyingKey) -> Option<bool> {
        let mut lines = self.signatures.iter().filter(|line| line.name == key.name() && line.id == key.id()).peekable();
        lines.peek()?;
        Some(lines.all(|line| key.verifies(self.text.as_bytes(), &line.bytes)))
    }

    /// Whether `key` signed the text.
    pub(crate) fn signed_by(&self, key: &VerifyingKey) -> bool {
        self.signature_of(key) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use proptest::prelude::*;

    #[test]
    fn the_go_packages_own_example_note_verifies() {
        let key: VerifyingKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let text = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let note = Note::parse(text.as_bytes()).unwrap();
        assert!(note.signed_by(&key));
        assert_eq!(note.render(), text);
        let forged = Note::parse(text.replace("the answer", "an answer").as_bytes()).unwrap();
        assert!(!forged.signed_by(&key));
    }

    #[test]
    fn signatures_at_the_limit_and_one_past_it_and_a_bad_twin() {
        let key = SigningKey::from_seed("k", [7; 32]).unwrap();
        let text = "hello\n".to_owned();
        let with = |n: usize| Note { text: text.clone(), signatures: vec![key.sign(&text); n] }.render();
        assert!(Note::parse(with(MAX_SIGNATURES).as_bytes()).unwrap().signed_by(&key.verifying_key()));
        assert!(Note::parse(with(MAX_SIGNATURES + 1).as_bytes()).is_none());
        assert!(Note::parse(with(0).as_bytes()).is_none());
        let mut bad = Note::parse(with(2).as_bytes()).unwrap();
        bad.signatures[1].bytes[0] ^= 1;
        assert!(!bad.signed_by(&key.verifying_key()));
        for broken in ["", "\n", "\n\n", "a\n\n", "a\n\n- k AAAA\n", "a\tb\n\n\u{2014} k AAAAAAA=\n"] {
            assert!(Note::parse(broken.as_bytes()).is_none(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_total(text in "(?s).{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Note::parse(text.as_bytes());
            let _ = Note::parse(&bytes);
            let _ = Signature::parse(&text);
        }
    }
}
