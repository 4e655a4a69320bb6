//! Mutations keep the form of what they change often enough to get past the first reader, and change it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use fuzz::{Dice, mutate};

const TIMES: u32 = 300;

#[test]
fn json_stays_json() {
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
    assert_keeps("signing_config", "rekor-v1-and-v2", &is_json);
    assert_keeps("trusted_root", "of-the-run", &|bytes| {
        let length = u16::from_be_bytes([bytes[0], bytes[1]]);
        bytes.get(2 + usize::from(length)..).is_some_and(is_json)
    });
}

#[test]
fn cbor_stays_deterministic() {
    assert_keeps("verify", "../../../../transparency/vectors/histories/small.evidence", &|bytes| {
        bytes.get(3..).is_some_and(|bytes| trail::cbor::decode(bytes).is_ok())
    });
}

#[test]
fn der_keeps_its_lengths() {
    assert_keeps("stamp", "of-the-run", &|bytes| match bytes {
        [0x30, 0x82, high, low, rest @ ..] => {
            rest.len() == usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    });
}

#[test]
fn safetensors_headers_keep_their_length() {
    let file = [&29u64.to_le_bytes()[..], br#"{"a":{"data_offsets":[0,1]}} "#, b"x"].concat();
    assert_most("safetensors", &file, &|bytes| {
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let header = rest.get(..u64::from_le_bytes(*length) as usize);
        header.is_some_and(|json| serde_json::from_slice::<serde_json::Value>(json).is_ok())
    });
}

fn assert_keeps(target: &str, name: &str, keeps: &dyn Fn(&[u8]) -> bool) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    assert_most(target, &fs::read(corpus.join(target).join(name)).unwrap(), keeps);
}

/// In place of libFuzzer, one byte is flipped.
fn assert_most(target: &str, input: &[u8], keeps: &dyn Fn(&[u8]) -> bool) {
    assert!(keeps(input), "{target}: the input itself");
    let mut kept = 0;
    for seed in 0..TIMES {
        let mut flip = |bytes: &mut Vec<u8>, _: usize| {
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        };
        let changed = mutate(target, input, &mut Dice::new(seed), &mut flip);
        let again = mutate(target, input, &mut Dice::new(seed), &mut flip);
        assert_eq!(changed, again, "{target}: a seed gives one input");
        kept += u32::from(changed != input && keeps(&changed));
    }
    assert!(kept > TIMES / 3, "{target}: {kept} of {TIMES}");
}
