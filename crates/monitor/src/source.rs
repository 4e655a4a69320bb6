//! Where a log's files are read from.

use thiserror::Error;
use trail::note::MAX_NOTE;
use trail::tile::{TileId, TileSource, WIDTH, cut};

/// The largest entry bundle: 256 entries of 65,535 bytes, each after its length.
const MAX_TILE: u64 = 256 * (65_535 + 2);

/// The files below a folder or a URL.
pub trait Source {
    /// A file's content; `None` when there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or is larger than `limit` bytes.
    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Fault>;

    /// How to call a file in messages.
    fn name(&self, path: &str) -> String;
}

/// Something could not be had: a matter of a network or a disk, not of who signed what.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    /// Why, naming what.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A text that must be there.
pub(crate) fn text(source: &dyn Source, path: &str) -> Result<String, Fault> {
    let bytes = source.get(path, MAX_NOTE as u64)?;
    let bytes = bytes.ok_or_else(|| Fault::new(format!("{}: no such file", source.name(path))))?;
    String::from_utf8(bytes).map_err(|_| Fault::new(format!("{}: not UTF-8", source.name(path))))
}

/// The tiles of a source.
pub(crate) struct Tiles<'a>(pub &'a dyn Source);

/// Why a tile cannot be had.
#[derive(Debug)]
pub(crate) enum NoTile {
    Missing(String),
    Fault(Fault),
}

impl TileSource for Tiles<'_> {
    type Error = NoTile;

    /// A partial tile goes once the full one is there, which then begins with it
    /// (<https://c2sp.org/tlog-tiles#partial-tiles>).
    fn read(&self, id: TileId) -> Result<Vec<u8>, NoTile> {
        let path = id.to_string();
        if let Some(bytes) = self.0.get(&path, MAX_TILE).map_err(NoTile::Fault)? {
            return Ok(bytes);
        }
        let full = TileId { width: WIDTH as u16, ..id };
        let missing = || NoTile::Missing(format!("there is no {}", self.0.name(&path)));
        if id == full {
            return Err(missing());
        }
        let bytes = self.0.get(&full.to_string(), MAX_TILE).map_err(NoTile::Fault)?;
        cut(full, &bytes.ok_or_else(missing)?, id.width)
            .ok_or_else(|| NoTile::Missing(format!("{} is not a whole tile", self.0.name(&path))))
    }
}
