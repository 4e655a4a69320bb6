//! How the work on a checkpoint is divided among threads, and in which buffers they read. What is read goes into
//! a few that are used again, so that memory does not grow with the model.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use rayon::prelude::*;

use crate::checkpoint::CheckpointError;
use crate::dtype::Dtype;
use crate::engine::{Engine, Span};
use crate::leaves::LeafRange;
use crate::sketch::{Sketch, SketchKey};
use crate::tree::LEAF;

/// log₂ of the leaves of a tensor that are hashed in one piece of work: 256 leaves, 1 MiB.
pub(crate) const PIECE_LEVEL: u32 = 8;

/// Bytes of a piece.
pub(crate) const PIECE: u64 = (LEAF as u64) << PIECE_LEVEL;

/// Some leaves of one tensor.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Which tensor.
    pub item: usize,
    /// Which of its bytes.
    pub bytes: Range<u64>,
}

/// All bytes of tensors of these lengths.
pub(crate) fn whole(lengths: impl Iterator<Item = u64>) -> impl Iterator<Item = Piece> {
    lengths.enumerate().map(|(item, length)| Piece { item, bytes: 0..length })
}

/// Cuts tensors, or parts of some, into pieces of work of about so many bytes each, in which small ones share.
pub(crate) fn work(parts: impl Iterator<Item = Piece>, size: u64) -> Vec<Vec<Piece>> {
    let mut work: Vec<Vec<Piece>> = Vec::new();
    let mut filled = size;
    for Piece { item, bytes: part } in parts {
        for from in part.clone().step_by(size as usize) {
            let bytes = from..part.end.min(from + size);
            let more = bytes.end - bytes.start;
            if filled + more > size {
                work.push(Vec::new());
                filled = 0;
            }
            filled += more;
            if let Some(pieces) = work.last_mut() {
                pieces.push(Piece { item, bytes });
            }
        }
    }
    work
}

/// Bytes of a piece for an engine: as many as it wants in one call, and no fewer than the processor's.
pub(crate) fn piece_for(engine: &dyn Engine) -> u64 {
    PIECE.max(engine.batch() as u64 / LEAF as u64 * LEAF as u64)
}

/// Does all the work, in whatever order, by all cores; or so many calls at a time, by threads that do nothing
/// but wait for a device meanwhile, and leave the cores to whoever reads.
pub(crate) fn spread<W: Sync, R: Send + Sync>(
    work: &[W],
    at_once: Option<usize>,
    each: impl Fn(&W) -> Result<R, CheckpointError> + Send + Sync,
) -> Result<Vec<R>, CheckpointError> {
    let Some(at_once) = at_once else { return work.par_iter().map(each).collect() };
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<R>> = work.iter().map(|_| OnceLock::new()).collect();
    let take = || -> Result<(), CheckpointError> {
        while let Some(at) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < work.len())
        {
            // Where one fails, the others end before their next.
            let result =
                each(&work[at]).inspect_err(|_| next.store(work.len(), Ordering::Relaxed))?;
            let _ = results[at].set(result);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, take).ok();
        let threads: Vec<_> = (0..at_once.clamp(1, work.len().max(1))).filter_map(start).collect();
        if threads.is_empty() {
            // The system has no more of them.
            take()?;
        }
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    // None failed, so each has its result.
    Ok(results.into_iter().filter_map(OnceLock::into_inner).collect())
}

/// Where the bytes of pieces come from, and what they are.
pub(crate) trait Source: Sync {
    /// Of which type and tensor.
    fn kind(&self, piece: &Piece) -> (Dtype, SketchKey);

    /// Fills `buffer` with the tensor's bytes from `from` on.
    fn read(&self, piece: &Piece, from: u64, buffer: &mut [u8]) -> Result<(), CheckpointError>;

    /// These bytes of the tensor, where they are; `None` where they are to be read.
    fn mapped(&self, piece: &Piece, bytes: &Range<u64>) -> Option<&[u8]>;
}

/// What one thread works with, and keeps for its next piece of work.
#[derive(Default)]
pub(crate) struct Desk {
    buffer: Vec<u8>,
    sketch: Sketch,
}

