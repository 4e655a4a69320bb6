//! Somebody rewrites the record and signs it anew with a key of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ciborium::Value;
use ed25519_dalek::{Signer as _, SigningKey};
use end_to_end::{Work, ratings};
use serde_bytes::ByteBuf;
use serde_json::json;
use trail::card::{AsOf, CardBuilder};
use trail::checkpoint::Checkpoint;
use trail::commitment::commit;
use trail::evidence::{Entries, Evidence, HashBytes, Head};
use trail::merkle::{Frontier, Hash, NodeReader, consistency_path, leaf_hash, node_hash, sha256};
use trail::note::{KeyKind, VerifierKey};
use trail::{Event, EventType, cbor};

/// A log in memory, under a key of the forger's.
struct Forged {
    origin: String,
    key: SigningKey,
    entries: Vec<Vec<u8>>,
}

impl NodeReader for Forged {
    type Error = std::convert::Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(leaf_hash(&self.entries[index as usize]));
        }
        Ok(node_hash(&self.node(level - 1, 2 * index)?, &self.node(level - 1, 2 * index + 1)?))
    }
}

impl Forged {
    fn vkey(&self) -> VerifierKey {
        let public = self.key.verifying_key().to_bytes();
        VerifierKey::new(&self.origin, KeyKind::Ed25519, &public).unwrap()
    }

    fn root(&self, size: usize) -> Hash {
        let mut frontier = Frontier::default();
        self.entries[..size].iter().for_each(|entry| frontier.push(leaf_hash(entry)));
        frontier.root()
    }

    fn note(&self, size: usize) -> String {
        let head =
            Checkpoint { origin: self.origin.clone(), size: size as u64, root: self.root(size) };
        let text = head.to_string();
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let line = BASE64.encode([self.vkey().id().as_slice(), &signature].concat());
        format!("{text}\n— {} {line}\n", self.origin)
    }

    /// Does all that the producer does: a card of the new entries, its digest as the last one, two
    /// heads and the proof between them.
    fn evidence(&mut self) -> Evidence {
        let size = self.entries.len() - 1;
        let mut builder = CardBuilder::default();
        for (index, entry) in self.entries[..size].iter().enumerate() {
            builder.add(index as u64, &Event::decode(entry).unwrap());
        }
        let root = hex::encode(self.root(size));
        let as_of = AsOf { origin: self.origin.clone(), size: size as u64, root };
        let card = builder.finish(as_of).to_bytes().unwrap();
        let mut event = Event::decode(&self.entries[size]).unwrap();
        event.data = cbor::map([
            ("sha256", Value::Bytes(sha256(&card).to_vec())),
            ("size", Value::from(size as u64)),
        ]);
        self.entries[size] = event.encode().unwrap();
        let proof = consistency_path(size as u64, size as u64 + 1, self).unwrap();
        Evidence {
            v: 1,
            card: Some(ByteBuf::from(card)),
            keys: vec![self.vkey().to_string()],
            heads: vec![
                Head { note: self.note(size), proof: vec![] },
                Head {
                    note: self.note(size + 1),
                    proof: proof.iter().map(|hash| HashBytes::new(*hash)).collect(),
                },
            ],
            anchors: vec![],
            entries: Entries::All(self.entries.iter().cloned().map(ByteBuf::from).collect()),
            openings: vec![],
        }
    }
}

/// The entry with another rating in it: a commitment to a 5, which the forger can open.
fn with_another_rating(entry: &[u8]) -> Vec<u8> {
    let mut event = Event::decode(entry).unwrap();
    let content = cbor::encode(&Value::Float(5.0)).unwrap();
    let commitment = commit(&event.run, event.seq, "reward", &[7; 32], &content);
    let Value::Map(fields) = &mut event.data else { panic!("an annotation is a map") };
    let reward = fields.iter_mut().find(|(name, _)| name.as_text() == Some("reward")).unwrap();
    reward.1 = Value::Bytes(commitment.to_vec());
    event.encode().unwrap()
}

fn honest() -> (Work, Evidence) {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(10));
    work.json("log annotations log ratings.jsonl");
    work.json("run end log");
    work.json("evidence log -o honest.evidence");
    let evidence = Evidence::parse(&work.read("honest.evidence")).unwrap();
    (work, evidence)
}

fn entries(evidence: &Evidence) -> Vec<Vec<u8>> {
    let Entries::All(all) = &evidence.entries else { panic!("all entries") };
    all.iter().map(|entry| entry.to_vec()).collect()
}

#[test]
fn a_changed_rating_under_a_fresh_key_is_at_best_consistent_with_itself() {
    let (work, evidence) = honest();
    let mut forged = Forged {
        origin: "log.example/tiny".to_owned(),
        key: SigningKey::from_bytes(&[66; 32]),
        entries: entries(&evidence),
    };
    // Unchanged, the forger's own heads are as good as anybody's: this is the forger at his best.
    work.write("resigned.evidence", forged.evidence().to_bytes().unwrap());
    assert_eq!(work.report("resigned.evidence", 4)["verdict"], "self-consistent");

    forged.entries[4] = with_another_rating(&forged.entries[4]);
    let bytes = forged.evidence().to_bytes().unwrap();
    work.write("forged.evidence", &bytes);
    let report = work.report("forged.evidence", 4);
    assert_eq!(
        (&report["verdict"], &report["meets_policy"]),
        (&json!("self-consistent"), &json!(null))
    );
    assert!(report["key_source"].as_str().unwrap().starts_with("No keys chosen"));
    let unknown = report["not_established"][0].as_str().unwrap();
    assert!(unknown.starts_with("Who signed this"), "{unknown}");

    for policy in ["policy", "policy/policy", "log/policy"] {
        let report = work.report(&format!("forged.evidence --policy {policy}"), 1);
        assert_eq!(
            (&report["verdict"], &report["meets_policy"]),
            (&json!("failed"), &json!(false))
        );
    }
}

