//! The engine: a log that is being written, with its keys and its vault.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ciborium::Value;
use serde::{Deserialize, Serialize};
use trail::commitment::Opening;
use trail::note::{VerifierKey, is_key_name};
use trail::tile::WIDTH;
use trail::{Event, EventType, RunId};
use weight_digest::cpu::Cpu;
use weight_digest::engine::Engine;

use crate::annotation::Subject;
use crate::cosigner::Cosigner;
use crate::disk::{Disk, PRIVATE, PUBLIC, parent};
use crate::erasure;
use crate::error::{Error, IoContext as _, Result};
use crate::folder::{Folder, Lock};
use crate::head::SignedHead;
use crate::keys::{self, Passphrase};
use crate::log::Log;
use crate::privacy::{Ledger, Privacy, PrivacySettings};
use crate::publish::{Background, Publication};
use crate::reader::LogReader;
use crate::rotation;
use crate::sequencer::Sequencer;
use crate::signer::{FileSigner, LogKeys, Signers};
use crate::subjects::Subjects;
use crate::transaction::{Logged, Transaction};
use crate::vault::Vault;
use crate::wal::Wal;
use crate::witness::refuse_after;

/// What a new log is about.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// The name of the model whose feedback is logged.
    pub model: String,
    /// The log's unique name, a URL without its scheme; one is made up where none is given.
    pub origin: Option<String>,
    /// Protects the keys on the disk.
    pub passphrase: Option<Passphrase>,
    /// Whether each head is signed with ML-DSA-44 as well, which is made to hold against quantum computers.
    pub hybrid: bool,
    /// What is promised to annotators. Without it nothing is noised, and no value that is computed from ratings may be
    /// called private.
    pub privacy: Option<PrivacySettings>,
}

/// A log that was just made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// Its unique name.
    pub origin: String,
    /// The key that others verify it with: `NAME+ID+BASE64` when displayed.
    pub vkey: VerifierKey,
    /// In a hybrid log, the ML-DSA-44 key of the second signature.
    pub second_vkey: Option<VerifierKey>,
}

/// The file that describes a log, `private/log.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    v: u32,
    pub origin: String,
    model: String,
    /// Whether heads carry a second signature. Said here, so that a key file that went missing is missed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    hybrid: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacySettings>,
}

/// A log, open for writing by this process alone.
#[derive(Debug)]
pub struct Audit {
    pub(crate) disk: Disk,
    pub(crate) folder: Folder,
    origin: String,
    pub(crate) model: String,
    pub(crate) hybrid: bool,
    /// What digests weights.
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) log: Log,
    pub(crate) vault: Vault,
    pub(crate) wal: Wal,
    pub(crate) sequencer: Sequencer,
    /// Where noised values are released: the promise and the ledger.
    pub(crate) privacy: Option<Privacy>,
    /// Subjects met in this process, so that the vault is asked once for each.
    pub(crate) known: HashMap<(RunId, Option<String>), Subject>,
    /// The thread that publishes.
    pub(crate) background: Option<Background>,
    /// What was published and is not noted in the log yet.
    pub(crate) published: Vec<Publication>,
    /// After an error that leaves memory and disk apart: nothing more is written.
    pub(crate) stopped: bool,
    // Dropped last: everything above must be closed before another process may begin.
    _lock: Lock,
}

impl Audit {
    /// Makes a new log with new keys in an empty or new folder.
    ///
    /// # Errors
    /// The folder is not empty, the origin or the model's name is none, or a file cannot be written. Then
    /// nothing is left behind.
    pub fn init(dir: &Path, options: &InitOptions) -> Result<Initialised> {
        Self::init_on(&Disk::default(), dir, options)
    }

    pub(crate) fn init_on(disk: &Disk, dir: &Path, options: &InitOptions) -> Result<Initialised> {
        let description = Description {
            v: 1,
            origin: options.origin.clone().map_or_else(made_up_origin, Ok)?,
            model: options.model.clone(),
            hybrid: options.hybrid,
            privacy: options.privacy.clone(),
        };
        if let Some(settings) = &description.privacy {
            settings.plan()?;
        }
        if !is_key_name(&description.origin) || description.origin.contains("://") {
            return Err(Error::Origin(description.origin));
        }
        if description.hybrid && description.origin.len() > 255 {
            return Err(Error::LongOrigin);
        }
        if description.model.trim().is_empty() || description.model.contains(char::is_control) {
            return Err(Error::Model);
        }
        let existed = is_empty_folder(dir)?;
        if !existed {
            fs::create_dir_all(dir).at(dir, "create the folder")?;
        }
        let folder = Folder::new(dir);
        // Whoever makes this folder makes the log: of two who begin at once, one fails here.
        disk.create_folder(&folder.private(), 0o700)?;
        let result = create(disk, &folder, &description, options.passphrase.as_ref());
        if result.is_err() {
            empty_folder(dir, existed);
        }
        result
    }

