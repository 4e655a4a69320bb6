//! Keys that take over from others, and keys that are taken out of use.
//!
//! Each step is durable before the next, and the next start goes on where the last one stopped:
//!
//! 1. the new keys lie in `private/next/`;
//! 2. `private/key-change.json` says from which size on an event about keys may be in the log;
//! 3. the event is committed, and the head over it is signed with the old keys and the new (see `log`);
//! 4. its proof lies in `keys/`, the head in `heads/` and in the queue of what is to be published;
//! 5. the new keys take the place of the old, which lie in `private/former/` until they are retired;
//! 6. `private/key-change.json` goes.
//!
//! What an earlier process has done it may not have come to syncing: the next step rests on it, so it is synced
//! also where nothing is left to do.
//!
//! A new publishing key waits in `private/next/` until the old one has published a head over the event.

use std::fs;
use std::io;
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use p256::pkcs8::EncodePublicKey as _;
use serde::{Deserialize, Serialize};
use trail::Event;
use trail::handover::{Key, KeyChange, Reason, Retirement, Role, Rotation, message};
use zeroize::Zeroizing;

use crate::audit::Audit;
use crate::cosigner::Cosigner;
use crate::disk::{Disk, PRIVATE, PUBLIC, parent};
use crate::error::{Error, IoContext as _, Result};
use crate::folder::Folder;
use crate::key_list::{KeyState, State};
use crate::keys::{self, Passphrase};
use crate::publish::{PublishingKey, Queue};
use crate::signer::{FileSigner, Signers};

/// A key that has taken over, or will.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// What it is for.
    pub role: Role,
    /// The key so far.
    pub old: Key,
    /// The key from here on.
    pub new: Key,
    /// The entry that says so.
    pub entry: u64,
    /// The size of the first head over that entry.
    pub head: u64,
    /// Whether the new key signs only once the old publishing key has published that head.
    pub pending: bool,
}

/// A key that was taken out of use.
#[derive(Clone, Debug)]
pub struct Retired {
    /// The key, and what became of it.
    pub key: KeyState,
    /// The entry that says so.
    pub entry: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    v: u32,
    /// The log's size before.
    first: u64,
}

/// Which entry says of the next publishing key that it takes over.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    v: u32,
    entry: u64,
}

const LOG: &str = "log.key";
const COSIGNER: &str = "log-ml-dsa-44.key";
const PUBLISHER: &str = "publisher.key";

impl Audit {
    /// Hands the log over to a new signing key, and in a hybrid log also to a new ML-DSA-44 key.
    ///
    /// # Errors
    /// The log or a key file cannot be written. What was begun is finished, or was never begun, once the log is
    /// opened again.
    pub fn rotate_log_key(&mut self, passphrase: Option<&Passphrase>) -> Result<Vec<Rotated>> {
        let next = self.make_next(passphrase)?;
        let (old_keys, new_keys) = (self.log.keys().clone(), next.keys()?);
        let mut rotations = vec![self.rotation(
            Role::Log,
            Key::Note(old_keys.own),
            Key::Note(new_keys.own),
            |message| Ok(next.first.sign(message)?.to_vec()),
        )?];
        if let (Some(old), Some(new), Some(cosigner)) =
            (old_keys.second, new_keys.second, &next.second)
        {
            let (old, new) = (Key::Note(old), Key::Note(new));
            rotations.push(self.rotation(Role::Cosigner, old, new, |m| cosigner.sign(m))?);
        }
        self.log.set_next(Some(next));
        let changes: Vec<KeyChange> = rotations.iter().cloned().map(KeyChange::Rotate).collect();
        let first = self.log_changes(&changes, passphrase);
        self.log.set_next(None);
        let (first, head) = first?;
        let rotated = (first..).zip(rotations).map(|(entry, Rotation { role, old, new, .. })| {
            Rotated { role, old, new, entry, head, pending: false }
        });
        Ok(rotated.collect())
    }

