//! Logs and evidence files for tests, made without the producer, so that the verifier is tried
//! against files that the producer would never write.
#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)]

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ciborium::Value;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_bytes::ByteBuf;
use trail::card::{AsOf, CardBuilder};
use trail::checkpoint::Checkpoint;
use trail::commitment::{DisclosedOpening, commit};
use trail::evidence::{Entries, Evidence, HashBytes, Head, ProvenEntry};
use trail::merkle::{self, Frontier, Hash, NodeReader, leaf_hash, sha256};
use trail::note::{KeyKind, VerifierKey};
use trail::policy::TrustPolicy;
use trail::{Event, EventType, RunId, cbor};

pub const ORIGIN: &str = "log.example/demo";

pub struct Log {
    pub origin: String,
    pub key: SigningKey,
    pub entries: Vec<Vec<u8>>,
}

/// An event with seq as given; the run is the same throughout.
pub fn event(seq: u64, kind: EventType, data: Value) -> Vec<u8> {
    Event { time: 1_700_000_000_000_000 + seq, run: run(), seq, kind, data }.encode().unwrap()
}

pub fn run() -> RunId {
    let mut bytes = [9; 16];
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    RunId::from_bytes(bytes).unwrap()
}

pub fn rating(seq: u64, reward: f64) -> Vec<u8> {
    let field = |name: &str, content: Value| {
        let content = cbor::encode(&content).unwrap();
        Value::Bytes(commit(&run(), seq, name, &blind(seq, name), &content).to_vec())
    };
    event(
        seq,
        EventType::Annotation,
        cbor::map([
            ("kind", "rating".into()),
            ("annotator", Value::Bytes(vec![(seq % 3) as u8; 16])),
            ("prompt", field("prompt", "Why is the sky blue?".into())),
            ("response", field("response", "Scattering.".into())),
            ("reward", field("reward", Value::Float(reward))),
        ]),
    )
}

fn blind(seq: u64, name: &str) -> [u8; 32] {
    sha256(format!("{seq} {name}").as_bytes())
}

pub fn opening(index: u64, reward: f64) -> DisclosedOpening {
    DisclosedOpening {
        r: blind(index, "reward").to_vec(),
        field: "reward".into(),
        index,
        content: cbor::encode(&Value::Float(reward)).unwrap(),
    }
}

impl Log {
    /// A log of one run: start, guideline, `n` ratings, an evaluation, an incident, the end.
    pub fn sample(n: u64) -> Self {
        let mut log =
            Self { origin: ORIGIN.into(), key: SigningKey::from_bytes(&[1; 32]), entries: vec![] };
        log.entries.push(event(0, EventType::RunStart, cbor::map([("model", "tiny".into())])));
        let digest = Value::Bytes(sha256(b"Be kind.").to_vec());
        let guideline = cbor::map([("title", "Rules".into()), ("sha256", digest)]);
        log.entries.push(event(1, EventType::Guideline, guideline));
        for seq in 2..2 + n {
            log.entries.push(rating(seq, 3.0));
        }
        let document = |json| cbor::map([("document", cbor::from_json(&json))]);
        let evaluation =
            document(serde_json::json!({"name": "harmless", "accuracy": 0.75, "n": 3.0}));
        log.push(EventType::Evaluation, evaluation);
        log.push(EventType::Incident, document(serde_json::json!({"what": "a worker crashed"})));
        log.push(EventType::RunEnd, cbor::map([("outcome", "completed".into())]));
        log
    }

    pub fn push(&mut self, kind: EventType, data: Value) {
        let seq = self.entries.len() as u64;
        self.entries.push(event(seq, kind, data));
    }

    pub fn vkey(&self) -> VerifierKey {
        VerifierKey::new(&self.origin, KeyKind::Ed25519, self.key.verifying_key().as_bytes())
            .unwrap()
    }