    /// Opens a log for writing, and finishes what an earlier process had committed.
    ///
    /// # Errors
    /// The folder holds no log, another process writes to it, the keys cannot be read, or its files
    /// contradict each other; the error names the file.
    pub fn open(dir: &Path, passphrase: Option<&Passphrase>) -> Result<Self> {
        Self::open_on(&Disk::default(), dir, passphrase)
    }

    pub(crate) fn open_on(
        disk: &Disk,
        dir: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self> {
        let folder = Folder::new(dir);
        let description = read_description(&folder)?;
        let lock = folder.lock()?;
        refuse_after(&folder)?;
        let signers = open_signers(&folder, &description.origin, description.hybrid, passphrase)?;
        let master = keys::read_master_key(&folder.vault_key(), passphrase)?;
        erasure::take_up(disk, &folder)?;
        let wal = Wal::open(disk, &folder.wal())?;
        let vault = Vault::open(disk, &folder.vault(), &folder.subjects(), &master, &wal)?;
        let next =
            rotation::next_signers(&folder, &description.origin, description.hybrid, passphrase)?;
        let log = Log::open(disk, &folder, signers, next)?;
        let privacy = (description.privacy)
            .map(|settings| Privacy::open(disk, &folder, &description.origin, settings));
        let mut audit = Self {
            disk: disk.clone(),
            folder,
            origin: description.origin,
            model: description.model,
            hybrid: description.hybrid,
            engine: Arc::new(Cpu),
            log,
            vault,
            wal,
            sequencer: Sequencer::default(),
            privacy: privacy.transpose()?,
            known: HashMap::new(),
            background: None,
            published: Vec::new(),
            stopped: false,
            _lock: lock,
        };
        audit.finish()?;
        audit.settle_keys(passphrase)?;
        audit.sequencer = audit.find_place()?;
        audit.settle_erasure()?;
        audit.settle_privacy()?;
        Ok(audit)
    }

    /// Begins a transaction: events that enter the log together or not at all.
    ///
    /// # Errors
    /// An earlier error has stopped this writer.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        self.begin_either(false)
    }

