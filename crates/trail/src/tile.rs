//! The C2SP tlog-tiles layout of a log (<https://c2sp.org/tlog-tiles>): tree tiles and entry bundles
//! as static files.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use thiserror::Error;

use crate::merkle::{Hash, NodeReader, fold_right, leaf_hash, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: u64 = 256;

/// log₂ of [`WIDTH`]: the tree levels that one tile spans.
const HEIGHT: u32 = 8;

/// Which tile or bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Level of a tree tile; `None` for an entry bundle.
    pub level: Option<u8>,
    /// Number of the tile within its level.
    pub index: u64,
    /// Hashes or entries in it: 1 to 256; below 256 it is a partial tile.
    pub width: u16,
}

impl TileId {
    /// The entry bundle or level 0 tile that holds the leaf `index`, as wide as a tree of `size` has it.
    fn holding(level: Option<u8>, index: u64, nodes_at_level: u64) -> Self {
        let tile = index / WIDTH;
        let width = (nodes_at_level - tile * WIDTH).min(WIDTH) as u16;
        Self { level, index: tile, width }
    }

    /// The bundle of entries that starts at `first`, a multiple of 256, in a log of `size` entries.
    pub fn bundle(first: u64, size: u64) -> Self {
        Self::holding(None, first, size)
    }
}

/// The path below the log's prefix, for example `tile/0/x001/234.p/5`.
impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "tile/{level}/")?,
            None => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (position, group) in groups.iter().enumerate().rev() {
            if position > 0 {
                write!(f, "x{group:03}/")?;
            } else {
                write!(f, "{group:03}")?;
            }
        }
        if u64::from(self.width) < WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// Every tree tile and entry bundle that a log of `size` entries consists of, bundles last.
pub fn tiles_of(size: u64) -> impl Iterator<Item = TileId> {
    let levels = (0..8u8).map(move |level| (Some(level), size >> (HEIGHT * u32::from(level))));
    levels.chain([(None, size)]).flat_map(|(level, nodes)| {
        (0..nodes.div_ceil(WIDTH)).map(move |i| TileId::holding(level, i * WIDTH, nodes))
    })
}

/// Grows the tiles of a log leaf by leaf, keeping only the partial tiles of the right edge.
#[derive(Clone, Debug, Default)]
pub struct TileBuilder {
    size: u64,
    /// The hashes of the partial tile at each level, 0 to 255 of them.
    edge: Vec<Vec<Hash>>,
}

impl TileBuilder {
    /// Takes up a log of `size` entries from its partial tiles.
    ///
    /// # Errors
    /// The source's, or a tile of the wrong length.
    pub fn resume<S: TileSource>(size: u64, source: &S) -> Result<Self, TileError<S::Error>> {
        let mut edge = Vec::new();
        for level in 0..8u8 {
            let nodes = size >> (HEIGHT * u32::from(level));
            let partial = nodes % WIDTH;
            if partial == 0 {
                edge.push(Vec::new());
                continue;
            }
            let id = TileId::holding(Some(level), nodes - 1, nodes);
            edge.push(read_hashes(source, id)?);
        }
        Ok(Self { size, edge })
    }

    /// Appends a leaf by its hash; `full` is called for every tile that this completes.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(TileId, &[Hash])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..8u8 {
            let position = usize::from(level);
            if self.edge.len() == position {
                self.edge.push(Vec::with_capacity(WIDTH as usize));
            }
            let tile = &mut self.edge[position];
            tile.push(hash);
            if (tile.len() as u64) < WIDTH {
                return;
            }
            let index = (self.size >> (HEIGHT * (u32::from(level) + 1))) - 1;
            full(TileId { level: Some(level), index, width: WIDTH as u16 }, tile);
            hash = complete_root(tile);
            tile.clear();
        }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The partial tiles of the right edge.
    pub fn partial(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        self.edge.iter().zip(0u8..).filter(|(tile, _)| !tile.is_empty()).map(|(tile, level)| {
            let index = self.size >> (HEIGHT * (u32::from(level) + 1));
            (TileId { level: Some(level), index, width: tile.len() as u16 }, tile.as_slice())
        })
    }

    /// The Merkle tree hash of all leaves.
    pub fn root(&self) -> Hash {
        let mut subtrees = Vec::new();
        for tile in self.edge.iter().rev() {
            let mut rest = tile.as_slice();
            while !rest.is_empty() {
                let (complete, after) = rest.split_at(1 << rest.len().ilog2());
                subtrees.push(complete_root(complete));
                rest = after;
            }
        }
        fold_right(&subtrees).unwrap_or_else(crate::merkle::empty_root)
    }
}

