//! Publishing tree heads: each becomes a signed statement, entered in public logs and stamped by
//! independent clocks. What the services answer is verified with the trusted root before it is kept.
//!
//! | file | subject |
//! |---|---|
//! | `queue` | what waits, on the disk |
//! | `envelope` | the signed statement |
//! | `entry`, `rekor_v2`, `rekor_v1` | entries of public logs |
//! | `tsa` | time stamps |
//! | `config` | which services |
//! | `background` | publishing beside the training |

mod background;
mod config;
mod entry;
mod envelope;
mod http;
mod queue;
mod rekor_v1;
mod rekor_v2;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod survival;
mod tsa;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_bytes::ByteBuf;
use trail::anchor::{Anchor, AnchorTrust, PublishedHead, VerifiedAnchor, subject, subject_digest};
use trail::note::{Note, VerifierKey};
use trail::tile::WIDTH;
use trail::{Event, EventType};

pub(crate) use background::Background;
pub use background::Backoff;
use config::TrustedLog;
pub use config::{LogUrl, RekorVersion, Services};
pub(crate) use entry::Entry;
use envelope::{Envelope, PublishingKey};
use http::{Http, Trouble};
pub(crate) use queue::Queue;
use queue::Signed;
pub use queue::{Publication, PublishedIn};

