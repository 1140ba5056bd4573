//! Every string of the demo's data that must never leave, and a fast way to look for all of them at once.

use std::collections::HashSet;

use super::{Sizes, enterprise, resident};

/// What kind of string was found where it must not be: enough to say in a failing test, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// A citizen identity number.
    IdNumber,
    /// The name of a resident.
    ResidentName,
    /// A unified social credit code.
    CreditCode,
    /// The name of an enterprise.
    EnterpriseName,
}

/// Every identity number, name and credit code in the tables that `seed` makes, made as they are asked for.
/// Names come as often as there are people who bear them.
pub(crate) fn forbidden_strings(seed: u64, sizes: Sizes) -> impl Iterator<Item = (Forbidden, String)> {
    let people = (0..sizes.residents()).flat_map(move |index| {
        let row = resident(seed, index);
        [(Forbidden::IdNumber, row.id_number.as_str().to_owned()), (Forbidden::ResidentName, row.name)]
    });
    let firms = (0..sizes.enterprises()).flat_map(move |index| {
        let row = enterprise(seed, index);
        [(Forbidden::CreditCode, row.credit_code.as_str().to_owned()), (Forbidden::EnterpriseName, row.name)]
    });
    people.chain(firms)
}

/// Strings to look for, by length: a text is searched by asking, at each byte where one of them could begin,
/// whether the window of that length is in the set. One pass, however many strings there are.
pub(crate) struct Needles {
    by_length: Vec<(usize, HashSet<Box<[u8]>>)>,
    /// For each byte, the places in `by_length` of the lengths of strings that begin with it.
    begins: Box<[Vec<usize>; 256]>,
}

impl Needles {
    /// The strings to look for. Empty ones are left out: they are everywhere.
    pub(crate) fn new<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Self {
        let mut by_length: Vec<(usize, HashSet<Box<[u8]>>)> = Vec::new();
        let mut begins = Box::new([const { Vec::new() }; 256]);
        for string in strings {
            let string = string.as_ref();
            let Some(&first) = string.first() else { continue };
            let known = by_length.iter().position(|(length, _)| *length == string.len());
            let place = known.unwrap_or_else(|| {
                by_length.push((string.len(), HashSet::new()));
                by_length.len() - 1
            });
            by_length[place].1.insert(string.into());
            let places: &mut Vec<usize> = &mut begins[usize::from(first)];
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Self { by_length, begins }
    }

    /// How many different strings there are.
    pub(crate) fn len(&self) -> usize {
        self.by_length.iter().map(|(_, set)| set.len()).sum()
    }

    /// Where the first of the strings begins in `haystack`, and how many bytes it has; never the string itself.
    pub(crate) fn find(&self, haystack: &[u8]) -> Option<(usize, usize)> {
        haystack.iter().enumerate().find_map(|(at, &byte)| {
            self.begins[usize::from(byte)].iter().find_map(|&place| {
                let (length, set) = &self.by_length[place];
                let window = haystack.get(at..at + length)?;
                set.contains(window).then_some((at, *length))
            })
        })
    }

    /// Whether any of the strings occurs in `haystack`, which may be any bytes.
    pub(crate) fn contains_any(&self, haystack: &[u8]) -> bool {
        self.find(haystack).is_some()
    }
}
