//! Fields that name a subject (被核验对象) or are claimed of it: one spelling for each value, whoever wrote it.
//!
//! A register and a caller spell the same number or name in many ways: full-width digits, a lower-case `x`, 15 digits instead
//! of 18, a dot of another block in a name. Both sides go through the same normalisation, so that the comparison is an
//! equality of bytes. What the caller sends is checked more strictly: a number whose check digit is wrong is malformed, and
//! says so before anything is looked up, so that the answer tells nothing of who exists.

use crate::scan::{is_citizen_id, is_social_credit_code};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// At most how many bytes a field may have as it is written.
pub const MAX_FIELD_BYTES: usize = 256;
/// At most how many bytes it may have once normalised: single characters of Unicode become up to 18.
const MAX_NORMALISED_BYTES: usize = 1024;

/// What kind of text a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A citizen identity number (公民身份号码, GB 11643), of 18 digits or of the older 15.
    CitizenId,
    /// A unified social credit code (统一社会信用代码, GB 32100).
    SocialCreditCode,
    /// The number of a natural person: a citizen identity number where it has the form of one, else any identifier.
    PersonNumber,
    /// The number of a legal person: a unified social credit code where it has the form of one, else any identifier.
    FirmNumber,
    /// A vehicle's number plate (GA 36).
    Plate,
    /// A name of a person or firm.
    Name,
    /// Any other text: an address code, a status.
    Text,
}

impl FieldKind {
    /// All the kinds that a manifest may name.
    pub const WORDS: [(&'static str, FieldKind); 7] = [
        ("citizen-id", FieldKind::CitizenId),
        ("social-credit-code", FieldKind::SocialCreditCode),
        ("person-number", FieldKind::PersonNumber),
        ("firm-number", FieldKind::FirmNumber),
        ("plate", FieldKind::Plate),
        ("name", FieldKind::Name),
        ("text", FieldKind::Text),
    ];

    /// From the word in a manifest.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(w, _)| *w == word).map(|(_, kind)| *kind)
    }

    /// The word in a manifest.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("text", |(word, _)| word)
    }

    /// The one spelling of what a caller wrote; `None` where it is malformed: empty, longer than [`MAX_FIELD_BYTES`], with
    /// control characters, or a number whose form or check digit is wrong.
    pub fn normalise(self, text: &str) -> Option<String> {
        if text.len() > MAX_FIELD_BYTES || text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            return None;
        }
        let spelled = self.registered(text);
        let fits = !spelled.is_empty() && spelled.len() <= MAX_NORMALISED_BYTES;
        let number = spelled.as_bytes();
        let sound = match self {
            Self::CitizenId => number.len() == 18 && is_citizen_id(number),
            Self::SocialCreditCode => number.len() == 18 && number.is_ascii() && is_social_credit_code(number),
            Self::PersonNumber => !has_citizen_form(number) || (number.len() == 18 && is_citizen_id(number)),
            Self::FirmNumber => !has_credit_form(number) || is_social_credit_code(number),
            Self::Plate => is_plate(&spelled),
            Self::Name | Self::Text => true,
        };
        (fits && sound).then_some(spelled)
    }

    /// The one spelling of what the register holds. Never fails: a number that the register holds in a wrong form stays as
    /// it is, and no caller can ask about it.
    pub fn registered(self, text: &str) -> String {
        let mut spelled = self.spell(text);
        // What was taken out can let its neighbours compose: until nothing changes any more.
        for _ in 0..4 {
            if spelled.is_ascii() {
                break;
            }
            let again = self.spell(&spelled);
            if again == spelled {
                break;
            }
            spelled = again;
        }
        spelled
    }

    fn spell(self, text: &str) -> String {
        let plain = plain(text);
        match self {
            Self::CitizenId | Self::SocialCreditCode => modern(number(&plain, true)),
            Self::PersonNumber | Self::FirmNumber => {
                let bare = number(&plain, true);
                let known = match self {
                    Self::PersonNumber => has_citizen_form(bare.as_bytes()),
                    _ => has_credit_form(bare.as_bytes()),
                };
                if known { modern(bare) } else { number(&plain, false) }
            }
            Self::Plate => {
                let kept = plain.chars().filter(|c| !c.is_whitespace() && !is_joint(*c));
                kept.map(|c| c.to_ascii_uppercase()).collect()
            }
            Self::Name => name(&lower(&plain)),
            Self::Text => spaced(&lower(&plain)),
        }
    }
}

