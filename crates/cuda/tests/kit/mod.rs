//! Tensors in a card's memory, and what the processor says of them.

use std::ffi::{c_int, c_void};

use cuda_digest::cuda::Digest;
use cuda_digest::{Cuda, CudaError, Resident};
use cudarc::driver::{result, sys};
use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::engine::{Engine as _, Span};
use weight_digest::sketch::{Sketch, SketchKey};
use weight_digest::tree::{TensorDigest, root};

/// A tensor: its name, its type, and its bytes.
pub type Given<'a> = (&'a str, Dtype, &'a [u8]);

/// Bytes that lie in the card's memory.
pub struct OnCard {
    at: u64,
    pub from: u64,
}

impl OnCard {
    /// So many bytes behind the beginning of their memory, which ends behind them or at the next multiple of 256.
    pub fn new(bytes: &[u8], behind: usize) -> Self {
        let length = (behind + bytes.len()).max(1);
        // SAFETY: a card is open; so many bytes are taken before they are written.
        unsafe {
            let context = result::primary_ctx::retain(result::device::get(0).unwrap()).unwrap();
            result::ctx::set_current(context).unwrap();
            let at = result::malloc_sync(length).unwrap();
            result::memcpy_htod_sync(at + behind as u64, bytes).unwrap();
            result::primary_ctx::release(0).unwrap();
            Self { at, from: at + behind as u64 }
        }
    }

    /// So that the last byte is the last of their memory.
    pub fn at_the_end(bytes: &[u8]) -> Self {
        Self::new(bytes, bytes.len().next_multiple_of(256) - bytes.len())
    }
}

impl Drop for OnCard {
    fn drop(&mut self) {
        // SAFETY: taken by `new`.
        unsafe { result::free_sync(self.at) }.unwrap();
    }
}

/// The shape that a tensor of these bytes has.
pub fn shape(dtype: Dtype, bytes: &[u8]) -> [u64; 1] {
    [bytes.len() as u64 * 8 / dtype.bits()]
}

/// The card's digest of tensors that lie there.
pub fn on_card(
    cuda: &Cuda,
    given: &[Given<'_>],
    held: &[OnCard],
    stream: u64,
) -> Result<Digest, CudaError> {
    let shapes: Vec<[u64; 1]> =
        given.iter().map(|(_, dtype, bytes)| shape(*dtype, bytes)).collect();
    let tensors: Vec<Resident<'_>> = given
        .iter()
        .zip(held)
        .zip(&shapes)
        .map(|(((name, dtype, bytes), held), shape)| {
            let memory = (held.from, bytes.len() as u64);
            // SAFETY: they lie there until `held` is dropped.
            unsafe { Resident::new(name, *dtype, shape, memory, stream) }.unwrap()
        })
        .collect();
    cuda.digest(&tensors)
}

/// The processor's digest.
pub fn on_cpu(given: &[Given<'_>]) -> Digest {
    let mut sketch = Sketch::default();
    let mut tensors: Vec<TensorDigest> = given
        .iter()
        .map(|(name, dtype, bytes)| {
            let span = Span { dtype: *dtype, key: SketchKey::new(name), first: 0, bytes };
            let leaves = Cpu.digest(&[span], Some(&mut sketch)).unwrap();
            TensorDigest {
                name: (*name).to_owned(),
                dtype: *dtype,
                shape: shape(*dtype, bytes).to_vec(),
                length: bytes.len() as u64,
                root: leaves[0].root().unwrap(),
            }
        })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Digest { root: root(&tensors), tensors, sketch }
}

/// The two agree, wherever the tensors begin.
pub fn check(cuda: &Cuda, given: &[Given<'_>]) {
    let expected = on_cpu(given);
    let at_the_end = given.iter().map(|(.., bytes)| OnCard::at_the_end(bytes)).collect();
    let at_the_beginning = given.iter().map(|(.., bytes)| OnCard::new(bytes, 0)).collect();
    for held in [at_the_end, at_the_beginning] as [Vec<OnCard>; 2] {
        let found = on_card(cuda, given, &held, 0).unwrap();
        for (found, expected) in found.tensors.iter().zip(&expected.tensors) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.sketch.counts, expected.sketch.counts);
        assert!(found.sketch.buckets == expected.sketch.buckets, "other sums");
        assert_eq!(found.root, expected.root);
    }
}

/// A number of the stand-in's.
pub fn number(name: &str) -> &'static mut c_int {
    // SAFETY: the stand-in has integers of these names, and this process one thread that looks at them.
    unsafe { &mut **sys::culib().get::<*mut c_int>(name.as_bytes()).unwrap() }
}

/// What a write that a stream brings later begins with.
pub type Defer = unsafe extern "C" fn(*mut c_void, u64, *const c_void, usize);

/// The stand-in's way to defer one.
pub fn defer() -> Defer {
    // SAFETY: the stand-in has a function of this name and type.
    unsafe { *sys::culib().get::<Defer>(b"standin_defer").unwrap() }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(length).collect()
    }
}
