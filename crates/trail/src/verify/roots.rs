//! The roots that a log had at some of its sizes, from its entries as they pass by.

use crate::merkle::{Frontier, Hash, leaf_hash};

/// Notes the roots at the sizes asked for, in memory that does not grow with the log.
#[derive(Debug, Default)]
pub struct Roots {
    frontier: Frontier,
    /// By rising size.
    noted: Vec<(u64, Option<Hash>)>,
    next: usize,
}

impl Roots {
    /// Nothing read yet; the root is asked for at these sizes.
    pub fn at(sizes: impl Iterator<Item = u64>) -> Self {
        let mut noted: Vec<_> = sizes.map(|size| (size, None)).collect();
        noted.sort_unstable();
        noted.dedup();
        let mut roots = Self { noted, ..Self::default() };
        roots.note();
        roots
    }

    pub fn push(&mut self, entry: &[u8]) {
        self.frontier.push(leaf_hash(entry));
        self.note();
    }

    fn note(&mut self) {
        if let Some((size, root)) = self.noted.get_mut(self.next)
            && *size == self.frontier.size()
        {
            *root = Some(self.frontier.root());
            self.next += 1;
        }
    }

    /// The root over the first `size` entries, if it was asked for and they were read.
    pub fn get(&self, size: u64) -> Option<Hash> {
        let at = self.noted.binary_search_by_key(&size, |(size, _)| *size).ok()?;
        self.noted[at].1
    }

    /// How many entries were read.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over all entries read.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}
