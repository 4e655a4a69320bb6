//! Whatever card there is gives the leaves, sums and counts that the processor gives, to the bit. Where there is
//! none, Mesa's llvmpipe stands in for one (`cargo xtask toolchain` installs it).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

use kit::{Random, cards, check, tensor};
use proptest::prelude::*;
use weight_digest::dtype::Dtype;
use weight_digest::tree::LEAF;

/// Bits of floats at the edges of what the sketch does with them: every exponent with mantissas that are, or are
/// beside, a half of any place.
fn edges(exponents: std::ops::Range<u64>, mantissa: u32, bytes: usize) -> Vec<u8> {
    let edge = |place: u32| {
        [
            1u64 << place,
            (1 << place) - 1,
            (1 << place) + 1,
            3 << place,
            (1 << mantissa) - (1 << place),
        ]
    };
    let mantissas: Vec<u64> = (0..mantissa).step_by(3).flat_map(edge).chain([0]).collect();
    let mut out = Vec::new();
    for (exponent, tail) in exponents.flat_map(|e| mantissas.iter().map(move |tail| (e, tail))) {
        for sign in [0, 1 << (8 * bytes - 1)] {
            let bits: u64 = sign | exponent << mantissa | (tail & ((1 << mantissa) - 1));
            out.extend(&bits.to_le_bytes()[..bytes]);
        }
    }
    out
}

#[test]
fn every_value_of_the_short_types_and_the_edges_of_the_long_ones() {
    let bytes: Vec<u8> = (0..=255).collect();
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let floats = edges(0..256, 23, 4);
    let doubles = edges(975..1060, 52, 8);
    let rare = edges(0..3, 52, 8).into_iter().chain(edges(2040..2048, 52, 8));
    let doubles: Vec<u8> = doubles.into_iter().chain(rare).collect();
    let around = |middle: i64| (-2..3).map(move |by| middle.wrapping_add(by));
    let integers = [0, 1 << 22, 1 << 23, -(1 << 23), 1 << 31, -(1 << 31), 1 << 32, i64::MAX];
    let integers: Vec<i64> = integers.into_iter().flat_map(around).collect();
    let words: Vec<u8> =
        integers.iter().flat_map(|integer| (*integer as u32).to_le_bytes()).collect();
    let longs: Vec<u8> = integers.iter().flat_map(|integer| integer.to_le_bytes()).collect();
    let spans: Vec<_> = Dtype::ALL
        .iter()
        .map(|dtype| {
            let bytes = match (dtype, dtype.bits()) {
                (Dtype::F32 | Dtype::C64, _) => &floats,
                (Dtype::F64, _) => &doubles,
                (_, 64) => &longs,
                (_, 32) => &words,
                (_, 16) => &halves,
                _ => &bytes,
            };
            tensor(*dtype, dtype.name(), 0, bytes)
        })
        .collect();
    for gpu in cards(1 << 20, 2) {
        let counts = check(&gpu, &spans).counts;
        assert!(
            counts.nan > 0 && counts.infinite > 0 && counts.out_of_range > 0 && counts.packed > 0
        );
        spans.iter().for_each(|span| drop(check(&gpu, &[*span])));
    }
}

#[test]
fn every_length_about_blocks_and_leaves_in_one_call_and_alone() {
    let around = |edge: usize| edge.saturating_sub(2)..edge + 3;
    let bytes = Random(1).bytes(6 * LEAF);
    let lengths: Vec<usize> = (0..200)
        .chain(
            (0..4).flat_map(|leaf| (0..3).flat_map(move |block| around(leaf * LEAF + 64 * block))),
        )
        .chain((1..4).flat_map(|leaf| around(leaf * LEAF - 9)))
        .collect();
    let spans: Vec<_> =
        lengths.iter().map(|length| tensor(Dtype::U8, "a", 0, &bytes[..*length])).collect();
    for gpu in cards(1 << 20, 2) {
        check(&gpu, &spans);
        for span in spans.iter().step_by(11) {
            check(&gpu, &[*span]);
        }
        check(&gpu, &[]);
    }
}

#[test]
fn spans_longer_than_a_part_and_about_its_end() {
    let part = 16 * LEAF;
    let bytes = Random(2).bytes(5 * part);
    for gpu in cards(part, 2) {
        for length in [part - 4, part, part + 4, 2 * part, 4 * part + LEAF + 12] {
            check(&gpu, &[tensor(Dtype::F32, "a", 3, &bytes[..length])]);
            let short = tensor(Dtype::BF16, "b", 0, &bytes[..6]);
            check(&gpu, &[short, tensor(Dtype::BF16, "c", 0, &bytes[..length]), short]);
        }
    }
}

#[test]
fn blocks_are_counted_beyond_32_bits() {
    // Leaf 2^33 of bytes is block 2^33; a run of blocks goes over the edge of the lower word.
    let bytes = Random(3).bytes(40 * LEAF);
    for gpu in cards(1 << 20, 2) {
        for first in [(1 << 32) - 5, (1 << 33) + 7] {
            check(&gpu, &[tensor(Dtype::I8, "a", first, &bytes)]);
            check(&gpu, &[tensor(Dtype::BF16, "a", 2 * first + 1, &bytes)]);
        }
    }
}

#[test]
fn sums_wrap_and_calls_add_up() {
    // 4,096 blocks of the largest value there is, which meets every bucket with either sign.
    let largest = 8_388_607.5_f32.to_le_bytes().repeat(4096 * 24);
    for gpu in cards(1 << 20, 2) {
        check(&gpu, &[tensor(Dtype::F32, "a", 0, &largest), tensor(Dtype::F32, "a", 0, &largest)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn spans_that_begin_anywhere_and_share_a_part(spans in prop::collection::vec((0u64..40, 0usize..24 * LEAF / 8, 0..Dtype::ALL.len()), 0..6), seed: u64) {
        let bytes = Random(seed).bytes(24 * LEAF);
        let spans: Vec<_> = spans
            .iter()
            .map(|(first, length, dtype)| tensor(Dtype::ALL[*dtype], "a.weight", *first, &bytes[..8 * length]))
            .collect();
        for gpu in cards(16 * LEAF, 2) {
            check(&gpu, &spans);
        }
    }
}
