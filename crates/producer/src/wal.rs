//! The write-ahead log: where new events are first, and safe once committed.
//!
//! A transaction is any number of batch frames and one commit frame, followed by one sync. Without its
//! commit frame it never happened. A batch carries the events, their sealed private records and the
//! sealed pseudonyms they use, so that neither an event nor its private content outlives the other.
//! Everything private is sealed before it gets here.
//!
//! A frame is `kind (1) ‖ length (4, big-endian) ‖ payload ‖ SHA-256(previous digest ‖ kind ‖ length ‖
//! payload)`. The chain of digests ties every frame to all before it.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use trail::Hash;

use crate::disk::Disk;
use crate::error::{Error, IoContext as _, Result};

const BATCH: u8 = 1;
const COMMIT: u8 = 2;

/// Bytes of a frame besides its payload.
const HEADER: usize = 5;
const DIGEST: usize = 32;

/// A batch larger than this is ended, in bytes, so that memory stays flat on both sides.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// The write-ahead log, open for writing.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Disk,
    path: PathBuf,
    file: File,
    /// Where the last commit ends, and the digest there.
    committed: Position,
    /// Where the next frame goes.
    end: Position,
    /// What the last commit said.
    last: Option<Commit>,
    /// Whether a committed frame carries something for the vault.
    private: bool,
    /// The same for the transaction being written.
    pending_private: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    offset: u64,
    digest: Hash,
}

impl Wal {
    /// Opens the log after a crash or a clean end, and drops what was not committed.
    pub fn open(disk: &Disk, path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = match file {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing(path.to_owned()));
            }
            opened => opened.at(path, "open the file")?,
        };
        let (committed, last, private) = find_commits(path, &file)?;
        let wal = Self {
            disk: disk.clone(),
            path: path.to_owned(),
            file,
            committed,
            end: committed,
            last,
            private,
            pending_private: false,
        };
        // What follows the last commit was never acknowledged, and must not stay. The chain of digests
        // keeps it from ever being read together with what is written over it.
        wal.disk.set_len(&wal.file, path, committed.offset)?;
        // The process may have died between writing a commit and syncing it. We are about to build on
        // it, so it must be as durable as one that was acknowledged.
        wal.disk.sync(&wal.file, path)?;
        Ok(wal)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the last commit says; `None` when nothing waits to be carried into the log.
    pub fn last_commit(&self) -> Option<Commit> {
        self.last
    }

    /// The bytes of what waits.
    pub fn len(&self) -> u64 {
        self.committed.offset
    }

    /// Whether any of them concerns the vault.
    pub fn holds_private(&self) -> bool {
        self.private
    }

    /// Adds a batch to the transaction.
    pub fn append(&mut self, batch: &Batch) -> Result<()> {
        self.pending_private |= batch.private;
        self.write(BATCH, &batch.payload())
    }

    /// Ends the transaction. When this returns, it survives everything the disk survives.
    pub fn commit(&mut self, commit: Commit) -> Result<()> {
        self.write(COMMIT, &commit.to_bytes())?;
        // After a failed sync nobody can tell what is on the disk, and trying again may lie.
        self.disk
            .sync(&self.file, &self.path)
            .map_err(|source| Error::Undecided { source: Box::new(source) })?;
        self.committed = self.end;
        self.last = Some(commit);
        self.private |= std::mem::take(&mut self.pending_private);
        Ok(())
    }

    /// Takes the transaction back: at once, because a crash must not find a part of it followed by others.
    pub fn rollback(&mut self) -> Result<()> {
        if self.end != self.committed {
            self.disk.set_len(&self.file, &self.path, self.committed.offset)?;
            self.disk.sync(&self.file, &self.path)?;
            self.end = self.committed;
        }
        self.pending_private = false;
        Ok(())
    }

    /// Forgets the committed transactions, once everything in them is durable elsewhere.
    pub fn clear(&mut self) -> Result<()> {
        self.disk.set_len(&self.file, &self.path, 0)?;
        // Unsynced, the old frames could return after a crash. They would be recognised as old, but
        // the sealed records in them should be in one place only.
        self.disk.sync(&self.file, &self.path)?;
        (self.committed, self.end) = Default::default();
        (self.last, self.private) = Default::default();
        Ok(())
    }

    /// The committed frames from the first one.
    pub fn frames(&self) -> Result<Frames<'_>> {
        // A handle of its own, because readers share a position.
        let file = File::open(&self.path).at(&self.path, "open the file")?;
        Ok(Frames::new(&self.path, file, self.committed.offset))
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let length = u32::try_from(payload.len())
            .map_err(|_| Error::damaged(&self.path, "an event's private content is too large"))?;
        let mut frame = Vec::with_capacity(HEADER + payload.len() + DIGEST);
        frame.push(kind);
        frame.extend(length.to_be_bytes());
        frame.extend(payload);
        let digest = chain(&self.end.digest, &frame);
        frame.extend(digest);
        self.disk.write_at(&self.file, &self.path, self.end.offset, &frame)?;
        self.end = Position { offset: self.end.offset + frame.len() as u64, digest };
        Ok(())
    }
}

