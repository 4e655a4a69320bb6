//! Why there is no digest of tensors in a card's memory.

use thiserror::Error;

/// Why there is no digest of tensors in a card's memory.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no CUDA driver.
    #[error(
        "no CUDA driver was found (libcuda.so.1). NVIDIA's display driver brings it; with NVIDIA's container runtime, \
         NVIDIA_DRIVER_CAPABILITIES must name `compute`. Weights in a file need no CUDA"
    )]
    NoDriver,
    /// The driver is there, and has no such card.
    #[error(
        "there is no CUDA device {ordinal}: the driver shows {count} (CUDA_VISIBLE_DEVICES may hide some)"
    )]
    NoDevice {
        /// Which was asked for.
        ordinal: i32,
        /// How many there are.
        count: i32,
    },
    /// A way was asked for that this machine does not have.
    #[error("{0}")]
    Missing(&'static str),
    /// A tensor is not what is said of it.
    #[error("tensor `{name}`: {why}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The card or its driver failed.
    #[error("{device} failed: {why}")]
    Failed {
        /// Which card.
        device: String,
        /// What the driver says.
        why: String,
    },
}
