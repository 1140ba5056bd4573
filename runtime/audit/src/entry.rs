//! A log entry: small canonical JSON.

use serde_json::{Map, Value};

use crate::canonical::{self, CanonicalError, MAX_SAFE_INTEGER};

/// The most bytes that an entry may have: what a `tlog-tiles` entry bundle can hold (its length
/// prefix is a `uint16`).
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// The most bytes of an entry's kind.
const MAX_KIND_BYTES: usize = 64;

/// Why bytes or values are no entry. No variant carries a value of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The kind is not one to 64 characters of `a-z 0-9 . / _ -`.
    #[error("entry/kind: an entry's kind is one to 64 characters of a-z, 0-9, '.', '/', '_' and '-'")]
    Kind,
    /// The time is before 1970 or beyond what a JSON integer can say.
    #[error("entry/time: an entry's time is milliseconds since 1970, from 0 to 2^53 - 1")]
    Time,
    /// A number that is not an integer within ±(2^53 - 1).
    #[error("entry/number: numbers in an entry are integers within 2^53 - 1; write others as strings")]
    Number,
    /// Nested too deep.
    #[error("entry/depth: an entry nests at most 16 levels deep")]
    Depth,
    /// Longer than [`MAX_ENTRY_BYTES`].
    #[error("entry/size: an entry has at most 65535 bytes")]
    Size,
    /// Bytes that are not the canonical JSON of an entry.
    #[error("entry/form: these bytes are not the canonical JSON of an entry")]
    Form,
}

impl EntryError {
    /// The stable code, for example `entry/size`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Kind => "entry/kind",
            Self::Time => "entry/time",
            Self::Number => "entry/number",
            Self::Depth => "entry/depth",
            Self::Size => "entry/size",
            Self::Form => "entry/form",
        }
    }
}

impl From<CanonicalError> for EntryError {
    fn from(error: CanonicalError) -> Self {
        match error {
            CanonicalError::Number => Self::Number,
            CanonicalError::Depth => Self::Depth,
        }
    }
}

/// One entry of the log: `{"at":…,"fields":{…},"kind":"…","v":1}` in canonical form (RFC 8785).
///
/// The fields are public to everybody who may read the log: digests, codes and salted
/// [commitments](crate::commitment()), never personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    kind: String,
    at_millis: i64,
    fields: Map<String, Value>,
    bytes: Vec<u8>,
}

