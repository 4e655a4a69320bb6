//! What libFuzzer drives: the target that `FUZZ_TARGET` names. `cargo xtask fuzz` builds and starts it.
#![no_main]
// The macro exports functions to C.
#![allow(unsafe_code)]

use std::env;
use std::sync::OnceLock;

use fuzz::{Dice, Target, mutate, target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|input: &[u8]| {
    (chosen().run)(input);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut bytes = |bytes: &mut Vec<u8>, most: usize| {
        let size = bytes.len();
        bytes.resize(most, 0);
        let size = fuzzer_mutate(bytes, size, most);
        bytes.truncate(size);
    };
    let changed = mutate(chosen().name, &data[..size], &mut Dice::new(seed), &mut bytes);
    let size = changed.len().min(max_size);
    data[..size].copy_from_slice(&changed[..size]);
    size
});

fn chosen() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = env::var("FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| {
            eprintln!("FUZZ_TARGET names no target: `{name}`");
            std::process::exit(2)
        })
    })
}
