//! Safetensors files: tensors lie end to end in the file, as the reference implementation has them, and
//! their digest does not depend on the pieces in which the file comes.

use safetensors::SafeTensors;
use weight_digest::safetensors::{PREFIX, Tensor, header_length, parse_header};
use weight_digest::stream::StreamDigest;

use crate::memory::bounded;

pub fn run(file: &[u8]) {
    let length = file.len() as u64;
    let Ok(header) = header_length(&file[..file.len().min(8)], length) else { return };
    let (header, data) = file[PREFIX as usize..].split_at(header as usize);
    let Ok(tensors) = bounded(file.len(), 16, || parse_header(header, length)) else { return };
    assert_end_to_end(&tensors, PREFIX + header.len() as u64, length);
    assert_agrees(file, &tensors);
    let whole = digest(header, length, data.chunks(usize::MAX));
    assert_eq!(whole, digest(header, length, data.chunks(7)), "pieces change the digest");
}

/// No byte belongs to two tensors or to none.
pub fn assert_end_to_end(tensors: &[Tensor], data: u64, file: u64) {
    let mut next = data;
    for tensor in tensors {
        assert_eq!(tensor.offset, next, "{}", tensor.name);
        let bits = tensor.shape.iter().product::<u64>() * tensor.dtype.bits();
        assert_eq!(tensor.length * 8, bits, "{}", tensor.name);
        next += tensor.length;
    }
    assert_eq!(next, file, "the last byte");
}

fn assert_agrees(file: &[u8], ours: &[Tensor]) {
    let theirs = SafeTensors::deserialize(file).expect("what the reference reads");
    assert_eq!(theirs.len(), ours.len());
    for tensor in ours {
        let view = theirs.tensor(&tensor.name).unwrap();
        let at = tensor.offset as usize;
        assert_eq!(view.data(), &file[at..at + tensor.length as usize], "{}", tensor.name);
        let shape: Vec<u64> = view.shape().iter().map(|side| *side as u64).collect();
        assert_eq!(shape, tensor.shape, "{}", tensor.name);
    }
}

fn digest<'a>(header: &[u8], length: u64, pieces: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = StreamDigest::default();
    digest.begin(header, length).unwrap();
    pieces.for_each(|piece| digest.update(piece).unwrap());
    digest.end().unwrap();
    assert!(digest.begin(header, length).is_err() || digest.tensors().is_empty(), "a name twice");
    digest.root()
}