use crate::disk::{Disk, PUBLIC};
use crate::error::{Error, IoContext as _, Result};
use crate::folder::{Folder, Lock};
use crate::head::SignedHead;
use crate::keys::Passphrase;
use crate::reader::LogReader;
use crate::signer::{FileSigner, LogKeys, verifier_key};

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
        let key = PublishingKey::open(disk, &folder.publishing_key(), passphrase)?;
        let trust =
            AnchorTrust::new(key.pem(), &root).map_err(|e| Error::Publish(e.to_string()))?;
        grow_policy(disk, &folder, &key, &root)?;
        Ok(Self {
            queue,
            key,
            vkey,
            trust,
            logs: TrustedLog::all(&root),
            services,
            http: Http::new()?,
            folder,
            _lock: lock,
        })
    }

    /// Puts the log's newest head into the queue, if more than notices of publication has come since the
    /// last one.
    ///
    /// # Errors
    /// The log is damaged or the queue cannot be written.
    pub fn enqueue_newest(&mut self) -> Result<bool> {
        let own = LogKeys { own: self.vkey.clone(), second: None };
        let head = SignedHead::read_ours(&self.folder.checkpoint(), &own)?;
        self.enqueue(&head)
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

    fn advance(&self) -> std::result::Result<Option<Publication>, Trouble> {
        let Some(signed) = self.in_hand()? else {
            self.stamp_later()?;
            return Ok(None);
        };
        let stamp = self.signature_stamp(&signed.envelope)?;
        let mut entered = Vec::new();
        for (n, addresses) in self.services.logs.iter().enumerate() {
            entered.push(self.enter(&signed, n, addresses, stamp.as_deref())?);
        }
        let mut stamps = Vec::new();
        for (n, entered) in entered.iter().enumerate() {
            // Published it is, with or without: an authority that is down does not hold it up.
            stamps.push(match self.checkpoint_stamp(n, entered) {
                Ok(stamp) => stamp,
                Err(Trouble::Local(error)) => return Err(error.into()),
                Err(_) => None,
            });
        }
        Ok(Some(self.store(&signed, &entered, &stamps)?))
    }

    /// The statement in hand: the one that was signed before, or one about the next head that waits.
    fn in_hand(&self) -> Result<Option<Signed>> {
        if let Some(signed) = self.queue.signed()? {
            return Ok(Some(signed));
        }
        let last = self.queue.last()?;
        let head = loop {
            let Some(size) = self.queue.waiting()?.first().copied() else { return Ok(None) };
            if last.as_ref().is_none_or(|last| size > last.size) {
                break self.queue.head(size)?;
            }
            self.queue.drop_head(size)?;
        };
        let sequence = last.as_ref().map_or(0, |last| last.sequence + 1);
        let anchor = self.folder.anchor(sequence);
        if anchor.exists() {
            return Err(Error::damaged(
                &anchor,
                "a head was published under this number that private/publish does not know of: the folder was \
                 restored from an older copy. Publishing another head under the same number would contradict it; \
                 restore the newest copy",
            ));
        }
        let statement = self.statement(&head, sequence, last.as_ref())?;
        let signed = Signed { note: head.note, sequence, envelope: self.key.sign(statement) };
        self.queue.sign(&signed)?;
        Ok(Some(signed))
    }

    fn statement(
        &self,
        head: &SignedHead,
        sequence: u64,
        last: Option<&Publication>,
    ) -> Result<Vec<u8>> {
        let path = self.folder.queue();
        let note = Note::parse(&head.note).map_err(|e| Error::damaged(&path, e.to_string()))?;
        let signed = note.verify(&self.vkey).is_ok_and(|signed| signed.is_some());
        if !signed || head.checkpoint.origin != self.vkey.name() {
            return Err(Error::damaged(
                &path,
                "a head in the queue is not signed by this log's key",
            ));
        }
        let published = PublishedHead {
            origin: head.checkpoint.origin.clone(),
            log_key: self.vkey.to_string(),
            size: head.checkpoint.size,
            root: hex::encode(head.checkpoint.root),
            sequence,
            previous: last.map(Publication::previous),
        };
        Ok(published.statement(&subject_digest(&note, self.vkey.name())))
    }

    /// The stamp over the signature, which the bundles hold.
    fn signature_stamp(
        &self,
        envelope: &Envelope,
    ) -> std::result::Result<Option<Vec<u8>>, Trouble> {
        if self.services.authorities.is_empty() {
            return Ok(None);
        }
        if let Some(stamp) = self.queue.kept("stamp")?
            && self.trust.check_stamp(&stamp, &envelope.signature).is_ok()
        {
            return Ok(Some(stamp));
        }
        let stamp = self.stamp(&envelope.signature)?;
        self.queue.keep("stamp", &stamp)?;
        Ok(Some(stamp))
    }

    /// A stamp by the first authority that gives one which the trusted root accepts.
    fn stamp(&self, over: &[u8]) -> std::result::Result<Vec<u8>, Trouble> {
        let mut trouble = Trouble::Refused("no time-stamping authority is named".into());
        for url in &self.services.authorities {
            let stamp = tsa::stamp(&self.http, url, over).and_then(|stamp| {
                let refuse = |e| Trouble::Refused(format!("{url}: the answer was refused: {e}"));
                self.trust.check_stamp(&stamp, over).map_err(refuse)?;
                Ok(stamp)
            });
            match stamp {
                Ok(_) | Err(Trouble::Local(_)) => return stamp,
                Err(other) => trouble = other,
            }
        }
        Err(trouble)
    }

    /// Enters the statement in the n-th log, once.
    fn enter(
        &self,
        signed: &Signed,
        n: usize,
        addresses: &[LogUrl],
        stamp: Option<&[u8]>,
    ) -> std::result::Result<Entered, Trouble> {
        let name = format!("{n}.sigstore.json");
        if let Some(bundle) = self.queue.kept(&name)? {
            if let Ok(verified) = self.check(signed, &bundle) {
                return Ok(Entered { bundle, verified });
            }
            // The trusted root is another one now; the entry can be had again.
            self.queue.forget(&name)?;
        }
        let mut trouble = Trouble::Refused("no address of the log is named".into());
        for LogUrl { url, version } in addresses {
            let entry = match version {
                RekorVersion::V1 => rekor_v1::submit(&self.http, url, &signed.envelope),
                RekorVersion::V2 => rekor_v2::submit(&self.http, url, &signed.envelope),
            };
            match entry {
                Err(frozen @ Trouble::Frozen(_)) => trouble = frozen,
                Err(other) => return Err(other),
                Ok(entry) => {
                    let entered = self.accept(signed, entry, stamp).map_err(|why| {
                        Trouble::Refused(format!("{url}: the answer was refused: {why}"))
                    })?;
                    self.queue.keep(&name, &entered.bundle)?;
                    return Ok(entered);
                }
            }
        }
        Err(trouble)
    }

    /// Verifies what a log answered, as anybody who is given the bundle will.
    fn accept(
        &self,
        signed: &Signed,
        mut entry: Entry,
        stamp: Option<&[u8]>,
    ) -> std::result::Result<Entered, String> {
        let unknown = || "it is from a log that your trusted root does not name".to_owned();
        entry.log_id = TrustedLog::id(&self.logs, &entry.log_id).ok_or_else(unknown)?;
        if !TrustedLog::in_force(&self.logs, &entry.log_id) {
            return Err("the log's key is not in force now, by your trusted root".into());
        }
        let bundle = signed.envelope.bundle(&entry, stamp);
        let verified = self.check(signed, &bundle)?;
        self.not_older(signed.sequence, &verified)?;
        Ok(Entered { bundle, verified })
    }

    fn check(&self, signed: &Signed, bundle: &[u8]) -> std::result::Result<VerifiedAnchor, String> {
        let anchor = Anchor { stamp: None, bundle: ByteBuf::from(bundle) };
        let verified = self.trust.check(&anchor).map_err(|e| e.to_string())?;
        if verified.statement == signed.envelope.payload {
            Ok(verified)
        } else {
            Err("it is about another statement".into())
        }
    }

    /// A log that shows an older state than before hides something, or was rolled back.
    fn not_older(
        &self,
        sequence: u64,
        verified: &VerifiedAnchor,
    ) -> std::result::Result<(), String> {
        let Some(before) = sequence.checked_sub(1) else { return Ok(()) };
        for n in 0.. {
            let path = self.folder.anchor(before).join(format!("{n}.sigstore.json"));
            let Ok(bundle) = fs::read(path) else { break };
            let anchor = Anchor { stamp: None, bundle: ByteBuf::from(bundle) };
            let Ok(earlier) = self.trust.check(&anchor) else { continue };
            let (was, is) = (tree(&earlier.log_checkpoint), tree(&verified.log_checkpoint));
            if earlier.position.log_id != verified.position.log_id {
                continue;
            }
            if is.0 < was.0 {
                return Err(format!(
                    "its checkpoint of {} entries is older than the last one seen, of {}",
                    is.0, was.0
                ));
            }
            if is.0 == was.0 && is.1 != was.1 {
                return Err(format!(
                    "its checkpoint of {} entries contradicts the last one seen, which has another root",
                    is.0
                ));
            }
        }
        Ok(())
    }

    /// The stamp over the log's checkpoint: "public since". Rekor v1 signs a time itself.
    fn checkpoint_stamp(
        &self,
        n: usize,
        entered: &Entered,
    ) -> std::result::Result<Option<Vec<u8>>, Trouble> {
        let checkpoint = entered.verified.log_checkpoint.as_bytes();
        let name = format!("{n}.tsr");
        if let Some(stamp) = self.queue.kept(&name)?
            && self.trust.check_stamp(&stamp, checkpoint).is_ok()
        {
            return Ok(Some(stamp));
        }
        if entered.verified.public.is_some() {
            return Ok(None);
        }
        let stamp = self.stamp(checkpoint)?;
        self.check_public(&entered.bundle, &stamp)?;
        self.queue.keep(&name, &stamp)?;
        Ok(Some(stamp))
    }

    fn check_public(&self, bundle: &[u8], stamp: &[u8]) -> std::result::Result<(), Trouble> {
        let anchor = Anchor { stamp: Some(ByteBuf::from(stamp)), bundle: ByteBuf::from(bundle) };
        self.trust.check(&anchor).map(|_| ()).map_err(|e| Trouble::Refused(e.to_string()))
    }

    /// Puts everything beside the log, and then takes the number as used.
    fn store(
        &self,
        signed: &Signed,
        entered: &[Entered],
        stamps: &[Option<Vec<u8>>],
    ) -> Result<Publication> {
        let folder = self.folder.anchor(signed.sequence);
        let head = SignedHead::parse(signed.note.clone())
            .map_err(|why| Error::damaged(&self.folder.queue(), why))?;
        let note = Note::parse(&signed.note)
            .map_err(|e| Error::damaged(&self.folder.queue(), e.to_string()))?;
        let size = head.checkpoint.size;
        self.queue.publish(&self.folder.quoted_head(size), signed.note.as_bytes())?;
        let subject = subject(&note, &head.checkpoint.origin);
        self.queue.publish(&folder.join("checkpoint"), subject.as_bytes())?;
        let mut unstamped = Vec::new();
        for (n, (entered, stamp)) in entered.iter().zip(stamps).enumerate() {
            match stamp {
                Some(stamp) => self.queue.publish(&folder.join(format!("{n}.tsr")), stamp)?,
                None if entered.verified.public.is_none() => unstamped.push(n),
                None => {}
            }
            self.queue.publish(&folder.join(format!("{n}.sigstore.json")), &entered.bundle)?;
        }
        let publication = Publication {
            sequence: signed.sequence,
            size,
            root: hex::encode(head.checkpoint.root),
            published: entered.iter().map(Entered::place).collect(),
        };
        self.queue.finish(&publication, &unstamped)?;
        Ok(publication)
    }

    /// Gets the stamps that could not be had before. A later "public since" is as true.
    fn stamp_later(&self) -> std::result::Result<(), Trouble> {
        for (sequence, n) in self.queue.unstamped()? {
            let folder = self.folder.anchor(sequence);
            let path = folder.join(format!("{n}.sigstore.json"));
            let bundle = fs::read(&path).at(&path, "read the file")?;
            let anchor = Anchor { stamp: None, bundle: ByteBuf::from(bundle.clone()) };
            let refuse = |e| Trouble::Refused(format!("{}: {e}", path.display()));
            let verified = self.trust.check(&anchor).map_err(refuse)?;
            let stamp = self.stamp(verified.log_checkpoint.as_bytes())?;
            self.check_public(&bundle, &stamp)?;
            self.queue.publish(&folder.join(format!("{n}.tsr")), &stamp)?;
            self.queue.drop_unstamped(sequence, n)?;
        }
        Ok(())
    }
}

/// A statement that is in a log.
struct Entered {
    bundle: Vec<u8>,
    verified: VerifiedAnchor,
}

impl Entered {
    fn place(&self) -> PublishedIn {
        PublishedIn {
            log: self.verified.log.clone(),
            log_id: self.verified.position.log_id.clone(),
            index: self.verified.position.index,
        }
    }
}

/// Size and root of a verified checkpoint, which may have extension lines.
fn tree(checkpoint: &str) -> (u64, &str) {
    let mut lines = checkpoint.lines().skip(1);
    let size = lines.next().and_then(|size| size.parse().ok()).unwrap_or_default();
    (size, lines.next().unwrap_or_default())
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
