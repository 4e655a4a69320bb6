//! What a card is told to do with some bytes: which leaves lie where, which nodes have which children, which
//! elements are whose. Worked out on the processor, so that the shaders only look it up.

use std::ops::Range;

use weight_digest::engine::Span;
use weight_digest::leaves::subtrees;
use weight_digest::tree::LEAF;

use crate::kinds;

/// Blocks of the sketch that one workgroup adds up.
pub const RUN: usize = 16;

/// Elements in a block of the sketch.
const BLOCK: usize = 4096;

/// Tensors begin at multiples of so many bytes.
const ALIGN: usize = 16;

/// Bytes of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which span.
    pub span: usize,
    /// From the beginning of a leaf to the end of one.
    pub bytes: Range<usize>,
    /// Where they lie among the bytes of the part.
    pub at: usize,
}

impl Piece {
    /// Which of the tensor's leaves they are.
    pub fn leaves(&self, spans: &[Span<'_>]) -> Range<u64> {
        let first = spans[self.span].first + (self.bytes.start / LEAF) as u64;
        first..first + self.bytes.len().div_ceil(LEAF) as u64
    }
}

/// Cuts spans into parts of at most so many bytes, the gaps between tensors included, and so many leaves.
pub fn cut(spans: &[Span<'_>], bytes: usize, leaves: usize) -> Vec<Vec<Piece>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let (mut filled, mut counted) = (0, 0);
    for (span, whole) in spans.iter().map(|span| span.bytes.len()).enumerate() {
        let mut from = 0;
        while from < whole {
            let room = ((bytes - filled) / LEAF).min(leaves - counted);
            // The last leaf of a tensor may fit where a whole one does not.
            let fits = whole - from <= bytes - filled && counted < leaves;
            let length = (whole - from).min(room * LEAF);
            let length = if length == 0 && fits { whole - from } else { length };
            if length == 0 {
                parts.push(std::mem::take(&mut part));
                (filled, counted) = (0, 0);
                continue;
            }
            part.push(Piece { span, bytes: from..from + length, at: filled });
            from += length;
            filled = bytes.min((filled + length).next_multiple_of(ALIGN));
            counted += length.div_ceil(LEAF);
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// The tables of a part, in the layout that the shaders read them in.
#[derive(Debug, Default)]
pub struct Plan {
    /// Bytes of the part.
    pub bytes: usize,
    /// `Leaf` of `leaves.wgsl`.
    pub leaves: Vec<[u32; 3]>,
    /// `Pair` of `nodes.wgsl`, level by level.
    pub levels: Vec<Vec<[u32; 2]>>,
    /// `Run` of `sketch.wgsl`.
    pub runs: Vec<[u32; 8]>,
    /// The nodes that come back: the first so many.
    pub results: usize,
}

impl Plan {
    /// The plan of a part; without a sketch there are no runs.
    pub fn new(spans: &[Span<'_>], part: &[Piece], sketch: bool) -> Self {
        let end = part.last().map_or(0, |last| last.at + last.bytes.len());
        let mut plan = Self { bytes: end.next_multiple_of(ALIGN), ..Self::default() };
        let mut growing = Vec::with_capacity(part.len());
        for piece in part {
            let leaves = piece.leaves(spans);
            let count = subtrees(&leaves).count();
            growing.push(Growing {
                first: leaves.start,
                nodes: (leaves.end - leaves.start) as usize,
                results: plan.results..plan.results + count,
            });
            plan.results += count;
        }
        let mut next = plan.results;
        let mut below = Vec::new();
        for (piece, growing) in part.iter().zip(&mut growing) {
            let first = next;
            let outs = growing.rise(&mut next);
            below.push(first);
            let starts = (0..piece.bytes.len()).step_by(LEAF);
            plan.leaves.extend(starts.zip(outs).map(|(from, out)| {
                let length = (piece.bytes.len() - from).min(LEAF);
                [((piece.at + from) / 4) as u32, length as u32, out as u32]
            }));
        }
        while growing.iter().any(|piece| piece.nodes > 0) {
            let mut level = Vec::new();
            for (below, growing) in below.iter_mut().zip(&mut growing) {
                let (first, left) = (next, *below);
                let outs = growing.rise(&mut next).into_iter().enumerate();
                level.extend(outs.map(|(at, out)| [(left + 2 * at) as u32, out as u32]));
                *below = first;
            }
            plan.levels.push(level);
        }
        if sketch {
            part.iter().for_each(|piece| plan.add_runs(spans, piece));
        }
        plan
    }

    /// The elements of a piece, a few blocks at a time.
    fn add_runs(&mut self, spans: &[Span<'_>], piece: &Piece) {
        let span = &spans[piece.span];
        let (Some(kind), Some(width)) = (kinds::kind(span.dtype), span.dtype.value_bytes()) else {
            return;
        };
        // A leaf holds whole elements, all of one block: their width divides its length.
        let first = piece.leaves(spans).start * (LEAF / width) as u64;
        let (mut block, mut start) = (first / BLOCK as u64, (first % BLOCK as u64) as usize);
        let (mut at, mut left) = (piece.at, piece.bytes.len() / width);
        while left > 0 {
            let count = left.min(RUN * BLOCK - start);
            let [key0, key1] = span.key.words();
            self.runs.push([
                at as u32,
                kind,
                key0,
                key1,
                block as u32,
                (block >> 32) as u32,
                start as u32,
                count as u32,
            ]);
            at += count * width;
            left -= count;
            block += RUN as u64;
            start = 0;
        }
    }
}

/// The tree over a piece, whose nodes of one level after the other get their places: those whose sibling is not
/// in the piece among the results, the others in a row behind everything before.
struct Growing {
    /// Where the level's first node stands in the level.
    first: u64,
    /// How many it has.
    nodes: usize,
    /// The results still without a node: from the left those of subtrees that have their sibling before the
    /// piece, from the right the others, each from the lowest level.
    results: Range<usize>,
}

impl Growing {
    /// The places of this level's nodes; then it is the next level's turn.
    fn rise(&mut self, next: &mut usize) -> Vec<usize> {
        let mut outs = Vec::with_capacity(self.nodes);
        if self.first % 2 == 1 && self.nodes > 0 {
            outs.extend(self.results.next());
            self.nodes -= 1;
            self.first += 1;
        }
        outs.extend(*next..*next + self.nodes / 2 * 2);
        *next += self.nodes / 2 * 2;
        if self.nodes % 2 == 1 {
            outs.extend(self.results.next_back());
        }
        self.nodes /= 2;
        self.first /= 2;
        outs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weight_digest::dtype::Dtype;
    use weight_digest::sketch::SketchKey;

    fn spans(lengths: &[(u64, usize)], bytes: &'static [u8]) -> Vec<Span<'static>> {
        let key = SketchKey::new("");
        let span = |(first, length): &(u64, usize)| Span {
            dtype: Dtype::F32,
            key,
            first: *first,
            bytes: &bytes[..*length],
        };
        lengths.iter().map(span).collect()
    }

    static BYTES: [u8; 100 * LEAF] = [0; 100 * LEAF];

    #[test]
    fn parts_hold_everything_in_order_and_no_more_than_they_may() {
        let lengths =
            [(0, 9), (0, 0), (3, 7 * LEAF), (0, 2 * LEAF + 1), (9, 40 * LEAF + 100), (0, 1)];
        let spans = spans(&lengths, &BYTES);
        for (bytes, leaves) in
            [(LEAF, 1), (LEAF, 8), (3 * LEAF, 2), (16 * LEAF, 100), (99 * LEAF, 99)]
        {
            let mut ends = vec![0; spans.len()];
            for part in cut(&spans, bytes, leaves) {
                let mut counted = 0;
                for piece in &part {
                    assert_eq!(piece.bytes.start, ends[piece.span]);
                    assert!(piece.at % ALIGN == 0 && piece.at + piece.bytes.len() <= bytes);
                    assert!(!piece.bytes.is_empty());
                    ends[piece.span] = piece.bytes.end;
                    counted += piece.bytes.len().div_ceil(LEAF);
                }
                assert!(counted <= leaves);
            }
            assert!(ends.iter().zip(&lengths).all(|(end, (_, length))| end == length));
        }
    }

    #[test]
    fn every_node_is_made_once_and_before_it_is_needed() {
        for (first, count) in (0..20).flat_map(|first| (0..40).map(move |count| (first, count))) {
            let spans = spans(&[(first, count * LEAF), (first + 1, 5 * LEAF)], &BYTES);
            let parts = cut(&spans, 50 * LEAF, 50);
            let plan = Plan::new(&spans, &parts[0], false);
            let mut made: Vec<usize> = plan.leaves.iter().map(|[.., out]| *out as usize).collect();
            for level in &plan.levels {
                assert!(level.iter().all(|[left, _]| {
                    made.contains(&(*left as usize)) && made.contains(&(*left as usize + 1))
                }));
                made.extend(level.iter().map(|[_, out]| *out as usize));
            }
            made.sort_unstable();
            assert!(made.into_iter().eq(0..plan.leaves.len() + plan.levels.concat().len()));
        }
    }
}
