//! Model cards: derived from the log, kept beside it, their digest logged.

use std::fs;
use std::io;

use ciborium::Value;
use trail::card::{AsOf, Card, CardBuilder};
use trail::merkle::sha256;
use trail::{Event, EventType, cbor};

use crate::audit::Audit;
use crate::error::{Error, IoContext as _, Result};
use crate::head::SignedHead;
use crate::publish::without_notices;
use crate::reader::LogReader;

/// A card as it was logged.
#[derive(Clone, Debug)]
pub struct LoggedCard {
    /// Its bytes, RFC 8785 JSON.
    pub bytes: Vec<u8>,
    /// What they say.
    pub card: Card,
    /// The entry that holds their SHA-256.
    pub entry: u64,
    /// The signed head that the card speaks of.
    pub head: SignedHead,
}

impl LogReader {
    /// The card that the log gives as of its newest head. Reads every entry once, and compares it with
    /// the tree: a card of damaged entries would stand in the log for ever.
    ///
    /// # Errors
    /// The log is damaged.
    pub fn derive_card(&self) -> Result<Card> {
        let mut builder = CardBuilder::default();
        for (index, entry) in (0..).zip(self.checked_entries()) {
            let event = Event::decode(&entry?);
            let event = event.map_err(|e| self.damaged_entry(index, &e))?;
            builder.add(index, &event);
        }
        let head = &self.head().checkpoint;
        Ok(builder.finish(AsOf {
            origin: head.origin.clone(),
            size: head.size,
            root: hex::encode(head.root),
        }))
    }

    /// The card that is still current: nothing but notices of publication came after the entry that holds its
    /// digest.
    ///
    /// # Errors
    /// The card's files are missing or damaged.
    pub fn current_card(&self) -> Result<Option<LoggedCard>> {
        let Some(entry) = without_notices(self)?.checked_sub(1) else { return Ok(None) };
        let event =
            Event::decode(&self.entry(entry)?).map_err(|e| self.damaged_entry(entry, &e))?;
        let digest = event.get("sha256").and_then(cbor::as_array::<32>);
        let (EventType::Card, Some(digest)) = (event.kind, digest) else { return Ok(None) };
        let path = self.folder().card(&digest);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::Missing(path)),
            bytes => bytes.at(&path, "read the card")?,
        };
        if sha256(&bytes) != digest {
            return Err(Error::damaged(&path, "it is not the card whose digest is in the log"));
        }
        let card = Card::parse(&bytes).map_err(|e| Error::damaged(&path, e.to_string()))?;
        let head = SignedHead::read(&self.folder().quoted_head(card.as_of.size))?;
        Ok(Some(LoggedCard { bytes, card, entry, head }))
    }
}

impl Audit {
    /// The current card, derived and logged anew where something has happened since the last one.
    ///
    /// # Errors
    /// The log is damaged, or the card cannot be written or logged.
    pub fn card(&mut self) -> Result<LoggedCard> {
        let reader = self.reader();
        if let Some(current) = reader.current_card()? {
            return Ok(current);
        }
        let card = reader.derive_card()?;
        let bytes = card.to_bytes().map_err(|e| Error::Card(e.to_string()))?;
        let digest = sha256(&bytes);
        let head = self.head().clone();
        // The files before the event: what the log speaks of must be there.
        self.keep(&reader.folder().card(&digest), &bytes)?;
        self.keep_quoted_head()?;
        let data = cbor::map([
            ("sha256", Value::Bytes(digest.to_vec())),
            ("size", Value::from(card.as_of.size)),
        ]);
        let logged = self.log_event(EventType::Card, data)?;
        Ok(LoggedCard { bytes, card, entry: logged.first_index, head })
    }

    /// Keeps the newest head, of which something is about to speak.
    pub(crate) fn keep_quoted_head(&self) -> Result<()> {
        let head = self.head();
        let path = self.folder().quoted_head(head.checkpoint.size);
        // What is there may carry cosignatures that the checkpoint has not got yet.
        let kept = SignedHead::read_ours(&path, self.log.keys());
        if kept.is_ok_and(|kept| kept.checkpoint == head.checkpoint) {
            return Ok(());
        }
        self.keep(&path, head.note.as_bytes())
    }
}
