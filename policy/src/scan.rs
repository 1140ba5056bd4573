//! Finds numbers of persons and firms in texts that are about to leave or to enter: result keys, product and model texts,
//! manifest strings, data segments of models.
//!
//! Texts are normalised first (Unicode NFKC: full-width and mathematical digits become plain ones), invisible characters
//! are dropped, and single spaces, hyphens, dots and underscores between digits are looked through. A number counts only if
//! its check digit, date and region hold, so that ordinary numbers are not found.

use unicode_normalization::UnicodeNormalization;

/// The longest text that is looked at as a whole, in bytes; longer ones are cut into overlapping pieces.
const PIECE: usize = 1 << 20;
/// More characters than any number has, separators included.
const OVERLAP: usize = 64;

/// What kind of number was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// A citizen identity number (公民身份号码, GB 11643).
    CitizenId,
    /// A unified social credit code (统一社会信用代码, GB 32100).
    SocialCreditCode,
    /// A mobile number of mainland China.
    MobileNumber,
    /// A bank card number (ISO/IEC 7812).
    BankCard,
}

/// A finding: what kind of number, never the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Finding {
    kind: FindingKind,
    at: usize,
}

impl Finding {
    /// The kind.
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// Where it begins: the position among the characters of the text (after NFKC).
    pub fn at(&self) -> usize {
        self.at
    }
}

/// A character that may be part of a number, and where it stood.
#[derive(Clone, Copy)]
struct Mark {
    byte: u8,
    at: usize,
    /// Whether it follows the mark before it directly, or across one separator.
    joined: bool,
}

/// The numbers of persons and firms in `text`, in the order in which they begin. Time is linear in the text.
pub fn personal_data(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut marks: Vec<Mark> = Vec::new();
    let (mut at, mut separators, mut fresh) = (0, 0, true);
    for c in text.nfkc() {
        let c = plain(c);
        if is_invisible(c) {
            at += 1;
            continue;
        }
        match u8::try_from(c).ok().filter(u8::is_ascii_alphanumeric) {
            Some(byte) => {
                let joined = !fresh && separators <= 1;
                marks.push(Mark { byte: byte.to_ascii_uppercase(), at, joined });
                (separators, fresh) = (0, false);
            }
            None if matches!(c, ' ' | '-' | '.' | '_' | '\u{2010}'..='\u{2015}' | '\u{b7}') => separators += 1,
            None => fresh = true,
        }
        at += 1;
        if marks.len() >= PIECE {
            scan(&marks, &mut found);
            marks.drain(..PIECE - OVERLAP);
        }
    }
    scan(&marks, &mut found);
    found.sort_unstable_by_key(|f: &Finding| (f.at, f.kind));
    found.dedup();
    found
}

