//! The vault: private content, sealed under its subject's key, in an embedded database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `records` | index in the log | `slot (4) ‖ sealed record`, bound to run ‖ seq |
//! | `pseudonyms` | subject's slot, run | sealed pseudonym and id, bound to the run |
//! | `meta` | `subjects` | number of subjects at the last commit |
//!
//! A record is deterministic CBOR: `{"fields": {name: [r, content]}, "annotator": id}`. Together with
//! the event's commitments it is what an opening is made from.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::{Path, PathBuf};

use ciborium::Value;
use redb::{Database, ReadableDatabase as _, TableDefinition};
use trail::cbor;
use trail::commitment::{BLIND_LEN, Opening};
use trail::{Event, RunId};

use crate::annotation::Annotation;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::keys::random;
use crate::seal::{Key, NONCE_LEN};
use crate::subjects::{Subjects, Who};
use crate::wal::{Frame, Wal};

pub(crate) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
pub(crate) const PSEUDONYMS: TableDefinition<'_, (u32, [u8; 16]), &[u8]> =
    TableDefinition::new("pseudonyms");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SUBJECTS: &str = "subjects";

/// Memory the database may use; the default would be 1 GiB.
const CACHE_BYTES: usize = 64 << 20;

/// The vault's database, and the subjects' keys to read it with.
pub(crate) struct Vault {
    path: PathBuf,
    pub database: Database,
    pub subjects: Subjects,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A pseudonym: random, one for each subject and run, known only to who holds the subject's key.
pub(crate) type Pseudonym = [u8; 16];

impl Vault {
    /// Makes an empty database.
    pub fn create(disk: &Disk, path: &Path) -> Result<()> {
        create_database(disk, path, 0, |_, _| Ok(())).map(drop)
    }

    /// Opens the vault and carries into it what the write-ahead log holds for it.
    pub fn open(
        disk: &Disk,
        path: &Path,
        subjects: &Path,
        master: &Key,
        wal: &Wal,
    ) -> Result<Self> {
        let database = open_database(disk, path, false)?;
        let known = read_subject_count(&database).map_err(failed(path))?;
        // A commit that has not reached the database yet may know more.
        let committed = wal.last_commit().map_or(known, |commit| commit.subjects.max(known));
        let subjects = Subjects::open(disk, subjects, master, committed)?;
        Ok(Self { path: path.to_owned(), database, subjects })
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Carries the private part of all committed frames into the database, durably. Doing it again
    /// writes the same again.
    pub fn absorb(&self, wal: &Wal) -> Result<()> {
        if !wal.holds_private() {
            return Ok(());
        }
        let failed = |e: &dyn fmt::Display| vault_error(&self.path, e);
        let mut transaction = self.database.begin_write().map_err(|e| failed(&e))?;
        // After a kill, open in milliseconds instead of walking the whole database.
        transaction.set_quick_repair(true);
        {
            let mut records = transaction.open_table(RECORDS).map_err(|e| failed(&e))?;
            let mut pseudonyms = transaction.open_table(PSEUDONYMS).map_err(|e| failed(&e))?;
            let mut meta = transaction.open_table(META).map_err(|e| failed(&e))?;
            for frame in wal.frames()? {
                match frame? {
                    Frame::Batch(batch) => {
                        for (item, index) in batch.items().zip(batch.first..) {
                            if !item.record.is_empty() {
                                records.insert(index, item.record).map_err(|e| failed(&e))?;
                            }
                        }
                        for p in batch.pseudonyms() {
                            let key = (p.slot, p.run);
                            pseudonyms.insert(key, p.sealed).map_err(|e| failed(&e))?;
                        }
                    }
                    Frame::Commit(commit) => {
                        let subjects = u64::from(commit.subjects);
                        meta.insert(SUBJECTS, subjects).map_err(|e| failed(&e))?;
                    }
                }
            }
        }
        transaction.commit().map_err(|e| failed(&e))
    }

    /// The subject's slot and the reward of each rating among these events; those that were erased are left out.
    pub fn rewards(
        &self,
        events: impl Iterator<Item = Result<(u64, Event)>>,
    ) -> Result<Vec<(u32, f64)>> {
        let failed = |e: &dyn fmt::Display| vault_error(&self.path, e);
        let read = self.database.begin_read().map_err(|e| failed(&e))?;
        let records = read.open_table(RECORDS).map_err(|e| failed(&e))?;
        let mut keys: HashMap<u32, Option<Key>> = HashMap::new();
        let mut rewards = Vec::new();
        for event in events {
            let (index, event) = event?;
            let Some(record) = records.get(index).map_err(|e| failed(&e))? else { continue };
            let broken =
                || vault_error(&self.path, &format!("the record of entry {index} is broken"));
            let (slot, sealed) = record.value().split_first_chunk().ok_or_else(broken)?;
            let slot = u32::from_be_bytes(*slot);
            let key = match keys.entry(slot) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.subjects.key(slot)?),
            };
            let Some(key) = key else { continue };
            let record = key.open(&record_context(&event.run, event.seq), sealed);
            let record = record.and_then(|record| cbor::decode(&record).ok()).ok_or_else(broken)?;
            let reward =
                cbor::get(&record, "fields").and_then(|fields| cbor::get(fields, "reward"));
            if let Some([_, Value::Float(reward)]) =
                reward.and_then(Value::as_array).map(Vec::as_slice)
            {
                rewards.push((slot, *reward));
            }
        }
        Ok(rewards)
    }

