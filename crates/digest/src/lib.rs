//! Digests of model weights: what a checkpoint weighs in the log, and how far it moved.
//!
//! | module | subject |
//! |---|---|
//! | [`dtype`] | element types and their values |
//! | [`safetensors`] | the header of a safetensors file, read with suspicion |
//! | [`tree`] | the weight tree: tensors, leaves, root, proofs |
//! | [`proof`] | one tensor's, or a piece's, proof that it belongs to a checkpoint |
//! | [`delta`] | how two versions of a tensor differ |
//! | [`leaves`] | the digest of consecutive leaves, which joins with its neighbours' |
//! | [`part`] | digests of parts of tensors, which join into the whole |
//! | [`sketch`] | sums over all elements, from which the difference of two checkpoints is estimated |
//! | [`engine`] | what digests bytes of tensors: [`cpu`], or another device |
//! | [`stream`] | the digest of files that come piece by piece |
//! | [`checkpoint`] | checkpoints on disk: one file, or shards with an index |
//! | [`compute`] | digest and comparison of whole checkpoints, in parallel |
//! | `map` | the bytes of a file without a copy |
//! | `work` | how the work on them is divided |
//! | [`prove`] | proofs made from a checkpoint on disk |
//!
//! The weight tree is specified in `transparency/weights.md`. Its root does not depend on file layout,
//! shard count or machine.
#![deny(unsafe_code)]

pub mod delta;
pub mod dtype;
pub mod engine;
pub mod leaves;
pub mod part;
pub mod proof;
pub mod safetensors;
pub mod sketch;
pub mod stream;
pub mod tree;

#[cfg(feature = "files")]
pub mod checkpoint;
#[cfg(feature = "files")]
pub mod compute;
#[cfg(feature = "files")]
pub mod cpu;
#[cfg(feature = "files")]
mod map;
#[cfg(feature = "files")]
pub mod prove;
#[cfg(feature = "files")]
mod work;
