//! A compiler can be wrong, and memory broken: no card's kernels are used before they gave the processor's digest of a
//! few bytes of every type.

use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::engine::{Engine as _, Span};
use weight_digest::leaves::LeafRange;
use weight_digest::sketch::{Sketch, SketchKey};
use weight_digest::tree::LEAF;

use crate::driver::{Answer, Entered, Memory, Stream};
use crate::kernels::Kernels;
use crate::resident::Resident;

/// Two chunks of a tensor, and a leaf that is not whole: whole elements of every type, F6 too.
const LENGTH: usize = (256 + 5) * LEAF + 24;

/// Checks the kernels; the error says that they fail, or that they are wrong.
pub fn check(kernels: &Kernels, entered: &Entered<'_>) -> Answer<()> {
    // A multiplicative hash: bits of every kind, of NaN and infinity too.
    let bytes: Vec<u8> =
        (0..LENGTH as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 19) as u8).collect();
    let stream = Stream::new(entered)?;
    let memory = Memory::of(&stream, &bytes)?;
    stream.finish()?;
    let shapes: Vec<[u64; 1]> =
        Dtype::ALL.iter().map(|dtype| [LENGTH as u64 * 8 / dtype.bits()]).collect();
    let tensors = Dtype::ALL
        .iter()
        .zip(&shapes)
        .map(|(dtype, shape)| {
            // SAFETY: they lie in memory that stays to the end, and whose copy has finished.
            unsafe { Resident::new(dtype.name(), *dtype, shape, (memory.at, LENGTH as u64), 0) }
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let mut found = Sketch::default();
    let leaves = kernels.digest(entered, &tensors, &mut found)?;
    if (leaves, found) == expected(&bytes)? {
        Ok(())
    } else {
        Err("its kernels digest bytes otherwise than the processor, so they are not used"
            .to_owned())
    }
}

/// What the processor gives.
fn expected(bytes: &[u8]) -> Answer<(Vec<LeafRange>, Sketch)> {
    let spans: Vec<Span<'_>> = Dtype::ALL
        .iter()
        .map(|dtype| Span { dtype: *dtype, key: SketchKey::new(dtype.name()), first: 0, bytes })
        .collect();
    let mut sketch = Sketch::default();
    let leaves = Cpu.digest(&spans, Some(&mut sketch)).map_err(|error| error.to_string())?;
    Ok((leaves, sketch))
}
