//! A card, and the digest of tensors in its memory.

use std::fmt;
use std::sync::OnceLock;

use trail::merkle::Hash;
use weight_digest::leaves::LeafRange;
use weight_digest::sketch::Sketch;
use weight_digest::tree::{TensorDigest, root};

use crate::copy;
use crate::driver::{Answer, Device, Entered};
use crate::error::CudaError;
use crate::kernels::{Kernels, has_nvrtc};
use crate::resident::{Resident, shown};
use crate::trust;
use crate::way::{Way, choose};

/// Told what a better way lacks, and once if that way fails later.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// What was digested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The root over all tensors.
    pub root: Hash,
    /// The tensors, sorted by name.
    pub tensors: Vec<TensorDigest>,
    /// The sketch of all tensors.
    pub sketch: Sketch,
}

/// A card that CUDA drives.
pub struct Cuda {
    device: Device,
    kernels: Option<Kernels>,
    /// What the kernels said when they failed.
    failed: OnceLock<String>,
    warn: Warn,
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda")
            .field("device", &self.device)
            .field("way", &self.way())
            .finish_non_exhaustive()
    }
}

impl Cuda {
    /// Opens a card by its number, as CUDA counts them, for a way, or for the best one there is. `warn` is told what
    /// the better way lacks, if it is not that one. Compiling the kernels takes some seconds, once.
    ///
    /// # Errors
    /// There is no driver, or no such card, or the way that was asked for is not there; or the driver fails.
    pub fn open(ordinal: i32, way: Option<Way>, warn: Warn) -> Result<Self, CudaError> {
        let device = Device::open(ordinal)?;
        let (chosen, missing) = choose(way, has_nvrtc())?;
        if let Some(missing) = missing {
            warn(&format!("{}: {missing}; the weights are copied to the processor", device.name()));
        }
        let kernels = match chosen {
            Way::Copy => None,
            Way::Kernels => match Self::compile(&device) {
                Ok(kernels) => Some(kernels),
                Err(why) if way.is_some() => return Err(failed(&device, why)),
                Err(why) => {
                    warn(&format!(
                        "{}: {why}; the weights are copied to the processor",
                        device.name()
                    ));
                    None
                }
            },
        };
        Ok(Self { device, kernels, failed: OnceLock::new(), warn })
    }

    fn compile(device: &Device) -> Answer<Kernels> {
        let entered = device.enter()?;
        let kernels = Kernels::new(device, &entered)?;
        match trust::check(&kernels, &entered) {
            Ok(()) => Ok(kernels),
            Err(why) => {
                kernels.unload(&entered);
                Err(why)
            }
        }
    }

    /// The card, and the kernels where there are some.
    pub(crate) fn parts(&self) -> (&Device, Option<&Kernels>) {
        (&self.device, self.kernels.as_ref())
    }

    /// The card, for people.
    pub fn name(&self) -> &str {
        self.device.name()
    }

    /// How it digests now.
    pub fn way(&self) -> Way {
        if self.kernels.is_some() && self.failed.get().is_none() { Way::Kernels } else { Way::Copy }
    }

    /// Digests these tensors, each whole and of a name of its own, and waits for it. If the kernels fail, the
    /// processor goes on in their stead, from then on.
    ///
    /// # Errors
    /// A tensor is not in the card's memory, or two have one name; or the driver fails.
    pub fn digest(&self, tensors: &[Resident<'_>]) -> Result<Digest, CudaError> {
        let entered = self.device.enter().map_err(|why| failed(&self.device, why))?;
        check(&entered, tensors)?;
        let (leaves, sketch) =
            self.leaves(&entered, tensors).map_err(|why| failed(&self.device, why))?;
        let mut digests = tensors
            .iter()
            .zip(&leaves)
            .map(|(tensor, leaves)| {
                Some(TensorDigest {
                    name: tensor.name().to_owned(),
                    dtype: tensor.dtype(),
                    shape: tensor.shape().to_vec(),
                    length: tensor.length(),
                    root: leaves.root()?,
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| failed(&self.device, "its leaves make no tree".to_owned()))?;
        digests.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(Digest { root: root(&digests), tensors: digests, sketch })
    }

    fn leaves(
        &self,
        entered: &Entered<'_>,
        tensors: &[Resident<'_>],
    ) -> Answer<(Vec<LeafRange>, Sketch)> {
        let mut sketch = Sketch::default();
        if let (Some(kernels), None) = (&self.kernels, self.failed.get()) {
            match kernels.digest(entered, tensors, &mut sketch) {
                Ok(leaves) => return Ok((leaves, sketch)),
                Err(why) => {
                    // Calls in other threads may fail as well; the first one tells.
                    if self.failed.set(why.clone()).is_ok() {
                        let name = self.device.name();
                        (self.warn)(&format!("{name}: {why}; the processor goes on in its stead"));
                    }
                    sketch = Sketch::default();
                }
            }
        }
        let leaves = copy::digest(entered, tensors, &mut sketch)?;
        Ok((leaves, sketch))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        if let (Some(kernels), Ok(entered)) = (&self.kernels, self.device.enter()) {
            kernels.unload(&entered);
        }
    }
}

fn failed(device: &Device, why: String) -> CudaError {
    CudaError::Failed { device: device.name().to_owned(), why }
}

/// Each has a name of its own and lies in the card's memory.
fn check(entered: &Entered<'_>, tensors: &[Resident<'_>]) -> Result<(), CudaError> {
    let mut names: Vec<&str> = tensors.iter().map(Resident::name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let wrong = |name, why| CudaError::Tensor { name: shown(name), why };
    if let Some(name) = twice {
        return Err(wrong(name, "it is there twice".to_owned()));
    }
    tensors.iter().try_for_each(|tensor| {
        entered.check(tensor.pointer(), tensor.length()).map_err(|why| wrong(tensor.name(), why))
    })
}
