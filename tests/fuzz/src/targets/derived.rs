//! Cards derived from any entries: each is read again, has only claims that are known, and what is counted in them
//! has been counted again from the CBOR. What [`super::sealed`] comes to as well, behind signatures and proofs.
//!
//! The input is the entries, each after its length in two bytes.

use serde_bytes::ByteBuf;
use trail::card::{Card, ClaimKind, known};
use trail::evidence::{Entries, Evidence};

use super::sealed::{derive, entries, parts};
use crate::claims;
use crate::memory::bounded;

pub fn run(input: &[u8]) {
    let entries = entries(parts(input).into_iter());
    let bytes = bounded(input.len(), 512, || derive(&entries));
    let card = Card::parse(&bytes).expect("a card that is read again");
    let size = entries.len() as u64;
    assert_eq!(card.as_of.size, size);
    let logged = claims::read(&evidence(entries));
    for claim in &card.claims {
        let (kind, _) = known(&claim.id).expect("a claim that is known");
        assert_eq!(claim.kind, kind, "{}", claim.id);
        if kind != ClaimKind::Asserted {
            claims::assert_holds(&claim.id, &claim.value, &logged, size, true);
        }
    }
}

/// Of which nothing but the entries is looked at.
fn evidence(entries: Vec<Vec<u8>>) -> Evidence {
    Evidence {
        v: 1,
        card: None,
        keys: Vec::new(),
        heads: Vec::new(),
        anchors: Vec::new(),
        entries: Entries::All(entries.into_iter().map(ByteBuf::from).collect()),
        openings: Vec::new(),
    }
}
