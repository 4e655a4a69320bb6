//! How two versions of a tensor differ, element by element, in double precision.

use crate::dtype::Dtype;

/// The difference between two versions of the same elements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delta {
    /// Sum of squared differences.
    pub sum_of_squares: f64,
    /// Largest absolute difference.
    pub linf: f64,
    /// Elements whose bits differ.
    pub changed: u64,
    /// Elements compared.
    pub elements: u64,
    /// Pairs with a NaN or an infinity, left out of both norms.
    pub not_finite: u64,
}

impl Delta {
    /// The Euclidean norm of the difference.
    pub fn l2(&self) -> f64 {
        self.sum_of_squares.sqrt()
    }

    /// Joins the differences of two parts. Joining in the order of the parts gives the same result
    /// whatever computed them.
    pub fn join(&mut self, part: &Self) {
        self.sum_of_squares += part.sum_of_squares;
        self.linf = self.linf.max(part.linf);
        self.changed += part.changed;
        self.elements += part.elements;
        self.not_finite += part.not_finite;
    }
}

/// Compares the same bytes of two versions of a tensor; `None` for packed types, whose values are not
/// compared. Lengths are equal and whole elements.
pub fn compare(dtype: Dtype, old: &[u8], new: &[u8]) -> Option<Delta> {
    let width = dtype.value_bytes()?;
    let mut delta = Delta::default();
    for (old, new) in old.chunks_exact(width).zip(new.chunks_exact(width)) {
        delta.elements += 1;
        if old == new {
            continue;
        }
        delta.changed += 1;
        let difference = dtype.value(new) - dtype.value(old);
        if difference.is_finite() {
            delta.sum_of_squares += difference * difference;
            delta.linf = delta.linf.max(difference.abs());
        } else {
            delta.not_finite += 1;
        }
    }
    Some(delta)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn norms_of_a_small_difference() {
        let (old, new) = (f32s(&[1.0, 2.0, 3.0, 0.0]), f32s(&[1.0, 5.0, -1.0, -0.0]));
        let delta = compare(Dtype::F32, &old, &new).unwrap();
        assert_eq!((delta.l2(), delta.linf, delta.changed, delta.elements), (5.0, 4.0, 3, 4));
    }

    #[test]
    fn what_is_not_finite_is_counted_and_left_out() {
        let (old, new) = (f32s(&[f32::NAN, 0.0, 1.0]), f32s(&[1.0, f32::INFINITY, 2.0]));
        let delta = compare(Dtype::F32, &old, &new).unwrap();
        assert_eq!((delta.not_finite, delta.l2()), (2, 1.0));
        assert!(compare(Dtype::F4, &[0], &[1]).is_none());
    }
}
