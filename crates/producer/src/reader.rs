//! Reads the public part of a log's folder: no keys, no lock, beside a running writer.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use trail::event::EventError;
use trail::tile::{CheckedEntries, TileId, TileSource, WIDTH, cut, split_bundle};

use crate::error::{Error, IoContext as _, Result};
use crate::folder::Folder;
use crate::head::SignedHead;

/// A log at the size it had when it was opened. What it reads is not authenticated: verify it against
/// the head, and the head against a key you trust.
#[derive(Clone, Debug)]
pub struct LogReader {
    folder: Folder,
    head: SignedHead,
}

impl LogReader {
    /// Opens the log in a folder.
    ///
    /// # Errors
    /// The folder's `checkpoint` is missing or is none.
    pub fn open(dir: &Path) -> Result<Self> {
        let folder = Folder::new(dir);
        let head = SignedHead::read(&folder.checkpoint())?;
        Ok(Self::at(folder, head))
    }

    pub(crate) fn at(folder: Folder, head: SignedHead) -> Self {
        Self { folder, head }
    }

    /// The head in `checkpoint`, its signatures not verified.
    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// The sizes of the heads that were kept, ascending.
    pub(crate) fn kept_heads(&self) -> Result<Vec<u64>> {
        let dir = self.folder.quoted_heads();
        let names = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.at(&dir, "read the folder")?,
        };
        let names = names.flatten().filter_map(|name| name.file_name().into_string().ok());
        let mut sizes: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// A head that was kept, its signatures not verified.
    pub(crate) fn kept_head(&self, size: u64) -> Result<SignedHead> {
        SignedHead::read(&self.folder.quoted_head(size))
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn damaged_entry(&self, index: u64, error: &EventError) -> Error {
        Error::damaged(self.folder.root(), format!("entry {index}: {error}"))
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.head.checkpoint.size
    }

    /// One entry.
    ///
    /// # Errors
    /// There is no such entry, or its bundle cannot be read.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        let none = || Error::NoEntry { index, size: self.size() };
        let end = index.checked_add(1).filter(|end| *end <= self.size()).ok_or_else(none)?;
        self.entries(index..end).next().unwrap_or_else(|| Err(none()))
    }

    /// The entries of a range, as far as there are any, read bundle by bundle.
    pub fn entries(&self, range: Range<u64>) -> Entries<'_> {
        let end = range.end.min(self.size());
        Entries { log: self, next: range.start, end, bundle: VecDeque::new() }
    }

    /// All entries, compared with the tree on the way.
    pub(crate) fn checked_entries(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        CheckedEntries::new(self, self.size()).map(|entry| {
            entry.map_err(|why| {
                let why = format!("{why}; restore the whole folder from a backup");
                Error::damaged(self.folder.root(), why)
            })
        })
    }

    /// The entries of the bundle that starts at `first`, a multiple of 256.
    fn bundle(&self, first: u64) -> Result<Vec<Vec<u8>>> {
        let id = TileId::bundle(first, self.size());
        let bytes = self.read(id)?;
        let entries = split_bundle(&bytes, id.width).ok_or_else(|| {
            Error::damaged(&self.folder.tile(id), format!("not a bundle of {} entries", id.width))
        })?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }
}

impl TileSource for LogReader {
    type Error = Error;

    fn read(&self, id: TileId) -> Result<Vec<u8>> {
        let path = self.folder.tile(id);
        match read_file(&path) {
            // A partial tile may go once the full one is there (<https://c2sp.org/tlog-tiles#partial-tiles>).
            Err(Error::Missing(path)) if u64::from(id.width) < WIDTH => {
                let full = TileId { width: WIDTH as u16, ..id };
                match read_file(&self.folder.tile(full)) {
                    Err(Error::Missing(_)) => Err(Error::Missing(path)),
                    bytes => cut(full, &bytes?, id.width)
                        .ok_or_else(|| Error::damaged(&self.folder.tile(full), "not a whole tile")),
                }
            }
            result => result,
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    // A pipe would block and a device never end; a folder from a stranger may hold either.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::damaged(path, "not a regular file"));
    }
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::Missing(PathBuf::from(path))),
        bytes => bytes.at(path, "read the file"),
    }
}

/// Entries in order; see [`LogReader::entries`]. It ends after an error.
#[derive(Debug)]
pub struct Entries<'a> {
    log: &'a LogReader,
    next: u64,
    end: u64,
    bundle: VecDeque<Vec<u8>>,
}

impl Entries<'_> {
    fn fill(&mut self) -> Result<()> {
        let within = self.next % WIDTH;
        self.bundle = self.log.bundle(self.next - within)?.into();
        self.bundle.drain(..within as usize);
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if self.bundle.is_empty()
            && let Err(error) = self.fill()
        {
            self.end = 0;
            return Some(Err(error));
        }
        self.next += 1;
        self.bundle.pop_front().map(Ok)
    }
}
