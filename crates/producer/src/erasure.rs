//! Erasure: private content goes for good, and the log says that some went.
//!
//! What is erased is what opens the commitments. Those stay in the log, as does every proof over them; without
//! the random blinding values they say nothing about what was committed to (`transparency/commitment.md`).
//!
//! Each step is durable before the next:
//!
//! 1. `private/vault.next` is the vault without what goes, and what stays of the people it concerns in part is
//!    sealed there under new keys (see `pruning`), which stand in new slots of `private/subjects`;
//! 2. `private/erasure.json` says so: which slots are to be destroyed, by number. It names no person, and the
//!    numbers lead to none once their slots are zeros;
//! 3. `private/vault.next` takes the vault's place;
//! 4. the keys are destroyed: overwritten where they are, with what tells whose they were;
//! 5. whether anything opens is tried;
//! 6. the `erasure` events are committed;
//! 7. `private/erasure.json` goes.
//!
//! A process that dies in step 1 has changed nothing: the next start removes what it left. From step 2 on the next
//! start, by whichever command, finishes the rest. Of destruction and event, destruction comes first: an event
//! can never be taken back, so it must say only what has been done and tried; and what a person has a right to
//! must not wait for a signature, a sync or room in the log. What an event would protect against, a destruction of
//! which the log knows nothing, `private/erasure.json` does: no other command gets at the log before it is finished.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trail::{EventType, Hash};

use crate::audit::Audit;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::pruning::{Events, Move, Plan, Pruned, Sample};
use crate::rotation::{read_json, write_json};
use crate::seal::Key;
use crate::subjects::Who;
use crate::vault::split_record;

/// What an erasure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// All that one person gave.
    Annotator,
    /// What was given on one prompt.
    Prompt,
}

impl Scope {
    /// In one word, as in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annotator => "annotator",
            Self::Prompt => "prompt",
        }
    }
}

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// What it was about.
    pub scope: Scope,
    /// How many `erasure` events were logged: one for each person, or one for the prompt.
    pub erasures: u64,
    /// The index of the first of them.
    pub first_index: u64,
    /// The log's size now.
    pub size: u64,
    /// How many private records are gone, one for each annotation.
    pub records: u64,
    /// How many keys were destroyed.
    pub keys_destroyed: u64,
    /// The auditors to whom something of it had been opened, as far as the log says.
    pub disclosed_to: BTreeSet<String>,
    /// How often a key that is left was tried on what was sealed under a destroyed one. None opened it.
    pub keys_tried: u64,
}

/// An erasure that is to be finished.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    v: u32,
    scope: Scope,
    /// How many events say so.
    erasures: u64,
    /// The log's size before.
    first: u64,
    /// The slots of the keys that go.
    slots: BTreeSet<u32>,
}

impl Audit {
    /// Erases all that these people gave: nobody can open it any more, or tell which pseudonyms were theirs. Who
    /// annotates again afterwards has a new key and a new pseudonym.
    ///
    /// It takes as much free space as the vault does.
    ///
    /// # Errors
    /// One of them is unknown, or a file cannot be read or written. Then nothing was erased, unless a later call on
    /// this writer says [`Error::Stopped`]: then the next start finishes it.
    pub fn erase_annotators(&mut self, ids: &[String]) -> Result<Erased> {
        self.may_write()?;
        let unknown = || Error::UnknownAnnotator(self.root().to_owned());
        let slots = ids.iter().map(|id| self.vault.subjects.find(Who::Id(id)).ok_or_else(unknown));
        let plan = Plan { forgotten: slots.collect::<Result<_>>()?, ..Plan::default() };
        if plan.forgotten.is_empty() {
            return Err(unknown());
        }
        let erasures = plan.forgotten.len() as u64;
        self.erase(plan, Scope::Annotator, erasures)
    }

    /// Erases what was given on a prompt, whoever gave it: of each such annotation prompt, responses, rating or
    /// preference, and who made it. `prompt` is the SHA-256 of the prompt's text in UTF-8, as it was logged.
    ///
    /// It opens every record, and seals anew what else the same people gave, so that their old keys can be
    /// destroyed. An annotation without a prompt of its own is not found.
    ///
    /// # Errors
    /// There is no such prompt, or those of [`Audit::erase_annotators`].
    pub fn erase_prompt(&mut self, prompt: &Hash) -> Result<Erased> {
        self.may_write()?;
        let (records, whose) = self.records_with(prompt)?;
        let mut plan = Plan { records, ..Plan::default() };
        for (slot, old) in whose {
            let renewed = self.vault.subjects.renew(slot);
            let (new_slot, new) = renewed.inspect_err(|_| self.abandon())?;
            plan.moved.insert(slot, Move { old, slot: new_slot, new });
        }
        self.erase(plan, Scope::Prompt, 1)
    }

    /// The records on a prompt, and the keys that they are under, by slot.
    fn records_with(&self, prompt: &Hash) -> Result<(BTreeSet<u64>, BTreeMap<u32, Key>)> {
        let (mut found, mut whose) = (BTreeSet::new(), BTreeMap::new());
        let (reader, vault) = (self.reader(), &self.vault);
        let mut events = Events::of(&reader);
        vault.each_record(|index, record| {
            let openings = vault.open_record(index, record, &events.at(index)?)?;
            let on_prompt = openings.iter().any(|opening| {
                let text = opening.content.as_text().filter(|_| opening.field == "prompt");
                text.is_some_and(|text| Sha256::digest(text).as_slice() == prompt)
            });
            if let (true, Some((slot, _))) = (on_prompt, split_record(record)) {
                found.insert(index);
                whose.extend(vault.subjects.key(slot)?.map(|key| (slot, key)));
            }
            Ok(())
        })?;
        if found.is_empty() {
            return Err(Error::UnknownPrompt(self.root().to_owned()));
        }
        Ok((found, whose))
    }

