//! The published test vectors of `transparency/vectors/weights.json`, which an implementation made that
//! shares no code with this one (`tests/python/formats/weights.py`, and NumPy for differences).
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use trail::merkle::sha256;
use weight_digest::checkpoint::Checkpoint;
use weight_digest::compute::{Digest, digest};
use weight_digest::delta::compare;
use weight_digest::dtype::Dtype;

fn vectors() -> Json {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "../../transparency/vectors/weights.json"].iter().collect();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn list<'a>(of: &'a Json, key: &str) -> &'a [Json] {
    of[key].as_array().unwrap_or_else(|| panic!("no list `{key}`"))
}

fn text<'a>(of: &'a Json, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {of}"))
}

fn bytes(of: &Json, key: &str) -> Vec<u8> {
    hex::decode(text(of, key)).unwrap()
}

/// A tensor's bytes: in hex, or so many of those that a formula gives.
fn data(tensor: &Json) -> Vec<u8> {
    match tensor["data"].as_u64() {
        Some(length) => (0..length).map(|i| (i * 31 / 8) as u8).collect(),
        None => bytes(tensor, "data"),
    }
}

/// Writes a safetensors file by its specification alone.
fn write<'a>(path: &Path, tensors: impl IntoIterator<Item = &'a Json>) {
    let (mut header, mut body) = (Map::new(), Vec::new());
    for tensor in tensors {
        let begin = body.len();
        body.extend(data(tensor));
        let described = json!({
            "dtype": tensor["dtype"], "shape": tensor["shape"], "data_offsets": [begin, body.len()]
        });
        header.insert(text(tensor, "name").to_owned(), described);
    }
    let header = Json::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [length.as_slice(), header.as_bytes(), &body].concat()).unwrap();
}

fn of(path: &Path) -> Digest {
    digest(&Checkpoint::open(path).unwrap(), &|_| ()).unwrap()
}

#[test]
fn checkpoints_in_one_file_and_in_shards() {
    let dir = tempfile::tempdir().unwrap();
    for case in list(&vectors(), "checkpoints") {
        let (what, tensors) = (text(case, "what"), list(case, "tensors"));
        let file = dir.path().join("one.safetensors");
        write(&file, tensors);
        let one = of(&file);
        assert_eq!(hex::encode(one.root), text(case, "root"), "{what}");
        assert_eq!(one.tensors.len(), tensors.len(), "{what}");
        for tensor in tensors {
            let found = one.tensors.iter().find(|t| t.name == text(tensor, "name")).unwrap();
            assert_eq!(hex::encode(found.root), text(tensor, "root"), "{what}");
            assert_eq!(hex::encode(found.leaf()), text(tensor, "leaf"), "{what}");
        }
        let table: Vec<u8> = one.tensors.iter().flat_map(|tensor| tensor.leaf()).collect();
        assert_eq!(hex::encode(&table), text(case, "table"), "{what}");
        assert_eq!(hex::encode(sha256(&table)), text(case, "table_sha256"), "{what}");

        let shards = list(case, "shards");
        if !shards.is_empty() {
            let folder = tempfile::tempdir().unwrap();
            write_shards(folder.path(), tensors, shards);
            assert_eq!(of(folder.path()), one, "{what}, in shards");
        }
    }
}

fn write_shards(folder: &Path, tensors: &[Json], shards: &[Json]) {
    let mut weight_map = Map::new();
    for (number, places) in (1..).zip(shards) {
        let name = format!("model-{number:05}-of-{:05}.safetensors", shards.len());
        let places = places.as_array().unwrap().iter().map(|place| place.as_u64().unwrap());
        let held: Vec<&Json> = places.map(|place| &tensors[place as usize]).collect();
        write(&folder.join(&name), held.iter().copied());
        weight_map.extend(
            held.iter().map(|tensor| (text(tensor, "name").to_owned(), name.as_str().into())),
        );
    }
    let index = json!({"metadata": {}, "weight_map": weight_map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn whatever_differs_changes_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.safetensors");
    let mut roots = Vec::new();
    for case in list(&vectors(), "differing") {
        write(&file, [&case["tensor"]]);
        let root = hex::encode(of(&file).root);
        assert_eq!(root, text(case, "root"), "{}", text(case, "what"));
        assert!(!roots.contains(&root), "{}", text(case, "what"));
        roots.push(root);
    }
    assert!(!roots.is_empty());
}

#[test]
fn differences_are_those_of_numpy() {
    let vectors = vectors();
    for case in list(&vectors, "deltas") {
        let dtype = Dtype::from_name(text(case, "dtype")).unwrap();
        let delta = compare(dtype, &bytes(case, "old"), &bytes(case, "new")).unwrap();
        let given = json!({
            "dtype": case["dtype"], "old": case["old"], "new": case["new"],
            "l2": delta.l2(), "linf": delta.linf, "changed": delta.changed,
            "elements": delta.elements, "not_finite": delta.not_finite,
        });
        assert_eq!(given, *case);
    }
    let compared = |dtype: &&Dtype| dtype.value_bytes().is_some();
    for dtype in Dtype::ALL.iter().filter(compared) {
        let named = list(&vectors, "deltas").iter().any(|case| case["dtype"] == dtype.name());
        assert!(named, "no difference of {} in the vectors", dtype.name());
    }
}
