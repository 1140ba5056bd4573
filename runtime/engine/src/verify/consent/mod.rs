//! Consent tokens: compact JWS (RFC 7515) over a small set of claims, signed with EdDSA (RFC 8037) or ES256 (RFC 7518).
//!
//! The algorithm belongs to the registered key, not to the token (RFC 8725, section 3.1): a token whose header names another
//! one is refused before its signature is looked at. Whatever is wrong is one refusal.

use crate::digest::sha256_parts;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use yunei_policy::verification::FieldKind;
use yunei_policy::verification::consent::{Consent, invalid};
use yunei_policy::words::State;
use yunei_policy::{Refusal, Refused};

/// At most how many bytes a token has.
pub const MAX_TOKEN_BYTES: usize = 4_096;
/// The type that a token's header names (RFC 8725, section 3.11).
pub const TOKEN_TYPE: &str = "yunei-consent+jwt";
/// The product and purpose of a token with which a subject asks who asked about it.
pub const ASKED_ABOUT_ME: &str = "asked-about-me";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    aud: String,
    sub: String,
    business: String,
    product: String,
    purpose: String,
    uses: u32,
    iat: i64,
    exp: i64,
    jti: String,
}

/// A signature algorithm of consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl ConsentAlgorithm {
    /// The name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConsentAlgorithm::EdDsa => "EdDSA",
            ConsentAlgorithm::Es256 => "ES256",
        }
    }
}

/// The public key of an issuer: what it says of itself, its algorithm included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentKey {
    algorithm: ConsentAlgorithm,
    bytes: Vec<u8>,
}

/// The beginnings of SubjectPublicKeyInfo for the two algorithms (RFC 8410, RFC 5480): what follows is the key itself.
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl ConsentKey {
    /// Reads a PEM file: `-----BEGIN PUBLIC KEY-----` with a key of one of the two algorithms.
    ///
    /// # Errors
    /// `input/public-key`.
    pub fn from_pem(text: &str) -> Result<Self, Refused> {
        Self::pem(text).ok_or_else(|| {
            Refusal::new(
                "input/public-key",
                "公钥须为 PEM 格式的 Ed25519 或 P-256 公钥",
                "a public key is a PEM file with an Ed25519 or P-256 key",
            )
            .hint("例如 openssl pkey -in key.pem -pubout", "for example: openssl pkey -in key.pem -pubout")
            .into()
        })
    }

    fn pem(text: &str) -> Option<Self> {
        if text.len() > 4_096 {
            return None;
        }
        let body = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).ok()?;
        match (der.strip_prefix(ED25519_SPKI), der.strip_prefix(P256_SPKI)) {
            (Some(key), _) if key.len() == 32 => Some(Self { algorithm: ConsentAlgorithm::EdDsa, bytes: key.to_vec() }),
            (_, Some(key)) if key.len() == 65 && key[0] == 4 => {
                Some(Self { algorithm: ConsentAlgorithm::Es256, bytes: key.to_vec() })
            }
            _ => None,
        }
    }

    /// The same as PEM.
    pub fn to_pem(&self) -> String {
        let prefix = match self.algorithm {
            ConsentAlgorithm::EdDsa => ED25519_SPKI,
            ConsentAlgorithm::Es256 => P256_SPKI,
        };
        let body = STANDARD.encode([prefix, &self.bytes].concat());
        let lines: Vec<String> = body.as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// From a row of the registry, or of a key pair.
    pub(crate) fn from_parts(algorithm: &str, bytes: Vec<u8>) -> Option<Self> {
        let algorithm =
            [ConsentAlgorithm::EdDsa, ConsentAlgorithm::Es256].into_iter().find(|a| a.as_str() == algorithm)?;
        Some(Self { algorithm, bytes })
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> ConsentAlgorithm {
        self.algorithm
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            ConsentAlgorithm::EdDsa => UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok(),
            ConsentAlgorithm::Es256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes).verify(message, signature).is_ok()
            }
        }
    }
}

/// The keys whose consents are taken, by id.
pub(crate) struct Issuers(HashMap<String, ConsentKey>);

impl Issuers {
    pub(crate) fn new(issuers: Vec<crate::registry::Issuer>) -> Self {
        let approved = issuers.into_iter().filter(|issuer| issuer.state == State::Approved);
        Self(approved.filter_map(|i| Some((i.kid, ConsentKey::from_parts(&i.algorithm, i.public_key)?))).collect())
    }

    /// Reads a token and checks its signature.
    ///
    /// # Errors
    /// `consent/invalid`.
    pub(crate) fn read(&self, token: &str) -> Result<Genuine, Refusal> {
        self.genuine(token).ok_or_else(invalid)
    }

    fn genuine(&self, token: &str) -> Option<Genuine> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = decode(header)?;
        let key = self.0.get(&header.kid)?;
        if header.typ != TOKEN_TYPE || header.alg != key.algorithm.as_str() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|s| s.len() == 64)?;
        if !key.verifies(signed.as_bytes(), &signature) {
            return None;
        }
        let claims: Claims = decode(payload)?;
        // One nonce of one issuer is one token, however often it is signed.
        let id = hex::encode(&sha256_parts("yunei/consent/1", &[header.kid.as_bytes(), claims.jti.as_bytes()])[..16]);
        let consent = Consent {
            audience: claims.aud,
            subject: claims.sub,
            business: claims.business,
            product: claims.product,
            purpose: claims.purpose,
            uses: claims.uses,
            issued: claims.iat,
            expires: claims.exp,
            nonce: claims.jti,
        };
        Some(Genuine { id, consent })
    }
}

