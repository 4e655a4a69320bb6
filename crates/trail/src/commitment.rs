//! Commitments to private fields, and their openings.
//!
//! A rating between 1 and 5 or an annotator's id under a plain hash is guessed in microseconds, so a
//! private field is logged as `SHA-256(domain ‖ 0x00 ‖ run ‖ seq ‖ field ‖ r ‖ content)`, each part after
//! the 0x00 preceded by its length, with a fresh 32-byte random `r` for each field. Whoever is given
//! `(r, content)` can check it; whoever is not learns nothing. The specification is
//! `transparency/commitment.md`.

use std::fmt;

use ciborium::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cbor::{self, CborError};
use crate::event::RunId;
use crate::merkle::Hash;

/// Separates these hashes from every other use of SHA-256.
pub const DOMAIN: &str = "rlhf-audit-trail/commitment/v1";

/// Length of the blinding value, in bytes.
pub const BLIND_LEN: usize = 32;

/// What opens one private field of one event. Secret until the producer decides to disclose it.
#[derive(Clone, PartialEq)]
pub struct Opening {
    /// The field's name in the event's data, for example `reward`.
    pub field: String,
    /// The blinding value: 32 random bytes, never used twice.
    pub blind: [u8; BLIND_LEN],
    /// The content.
    pub content: Value,
}

// Contents and blinding values must not reach a log by way of a debug print.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("field", &self.field).finish_non_exhaustive()
    }
}

impl Opening {
    /// The commitment that this opening opens, for the event `seq` of `run`.
    ///
    /// # Errors
    /// The content cannot be written as deterministic CBOR.
    pub fn commitment(&self, run: &RunId, seq: u64) -> Result<Hash, CborError> {
        Ok(commit(run, seq, &self.field, &self.blind, &cbor::encode(&self.content)?))
    }
}

/// The commitment to `content` (deterministic CBOR) as `field` of the event `seq` of `run`.
pub fn commit(run: &RunId, seq: u64, field: &str, blind: &[u8; BLIND_LEN], content: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN.as_bytes());
    hasher.update([0]);
    for part in [run.as_bytes().as_slice(), &seq.to_be_bytes(), field.as_bytes(), blind, content] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// An opening as the evidence file carries it: for the entry at `index` of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosedOpening {
    /// The blinding value.
    #[serde(with = "serde_bytes")]
    pub r: Vec<u8>,
    /// The field's name.
    pub field: String,
    /// The entry's index in the log.
    pub index: u64,
    /// The content, deterministic CBOR.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::tests::run;

    #[test]
    fn every_part_changes_the_commitment() {
        let base = commit(&run(1), 5, "reward", &[7; 32], &[0x03]);
        assert_ne!(base, commit(&run(2), 5, "reward", &[7; 32], &[0x03]));
        assert_ne!(base, commit(&run(1), 6, "reward", &[7; 32], &[0x03]));
        assert_ne!(base, commit(&run(1), 5, "rewards", &[7; 32], &[0x03]));
        assert_ne!(base, commit(&run(1), 5, "reward", &[8; 32], &[0x03]));
        assert_ne!(base, commit(&run(1), 5, "reward", &[7; 32], &[0x04]));
    }

    #[test]
    fn debug_shows_no_secret() {
        let opening = Opening { field: "reward".into(), blind: [0xAB; 32], content: 4.into() };
        assert_eq!(format!("{opening:?}"), r#"Opening { field: "reward", .. }"#);
    }
}
