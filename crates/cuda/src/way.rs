//! Which way weights in a card's memory are digested.

use std::fmt;

use crate::error::CudaError;

/// A way to digest weights in a card's memory. All give the same digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the card, where they lie: no weight is moved, and nodes and sums of a few hundredths of a percent cross
    /// the bus. It takes NVRTC, CUDA's run-time compiler.
    Kernels,
    /// By this machine's processor: everything is copied, through page-locked memory, on a stream of its own.
    Copy,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernels => "by the card, where they lie",
            Self::Copy => "copied, by the processor",
        })
    }
}

/// What is missing where there is no NVRTC.
pub(crate) const NO_NVRTC: &str = "CUDA's run-time compiler was not found (libnvrtc.so.13, .12 or .11): the CUDA toolkit \
     brings it, or `pip install nvidia-cuda-nvrtc` and its folder in LD_LIBRARY_PATH; a process that has loaded \
     PyTorch has it";

/// The way to take, and what the better one lacks where it is not that.
///
/// # Errors
/// The way that was asked for is not there.
pub(crate) fn choose(
    asked: Option<Way>,
    has_nvrtc: bool,
) -> Result<(Way, Option<&'static str>), CudaError> {
    match asked {
        Some(Way::Copy) => Ok((Way::Copy, None)),
        _ if has_nvrtc => Ok((Way::Kernels, None)),
        Some(Way::Kernels) => Err(CudaError::Missing(NO_NVRTC)),
        None => Ok((Way::Copy, Some(NO_NVRTC))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_best_way_there_is_or_the_one_asked_for() {
        let chosen = |asked, nvrtc| choose(asked, nvrtc).unwrap();
        assert_eq!(chosen(None, true), (Way::Kernels, None));
        assert_eq!(chosen(None, false), (Way::Copy, Some(NO_NVRTC)));
        assert_eq!(chosen(Some(Way::Kernels), true), (Way::Kernels, None));
        assert_eq!(chosen(Some(Way::Copy), true), (Way::Copy, None));
        assert_eq!(chosen(Some(Way::Copy), false), (Way::Copy, None));
        let refused = choose(Some(Way::Kernels), false).unwrap_err().to_string();
        assert!(refused.contains("libnvrtc"), "{refused}");
    }
}
