//! Uniform integers from ChaCha20, seeded by the operating system.

use std::fmt;

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use super::MechanismError;

/// The generator of one release. It is never kept for the next one: a copy of the process would draw the same.
/// What it holds is overwritten when it is dropped.
pub struct Generator(ChaCha20Rng);

// From its state all noise follows.
impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator(..)")
    }
}

impl Generator {
    /// One that nobody can foresee.
    pub fn fresh() -> Result<Self, MechanismError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|_| MechanismError::NoRandomness)?;
        Ok(Self(ChaCha20Rng::from_seed(*seed)))
    }

    /// One for tests, which repeats itself.
    #[cfg(test)]
    pub fn repeating(seed: u8) -> Self {
        Self(ChaCha20Rng::from_seed([seed; 32]))
    }

    /// An integer from 0 to `bound` − 1, all equally likely. The bound is at least 1.
    pub fn below(&mut self, bound: u128) -> u128 {
        let most = bound.saturating_sub(1);
        let Some(mask) = u128::MAX.checked_shr(most.leading_zeros()) else { return 0 };
        // A remainder would favour small numbers; drawing again favours none, and ends after two draws on average.
        loop {
            let drawn = mask & self.bits(128 - most.leading_zeros());
            if drawn <= most {
                return drawn;
            }
        }
    }

    /// At least so many random bits.
    fn bits(&mut self, count: u32) -> u128 {
        match count {
            0..=32 => u128::from(self.0.next_u32()),
            33..=64 => u128::from(self.0.next_u64()),
            _ => u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chi_squared::assert_fits;
    use super::*;

    #[test]
    fn integers_are_uniform_below_their_bound() {
        let mut generator = Generator::repeating(1);
        for bound in [1_u128, 2, 3, 7, 64, 65, 100] {
            let draws: Vec<_> = (0..100_000).map(|_| generator.below(bound) as i64).collect();
            if bound > 1 {
                assert_fits(&draws, 0, &vec![1.0; bound as usize]);
            }
            assert!(draws.iter().all(|draw| u128::from(draw.unsigned_abs()) < bound));
        }
        for bound in [1 << 32, (1 << 32) + 1, 3 << 63, u128::MAX] {
            // The upper half comes up as often as the lower.
            let halves: Vec<_> = (0..100_000)
                .map(|_| generator.below(bound))
                .inspect(|drawn| assert!(*drawn < bound))
                .map(|drawn| i64::from(drawn >= bound / 2))
                .collect();
            assert_fits(&halves, 0, &[1.0, 1.0]);
        }
    }

    #[test]
    fn two_generators_differ_and_neither_shows_its_state() {
        let (mut one, mut other) = (Generator::fresh().unwrap(), Generator::fresh().unwrap());
        assert_ne!(one.below(u128::MAX), other.below(u128::MAX));
        assert_eq!(format!("{one:?}"), "Generator(..)");
    }
}
