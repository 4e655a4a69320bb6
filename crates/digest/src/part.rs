//! Parts of a checkpoint, digested where they are, by several processes that each hold some bytes of each
//! tensor: whole leaves as the few hashes of a [`LeafRange`], and as they are the bytes at either end that fill
//! no leaf. Joined, the parts give the root and the sketch of the whole, however it was cut.

use std::collections::BTreeMap;
use std::ops::Range;

use ciborium::Value;
use thiserror::Error;
use trail::cbor;
use trail::merkle::{Hash, leaf_hash};

use crate::dtype::Dtype;
use crate::engine::{Engine, EngineError, Span};
use crate::leaves::{LeafRange, subtrees};
use crate::sketch::{Sketch, SketchKey};
use crate::tree::{LEAF, TensorDigest};

/// The format version this module reads and writes.
const VERSION: u64 = 1;

/// What one process holds of a checkpoint, digested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    tensors: Vec<TensorPart>,
    /// Of the whole leaves.
    sketch: Sketch,
}

/// Some consecutive bytes of a tensor, digested.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TensorPart {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    /// Which bytes of the tensor.
    bytes: Range<u64>,
    /// Those before the first whole leaf.
    head: Vec<u8>,
    leaves: LeafRange,
    /// Those after the last one.
    tail: Vec<u8>,
}

/// Bytes of a tensor that a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// Its type.
    pub dtype: Dtype,
    /// The whole tensor's shape.
    pub shape: &'a [u64],
    /// Where the bytes begin in the tensor.
    pub start: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Why parts give no digest.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// The device that was to digest it failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The bytes are no part.
    #[error("not a part of a digest of version {VERSION}, or cut short or damaged")]
    Foreign,
    /// A tensor is not what the parts say, or they do not fit together.
    #[error("tensor `{name}`: {why}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Where the leaves of a range of a tensor's bytes lie.
struct Cut {
    head: u64,
    leaves: Range<u64>,
    tail: u64,
}

/// Cuts a range of the bytes of a tensor of this length; the last leaf is whole where the range reaches the end.
fn cut(bytes: &Range<u64>, length: u64) -> Cut {
    let leaf = LEAF as u64;
    let first = bytes.start.div_ceil(leaf);
    let head = bytes.end.min(first * leaf) - bytes.start;
    let end = if bytes.end == length { length.div_ceil(leaf) } else { bytes.end / leaf };
    let leaves = first..end.max(first);
    let covered = bytes.end.min(leaves.end * leaf).max(bytes.start + head);
    Cut { head, leaves, tail: bytes.end - covered }
}

impl Part {
    /// Digests more bytes, in one call of the engine: of tensors that are not in the part yet or of other places in them.
    ///
    /// # Errors
    /// Some do not lie in their tensor, or the engine fails. Nothing was added then.
    pub fn add(&mut self, held: &[Held<'_>], engine: &dyn Engine) -> Result<(), PartError> {
        let cuts: Vec<(Range<u64>, Cut)> = held.iter().map(Held::cut).collect::<Result<_, _>>()?;
        let whole = |held: &Held<'_>, cut: &Cut| -> Range<usize> {
            cut.head as usize..held.bytes.len() - cut.tail as usize
        };
        let spans = held.iter().zip(&cuts).map(|(held, (_, cut))| Span {
            dtype: held.dtype,
            key: SketchKey::new(held.name),
            first: cut.leaves.start,
            bytes: &held.bytes[whole(held, cut)],
        });
        let spans: Vec<Span<'_>> = spans.filter(|span| !span.bytes.is_empty()).collect();
        let mut leaves = match &*spans {
            [] => Vec::new(),
            spans => engine.digest(spans, Some(&mut self.sketch))?,
        }
        .into_iter();
        for (held, (bytes, cut)) in held.iter().zip(cuts) {
            let whole = whole(held, &cut);
            let leaves = if whole.is_empty() { None } else { leaves.next() };
            self.tensors.push(TensorPart {
                name: held.name.to_owned(),
                dtype: held.dtype,
                shape: held.shape.to_vec(),
                bytes,
                head: held.bytes[..whole.start].to_vec(),
                leaves: leaves.unwrap_or(LeafRange::empty(cut.leaves.start)),
                tail: held.bytes[whole.end..].to_vec(),
            });
        }
        Ok(())
    }

