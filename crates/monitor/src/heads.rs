//! Two heads of one log, compared by its tiles.

use trail::checkpoint::Checkpoint;
use trail::merkle::{self, NodeReader as _};
use trail::tile::{TileError, TileTree};

use crate::source::{Fault, NoTile, Source, Tiles};

/// How a head relates to an earlier one.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the same.
    Same,
    /// It has all that the earlier one has, and more.
    Grown,
    /// It has fewer entries.
    Shrunk,
    /// The tree that it names is there, and does not begin with the earlier one.
    Forked,
    /// The tiles do not make the tree that it names.
    Unproven(String),
}

/// Compares two heads whose signatures were verified.
pub fn compare(
    earlier: &Checkpoint,
    later: &Checkpoint,
    source: &dyn Source,
) -> Result<Step, Fault> {
    if later.size == earlier.size {
        return Ok(if later.root == earlier.root { Step::Same } else { Step::Forked });
    }
    if later.size < earlier.size {
        return Ok(Step::Shrunk);
    }
    match continues(earlier, later, source) {
        Ok(true) => Ok(Step::Grown),
        Ok(false) => Ok(Step::Forked),
        Err(Unproven::Tiles(reason)) => Ok(Step::Unproven(reason)),
        Err(Unproven::Fault(fault)) => Err(fault),
    }
}

/// Why the tiles show nothing.
#[derive(Debug)]
pub enum Unproven {
    /// They are not those of the head.
    Tiles(String),
    /// They cannot be reached.
    Fault(Fault),
}

impl From<TileError<NoTile>> for Unproven {
    fn from(error: TileError<NoTile>) -> Self {
        match error {
            TileError::Source(NoTile::Fault(fault)) => Self::Fault(fault),
            TileError::Source(NoTile::Missing(reason)) => Self::Tiles(reason),
            other => Self::Tiles(match other {
                TileError::Length(id, ..) => format!("{id} is of the wrong length"),
                _ => "a tile cannot be read".to_owned(),
            }),
        }
    }
}

/// Whether the tree of the larger head begins with that of the smaller one.
pub fn continues(
    smaller: &Checkpoint,
    larger: &Checkpoint,
    source: &dyn Source,
) -> Result<bool, Unproven> {
    let tiles = Tiles(source);
    let tree = TileTree::new(&tiles, larger.size);
    let proof = merkle::consistency_path(smaller.size, larger.size, &tree)?;
    let (old, new) = ((smaller.size, &smaller.root), (larger.size, &larger.root));
    if merkle::verify_consistency(old.0, old.1, new.0, new.1, &proof).is_ok() {
        return Ok(true);
    }
    // The proof is made from unsigned tiles: it shows a fork only if they are the signed tree's.
    if merkle::root(larger.size, &tree)? == larger.root {
        return Ok(false);
    }
    Err(Unproven::Tiles("the tiles do not make the tree that the signed head names".into()))
}

/// Whether an entry stands at this index of the head's tree.
pub fn holds(
    entry: &[u8],
    index: u64,
    head: &Checkpoint,
    source: &dyn Source,
) -> Result<bool, Unproven> {
    let tiles = Tiles(source);
    let tree = TileTree::new(&tiles, head.size);
    let path = merkle::inclusion_path(index, head.size, &tree)?;
    if merkle::verify_inclusion(entry, index, head.size, &head.root, &path).is_ok() {
        return Ok(true);
    }
    let leaf = tree.node(0, index)?;
    if leaf != merkle::leaf_hash(entry) && merkle::root(head.size, &tree)? == head.root {
        return Ok(false);
    }
    Err(Unproven::Tiles("the tiles do not make the tree that the signed head names".into()))
}
