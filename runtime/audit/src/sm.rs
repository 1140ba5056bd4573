//! The second signature, with the national algorithms: SM2 (GB/T 32918.2-2016) over SM3 (GB/T
//! 32905-2016), by the RustCrypto crates. It is an extra line of the checkpoint's note under a
//! signature type of our own; a reader that does not know it ignores it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use sm2::dsa::signature::{Signer, Verifier};
use sm2::dsa::{Signature as Sm2Signature, SigningKey, VerifyingKey};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{KeyError, check_name, format_vkey, key_id, load_private, parse_vkey, save_private, split_key};
use crate::note::Signature;
use crate::sm_key::{POINT, TYPE_SM2};

/// The distinguishing identifier that GB/T 35276-2017 section 10 sets where none is agreed.
const IDENTIFIER: &str = "1234567812345678";

/// The private SM2 key of a log.
pub struct SmSigningKey {
    name: String,
    key: SigningKey,
}

impl SmSigningKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Random`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        check_name(name)?;
        // A number outside of 1 to n - 1 comes up once in 2^32 times.
        for _ in 0..16 {
            let mut secret = [0; 32];
            SystemRandom::new().fill(&mut secret).map_err(|_| KeyError::Random)?;
            if let Ok(key) = Self::from_secret(name, &secret) {
                return Ok(key);
            }
        }
        Err(KeyError::Random)
    }

    /// The key of this secret number, big-endian.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Form`] when the number is not from 1 to n - 2.
    pub fn from_secret(name: &str, secret: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let key = SigningKey::from_slice(IDENTIFIER, secret).map_err(|_| KeyError::Form)?;
        // Signing divides by 1 + d; d = n - 1 is the one key that cannot.
        key.try_sign(b"").map_err(|_| KeyError::Form)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// Reads a key file that [`SmSigningKey::save`] has written.
    ///
    /// # Errors
    /// [`KeyError::Disk`], [`KeyError::Form`], [`KeyError::Name`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let line = load_private(path)?;
        let (name, hash, secret) = split_key::<32>(&line, TYPE_SM2)?;
        let key = Self::from_secret(&name, &secret)?;
        if hash == format!("{:08x}", key.verifying_key().id()) { Ok(key) } else { Err(KeyError::Form) }
    }

    /// Writes the key file with mode 0600, durably, all or nothing.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Disk`].
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let data = [TYPE_SM2, &self.key.to_bytes()].concat();
        save_private(path, &self.name, self.verifying_key().id(), &data)
    }

    /// The name, which is the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> SmVerifyingKey {
        SmVerifyingKey { name: self.name.clone(), key: self.key.verifying_key().clone() }
    }

    pub(crate) fn sign(&self, text: &str) -> Signature {
        let signature: Sm2Signature = self.key.sign(text.as_bytes());
        Signature { name: self.name.clone(), id: self.verifying_key().id(), bytes: signature.to_bytes().to_vec() }
    }
}

impl fmt::Debug for SmSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmSigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The public SM2 key of a log, written `name+hash+base64(type || point)`.
#[derive(Clone)]
pub struct SmVerifyingKey {
    name: String,
    key: VerifyingKey,
}

impl SmVerifyingKey {
    fn point(&self) -> Vec<u8> {
        self.key.to_sec1_bytes().to_vec()
    }

    /// The four bytes that name this key in a signature line, as a number.
    #[must_use]
    pub fn id(&self) -> u32 {
        key_id(&self.name, TYPE_SM2, &self.point())
    }

    /// Whether this key signed the checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`].
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let id = self.id();
        let mine = |line: &&Signature| line.name == self.name && line.id == id;
        let good = |line: &Signature| {
            Sm2Signature::try_from(line.bytes.as_slice())
                .is_ok_and(|signature| self.key.verify(checkpoint.text().as_bytes(), &signature).is_ok())
        };
        let mut lines = checkpoint.signatures().iter().filter(mine).peekable();
        if checkpoint.origin() == self.name && lines.peek().is_some() && lines.all(good) {
            Ok(())
        } else {
            Err(CheckpointError::Signature)
        }
    }
}