    pub fn root(&self, size: usize) -> Hash {
        let mut frontier = Frontier::default();
        self.entries[..size].iter().for_each(|entry| frontier.push(leaf_hash(entry)));
        frontier.root()
    }

    pub fn note(&self, size: usize) -> String {
        let head =
            Checkpoint { origin: self.origin.clone(), size: size as u64, root: self.root(size) };
        let text = head.to_string();
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let line = BASE64.encode([self.vkey().id().as_slice(), &signature].concat());
        format!("{text}\n— {} {line}\n", self.origin)
    }

    /// Derives the card, logs its digest, and gives evidence with all entries and both heads.
    pub fn evidence(mut self) -> (Evidence, Self) {
        let size = self.entries.len();
        let mut builder = CardBuilder::default();
        for (index, entry) in self.entries.iter().enumerate() {
            builder.add(index as u64, &Event::decode(entry).unwrap());
        }
        let root = hex::encode(self.root(size));
        let as_of = AsOf { origin: self.origin.clone(), size: size as u64, root };
        let card = builder.finish(as_of).to_bytes().unwrap();
        self.log_card(&card);
        (self.evidence_with(card, size), self)
    }

    pub fn log_card(&mut self, card: &[u8]) {
        self.push(EventType::Card, cbor::map([("sha256", Value::Bytes(sha256(card).to_vec()))]));
    }

    pub fn evidence_with(&self, card: Vec<u8>, as_of: usize) -> Evidence {
        let size = self.entries.len();
        let proof = merkle::consistency_path(as_of as u64, size as u64, &self.levels()).unwrap();
        Evidence {
            v: 1,
            card: Some(ByteBuf::from(card)),
            keys: vec![self.vkey().to_string()],
            heads: vec![
                Head { note: self.note(as_of), proof: vec![] },
                Head {
                    note: self.note(size),
                    proof: proof.iter().map(|h| HashBytes::new(*h)).collect(),
                },
            ],
            anchors: vec![],
            entries: Entries::All(self.entries.iter().cloned().map(ByteBuf::from).collect()),
            openings: vec![opening(3, 3.0)],
        }
    }

    /// The same evidence with only the entries for which `keep` says so.
    pub fn partial(&self, mut evidence: Evidence, keep: impl Fn(&Event) -> bool) -> Evidence {
        let size = self.entries.len() as u64;
        let some =
            self.entries.iter().enumerate().filter(|(_, e)| keep(&Event::decode(e).unwrap()));
        let some = some.map(|(index, entry)| {
            let path = merkle::inclusion_path(index as u64, size, &self.levels()).unwrap();
            let path = path.iter().map(|h| HashBytes::new(*h)).collect();
            ProvenEntry(index as u64, ByteBuf::from(entry.clone()), path)
        });
        evidence.entries = Entries::Some(some.collect());
        evidence.openings.clear();
        evidence
    }

    pub fn levels(&self) -> Levels {
        let mut levels = vec![self.entries.iter().map(|e| leaf_hash(e)).collect::<Vec<_>>()];
        while levels.last().unwrap().len() > 1 {
            let below = levels.last().unwrap().as_chunks::<2>().0;
            levels.push(below.iter().map(|[l, r]| merkle::node_hash(l, r)).collect());
        }
        Levels(levels)
    }

    pub fn policy(&self) -> TrustPolicy {
        policy_for(&self.vkey(), "null")
    }
}

pub fn policy_for(key: &VerifierKey, requirements: &str) -> TrustPolicy {
    let json = format!(
        r#"{{"policy":"log {key}\nquorum none\n","requirements":{requirements},"source":"their letter","label":"policy.txt","chosen_on":"2026-11-23"}}"#
    );
    TrustPolicy::from_json(&json).unwrap()
}

pub struct Levels(Vec<Vec<Hash>>);

impl NodeReader for Levels {
    type Error = Infallible;
    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        Ok(self.0[level as usize][index as usize])
    }
}
