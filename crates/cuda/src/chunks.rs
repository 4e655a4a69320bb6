//! Which leaves the card hashes together, and which nodes come back from where.

use std::collections::BTreeMap;
use std::ops::Range;

use trail::merkle::Hash;
use weight_digest::dtype::Dtype;
use weight_digest::leaves::{LeafRange, subtrees};
use weight_digest::sketch::SketchKey;
use weight_digest::tree::LEAF;

use crate::resident::Resident;

/// The most leaves of a chunk; `THREADS` of `digest.cu`.
const LEAVES: u64 = 256;

/// Bytes of a chunk in the layout of `digest.cu`.
pub const ROW: usize = 32;

/// Leaves of one tensor that a block of threads hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which tensor.
    pub tensor: usize,
    /// Which leaves of it.
    leaves: Range<u64>,
    /// `Chunk` of `digest.cu`.
    at: u64,
    length: u32,
    out: u32,
    key: [u32; 2],
}

/// All tensors, those of one type one after the other.
#[derive(Debug, Default)]
pub struct Plan {
    pub chunks: Vec<Chunk>,
    /// The chunks of each type, as the kernels are named.
    pub types: Vec<(Dtype, Range<usize>)>,
    /// Nodes that come back.
    pub nodes: usize,
}

impl Plan {
    /// A chunk a mebibyte; `None` where there are too many to number.
    pub fn new(tensors: &[Resident<'_>]) -> Option<Self> {
        let mut by_type: BTreeMap<Dtype, Vec<usize>> = BTreeMap::new();
        for (at, tensor) in tensors.iter().enumerate() {
            by_type.entry(as_sketched(tensor.dtype())).or_default().push(at);
        }
        let mut plan = Self::default();
        for (dtype, members) in by_type {
            let first = plan.chunks.len();
            for tensor in members {
                plan.add(tensor, &tensors[tensor])?;
            }
            plan.types.push((dtype, first..plan.chunks.len()));
        }
        // A grid has at most 2^31 - 1 blocks.
        (plan.chunks.len() < 1 << 31).then_some(plan)
    }

    fn add(&mut self, tensor: usize, resident: &Resident<'_>) -> Option<()> {
        let key = SketchKey::new(resident.name()).words();
        let chunk = LEAVES * LEAF as u64;
        for from in (0..resident.length()).step_by(chunk as usize) {
            let length = (resident.length() - from).min(chunk);
            let first = from / LEAF as u64;
            let leaves = first..first + length.div_ceil(LEAF as u64);
            let out = u32::try_from(self.nodes).ok()?;
            self.nodes += subtrees(&leaves).count();
            let (at, length) = (resident.pointer() + from, length as u32);
            self.chunks.push(Chunk { tensor, leaves, at, length, out, key });
        }
        Some(())
    }

    /// The chunks as the kernels read them.
    pub fn rows(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.chunks.len() * ROW);
        for Chunk { at, leaves, length, out, key, .. } in &self.chunks {
            rows.extend(at.to_le_bytes());
            rows.extend(leaves.start.to_le_bytes());
            [*length, *out, key[0], key[1]].iter().for_each(|word| rows.extend(word.to_le_bytes()));
        }
        rows
    }

    /// The leaves of each tensor, given the nodes that came back; `None` where they do not follow each other.
    pub fn join(&self, tensors: usize, nodes: &[Hash]) -> Option<Vec<LeafRange>> {
        let mut all = vec![LeafRange::empty(0); tensors];
        for chunk in &self.chunks {
            let from = chunk.out as usize;
            let count = subtrees(&chunk.leaves).count();
            let nodes = nodes.get(from..from + count)?.to_vec();
            let range = LeafRange::new(chunk.leaves.clone(), nodes)?;
            all[chunk.tensor].append(&range).then_some(())?;
        }
        Some(all)
    }
}

/// The type by whose kernel a tensor is sketched.
fn as_sketched(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::Bool => Dtype::U8,
        // A complex number is two values.
        Dtype::C64 => Dtype::F32,
        other => other,
    }
}

/// Every type that a kernel sketches.
pub fn sketched() -> impl Iterator<Item = Dtype> {
    let all = Dtype::ALL.iter().copied();
    all.filter(|dtype| dtype.value_bytes().is_some() && as_sketched(*dtype) == *dtype)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, unsafe_code)]
mod tests {
    use super::*;
    use trail::merkle::leaf_hash;

    fn resident<'a>(name: &'a str, dtype: Dtype, shape: &'a [u64]) -> Resident<'a> {
        let length = dtype.length(shape).unwrap();
        // SAFETY: it is never digested.
        unsafe { Resident::new(name, dtype, shape, (1 << 30, length), 0).unwrap() }
    }

    #[test]
    fn every_byte_is_in_one_chunk_and_every_type_in_one_row() {
        let tensors = [
            resident("a", Dtype::F32, &[300, 1024]),
            resident("b", Dtype::U8, &[(1 << 20) + 1]),
            resident("c", Dtype::C64, &[7]),
            resident("d", Dtype::Bool, &[0]),
            resident("e", Dtype::F4, &[2]),
        ];
        let plan = Plan::new(&tensors).unwrap();
        let mut ends = vec![0; tensors.len()];
        for chunk in &plan.chunks {
            assert_eq!(chunk.at, (1 << 30) + ends[chunk.tensor]);
            assert_eq!(chunk.leaves.start * LEAF as u64, ends[chunk.tensor]);
            assert_eq!(chunk.leaves.start / LEAVES, (chunk.leaves.end - 1) / LEAVES);
            ends[chunk.tensor] += u64::from(chunk.length);
        }
        assert!(ends.iter().zip(&tensors).all(|(end, tensor)| *end == tensor.length()));
        assert_eq!(plan.rows().len(), plan.chunks.len() * ROW);
        let mut end = 0;
        for (dtype, chunks) in &plan.types {
            assert_eq!(chunks.start, end);
            end = chunks.end;
            let of = |at: usize| as_sketched(tensors[plan.chunks[at].tensor].dtype());
            assert!(chunks.clone().all(|at| of(at) == *dtype));
        }
        assert_eq!(end, plan.chunks.len());
    }

    #[test]
    fn nodes_of_other_chunks_are_not_taken() {
        let tensors = [resident("a", Dtype::U8, &[3 * LEAF as u64])];
        let plan = Plan::new(&tensors).unwrap();
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
        assert_eq!(plan.nodes, 2);
        assert_eq!(plan.join(1, &leaves).unwrap()[0].nodes(), leaves);
        assert_eq!(plan.join(1, &leaves[..1]), None);
    }
}
