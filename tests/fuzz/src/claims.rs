//! The events of a log and what some claims count in them, read from their CBOR without the event types
//! of the program.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value;
use serde_json::{Value as Json, json};
use trail::Event;
use trail::evidence::{Entries, Evidence, ProvenEntry};

use crate::tree::Hash;

/// Events by the index of their entry.
pub type Logged = BTreeMap<u64, Fields>;

/// An event's fields.
pub struct Fields {
    pub run: Vec<u8>,
    pub seq: u64,
    pub kind: String,
    data: Vec<(Value, Value)>,
}

impl Fields {
    fn read(entry: &[u8]) -> Option<Self> {
        // What is no event counts for nothing.
        Event::decode(entry).ok()?;
        let value: Value = ciborium::from_reader(entry).ok()?;
        let fields = value.into_map().ok()?;
        let field = |name: &str| {
            fields.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
        };
        Some(Self {
            run: field("run")?.as_bytes()?.clone(),
            seq: u64::try_from(field("seq")?.as_integer()?).ok()?,
            kind: field("type")?.as_text()?.to_owned(),
            data: field("data")?.as_map()?.clone(),
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.data.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
    }

    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.get(name)?.as_bytes().map(Vec::as_slice)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    pub fn logs_card(&self, digest: &Hash) -> bool {
        self.kind == "card" && self.bytes("sha256") == Some(digest)
    }

    /// From the one key to the other, with this signature by the other.
    pub fn hands_over(&self, role: &str, old: &str, new: &str, proof: &[u8]) -> bool {
        let says = [("role", role), ("old", old), ("new", new)];
        self.kind == "key.rotate"
            && says.iter().all(|(name, value)| self.text(name) == Some(*value))
            && self.bytes("proof") == Some(proof)
    }

    pub fn holds_root(&self, root: &Hash) -> bool {
        let says = |field: &str| self.bytes(field) == Some(root);
        match self.kind.as_str() {
            "checkpoint" => says("root"),
            "policy.update" => says("root_after") || says("root_before"),
            _ => false,
        }
    }
}

/// The events in the file, wherever they are said to stand.
pub fn read(evidence: &Evidence) -> Logged {
    let entries: Vec<(u64, &[u8])> = match &evidence.entries {
        Entries::All(all) => (0..).zip(all.iter().map(|entry| entry.as_slice())).collect(),
        Entries::Some(some) => {
            some.iter().map(|ProvenEntry(at, entry, _)| (*at, entry.as_slice())).collect()
        }
    };
    entries.into_iter().filter_map(|(at, entry)| Some((at, Fields::read(entry)?))).collect()
}

/// The first weight root in the log, to ask for.
pub fn logged_root(evidence: &Evidence) -> Option<Hash> {
    let logged = read(evidence);
    let mut roots = logged
        .values()
        .filter_map(|event| event.bytes("root").or_else(|| event.bytes("root_after")));
    roots.find_map(|root| root.try_into().ok())
}

/// The claim holds for the first `size` entries, of which all are there only if it is the `whole` log.
pub fn assert_holds(id: &str, value: &Json, logged: &Logged, size: u64, whole: bool) {
    let events = || logged.range(..size).map(|(_, event)| event);
    let of = |kind: &str| events().filter(|event| event.kind == kind).count();
    let judged = || events().filter(|event| event.kind == "annotation");
    let kinds = |kind: &str| judged().filter(|event| event.text("kind") == Some(kind)).count();
    let same = |count: usize| assert_eq!(value, &json!(count), "{id}");
    if let Some((name, entry)) = id.rsplit_once('.')
        && let Ok(entry) = entry.parse::<u64>()
    {
        assert!(entry < size, "{id} came later");
        return assert_holds_one(name, value, &logged[&entry]);
    }
    assert!(whole, "{id} takes all entries");
    match id {
        "annotations.annotators" => {
            same(
                judged()
                    .filter_map(|event| event.bytes("annotator"))
                    .collect::<BTreeSet<_>>()
                    .len(),
            );
        }
        "annotations.count" => same(of("annotation")),
        "annotations.preferences" => same(kinds("preference")),
        "annotations.ratings" => same(kinds("rating")),
        "auditors.grants" => same(of("auditor.grant")),
        "checkpoints.count" => same(of("checkpoint")),
        "erasures.count" => same(of("erasure")),
        "events.count" => same(events().count()),
        "events.types" => {
            let mut types: BTreeMap<&str, u64> = BTreeMap::new();
            events().for_each(|event| *types.entry(&event.kind).or_default() += 1);
            assert_eq!(value, &json!(types), "{id}");
        }
        "incidents.count" => same(of("incident")),
        "policy_updates.count" => same(of("policy.update")),
        "policy_updates.unbroken" => assert_eq!(value, &json!(unbroken(events())), "{id}"),
        "privacy.rounds" => same(of("privacy.round")),
        "publication.heads" => same(of("head.published")),
        "runs.count" => same(events().map(|event| &event.run).collect::<BTreeSet<_>>().len()),
        // What is left is the arithmetic on norms and ranges, and times.
        _ => {}
    }
}

fn assert_holds_one(name: &str, value: &Json, event: &Fields) {
    let hex = |field: &str| event.bytes(field).map(hex::encode);
    match name {
        "guideline" => {
            assert_eq!(event.kind, "guideline");
            assert_eq!(value["sha256"], json!(hex("sha256")));
        }
        "checkpoint" => {
            assert_eq!(event.kind, "checkpoint");
            let expected = json!({"name": event.text("name"), "root": hex("root")});
            assert_eq!(value, &expected);
        }
        other => panic!("{other} is no claim of a committed entry"),
    }
}

/// Every update of a run starts from the root that the one before it left.
fn unbroken<'a>(events: impl Iterator<Item = &'a Fields>) -> bool {
    let mut left: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    let mut updates = events.filter(|event| event.kind == "policy.update");
    updates.all(|event| {
        let Some(after) = event.bytes("root_after").filter(|root| root.len() == 32) else {
            return false;
        };
        let left = left.insert(&event.run, after);
        left.is_none_or(|left| event.bytes("root_before") == Some(left))
    })
}