/// The root over a power of two of hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    level.first().copied().unwrap_or_else(crate::merkle::empty_root)
}

/// A place tiles are read from.
pub trait TileSource {
    /// What can go wrong while reading.
    type Error;

    /// The bytes of a tile or bundle.
    ///
    /// # Errors
    /// They cannot be had.
    fn read(&self, id: TileId) -> Result<Vec<u8>, Self::Error>;
}

/// Why a tile could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TileError<E> {
    /// The source failed.
    #[error(transparent)]
    Source(E),
    /// The tile has the wrong length.
    #[error("{0} is {1} bytes long, not the {2} it must have")]
    Length(TileId, usize, usize),
}

fn read_hashes<S: TileSource>(source: &S, id: TileId) -> Result<Vec<Hash>, TileError<S::Error>> {
    let bytes = source.read(id).map_err(TileError::Source)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != usize::from(id.width) || !rest.is_empty() {
        return Err(TileError::Length(id, bytes.len(), usize::from(id.width) * 32));
    }
    Ok(hashes.to_vec())
}

/// A tree read from its tiles, to make proofs from. What it reads is not authenticated: verify the
/// proofs it makes against a root you trust.
#[derive(Debug)]
pub struct TileTree<'a, S: TileSource> {
    source: &'a S,
    size: u64,
    cache: RefCell<HashMap<TileId, Rc<Vec<Hash>>>>,
}

/// Tiles kept in memory while proofs are made: 2 MiB of them.
const CACHED_TILES: usize = 256;

impl<'a, S: TileSource> TileTree<'a, S> {
    /// The tree of `size` leaves at `source`.
    pub fn new(source: &'a S, size: u64) -> Self {
        Self { source, size, cache: RefCell::default() }
    }

    fn tile(&self, id: TileId) -> Result<Rc<Vec<Hash>>, TileError<S::Error>> {
        if let Some(tile) = self.cache.borrow().get(&id) {
            return Ok(Rc::clone(tile));
        }
        let tile = Rc::new(read_hashes(self.source, id)?);
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= CACHED_TILES {
            cache.clear();
        }
        cache.insert(id, Rc::clone(&tile));
        Ok(tile)
    }
}

impl<S: TileSource> NodeReader for TileTree<'_, S> {
    type Error = TileError<S::Error>;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let (tile_level, within) = (level / HEIGHT, level % HEIGHT);
        let first = index << within;
        let nodes = self.size >> (HEIGHT * tile_level);
        let tile = self.tile(TileId::holding(Some(tile_level as u8), first, nodes))?;
        let offset = (first % WIDTH) as usize;
        Ok(complete_root(tile.get(offset..offset + (1 << within)).unwrap_or_default()))
    }
}

/// Appends an entry to a bundle: its length as big-endian u16, then its bytes. The caller makes sure
/// that the entry is at most 65,535 bytes long, as [`crate::Event::encode`] does.
pub fn append_to_bundle(bundle: &mut Vec<u8>, entry: &[u8]) {
    bundle.extend((entry.len() as u16).to_be_bytes());
    bundle.extend(entry);
}

/// Splits a bundle of `width` entries; `None` when its bytes are not exactly so many.
pub fn split_bundle(bundle: &[u8], width: u16) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bundle;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        entries.push(entry);
        rest = after;
    }
    (rest.is_empty() && entries.len() == usize::from(width)).then_some(entries)
}

/// The first `width` hashes or entries of the tile or bundle `full`: what a smaller tree has of it. `None`
/// when its bytes are not a whole tile.
pub fn cut(full: TileId, bytes: &[u8], width: u16) -> Option<Vec<u8>> {
    if full.level.is_some() {
        return bytes.get(..32 * usize::from(width)).map(<[u8]>::to_vec);
    }
    let entries = split_bundle(bytes, full.width)?;
    let mut part = Vec::with_capacity(bytes.len());
    entries.iter().take(width.into()).for_each(|entry| append_to_bundle(&mut part, entry));
    Some(part)
}

