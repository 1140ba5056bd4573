//! Exact discrete Gaussian and Laplace noise (Canonne, Kamath & Steinke 2020), one independent stream per number.

use super::Seed;
use crate::clear::{Noise, Sigma};
use crate::keys::Ordered;
use prio::dp::Rational;
use prio::dp::distributions::{DiscreteGaussian, DiscreteLaplace};
use rand::distr::Distribution;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The sampler of one measure.
pub(crate) enum Sampler {
    Gaussian(DiscreteGaussian),
    Laplace(DiscreteLaplace),
}

impl Sampler {
    /// Nothing where the parameter is not a number that the sampler takes; a cleared measure's always is.
    pub(crate) fn new(noise: Noise) -> Option<Self> {
        let rational = |x: Sigma| Rational::from_unsigned(x.numerator, x.denominator).ok();
        match noise {
            Noise::Gaussian(sigma) => DiscreteGaussian::new(rational(sigma)?).ok().map(Self::Gaussian),
            Noise::Laplace(scale) => DiscreteLaplace::new(rational(scale)?).ok().map(Self::Laplace),
        }
    }

    /// One draw from `rng`; nothing where it does not fit, which has no probability to speak of.
    pub(crate) fn draw(&self, rng: &mut ChaCha20Rng) -> Option<i128> {
        match self {
            Self::Gaussian(gaussian) => i128::try_from(gaussian.sample(rng)).ok(),
            Self::Laplace(laplace) => i128::try_from(laplace.sample(rng)).ok(),
        }
    }
}

/// The stream for one number: ChaCha20 keyed by SHA-256 of (purpose, seed, leaf, measure, key). It depends on nothing
/// else, so that neither the order of cells nor which others there are can change a number's noise.
pub(crate) fn stream(seed: &Seed, leaf: u32, measure: usize, key: &[Ordered]) -> ChaCha20Rng {
    let mut bytes = Vec::with_capacity(64);
    key.iter().for_each(|part| part.encode(&mut bytes));
    let mut hash = Sha256::new();
    hash.update(b"yunei noise v1\0");
    hash.update(seed.0);
    hash.update(leaf.to_le_bytes());
    hash.update((measure as u64).to_le_bytes());
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(&bytes);
    ChaCha20Rng::from_seed(hash.finalize().into())
}
