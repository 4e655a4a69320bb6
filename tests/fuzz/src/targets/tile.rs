//! Tiles: paths that lead back to their tile, bundles that are written again the same, and logs in which
//! one file was replaced by a stranger's bytes.
//!
//! The input is the log's size (one of some), which file is replaced, an index in two bytes, and what
//! the file is replaced with.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use trail::merkle;
use trail::tile::{
    CheckedEntries, TileBuilder, TileId, TileSource, TileTree, append_to_bundle, cut, split_bundle,
    tiles_of,
};

use crate::memory::bounded;
use crate::tree::{self, Hash};

const SIZES: [u64; 10] = [0, 1, 2, 3, 7, 255, 256, 257, 300, 600];

pub fn run(input: &[u8]) {
    let Some((&[size, which, i0, i1], bytes)) = input.split_first_chunk::<4>() else { return };
    let log = honest(SIZES[usize::from(size) % SIZES.len()]);
    assert_path_leads_back(input);
    assert_same_proof(&log, u64::from(u16::from_be_bytes([i0, i1])));
    if let Some(id) = log.files.keys().nth(usize::from(which) % log.files.len().max(1)) {
        assert_bundle(bytes, id.width);
        assert_noticed(&log, *id, bytes);
    }
}

/// A log of entries 0, 1, 2, … in eight bytes, its files made by the definition of the tree.
struct Log {
    leaves: Vec<Hash>,
    files: BTreeMap<TileId, Vec<u8>>,
}

fn honest(size: u64) -> Rc<Log> {
    thread_local! {
        static LOGS: RefCell<BTreeMap<u64, Rc<Log>>> = RefCell::default();
    }
    LOGS.with_borrow_mut(|logs| {
        let log = logs.entry(size).or_insert_with(|| {
            let leaves: Vec<Hash> = (0..size).map(|i| tree::leaf(&i.to_be_bytes())).collect();
            let files = tiles_of(size).map(|id| (id, file(id, &leaves))).collect();
            Rc::new(Log { leaves, files })
        });
        Rc::clone(log)
    })
}

fn file(id: TileId, leaves: &[Hash]) -> Vec<u8> {
    let numbers = id.index * 256..id.index * 256 + u64::from(id.width);
    let Some(level) = id.level else {
        return numbers.flat_map(|n| [&[0, 8], n.to_be_bytes().as_slice()].concat()).collect();
    };
    let span = 256usize.pow(level.into());
    let subtree = |n: u64| tree::root(&leaves[n as usize * span..][..span]);
    numbers.flat_map(subtree).collect()
}

struct Replaced<'a> {
    log: &'a Log,
    id: TileId,
    bytes: &'a [u8],
}

impl TileSource for Replaced<'_> {
    type Error = String;

    fn read(&self, id: TileId) -> Result<Vec<u8>, String> {
        let file = if id == self.id {
            Some(self.bytes)
        } else {
            self.log.files.get(&id).map(Vec::as_slice)
        };
        file.map(<[u8]>::to_vec).ok_or_else(|| id.to_string())
    }
}

fn assert_noticed(log: &Log, id: TileId, bytes: &[u8]) {
    let size = log.leaves.len() as u64;
    let source = Replaced { log, id, bytes };
    let read = || CheckedEntries::new(&source, size).collect::<Result<Vec<_>, _>>();
    let entries = bounded(bytes.len() + 64 * log.leaves.len(), 32, read);
    let same = log.files[&id] == bytes;
    assert_eq!(entries.is_ok(), same, "{id} was replaced");
    if let Ok(builder) = TileBuilder::resume(size, &source) {
        assert_eq!(builder.size(), size);
        let whole = id.level.is_none() || bytes == log.files[&id];
        assert!(!whole || builder.root() == tree::root(&log.leaves));
    }
    let _ = merkle::root(size, &TileTree::new(&source, size));
}

fn assert_bundle(bytes: &[u8], width: u16) {
    let Some(entries) = bounded(bytes.len(), 16, || split_bundle(bytes, width)) else { return };
    assert_eq!(entries.len(), usize::from(width));
    let join = |entries: &[&[u8]]| {
        let mut bundle = Vec::new();
        entries.iter().for_each(|entry| append_to_bundle(&mut bundle, entry));
        bundle
    };
    assert_eq!(join(&entries), bytes, "one spelling only");
    let id = TileId { level: None, index: 0, width };
    let part = width / 2;
    assert_eq!(cut(id, bytes, part), Some(join(&entries[..usize::from(part)])));
}

fn assert_same_proof(log: &Log, index: u64) {
    let size = log.leaves.len() as u64;
    if index >= size {
        return;
    }
    let source =
        Replaced { log, id: TileId { level: None, index: u64::MAX, width: 1 }, bytes: &[] };
    let tree = TileTree::new(&source, size);
    let path = merkle::inclusion_path(index, size, &tree).unwrap();
    assert_eq!(path, tree::path(index as usize, &log.leaves));
    let consistency = merkle::consistency_path(index, size, &tree).unwrap();
    assert_eq!(consistency, tree::consistency(index as usize, &log.leaves));
}

/// The path of a tile (<https://c2sp.org/tlog-tiles#merkle-tree>), read back.
fn assert_path_leads_back(input: &[u8]) {
    let mut number = [0; 8];
    number.iter_mut().zip(&input[1..]).for_each(|(to, from)| *to = *from);
    let level = (input[0] & 1 == 0).then_some(input[0] % 64);
    let width = u16::from(input[1]) + 1;
    let id = TileId { level, index: u64::from_le_bytes(number), width };
    let path = id.to_string();
    let mut parts = path.strip_prefix("tile/").unwrap().split('/').peekable();
    match level {
        None => assert_eq!(parts.next(), Some("entries")),
        Some(level) => assert_eq!(parts.next(), Some(level.to_string().as_str())),
    }
    let mut index = 0u64;
    let group = |digits: &str| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
    while let Some(digits) = parts.peek().and_then(|part| part.strip_prefix('x')) {
        assert!(group(digits), "{path}");
        index = index * 1000 + digits.parse::<u64>().unwrap();
        parts.next();
    }
    let last = parts.next().unwrap();
    let (digits, partial) = match last.strip_suffix(".p") {
        Some(digits) => (digits, parts.next()),
        None => (last, None),
    };
    assert!(group(digits), "{path}");
    index = index * 1000 + digits.parse::<u64>().unwrap();
    assert_eq!(index, id.index, "{path}");
    assert_eq!(partial.map_or(256, |width| width.parse().unwrap()), width, "{path}");
    assert_eq!(parts.next(), None, "{path}");
}