fn chain(previous: &Hash, frame: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(frame).finalize().into()
}

/// Finds the last commit frame that only whole frames precede: where it ends, what it says, and whether
/// anything up to it concerns the vault.
fn find_commits(path: &Path, file: &File) -> Result<(Position, Option<Commit>, bool)> {
    let length = file.metadata().at(path, "read the file")?.len();
    let file = file.try_clone().at(path, "read the file")?;
    let mut frames = Frames::new(path, file, length);
    let (mut committed, mut last, mut private) = (Position::default(), None, false);
    let mut pending_private = false;
    // The first broken frame is where the crash was: nothing behind it can have been committed.
    while let Some(frame) = frames.read()? {
        match frame {
            Frame::Batch(batch) => pending_private |= batch.private,
            Frame::Commit(commit) => {
                (committed, last) = (frames.position, Some(commit));
                private |= std::mem::take(&mut pending_private);
            }
        }
    }
    Ok((committed, last, private))
}

/// A frame as it was read.
#[derive(Debug)]
pub(crate) enum Frame {
    Batch(Batch),
    Commit(Commit),
}

/// Reads frames one after the other.
pub(crate) struct Frames<'a> {
    path: &'a Path,
    file: BufReader<File>,
    position: Position,
    end: u64,
}

impl<'a> Frames<'a> {
    fn new(path: &'a Path, file: File, end: u64) -> Self {
        Self {
            path,
            file: BufReader::with_capacity(1 << 16, file),
            position: Position::default(),
            end,
        }
    }

    /// The next whole frame; `None` at the end, or where a frame is broken off.
    fn read(&mut self) -> Result<Option<Frame>> {
        let left = self.end - self.position.offset;
        if left < (HEADER + DIGEST) as u64 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.fill(&mut header)?;
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        // A length that is not there must not be allocated.
        if u64::from(length) > left - (HEADER + DIGEST) as u64 {
            return Ok(None);
        }
        let mut frame = vec![0; HEADER + length as usize + DIGEST];
        frame[..HEADER].copy_from_slice(&header);
        self.fill(&mut frame[HEADER..])?;
        let (frame, digest) = frame.split_at(HEADER + length as usize);
        let expected = chain(&self.position.digest, frame);
        if expected != digest {
            return Ok(None);
        }
        let payload = &frame[HEADER..];
        let parsed = match header[0] {
            BATCH => Batch::from_payload(payload).map(Frame::Batch),
            COMMIT => Commit::from_bytes(payload).map(Frame::Commit),
            _ => None,
        };
        let parsed = parsed.ok_or_else(|| {
            Error::damaged(self.path, "written by a later version of this program")
        })?;
        self.position = Position {
            offset: self.position.offset + (frame.len() + DIGEST) as u64,
            digest: expected,
        };
        Ok(Some(parsed))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact(buffer).at(self.path, "read the file")
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read() {
            Ok(None) if self.position.offset < self.end => {
                let why = "it has changed while it was read; is another program writing to it?";
                self.end = self.position.offset;
                Some(Err(Error::damaged(self.path, why)))
            }
            result => result.transpose(),
        }
    }
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The log's size with it.
    pub size: u64,
    /// How many subjects the vault has with it.
    pub subjects: u32,
}

