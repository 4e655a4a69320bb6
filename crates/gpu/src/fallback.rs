//! A card that the processor stands in for as soon as it fails: the digest is the same.

use std::fmt;
use std::sync::OnceLock;

use rayon::prelude::*;
use weight_digest::cpu::Cpu;
use weight_digest::engine::{Engine, EngineError, Span};
use weight_digest::leaves::LeafRange;
use weight_digest::sketch::Sketch;

use crate::engine::Gpu;
use crate::plan::cut;

/// Told once, when the card fails.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// Bytes that one thread digests at a time.
const PART: usize = 1 << 20;

/// A card, and the processor for when it fails.
pub struct OrCpu {
    gpu: Gpu,
    /// What it said when it failed.
    failed: OnceLock<String>,
    warn: Warn,
}

impl OrCpu {
    /// The card, with somebody to tell when it fails.
    pub fn new(gpu: Gpu, warn: Warn) -> Self {
        Self { gpu, failed: OnceLock::new(), warn }
    }

    /// The card.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }
}

impl fmt::Debug for OrCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrCpu")
            .field("gpu", &self.gpu)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Engine for OrCpu {
    fn name(&self) -> String {
        match self.failed.get() {
            None => self.gpu.name(),
            Some(_) => format!("{}, after {} failed", Cpu.name(), self.gpu.name()),
        }
    }

    fn batch(&self) -> usize {
        if self.failed.get().is_none() { self.gpu.batch() } else { Cpu.batch() }
    }

    fn calls(&self) -> Option<usize> {
        if self.failed.get().is_none() { self.gpu.calls() } else { Cpu.calls() }
    }

    fn digest(
        &self,
        spans: &[Span<'_>],
        mut sketch: Option<&mut Sketch>,
    ) -> Result<Vec<LeafRange>, EngineError> {
        if self.failed.get().is_none() {
            match self.gpu.digest(spans, sketch.as_deref_mut()) {
                Ok(ranges) => return Ok(ranges),
                // Other calls that are under way fail as well.
                Err(error) if self.failed.set(error.why.clone()).is_ok() => {
                    (self.warn)(&format!("{error}; the processor goes on in its stead"));
                }
                Err(_) => {}
            }
        }
        by_cpu(spans, sketch)
    }
}

/// By all cores, whose threads may all be waiting for it.
fn by_cpu(spans: &[Span<'_>], sketch: Option<&mut Sketch>) -> Result<Vec<LeafRange>, EngineError> {
    let parts = cut(spans, PART, PART);
    let results = parts
        .par_iter()
        .map(|part| {
            let parts: Vec<Span<'_>> = part
                .iter()
                .map(|piece| {
                    let whole = &spans[piece.span];
                    let first = piece.leaves(spans).start;
                    Span { first, bytes: &whole.bytes[piece.bytes.clone()], ..*whole }
                })
                .collect();
            let mut added = sketch.is_some().then(Sketch::default);
            let ranges = Cpu.digest(&parts, added.as_mut())?;
            Ok((ranges, added))
        })
        .collect::<Result<Vec<_>, EngineError>>()?;
    let mut all: Vec<LeafRange> = spans.iter().map(|span| LeafRange::empty(span.first)).collect();
    let mut sketch = sketch;
    for (part, (ranges, added)) in parts.iter().zip(results) {
        for (piece, range) in part.iter().zip(&ranges) {
            if !all[piece.span].append(range) {
                let why = "its leaves do not follow those before".to_owned();
                return Err(EngineError { engine: Cpu.name(), why });
            }
        }
        if let (Some(sketch), Some(added)) = (sketch.as_deref_mut(), added) {
            sketch.join(&added);
        }
    }
    Ok(all)
}
