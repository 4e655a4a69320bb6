//! Weights in the memory of cards that CUDA drives, digested where they lie.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cuda_digest::{Cuda, Resident};
use producer::Weighed;
use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;
use weight_digest::dtype::Dtype;

use crate::failure::{Done, Failure};

/// A tensor on a card as the package describes it: name, type as safetensors spells it, shape, address of the first byte, the
/// card's number, and the stream that its content is from.
pub type OnCard = (String, String, Vec<u64>, u64, i32, u64);

/// The cards that were opened, by their numbers. They stay open: compiling the kernels again would take seconds.
static CARDS: Mutex<BTreeMap<i32, Arc<Cuda>>> = Mutex::new(BTreeMap::new());

/// What a card lacks, or how it has failed, until that is told.
static NOTICES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Opens a card, unless it is open. Says why it cannot be, where that is so.
#[pyfunction]
pub fn open_card(py: Python<'_>, number: i32) -> PyResult<Option<String>> {
    let opened = py.detach(|| card(number));
    tell(py)?;
    Ok(opened.err().map(|failure| failure.to_string()))
}

/// Digests tensors on their cards. Nobody writes to them or frees them meanwhile, but by what their stream was told before.
pub fn weigh(tensors: &[OnCard]) -> Done<Vec<Weighed>> {
    let mut by_card: BTreeMap<i32, Vec<Resident<'_>>> = BTreeMap::new();
    for tensor in tensors {
        let (.., number, _) = tensor;
        by_card.entry(*number).or_default().push(resident(tensor)?);
    }
    let weighed = by_card.into_iter().map(|(number, tensors)| {
        let digest = card(number)?.digest(&tensors).map_err(Failure::recording)?;
        Ok(Weighed::of_tensors(digest.tensors, digest.sketch))
    });
    weighed.collect()
}

/// Warns of what the cards have noted.
pub fn tell(py: Python<'_>) -> PyResult<()> {
    let notices = std::mem::take(&mut *locked(&NOTICES));
    notices.iter().try_for_each(|notice| {
        let notice = CString::new(notice.as_str())?;
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &notice, 2)
    })
}

fn card(number: i32) -> Done<Arc<Cuda>> {
    let mut cards = locked(&CARDS);
    if let Some(card) = cards.get(&number) {
        return Ok(Arc::clone(card));
    }
    let note = Box::new(|notice: &str| locked(&NOTICES).push(notice.to_owned()));
    let card = Arc::new(Cuda::open(number, None, note).map_err(Failure::recording)?);
    cards.insert(number, Arc::clone(&card));
    Ok(card)
}

#[allow(unsafe_code)]
fn resident((name, dtype, shape, address, _, stream): &OnCard) -> Done<Resident<'_>> {
    let known = Dtype::from_name(dtype);
    let length = known.and_then(|dtype| dtype.length(shape));
    let (Some(known), Some(length)) = (known, length) else {
        return Err(Failure::input(format!(
            "the tensor `{name}` of type {dtype} cannot be digested"
        )));
    };
    // SAFETY: the package passes `data_ptr()` of a contiguous tensor on the card, which it refers to until the digest is
    // there, and PyTorch's current stream, which PyTorch never destroys. The thread that trains waits for the digest.
    let tensor = unsafe { Resident::new(name, known, shape, (*address, length), *stream) };
    tensor.map_err(Failure::input)
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