impl FromStr for SmVerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, point) = parse_vkey::<POINT>(text, TYPE_SM2)?;
        let key = VerifyingKey::from_sec1_bytes(IDENTIFIER, &point).map_err(|_| KeyError::Form)?;
        Ok(Self { name, key })
    }
}

impl fmt::Display for SmVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_vkey(&self.name, TYPE_SM2, &self.point()))
    }
}

impl fmt::Debug for SmVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmVerifyingKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, Options};
    use proptest::prelude::*;

    #[test]
    fn a_log_with_both_signatures_verifies_by_either() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("log");
        let ed = || crate::SigningKey::from_seed("a.example/log", [1; 32]).unwrap();
        let path = home.path().join("sm.key");
        SmSigningKey::generate("a.example/log").unwrap().save(&path).unwrap();
        let sm = SmSigningKey::load(&path).unwrap();
        let public: SmVerifyingKey = sm.verifying_key().to_string().parse().unwrap();
        let log = Options::new(ed()).sign_sm(sm).unwrap().create(&dir).unwrap();
        log.append(crate::Entry::new("k", 1, serde_json::Map::new()).unwrap()).unwrap();
        let checkpoint = log.checkpoint();
        assert!(checkpoint.verify(&ed().verifying_key()).is_ok());
        assert!(public.check(&checkpoint).is_ok());
        let other = SmSigningKey::from_secret("a.example/log", &[7; 32]).unwrap().verifying_key();
        assert_eq!(other.check(&checkpoint), Err(CheckpointError::Signature));
        // Through the keys that a verifier has: verified, absent, spoiled.
        let trust =
            |sm2: &SmVerifyingKey| crate::Trust::new(ed().verifying_key()).sm2_key(sm2.to_string().parse().unwrap());
        assert_eq!(trust(&public).sm2(&checkpoint), Ok(crate::Sm2Status::Verified));
        assert_eq!(trust(&other).sm2(&checkpoint), Ok(crate::Sm2Status::Absent));
        assert_eq!(crate::Trust::new(ed().verifying_key()).sm2(&checkpoint), Ok(crate::Sm2Status::NoKey));
        let lines = checkpoint.to_string();
        let (rest, last) = lines.trim_end().rsplit_once(' ').unwrap();
        let mut bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, last).unwrap();
        bytes[20] ^= 1;
        let spoiled = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let spoiled = Checkpoint::parse(format!("{rest} {spoiled}\n").as_bytes()).unwrap();
        assert!(spoiled.verify(&ed().verifying_key()).is_ok(), "Ed25519 alone does not see it");
        assert_eq!(trust(&public).check(&spoiled), Err(CheckpointError::Signature));
        let forged = checkpoint.to_string().replacen("\n1\n", "\n2\n", 1);
        assert!(public.check(&Checkpoint::parse(forged.as_bytes()).unwrap()).is_err());
        drop(log);
        assert_eq!(Log::open(&dir, ed()).unwrap().size(), 1, "the SM2 line is an extra");
    }

    #[test]
    fn a_signature_made_by_openssl_verifies() {
        // openssl 3: ecparam/genpkey SM2, pkeyutl -sign -rawin -digest sm3 -pkeyopt distid:1234567812345678.
        let point = hex::decode("044feb26e903e39fe818ded75a753eff430a99f83f090febe80b4d3f699e79d2efdf5f72dfe8cfc47ced9b4c6eb50fd2fe1dbaa6d70da8ecc5e781febb4ae03f43").unwrap();
        let bytes = hex::decode("2cb9aeb7e23e6f603d8e00d599167e9d76a9b2482cbef8e70f040e30ee7c9b067c978aad8a8c388ae25714c9d18bf7a914dcfc23b2fbf1231502be7bc6317a29").unwrap();
        let key = VerifyingKey::from_sec1_bytes(IDENTIFIER, &point).unwrap();
        let signature = Sm2Signature::try_from(bytes.as_slice()).unwrap();
        assert!(key.verify(b"a.example/log\n1\n", &signature).is_ok());
        assert!(key.verify(b"a.example/log\n2\n", &signature).is_err());
    }

    proptest! {
        #[test]
        fn parsing_a_key_is_total(text in ".{0,200}") {
            let _ = text.parse::<SmVerifyingKey>();
        }
    }
}
