//! Real services for the time of a test: a Rekor v2 log, a time-stamping authority, a witness, and
//! the files that tell a client to trust them.
//!
//! Each listens on loopback, on free ports, and is stopped by its own process id when its value is
//! dropped. Each answers through a [`Front`] of ours, so that a test can lose, delay or alter what
//! the real server says.

mod exchange;
mod front;
mod openssl;
mod process;
mod rekor;
mod rekor_v1;
mod trust;
mod tsa;
mod witness;

use std::path::PathBuf;

pub use exchange::{Reply, Request, get, post};
pub use front::{Fault, Front};
pub use openssl::{Key, openssl};
pub use rekor::Rekor;
pub use rekor_v1::RekorV1;
pub use trust::{SigningConfig, TrustedRoot, Window};
pub use tsa::{Manner, Tsa};
pub use witness::Witness;

use crate::program::checkout;
use crate::skip;

/// The servers that `cargo xtask toolchain` builds.
#[derive(Clone, Debug)]
pub struct Tools {
    rekor: PathBuf,
    litewitness: PathBuf,
}

impl Tools {
    /// Looks for them; says why and gives `None` where they were not built.
    pub fn find() -> Option<Self> {
        let tools = built("posix")
            .zip(built("litewitness"))
            .map(|(rekor, litewitness)| Self { rekor, litewitness });
        if tools.is_none() {
            skip("the servers are not built; run `cargo xtask toolchain`");
        }
        tools
    }
}

/// A program that `cargo xtask toolchain` has built with Go, or `cargo xtask soak` if it takes long.
pub fn built(name: &str) -> Option<PathBuf> {
    let path = checkout().join(".cache/go/bin").join(name);
    path.is_file().then_some(path)
}