/// Digits of other scripts that NFKC leaves alone, and Chinese numerals that stand for digits.
fn plain(c: char) -> char {
    let digit = match c {
        '\u{660}'..='\u{669}' => c as u32 - 0x660,
        '\u{6f0}'..='\u{6f9}' => c as u32 - 0x6f0,
        '\u{966}'..='\u{96f}' => c as u32 - 0x966,
        '〇' | '零' => 0,
        '一' => 1,
        '二' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        _ => return c,
    };
    char::from_digit(digit, 10).unwrap_or(c)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn scan(marks: &[Mark], found: &mut Vec<Finding>) {
    let bytes: Vec<u8> = marks.iter().map(|m| m.byte).collect();
    // How many marks from here on belong to one run.
    let mut run = vec![1usize; marks.len()];
    for i in (0..marks.len().saturating_sub(1)).rev() {
        if marks[i + 1].joined {
            run[i] = run[i + 1] + 1;
        }
    }
    for i in 0..marks.len() {
        let mut add = |kind| found.push(Finding { kind, at: marks[i].at });
        let window = |length: usize| (run[i] >= length).then(|| &bytes[i..i + length]);
        // Digits that go on before or after make it another number: for kinds without a strong check that matters.
        let begins = i == 0 || !marks[i].joined || !bytes[i - 1].is_ascii_digit();
        let ends = |length: usize| run[i] == length || !bytes[i + length].is_ascii_digit();
        if window(18).is_some_and(is_citizen_id) {
            add(FindingKind::CitizenId);
        }
        if window(18).is_some_and(is_social_credit_code) {
            add(FindingKind::SocialCreditCode);
        }
        if begins && ends_mobile(i, &run, &bytes) {
            add(FindingKind::MobileNumber);
        }
        if begins && (13..=19).any(|n| window(n).is_some_and(is_bank_card) && ends(n)) {
            add(FindingKind::BankCard);
        }
    }
}

/// Eleven digits, with or without the country's code before them, and no digit after.
fn ends_mobile(i: usize, run: &[usize], bytes: &[u8]) -> bool {
    [0, 2, 4].into_iter().any(|skip| {
        let length = skip + 11;
        if run[i] < length || (run[i] > length && bytes[i + length].is_ascii_digit()) {
            return false;
        }
        let prefix = &bytes[i..i + skip];
        matches!(prefix, b"" | b"86" | b"0086") && is_mobile(&bytes[i + skip..i + length])
    })
}

fn is_mobile(n: &[u8]) -> bool {
    n[0] == b'1' && (b'3'..=b'9').contains(&n[1]) && n.iter().all(u8::is_ascii_digit) && !is_one_digit(&n[2..])
}

fn is_one_digit(n: &[u8]) -> bool {
    n.windows(2).all(|pair| pair[0] == pair[1])
}

/// GB 11643: six digits of a region, eight of a date, three of a sequence, and ISO 7064 MOD 11-2.
pub(crate) fn is_citizen_id(n: &[u8]) -> bool {
    let (body, check) = (&n[..17], n[17]);
    if !body.iter().all(u8::is_ascii_digit) || !is_region(&n[..2]) || !is_date(&n[6..14]) {
        return false;
    }
    citizen_check_digit(body) == Some(check)
}

/// ISO 7064 MOD 11-2 over the first 17 digits; `None` where they are not that.
pub(crate) fn citizen_check_digit(body: &[u8]) -> Option<u8> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    if body.len() != WEIGHTS.len() || !body.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = body.iter().zip(WEIGHTS).map(|(d, w)| u32::from(d - b'0') * w).sum();
    Some(b"10X98765432"[(sum % 11) as usize])
}

/// The first two digits of GB/T 2260: provinces, autonomous regions, municipalities, special regions; 83 and 91 are given
/// out too.
fn is_region(n: &[u8]) -> bool {
    let code = (n[0] - b'0') * 10 + (n[1] - b'0');
    matches!(code, 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83 | 91)
}

fn is_date(n: &[u8]) -> bool {
    let number = |digits: &[u8]| digits.iter().fold(0u32, |all, d| all * 10 + u32::from(d - b'0'));
    let (year, month, day) = (number(&n[..4]), number(&n[4..6]), number(&n[6..8]));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1850..=2150).contains(&year) && (1..=days).contains(&day)
}

/// GB 32100: eighteen of 0–9 and A–Z without I, O, S, V, Z; a registering body, a region, and MOD 31-3.
pub(crate) fn is_social_credit_code(n: &[u8]) -> bool {
    if !matches!(n[0], b'1'..=b'9' | b'A' | b'N' | b'Y') || !n[2..8].iter().all(u8::is_ascii_digit) {
        return false;
    }
    // 100000 stands for bodies of the state.
    if !is_region(&n[2..4]) && &n[2..4] != b"10" {
        return false;
    }
    // All digits alike and sequences of 0 pass the check too; no firm has them.
    credit_check_digit(&n[..17]) == Some(n[17]) && !is_one_digit(&n[8..17])
}

/// MOD 31-3 over the first 17 characters; `None` where one of them is not in the alphabet.
pub(crate) fn credit_check_digit(body: &[u8]) -> Option<u8> {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let mut weight = 1;
    let mut sum = 0;
    for c in body {
        sum += ALPHABET.iter().position(|a| a == c)? * weight;
        weight = weight * 3 % 31;
    }
    Some(ALPHABET[(31 - sum % 31) % 31])
}

