//! Why a file is not imported.

use std::fmt;

/// The longest piece of a file that is repeated in a message, in characters.
const QUOTE_CHARS: usize = 64;

/// One reason why a model file is refused: a stable code, where in the file, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    code: &'static str,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    en: String,
    zh: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { code, place: None, en: en.into(), zh: zh.into() }
    }

    /// The file is not what its format says.
    pub(crate) fn malformed(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self::new("import/malformed", en, zh)
    }

    /// The file is sound and asks for something that is not built.
    pub(crate) fn unsupported(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self::new("import/unsupported", en, zh)
    }

    /// Something is larger than its bound.
    pub(crate) fn limit(what: &str, zh: &str, bound: usize) -> Self {
        Self::new("import/limit", format!("{what}: at most {bound} are taken"), format!("{zh}超过上限 {bound}"))
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place.get_or_insert_with(|| place.into());
        self
    }

    /// The same refusal, its place within a larger one.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        let inner = self.place.take().map(|p| format!(", {p}")).unwrap_or_default();
        self.place = Some(format!("{outer}{inner}"));
        self
    }

    /// The same refusal at a place that is known better further out.
    pub(crate) fn moved(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The stable code, such as `import/unsupported`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Where: a field, operator, tree and node, line or byte of the file.
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
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.en)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// A piece of a file for a message: bounded, and without characters that could move a cursor.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| {
        !(c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
    };
    let mut out: String = text.chars().take(QUOTE_CHARS).map(|c| if plain(c) { c } else { '?' }).collect();
    if text.chars().nth(QUOTE_CHARS).is_some() {
        out.push('…');
    }
    out
}

/// `n` items, at most `bound` of them.
pub(crate) fn at_most(n: usize, bound: usize, what: &str, zh: &str) -> Result<(), Refusal> {
    if n > bound { Err(Refusal::limit(what, zh, bound)) } else { Ok(()) }
}
