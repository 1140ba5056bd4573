//! The key of a model's author.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use yunei_engine::DomainError;
use yunei_engine::domain::{PAYLOAD_TYPE, pre_authentication, statement};
use yunei_policy::Refusal;

/// An Ed25519 key (RFC 8032) with which models are signed, kept as PKCS#8 in PEM.
pub struct AuthorKey {
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for AuthorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorKey").field("id", &self.id()).finish_non_exhaustive()
    }
}

fn fault(zh: &str, en: &str, path: &Path) -> DomainError {
    Refusal::new("input/signing-key", zh, en).at(path.display().to_string()).into()
}

impl AuthorKey {
    /// Makes a key and writes it to a new file that its owner alone may read.
    ///
    /// # Errors
    /// `input/signing-key` where the file is there already or can not be written.
    pub fn create(path: &Path) -> Result<Self, DomainError> {
        let failed =
            || fault("密钥文件无法写入，或已存在", "the key can not be written, or there is a file already", path);
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| failed())?;
        let text =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(document.as_ref()));
        let mut options = std::fs::OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|_| failed())?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|_| failed())?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| failed())?;
        Ok(Self { pair })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// `input/signing-key`.
    pub fn read(path: &Path) -> Result<Self, DomainError> {
        let wrong = || fault("签名密钥无法读取", "the signing key can not be read", path);
        let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|_| wrong())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| wrong())?;
        Ok(Self { pair })
    }

    /// The public key, base64: what is registered.
    pub fn public(&self) -> String {
        STANDARD.encode(self.pair.public_key())
    }

    /// The SHA-256 of the public key.
    pub fn id(&self) -> String {
        hex::encode(ring::digest::digest(&ring::digest::SHA256, self.pair.public_key().as_ref()))
    }

    /// The DSSE envelope with which a model is handed in to a domain.
    pub fn envelope(&self, domain: &str, institution: &str, model: &str, manifest: &[u8], module: &[u8]) -> Value {
        let payload = statement(domain, institution, model, manifest, module).to_string();
        let signature = self.pair.sign(&pre_authentication(PAYLOAD_TYPE, payload.as_bytes()));
        json!({
            "payloadType": PAYLOAD_TYPE,
            "payload": STANDARD.encode(payload),
            "signatures": [{ "keyid": self.id(), "sig": STANDARD.encode(signature) }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("author.pem");
        let made = AuthorKey::create(&path).unwrap();
        assert_eq!(AuthorKey::read(&path).unwrap().public(), made.public());
        assert!(AuthorKey::create(&path).is_err(), "a key is never overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(AuthorKey::read(&path).is_err());
    }
}
