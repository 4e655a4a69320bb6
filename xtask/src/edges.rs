//! Which edges that libFuzzer covers are of this workspace's own code.
//!
//! A library that reads numbers or dates has edges by the hundred that say nothing of a format, and the
//! compiler makes code of generic ones in every crate that calls them. So edges are told apart by the files
//! that their instructions were compiled from.

use std::collections::BTreeMap;
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
}

impl Edges {
    /// Reads what the compiler says of the fuzzer's instructions.
    pub fn new(fuzzer: &Path, root: &Path) -> Result<Self> {
        let loader = Loader::new(fuzzer)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("cannot read the line tables of {}", fuzzer.display()))?;
        let table = loader.get_section_range(b"__sancov_pcs").context("the fuzzer has no edges")?;
        Ok(Self { loader, table: table.begin, root: root.to_owned() })
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
            if let Some(file) = file.as_deref().and_then(|file| file.strip_prefix(&self.root).ok())
            {
                return Some(format!("{}:{}", file.display(), location.line.unwrap_or_default()));
            }
        }
        None
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
