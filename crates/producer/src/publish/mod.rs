//! Publishing tree heads: each becomes a signed statement, entered in public logs and stamped by
//! independent clocks. What the services answer is verified with the trusted root before it is kept.
//!
//! | file | subject |
//! |---|---|
//! | `engine` | one head after the other: signed, stamped, entered, verified, kept |
//! | `queue` | what waits, on the disk |
//! | `envelope` | the signed statement |
//! | `entry`, `rekor_v2`, `rekor_v1` | entries of public logs |
//! | `tsa` | time stamps |
//! | `trouble` | answers of no use, told apart by what helps |
//! | `config` | which services |
//! | `background` | publishing beside the training |

mod background;
mod config;
mod engine;
mod entry;
mod envelope;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod handover_survival;
mod queue;
pub(crate) mod rekor_v1;
pub(crate) mod rekor_v2;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod survival;
mod trouble;
pub(crate) mod tsa;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trail::anchor::AnchorTrust;
use trail::note::{Note, VerifierKey};
use trail::tile::WIDTH;
use trail::{Event, EventType};

pub(crate) use background::Background;
pub use background::Backoff;
use config::TrustedLog;
pub use config::{LogUrl, RekorVersion, Services};
pub(crate) use entry::Entry;
pub(crate) use envelope::PublishingKey;
pub(crate) use queue::Queue;
pub use queue::{Publication, PublishedIn};
use trouble::Trouble;

use crate::disk::{Disk, PUBLIC};
use crate::error::{Error, IoContext as _, Result};
use crate::folder::{Folder, Lock};
use crate::head::SignedHead;
use crate::http::Http;
use crate::keys::Passphrase;
use crate::reader::LogReader;
use crate::rotation;
use crate::signer::{FileSigner, verifier_key};

/// Rekor v2 answers when a checkpoint covers the entry, within 20 seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How to publish.
#[derive(Clone, Debug, Default)]
pub struct PublishOptions {
    /// Where to.
    pub services: Services,
    /// The Sigstore trusted root that answers are verified with [default: `policy/trusted_root.json`, where it
    /// is copied to the first time].
    pub trusted_root: Option<PathBuf>,
}

/// How far one step came.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nothing waits.
    Idle,
    /// A head is published.
    Published(Publication),
    /// Something waits, and cannot go on now.
    Later(Setback),
}

/// Why something still waits.
#[derive(Clone, Debug)]
pub struct Setback {
    /// The service and what went wrong.
    pub why: String,
    /// An answer was refused: trying again helps only if the service gives another one.
    pub refused: bool,
    /// How long the service asks to be left alone.
    pub after: Option<Duration>,
}

/// What waits in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The sizes of the heads that are not published yet.
    pub heads: Vec<u64>,
    /// The sequence numbers of those that are, and have no time stamp over the log's checkpoint.
    pub unstamped: Vec<u64>,
}

impl Waiting {
    /// Whether nothing does.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.unstamped.is_empty()
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        if !self.heads.is_empty() {
            write!(f, "the heads of {} entries", list(&self.heads))?;
        }
        if !self.heads.is_empty() && !self.unstamped.is_empty() {
            f.write_str(" and ")?;
        }
        if !self.unstamped.is_empty() {
            write!(f, "the time stamps of the published heads {}", list(&self.unstamped))?;
        }
        Ok(())
    }
}

/// Publishes the heads of one log. It needs no right to write to the log.
#[derive(Debug)]
pub struct Publisher {
    folder: Folder,
    queue: Queue,
    key: PublishingKey,
    vkey: VerifierKey,
    trust: AnchorTrust,
    logs: Vec<TrustedLog>,
    services: Services,
    http: Http,
    disk: Disk,
    passphrase: Option<Passphrase>,
    /// The trusted root, as it was read.
    root: String,
    _lock: Lock,
}

impl Publisher {
    /// Takes up a log's queue. The publishing key is made where there is none yet.
    ///
    /// # Errors
    /// The folder holds no log, a key cannot be read, there is no trusted root, the services cannot be used, or
    /// another process publishes already.
    pub fn open(
        dir: &Path,
        passphrase: Option<&Passphrase>,
        options: &PublishOptions,
    ) -> Result<Self> {
        Self::open_on(&Disk::default(), dir, passphrase, options)
    }