    /// The openings of an event's private fields; empty where it has none or they were erased.
    pub fn openings(&self, index: u64, event: &Event) -> Result<Vec<Opening>> {
        let failed = |e: &dyn fmt::Display| vault_error(&self.path, e);
        let read = self.database.begin_read().map_err(|e| failed(&e))?;
        let records = read.open_table(RECORDS).map_err(|e| failed(&e))?;
        let Some(record) = records.get(index).map_err(|e| failed(&e))? else {
            return Ok(Vec::new());
        };
        self.open_record(index, record.value(), event)
    }

    /// The openings in the record of an event; empty where its key was destroyed.
    pub fn open_record(&self, index: u64, record: &[u8], event: &Event) -> Result<Vec<Opening>> {
        let broken = || vault_error(&self.path, &format!("the record of entry {index} is broken"));
        let Some(record) = self.unseal(index, record, event)? else { return Ok(Vec::new()) };
        let fields = cbor::get(&record, "fields").and_then(Value::as_map).ok_or_else(broken)?;
        fields.iter().map(|(name, field)| opening(name, field).ok_or_else(broken)).collect()
    }

    /// What a record holds; nothing where its key was destroyed.
    fn unseal(&self, index: u64, record: &[u8], event: &Event) -> Result<Option<Value>> {
        let broken = || vault_error(&self.path, &format!("the record of entry {index} is broken"));
        let (slot, sealed) = split_record(record).ok_or_else(broken)?;
        let Some(key) = self.subjects.key(slot)? else { return Ok(None) };
        let record = key.open(&record_context(&event.run, event.seq), sealed).ok_or_else(broken)?;
        cbor::decode(&record).map(Some).map_err(|_| broken())
    }

    /// The annotation that an event was made from, and of a preference the letter of the chosen response; nothing
    /// where it was erased.
    pub fn annotation(
        &self,
        index: u64,
        event: &Event,
    ) -> Result<Option<(Annotation, Option<String>)>> {
        let failed = |e: &dyn fmt::Display| vault_error(&self.path, e);
        let read = self.database.begin_read().map_err(|e| failed(&e))?;
        let records = read.open_table(RECORDS).map_err(|e| failed(&e))?;
        let Some(record) = records.get(index).map_err(|e| failed(&e))? else { return Ok(None) };
        let Some(record) = self.unseal(index, record.value(), event)? else { return Ok(None) };
        let broken = || vault_error(&self.path, &format!("the record of entry {index} is broken"));
        annotation(&record).map(Some).ok_or_else(broken)
    }

    /// The pseudonym that a subject already has in a run.
    pub fn pseudonym(&self, slot: u32, key: &Key, run: &RunId) -> Result<Option<Pseudonym>> {
        let failed = |e: &dyn fmt::Display| vault_error(&self.path, e);
        let read = self.database.begin_read().map_err(|e| failed(&e))?;
        let pseudonyms = read.open_table(PSEUDONYMS).map_err(|e| failed(&e))?;
        let Some(sealed) = pseudonyms.get((slot, *run.as_bytes())).map_err(|e| failed(&e))? else {
            return Ok(None);
        };
        let opened = key.open(run.as_bytes(), sealed.value());
        let value = opened.and_then(|bytes| cbor::decode(&bytes).ok());
        let pseudonym = value.and_then(|value| cbor::as_array(cbor::get(&value, "pseudonym")?));
        let broken =
            || vault_error(&self.path, &format!("the pseudonym of subject {slot} is broken"));
        pseudonym.map(Some).ok_or_else(broken)
    }
}

/// Seals the private fields of one event for [`Vault::absorb`].
pub(crate) fn seal_record(
    subject: (u32, &Key),
    nonce: &[u8; NONCE_LEN],
    (run, seq): (&RunId, u64),
    fields: Vec<Opening>,
    annotator: Option<&str>,
) -> Result<Vec<u8>> {
    let fields = fields.into_iter().map(|opening| {
        let blind = Value::Bytes(opening.blind.to_vec());
        (Value::from(opening.field), Value::Array(vec![blind, opening.content]))
    });
    let mut pairs = vec![("fields", Value::Map(fields.collect()))];
    pairs.extend(annotator.map(|id| ("annotator", Value::from(id))));
    let record = zeroize::Zeroizing::new(encode(&cbor::map(pairs))?);
    let sealed = subject.1.seal(nonce, &record_context(run, seq), &record);
    Ok([subject.0.to_be_bytes().as_slice(), &sealed].concat())
}

