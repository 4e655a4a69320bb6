//! Inputs of other targets, which take the place of a part: what is known of the reader of a note or of a card need
//! not be found once more in the reader of an evidence file that holds both.

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs};

use super::Frame;

/// Longer ones are left out: they are whole files themselves.
const LONGEST: u64 = 8 << 10;

/// The folders to take them from, with one folder in each for each target, as `PATH` is written.
const FOLDERS: &str = "FUZZ_DONORS";

/// The inputs, in an order that is always the same.
pub static DONORS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folders = env::var_os(FOLDERS).unwrap_or_default();
    env::split_paths(&folders).flat_map(|folder| targets(&folder)).collect()
});

/// Those of every target whose input is one document.
fn targets(corpora: &Path) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for target in sorted(corpora) {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !Frame::of(&name).is_none() {
            continue;
        }
        let local = target.join("corpus");
        let files = sorted(if local.is_dir() { &local } else { &target });
        let short = |file: &&_| fs::metadata(file).is_ok_and(|meta| meta.len() <= LONGEST);
        inputs.extend(files.iter().filter(short).filter_map(|file| fs::read(file).ok()));
    }
    inputs
}

fn sorted(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
