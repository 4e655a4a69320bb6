//! The way that leaves the weights where they are: kernels in CUDA C, compiled for the card by NVRTC, CUDA's run-time
//! compiler.

use std::collections::BTreeMap;
use std::ffi::CString;

use cudarc::nvrtc::result::{self as nvrtc, NvrtcError};
use cudarc::nvrtc::sys;
use trail::merkle::Hash;
use weight_digest::dtype::Dtype;
use weight_digest::leaves::LeafRange;
use weight_digest::sketch::{BUCKETS, Sketch};

use crate::chunks::{Plan, ROW, sketched};
use crate::driver::{Answer, Device, Entered, Kernel, Memory, Module, Stream};
use crate::resident::Resident;

const SOURCE: &str = include_str!("kernels/digest.cu");

/// Threads of a block; `THREADS` of `digest.cu`.
const THREADS: u32 = 256;

/// Blocks of SHA-256 that a thread of `compress_only` compresses.
const BLOCKS: u64 = 64;

/// Bytes of the sums of a sketch, and of the three counts behind them.
const SUMS: usize = (BUCKETS + 3) * 8;

/// Whether NVRTC is there.
pub fn has_nvrtc() -> bool {
    // SAFETY: NVIDIA's library may be loaded, and stays loaded.
    unsafe { sys::is_culib_present() }
}

/// The kernels, on a card.
#[derive(Debug)]
pub struct Kernels {
    module: Module,
    hash: Kernel,
    compress: Kernel,
    sketch: BTreeMap<Dtype, Kernel>,
}

impl Kernels {
    pub fn new(device: &Device, entered: &Entered<'_>) -> Answer<Self> {
        let module = Module::load(entered, &compile(device.capability()?)?)?;
        let kernels = || {
            let sketch = sketched()
                .map(|dtype| Ok((dtype, module.kernel(&format!("sketch_{}", dtype.name()))?)))
                .collect::<Answer<_>>()?;
            Ok([module.kernel("hash_chunks")?, module.kernel("compress_only")?])
                .map(|of| (of, sketch))
        };
        match kernels() {
            Ok(([hash, compress], sketch)) => Ok(Self { module, hash, compress, sketch }),
            Err(why) => {
                module.unload(entered);
                Err(why)
            }
        }
    }

    /// Compresses about so many bytes by SHA-256, none of them fetched, and waits for it; how many it were.
    pub fn compress_only(&self, entered: &Entered<'_>, bytes: u64) -> Answer<u64> {
        let each = u64::from(THREADS) * BLOCKS * 64;
        let blocks = (bytes / each).clamp(1, 1 << 24);
        let stream = Stream::new(entered)?;
        let last = Memory::zeroed(&stream, 4 * THREADS as usize)?;
        // SAFETY: each thread writes a word of those that were just taken, and nothing is read.
        unsafe { self.compress.launch(&stream, (blocks as u32, THREADS), [last.at, last.at]) }?;
        stream.finish()?;
        Ok(blocks * each)
    }

    /// Gives the card's memory back that they take.
    pub fn unload(&self, entered: &Entered<'_>) {
        self.module.unload(entered);
    }

