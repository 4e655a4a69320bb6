//! A log's folder, verified entry by entry, whatever its size.

use std::borrow::Cow;
use std::fs;

use trail::report::Report;
use trail::tile::{CheckedEntries, TileTree};
use trail::verify::{self, EntryStream, MANY_ANCHORS, Parts, Question};

use crate::error::Result;
use crate::reader::LogReader;

impl LogReader {
    /// Verifies the log. Its card is verified when it is the newest thing in the log but for notices of publication.
    ///
    /// # Errors
    /// A file that heads, anchors or the card are read from is missing or damaged. Whatever else is wrong, the report
    /// says.
    pub fn verify(&self, question: &Question<'_>) -> Result<Report> {
        let card = self.current_card()?;
        let published = self.published(MANY_ANCHORS)?;
        let transitions = self.transition_heads()?;
        let heads =
            transitions.iter().chain(published.heads()).chain(card.as_ref().map(|card| &card.head));
        let heads = self.chain(heads.chain([self.head()]), &TileTree::new(self, self.size()))?;
        let parts = Parts {
            heads,
            anchors: published.anchors(),
            card: card.map(|card| Cow::Owned(card.bytes)),
            keys: self.keys_beside(),
            ..Parts::default()
        };
        let entries = CheckedEntries::new(self, self.size()).map(|entry| entry.map(Cow::Owned));
        Ok(verify::verify_parts(&parts, EntryStream::All(Box::new(entries)), question))
    }

    /// The key that the producer wrote beside the log: it shows that the folder agrees with itself, and never counts
    /// as chosen.
    fn keys_beside(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder().policy().join("policy")).unwrap_or_default();
        let keys =
            text.lines().filter_map(|line| line.strip_prefix("log ")?.split_whitespace().next());
        keys.map(str::to_owned).collect()
    }
}
