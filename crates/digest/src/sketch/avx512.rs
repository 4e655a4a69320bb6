//! Whole blocks with AVX-512: a line of sums stays in registers while every block of a run adds to it. What
//! is unsafe is all here: the call of a function that needs these instructions, after looking for them, and
//! reading and writing 64 bytes.
//!
//! An element's bucket is its position XOR the block's mask, so a line of 64 bytes goes to one line of
//! buckets: the high bits of the mask choose the line, the low ones the place in it.

use std::arch::x86_64::*;

use super::philox::{CALLS, MULTIPLIERS, ROUNDS, WEYL, WORDS};
use super::{BLOCK, BUCKETS, Sketch, SketchKey};

/// How elements lie in lines of 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Sixteen floats.
    F32,
    /// Thirty-two, each the upper half of a float.
    BF16,
    /// Thirty-two in half precision.
    F16,
}

impl Lines {
    fn width(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// The bits, without the sign, of the smallest element that is left out.
    fn limit(self) -> u32 {
        match self {
            Self::F32 => 0x4b00_0000,
            Self::BF16 => 0x4b00,
            // All are smaller than the limit; from here on they are infinite or NaN.
            Self::F16 => 0x7c00,
        }
    }
}

/// A block that is added.
struct Block<'a> {
    lines: &'a [[u8; 64]],
    mask: usize,
    /// Which element of a line goes to each place, by the low bits of the mask.
    places: __m512i,
    signs: [u32; WORDS],
}

/// Sums, a line in a register.
type Sums = [[i64; 8]; BUCKETS / 8];

/// Whether the processor has what [`add`] needs.
pub fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Adds whole blocks; false, and nothing added, unless [`is_there`] and every element is one that is not left
/// out.
pub fn add(sketch: &mut Sketch, key: SketchKey, kind: Lines, first: u64, bytes: &[u8]) -> bool {
    // SAFETY: the function is called where the processor has the features it is compiled for.
    is_there() && unsafe { add_blocks(sketch, key, kind, first, bytes) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_blocks(sketch: &mut Sketch, key: SketchKey, kind: Lines, first: u64, bytes: &[u8]) -> bool {
    let (lines, _) = bytes.as_chunks::<64>();
    let blocks: Vec<Block<'_>> = (first..)
        .zip(lines.chunks_exact(BLOCK * kind.width() / 64))
        .map(|(block, lines)| {
            let mask = key.mask(block);
            Block { lines, mask, places: places(kind, mask), signs: signs(key, block) }
        })
        .collect();
    let mut sums: Sums = [[0; 8]; BUCKETS / 8];
    let seen = match kind {
        Lines::F32 => add_f32(&mut sums, &blocks),
        Lines::BF16 => add_bf16(&mut sums, &blocks),
        Lines::F16 => add_f16(&mut sums, &blocks),
    };
    // All bits of all elements together are at least each one's.
    if seen >= kind.limit() && largest(kind, bytes) >= kind.limit() {
        return false;
    }
    let all = sketch.buckets.sums_mut().iter_mut().zip(sums.as_flattened());
    all.for_each(|(all, sum)| *all = all.wrapping_add(*sum));
    true
}

/// Sixteen floats a line. Returns all elements' bits together, without the sign.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_f32(sums: &mut Sums, blocks: &[Block<'_>]) -> u32 {
    let plus = _mm512_set1_epi32(SCALE << 23);
    let minus = _mm512_set1_epi32(i32::MIN | SCALE << 23);
    let mut seen = _mm512_setzero_si512();
    for (line, [low, high]) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let mut sum = [_mm512_setzero_si512(); 2];
        for block in blocks {
            let at = line ^ (block.mask >> 4);
            let raw = load(&block.lines[at]);
            seen = _mm512_or_si512(seen, raw);
            let signs = (block.signs[at / 2] >> (at % 2 * 16)) as u16;
            let scaled = _mm512_add_epi32(raw, _mm512_mask_blend_epi32(signs, plus, minus));
            let placed = _mm512_permutexvar_epi32(block.places, scaled);
            add_scaled(&mut sum, _mm512_castsi512_ps(placed));
        }
        store(low, sum[0]);
        store(high, sum[1]);
    }
    _mm512_reduce_or_epi32(seen) as u32 & 0x7fff_ffff
}

