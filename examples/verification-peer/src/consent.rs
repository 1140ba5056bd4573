//! Consents for the made-up people, signed ahead of a measurement (docs/verification.md).

use crate::{Failure, number_of};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::Ed25519KeyPair;
use std::time::{SystemTime, UNIX_EPOCH};

/// One consent for each of `count` questions from the `first` on, to be used once within the hour. `key` is a PEM file of `yunei consent
/// keygen`.
pub fn sign(key: &str, issuer: &str, product: &str, first: u64, count: u64) -> Result<Vec<String>, Failure> {
    let pem = std::fs::read_to_string(key)?;
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(der)?).map_err(|_| "no Ed25519 key")?;
    let head = serde_json::json!({ "alg": "EdDSA", "kid": issuer, "typ": "yunei-consent+jwt" }).to_string();
    let head = URL_SAFE_NO_PAD.encode(head);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let random = SystemRandom::new();
    (first..first + count)
        .map(|question| {
            let mut nonce = [0; 16];
            random.fill(&mut nonce).map_err(|_| "no randomness")?;
            let nonce = URL_SAFE_NO_PAD.encode(nonce);
            let number = number_of(question);
            let claims = serde_json::json!({
                "aud": "domain.example/yunei", "sub": subject(&nonce, number), "business": "business", "product": product,
                "purpose": "loan", "uses": 1, "iat": now, "exp": now + 3_600, "jti": nonce,
            });
            let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
            let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
            Ok(format!("{signed}.{signature}"))
        })
        .collect()
}

/// The commitment to a person under its nonce: each part with its length before it, the fields by name, in lower case.
fn subject(nonce: &str, number: u64) -> String {
    let mut context = Context::new(&SHA256);
    let (id, name) = (format!("p{number:09}"), format!("张{}", number % 1_000));
    for part in ["yunei/consent-subject/1", nonce, "id", &id, "name", &name] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}