/// The entries of a log, read bundle by bundle and compared with the tree tiles on the way: every
/// full tile as it fills, the partial ones after the last entry. An error ends the iteration.
#[derive(Debug)]
pub struct CheckedEntries<'a, S: TileSource> {
    source: &'a S,
    size: u64,
    builder: TileBuilder,
    bundle: VecDeque<Vec<u8>>,
    finished: bool,
}

impl<'a, S: TileSource> CheckedEntries<'a, S>
where
    S::Error: fmt::Display,
{
    /// The `size` entries at `source`.
    pub fn new(source: &'a S, size: u64) -> Self {
        let (builder, bundle) = (TileBuilder::default(), VecDeque::new());
        Self { source, size, builder, bundle, finished: false }
    }

    fn step(&mut self) -> Result<Option<Vec<u8>>, String> {
        if self.builder.size() == self.size {
            let partial: Vec<_> =
                self.builder.partial().map(|(id, hashes)| (id, hashes.concat())).collect();
            partial.into_iter().try_for_each(|(id, expected)| self.compare(id, &expected))?;
            return Ok(None);
        }
        if self.bundle.is_empty() {
            let id = TileId::bundle(self.builder.size(), self.size);
            let bytes = self.source.read(id).map_err(|e| e.to_string())?;
            let entries = split_bundle(&bytes, id.width)
                .ok_or_else(|| format!("{id} is not a bundle of {} entries", id.width))?;
            self.bundle = entries.into_iter().map(<[u8]>::to_vec).collect();
        }
        let Some(entry) = self.bundle.pop_front() else { return Ok(None) };
        let mut filled = Vec::new();
        self.builder.push(leaf_hash(&entry), |id, hashes| filled.push((id, hashes.concat())));
        filled.into_iter().try_for_each(|(id, expected)| self.compare(id, &expected))?;
        Ok(Some(entry))
    }

    fn compare(&self, id: TileId, expected: &[u8]) -> Result<(), String> {
        if self.source.read(id).map_err(|e| e.to_string())? == expected {
            Ok(())
        } else {
            Err(format!("{id} is not the tile that the entries give"))
        }
    }
}