    /// The same; if `deferred`, what it commits is carried into the log's files later.
    pub(crate) fn begin_either(&mut self, deferred: bool) -> Result<Transaction<'_>> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        self.take_published();
        let mut transaction = Transaction::new(self, deferred);
        transaction.note_publications()?;
        Ok(transaction)
    }

    /// Logs one event whose data is public.
    ///
    /// # Errors
    /// Those of [`Transaction::event`] and [`Transaction::commit`].
    pub fn log_event(&mut self, kind: EventType, data: Value) -> Result<Logged> {
        let mut transaction = self.begin()?;
        transaction.event(kind, data)?;
        transaction.commit()
    }

    /// Starts a run; otherwise the first event does.
    ///
    /// # Errors
    /// Those of [`Transaction::start_run`] and [`Transaction::commit`].
    pub fn start_run(&mut self) -> Result<Logged> {
        let mut transaction = self.begin()?;
        transaction.start_run()?;
        transaction.commit()
    }

    /// Ends the open run.
    ///
    /// # Errors
    /// Those of [`Transaction::end_run`] and [`Transaction::commit`].
    pub fn end_run(&mut self, outcome: &str) -> Result<Logged> {
        let mut transaction = self.begin()?;
        transaction.end_run(outcome)?;
        transaction.commit()
    }

    /// The log's unique name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The name of the model whose feedback is logged.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The open run, if there is one.
    pub fn run(&self) -> Option<RunId> {
        self.sequencer.run()
    }

    /// The key that others verify the log with.
    pub fn vkey(&self) -> &VerifierKey {
        &self.log.keys().own
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Puts a public file beside the log.
    pub(crate) fn keep(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let folder = parent(path);
        if !folder.is_dir() {
            self.disk.create_folder(folder, 0o755)?;
        }
        // Whoever made the folder and died may not have come to syncing its name.
        self.disk.sync_folder(self.root())?;
        self.disk.replace_shared(path, bytes, PUBLIC)
    }

    /// The newest head.
    pub fn head(&self) -> &SignedHead {
        self.log.head()
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.head().checkpoint.size
    }

    /// The number of entries with those that are committed and under no head yet.
    pub(crate) fn committed_size(&self) -> u64 {
        self.wal.last_commit().map_or_else(|| self.size(), |commit| commit.size)
    }

    /// The public part of the log, as of the newest head.
    pub fn reader(&self) -> LogReader {
        LogReader::at(self.folder.clone(), self.head().clone())
    }

    /// What opens the private fields of an entry; empty where it has none, or they were erased. It is
    /// secret until the producer decides to disclose it.
    ///
    /// # Errors
    /// There is no such entry, or the vault cannot be read.
    pub fn openings(&self, index: u64) -> Result<Vec<Opening>> {
        self.vault.openings(index, &self.event(index)?)
    }

    /// Where the next event belongs, by the last ones in the log.
    fn find_place(&self) -> Result<Sequencer> {
        let Some(last) = self.size().checked_sub(1) else { return Ok(Sequencer::default()) };
        let newest = self.event(last)?;
        // What may follow a run's end does not tell whether the run has ended; what is before it does.
        let reader = self.reader();
        let mut end = self.size();
        while end > 0 {
            let start = (end - 1) - (end - 1) % WIDTH;
            let mut deciding = None;
            for (entry, index) in reader.entries(start..end).zip(start..) {
                let kind = self.decode(index, &entry?)?.kind;
                if !kind.may_follow_end() {
                    deciding = Some(kind);
                }
            }
            if let Some(kind) = deciding {
                return Ok(Sequencer::after(&newest, kind == EventType::RunEnd));
            }
            end = start;
        }
        Ok(Sequencer::after(&newest, false))
    }

    pub(crate) fn event(&self, index: u64) -> Result<Event> {
        self.decode(index, &self.reader().entry(index)?)
    }

    pub(crate) fn decode(&self, index: u64, entry: &[u8]) -> Result<Event> {
        Event::decode(entry)
            .map_err(|e| Error::damaged(self.folder.root(), format!("entry {index}: {e}")))
    }

    /// Carries committed events from the write-ahead log into vault and log. Everything here can be
    /// done again after a crash, with the same result.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Some(commit) = self.wal.last_commit() else { return Ok(()) };
        let events = commit.size.saturating_sub(self.size());
        self.carry_over().map_err(|source| {
            // Memory is ahead of the disk now; only a fresh start brings them together.
            self.stopped = true;
            let wal = self.wal.path().to_owned();
            Error::Unfinished { wal, events, source: Box::new(source) }
        })
    }

    fn carry_over(&mut self) -> Result<()> {
        let (vault, log, wal) = (&self.vault, &mut self.log, &self.wal);
        self.disk.both(|| vault.absorb(wal), || log.absorb(wal))?;
        // A crash up to here leaves the write-ahead log whole, and the next start does all of it again.
        log.publish()?;
        // A crash here leaves it whole as well; the next start finds nothing to add and empties it.
        self.wal.clear()
    }

    /// Takes back a transaction that was not committed.
    pub(crate) fn roll_back(&mut self) {
        if self.stopped {
            return;
        }
        self.known.clear();
        let result = self.wal.rollback().and_then(|()| self.vault.subjects.rollback());
        // What could not be taken back is ignored by the next start; until then nothing may follow it.
        self.stopped = result.is_err();
        // Who has a pseudonym in an earlier commit is looked up in the vault from now on. Where that fails, the
        // writer has stopped, and says so the next time.
        if !self.stopped {
            let _ = self.finish();
        }
    }
}

fn made_up_origin() -> Result<String> {
    Ok(format!("rlhf-audit.local/{}", hex::encode(keys::random::<4>()?)))
}

/// Whether the folder exists; it must be empty then.
fn is_empty_folder(dir: &Path) -> Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(true),
            Some(_) => Err(Error::NotEmpty(dir.to_owned())),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).at(dir, "read the folder"),
    }
}

