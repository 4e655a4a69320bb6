//! A run of elements, block by block: whole blocks by the fastest way there is for their type, what is left
//! at both ends one by one.

use half::{bf16, f16};

use super::fixed::{self, LeftOut};
use super::philox::WORDS;
use super::{BLOCK, Counts, Sketch, SketchKey};
use crate::dtype::Dtype;

/// Blocks that are added at a time: as floats they fill half a mebibyte, and stay in the core's own cache.
const RUN: usize = 32;

/// Adds the elements of a tensor from the given one on.
pub fn add(sketch: &mut Sketch, key: SketchKey, dtype: Dtype, first: u64, bytes: &[u8]) {
    let Some(width) = dtype.value_bytes() else { return };
    let size = BLOCK * width;
    let into = (first % BLOCK as u64) as usize;
    let head = if into == 0 { 0 } else { (size - into * width).min(bytes.len()) };
    let (head, rest) = bytes.split_at(head);
    let (blocks, tail) = rest.split_at(rest.len() / size * size);
    let mut block = first / BLOCK as u64;
    if !head.is_empty() {
        one_by_one(sketch, key, dtype, (block, into), head);
        block += 1;
    }
    whole(sketch, key, dtype, block, blocks);
    block += (blocks.len() / size) as u64;
    one_by_one(sketch, key, dtype, (block, 0), tail);
}

/// Adds whole blocks.
fn whole(sketch: &mut Sketch, key: SketchKey, dtype: Dtype, first: u64, blocks: &[u8]) {
    let size = BLOCK * dtype.value_bytes().unwrap_or(1);
    let mut floats = Vec::new();
    for (first, run) in (first..).step_by(RUN).zip(blocks.chunks(size * RUN)) {
        if fast(sketch, key, dtype, first, run, &mut floats) {
            continue;
        }
        for (block, bytes) in (first..).zip(run.chunks_exact(size)) {
            one_by_one(sketch, key, dtype, (block, 0), bytes);
        }
    }
}