    fn erase(&mut self, plan: Plan, scope: Scope, erasures: u64) -> Result<Erased> {
        let synced = self.vault.subjects.sync();
        let pruned =
            synced.and_then(|_| self.vault.prune(&self.disk, &self.folder, &plan, &self.reader()));
        let prepared = pruned.and_then(|pruned| Ok((self.auditors_of(&pruned.records)?, pruned)));
        let (disclosed_to, pruned) = prepared.inspect_err(|_| self.abandon())?;
        let intent = Intent { v: 1, scope, erasures, first: self.size(), slots: plan.retired() };
        // Copies of the keys that are to be destroyed.
        drop(plan);
        self.known.clear();
        self.carry_out(&intent, pruned, disclosed_to).map_err(|source| {
            // Nothing else may be done before this is.
            self.stopped = true;
            Error::ErasureUnfinished { source: Box::new(source) }
        })
    }

    /// From here on there is no way back.
    fn carry_out(
        &mut self,
        intent: &Intent,
        pruned: Pruned,
        disclosed_to: BTreeSet<String>,
    ) -> Result<Erased> {
        write_json(&self.disk, &self.folder.erasure_intent(), intent)?;
        put_in_place(&self.disk, &self.folder)?;
        self.vault.database = pruned.database;
        self.vault.subjects.keep();
        let keys_tried = self.destroy_and_try(&intent.slots, &pruned.samples)?;
        let first_index = self.log_erasures(intent)?;
        Ok(Erased {
            scope: intent.scope,
            erasures: intent.erasures,
            first_index,
            size: self.size(),
            records: pruned.records.len() as u64,
            keys_destroyed: intent.slots.len() as u64,
            disclosed_to,
            keys_tried,
        })
    }

    /// What is left of an earlier error is for the next start to settle.
    fn may_write(&self) -> Result<()> {
        if self.stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Takes back what was prepared.
    fn abandon(&mut self) {
        let removed = self.disk.remove(&self.folder.next_vault());
        let result = removed.and_then(|()| self.vault.subjects.rollback());
        // The next start takes it back as well.
        self.stopped = result.is_err();
    }

    /// Destroys keys, and tries whether anything that was sealed under them can still be opened. Gives how often
    /// a key was tried.
    fn destroy_and_try(
        &mut self,
        slots: &BTreeSet<u32>,
        samples: &BTreeMap<u32, Sample>,
    ) -> Result<u64> {
        self.vault.subjects.destroy(slots.iter().copied())?;
        let survives = |what: &str| {
            let why = format!("{what} survived its erasure; open the log again to finish it");
            Error::damaged(&self.folder.private(), why)
        };
        for slot in slots {
            if self.vault.subjects.key(*slot)?.is_some() {
                return Err(survives("a key"));
            }
        }
        self.vault.each_record(|_, record| match split_record(record) {
            Some((slot, _)) if slots.contains(&slot) => Err(survives("a private record")),
            _ => Ok(()),
        })?;
        self.vault.each_pseudonym(|slot, _, _| {
            if slots.contains(&slot) { Err(survives("a pseudonym")) } else { Ok(()) }
        })?;
        let mut tried = 0;
        for key in self.vault.subjects.left() {
            let key = key?;
            if samples.values().any(|sample| key.open(&sample.context, &sample.sealed).is_some()) {
                return Err(survives("what opens a private record"));
            }
            tried += samples.len() as u64;
        }
        Ok(tried)
    }

    /// Logs that it was done, once, and forgets that it was to be done. Gives the first event's index.
    fn log_erasures(&mut self, intent: &Intent) -> Result<u64> {
        let first = match self.logged_erasure(intent.first)? {
            Some(index) => index,
            None => {
                let mut transaction = self.begin()?;
                for _ in 0..intent.erasures {
                    transaction.erasure(intent.scope)?;
                }
                transaction.commit()?.first_index
            }
        };
        self.disk.remove(&self.folder.erasure_intent())?;
        self.disk.sync_folder(&self.folder.private())?;
        Ok(first)
    }

    /// The first erasure from an index on. While one is to be finished, no other is begun.
    fn logged_erasure(&self, first: u64) -> Result<Option<u64>> {
        for index in first..self.size() {
            if self.event(index)?.kind == EventType::Erasure {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Finishes an erasure that an earlier process has begun.
    pub(crate) fn settle_erasure(&mut self) -> Result<()> {
        let Some(intent) = read_json::<Intent>(&self.folder.erasure_intent())? else {
            return Ok(());
        };
        self.destroy_and_try(&intent.slots, &BTreeMap::new())?;
        self.log_erasures(&intent).map(drop)
    }
}

/// Before the vault is opened: goes on with an erasure that an earlier process has begun, or takes back what it
/// had prepared for one.
pub(crate) fn take_up(disk: &Disk, folder: &Folder) -> Result<()> {
    let prepared = folder.next_vault().exists();
    if folder.erasure_intent().exists() {
        // The process may have died before it came to syncing these names, and keys are destroyed on the strength
        // of them.
        disk.sync_folder(&folder.private())?;
        return if prepared { put_in_place(disk, folder) } else { Ok(()) };
    }
    if prepared { disk.remove(&folder.next_vault()) } else { Ok(()) }
}

/// The vault without what goes takes the vault's place.
fn put_in_place(disk: &Disk, folder: &Folder) -> Result<()> {
    disk.rename(&folder.next_vault(), &folder.vault())?;
    disk.sync_folder(&folder.private())
}
