//! What a log promises its annotators, and the noise that keeps the promise.

use ciborium::Value;
use privacy::accountant::{Delta, Rho, StepsError};
use privacy::mechanism::{DiscreteGaussian, Grid, MechanismError};
use serde::{Deserialize, Serialize};
use trail::cbor;

use crate::error::{Error, Result};

/// What a log promises its annotators: that nothing computed from their ratings is released, except for sums over
/// rounds, with noise. Whatever the ratings of one annotator are, all of them together move the probability of what
/// is released by ε at most, except with probability δ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySettings {
    /// ε of everything that is ever released about one annotator.
    pub epsilon: f64,
    /// ε of one round, at most.
    pub epsilon_per_round: f64,
    /// The probability with which either ε may fail.
    pub delta: f64,
    /// The lowest and the highest reward; others count as the nearer of them.
    pub clip: [f64; 2],
    /// The grid on which rewards are rounded: steps in a unit.
    pub steps_a_unit: u32,
    /// How many ratings of one annotator count in a round.
    pub cap: u32,
}

/// What follows from settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub grid: Grid,
    pub noise: DiscreteGaussian,
    /// The cost of a round for each who takes part.
    pub charge: Rho,
    /// What one annotator may be charged in all.
    pub budget: Rho,
}

impl PrivacySettings {
    /// # Errors
    /// A number is out of range, or the noise would be larger than can be drawn.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let [low, high] = self.clip;
        let grid = Grid::new(low, high, self.steps_a_unit).map_err(refused)?;
        let delta = Delta::new(self.delta).map_err(refused)?;
        let [budget, most] = [self.epsilon, self.epsilon_per_round].map(|epsilon| {
            let in_range = epsilon > 0.0 && epsilon <= 1e4;
            if in_range {
                Ok(Rho::within(epsilon, delta))
            } else {
                Err(StepsError::Epsilon(epsilon))
            }
        });
        let (budget, most) = (budget.map_err(refused)?, most.map_err(refused)?);
        if self.epsilon_per_round > self.epsilon {
            return Err(refused(
                "epsilon per round must not be above epsilon, which covers all rounds",
            ));
        }
        if self.cap == 0 {
            return Err(refused("at least one rating of each annotator must count in a round"));
        }
        let reach = self.reach(&grid);
        let noise = reach.and_then(|reach| least_noise(reach, most)).ok_or_else(|| {
            refused("the noise would be too large to be drawn; choose a coarser grid, a smaller cap or a larger epsilon")
        })?;
        let charge = reach.and_then(|reach| noise.cost(reach, 1)).unwrap_or(most);
        Ok(Plan { grid, noise, charge, budget })
    }

    /// How far one annotator's ratings can move a round's sum, in grid steps. Of one sum this is the cap times the
    /// span; only where each rating were released by itself would it grow with the cap's root.
    fn reach(&self, grid: &Grid) -> Option<u64> {
        grid.span().checked_mul(self.cap.into())
    }

    /// What tells two ways of answering a request apart. The budget in all is not among it: it may be lowered.
    pub(crate) fn of_a_round(&self) -> Value {
        cbor::map([
            ("epsilon", Value::Float(self.epsilon_per_round)),
            ("delta", Value::Float(self.delta)),
            ("clip", Value::Array(self.clip.map(Value::Float).to_vec())),
            ("steps_a_unit", self.steps_a_unit.into()),
            ("cap", self.cap.into()),
        ])
    }

    /// As `run.start` holds them.
    pub(crate) fn event(&self) -> Result<Value> {
        let plan = self.plan()?;
        Ok(cbor::map([
            ("epsilon", Value::Float(self.epsilon)),
            ("epsilon_per_round", Value::Float(self.epsilon_per_round)),
            ("delta", Value::Float(self.delta)),
            ("rho", Value::Float(plan.budget.get())),
        ]))
    }
}

/// The least noise under which a sum that one person can move so far costs at most `most`.
fn least_noise(reach: u64, most: Rho) -> Option<DiscreteGaussian> {
    let least = (reach as f64).powi(2) / (2.0 * most.get());
    // Rounding may have gone either way by a unit in the last place.
    let mut variance = (least * (1.0 - 1e-15)).ceil() as u64;
    loop {
        let noise = DiscreteGaussian::new(variance.max(1)).ok()?;
        if noise.cost(reach, 1)? <= most {
            return Some(noise);
        }
        variance = noise.variance() + 1;
    }
}

fn refused(why: impl ToString) -> Error {
    Error::PrivacySettings(why.to_string())
}

impl From<MechanismError> for Error {
    fn from(error: MechanismError) -> Self {
        Self::Noise(error)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn settings() -> PrivacySettings {
        PrivacySettings {
            epsilon: 4.0,
            epsilon_per_round: 1.0,
            delta: 1e-5,
            clip: [1.0, 5.0],
            steps_a_unit: 10,
            cap: 3,
        }
    }

    #[test]
    fn the_noise_is_the_least_that_keeps_a_round_within_its_epsilon() {
        let delta = Delta::new(1e-5).unwrap();
        for (epsilon, steps_a_unit, cap) in [(1.0, 10, 3), (0.1, 100, 50), (50.0, 1, 1)] {
            let settings = PrivacySettings {
                epsilon: 100.0,
                epsilon_per_round: epsilon,
                steps_a_unit,
                cap,
                ..settings()
            };
            let plan = settings.plan().unwrap();
            assert!(plan.charge.epsilon(delta) <= epsilon);
            // (hi - lo) times the cap, in steps.
            let reach = u64::from(4 * steps_a_unit * cap);
            let exact = (reach as f64).powi(2) / (2.0 * plan.noise.variance() as f64);
            assert!((plan.charge.get() / exact - 1.0).abs() < 1e-12);
            if let Ok(less) = DiscreteGaussian::new(plan.noise.variance() - 1) {
                assert!(less.cost(reach, 1).unwrap().epsilon(delta) > epsilon);
            }
        }
    }

    #[test]
    fn settings_that_promise_nothing_are_refused_in_one_sentence() {
        let change = |change: &dyn Fn(&mut PrivacySettings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.plan().unwrap_err().to_string()
        };
        for (why, words) in [
            (change(&|s| s.epsilon = 0.0), "epsilon must be above 0"),
            (change(&|s| s.epsilon = f64::NAN), "epsilon must be above 0"),
            (change(&|s| s.epsilon_per_round = -1.0), "epsilon must be above 0"),
            (change(&|s| s.epsilon_per_round = 5.0), "must not be above epsilon"),
            (change(&|s| s.delta = 0.0), "delta must be"),
            (change(&|s| s.delta = 1.0), "delta must be"),
            (change(&|s| s.delta = f64::NAN), "delta must be"),
            (change(&|s| s.clip = [5.0, 1.0]), "the lower below the upper"),
            (change(&|s| s.clip = [f64::NEG_INFINITY, 1.0]), "must be finite"),
            (change(&|s| s.steps_a_unit = 0), "steps a unit"),
            (change(&|s| s.cap = 0), "at least one rating"),
            (change(&|s| (s.steps_a_unit, s.cap) = (1_000_000, u32::MAX)), "coarser grid"),
        ] {
            assert!(why.contains(words) && !why.contains('\n'), "{why}");
        }
    }
}