impl Commit {
    fn to_bytes(self) -> Vec<u8> {
        [self.size.to_be_bytes().as_slice(), &self.subjects.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let subjects = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self { size: u64::from_be_bytes(*size), subjects })
    }
}

/// Some events of a transaction, with what belongs to them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The index of its first event.
    pub first: u64,
    count: u32,
    /// For each event: `length (2) ‖ length (4) ‖ event ‖ sealed record`, the record maybe empty.
    items: Vec<u8>,
    /// For each: `slot (4) ‖ run (16) ‖ length (2) ‖ sealed`.
    pseudonyms: Vec<u8>,
    private: bool,
}

/// One event of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub entry: &'a [u8],
    /// The sealed private record; empty where the event has no private fields.
    pub record: &'a [u8],
}

/// The pseudonym of a subject in a run, sealed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SealedPseudonym<'a> {
    pub slot: u32,
    pub run: [u8; 16],
    pub sealed: &'a [u8],
}

impl Batch {
    /// A batch whose first event will have this index.
    pub fn new(first: u64) -> Self {
        Self { first, count: 0, items: Vec::new(), pseudonyms: Vec::new(), private: false }
    }

    /// The number of events.
    pub fn count(&self) -> u64 {
        self.count.into()
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.items.len() + self.pseudonyms.len()
    }

    /// Adds an event of at most 65,535 bytes, as [`trail::Event::encode`] makes them.
    pub fn push(&mut self, entry: &[u8], record: &[u8]) {
        self.items.extend((entry.len() as u16).to_be_bytes());
        self.items.extend((record.len() as u32).to_be_bytes());
        self.items.extend(entry);
        self.items.extend(record);
        self.count += 1;
        self.private |= !record.is_empty();
    }

    /// Adds a pseudonym that the events use for the first time.
    pub fn push_pseudonym(&mut self, slot: u32, run: &[u8; 16], sealed: &[u8]) {
        self.pseudonyms.extend(slot.to_be_bytes());
        self.pseudonyms.extend(run);
        self.pseudonyms.extend((sealed.len() as u16).to_be_bytes());
        self.pseudonyms.extend(sealed);
        self.private = true;
    }

    /// The events.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let mut rest = self.items.as_slice();
        std::iter::from_fn(move || take_item(&mut rest))
    }

    /// The pseudonyms.
    pub fn pseudonyms(&self) -> impl Iterator<Item = SealedPseudonym<'_>> {
        let mut rest = self.pseudonyms.as_slice();
        std::iter::from_fn(move || take_pseudonym(&mut rest))
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.len() + 16);
        payload.extend(self.first.to_be_bytes());
        payload.extend(self.count.to_be_bytes());
        payload.extend((self.pseudonyms.len() as u32).to_be_bytes());
        payload.extend(&self.pseudonyms);
        payload.extend(&self.items);
        payload
    }

    fn from_payload(payload: &[u8]) -> Option<Self> {
        let (first, rest) = payload.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (pseudonyms, items) =
            rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
        let mut batch = Self {
            first: u64::from_be_bytes(*first),
            count: u32::from_be_bytes(*count),
            items: items.to_vec(),
            pseudonyms: pseudonyms.to_vec(),
            private: false,
        };
        let (mut items, mut pseudonyms) = (items, pseudonyms);
        let mut private = !pseudonyms.is_empty();
        for _ in 0..batch.count {
            private |= !take_item(&mut items)?.record.is_empty();
        }
        while take_pseudonym(&mut pseudonyms).is_some() {}
        batch.private = private;
        (items.is_empty() && pseudonyms.is_empty()).then_some(batch)
    }
}

fn take_item<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let (entry, after) = rest.split_first_chunk()?;
    let (record, after) = after.split_first_chunk()?;
    let (entry, after) = after.split_at_checked(u16::from_be_bytes(*entry).into())?;
    let (record, after) = after.split_at_checked(u32::from_be_bytes(*record).try_into().ok()?)?;
    *rest = after;
    Some(Item { entry, record })
}

