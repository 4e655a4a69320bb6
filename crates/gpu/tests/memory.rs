//! A card whose memory is too small for what is asked of it. Mesa's llvmpipe has the process's memory for the card's, so a
//! process that may have little of it stands in for one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::env;
use std::process::Command;

use gpu_digest::{Card, Gpu, Options};
use weight_digest::tree::LEAF;

/// Set in the process that has little memory.
const LITTLE: &str = "GPU_DIGEST_LITTLE_MEMORY";

/// So many kibibytes of addresses: enough for the driver, and for a few small buffers.
const LIMIT: u32 = 3_000_000;

#[test]
fn buffers_that_do_not_fit_are_an_error_and_no_panic() {
    if env::var_os(LITTLE).is_some() {
        return ask_for_too_much();
    }
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -v {LIMIT}; exec \"$0\" \"$@\"")]);
    limited.arg(env::current_exe().unwrap()).args(["--nocapture", "--test-threads=1"]);
    let answer = limited.env(LITTLE, "1").env("LP_NUM_THREADS", "2").output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success(), "{said}");
}

fn ask_for_too_much() {
    let cards = Card::all();
    let in_software: Vec<&Card> =
        cards.iter().filter(|card| card.name().contains("llvmpipe")).collect();
    assert!(!in_software.is_empty(), "no Vulkan in software; `cargo xtask toolchain` installs it");
    for card in in_software {
        let few = Options { part: 8 * LEAF, slots: 1 };
        assert!(Gpu::open(card, few).is_ok(), "the card itself");
        let many = Options { part: 64 << 20, slots: 64 };
        let error = Gpu::open(card, many).unwrap_err();
        assert!(error.why.to_lowercase().contains("memory"), "{error}");
    }
}