/// NFKC (Unicode Standard Annex 15) without the characters that nobody sees.
fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut text: String = text.chars().filter(|c| !is_ignorable(*c)).nfkc().collect();
    if text.contains(is_ignorable) {
        text = text.chars().filter(|c| !is_ignorable(*c)).nfkc().collect();
    }
    Cow::Owned(text)
}

/// In lower case. Lower-casing can undo a composition, so it is normalised once more.
fn lower(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().flat_map(char::to_lowercase).nfkc().collect() }
}

/// Without spaces, in upper case; without hyphens and dots too where `bare`.
fn number(text: &str, bare: bool) -> String {
    let dropped = |c: &char| c.is_whitespace() || (bare && is_joint(*c));
    text.chars().filter(|c| !dropped(c)).map(|c| c.to_ascii_uppercase()).collect()
}

fn is_joint(c: char) -> bool {
    matches!(c, '-' | '.' | '_' | '\u{2010}'..='\u{2015}' | '\u{b7}' | '\u{2022}')
}

/// Characters that nobody sees, and that NFKC keeps.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// 15 digits become the 18 of the same person, where they are such a number.
fn modern(number: String) -> String {
    match eighteen(number.as_bytes()) {
        Some(long) => long,
        None => number,
    }
}

/// GB 11643-1999, annex A: the century goes before the year, and the check digit after the sequence number.
fn eighteen(number: &[u8]) -> Option<String> {
    if number.len() != 15 || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let body = [&number[..6], b"19", &number[6..]].concat();
    let last = crate::scan::citizen_check_digit(&body)?;
    let mut long = String::from_utf8(body).ok()?;
    long.push(char::from(last));
    is_citizen_id(long.as_bytes()).then_some(long)
}

fn has_citizen_form(n: &[u8]) -> bool {
    let digits = |n: &[u8]| n.iter().all(u8::is_ascii_digit);
    match n.len() {
        15 => digits(n),
        18 => digits(&n[..17]) && (n[17].is_ascii_digit() || n[17] == b'X'),
        _ => false,
    }
}

fn has_credit_form(n: &[u8]) -> bool {
    n.len() == 18
        && n.iter().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        && n[2..8].iter().all(u8::is_ascii_digit)
}

/// A province's character, a letter, and five or six letters and digits; the last may be a character too (学, 警, 港, 澳, 挂).
fn is_plate(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let han = |c: &char| ('\u{4e00}'..='\u{9fff}').contains(c);
    let plain = |c: &char| c.is_ascii_uppercase() || c.is_ascii_digit();
    (7..=8).contains(&chars.len())
        && han(&chars[0])
        && chars[1].is_ascii_uppercase()
        && chars[2..chars.len() - 1].iter().all(plain)
        && chars.last().is_some_and(|c| plain(c) || han(c))
}

