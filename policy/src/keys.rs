//! The order and the bytes of key values: one canonical form for grids, noise and comparison.

use crate::facts::Literal;

/// A literal with a total order: NULL, truth values, integers, numbers, dates, texts. -0.0 is 0.0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ordered {
    Null,
    Bool(bool),
    Int(i64),
    /// Bits mapped so that their order is that of the numbers.
    Float(u64),
    Date(i32),
    Text(String),
}

impl Ordered {
    pub(crate) fn of(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(b) => Self::Bool(*b),
            Literal::Int(i) => Self::Int(*i),
            Literal::Float(x) => {
                let bits = if *x == 0.0 { 0 } else { x.to_bits() };
                Self::Float(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
            }
            Literal::Date(d) => Self::Date(*d),
            Literal::Text(s) => Self::Text(s.clone()),
        }
    }

    /// The literal again.
    pub(crate) fn to_literal(&self) -> Literal {
        match self {
            Self::Null => Literal::Null,
            Self::Bool(b) => Literal::Bool(*b),
            Self::Int(i) => Literal::Int(*i),
            Self::Float(bits) => {
                Literal::Float(f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits }))
            }
            Self::Date(d) => Literal::Date(*d),
            Self::Text(s) => Literal::Text(s.clone()),
        }
    }

    /// Appends an injective encoding: a tag, and a length before texts.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Null => into.push(0),
            Self::Bool(b) => into.extend([1, u8::from(*b)]),
            Self::Int(i) => {
                into.push(2);
                into.extend(i.to_le_bytes());
            }
            Self::Float(bits) => {
                into.push(3);
                into.extend(bits.to_le_bytes());
            }
            Self::Date(d) => {
                into.push(4);
                into.extend(d.to_le_bytes());
            }
            Self::Text(s) => {
                into.push(5);
                into.extend((s.len() as u64).to_le_bytes());
                into.extend(s.as_bytes());
            }
        }
    }
}

/// The canonical form of a cell's key.
pub(crate) fn ordered(key: &[Literal]) -> Vec<Ordered> {
    key.iter().map(Ordered::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_their_order_and_zero_is_one_value() {
        let of = |x| Ordered::of(&Literal::Float(x));
        assert!(of(-2.0) < of(-1.0) && of(-1.0) < of(0.0) && of(0.0) < of(1e-300) && of(1.0) < of(2.0));
        assert_eq!(of(0.0), of(-0.0));
        for x in [-2.5, 0.0, 1e-300, 7.0] {
            assert_eq!(of(x).to_literal(), Literal::Float(x));
        }
    }

    #[test]
    fn encodings_of_different_keys_differ() {
        let bytes = |key: &[Literal]| {
            let mut out = Vec::new();
            ordered(key).iter().for_each(|o| o.encode(&mut out));
            out
        };
        let t = |s: &str| Literal::Text(s.into());
        assert_ne!(bytes(&[t("ab"), t("c")]), bytes(&[t("a"), t("bc")]));
        assert_ne!(bytes(&[Literal::Int(1)]), bytes(&[Literal::Float(1.0)]));
        assert_ne!(bytes(&[Literal::Null, t("")]), bytes(&[t(""), Literal::Null]));
    }
}
