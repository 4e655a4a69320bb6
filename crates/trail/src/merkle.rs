//! The Merkle tree of RFC 6962 §2.1 over SHA-256
//! (<https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1>).
//!
//! Proofs are made here from any source of node hashes, so the tree need not be in memory, and are
//! verified by the crate `ct-merkle`, which we did not write.

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The largest tree handled: 2⁵³ − 1, the largest integer every JSON reader keeps. It also keeps
/// `ct-merkle`, which panics at 2⁶⁴ − 1, far from its limits.
pub const MAX_SIZE: u64 = (1 << 53) - 1;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The right edge of a growing tree: enough to append leaves and to name the root at every size,
/// in memory that grows with the logarithm of the tree.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees that make up the tree, largest first.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit of the old size is a complete subtree that the new leaf doubles.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// Appends all leaves of another frontier. The leaves here must be a multiple of a power of two that
    /// is at least the other's size, so that the other's subtrees stay subtrees of the whole.
    pub fn append(&mut self, other: &Self) {
        let mut rest = other.size;
        for subtree in &other.subtrees {
            let width = 1 << rest.ilog2();
            rest -= width;
            let mut hash = *subtree;
            for _ in 0..(self.size / width).trailing_ones() {
                if let Some(left) = self.subtrees.pop() {
                    hash = node_hash(&left, &hash);
                }
            }
            self.subtrees.push(hash);
            self.size += width;
        }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees that make up the tree, largest first: what to keep of it.
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Takes up a tree from what was kept of it; `None` when a tree of that size has more or fewer parts.
    pub fn from_subtrees(size: u64, subtrees: Vec<Hash>) -> Option<Self> {
        (subtrees.len() == size.count_ones() as usize).then_some(Self { size, subtrees })
    }

    /// The right edge of the tree of `size` leaves that a reader has.
    ///
    /// # Errors
    /// The reader's.
    pub fn read<R: NodeReader>(size: u64, reader: &R) -> Result<Self, R::Error> {
        let mut subtrees = Vec::new();
        let mut begin = 0;
        for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
            subtrees.push(reader.node(level, begin >> level)?);
            begin += 1 << level;
        }
        Ok(Self { size, subtrees })
    }

    /// The Merkle tree hash of all leaves so far.
    pub fn root(&self) -> Hash {
        fold_right(&self.subtrees).unwrap_or_else(empty_root)
    }
}

/// Joins subtree roots, largest first, into the root of the whole.
pub(crate) fn fold_right(subtrees: &[Hash]) -> Option<Hash> {
    subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right))
}

/// A source of the hashes of complete subtrees.
pub trait NodeReader {
    /// What can go wrong while reading.
    type Error;

    /// The root of the complete subtree over the leaves `[index · 2^level, (index + 1) · 2^level)`.
    ///
    /// # Errors
    /// The hash cannot be had.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The Merkle tree hash of the first `size` leaves.
///
/// # Errors
/// The reader's.
pub fn root<R: NodeReader>(size: u64, reader: &R) -> Result<Hash, R::Error> {
    if size == 0 { Ok(empty_root()) } else { subtree(0, size, reader) }
}

/// MTH(D[begin:end]), where `begin` is a multiple of the smallest power of two that holds the range.
pub(crate) fn subtree<R: NodeReader>(begin: u64, end: u64, reader: &R) -> Result<Hash, R::Error> {
    let width = end - begin;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        return reader.node(level, begin >> level);
    }
    let split = begin + largest_power_below(width);
    Ok(node_hash(&subtree(begin, split, reader)?, &subtree(split, end, reader)?))
}

/// The largest power of two smaller than `n`, which is at least 2.
pub(crate) fn largest_power_below(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf's sibling up. The caller makes sure that
/// `index < size`; otherwise the path is empty.
///
/// # Errors
/// The reader's.
pub fn inclusion_path<R: NodeReader>(
    index: u64,
    size: u64,
    reader: &R,
) -> Result<Vec<Hash>, R::Error> {
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    if index >= size {
        return Ok(path);
    }
    while end - begin > 1 {
        let split = begin + largest_power_below(end - begin);
        if index < split {
            path.push(subtree(split, end, reader)?);
            end = split;
        } else {
            path.push(subtree(begin, split, reader)?);
            begin = split;
        }
    }
    path.reverse();
    Ok(path)
}

/// PROOF(old, D[new]) of RFC 6962 §2.1.2. Empty when `old` is 0 or not smaller than `new`.
///
/// # Errors
/// The reader's.
pub fn consistency_path<R: NodeReader>(
    old: u64,
    new: u64,
    reader: &R,
) -> Result<Vec<Hash>, R::Error> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut begin, mut end) = (0, new);
    while end != old {
        let split = begin + largest_power_below(end - begin);
        if old <= split {
            path.push(subtree(split, end, reader)?);
            end = split;
        } else {
            path.push(subtree(begin, split, reader)?);
            begin = split;
        }
    }
    // When the old tree is itself a complete subtree from the left, its root is the one already known.
    if begin != 0 {
        path.push(subtree(begin, end, reader)?);
    }
    path.reverse();
    Ok(path)
}

/// Why a proof does not hold.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// A size or index out of range.
    #[error("a tree size or index is out of range")]
    OutOfRange,
    /// The proof has the wrong number of hashes for these sizes.
    #[error("the proof has the wrong length")]
    WrongLength,
    /// The proof leads to another root.
    #[error("the proof does not lead to the root")]
    WrongRoot,
}

