//! Differential privacy: what noise costs, and exactly sampled noise.
//!
//! [`accountant`] turns noise, sampling and steps into (ε, δ); [`mechanism`] clips rewards and draws the noise.

#![forbid(unsafe_code)]

pub mod accountant;
pub mod mechanism;
