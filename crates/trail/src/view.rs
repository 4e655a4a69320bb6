//! The JSON view of an event, for people and for programs that read JSON.

use std::convert::Infallible;

use ciborium::Value;
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::cbor;
use crate::checkpoint::Checkpoint;
use crate::event::{Event, EventError, EventType};
use crate::evidence::{Entries, Evidence, ProvenEntry};
use crate::merkle::{self, Hash, NodeReader, leaf_hash, node_hash};
use crate::note::Note;
use crate::time::to_rfc3339;

/// What proves that an entry is in the log.
#[derive(Clone, Debug)]
pub struct EntryProof<'a> {
    /// The size of the tree that the path leads to.
    pub size: u64,
    /// Its root.
    pub root: &'a Hash,
    /// The inclusion path, from the leaf's sibling up.
    pub path: &'a [Hash],
    /// The signed note that names the root.
    pub note: &'a str,
}

/// Why an entry of an evidence file cannot be shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// It is not there.
    #[error("entry {0} is not in this file")]
    NotHere(u64),
    /// It is no event.
    #[error("entry {0} cannot be read as an event: {1}")]
    NoEvent(u64, EventError),
}

/// The view of the entry at `index` of an evidence file, with its proof of inclusion in the newest head.
///
/// # Errors
/// The entry is not in the file, or is no event.
pub fn entry_of(evidence: &Evidence, index: u64) -> Result<Json, ViewError> {
    let missing = ViewError::NotHere(index);
    let (bytes, path) = match &evidence.entries {
        Entries::All(all) => {
            let bytes = usize::try_from(index).ok().and_then(|i| all.get(i)).ok_or(missing)?;
            (bytes, path_among(all, index))
        }
        Entries::Some(some) => {
            let found = some.iter().find(|ProvenEntry(at, ..)| *at == index).ok_or(missing)?;
            (&found.1, found.2.iter().map(|hash| **hash).collect())
        }
    };
    let event = Event::decode(bytes).map_err(|e| ViewError::NoEvent(index, e))?;
    let newest = evidence.heads.last().and_then(|head| {
        Some((head, Checkpoint::parse(&Note::parse(&head.note).ok()?.text).ok()?))
    });
    // A proof that does not hold is not shown as one.
    let holds = |(_, head): &(_, Checkpoint)| {
        merkle::verify_inclusion(bytes, index, head.size, &head.root, &path).is_ok()
    };
    let proof = newest.as_ref().filter(|newest| holds(newest)).map(|(head, checkpoint)| {
        EntryProof { size: checkpoint.size, root: &checkpoint.root, path: &path, note: &head.note }
    });
    Ok(entry(index, &event, proof.as_ref()))
}

fn path_among(entries: &[serde_bytes::ByteBuf], index: u64) -> Vec<Hash> {
    let leaves = InMemory(entries.iter().map(|entry| leaf_hash(entry)).collect());
    match merkle::inclusion_path(index, entries.len() as u64, &leaves) {
        Ok(path) => path,
        Err(never) => match never {},
    }
}

/// A tree over leaf hashes in memory.
struct InMemory(Vec<Hash>);

impl NodeReader for InMemory {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        if level == 0 {
            return Ok(self.0.get(index as usize).copied().unwrap_or_else(merkle::empty_root));
        }
        Ok(node_hash(&self.node(level - 1, index * 2)?, &self.node(level - 1, index * 2 + 1)?))
    }
}

/// The view of the entry at `index`, with its proof when there is one.
pub fn entry(index: u64, event: &Event, proof: Option<&EntryProof<'_>>) -> Json {
    let is = |kind: EventType| event.kind == kind;
    let data = |key: &str| event.get(key).map_or(Json::Null, to_json);
    json!({
        "index": index,
        "run": event.run.to_string(),
        "seq": event.seq,
        "timestamp": to_rfc3339(event.time),
        "event_type": event.kind.as_str(),
        "known_type": event.kind.is_known(),
        "event_data": if is(EventType::Annotation) { annotation(event) } else { to_json(&event.data) },
        "policy_state": {
            "checkpoint": if is(EventType::Checkpoint) { data("name") } else { data("checkpoint") },
            "parameter_delta_norm": data("delta_l2"),
            "gradient_stats": data("gradient_stats"),
        },
        "merkle_proof": proof.map(|proof| json!({
            "tree_size": proof.size,
            "root": hash(proof.root),
            "path": proof.path.iter().map(|h| hash(h)).collect::<Vec<_>>(),
        })),
        "signature": proof.map(|proof| proof.note),
    })
}