/// Seals a new pseudonym under its subject's key, with the id, so that whoever holds the key can tell
/// whose it is.
pub(crate) fn seal_pseudonym(
    key: &Key,
    run: &RunId,
    pseudonym: &Pseudonym,
    who: Who<'_>,
) -> Result<Vec<u8>> {
    let mut pairs = vec![("pseudonym", Value::Bytes(pseudonym.to_vec()))];
    if let Who::Id(id) = who {
        pairs.push(("id", Value::from(id)));
    }
    let message = zeroize::Zeroizing::new(encode(&cbor::map(pairs))?);
    Ok(key.seal(&random()?, run.as_bytes(), &message))
}

fn encode(value: &Value) -> Result<Vec<u8>> {
    Ok(cbor::encode(value).map_err(trail::event::EventError::from)?)
}

/// A record as it is kept: the slot of the key that it is sealed under, and what is sealed.
pub(crate) fn split_record(record: &[u8]) -> Option<(u32, &[u8])> {
    let (slot, sealed) = record.split_first_chunk()?;
    Some((u32::from_be_bytes(*slot), sealed))
}

/// What a sealed record is bound to.
pub(crate) fn record_context(run: &RunId, seq: u64) -> Vec<u8> {
    [run.as_bytes().as_slice(), &seq.to_be_bytes()].concat()
}

/// The annotation in an unsealed record, and the letter of the chosen response of a preference.
fn annotation(record: &Value) -> Option<(Annotation, Option<String>)> {
    let fields = cbor::get(record, "fields")?;
    let content = |name| match cbor::get(fields, name)?.as_array()?.as_slice() {
        [_, content] => Some(content.clone()),
        _ => None,
    };
    let text = |name| content(name).and_then(|content| content.into_text().ok());
    let annotator = cbor::get(record, "annotator").and_then(Value::as_text).map(str::to_owned);
    if let Some(reward) = content("reward") {
        let (prompt, response) = (text("prompt")?, text("response")?);
        let (annotator, reward) = (annotator?, reward.as_float()?);
        return Some((Annotation::Rating { annotator, prompt, response, reward }, None));
    }
    let vote = text("preference")?;
    let (a, b) = (text("response_a")?, text("response_b")?);
    let (chosen, rejected) = if vote == "a" { (a, b) } else { (b, a) };
    let prompt = text("prompt");
    Some((Annotation::Preference { annotator, prompt, chosen, rejected }, Some(vote)))
}

fn opening(name: &Value, field: &Value) -> Option<Opening> {
    let [blind, content] = field.as_array()?.as_slice() else { return None };
    let blind = cbor::as_array::<BLIND_LEN>(blind)?;
    Some(Opening { field: name.as_text()?.to_owned(), blind, content: content.clone() })
}

/// Makes a database that knows of so many subjects, filled by `fill`, durable but for its name.
pub(crate) fn create_database(
    disk: &Disk,
    path: &Path,
    subjects: u32,
    fill: impl FnOnce(&mut Records<'_>, &mut Pseudonyms<'_>) -> Result<()>,
) -> Result<Database> {
    let database = open_database(disk, path, true)?;
    let mut transaction = database.begin_write().map_err(failed(path))?;
    transaction.set_quick_repair(true);
    {
        let mut records = transaction.open_table(RECORDS).map_err(failed(path))?;
        let mut pseudonyms = transaction.open_table(PSEUDONYMS).map_err(failed(path))?;
        let mut meta = transaction.open_table(META).map_err(failed(path))?;
        meta.insert(SUBJECTS, u64::from(subjects)).map_err(failed(path))?;
        fill(&mut records, &mut pseudonyms)?;
    }
    transaction.commit().map_err(failed(path))?;
    Ok(database)
}

/// The table of records, to be written to.
pub(crate) type Records<'t> = redb::Table<'t, u64, &'static [u8]>;

/// The table of pseudonyms, to be written to.
pub(crate) type Pseudonyms<'t> = redb::Table<'t, (u32, [u8; 16]), &'static [u8]>;

fn open_database(disk: &Disk, path: &Path, create: bool) -> Result<Database> {
    if !create && !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    if create {
        drop(disk.create_new(path, &[], crate::disk::PRIVATE)?);
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    #[cfg(test)]
    if disk.faults.is_some() {
        let backend = crate::faults::FaultyBackend::open(disk, path);
        return builder.create_with_backend(backend).map_err(failed(path));
    }
    builder.create(path).map_err(failed(path))
}

fn read_subject_count(database: &Database) -> std::result::Result<u32, redb::Error> {
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let count = meta.get(SUBJECTS)?.map_or(0, |count| count.value());
    Ok(count.try_into().unwrap_or(u32::MAX))
}

pub(crate) fn failed<E: fmt::Display>(path: &Path) -> impl Fn(E) -> Error {
    move |e| vault_error(path, &e)
}

pub(crate) fn vault_error(path: &Path, why: &dyn fmt::Display) -> Error {
    Error::Vault { path: path.to_owned(), why: why.to_string() }
}
