//! Fuzz targets: one function for each parser that reads strangers' bytes, each with what must hold of
//! whatever it accepts. A target panics when it does not hold.
//!
//! `tests/corpus.rs` runs every target over its corpus as an ordinary test; `cargo xtask fuzz` lets
//! libFuzzer look for more. What a target compares with is written again here, from the
//! specifications, or taken from another implementation.
#![forbid(unsafe_code)]
// A target's panics are its findings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims;
mod handovers;
mod memory;
mod mutation;
mod published;
mod reports;
mod signer;
mod targets;
mod tree;

pub use mutation::{Dice, mutate};
pub use targets::{TARGETS, Target, target};
