//! Digests of model weights that lie in the memory of a card that CUDA drives: the trees and the sketch of
//! `weight-digest`, to the bit. It builds and links without CUDA; the driver is looked for when a card is opened.
//!
//! | module | subject |
//! |---|---|
//! | [`cuda`] | a card, and the digest of tensors in its memory |
//! | [`resident`] | a tensor in a card's memory: pointer, length, type, shape, stream |
//! | [`way`] | which of the ways to digest them there is, and what the others lack |
//! | `chunks` | which leaves are hashed together, and which nodes come back |
//! | `kernels` | the way that leaves the weights where they are: kernels, compiled by NVRTC |
//! | `copy` | the way that takes the driver alone: page-locked memory, and the processor |
//! | [`ceiling`] | what no digest on a card can be faster than |
//! | `trust` | kernels show that they digest rightly before they are used |
//! | `driver` | the driver's context, streams and memory, given back when they are dropped |
//! | [`error`] | why there is no digest |
#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod ceiling;
mod chunks;
#[allow(unsafe_code)]
mod copy;
pub mod cuda;
#[allow(unsafe_code)]
mod driver;
pub mod error;
#[allow(unsafe_code)]
mod kernels;
#[allow(unsafe_code)]
pub mod resident;
#[allow(unsafe_code)]
mod trust;
pub mod way;

pub use self::cuda::Cuda;
pub use self::error::CudaError;
pub use self::resident::Resident;
pub use self::way::Way;
