//! Digest and comparison of whole checkpoints: pieces of a mebibyte, or of what the engine wants at a time,
//! spread over all cores, joined in order, so that the result does not depend on how many there are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use rayon::prelude::*;
use trail::merkle::Hash;

use crate::checkpoint::{Checkpoint, CheckpointError, Located};
use crate::cpu::Cpu;
use crate::delta::{self, Delta};
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::leaves::LeafRange;
use crate::safetensors::Tensor;
use crate::sketch::{Sketch, SketchKey};
use crate::tree::{self, TensorDigest};
use crate::work::{Desks, PIECE, Piece, Source, piece_for, spread, whole, work};

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
    let (pieces, _) = pieces(checkpoint, &Cpu, false, done)?;
    checkpoint.check_unchanged()?;
    Ok(assemble(checkpoint, &pieces))
}

/// Digests a checkpoint and sketches it, reading it once.
///
/// # Errors
/// A file cannot be read, or changes meanwhile; or the engine fails.
pub fn digest_and_sketch(
    checkpoint: &Checkpoint,
    engine: &dyn Engine,
    done: OnBytes<'_>,
) -> Result<(Digest, Sketch), CheckpointError> {
    let (pieces, sketch) = pieces(checkpoint, engine, true, done)?;
    checkpoint.check_unchanged()?;
    Ok((assemble(checkpoint, &pieces), sketch))
}

