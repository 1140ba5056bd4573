//! What can go wrong with a log, and whether the process may go on.

use std::io;

/// An error of the log. Every variant says whether it is **fatal**: after a fatal one the log is
/// stopped, every later append answers [`LogError::Stopped`], and the process should end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process (or another handle in this one) writes this log. Not fatal: nothing was touched.
    #[error("audit/busy: another process has this log open")]
    Busy,
    /// [`Log::create`](crate::Log::create) found something in the folder. Not fatal: nothing was touched.
    #[error("audit/exists: there is something in this folder already")]
    Exists,
    /// There is no log in this folder. Not fatal: nothing was touched.
    #[error("audit/absent: there is no log in this folder")]
    Absent,
    /// The key is not the one that signs this log. Not fatal: nothing was touched. Going on would
    /// sign one log with two identities.
    #[error("audit/key: this key does not sign this log")]
    Key,
    /// Stored bytes do not hash to what was signed. Fatal: whatever is appended to a damaged tree
    /// would put a good signature over bad content.
    #[error("audit/damaged: {what}")]
    Damaged {
        /// What is damaged, and where.
        what: String,
    },
    /// Lock and storage tell different stories, for example after the restore of a backup. Fatal:
    /// signing on would give one size two roots, the one thing that a log must never do.
    #[error("audit/disagree: {what}")]
    Disagree {
        /// Who disagrees with whom.
        what: String,
    },
    /// The disk failed or is full. Fatal: after a failed write or `fsync` the kernel may have
    /// dropped the very pages that a repeated call would report as safe, so nothing is retried.
    #[error("audit/disk: {action}: {source}")]
    Disk {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A fatal error happened before; see the first one. Fatal: open the log anew, which recovers
    /// from what is really on the disk.
    #[error("audit/stopped: the log stopped after an earlier failure; restart to recover")]
    Stopped,
    /// The index is beyond the end of the log. Not fatal.
    #[error("audit/no-entry: the log has no entry at this index")]
    NoEntry,
    /// The body is not the one whose digest stands in the entry. Not fatal.
    #[error("audit/receipt-body: the body does not match the digest in the entry")]
    ReceiptBody,
    /// Too few witnesses have cosigned. Not fatal for the log: the entry is in it, but what it stands
    /// for must not go on. The next append asks the witnesses again, for all entries so far.
    #[error("audit/unwitnessed: too few witnesses have cosigned the log")]
    Unwitnessed,
    /// The log was sealed; its successor takes the entries. Not fatal: nothing was touched.
    #[error("audit/sealed: this log is sealed; append to the one that follows it")]
    Sealed,
    /// The log has entries that are younger than three years, or was not sealed. Not fatal: nothing
    /// was touched.
    #[error("audit/retained: a log may be moved only when it is sealed and its last entry is three years old")]
    Retained,
    /// Stored bytes under a verified root are no entry: another program wrote to this log. Not fatal.
    #[error("audit/entry: {0}")]
    Entry(#[from] crate::EntryError),
}

impl LogError {
    /// The stable code, for example `audit/busy`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy => "audit/busy",
            Self::Exists => "audit/exists",
            Self::Absent => "audit/absent",
            Self::Key => "audit/key",
            Self::Damaged { .. } => "audit/damaged",
            Self::Disagree { .. } => "audit/disagree",
            Self::Disk { .. } => "audit/disk",
            Self::Stopped => "audit/stopped",
            Self::NoEntry => "audit/no-entry",
            Self::ReceiptBody => "audit/receipt-body",
            Self::Unwitnessed => "audit/unwitnessed",
            Self::Sealed => "audit/sealed",
            Self::Retained => "audit/retained",
            Self::Entry(_) => "audit/entry",
        }
    }

    /// Whether the log must not be appended to after this.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Disagree { .. } | Self::Disk { .. } | Self::Stopped)
    }

    pub(crate) fn disk(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, source }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn disagree(what: impl Into<String>) -> Self {
        Self::Disagree { what: what.into() }
    }
}
