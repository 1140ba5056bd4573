//! Proofs, in types, that something is in the log.

/// Where an entry stands in the log. Only the log makes one, and only for a durable entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    index: u64,
    leaf: [u8; 32],
}

impl Position {
    pub(crate) fn new(index: u64, leaf: [u8; 32]) -> Self {
        Self { index, leaf }
    }

    /// The index of the entry, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The leaf hash: `SHA-256(0x00 || entry)` (RFC 6962 section 2.1).
    #[must_use]
    pub fn leaf_hash(&self) -> &[u8; 32] {
        &self.leaf
    }
}

/// A value whose entry is in the log: on stable storage, under a signed checkpoint.
///
/// Only [`Log::record`](crate::Log::record) makes one. It can neither be cloned nor read from
/// bytes, so that a step that takes a `Recorded<T>` cannot be reached by an unlogged way.
#[must_use = "a recorded value is the permission for the next step"]
pub struct Recorded<T> {
    value: T,
    position: Position,
}

impl<T> Recorded<T> {
    pub(crate) fn new(value: T, position: Position) -> Self {
        Self { value, position }
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Where its entry stands.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Gives up the proof for its parts.
    #[must_use]
    pub fn into_parts(self) -> (T, Position) {
        (self.value, self.position)
    }
}

impl<T> std::fmt::Debug for Recorded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").field("index", &self.position.index).finish_non_exhaustive()
    }
}
