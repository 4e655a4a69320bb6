//! Weights in memory: digested where they are, and compared with what they were.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use weight_digest::compute::Digest;
use weight_digest::delta::{self, Delta};
use weight_digest::dtype::Dtype;
use weight_digest::engine::Engine;
use weight_digest::part::{Held, Part};
use weight_digest::tree;

use crate::error::Result;
use crate::weights::Weighed;

/// Digested at a time, in bytes: whole leaves, few enough to stay in a core's own cache.
const PIECE: usize = 256 << 10;

/// Fewer bytes than this are not worth a thread.
const THREAD_SHARE: usize = 8 << 20;

impl Weighed {
    /// Digests whole tensors in memory, on as many processors as that is worth.
    ///
    /// # Errors
    /// The bytes of a tensor are not as many as its type and shape say, two have one name, or the engine fails.
    pub fn in_memory(tensors: &[Held<'_>], engine: &dyn Engine) -> Result<Self> {
        let pieces: Vec<Held<'_>> = tensors.iter().flat_map(pieces).collect();
        let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (bytes / THREAD_SHARE).clamp(1, processors);
        let share = pieces.len().div_ceil(threads).max(1);
        let parts = thread::scope(|scope| {
            let digest = |pieces: &[Held<'_>]| {
                let mut part = Part::default();
                pieces.iter().try_for_each(|piece| part.add(piece, engine))?;
                Ok(part)
            };
            let mut shares = pieces.chunks(share);
            let first = shares.next().unwrap_or_default();
            let others: Vec<_> = shares.map(|share| scope.spawn(move || digest(share))).collect();
            let joined = others
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            std::iter::once(digest(first)).chain(joined).collect::<Result<Vec<_>>>()
        })?;
        let (tensors, sketch) = Part::join(&parts)?;
        let bytes = tensors.iter().map(|tensor| tensor.length).sum();
        Ok(Self { digest: Digest { root: tree::root(&tensors), tensors, bytes }, sketch })
    }
}

fn pieces<'a>(tensor: &Held<'a>) -> impl Iterator<Item = Held<'a>> + use<'a> {
    let tensor = *tensor;
    let starts = (0..tensor.bytes.len().max(1)).step_by(PIECE);
    starts.map(move |at| {
        let bytes = &tensor.bytes[at..tensor.bytes.len().min(at + PIECE)];
        Held { start: tensor.start + at as u64, bytes, ..tensor }
    })
}

/// A copy of weights, to compare later ones with.
#[derive(Clone, Debug, Default)]
pub struct Copied(BTreeMap<String, (Dtype, Vec<u64>, Vec<u8>)>);

impl Copied {
    /// Takes the place of what was copied before, in the same memory where the tensors are the same. Says how the
    /// tensors that both have alike differ, and how many came, went, or changed their type or shape.
    pub fn replace(&mut self, tensors: &[Held<'_>]) -> (Delta, u64) {
        let (mut total, mut changes) = (Delta::default(), 0);
        let mut before = std::mem::take(&mut self.0);
        for held in tensors {
            let bytes = match before.remove(held.name) {
                Some((dtype, shape, mut bytes)) if (dtype, &*shape) == (held.dtype, held.shape) => {
                    if let Some(delta) = delta::compare(dtype, &bytes, held.bytes) {
                        total.join(&delta);
                    }
                    bytes.copy_from_slice(held.bytes);
                    bytes
                }
                _ => {
                    changes += 1;
                    held.bytes.to_vec()
                }
            };
            self.0.insert(held.name.to_owned(), (held.dtype, held.shape.to_vec(), bytes));
        }
        (total, changes + before.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype as FileDtype, TensorView, serialize_to_file};
    use weight_digest::cpu::Cpu;

    struct Sample {
        name: &'static str,
        dtype: Dtype,
        shape: Vec<u64>,
        bytes: Vec<u8>,
    }

    impl Sample {
        fn held(&self) -> Held<'_> {
            let Self { name, dtype, shape, bytes } = self;
            Held { name, dtype: *dtype, shape, start: 0, bytes }
        }
    }

    fn samples(seed: u8) -> [Sample; 4] {
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
    fn weights_in_memory_have_the_digest_and_sketch_of_the_saved_file() {
        let samples = samples(0);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let views = samples.iter().map(|sample| {
            let dtype = match sample.dtype {
                Dtype::BF16 => FileDtype::BF16,
                Dtype::F32 => FileDtype::F32,
                _ => FileDtype::I64,
            };
            let shape = sample.shape.iter().map(|side| *side as usize).collect();
            (sample.name, TensorView::new(dtype, shape, &sample.bytes).unwrap())
        });
        serialize_to_file(views, None, &path).unwrap();
        let saved = Weighed::saved(&path, &Cpu, &|_| ()).unwrap();
        // In any order.
        let held: Vec<Held<'_>> = samples.iter().rev().map(Sample::held).collect();
        let weighed = Weighed::in_memory(&held, &Cpu).unwrap();
        assert_eq!((weighed.digest, weighed.sketch), (saved.digest, saved.sketch));
        let twice = [held.as_slice(), &held[..1]].concat();
        assert!(Weighed::in_memory(&twice, &Cpu).is_err());
        let short = [Held { bytes: &held[1].bytes[1..], ..held[1] }];
        assert!(Weighed::in_memory(&short, &Cpu).is_err());
    }

    #[test]
    fn a_copy_tells_what_changed_since() {
        let (one, two) = (samples(0), samples(1));
        let all: Vec<Held<'_>> = one.iter().map(Sample::held).collect();
        let mut copied = Copied::default();
        assert_eq!(copied.replace(&all), (Delta::default(), 4));
        let (delta, changes) = copied.replace(&all);
        assert_eq!((delta.changed, changes), (0, 0));
        let expected = delta::compare(Dtype::I64, &one[3].bytes, &two[3].bytes).unwrap();
        let (delta, changes) = copied.replace(&[one[0].held(), two[3].held()]);
        assert_eq!((delta.linf, delta.changed, changes), (expected.linf, 1, 2));
    }
}
