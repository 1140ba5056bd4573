//! Registry and log remember each other: neither can be put back to an older state alone.

use super::Domain;
use crate::error::DomainError;
use crate::logyears::year_of_origin;
use serde_json::Value;
use yunei_audit::{Keyring, LogError, Trust};
use yunei_policy::Refusal;

/// How many entries at the end of the log are looked at when a domain is opened.
const LOOKED_AT: u64 = 256;

impl Domain {
    /// Whom a reader of this domain's log believes: its keys, retired ones too. Witnesses are not among them.
    ///
    /// # Errors
    /// `home/…` where `keys/log.vkey` is no list of keys.
    pub fn log_trust(&self) -> Result<Trust, DomainError> {
        self.home.log_trust()
    }

    /// The same for the logs of all years.
    ///
    /// # Errors
    /// As [`Domain::log_trust`].
    pub fn log_keys(&self) -> Result<Keyring, DomainError> {
        self.home.log_keys()
    }

    /// The registry may not know of a log that follows the one that is there: the log of a year that was sealed was put back.
    async fn check_year(&self) -> Result<(), DomainError> {
        let name = self.name();
        let now = year_of_origin(name, self.log.origin());
        let seen = self.store.logs_seen().await?;
        if seen.iter().any(|origin| year_of_origin(name, origin) > now) {
            let what = "the registry has seen the log of a later year: an older one was restored".to_owned();
            return Err(LogError::Disagree { what }.into());
        }
        Ok(())
    }

    /// Compares log and registry when a domain is opened, before anything is written.
    ///
    /// The checkpoint that the registry saw last must be the beginning of the log (else the log was put back, or is another
    /// one), and what the log has beyond it must be entries that this registry wrote (else the registry was put back, and
    /// with it what is spent). That both were put back together only a witness can tell.
    pub(super) async fn check_continuity(&self) -> Result<(), DomainError> {
        self.check_year().await?;
        let seen = self.store.log_seen(self.log.origin()).await?;
        if let Some(seen) = &seen {
            self.log.extends(seen, &self.log_trust()?)?;
        }
        // A registry that was put back knows nothing of what came after that moment: the end of the log tells.
        let size = self.log.size();
        let from = seen.map_or(0, |seen| seen.size()).max(size.saturating_sub(LOOKED_AT));
        for item in self.log.entries(from..size) {
            let (_, entry) = item?;
            let text = |name: &str| entry.fields().get(name).and_then(Value::as_str);
            // The log's own entries (`log/key`, …) have no id.
            let Some(id) = text("id") else { continue };
            if self.store.outbox_knows(id).await? {
                continue;
            }
            // An answer goes into the log by itself; its charge was in the registry before it.
            let answered = entry.kind() == "verification.answered";
            let known = match text("run") {
                Some(run) if answered => self.store.verification_known(run).await?,
                _ => false,
            };
            if !known {
                return Err(registry_is_older());
            }
        }
        Ok(())
    }
}

fn registry_is_older() -> DomainError {
    DomainError::Unavailable(
        Refusal::new(
            "home/registry-older-than-log",
            "登记库比日志旧，可能单独恢复过旧备份；为防已用预算被重置，拒绝打开",
            "the registry is older than the log: a backup of it alone was restored; refused, since spent budgets would \
             be unspent",
        )
        .hint(
            "请恢复与日志同一时点或更新的 store.sqlite",
            "restore a store.sqlite of the same moment as the log, or newer",
        ),
    )
}
