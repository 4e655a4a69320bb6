//! The keys of the people whose feedback is logged, one for each.
//!
//! Destroying such a key is how a person's content is erased, so keys are kept where they can be
//! overwritten: in a file of fixed slots, never in the database, whose copy-on-write pages would keep
//! old versions, and never in the write-ahead log. A slot is
//! `HMAC-SHA256(index key, who) (32) ‖ subject key sealed under the wrapping key (72)`; zeros where a key
//! was destroyed. Index key and wrapping key come from the vault's master key.
//!
//! New slots are synced before the commit of the first events that use them. Slots beyond the number in
//! the last commit belong to a transaction that never happened; they are cut off. A slot of zeros is never
//! used again: a person who comes back gets a new one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use trail::RunId;
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::error::{Error, IoContext as _, Result};
use crate::keys::random;
use crate::seal::{KEY_LEN, Key, OVERHEAD};

const INDEX_LEN: usize = 32;
const SEALED_LEN: usize = KEY_LEN + OVERHEAD;
const SLOT_LEN: usize = INDEX_LEN + SEALED_LEN;

/// Whose feedback it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who<'a> {
    /// The person with this id, in all runs.
    Id(&'a str),
    /// Nobody said; one subject for each run.
    Unnamed(&'a RunId),
}

/// The subjects' keys.
#[derive(Debug)]
pub(crate) struct Subjects {
    disk: Disk,
    path: PathBuf,
    file: File,
    index_key: Key,
    wrapping_key: Key,
    slots: HashMap<[u8; INDEX_LEN], u32>,
    /// Slots in the file, and in `pending`.
    count: u32,
    /// Those among them that a commit relies on.
    committed: u32,
    /// New slots that are not in the file yet.
    pending: Vec<u8>,
}

impl Subjects {
    /// Opens the file. `committed` is the number of slots known to the last commit.
    pub fn open(disk: &Disk, path: &Path, master: &Key, committed: u32) -> Result<Self> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing(path.to_owned()));
            }
            opened => opened.at(path, "open the file")?,
        };
        if file.metadata().at(path, "read the file")?.len() < offset(committed) {
            let why =
                "subjects' keys are missing at its end; restore the whole folder from a backup";
            return Err(Error::damaged(path, why));
        }
        let mut subjects = Self {
            disk: disk.clone(),
            path: path.to_owned(),
            file,
            index_key: master.derive("rlhf-audit-trail/vault/subject-index/v1"),
            wrapping_key: master.derive("rlhf-audit-trail/vault/subject-key/v1"),
            slots: HashMap::new(),
            count: committed,
            committed,
            pending: Vec::new(),
        };
        subjects.rollback()?;
        subjects.read_slots()?;
        Ok(subjects)
    }

    fn read_slots(&mut self) -> Result<()> {
        // A handle of its own, because clones share a position.
        let file = File::open(&self.path).at(&self.path, "open the file")?;
        let mut reader = BufReader::new(file);
        self.slots.clear();
        for slot in 0..self.count {
            let mut bytes = [0; SLOT_LEN];
            reader.read_exact(&mut bytes).at(&self.path, "read the file")?;
            let (index, _) = bytes.split_first_chunk().unwrap_or((&[0; INDEX_LEN], &[]));
            if *index != [0; INDEX_LEN] {
                // Of a subject on its way from one slot to another, the later one counts.
                self.slots.insert(*index, slot);
            }
        }
        Ok(())
    }

    /// The slot and key of a subject, new if there is none.
    pub fn find_or_create(&mut self, who: Who<'_>) -> Result<(u32, Key)> {
        let index = self.index(who);
        if let Some(&slot) = self.slots.get(&index) {
            return match self.key(slot)? {
                Some(key) => Ok((slot, key)),
                None => Err(self.broken(slot)),
            };
        }
        let (slot, key) = self.create(&index)?;
        self.slots.insert(index, slot);
        Ok((slot, key))
    }

    /// The slot of a subject that has one.
    pub fn find(&self, who: Who<'_>) -> Option<u32> {
        self.slots.get(&self.index(who)).copied()
    }

    /// A new slot, with a new key, for the subject in this one, which it leaves once that is destroyed.
    pub fn renew(&mut self, slot: u32) -> Result<(u32, Key)> {
        let (index, _) = self.read(slot)?;
        self.create(&index)
    }

    fn create(&mut self, index: &[u8; INDEX_LEN]) -> Result<(u32, Key)> {
        let slot = self.count;
        let key = Key::new(Zeroizing::new(random()?));
        let sealed = self.wrapping_key.seal(&random()?, &context(slot, index), key.as_bytes());
        self.pending.extend(index);
        self.pending.extend(sealed);
        self.count = slot.checked_add(1).ok_or(Error::Full)?;
        Ok((slot, key))
    }

    /// Destroys keys for good: their slots, with what tells whose they are, are overwritten with zeros.
    pub fn destroy(&mut self, slots: impl IntoIterator<Item = u32>) -> Result<()> {
        for slot in slots {
            self.disk.write_at(&self.file, &self.path, offset(slot), &[0; SLOT_LEN])?;
        }
        self.disk.sync(&self.file, &self.path)?;
        self.read_slots()
    }

    /// How many slots there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The keys that are left.
    pub fn left(&self) -> impl Iterator<Item = Result<Key>> {
        (0..self.count).filter_map(|slot| self.key(slot).transpose())
    }

    /// A number by which a subject is found, and which only who has the index key can compute.
    fn index(&self, who: Who<'_>) -> [u8; INDEX_LEN] {
        match who {
            Who::Id(id) => self.index_key.mac(&[&[1], id.as_bytes()]),
            Who::Unnamed(run) => self.index_key.mac(&[&[0], run.as_bytes()]),
        }
    }

    /// The key in a slot; `None` where it was destroyed.
    pub fn key(&self, slot: u32) -> Result<Option<Key>> {
        let (index, sealed) = self.read(slot)?;
        if index == [0; INDEX_LEN] && sealed == [0; SEALED_LEN] {
            return Ok(None);
        }
        let key = self.wrapping_key.open(&context(slot, &index), &sealed);
        key.and_then(|key| Key::from_slice(&key)).map(Some).ok_or_else(|| self.broken(slot))
    }

    /// What is in a slot: the index and the sealed key.
    fn read(&self, slot: u32) -> Result<([u8; INDEX_LEN], [u8; SEALED_LEN])> {
        let mut bytes = [0; SLOT_LEN];
        let in_file = self.in_file();
        if slot < in_file {
            self.file.read_exact_at(&mut bytes, offset(slot)).at(&self.path, "read the file")?;
        } else {
            let start = (slot - in_file) as usize * SLOT_LEN;
            match self.pending.get(start..start + SLOT_LEN) {
                Some(slot) => bytes.copy_from_slice(slot),
                None => return Err(self.broken(slot)),
            }
        }
        let (mut index, mut sealed) = ([0; INDEX_LEN], [0; SEALED_LEN]);
        index.copy_from_slice(&bytes[..INDEX_LEN]);
        sealed.copy_from_slice(&bytes[INDEX_LEN..]);
        Ok((index, sealed))
    }

    /// Makes new slots durable, before the commit that relies on them, and says how many there are.
    pub fn sync(&mut self) -> Result<u32> {
        if !self.pending.is_empty() {
            self.disk.write_at(&self.file, &self.path, offset(self.in_file()), &self.pending)?;
            self.pending.clear();
            self.disk.sync(&self.file, &self.path)?;
        }
        Ok(self.count)
    }

    /// Keeps what was synced: a commit relies on it.
    pub fn keep(&mut self) {
        self.committed = self.count;
    }

    /// Cuts off the slots of a transaction that did not happen.
    pub fn rollback(&mut self) -> Result<()> {
        let committed = self.committed;
        self.pending.clear();
        self.slots.retain(|_, slot| *slot < committed);
        self.count = committed;
        if self.file.metadata().at(&self.path, "read the file")?.len() > offset(committed) {
            self.disk.set_len(&self.file, &self.path, offset(committed))?;
        }
        Ok(())
    }

    /// The slots that are in the file.
    fn in_file(&self) -> u32 {
        self.count - (self.pending.len() / SLOT_LEN) as u32
    }

    fn broken(&self, slot: u32) -> Error {
        let why = format!("the key in slot {slot} does not open under private/vault.key");
        Error::damaged(&self.path, why)
    }
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT_LEN as u64
}