/// Verifies that `entry` stands at `index` in the tree of `size` leaves with this `root`.
///
/// # Errors
/// It does not, or the proof is malformed.
pub fn verify_inclusion(
    entry: &[u8],
    index: u64,
    size: u64,
    root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if size > MAX_SIZE || index >= size {
        return Err(ProofError::OutOfRange);
    }
    let proof = InclusionProof::<Sha256>::try_from_bytes(path.concat())
        .map_err(|_| ProofError::WrongLength)?;
    root_hash(root, size).verify_inclusion(&entry, index, &proof).map_err(|e| match e {
        ct_merkle::InclusionVerifError::IncorrectHash => ProofError::WrongRoot,
        _ => ProofError::WrongLength,
    })
}

/// Verifies that the tree `(old_size, old_root)` is a prefix of `(new_size, new_root)`.
///
/// # Errors
/// It is not, or the proof is malformed.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if new_size > MAX_SIZE || old_size > new_size {
        return Err(ProofError::OutOfRange);
    }
    // The empty tree is a prefix of every tree, which ct-merkle leaves to its caller.
    if old_size == 0 {
        return match (path.is_empty(), *old_root == empty_root()) {
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::WrongRoot),
            (true, true) if new_size == 0 && *new_root != empty_root() => {
                Err(ProofError::WrongRoot)
            }
            (true, true) => Ok(()),
        };
    }
    let proof = ConsistencyProof::<Sha256>::try_from_bytes(path.concat())
        .map_err(|_| ProofError::WrongLength)?;
    root_hash(new_root, new_size)
        .verify_consistency(&root_hash(old_root, old_size), &proof)
        .map_err(|e| match e {
            ct_merkle::ConsistencyVerifError::VerificationFailure => ProofError::WrongRoot,
            _ => ProofError::WrongLength,
        })
}

fn root_hash(root: &Hash, size: u64) -> RootHash<Sha256> {
    RootHash::new((*root).into(), size)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// All levels of a tree in memory, for tests.
    pub struct Levels(Vec<Vec<Hash>>);

    impl Levels {
        pub fn new(leaves: Vec<Hash>) -> Self {
            let mut levels = vec![leaves];
            while levels[levels.len() - 1].len() > 1 {
                let below = &levels[levels.len() - 1];
                let above =
                    below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
                levels.push(above);
            }
            Self(levels)
        }
    }

    impl NodeReader for Levels {
        type Error = Infallible;
        fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
            Ok(self.0[level as usize][index as usize])
        }
    }

    fn entries(n: u64) -> Vec<Vec<u8>> {
        (0..n).map(|i| i.to_be_bytes().to_vec()).collect()
    }

    #[test]
    fn root_of_no_leaves_is_sha256_of_nothing() {
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(Frontier::default().root()), expected);
    }

    #[test]
    fn agrees_with_ct_merkle_at_every_small_size() {
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut frontier = Frontier::default();
        for (n, entry) in entries(130).into_iter().enumerate() {
            oracle.push(entry.clone());
            frontier.push(leaf_hash(&entry));
            let n = n as u64 + 1;
            let levels = Levels::new(entries(n).iter().map(|e| leaf_hash(e)).collect());
            let expected: Hash = (*oracle.root().as_bytes()).into();
            assert_eq!(frontier.root(), expected);
            assert_eq!(root(n, &levels).unwrap(), expected);
            for index in 0..n {
                let path = inclusion_path(index, n, &levels).unwrap();
                assert_eq!(path.concat(), oracle.prove_inclusion(index as usize).as_bytes());
            }
            for old in 1..n {
                let path = consistency_path(old, n, &levels).unwrap();
                let oracle = oracle.prove_consistency((n - old) as usize);
                assert_eq!(path.concat(), oracle.as_bytes());
            }
        }
    }

    #[test]
    fn sizes_at_the_limits_do_not_panic() {
        for size in [0, 1, MAX_SIZE, MAX_SIZE + 1, u64::MAX - 1, u64::MAX] {
            for other in [0, 1, size / 2, size.wrapping_sub(1), size] {
                for path in [vec![], vec![[0; 32]; 53], vec![[0; 32]; 64]] {
                    let _ = verify_inclusion(b"", other, size, &[0; 32], &path);
                    let _ = verify_consistency(other, &[0; 32], size, &[0; 32], &path);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn proofs_hold_and_nothing_else_does(size in 1u64..600, a in 0u64..600, b in 0u64..600) {
            let all = entries(size);
            let levels = Levels::new(all.iter().map(|e| leaf_hash(e)).collect());
            let (index, other) = (a % size, b % size);
            let top = root(size, &levels).unwrap();
            let path = inclusion_path(index, size, &levels).unwrap();
            prop_assert!(verify_inclusion(&all[index as usize], index, size, &top, &path).is_ok());
            if other != index {
                prop_assert!(verify_inclusion(&all[index as usize], other, size, &top, &path).is_err());
                prop_assert!(verify_inclusion(&all[other as usize], index, size, &top, &path).is_err());
            }
            let old = other;
            let old_root = root(old, &levels).unwrap();
            let path = consistency_path(old, size, &levels).unwrap();
            prop_assert!(verify_consistency(old, &old_root, size, &top, &path).is_ok());
            prop_assert!(verify_consistency(old, &[1; 32], size, &top, &path).is_err());
            if old != 0 {
                prop_assert!(verify_consistency(old, &old_root, size, &[1; 32], &path).is_err());
            }
        }
    }
}