fn take_pseudonym<'a>(rest: &mut &'a [u8]) -> Option<SealedPseudonym<'a>> {
    let (slot, after) = rest.split_first_chunk()?;
    let (run, after) = after.split_first_chunk()?;
    let (length, after) = after.split_first_chunk()?;
    let (sealed, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = after;
    Some(SealedPseudonym { slot: u32::from_be_bytes(*slot), run: *run, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn new_wal() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wal");
        fs::write(&path, b"").unwrap();
        (dir, path)
    }

    fn open(path: &Path) -> Wal {
        Wal::open(&Disk::default(), path).unwrap()
    }

    fn batch(first: u64, entries: &[(&[u8], &[u8])]) -> Batch {
        let mut batch = Batch::new(first);
        entries.iter().for_each(|(entry, record)| batch.push(entry, record));
        batch
    }

    fn entries(wal: &Wal) -> Vec<Vec<u8>> {
        let mut entries = Vec::new();
        for frame in wal.frames().unwrap() {
            if let Frame::Batch(batch) = frame.unwrap() {
                entries.extend(batch.items().map(|item| item.entry.to_vec()));
            }
        }
        entries
    }

    #[test]
    fn only_committed_transactions_are_found_again() {
        let (_dir, path) = new_wal();
        let mut wal = open(&path);
        wal.append(&batch(0, &[(b"one", b"record"), (b"two", b"")])).unwrap();
        wal.commit(Commit { size: 2, subjects: 1 }).unwrap();
        assert!(wal.holds_private());
        wal.append(&batch(2, &[(b"three", b"")])).unwrap();
        drop(wal);
        let mut wal = open(&path);
        assert!(wal.holds_private());
        assert_eq!(entries(&wal), [b"one", b"two"]);
        wal.append(&batch(2, &[(b"four", b"")])).unwrap();
        wal.rollback().unwrap();
        wal.append(&batch(2, &[(b"five", b"")])).unwrap();
        wal.commit(Commit { size: 3, subjects: 1 }).unwrap();
        assert_eq!(entries(&open(&path)), [b"one".as_slice(), b"two", b"five"]);
        wal.clear().unwrap();
        assert!(wal.last_commit().is_none() && open(&path).last_commit().is_none());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn events_without_private_fields_leave_the_vault_alone() {
        let (_dir, path) = new_wal();
        let mut wal = open(&path);
        wal.append(&batch(0, &[(b"one", b"")])).unwrap();
        wal.commit(Commit { size: 1, subjects: 0 }).unwrap();
        assert!(!wal.holds_private() && !open(&path).holds_private());
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Wal::open(&Disk::default(), &dir.path().join("wal")).unwrap_err();
        assert!(matches!(error, Error::Missing(path) if path.ends_with("wal")));
    }

    #[test]
    fn broken_off_or_changed_anywhere_it_gives_whole_transactions_only() {
        let (_dir, path) = new_wal();
        let mut wal = open(&path);
        for i in 0..3u8 {
            wal.append(&batch(i.into(), &[(&[i], b"record")])).unwrap();
            wal.commit(Commit { size: u64::from(i) + 1, subjects: 0 }).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let found = entries(&open(&path));
            assert_eq!(found, (0..found.len() as u8).map(|i| vec![i]).collect::<Vec<_>>());
            assert_eq!(found.len(), 3 * length / whole.len());
        }
        for position in 0..whole.len() {
            let mut changed = whole.clone();
            changed[position] ^= 0x40;
            fs::write(&path, &changed).unwrap();
            assert_eq!(entries(&open(&path)).len(), 3 * position / whole.len());
        }
    }

    proptest! {
        #[test]
        fn batches_survive_the_round_trip(
            first: u64,
            items in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            pseudonyms in prop::collection::vec((any::<u32>(), any::<[u8; 16]>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        ) {
            let mut batch = Batch::new(first);
            items.iter().for_each(|(entry, record)| batch.push(entry, record));
            pseudonyms.iter().for_each(|(slot, run, sealed)| batch.push_pseudonym(*slot, run, sealed));
            let read = Batch::from_payload(&batch.payload()).unwrap();
            prop_assert_eq!(&read, &batch);
            prop_assert_eq!(read.items().count() as u64, read.count());
            prop_assert_eq!(read.pseudonyms().count(), pseudonyms.len());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_dir, path) = new_wal();
            fs::write(&path, &bytes).unwrap();
            prop_assert!(open(&path).last_commit().is_none());
            let _ = Batch::from_payload(&bytes);
        }
    }
}