/// Thirty-two upper halves of floats a line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_bf16(sums: &mut Sums, blocks: &[Block<'_>]) -> u32 {
    let plus = _mm512_set1_epi16((SCALE << 7) as i16);
    let minus = _mm512_set1_epi16(i16::MIN | (SCALE << 7) as i16);
    let upper = _mm512_set1_epi32(i32::MIN >> 15);
    let mut seen = _mm512_setzero_si512();
    for (line, [a, b, c, d]) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let mut low = [_mm512_setzero_si512(); 2];
        let mut high = low;
        for block in blocks {
            let at = line ^ (block.mask >> 5);
            let raw = load(&block.lines[at]);
            seen = _mm512_or_si512(seen, raw);
            let scaled =
                _mm512_add_epi16(raw, _mm512_mask_blend_epi16(block.signs[at], plus, minus));
            let pairs = _mm512_permutexvar_epi16(block.places, scaled);
            add_scaled(&mut low, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)));
            add_scaled(&mut high, _mm512_castsi512_ps(_mm512_and_si512(pairs, upper)));
        }
        store(a, low[0]);
        store(b, low[1]);
        store(c, high[0]);
        store(d, high[1]);
    }
    either_half(seen)
}

/// Thirty-two in half precision a line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_f16(sums: &mut Sums, blocks: &[Block<'_>]) -> u32 {
    let minus = _mm512_set1_epi16(i16::MIN);
    let scale = _mm512_set1_ps((1_u64 << SCALE) as f32);
    let mut seen = _mm512_setzero_si512();
    for (line, [a, b, c, d]) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let mut low = [_mm512_setzero_si512(); 2];
        let mut high = low;
        for block in blocks {
            let at = line ^ (block.mask >> 5);
            let raw = load(&block.lines[at]);
            seen = _mm512_or_si512(seen, raw);
            let signed = _mm512_mask_add_epi16(raw, block.signs[at], raw, minus);
            let placed = _mm512_permutexvar_epi16(block.places, signed);
            let floats = _mm512_cvtph_ps(_mm512_castsi512_si256(placed));
            add_scaled(&mut low, _mm512_mul_ps(floats, scale));
            let floats = _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(placed));
            add_scaled(&mut high, _mm512_mul_ps(floats, scale));
        }
        store(a, low[0]);
        store(b, low[1]);
        store(c, high[0]);
        store(d, high[1]);
    }
    either_half(seen)
}

/// What the exponent of a float grows by when units of 2⁻⁴⁰ are counted. Added to its bits it multiplies
/// every element that is not left out, except zero and what is close to it: those become less than a unit
/// either way, and are rounded to 0. Added with the sign bit, it turns the sign over as well.
const SCALE: i32 = 40;

/// Rounds sixteen floats, half to even, and adds them to as many sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_scaled(sums: &mut [__m512i; 2], units: __m512) {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let low = _mm512_cvt_roundps_epi64::<NEAREST>(_mm512_castps512_ps256(units));
    let high = _mm512_cvt_roundps_epi64::<NEAREST>(_mm512_extractf32x8_ps::<1>(units));
    sums[0] = _mm512_add_epi64(sums[0], low);
    sums[1] = _mm512_add_epi64(sums[1], high);
}

/// Which element of a line goes to each place.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn places(kind: Lines, mask: usize) -> __m512i {
    static F32: [u8; 64] = unmasked(Lines::F32);
    static BF16: [u8; 64] = unmasked(Lines::BF16);
    static F16: [u8; 64] = unmasked(Lines::F16);
    let (places, mask) = match kind {
        Lines::F32 => (&F32, _mm512_set1_epi32((mask % 16) as i32)),
        Lines::BF16 => (&BF16, _mm512_set1_epi16((mask % 32) as i16)),
        Lines::F16 => (&F16, _mm512_set1_epi16((mask % 32) as i16)),
    };
    _mm512_xor_si512(load(places), mask)
}

