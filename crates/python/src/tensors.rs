//! Weights where they are, in the memory of PyTorch: no copy, whatever the element type. Those on a device PyTorch has
//! copied, or is about to.

use pyo3::prelude::*;
use weight_digest::dtype::Dtype;
use weight_digest::part::Held;

use crate::failure::{Done, Failure};

/// Tensors as the package describes them: name, type as safetensors spells it, shape, address of the first byte.
type Described = Vec<(String, String, Vec<u64>, usize)>;

/// What the package gives to be read: `_weights.Held`.
#[derive(FromPyObject)]
pub struct InMemory {
    tensors: Described,
    /// Python's tensors: as long as they are referred to, their memory is theirs.
    owners: Py<PyAny>,
    /// What to wait for first, where copies are under way.
    ready: Option<Py<PyAny>>,
}

/// Contiguous tensors in the processor's memory, which they keep.
pub struct Tensors {
    tensors: Vec<Tensor>,
    _owners: Py<PyAny>,
    ready: Option<Py<PyAny>>,
}

struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    address: usize,
    length: usize,
}

impl Tensors {
    /// # Errors
    /// What is said of one makes no sense.
    pub fn new(memory: InMemory) -> Done<Self> {
        let InMemory { tensors: described, owners, ready } = memory;
        let tensors = described.into_iter().map(|(name, dtype, shape, address)| {
            let known = Dtype::from_name(&dtype);
            let length = known.and_then(|dtype| dtype.length(&shape));
            let length = length.and_then(|length| usize::try_from(length).ok());
            match (known, length) {
                (Some(dtype), Some(length)) if address != 0 || length == 0 => {
                    Ok(Tensor { name, dtype, shape, address, length })
                }
                _ => Err(Failure::input(format!(
                    "the tensor `{name}` of type {dtype} cannot be digested"
                ))),
            }
        });
        Ok(Self { tensors: tensors.collect::<Done<_>>()?, _owners: owners, ready })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The tensors, when they are there. Nobody changes them while this is used: the package waits for it before the next
    /// optimizer step, or, of copies, before the next are made.
    ///
    /// # Errors
    /// A device could not copy them, or Python is ending.
    pub fn held(&self) -> Done<Vec<Held<'_>>> {
        if let Some(ready) = &self.ready {
            let waited = Python::try_attach(|py| ready.call_method0(py, "wait").map(drop));
            let waited = waited.ok_or_else(|| Failure::recording("Python is ending"))?;
            waited.map_err(|error| {
                Failure::recording(format!(
                    "the weights were not copied from their device: {error}"
                ))
            })?;
        }
        Ok(self.tensors.iter().map(Tensor::held).collect())
    }
}

impl Tensor {
    #[allow(unsafe_code)]
    fn held(&self) -> Held<'_> {
        let Self { name, dtype, shape, .. } = self;
        let bytes = if self.length == 0 {
            &[][..]
        } else {
            // SAFETY: the package passes `data_ptr()` of a contiguous tensor on the processor, whose memory has
            // `length` bytes from there on, as type and shape say, and is not freed while `_owners` lives. It is not
            // written to meanwhile: the package joins before the optimizer's next step. (A program that writes to
            // weights from another thread meanwhile gets a digest of some mixture, as it would saving them.)
            unsafe { std::slice::from_raw_parts(self.address as *const u8, self.length) }
        };
        Held { name, dtype: *dtype, shape, start: 0, bytes }
    }
}