/// What a sealed key is bound to: a slot moved elsewhere does not open.
fn context(slot: u32, index: &[u8]) -> Vec<u8> {
    [&slot.to_be_bytes(), index].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn master() -> Key {
        Key::new(Zeroizing::new([3; KEY_LEN]))
    }

    fn open(path: &Path, committed: u32) -> Result<Subjects> {
        Subjects::open(&Disk::default(), path, &master(), committed)
    }

    #[test]
    fn keys_are_found_again_and_uncommitted_ones_are_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subjects");
        fs::write(&path, b"").unwrap();
        let mut subjects = open(&path, 0).unwrap();
        let (slot, key) = subjects.find_or_create(Who::Id("ann")).unwrap();
        assert_eq!(subjects.find_or_create(Who::Id("ann")).unwrap().1.as_bytes(), key.as_bytes());
        subjects.sync().unwrap();
        let (_, other) = subjects.find_or_create(Who::Id("bob")).unwrap();
        assert_ne!(other.as_bytes(), key.as_bytes());
        subjects.sync().unwrap();
        let mut subjects = open(&path, 1).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), SLOT_LEN as u64);
        let found = subjects.find_or_create(Who::Id("ann")).unwrap();
        assert_eq!((found.0, found.1.as_bytes()), (slot, key.as_bytes()));
        let (slot, again) = subjects.find_or_create(Who::Id("bob")).unwrap();
        assert_eq!(slot, 1);
        assert_ne!(again.as_bytes(), other.as_bytes());
    }

    #[test]
    fn destroyed_moved_and_missing_keys_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subjects");
        fs::write(&path, b"").unwrap();
        let mut subjects = open(&path, 0).unwrap();
        subjects.find_or_create(Who::Id("ann")).unwrap();
        subjects.find_or_create(Who::Id("bob")).unwrap();
        subjects.sync().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes.rotate_left(SLOT_LEN);
        fs::write(&path, &bytes).unwrap();
        assert!(open(&path, 2).unwrap().key(0).is_err());
        bytes[..SLOT_LEN].fill(0);
        fs::write(&path, &bytes).unwrap();
        assert!(open(&path, 2).unwrap().key(0).unwrap().is_none());
        assert!(open(&path, 3).is_err());
    }

    #[test]
    fn a_destroyed_key_leaves_zeros_and_who_comes_back_gets_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subjects");
        fs::write(&path, b"").unwrap();
        let mut subjects = open(&path, 0).unwrap();
        let (ann, key) = subjects.find_or_create(Who::Id("ann")).unwrap();
        let (bob, bobs) = subjects.find_or_create(Who::Id("bob")).unwrap();
        subjects.sync().unwrap();
        subjects.keep();
        subjects.destroy([ann]).unwrap();
        assert_eq!(fs::read(&path).unwrap()[..SLOT_LEN], [0; SLOT_LEN]);
        assert!(subjects.key(ann).unwrap().is_none() && subjects.find(Who::Id("ann")).is_none());
        assert_eq!(subjects.left().map(Result::unwrap).count(), 1);
        assert_eq!(subjects.find_or_create(Who::Id("bob")).unwrap().1.as_bytes(), bobs.as_bytes());
        let (back, other) = subjects.find_or_create(Who::Id("ann")).unwrap();
        assert!(back > bob && other.as_bytes() != key.as_bytes());
        assert!(open(&path, 2).unwrap().find(Who::Id("ann")).is_none());
    }

    #[test]
    fn who_moves_to_another_slot_is_found_there_once_the_old_one_is_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subjects");
        fs::write(&path, b"").unwrap();
        let mut subjects = open(&path, 0).unwrap();
        let (old, key) = subjects.find_or_create(Who::Id("ann")).unwrap();
        subjects.sync().unwrap();
        subjects.keep();
        subjects.renew(old).unwrap();
        subjects.rollback().unwrap();
        assert_eq!(subjects.find_or_create(Who::Id("ann")).unwrap().1.as_bytes(), key.as_bytes());
        let (new, renewed) = subjects.renew(old).unwrap();
        subjects.sync().unwrap();
        subjects.keep();
        subjects.destroy([old]).unwrap();
        let found = subjects.find_or_create(Who::Id("ann")).unwrap();
        assert_eq!((found.0, found.1.as_bytes()), (new, renewed.as_bytes()));
        assert_ne!(key.as_bytes(), renewed.as_bytes());
    }
}
