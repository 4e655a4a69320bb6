//! Single values with their noise: drawn for annotations, logged with them, and handed to whoever trains.

use std::fmt;

use ciborium::Value;
use privacy::mechanism::{DiscreteGaussian, Grid, RandomisedResponse};
use zeroize::Zeroizing;

use super::ledger::Permit;
use super::settings::Plan;
use crate::annotation::Annotation;
use crate::error::Result;

/// What was released of an annotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Released {
    /// The entry that holds it.
    pub index: u64,
    /// What it says.
    pub value: ReleasedValue,
}

/// A value with its noise.
#[derive(Clone, Copy, PartialEq)]
pub enum ReleasedValue {
    /// Of a rating: the reward, which may lie outside the bounds.
    Reward(f64),
    /// Of a preference: the response that was told as the preferred one.
    Preference {
        /// As the log names it: `a` or `b`.
        told: char,
        /// Whether that is the one that was given as chosen. This is not in the log, and with the log it tells the
        /// vote: it is for swapping the two responses before a model learns from them, and for nothing else.
        as_given: bool,
    },
}

// With the log, `as_given` is the vote.
impl fmt::Debug for ReleasedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reward(reward) => f.debug_tuple("Reward").field(reward).finish(),
            Self::Preference { told, .. } => {
                f.debug_struct("Preference").field("told", told).finish_non_exhaustive()
            }
        }
    }
}

impl ReleasedValue {
    /// As the event of the annotation holds it.
    pub(crate) fn logged(self) -> Value {
        match self {
            Self::Reward(reward) => Value::Float(reward),
            Self::Preference { told, .. } => told.to_string().into(),
        }
    }

    /// From what an event holds, and the vote that it committed to, where it is one.
    pub(crate) fn read(logged: &Value, vote: Option<&str>) -> Option<Self> {
        match (logged, vote) {
            (Value::Float(reward), None) => Some(Self::Reward(*reward)),
            (Value::Text(told), Some(vote)) => {
                Some(Self::Preference { told: told.chars().next()?, as_given: told == vote })
            }
            _ => None,
        }
    }
}

/// What chance made of one annotation, before it has a place in the log.
#[derive(Clone, Copy)]
pub(crate) enum Drawn {
    Reward(f64),
    /// Whether the choice is told as it was given.
    Choice(bool),
}

impl Drawn {
    /// The value to release; of a preference, `vote` is the letter of the chosen response.
    pub fn value(self, vote: Option<&str>) -> ReleasedValue {
        match self {
            Self::Reward(reward) => ReleasedValue::Reward(reward),
            Self::Choice(as_given) => {
                let told = if (vote == Some("a")) == as_given { 'a' } else { 'b' };
                ReleasedValue::Preference { told, as_given }
            }
        }
    }
}

/// Draws for annotations that have been charged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    grid: Grid,
    noise: DiscreteGaussian,
    response: RandomisedResponse,
}

impl Draws {
    /// Nothing where no values are released one by one.
    pub fn by(plan: &Plan) -> Option<Self> {
        let response = plan.items?.response;
        Some(Self { grid: plan.grid, noise: plan.noise, response })
    }

    /// For each annotation, from fresh randomness, once they are charged.
    pub fn draw(&self, annotations: &[&Annotation], _: Permit) -> Result<Vec<Drawn>> {
        let rewards = annotations.iter().filter_map(|annotation| match annotation {
            Annotation::Rating { reward, .. } => Some(*reward),
            Annotation::Preference { .. } => None,
        });
        let rewards = Zeroizing::new(rewards.collect::<Vec<f64>>());
        // How many were clipped depends on the rewards and is not told.
        let steps = Zeroizing::new(self.grid.clip(&rewards)?.steps);
        let mut noised = self.noise.add(&steps)?.into_iter();
        let mut told =
            self.response.tell(&vec![true; annotations.len() - rewards.len()])?.into_iter();
        let drawn = annotations.iter().map(|annotation| match annotation {
            Annotation::Rating { .. } => {
                noised.next().map(|steps| Drawn::Reward(self.grid.reward(steps)))
            }
            Annotation::Preference { .. } => told.next().map(Drawn::Choice),
        });
        Ok(drawn.flatten().collect())
    }
}
