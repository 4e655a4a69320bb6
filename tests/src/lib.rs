//! A kit for tests that drive `rlhf-audit` as its users do: a folder to work in, commands as they
//! are typed, what a command answered, a server that ends with its test.
//!
//! Everything here stops the test where something is not as it must be.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answer;
mod program;
mod server;
pub mod services;
mod work;

pub use answer::Answer;
pub use program::{checkout, program};
pub use server::{Response, Served};
pub use work::{Work, preferences, ratings};

/// Says why a test does nothing here; where every test must run (`CI=true`), it fails instead.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot be tested here: {why}");
    eprintln!("skipped: {why}");
}