    pub(crate) fn open_on(
        disk: &Disk,
        dir: &Path,
        passphrase: Option<&Passphrase>,
        options: &PublishOptions,
    ) -> Result<Self> {
        let folder = Folder::new(dir);
        if !folder.description().is_file() {
            return Err(Error::NotALog(dir.to_owned()));
        }
        let services = options.services.clone().checked()?;
        let root = read_trusted_root(&folder, options.trusted_root.as_deref())?;
        let queue = Queue::open(disk, &folder)?;
        let lock = folder.lock_queue()?;
        let origin = SignedHead::read(&folder.checkpoint())?.checkpoint.origin;
        let vkey = verifier_key(&FileSigner::open(&folder.log_key(), &origin, passphrase)?)?;
        rotation::let_publisher_take_over(disk, &folder, &queue, passphrase)?;
        let (key, trust) = open_key(disk, &folder, passphrase, &root)?;
        Ok(Self {
            queue,
            key,
            vkey,
            trust,
            logs: TrustedLog::all(&root),
            services,
            http: Http::new(TIMEOUT)?,
            disk: disk.clone(),
            passphrase: passphrase.cloned(),
            root,
            folder,
            _lock: lock,
        })
    }

    /// A new publishing key takes over as soon as the old one has published who it is, however long this process
    /// lives.
    fn take_up_key(&mut self) -> Result<()> {
        let (disk, passphrase) = (&self.disk, self.passphrase.as_ref());
        if rotation::let_publisher_take_over(disk, &self.folder, &self.queue, passphrase)? {
            (self.key, self.trust) = open_key(disk, &self.folder, passphrase, &self.root)?;
        }
        Ok(())
    }

    /// Puts the log's newest head into the queue, if more than notices of publication has come since the
    /// last one.
    ///
    /// # Errors
    /// The log is damaged, it does not continue the last published head, or the queue cannot be written.
    pub fn enqueue_newest(&mut self) -> Result<bool> {
        let path = self.folder.checkpoint();
        let head = SignedHead::read(&path)?;
        if self.signer_of(&head)?.is_none() {
            return Err(Error::damaged(&path, "not signed by this log's key (private/log.key)"));
        }
        if let Some(last) = self.queue.last()? {
            self.continues(&head.checkpoint, &last)?;
        }
        self.enqueue(&head)
    }

    /// The newest of the log's keys that signed a head.
    fn signer_of(&self, head: &SignedHead) -> Result<Option<VerifierKey>> {
        let path = self.folder.queue();
        let note = Note::parse(&head.note).map_err(|e| Error::damaged(&path, e.to_string()))?;
        let keys = LogReader::at(self.folder.clone(), head.clone()).log_keys(&self.vkey)?;
        let signed = |key: &&VerifierKey| {
            head.checkpoint.origin == key.name() && matches!(note.verify(key), Ok(Some(_)))
        };
        Ok(keys.iter().rev().find(signed).cloned())
    }

    /// Puts a head into the queue, under the same condition.
    pub(crate) fn enqueue(&mut self, head: &SignedHead) -> Result<bool> {
        let in_hand = self.queue.signed()?.and_then(|signed| Some(signed.envelope.head()?.0.size));
        let last = self.queue.last()?.map(|last| last.size);
        let waiting = self.queue.waiting()?.last().copied();
        let covered = in_hand.max(last).max(waiting).unwrap_or(0);
        if without_notices(&LogReader::at(self.folder.clone(), head.clone()))? <= covered {
            return Ok(false);
        }
        self.queue.put(head)?;
        Ok(true)
    }

