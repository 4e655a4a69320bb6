//! What a log promises its annotators, and the noise that keeps the promise.

use ciborium::Value;
use privacy::accountant::{Delta, Rho, StepsError};
use privacy::mechanism::{
    DiscreteGaussian, Grid, MAX_VARIANCE, MechanismError, RandomisedResponse,
};
use serde::{Deserialize, Serialize};
use trail::cbor;

use crate::error::{Error, Result};

/// What is released about ratings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivacyMode {
    /// Sums over rounds, with noise; a pseudonym lasts for a batch.
    #[default]
    Strong,
    /// Each rating with noise, and each preference by randomised response; a pseudonym lasts for a run.
    Moderate,
}

impl PrivacyMode {
    /// As `run.start` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Moderate => "moderate",
        }
    }
}

/// What a log promises its annotators: that nothing computed from their ratings is released, except with noise, as
/// the mode says. Whatever the ratings of one annotator are, all of them together move the probability of what
/// is released by ε at most, except with probability δ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacySettings {
    /// What is released.
    #[serde(default)]
    pub mode: PrivacyMode,
    /// ε of everything that is ever released about one annotator.
    pub epsilon: f64,
    /// ε of one round, at most; a batch of annotations is one where values are released one by one.
    pub epsilon_per_round: f64,
    /// The probability with which either ε may fail.
    pub delta: f64,
    /// The lowest and the highest reward; others count as the nearer of them.
    pub clip: [f64; 2],
    /// The grid on which rewards are rounded: steps in a unit.
    pub steps_a_unit: u32,
    /// How many ratings of one annotator count in a round; of values released one by one, how many of one annotator
    /// there may be in a batch.
    pub cap: u32,
}

/// What follows from settings.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub grid: Grid,
    pub noise: DiscreteGaussian,
    /// The cost of a round for each who takes part, at most.
    pub charge: Rho,
    /// What one annotator may be charged in all.
    pub budget: Rho,
    /// Where values are released one by one: how preferences are told, and the cost.
    pub items: Option<Items>,
}

/// Values released one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items {
    pub response: RandomisedResponse,
    /// A preference is told truly with this probability, of [`TRUTH_OF`].
    pub truth: u32,
    /// The cost of one value, rating or preference, in zCDP.
    pub cost: f64,
}

/// The denominator of the probability of a true answer.
pub(crate) const TRUTH_OF: u32 = 1 << 16;

impl Plan {
    /// The cost of so many values to the one who gave them.
    pub fn cost_of(&self, values: u32) -> f64 {
        self.items.map_or(self.charge.get(), |items| cost_of(items.cost, values))
    }
}

/// The cost of so many values at the cost of one, rounded upwards.
pub(crate) fn cost_of(one: f64, values: u32) -> f64 {
    (one * f64::from(values)).next_up()
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
        let plan = match self.mode {
            PrivacyMode::Strong => self.of_sums(grid, most, budget),
            PrivacyMode::Moderate => self.of_items(grid, most, budget),
        };
        plan.ok_or_else(|| {
            refused("the noise would be too large to be drawn; choose a coarser grid, a smaller cap or a larger epsilon")
        })
    }

    fn of_sums(&self, grid: Grid, most: Rho, budget: Rho) -> Option<Plan> {
        let reach = self.reach(&grid)?;
        let noise = least_noise(reach, |cost| cost <= most.get())?;
        Some(Plan { grid, noise, charge: noise.cost(reach, 1)?, budget, items: None })
    }

    /// As many values as one annotator may give in a round cost no more than a round may. Each moves by the span at
    /// most, and the costs of several add up: together that is Δ₂ = span · √cap.
    fn of_items(&self, grid: Grid, most: Rho, budget: Rho) -> Option<Plan> {
        let all = |one: f64| cost_of(one, self.cap);
        // Below, and not at: sums are rounded upwards, and the last value within the budget has to fit.
        let fits = |one: f64| all(one).next_up() < most.get();
        let noise = least_noise(grid.span(), fits)?;
        let share = most.get() / f64::from(self.cap);
        // Of the probability e^ε / (1 + e^ε) with ε²/2 the share of one value, the part that fits.
        let likely = 1.0 / (1.0 + (-(2.0 * share).sqrt()).exp());
        let mut truth = ((likely * f64::from(TRUTH_OF)) as u32).min(TRUTH_OF - 1);
        let (response, told) = loop {
            let response = RandomisedResponse::new(truth, TRUTH_OF).ok()?;
            match response.cost(1)?.get() {
                cost if fits(cost) => break (response, cost),
                _ => truth -= 1,
            }
        };
        let cost = noise.cost(grid.span(), 1)?.get().max(told);
        Some(Plan {
            grid,
            noise,
            charge: most,
            budget,
            items: Some(Items { response, truth, cost }),
        })
    }

    /// How far one annotator's ratings can move a round's sum, in grid steps. Of one sum this is the cap times the
    /// span; only where each rating is released by itself does it grow with the cap's root.
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

