//! A request, read once into what can be looked up.

use super::VerifyRequest;
use super::check::Resolution;
use super::index::pack;
use super::spell::{Field, Value};
use crate::product::VerificationProduct;
use yunei_policy::verification::Locus;
use yunei_policy::{Refusal, Refused};

/// At most how many characters a serial number, a purpose or a scene has.
const MAX_SERIAL: usize = 64;
const MAX_WORD: usize = 128;

/// Everything of a request that was understood; nothing of it is ever shown.
pub(super) struct Question {
    /// The identity, packed.
    pub(super) identity: Vec<u8>,
    /// The unit's number, in its one spelling.
    pub(super) unit: Vec<u8>,
    /// The claimed values, packed.
    pub(super) asked: Vec<u8>,
    /// Where the unit's number stands among the others.
    pub(super) locus: Option<Locus>,
}

/// Turns the request's texts into values of the columns' types. Nothing given is repeated in a refusal, and whether the
/// subject exists plays no part in it.
///
/// # Errors
/// `input/…`, all reasons at once.
pub(super) fn read_question(
    resolution: &Resolution,
    product: &VerificationProduct,
    request: &VerifyRequest,
) -> Result<Question, Refused> {
    let mut reasons = Vec::new();
    check_words(request, &mut reasons);
    let identity: Vec<Option<Value>> =
        resolution.identity.iter().map(|field| read(field, request.identity.get(&field.name), &mut reasons)).collect();
    for name in request.identity.keys().filter(|n| !product.identity().contains(n)) {
        reasons.push(unknown(name));
    }
    let asked = read_claims(resolution, request, &mut reasons);
    let mut question = Question { identity: Vec::new(), unit: Vec::new(), asked: Vec::new(), locus: None };
    for (at, value) in identity.iter().enumerate() {
        let Some(value) = value else { continue };
        pack(&mut question.identity, value.as_bytes());
        if at == resolution.unit {
            question.unit = value.as_bytes().to_vec();
            question.locus = Locus::of(value.as_text());
        }
    }
    for value in asked.into_iter().flatten() {
        pack(&mut question.asked, value.as_bytes());
    }
    Refused::unless(reasons, question)
}

fn check_words(request: &VerifyRequest, reasons: &mut Vec<Refusal>) {
    let serial = |s: &str| {
        (1..=MAX_SERIAL).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b))
    };
    if request.serial.as_deref().is_some_and(|s| !serial(s)) {
        reasons.push(
            Refusal::new(
                "input/serial",
                format!("流水号为 1 到 {MAX_SERIAL} 个字母、数字或 - _ . : /"),
                format!("a serial number is 1 to {MAX_SERIAL} letters, digits or - _ . : /"),
            )
            .at("serial"),
        );
    }
    let word = |s: &str| (1..=MAX_WORD).contains(&s.chars().count()) && !s.chars().any(char::is_control);
    if request.scene.as_deref().is_some_and(|s| !word(s)) {
        reasons.push(
            Refusal::new(
                "input/scene",
                format!("场景为 1 到 {MAX_WORD} 个字符"),
                format!("a scene is 1 to {MAX_WORD} characters"),
            )
            .at("scene"),
        );
    }
}

fn read_claims(resolution: &Resolution, request: &VerifyRequest, reasons: &mut Vec<Refusal>) -> Vec<Option<Value>> {
    let asked = &resolution.asked;
    for name in request.claims.keys().filter(|n| !asked.iter().any(|f| f.name == **n)) {
        reasons.push(unknown(name));
    }
    // One value without a name is enough where there is but one to give.
    let single = match (asked.as_slice(), &request.claim) {
        (_, None) => None,
        ([field], Some(_)) if request.claims.is_empty() => Some(field.name.as_str()),
        ([], Some(_)) => {
            reasons.push(Refusal::new(
                "input/claim",
                "该产品的核验内容是固定的",
                "the product's claim is fixed: give none",
            ));
            None
        }
        (_, Some(_)) => {
            reasons.push(Refusal::new(
                "input/claim",
                "该产品有多项核验内容，请按字段名给出",
                "the product has several claims: give each under its name",
            ));
            None
        }
    };
    asked
        .iter()
        .map(|field| {
            let given = if single == Some(field.name.as_str()) { &request.claim } else { &None };
            read(field, given.as_ref().or_else(|| request.claims.get(&field.name)), reasons)
        })
        .collect()
}

fn read(field: &Field, text: Option<&String>, reasons: &mut Vec<Refusal>) -> Option<Value> {
    let Some(text) = text else {
        reasons.push(Refusal::new("input/missing-field", "缺少字段", "a field is missing").at(field.name.clone()));
        return None;
    };
    let value = field.read(text);
    if value.is_none() {
        reasons.push(
            Refusal::new("input/field", "字段格式不正确", "the field is malformed")
                .at(field.name.clone())
                .hint("请核对格式与校验位", "check its form and check digit"),
        );
    }
    value
}

fn unknown(name: &str) -> Refusal {
    let shown: String = name.chars().take(64).collect();
    Refusal::new("input/unknown-field", "产品没有这个字段", "the product has no such field").at(shown)
}
