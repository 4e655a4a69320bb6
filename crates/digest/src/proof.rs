//! The proof that one tensor, or some leaves of it, belong to a checkpoint, without the rest of it
//! (`.weight-proof`, `transparency/weights.md`).

use std::convert::Infallible;
use std::ops::Range;

use ciborium::Value;
use thiserror::Error;
use trail::cbor;
use trail::merkle::{Hash, MAX_SIZE, empty_root, leaf_hash};
use trail::range::{self, RangeError};

use crate::dtype::Dtype;
use crate::tree::{LEAF, TensorDigest};

/// The format version this module reads and writes.
pub const VERSION: u64 = 1;

/// The largest proof, in bytes; the longest paths take some 6 kB, so the rest is the tensor's name.
pub const MAX_BYTES: usize = 1 << 20;

/// A proof; what it says is not verified until it is held against a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightProof {
    /// The weight root of the checkpoint.
    pub root: Hash,
    /// How many tensors the checkpoint has.
    pub tensors: u64,
    /// Where the tensor stands among them, sorted by name.
    pub index: u64,
    /// The tensor.
    pub tensor: TensorDigest,
    /// The inclusion path of the tensor's leaf, from the sibling up.
    pub path: Vec<Hash>,
    /// Some leaves of the tensor; `None` where the proof is of all.
    pub piece: Option<Piece>,
}

/// Some leaves of a tensor, and not all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The leaves.
    pub leaves: Range<u64>,
    /// The hashes that lead from them to the tensor's root.
    pub path: Vec<Hash>,
}

/// Why bytes are no proof.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightProofError {
    /// Something else altogether.
    #[error("not a weight proof, which `rlhf-audit digest PATH --prove TENSOR` writes")]
    Foreign,
    /// Of a later version.
    #[error(
        "this weight proof is of version {0} and this program reads version {VERSION}; use a newer one"
    )]
    Version(u64),
    /// It begins like one.
    #[error("this weight proof is cut short or damaged: {0}; ask for it again")]
    Damaged(&'static str),
}

const PATH_LENGTH: &str = "a path of it has the wrong number of hashes";

/// How many leaves so many bytes take.
pub fn leaves(length: u64) -> u64 {
    length.div_ceil(LEAF as u64)
}

impl WeightProof {
    /// Whether the bytes begin like a proof: a map whose first key is `v`.
    pub fn is_one(bytes: &[u8]) -> bool {
        matches!(bytes, [0xa1..=0xb7, 0x61, b'v', ..])
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hashes = |path: &[Hash]| {
            Value::Array(path.iter().map(|hash| Value::Bytes(hash.to_vec())).collect())
        };
        let mut map = vec![
            ("v", Value::from(VERSION)),
            ("path", hashes(&self.path)),
            ("root", Value::Bytes(self.root.to_vec())),
            ("index", Value::from(self.index)),
            ("tensor", self.tensor.value()),
            ("tensors", Value::from(self.tensors)),
        ];
        map.extend(self.piece.as_ref().map(|piece| {
            let (first, end) = (Value::from(piece.leaves.start), Value::from(piece.leaves.end));
            ("piece", Value::Array(vec![first, end, hashes(&piece.path)]))
        }));
        // Text keys, none twice, and no tag: it can always be written.
        cbor::encode(&cbor::map(map)).unwrap_or_default()
    }

