//! ML-DSA-44 cosignatures against an implementation that nobody here wrote: key and checkpoint in
//! `torchwood/` are those of its witness's own test (filippo.io/torchwood v0.10.0,
//! cmd/litewitness/testdata/mldsa.txt), made by Go's crypto/mldsa.
#![cfg(feature = "hybrid")]
#![allow(clippy::unwrap_used)]

use trail::note::{KeyKind, Note, NoteError, Signed, VerifierKey};
use trail::tlog_policy::TlogPolicy;

const VKEY: &str = include_str!("torchwood/vkey");
const CHECKPOINT: &str = include_str!("torchwood/checkpoint");

fn verify(note: &Note) -> Result<Option<Signed>, NoteError> {
    note.verify(&VerifierKey::parse(VKEY.trim()).unwrap())
}

/// The checkpoint with one bit of its signature flipped.
fn flipped(byte: usize, bit: u8) -> Note {
    let mut note = Note::parse(CHECKPOINT).unwrap();
    note.signatures[0].signature[byte] ^= 1 << bit;
    note
}

#[test]
fn a_checkpoint_signed_by_torchwood_verifies_here() {
    let key = VerifierKey::parse(VKEY.trim()).unwrap();
    assert_eq!((key.kind(), key.name()), (KeyKind::MlDsa44, "example.com/mldsa-log"));
    assert_eq!(key.to_string(), VKEY.trim());
    let note = Note::parse(CHECKPOINT).unwrap();
    // It states no time: the cosigner does not say that it has seen nothing larger.
    assert_eq!(verify(&note), Ok(Some(Signed { cosigned_at: Some(0) })));
    assert_eq!(note.to_string(), CHECKPOINT);
}

#[test]
fn every_part_of_what_is_signed_counts() {
    let bad = Err(NoteError::BadSignature("example.com/mldsa-log".into()));
    for (from, to) in [("mldsa-log\n1\n", "mldsa-log\n2\n"), ("+zoErt", "+zoErs")] {
        assert_eq!(verify(&Note::parse(&CHECKPOINT.replacen(from, to, 1)).unwrap()), bad, "{to:?}");
    }
    assert_eq!(
        verify(&Note::parse(&CHECKPOINT.replacen("mldsa-log", "mldsa-lug", 1)).unwrap()),
        bad
    );
    // The time: stated where none was, and one that the specification forbids.
    assert_eq!(verify(&flipped(7, 0)), bad);
    assert_eq!(verify(&flipped(0, 7)), bad);
    // The challenge, the response, the hints at the end, and the length.
    for byte in [8, 39, 40, 1000, 2343, 2344, 2427] {
        assert_eq!(verify(&flipped(byte, 2)), bad, "byte {byte}");
    }
    let mut short = Note::parse(CHECKPOINT).unwrap();
    short.signatures[0].signature.pop();
    assert_eq!(verify(&short), bad);
}

#[test]
fn the_same_key_under_another_name_is_another_cosigner() {
    let key = VerifierKey::parse(VKEY.trim()).unwrap();
    let other = VerifierKey::new("example.com/other", KeyKind::MlDsa44, key.public_key()).unwrap();
    let mut note = Note::parse(CHECKPOINT).unwrap();
    assert_eq!(note.verify(&other), Ok(None));
    // Unlike an Ed25519 cosignature, it commits to the cosigner's name.
    (note.signatures[0].name, note.signatures[0].key_id) = (other.name().into(), other.id());
    assert_eq!(note.verify(&other), Err(NoteError::BadSignature("example.com/other".into())));
    let long = "a".repeat(256);
    let long = VerifierKey::new(&long, KeyKind::MlDsa44, key.public_key()).unwrap();
    (note.signatures[0].name, note.signatures[0].key_id) = (long.name().into(), long.id());
    assert!(note.verify(&long).is_err());
}

#[test]
fn a_quorum_may_ask_for_it() {
    let policy = |quorum: &str| {
        TlogPolicy::parse(&format!("witness W {}\ngroup G all W\nquorum {quorum}\n", VKEY.trim()))
            .unwrap()
    };
    let note = Note::parse(CHECKPOINT).unwrap();
    for (quorum, members) in [("W", 1), ("G", 1), ("none", 0)] {
        let policy = policy(quorum);
        assert_eq!(policy.quorum_keys().count(), members, "{quorum}");
        assert!(policy.quorum_met(&policy.cosigners(&note).unwrap()));
    }
    let stripped = Note { signatures: Vec::new(), ..note };
    let policy = policy("G");
    assert!(!policy.quorum_met(&policy.cosigners(&stripped).unwrap()));
}
