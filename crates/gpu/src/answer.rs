//! What comes back from a card.

use trail::merkle::Hash;
use weight_digest::engine::Span;
use weight_digest::sketch::{BUCKETS, Sketch};

/// Bytes of the sums of a sketch, and of the three counts behind them.
pub const SUMS: usize = BUCKETS * 8 + 12;

/// A node as SHA-256 writes it: the words of the state, big-endian.
pub fn hash(words: &[u8; 32]) -> Hash {
    let mut hash = *words;
    hash.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    hash
}

/// Adds the sums of a part, and what it left out.
pub fn add(sketch: &mut Sketch, sums: &[u8]) {
    let (sums, counts) = sums.split_at(BUCKETS * 8);
    for (to, sum) in sketch.buckets.sums_mut().iter_mut().zip(sums.as_chunks().0) {
        *to = to.wrapping_add(i64::from_le_bytes(*sum));
    }
    let mut counts = counts.as_chunks().0.iter().map(|count| u64::from(u32::from_le_bytes(*count)));
    let mut next = || counts.next().unwrap_or_default();
    sketch.counts.nan += next();
    sketch.counts.infinite += next();
    sketch.counts.out_of_range += next();
}

/// Counts the elements of a span.
pub fn count(sketch: &mut Sketch, span: &Span<'_>) {
    let elements = span.bytes.len() as u64 * 8;
    match span.dtype.value_bytes() {
        Some(width) => sketch.counts.elements += elements / (8 * width as u64),
        None => sketch.counts.packed += elements / span.dtype.bits(),
    }
}