/// A token whose signature is a registered issuer's.
pub(crate) struct Genuine {
    pub(crate) id: String,
    pub(crate) consent: Consent,
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The commitment to a subject that stands in a token: SHA-256 over the nonce and the identity fields, by name, each in the
/// spelling of [`consent_spelling`], each with its length; base64url. The nonce is random and stands in the token alone, so
/// that nobody else can try numbers.
pub fn consent_subject(nonce: &str, identity: &BTreeMap<String, String>) -> String {
    let spelled: Vec<(&str, String)> =
        identity.iter().map(|(name, value)| (name.as_str(), consent_spelling(value))).collect();
    let mut parts: Vec<&[u8]> = vec![nonce.as_bytes()];
    for (name, value) in &spelled {
        parts.extend([name.as_bytes(), value.as_bytes()]);
    }
    URL_SAFE_NO_PAD.encode(sha256_parts("yunei/consent-subject/1", &parts))
}

/// The spelling of a field inside a commitment, the same for every kind of field: NFKC, letters in lower case, letters and
/// digits alone; an identity number of 15 digits becomes the one of 18.
pub fn consent_spelling(text: &str) -> String {
    let modern = FieldKind::PersonNumber.registered(text);
    modern.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

/// What a consent is to say.
#[derive(Debug, Clone)]
pub struct ConsentTerms {
    /// The domain's name.
    pub domain: String,
    /// The business that may ask.
    pub business: String,
    /// The product.
    pub product: String,
    /// The purpose.
    pub purpose: String,
    /// How many times.
    pub uses: u32,
    /// From when, seconds since 1970.
    pub issued: i64,
    /// Until when, exclusive.
    pub expires: i64,
}

/// The key pair of an issuer, for those who sign consents with this program.
pub struct ConsentSigner {
    kid: String,
    pair: Pair,
}

enum Pair {
    EdDsa(ring::signature::Ed25519KeyPair),
    Es256(Box<ring::signature::EcdsaKeyPair>),
}

impl std::fmt::Debug for ConsentSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsentSigner").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl ConsentSigner {
    /// A new key pair as PKCS #8, in PEM.
    ///
    /// # Errors
    /// `input/signing-key` where the system gives no randomness.
    pub fn generate(algorithm: ConsentAlgorithm) -> Result<String, Refused> {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
        let random = ring::rand::SystemRandom::new();
        let document = match algorithm {
            ConsentAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            ConsentAlgorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
        };
        let document = document.map_err(|_| signing_key())?;
        let body = STANDARD.encode(document.as_ref());
        let lines: Vec<String> = body.as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }

    /// Reads a key pair from its PEM.
    ///
    /// # Errors
    /// `input/signing-key`.
    pub fn from_pem(kid: &str, text: &str) -> Result<Self, Refused> {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
        let body = text.trim().strip_prefix("-----BEGIN PRIVATE KEY-----");
        let body = body.and_then(|b| b.strip_suffix("-----END PRIVATE KEY-----")).filter(|b| b.len() <= 4_096);
        let body: String = body.ok_or_else(signing_key)?.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| signing_key())?;
        let random = ring::rand::SystemRandom::new();
        let pair = if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            Pair::EdDsa(pair)
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random);
            Pair::Es256(Box::new(pair.map_err(|_| signing_key())?))
        };
        Ok(Self { kid: kid.to_owned(), pair })
    }

    /// The public key, for the authority to register.
    pub fn public(&self) -> ConsentKey {
        use ring::signature::KeyPair;
        match &self.pair {
            Pair::EdDsa(pair) => {
                ConsentKey { algorithm: ConsentAlgorithm::EdDsa, bytes: pair.public_key().as_ref().to_vec() }
            }
            Pair::Es256(pair) => {
                ConsentKey { algorithm: ConsentAlgorithm::Es256, bytes: pair.public_key().as_ref().to_vec() }
            }
        }
    }

    /// Signs a consent of the subject with these identity fields.
    ///
    /// # Errors
    /// `input/signing-key` where the system gives no randomness.
    pub fn sign(&self, terms: &ConsentTerms, identity: &BTreeMap<String, String>) -> Result<String, Refused> {
        let random = ring::rand::SystemRandom::new();
        let mut nonce = [0; 16];
        ring::rand::SecureRandom::fill(&random, &mut nonce).map_err(|_| signing_key())?;
        let jti = URL_SAFE_NO_PAD.encode(nonce);
        let header = Header {
            alg: self.public().algorithm.as_str().to_owned(),
            kid: self.kid.clone(),
            typ: TOKEN_TYPE.to_owned(),
        };
        let claims = Claims {
            aud: terms.domain.clone(),
            sub: consent_subject(&jti, identity),
            business: terms.business.clone(),
            product: terms.product.clone(),
            purpose: terms.purpose.clone(),
            uses: terms.uses,
            iat: terms.issued,
            exp: terms.expires,
            jti,
        };
        let json =
            |value: serde_json::Result<Vec<u8>>| value.map(|v| URL_SAFE_NO_PAD.encode(v)).map_err(|_| signing_key());
        let signed = format!("{}.{}", json(serde_json::to_vec(&header))?, json(serde_json::to_vec(&claims))?);
        let signature = match &self.pair {
            Pair::EdDsa(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Pair::Es256(pair) => pair.sign(&random, signed.as_bytes()).map_err(|_| signing_key())?.as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn signing_key() -> Refused {
    Refusal::new(
        "input/signing-key",
        "签名密钥须为 PEM 格式（PKCS #8）的 Ed25519 或 P-256 私钥",
        "a signing key is a PEM file (PKCS #8) with an Ed25519 or P-256 key",
    )
    .into()
}

#[cfg(test)]
mod tests;
