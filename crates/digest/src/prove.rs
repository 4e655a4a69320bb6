//! Proofs made from a checkpoint on disk: it is hashed once, and of the tensor in question the hashes of
//! its pieces are kept, so that memory does not grow with the model; the few leaves beside the piece are
//! read again.

use std::ops::Range;

use thiserror::Error;
use trail::merkle::{self, Frontier, Hash, NodeReader, leaf_hash};
use trail::range::{self, RangeError};

use crate::checkpoint::{Checkpoint, CheckpointError, Located};
use crate::compute::{self, Digest, OnBytes};
use crate::cpu::{self, Cpu};
use crate::leaves::LeafRange;
use crate::proof::{self, MAX_BYTES, Piece, WeightProof, leaves};
use crate::safetensors::Tensor;
use crate::tree::{LEAF, TensorDigest};
use crate::work::PIECE_LEVEL;

/// Names told where the one asked for is not there.
const SUGGESTED: usize = 5;

/// Why no proof can be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It has no such tensor.
    #[error("it holds no tensor `{name}`; {}", nearest_in_words(nearest, *tensors))]
    NoTensor {
        /// The name asked for.
        name: String,
        /// Those most like it.
        nearest: Vec<String>,
        /// How many there are.
        tensors: usize,
    },
    /// The tensor has no such bytes.
    #[error("the tensor `{name}` has {length} bytes in {} leaves, from 0; {asked} is not among them", leaves(*length))]
    NoPiece {
        /// The tensor.
        name: String,
        /// Its bytes.
        length: u64,
        /// What was asked for.
        asked: String,
    },
    /// The name alone is too long for a proof.
    #[error("the tensor's name is too long for a proof")]
    TooLong,
}

/// What of a tensor is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// All of it.
    Whole,
    /// One leaf, counted from 0.
    Leaf(u64),
    /// These bytes, and those that fill their leaves.
    Bytes(Range<u64>),
}

/// Proves that a tensor, or a part of it, belongs to the checkpoint.
///
/// # Errors
/// There is no such tensor or part, a file cannot be read, or changes meanwhile.
pub fn prove(
    checkpoint: &Checkpoint,
    name: &str,
    part: &Part,
    done: OnBytes<'_>,
) -> Result<(WeightProof, Digest), ProveError> {
    // Sorted by the bytes of their names, as in the tree.
    let (index, located) = find(checkpoint, name)?;
    let wanted = part_leaves(&located.tensor.name, located.tensor.length, part)?;
    let (pieces, _) = compute::pieces(checkpoint, &Cpu, false, done)?;
    let digest = compute::assemble(checkpoint, &pieces);
    let piece = match wanted {
        None => None,
        Some(leaves) => {
            let tree = TensorTree { checkpoint, located, pieces: &pieces[index] };
            let path = range::path(&leaves, proof::leaves(located.tensor.length), &tree)?;
            Some(Piece { leaves, path })
        }
    };
    let over = Tensors(&digest.tensors);
    let (place, count) = (index as u64, digest.tensors.len() as u64);
    let proof = WeightProof {
        root: digest.root,
        tensors: count,
        index: place,
        tensor: digest.tensors[index].clone(),
        path: merkle::inclusion_path(place, count, &over)?,
        piece,
    };
    if proof.to_bytes().len() > MAX_BYTES {
        return Err(ProveError::TooLong);
    }
    check(&proof, checkpoint, located)?;
    checkpoint.check_unchanged()?;
    Ok((proof, digest))
}

/// A piece was read after the hashing: it must be what was hashed.
fn check(
    proof: &WeightProof,
    checkpoint: &Checkpoint,
    located: &Located,
) -> Result<(), CheckpointError> {
    if proof.piece.is_none() {
        return Ok(());
    }
    match leads_to(proof, checkpoint, located) {
        Ok(root) if root == proof.root => Ok(()),
        Err(RangeError::Leaf(e)) => Err(e),
        _ => Err(checkpoint.rewritten(located)),
    }
}