/// Thirteen to nineteen digits of a card scheme, with the Luhn check digit of ISO/IEC 7812-1, annex B.
fn is_bank_card(n: &[u8]) -> bool {
    if !n.iter().all(u8::is_ascii_digit) || is_one_digit(n) {
        return false;
    }
    // UnionPay and other 6x and 9x ranges, Visa, Mastercard, American Express, JCB.
    let scheme = matches!(
        (n[0], n[1], n.len()),
        (b'6', b'0' | b'2', 16..=19)
            | (b'9', _, 16..=19)
            | (b'4', _, 13 | 16 | 19)
            | (b'5', b'1'..=b'5', 16)
            | (b'2', b'2'..=b'7', 16)
            | (b'3', b'4' | b'7', 15)
            | (b'3', b'5', 16)
    );
    let sum: u32 = n
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            let d = u32::from(d - b'0');
            if i % 2 == 0 { d } else { d * 2 / 10 + d * 2 % 10 }
        })
        .sum();
    scheme && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> Vec<FindingKind> {
        personal_data(text).iter().map(Finding::kind).collect()
    }

    // The examples of the standards' own texts, and made-up ones with right check digits.
    const ID: &str = "11010519491231002X";
    const CREDIT: &str = "91350100M000100Y43";
    const CARD: &str = "4111111111111111";

    #[test]
    fn each_kind_is_found_where_it_stands() {
        use FindingKind::{BankCard, CitizenId, MobileNumber, SocialCreditCode};
        assert_eq!(kinds(&format!("号码 {ID}。")), [CitizenId]);
        assert_eq!(kinds(&format!("id={}", ID.to_lowercase())), [CitizenId]);
        assert_eq!(kinds(&format!("{CREDIT} 有限公司")), [SocialCreditCode]);
        assert_eq!(kinds("电话13812345678"), [MobileNumber]);
        assert_eq!(kinds("+86 138-1234-5678"), [MobileNumber]);
        assert_eq!(kinds("008613812345678"), [MobileNumber]);
        assert_eq!(kinds(&format!("card {CARD}")), [BankCard]);
        assert_eq!(kinds("6222 0212 3456 7890 128"), [BankCard]);
        assert_eq!(personal_data(&format!("ab，{ID}"))[0].at(), 3);
    }

    #[test]
    fn disguises_are_seen_through() {
        let wide: String = ID.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect();
        assert_eq!(kinds(&wide), [FindingKind::CitizenId]);
        let spaced: String = ID.chars().flat_map(|c| [c, '\u{200b}']).collect();
        assert_eq!(kinds(&spaced), [FindingKind::CitizenId]);
        let dashed: String = ID.chars().flat_map(|c| [c, '-']).collect();
        assert_eq!(kinds(&dashed), [FindingKind::CitizenId]);
        assert_eq!(kinds("一三八一二三四五六七八"), [FindingKind::MobileNumber]);
        assert_eq!(kinds("①③⑧①②③④⑤⑥⑦⑧"), [FindingKind::MobileNumber]);
        // Glued to letters and other digits an identity number is still one.
        assert_eq!(kinds(&format!("x7{ID}")), [FindingKind::CitizenId]);
    }

    #[test]
    fn ordinary_numbers_are_not_found() {
        for text in [
            "11010519491231002 1",
            "110105194912310021",
            "11010519491331002X",
            "99010519491231002X",
            "91350100M000100Y44",
            "23812345678",
            "138123456789",
            "1381234567",
            "13800000000000000",
            "4111111111111112",
            "0000000000000000",
            "3.14159265358979323846",
            "2026-11-23 09:18:07.123456",
            "昆明市五华区人民中路 130 号",
            "",
        ] {
            assert_eq!(kinds(text), [], "{text}");
        }
    }

    #[test]
    fn a_broken_digit_is_a_broken_number() {
        for i in 0..17 {
            let mut id = ID.as_bytes().to_vec();
            id[i] = if id[i] == b'9' { b'8' } else { id[i] + 1 };
            assert!(!is_citizen_id(&id), "position {i}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_looked_through(text in "\\PC{0,200}") {
            let count = personal_data(&text).len();
            prop_assert!(count <= text.chars().count() * 4);
        }

        #[test]
        fn a_number_is_found_in_any_surroundings(before in "[^0-9]{0,20}", after in "[^0-9]{0,20}") {
            let text = format!("{before},{ID},{after}");
            prop_assert!(kinds(&text).contains(&FindingKind::CitizenId));
        }
    }

    #[test]
    fn long_texts_are_cut_without_missing_the_seams() {
        let mut text = "a ".repeat(PIECE - 10);
        text.push_str(ID);
        text.push_str(&" b".repeat(100));
        assert_eq!(kinds(&text), [FindingKind::CitizenId]);
    }
}
