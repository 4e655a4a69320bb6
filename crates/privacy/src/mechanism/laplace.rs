//! The discrete Laplace distribution (Canonne, Kamath and Steinke 2020, Algorithm 2).

use super::generator::Generator;
use super::{MechanismError, add};
use crate::accountant::Rho;

/// Noise whose weight at x is exp(−|x| / scale), in grid steps. The scale is a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscreteLaplace {
    numerator: u32,
    denominator: u32,
}

impl DiscreteLaplace {
    /// Noise of scale `numerator` / `denominator`.
    ///
    /// # Errors
    /// The scale is no positive fraction.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, MechanismError> {
        if numerator == 0 || denominator == 0 {
            return Err(MechanismError::Scale(numerator, denominator));
        }
        Ok(Self { numerator, denominator })
    }

    /// Adds fresh noise to each value.
    ///
    /// # Errors
    /// The operating system gives no randomness, or a sum is outside the range.
    pub fn add(&self, values: &[i64]) -> Result<Vec<i64>, MechanismError> {
        add(values, |generator| self.draw(generator))
    }

    /// ε of values of which one person can move up to `count`, each by at most `span` steps.
    pub fn epsilon(&self, span: u64, count: u32) -> f64 {
        let moved = span as f64 * f64::from(count);
        (moved * f64::from(self.denominator) / f64::from(self.numerator)).next_up()
    }

    /// The same as a cost: pure ε is ε²/2 in zCDP (Bun and Steinke 2016, Proposition 1.4).
    pub fn cost(&self, span: u64, count: u32) -> Option<Rho> {
        Rho::new((self.epsilon(span, count).powi(2) / 2.0).next_up())
    }

    fn draw(&self, generator: &mut Generator) -> Option<i64> {
        generator.laplace(self.numerator.into(), self.denominator.into())
    }
}

impl Generator {
    /// Discrete Laplace noise of scale t/s; none beyond 64 bits.
    pub fn laplace(&mut self, t: u128, s: u128) -> Option<i64> {
        loop {
            let within = self.below(t);
            if !self.chance_exp(within, t) {
                continue;
            }
            let mut whole: u128 = 0;
            while self.chance_exp(1, 1) {
                whole += 1;
            }
            let size = t.checked_mul(whole)?.checked_add(within)? / s;
            let negative = self.chance(1, 2);
            // Zero has no sign: one of its two ways is drawn again.
            if !(negative && size == 0) {
                let size = i64::try_from(size).ok()?;
                return Some(if negative { -size } else { size });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chi_squared::assert_fits;
    use super::*;

    #[test]
    fn noise_is_distributed_as_it_says() {
        let mut generator = Generator::repeating(3);
        for (n, d) in [(1, 1), (1, 3), (5, 2), (20, 1)] {
            let noise = DiscreteLaplace::new(n, d).unwrap();
            let draws: Vec<_> = (0..200_000).map(|_| noise.draw(&mut generator).unwrap()).collect();
            let weight = |x: i64| (-(x.abs() as f64) * f64::from(d) / f64::from(n)).exp();
            assert_fits(&draws, -1000, &(-1000..=1000).map(weight).collect::<Vec<_>>());
        }
    }

    #[test]
    fn scales_that_are_none_are_refused() {
        assert_eq!(DiscreteLaplace::new(0, 1), Err(MechanismError::Scale(0, 1)));
        assert_eq!(DiscreteLaplace::new(1, 0), Err(MechanismError::Scale(1, 0)));
    }

    #[test]
    fn a_cost_is_what_the_definition_says() {
        let noise = DiscreteLaplace::new(8, 1).unwrap();
        assert!((noise.epsilon(4, 3) - 1.5).abs() < 1e-12);
        assert!((noise.cost(4, 3).unwrap().get() - 1.125).abs() < 1e-12);
    }

    #[test]
    fn a_sum_out_of_range_is_refused() {
        let noise = DiscreteLaplace::new(u32::MAX, 1).unwrap();
        let edge = [i64::MAX; 100];
        assert_eq!(noise.add(&edge), Err(MechanismError::Overflow));
    }
}
