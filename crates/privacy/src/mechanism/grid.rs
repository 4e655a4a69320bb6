//! Rewards clipped to what was announced, in whole steps of a grid.

use super::MechanismError;

/// The finest grid.
pub const MAX_STEPS_A_UNIT: u32 = 1_000_000;

/// Beyond this not every whole number of steps is a double.
const FARTHEST: f64 = (1_u64 << 53) as f64;

/// The values a reward can have: whole steps from a lower to an upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    low: i64,
    high: i64,
    steps_a_unit: u32,
}

/// Rewards in grid steps.
#[derive(Clone, PartialEq, Eq)]
pub struct Clipped {
    /// One for each reward.
    pub steps: Vec<i64>,
    /// How many were outside the bounds. It depends on the rewards and is as secret as they are.
    pub clipped: u64,
}

// Rewards that carry no noise yet.
impl std::fmt::Debug for Clipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clipped(..)")
    }
}

impl Grid {
    /// A grid from `low` to `high` with so many steps a unit.
    ///
    /// # Errors
    /// The bounds are none, or not on the grid; the grid is too fine.
    pub fn new(low: f64, high: f64, steps_a_unit: u32) -> Result<Self, MechanismError> {
        if !(1..=MAX_STEPS_A_UNIT).contains(&steps_a_unit) {
            return Err(MechanismError::Grid(steps_a_unit));
        }
        let whole = |bound: f64| {
            let steps = bound * f64::from(steps_a_unit);
            // 0.29 is no double: 100 times it is near 29, and 29 is meant.
            let meant = steps.round();
            let near = (steps - meant).abs() <= 1e-9 * meant.abs().max(1.0);
            (near && meant.abs() <= FARTHEST).then_some(meant as i64)
        };
        match (whole(low), whole(high)) {
            (Some(low), Some(high)) if low < high => Ok(Self { low, high, steps_a_unit }),
            _ => Err(MechanismError::Bounds),
        }
    }

    /// The lower and the upper bound, in steps.
    pub fn bounds(&self) -> [i64; 2] {
        [self.low, self.high]
    }

    /// How far one reward can move, in steps.
    pub fn span(&self) -> u64 {
        self.high.abs_diff(self.low)
    }

    /// Steps in a unit.
    pub fn steps_a_unit(&self) -> u32 {
        self.steps_a_unit
    }

    /// Rewards in whole steps within the bounds, and how many were outside.
    ///
    /// # Errors
    /// A reward is NaN or infinite.
    pub fn clip(&self, rewards: &[f64]) -> Result<Clipped, MechanismError> {
        let mut clipped = 0;
        let step = |(place, reward): (usize, &f64)| {
            if !reward.is_finite() {
                return Err(MechanismError::NotFinite(place));
            }
            // Infinite where the product is too large; the cast takes the largest integer then.
            let steps = (reward * f64::from(self.steps_a_unit)).round() as i64;
            let within = steps.clamp(self.low, self.high);
            clipped += u64::from(within != steps);
            Ok(within)
        };
        let steps = rewards.iter().enumerate().map(step).collect::<Result<_, _>>()?;
        Ok(Clipped { steps, clipped })
    }

    /// The reward that so many steps are; after noise it may be outside the bounds.
    pub fn reward(&self, steps: i64) -> f64 {
        steps as f64 / f64::from(self.steps_a_unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rewards_are_clipped_and_counted() {
        let grid = Grid::new(1.0, 5.0, 100).unwrap();
        let clipped = grid.clip(&[1.0, 4.999, 0.99, 7.0, f64::MAX, -f64::MAX, 2.5]).unwrap();
        assert_eq!(clipped.steps, [100, 500, 100, 500, 500, 100, 250]);
        assert_eq!(clipped.clipped, 4);
        assert_eq!((grid.span(), grid.reward(-250)), (400, -2.5));
        assert_eq!(format!("{clipped:?}"), "Clipped(..)");
    }

    #[test]
    fn what_is_no_number_is_refused_by_its_place() {
        let grid = Grid::new(-1.0, 1.0, 10).unwrap();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(grid.clip(&[0.0, bad]), Err(MechanismError::NotFinite(1)));
        }
    }

    #[test]
    fn grids_that_are_none_are_refused() {
        let nan = f64::NAN;
        for (low, high) in [(1.0, 1.0), (2.0, 1.0), (nan, 1.0), (0.0, f64::INFINITY), (0.05, 1.0)] {
            assert_eq!(Grid::new(low, high, 10), Err(MechanismError::Bounds), "{low} to {high}");
        }
        for steps in [0, MAX_STEPS_A_UNIT + 1] {
            assert_eq!(Grid::new(0.0, 1.0, steps), Err(MechanismError::Grid(steps)));
        }
        assert_eq!(Grid::new(0.0, 0.29, 100).unwrap().span(), 29);
    }

    proptest! {
        #[test]
        fn no_reward_moves_the_steps_by_more_than_the_span(a: f64, b: f64, steps in 1_u32..1000) {
            let grid = Grid::new(-2.0, 3.0, steps).unwrap();
            prop_assume!(a.is_finite() && b.is_finite());
            let clipped = grid.clip(&[a, b]).unwrap();
            prop_assert!(clipped.steps[0].abs_diff(clipped.steps[1]) <= grid.span());
            if a <= b {
                prop_assert!(clipped.steps[0] <= clipped.steps[1]);
            }
        }

        #[test]
        fn within_the_bounds_a_reward_moves_by_half_a_step_at_most(
            reward in -2.0..3.0, steps in 1_u32..1000,
        ) {
            let grid = Grid::new(-2.0, 3.0, steps).unwrap();
            let clipped = grid.clip(&[reward]).unwrap();
            prop_assert_eq!(clipped.clipped, 0);
            let moved = (grid.reward(clipped.steps[0]) - reward).abs();
            prop_assert!(moved * f64::from(steps) <= 0.5 + 1e-9);
        }
    }
}
