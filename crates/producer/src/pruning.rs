//! The vault without what is to be erased: a new database, which then takes the place of the old one.
//!
//! What is removed from a database stays in its free pages until they are written over. A copy holds only what
//! was put into it, so nothing of an erased person is left in the file, not even which records were one person's.
//!
//! Where only some records of a subject go, copies of them elsewhere would still open under the subject's key:
//! what stays is sealed again under a new one, so that the old one can be destroyed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use redb::{Database, ReadableDatabase as _, ReadableTable as _};
use trail::Event;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::keys::random;
use crate::reader::{Entries, LogReader};
use crate::seal::Key;
use crate::vault::{self, PSEUDONYMS, Pseudonyms, RECORDS, Records, Vault, failed, vault_error};

/// What goes, and what moves.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The subjects of whom nothing stays, by slot.
    pub forgotten: BTreeSet<u32>,
    /// Records that go while others of their subject stay, by index.
    pub records: BTreeSet<u64>,
    /// The subjects of those records, by the slot that they leave.
    pub moved: BTreeMap<u32, Move>,
}

/// Where a subject moves.
#[derive(Debug)]
pub(crate) struct Move {
    pub old: Key,
    pub slot: u32,
    pub new: Key,
}

impl Plan {
    /// The slots whose keys are to be destroyed.
    pub fn retired(&self) -> BTreeSet<u32> {
        self.forgotten.iter().chain(self.moved.keys()).copied().collect()
    }
}

/// The database without what goes, and what went.
pub(crate) struct Pruned {
    pub database: Database,
    /// The entries whose records went.
    pub records: Vec<u64>,
    /// Of what went, one piece under each key that is to be destroyed: to try whether anything opens it.
    pub samples: BTreeMap<u32, Sample>,
}

/// A sealed piece, and what it is bound to.
pub(crate) struct Sample {
    pub context: Vec<u8>,
    pub sealed: Vec<u8>,
}

impl Vault {
    /// Writes the database without what goes, beside this one.
    pub fn prune(
        &self,
        disk: &Disk,
        folder: &Folder,
        plan: &Plan,
        log: &LogReader,
    ) -> Result<Pruned> {
        let path = folder.next_vault();
        disk.remove(&path)?;
        let (mut gone, mut samples) = (Vec::new(), BTreeMap::new());
        let fill = |records: &mut Records<'_>, pseudonyms: &mut Pseudonyms<'_>| {
            self.copy_records(plan, log, records, &mut gone, &mut samples)?;
            self.copy_pseudonyms(plan, pseudonyms, &mut samples)
        };
        let database = vault::create_database(disk, &path, self.subjects.count(), fill)?;
        // Before anything relies on it.
        disk.sync_folder(&folder.private())?;
        Ok(Pruned { database, records: gone, samples })
    }

    fn copy_records(
        &self,
        plan: &Plan,
        log: &LogReader,
        to: &mut Records<'_>,
        gone: &mut Vec<u64>,
        samples: &mut BTreeMap<u32, Sample>,
    ) -> Result<()> {
        let mut events = Events::of(log);
        self.each_record(|index, record| {
            let broken = || self.broken(&format!("the record of entry {index}"));
            let (slot, sealed) = vault::split_record(record).ok_or_else(broken)?;
            let moved = plan.moved.get(&slot);
            if plan.forgotten.contains(&slot) || (moved.is_some() && plan.records.contains(&index))
            {
                gone.push(index);
                if let Entry::Vacant(place) = samples.entry(slot) {
                    let event = events.at(index)?;
                    let context = vault::record_context(&event.run, event.seq);
                    place.insert(Sample { context, sealed: sealed.to_vec() });
                }
                return Ok(());
            }
            let Some(Move { old, slot, new }) = moved else {
                to.insert(index, record).map_err(failed(self.path()))?;
                return Ok(());
            };
            let event = events.at(index)?;
            let context = vault::record_context(&event.run, event.seq);
            let opened = old.open(&context, sealed).ok_or_else(broken)?;
            let sealed = new.seal(&random()?, &context, &opened);
            let record = [slot.to_be_bytes().as_slice(), &sealed].concat();
            to.insert(index, record.as_slice()).map_err(failed(self.path()))?;
            Ok(())
        })
    }

    fn copy_pseudonyms(
        &self,
        plan: &Plan,
        to: &mut Pseudonyms<'_>,
        samples: &mut BTreeMap<u32, Sample>,
    ) -> Result<()> {
        self.each_pseudonym(|slot, run, sealed| {
            if plan.forgotten.contains(&slot) {
                let sample = || Sample { context: run.to_vec(), sealed: sealed.to_vec() };
                samples.entry(slot).or_insert_with(sample);
                return Ok(());
            }
            let Some(Move { old, slot: new_slot, new }) = plan.moved.get(&slot) else {
                to.insert((slot, run), sealed).map_err(failed(self.path()))?;
                return Ok(());
            };
            let opened = old.open(&run, sealed);
            let opened = opened.ok_or_else(|| self.broken(&format!("the pseudonym of {slot}")))?;
            let sealed = new.seal(&random()?, &run, &opened);
            to.insert((*new_slot, run), sealed.as_slice()).map_err(failed(self.path()))?;
            Ok(())
        })
    }

    /// Goes through the records in the order of their entries.
    pub fn each_record(&self, mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| vault_error(self.path(), e);
        let read = self.database.begin_read().map_err(|e| failed(&e))?;
        let records = read.open_table(RECORDS).map_err(|e| failed(&e))?;
        for record in records.iter().map_err(|e| failed(&e))? {
            let (index, record) = record.map_err(|e| failed(&e))?;
            each(index.value(), record.value())?;
        }
        Ok(())
    }

    /// Goes through the pseudonyms: the slot of the subject, the run, what is sealed.
    pub fn each_pseudonym(
        &self,
        mut each: impl FnMut(u32, [u8; 16], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| vault_error(self.path(), e);
        let read = self.database.begin_read().map_err(|e| failed(&e))?;
        let pseudonyms = read.open_table(PSEUDONYMS).map_err(|e| failed(&e))?;
        for pseudonym in pseudonyms.iter().map_err(|e| failed(&e))? {
            let (key, sealed) = pseudonym.map_err(|e| failed(&e))?;
            let (slot, run) = key.value();
            each(slot, run, sealed.value())?;
        }
        Ok(())
    }

    fn broken(&self, what: &str) -> Error {
        vault_error(self.path(), &format!("{what} is broken"))
    }
}

/// The events of a log, asked for by rising index: each bundle is read once.
pub(crate) struct Events<'a> {
    log: &'a LogReader,
    entries: Entries<'a>,
    next: u64,
}

/// Over fewer entries than this it is cheaper to read on than to start anew.
const NEAR: u64 = 256;

impl<'a> Events<'a> {
    pub fn of(log: &'a LogReader) -> Self {
        Self { log, entries: log.entries(0..log.size()), next: 0 }
    }

    /// The event at an index, which is not below one asked for before.
    pub fn at(&mut self, index: u64) -> Result<Event> {
        if index.saturating_sub(self.next) >= NEAR {
            (self.entries, self.next) = (self.log.entries(index..self.log.size()), index);
        }
        loop {
            let none = || Error::NoEntry { index, size: self.log.size() };
            let entry = self.entries.next().ok_or_else(none)??;
            self.next += 1;
            if self.next > index {
                return Event::decode(&entry).map_err(|e| self.log.damaged_entry(index, &e));
            }
        }
    }
}
