//! After a kill: verifications that were charged and never closed. Their charges stand, and the log tells of them.

use crate::domain::Domain;
use crate::error::DomainError;
use crate::registry::{FinishRow, Writes};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Closes what was under way. One whose entry is in the log was answered, whether or not the answer arrived; any other one
/// is interrupted, and a new entry says so.
pub(crate) async fn recover(domain: &Domain) -> Result<(), DomainError> {
    loop {
        let open = domain.store.open_verifications().await?;
        let Some(from) = open.iter().map(|(_, from)| *from).min() else { return Ok(()) };
        let mut at: HashMap<String, u64> = HashMap::new();
        for found in domain.log.entries(from..domain.log.size()) {
            let (index, entry) = found?;
            if let ("verification.answered", Some(Value::String(run))) = (entry.kind(), entry.fields().get("run")) {
                at.insert(run.clone(), index);
            }
        }
        let mut writes = Writes::default();
        let mut lost = Vec::new();
        for (id, _) in open {
            let index = at.get(&id).copied();
            if index.is_none() {
                lost.push(id.clone());
            }
            writes.finishes.push(FinishRow(id, "interrupted", None, index));
        }
        let mut notes = Vec::new();
        for runs in lost.chunks(100) {
            notes.push(domain.note("verification.interrupted", [("runs", json!(runs))])?);
        }
        let mut tx = domain.store.begin_verifications().await?;
        tx.write(&writes).await?;
        for note in &notes {
            tx.note(note.audit()?).await?;
        }
        tx.commit().await?;
        for note in notes {
            domain.settle_only(note).await?;
        }
    }
}
