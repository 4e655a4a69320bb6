//! Evidence files: what a regulator needs, put together from the log.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;
use trail::commitment::DisclosedOpening;
use trail::evidence::{Entries, Evidence, HashBytes, Head, ProvenEntry};
use trail::merkle::{self, Hash};
use trail::note::{Note, VerifierKey};
use trail::proof::LogProof;
use trail::tile::{TileError, TileTree};
use trail::verify::MANY_ANCHORS;
use trail::view::EntryProof;
use trail::{Event, EventType};

use crate::card::LoggedCard;
use crate::error::{Error, Result};
use crate::head::SignedHead;
use crate::reader::LogReader;

/// Which entries go into an evidence file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryChoice {
    /// All of them: every number can be recomputed.
    All,
    /// Those that single claims point at or that are opened, each with its inclusion proof: of annotations, metrics
    /// and updates only those that are opened. Counts are then not established.
    Claims,
}

impl LogReader {
    /// Puts together the evidence for a card of this log, with what was published of it. The heads of `since`, from
    /// [`LogReader::past_head`], are among its heads.
    ///
    /// # Errors
    /// The log is damaged.
    pub fn evidence(
        &self,
        card: &LoggedCard,
        key: &VerifierKey,
        choice: EntryChoice,
        openings: Vec<DisclosedOpening>,
        since: &[SignedHead],
    ) -> Result<Evidence> {
        let tree = TileTree::new(self, self.size());
        let published = self.published(MANY_ANCHORS)?;
        let transitions = self.transition_heads()?;
        let heads = [&card.head, self.head()].into_iter().chain(&transitions).chain(since);
        let heads = self.chain(heads.chain(published.heads()), &tree)?;
        Ok(Evidence {
            v: trail::evidence::VERSION,
            card: Some(ByteBuf::from(card.bytes.clone())),
            keys: self.named(key, &heads)?,
            heads,
            anchors: published.anchors(),
            entries: match choice {
                EntryChoice::All => Entries::All(self.all_entries()?),
                EntryChoice::Claims => Entries::Some(self.claimed_entries(&tree, &openings)?),
            },
            openings,
        })
    }

    /// The key of the log; with those before it where a head is signed by one of them alone.
    fn named(&self, key: &VerifierKey, heads: &[Head]) -> Result<Vec<String>> {
        let signed = |head: &Head| {
            Note::parse(&head.note).is_ok_and(|note| matches!(note.verify(key), Ok(Some(_))))
        };
        if heads.iter().all(signed) {
            return Ok(vec![key.to_string()]);
        }
        Ok(self.log_keys(key)?.iter().map(ToString::to_string).collect())
    }

    /// The heads by size, one for each, with the proof that each continues the one before it.
    pub(crate) fn chain<'a>(
        &self,
        heads: impl Iterator<Item = &'a SignedHead>,
        tree: &TileTree<'_, Self>,
    ) -> Result<Vec<Head>> {
        let mut heads: Vec<_> = heads.collect();
        heads.sort_by_key(|head| head.checkpoint.size);
        heads.dedup_by_key(|head| head.checkpoint.size);
        let mut before = 0;
        let chained = heads.into_iter().map(|head| {
            let size = head.checkpoint.size;
            let proof = merkle::consistency_path(before, size, tree);
            before = size;
            let proof = byte_strings(&proof.map_err(|e| self.tile_error(e))?);
            Ok(Head { note: head.note.clone(), proof })
        });
        chained.collect()
    }

    /// The proof that the entry at `index` is in the log, with the entry as its extra data.
    ///
    /// # Errors
    /// There is no such entry, or the log is damaged.
    pub fn prove(&self, index: u64) -> Result<LogProof> {
        let entry = self.entry(index)?;
        let tree = TileTree::new(self, self.size());
        let path = merkle::inclusion_path(index, self.size(), &tree);
        let path = path.map_err(|e| self.tile_error(e))?;
        let head = &self.head().checkpoint;
        // A proof that does not hold would look like a forgery to whoever gets it.
        merkle::verify_inclusion(&entry, index, head.size, &head.root, &path)
            .map_err(|e| Error::damaged(self.folder().root(), format!("entry {index}: {e}")))?;
        let checkpoint = self.head().note.clone();
        Ok(LogProof { extra: Some(entry), index, path, checkpoint })
    }

    /// The JSON view of the entry at `index`, with its proof.
    ///
    /// # Errors
    /// There is no such entry, or the log is damaged.
    pub fn view(&self, index: u64) -> Result<serde_json::Value> {
        let proof = self.prove(index)?;
        let event = Event::decode(&proof.extra.unwrap_or_default());
        let event = event.map_err(|e| self.damaged_entry(index, &e))?;
        let root = &self.head().checkpoint.root;
        let shown =
            EntryProof { size: self.size(), root, path: &proof.path, note: &proof.checkpoint };
        Ok(trail::view::entry(index, &event, Some(&shown)))
    }

    fn all_entries(&self) -> Result<Vec<ByteBuf>> {
        self.checked_entries().map(|entry| Ok(ByteBuf::from(entry?))).collect()
    }

    /// Without the many entries that only counts and means stand on, but for those that are opened.
    fn claimed_entries(
        &self,
        tree: &TileTree<'_, Self>,
        openings: &[DisclosedOpening],
    ) -> Result<Vec<ProvenEntry>> {
        let opened: BTreeSet<u64> = openings.iter().map(|opening| opening.index).collect();
        let mut proven = Vec::new();
        for (index, entry) in (0..).zip(self.checked_entries()) {
            let entry = entry?;
            let event = Event::decode(&entry).map_err(|e| self.damaged_entry(index, &e))?;
            let many = matches!(
                event.kind,
                EventType::Annotation | EventType::Metric | EventType::PolicyUpdate
            );
            if many && !opened.contains(&index) {
                continue;
            }
            let path = merkle::inclusion_path(index, self.size(), tree);
            let path = path.map_err(|e| self.tile_error(e))?;
            proven.push(ProvenEntry(index, ByteBuf::from(entry), byte_strings(&path)));
        }
        Ok(proven)
    }

    pub(crate) fn tile_error(&self, error: TileError<Error>) -> Error {
        match error {
            TileError::Source(error) => error,
            other => Error::damaged(self.folder().root(), other.to_string()),
        }
    }
}

fn byte_strings(hashes: &[Hash]) -> Vec<HashBytes> {
    hashes.iter().map(|hash| HashBytes::new(*hash)).collect()
}
