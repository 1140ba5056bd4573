//! Consent (授权同意): what a token must say for a verification to be covered by it.
//!
//! The signature is checked elsewhere; what is decided here is whether a genuine token covers this question. All that is wrong
//! with a token is one refusal: which part of it is wrong helps nobody but a forger.

use super::rules::VerificationRules;
use crate::refusal::Refusal;

const DAY_SECONDS: i64 = 86_400;
/// By how much the clocks of issuer and domain may differ, seconds.
pub const SKEW_SECONDS: i64 = 60;
/// The least and most characters of a token's nonce (`jti`): 128 random bits take 22.
pub const NONCE_CHARS: std::ops::RangeInclusive<usize> = 22..=86;

/// What a genuine token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The domain it is for (`aud`).
    pub audience: String,
    /// The commitment to the subject (`sub`).
    pub subject: String,
    /// The business that may ask.
    pub business: String,
    /// The product that may be asked.
    pub product: String,
    /// What for.
    pub purpose: String,
    /// How many times.
    pub uses: u32,
    /// From when, seconds since 1970 (`iat`).
    pub issued: i64,
    /// Until when, exclusive (`exp`).
    pub expires: i64,
    /// What makes the token one of its kind (`jti`); salts the commitment to the subject.
    pub nonce: String,
}

/// The question that a token is to cover.
#[derive(Debug, Clone, Copy)]
pub struct Covered<'a> {
    /// The domain's name.
    pub domain: &'a str,
    /// The commitment to the subject that is asked about, under the token's nonce.
    pub subject: &'a str,
    /// The business that asks.
    pub business: &'a str,
    /// The product.
    pub product: &'a str,
    /// The purpose.
    pub purpose: &'a str,
    /// Now, seconds since 1970.
    pub now: i64,
}

/// Whether a genuine token covers a question.
///
/// # Errors
/// `consent/invalid`, whatever is wrong.
pub fn check_consent(rules: &VerificationRules, consent: &Consent, covered: &Covered<'_>) -> Result<(), Refusal> {
    let most = i64::from(rules.consent_days()) * DAY_SECONDS;
    let period = consent.issued <= covered.now + SKEW_SECONDS
        && consent.issued < consent.expires
        && consent.expires.checked_sub(consent.issued).is_some_and(|length| length <= most)
        && covered.now < consent.expires;
    let uses = (1..=rules.consent_uses()).contains(&consent.uses);
    let nonce = NONCE_CHARS.contains(&consent.nonce.len())
        && consent.nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let bound = consent.audience == covered.domain
        && same(consent.subject.as_bytes(), covered.subject.as_bytes())
        && consent.business == covered.business
        && consent.product == covered.product
        && consent.purpose == covered.purpose;
    if period & uses & nonce & bound { Ok(()) } else { Err(invalid()) }
}

/// In the same time wherever they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The one refusal of a token that is not what it must be.
pub fn invalid() -> Refusal {
    Refusal::new("consent/invalid", "授权同意凭证无效", "the consent token is not valid for this verification")
        .at("consent")
        .hint(
            "请由登记的签发机构按本次核验的主体、企业、产品和用途签发，有效期不超过 90 天",
            "have a registered issuer sign one for this subject, business, product and purpose, for at most 90 days",
        )
}

/// The refusal of a token whose uses are used.
pub fn used() -> Refusal {
    Refusal::new("consent/used", "授权同意凭证的使用次数已用完", "the uses of the consent token are used up")
        .at("consent")
        .hint("请重新取得授权同意", "ask the subject for a new consent")
}

/// The refusal where a token is needed and there is none.
pub fn missing() -> Refusal {
    Refusal::new("consent/missing", "该产品须提供授权同意凭证", "the product needs a consent token")
        .at("consent")
        .hint("请取得数据主体的授权同意并附上凭证", "ask the subject for its consent, and send the token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> Consent {
        Consent {
            audience: "d".into(),
            subject: "s".into(),
            business: "b".into(),
            product: "p".into(),
            purpose: "u".into(),
            uses: 1,
            issued: 1_000,
            expires: 1_000 + 90 * DAY_SECONDS,
            nonce: "n".repeat(22),
        }
    }

    fn holds(consent: &Consent, now: i64) -> bool {
        let covered = Covered { domain: "d", subject: "s", business: "b", product: "p", purpose: "u", now };
        check_consent(&VerificationRules::default(), consent, &covered).is_ok()
    }

    #[test]
    fn a_token_covers_what_it_names_alone() {
        assert!(holds(&consent(), 1_000));
        for change in [
            |c: &mut Consent| c.audience = "e".into(),
            |c: &mut Consent| c.subject = "t".into(),
            |c: &mut Consent| c.business = "c".into(),
            |c: &mut Consent| c.product = "q".into(),
            |c: &mut Consent| c.purpose = "v".into(),
            |c: &mut Consent| c.uses = 0,
            |c: &mut Consent| c.uses = 101,
            |c: &mut Consent| c.nonce = "n".repeat(21),
            |c: &mut Consent| c.nonce = "n".repeat(87),
            |c: &mut Consent| c.nonce = " ".repeat(22),
            |c: &mut Consent| c.expires += 1,
            |c: &mut Consent| c.expires = c.issued,
            |c: &mut Consent| c.issued = i64::MIN,
            |c: &mut Consent| c.expires = i64::MAX,
        ] {
            let mut wrong = consent();
            change(&mut wrong);
            assert!(!holds(&wrong, 1_000), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_holds_in_its_time() {
        let end = consent().expires;
        assert!(holds(&consent(), end - 1) && !holds(&consent(), end));
        assert!(holds(&consent(), 1_000 - SKEW_SECONDS) && !holds(&consent(), 1_000 - SKEW_SECONDS - 1));
    }
}
