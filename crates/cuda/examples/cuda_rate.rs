//! How fast a card digests weights that lie in its memory, by either way, beside what it cannot be faster than:
//! `cuda_rate [MEBIBYTES [DEVICE]]`, 4,096 of device 0 by default.
#![allow(clippy::print_stdout, unsafe_code)]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use cuda_digest::{Cuda, Resident, Way, ceiling};
use cudarc::driver::result;
use weight_digest::dtype::Dtype;

/// Of each, the best counts.
const ROUNDS: usize = 3;

/// Bytes of a tensor, as of a matrix of a large model.
const TENSOR: usize = 64 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mebibytes = arguments.next().map_or(Ok(4096), |size| size.parse::<usize>())?.max(1);
    let ordinal = arguments.next().map_or(Ok(0), |device| device.parse::<i32>())?;
    let warn = || Box::new(|what: &str| println!("{what}"));
    let best = Cuda::open(ordinal, None, warn())?;
    let copy = Cuda::open(ordinal, Some(Way::Copy), warn())?;
    let bytes = mebibytes << 20;
    println!(
        "{mebibytes} MiB of BF16 in the memory of {}; GB/s, the best of {ROUNDS}",
        best.name()
    );
    let limits = ceiling::measure(&best, bytes as u64)?;
    if let Some(hash) = limits.hash {
        println!("SHA-256 of nothing fetched: {:.2}", hash / 1e9);
    }
    println!("copy to page-locked memory alone: {:.2}", limits.copy / 1e9);
    let weights = Weights::new(ordinal, bytes)?;
    let engines = if best.way() == Way::Copy { vec![&copy] } else { vec![&best, &copy] };
    let mut digests = Vec::new();
    for cuda in engines {
        let mut rate = 0.0_f64;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            digests.push(cuda.digest(&weights.tensors()?)?);
            rate = rate.max(bytes as f64 / start.elapsed().as_secs_f64());
        }
        println!("tree and sketch, {}: {:.2}", cuda.way(), rate / 1e9);
    }
    if digests.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("the ways do not agree".into());
    }
    Ok(())
}

/// Numbers below 2, as weights are, in the card's memory.
struct Weights {
    at: u64,
    names: Vec<(String, [u64; 1], u64)>,
}

impl Weights {
    fn new(ordinal: i32, bytes: usize) -> Result<Self, Box<dyn Error>> {
        let piece: Vec<u8> =
            (0..TENSOR).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8 & 0xbf).collect();
        // SAFETY: a card is open and stays so; every byte is written before it is read.
        let at = unsafe {
            let context = result::primary_ctx::retain(result::device::get(ordinal)?)?;
            result::ctx::set_current(context)?;
            let at = result::malloc_sync(bytes)?;
            for from in (0..bytes).step_by(TENSOR) {
                let part = &piece[..TENSOR.min(bytes - from)];
                result::memcpy_htod_sync(at + from as u64, part)?;
            }
            at
        };
        let named = |from: usize| {
            let length = TENSOR.min(bytes - from) as u64;
            (format!("layers.{}.weight", from / TENSOR), [length / 2], at + from as u64)
        };
        Ok(Self { at, names: (0..bytes).step_by(TENSOR).map(named).collect() })
    }

    fn tensors(&self) -> Result<Vec<Resident<'_>>, Box<dyn Error>> {
        self.names
            .iter()
            .map(|(name, shape, at)| {
                // SAFETY: they lie there until `self` is dropped; every copy has finished.
                Ok(unsafe { Resident::new(name, Dtype::BF16, shape, (*at, 2 * shape[0]), 0) }?)
            })
            .collect()
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        // SAFETY: taken by `new`.
        let _ = unsafe { result::free_sync(self.at) };
    }
}