/// Which element goes to each place where the mask is 0, in little-endian numbers as wide as an element.
const fn unmasked(kind: Lines) -> [u8; 64] {
    let mut places = [0; 64];
    let mut at = 0;
    while at < 64 {
        places[at] = match kind {
            Lines::F32 => at / 4,
            // Elements n and n + 16 side by side: shifted or masked, either is a float.
            Lines::BF16 => at / 4 + at % 4 / 2 * 16,
            Lines::F16 => at / 2,
        } as u8;
        at += if matches!(kind, Lines::F32) { 4 } else { 2 };
    }
    places
}

/// [`SketchKey::signs`]. A word of 32 bits lies in 64, as products do; what is in the upper half does not count.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn signs(key: SketchKey, block: u64) -> [u32; WORDS] {
    const GROUPS: usize = CALLS / 8;
    let [m0, m1] = MULTIPLIERS.map(|word| _mm512_set1_epi64(word.into()));
    let [mut k0, mut k1] = key.words();
    let calls = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    let mut c0: [__m512i; GROUPS] = std::array::from_fn(|_| calls);
    for (group, counter) in c0.iter_mut().enumerate() {
        *counter = _mm512_add_epi64(calls, _mm512_set1_epi64(8 * group as i64));
    }
    let mut c1 = [_mm512_set1_epi64(block as i64); GROUPS];
    let mut c2 = [_mm512_set1_epi64((block >> 32) as i64); GROUPS];
    let mut c3 = [_mm512_setzero_si512(); GROUPS];
    for _ in 0..ROUNDS {
        let (left_key, right_key) = (_mm512_set1_epi64(k0.into()), _mm512_set1_epi64(k1.into()));
        for n in 0..GROUPS {
            const XOR: i32 = 0x96;
            let (left, right) = (_mm512_mul_epu32(c0[n], m0), _mm512_mul_epu32(c2[n], m1));
            let (above_left, above_right) =
                (_mm512_srli_epi64::<32>(left), _mm512_srli_epi64::<32>(right));
            c0[n] = _mm512_ternarylogic_epi64::<XOR>(above_right, c1[n], left_key);
            c2[n] = _mm512_ternarylogic_epi64::<XOR>(above_left, c3[n], right_key);
            (c1[n], c3[n]) = (right, left);
        }
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    let mut words = [0; WORDS];
    let (eights, _) = words.as_chunks_mut::<8>();
    for (to, from) in eights.iter_mut().zip([c0, c1, c2, c3].as_flattened()) {
        store_words(to, _mm512_cvtepi64_epi32(*from));
    }
    words
}

/// The bits of all 16-bit elements together, without the sign.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn either_half(seen: __m512i) -> u32 {
    let both = _mm512_reduce_or_epi32(seen) as u32;
    (both | both >> 16) & 0x7fff
}

/// The largest element's bits, without the sign.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn largest(kind: Lines, bytes: &[u8]) -> u32 {
    if kind == Lines::F32 {
        let bits = bytes.as_chunks().0.iter().map(|bits| u32::from_le_bytes(*bits) & 0x7fff_ffff);
        bits.fold(0, u32::max)
    } else {
        let bits = bytes.as_chunks().0.iter().map(|bits| u16::from_le_bytes(*bits) & 0x7fff);
        bits.fold(0, u16::max).into()
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is to 64 initialised bytes, and the instruction takes any alignment.
    unsafe { _mm512_loadu_si512(std::ptr::from_ref(line).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(line: &mut [i64; 8], value: __m512i) {
    // SAFETY: the reference is to 64 bytes that are ours to write, any bits of which are eight integers, and
    // the instruction takes any alignment.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(line).cast(), value) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_words(words: &mut [u32; 8], value: __m256i) {
    // SAFETY: the reference is to 32 bytes that are ours to write, any bits of which are eight integers, and
    // the instruction takes any alignment.
    unsafe { _mm256_storeu_si256(std::ptr::from_mut(words).cast(), value) }
}
