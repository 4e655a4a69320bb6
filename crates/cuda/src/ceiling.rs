//! What no digest of weights in a card's memory can be faster than: the card's integer arithmetic; and what the way by
//! the processor cannot be: the copy out of the card's memory.

use std::time::Instant;

use crate::cuda::Cuda;
use crate::driver::{Answer, Memory, Pinned, Stream};
use crate::error::CudaError;

/// Bytes copied at a time.
const PIECE: usize = 64 << 20;

/// Bytes a second.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// Compressed by SHA-256, none of them fetched; `None` where there is no compiler.
    pub hash: Option<f64>,
    /// Copied from the card's memory to page-locked memory of the processor.
    pub copy: f64,
}

/// Measures a card, with about so many bytes each.
///
/// # Errors
/// The driver fails.
pub fn measure(cuda: &Cuda, bytes: u64) -> Result<Ceiling, CudaError> {
    try_measure(cuda, bytes)
        .map_err(|why| CudaError::Failed { device: cuda.name().to_owned(), why })
}

fn try_measure(cuda: &Cuda, bytes: u64) -> Answer<Ceiling> {
    let (device, kernels) = cuda.parts();
    let entered = device.enter()?;
    let hash = kernels.map(|kernels| second_time(|| kernels.compress_only(&entered, bytes)));
    let mut buffer = Pinned::new(&entered, PIECE)?;
    let stream = Stream::new(&entered)?;
    let memory = Memory::zeroed(&stream, PIECE)?;
    let copy = second_time(|| {
        let pieces = bytes.div_ceil(PIECE as u64);
        for _ in 0..pieces {
            // SAFETY: both have so many bytes, and stay; nobody reads them.
            unsafe { stream.copy_out(memory.at, buffer.bytes()) }?;
        }
        stream.finish()?;
        Ok(pieces * PIECE as u64)
    })?;
    Ok(Ceiling { hash: hash.transpose()?, copy })
}

/// Bytes a second, the second time: the first time, the card wakes up.
fn second_time(mut run: impl FnMut() -> Answer<u64>) -> Answer<f64> {
    run()?;
    let start = Instant::now();
    let bytes = run()?;
    Ok(bytes as f64 / start.elapsed().as_secs_f64())
}
