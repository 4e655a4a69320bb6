//! Digest and comparison of whole checkpoints: spans of a mebibyte, spread over all cores, joined in
//! order, so that the result does not depend on how many there are.

use std::collections::BTreeMap;

use rayon::prelude::*;
use trail::merkle::Hash;

use crate::checkpoint::{Checkpoint, CheckpointError, Located};
use crate::delta::{self, Delta};
use crate::safetensors::Tensor;
use crate::tree::{self, SPAN, SpanDigest, TensorDigest};

/// Told how many bytes were just done, from any thread.
pub type OnBytes<'a> = &'a (dyn Fn(u64) + Sync);

/// A checkpoint's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The root over all tensors.
    pub root: Hash,
    /// The tensors, sorted by name.
    pub tensors: Vec<TensorDigest>,
    /// The bytes of all tensors.
    pub bytes: u64,
}

/// Digests a checkpoint.
///
/// # Errors
/// A file cannot be read, or changes meanwhile.
pub fn digest(checkpoint: &Checkpoint, done: OnBytes<'_>) -> Result<Digest, CheckpointError> {
    let spans = spans(checkpoint, done)?;
    checkpoint.check_unchanged()?;
    Ok(assemble(checkpoint, &spans))
}

/// The spans of each tensor: some 64 bytes for each mebibyte.
pub(crate) fn spans(
    checkpoint: &Checkpoint,
    done: OnBytes<'_>,
) -> Result<Vec<Vec<SpanDigest>>, CheckpointError> {
    map_spans(
        checkpoint.tensors(),
        |located| located.tensor.length,
        |located, from, length| {
            let bytes = read(checkpoint, located, from, length)?;
            done(length);
            Ok(tree::hash_span(&bytes))
        },
    )
}

pub(crate) fn assemble(checkpoint: &Checkpoint, spans: &[Vec<SpanDigest>]) -> Digest {
    let tensors: Vec<TensorDigest> = checkpoint
        .tensors()
        .iter()
        .zip(spans)
        .map(|(Located { tensor, .. }, spans)| TensorDigest {
            name: tensor.name.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            length: tensor.length,
            root: tree::join_spans(spans),
        })
        .collect();
    Digest { root: tree::root(&tensors), tensors, bytes: checkpoint.bytes() }
}

/// How two checkpoints differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Over all tensors that both have.
    pub total: Delta,
    /// Per tensor, by name.
    pub tensors: BTreeMap<String, Delta>,
    /// Tensors whose packed values are not compared.
    pub not_compared: Vec<String>,
    /// Tensors that only one side has, or whose type or shape changed.
    pub structure: Vec<StructureChange>,
}

/// A difference in which tensors there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructureChange {
    /// The tensor.
    pub name: String,
    /// What is different about it.
    pub what: &'static str,
}

/// Compares two checkpoints, tensor by tensor.
///
/// # Errors
/// A file cannot be read, or changes meanwhile.
pub fn compare(
    old: &Checkpoint,
    new: &Checkpoint,
    done: OnBytes<'_>,
) -> Result<Comparison, CheckpointError> {
    let (pairs, structure) = pair(old, new);
    let parts = map_spans(
        &pairs,
        |(_, after)| after.tensor.length,
        |(before, after), from, length| {
            let delta = delta::compare(
                after.tensor.dtype,
                &read(old, before, from, length)?,
                &read(new, after, from, length)?,
            );
            done(length);
            Ok(delta)
        },
    )?;
    old.check_unchanged()?;
    new.check_unchanged()?;
    let mut comparison = Comparison { structure, ..Comparison::default() };
    for ((_, located), parts) in pairs.iter().zip(parts) {
        let Tensor { name, dtype, .. } = &located.tensor;
        if dtype.value_bytes().is_none() {
            comparison.not_compared.push(name.clone());
            continue;
        }
        let mut delta = Delta::default();
        parts.iter().flatten().for_each(|part| delta.join(part));
        comparison.total.join(&delta);
        comparison.tensors.insert(name.clone(), delta);
    }
    Ok(comparison)
}

/// The tensors that both have alike, and how the two differ otherwise.
fn pair<'a>(
    old: &'a Checkpoint,
    new: &'a Checkpoint,
) -> (Vec<(&'a Located, &'a Located)>, Vec<StructureChange>) {
    let mut before: BTreeMap<&str, &Located> =
        old.tensors().iter().map(|located| (located.tensor.name.as_str(), located)).collect();
    let (mut pairs, mut changes) = (Vec::new(), Vec::new());
    for located in new.tensors() {
        let Tensor { name, dtype, shape, .. } = &located.tensor;
        let what = match before.remove(name.as_str()) {
            None => "only in the new checkpoint",
            Some(old) if old.tensor.dtype != *dtype => "its type has changed",
            Some(old) if old.tensor.shape != *shape => "its shape has changed",
            Some(old) => {
                pairs.push((old, located));
                continue;
            }
        };
        changes.push(StructureChange { name: name.clone(), what });
    }
    let gone = before.into_keys();
    changes.extend(
        gone.map(|name| StructureChange {
            name: name.to_owned(),
            what: "only in the old checkpoint",
        }),
    );
    (pairs, changes)
}

/// At most a span of a tensor's bytes.
pub(crate) fn read(
    checkpoint: &Checkpoint,
    located: &Located,
    from: u64,
    length: u64,
) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = vec![0; length as usize];
    checkpoint.read(located, from, &mut bytes)?;
    Ok(bytes)
}

/// Runs over the spans of all items side by side; the results come in order, per item.
fn map_spans<T: Sync, R: Send>(
    items: &[T],
    length: impl Fn(&T) -> u64,
    run: impl Fn(&T, u64, u64) -> Result<R, CheckpointError> + Sync,
) -> Result<Vec<Vec<R>>, CheckpointError> {
    let mut work = Vec::new();
    let mut counts = Vec::with_capacity(items.len());
    for item in items {
        let length = length(item);
        let spans = (0..length.div_ceil(SPAN)).map(|span| span * SPAN);
        work.extend(spans.map(|from| (item, from, SPAN.min(length - from))));
        counts.push(length.div_ceil(SPAN) as usize);
    }
    let results: Vec<R> = work
        .par_iter()
        .map(|(item, from, length)| run(item, *from, *length))
        .collect::<Result<_, _>>()?;
    let mut results = results.into_iter();
    Ok(counts.into_iter().map(|count| results.by_ref().take(count).collect()).collect())
}
