//! Parts of a checkpoint that somebody changed on their way: whatever is changed, they are refused, or still say what
//! they are, and nothing panics.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::part::{Held, Part};
use weight_digest::sketch::Sketch;

/// The middle of a tensor, cut within leaves, and a whole one.
fn part() -> Vec<u8> {
    let bytes: Vec<u8> = (0..70_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let mut part = Part::default();
    let held =
        Held { name: "a", dtype: Dtype::BF16, shape: &[7, 10_001], start: 4_097, bytes: &bytes };
    part.add(&[held], &Cpu).unwrap();
    let held = Held { name: "b", dtype: Dtype::F32, shape: &[11], start: 0, bytes: &bytes[..44] };
    part.add(&[held], &Cpu).unwrap();
    part.to_bytes()
}

#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1..=u8::MAX).prop_map(|(at, bits)| Change::Flip(at, bits)),
        at().prop_map(Change::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1..40_usize).prop_map(|(at, count)| Change::Remove(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: Change) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match change {
        Change::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Insert(at, more) => drop(bytes.splice(at.index(length)..at.index(length), more)),
        Change::Remove(at, count) => {
            let from = at.index(length);
            bytes.drain(from..(from + count).min(length));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn changed_parts_are_refused_or_are_parts(changes in prop::collection::vec(change(), 1..4)) {
        let mut bytes = part();
        changes.into_iter().for_each(|change| apply(&mut bytes, change));
        if let Ok(part) = Part::parse(&bytes) {
            prop_assert_eq!(part.to_bytes(), bytes);
            let _ = Part::join(&[part]);
        }
    }

    /// The structure of a part without its sketch is small enough for every byte to have its turn.
    #[test]
    fn changes_outside_of_the_sums(at in 0usize..200, bits in 1..=u8::MAX, from_the_end: bool) {
        let mut bytes = part();
        let place = if from_the_end { bytes.len() - 1 - at } else { at };
        bytes[place] ^= bits;
        if let Ok(part) = Part::parse(&bytes) {
            prop_assert_eq!(part.to_bytes(), bytes);
            let _ = Part::join(&[part]);
        }
    }

    #[test]
    fn changed_sketches_are_refused_or_are_sketches(changes in prop::collection::vec(change(), 1..3)) {
        let mut bytes = Sketch::default().to_bytes();
        changes.into_iter().for_each(|change| apply(&mut bytes, change));
        if let Ok(sketch) = Sketch::parse(&bytes) {
            prop_assert_eq!(sketch.to_bytes(), bytes);
        }
    }
}
