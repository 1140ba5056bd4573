//! The second signature of the log, with the national algorithms (SM2 over SM3), as a home has it. The key file is there or
//! not; whether this program can sign with it depends on the feature `sm`.

use crate::error::DomainError;
use std::path::Path;
use yunei_audit::{Options, Sm2Key};
use yunei_policy::Refusal;

/// Whether this program signs and checks with SM2.
pub const fn has_sm2() -> bool {
    Sm2Key::is_checked()
}

/// The refusal of a program that was built without SM2.
pub(crate) fn unsupported() -> DomainError {
    DomainError::Unavailable(
        Refusal::new(
            "key/sm2-unsupported",
            "本程序未包含国密签名（编译时未启用 sm 功能）",
            "this program was built without SM2 (feature sm)",
        )
        .hint(
            "请使用以 cargo build --release --features sm 编译的 yunei",
            "use a yunei that was built with cargo build --release --features sm",
        ),
    )
}

/// Signs with the home's SM2 key too, where it has one. A home that has one is not written without it: readers who rely on
/// that signature would find it missing from one day to the next.
#[cfg(feature = "sm")]
pub(crate) fn also_sign(options: Options, path: &Path) -> Result<Options, DomainError> {
    if !path.exists() {
        return Ok(options);
    }
    Ok(options.sign_sm(yunei_audit::SmSigningKey::load(path)?)?)
}

#[cfg(not(feature = "sm"))]
pub(crate) fn also_sign(options: Options, path: &Path) -> Result<Options, DomainError> {
    if path.exists() { Err(unsupported()) } else { Ok(options) }
}

/// Makes an SM2 key for a log of this name, unless the file is there, and gives its public half.
#[cfg(feature = "sm")]
pub(crate) fn make(path: &Path, origin: &str) -> Result<String, DomainError> {
    if !path.exists() {
        yunei_audit::SmSigningKey::generate(origin)?.save(path)?;
    }
    Ok(yunei_audit::SmSigningKey::load(path)?.verifying_key().to_string())
}

#[cfg(not(feature = "sm"))]
pub(crate) fn make(_path: &Path, _origin: &str) -> Result<String, DomainError> {
    Err(unsupported())
}

impl crate::Domain {
    /// Gives the log of the home in `root`, which nobody may have open, an SM2 key that signs every checkpoint as well. Its
    /// public half is put among the keys that are handed out, and returned. For whoever keeps the machine.
    ///
    /// # Errors
    /// `key/sm2-unsupported` where this program was built without SM2; `key/exists` where there is one; `home/busy`.
    pub fn add_sm2_key(root: &Path, clock: &crate::Clock) -> Result<String, DomainError> {
        let (mut home, key) = crate::home::Home::open(root)?;
        home.hold_store()?;
        if !has_sm2() {
            return Err(unsupported());
        }
        let key = home.finish_sealing(home.finish_rotation(key, clock())?, clock())?;
        let path = home.key_path("log.sm2.key");
        let draft = home.key_path("log.sm2.next.key");
        if path.exists() {
            let refusal = Refusal::new("key/exists", "已有 SM2 密钥", "there is an SM2 key already");
            return Err(refusal.into());
        }
        // Told before it signs anything: a reader never meets a line of a key that nobody was given.
        let public = make(&draft, key.name())?;
        home.add_log_keys(&[key.verifying_key().to_string(), public.clone()])?;
        let io = |e: std::io::Error| DomainError::io("keys", &e);
        std::fs::rename(&draft, &path).and_then(|()| crate::home::sync_folder(&home.path("keys"))).map_err(io)?;
        Ok(public)
    }
}
