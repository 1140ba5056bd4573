//! Random draws that belong to one row.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Whose rows are drawn: each table has its own key, so that equal indices share nothing.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Resident = 1,
    Meter = 2,
    Enterprise = 3,
}

/// The draws of one row: ChaCha8 keyed by seed and table, with the row's index as its stream.
///
/// The integer draws are the same on every machine; what passes through [`Draw::lognormal`] rests on the
/// platform's `exp` and may differ in the last unit between platforms, never on one.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn new(of: Of, seed: u64, index: u64) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = of as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        Self(rng)
    }

    /// A number below `n`, by multiply and shift; the bias of at most n/2³² is of no matter here.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(n);
        u32::try_from(wide >> 32).expect("a product of two u32, shifted by 32, is a u32")
    }

    /// True once in `n` times on the average, `times` over.
    pub(super) fn chance(&mut self, times: u32, n: u32) -> bool {
        self.below(n) < times
    }

    /// A number in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// About a standard normal: eight uniform numbers of 16 bits, summed and scaled (Irwin–Hall), so within ±4.9.
    pub(super) fn normal(&mut self) -> f64 {
        let mut sum = 0_u32;
        for _ in 0..4 {
            let word = self.0.next_u32();
            sum += (word & 0xffff) + (word >> 16);
        }
        // Mean 4, variance 8/12 in units of 2^16.
        (f64::from(sum) / 65_536.0 - 4.0) / (8.0_f64 / 12.0).sqrt()
    }

    /// A factor around 1 (its median) with standard deviation `sigma` of the logarithm.
    pub(super) fn lognormal(&mut self, sigma: f64) -> f64 {
        (self.normal() * sigma).exp()
    }

    /// One item of `items`, as often as its weight says. `items` is not empty and no weight sum passes u32.
    pub(super) fn weighted<'a, T>(&mut self, items: &'a [T], weight: impl Fn(&T) -> u32) -> &'a T {
        let total = items.iter().map(&weight).sum();
        let mut left = self.below(total);
        for item in items {
            match left.checked_sub(weight(item)) {
                Some(rest) => left = rest,
                None => return item,
            }
        }
        unreachable!("a draw below the sum of the weights falls on an item")
    }
}
