//! How fast each graphics card here digests weights that are in the processor's memory, beside what it cannot be
//! faster than, and the processor: `gpu_rate [MEBIBYTES]`, 4,096 by default.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::thread;
use std::time::Instant;

use gpu_digest::{Card, Gpu, Options, ceiling};
use rayon::prelude::*;
use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::engine::{Engine, EngineError, Span};
use weight_digest::sketch::{Sketch, SketchKey};
use weight_digest::tree::LEAF;

/// Of each, the best counts.
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mebibytes = std::env::args().nth(1).map_or(Ok(4096), |size| size.parse::<usize>())?;
    let weights = weights(mebibytes.max(1) << 20);
    println!("{mebibytes} MiB of BF16; GB/s, the best of {ROUNDS}");
    for sketch in [false, true] {
        let rate = best(|| by_all_cores(&weights, sketch))?;
        println!("{}, {}: {:.2}", Cpu.name(), what(sketch), rate / 1e9);
    }
    for card in Card::all() {
        let limits = ceiling::measure(&card, weights.len() as u64)?;
        println!("{}, copy to it alone: {:.2}", card.name(), limits.copy / 1e9);
        println!("{}, SHA-256 of nothing fetched: {:.2}", card.name(), limits.hash / 1e9);
        let gpu = Gpu::open(&card, Options::for_bytes(weights.len() as u64))?;
        for sketch in [false, true] {
            let rate = best(|| by_card(&gpu, &weights, sketch))?;
            println!(
                "{}, {}: {:.2}, {:.0}% of the copy rate",
                gpu.name(),
                what(sketch),
                rate / 1e9,
                100.0 * rate / limits.copy
            );
        }
    }
    Ok(())
}

fn what(sketch: bool) -> &'static str {
    if sketch { "tree and sketch" } else { "tree" }
}

/// Numbers below 2, as weights are.
fn weights(length: usize) -> Vec<u8> {
    (0..length)
        .into_par_iter()
        .map(|i| ((i.wrapping_mul(0x9e37_79b9)) >> 13) as u8 & 0xbf)
        .collect()
}

/// Bytes a second, the best of some rounds.
fn best(mut run: impl FnMut() -> Result<f64, EngineError>) -> Result<f64, EngineError> {
    (0..ROUNDS).try_fold(0.0, |best: f64, _| Ok(best.max(run()?)))
}

/// Bytes from a leaf on.
fn span(at: usize, bytes: &[u8]) -> Span<'_> {
    Span { dtype: Dtype::BF16, key: SketchKey::new("a"), first: (at / LEAF) as u64, bytes }
}

fn by_all_cores(weights: &[u8], sketch: bool) -> Result<f64, EngineError> {
    let start = Instant::now();
    let batch = Cpu.batch();
    weights.par_chunks(batch).enumerate().try_for_each_init(
        Sketch::default,
        |sums, (at, bytes)| {
            Cpu.digest(&[span(at * batch, bytes)], sketch.then_some(sums)).map(drop)
        },
    )?;
    Ok(weights.len() as f64 / start.elapsed().as_secs_f64())
}

/// By as many threads as it has use for, as a checkpoint is.
fn by_card(gpu: &Gpu, weights: &[u8], sketch: bool) -> Result<f64, EngineError> {
    let start = Instant::now();
    let (batch, threads) = (gpu.batch(), gpu.calls().unwrap_or(1));
    let batches: Vec<(usize, &[u8])> = weights.chunks(batch).enumerate().collect();
    thread::scope(|scope| {
        let run = |thread: usize| {
            let batches = &batches;
            move || {
                let mut sums = Sketch::default();
                batches.iter().skip(thread).step_by(threads).try_for_each(|(at, bytes)| {
                    gpu.digest(&[span(at * batch, bytes)], sketch.then_some(&mut sums)).map(drop)
                })
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(weights.len() as f64 / start.elapsed().as_secs_f64())
}
