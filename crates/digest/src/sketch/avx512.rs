//! Whole blocks with AVX-512: a line of sums stays in registers while every block of a run adds to it. What
//! is unsafe is all here: the call of a function that needs these instructions, after looking for them, and
//! reading and writing 64 bytes.
//!
//! An element's bucket is its position XOR the block's mask, so a line of 64 bytes goes to one line of
//! buckets: the high bits of the mask choose the line, the low ones the place in it.

use std::arch::x86_64::*;

use super::philox::{CALLS, MULTIPLIERS, ROUNDS, WEYL, WORDS};
use super::{BLOCK, Sketch, SketchKey};

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

    /// The bits of 2. No smaller element has that bit, so all of them together have not.
    fn two(self) -> u32 {
        if self == Self::F32 { 0x4000_0000 } else { 0x4000 }
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
    let sums = sketch.buckets.sums_mut();
    if blocks.len() <= MOST_SMALL {
        if put::<true>(sums, kind, &blocks, Put::Add) < kind.two() {
            return true;
        }
        put::<true>(sums, kind, &blocks, Put::TakeOff);
    }
    // All bits of all elements together are at least each one's.
    let seen = put::<false>(sums, kind, &blocks, Put::Add);
    let fits = seen < kind.limit() || largest(kind, bytes) < kind.limit();
    if !fits {
        put::<false>(sums, kind, &blocks, Put::TakeOff);
    }
    fits
}

/// What is done with elements; taking off what was added leaves the sums as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    Add,
    TakeOff,
}

/// Puts the blocks' elements, all of them less than 2 if they are to be small. Returns all their bits together,
/// without the sign.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn put<const SMALL: bool>(sums: &mut [i64], kind: Lines, blocks: &[Block<'_>], how: Put) -> u32 {
    match kind {
        Lines::F32 => put_f32::<SMALL>(sums, blocks, how),
        Lines::BF16 => put_bf16::<SMALL>(sums, blocks, how),
        Lines::F16 => put_f16::<SMALL>(sums, blocks, how),
    }
}

/// Sixteen floats a line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn put_f32<const SMALL: bool>(sums: &mut [i64], blocks: &[Block<'_>], how: Put) -> u32 {
    let plus = _mm512_set1_epi32(scale(SMALL) << 23);
    let minus = _mm512_set1_epi32(i32::MIN | scale(SMALL) << 23);
    let seen = put_lines::<SMALL, 1>(sums, blocks, how, |block, at, raw| {
        let signs = (block.signs[at / 2] >> (at % 2 * 16)) as u16;
        let scaled = _mm512_add_epi32(raw, _mm512_mask_blend_epi32(signs, plus, minus));
        [_mm512_castsi512_ps(_mm512_permutexvar_epi32(block.places, scaled))]
    });
    _mm512_reduce_or_epi32(seen) as u32 & 0x7fff_ffff
}

/// Thirty-two upper halves of floats a line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn put_bf16<const SMALL: bool>(sums: &mut [i64], blocks: &[Block<'_>], how: Put) -> u32 {
    let plus = _mm512_set1_epi16((scale(SMALL) << 7) as i16);
    let minus = _mm512_set1_epi16(i16::MIN | (scale(SMALL) << 7) as i16);
    let upper = _mm512_set1_epi32(i32::MIN >> 15);
    let seen = put_lines::<SMALL, 2>(sums, blocks, how, |block, at, raw| {
        let scaled = _mm512_add_epi16(raw, _mm512_mask_blend_epi16(block.signs[at], plus, minus));
        let pairs = _mm512_permutexvar_epi16(block.places, scaled);
        [_mm512_slli_epi32::<16>(pairs), _mm512_and_si512(pairs, upper)]
            .map(|floats| _mm512_castsi512_ps(floats))
    });
    either_half(seen)
}

/// Thirty-two in half precision a line.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn put_f16<const SMALL: bool>(sums: &mut [i64], blocks: &[Block<'_>], how: Put) -> u32 {
    let minus = _mm512_set1_epi16(i16::MIN);
    let scale = _mm512_set1_ps((1_u64 << scale(SMALL)) as f32);
    let seen = put_lines::<SMALL, 2>(sums, blocks, how, |block, at, raw| {
        let signed = _mm512_mask_add_epi16(raw, block.signs[at], raw, minus);
        let placed = _mm512_permutexvar_epi16(block.places, signed);
        [_mm512_castsi512_si256(placed), _mm512_extracti64x4_epi64::<1>(placed)]
            .map(|halves| _mm512_mul_ps(_mm512_cvtph_ps(halves), scale))
    });
    either_half(seen)
}

/// Lines of sums that are added to at a time. The lines that go to them lie beside each other in every block.
const ABREAST: usize = 4;

