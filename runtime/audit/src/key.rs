//! The keys of a log: Ed25519 (RFC 8032) in the forms of C2SP `signed-note`.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::note::Signature;

/// The signature type of plain Ed25519 note signatures (`signed-note`, "Signature types").
pub(crate) const TYPE_ED25519: &[u8] = &[0x01];

/// The most bytes of a key name, and so of an origin. With it a checkpoint fits its lock slot.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// The first field of a private key's text form, as the Go `note` package writes it.
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// A private key file is one short line; anything longer is something else.
const MAX_KEY_FILE: u64 = 1024;

/// Why a key cannot be had. No variant carries key material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is empty, longer than 128 bytes, or has white space, a control character or `+`.
    #[error("key/name: a key name is 1 to 128 bytes without white space, control characters and '+'")]
    Name,
    /// The text is no key.
    #[error("key/form: this is not a key in the form name+hash+base64")]
    Form,
    /// The file exists; a key is never overwritten.
    #[error("key/exists: there is a key file already; keys are never overwritten")]
    Exists,
    /// The file could not be read or written.
    #[error("key/disk: {action}: {source}")]
    Disk {
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("key/random: the operating system gave no randomness")]
    Random,
}

impl KeyError {
    /// The stable code, for example `key/name`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name => "key/name",
            Self::Form => "key/form",
            Self::Exists => "key/exists",
            Self::Disk { .. } => "key/disk",
            Self::Random => "key/random",
        }
    }

    fn disk(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, source }
    }
}

/// Checks a key name (`signed-note`: no Unicode spaces, no plus sign; and no control characters).
pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let fine = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
    if fine { Ok(()) } else { Err(KeyError::Name) }
}

/// `SHA-256(name || "\n" || type || key)[..4]` as a big-endian number (`signed-note`, "Signatures").
pub(crate) fn key_id(name: &str, kind: &[u8], public: &[u8]) -> u32 {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(name.as_bytes());
    context.update(b"\n");
    context.update(kind);
    context.update(public);
    let digest = context.finish();
    let mut id = [0; 4];
    id.copy_from_slice(&digest.as_ref()[..4]);
    u32::from_be_bytes(id)
}

/// Splits `name+hash+base64(type || key)` and checks all three parts against each other.
pub(crate) fn parse_vkey<const N: usize>(text: &str, kind: &[u8]) -> Result<(String, [u8; N]), KeyError> {
    if text.len() > MAX_NAME_BYTES + 192 {
        return Err(KeyError::Form);
    }
    let (name, hash, key) = split_key(text, kind)?;
    if hash != format!("{:08x}", key_id(&name, kind, &key)) {
        return Err(KeyError::Form);
    }
    Ok((name, key))
}

/// Splits `name+hash+base64(type || key)`.
pub(crate) fn split_key<'a, const N: usize>(
    text: &'a str,
    kind: &[u8],
) -> Result<(String, &'a str, [u8; N]), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Form);
    };
    check_name(name)?;
    let data = STANDARD.decode(data).map_err(|_| KeyError::Form)?;
    let key = data.strip_prefix(kind).ok_or(KeyError::Form)?;
    Ok((name.to_owned(), hash, key.try_into().map_err(|_| KeyError::Form)?))
}

/// Writes `name+hash+base64(type || key)`.
pub(crate) fn format_vkey(name: &str, kind: &[u8], public: &[u8]) -> String {
    format!("{name}+{:08x}+{}", key_id(name, kind, public), STANDARD.encode([kind, public].concat()))
}

/// Reads the line of a private key file, without its prefix.
pub(crate) fn load_private(path: &Path) -> Result<String, KeyError> {
    let meta = fs::metadata(path).map_err(KeyError::disk("read the key file"))?;
    if meta.len() > MAX_KEY_FILE {
        return Err(KeyError::Form);
    }
    let text = fs::read_to_string(path).map_err(KeyError::disk("read the key file"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::Form)?.to_owned())
}

