//! Puts the verifier page into the program, when `cargo xtask pkg` has built it.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pkg/verifier.html");
    println!("cargo::rerun-if-changed={}", page.display());
    let bytes = match fs::read(&page) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("verifier.html"), bytes)
}
