//! The command line program from outside: what is typed, what comes back, what is on the disk.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bad_input;
mod canaries;
mod commands;
mod damage;
mod erasure;
mod forgery;
mod history;
mod hybrid;
mod keys;
mod noise;
mod policies;
mod privacy;
mod real_data;
mod secrets;
mod serving;
mod sigstore;
mod soak;
mod survival;
mod weights;
