//! What a person was given of a log before.

use std::fs;
use std::path::Path;

use trail::verify::Earlier;

use crate::failure::Failure;

/// Reads an evidence file, a `.tlog-proof` or a signed checkpoint.
pub fn read(path: &Path) -> Result<Earlier, Failure> {
    let bytes = fs::read(path).map_err(|e| Failure::file(path, "read the file", &e))?;
    Earlier::parse(&bytes).map_err(|e| Failure::input(format!("{}: {e}", path.display())))
}