impl Entry {
    /// An entry of this kind, time (milliseconds since 1970, UTC) and content.
    ///
    /// # Errors
    /// [`EntryError`], whatever is out of bounds.
    pub fn new(kind: &str, at_millis: i64, fields: Map<String, Value>) -> Result<Self, EntryError> {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"./_-".contains(&b);
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES || !kind.bytes().all(fine) {
            return Err(EntryError::Kind);
        }
        if !(0..=MAX_SAFE_INTEGER).contains(&at_millis) {
            return Err(EntryError::Time);
        }
        // Written piece by piece: the four names are in canonical order, and the kind needs no escape.
        let inner = canonical::object(&fields)?;
        let mut bytes = Vec::with_capacity(inner.len() + 64 + kind.len());
        bytes.extend_from_slice(format!("{{\"at\":{at_millis},\"fields\":").as_bytes());
        bytes.extend_from_slice(&inner);
        bytes.extend_from_slice(format!(",\"kind\":\"{kind}\",\"v\":1}}").as_bytes());
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::Size);
        }
        Ok(Self { kind: kind.to_owned(), at_millis, fields, bytes })
    }

    /// Reads an entry back. Only the very bytes that [`Entry::bytes`] gives are taken: another
    /// spelling of the same JSON is another leaf, and is refused.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::Size);
        }
        let Ok(Value::Object(mut top)) = serde_json::from_slice::<Value>(bytes) else {
            return Err(EntryError::Form);
        };
        let (Some(Value::String(kind)), Some(Value::Number(at)), Some(Value::Object(fields))) =
            (top.remove("kind"), top.remove("at"), top.remove("fields"))
        else {
            return Err(EntryError::Form);
        };
        let entry = Self::new(&kind, at.as_i64().ok_or(EntryError::Time)?, fields)?;
        // Duplicate names, white space, other escapes, unknown members, another version: all of
        // them fail this one comparison.
        if entry.bytes == bytes { Ok(entry) } else { Err(EntryError::Form) }
    }

    /// What happened, for example `run/released`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// When, in milliseconds since 1970 (UTC), by the clock of whoever made the entry.
    #[must_use]
    pub fn at_millis(&self) -> i64 {
        self.at_millis
    }

    /// The content.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The leaf hash: `SHA-256(0x00 || entry)` (RFC 6962 section 2.1).
    #[must_use]
    pub fn leaf_hash(&self) -> [u8; 32] {
        crate::tree::leaf_hash(&self.bytes)
    }

    /// The canonical bytes: what is hashed into the tree.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("kind", &self.kind).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("an object") };
        map
    }

    #[test]
    fn the_bytes_are_canonical() {
        let entry =
            Entry::new("run/released", 1_763_900_000_000, map(json!({"z": 1, "a": ["昆明", null, true]}))).unwrap();
        assert_eq!(
            std::str::from_utf8(entry.bytes()).unwrap(),
            r#"{"at":1763900000000,"fields":{"a":["昆明",null,true],"z":1},"kind":"run/released","v":1}"#
        );
        assert_eq!(Entry::parse(entry.bytes()).unwrap(), entry);
        assert_eq!(
            format!("{entry:?}"),
            format!("Entry {{ kind: \"run/released\", bytes: {}, .. }}", entry.bytes().len())
        );
    }

    #[test]
    fn bounds_at_the_limit_and_one_past_it() {
        let with = |n: usize| Entry::new("k", 0, map(json!({"s": "x".repeat(n)})));
        let overhead = with(0).unwrap().bytes().len();
        assert_eq!(with(MAX_ENTRY_BYTES - overhead).unwrap().bytes().len(), MAX_ENTRY_BYTES);
        assert_eq!(with(MAX_ENTRY_BYTES - overhead + 1), Err(EntryError::Size));
        assert!(Entry::new(&"k".repeat(64), 0, Map::new()).is_ok());
        for kind in ["", &"k".repeat(65), "Kind", "a b", "a\"", "类"] {
            assert_eq!(Entry::new(kind, 0, Map::new()), Err(EntryError::Kind));
        }
        assert!(Entry::new("k", MAX_SAFE_INTEGER, Map::new()).is_ok());
        for at in [-1, MAX_SAFE_INTEGER + 1, i64::MIN, i64::MAX] {
            assert_eq!(Entry::new("k", at, Map::new()), Err(EntryError::Time));
        }
        assert_eq!(Entry::new("k", 0, map(json!({"x": 0.1}))), Err(EntryError::Number));
    }

    #[test]
    fn only_the_canonical_spelling_is_an_entry() {
        let good = r#"{"at":1,"fields":{"a":1},"kind":"k","v":1}"#;
        assert!(Entry::parse(good.as_bytes()).is_ok());
        for bad in [
            "",
            "{}",
            "null",
            "[1]",
            "{",
            r#"{"at":1,"fields":{"a":1},"kind":"k","v":2}"#,
            r#"{"at":1,"fields":{"a":1},"kind":"k"}"#,
            r#"{"at":1,"fields":{"a":1},"kind":"k","v":1,"w":1}"#,
            r#"{"at":1, "fields":{"a":1},"kind":"k","v":1}"#,
            r#"{"at":1,"fields":{"a":2,"a":1},"kind":"k","v":1}"#,
            r#"{"at":1,"fields":{"\u0061":1},"kind":"k","v":1}"#,
            r#"{"kind":"k","at":1,"fields":{"a":1},"v":1}"#,
            r#"{"at":1e0,"fields":{"a":1},"kind":"k","v":1}"#,
            r#"{"at":1,"fields":{"a":01},"kind":"k","v":1}"#,
            "{\"at\":1,\"fields\":{\"a\":1},\"kind\":\"k\",\"v\":1}\n",
        ] {
            assert!(Entry::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep =
            format!(r#"{{"at":1,"fields":{{"a":{}1{}}},"kind":"k","v":1}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert!(Entry::parse(deep.as_bytes()).is_err());
        assert_eq!(Entry::parse(&[b' '; MAX_ENTRY_BYTES + 1]), Err(EntryError::Size));
    }

    proptest! {
        #[test]
        fn parse_is_total_and_inverse(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,40}", n in any::<i64>()) {
            let _ = Entry::parse(&bytes);
            if let Ok(entry) = Entry::new("k", 7, map(json!({ text.clone(): text, "n": n }))) {
                prop_assert_eq!(&Entry::parse(entry.bytes()).unwrap(), &entry);
            } else {
                prop_assert!(n.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs());
            }
        }
    }
}
