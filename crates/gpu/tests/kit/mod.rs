//! Cards to test on, and what to compare them with.

use std::sync::OnceLock;

use gpu_digest::{Card, Gpu, Options};
use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::engine::{Engine as _, Span};
use weight_digest::sketch::{Sketch, SketchKey};

/// Every card there is, with parts of so many bytes.
pub fn cards(part: usize, slots: usize) -> Vec<Gpu> {
    static ALL: OnceLock<Vec<Card>> = OnceLock::new();
    let all = ALL.get_or_init(Card::all);
    assert!(
        !all.is_empty(),
        "no Vulkan here, in hardware or software; `cargo xtask toolchain` installs it, or \
         `apt-get install mesa-vulkan-drivers libvulkan1`"
    );
    all.iter().map(|card| Gpu::open(card, Options { part, slots }).unwrap()).collect()
}

/// Some leaves of a tensor.
pub fn tensor<'a>(dtype: Dtype, name: &str, first: u64, bytes: &'a [u8]) -> Span<'a> {
    Span { dtype, key: SketchKey::new(name), first, bytes }
}

/// The card gives what the processor gives; the sketch.
pub fn check(gpu: &Gpu, spans: &[Span<'_>]) -> Sketch {
    let (mut expected, mut found) = (Sketch::default(), Sketch::default());
    let leaves = Cpu.digest(spans, Some(&mut expected)).unwrap();
    assert_eq!(gpu.digest(spans, Some(&mut found)).unwrap(), leaves);
    assert_eq!(found.counts, expected.counts);
    assert!(found.buckets == expected.buckets, "other sums");
    assert_eq!(gpu.digest(spans, None).unwrap(), leaves);
    found
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
