//! Refusals: a stable code, the rule, and what to change. Never a data value.

use crate::words::{Lang, Text};
use serde::Serialize;
use std::fmt;

/// One reason why something is refused.
///
/// `code` is stable (`area/what`); programs match on it. The texts are for people. None of the fields may hold a
/// value that was read from private data; names of columns, functions and products are public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: &'static str,
    message: Text,
    place: Option<String>,
    hint: Option<Text>,
}

impl Refusal {
    /// A refusal with its code and the rule that was broken.
    pub fn new(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        debug_assert!(code.contains('/'), "codes have the form area/what");
        Self { code, message: Text::new(zh, en), place: None, hint: None }
    }

    /// Where it is: a column, a line, a plan node.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// What to change.
    #[must_use]
    pub fn hint(mut self, zh: impl Into<String>, en: impl Into<String>) -> Self {
        self.hint = Some(Text::new(zh, en));
        self
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The rule, for people.
    pub fn message(&self) -> &Text {
        &self.message
    }

    /// Where it is.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// What to change, for people.
    pub fn advice(&self) -> Option<&Text> {
        self.hint.as_ref()
    }

    /// The form that goes into a JSON answer.
    pub fn to_view(&self, lang: Lang) -> RefusalView<'_> {
        RefusalView {
            code: self.code,
            message: self.message.get(lang),
            place: self.place.as_deref(),
            hint: self.hint.as_ref().map(|h| h.get(lang)),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message.en)?;
        if let Some(place) = &self.place {
            write!(f, " [{place}]")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {}", hint.en)?;
        }
        Ok(())
    }
}

/// A refusal in one language, as it is written to JSON.
#[derive(Debug, Serialize)]
pub struct RefusalView<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// All the reasons why something is refused; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(Vec<Refusal>);

impl Refused {
    /// From the reasons found; `None` where there are none.
    pub fn from_reasons(mut reasons: Vec<Refusal>) -> Option<Self> {
        let mut seen: Vec<Refusal> = Vec::with_capacity(reasons.len());
        reasons.retain(|r| {
            let new = !seen.contains(r);
            if new {
                seen.push(r.clone());
            }
            new
        });
        (!reasons.is_empty()).then_some(Self(reasons))
    }

    /// `Ok(value)` where no reason was found, all the reasons otherwise.
    ///
    /// # Errors
    /// The reasons, where there are any.
    pub fn unless<T>(reasons: Vec<Refusal>, value: T) -> Result<T, Self> {
        match Self::from_reasons(reasons) {
            None => Ok(value),
            Some(refused) => Err(refused),
        }
    }

    /// The reasons.
    pub fn reasons(&self) -> &[Refusal] {
        &self.0
    }

    /// The codes, in order: what may be logged.
    pub fn codes(&self) -> Vec<&'static str> {
        self.0.iter().map(Refusal::code).collect()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(vec![refusal])
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
