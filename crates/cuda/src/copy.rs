//! The way that takes the driver alone: weights are copied through page-locked memory, on streams of their own, and
//! the processor digests a piece while the next one comes.

use rayon::prelude::*;
use weight_digest::cpu::Cpu;
use weight_digest::engine::{Engine as _, Span};
use weight_digest::leaves::LeafRange;
use weight_digest::sketch::{Sketch, SketchKey};
use weight_digest::tree::LEAF;

use crate::driver::{Answer, Entered, Pinned, Stream};
use crate::resident::Resident;

/// Bytes copied at a time.
const PIECE: usize = 16 << 20;

/// Bytes that one thread digests at a time.
const SHARE: usize = 1 << 20;

/// Some bytes of a tensor.
#[derive(Clone, Copy)]
struct Piece {
    tensor: usize,
    from: u64,
    length: usize,
}

/// The leaves of each tensor, whose elements are added to the sketch.
pub fn digest(
    entered: &Entered<'_>,
    tensors: &[Resident<'_>],
    sketch: &mut Sketch,
) -> Answer<Vec<LeafRange>> {
    let mut leaves = vec![LeafRange::empty(0); tensors.len()];
    let pieces: Vec<Piece> = (0..).zip(tensors).flat_map(|(at, tensor)| cut(at, tensor)).collect();
    let largest = pieces.iter().map(|piece| piece.length).max().unwrap_or_default();
    if largest == 0 {
        return Ok(leaves);
    }
    // The streams are dropped before the buffers that they may still write to.
    let mut buffers = [Pinned::new(entered, largest)?, Pinned::new(entered, largest)?];
    let streams = [Stream::new(entered)?, Stream::new(entered)?];
    let begin = |piece: &Piece, stream: &Stream<'_>, buffer: &mut Pinned<'_>| {
        let tensor = &tensors[piece.tensor];
        stream.after(tensor.stream())?;
        let to = &mut buffer.bytes()[..piece.length];
        // SAFETY: the tensor stays as its maker promised; the buffer is read when the stream has finished.
        unsafe { stream.copy_out(tensor.pointer() + piece.from, to) }
    };
    begin(&pieces[0], &streams[0], &mut buffers[0])?;
    for (at, piece) in pieces.iter().enumerate() {
        if let Some(next) = pieces.get(at + 1) {
            begin(next, &streams[(at + 1) % 2], &mut buffers[(at + 1) % 2])?;
        }
        streams[at % 2].finish()?;
        let tensor = &tensors[piece.tensor];
        let span = Span {
            dtype: tensor.dtype(),
            key: SketchKey::new(tensor.name()),
            first: piece.from / LEAF as u64,
            bytes: &buffers[at % 2].bytes()[..piece.length],
        };
        by_all_cores(&span, &mut leaves[piece.tensor], sketch)?;
    }
    Ok(leaves)
}

fn cut(at: usize, tensor: &Resident<'_>) -> impl Iterator<Item = Piece> + use<> {
    let all = tensor.length();
    (0..all).step_by(PIECE).map(move |from| {
        let length = (all - from).min(PIECE as u64) as usize;
        Piece { tensor: at, from, length }
    })
}

/// Appends the leaves of a span, and adds its elements.
fn by_all_cores(span: &Span<'_>, leaves: &mut LeafRange, sketch: &mut Sketch) -> Answer<()> {
    let shares = span
        .bytes
        .par_chunks(SHARE)
        .enumerate()
        .map(|(at, bytes)| {
            let first = span.first + (at * (SHARE / LEAF)) as u64;
            let mut added = Sketch::default();
            let ranges = Cpu.digest(&[Span { first, bytes, ..*span }], Some(&mut added));
            Ok((ranges.map_err(|error| error.to_string())?, added))
        })
        .collect::<Answer<Vec<_>>>()?;
    for (ranges, added) in shares {
        sketch.join(&added);
        if !ranges.iter().all(|range| leaves.append(range)) {
            return Err("its leaves do not follow those before".to_owned());
        }
    }
    Ok(())
}
