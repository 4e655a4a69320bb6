//! What libFuzzer drives: the target that `FUZZ_TARGET` names. `cargo xtask fuzz` builds and starts it.
#![no_main]
// The macro exports functions to C.
#![allow(unsafe_code)]

use std::env;
use std::sync::OnceLock;

use fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = env::var("FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| {
            eprintln!("FUZZ_TARGET names no target: `{name}`");
            std::process::exit(2)
        })
    });
    (target.run)(input);
});
