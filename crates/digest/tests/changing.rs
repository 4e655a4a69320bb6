//! Files that do not stay as they are while they are read: told by name, and no digest comes of them.
#![cfg(feature = "files")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use weight_digest::checkpoint::{Checkpoint, CheckpointError};
use weight_digest::compute;
use weight_digest::prove::{Part, ProveError, prove};

const SIZE: u64 = 3 << 20;

/// A file of one tensor, written long ago by the clock of the file system.
fn model(path: &Path, name: &str, byte: u8) {
    let header =
        format!(r#"{{"{name}":{{"dtype":"U8","shape":[{SIZE}],"data_offsets":[0,{SIZE}]}}}}"#);
    let length = (header.len() as u64).to_le_bytes();
    let data = vec![byte; SIZE as usize];
    fs::write(path, [length.as_slice(), header.as_bytes(), &data].concat()).unwrap();
    let past = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
}

fn one() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    model(&path, "w", 0);
    (dir, path)
}

type Change = fn(&Path);

/// Digests while `happens` happens, once, after the first piece is read.
fn while_it_is_read(path: &Path, happens: impl Fn() + Sync) -> CheckpointError {
    let checkpoint = Checkpoint::open(path).unwrap();
    let once = Once::new();
    compute::digest(&checkpoint, &|_| once.call_once(&happens)).unwrap_err()
}

fn append(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let end = file.metadata().unwrap().len();
    file.write_all_at(b"more", end).unwrap();
}

fn rewrite(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(b"another byte", SIZE / 2).unwrap();
}

#[test]
fn every_way_to_change_is_told_with_the_file_and_what_to_do() {
    let cases: [(&str, Change); 6] = [
        ("became shorter", |path| {
            File::options().write(true).open(path).unwrap().set_len(SIZE / 2).unwrap();
        }),
        ("grew", append),
        ("was written to", rewrite),
        ("was written to", |path| {
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            // The system's clock must tick between.
            std::thread::sleep(Duration::from_millis(30));
            rewrite(path);
            File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        }),
        ("was replaced by another", |path| {
            let other = path.with_extension("new");
            model(&other, "w", 1);
            fs::rename(other, path).unwrap();
        }),
        ("was moved or removed", |path| fs::remove_file(path).unwrap()),
    ];
    for (how, change) in cases {
        let (_dir, path) = one();
        let error = while_it_is_read(&path, || change(&path)).to_string();
        let expected = format!(
            "{}: the file {how} while it was read; do this again when nobody writes to it",
            path.display()
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn shards_that_are_replaced_one_by_one_are_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let shard = |number: u8| dir.path().join(format!("model-0000{number}-of-00002.safetensors"));
    let index = dir.path().join("model.safetensors.index.json");
    let save = |byte| {
        for number in 1..=2 {
            let new = shard(number).with_extension("new");
            model(&new, &format!("w{number}"), byte);
            fs::rename(new, shard(number)).unwrap();
        }
        let name = |number| shard(number).file_name().unwrap().to_str().unwrap().to_owned();
        let map = serde_json::json!({"weight_map": {"w1": name(1), "w2": name(2)}});
        fs::write(&index, map.to_string()).unwrap();
    };
    save(0);
    let error = while_it_is_read(dir.path(), || save(1));
    assert!(error.to_string().contains("model-00001-of-00002.safetensors"), "{error}");
    assert!(error.to_string().contains("was replaced by another"), "{error}");

    let error = while_it_is_read(dir.path(), || append(&index));
    assert!(error.to_string().contains("model.safetensors.index.json: the file grew"), "{error}");
}

#[test]
fn comparisons_and_proofs_do_not_come_of_them_either() {
    let ((_a, old), (_b, new)) = (one(), one());
    for path in [&old, &new] {
        let once = Once::new();
        let (before, after) = (Checkpoint::open(&old).unwrap(), Checkpoint::open(&new).unwrap());
        let error = compute::compare(&before, &after, &|_| once.call_once(|| append(path)));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(path.to_str().unwrap()) && error.contains("the file grew"),
            "{error}"
        );
        model(path, "w", 0);
    }
    for part in [Part::Whole, Part::Leaf(3)] {
        let (once, checkpoint) = (Once::new(), Checkpoint::open(&new).unwrap());
        let error = prove(&checkpoint, "w", &part, &|_| once.call_once(|| rewrite(&new)));
        let error = error.unwrap_err();
        assert!(
            matches!(error, ProveError::Checkpoint(CheckpointError::Changed { .. })),
            "{error}"
        );
        model(&new, "w", 0);
    }
}
