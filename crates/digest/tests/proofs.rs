//! Proofs of one tensor or a piece of one: the published vectors, and whatever tensors there may be.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::tensor::{Dtype as Spelled, TensorView, serialize_to_file};
use serde_json::Value as Json;
use trail::merkle::{Hash, verify_inclusion};
use weight_digest::checkpoint::Checkpoint;
use weight_digest::compute::digest;
use weight_digest::dtype::Dtype;
use weight_digest::proof::{Piece, WeightProof, WeightProofError};
use weight_digest::prove::{Part, ProveError, prove};
use weight_digest::tree::LEAF;

fn vectors() -> Json {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../transparency/vectors/weights.json"].iter().collect();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn list<'a>(of: &'a Json, key: &str) -> &'a [Json] {
    let list = of[key].as_array().unwrap_or_else(|| panic!("no list `{key}`"));
    assert!(!list.is_empty(), "{key}");
    list
}

fn text<'a>(of: &'a Json, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {of}"))
}

fn bytes(of: &Json, key: &str) -> Vec<u8> {
    hex::decode(text(of, key)).unwrap()
}

fn data(tensor: &Json) -> Vec<u8> {
    match tensor["data"].as_u64() {
        Some(length) => pattern(length as usize),
        None => bytes(tensor, "data"),
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 / 8) as u8).collect()
}

/// What the bytes that a proof is about lead to.
fn leads_to(proof: &WeightProof, held: &[u8]) -> Hash {
    let start = proof.bytes().start;
    let read = |bytes: Range<u64>| {
        Ok::<_, Infallible>(
            held[(bytes.start - start) as usize..(bytes.end - start) as usize].into(),
        )
    };
    proof.leads_to(proof.tensor.dtype, &proof.tensor.shape, read).unwrap()
}

#[test]
fn published_proofs_hold_and_are_those_made_here() {
    let (vectors, dir) = (vectors(), tempfile::tempdir().unwrap());
    for case in list(&vectors, "proofs") {
        let what = text(case, "what");
        let checkpoint = list(&vectors, "checkpoints")
            .iter()
            .find(|checkpoint| checkpoint["what"] == case["checkpoint"])
            .unwrap();
        let tensor = list(checkpoint, "tensors")
            .iter()
            .find(|tensor| tensor["name"] == case["tensor"])
            .unwrap();
        let proof = WeightProof::parse(&bytes(case, "proof")).unwrap();
        let (start, end) = (proof.bytes().start, proof.bytes().end);
        assert_eq!(case["bytes"], serde_json::json!([start, end]), "{what}");
        assert_eq!(hex::encode(proof.root), text(checkpoint, "root"), "{what}");
        let held = &data(tensor)[start as usize..end as usize];
        assert_eq!(leads_to(&proof, held), proof.root, "{what}");
        assert_eq!(proof.record_leads_to(), Ok(proof.root), "{what}");

        let file = dir.path().join("one.safetensors");
        write(&file, list(checkpoint, "tensors"));
        let part = if proof.piece.is_some() { Part::Bytes(start..end) } else { Part::Whole };
        let (made, _) =
            prove(&Checkpoint::open(&file).unwrap(), &proof.tensor.name, &part, &|_| ()).unwrap();
        assert_eq!(made, proof, "{what}");
        assert_eq!(made.to_bytes(), bytes(case, "proof"), "{what}");
    }
    for case in list(&vectors, "proofs_that_do_not_hold") {
        let what = text(case, "what");
        let proof = WeightProof::parse(&bytes(case, "proof")).unwrap();
        let root = leads_to(&proof, &bytes(case, "data"));
        assert_eq!(hex::encode(root), text(case, "leads_to"), "{what}");
        assert_ne!(root, proof.root, "{what}");
    }
    for case in list(&vectors, "proofs_refused") {
        let refused = WeightProof::parse(&bytes(case, "proof"));
        let what = text(case, "what");
        match what {
            "another version" => assert_eq!(refused, Err(WeightProofError::Version(2))),
            "nothing" | "text" => assert_eq!(refused, Err(WeightProofError::Foreign)),
            _ => assert!(matches!(refused, Err(WeightProofError::Damaged(_))), "{what}"),
        }
    }
}

/// Writes a safetensors file by its specification alone: the vectors have names that the reference
/// implementation does not write.
fn write(path: &Path, tensors: &[Json]) {
    let (mut header, mut body) = (serde_json::Map::new(), Vec::new());
    for tensor in tensors {
        let begin = body.len();
        body.extend(data(tensor));
        let described = serde_json::json!({
            "dtype": tensor["dtype"], "shape": tensor["shape"], "data_offsets": [begin, body.len()]
        });
        header.insert(text(tensor, "name").to_owned(), described);
    }
    let header = Json::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [length.as_slice(), header.as_bytes(), &body].concat()).unwrap();
}

/// A checkpoint of tensors with these lengths, by the reference implementation.
fn saved(path: &Path, lengths: &[usize]) -> Checkpoint {
    let all: Vec<Vec<u8>> = lengths.iter().map(|length| pattern(*length)).collect();
    let views = all.iter().enumerate().map(|(i, bytes)| {
        let view = TensorView::new(Spelled::U8, vec![bytes.len()], bytes).unwrap();
        (format!("layer.{i}.weight"), view)
    });
    serialize_to_file(views, None, path).unwrap();
    Checkpoint::open(path).unwrap()
}

