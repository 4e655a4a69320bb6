//! Tensors in a card's memory have the digest that the processor gives, to the bit, by either way; what is missing is
//! named. The card is a processor that stands in for one: its driver and its compiler are in `standin/`, and the
//! kernels it runs are the very source that NVRTC compiles. On a machine with CUDA the real card is asked as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unsafe_code)]

mod kit;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use cuda_digest::cuda::Warn;
use cuda_digest::{Cuda, CudaError, Resident, Way};
use kit::{Given, OnCard, Random, check, defer, number, on_card, on_cpu};
use weight_digest::dtype::Dtype;
use weight_digest::tree::LEAF;

/// Runs one of the tests that are ignored, in a process that finds the libraries in a folder.
fn in_process(test: &str, libraries: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("LD_LIBRARY_PATH", libraries)
        .env("STANDIN", libraries)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {said}");
}

/// A folder with stand-ins for these libraries.
fn standin(libraries: &[&str]) -> tempfile::TempDir {
    let source: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/standin"].iter().collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(source.join("kernel.h"), folder.path().join("kernel.h")).unwrap();
    for library in libraries {
        let made = Command::new("cc")
            .args(["-std=gnu11", "-O2", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join(format!("lib{library}.so")))
            .arg(source.join(format!("{library}.c")))
            .status()
            .expect("no C compiler `cc`; Debian: gcc");
        assert!(made.success());
    }
    folder
}

#[test]
fn by_kernels_on_a_standin() {
    in_process("with_nvrtc", standin(&["cuda", "nvrtc"]).path());
}

#[test]
fn by_a_copy_where_there_is_no_compiler() {
    in_process("without_nvrtc", standin(&["cuda"]).path());
}

#[test]
fn a_card_that_fails_and_one_that_has_no_memory_left() {
    in_process("failing", standin(&["cuda", "nvrtc"]).path());
}

#[test]
fn a_card_that_is_wrong_by_a_bit_is_not_trusted() {
    let libraries = standin(&["cuda", "nvrtc"]);
    let header = libraries.path().join("kernel.h");
    let right = std::fs::read_to_string(&header).unwrap();
    let wrong = right.replace("*to += value;", "*to += value & ~1ull;");
    assert_ne!(wrong, right);
    std::fs::write(&header, wrong).unwrap();
    in_process("wrong", libraries.path());
}

#[test]
fn nothing_is_digested_without_a_driver() {
    in_process("whatever_is_here", standin(&[]).path());
}

fn warnings() -> (Arc<Mutex<Vec<String>>>, Warn) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    (told, Box::new(move |what| teller.lock().unwrap().push(what.to_owned())))
}

fn quiet() -> Warn {
    Box::new(|what| panic!("{what}"))
}

#[test]
#[ignore = "run in a process of its own, by `nothing_is_digested_without_a_driver`"]
fn whatever_is_here() {
    match Cuda::open(0, None, Box::new(|what| println!("{what}"))) {
        Err(error @ CudaError::NoDriver) => {
            let error = error.to_string();
            assert!(error.contains("libcuda.so.1") && error.contains("NVIDIA_DRIVER_CAPABILITIES"));
            for way in [Way::Kernels, Way::Copy] {
                assert!(matches!(Cuda::open(0, Some(way), quiet()), Err(CudaError::NoDriver)));
            }
        }
        Ok(cuda) => agree(&cuda),
        Err(error) => panic!("there is a driver, and {error}"),
    }
}

#[test]
#[ignore = "run in a process of its own, by `by_kernels_on_a_standin`"]
fn with_nvrtc() {
    let cuda = Cuda::open(0, None, quiet()).unwrap();
    assert_eq!(cuda.way(), Way::Kernels);
    assert_eq!(cuda.name(), "CUDA device 0, a processor");
    agree(&cuda);
    refuse(&cuda);
    *number("standin_owner") = 1;
    let bytes = Random(6).bytes(64);
    let elsewhere = on_card(&cuda, &[("a", Dtype::U8, &bytes)], &[OnCard::new(&bytes, 0)], 0);
    let elsewhere = elsewhere.unwrap_err().to_string();
    assert!(elsewhere.contains("`a`: it lies in the memory of CUDA device 1"), "{elsewhere}");
    *number("standin_owner") = 0;
    wait_for_streams(&cuda);
    let none = Cuda::open(1, None, quiet()).unwrap_err().to_string();
    assert!(none.contains("no CUDA device 1: the driver shows 1"), "{none}");
    drop(cuda);
    assert_eq!((*number("standin_open"), *number("standin_depth")), (0, 0), "something was kept");
}