    /// Its bytes, to send to the process that joins: deterministic CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        let tensors = self.tensors.iter().map(TensorPart::to_value).collect();
        let sketch = Value::Bytes(self.sketch.to_bytes());
        let value = Value::Array(vec![Value::from(VERSION), sketch, Value::Array(tensors)]);
        // No map and no tag in it, so it can always be written.
        cbor::encode(&value).unwrap_or_default()
    }

    /// Reads a part.
    ///
    /// # Errors
    /// It is none, or one that contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, PartError> {
        let value = cbor::decode(bytes).map_err(|_| PartError::Foreign)?;
        Self::read(&value).ok_or(PartError::Foreign)
    }

    fn read(value: &Value) -> Option<Self> {
        let [version, sketch, tensors] = value.as_array()?.as_slice() else { return None };
        (cbor::as_u64(version)? == VERSION).then_some(())?;
        let tensors = tensors.as_array()?.iter().map(TensorPart::from_value);
        let sketch = Sketch::parse(sketch.as_bytes()?).ok()?;
        Some(Self { tensors: tensors.collect::<Option<_>>()?, sketch })
    }

    /// Joins all parts of a checkpoint, in whatever order: its tensors sorted by name, and its sketch. A tensor
    /// without elements is in at least one part.
    ///
    /// # Errors
    /// Bytes of a tensor are missing or there twice, or the parts do not agree what it is.
    pub fn join(parts: &[Self]) -> Result<(Vec<TensorDigest>, Sketch), PartError> {
        let mut sketch = Sketch::default();
        parts.iter().for_each(|part| sketch.join(&part.sketch));
        let mut by_name: BTreeMap<&str, Vec<&TensorPart>> = BTreeMap::new();
        for part in parts.iter().flat_map(|part| &part.tensors) {
            by_name.entry(&part.name).or_default().push(part);
        }
        let tensors = by_name
            .into_iter()
            .map(|(name, mut parts)| {
                parts.sort_by_key(|part| (part.bytes.start, part.bytes.end));
                join_tensor(&parts, &mut sketch)
                    .map_err(|why| PartError::Tensor { name: shown(name), why })
            })
            .collect::<Result<_, _>>()?;
        Ok((tensors, sketch))
    }
}

impl Held<'_> {
    /// Which bytes of the tensor they are, and where its leaves lie in them.
    fn cut(&self) -> Result<(Range<u64>, Cut), PartError> {
        let wrong = |why| PartError::Tensor { name: shown(self.name), why };
        let length = self.dtype.length(self.shape).ok_or_else(|| wrong(NO_LENGTH))?;
        let end = self.start.checked_add(self.bytes.len() as u64).filter(|end| *end <= length);
        let end = end.ok_or_else(|| wrong("bytes are held that lie behind its end"))?;
        let range = self.start..end;
        let cut = cut(&range, length);
        Ok((range, cut))
    }
}

const NO_LENGTH: &str = "its shape and type give no number of bytes";
const MISSING: &str = "some of its bytes are in no part";

/// Joins the parts of a tensor, sorted; leaves that were cut are hashed and sketched here.
fn join_tensor(parts: &[&TensorPart], sketch: &mut Sketch) -> Result<TensorDigest, &'static str> {
    let [first, ..] = parts else { return Err(MISSING) };
    let length = first.dtype.length(&first.shape).ok_or(NO_LENGTH)?;
    let mut all = LeafRange::empty(0);
    let mut leaf: Vec<u8> = Vec::new();
    let mut at = 0;
    for part in parts {
        if (part.dtype, &part.shape) != (first.dtype, &first.shape) {
            return Err("the parts do not agree on its type and shape");
        }
        if part.bytes.start != at {
            let twice = part.bytes.start < at;
            return Err(if twice { "some of its bytes are in two parts" } else { MISSING });
        }
        at = part.bytes.end;
        leaf.extend(&part.head);
        if !leaf.is_empty() && (leaf.len() == LEAF || part.tail.is_empty() && at == length) {
            let place = all.leaves().end;
            let key = SketchKey::new(&part.name);
            let span = Span { dtype: part.dtype, key, first: place, bytes: &leaf };
            crate::sketch::add(sketch, &span);
            append(&mut all, LeafRange::new(place..place + 1, vec![leaf_hash(&leaf)]).as_ref())?;
            leaf.clear();
        }
        if !part.leaves.nodes().is_empty() {
            append(&mut all, Some(&part.leaves))?;
        }
        leaf.extend(&part.tail);
    }
    if at != length {
        return Err(MISSING);
    }
    Ok(TensorDigest {
        name: first.name.clone(),
        dtype: first.dtype,
        shape: first.shape.clone(),
        length,
        root: all.root().ok_or(UNFIT)?,
    })
}

