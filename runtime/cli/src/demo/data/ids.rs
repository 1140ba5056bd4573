//! Identity numbers: GB 11643-1999 for natural persons, GB 32100-2015 for legal persons.

/// Eighteen characters, upper-case letters and digits, made by this module alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Code18([u8; 18]);

impl Code18 {
    /// The code as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII letters and digits")
    }
}

/// What a citizen identity number is made of.
pub(super) struct Citizen {
    /// A county-level division code, six digits (GB/T 2260).
    pub(super) region: u32,
    pub(super) year: u32,
    /// 1..=12
    pub(super) month: u32,
    /// 1..=31
    pub(super) day: u32,
    /// 0..=999, odd for men, even for women.
    pub(super) sequence: u32,
}

/// Weights of GB 11643-1999: 2^(18-i) mod 11 for the places 1..=17.
const CITIZEN_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check character for each remainder mod 11 (ISO 7064 MOD 11-2).
const CITIZEN_CHECK: [u8; 11] = *b"10X98765432";

/// The identity number, with its check character.
pub(super) fn citizen(of: &Citizen) -> Code18 {
    let mut code = [b'0'; 18];
    digits(&mut code[0..6], of.region);
    digits(&mut code[6..10], of.year);
    digits(&mut code[10..12], of.month);
    digits(&mut code[12..14], of.day);
    digits(&mut code[14..17], of.sequence);
    let sum: u32 = code[..17].iter().zip(CITIZEN_WEIGHTS).map(|(c, w)| u32::from(c - b'0') * w).sum();
    code[17] = CITIZEN_CHECK[(sum % 11) as usize];
    Code18(code)
}

/// The alphabet of GB 32100-2015: digits and letters without I, O, S, V, Z; a character's value is its place.
const CREDIT_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// Weights of GB 32100-2015: 3^(i-1) mod 31 for the places 1..=17.
const CREDIT_WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
/// Weights of GB 11714-1997, the organisation code inside (places 9 to 17).
const ORGANISATION_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];

/// The codes there are under the prefix `MA6`: five characters of [`CREDIT_ALPHABET`].
pub(super) const ORGANISATIONS: u64 = 31 * 31 * 31 * 31 * 31;

/// The unified social credit code of an enterprise (`91…`) of `region` whose organisation code is `MA6` and the
/// five characters that spell `organisation`, below [`ORGANISATIONS`], in base 31.
pub(super) fn enterprise(region: u32, organisation: u64) -> Code18 {
    let mut code = *b"91000000MA60000000";
    digits(&mut code[2..8], region);
    let mut rest = organisation;
    for place in code[11..16].iter_mut().rev() {
        *place = CREDIT_ALPHABET[(rest % 31) as usize];
        rest /= 31;
    }
    code[16] = organisation_check(&code[8..16]);
    let sum: u32 = code[..17].iter().zip(CREDIT_WEIGHTS).map(|(&c, w)| credit_value(c) * w).sum();
    code[17] = CREDIT_ALPHABET[((31 - sum % 31) % 31) as usize];
    Code18(code)
}

/// GB 11714-1997: 11 less the weighted sum mod 11; ten is written X and eleven 0. Letters count from A = 10.
fn organisation_check(body: &[u8]) -> u8 {
    let value = |c: u8| u32::from(if c.is_ascii_digit() { c - b'0' } else { c - b'A' + 10 });
    let sum: u32 = body.iter().zip(ORGANISATION_WEIGHTS).map(|(&c, w)| value(c) * w).sum();
    match 11 - sum % 11 {
        10 => b'X',
        11 => b'0',
        digit => b'0' + u8::try_from(digit).expect("at most 9 here"),
    }
}

fn credit_value(c: u8) -> u32 {
    let place = CREDIT_ALPHABET.iter().position(|&a| a == c);
    u32::try_from(place.expect("made of this alphabet")).expect("below 31")
}

/// Writes `number` in decimal, right-aligned, over all of `place`.
fn digits(place: &mut [u8], number: u32) {
    let mut rest = number;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
}

/// A permutation of `0..size`, `i ↦ (step · i + shift) mod size`: one-to-one because `step` and `size` have no
/// common factor. It spreads neighbouring indices over the whole range, so that any prefix of the rows is a fair
/// sample of it.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    size: u64,
    step: u64,
}

impl Spread {
    /// # Panics
    /// At compile time, where it is used: when the step is not coprime to the size or a product could overflow.
    pub(super) const fn new(size: u64, step: u64) -> Self {
        assert!(size > 0 && size < 1 << 31 && step < size && coprime(size, step));
        Self { size, step }
    }

    /// Where `index` lies in the permutation of `seed`. One-to-one for indices below the size.
    pub(super) fn at(self, seed: u64, index: u64) -> u64 {
        ((index % self.size) * self.step + seed % self.size) % self.size
    }
}

const fn coprime(a: u64, b: u64) -> bool {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}