impl<S: TileSource> Iterator for CheckedEntries<'_, S>
where
    S::Error: fmt::Display,
{
    type Item = Result<Vec<u8>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let step = self.step().transpose();
        self.finished = !matches!(step, Some(Ok(_)));
        step
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merkle::{self, Frontier};
    use proptest::prelude::*;

    struct Memory(HashMap<TileId, Vec<u8>>);

    impl TileSource for Memory {
        type Error = TileId;
        fn read(&self, id: TileId) -> Result<Vec<u8>, TileId> {
            self.0.get(&id).cloned().ok_or(id)
        }
    }

    fn build(size: u64) -> (Memory, TileBuilder, Frontier) {
        let mut tiles = HashMap::new();
        let mut builder = TileBuilder::default();
        let mut frontier = Frontier::default();
        for i in 0..size {
            let leaf = leaf_hash(&i.to_be_bytes());
            frontier.push(leaf);
            builder.push(leaf, |id, hashes| {
                tiles.insert(id, hashes.concat());
            });
        }
        tiles.extend(builder.partial().map(|(id, hashes)| (id, hashes.concat())));
        (Memory(tiles), builder, frontier)
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        let id = |level, index, width| TileId { level, index, width }.to_string();
        assert_eq!(id(Some(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(id(Some(2), 0, 1), "tile/2/000.p/1");
        assert_eq!(id(None, 1000, 255), "tile/entries/x001/000.p/255");
    }

    #[test]
    fn seventy_thousand_entries_make_the_tiles_of_the_specification() {
        let (memory, ..) = build(70_000);
        let count = |level, full: bool| {
            let tiles = memory.0.keys().filter(|id| id.level == Some(level));
            tiles.filter(|id| (id.width == 256) == full).count()
        };
        assert_eq!([count(0, true), count(0, false)], [273, 1]);
        assert_eq!([count(1, true), count(1, false)], [1, 1]);
        assert_eq!([count(2, true), count(2, false)], [0, 1]);
        let widths: Vec<u16> = (0..3)
            .map(|l| {
                memory.0.keys().find(|id| id.level == Some(l) && id.width < 256).unwrap().width
            })
            .collect();
        assert_eq!(widths, [112, 17, 1]);
        let mut expected: Vec<_> = tiles_of(70_000).filter(|id| id.level.is_some()).collect();
        let mut present: Vec<_> = memory.0.keys().copied().collect();
        expected.sort();
        present.sort();
        assert_eq!(present, expected);
    }

    #[test]
    fn tiles_roots_and_proofs_agree_with_the_plain_tree() {
        for size in [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537] {
            let (memory, builder, frontier) = build(size);
            assert_eq!(builder.root(), frontier.root(), "size {size}");
            let resumed = TileBuilder::resume(size, &memory).unwrap();
            assert_eq!(resumed.root(), frontier.root(), "resumed at {size}");
            let tree = TileTree::new(&memory, size);
            assert_eq!(merkle::root(size, &tree).unwrap(), frontier.root());
            let edge = Frontier::read(size, &tree).unwrap();
            assert_eq!((edge.root(), edge.subtrees()), (frontier.root(), frontier.subtrees()));
            let mut kept = Frontier::from_subtrees(size, edge.subtrees().to_vec()).unwrap();
            let mut grown = frontier.clone();
            for tree in [&mut kept, &mut grown] {
                tree.push(leaf_hash(b"next"));
            }
            assert_eq!(kept.root(), grown.root());
            assert!(
                Frontier::from_subtrees(size, [edge.subtrees(), &[[0; 32]]].concat()).is_none()
            );
            for index in [0, 1, size / 2, size.saturating_sub(1)] {
                if index < size {
                    let path = merkle::inclusion_path(index, size, &tree).unwrap();
                    let entry = index.to_be_bytes();
                    merkle::verify_inclusion(&entry, index, size, &frontier.root(), &path).unwrap();
                }
            }
        }
    }

    #[test]
    fn checked_entries_find_a_wrong_tile_at_any_level() {
        let size = 256 * 256 + 300;
        let (mut memory, ..) = build(size);
        let entries: Vec<Vec<u8>> = (0..size).map(|i| i.to_be_bytes().to_vec()).collect();
        for id in tiles_of(size).filter(|id| id.level.is_none()) {
            let first = (id.index * WIDTH) as usize;
            let mut bundle = Vec::new();
            let held = &entries[first..first + usize::from(id.width)];
            held.iter().for_each(|entry| append_to_bundle(&mut bundle, entry));
            memory.0.insert(id, bundle);
        }
        struct Shown(Memory);
        impl TileSource for Shown {
            type Error = String;
            fn read(&self, id: TileId) -> Result<Vec<u8>, String> {
                self.0.read(id).map_err(|id| format!("no {id}"))
            }
        }
        let mut shown = Shown(memory);
        let read = |shown: &Shown| CheckedEntries::new(shown, size).collect::<Result<Vec<_>, _>>();
        assert_eq!(read(&shown).unwrap(), entries);
        for id in tiles_of(size).filter(|id| id.index == 0 && id.level.is_some()) {
            shown.0.0.get_mut(&id).unwrap()[5] ^= 1;
            assert!(read(&shown).unwrap_err().starts_with(&id.to_string()));
            shown.0.0.get_mut(&id).unwrap()[5] ^= 1;
        }
    }

    #[test]
    fn a_short_tile_is_named() {
        let (mut memory, ..) = build(3);
        memory.0.values_mut().for_each(|tile| tile.truncate(95));
        let error = TileBuilder::resume(3, &memory).unwrap_err();
        assert!(matches!(error, TileError::Length(_, 95, 96)));
    }

    proptest! {
        #[test]
        fn bundles_survive_the_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..256)) {
            let mut bundle = Vec::new();
            entries.iter().for_each(|entry| append_to_bundle(&mut bundle, entry));
            let width = entries.len() as u16;
            prop_assert_eq!(split_bundle(&bundle, width).unwrap(), entries);
            bundle.push(0);
            prop_assert!(split_bundle(&bundle, width).is_none());
        }
    }
}
