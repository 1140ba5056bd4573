//! Reading a TOML document so that every fault is found at once, each with its key path and line.
//!
//! serde stops at the first fault; people who write catalogue entries want them all. So the parsed tree is walked by
//! hand: a key that is not asked for is a fault, as with `deny_unknown_fields`.

use super::reasons::{Reasons, shown};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use yunei_policy::Refusal;

/// A table of the document, with the key path that leads to it.
#[derive(Debug, Clone)]
pub(super) struct Section<'d> {
    pub(super) path: String,
    span: Range<usize>,
    table: &'d DeTable<'d>,
}

/// A value of the document, with its key path.
#[derive(Debug, Clone)]
pub(super) struct Item<'d> {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) value: &'d DeValue<'d>,
}

/// Whether a key may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Its absence is a fault.
    Required,
    /// It may be absent.
    Optional,
}

/// Walks the document and gathers faults.
#[derive(Debug)]
pub(super) struct Reader<'d> {
    text: &'d str,
    pub(super) reasons: Reasons,
}

impl<'d> Reader<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, reasons: Reasons::default() }
    }

    /// The key path and line of a place, e.g. `dataset.unit.column (line 12)`.
    fn place(&self, path: &str, at: usize) -> String {
        let end = at.min(self.text.len());
        let line = 1 + self.text.as_bytes()[..end].iter().filter(|b| **b == b'\n').count();
        if path.is_empty() { format!("line {line}") } else { format!("{path} (line {line})") }
    }

    /// Adds a fault at a place.
    pub(super) fn fault(&mut self, refusal: Refusal, path: &str, at: usize) {
        // Finding the line costs a walk over the text, which what is only counted is not worth.
        let refusal = if self.reasons.is_full() { refusal } else { refusal.at(self.place(path, at)) };
        self.reasons.push(refusal);
    }

    /// The whole document.
    pub(super) fn root(&mut self, root: &'d Spanned<DeTable<'d>>, keys: &[&str]) -> Section<'d> {
        let section = Section { path: String::new(), span: root.span(), table: root.get_ref() };
        self.unknown_keys(&section, keys);
        section
    }

    fn unknown_keys(&mut self, section: &Section<'d>, keys: &[&str]) {
        for key in section.table.keys() {
            let name = key.get_ref().as_ref();
            if !keys.contains(&name) {
                let known = keys.join(", ");
                self.fault(
                    Refusal::new(
                        "catalogue/unknown-key",
                        format!("不认识的键 `{}`", shown(name)),
                        format!("unknown key `{}`", shown(name)),
                    )
                    .hint(format!("此处可用的键：{known}"), format!("the keys known here are {known}")),
                    &section.join(&shown(name)),
                    key.span().start,
                );
            }
        }
    }

    /// A value, whatever its type.
    pub(super) fn item(&mut self, section: &Section<'d>, key: &str, need: Need) -> Option<Item<'d>> {
        match section.table.get(key) {
            Some(value) => Some(Item { path: section.join(key), span: value.span(), value: value.get_ref() }),
            None => {
                if need == Need::Required {
                    self.fault(
                        Refusal::new(
                            "catalogue/missing-key",
                            format!("缺少键 `{key}`"),
                            format!("the key `{key}` is missing"),
                        ),
                        &section.join(key),
                        section.span.start,
                    );
                }
                None
            }
        }
    }

    fn wrong_type(&mut self, item: &Item<'d>, zh: &str, en: &str) {
        self.fault(
            Refusal::new("catalogue/wrong-type", format!("此处应为{zh}"), format!("{en} is expected here")),
            &item.path,
            item.span.start,
        );
    }

    /// A table whose keys are all known.
    pub(super) fn section(
        &mut self,
        parent: &Section<'d>,
        key: &str,
        keys: &[&str],
        need: Need,
    ) -> Option<Section<'d>> {
        let item = self.item(parent, key, need)?;
        self.as_section(&item, keys)
    }

    /// The value as a table whose keys are all known.
    pub(super) fn as_section(&mut self, item: &Item<'d>, keys: &[&str]) -> Option<Section<'d>> {
        let Some(table) = item.value.as_table() else {
            self.wrong_type(item, "表", "a table");
            return None;
        };
        let section = Section { path: item.path.clone(), span: item.span.clone(), table };
        self.unknown_keys(&section, keys);
        Some(section)
    }

    /// The members of an array of at most `most` members; what is beyond is a fault and is not read.
    pub(super) fn array(&mut self, parent: &Section<'d>, key: &str, most: usize, need: Need) -> Option<Vec<Item<'d>>> {
        let item = self.item(parent, key, need)?;
        let Some(array) = item.value.as_array() else {
            self.wrong_type(&item, "数组", "an array");
            return None;
        };
        self.bounded(&item, array, most)
    }

    fn bounded(&mut self, item: &Item<'d>, array: &'d DeArray<'d>, most: usize) -> Option<Vec<Item<'d>>> {
        let count = array.len();
        if count > most {
            self.fault(
                Refusal::new(
                    "catalogue/too-many",
                    format!("最多 {most} 项，此处有 {count} 项"),
                    format!("at most {most} members are allowed, here are {count}"),
                ),
                &item.path,
                item.span.start,
            );
            return None;
        }
        let member = |(i, value): (usize, &'d Spanned<DeValue<'d>>)| Item {
            path: format!("{}[{i}]", item.path),
            span: value.span(),
            value: value.get_ref(),
        };
        Some(array.iter().enumerate().map(member).collect())
    }

    /// The value as a string.
    pub(super) fn as_string(&mut self, item: &Item<'d>) -> Option<&'d str> {
        let text = item.value.as_str();
        if text.is_none() {
            self.wrong_type(item, "字符串", "a string");
        }
        text
    }

    /// A string.
    pub(super) fn string(&mut self, parent: &Section<'d>, key: &str, need: Need) -> Option<(Item<'d>, &'d str)> {
        let item = self.item(parent, key, need)?;
        let text = self.as_string(&item)?;
        Some((item, text))
    }

    /// A text for people: not blank, at most `most` characters, no control characters but line ends.
    pub(super) fn text(&mut self, parent: &Section<'d>, key: &str, most: usize, need: Need) -> Option<String> {
        let (item, text) = self.string(parent, key, need)?;
        let fine = !text.trim().is_empty()
            && text.chars().count() <= most
            && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        if fine {
            return Some(text.to_owned());
        }
        self.fault(
            Refusal::new(
                "catalogue/bad-text",
                format!("文字不能为空、不能超过 {most} 个字符、不能含控制字符"),
                format!("a text has 1 to {most} characters, is not blank and holds no control characters"),
            ),
            &item.path,
            item.span.start,
        );
        None
    }

    /// One of a closed list of words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        parent: &Section<'d>,
        key: &str,
        words: &[(&str, T)],
        need: Need,
    ) -> Option<T> {
        let item = self.item(parent, key, need)?;
        self.as_choice(&item, words)
    }

    /// The value as one of a closed list of words.
    pub(super) fn as_choice<T: Copy>(&mut self, item: &Item<'d>, words: &[(&str, T)]) -> Option<T> {
        let word = self.as_string(item)?;
        let found = words.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
        if found.is_none() {
            let known = words.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
            self.fault(
                Refusal::new(
                    "catalogue/bad-choice",
                    format!("`{}` 不是此处可用的词", shown(word)),
                    format!("`{}` is not a word known here", shown(word)),
                )
                .hint(format!("可用的词：{known}"), format!("one of {known}")),
                &item.path,
                item.span.start,
            );
        }
        found
    }

    /// A whole number within `least..=most`.
    pub(super) fn count(&mut self, parent: &Section<'d>, key: &str, least: u32, most: u32, need: Need) -> Option<u32> {
        let item = self.item(parent, key, need)?;
        let Some(number) = integer(item.value) else {
            self.wrong_type(&item, "整数", "a whole number");
            return None;
        };
        let fitting = number.ok().and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        if fitting.is_none() {
            self.fault(
                Refusal::new(
                    "catalogue/bad-number",
                    format!("须为 {least} 至 {most} 的整数"),
                    format!("must be a whole number from {least} to {most}"),
                ),
                &item.path,
                item.span.start,
            );
        }
        fitting
    }
}

impl Section<'_> {
    /// The key path of a key in this table.
    pub(super) fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where the table begins.
    pub(super) fn start(&self) -> usize {
        self.span.start
    }
}

/// The value as an integer: `None` where it is not one, `Some(Err)` where it does not fit 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<Result<i64, ()>> {
    let literal = value.as_integer()?;
    Some(i64::from_str_radix(literal.as_str(), literal.radix()).map_err(|_| ()))
}
