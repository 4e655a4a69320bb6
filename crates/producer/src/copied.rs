//! Copies of weights that training changes: what later ones are compared with.

use std::collections::BTreeMap;
use std::mem;

use weight_digest::delta::{self, Delta};
use weight_digest::dtype::Dtype;
use weight_digest::part::Held;

/// The weights last seen, and, where they were [taken](Self::take), those before them.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    newest: Copies,
    before: Copies,
}

/// Tensors by their names.
type Copies = BTreeMap<String, Copy>;

#[derive(Clone, Debug)]
struct Copy {
    dtype: Dtype,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

impl Copied {
    /// Copies weights, which may change then. What was copied before stays as well: this takes twice the memory, and no
    /// longer than a copy.
    pub fn take(&mut self, tensors: &[Held<'_>]) {
        mem::swap(&mut self.newest, &mut self.before);
        fill(&mut self.newest, tensors, |_, _| ());
    }

    /// What was taken.
    pub fn held(&self) -> Vec<Held<'_>> {
        self.newest.iter().map(|(name, copy)| copy.held(name)).collect()
    }

    /// How what was taken differs from what was copied before, in the tensors that both have alike, and how many
    /// tensors came, went, or changed their type or shape.
    pub fn moved(&self) -> (Delta, u64) {
        let (mut total, mut alike) = (Delta::default(), 0);
        for held in self.held() {
            if let Some(old) = self.before.get(held.name).filter(|old| old.is_like(&held)) {
                alike += 1;
                compare(&mut total, old, &held);
            }
        }
        let went = self.before.keys().filter(|name| !self.newest.contains_key(*name)).count();
        (total, (self.newest.len() - alike + went) as u64)
    }

    /// Compares weights where they are with those last seen, and takes their place in the same memory. Says what
    /// [`Self::moved`] says.
    pub fn replace(&mut self, tensors: &[Held<'_>]) -> (Delta, u64) {
        let (mut total, mut alike) = (Delta::default(), 0);
        let went = fill(&mut self.newest, tensors, |old, held| {
            alike += 1;
            compare(&mut total, old, held);
        });
        (total, (tensors.len() - alike + went) as u64)
    }
}

/// Copies tensors into the memory of older ones, each shown to `alike` before that, where name, type and shape are the same.
/// Says how many names are gone.
fn fill(
    copies: &mut Copies,
    tensors: &[Held<'_>],
    mut alike: impl FnMut(&Copy, &Held<'_>),
) -> usize {
    let mut old = mem::take(copies);
    for held in tensors {
        let copy = match old.remove(held.name).filter(|old| old.is_like(held)) {
            Some(mut copy) => {
                alike(&copy, held);
                copy.bytes.copy_from_slice(held.bytes);
                copy
            }
            None => Copy::of(held),
        };
        copies.insert(held.name.to_owned(), copy);
    }
    old.len()
}

fn compare(total: &mut Delta, old: &Copy, new: &Held<'_>) {
    if let Some(delta) = delta::compare(new.dtype, &old.bytes, new.bytes) {
        total.join(&delta);
    }
}

impl Copy {
    fn of(held: &Held<'_>) -> Self {
        Self { dtype: held.dtype, shape: held.shape.to_vec(), bytes: held.bytes.to_vec() }
    }

    fn is_like(&self, held: &Held<'_>) -> bool {
        let lengths = (self.bytes.len(), held.bytes.len());
        (self.dtype, &*self.shape) == (held.dtype, held.shape) && lengths.0 == lengths.1
    }

    fn held<'a>(&'a self, name: &'a str) -> Held<'a> {
        Held { name, dtype: self.dtype, shape: &self.shape, start: 0, bytes: &self.bytes }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub struct Sample {
        pub name: &'static str,
        pub dtype: Dtype,
        pub shape: Vec<u64>,
        pub bytes: Vec<u8>,
    }

    impl Sample {
        pub fn held(&self) -> Held<'_> {
            let Self { name, dtype, shape, bytes } = self;
            Held { name, dtype: *dtype, shape, start: 0, bytes }
        }
    }

    pub fn samples(seed: u8) -> [Sample; 4] {
        [
            ("embed", Dtype::BF16, vec![5000, 2001]),
            ("empty", Dtype::F32, vec![0, 3]),
            ("head", Dtype::F32, vec![70_000]),
            ("scalar", Dtype::I64, vec![]),
        ]
        .map(|(name, dtype, shape)| {
            let length = dtype.length(&shape).unwrap() as usize;
            let bytes = (0..length).map(|i| (((i * 7) >> 4) as u8 & 0x3f) ^ seed).collect();
            Sample { name, dtype, shape, bytes }
        })
    }

    #[test]
    fn copies_tell_what_changed_since() {
        let (one, two) = (samples(0), samples(1));
        let all: Vec<Held<'_>> = one.iter().map(Sample::held).collect();
        let other_type = Held { dtype: Dtype::U64, ..one[3].held() };
        let later = [
            all.clone(),
            vec![one[0].held(), two[3].held()],
            vec![other_type, one[0].held()],
            all.clone(),
        ];
        let expected = delta::compare(Dtype::I64, &one[3].bytes, &two[3].bytes).unwrap();
        let (mut in_place, mut taken) = (Copied::default(), Copied::default());
        let told = later.map(|held| {
            taken.take(&held);
            let told = in_place.replace(&held);
            assert_eq!(taken.moved(), told);
            assert!(
                taken
                    .held()
                    .iter()
                    .map(|held| held.bytes)
                    .eq(in_place.held().iter().map(|held| held.bytes))
            );
            told
        });
        assert_eq!(told[0], (Delta::default(), 4));
        let embed = Delta { elements: 5000 * 2001, ..Delta::default() };
        let mut both = embed;
        both.join(&expected);
        assert_eq!(told[1], (both, 2));
        assert_eq!((told[1].0.linf, told[1].0.changed), (expected.linf, 1));
        assert_eq!(told[2], (embed, 1));
        assert_eq!(told[3], (embed, 3));
        // Back in the memory of the copies before the last.
        taken.take(&all);
        assert_eq!((taken.moved().0.changed, taken.moved().1), (0, 0));
    }
}