    /// Announces a new publishing key. It signs nothing before the old one has published the announcement.
    ///
    /// # Errors
    /// Another waits already, or those of [`Audit::rotate_log_key`].
    pub fn rotate_publishing_key(&mut self, passphrase: Option<&Passphrase>) -> Result<Rotated> {
        if self.folder.next_publisher().is_file() {
            return Err(Error::Key(
                "a new publishing key waits already; publish, so that the old one can hand over"
                    .into(),
            ));
        }
        let path = self.folder.publishing_key();
        let old = PublishingKey::open(&self.disk, &path, passphrase)?;
        let next = self.folder.next().join(PUBLISHER);
        self.make_next_folder(&[PUBLISHER])?;
        let new = PublishingKey::open(&self.disk, &next, passphrase)?;
        let key = |key: &PublishingKey| Key::Publisher(key.spki().to_vec());
        let rotation =
            self.rotation(Role::Publisher, key(&old), key(&new), |m| Ok(new.sign_message(m)))?;
        let (entry, head) = self.log_changes(&[KeyChange::Rotate(rotation.clone())], passphrase)?;
        let Rotation { role, old, new, .. } = rotation;
        Ok(Rotated { role, old, new, entry, head, pending: true })
    }

    /// Takes a key out of use that has handed over, and destroys what is left of its secret half. `named` is its
    /// id, its fingerprint or the whole public key.
    ///
    /// # Errors
    /// There is no such key, it is in use, or it is retired already for as grave a reason; or those of
    /// [`Audit::rotate_log_key`].
    pub fn retire_key(&mut self, named: &str, reason: Reason) -> Result<Retired> {
        let keys = self.reader().keys()?;
        let is_named = |key: &&KeyState| {
            let id = match &key.key {
                Key::Note(key) => key.id_hex(),
                Key::Publisher(_) => String::new(),
            };
            let fingerprint = hex::encode(key.key.fingerprint());
            [id, fingerprint, key.key.short(), key.key.to_string()].iter().any(|own| own == named)
        };
        let found: Vec<&KeyState> = keys.iter().filter(is_named).collect();
        let &[found] = found.as_slice() else {
            let why = if found.is_empty() { "no key of this log" } else { "several keys" };
            return Err(Error::Key(format!("`{named}` names {why}; see `keys list`")));
        };
        let graver = matches!(reason, Reason::Compromised(_)) && found.state != State::Compromised;
        match found.state {
            State::Active | State::Pending => {
                return Err(Error::Key(format!(
                    "{} is in use; rotate it first, so that its successor can say so",
                    found.key.short()
                )));
            }
            State::Retired | State::Compromised if !graver => {
                return Err(Error::Key(format!("{} is retired already", found.key.short())));
            }
            _ => {}
        }
        let (role, key) = (found.role, found.key.clone());
        let retirement = KeyChange::Retire(Retirement { role, key: key.clone(), reason });
        let (entry, _) = self.log_changes(&[retirement], None)?;
        let key = self.reader().keys()?.into_iter().find(|state| state.key == key);
        let key = key.ok_or_else(|| Error::Key("the key is not among those of the log".into()))?;
        Ok(Retired { key, entry })
    }

    fn rotation(
        &self,
        role: Role,
        old: Key,
        new: Key,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>,
    ) -> Result<Rotation> {
        let proof = sign(&message(self.origin(), role, &old, &new))?;
        let rotation = Rotation { role, old, new, proof };
        if rotation.is_proven(self.origin()) {
            Ok(rotation)
        } else {
            Err(Error::Signer("the signature made does not verify under its own key".into()))
        }
    }