#[test]
fn pieces_across_spans_of_a_large_tensor_are_proven_from_their_hashes() {
    let (dir, spans) = (tempfile::tempdir().unwrap(), 1usize << 20);
    let length = 5 * spans + 3 * LEAF + 17;
    let checkpoint = saved(&dir.path().join("large.safetensors"), &[9, length]);
    let whole = pattern(length);
    for bytes in [
        0..1,
        spans - 1..spans + 1,
        3 * spans + 5 * LEAF..3 * spans + 6 * LEAF,
        LEAF..5 * spans + 2 * LEAF,
        length - 1..length,
    ] {
        let part = Part::Bytes(bytes.start as u64..bytes.end as u64);
        let (proof, digest) = prove(&checkpoint, "layer.1.weight", &part, &|_| ()).unwrap();
        let held = proof.bytes().start as usize..proof.bytes().end as usize;
        assert!(held.start <= bytes.start && bytes.end <= held.end && held.start % LEAF == 0);
        assert_eq!(leads_to(&proof, &whole[held]), digest.root, "{bytes:?}");
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = saved(&dir.path().join("some.safetensors"), &[5000; 12]);
    let refused = |name: &str, part: Part| prove(&checkpoint, name, &part, &|_| ()).unwrap_err();
    let error = refused("layer.7.weights", Part::Whole).to_string();
    assert!(error.contains("the nearest of its 12 are `layer.7.weight`, "), "{error}");
    for (part, asked) in [
        (Part::Leaf(2), "leaf 2"),
        (Part::Bytes(4999..5001), "the range 4999..5001"),
        (Part::Bytes(7..7), "the range 7..7"),
    ] {
        let error = refused("layer.0.weight", part);
        assert!(matches!(&error, ProveError::NoPiece { asked: a, .. } if a == asked), "{error}");
        assert!(error.to_string().contains("5000 bytes in 2 leaves"), "{error}");
    }
}

fn proven() -> impl Strategy<Value = (WeightProof, Vec<u8>)> {
    let lengths = prop::collection::vec(0usize..6 * LEAF, 1..9);
    (lengths, any::<prop::sample::Index>(), any::<(u64, u64)>()).prop_map(
        |(lengths, which, (a, b))| {
            let dir = tempfile::tempdir().unwrap();
            let checkpoint = saved(&dir.path().join("any.safetensors"), &lengths);
            let which = which.index(lengths.len());
            let length = lengths[which] as u64;
            let part = if length == 0 || a % 4 == 0 {
                Part::Whole
            } else {
                let start = a % length;
                Part::Bytes(start..start + 1 + b % (length - start))
            };
            let name = format!("layer.{which}.weight");
            let (proof, made) = prove(&checkpoint, &name, &part, &|_| ()).unwrap();
            assert_eq!(made, digest(&checkpoint, &|_| ()).unwrap());
            let held = pattern(lengths[which])
                [proof.bytes().start as usize..proof.bytes().end as usize]
                .to_vec();
            (proof, held)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tensor_and_any_piece_is_proven((proof, held) in proven()) {
        prop_assert_eq!(leads_to(&proof, &held), proof.root);
        prop_assert_eq!(proof.record_leads_to(), Ok(proof.root));
        // By ct-merkle, which knows nothing of ranges.
        let leaf = proof.tensor.leaf();
        prop_assert!(verify_inclusion(&leaf, proof.index, proof.tensors, &proof.root, &proof.path).is_ok());
        if let Some(Piece { leaves, path }) = &proof.piece && leaves.end - leaves.start == 1 {
            let all = proof.tensor.length.div_ceil(LEAF as u64);
            prop_assert!(verify_inclusion(&held, leaves.start, all, &proof.tensor.root, path).is_ok());
        }
        prop_assert_eq!(WeightProof::parse(&proof.to_bytes()), Ok(proof));
    }

    #[test]
    fn whatever_is_changed_it_does_not_hold((proof, mut held) in proven(), at: prop::sample::Index, bit in 0u8..8) {
        let fails = |proof: &WeightProof, held: &[u8]| leads_to(proof, held) != proof.root;
        let tensor = &proof.tensor;
        let mut other = proof.clone();
        other.tensor.name.push('x');
        prop_assert!(fails(&other, &held) && other.record_leads_to() != Ok(proof.root));
        let shape = [tensor.length, 1];
        let read = |bytes: Range<u64>| {
            let start = proof.bytes().start;
            Ok::<_, Infallible>(held[(bytes.start - start) as usize..(bytes.end - start) as usize].to_vec())
        };
        prop_assert_ne!(proof.leads_to(tensor.dtype, &shape, read).unwrap(), proof.root);
        prop_assert_ne!(proof.leads_to(Dtype::I8, &tensor.shape, read).unwrap(), proof.root);
        if let Some(sibling) = (proof.tensors > 1).then_some(proof.index ^ 1).filter(|i| *i < proof.tensors) {
            let moved = WeightProof { index: sibling, ..proof.clone() };
            prop_assert!(fails(&moved, &held));
        }
        for place in 0..proof.path.len() {
            let mut other = proof.clone();
            other.path[place][0] ^= 1;
            prop_assert!(fails(&other, &held));
        }
        for place in 0..proof.piece.as_ref().map_or(0, |piece| piece.path.len()) {
            let mut other = proof.clone();
            other.piece.as_mut().unwrap().path[place][0] ^= 1;
            prop_assert!(fails(&other, &held));
        }
        if !held.is_empty() {
            let at = at.index(held.len());
            held[at] ^= 1 << bit;
            prop_assert!(fails(&proof, &held));
        }
    }

    #[test]
    fn no_other_bytes_read_as_the_same_proof((proof, _) in proven(), at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = proof.to_bytes();
        prop_assert!(WeightProof::parse(&bytes[..at.index(bytes.len())]).is_err());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = WeightProof::parse(&bytes) {
            prop_assert_ne!(&other, &proof);
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }

    #[test]
    fn strangers_bytes_never_panic(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = WeightProof::parse(&[b"\xa6\x61v\x01".as_slice(), &rest].concat());
    }
}