const UNFIT: &str = "its parts do not fit together";

fn append(all: &mut LeafRange, next: Option<&LeafRange>) -> Result<(), &'static str> {
    if next.is_some_and(|next| all.append(next)) { Ok(()) } else { Err(UNFIT) }
}

impl TensorPart {
    fn to_value(&self) -> Value {
        Value::Array(vec![
            Value::from(self.name.as_str()),
            Value::from(self.dtype.name()),
            Value::Array(self.shape.iter().map(|side| Value::from(*side)).collect()),
            Value::from(self.bytes.start),
            Value::from(self.bytes.end),
            Value::Bytes(self.head.clone()),
            Value::Bytes(self.leaves.nodes().as_flattened().to_vec()),
            Value::Bytes(self.tail.clone()),
        ])
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [name, dtype, shape, start, end, head, nodes, tail] = value.as_array()?.as_slice()
        else {
            return None;
        };
        let dtype = Dtype::from_name(dtype.as_text()?)?;
        let shape: Vec<u64> = shape.as_array()?.iter().map(cbor::as_u64).collect::<Option<_>>()?;
        let bytes = cbor::as_u64(start)?..cbor::as_u64(end)?;
        let length = dtype.length(&shape)?;
        (bytes.start <= bytes.end && bytes.end <= length).then_some(())?;
        let cut = cut(&bytes, length);
        let (head, tail) = (head.as_bytes()?, tail.as_bytes()?);
        let fits = (head.len() as u64, tail.len() as u64) == (cut.head, cut.tail);
        let (nodes, rest) = nodes.as_bytes()?.as_chunks::<{ size_of::<Hash>() }>();
        (fits && rest.is_empty() && nodes.len() == subtrees(&cut.leaves).count()).then_some(())?;
        Some(Self {
            name: name.as_text()?.to_owned(),
            dtype,
            shape,
            bytes,
            head: head.clone(),
            leaves: LeafRange::new(cut.leaves, nodes.to_vec())?,
            tail: tail.clone(),
        })
    }
}

/// A name from elsewhere, short enough for a message.
fn shown(name: &str) -> String {
    name.chars().take(200).collect()
}