    /// Logs what is said of keys, and draws the consequences. Gives the first entry and the size after it.
    fn log_changes(
        &mut self,
        changes: &[KeyChange],
        passphrase: Option<&Passphrase>,
    ) -> Result<(u64, u64)> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let intent = Intent { v: 1, first: self.size() };
        write_json(&self.disk, &self.folder.key_intent(), &intent)?;
        let mut transaction = self.begin()?;
        for change in changes {
            transaction.key_change(change)?;
        }
        let logged = transaction.commit()?;
        let settled = self.settle_keys(passphrase);
        // What is left to do, the next start does.
        self.stopped |= settled.is_err();
        settled.map(|()| (logged.first_index, logged.size))
    }

    /// Draws the consequences of the events about keys that the last change may have logged.
    pub(crate) fn settle_keys(&mut self, passphrase: Option<&Passphrase>) -> Result<()> {
        let path = self.folder.key_intent();
        let Some(intent) = read_json::<Intent>(&path)? else { return Ok(()) };
        let mut handed_over = false;
        for index in intent.first..self.size() {
            let entry = self.reader().entry(index)?;
            let event =
                Event::decode(&entry).map_err(|e| self.reader().damaged_entry(index, &e))?;
            let Ok(Some(change)) = KeyChange::read(&event) else { continue };
            self.keep_proof(index)?;
            match &change {
                KeyChange::Rotate(rotation) if rotation.role == Role::Publisher => {
                    // Where the new key is gone it has taken over already.
                    if self.folder.next().join(PUBLISHER).is_file() {
                        let waiting = Waiting { v: 1, entry: index };
                        write_json(&self.disk, &self.folder.next_publisher(), &waiting)?;
                    }
                    self.keep_head()?;
                }
                KeyChange::Rotate(_) => handed_over = true,
                KeyChange::Retire(retirement) => self.destroy(&retirement.key)?,
            }
        }
        if handed_over {
            self.keep_head()?;
            self.take_over(passphrase)?;
        }
        self.disk.remove(&path)?;
        self.disk.sync_folder(&self.folder.private())
    }

    /// The proof of an event about a key, in the newest head.
    fn keep_proof(&self, index: u64) -> Result<()> {
        let reader = self.reader();
        let known = reader.key_changes()?;
        let path = self.folder.key_change(known.len());
        if known.iter().any(|logged| logged.proof.index == index) {
            self.disk.sync_folder(self.root())?;
            return self.disk.sync_folder(parent(&path));
        }
        self.keep(&path, reader.prove(index)?.to_string().as_bytes())
    }

    /// The head that shows a handover stays, and is the next to be published.
    fn keep_head(&self) -> Result<()> {
        let head = self.head();
        self.keep(&self.folder.quoted_head(head.checkpoint.size), head.note.as_bytes())?;
        Queue::open(&self.disk, &self.folder)?.put(head)
    }

    /// Makes keys that are to take over.
    fn make_next(&self, passphrase: Option<&Passphrase>) -> Result<Signers> {
        self.make_next_folder(&[LOG, COSIGNER])?;
        let (next, origin) = (self.folder.next(), self.origin());
        let key = keys::create_signing_key(&self.disk, &next.join(LOG), passphrase)?;
        let second = if self.hybrid {
            let key = keys::create_cosigning_key(&self.disk, &next.join(COSIGNER), passphrase)?;
            Some(Cosigner::new(origin, key)?)
        } else {
            None
        };
        self.disk.sync_folder(&next)?;
        Ok(Signers { first: Box::new(FileSigner::new(origin, key)), second })
    }

    /// What lies there under these names was never announced.
    fn make_next_folder(&self, names: &[&str]) -> Result<()> {
        let next = self.folder.next();
        if !next.is_dir() {
            self.disk.create_folder(&next, 0o700)?;
        }
        self.disk.sync_folder(parent(&next))?;
        for name in names {
            self.disk.remove(&next.join(name))?;
        }
        self.disk.sync_folder(&next)
    }

    /// The new keys take the place of the old.
    fn take_over(&mut self, passphrase: Option<&Passphrase>) -> Result<()> {
        let (folder, keys) = (&self.folder, self.log.keys().clone());
        let next = folder.next();
        if let Some(signers) = next_signers(folder, self.origin(), self.hybrid, passphrase)? {
            grow_policy(&self.disk, folder, &format!("log {}", signers.keys()?.own))?;
        }
        // The one that decides whether this is done comes last.
        let second = keys.second.map(|key| (key.fingerprint(), folder.cosigning_key(), COSIGNER));
        for (old, path, name) in
            second.into_iter().chain([(keys.own.fingerprint(), folder.log_key(), LOG)])
        {
            replace_key(&self.disk, folder, &old, &path, &next.join(name))?;
        }
        for name in [COSIGNER, LOG] {
            self.disk.remove(&next.join(name))?;
        }
        self.disk.sync_folder(&next)?;
        let signers =
            crate::audit::open_signers(&self.folder, self.origin(), self.hybrid, passphrase)?;
        self.log.take_over(signers)
    }

    /// Destroys the secret half of a key that has handed over.
    fn destroy(&self, key: &Key) -> Result<()> {
        let path = self.folder.former_key(&key.fingerprint());
        if !parent(&path).is_dir() {
            return Ok(());
        }
        self.disk.remove(&path)?;
        self.disk.sync_folder(parent(&path))
    }
}

