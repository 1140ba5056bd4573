//! Numbers of persons and firms in what comes in and what goes out: the shell around [`yunei_policy::scan`].
//!
//! What comes in with such a number is refused: it would carry a person into the domain's texts, or a list of persons into a
//! model. What goes out as a group key is replaced by NULL. No refusal repeats the number.

use yunei_policy::facts::Literal;
use yunei_policy::scan::{Finding, FindingKind, personal_data};
use yunei_policy::{Refusal, Refused};

/// At most how many findings are told of one text.
const MOST: usize = 8;

/// Refuses a text (a manifest, SQL) in which such a number stands.
///
/// # Errors
/// `text/personal-number` for each of the first few.
pub(crate) fn text(place: &str, text: &str) -> Result<(), Refused> {
    refuse(place, &personal_data(text))
}

/// Refuses a module in whose bytes (data segments, names, custom sections) such a number stands as text, in one byte or two
/// bytes a character.
///
/// # Errors
/// `text/personal-number` for each of the first few.
pub(crate) fn module(place: &str, bytes: &[u8]) -> Result<(), Refused> {
    let mut found = personal_data(&String::from_utf8_lossy(bytes));
    // UTF-16 of plain digits is every digit with a zero byte.
    for skip in [0, 1] {
        let pairs = bytes.get(skip..).unwrap_or_default().chunks_exact(2);
        let wide: String =
            pairs.map(|p| char::from_u32(u32::from(u16::from_le_bytes([p[0], p[1]]))).unwrap_or(' ')).collect();
        found.extend(personal_data(&wide));
    }
    refuse(place, &found)
}

fn refuse(place: &str, found: &[Finding]) -> Result<(), Refused> {
    let reasons = found.iter().take(MOST).map(|finding| {
        let (zh, en) = match finding.kind() {
            FindingKind::CitizenId => ("公民身份号码", "a citizen identity number"),
            FindingKind::SocialCreditCode => ("统一社会信用代码", "a unified social credit code"),
            FindingKind::MobileNumber => ("手机号码", "a mobile number"),
            FindingKind::BankCard => ("银行卡号", "a bank card number"),
        };
        Refusal::new("text/personal-number", format!("文本中含有{zh}"), format!("the text holds {en}"))
            .at(format!("{place}, character {}", finding.at()))
            .hint("请删去该号码", "take the number out")
    });
    Refused::unless(reasons.collect(), ())
}

/// A group key as it may leave: NULL where it holds such a number.
pub(crate) fn key(literal: &Literal) -> &Literal {
    let held = match literal {
        Literal::Text(text) => !personal_data(text).is_empty(),
        Literal::Int(number) => !personal_data(&number.to_string()).is_empty(),
        Literal::Null | Literal::Bool(_) | Literal::Float(_) | Literal::Date(_) => false,
    };
    if held { &Literal::Null } else { literal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_modules_are_found_however_they_are_written() {
        let plain = b"\0asm....13812345678....".to_vec();
        let wide: Vec<u8> = "13812345678".bytes().flat_map(|b| [b, 0]).collect();
        for before in 0..3 {
            let bytes = [vec![0xff; before], wide.clone()].concat();
            assert!(module("m", &bytes).is_err(), "{before}");
        }
        let refused = module("m", &plain).unwrap_err();
        assert_eq!(refused.codes(), ["text/personal-number"]);
        assert!(!refused.to_string().contains("13812345678"));
        assert!(module("m", b"\0asm 1381234567 2.718281828").is_ok());
    }

    #[test]
    fn keys_that_are_numbers_of_persons_do_not_leave() {
        let text = |t: &str| Literal::Text(t.to_owned());
        assert_eq!(key(&text("昆明")), &text("昆明"));
        assert_eq!(key(&text("电话 138-1234-5678")), &Literal::Null);
        assert_eq!(key(&Literal::Int(13_812_345_678)), &Literal::Null);
        assert_eq!(key(&Literal::Int(42)), &Literal::Int(42));
    }
}