/// Names: case folded, dots of all blocks one dot, single spaces; none at all where no letter of an alphabet needs them.
fn name(text: &str) -> String {
    let folded: String = text
        .chars()
        .map(|c| match c {
            '\u{2022}' | '\u{2027}' | '\u{2219}' | '\u{22c5}' | '\u{30fb}' | '\u{ff65}' | '\u{2e31}' => '\u{b7}',
            other => other,
        })
        .collect();
    let alphabetic = folded.chars().any(|c| c.is_alphabetic() && (c as u32) < 0x2e80);
    if alphabetic { spaced(&folded) } else { folded.chars().filter(|c| !c.is_whitespace()).collect() }
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Another number of the same form near this one: the same county and birthday with another sequence number, or a few steps
/// further. `pick` chooses which. `None` where the number ends in no digit. Canaries are made of it.
pub fn neighbour(number: &str, pick: u64) -> Option<String> {
    let n = number.as_bytes();
    if has_citizen_form(n) && n.len() == 18 {
        let body = format!("{}{:03}", number.get(..14)?, pick % 1000);
        let last = crate::scan::citizen_check_digit(body.as_bytes())?;
        return Some(format!("{body}{}", char::from(last)));
    }
    if has_credit_form(n) {
        const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
        let mut code = number.get(..15)?.to_owned();
        code.push(char::from(ALPHABET[(pick % 31) as usize]));
        code.push(char::from(n[16]));
        let last = crate::scan::credit_check_digit(code.as_bytes())?;
        code.push(char::from(last));
        return Some(code);
    }
    let digits = n.iter().rev().take(15).take_while(|c| c.is_ascii_digit()).count();
    let (head, tail) = number.split_at_checked(number.len() - digits)?;
    let at: u64 = tail.parse().ok()?;
    let other = at + 1 + pick % 3;
    let spelled = format!("{head}{other:0digits$}");
    (spelled.len() == number.len()).then_some(spelled)
}

/// Where a number stands in the order in which numbers are given out: what is next to what.
///
/// Used to notice that somebody walks along the numbers; it is never kept on a disk.
#[derive(Clone, PartialEq, Eq)]
pub struct Locus {
    group: String,
    at: i64,
    reach: i64,
}

impl Locus {
    /// Of a normalised number; `None` where it ends in no digit.
    pub fn of(number: &str) -> Option<Self> {
        let n = number.as_bytes();
        if has_citizen_form(n) && n.len() == 18 {
            let figure = |part: &[u8]| part.iter().fold(0i64, |all, d| all * 10 + i64::from(d - b'0'));
            // Months of 31 days: neighbours in the calendar are neighbours here, or a few steps apart at a month's end.
            let day = (figure(&n[6..10]) * 12 + figure(&n[10..12])) * 31 + figure(&n[12..14]);
            let group = number.get(..6)?.to_owned();
            // One day on either side: whoever walks from birthday to birthday is seen, too.
            return Some(Self { group, at: day * 1000 + figure(&n[14..17]), reach: 1000 });
        }
        if has_credit_form(n) && is_social_credit_code(n) {
            let body = n[8..16]
                .iter()
                .fold(0i64, |all, c| all * 36 + i64::from(if c.is_ascii_digit() { c - b'0' } else { c - b'A' + 10 }));
            return Some(Self { group: number.get(..8)?.to_owned(), at: body, reach: 4 });
        }
        let digits = n.iter().rev().take(15).take_while(|c| c.is_ascii_digit()).count();
        let (head, tail) = number.split_at_checked(number.len() - digits)?;
        Some(Self { group: head.to_owned(), at: tail.parse().ok()?, reach: 4 })
    }

    /// Whether the two are neighbours. The same number is none: it has a quota of its own.
    pub fn is_near(&self, other: &Self) -> bool {
        let apart = (self.at - other.at).abs();
        apart > 0 && apart <= self.reach && self.group == other.group
    }

    /// In a register of `rows`, the share of honest questions that are near one of `held` others by chance, if its numbers
    /// are dense; at most 1.
    #[allow(clippy::cast_precision_loss, reason = "a rough share")]
    pub fn chance(&self, held: usize, rows: u64) -> f64 {
        // Of a dated number's reach only a few per mille are given out in one county.
        let width = if self.reach > 100 { 40.0 } else { 2.0 * self.reach as f64 };
        (held as f64 * width / (rows.max(1)) as f64).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "11010519491231002X";

    fn wide(text: &str) -> String {
        text.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect()
    }

    #[test]
    fn a_citizen_number_has_one_spelling_in_every_dress() {
        let spaced: String = ID.chars().flat_map(|c| [c, '\u{200b}', ' ']).collect();
        let old = "110105491231002";
        for kind in [FieldKind::CitizenId, FieldKind::PersonNumber] {
            for dress in [ID, &ID.to_lowercase(), &wide(ID), &spaced, "110105-19491231-002x", old, &wide(old)] {
                assert_eq!(kind.normalise(dress).as_deref(), Some(ID), "{dress}");
                assert_eq!(kind.registered(dress), ID);
            }
        }
    }

    #[test]
    fn a_wrong_check_digit_is_malformed() {
        for wrong in ["110105194912310021", "11010519491331002X", "110105491331002", "11010519491231002"] {
            assert_eq!(FieldKind::CitizenId.normalise(wrong), None, "{wrong}");
        }
        assert_eq!(FieldKind::PersonNumber.normalise("110105194912310021"), None);
        assert_eq!(FieldKind::PersonNumber.normalise("p0000007").as_deref(), Some("P0000007"));
        assert_eq!(FieldKind::SocialCreditCode.normalise("91350100m000100y43").as_deref(), Some("91350100M000100Y43"));
        assert_eq!(FieldKind::SocialCreditCode.normalise("91350100M000100Y44"), None);
        assert_eq!(FieldKind::FirmNumber.normalise("91350100M000100Y44"), None);
        assert_eq!(FieldKind::FirmNumber.normalise("530100-7").as_deref(), Some("530100-7"));
    }

    #[test]
    fn names_plates_and_texts() {
        let name = |t: &str| FieldKind::Name.normalise(t).unwrap();
        assert_eq!(name("张 三"), "张三");
        assert_eq!(name("买买提•吐尔逊"), name("买买提·吐尔逊"));
        assert_eq!(name("Mary  ANN o’Hara"), name(" mary ann O’HARA "));
        assert_ne!(name("张三"), name("张四"));
        assert_eq!(FieldKind::Plate.normalise("云a·12345").as_deref(), Some("云A12345"));
        assert_eq!(FieldKind::Plate.normalise("云Ａ 12345D").as_deref(), Some("云A12345D"));
        assert_eq!(FieldKind::Plate.normalise("A12345"), None);
        assert_eq!(FieldKind::Text.normalise("  In   Business ").as_deref(), Some("in business"));
        for kind in FieldKind::WORDS {
            assert_eq!(FieldKind::from_word(kind.0), Some(kind.1));
            assert_eq!(kind.1.as_str(), kind.0);
            assert_eq!(kind.1.normalise(""), None);
            assert_eq!(kind.1.normalise("\u{200b}"), None);
            assert_eq!(kind.1.normalise("a\nb"), None);
        }
    }

    #[test]
    fn lengths_hold_at_the_edge() {
        assert!(FieldKind::Text.normalise(&"a".repeat(MAX_FIELD_BYTES)).is_some());
        assert!(FieldKind::Text.normalise(&"a".repeat(MAX_FIELD_BYTES + 1)).is_none());
        // U+FDFA becomes 18 characters of two or one bytes.
        assert!(FieldKind::Text.normalise(&"\u{fdfa}".repeat(31)).is_some());
        assert!(FieldKind::Text.normalise(&"\u{fdfa}".repeat(80)).is_none());
    }

    #[test]
    fn made_up_neighbours_have_the_form_of_the_real_ones() {
        for pick in 0..1000 {
            let id = neighbour(ID, pick).unwrap();
            assert_eq!(FieldKind::CitizenId.normalise(&id).as_deref(), Some(id.as_str()));
            assert_eq!(id[..14], ID[..14]);
            if let Some(code) = neighbour("91350100M000100Y43", pick) {
                assert!(code.len() == 18 && code.starts_with("91350100M000100"), "{code}");
            }
            assert!(Locus::of(&neighbour("P0000007", pick).unwrap()).unwrap().is_near(&Locus::of("P0000007").unwrap()));
        }
        assert_eq!(neighbour("P9", 0), None);
        assert_eq!(neighbour("abc", 0), None);
    }

    #[test]
    fn neighbours_are_seen() {
        let near = |a: &str, b: &str| Locus::of(a).unwrap().is_near(&Locus::of(b).unwrap());
        assert!(near("P0000007", "P0000008") && near("P0000007", "P0000011") && !near("P0000007", "P0000012"));
        assert!(!near("P0000007", "P0000007") && !near("P0000007", "Q0000008"));
        assert!(near("11010519491231002X", "110105194912310038"));
        assert!(near("11010519491230002X", "11010519491231002X"));
        assert!(!near("11010519491229002X", "11010519491231002X"));
        assert!(Locus::of("abc").is_none() && Locus::of("").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn normalising_is_total_and_settles(text in "\\PC{0,60}") {
            for (_, kind) in FieldKind::WORDS {
                let once = kind.registered(&text);
                prop_assert_eq!(kind.registered(&once), once.clone(), "{:?}", kind);
                if let Some(spelled) = kind.normalise(&text) {
                    prop_assert_eq!(spelled, once);
                }
            }
            let _ = Locus::of(&text);
        }
    }
}
