//! This machine's processor as an engine.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx512;

use std::cmp::Reverse;
use std::sync::LazyLock;

use tape_sha256::hash_many_prefixed;
use trail::merkle::Hash;

use crate::engine::{Engine, EngineError, Span};
use crate::leaves::LeafRange;
use crate::sketch::{self, Sketch};
use crate::tree::LEAF;

/// This machine's processor.
///
/// `tape-sha256` hashes several leaves abreast with what the processor has: AVX-512, AVX2, SHA-NI, Arm SHA-2
/// or NEON. Where there are two it takes the one measured to be faster on that family: four streams of SHA-NI
/// on AMD Zen 4, sixteen lanes of AVX-512 on Intel. Where it takes AVX-512, whole leaves go through a kernel of
/// ours, which is faster because they all have one length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Engine for Cpu {
    fn name(&self) -> String {
        let whole = if *WHOLE_ABREAST { ", whole leaves apart" } else { "" };
        format!("CPU, {}{whole}", tape_sha256::backend())
    }

    /// Read, hashed and sketched while it is in the core's own cache.
    fn batch(&self) -> usize {
        256 << 10
    }

    fn digest(
        &self,
        spans: &[Span<'_>],
        sketch: Option<&mut Sketch>,
    ) -> Result<Vec<LeafRange>, EngineError> {
        let bytes: Vec<(u64, &[u8])> = spans.iter().map(|span| (span.first, span.bytes)).collect();
        let leaves = hash(&bytes);
        // After hashing, which goes through memory in order and so brings it into the cache.
        if let Some(sketch) = sketch {
            spans.iter().for_each(|span| sketch::add(sketch, span));
        }
        Ok(leaves)
    }
}

/// The leaves of some bytes of a tensor.
pub(crate) fn hash_leaves_from(first: u64, bytes: &[u8]) -> LeafRange {
    hash(&[(first, bytes)]).pop().unwrap_or_default()
}

/// The leaves of several spans, hashed together, as are the nodes of each level above them.
fn hash(spans: &[(u64, &[u8])]) -> Vec<LeafRange> {
    let leaves: Vec<&[u8]> = spans.iter().flat_map(|(_, bytes)| bytes.chunks(LEAF)).collect();
    let mut hashes = hash_leaves(&leaves).into_iter();
    let mut growing: Vec<Growing> = spans
        .iter()
        .map(|(first, bytes)| {
            let nodes = hashes.by_ref().take(bytes.len().div_ceil(LEAF)).collect();
            Growing { first: *first, nodes, left: Vec::new(), right: Vec::new() }
        })
        .collect();
    while growing.iter().any(|span| !span.nodes.is_empty()) {
        growing.iter_mut().for_each(Growing::set_aside);
        let pairs: Vec<&[u8]> = growing.iter().flat_map(Growing::pairs).collect();
        let mut above = hash_all(1, &pairs).into_iter();
        growing.iter_mut().for_each(|span| span.rise(&mut above));
    }
    let done = |((first, bytes), growing): (&(u64, &[u8]), Growing)| {
        let end = first + bytes.len().div_ceil(LEAF) as u64;
        let nodes = growing.left.into_iter().chain(growing.right.into_iter().rev()).collect();
        LeafRange::new(*first..end, nodes).unwrap_or_default()
    };
    spans.iter().zip(growing).map(done).collect()
}

/// Those of one length go abreast, so the short ones at the ends of tensors come last, sorted.
fn hash_leaves(leaves: &[&[u8]]) -> Vec<Hash> {
    let mut order: Vec<usize> = (0..leaves.len()).collect();
    order.sort_by_key(|leaf| Reverse(leaves[*leaf].len()));
    let sorted: Vec<&[u8]> = order.iter().map(|leaf| leaves[*leaf]).collect();
    let mut hashed = hash_whole(&sorted);
    hashed.extend(hash_all(0, &sorted[hashed.len()..]));
    let mut hashes = vec![[0; 32]; leaves.len()];
    order.into_iter().zip(hashed).for_each(|(leaf, hash)| hashes[leaf] = hash);
    hashes
}