#[test]
#[ignore = "run in a process of its own, by `by_a_copy_where_there_is_no_compiler`"]
fn without_nvrtc() {
    let (told, warn) = warnings();
    let cuda = Cuda::open(0, None, warn).unwrap();
    assert_eq!(cuda.way(), Way::Copy);
    agree(&cuda);
    refuse(&cuda);
    wait_for_streams(&cuda);
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("libnvrtc"), "{told:?}");
    let refused = Cuda::open(0, Some(Way::Kernels), quiet()).unwrap_err().to_string();
    assert!(refused.contains("libnvrtc.so"), "{refused}");
    drop(cuda);
    assert_eq!((*number("standin_open"), *number("standin_depth")), (0, 0), "something was kept");
}

#[test]
#[ignore = "run in a process of its own, by `a_card_that_fails_and_one_that_has_no_memory_left`"]
fn failing() {
    let bytes = Random(9).bytes(3 * LEAF + 8);
    let given: [Given<'_>; 1] = [("a", Dtype::BF16, &bytes)];
    for (fault, why) in [
        ("standin_fail_launch", "unspecified launch failure"),
        ("standin_fail_memory", "out of memory"),
    ] {
        let (told, warn) = warnings();
        let cuda = Cuda::open(0, Some(Way::Kernels), warn).unwrap();
        let held = [OnCard::at_the_end(&bytes)];
        *number(fault) = 1;
        for _ in 0..3 {
            assert!(on_card(&cuda, &given, &held, 0).unwrap() == on_cpu(&given));
            assert_eq!(cuda.way(), Way::Copy);
        }
        *number(fault) = 0;
        let told = told.lock().unwrap();
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
    }
    assert_eq!((*number("standin_open"), *number("standin_depth")), (0, 0), "something was kept");
}

#[test]
#[ignore = "run in a process of its own, by `a_card_that_is_wrong_by_a_bit_is_not_trusted`"]
fn wrong() {
    let (told, warn) = warnings();
    let cuda = Cuda::open(0, None, warn).unwrap();
    assert_eq!(cuda.way(), Way::Copy);
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("otherwise than the processor"), "{told:?}");
    let bytes = Random(5).bytes(LEAF);
    check(&cuda, &[("a", Dtype::F32, &bytes)]);
    let refused = Cuda::open(0, Some(Way::Kernels), quiet()).unwrap_err().to_string();
    assert!(refused.contains("otherwise than the processor"), "{refused}");
}

/// Every type, every value of the short ones, every length, every place.
fn agree(cuda: &Cuda) {
    let bytes: Vec<u8> = (0..=255).collect();
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let floats = edges(0..256, 23, 4);
    let doubles = [edges(975..1060, 52, 8), edges(0..3, 52, 8), edges(2040..2048, 52, 8)].concat();
    let around = |middle: i64| (-2..3).map(move |by| middle.wrapping_add(by));
    let integers = [0, 1 << 22, 1 << 23, -(1 << 23), 1 << 31, -(1 << 31), 1 << 32, i64::MAX];
    let integers: Vec<i64> = integers.into_iter().flat_map(around).collect();
    let words: Vec<u8> = integers.iter().flat_map(|value| (*value as u32).to_le_bytes()).collect();
    let longs: Vec<u8> = integers.iter().flat_map(|value| value.to_le_bytes()).collect();
    let of = |dtype: &Dtype| match (dtype, dtype.bits()) {
        (Dtype::F32 | Dtype::C64, _) => &floats,
        (Dtype::F64, _) => &doubles,
        (_, 64) => &longs,
        (_, 32) => &words,
        (_, 16) => &halves,
        (_, 6) => &doubles,
        _ => &bytes,
    };
    let all: Vec<Given<'_>> =
        Dtype::ALL.iter().map(|dtype| (dtype.name(), *dtype, of(dtype).as_slice())).collect();
    check(cuda, &all);
    all.iter().for_each(|one| check(cuda, &[*one]));
    check(cuda, &[]);

    // Two chunks and a piece, of the widest and the narrowest.
    let bytes = Random(1).bytes((2 << 20) + 5 * LEAF + 24);
    for dtype in [Dtype::F64, Dtype::BF16, Dtype::I8] {
        check(
            cuda,
            &[("layer.weight", dtype, &bytes), ("none", dtype, &[]), ("one", dtype, &bytes[..8])],
        );
    }
    // The largest value there is, which meets every bucket with either sign: sums wrap.
    let largest = 8_388_607.5_f32.to_le_bytes().repeat(4096 * 12);
    check(cuda, &[("a", Dtype::F32, &largest), ("b", Dtype::F32, &largest)]);

    // Every length about blocks and leaves, which the memory's end cuts off at every alignment.
    let around = |edge: usize| edge.saturating_sub(2)..edge + 3;
    let lengths = (0..140)
        .chain((1..4).flat_map(|leaf| around(leaf * LEAF).chain(around(leaf * LEAF - 9))))
        .chain((1..20).map(|block| 64 * block + LEAF));
    let names: Vec<(String, usize)> = lengths.map(|length| (length.to_string(), length)).collect();
    let mut names = names;
    names.dedup();
    let mut given: Vec<Given<'_>> =
        names.iter().map(|(name, length)| (name.as_str(), Dtype::U8, &bytes[..*length])).collect();
    given.sort_unstable_by_key(|(name, ..)| *name);
    given.dedup_by_key(|(name, ..)| *name);
    check(cuda, &given);
}

