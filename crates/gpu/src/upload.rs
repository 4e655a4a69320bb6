//! What goes to a card: the bytes of a part, and the tables that tell what they are.

use rayon::prelude::*;
use weight_digest::engine::Span;
use wgpu::{Buffer, BufferBinding, MapRangeError};

use crate::plan::{Piece, Plan};

/// Bytes that one thread copies; mapped memory is divided at multiples of 8.
const COPY: usize = 1 << 20;

/// The tables of a plan as bytes, and where each begins behind the bytes of the tensors.
pub struct Tables {
    pub leaves: (usize, Vec<u8>),
    pub levels: Vec<(usize, Vec<u8>)>,
    pub runs: (usize, Vec<u8>),
    /// Bytes of everything together.
    pub end: usize,
}

impl Tables {
    pub fn new(plan: &Plan, align: usize) -> Self {
        let mut end = plan.bytes;
        let mut table = |bytes: Vec<u8>| {
            let from = end.next_multiple_of(align);
            end = from + bytes.len();
            (from, bytes)
        };
        let leaves = table(bytes(&plan.leaves));
        let levels = plan.levels.iter().map(|pairs| table(bytes(pairs))).collect();
        let runs = table(bytes(&plan.runs));
        Self { leaves, levels, runs, end }
    }

    fn all(&self) -> impl Iterator<Item = &(usize, Vec<u8>)> {
        [&self.leaves].into_iter().chain(&self.levels).chain([&self.runs])
    }
}

fn bytes<const N: usize>(rows: &[[u32; N]]) -> Vec<u8> {
    rows.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Writes the bytes of a part, and the tables behind them, by all cores.
pub fn fill(
    staging: &Buffer,
    spans: &[Span<'_>],
    part: &[Piece],
    tables: &Tables,
) -> Result<(), MapRangeError> {
    let from_spans =
        part.iter().map(|piece| (piece.at, &spans[piece.span].bytes[piece.bytes.clone()]));
    let from_tables = tables.all().map(|(at, bytes)| (*at, bytes.as_slice()));
    // In order, and none over another.
    let all: Vec<(usize, &[u8])> = from_spans.chain(from_tables).collect();
    let windows: Vec<usize> = (0..tables.end).step_by(COPY).collect();
    windows.into_par_iter().try_for_each(|from| {
        let end = tables.end.min(from + COPY);
        let mut view = staging.get_mapped_range_mut(from as u64..end as u64)?;
        let first = all.partition_point(|(at, bytes)| at + bytes.len() <= from);
        for (at, bytes) in all[first..].iter().take_while(|(at, _)| *at < end) {
            let (start, stop) = (from.max(*at), end.min(at + bytes.len()));
            view.slice(start - from..stop - from).copy_from_slice(&bytes[start - at..stop - at]);
        }
        Ok(())
    })
}

/// Some bytes of a buffer, for a shader.
pub fn part_of(buffer: &Buffer, from: usize, length: usize) -> BufferBinding<'_> {
    BufferBinding { buffer, offset: from as u64, size: (length as u64).try_into().ok() }
}