/// Puts every line of the blocks, which `floats` signs, scales and brings to their places. Returns all lines'
/// bits together.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn put_lines<const SMALL: bool, const FLOATS: usize>(
    sums: &mut [i64],
    blocks: &[Block<'_>],
    how: Put,
    floats: impl Fn(&Block<'_>, usize, __m512i) -> [__m512; FLOATS],
) -> __m512i {
    let line = 16 * FLOATS;
    let mut seen = _mm512_setzero_si512();
    for (group, to) in sums.chunks_exact_mut(line * ABREAST).enumerate() {
        let mut added = [[[_mm512_setzero_si512(); 2]; FLOATS]; ABREAST];
        for block in blocks {
            let first = (group * ABREAST) ^ (block.mask / line);
            for (n, added) in added.iter_mut().enumerate() {
                let raw = load(&block.lines[first ^ n]);
                seen = _mm512_or_si512(seen, raw);
                let floats = floats(block, first ^ n, raw);
                added
                    .iter_mut()
                    .zip(floats)
                    .for_each(|(to, floats)| add_scaled::<SMALL>(to, floats));
            }
        }
        let added =
            added.as_flattened().iter().flat_map(|sums| units::<SMALL>(*sums, blocks.len()));
        for (to, units) in to.as_chunks_mut::<8>().0.iter_mut().zip(added) {
            let sum = load_sums(to);
            let sum = match how {
                Put::Add => _mm512_add_epi64(sum, units),
                Put::TakeOff => _mm512_sub_epi64(sum, units),
            };
            store(to, sum);
        }
    }
    seen
}

/// By which power of two elements are multiplied before they are added: until they count units of 2⁻⁴⁰, or if they
/// are small, as [`add_small`] wants it.
///
/// Added to a float's exponent it multiplies every element that is not left out, except zero and what is close to
/// it: those become less than a unit either way, and are rounded to 0. Added with the sign bit, it turns the
/// sign over as well.
const fn scale(small: bool) -> i32 {
    if small { 5 } else { 40 }
}

/// Adds sixteen scaled elements, each rounded, half to even, to a whole number of units, to as many sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_scaled<const SMALL: bool>(sums: &mut [__m512i; 2], scaled: __m512) {
    if SMALL {
        return add_small(sums, scaled);
    }
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let low = _mm512_cvt_roundps_epi64::<NEAREST>(_mm512_castps512_ps256(scaled));
    let high = _mm512_cvt_roundps_epi64::<NEAREST>(_mm512_extractf32x8_ps::<1>(scaled));
    sums[0] = _mm512_add_epi64(sums[0], low);
    sums[1] = _mm512_add_epi64(sums[1], high);
}

/// 1.5 · 2⁸: the last bit of its sum with an element of less than 64 is 2⁻¹⁵.
const COARSE: f32 = 384.0;

/// 1.5 · 2⁻¹²: the last bit of its sum with what is then left of the element is 2⁻³⁵, a unit.
const FINE: f32 = 1.5 / 4096.0;

/// Blocks of small elements that are put at a time: each adds at most 2²¹ to a sum of 32 bits.
const MOST_SMALL: usize = 512;

/// Elements of less than 64, of which 2⁻³⁵ is a unit. The bits of a float close to one of the constants count
/// its last bit, and can be added as whole numbers, with the constant's each time: in the first sums multiples of
/// 2⁻¹⁵, in the second ones what is left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn add_small(sums: &mut [__m512i; 2], scaled: __m512) {
    const LEFT: i32 = 15 << 4 | _MM_FROUND_NO_EXC;
    let coarse = _mm512_add_ps(scaled, _mm512_set1_ps(COARSE));
    let left = _mm512_reduce_ps::<LEFT>(scaled);
    let fine = _mm512_add_ps(left, _mm512_set1_ps(FINE));
    sums[0] = _mm512_add_epi32(sums[0], _mm512_castps_si512(coarse));
    sums[1] = _mm512_add_epi32(sums[1], _mm512_castps_si512(fine));
}

/// In units, sums of so many elements each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn units<const SMALL: bool>(sums: [__m512i; 2], added: usize) -> [__m512i; 2] {
    if !SMALL {
        return sums;
    }
    let without = |sums, constant: f32| {
        let constants = constant.to_bits().wrapping_mul(added as u32);
        _mm512_sub_epi32(sums, _mm512_set1_epi32(constants as i32))
    };
    let (coarse, fine) = (without(sums[0], COARSE), without(sums[1], FINE));
    let together = |coarse, fine| {
        let coarse = _mm512_slli_epi64::<20>(_mm512_cvtepi32_epi64(coarse));
        _mm512_add_epi64(coarse, _mm512_cvtepi32_epi64(fine))
    };
    [
        together(_mm512_castsi512_si256(coarse), _mm512_castsi512_si256(fine)),
        together(_mm512_extracti64x4_epi64::<1>(coarse), _mm512_extracti64x4_epi64::<1>(fine)),
    ]
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
fn load_sums(line: &[i64; 8]) -> __m512i {
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
