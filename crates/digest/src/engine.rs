//! What digests bytes of tensors: a processor, or whatever else gives the same digests faster.

use std::fmt;

use thiserror::Error;

use crate::dtype::Dtype;
use crate::leaves::LeafRange;
use crate::sketch::{Sketch, SketchKey};

/// Bytes of one tensor in memory, from the beginning of a leaf to the end of one.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The type of its elements.
    pub dtype: Dtype,
    /// What of its name the sketch depends on.
    pub key: SketchKey,
    /// The leaf it begins with.
    pub first: u64,
    /// The bytes. Only a tensor's last leaf is shorter than [`crate::tree::LEAF`].
    pub bytes: &'a [u8],
}

/// Why an engine gives no digest. Another one may.
#[derive(Debug, Error)]
#[error("{engine} failed: {why}")]
pub struct EngineError {
    /// Which.
    pub engine: String,
    /// What it says.
    pub why: String,
}

/// Digests spans of tensors. Every engine gives the same digests, to the bit.
pub trait Engine: fmt::Debug + Send + Sync {
    /// What it is, for people.
    fn name(&self) -> String;

    /// How many bytes one call should bring. It takes more and fewer.
    fn batch(&self) -> usize;

    /// How many calls at once it has use for; `None`: as many as there are threads. Where it tells a number, calls
    /// wait for a device, and come from threads on which nothing else depends: not from rayon's.
    fn calls(&self) -> Option<usize> {
        None
    }

    /// The leaves of each span, in the order of the spans. Where there is a sketch, the spans' elements are
    /// added to it.
    ///
    /// # Errors
    /// The device fails; nothing was added to the sketch then.
    fn digest(
        &self,
        spans: &[Span<'_>],
        sketch: Option<&mut Sketch>,
    ) -> Result<Vec<LeafRange>, EngineError>;
}
