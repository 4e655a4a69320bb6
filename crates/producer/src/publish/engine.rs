//! One head after the other: signed once, stamped, entered in each log, verified as anybody will who is
//! given the bundle, and kept. Each step is durable before the next.

use std::fs;

use serde_bytes::ByteBuf;
use trail::anchor::{Anchor, PublishedHead, VerifiedAnchor, subject, subject_digest};
use trail::checkpoint::Checkpoint;
use trail::merkle;
use trail::note::Note;
use trail::tile::TileTree;
use trail::view::parse_hash;

use super::config::{LogUrl, RekorVersion, TrustedLog};
use super::envelope::Envelope;
use super::queue::{Publication, PublishedIn, Signed};
use super::trouble::Trouble;
use super::{Entry, Publisher, rekor_v1, rekor_v2, tsa, without_notices};
use crate::error::{Error, IoContext as _, Result};
use crate::head::SignedHead;
use crate::reader::LogReader;

impl Publisher {
    /// The next head that waits, published; none where none waits.
    pub(super) fn advance(&mut self) -> std::result::Result<Option<Publication>, Trouble> {
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
    fn in_hand(&mut self) -> Result<Option<Signed>> {
        if let Some(signed) = self.queue.signed()? {
            return Ok(Some(signed));
        }
        self.take_up_key()?;
        let last = self.queue.last()?;
        let Some(head) = self.next_head(last.as_ref())? else { return Ok(None) };
        if let Some(last) = &last {
            self.continues(&head.checkpoint, last)?;
        }
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

    /// The smallest head that waits and has more in it than what is published, and notices of that.
    fn next_head(&self, last: Option<&Publication>) -> Result<Option<SignedHead>> {
        while let Some(size) = self.queue.waiting()?.first().copied() {
            let Some(last) = last else { return self.queue.head(size).map(Some) };
            if size > last.size {
                let head = self.queue.head(size)?;
                if without_notices(&LogReader::at(self.folder.clone(), head.clone()))? > last.size {
                    return Ok(Some(head));
                }
            }
            self.queue.drop_head(size)?;
        }
        Ok(None)
    }

    /// A head that does not continue the last one published is that of a rewritten log, or of one restored
    /// from an older copy. Published, it would be evidence against its signer for ever.
    pub(super) fn continues(&self, head: &Checkpoint, last: &Publication) -> Result<()> {
        let log = LogReader::open(self.folder.root())?;
        if head.size >= last.size && head.size <= log.size() {
            let tree = TileTree::new(&log, log.size());
            let proof = merkle::consistency_path(last.size, head.size, &tree);
            let proof = proof.map_err(|e| log.tile_error(e))?;
            let root = parse_hash(&last.root).unwrap_or_default();
            if merkle::verify_consistency(last.size, &root, head.size, &head.root, &proof).is_ok() {
                return Ok(());
            }
        }
        Err(Error::damaged(
            &self.folder.checkpoint(),
            format!(
                "its head of {} entries does not continue the head of {} entries that was published as number {}: \
                 the log was rewritten or restored from an older copy. Nothing was sent; restore the newest copy \
                 of the whole folder, or start a new log",
                head.size, last.size, last.sequence
            ),
        ))
    }

    fn statement(
        &self,
        head: &SignedHead,
        sequence: u64,
        last: Option<&Publication>,
    ) -> Result<Vec<u8>> {
        let path = self.folder.queue();
        let note = Note::parse(&head.note).map_err(|e| Error::damaged(&path, e.to_string()))?;
        let signer = self.signer_of(head)?;
        let signer = signer.ok_or_else(|| {
            Error::damaged(&path, "a head in the queue is not signed by this log's key")
        })?;
        let published = PublishedHead {
            origin: head.checkpoint.origin.clone(),
            log_key: signer.to_string(),
            size: head.checkpoint.size,
            root: hex::encode(head.checkpoint.root),
            sequence,
            previous: last.map(Publication::previous),
        };
        Ok(published.statement(&subject_digest(&note, signer.name())))
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
