//! The roots that a log had at some of its sizes, from its entries as they pass by.

use super::places::Places;
use crate::merkle::{Frontier, Hash, leaf_hash};

/// Notes the roots at the sizes asked for, in memory that does not grow with the log.
#[derive(Debug, Default)]
pub struct Roots {
    frontier: Frontier,
    noted: Places<Hash>,
}

impl Roots {
    /// Nothing read yet; the root is asked for at these sizes.
    pub fn at(sizes: impl Iterator<Item = u64>) -> Self {
        let mut roots = Self { frontier: Frontier::default(), noted: Places::new(sizes) };
        roots.note();
        roots
    }

    pub fn push(&mut self, entry: &[u8]) {
        self.frontier.push(leaf_hash(entry));
        self.note();
    }

    fn note(&mut self) {
        self.noted.note(self.frontier.size(), || self.frontier.root());
    }

    /// The root over the first `size` entries, if it was asked for and they were read.
    pub fn get(&self, size: u64) -> Option<Hash> {
        self.noted.get(size).copied()
    }

    /// The root over all entries read.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }
}