impl Desk {
    /// Digests pieces, as many bytes at a time as suit the engine.
    pub fn digest(
        &mut self,
        pieces: &[Piece],
        engine: &dyn Engine,
        sketch: bool,
        source: &impl Source,
    ) -> Result<Vec<LeafRange>, CheckpointError> {
        let mut leaves: Vec<LeafRange> =
            pieces.iter().map(|piece| LeafRange::empty(piece.bytes.start / LEAF as u64)).collect();
        for batch in batches(pieces, engine.batch() as u64) {
            // Those for another device are brought together by all cores, as it copies them at once.
            let mapped = engine.calls().is_none().then(|| {
                let mapped = batch.iter().map(|(at, bytes)| source.mapped(&pieces[*at], bytes));
                mapped.collect::<Option<Vec<&[u8]>>>()
            });
            let all = match mapped.flatten() {
                Some(mapped) => mapped,
                None => read(&mut self.buffer, pieces, &batch, source)?,
            };
            let span = |((at, bytes), all): (&(usize, Range<u64>), _)| {
                let (dtype, key) = source.kind(&pieces[*at]);
                Span { dtype, key, first: bytes.start / LEAF as u64, bytes: all }
            };
            let spans: Vec<Span<'_>> = batch.iter().zip(all).map(span).collect();
            let results = engine.digest(&spans, sketch.then_some(&mut self.sketch))?;
            for ((at, _), result) in batch.iter().zip(&results) {
                // A batch is cut from the pieces in order.
                let _ = leaves[*at].append(result);
            }
        }
        Ok(leaves)
    }
}

/// Reads the bytes of a batch.
fn read<'a>(
    buffer: &'a mut Vec<u8>,
    pieces: &[Piece],
    batch: &[(usize, Range<u64>)],
    source: &impl Source,
) -> Result<Vec<&'a [u8]>, CheckpointError> {
    let length = |bytes: &Range<u64>| (bytes.end - bytes.start) as usize;
    buffer.resize(batch.iter().map(|(_, bytes)| length(bytes)).sum(), 0);
    let mut rest = buffer.as_mut_slice();
    let mut all: Vec<&[u8]> = Vec::with_capacity(batch.len());
    for (at, bytes) in batch {
        let (part, after) = rest.split_at_mut(length(bytes));
        rest = after;
        read_by_all(part, bytes.start, |from, part| source.read(&pieces[*at], from, part))?;
        all.push(part);
    }
    Ok(all)
}

/// Reads bytes from a place on, a mebibyte in each thread.
fn read_by_all(
    buffer: &mut [u8],
    from: u64,
    read: impl Fn(u64, &mut [u8]) -> Result<(), CheckpointError> + Sync,
) -> Result<(), CheckpointError> {
    if buffer.len() as u64 <= PIECE {
        return read(from, buffer);
    }
    let parts = buffer.par_chunks_mut(PIECE as usize).enumerate();
    parts.try_for_each(|(at, part)| read(from + at as u64 * PIECE, part))
}

/// Parts of pieces, by their places, that together are at most so many bytes.
fn batches(pieces: &[Piece], size: u64) -> Vec<Vec<(usize, Range<u64>)>> {
    let size = size.max(LEAF as u64) / LEAF as u64 * LEAF as u64;
    let mut batches: Vec<Vec<(usize, Range<u64>)>> = Vec::new();
    let mut filled = size;
    for (at, piece) in pieces.iter().enumerate() {
        for from in piece.bytes.clone().step_by(size as usize) {
            let bytes = from..piece.bytes.end.min(from + size);
            let more = bytes.end - bytes.start;
            if filled + more > size {
                batches.push(Vec::new());
                filled = 0;
            }
            filled += more;
            if let Some(batch) = batches.last_mut() {
                batch.push((at, bytes));
            }
        }
    }
    batches
}

/// The desks that no thread sits at.
#[derive(Default)]
pub(crate) struct Desks(Mutex<Vec<Desk>>);

impl Desks {
    pub fn with<R>(&self, run: impl FnOnce(&mut Desk) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = lock().pop();
        let mut desk = free.unwrap_or_default();
        let result = run(&mut desk);
        lock().push(desk);
        result
    }

    /// The sketch of all that was done at any of them.
    pub fn sketch(self) -> Sketch {
        let desks = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut all = Sketch::default();
        desks.iter().for_each(|desk| all.join(&desk.sketch));
        all
    }
}
