//! What noise costs: from noise, sampling rate and steps to (ε, δ), by several accountants.
//!
//! Each of them states an upper bound; they differ in what they can account for and how tightly.
//!
//! | accountant | for | bound |
//! |---|---|---|
//! | `gaussian` | Gaussian noise, everybody in every step | exact |
//! | `zcdp` | the same, and the discrete Gaussian | at most some per cent above |
//! | `rdp` | Gaussian noise, each step over a random sample | some ten per cent above |
//! | `pld` | the same | exact but for a rounding upwards |
//!
//! Under sampling, neighbours are data sets where one person's record is there or is not ("add or remove one"), and
//! each step takes every record with probability q, independently (Poisson sampling). Other ways of drawing batches,
//! like shuffling, are not covered by these figures.

mod gaussian;
mod log_math;
mod pld;
mod rdp;
mod root;
mod zcdp;

pub use zcdp::Rho;

use thiserror::Error;

/// Steps of the sampled Gaussian mechanism, as DP-SGD takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    /// The noise's standard deviation, in sensitivities.
    noise_multiplier: f64,
    /// The probability with which a record takes part in a step.
    rate: f64,
    /// How many steps.
    count: u32,
}

/// Steps that no accountant can answer for.
#[derive(Debug, Error, PartialEq)]
pub enum StepsError {
    /// No noise, or none that can be computed with.
    #[error("the noise multiplier must be from {LEAST_NOISE} to {MOST_NOISE}, and is {0}")]
    NoiseMultiplier(f64),
    /// Not a probability.
    #[error("the sampling rate must be above 0 and at most 1, and is {0}")]
    Rate(f64),
    /// None, or more than are accounted for.
    #[error("the number of steps must be from 1 to {MAX_STEPS}, and is {0}")]
    Count(u32),
    /// Not a probability of failure that can be computed with.
    #[error("delta must be at least 1e-10 and below 1, and is {0}")]
    Delta(f64),
    /// No privacy can be asked for by this number.
    #[error("epsilon must be above 0 and at most 10,000, and is {0}")]
    Epsilon(f64),
    /// Even the most noise is too little.
    #[error("no noise multiplier up to {0} is enough")]
    OutOfReach(f64),
}

/// The most steps accounted for.
pub const MAX_STEPS: u32 = 10_000_000;

const LEAST_NOISE: f64 = 0.05;
const MOST_NOISE: f64 = 1e6;

impl Steps {
    /// Refuses what is out of range or not a number.
    pub fn new(noise_multiplier: f64, rate: f64, count: u32) -> Result<Self, StepsError> {
        if !(LEAST_NOISE..=MOST_NOISE).contains(&noise_multiplier) {
            return Err(StepsError::NoiseMultiplier(noise_multiplier));
        }
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(StepsError::Rate(rate));
        }
        if !(1..=MAX_STEPS).contains(&count) {
            return Err(StepsError::Count(count));
        }
        Ok(Self { noise_multiplier, rate, count })
    }

    /// Whether everybody takes part in every step.
    fn everybody(&self) -> bool {
        self.rate == 1.0
    }
}

/// The probability with which the bound ε may fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delta(f64);

impl Delta {
    /// Refuses what double precision cannot account for, and what promises nothing.
    pub fn new(delta: f64) -> Result<Self, StepsError> {
        if (1e-10..1.0).contains(&delta) { Ok(Self(delta)) } else { Err(StepsError::Delta(delta)) }
    }

    /// The probability.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// An accountant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accountant {
    /// The exact curve of Gaussian noise.
    Gaussian,
    /// Zero-concentrated differential privacy.
    Zcdp,
    /// Rényi differential privacy.
    Rdp,
    /// Privacy loss distributions.
    Pld,
}

impl Accountant {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Zcdp => "zcdp",
            Self::Rdp => "rdp",
            Self::Pld => "pld",
        }
    }

    /// What it gives, in a few words.
    pub fn subject(self) -> &'static str {
        match self {
            Self::Gaussian => "exact, without sampling",
            Self::Zcdp => "upper bound, without sampling; also of discrete noise",
            Self::Rdp => "upper bound",
            Self::Pld => "exact but for a rounding upwards",
        }
    }

    /// ε, where this accountant covers such steps.
    pub fn epsilon(self, steps: &Steps, delta: Delta) -> Option<f64> {
        match self {
            Self::Gaussian => gaussian::epsilon(steps, delta),
            Self::Zcdp => zcdp::Rho::of(steps).map(|rho| rho.epsilon(delta)),
            Self::Rdp => Some(rdp::epsilon(steps, delta)),
            // Without sampling the losses are distributed normally, which is the exact curve.
            Self::Pld if steps.everybody() => gaussian::epsilon(steps, delta),
            Self::Pld => pld::epsilon(steps, delta),
        }
    }
}

/// All accountants, in the order in which they are shown.
pub const ACCOUNTANTS: [Accountant; 4] =
    [Accountant::Gaussian, Accountant::Pld, Accountant::Rdp, Accountant::Zcdp];

/// The ε to state for such steps, and whose it is: the tightest that covers them and that double precision can tell.
pub fn stated(steps: &Steps, delta: Delta) -> (Accountant, f64) {
    let tightest = if steps.everybody() { Accountant::Gaussian } else { Accountant::Pld };
    match tightest.epsilon(steps, delta) {
        Some(epsilon) => (tightest, epsilon),
        None => (Accountant::Rdp, rdp::epsilon(steps, delta)),
    }
}

/// The ε of steps of several kinds, as DP-SGD takes them where noise, rate or both change meanwhile: by Rényi
/// differential privacy, whose costs add up. 0 where there are none.
pub fn rdp_of_all(steps: &[Steps], delta: Delta) -> f64 {
    if steps.is_empty() { 0.0 } else { rdp::epsilon_of_all(steps, delta) }
}

/// The least noise multiplier, to six digits upwards, under which such steps stay within ε.
pub fn noise_for(target: f64, rate: f64, count: u32, delta: Delta) -> Result<f64, StepsError> {
    if !(target > 0.0 && target <= 1e4) {
        return Err(StepsError::Epsilon(target));
    }
    let within = |noise: f64| -> Result<bool, StepsError> {
        let steps = Steps::new(noise, rate, count)?;
        Ok(stated(&steps, delta).1 <= target)
    };
    let (mut low, mut high) = (LEAST_NOISE, 1.0);
    while !within(high)? {
        if high == MOST_NOISE {
            return Err(StepsError::OutOfReach(MOST_NOISE));
        }
        low = high;
        high = (4.0 * high).min(MOST_NOISE);
    }
    while high / low > 1.0 + 1e-6 {
        let middle = (low * high).sqrt();
        if within(middle)? { high = middle } else { low = middle }
    }
    // The last digit upwards: printed and typed in again, it is still enough.
    let unit = 10f64.powf(high.log10().floor() - 5.0);
    Ok((high / unit).ceil() * unit)
}