/// Adds whole blocks many elements at a time; false, and nothing done, where this machine cannot, or some
/// elements are left out and are to be counted.
#[cfg(all(target_arch = "x86_64", feature = "files"))]
fn fast(
    sketch: &mut Sketch,
    key: SketchKey,
    dtype: Dtype,
    first: u64,
    run: &[u8],
    floats: &mut Vec<u8>,
) -> bool {
    use super::avx512::{self, Lines};
    match dtype {
        _ if !avx512::is_there() => false,
        Dtype::F32 | Dtype::C64 => avx512::add(sketch, key, Lines::F32, first, run),
        Dtype::BF16 => avx512::add(sketch, key, Lines::BF16, first, run),
        Dtype::F16 => avx512::add(sketch, key, Lines::F16, first, run),
        // A float does not hold their values.
        Dtype::I32 | Dtype::U32 | Dtype::F64 | Dtype::I64 | Dtype::U64 => false,
        short => {
            widen(short, run, floats);
            avx512::add(sketch, key, Lines::F32, first, floats)
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", feature = "files")))]
fn fast(_: &mut Sketch, _: SketchKey, _: Dtype, _: u64, _: &[u8], _: &mut Vec<u8>) -> bool {
    false
}

/// The elements of a type of at most 16 bits as floats, which hold all of their values.
#[cfg(all(target_arch = "x86_64", feature = "files"))]
fn widen(dtype: Dtype, bytes: &[u8], floats: &mut Vec<u8>) {
    let width = dtype.value_bytes().unwrap_or(1);
    floats.resize(bytes.len() / width * 4, 0);
    let (floats, _) = floats.as_chunks_mut::<4>();
    let float = |element: &[u8]| (dtype.value(element) as f32).to_le_bytes();
    if width == 1 {
        let table: [[u8; 4]; 256] = std::array::from_fn(|byte| float(&[byte as u8]));
        let elements = floats.iter_mut().zip(bytes);
        elements.for_each(|(to, byte)| *to = table[usize::from(*byte)]);
    } else {
        let elements = floats.iter_mut().zip(bytes.as_chunks::<2>().0);
        match dtype {
            Dtype::I16 => elements.for_each(|(to, element)| {
                *to = f32::from(i16::from_le_bytes(*element)).to_le_bytes();
            }),
            other => elements.for_each(|(to, element)| {
                *to = (other.value(element) as f32).to_le_bytes();
            }),
        }
    }
}

/// Adds the elements of one block from a position on.
pub fn one_by_one(
    sketch: &mut Sketch,
    key: SketchKey,
    dtype: Dtype,
    (block, from): (u64, usize),
    bytes: &[u8],
) {
    if bytes.is_empty() {
        return;
    }
    let Sketch { buckets, counts } = sketch;
    let mut place = Place {
        sums: buckets.sums_mut(),
        mask: key.mask(block),
        signs: key.signs(block),
        counts,
        at: from,
    };
    let two = |read: fn([u8; 2]) -> f64, place: &mut Place<'_>| {
        bytes.as_chunks().0.iter().for_each(|element| place.put(fixed::of_double(read(*element))));
    };
    match dtype {
        Dtype::F32 | Dtype::C64 => {
            for element in bytes.as_chunks().0 {
                place.put(fixed::of_double(f32::from_le_bytes(*element).into()));
            }
        }
        Dtype::BF16 => two(|element| bf16::from_le_bytes(element).into(), &mut place),
        Dtype::F16 => two(|element| f16::from_le_bytes(element).into(), &mut place),
        other => {
            let width = other.value_bytes().unwrap_or(1);
            bytes.chunks_exact(width).for_each(|element| place.put(fixed::fixed(other, element)));
        }
    }
}

/// Where the next element of a block goes.
struct Place<'a> {
    sums: &'a mut [i64],
    mask: usize,
    signs: [u32; WORDS],
    counts: &'a mut Counts,
    at: usize,
}

impl Place<'_> {
    #[inline(always)]
    fn put(&mut self, element: Result<i64, LeftOut>) {
        let at = self.at % BLOCK;
        self.at += 1;
        match element {
            Ok(units) => {
                let minus = i64::from(self.signs[at / 32] >> (at % 32) & 1);
                let sum = &mut self.sums[at ^ self.mask];
                *sum = sum.wrapping_add((units ^ -minus).wrapping_add(minus));
            }
            Err(LeftOut::OutOfRange) => self.counts.out_of_range += 1,
            Err(LeftOut::Infinite) => self.counts.infinite += 1,
            Err(LeftOut::Nan) => self.counts.nan += 1,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any bits, mostly of numbers that are sketched; `wild` of a thousand are any at all.
    fn elements(dtype: Dtype, count: usize, seed: u64, wild: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        };
        let width = dtype.value_bytes().unwrap();
        let mut bytes = Vec::with_capacity(count * width);
        while bytes.len() < count * width {
            let any = next() % 1000 < wild;
            // Most integers are too large; the short ones have their turn.
            let short = !any && matches!(dtype, Dtype::I32 | Dtype::U32 | Dtype::I64 | Dtype::U64);
            let bits = (next() >> if short { 41 } else { 0 }).to_le_bytes();
            let element = &bits[..width];
            if any || fixed::fixed(dtype, element).is_ok() {
                bytes.extend(element);
            }
        }
        bytes
    }

    fn sketch_of(dtype: Dtype, first: u64, bytes: &[u8]) -> Sketch {
        let mut sketch = Sketch::default();
        add(&mut sketch, SketchKey::new("a.weight"), dtype, first, bytes);
        sketch
    }

    /// The same, an element at a time from beginning to end.
    fn slowly(dtype: Dtype, first: u64, bytes: &[u8]) -> Sketch {
        let mut sketch = Sketch::default();
        let width = dtype.value_bytes().unwrap();
        for (at, element) in (first..).zip(bytes.chunks_exact(width)) {
            let place = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
            one_by_one(&mut sketch, SketchKey::new("a.weight"), dtype, place, element);
        }
        sketch
    }

    #[test]
    fn every_path_gives_the_same_sums_for_every_type() {
        let sketched = Dtype::ALL.iter().filter(|dtype| dtype.value_bytes().is_some());
        for dtype in sketched {
            for (first, count, wild) in [(0, 3 * BLOCK, 0), (4000, 2 * BLOCK + 500, 500)] {
                let bytes = elements(*dtype, count, 7, wild);
                let found = sketch_of(*dtype, first, &bytes);
                assert_eq!(found, slowly(*dtype, first, &bytes), "{dtype:?}");
                assert_eq!(found.counts.left_out() > 0, wild > 0 && has_more(*dtype), "{dtype:?}");
            }
        }
    }

    /// Whether a type has elements that are left out.
    fn has_more(dtype: Dtype) -> bool {
        use Dtype::{Bool, I8, I16, U8, U16};
        !matches!(dtype, Bool | I8 | I16 | U8 | U16)
    }

    #[test]
    fn whole_blocks_are_added_to_what_is_there() {
        for dtype in [Dtype::F32, Dtype::BF16, Dtype::F16, Dtype::F8_E4M3] {
            let bytes = elements(dtype, (RUN + 3) * BLOCK, 1, 0);
            let mut sketch = sketch_of(dtype, 0, &bytes);
            let once = sketch.clone();
            add(&mut sketch, SketchKey::new("a.weight"), dtype, 0, &bytes);
            assert_eq!(sketch.buckets.minus(&once.buckets), once.buckets);
        }
    }

    /// Every element of less than 2 in 16 bits; of floats, those a rounding away from each other.
    fn small(dtype: Dtype) -> Vec<u8> {
        let halves = (0..0x4000_u16).flat_map(|bits| [bits, bits | 0x8000]);
        if dtype != Dtype::F32 {
            return halves.flat_map(u16::to_le_bytes).collect();
        }
        let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let floats = halves.flat_map(|upper| lower.map(|lower| u32::from(upper) << 16 | lower));
        floats.flat_map(u32::to_le_bytes).collect()
    }

    /// What was added before the other was seen is taken off again.
    #[test]
    fn small_elements_and_one_among_them_that_is_not() {
        let cases = [
            (Dtype::F32, [2.0_f32, f32::INFINITY].map(|float| float.to_le_bytes().to_vec())),
            (
                Dtype::BF16,
                [bf16::from_f32(2.0), bf16::INFINITY].map(|float| float.to_le_bytes().to_vec()),
            ),
            (
                Dtype::F16,
                [f16::from_f32(2.0), f16::INFINITY].map(|float| float.to_le_bytes().to_vec()),
            ),
        ];
        for (dtype, others) in cases {
            let mut bytes = small(dtype);
            assert_eq!(sketch_of(dtype, 0, &bytes), slowly(dtype, 0, &bytes), "{dtype:?}");
            for other in others {
                bytes[..other.len()].copy_from_slice(&other);
                assert_eq!(sketch_of(dtype, 0, &bytes), slowly(dtype, 0, &bytes), "{dtype:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn parts_add_up(count in 0..5 * BLOCK, cuts in prop::collection::vec(0..5 * BLOCK, 0..6), seed: u64, of in 0usize..5) {
            let dtype = [Dtype::F32, Dtype::BF16, Dtype::F16, Dtype::I64, Dtype::F8_E5M2][of];
            let width = dtype.value_bytes().unwrap();
            let bytes = elements(dtype, count, seed, 1);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(count)).chain([0, count]).collect();
            cuts.sort_unstable();
            let mut sum = Sketch::default();
            for cut in cuts.windows(2) {
                sum.join(&sketch_of(dtype, cut[0] as u64, &bytes[cut[0] * width..cut[1] * width]));
            }
            prop_assert_eq!(sum, sketch_of(dtype, 0, &bytes));
        }
    }
}
