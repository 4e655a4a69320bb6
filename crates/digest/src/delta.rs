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
    Some(match dtype.value_bytes()? {
        // The types that are trained, each by a loop of its own, which the compiler makes abreast.
        4 if matches!(dtype, Dtype::F32 | Dtype::C64) => {
            differences(old, new, |bytes| f64::from(f32::from_le_bytes(bytes)))
        }
        2 if dtype == Dtype::BF16 => differences(old, new, |bytes: [u8; 2]| {
            // The upper half of an f32.
            f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
        }),
        1 => differences(old, new, |bytes: [u8; 1]| dtype.value(&bytes)),
        2 => differences(old, new, |bytes: [u8; 2]| dtype.value(&bytes)),
        4 => differences(old, new, |bytes: [u8; 4]| dtype.value(&bytes)),
        _ => differences(old, new, |bytes: [u8; 8]| dtype.value(&bytes)),
    })
}

/// So many sums are added to in turn: none waits for the one before.
const LANES: usize = 8;

fn differences<const N: usize>(old: &[u8], new: &[u8], value: impl Fn([u8; N]) -> f64) -> Delta {
    let (old, new) = (old.as_chunks::<N>().0, new.as_chunks::<N>().0);
    let (mut squares, mut largest) = ([0.0; LANES], [0.0f64; LANES]);
    let (mut changed, mut not_finite) = (0, 0);
    for (old, new) in old.chunks(LANES).zip(new.chunks(LANES)) {
        for (lane, (old, new)) in old.iter().zip(new).enumerate() {
            let is_changed = old != new;
            let difference = value(*new) - value(*old);
            let is_finite = difference.is_finite();
            let counted = if is_finite { difference.abs() } else { 0.0 };
            squares[lane] += counted * counted;
            largest[lane] = largest[lane].max(counted);
            changed += u64::from(is_changed);
            not_finite += u64::from(is_changed && !is_finite);
        }
    }
    Delta {
        sum_of_squares: squares.iter().sum(),
        linf: largest.into_iter().fold(0.0, f64::max),
        changed,
        elements: old.len() as u64,
        not_finite,
    }
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
    fn every_type_is_compared_as_its_values_are() {
        // Upper bytes without the highest bits: most floats are finite.
        let byte = |i: u32, factor: u32| {
            let byte = ((i * factor) >> 5) as u8;
            if i % 2 == 1 { byte & 0x3f } else { byte }
        };
        let bytes = |factor| -> Vec<u8> { (0..4000).map(|i| byte(i, factor)).collect() };
        let (old, new) = (bytes(37), bytes(41));
        for dtype in Dtype::ALL.iter().filter(|dtype| dtype.value_bytes().is_some()) {
            let width = dtype.value_bytes().unwrap();
            let mut expected = Delta::default();
            for (old, new) in old.chunks(width).zip(new.chunks(width)) {
                let difference = dtype.value(new) - dtype.value(old);
                expected.elements += 1;
                expected.changed += u64::from(old != new);
                if difference.is_finite() {
                    expected.sum_of_squares += difference * difference;
                    expected.linf = expected.linf.max(difference.abs());
                } else if old != new {
                    expected.not_finite += 1;
                }
            }
            let found = compare(*dtype, &old, &new).unwrap();
            let near = found.sum_of_squares / expected.sum_of_squares - 1.0;
            assert!(near.abs() < 1e-12, "{dtype:?}: {found:?}, {expected:?}");
            assert_eq!(
                Delta { sum_of_squares: expected.sum_of_squares, ..found },
                expected,
                "{dtype:?}"
            );
        }
    }

    #[test]
    fn what_is_not_finite_is_counted_and_left_out() {
        let (old, new) = (f32s(&[f32::NAN, 0.0, 1.0]), f32s(&[1.0, f32::INFINITY, 2.0]));
        let delta = compare(Dtype::F32, &old, &new).unwrap();
        assert_eq!((delta.not_finite, delta.l2()), (2, 1.0));
        assert!(compare(Dtype::F4, &[0], &[1]).is_none());
    }
}
