//! The signed statement with which a model is handed in: a DSSE envelope (secure-systems-lab, protocol v1.0.0) around an
//! in-toto Statement (v1) that says which manifest and which module, for which domain, by which institution. It fits no
//! other submission, so that replaying it gains nothing.

use super::Domain;
use crate::digest::sha256_hex;
use crate::error::DomainError;
use crate::registry::{Digest, ModelSignature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};
use yunei_policy::Refusal;

/// The type of the payload (in-toto, "Envelope").
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://yunei.example/model-submission/v1";
/// At most how many bytes an envelope has.
const MAX_ENVELOPE: usize = 64 << 10;
/// At most how many signatures an envelope has.
const MAX_SIGNATURES: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// What is signed: the Pre-Authentication Encoding of DSSE, `DSSEv1 SP len(type) SP type SP len(body) SP body`.
pub fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The statement that an institution makes by handing in a model to a domain.
pub fn statement(domain: &str, institution: &str, model: &str, manifest: &[u8], module: &[u8]) -> Value {
    json!({
        "_type": STATEMENT_TYPE,
        "subject": [
            { "name": "manifest", "digest": { "sha256": sha256_hex(manifest) } },
            { "name": "module", "digest": { "sha256": sha256_hex(module) } },
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": { "domain": domain, "institution": institution, "model": model },
    })
}

fn malformed() -> DomainError {
    Refusal::new("input/envelope", "签名信封格式不正确", "that is no DSSE envelope")
        .at("envelope")
        .hint(
            "信封含 payloadType、payload 与至少一个带 keyid 的签名",
            "it has payloadType, payload and a signature with its keyid",
        )
        .into()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    // DSSE takes both alphabets.
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

impl Domain {
    /// Checks that a statement is the expected one and that a key of the institution in force signed it. Keeps it.
    pub(super) async fn signed_statement(
        &self,
        institution: &str,
        expected: &Value,
        envelope: &str,
    ) -> Result<ModelSignature, DomainError> {
        if envelope.len() > MAX_ENVELOPE {
            return Err(malformed());
        }
        let parsed: Envelope = serde_json::from_str(envelope).map_err(|_| malformed())?;
        if parsed.payload_type != PAYLOAD_TYPE || !(1..=MAX_SIGNATURES).contains(&parsed.signatures.len()) {
            return Err(malformed());
        }
        let payload = decode(&parsed.payload).ok_or_else(malformed)?;
        let signed = pre_authentication(&parsed.payload_type, &payload);
        let mut refusal = None;
        let mut key = None;
        for signature in &parsed.signatures {
            match self.check_signature(institution, signature, &signed).await? {
                Ok(id) => key = key.or(Some(id)),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        let Some(key) = key else {
            return Err(refusal.map_or_else(malformed, DomainError::from));
        };
        // Only what is signed is read.
        let said: Value = serde_json::from_slice(&payload).map_err(|_| malformed())?;
        if said != *expected {
            return Err(Refusal::new(
                "signature/statement",
                "签名的声明与所提交的模型、机构或域不符",
                "what was signed is not this model, by this institution, for this domain",
            )
            .hint("请为本次提交重新签名", "sign this submission anew")
            .into());
        }
        Ok(ModelSignature { key, statement: self.files.put(envelope.as_bytes())? })
    }

    async fn check_signature(
        &self,
        institution: &str,
        signature: &EnvelopeSignature,
        signed: &[u8],
    ) -> Result<Result<Digest, Refusal>, DomainError> {
        let unknown =
            || Refusal::new("signature/unknown-key", "签名密钥未登记", "the key is not one of the institution's");
        let Ok(id) = signature.keyid.parse::<Digest>() else { return Ok(Err(unknown())) };
        let key = match self.store.signing_key(&id).await {
            Ok(key) => key,
            Err(crate::registry::StoreError::NotFound { .. }) => return Ok(Err(unknown())),
            Err(other) => return Err(other.into()),
        };
        if key.institution != institution {
            return Ok(Err(unknown()));
        }
        if key.retired_at.is_some() {
            return Ok(Err(Refusal::new("signature/retired-key", "签名密钥已停用", "the key was retired")));
        }
        let fits = decode(&signature.sig)
            .is_some_and(|sig| UnparsedPublicKey::new(&ED25519, key.public_key).verify(signed, &sig).is_ok());
        if fits {
            return Ok(Ok(id));
        }
        Ok(Err(Refusal::new("signature/wrong", "签名不正确", "the signature is wrong")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_the_specification() {
        // DSSE, protocol.md, "Test vectors".
        let bytes = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn both_alphabets() {
        assert_eq!(decode("+/8="), decode("-_8="));
        assert!(decode("+/8=").is_some() && decode("*").is_none());
    }
}
