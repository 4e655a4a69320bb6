//! Digests of model weights by a graphics card: the trees and the sketch of `weight-digest`, to the bit, in WGSL
//! compute shaders that Vulkan runs.
//!
//! | module | subject |
//! |---|---|
//! | [`engine`] | a card as an engine: upload, hash, sketch, a few kilobytes back |
//! | `plan` | which leaf, node and element is where |
//! | `kernels`, `kinds`, `sha256` | the shaders, and what of them is written by program |
//! | `device`, `slot` | the card and its buffers, and what goes wrong with them |
#![forbid(unsafe_code)]

mod device;
pub mod engine;
mod kernels;
mod kinds;
mod plan;
mod sha256;
mod slot;

pub use self::device::Card;
pub use self::engine::{Gpu, Options};
