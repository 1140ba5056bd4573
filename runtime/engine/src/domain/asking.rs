//! The same question asked at the same moment is computed once: who comes second waits, and is given the first one's answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The questions that are being asked.
#[derive(Default)]
pub(crate) struct Asking(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Asking {
    /// The lock of a question; it is forgotten when nobody has it any more.
    pub(crate) fn lock_of(&self, question: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = all.get(question).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        all.insert(question.to_owned(), Arc::downgrade(&lock));
        lock
    }
}
