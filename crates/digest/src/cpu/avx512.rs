//! Sixteen whole leaves abreast with AVX-512: SHA-256 (FIPS 180-4) of a zero byte and 4,096 others, each leaf in a
//! lane of 32 bits. What is unsafe is all here: the call of a function that needs these instructions, after looking
//! for them, and reading and writing whole registers.
//!
//! It does what a kernel for messages of any length cannot: the prefix is always the one byte, so every word of the
//! message is the end of one word of the leaf and the beginning of the next. A leaf is therefore read once, by
//! whole lines, and shifted in registers; reading at an odd address would fetch each line twice.

use std::arch::x86_64::*;

use trail::merkle::Hash;

use crate::tree::LEAF;

/// Leaves hashed at a time.
pub const LANES: usize = 16;

/// A leaf, by the 64 bytes that a block of the message has of it.
type Lines = [[u8; 64]; LEAF / 64];

/// Whether the processor has what [`hash`] needs.
pub fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
}

/// The leaf hashes (RFC 6962 §2.1) of sixteen leaves; `None` unless [`is_there`].
pub fn hash(leaves: &[&[u8; LEAF]; LANES]) -> Option<[Hash; LANES]> {
    // SAFETY: the function is called where the processor has the features it is compiled for.
    is_there().then(|| unsafe { hash_leaves(leaves) })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn hash_leaves(leaves: &[&[u8; LEAF]; LANES]) -> [Hash; LANES] {
    let leaves: [&Lines; LANES] = leaves.map(lines);
    let mut state = INITIAL.map(|word| splat(word));
    // The word before the first one ends with the prefix.
    let mut before = _mm512_setzero_si512();
    for line in 0..LEAF / 64 {
        let words = transpose(leaves.map(|leaf| &leaf[line]));
        compress(&mut state, shifted(before, &words));
        before = words[15];
    }
    let mut end = [_mm512_setzero_si512(); 16];
    end[0] = _mm512_or_si512(_mm512_slli_epi32::<24>(before), splat(0x80 << 16));
    end[15] = splat((1 + LEAF as u32) * 8);
    compress(&mut state, end);
    let state = state.map(|words| stored(words));
    std::array::from_fn(|lane| {
        let mut hash = [0; 32];
        let bytes = hash.as_chunks_mut::<4>().0.iter_mut();
        bytes.zip(&state).for_each(|(bytes, words)| *bytes = words[lane].to_be_bytes());
        hash
    })
}

fn lines(leaf: &[u8; LEAF]) -> &Lines {
    const { assert!(LEAF.is_multiple_of(64)) };
    // SAFETY: bytes have no alignment and any value, and both are of `LEAF` of them.
    unsafe { &*std::ptr::from_ref(leaf).cast() }
}

/// Words of the message, which begin a byte before those of the leaf.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi2")]
fn shifted(before: __m512i, words: &[__m512i; 16]) -> [__m512i; 16] {
    let mut all = *words;
    all[0] = _mm512_shldi_epi32::<24>(before, words[0]);
    for at in 1..16 {
        all[at] = _mm512_shldi_epi32::<24>(words[at - 1], words[at]);
    }
    all
}

/// Word by word, big-endian, what comes leaf by leaf.
///
/// Quarters of four lines are put side by side as they are loaded, so that no shuffle need cross quarters: those
/// all go through one port.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(lines: [&[u8; 64]; LANES]) -> [__m512i; 16] {
    let turned = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let mut words = [_mm512_setzero_si512(); 16];
    for (quarter, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let mut rows = [_mm512_setzero_si512(); 4];
        for (at, row) in rows.iter_mut().enumerate() {
            let part = |lane: usize| &lines[lane].as_chunks::<16>().0[quarter];
            let all = _mm512_castsi128_si512(load(part(at)));
            let all = _mm512_inserti32x4::<1>(all, load(part(at + 4)));
            let all = _mm512_inserti32x4::<2>(all, load(part(at + 8)));
            let all = _mm512_inserti32x4::<3>(all, load(part(at + 12)));
            *row = _mm512_shuffle_epi8(all, turned);
        }
        let [a, b, c, d] = rows;
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (low_after, high_after) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        *words = [
            _mm512_unpacklo_epi64(low, low_after),
            _mm512_unpackhi_epi64(low, low_after),
            _mm512_unpacklo_epi64(high, high_after),
            _mm512_unpackhi_epi64(high, high_after),
        ];
    }
    words
}