/// An annotation's fields under the names of the JSON view. What is private shows as its commitment.
fn annotation(event: &Event) -> Json {
    let data = |key: &str| event.get(key).map_or(Json::Null, to_json);
    let is_rating = event.get("response").is_some();
    let released = data("released");
    let mut view = json!({
        "kind": data("kind"),
        "annotator_id": data("annotator"),
        "prompt_hash": data("prompt"),
        "reward": if is_rating { &released } else { &Json::Null },
        "reward_reason": if is_rating && !released.is_null() {
            "released with noise; the rating itself is committed, see the hash"
        } else {
            "committed, not shown; see the hash"
        },
        "privacy_noise": null,
        "privacy_noise_reason": "noise is never logged in the clear",
    });
    if event.get("judge").is_some() {
        view["judge"] = data("judge");
    }
    if !is_rating && !released.is_null() {
        view["preference"] = released;
        view["preference_reason"] =
            "released with randomised response; the vote itself is committed, see the hash".into();
    }
    let hashes: &[(&str, &str)] = if is_rating {
        &[("response_hash", "response"), ("reward_hash", "reward")]
    } else {
        &[
            ("response_a_hash", "response_a"),
            ("response_b_hash", "response_b"),
            ("preference_hash", "preference"),
        ]
    };
    for (name, key) in hashes {
        view[*name] = data(key);
    }
    view
}

/// As [`cbor::to_json`], with 32-byte strings shown as the SHA-256 hashes they are.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Bytes(bytes) if bytes.len() == 32 => hash(bytes).into(),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(pairs) => cbor::object(
            pairs.iter().map(|(k, v)| (k.as_text().unwrap_or_default().to_owned(), to_json(v))),
        ),
        other => cbor::to_json(other),
    }
}

/// Lower-case hex.
pub fn hex(hash: &Hash) -> String {
    ::hex::encode(hash)
}

/// A hash from its 64 hex digits.
pub fn parse_hash(hex: &str) -> Option<Hash> {
    ::hex::decode(hex).ok()?.try_into().ok()
}

fn hash(bytes: &[u8]) -> String {
    format!("sha256:{}", ::hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::run;

    #[test]
    fn an_annotation_shows_commitments_and_no_reward() {
        let data = cbor::map([
            ("kind", "rating".into()),
            ("annotator", Value::Bytes(vec![0xab; 16])),
            ("prompt", Value::Bytes(vec![1; 32])),
            ("response", Value::Bytes(vec![2; 32])),
            ("reward", Value::Bytes(vec![3; 32])),
        ]);
        let event = Event { time: 0, run: run(1), seq: 4, kind: EventType::Annotation, data };
        let view = entry(9, &event, None);
        let shown = &view["event_data"];
        assert_eq!(shown["annotator_id"], "ab".repeat(16));
        assert_eq!(shown["prompt_hash"], format!("sha256:{}", "01".repeat(32)));
        assert_eq!(shown["reward_hash"], format!("sha256:{}", "03".repeat(32)));
        assert_eq!(shown["reward"], Json::Null);
        let Value::Map(mut released) = event.data else { unreachable!() };
        released.push(("released".into(), Value::Float(-0.5)));
        let view_released = entry(9, &Event { data: Value::Map(released), ..event }, None);
        assert_eq!(view_released["event_data"]["reward"], -0.5);
        assert_eq!(view["policy_state"]["parameter_delta_norm"], Json::Null);
        assert_eq!(view["merkle_proof"], Json::Null);
    }
}
