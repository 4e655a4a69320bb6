//! Evidence files: what is read is written again the same, and is what another reader of CBOR sees.

use trail::cbor;
use trail::evidence::{Entries, Evidence, ProvenEntry};
use trail::view;

use crate::memory::bounded;

pub fn run(input: &[u8]) {
    let Ok(evidence) = bounded(input.len(), 8, || Evidence::parse(input)) else { return };
    assert_eq!(evidence.to_bytes().unwrap(), input, "one spelling only");
    cbor::decode(&input[3..]).expect("deterministic CBOR");
    for index in indices(&evidence) {
        if let Ok(view) = view::entry_of(&evidence, index) {
            assert_eq!(view["index"], index);
        }
    }
}

/// The first entries there are, and some that are not.
fn indices(evidence: &Evidence) -> Vec<u64> {
    let mut indices: Vec<u64> = match &evidence.entries {
        Entries::All(all) => (0..all.len().min(3) as u64 + 1).collect(),
        Entries::Some(some) => some.iter().take(3).map(|ProvenEntry(at, ..)| *at).collect(),
    };
    indices.push(u64::MAX);
    indices
}