/// Bytes a second that each engine digests and sketches of this checkpoint on this machine, tried on about so many
/// bytes from all over it. They are read beforehand, so that no engine waits for the disk in another's stead.
///
/// # Errors
/// A file cannot be read; or an engine fails.
pub fn rates<const N: usize>(
    checkpoint: &Checkpoint,
    engines: [&dyn Engine; N],
    bytes: u64,
) -> Result<[f64; N], CheckpointError> {
    let size = engines.iter().map(|engine| piece_for(*engine)).max().unwrap_or(PIECE);
    let all = work(whole(lengths(checkpoint)), size);
    let pieces = (bytes / size).clamp(1, all.len().max(1) as u64) as usize;
    let every = (all.len() / pieces).max(1);
    let sample: Vec<Piece> = all.into_iter().step_by(every).take(pieces).flatten().collect();
    let size: u64 = sample.iter().map(|piece| piece.bytes.end - piece.bytes.start).sum();
    sample.par_iter().try_for_each(|piece| {
        let located = &checkpoint.tensors()[piece.item];
        piece.bytes.clone().step_by(PIECE as usize).try_for_each(|from| {
            let length = (piece.bytes.end - from).min(PIECE);
            read(checkpoint, located, from, length).map(drop)
        })
    })?;
    let mut best = [0.0_f64; N];
    // The first time, buffers are made as well.
    for _ in 0..2 {
        for (best, engine) in best.iter_mut().zip(engines) {
            let start = Instant::now();
            run(checkpoint, engine, true, sample.iter().cloned(), &|_| ())?;
            *best = best.max(size as f64 / start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// The leaves of each tensor, a piece at a time: some 100 bytes for each mebibyte.
pub(crate) fn pieces(
    checkpoint: &Checkpoint,
    engine: &dyn Engine,
    sketch: bool,
    done: OnBytes<'_>,
) -> Result<(Vec<Vec<LeafRange>>, Sketch), CheckpointError> {
    run(checkpoint, engine, sketch, whole(lengths(checkpoint)), done)
}

fn lengths(checkpoint: &Checkpoint) -> impl Iterator<Item = u64> {
    checkpoint.tensors().iter().map(|located| located.tensor.length)
}

/// The leaves of parts of tensors, a piece at a time, by tensor.
fn run(
    checkpoint: &Checkpoint,
    engine: &dyn Engine,
    sketch: bool,
    parts: impl Iterator<Item = Piece>,
    done: OnBytes<'_>,
) -> Result<(Vec<Vec<LeafRange>>, Sketch), CheckpointError> {
    let tensors = checkpoint.tensors();
    let keys = tensors.iter().map(|located| SketchKey::new(&located.tensor.name)).collect();
    let source = Tensors { checkpoint, keys };
    let desks = Desks::default();
    let work = work(parts, piece_for(engine));
    let results = spread(&work, engine.calls(), |pieces| {
        let leaves = desks.with(|desk| desk.digest(pieces, engine, sketch, &source))?;
        done(pieces.iter().map(|piece| piece.bytes.end - piece.bytes.start).sum());
        Ok(leaves)
    })?;
    let mut leaves: Vec<Vec<LeafRange>> = vec![Vec::new(); tensors.len()];
    for (pieces, results) in work.iter().zip(results) {
        pieces.iter().zip(results).for_each(|(piece, result)| leaves[piece.item].push(result));
    }
    Ok((leaves, desks.sketch()))
}

/// The tensors of a checkpoint as what is worked on.
struct Tensors<'a> {
    checkpoint: &'a Checkpoint,
    keys: Vec<SketchKey>,
}

impl Tensors<'_> {
    fn located(&self, piece: &Piece) -> &Located {
        &self.checkpoint.tensors()[piece.item]
    }
}

impl Source for Tensors<'_> {
    fn kind(&self, piece: &Piece) -> (Dtype, SketchKey) {
        (self.located(piece).tensor.dtype, self.keys[piece.item])
    }

    fn read(&self, piece: &Piece, from: u64, buffer: &mut [u8]) -> Result<(), CheckpointError> {
        self.checkpoint.read(self.located(piece), from, buffer)
    }

    fn mapped(&self, piece: &Piece, bytes: &Range<u64>) -> Option<&[u8]> {
        let length = (bytes.end - bytes.start) as usize;
        self.checkpoint.mapped(self.located(piece), bytes.start, length)
    }
}

pub(crate) fn assemble(checkpoint: &Checkpoint, pieces: &[Vec<LeafRange>]) -> Digest {
    let tensors: Vec<TensorDigest> = checkpoint
        .tensors()
        .iter()
        .zip(pieces)
        .map(|(Located { tensor, .. }, pieces)| TensorDigest {
            name: tensor.name.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            length: tensor.length,
            root: root(pieces),
        })
        .collect();
    Digest { root: tree::root(&tensors), tensors, bytes: checkpoint.bytes() }
}

/// The root over consecutive pieces, the first of which begins at a multiple of a power of two that is at
/// least their number of leaves.
pub(crate) fn root(pieces: &[LeafRange]) -> Hash {
    let mut all = LeafRange::empty(pieces.first().map_or(0, |first| first.leaves().start));
    // They were made one after the other, so each begins where the last one ended.
    let _ = pieces.iter().all(|piece| all.append(piece));
    all.root().unwrap_or_default()
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
    let parts = compare_pieces((old, new), &pairs, done)?;
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

/// Some of a tensor's bytes.
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

/// How the pieces of each pair of tensors differ, in order; `None` for those of packed types.
fn compare_pieces(
    (old, new): (&Checkpoint, &Checkpoint),
    pairs: &[(&Located, &Located)],
    done: OnBytes<'_>,
) -> Result<Vec<Vec<Option<Delta>>>, CheckpointError> {
    let work = work(whole(pairs.iter().map(|(_, after)| after.tensor.length)), PIECE);
    let compare = |piece: &Piece| {
        let (before, after) = pairs[piece.item];
        let (from, length) = (piece.bytes.start, piece.bytes.end - piece.bytes.start);
        let (before, now) = (read(old, before, from, length)?, read(new, after, from, length)?);
        done(length);
        Ok(delta::compare(after.tensor.dtype, &before, &now))
    };
    let results = work
        .par_iter()
        .map(|pieces| pieces.iter().map(compare).collect::<Result<Vec<_>, _>>())
        .collect::<Result<Vec<_>, CheckpointError>>()?;
    let mut deltas = vec![Vec::new(); pairs.len()];
    for (pieces, results) in work.iter().zip(results) {
        pieces.iter().zip(results).for_each(|(piece, delta)| deltas[piece.item].push(delta));
    }
    Ok(deltas)
}
