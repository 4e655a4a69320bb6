//! Randomised response (Warner 1965): a choice between two is told truly or turned round, by a coin.

use super::MechanismError;
use super::generator::Generator;
use crate::accountant::Rho;

/// Each choice is told truly with a probability that is a fraction above 1/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomisedResponse {
    numerator: u32,
    denominator: u32,
}

impl RandomisedResponse {
    /// True answers with probability `numerator` / `denominator`.
    ///
    /// # Errors
    /// It is not above 1/2, which would say nothing, or not below 1, which would hide nothing.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self, MechanismError> {
        if numerator < denominator && u64::from(numerator) * 2 > u64::from(denominator) {
            Ok(Self { numerator, denominator })
        } else {
            Err(MechanismError::Truth(numerator, denominator))
        }
    }

    /// The choices as they are told, each by a fresh coin.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn tell(&self, choices: &[bool]) -> Result<Vec<bool>, MechanismError> {
        let mut generator = Generator::fresh()?;
        Ok(choices.iter().map(|choice| self.tell_one(*choice, &mut generator)).collect())
    }

    /// ε of one choice: ln(p / (1 − p)).
    pub fn epsilon(&self) -> f64 {
        let lies = f64::from(self.denominator - self.numerator);
        // Two roundings and that of the logarithm.
        libm::log(f64::from(self.numerator) / lies) * (1.0 + 4.0 * f64::EPSILON)
    }

    /// The cost of `count` choices of one person: ε²/2 each (Bun and Steinke 2016, Proposition 1.4).
    pub fn cost(&self, count: u32) -> Option<Rho> {
        Rho::new((f64::from(count) * self.epsilon().powi(2) / 2.0).next_up())
    }

    fn tell_one(&self, choice: bool, generator: &mut Generator) -> bool {
        choice == generator.chance(self.numerator.into(), self.denominator.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::chi_squared::assert_fits;
    use super::*;

    #[test]
    fn either_choice_is_told_truly_as_often_as_said() {
        let mut generator = Generator::repeating(6);
        let response = RandomisedResponse::new(3, 4).unwrap();
        for choice in [false, true] {
            let told = (0..200_000).map(|_| response.tell_one(choice, &mut generator) == choice);
            assert_fits(&told.map(i64::from).collect::<Vec<_>>(), 0, &[0.25, 0.75]);
        }
    }

    #[test]
    fn probabilities_that_say_nothing_or_everything_are_refused() {
        for (n, d) in [(1, 2), (0, 0), (1, 1), (5, 4), (1, 3), (u32::MAX, u32::MAX)] {
            assert_eq!(RandomisedResponse::new(n, d), Err(MechanismError::Truth(n, d)));
        }
    }

    #[test]
    fn a_cost_is_what_the_definition_says() {
        let response = RandomisedResponse::new(3, 4).unwrap();
        assert!((response.epsilon() - 3_f64.ln()).abs() < 1e-12);
        assert!((response.cost(2).unwrap().get() - 3_f64.ln().powi(2)).abs() < 1e-12);
    }
}
