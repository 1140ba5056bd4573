//! What a domain answers when it does not do what was asked.

use crate::registry::StoreError;
use yunei_audit::{KeyError, LogError};
use yunei_policy::{Refusal, Refused};

/// Why something was not done.
#[derive(Debug)]
pub enum DomainError {
    /// A rule says no, or what was handed in is malformed: every reason, with its code.
    Refused(Refused),
    /// There is no such thing.
    NotFound(Refusal),
    /// The domain can not answer now: busy, damaged, or the disk failed.
    Unavailable(Refusal),
    /// Something failed that is no rule's doing. After data was opened this is all that anybody is told.
    Failed(Refusal),
}

/// Areas whose refusals mean that the input itself is not well formed.
const MALFORMED: &[&str] = &[
    "catalogue/",
    "manifest/",
    "product/",
    "parameter/",
    "name/",
    "rules/",
    "grant/",
    "input/",
    "import/",
    "directory/",
    "agreement/",
];
/// Codes outside those areas that mean the same.
const MALFORMED_CODES: &[&str] = &[
    "sql/parse",
    "sql/resolve",
    "sql/not-a-query",
    "model/malformed",
    "model/not-wasm",
    "model/syntax",
    "model/too-large",
    "receipt/malformed",
];

impl DomainError {
    /// The reasons, whichever kind it is.
    pub fn reasons(&self) -> &[Refusal] {
        match self {
            DomainError::Refused(refused) => refused.reasons(),
            DomainError::NotFound(one) | DomainError::Unavailable(one) | DomainError::Failed(one) => {
                std::slice::from_ref(one)
            }
        }
    }

    /// The exit code of the command line: 2 malformed input, 3 refused, 4 not found, 5 unavailable, 1 other.
    pub fn exit_code(&self) -> u8 {
        match self {
            DomainError::Refused(refused) => {
                let malformed = |r: &Refusal| {
                    MALFORMED.iter().any(|area| r.code().starts_with(area)) || MALFORMED_CODES.contains(&r.code())
                };
                if refused.reasons().iter().all(malformed) { 2 } else { 3 }
            }
            DomainError::NotFound(_) => 4,
            DomainError::Unavailable(_) => 5,
            DomainError::Failed(_) => 1,
        }
    }

    /// There is no `what` called `name`.
    pub(crate) fn not_found(what_zh: &str, what_en: &str, name: &str) -> Self {
        let shown: String = name.chars().take(80).collect();
        DomainError::NotFound(
            Refusal::new(
                "registry/not-found",
                format!("没有这个{what_zh}：{shown}"),
                format!("there is no {what_en} called {shown}"),
            )
            .at(shown),
        )
    }

    /// The one answer for whatever failed after data was opened.
    pub(crate) fn run_failed() -> Self {
        DomainError::Failed(
            Refusal::new("run/failed", "运行失败，本次预算不退还", "the run failed; its charge stands").hint(
                "请用 yunei model try 在合成数据上检查模型，或联系数据主管部门",
                "try the model on synthetic data, or ask the data authority",
            ),
        )
    }

    /// Something of the machine's failed.
    pub(crate) fn io(what: &'static str, error: &std::io::Error) -> Self {
        DomainError::Unavailable(
            Refusal::new(
                "home/io",
                format!("读写失败：{}", error.kind()),
                format!("input or output failed: {}", error.kind()),
            )
            .at(what),
        )
    }
}

impl std::fmt::Display for DomainError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, reason) in self.reasons().iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DomainError {}

impl From<Refused> for DomainError {
    fn from(refused: Refused) -> Self {
        DomainError::Refused(refused)
    }
}

impl From<Refusal> for DomainError {
    fn from(refusal: Refusal) -> Self {
        DomainError::Refused(refusal.into())
    }
}

impl From<StoreError> for DomainError {
    fn from(error: StoreError) -> Self {
        let refusal = error.to_refusal();
        match refusal.code() {
            "store/not-found" => DomainError::NotFound(refusal),
            "run/stopped" => DomainError::Refused(refusal.into()),
            "store/exists" | "store/state" | "store/owner" | "store/limit" => DomainError::Refused(refusal.into()),
            _ => DomainError::Unavailable(refusal),
        }
    }
}

impl From<LogError> for DomainError {
    fn from(error: LogError) -> Self {
        DomainError::Unavailable(Refusal::new(error.code(), error.text_zh(), error.text_en()))
    }
}

impl From<KeyError> for DomainError {
    fn from(error: KeyError) -> Self {
        DomainError::Unavailable(Refusal::new(error.code(), error.text_zh(), error.text_en()))
    }
}