/// FIPS 180-4 §6.2.2, with as much of the schedule as is needed at a time.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress(state: &mut [__m512i; 8], mut words: [__m512i; 16]) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    // Each variable's role moves on by one with each round; after eight, all are back.
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $word:expr, $constant:expr) => {
            let constant = splat($constant);
            let first = add(add($h, add($word, constant)), add(large1($e), choose($e, $f, $g)));
            $d = add($d, first);
            $h = add(first, add(large0($a), majority($a, $b, $c)));
        };
    }
    macro_rules! eight {
        ($word:ident, $from:literal, $constants:expr) => {
            round!(a b c d e f g h, $word!($from), $constants[$from]);
            round!(h a b c d e f g, $word!($from + 1), $constants[$from + 1]);
            round!(g h a b c d e f, $word!($from + 2), $constants[$from + 2]);
            round!(f g h a b c d e, $word!($from + 3), $constants[$from + 3]);
            round!(e f g h a b c d, $word!($from + 4), $constants[$from + 4]);
            round!(d e f g h a b c, $word!($from + 5), $constants[$from + 5]);
            round!(c d e f g h a b, $word!($from + 6), $constants[$from + 6]);
            round!(b c d e f g h a, $word!($from + 7), $constants[$from + 7]);
        };
    }
    macro_rules! given {
        ($at:expr) => {
            words[$at]
        };
    }
    macro_rules! next {
        ($at:expr) => {{
            let (after, late, last) = (($at + 1) % 16, ($at + 9) % 16, ($at + 14) % 16);
            let early = add(words[$at], small0(words[after]));
            words[$at] = add(early, add(words[late], small1(words[last])));
            words[$at]
        }};
    }
    let ([given, rest @ ..], []) = CONSTANTS.as_chunks::<16>() else { return };
    eight!(given, 0, given);
    eight!(given, 8, given);
    for constants in rest {
        eight!(next, 0, constants);
        eight!(next, 8, constants);
    }
    let worked = [a, b, c, d, e, f, g, h];
    state.iter_mut().zip(worked).for_each(|(state, worked)| *state = add(*state, worked));
}

/// A boolean function of three words, by its table of truth.
macro_rules! of_three {
    ($table:literal, $a:expr, $b:expr, $c:expr) => {
        _mm512_ternarylogic_epi32::<$table>($a, $b, $c)
    };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn choose(e: __m512i, f: __m512i, g: __m512i) -> __m512i {
    of_three!(0xca, e, f, g)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn majority(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    of_three!(0xe8, a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn large0(a: __m512i) -> __m512i {
    let rotated = (_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a));
    of_three!(0x96, rotated.0, rotated.1, rotated.2)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn large1(e: __m512i) -> __m512i {
    let rotated = (_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e));
    of_three!(0x96, rotated.0, rotated.1, rotated.2)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn small0(w: __m512i) -> __m512i {
    let (rotated, more) = (_mm512_ror_epi32::<7>(w), _mm512_ror_epi32::<18>(w));
    of_three!(0x96, rotated, more, _mm512_srli_epi32::<3>(w))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn small1(w: __m512i) -> __m512i {
    let (rotated, more) = (_mm512_ror_epi32::<17>(w), _mm512_ror_epi32::<19>(w));
    of_three!(0x96, rotated, more, _mm512_srli_epi32::<10>(w))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u32) -> __m512i {
    _mm512_set1_epi32(word as i32)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is to 16 initialised bytes, and the instruction takes any alignment.
    unsafe { _mm_loadu_si128(std::ptr::from_ref(bytes).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn stored(words: __m512i) -> [u32; LANES] {
    let mut all = [0; LANES];
    // SAFETY: the reference is to 64 bytes that are ours to write, any bits of which are sixteen integers, and
    // the instruction takes any alignment.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(&mut all).cast(), words) };
    all
}

/// FIPS 180-4 §5.3.3.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// FIPS 180-4 §4.2.2.
#[rustfmt::skip]
static CONSTANTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use trail::merkle::leaf_hash;

    #[test]
    fn every_lane_and_every_byte_of_a_leaf_counts() {
        if !is_there() {
            eprintln!("skipped: this processor has no AVX-512 with VBMI2");
            return;
        }
        let mut bytes: Vec<[u8; LEAF]> = (0..LANES)
            .map(|lane| std::array::from_fn(|at| ((at * 31 + lane * 131) >> 3) as u8))
            .collect();
        let check = |bytes: &[[u8; LEAF]]| {
            let leaves: [&[u8; LEAF]; LANES] = std::array::from_fn(|lane| &bytes[lane]);
            let expected: [Hash; LANES] = std::array::from_fn(|lane| leaf_hash(&bytes[lane]));
            assert_eq!(hash(&leaves).unwrap(), expected);
        };
        check(&bytes);
        for at in 0..LEAF {
            bytes[at % LANES][at] ^= 0x80 >> (at % 8);
            check(&bytes);
        }
    }
}