    /// What is not published yet.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub fn waiting(&self) -> Result<Waiting> {
        let in_hand = self.queue.signed()?.and_then(|signed| Some(signed.envelope.head()?.0.size));
        let last = self.queue.last()?.map_or(0, |last| last.size);
        let mut heads: Vec<u64> = self.queue.waiting()?;
        heads.retain(|size| *size > last);
        heads.extend(in_hand);
        heads.sort_unstable();
        heads.dedup();
        let unstamped = self.queue.unstamped()?.into_iter().map(|(sequence, _)| sequence).collect();
        Ok(Waiting { heads, unstamped })
    }

    /// Publishes the next head that waits, as far as the services let it.
    ///
    /// # Errors
    /// Only this machine's; what the services do is no error here.
    pub fn step(&mut self) -> Result<Step> {
        let setback = |why: &Trouble, refused, after| {
            Ok(Step::Later(Setback { why: why.to_string(), refused, after }))
        };
        match self.advance() {
            Ok(Some(publication)) => Ok(Step::Published(publication)),
            Ok(None) => Ok(Step::Idle),
            Err(Trouble::Local(error)) => Err(error),
            Err(ref trouble @ Trouble::Busy(_, after)) => setback(trouble, false, after),
            Err(ref trouble @ Trouble::Unreachable(_)) => setback(trouble, false, None),
            Err(ref trouble @ (Trouble::Refused(_) | Trouble::Frozen(_))) => {
                setback(trouble, true, None)
            }
        }
    }
}

/// The log's size without the notices of publication at its end, which are no reason to publish again.
pub(crate) fn without_notices(log: &LogReader) -> Result<u64> {
    let mut end = log.size();
    while end > 0 {
        let start = (end - 1) - (end - 1) % WIDTH;
        let entries = log.entries(start..end).collect::<Result<Vec<_>>>()?;
        for entry in entries.iter().rev() {
            let event = Event::decode(entry).map_err(|e| log.damaged_entry(end - 1, &e))?;
            if event.kind != EventType::HeadPublished {
                return Ok(end);
            }
            end -= 1;
        }
    }
    Ok(0)
}

fn read_trusted_root(folder: &Folder, chosen: Option<&Path>) -> Result<String> {
    let beside = folder.trusted_root();
    let path = chosen.unwrap_or(&beside);
    if chosen.is_none() && !beside.is_file() {
        return Err(Error::Publish(format!(
            "{}: there is no trusted root, so no answer could be verified, and nothing was sent; name one with \
             --trusted-root FILE. Sigstore's is at https://github.com/sigstore/root-signing/blob/main/targets/trusted_root.json",
            beside.display()
        )));
    }
    fs::read_to_string(path).at(path, "read the trusted root")
}

/// The publishing key, and what its anchors are verified with: also the keys before it, under which earlier heads
/// were published.
fn open_key(
    disk: &Disk,
    folder: &Folder,
    passphrase: Option<&Passphrase>,
    root: &str,
) -> Result<(PublishingKey, AnchorTrust)> {
    let key = PublishingKey::open(disk, &folder.publishing_key(), passphrase)?;
    grow_policy(disk, folder, &key, root)?;
    let path = folder.publisher();
    let publishers = fs::read_to_string(&path).at(&path, "read the file")?;
    let trust = AnchorTrust::new(&publishers, root).map_err(|e| Error::Publish(e.to_string()))?;
    Ok((key, trust))
}

/// The example policy gets what verifies the anchors: publishing key and trusted root.
fn grow_policy(disk: &Disk, folder: &Folder, key: &PublishingKey, root: &str) -> Result<()> {
    let put = |path: &Path, text: &str| disk.replace(path, text.as_bytes(), PUBLIC);
    if !folder.policy().is_dir() {
        disk.create_folder(&folder.policy(), 0o755)?;
        disk.sync_folder(folder.root())?;
    }
    if !folder.trusted_root().is_file() {
        put(&folder.trusted_root(), root)?;
    }
    let path = folder.publisher();
    match fs::read_to_string(&path) {
        Ok(keys) if keys.contains(key.pem().trim()) => Ok(()),
        Ok(_) => Err(Error::damaged(
            &path,
            "it does not hold the public half of private/publisher.key; restore the whole folder from a backup",
        )),
        Err(_) => put(&path, key.pem()),
    }
}