#[cfg(all(test, feature = "files"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;
    use crate::tree::{self, TensorHasher};
    use proptest::prelude::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|i| ((i * 31) >> 3) as u8).collect()
    }

    fn tensors() -> Vec<(&'static str, Dtype, Vec<u64>, Vec<u8>)> {
        [
            ("a", Dtype::F32, vec![37, 1001]),
            ("b", Dtype::BF16, vec![20, 4096]),
            ("c", Dtype::F64, vec![3]),
            ("d", Dtype::U8, vec![4097]),
            ("empty", Dtype::F32, vec![0]),
        ]
        .map(|(name, dtype, shape)| {
            let length = dtype.length(&shape).unwrap();
            (name, dtype, shape, bytes(length as usize))
        })
        .to_vec()
    }

    /// By the code for streams, and by the sketch of whole tensors.
    fn whole() -> (Hash, Sketch) {
        let mut sketch = Sketch::default();
        let digests: Vec<TensorDigest> = tensors()
            .into_iter()
            .map(|(name, dtype, shape, bytes)| {
                let key = SketchKey::new(name);
                crate::sketch::add(&mut sketch, &Span { dtype, key, first: 0, bytes: &bytes });
                let mut hasher = TensorHasher::default();
                hasher.update(&bytes);
                let (name, length) = (name.to_owned(), bytes.len() as u64);
                TensorDigest { name, dtype, shape, length, root: hasher.finish() }
            })
            .collect();
        (tree::root(&digests), sketch)
    }

    /// Every tensor cut at these places (in thousandths of its length, odd), each piece to another part.
    fn cut_at(places: &[usize]) -> Vec<Part> {
        let mut parts = vec![Part::default(); places.len() + 1];
        for (name, dtype, shape, bytes) in tensors() {
            let cuts: Vec<usize> = [0]
                .into_iter()
                .chain(places.iter().map(|place| bytes.len() * place / 1000))
                .chain([bytes.len()])
                .collect();
            for (part, cut) in parts.iter_mut().zip(cuts.windows(2)) {
                let (start, bytes) = (cut[0] as u64, &bytes[cut[0]..cut[1]]);
                let held = Held { name, dtype, shape: &shape, start, bytes };
                part.add(&[held], &Cpu).unwrap();
            }
        }
        parts.iter().map(|part| Part::parse(&part.to_bytes()).unwrap()).collect()
    }

    fn check(mut parts: Vec<Part>) {
        parts.reverse();
        let (tensors, sketch) = Part::join(&parts).unwrap();
        assert_eq!((tree::root(&tensors), sketch), whole());
    }

    #[test]
    fn one_two_three_and_seven_parts_are_the_whole() {
        for places in [&[][..], &[333], &[1, 999], &[1, 2, 143, 500, 501, 987]] {
            check(cut_at(places));
        }
    }

    #[test]
    fn a_part_is_its_sketch_and_some_hundred_bytes_a_tensor() {
        let length = 512 << 20_u64;
        let mut part = Part::default();
        let shape = [length];
        let bytes = vec![7; 40 << 20];
        let start = 3 * 4096;
        let held =
            Held { name: "layer.weight", dtype: Dtype::U8, shape: &shape, start, bytes: &bytes };
        part.add(&[held], &Cpu).unwrap();
        let size = part.to_bytes().len() - part.sketch.to_bytes().len();
        assert!(size < 700, "{size}");
        // Cut within leaves: the two fragments as well.
        let mut odd = Part::default();
        let held = Held { start: start + 1, bytes: &bytes[..bytes.len() - 2], ..held };
        odd.add(&[held], &Cpu).unwrap();
        let size = odd.to_bytes().len() - odd.sketch.to_bytes().len();
        assert!(size < 700 + 2 * LEAF, "{size}");
    }

    fn parts_of_a() -> Held<'static> {
        Held { name: "a", dtype: Dtype::U8, shape: &[3], start: 0, bytes: &[0; 3] }
    }

    #[test]
    fn tensors_that_share_a_call_are_as_if_each_had_its_own() {
        let tensors = tensors();
        let held = tensors.iter().map(|(name, dtype, shape, bytes)| Held {
            name,
            dtype: *dtype,
            shape,
            start: 0,
            bytes,
        });
        let mut part = Part::default();
        part.add(&held.collect::<Vec<_>>(), &Cpu).unwrap();
        assert_eq!(part.tensors, cut_at(&[])[0].tensors);
        check(vec![part]);
    }

    #[test]
    fn what_is_missing_twice_or_contradictory_is_named() {
        let parts = cut_at(&[333, 700]);
        let join = |parts: &[Part]| Part::join(parts).unwrap_err().to_string();
        assert_eq!(join(&parts[..2]), "tensor `a`: some of its bytes are in no part");
        assert_eq!(join(&parts[1..]), "tensor `a`: some of its bytes are in no part");
        let twice = [&parts[..], &parts[1..2]].concat();
        assert_eq!(join(&twice), "tensor `a`: some of its bytes are in two parts");
        let mut other = parts.clone();
        other[1].tensors[0].shape = vec![1001, 37];
        assert!(join(&other).contains("do not agree"));
        let beyond = Held { name: "a", dtype: Dtype::U8, shape: &[3], start: 1, bytes: &[0; 3] };
        let mut part = Part::default();
        assert!(part.add(&[parts_of_a(), beyond], &Cpu).is_err() && part == Part::default());
    }

    #[test]
    fn parts_that_contradict_themselves_are_refused() {
        let good = cut_at(&[333]).remove(1);
        let refused = |change: fn(&mut TensorPart)| {
            let mut part = good.clone();
            change(&mut part.tensors[0]);
            assert!(Part::parse(&part.to_bytes()).is_err());
        };
        refused(|part| part.head.push(0));
        refused(|part| part.tail.push(0));
        refused(|part| part.bytes.start += 1);
        refused(|part| part.bytes.end += 1);
        refused(|part| part.bytes.start = u64::MAX);
        refused(|part| part.leaves = LeafRange::empty(0));
        refused(|part| part.shape = vec![u64::MAX, 2]);
        let bytes = good.to_bytes();
        assert!(Part::parse(&bytes[..bytes.len() - 1]).is_err() && Part::parse(&[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_split_is_the_whole(mut places in prop::collection::vec(0usize..=1000, 0..9)) {
            places.sort_unstable();
            check(cut_at(&places));
        }

        #[test]
        fn strangers_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Part::parse(&bytes);
        }
    }
}