/// The least noise under which a value that one person can move so far has a cost that fits: some cost does, and
/// with it all lower ones.
fn least_noise(reach: u64, fits: impl Fn(f64) -> bool) -> Option<DiscreteGaussian> {
    let noise = |variance| DiscreteGaussian::new(variance).ok();
    let does = |variance| Some(fits(noise(variance)?.cost(reach, 1)?.get()));
    let (mut low, mut high) = (0, MAX_VARIANCE);
    if !does(high)? {
        return None;
    }
    // What fits is above `low` and at most `high`.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if does(middle)? { high = middle } else { low = middle }
    }
    noise(high)
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
            mode: PrivacyMode::Strong,
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
    fn the_values_of_a_batch_are_within_the_epsilon_of_a_round_each_with_the_least_noise() {
        let delta = Delta::new(1e-5).unwrap();
        for (epsilon, steps_a_unit, cap) in [(10.0, 100, 100), (1.0, 10, 3), (500.0, 1, 1)] {
            let settings = PrivacySettings {
                mode: PrivacyMode::Moderate,
                epsilon: 1000.0,
                epsilon_per_round: epsilon,
                steps_a_unit,
                cap,
                ..settings()
            };
            let plan = settings.plan().unwrap();
            let items = plan.items.unwrap();
            assert!(Rho::new(plan.cost_of(cap)).unwrap().epsilon(delta) <= epsilon);
            // (hi - lo) times the root of the cap, in steps.
            let reach = (4 * steps_a_unit) as f64 * f64::from(cap).sqrt();
            let exact = reach * reach / (2.0 * plan.noise.variance() as f64);
            assert!(plan.cost_of(cap) >= exact);
            let ln = f64::ln(f64::from(items.truth) / f64::from(TRUTH_OF - items.truth));
            assert!(plan.cost_of(cap) >= f64::from(cap) * ln * ln / 2.0);
            // Less noise would cost too much, and so would a truer answer.
            let over = |one: Option<Rho>| {
                Rho::new(cost_of(one.unwrap().get(), cap)).unwrap().epsilon(delta) > epsilon
            };
            if plan.noise.variance() > 1 {
                let less = DiscreteGaussian::new(plan.noise.variance() - 1).unwrap();
                assert!(over(less.cost(4 * u64::from(steps_a_unit), 1)));
            }
            if items.truth + 1 < TRUTH_OF {
                assert!(over(RandomisedResponse::new(items.truth + 1, TRUTH_OF).unwrap().cost(1)));
            }
        }
        // What privacy.md says of a rating span of 4 and a hundred ratings: σ ≈ 162 at ε = 1, 21 at 10.
        for (epsilon, deviation) in [(1.0, 162.0), (10.0, 21.0)] {
            let settings = PrivacySettings {
                mode: PrivacyMode::Moderate,
                epsilon,
                epsilon_per_round: epsilon,
                cap: 100,
                ..settings()
            };
            let found = (settings.plan().unwrap().noise.variance() as f64).sqrt() / 10.0;
            assert!((found / deviation - 1.0).abs() < 0.1, "{found}");
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
