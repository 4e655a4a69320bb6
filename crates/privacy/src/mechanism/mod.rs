//! Noise, drawn exactly: clipped rewards on an integer grid, the discrete Gaussian and the discrete Laplace
//! distribution, and randomised response.
//!
//! Floating-point noise leaks through its rounding (Mironov 2012, <https://doi.org/10.1145/2382196.2382264>). Here
//! rewards are whole steps of a [`Grid`] before noise touches them, and noise is drawn in integers by the samplers of
//! Canonne, Kamath and Steinke 2020 (<https://arxiv.org/abs/2004.00010>): its distribution is the stated one, not one
//! near it. How long a draw takes depends on what is drawn; who can time the process to the microsecond is not
//! kept out.
//!
//! Each call draws from a generator of its own, seeded by the operating system, so a process that was forked or
//! restored from a snapshot between two calls does not repeat noise.

mod bernoulli;
mod gaussian;
mod generator;
mod grid;
mod laplace;
mod response;

pub use gaussian::{DiscreteGaussian, MAX_VARIANCE};
pub use grid::{Clipped, Grid, MAX_STEPS_A_UNIT};
pub use laplace::DiscreteLaplace;
pub use response::RandomisedResponse;

use generator::Generator;
use thiserror::Error;

/// Why no noise was added. Places are named, never values.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MechanismError {
    /// A reward that is no number.
    #[error("reward {0} (counted from 0) is not a finite number")]
    NotFinite(usize),
    /// Bounds that bound nothing.
    #[error(
        "the bounds of rewards must be finite, the lower below the upper, and both whole steps of the grid"
    )]
    Bounds,
    /// Too fine a grid, or none.
    #[error("the grid must have from 1 to {MAX_STEPS_A_UNIT} steps a unit, and has {0}")]
    Grid(u32),
    /// No noise, or more than can be computed with.
    #[error("the variance must be from 1 to {MAX_VARIANCE} squared grid steps, and is {0}")]
    Variance(u64),
    /// A scale that is no positive number.
    #[error("the scale must be a positive fraction, and is {0}/{1}")]
    Scale(u32, u32),
    /// Answers that say nothing, or everything.
    #[error("the probability of a true answer must be above 1/2 and below 1, and is {0}/{1}")]
    Truth(u32, u32),
    /// The operating system has failed.
    #[error("the operating system gave no randomness")]
    NoRandomness,
    /// Noise beyond all expectation, or a value at the edge.
    #[error("a value with its noise is outside the range of 64-bit integers")]
    Overflow,
}

/// Adds noise to each value, all of it from one fresh generator.
fn add(
    values: &[i64],
    mut draw: impl FnMut(&mut Generator) -> Option<i64>,
) -> Result<Vec<i64>, MechanismError> {
    let mut generator = Generator::fresh()?;
    let noised = |value: &i64| draw(&mut generator).and_then(|noise| value.checked_add(noise));
    values.iter().map(noised).map(|sum| sum.ok_or(MechanismError::Overflow)).collect()
}

#[cfg(test)]
mod chi_squared {
    /// Pearson's statistic of draws against weights of the values from `low` upwards, and its degrees of freedom.
    /// Values expected fewer than ten times are left out of both.
    pub fn statistic(draws: &[i64], low: i64, weights: &[f64]) -> (f64, usize) {
        let total: f64 = weights.iter().sum();
        let mut counts = vec![0_u32; weights.len()];
        for draw in draws {
            let at = usize::try_from(draw - low).ok();
            *at.and_then(|at| counts.get_mut(at)).expect("a value that has no weight") += 1;
        }
        let expected = |weight: &f64| weight / total * draws.len() as f64;
        let terms: Vec<f64> = (weights.iter().map(expected).zip(counts))
            .filter(|(expected, _)| *expected >= 10.0)
            .map(|(expected, count)| (f64::from(count) - expected).powi(2) / expected)
            .collect();
        (terms.iter().sum(), terms.len() - 1)
    }

    /// Six standard deviations of the statistic: far beyond p = 1e-6 for so many degrees of freedom or more.
    pub fn assert_fits(draws: &[i64], low: i64, weights: &[f64]) {
        let (statistic, freedom) = statistic(draws, low, weights);
        let most = freedom as f64 + 6.0 * (2.0 * freedom as f64).sqrt();
        assert!(statistic < most, "{statistic} with {freedom} degrees of freedom");
    }
}
