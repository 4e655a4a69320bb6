//! Logs that a producer signs whatever is in them: any entries, any card, with true signatures and proofs.
//! Verification gets past the seals and must find what is wrong inside.
//!
//! The input is one byte of choices, then parts, each after its length in two bytes: the card, and the
//! entries. What a length promises beyond the end is not there.

use ciborium::Value;
use serde_bytes::ByteBuf;
use trail::card::{AsOf, CardBuilder};
use trail::event::{Event, EventType, MAX_ENCODED, MIN_ENCODED};
use trail::evidence::{Entries, Evidence, HashBytes, Head, ProvenEntry};
use trail::report::Outcome;
use trail::{cbor, report::Report};

use crate::claims;
use crate::handovers::handed_over;
use crate::reports::names;
use crate::signer;
use crate::targets::verify::{self, By};
use crate::tree::{self, Hash};

/// The card is the one that the entries give.
const DERIVED: u8 = 1;
/// An event logs the card's digest.
const LOGGED: u8 = 2;
/// Every other entry is left out, and the others have their proofs.
const SOME: u8 = 4;
/// Who asks, by two bits.
const ASKED: u8 = CHOSEN | STRICT;
const CHOSEN: u8 = 8;
const STRICT: u8 = 16;

pub fn run(input: &[u8]) {
    let Some((&choices, rest)) = input.split_first() else { return };
    let mut parts = parts(rest).into_iter();
    let mut card = parts.next().unwrap_or_default().to_vec();
    let mut entries = entries(parts);
    let size = entries.len();
    if choices & DERIVED != 0 {
        card = derive(&entries);
    }
    if choices & LOGGED != 0 {
        log_card(&mut entries, &card);
    }
    let evidence = seal(entries, size, card, choices & SOME != 0);
    let by = asked_by(choices);
    let report = verify::ask(&evidence.to_bytes().unwrap(), &evidence, by);
    // The key that the log has handed over to would have to sign, and a strict policy asks for more than seals.
    if by != By::Strict && handed_over(&claims::read(&evidence)).is_none() {
        assert_seals_hold(&report);
    }
}

/// One question for each input: the same log is soon met again with another, and three would take three times as long.
fn asked_by(choices: u8) -> By {
    match choices & ASKED {
        CHOSEN => By::Chosen,
        STRICT => By::Strict,
        _ => By::Nobody,
    }
}

/// Parts, each after its length in two bytes.
pub fn parts(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (part, after) = after.split_at(after.len().min(u16::from_be_bytes(*length).into()));
        parts.push(part);
        rest = after;
    }
    parts
}

/// Those that a log would hold.
pub fn entries<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let fits = |entry: &&[u8]| (MIN_ENCODED..=MAX_ENCODED).contains(&entry.len());
    parts.filter(fits).map(<[u8]>::to_vec).collect()
}

/// The card that these entries give.
pub fn derive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = CardBuilder::default();
    for (index, entry) in (0..).zip(entries) {
        if let Ok(event) = Event::decode(entry) {
            builder.add(index, &event);
        }
    }
    let root = hex::encode(tree::root(&leaves(entries)));
    let as_of = AsOf { origin: signer::ORIGIN.into(), size: entries.len() as u64, root };
    builder.finish(as_of).to_bytes().expect("a card of any events")
}

/// As the next event of the run that the last entry belongs to.
fn log_card(entries: &mut Vec<Vec<u8>>, card: &[u8]) {
    let Some(last) = entries.last().and_then(|entry| Event::decode(entry).ok()) else { return };
    let digest = Value::Bytes(tree::sha256(&[card]).to_vec());
    let event = Event {
        seq: last.seq.saturating_add(1),
        kind: EventType::Card,
        data: cbor::map([("sha256", digest)]),
        ..last
    };
    entries.push(event.encode().unwrap());
}

/// Two heads, of the entries before the card and of all, and the entries under true proofs.
fn seal(entries: Vec<Vec<u8>>, before: usize, card: Vec<u8>, some: bool) -> Evidence {
    let leaves = leaves(&entries);
    let signer = signer::log();
    let head = |size: usize, proof: Vec<Hash>| Head {
        note: signer.head(size, &tree::root(&leaves[..size])),
        proof: proof.into_iter().map(HashBytes::new).collect(),
    };
    let heads =
        vec![head(before, Vec::new()), head(leaves.len(), tree::consistency(before, &leaves))];
    let entries = if some {
        let proven = |(index, entry): (usize, Vec<u8>)| {
            let path = tree::path(index, &leaves).into_iter().map(HashBytes::new).collect();
            ProvenEntry(index as u64, entry.into(), path)
        };
        Entries::Some(entries.into_iter().enumerate().step_by(2).map(proven).collect())
    } else {
        Entries::All(entries.into_iter().map(ByteBuf::from).collect())
    };
    Evidence {
        v: 1,
        card: (!card.is_empty()).then(|| card.into()),
        keys: vec![signer.key().to_string()],
        heads,
        anchors: Vec::new(),
        entries,
        openings: Vec::new(),
    }
}

fn leaves(entries: &[Vec<u8>]) -> Vec<Hash> {
    entries.iter().map(|entry| tree::leaf(entry)).collect()
}

/// What is sealed as it must be is not refused for its seals.
fn assert_seals_hold(report: &Report) {
    let failed: Vec<&str> = names(report, Outcome::Fail).collect();
    let seal = |name: &&&str| name.starts_with("heads.") || name.starts_with("entries.");
    assert_eq!(failed.iter().find(seal), None, "{:?}", report.checks);
}
