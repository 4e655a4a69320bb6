//! A card that is lost, before, between and amid calls: the processor goes on, nobody waits for ever, and the
//! digest is the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use gpu_digest::fallback::OrCpu;
use kit::{Random, cards, check, tensor};
use weight_digest::checkpoint::Checkpoint;
use weight_digest::compute;
use weight_digest::cpu::Cpu;
use weight_digest::dtype::Dtype;
use weight_digest::engine::Engine as _;
use weight_digest::sketch::Sketch;
use weight_digest::tree::LEAF;

/// Bytes of tensors: pieces of a mebibyte for more threads than there are slots.
const LENGTHS: [usize; 6] = [400 * LEAF + 12, 4, 3 * LEAF, 0, 500 * LEAF, 100];

fn warnings() -> (Arc<Mutex<Vec<String>>>, gpu_digest::fallback::Warn) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    (told, Box::new(move |what| teller.lock().unwrap().push(what.to_owned())))
}

/// Several tensors in one file.
fn checkpoint(bytes: &[u8]) -> (tempfile::TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    let mut header = Vec::new();
    let mut end = 0;
    for (at, length) in LENGTHS.into_iter().enumerate() {
        let (dtype, width) = [("F32", 4), ("BF16", 2)][at % 2];
        let shape = length / width;
        let (from, to) = (end, end + length);
        header.push(format!(
            r#""t{at}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{from},{to}]}}"#
        ));
        end = to;
    }
    let header = format!("{{{}}}", header.join(","));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[..end]].concat();
    let path = dir.path().join("model.safetensors");
    fs::write(&path, file).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    (dir, checkpoint)
}

#[test]
fn a_whole_checkpoint_by_more_calls_than_slots() {
    let (_dir, checkpoint) = checkpoint(&Random(1).bytes(1000 * LEAF));
    let expected = compute::digest_and_sketch(&checkpoint, &Cpu, &|_| ()).unwrap();
    for gpu in cards(8 * LEAF, 2) {
        let found = compute::digest_and_sketch(&checkpoint, &gpu, &|_| ()).unwrap();
        assert!(found == expected, "{}", gpu.name());
        let rates = compute::rates(&checkpoint, [&Cpu, &gpu], 1 << 20).unwrap();
        assert!(rates.iter().all(|rate| *rate > 0.0));
    }
}

#[test]
fn a_lost_card_fails_at_once_and_adds_nothing() {
    let bytes = Random(2).bytes(100 * LEAF);
    let span = tensor(Dtype::F32, "a", 0, &bytes);
    for gpu in cards(8 * LEAF, 2) {
        check(&gpu, &[span]);
        gpu.close();
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut sketch = Sketch::default();
                    let error = gpu.digest(&[span], Some(&mut sketch)).unwrap_err();
                    assert!(error.why.contains("lost"), "{error}");
                    assert_eq!(sketch, Sketch::default());
                });
            }
        });
    }
}

#[test]
fn the_processor_goes_on_where_a_card_is_lost_amid_calls() {
    let bytes = Random(3).bytes(60 * LEAF);
    let spans = [tensor(Dtype::F16, "a", 5, &bytes), tensor(Dtype::F32, "b", 0, &bytes[..100])];
    let mut expected = Sketch::default();
    let leaves = Cpu.digest(&spans, Some(&mut expected)).unwrap();
    for gpu in cards(8 * LEAF, 2) {
        let (told, warn) = warnings();
        let engine = OrCpu::new(gpu, warn);
        let calls = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        // In the middle of the others' calls.
                        if calls.fetch_add(1, Ordering::Relaxed) == 5 {
                            engine.gpu().close();
                        }
                        let mut sketch = Sketch::default();
                        assert_eq!(engine.digest(&spans, Some(&mut sketch)).unwrap(), leaves);
                        assert!(sketch == expected);
                    }
                });
            }
        });
        assert_eq!(told.lock().unwrap().len(), 1, "one warning");
        assert!(engine.name().contains("failed") && engine.calls().is_none());
    }
}

#[test]
fn a_checkpoint_begun_on_a_card_is_finished_by_the_processor() {
    let (_dir, checkpoint) = checkpoint(&Random(4).bytes(1000 * LEAF));
    let expected = compute::digest_and_sketch(&checkpoint, &Cpu, &|_| ()).unwrap();
    for gpu in cards(8 * LEAF, 2) {
        let (told, warn) = warnings();
        let engine = OrCpu::new(gpu, warn);
        let found = compute::digest_and_sketch(&checkpoint, &engine, &|_| engine.gpu().close());
        assert!(found.unwrap() == expected);
        assert_eq!(told.lock().unwrap().len(), 1);
    }
}