/// Whether whole leaves are hashed by a kernel of their own.
static WHOLE_ABREAST: LazyLock<bool> = LazyLock::new(|| {
    cfg!(target_arch = "x86_64") && tape_sha256::backend().starts_with("avx512") && has_kernel()
});

/// The hashes of as many whole leaves from the first on as the kernel for them takes.
#[cfg(target_arch = "x86_64")]
fn hash_whole(leaves: &[&[u8]]) -> Vec<Hash> {
    if !*WHOLE_ABREAST {
        return Vec::new();
    }
    let whole = leaves.iter().map_while(|leaf| <&[u8; LEAF]>::try_from(*leaf).ok());
    let whole: Vec<&[u8; LEAF]> = whole.collect();
    whole.as_chunks().0.iter().filter_map(avx512::hash).flatten().collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn hash_whole(_: &[&[u8]]) -> Vec<Hash> {
    Vec::new()
}

fn has_kernel() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx512::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// SHA-256(prefix ‖ message) of each (RFC 6962 §2.1: 0 for leaves, 1 for nodes).
fn hash_all(prefix: u8, messages: &[&[u8]]) -> Vec<Hash> {
    let mut hashes = vec![[0; 32]; messages.len()];
    hash_many_prefixed(&[prefix], messages, &mut hashes);
    hashes
}

/// The part of a span's tree that is being hashed: one level after the other.
struct Growing {
    /// Where the level's first node stands in the level.
    first: u64,
    nodes: Vec<Hash>,
    /// Subtrees whose sibling lies before the span, from the lowest.
    left: Vec<Hash>,
    /// Those whose sibling lies behind it.
    right: Vec<Hash>,
}

impl Growing {
    /// Leaves only whole pairs of siblings.
    fn set_aside(&mut self) {
        if self.first % 2 == 1 && !self.nodes.is_empty() {
            self.left.push(self.nodes.remove(0));
            self.first += 1;
        }
        if self.nodes.len() % 2 == 1 {
            self.right.extend(self.nodes.pop());
        }
    }

    fn pairs(&self) -> impl Iterator<Item = &[u8]> {
        self.nodes.as_chunks::<2>().0.iter().map(|pair| pair.as_flattened())
    }

    fn rise(&mut self, above: &mut impl Iterator<Item = Hash>) {
        self.nodes = above.take(self.nodes.len() / 2).collect();
        self.first /= 2;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;
    use crate::sketch::SketchKey;
    use proptest::prelude::*;
    use trail::merkle::leaf_hash;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| ((i * 31) >> 3) as u8).collect()
    }

    /// By `sha2`, a leaf and a node at a time.
    fn one_by_one(first: u64, bytes: &[u8]) -> LeafRange {
        let mut all = LeafRange::empty(first);
        for (at, leaf) in (first..).zip(bytes.chunks(LEAF)) {
            assert!(all.append(&LeafRange::new(at..at + 1, vec![leaf_hash(leaf)]).unwrap()));
        }
        all
    }

    fn check(spans: &[(u64, usize)]) {
        let held: Vec<(u64, Vec<u8>)> =
            spans.iter().map(|(first, length)| (*first, bytes(*length))).collect();
        let key = SketchKey::new("");
        let spans: Vec<Span<'_>> = held
            .iter()
            .map(|(first, bytes)| Span { dtype: Dtype::U8, key, first: *first, bytes })
            .collect();
        let expected: Vec<LeafRange> =
            held.iter().map(|(first, bytes)| one_by_one(*first, bytes)).collect();
        assert_eq!(Cpu.digest(&spans, None).unwrap(), expected);
    }

    #[test]
    fn every_length_about_blocks_and_leaves() {
        let around = |edge: usize| edge.saturating_sub(2)..edge + 3;
        let blocks = (0..6).flat_map(|block| around(64 * block));
        let leaves = (1..6).flat_map(|leaf| around(LEAF * leaf).chain(around(LEAF * leaf - 9)));
        for length in blocks.chain(leaves) {
            check(&[(0, length)]);
        }
        let every: Vec<(u64, usize)> = (0..200).map(|length| (0, length)).collect();
        check(&every);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn spans_that_begin_anywhere_and_share_a_batch(spans in prop::collection::vec((0u64..40, 0usize..30 * LEAF), 0..6)) {
            check(&spans);
        }
    }
}
