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
//! | `trust` | a card shows that it digests rightly before it is used |
//! | `device`, `slot`, `upload`, `answer` | the card, its buffers, what is put in them and what comes back |
#![forbid(unsafe_code)]

mod answer;
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
mod trust;
mod upload;

pub use self::choice::{Choice, Device, choose};
pub use self::device::Card;
pub use self::engine::{Gpu, Options};