#[test]
fn a_forger_who_leaves_a_part_as_it_was_is_caught_without_any_key() {
    let (work, honest) = honest();
    let mut forged = Forged {
        origin: "log.example/tiny".to_owned(),
        key: SigningKey::from_bytes(&[66; 32]),
        entries: entries(&honest),
    };
    forged.entries[4] = with_another_rating(&forged.entries[4]);
    let whole = forged.evidence();
    for (part, evidence) in [
        ("entries", Evidence { entries: honest.entries.clone(), ..whole.clone() }),
        ("heads", Evidence { heads: honest.heads.clone(), ..whole.clone() }),
        ("card", Evidence { card: honest.card.clone(), ..whole.clone() }),
        ("keys", Evidence { keys: honest.keys.clone(), ..whole.clone() }),
        (
            "both keys",
            Evidence { keys: [honest.keys.clone(), whole.keys.clone()].concat(), ..whole.clone() },
        ),
        (
            "one head",
            Evidence {
                heads: vec![honest.heads[0].clone(), whole.heads[1].clone()],
                ..whole.clone()
            },
        ),
        (
            "one entry",
            Evidence { entries: Entries::All(honest_but_for(&honest, &whole)), ..honest.clone() },
        ),
    ] {
        work.write("mixed.evidence", evidence.to_bytes().unwrap());
        let report = work.report("mixed.evidence --policy policy", 1);
        assert_eq!(report["verdict"], "failed", "{part}");
        let answer = work.run("verify mixed.evidence --json");
        // A second key beside the forger's own is no contradiction, only not his to name.
        assert!(
            answer.status == Some(1) || (part == "both keys" && answer.status == Some(4)),
            "{part}: {answer:#?}"
        );
    }
}

fn honest_but_for(honest: &Evidence, forged: &Evidence) -> Vec<ByteBuf> {
    let mut all: Vec<_> = entries(honest).into_iter().map(ByteBuf::from).collect();
    all[4] = ByteBuf::from(entries(forged)[4].clone());
    all
}

/// A safetensors file of one tensor.
fn model(floats: &[f32]) -> Vec<u8> {
    let end = 4 * floats.len();
    let header =
        format!(r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{end}]}}}}"#, floats.len());
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(floats.iter().flat_map(|float| float.to_le_bytes()));
    bytes
}

#[test]
fn a_sketch_of_other_weights_is_found_out_by_who_holds_the_weights() {
    let work = Work::with_log();
    for (name, floats) in [("one", [1.0, 2.0, 3.0]), ("other", [1.5, -2.0, 3.0])] {
        work.write(&format!("{name}.safetensors"), model(&floats));
        work.json(&format!("log checkpoint log {name} --weights {name}.safetensors"));
    }
    work.json("run end log");
    work.json("evidence log -o honest.evidence");
    let evidence = Evidence::parse(&work.read("honest.evidence")).unwrap();
    let mut forged = Forged {
        origin: "log.example/tiny".to_owned(),
        key: SigningKey::from_bytes(&[66; 32]),
        entries: entries(&evidence),
    };
    let held = "--weights one.safetensors";
    let check = |report: &serde_json::Value, name: &str| {
        let all = report["checks"].as_array().unwrap();
        all.iter().find(|check| check["name"] == name).unwrap().clone()
    };
    work.write("resigned.evidence", forged.evidence().to_bytes().unwrap());
    let report = work.report(&format!("resigned.evidence {held}"), 4);
    assert_eq!(check(&report, "weights.sketch")["result"], "pass");

    let mut checkpoints: Vec<(usize, Event)> =
        forged.entries.iter().map(|entry| Event::decode(entry).unwrap()).enumerate().collect();
    checkpoints.retain(|(_, event)| event.kind == EventType::Checkpoint);
    let [(at, one), (_, other)] = checkpoints.as_mut_slice() else { panic!("two checkpoints") };
    let (Value::Map(data), Value::Map(others)) = (&mut one.data, &other.data) else {
        panic!("maps")
    };
    let is_sketch = |(name, _): &&(Value, Value)| name.as_text() == Some("sketch");
    let sketch = others.iter().find(is_sketch).unwrap().1.clone();
    data.iter_mut().find(|(name, _)| name.as_text() == Some("sketch")).unwrap().1 = sketch;
    forged.entries[*at] = one.encode().unwrap();
    work.write("forged.evidence", forged.evidence().to_bytes().unwrap());
    // Nothing in the log contradicts it: the root is that of the weights, and it has one sketch.
    assert_eq!(check(&work.report("forged.evidence", 4), "sketches")["result"], "pass");
    let report = work.report(&format!("forged.evidence {held}"), 1);
    assert_eq!(report["verdict"], "failed");
    assert_eq!(check(&report, "weights")["result"], "pass");
    let found = check(&report, "weights.sketch");
    assert_eq!(found["result"], "fail");
    let says = format!("entry {at} gives these weights another sketch than theirs");
    assert_eq!(found["reason"], says);
    let of_others = work.report("forged.evidence --weights other.safetensors", 4);
    assert_eq!(check(&of_others, "weights.sketch")["result"], "pass");
}