/// The keys in `private/next/`, if they are all there and have not taken over yet.
pub(crate) fn next_signers(
    folder: &Folder,
    origin: &str,
    hybrid: bool,
    passphrase: Option<&Passphrase>,
) -> Result<Option<Signers>> {
    let (first, second) = (folder.next().join(LOG), folder.next().join(COSIGNER));
    // Without an announcement they may be half-written, and mean nothing.
    if !folder.key_intent().is_file() || !first.is_file() || (hybrid && !second.is_file()) {
        return Ok(None);
    }
    let first = Box::new(FileSigner::open(&first, origin, passphrase)?);
    let second = hybrid.then(|| Cosigner::open(&second, origin, passphrase)).transpose()?;
    Ok(Some(Signers { first, second }))
}

/// Puts a new key in the place of an old one, which is kept until it is retired.
fn replace_key(
    disk: &Disk,
    folder: &Folder,
    old: &[u8; 32],
    path: &Path,
    next: &Path,
) -> Result<()> {
    let read = |path: &Path| fs::read(path).map(Zeroizing::new).at(path, "read the key");
    if !next.is_file() {
        return Ok(());
    }
    let (before, after) = (read(path)?, read(next)?);
    if before == after {
        // Before the other copy goes.
        return disk.sync_folder(parent(path));
    }
    let former = folder.former_key(old);
    if !parent(&former).is_dir() {
        disk.create_folder(parent(&former), 0o700)?;
    }
    disk.sync_folder(&folder.private())?;
    disk.replace(&former, &before, PRIVATE)?;
    disk.replace(path, &after, PRIVATE)
}

/// The example policy gets the new key beside the old, so that whoever has the old one is led on.
fn grow_policy(disk: &Disk, folder: &Folder, line: &str) -> Result<()> {
    let path = folder.policy().join("policy");
    let policy = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        policy => policy.at(&path, "read the policy")?,
    };
    let mut lines: Vec<&str> = policy.lines().collect();
    if lines.contains(&line) {
        return disk.sync_folder(parent(&path));
    }
    let after = lines.iter().rposition(|line| line.starts_with("log "));
    lines.insert(after.map_or(0, |after| after + 1), line);
    disk.replace(&path, (lines.join("\n") + "\n").as_bytes(), PUBLIC)
}

/// Lets a new publishing key take over, if the old one has published a head over the entry that says so, and has
/// nothing in hand. Says whether it has.
pub(crate) fn let_publisher_take_over(
    disk: &Disk,
    folder: &Folder,
    queue: &Queue,
    passphrase: Option<&Passphrase>,
) -> Result<bool> {
    let Some(waiting) = read_json::<Waiting>(&folder.next_publisher())? else { return Ok(false) };
    let published = queue.last()?.is_some_and(|last| last.size > waiting.entry);
    if !published || queue.signed()?.is_some() {
        return Ok(false);
    }
    let (path, next) = (folder.publishing_key(), folder.next().join(PUBLISHER));
    if next.is_file() {
        let old = trail::merkle::sha256(PublishingKey::open(disk, &path, passphrase)?.spki());
        let new = keys::read_publishing_key(&next, passphrase)?.public_key();
        let pem = new.to_public_key_pem(LineEnding::LF);
        let pem = pem.map_err(|e| Error::damaged(&next, e.to_string()))?;
        let public = folder.publisher();
        let known = fs::read_to_string(&public).unwrap_or_default();
        if known.contains(pem.trim()) {
            disk.sync_folder(parent(&public))?;
        } else {
            disk.replace(&public, (known + &pem).as_bytes(), PUBLIC)?;
        }
        replace_key(disk, folder, &old, &path, &next)?;
        disk.remove(&next)?;
    }
    disk.remove(&folder.next_publisher())?;
    disk.sync_folder(&folder.next())?;
    Ok(true)
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => {
            let read = serde_json::from_slice(&bytes.at(path, "read the file")?);
            read.map(Some).map_err(|_| Error::damaged(path, "not as it was written"))
        }
    }
}

pub(crate) fn write_json(disk: &Disk, path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(io::Error::from).at(path, "write the file")?;
    disk.replace(path, &json, PRIVATE)
}
