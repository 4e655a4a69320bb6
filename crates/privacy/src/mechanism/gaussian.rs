//! The discrete Gaussian distribution (Canonne, Kamath and Steinke 2020, Algorithm 3).

use super::generator::Generator;
use super::{MechanismError, add};
use crate::accountant::Rho;

/// The largest variance: noise more than 16,000 standard deviations out would be the first that 128 bits cannot hold.
pub const MAX_VARIANCE: u64 = 1 << 50;

/// Noise whose weight at x is exp(−x² / 2σ²), in grid steps. σ² is an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteGaussian {
    variance: u64,
}

impl DiscreteGaussian {
    /// Noise with the parameter σ², in squared grid steps.
    ///
    /// # Errors
    /// It is 0 or above [`MAX_VARIANCE`].
    pub fn new(variance: u64) -> Result<Self, MechanismError> {
        if (1..=MAX_VARIANCE).contains(&variance) {
            Ok(Self { variance })
        } else {
            Err(MechanismError::Variance(variance))
        }
    }

    /// σ².
    pub fn variance(&self) -> u64 {
        self.variance
    }

    /// Adds fresh noise to each value.
    ///
    /// # Errors
    /// The operating system gives no randomness, or a sum is outside the range.
    pub fn add(&self, values: &[i64]) -> Result<Vec<i64>, MechanismError> {
        add(values, |generator| self.draw(generator))
    }

    /// The cost of values of which one person can move up to `count`, each by at most `span` steps: Δ₂²/2σ² with
    /// Δ₂² = span² · count (Theorem 4), rounded upwards.
    pub fn cost(&self, span: u64, count: u32) -> Option<Rho> {
        let moved = (span as f64).powi(2) * f64::from(count);
        Rho::new((moved / (2.0 * self.variance as f64)).next_up())
    }

    fn draw(&self, generator: &mut Generator) -> Option<i64> {
        let variance = u128::from(self.variance);
        let t = variance.isqrt() + 1;
        loop {
            let proposed = generator.laplace(t, 1)?;
            // Accepted with probability exp(−(|y| − σ²/t)² / 2σ²); both sides of the fraction times t².
            let distance = u128::from(proposed.unsigned_abs()).checked_mul(t)?.abs_diff(variance);
            let numerator = distance.checked_mul(distance)?;
            let denominator = t.checked_mul(t)?.checked_mul(variance.checked_mul(2)?)?;
            if generator.chance_exp(numerator, denominator) {
                return Some(proposed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chi_squared::assert_fits;
    use super::*;

    fn draws(variance: u64, count: usize, generator: &mut Generator) -> Vec<i64> {
        let noise = DiscreteGaussian::new(variance).unwrap();
        (0..count).map(|_| noise.draw(generator).unwrap()).collect()
    }

    #[test]
    fn noise_is_distributed_as_it_says() {
        let mut generator = Generator::repeating(4);
        for variance in [1, 2, 9, 10, 1000] {
            let weight = |x: i64| (-((x * x) as f64) / (2.0 * variance as f64)).exp();
            let weights: Vec<_> = (-1000..=1000).map(weight).collect();
            assert_fits(&draws(variance, 200_000, &mut generator), -1000, &weights);
        }
    }

    #[test]
    fn the_largest_noise_has_its_variance() {
        let draws = draws(MAX_VARIANCE, 20_000, &mut Generator::repeating(5));
        let squares = draws.iter().map(|draw| (*draw as f64).powi(2));
        let variance = squares.sum::<f64>() / draws.len() as f64 / MAX_VARIANCE as f64;
        // Six standard errors, which are √(2/n).
        assert!((variance - 1.0).abs() < 0.06, "{variance}");
    }

    #[test]
    fn variances_that_are_none_are_refused() {
        for variance in [0, MAX_VARIANCE + 1, u64::MAX] {
            assert_eq!(DiscreteGaussian::new(variance), Err(MechanismError::Variance(variance)));
        }
    }

    #[test]
    fn a_cost_is_what_the_definition_says() {
        let noise = DiscreteGaussian::new(800).unwrap();
        assert!((noise.cost(4, 100).unwrap().get() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn each_call_draws_anew() {
        let noise = DiscreteGaussian::new(MAX_VARIANCE).unwrap();
        assert_ne!(noise.add(&[0; 8]).unwrap(), noise.add(&[0; 8]).unwrap());
    }
}
