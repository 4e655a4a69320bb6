//! Which edges that libFuzzer covers are of this workspace's own code.
//!
//! A library that reads numbers or dates has edges by the hundred that say nothing of a format, and the
//! compiler makes code of generic ones in every crate that calls them. So edges are told apart by the lines
//! that their instructions were compiled from: those in a file of `crates/` are the workspace's, unless a
//! macro of a library's wrote the code there.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{Context, Result};

/// The line tables of a fuzzer.
pub struct Edges {
    loader: Loader,
    /// Where the table of its edges lies in the file's own addresses.
    table: u64,
    /// The workspace's root.
    root: PathBuf,
    /// The lines of the files that were looked up.
    lines: RefCell<HashMap<PathBuf, Vec<String>>>,
}

impl Edges {
    /// Reads what the compiler says of the fuzzer's instructions.
    pub fn new(fuzzer: &Path, root: &Path) -> Result<Self> {
        let loader = Loader::new(fuzzer)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("cannot read the line tables of {}", fuzzer.display()))?;
        let table = loader.get_section_range(b"__sancov_pcs").context("the fuzzer has no edges")?;
        Ok(Self { loader, table: table.begin, root: root.to_owned(), lines: RefCell::default() })
    }

    /// Of the edges that libFuzzer said were new (`-print_pcs=1`), how many each place of the workspace's own
    /// code has. An edge of a library's function is the workspace's where it was inlined there.
    ///
    /// # Errors
    /// Where it does not say at which address it was loaded.
    pub fn own(&self, said: &str) -> Result<BTreeMap<String, usize>> {
        let loaded =
            said.lines().find_map(|line| address(line, "PC tables")?.checked_sub(self.table));
        let loaded = loaded.context("libFuzzer does not say where its table of edges is")?;
        let mut places = BTreeMap::new();
        for at in said.lines().filter_map(|line| address(line, "NEW_PC: ")) {
            // libFuzzer prints the address after the edge's first.
            if let Some(place) = at.checked_sub(loaded + 1).and_then(|at| self.place(at)) {
                *places.entry(place).or_default() += 1;
            }
        }
        Ok(places)
    }

    fn place(&self, address: u64) -> Option<String> {
        let mut frames = self.loader.find_frames(address).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else { continue };
            let file = location.file.map(|file| self.root.join(file));
            let Some(file) = file.filter(|file| file.starts_with(self.root.join("crates"))) else {
                continue;
            };
            let line = location.line.unwrap_or_default();
            let name = file.strip_prefix(&self.root).unwrap_or(&file);
            return self.is_written(&file, line).then(|| format!("{}:{line}", name.display()));
        }
        None
    }

    /// Whether somebody wrote the code of a line: not a `derive`, nor the compiler, which calls its own line 0.
    fn is_written(&self, file: &Path, line: u32) -> bool {
        let mut lines = self.lines.borrow_mut();
        let lines = lines.entry(file.to_owned()).or_insert_with(|| {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        });
        let at = (line as usize).checked_sub(1).and_then(|at| lines.get(at));
        at.is_some_and(|line| !line.trim_start().starts_with("#[derive("))
    }
}

/// The first address in a line of libFuzzer's that has these words.
fn address(line: &str, words: &str) -> Option<u64> {
    let (_, hex) = line.split_once(words)?.1.split_once("0x")?;
    let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
    u64::from_str_radix(&hex[..end], 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_what_libfuzzer_says() {
        let tables = "INFO: Loaded 1 PC tables (9 PCs): 9 [0x55d0a8,0x55d138), ";
        assert_eq!(address(tables, "PC tables"), Some(0x0055_d0a8));
        assert_eq!(address("\tNEW_PC: 0x5601", "NEW_PC: "), Some(0x5601));
        assert_eq!(address("#2 INITED cov: 5 ft: 0x6", "NEW_PC: "), None);
    }
}