    /// Reads a proof; what it says is not verified yet.
    ///
    /// # Errors
    /// It is none of this version, whole, deterministically encoded and within its own bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, WeightProofError> {
        if !Self::is_one(bytes) {
            return Err(WeightProofError::Foreign);
        }
        if bytes.len() > MAX_BYTES {
            return Err(WeightProofError::Damaged("it is longer than any"));
        }
        let map = cbor::decode(bytes)
            .map_err(|_| WeightProofError::Damaged("it is not one value in deterministic CBOR"))?;
        match cbor::get(&map, "v").and_then(cbor::as_u64) {
            Some(VERSION) => {}
            Some(other) => return Err(WeightProofError::Version(other)),
            None => return Err(WeightProofError::Foreign),
        }
        let proof = Self::read(&map)
            .ok_or(WeightProofError::Damaged("a field is missing, or not what it must be"))?;
        // Whatever else stands in the map is not written again.
        if proof.to_bytes() != bytes {
            return Err(WeightProofError::Damaged("it holds a field that no proof has"));
        }
        proof.check_bounds()?;
        Ok(proof)
    }

    fn read(map: &Value) -> Option<Self> {
        let number = |key| cbor::as_u64(cbor::get(map, key)?);
        let piece = match cbor::get(map, "piece") {
            None => None,
            Some(piece) => {
                let [first, end, path] = piece.as_array()?.as_slice() else { return None };
                let leaves = cbor::as_u64(first)?..cbor::as_u64(end)?;
                Some(Piece { leaves, path: hashes(path)? })
            }
        };
        Some(Self {
            root: cbor::as_array(cbor::get(map, "root")?)?,
            tensors: number("tensors")?,
            index: number("index")?,
            tensor: TensorDigest::from_value(cbor::get(map, "tensor")?)?,
            path: hashes(cbor::get(map, "path")?)?,
            piece,
        })
    }

    fn check_bounds(&self) -> Result<(), WeightProofError> {
        let damaged = |why| Err(WeightProofError::Damaged(why));
        let all = leaves(self.tensor.length);
        if self.tensors > MAX_SIZE || self.index >= self.tensors {
            return damaged("its tensor would stand outside the checkpoint");
        }
        if self.tensor.dtype.length(&self.tensor.shape) != Some(self.tensor.length) {
            return damaged("the tensor's shape and type do not give its number of bytes");
        }
        if all > MAX_SIZE {
            return damaged("its tensor is larger than any");
        }
        let place = self.index..self.index + 1;
        if self.path.len() != range::path_length(&place, self.tensors) {
            return damaged(PATH_LENGTH);
        }
        match &self.piece {
            Some(Piece { leaves, .. }) if leaves.start >= leaves.end || leaves.end > all => {
                damaged("its leaves lie outside the tensor")
            }
            Some(Piece { leaves, .. }) if *leaves == (0..all) => {
                damaged("its leaves are all of the tensor's")
            }
            Some(Piece { leaves, path }) if path.len() != range::path_length(leaves, all) => {
                damaged(PATH_LENGTH)
            }
            _ => Ok(()),
        }
    }

    /// The bytes of the tensor that the proof is about.
    pub fn bytes(&self) -> Range<u64> {
        match &self.piece {
            None => 0..self.tensor.length,
            Some(Piece { leaves, .. }) => {
                leaves.start * LEAF as u64..(leaves.end * LEAF as u64).min(self.tensor.length)
            }
        }
    }

    /// The weight root that a tensor with this type, shape and bytes leads to under this proof's name and
    /// place: what is held belongs to the checkpoint exactly if it is [`WeightProof::root`]. `read` gives
    /// the tensor's bytes of a range that is at most a leaf, one after the other; of a proof of a piece
    /// those of [`WeightProof::bytes`] only. The length is the proof's.
    ///
    /// # Errors
    /// `read` fails, or a path of the proof does not fit.
    pub fn leads_to<E>(
        &self,
        dtype: Dtype,
        shape: &[u64],
        mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
    ) -> Result<Hash, RangeError<E>> {
        let all = leaves(self.tensor.length);
        let leaf = |index: u64| {
            let start = index * LEAF as u64;
            let end = self.tensor.length.min(start + LEAF as u64);
            read(start..end).map(|bytes| leaf_hash(&bytes))
        };
        let root = match &self.piece {
            None if all == 0 => empty_root(),
            None => range::root(&(0..all), all, &[], leaf)?,
            Some(piece) => range::root(&piece.leaves, all, &piece.path, leaf)?,
        };
        let held = TensorDigest { dtype, shape: shape.to_vec(), root, ..self.tensor.clone() };
        self.record_root(&held).map_err(|e| match e {
            RangeError::OutOfRange => RangeError::OutOfRange,
            _ => RangeError::WrongLength,
        })
    }

    /// The weight root that the tensor's own entry in the proof leads to: that the checkpoint has a tensor
    /// of this name, type, shape and root, whoever holds its bytes.
    ///
    /// # Errors
    /// The path of the proof does not fit.
    pub fn record_leads_to(&self) -> Result<Hash, RangeError<Infallible>> {
        self.record_root(&self.tensor)
    }

    fn record_root(&self, tensor: &TensorDigest) -> Result<Hash, RangeError<Infallible>> {
        let place = self.index..self.index.saturating_add(1);
        range::root(&place, self.tensors, &self.path, |_| Ok(leaf_hash(&tensor.leaf())))
    }
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    value.as_array()?.iter().map(cbor::as_array).collect()
}
