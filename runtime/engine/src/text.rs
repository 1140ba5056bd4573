//! Names that people give to things.

use yunei_policy::Refusal;

/// Whether `id` is `[a-z0-9-]{1,64}` and neither starts nor ends with a hyphen.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !id.starts_with('-')
        && !id.ends_with('-')
}

/// Splits `id@version`, both well formed.
pub(crate) fn model_reference(reference: &str) -> Option<(&str, &str)> {
    let (id, version) = reference.split_once('@')?;
    let version_ok = (1..=32).contains(&version.len())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'));
    (is_id(id) && version_ok).then_some((id, version))
}

pub(crate) fn check_id(place: &str, id: &str, reasons: &mut Vec<Refusal>) {
    if !is_id(id) {
        reasons.push(
            Refusal::new(
                "name/id",
                "标识只能用小写字母、数字和连字符，1 到 64 个字符",
                "an id is 1 to 64 lower-case letters, digits and hyphens",
            )
            .at(place),
        );
    }
}

pub(crate) fn check_model_reference(place: &str, reference: &str, reasons: &mut Vec<Refusal>) {
    if model_reference(reference).is_none() {
        reasons.push(
            Refusal::new("name/model", "模型须写作 id@版本", "a model is written id@version")
                .at(place)
                .hint("例如 credit-risk@1.0.0", "for example credit-risk@1.0.0"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_limits() {
        assert!(is_id("a") && is_id(&"a".repeat(64)) && is_id("risk-by-city"));
        assert!(!is_id("") && !is_id(&"a".repeat(65)) && !is_id("A") && !is_id("-a") && !is_id("a-") && !is_id("a_b"));
    }

    #[test]
    fn references() {
        assert_eq!(model_reference("credit-risk@1.2.0"), Some(("credit-risk", "1.2.0")));
        assert_eq!(model_reference("credit-risk"), None);
        assert_eq!(model_reference("x@"), None);
        assert_eq!(model_reference("x@1 2"), None);
    }
}