/// Writes a private key file with mode 0600, durably, all or nothing, never over another.
pub(crate) fn save_private(path: &Path, name: &str, id: u32, data: &[u8]) -> Result<(), KeyError> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(KeyError::Exists);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let line = format!("{PRIVATE_PREFIX}{name}+{id:08x}+{}\n", STANDARD.encode(data));
    let file_name = path.file_name().ok_or(KeyError::Form)?.to_string_lossy();
    let temporary = folder.join(format!(".{file_name}.{}.new", std::process::id()));
    let written = write_new(&temporary, &line).and_then(|()| {
        // A hard link, not a rename: it fails when the name is taken, so that of two processes
        // that save at once only one wins and no key is ever replaced.
        fs::hard_link(&temporary, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists,
            _ => KeyError::Disk { action: "name the key file", source: error },
        })
    });
    let _ = fs::remove_file(&temporary);
    written?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(KeyError::disk("sync the key's folder"))
}

fn write_new(path: &Path, line: &str) -> Result<(), KeyError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(KeyError::disk("create the key file"))?;
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(KeyError::disk("write the key file"))
}

/// The private key of a log. Its name is the log's origin.
pub struct SigningKey {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Random`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
        Self::from_seed(name, seed)
    }

    /// The key of this seed (RFC 8032 section 5.1.5), for tests with fixed keys and for keys kept elsewhere.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Form)?;
        Ok(Self { name: name.to_owned(), seed, pair })
    }

    /// Reads a key file: one line `PRIVATE+KEY+name+hash+base64`.
    ///
    /// # Errors
    /// [`KeyError::Disk`], [`KeyError::Form`], [`KeyError::Name`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let line = load_private(path)?;
        let (name, hash, seed) = split_key(&line, TYPE_ED25519)?;
        let key = Self::from_seed(&name, seed)?;
        if hash != format!("{:08x}", key.verifying_key().id()) {
            return Err(KeyError::Form);
        }
        Ok(key)
    }

    /// Writes the key file with mode 0600, durably, all or nothing.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when the file is there already, [`KeyError::Disk`].
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        save_private(path, &self.name, self.verifying_key().id(), &[TYPE_ED25519, &self.seed].concat())
    }

    /// The name, which is the origin of the log that this key signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { name: self.name.clone(), public: self.public() }
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        public
    }

    pub(crate) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    pub(crate) fn sign(&self, text: &str) -> Signature {
        Signature {
            name: self.name.clone(),
            id: key_id(&self.name, TYPE_ED25519, &self.public()),
            bytes: self.sign_raw(text.as_bytes()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The public key of a log, written `name+hash+base64` (a `signed-note` vkey of type 0x01).
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    public: [u8; 32],
}

impl VerifyingKey {
    /// The name, which is the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that name this key in a signature line, as a number.
    #[must_use]
    pub fn id(&self) -> u32 {
        key_id(&self.name, TYPE_ED25519, &self.public)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, public) = parse_vkey(text, TYPE_ED25519)?;
        Ok(Self { name, public })
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_vkey(&self.name, TYPE_ED25519, &self.public))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_go_packages_own_example_key_is_read() {
        // From the documentation of golang.org/x/mod/sumdb/note: a name, its hash and its key.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: VerifyingKey = text.parse().unwrap();
        assert_eq!((key.name(), key.id(), key.to_string().as_str()), ("PeterNeumann", 0xc74f_20a3, text));
    }

    #[test]
    fn a_key_is_saved_once_privately_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        let key = SigningKey::generate("a.example/log").unwrap();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::load(&path).unwrap().verifying_key(), key.verifying_key());
        let other = SigningKey::generate("a.example/log").unwrap();
        assert_eq!(other.save(&path).unwrap_err().code(), "key/exists");
        assert_eq!(SigningKey::load(&path).unwrap().verifying_key(), key.verifying_key());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        assert_eq!(format!("{key:?}"), "SigningKey { name: \"a.example/log\", .. }");
    }

    #[test]
    fn names_and_files_that_are_none() {
        assert!(SigningKey::generate(&"n".repeat(MAX_NAME_BYTES)).is_ok());
        for name in ["", "a b", "a+b", "a\nb", "a\u{3000}b", &"n".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(SigningKey::generate(name).unwrap_err().code(), "key/name");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        for text in ["", "PRIVATE+KEY+a+00000000+AAAA", &"x".repeat(2000)] {
            fs::write(&path, text).unwrap();
            assert_eq!(SigningKey::load(&path).unwrap_err().code(), "key/form");
        }
    }

    proptest! {
        #[test]
        fn parsing_a_vkey_is_total(text in ".{0,200}") {
            let _ = text.parse::<VerifyingKey>();
        }
    }
}