/// The weight root that a tensor on disk leads to by a proof; the two have the same number of bytes.
///
/// # Errors
/// The file cannot be read, or the proof's paths do not fit.
pub fn leads_to(
    proof: &WeightProof,
    checkpoint: &Checkpoint,
    located: &Located,
) -> Result<Hash, RangeError<CheckpointError>> {
    let Tensor { dtype, shape, .. } = &located.tensor;
    proof.leads_to(*dtype, shape, |bytes| {
        compute::read(checkpoint, located, bytes.start, bytes.end - bytes.start)
    })
}

/// The tensor of this name, and where it stands.
///
/// # Errors
/// There is none; the error tells names like it.
pub fn find<'a>(
    checkpoint: &'a Checkpoint,
    name: &str,
) -> Result<(usize, &'a Located), ProveError> {
    let tensors = checkpoint.tensors();
    let at =
        tensors.binary_search_by(|located| located.tensor.name.as_bytes().cmp(name.as_bytes()));
    at.map(|index| (index, &tensors[index])).map_err(|_| {
        let names = tensors.iter().map(|located| located.tensor.name.as_str());
        let nearest = nearest(name, names);
        ProveError::NoTensor { name: shown(name), nearest, tensors: tensors.len() }
    })
}

/// The leaves that hold a part; `None` where it is the whole tensor.
fn part_leaves(name: &str, length: u64, part: &Part) -> Result<Option<Range<u64>>, ProveError> {
    let all = leaves(length);
    let no = |asked: String| ProveError::NoPiece { name: shown(name), length, asked };
    let wanted = match part {
        Part::Whole => return Ok(None),
        Part::Leaf(leaf) if *leaf < all => *leaf..leaf + 1,
        Part::Leaf(leaf) => return Err(no(format!("leaf {leaf}"))),
        Part::Bytes(bytes) if bytes.start < bytes.end && bytes.end <= length => {
            bytes.start / LEAF as u64..leaves(bytes.end)
        }
        Part::Bytes(bytes) => return Err(no(format!("the range {}..{}", bytes.start, bytes.end))),
    };
    Ok((wanted != (0..all)).then_some(wanted))
}

/// The tree over a tensor's bytes: above the pieces of a mebibyte from their hashes, below from the file.
struct TensorTree<'a> {
    checkpoint: &'a Checkpoint,
    located: &'a Located,
    pieces: &'a [LeafRange],
}

impl NodeReader for TensorTree<'_> {
    type Error = CheckpointError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, CheckpointError> {
        if let Some(above) = level.checked_sub(PIECE_LEVEL) {
            let (first, count) = ((index << above) as usize, 1 << above);
            let pieces = self.pieces.get(first..).unwrap_or_default();
            return Ok(compute::root(&pieces[..pieces.len().min(count)]));
        }
        let from = (index << level) * LEAF as u64;
        let length = ((LEAF as u64) << level).min(self.located.tensor.length - from);
        let bytes = compute::read(self.checkpoint, self.located, from, length)?;
        let first = index << level;
        Ok(compute::root(&[cpu::hash_leaves_from(first, &bytes)]))
    }
}

/// The tree over all tensors.
struct Tensors<'a>(&'a [TensorDigest]);

impl NodeReader for Tensors<'_> {
    type Error = CheckpointError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, CheckpointError> {
        let first = (index << level) as usize;
        let leaves = self.0.iter().skip(first).take(1 << level);
        let mut frontier = Frontier::default();
        leaves.for_each(|tensor| frontier.push(leaf_hash(&tensor.leaf())));
        Ok(frontier.root())
    }
}

/// The names most like one that is not there, those that share most of their parts first.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let parts = |name: &str| name.split(['.', '_', '/']).map(str::to_lowercase).collect::<Vec<_>>();
    let asked = parts(name);
    let mut scored: Vec<(usize, &str)> = names
        .map(|name| {
            let has = parts(name);
            (asked.iter().filter(|part| has.contains(part)).count(), name)
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(SUGGESTED).map(|(_, name)| shown(name)).collect()
}

fn nearest_in_words(nearest: &[String], tensors: usize) -> String {
    let names: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
    match tensors {
        0 => "it holds none at all".to_owned(),
        _ if nearest.len() == tensors => format!("it holds {}", names.join(", ")),
        _ => format!("the nearest of its {tensors} are {}", names.join(", ")),
    }
}

/// A name from a strange file, short enough for a message.
fn shown(name: &str) -> String {
    name.chars().take(200).collect()
}
