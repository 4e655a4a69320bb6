//! The model card: RFC 8785 JSON in which every claim says what kind of claim it is and points at its
//! evidence. The specification is `transparency/card.md`.
//!
//! A card is a function of the logged events, so whoever has the events derives it again and
//! compares. Inclusion proves presence, never absence: counts and "none" follow only from all entries.

mod builder;
mod claims;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use thiserror::Error;

pub use builder::{CardBuilder, PRIVATE_FIELDS};
pub use claims::{PRIVACY_SCOPE, known};

/// What a claim rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimKind {
    /// Replay the events and get it.
    Recomputed,
    /// Its digest is in the log.
    Committed,
    /// Somebody said so and signed.
    Asserted,
}

/// Where a claim's evidence is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Pointer {
    /// One entry of the log.
    Entry {
        /// Its index.
        entry: u64,
    },
    /// The entries `[first, end)` of the log.
    Entries {
        /// First and end.
        entries: [u64; 2],
    },
    /// Content kept beside the log.
    Digest {
        /// Its SHA-256, hex.
        sha256: String,
    },
}

impl Pointer {
    /// The index, if it points at one entry.
    pub fn entry(&self) -> Option<u64> {
        match self {
            Self::Entry { entry } => Some(*entry),
            _ => None,
        }
    }
}

/// One claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// A stable id; what comes from one entry ends with that entry's index.
    pub id: String,
    /// The claimed value.
    pub value: Json,
    /// What it rests on.
    pub kind: ClaimKind,
    /// Provisions of the EU AI Act (Regulation (EU) 2024/1689) that ask for it.
    pub eu: Vec<String>,
    /// Subcategories of the NIST AI RMF 1.0 that ask for it.
    pub nist: Vec<String>,
    /// Where its evidence is.
    pub evidence: Vec<Pointer>,
}

/// The tree head that a card speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsOf {
    /// The log.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root over them, hex.
    pub root: String,
}

/// A model card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Format version: 1.
    pub v: u64,
    /// The head it speaks of.
    pub as_of: AsOf,
    /// The claims, ordered by id.
    pub claims: Vec<Claim>,
}

/// Why bytes are not a card.
#[derive(Debug, Error)]
#[error("not a model card: {0}")]
pub struct CardError(String);

impl Card {
    /// The card as RFC 8785 JSON; its SHA-256 is what a `card` event holds.
    ///
    /// # Errors
    /// A value that JSON cannot hold, which claims derived here never have.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CardError> {
        serde_json_canonicalizer::to_vec(self).map_err(|e| CardError(e.to_string()))
    }

    /// Reads a card, which must be in RFC 8785 form.
    ///
    /// # Errors
    /// It is not.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        let text = str::from_utf8(bytes).map_err(|e| CardError(e.to_string()))?;
        let card: Self = serde_json::from_str(text).map_err(|e| CardError(e.to_string()))?;
        if card.v != 1 {
            return Err(CardError(format!("version {} is not known here", card.v)));
        }
        if card.to_bytes()? != bytes {
            return Err(CardError("it is not in RFC 8785 form".into()));
        }
        if !card.claims.is_sorted_by(|a, b| a.id < b.id) {
            return Err(CardError(
                "its claims are not in the order of their ids, each once".into(),
            ));
        }
        Ok(card)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cbor;
    use crate::event::tests::run;
    use crate::event::{Event, EventType};
    use ciborium::Value;
    use proptest::prelude::*;
    use serde_json::json;

    fn card() -> Card {
        let mut builder = CardBuilder::default();
        let start = cbor::map([("model", "m".into())]);
        let vote = cbor::map([
            ("kind", "preference".into()),
            ("annotator", Value::Bytes(vec![1; 16])),
            ("response_a", Value::Bytes(vec![2; 32])),
        ]);
        for (seq, kind, data) in [(0, EventType::RunStart, start), (1, EventType::Annotation, vote)]
        {
            builder.add(seq, &Event { time: 60_000_000 * seq, run: run(1), seq, kind, data });
        }
        builder.finish(AsOf { origin: "o".into(), size: 2, root: "00".into() })
    }

    #[test]
    fn survives_the_round_trip_and_every_claim_has_a_title_and_evidence() {
        let card = card();
        assert_eq!(Card::parse(&card.to_bytes().unwrap()).unwrap(), card);
        for claim in &card.claims {
            let (kind, _) = known(&claim.id).unwrap();
            assert_eq!(kind, claim.kind, "{}", claim.id);
            assert!(!claim.evidence.is_empty(), "{}", claim.id);
        }
        let value = |id: &str| card.claims.iter().find(|c| c.id == id).unwrap().value.clone();
        assert_eq!(value("annotations.count"), 1);
        assert_eq!(value("annotations.content"), json!({"commitments": 1}));
        assert_eq!(value("model.name"), "m");
        assert_eq!(value("incidents.count"), 0);
    }

    #[test]
    fn another_spelling_of_the_same_json_is_refused() {
        let bytes = card().to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(Card::parse(text.replacen(':', ": ", 1).as_bytes()).is_err());
        assert!(Card::parse(text.replacen("\"v\":1", "\"v\":2", 1).as_bytes()).is_err());
        assert!(Card::parse(b"{}").is_err());
    }

    proptest! {
        /// One byte changed: another card or none, never the same one spelled otherwise.
        #[test]
        fn what_is_read_is_written_again_the_same(at: prop::sample::Index, byte: u8) {
            let mut bytes = card().to_bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(card) = Card::parse(&bytes) {
                prop_assert_eq!(card.to_bytes().unwrap(), bytes);
            }
        }
    }
}
