//! Proofs that consecutive leaves stand where they are said to stand in a tree of RFC 6962.
//!
//! For one leaf such a path is the inclusion path of RFC 6962 §2.1.1; for more it is the same
//! recursion, which goes down on both sides where leaves of the range lie on both. The specification is
//! `transparency/weights.md`.

use std::convert::Infallible;
use std::ops::Range;

use thiserror::Error;

use crate::merkle::{Hash, MAX_SIZE, NodeReader, largest_power_below, node_hash, subtree};

/// Why leaves and a path give no root.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeError<E = Infallible> {
    /// The range is empty or goes beyond the tree, or the tree is larger than any.
    #[error("the leaves lie outside the tree")]
    OutOfRange,
    /// The path has the wrong number of hashes for these leaves.
    #[error("the path has the wrong length")]
    WrongLength,
    /// A leaf cannot be had.
    #[error(transparent)]
    Leaf(E),
}

/// The hashes that lead from the leaves of `range` to the root of the tree of `size` leaves. The caller
/// makes sure that the range is in the tree; otherwise the path is empty.
///
/// # Errors
/// The reader's.
pub fn path<R: NodeReader>(
    range: &Range<u64>,
    size: u64,
    reader: &R,
) -> Result<Vec<Hash>, R::Error> {
    let mut path = Vec::new();
    if is_within(range, size) {
        collect(range, 0..size, reader, &mut path)?;
    }
    Ok(path)
}

/// How many hashes the path of a range has; 0 where the range is not in the tree.
pub fn path_length(range: &Range<u64>, size: u64) -> usize {
    struct AnyNode;

    impl NodeReader for AnyNode {
        type Error = Infallible;

        fn node(&self, _: u32, _: u64) -> Result<Hash, Infallible> {
            Ok([0; 32])
        }
    }

    path(range, size, &AnyNode).map_or(0, |path| path.len())
}

fn collect<R: NodeReader>(
    range: &Range<u64>,
    within: Range<u64>,
    reader: &R,
    path: &mut Vec<Hash>,
) -> Result<(), R::Error> {
    if range.start <= within.start && within.end <= range.end {
        return Ok(());
    }
    let Some((left, right)) = halves(&within) else { return Ok(()) };
    let (in_left, in_right) = (meet(range, &left), meet(range, &right));
    if in_left {
        collect(range, left.clone(), reader, path)?;
    }
    if in_right {
        collect(range, right.clone(), reader, path)?;
    }
    if !in_left {
        path.push(subtree(left.start, left.end, reader)?);
    }
    if !in_right {
        path.push(subtree(right.start, right.end, reader)?);
    }
    Ok(())
}

/// The root that the leaves of `range` lead to by this `path`. `leaf` gives the hash of each leaf, asked
/// for in order, so that they need not be in memory.
///
/// # Errors
/// The range is not in the tree, the path does not fit it, or a leaf cannot be had.
pub fn root<E>(
    range: &Range<u64>,
    size: u64,
    path: &[Hash],
    mut leaf: impl FnMut(u64) -> Result<Hash, E>,
) -> Result<Hash, RangeError<E>> {
    if !is_within(range, size) {
        return Err(RangeError::OutOfRange);
    }
    let mut rest = path.iter();
    let root = fold(range, 0..size, &mut rest, &mut leaf)?;
    if rest.next().is_some() { Err(RangeError::WrongLength) } else { Ok(root) }
}

fn fold<E>(
    range: &Range<u64>,
    within: Range<u64>,
    path: &mut std::slice::Iter<'_, Hash>,
    leaf: &mut impl FnMut(u64) -> Result<Hash, E>,
) -> Result<Hash, RangeError<E>> {
    let Some((left, right)) = halves(&within) else {
        return leaf(within.start).map_err(RangeError::Leaf);
    };
    let mut inside = |half: Range<u64>, path: &mut std::slice::Iter<'_, Hash>| {
        meet(range, &half).then(|| fold(range, half, path, leaf)).transpose()
    };
    let (in_left, in_right) = (inside(left, path)?, inside(right, path)?);
    let mut outside = || path.next().copied().ok_or(RangeError::WrongLength);
    let left = in_left.map_or_else(&mut outside, Ok)?;
    let right = in_right.map_or_else(&mut outside, Ok)?;
    Ok(node_hash(&left, &right))
}

fn is_within(range: &Range<u64>, size: u64) -> bool {
    range.start < range.end && range.end <= size && size <= MAX_SIZE
}

/// The two subtrees below a node; none below a leaf.
fn halves(within: &Range<u64>) -> Option<(Range<u64>, Range<u64>)> {
    let width = within.end - within.start;
    let split = within.start + (width > 1).then(|| largest_power_below(width))?;
    Some((within.start..split, split..within.end))
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merkle::tests::Levels;
    use crate::merkle::{self, inclusion_path, leaf_hash, verify_inclusion};

    fn leaf(index: u64) -> Result<Hash, Infallible> {
        Ok(leaf_hash(&index.to_be_bytes()))
    }

    #[test]
    fn every_range_of_every_small_tree_leads_to_its_root() {
        for size in 1..20 {
            let levels = Levels::new((0..size).map(|i| leaf(i).unwrap()).collect());
            let top = merkle::root(size, &levels).unwrap();
            for range in (0..size).flat_map(|a| (a + 1..=size).map(move |b| a..b)) {
                let path = path(&range, size, &levels).unwrap();
                assert_eq!(path.len(), path_length(&range, size));
                assert_eq!(root(&range, size, &path, leaf), Ok(top), "{range:?} of {size}");
                let moved = |index| leaf(index ^ 1);
                if range.end - range.start < size {
                    assert_ne!(root(&range, size, &path, moved), Ok(top), "{range:?} of {size}");
                }
                let longer = [path.as_slice(), &[[0; 32]]].concat();
                assert_eq!(root(&range, size, &longer, leaf), Err(RangeError::WrongLength));
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root(&range, size, shorter, leaf), Err(RangeError::WrongLength));
                }
            }
        }
    }

    #[test]
    fn the_path_of_one_leaf_is_that_of_rfc_6962() {
        for size in 1..70 {
            let levels = Levels::new((0..size).map(|i| leaf(i).unwrap()).collect());
            let top = merkle::root(size, &levels).unwrap();
            for index in 0..size {
                let path = path(&(index..index + 1), size, &levels).unwrap();
                assert_eq!(path, inclusion_path(index, size, &levels).unwrap());
                // By ct-merkle.
                let entry = index.to_be_bytes();
                assert_eq!(verify_inclusion(&entry, index, size, &top, &path), Ok(()));
            }
        }
    }

    #[test]
    fn sizes_at_the_limits_do_not_panic() {
        for size in [0, 1, MAX_SIZE, MAX_SIZE + 1, u64::MAX] {
            for start in [0, 1, size / 2, size.wrapping_sub(1), size, u64::MAX] {
                for end in [0, start, start.wrapping_add(1), size] {
                    assert!(path_length(&(start..end), size) <= 2 * 53);
                    for path in [vec![], vec![[0; 32]; 53], vec![[0; 32]; 64]] {
                        // A range of very many leaves ends with the first that cannot be had.
                        let leaf =
                            |_| if end.wrapping_sub(start) == 1 { Ok([0; 32]) } else { Err(()) };
                        let _ = root(&(start..end), size, &path, leaf);
                    }
                }
            }
        }
    }
}
