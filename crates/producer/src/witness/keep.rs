//! Cosignatures put on a head, and into the files that show it to others.

use trail::note::Note;

use super::Cosignature;
use crate::audit::Audit;
use crate::error::{Error, Result};
use crate::head::SignedHead;

impl Audit {
    /// Puts cosignatures on a head of this log, beside those that it has: into `heads/<size>`, and into
    /// `checkpoint` while it is the newest. Of one key the newest cosignature stays.
    ///
    /// # Errors
    /// The head is not of this log, or a file cannot be read or written.
    pub fn add_cosignatures(
        &mut self,
        head: &SignedHead,
        cosignatures: &[Cosignature],
    ) -> Result<SignedHead> {
        let head = self.reader().past_head(&head.note, self.vkey())?;
        let newest = (head.checkpoint == self.head().checkpoint).then(|| self.head().clone());
        let path = self.folder.quoted_head(head.checkpoint.size);
        let kept = match SignedHead::read_ours(&path, self.vkey()) {
            Ok(kept) if kept.checkpoint != head.checkpoint => {
                return Err(Error::damaged(
                    &path,
                    "it contradicts the log: same size, another root",
                ));
            }
            Ok(kept) => Some(kept),
            Err(Error::Missing(_)) => None,
            Err(e) => return Err(e),
        };
        // Whatever either file has is worth keeping; the log's own signatures are in all of them.
        let base = newest.clone().unwrap_or(head);
        let lines = kept.iter().flat_map(|kept| Note::parse(&kept.note)).flat_map(|n| n.signatures);
        let cosigned = merged(&base, lines.collect(), cosignatures)?;
        // First where it stays: a crash between the two loses nothing.
        self.keep(&path, cosigned.note.as_bytes())?;
        if newest.is_some() {
            self.log.replace_head(cosigned.clone())?;
        }
        Ok(cosigned)
    }
}

/// A head with further lines: those of other keys, then these cosignatures.
fn merged(
    head: &SignedHead,
    others: Vec<trail::note::SignatureLine>,
    cosignatures: &[Cosignature],
) -> Result<SignedHead> {
    let mut note = Note::parse(&head.note).map_err(|e| Error::NoHead(e.to_string()))?;
    for line in others {
        let known = note.signatures.iter().any(|l| l.name == line.name && l.key_id == line.key_id);
        if !known {
            note.signatures.push(line);
        }
    }
    for new in cosignatures {
        let mine = |line: &trail::note::SignatureLine| {
            line.name == new.key.name() && line.key_id == new.key.id()
        };
        let (lines, rest): (Vec<_>, Vec<_>) = note.signatures.iter().cloned().partition(mine);
        let old = Note { text: note.text.clone(), signatures: lines };
        let at = old.verify(&new.key).ok().flatten().and_then(|signed| signed.cosigned_at);
        if old.signatures.len() != 1 || at.is_none_or(|at| at < new.at) {
            note.signatures = rest;
            note.signatures.push(new.line.clone());
        }
    }
    // More lines than a note may have would make the head unreadable.
    SignedHead::parse(note.to_string()).map_err(Error::NoHead)
}
