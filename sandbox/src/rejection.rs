//! Why a module or a manifest is not accepted.

use std::fmt;

/// The longest name taken from a module or manifest into a message, in characters.
const NAME_CHARS: usize = 64;

/// One reason why a module or a manifest is refused: a stable code, where, and what to change.
///
/// A rejection speaks of the submitted module and manifest only. It is made before any data is
/// opened and carries none; of the submitted bytes it repeats no more than bounded names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    code: &'static str,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    en: String,
    zh: String,
    hint_en: &'static str,
    hint_zh: &'static str,
}

impl Rejection {
    pub(crate) fn new(code: &'static str, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { code, place: None, en: en.into(), zh: zh.into(), hint_en: "", hint_zh: "" }
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    pub(crate) fn hint(mut self, en: &'static str, zh: &'static str) -> Self {
        self.hint_en = en;
        self.hint_zh = zh;
        self
    }

    /// The stable code, such as `model/import` or `manifest/unknown-key`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Where: a function and offset of the module, or a key and line of the manifest.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The reason in English.
    pub fn en(&self) -> &str {
        &self.en
    }

    /// The reason in Chinese.
    pub fn zh(&self) -> &str {
        &self.zh
    }

    /// What to change, in English; empty where the reason says it already.
    pub fn hint_en(&self) -> &'static str {
        self.hint_en
    }

    /// What to change, in Chinese; empty where the reason says it already.
    pub fn hint_zh(&self) -> &'static str {
        self.hint_zh
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.en)?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        if !self.hint_en.is_empty() {
            write!(f, "; {}", self.hint_en)?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejection {}

/// A name out of an untrusted module or manifest, cut to a bounded length and without characters
/// that could move the cursor of a terminal or break a log line.
pub(crate) fn clean_name(name: &str) -> String {
    let mut out: String = name.chars().take(NAME_CHARS).map(|c| if is_plain(c) { c } else { '?' }).collect();
    if name.chars().nth(NAME_CHARS).is_some() {
        out.push('…');
    }
    out
}

/// Control characters and the invisible direction marks of Unicode are not plain.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_plain() {
        assert_eq!(clean_name("score"), "score");
        assert_eq!(clean_name("a\u{1b}[2Jb\n"), "a?[2Jb?");
        assert_eq!(clean_name(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(clean_name(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
        assert_eq!(clean_name("a\u{202e}b"), "a?b");
    }

    #[test]
    fn display_is_one_line_with_code_place_and_hint() {
        let r = Rejection::new("model/import", "the module imports", "模块含导入")
            .at("import 0")
            .hint("remove it", "去掉导入");
        assert_eq!(r.to_string(), "model/import: the module imports (import 0); remove it");
    }
}
