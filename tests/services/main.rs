//! The services of the kit, against which everything that publishes is tested: what each answers,
//! checked by other programs, and that a test can make each fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anchored;
mod anchoring;
mod clients;
mod cosigning;
mod front;
mod handed_over;
mod keys;
mod monitor;
mod mutations;
mod publisher;
mod publishing;
mod rekor;
mod try_out;
mod tsa;
mod without_us;
mod witness;