/// Bits of floats at the edges of what the sketch does with them: every exponent with mantissas that are, or are
/// beside, a half of any place.
fn edges(exponents: std::ops::Range<u64>, mantissa: u32, bytes: usize) -> Vec<u8> {
    let edge = |place: u32| {
        [
            1u64 << place,
            (1 << place) - 1,
            (1 << place) + 1,
            3 << place,
            (1 << mantissa) - (1 << place),
        ]
    };
    let mantissas: Vec<u64> = (0..mantissa).step_by(3).flat_map(edge).chain([0]).collect();
    let mut out = Vec::new();
    for (exponent, tail) in exponents.flat_map(|e| mantissas.iter().map(move |tail| (e, tail))) {
        for sign in [0, 1 << (8 * bytes - 1)] {
            let bits: u64 = sign | exponent << mantissa | (tail & ((1 << mantissa) - 1));
            out.extend(&bits.to_le_bytes()[..bytes]);
        }
    }
    out
}

/// What does not lie in the card's memory is named, and not read.
fn refuse(cuda: &Cuda) {
    let bytes = Random(2).bytes(512);
    let held = OnCard::new(&bytes, 0);
    let refused = |from, length| {
        let shape = [length];
        // SAFETY: what does not lie there is refused.
        let tensor = unsafe { Resident::new("head", Dtype::U8, &shape, (from, length), 0) };
        cuda.digest(&[tensor.unwrap()]).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refused(held.from, 512), Ok(()));
    let mine = refused(bytes.as_ptr() as u64, 512).unwrap_err();
    assert!(mine.contains("tensor `head`: its pointer points at no memory of this card"), "{mine}");
    let longer = refused(held.from, 513).unwrap_err();
    assert!(longer.contains("only 512 of its 513 bytes"), "{longer}");
    let given: [Given<'_>; 2] = [("a", Dtype::U8, &bytes), ("a", Dtype::U8, &bytes)];
    let held = [OnCard::new(&bytes, 0), OnCard::new(&bytes, 0)];
    let twice = on_card(cuda, &given, &held, 0).unwrap_err().to_string();
    assert_eq!(twice, "tensor `a`: it is there twice");
}

/// What a stream has still to write is waited for.
fn wait_for_streams(cuda: &Cuda) {
    let (before, after) = (Random(3).bytes(LEAF + 4), Random(4).bytes(LEAF + 4));
    let held = [OnCard::new(&before, 0)];
    let given: [Given<'_>; 1] = [("a", Dtype::F32, &after)];
    // The stand-in's default stream.
    // SAFETY: both have as many bytes, and stay.
    unsafe { defer()(std::ptr::null_mut(), held[0].from, after.as_ptr().cast(), after.len()) };
    assert!(on_card(cuda, &given, &held, 0).unwrap() == on_cpu(&given));
}
