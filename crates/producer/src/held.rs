//! Weights in memory, digested where they are.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use weight_digest::compute::Digest;
use weight_digest::engine::Engine;
use weight_digest::part::{Held, Part};
use weight_digest::sketch::Sketch;
use weight_digest::tree::{self, TensorDigest};

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
        let batches = batches(tensors.iter().flat_map(pieces));
        let bytes: usize = tensors.iter().map(|tensor| tensor.bytes.len()).sum();
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (bytes / THREAD_SHARE).clamp(1, processors);
        let share = batches.len().div_ceil(threads).max(1);
        let parts = thread::scope(|scope| {
            let digest = |batches: &[Vec<Held<'_>>]| {
                let mut part = Part::default();
                batches.iter().try_for_each(|batch| part.add(batch, engine))?;
                Ok(part)
            };
            let mut shares = batches.chunks(share);
            let first = shares.next().unwrap_or_default();
            let start = |share| {
                let thread = thread::Builder::new().spawn_scoped(scope, move || digest(share));
                thread.map_err(|_| share)
            };
            let others: Vec<_> = shares.map(start).collect();
            let joined = others.into_iter().map(|other| match other {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // The system has no more threads.
                Err(share) => digest(share),
            });
            std::iter::once(digest(first)).chain(joined).collect::<Result<Vec<_>>>()
        })?;
        let (tensors, sketch) = Part::join(&parts)?;
        Ok(Self::of_tensors(tensors, sketch))
    }

    /// All of them together, which have no tensor in common: some were in this machine's memory, others on cards.
    pub fn together(all: Vec<Self>) -> Self {
        let (mut tensors, mut sketch) = (Vec::new(), Sketch::default());
        for weighed in all {
            tensors.extend(weighed.digest.tensors);
            sketch.join(&weighed.sketch);
        }
        tensors.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Self::of_tensors(tensors, sketch)
    }

    /// Tensors that were digested elsewhere, sorted by name, and the sketch of all of them.
    pub fn of_tensors(tensors: Vec<TensorDigest>, sketch: Sketch) -> Self {
        let bytes = tensors.iter().map(|tensor| tensor.length).sum();
        Self { digest: Digest { root: tree::root(&tensors), tensors, bytes }, sketch }
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

/// Puts pieces together that are digested in one call, so that the leaves of small tensors go abreast.
fn batches<'a>(pieces: impl Iterator<Item = Held<'a>>) -> Vec<Vec<Held<'a>>> {
    let mut batches: Vec<Vec<Held<'a>>> = Vec::new();
    let mut filled = 0;
    for piece in pieces {
        filled += piece.bytes.len();
        match batches.last_mut().filter(|_| filled <= PIECE) {
            Some(batch) => batch.push(piece),
            None => {
                filled = piece.bytes.len();
                batches.push(vec![piece]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copied::tests::{Sample, samples};
    use safetensors::tensor::{Dtype as FileDtype, TensorView, serialize_to_file};
    use weight_digest::cpu::Cpu;
    use weight_digest::dtype::Dtype;

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
        let apart = held.chunks(1).map(|one| Weighed::in_memory(one, &Cpu).unwrap()).collect();
        let together = Weighed::together(apart);
        assert_eq!((&together.digest, &together.sketch), (&saved.digest, &saved.sketch));
        assert_eq!((weighed.digest, weighed.sketch), (saved.digest, saved.sketch));
        let twice = [held.as_slice(), &held[..1]].concat();
        assert!(Weighed::in_memory(&twice, &Cpu).is_err());
        let short = [Held { bytes: &held[1].bytes[1..], ..held[1] }];
        assert!(Weighed::in_memory(&short, &Cpu).is_err());
    }
}
