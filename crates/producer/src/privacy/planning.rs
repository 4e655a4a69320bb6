//! What a training would cost: planned by several accountants, as the command line program and the Python package show
//! it.

use std::fmt::Write as _;

use privacy::accountant::{self, ACCOUNTANTS, Accountant, Delta, Steps, StepsError};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};

/// The noise of a training, or what it may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Its standard deviation, in units of the clipping norm (the sensitivity).
    Multiplier(f64),
    /// The least that stays within this ε.
    ForEpsilon(f64),
}

/// What a training with noise costs.
#[derive(Clone, Debug)]
pub struct PrivacyPlan {
    noise: f64,
    rate: f64,
    steps: u32,
    delta: f64,
    /// The accountant whose ε is stated.
    stated: (Accountant, f64),
    all: [(Accountant, Option<f64>); 4],
}

impl PrivacyPlan {
    /// Steps that each take a record with the probability `rate`.
    ///
    /// # Errors
    /// A number is out of range, or no noise is enough.
    pub fn new(noise: Noise, rate: f64, steps: u32, delta: f64) -> Result<Self> {
        Self::of(noise, rate, steps, delta).map_err(|e| Error::PrivacySettings(e.to_string()))
    }

    fn of(
        noise: Noise,
        rate: f64,
        steps: u32,
        delta: f64,
    ) -> std::result::Result<Self, StepsError> {
        let at = Delta::new(delta)?;
        let noise = match noise {
            Noise::Multiplier(noise) => noise,
            Noise::ForEpsilon(target) => accountant::noise_for(target, rate, steps, at)?,
        };
        let taken = Steps::new(noise, rate, steps)?;
        let all = ACCOUNTANTS.map(|accountant| (accountant, accountant.epsilon(&taken, at)));
        Ok(Self { noise, rate, steps, delta, stated: accountant::stated(&taken, at), all })
    }

    /// As JSON.
    pub fn json(&self) -> Json {
        let Self { noise, rate, steps, delta, stated: (stated, epsilon), all } = self;
        let by_accountant: Map<String, Json> = all
            .iter()
            .map(|(accountant, epsilon)| (accountant.name().into(), json!(epsilon)))
            .collect();
        json!({
            "epsilon": epsilon,
            "delta": delta,
            "accountant": stated.name(),
            "by_accountant": by_accountant,
            "noise_multiplier": noise,
            "rate": rate,
            "steps": steps,
            "adjacency": adjacency(*rate),
            "sampling": sampling(*rate),
        })
    }

    /// In words, on several lines.
    pub fn text(&self) -> String {
        let Self { noise, rate, steps, delta, stated: (stated, epsilon), all } = self;
        let mut text = format!(
            "Noise multiplier {noise}, rate {rate}, steps {steps}\nEpsilon {epsilon:.4} at delta {delta:e}, by {}\n",
            stated.name()
        );
        for (accountant, epsilon) in all {
            let figure = epsilon.map_or_else(|| "–".to_owned(), |epsilon| format!("{epsilon:.4}"));
            // A String takes everything.
            let _ =
                writeln!(text, "  {:<9}{figure:>12}  {}", accountant.name(), accountant.subject());
        }
        let _ = writeln!(text, "Neighbours: {}. Sampling: {}.", adjacency(*rate), sampling(*rate));
        text
    }
}

fn adjacency(rate: f64) -> &'static str {
    if rate == 1.0 {
        "one record changed so that a step's sum moves by at most the sensitivity"
    } else {
        "one record added or removed"
    }
}

fn sampling(rate: f64) -> &'static str {
    if rate == 1.0 {
        "none, every record in every step"
    } else {
        "each record in each step independently (Poisson); shuffled batches are not covered"
    }
}
