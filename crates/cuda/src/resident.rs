//! A tensor in a card's memory.

use weight_digest::dtype::Dtype;

use crate::error::CudaError;

/// A whole tensor in a card's memory: its elements one after the other, little-endian, in C order.
#[derive(Clone, Copy, Debug)]
pub struct Resident<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: &'a [u64],
    pointer: u64,
    length: u64,
    stream: u64,
}

impl<'a> Resident<'a> {
    /// A tensor of this name, type and shape whose first byte `pointer` points at, as PyTorch's `data_ptr()` gives it,
    /// `length` bytes long. Its bytes are read after everything that was enqueued on `stream` before, a `CUstream`
    /// as PyTorch's `current_stream().cuda_stream` gives it; 0 is the default stream.
    ///
    /// # Errors
    /// Type and shape give another length, or the pointer does not point at an element of the type.
    ///
    /// # Safety
    /// Until its digest is there, nothing writes to the tensor or frees it but what was enqueued on the stream before,
    /// and the stream stays. That the pointer is the card's memory is checked when it is digested.
    pub unsafe fn new(
        name: &'a str,
        dtype: Dtype,
        shape: &'a [u64],
        (pointer, length): (u64, u64),
        stream: u64,
    ) -> Result<Self, CudaError> {
        let wrong = |why: String| Err(CudaError::Tensor { name: shown(name), why });
        match dtype.length(shape) {
            None => return wrong("its shape and type give no number of bytes".to_owned()),
            Some(expected) if expected != length => {
                return wrong(format!("its shape and type give {expected} bytes, not {length}"));
            }
            Some(_) if pointer.checked_add(length).is_none() => {
                return wrong("it would lie beyond all memory".to_owned());
            }
            Some(_) => {}
        }
        let width = dtype.value_bytes().unwrap_or(1) as u64;
        if !pointer.is_multiple_of(width) {
            return wrong(format!("it begins at no multiple of its elements' {width} bytes"));
        }
        Ok(Self { name, dtype, shape, pointer, length, stream })
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its shape.
    pub fn shape(&self) -> &'a [u64] {
        self.shape
    }

    /// Its bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn pointer(&self) -> u64 {
        self.pointer
    }

    pub(crate) fn stream(&self) -> u64 {
        self.stream
    }
}

/// A name from elsewhere, short enough for a message.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_tensor_is_named() {
        let refused = |dtype, shape: &[u64], at| {
            // SAFETY: it is never digested.
            let tensor = unsafe { Resident::new("layer.weight", dtype, shape, at, 0) };
            tensor.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(Dtype::BF16, &[3, 5], (1 << 20, 30)), "");
        assert_eq!(
            refused(Dtype::BF16, &[3, 5], (1 << 20, 32)),
            "tensor `layer.weight`: its shape and type give 30 bytes, not 32"
        );
        assert!(refused(Dtype::F4, &[3], (1 << 20, 2)).contains("no number of bytes"));
        assert!(refused(Dtype::F32, &[u64::MAX, 2], (1 << 20, 8)).contains("no number of bytes"));
        assert!(refused(Dtype::F32, &[1], ((1 << 20) + 2, 4)).contains("no multiple"));
        assert!(refused(Dtype::U8, &[9], (u64::MAX - 3, 9)).contains("beyond"));
    }
}