    /// The leaves of each tensor, whose elements are added to the sketch, all in one pass.
    pub fn digest(
        &self,
        entered: &Entered<'_>,
        tensors: &[Resident<'_>],
        sketch: &mut Sketch,
    ) -> Answer<Vec<LeafRange>> {
        let plan = Plan::new(tensors).ok_or("these are more bytes than it can number")?;
        if plan.chunks.is_empty() {
            return Ok(vec![LeafRange::empty(0); tensors.len()]);
        }
        let stream = Stream::new(entered)?;
        let mut streams: Vec<u64> = tensors.iter().map(Resident::stream).collect();
        streams.sort_unstable();
        streams.dedup();
        streams.into_iter().try_for_each(|before| stream.after(before))?;
        let chunks = Memory::of(&stream, &plan.rows())?;
        let nodes = Memory::zeroed(&stream, plan.nodes * size_of::<Hash>())?;
        let sums = Memory::zeroed(&stream, SUMS)?;
        let all = 0..plan.chunks.len();
        let sketches = plan.types.iter().filter_map(|(dtype, chunks)| {
            Some((*self.sketch.get(dtype)?, chunks.clone(), sums.at))
        });
        for (kernel, part, to) in [(self.hash, all, nodes.at)].into_iter().chain(sketches) {
            if part.is_empty() {
                continue;
            }
            let from = chunks.at + (part.start * ROW) as u64;
            // SAFETY: a block reads its chunk, whose bytes are the card's as was checked, and writes its nodes, for
            // which there is room, or sums and counts.
            unsafe { kernel.launch(&stream, (part.len() as u32, THREADS), [from, to]) }?;
        }
        let (nodes, sums) = (nodes.read()?, sums.read()?);
        let nodes: Vec<Hash> = nodes.as_chunks().0.iter().map(hash).collect();
        let leaves =
            plan.join(tensors.len(), &nodes).ok_or("its leaves do not follow each other")?;
        add(sketch, &sums);
        tensors.iter().for_each(|tensor| count(sketch, tensor));
        Ok(leaves)
    }
}

/// A node as SHA-256 writes it: the words of the state, big-endian.
fn hash(words: &[u8; 32]) -> Hash {
    let mut hash = *words;
    hash.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    hash
}

/// Adds sums, and counts of what was left out.
fn add(sketch: &mut Sketch, sums: &[u8]) {
    let mut words = sums.as_chunks().0.iter().map(|word| i64::from_le_bytes(*word));
    for (to, sum) in sketch.buckets.sums_mut().iter_mut().zip(words.by_ref()) {
        *to = to.wrapping_add(sum);
    }
    let mut count = || words.next().unwrap_or_default() as u64;
    sketch.counts.nan += count();
    sketch.counts.infinite += count();
    sketch.counts.out_of_range += count();
}

/// Counts the elements of a tensor.
fn count(sketch: &mut Sketch, tensor: &Resident<'_>) {
    match tensor.dtype().value_bytes() {
        Some(width) => sketch.counts.elements += tensor.length() / width as u64,
        None => sketch.counts.packed += tensor.length() * 8 / tensor.dtype().bits(),
    }
}

/// Compiles the kernels for a card of this compute capability: to its own code where the compiler knows the card, so
/// that the driver need not know the compiler's PTX; for a newer card to the newest PTX there is.
fn compile(capability: i32) -> Answer<Vec<u8>> {
    let known = architectures()?;
    let own = known.contains(&capability);
    let newest = known.into_iter().filter(|known| *known <= capability).max();
    let option = match (own, newest) {
        (true, _) => format!("--gpu-architecture=sm_{capability}"),
        (false, Some(newest)) => format!("--gpu-architecture=compute_{newest}"),
        (false, None) => {
            return Err(format!("this NVRTC compiles for no card of capability {capability}"));
        }
    };
    let source = CString::new(SOURCE).map_err(|e| e.to_string())?;
    let program = Program::new(&source)?;
    program.compile(&option)?;
    if own { program.cubin() } else { program.ptx() }
}

fn architectures() -> Answer<Vec<i32>> {
    let mut count = 0;
    // SAFETY: it is written to.
    unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }
        .result()
        .map_err(said("nvrtcGetNumSupportedArchs"))?;
    let mut all = vec![0; usize::try_from(count).unwrap_or_default()];
    // SAFETY: there is room for as many as there are.
    unsafe { sys::nvrtcGetSupportedArchs(all.as_mut_ptr()) }
        .result()
        .map_err(said("nvrtcGetSupportedArchs"))?;
    Ok(all)
}

fn said(asked: &'static str) -> impl Fn(NvrtcError) -> String {
    move |error| format!("{asked}: {error}")
}

/// A program of the compiler; it refers to its source.
struct Program<'a> {
    raw: sys::nvrtcProgram,
    _source: &'a CString,
}

impl<'a> Program<'a> {
    fn new(source: &'a CString) -> Answer<Self> {
        nvrtc::create_program(source, Some(c"digest.cu"))
            .map(|raw| Self { raw, _source: source })
            .map_err(said("nvrtcCreateProgram"))
    }

    fn compile(&self, option: &str) -> Answer<()> {
        // SAFETY: the program is there until it is dropped.
        unsafe { nvrtc::compile_program(self.raw, &[option]) }.map_err(|error| {
            // SAFETY: as above.
            let log = unsafe { nvrtc::get_program_log(self.raw) }.unwrap_or_default();
            let log: Vec<u8> = log.into_iter().map(|c| c as u8).filter(|c| *c != 0).collect();
            let log: String = String::from_utf8_lossy(&log).chars().take(2000).collect();
            format!("nvrtcCompileProgram: {error}: {}", log.trim())
        })
    }

    fn cubin(&self) -> Answer<Vec<u8>> {
        let mut size = 0;
        // SAFETY: the program is compiled, and the size is written to.
        unsafe { sys::nvrtcGetCUBINSize(self.raw, &raw mut size) }
            .result()
            .map_err(said("nvrtcGetCUBINSize"))?;
        let mut image = vec![0_u8; size];
        // SAFETY: there is room for as many bytes as it has.
        unsafe { sys::nvrtcGetCUBIN(self.raw, image.as_mut_ptr().cast()) }
            .result()
            .map_err(said("nvrtcGetCUBIN"))?;
        Ok(image)
    }

    fn ptx(&self) -> Answer<Vec<u8>> {
        // SAFETY: the program is compiled.
        let ptx = unsafe { nvrtc::get_ptx(self.raw) }.map_err(said("nvrtcGetPTX"))?;
        Ok(ptx.into_iter().map(|c| c as u8).collect())
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        let _ = unsafe { nvrtc::destroy_program(self.raw) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "takes NVRTC: `pip install nvidia-cuda-nvrtc` and its folder in LD_LIBRARY_PATH; no card"]
    fn nvrtc_compiles_the_kernels_for_every_card_it_knows() {
        let all = architectures().unwrap();
        assert!(all.contains(&90), "{all:?}");
        for capability in all {
            let code = compile(capability).unwrap();
            for name in ["hash_chunks", "compress_only", "sketch_BF16"] {
                assert!(code.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
            }
        }
        // A card that is newer than the compiler gets PTX, which is text.
        assert!(String::from_utf8(compile(999).unwrap()).unwrap().contains(".entry hash_chunks"));
    }
}
