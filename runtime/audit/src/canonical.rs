//! Canonical JSON: RFC 8785 (JCS) for the values that an entry may hold.
//!
//! RFC 8785 section 3.2.2.3 prints numbers as ECMAScript does. For integers of at most 2^53 - 1 in
//! magnitude that is the plain decimal form, and those are the only numbers taken here: a fraction
//! or a larger integer is refused and must travel as a string, so that no reader in any language
//! can see another value than the one that was signed.

use serde_json::{Map, Value};

/// The largest integer that every JSON reader keeps exactly: 2^53 - 1 (RFC 7493 section 2.2).
pub(crate) const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// How deep arrays and objects may nest below the top-level object.
pub(crate) const MAX_DEPTH: usize = 16;

/// Why a value has no canonical form here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CanonicalError {
    /// A number that is no integer, or an integer outside of ±(2^53 - 1).
    Number,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
}

/// Writes `map` in canonical form.
pub(crate) fn object(map: &Map<String, Value>) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::with_capacity(256);
    write_object(&mut out, map, 0)?;
    Ok(out)
}

fn write_value(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let integer = number.as_i64().ok_or(CanonicalError::Number)?;
            if integer.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() {
                return Err(CanonicalError::Number);
            }
            out.extend_from_slice(integer.to_string().as_bytes());
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            if depth >= MAX_DEPTH {
                return Err(CanonicalError::Depth);
            }
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(out, item, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            if depth >= MAX_DEPTH {
                return Err(CanonicalError::Depth);
            }
            write_object(out, map, depth + 1)?;
        }
    }
    Ok(())
}

fn write_object(out: &mut Vec<u8>, map: &Map<String, Value>, depth: usize) -> Result<(), CanonicalError> {
    let mut members: Vec<(&String, &Value)> = map.iter().collect();
    // RFC 8785 section 3.2.3: by UTF-16 code units, which differs from UTF-8 order only beyond the
    // basic plane. Byte order is right, and cheap, while both names are ASCII.
    members.sort_by(
        |(a, _), (b, _)| {
            if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
        },
    );
    out.push(b'{');
    for (i, (name, value)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_value(out, value, depth)?;
    }
    out.push(b'}');
    Ok(())
}

/// RFC 8785 section 3.2.2.2: the short escapes where they exist, `\u00xx` in lower case for the
/// other control characters, everything else as it is.
fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            control if control < 0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
            other => out.push(other),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn canon(value: Value) -> Result<String, CanonicalError> {
        let Value::Object(map) = value else { panic!("an object") };
        object(&map).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn names_are_sorted_by_utf16_units_and_strings_escaped_as_rfc_8785_says() {
        // RFC 8785 section 3.2.3, its own example of names.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let text = canon(value).unwrap();
        let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let places: Vec<usize> = order.iter().map(|w| text.find(w).unwrap()).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{text}");
        assert_eq!(
            canon(json!({"s": "\u{20ac}$\u{0f}\nA'B\"\\\\\"/"})).unwrap(),
            "{\"s\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn integers_up_to_the_safe_limit_and_nothing_else() {
        assert_eq!(
            canon(json!({"a": MAX_SAFE_INTEGER, "b": -MAX_SAFE_INTEGER})).unwrap(),
            "{\"a\":9007199254740991,\"b\":-9007199254740991}"
        );
        for bad in [
            json!(MAX_SAFE_INTEGER + 1),
            json!(-MAX_SAFE_INTEGER - 1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(0.5),
            json!(1.0),
        ] {
            assert_eq!(canon(json!({"a": bad})), Err(CanonicalError::Number));
        }
    }

    #[test]
    fn depth_at_the_limit_and_one_past_it() {
        let nested = |n: usize| (0..n).fold(json!(1), |inner, _| json!([inner]));
        assert!(canon(json!({"a": nested(MAX_DEPTH)})).is_ok());
        assert_eq!(canon(json!({"a": nested(MAX_DEPTH + 1)})), Err(CanonicalError::Depth));
    }
}
