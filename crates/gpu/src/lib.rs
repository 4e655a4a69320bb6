//! Digests of model weights by a graphics card: the trees and the sketch of `weight-digest`, to the bit, in WGSL
//! compute shaders that Vulkan runs.
//!
//! | module | subject |
//! |---|---|
//! | [`engine`] | a card as an engine: upload, hash, sketch, a few kilobytes back |
//! | [`choice`] | which device digests a checkpoint, and why |
//! | [`fallback`] | a card that the processor stands in for when it fails |
//! | [`ceiling`] | what no digest on a card can be faster than |
//! | `plan` | which leaf, node and element is where |
//! | `kernels`, `kinds`, `sha256` | the shaders, and what of them is written by program |
//! | `device`, `slot` | the card and its buffers, and what goes wrong with them |
#![forbid(unsafe_code)]

pub mod ceiling;
pub mod choice;
mod device;
pub mod engine;
pub mod fallback;
mod kernels;
mod kinds;
mod plan;
mod sha256;
mod slot;

pub use self::choice::{Choice, Device, choose};
pub use self::device::Card;
pub use self::engine::{Gpu, Options};
