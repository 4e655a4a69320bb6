//! Which edges that libFuzzer covers are of this workspace's own code.
//!
//! A library that reads numbers or dates has edges by the hundred that say nothing of a format, and the
//! compiler makes code of generic ones in every crate that calls them. So edges are told apart by the lines
//! that their instructions were compiled from: those in a file of `crates/` are the workspace's, unless a
//! macro of a library's wrote the code there. What another target covers is known: the same function is called there,
//! with bytes that come to it more directly. And as the compiler writes a generic or inlined function many times, it is the
//! place in the source that is known, line and column, not one of its copies.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{Context, Result};
use object::{Object as _, Relocation};

/// Where in the workspace's own code an edge is: `FILE:LINE:COLUMN`.
pub type Place = String;

/// The line tables of a fuzzer.
pub struct Edges {
    loader: Loader,
    /// Where the table of its edges lies in the file's own addresses.
    table: u64,
    /// The addresses of their first instructions, by their numbers in that table.
    addresses: HashMap<usize, u64>,
    /// The workspace's root.
    root: PathBuf,
    /// The lines of derived code in the files that were looked up.
    derived: RefCell<HashMap<PathBuf, Vec<RangeInclusive<u32>>>>,
}

impl Edges {
    /// Reads what the compiler says of the fuzzer's instructions.
    pub fn new(fuzzer: &Path, root: &Path) -> Result<Self> {
        let loader = Loader::new(fuzzer)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("cannot read the line tables of {}", fuzzer.display()))?;
        let table = loader.get_section_range(b"__sancov_pcs").context("the fuzzer has no edges")?;
        let addresses = addresses(&fs::read(fuzzer)?, table.begin..table.end)
            .with_context(|| format!("cannot read the edges of {}", fuzzer.display()))?;
        let (table, root) = (table.begin, root.to_owned());
        Ok(Self { loader, table, addresses, root, derived: RefCell::default() })
    }

    /// Where in the workspace's own code these edges are. Numbers that are no edge's stand for nothing.
    pub fn places(&self, edges: &BTreeSet<usize>) -> BTreeSet<Place> {
        let addresses = edges.iter().filter_map(|edge| self.addresses.get(edge));
        addresses.filter_map(|at| self.place(*at)).collect()
    }

    /// Where in the workspace's own code the edges are that libFuzzer said were new (`-print_pcs=1`). An edge of a
    /// library's function is the workspace's where it was inlined there.
    ///
    /// # Errors
    /// Where it does not say at which address it was loaded.
    pub fn new_places(&self, said: &str) -> Result<BTreeSet<Place>> {
        let loaded =
            said.lines().find_map(|line| address(line, "PC tables")?.checked_sub(self.table));
        let loaded = loaded.context("libFuzzer does not say where its table of edges is")?;
        let new = said.lines().filter_map(|line| address(line, "NEW_PC: "));
        // libFuzzer prints the address after the edge's first.
        let new = new.filter_map(|at| at.checked_sub(loaded + 1));
        Ok(new.filter_map(|at| self.place(at)).collect())
    }

    fn place(&self, address: u64) -> Option<Place> {
        let mut frames = self.loader.find_frames(address).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else { continue };
            let file = location.file.map(|file| self.root.join(file));
            let Some(file) = file.filter(|file| file.starts_with(self.root.join("crates"))) else {
                continue;
            };
            let line = location.line.unwrap_or_default();
            let column = location.column.unwrap_or_default();
            let name = file.strip_prefix(&self.root).unwrap_or(&file).display();
            return self.is_written(&file, line).then(|| format!("{name}:{line}:{column}"));
        }
        None
    }

    /// Whether somebody wrote the code of a line: not a `derive`, nor the compiler, which calls its own line 0.
    fn is_written(&self, file: &Path, line: u32) -> bool {
        let mut derived = self.derived.borrow_mut();
        let derived = derived
            .entry(file.to_owned())
            .or_insert_with(|| derived_lines(&fs::read_to_string(file).unwrap_or_default()));
        line > 0 && !derived.iter().any(|lines| lines.contains(&line))
    }
}

/// The lines, from 1, of the types that something is derived for. A type has no code of its own: what is compiled from
/// its lines, such as the reading of a field, a `derive` wrote. rustfmt ends each where its indentation ends.
fn derived_lines(source: &str) -> Vec<RangeInclusive<u32>> {
    let lines: Vec<&str> = source.lines().collect();
    let starts = (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("#[derive("));
    let range = |start: usize| {
        let indent = lines[start].len() - lines[start].trim_start().len();
        let ends = |line: &str| {
            let (before, rest) = line.split_at_checked(indent).unwrap_or_default();
            before.trim().is_empty()
                && (rest == "}" || rest.ends_with(';') && !rest.starts_with(' '))
        };
        let length = lines[start..].iter().position(|line| ends(line)).unwrap_or_default();
        start as u32 + 1..=(start + length) as u32 + 1
    };
    starts.map(range).collect()
}

/// The edges' addresses, by their numbers: the table has pairs of an address and its flags, and as the program can be
/// loaded anywhere, it is in the relocations that the addresses are.
fn addresses(fuzzer: &[u8], table: Range<u64>) -> Result<HashMap<usize, u64>> {
    let file = object::File::parse(fuzzer)?;
    let relocations = file.dynamic_relocations().context("it has no relocations")?;
    let entry = |(place, relocation): (u64, Relocation)| {
        let edge = place.checked_sub(table.start)? / 16;
        let address = u64::try_from(relocation.addend()).ok()?;
        (place < table.end).then_some((edge as usize, address))
    };
    Ok(relocations.filter_map(entry).collect())
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
    fn a_type_that_something_is_derived_for_has_no_code_that_anybody_wrote() {
        let source = "\
use std::fmt;

/// A card.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub v: u64,
}

#[derive(Debug)]
struct Unit;

#[derive(Debug)]
struct Tuple(
    String,
);

mod tests {
    #[derive(Debug)]
    enum One {
        A { b: u8 },
    }
    fn code() {}
}
";
        assert_eq!(derived_lines(source), [4..=8, 10..=11, 13..=16, 19..=22]);
    }

    #[test]
    fn addresses_are_read_from_what_libfuzzer_says() {
        let tables = "INFO: Loaded 1 PC tables (9 PCs): 9 [0x55d0a8,0x55d138), ";
        assert_eq!(address(tables, "PC tables"), Some(0x0055_d0a8));
        assert_eq!(address("\tNEW_PC: 0x5601", "NEW_PC: "), Some(0x5601));
        assert_eq!(address("#2 INITED cov: 5 ft: 0x6", "NEW_PC: "), None);
    }
}