/// Removes what a failed `init` has made. The first error is the one to report, so others are ignored.
fn empty_folder(dir: &Path, keep: bool) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    if !keep {
        let _ = fs::remove_dir(dir);
    }
}

fn create(
    disk: &Disk,
    folder: &Folder,
    description: &Description,
    passphrase: Option<&Passphrase>,
) -> Result<Initialised> {
    let _lock = folder.lock()?;
    let signers = create_signers(disk, folder, description, passphrase)?;
    let keys = signers.keys()?;
    let master = keys::create_master_key(disk, &folder.vault_key(), passphrase)?;
    keys::create_publishing_key(disk, &folder.publishing_key(), passphrase)?;
    disk.create_new(&folder.wal(), &[], PRIVATE)?;
    disk.create_new(&folder.subjects(), &[], PRIVATE)?;
    drop(Subjects::open(disk, &folder.subjects(), &master, 0)?);
    Vault::create(disk, &folder.vault())?;
    if description.privacy.is_some() {
        Ledger::create(disk, &folder.privacy_ledger())?;
    }
    create_policy(disk, folder, &keys)?;
    Log::create(disk, folder, &signers)?;
    let json = serde_json::to_vec_pretty(description).map_err(io::Error::from);
    let path = folder.description();
    // Last: where this file stands, the log is complete.
    disk.replace(&path, &json.at(&path, "write the file")?, PRIVATE)?;
    disk.sync_folder(folder.root())?;
    disk.sync_folder(parent(folder.root()))?;
    Ok(Initialised { origin: description.origin.clone(), vkey: keys.own, second_vkey: keys.second })
}

fn create_signers(
    disk: &Disk,
    folder: &Folder,
    description: &Description,
    passphrase: Option<&Passphrase>,
) -> Result<Signers> {
    let origin = &description.origin;
    let key = keys::create_signing_key(disk, &folder.log_key(), passphrase)?;
    let second = if description.hybrid {
        let key = keys::create_cosigning_key(disk, &folder.cosigning_key(), passphrase)?;
        Some(Cosigner::new(origin, key)?)
    } else {
        None
    };
    Ok(Signers { first: Box::new(FileSigner::new(origin, key)), second })
}

pub(crate) fn open_signers(
    folder: &Folder,
    origin: &str,
    hybrid: bool,
    passphrase: Option<&Passphrase>,
) -> Result<Signers> {
    let first = Box::new(FileSigner::open(&folder.log_key(), origin, passphrase)?);
    let second = hybrid.then(|| Cosigner::open(&folder.cosigning_key(), origin, passphrase));
    Ok(Signers { first, second: second.transpose()? })
}

/// A policy that accepts this log's key, for trying out. It says itself that it proves nothing.
fn create_policy(disk: &Disk, folder: &Folder, keys: &LogKeys) -> Result<()> {
    const SOURCE: &str = "Written by `rlhf-audit init` beside the log itself, for trying out. Whoever made the \
        log made this file: get the key from the producer by another channel before relying on it.\n";
    let dir = folder.policy();
    disk.create_folder(&dir, 0o755)?;
    // A quorum that rests on the second signature: a head from which it was stripped fails.
    let (quorum, requirements) = match &keys.second {
        None => ("quorum none\n".to_owned(), "{\"v\":1}\n"),
        Some(key) => (
            format!("witness post-quantum {key}\nquorum post-quantum\n"),
            "{\"v\":1,\"hybrid\":true}\n",
        ),
    };
    let policy = format!("log {}\n{quorum}", keys.own);
    disk.replace(&dir.join("policy"), policy.as_bytes(), PUBLIC)?;
    disk.replace(&dir.join("requirements.json"), requirements.as_bytes(), PUBLIC)?;
    disk.replace(&dir.join("source"), SOURCE.as_bytes(), PUBLIC)
}

pub(crate) fn read_description(folder: &Folder) -> Result<Description> {
    let path: PathBuf = folder.description();
    let json = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotALog(folder.root().to_owned()));
        }
        json => json.at(&path, "read the file")?,
    };
    let description: Description = serde_json::from_slice(&json)
        .map_err(|e| Error::damaged(&path, format!("not the description of a log: {e}")))?;
    if description.v != 1 {
        return Err(Error::damaged(&path, "written by a later version of this program"));
    }
    Ok(description)
}
