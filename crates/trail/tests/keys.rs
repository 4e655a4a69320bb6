//! Keys that take over from others: who is led from the key they chose to the one that signs now, and which
//! link is missing where somebody is not.
#![allow(clippy::unwrap_used)]

mod kit;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use kit::{Log, ORIGIN, policy_for};
use serde_bytes::ByteBuf;
use trail::checkpoint::Checkpoint;
use trail::event::EventType;
use trail::evidence::{Entries, Evidence, HashBytes, Head};
use trail::handover::{Key, KeyChange, Reason, Retirement, Role, Rotation, message};
use trail::merkle;
use trail::note::{KeyKind, VerifierKey};
use trail::report::{Check, Outcome, Report, Verdict};
use trail::verify::{Earlier, Question, verify};

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn vkey(n: u8) -> VerifierKey {
    VerifierKey::new(ORIGIN, KeyKind::Ed25519, key(n).verifying_key().as_bytes()).unwrap()
}

/// A handover that is as it must be.
fn rotation(old: u8, new: u8) -> Rotation {
    let (role, old, new_key) = (Role::Log, Key::Note(vkey(old)), Key::Note(vkey(new)));
    let proof = key(new).sign(&message(ORIGIN, role, &old, &new_key)).to_bytes().to_vec();
    Rotation { role, old, new: new_key, proof }
}

fn push(log: &mut Log, change: KeyChange) -> usize {
    log.push(change.kind(), change.data());
    log.entries.len()
}

fn line(n: u8, text: &str) -> String {
    let signature = [vkey(n).id().as_slice(), &key(n).sign(text.as_bytes()).to_bytes()].concat();
    format!("— {ORIGIN} {}\n", BASE64.encode(signature))
}

/// Evidence with all entries and these heads, each signed with these keys.
fn evidence(log: &Log, heads: &[(usize, &[u8])], keys: &[u8]) -> Evidence {
    let mut before = 0;
    let heads = heads.iter().map(|(size, signers)| {
        let root = log.root(*size);
        let text = Checkpoint { origin: ORIGIN.into(), size: *size as u64, root }.to_string();
        let lines: String = signers.iter().map(|n| line(*n, &text)).collect();
        let proof = merkle::consistency_path(before, *size as u64, &log.levels()).unwrap();
        before = *size as u64;
        let proof = proof.iter().map(|hash| HashBytes::new(*hash)).collect();
        Head { note: format!("{text}\n{lines}"), proof }
    });
    Evidence {
        v: 1,
        card: None,
        keys: keys.iter().map(|n| vkey(*n).to_string()).collect(),
        heads: heads.collect(),
        anchors: vec![],
        entries: Entries::All(log.entries.iter().cloned().map(ByteBuf::from).collect()),
        openings: vec![],
    }
}

fn report(evidence: &Evidence, chosen: Option<u8>, requirements: &str) -> Report {
    let policy = chosen.map(|n| policy_for(&vkey(n), requirements));
    verify(&evidence.to_bytes().unwrap(), &Question::by(policy.as_ref())).unwrap()
}

fn by(evidence: &Evidence, chosen: u8) -> Report {
    report(evidence, Some(chosen), "null")
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).unwrap()
}

fn reason<'a>(report: &'a Report, name: &str) -> &'a str {
    &check(report, name).reason
}

/// A log whose key 1 hands over to 2 in the last entry, with one head before it.
fn rotated() -> (Log, usize) {
    let mut log = Log::sample(3);
    let handover = push(&mut log, KeyChange::Rotate(rotation(1, 2)));
    log.push(EventType::Incident, trail::cbor::map([]));
    (log, handover)
}

#[test]
fn the_first_key_leads_to_the_second_and_a_stranger_nowhere() {
    let (log, at) = rotated();
    let file = evidence(&log, &[(4, &[1]), (at, &[1, 2]), (at + 1, &[2])], &[1, 2]);
    let first = by(&file, 1);
    assert_eq!(first.verdict, Verdict::Signed, "{:#?}", first.checks);
    assert_eq!(
        first.verdict_text,
        "Signed by a successor of the key you chose; date not independently shown"
    );
    let sentence = format!(
        "Signed by the key {ORIGIN}+{}, to which the key you chose ({ORIGIN}+{}) handed over in entry {} (head of size {at}).",
        vkey(2).id_hex(),
        vkey(1).id_hex(),
        at - 1
    );
    assert!(first.established.contains(&sentence), "{:#?}", first.established);
    assert_eq!(check(&first, "keys").result, Outcome::Pass);
    let handover = &first.handovers[0];
    assert_eq!(
        (handover.entry, handover.head, handover.holds),
        (at as u64 - 1, Some(at as u64), true)
    );
    assert_eq!(handover.new_fingerprint, vkey(2).fingerprint_hex());

    let second = by(&file, 2);
    assert_eq!(second.verdict_text, Verdict::Signed.text(None));
    assert_eq!(check(&second, "policy.signer").result, Outcome::Pass);
    assert_eq!(by(&file, 3).verdict, Verdict::Failed);
    assert_eq!(report(&file, None, "").verdict, Verdict::SelfConsistent);
}

/// Nobody is said to have signed every head where the newest has a damaged signature.
#[test]
fn a_damaged_signature_of_the_successor_leads_nowhere() {
    let (log, at) = rotated();
    let heads: [(usize, &[u8]); 3] = [(4, &[1]), (at, &[1, 2]), (at + 1, &[2])];
    let mut file = evidence(&log, &heads, &[1, 2]);
    let newest = &mut file.heads[2].note;
    let (text, signature) = newest.rsplit_once(' ').unwrap();
    let mut bytes = BASE64.decode(signature.trim_end()).unwrap();
    bytes[60] ^= 1;
    *newest = format!("{text} {}\n", BASE64.encode(bytes));
    for chosen in [1, 2] {
        let report = by(&file, chosen);
        assert_eq!(report.verdict, Verdict::Failed);
        assert_eq!(check(&report, "heads.signature").result, Outcome::Fail);
        assert_eq!(check(&report, "policy.signer").result, Outcome::Fail, "key {chosen}");
    }
}

#[test]
fn heads_by_the_second_key_alone_need_the_link() {
    let (log, at) = rotated();
    for (heads, keys) in [
        // The head that both signed is not here, is signed by the new key alone, or does not cover the entry.
        (vec![(at + 1, &[2][..])], &[2][..]),
        (vec![(at, &[2]), (at + 1, &[2])], &[2]),
        (vec![(at - 1, &[1, 2]), (at + 1, &[2])], &[2]),
        (vec![(at - 1, &[1, 2]), (at, &[2]), (at + 1, &[2])], &[1, 2]),
    ] {
        let file = evidence(&log, &heads, keys);
        let first = by(&file, 1);
        assert_eq!(first.verdict, Verdict::Failed, "{heads:?}");
        let why = reason(&first, "policy.signer");
        assert!(why.contains(&format!("covers entry {}", at - 1)) && why.contains("both"), "{why}");
        assert!(why.contains("another channel"), "{why}");
        assert_eq!(by(&file, 2).verdict, Verdict::Signed, "{:#?}", by(&file, 2).checks);
    }
}

#[test]
fn without_the_entry_nothing_leads_on() {
    let (mut log, at) = rotated();
    let last = log.entries.len() - 1;
    log.entries.truncate(at - 1);
    log.push(EventType::Incident, trail::cbor::map([]));
    log.push(EventType::Incident, trail::cbor::map([]));
    let heads: [(usize, &[u8]); 2] = [(at, &[1, 2]), (last + 1, &[2])];
    let file = evidence(&log, &heads, &[2]);
    assert_eq!(by(&file, 1).verdict, Verdict::Failed);
    assert!(file.to_bytes().is_ok() && by(&file, 1).handovers.is_empty());
    // A file that leaves the entry out, and shows some others.
    let (log, at) = rotated();
    let whole = evidence(&log, &[(at, &[1, 2]), (at + 1, &[2])], &[2]);
    let some = log.partial(whole, |event| event.kind != EventType::KeyRotate);
    assert_eq!(by(&some, 1).verdict, Verdict::Failed);
    let whole = evidence(&log, &[(at, &[1, 2]), (at + 1, &[2])], &[2]);
    let some = log.partial(whole, |event| event.kind == EventType::KeyRotate);
    assert_eq!(by(&some, 1).verdict, Verdict::Signed, "{:#?}", by(&some, 1).checks);
}

#[test]
fn twice_rotated() {
    let (mut log, first) = rotated();
    let second = push(&mut log, KeyChange::Rotate(rotation(2, 3)));
    log.push(EventType::Incident, trail::cbor::map([]));
    let end = log.entries.len();
    let heads: [(usize, &[u8]); 4] = [(2, &[1]), (first, &[1, 2]), (second, &[2, 3]), (end, &[3])];
    let file = evidence(&log, &heads, &[1, 2, 3]);
    for chosen in [1, 2, 3] {
        let report = by(&file, chosen);
        assert_eq!(report.verdict, Verdict::Signed, "{chosen}: {:#?}", report.checks);
        let led = report.established.iter().filter(|s| s.contains("handed over")).count();
        assert_eq!(led, 3 - usize::from(chosen));
    }
    assert_eq!(by(&file, 4).verdict, Verdict::Failed);
    // The link in the middle is stripped: the first key leads to the second and no further.
    let heads: [(usize, &[u8]); 3] = [(first, &[1, 2]), (second, &[3]), (end, &[3])];
    let broken = evidence(&log, &heads, &[1, 2, 3]);
    assert_eq!(
        [1, 2, 3].map(|n| by(&broken, n).verdict),
        [Verdict::Failed, Verdict::Failed, Verdict::Signed]
    );
    let why = by(&broken, 1);
    assert!(reason(&why, "policy.signer").contains(&format!("covers entry {}", second - 1)));
}

#[test]
fn a_forged_chain_fails_for_whomever() {
    let heads: [(usize, &[u8]); 2] = [(7, &[1]), (8, &[1, 2])];
    let (old, new) = (Key::Note(vkey(1)), Key::Note(vkey(2)));
    let elsewhere = key(2).sign(&message("log.example/other", Role::Log, &old, &new)).to_bytes();
    for (change, said) in [
        (Rotation { proof: vec![0; 64], ..rotation(1, 2) }, "has not signed"),
        (Rotation { proof: rotation(1, 3).proof, ..rotation(1, 2) }, "has not signed"),
        (Rotation { proof: elsewhere.to_vec(), ..rotation(1, 2) }, "has not signed"),
    ] {
        let mut log = Log::sample(2);
        assert_eq!(push(&mut log, KeyChange::Rotate(change)), 8);
        for chosen in [Some(1), Some(2), None] {
            let report = report(&evidence(&log, &heads, &[1]), chosen, "null");
            assert_eq!(report.verdict, Verdict::Failed);
            assert!(reason(&report, "keys").contains(said), "{}", reason(&report, "keys"));
        }
    }
    // A key that is not the log's hands over, and one takes over a second time.
    for (second, said) in
        [(rotation(1, 3), "was not the log's key"), (rotation(2, 1), "key before")]
    {
        let (mut log, at) = rotated();
        let end = push(&mut log, KeyChange::Rotate(second));
        let file = evidence(&log, &[(at, &[1, 2]), (end, &[1, 2, 3])], &[2]);
        assert!(reason(&by(&file, 2), "keys").contains(said));
        assert_eq!(by(&file, 2).verdict, Verdict::Failed);
    }
}

#[test]
fn the_old_key_signs_no_more_after_it_has_handed_over() {
    let (log, at) = rotated();
    let heads: [(usize, &[u8]); 2] = [(at, &[1, 2]), (at + 1, &[1])];
    for chosen in [1, 2] {
        let report = by(&evidence(&log, &heads, &[1]), chosen);
        assert_eq!(report.verdict, Verdict::Failed);
        assert!(reason(&report, "heads.signature").contains("the key that was the log's then"));
    }
}

#[test]
fn any_flipped_byte_of_the_head_that_both_signed_fails() {
    let (log, at) = rotated();
    let good = evidence(&log, &[(at, &[1, 2]), (at + 1, &[2])], &[2]);
    for position in 0..good.heads[0].note.len() {
        let mut file = good.clone();
        let mut note = file.heads[0].note.clone().into_bytes();
        note[position] ^= 1;
        let Ok(note) = String::from_utf8(note) else { continue };
        file.heads[0].note = note;
        let bytes = file.to_bytes().unwrap();
        let policy = policy_for(&vkey(1), "null");
        assert_eq!(
            verify(&bytes, &Question::by(Some(&policy))).unwrap().verdict,
            Verdict::Failed,
            "{position}"
        );
    }
}

#[test]
fn a_compromised_key_leads_nowhere_without_an_independent_date() {
    let (mut log, at) = rotated();
    let heads: [(usize, &[u8]); 2] = [(at, &[1, 2]), (at + 1, &[2])];
    let file = evidence(&log, &heads, &[2]);
    let policy = |n: u8| {
        let key = vkey(n).fingerprint_hex();
        format!(r#"{{"v":1,"compromised":[{{"key":"{key}","since":"2026-01-01"}}]}}"#)
    };
    // The person says so.
    let first = report(&file, Some(1), &policy(1));
    assert_eq!(first.verdict, Verdict::Failed);
    let why = reason(&first, "policy.signer");
    assert!(why.contains("strangers' hands since 2026-01-01T00:00:00Z, by your policy"), "{why}");
    assert!(why.contains("another channel"), "{why}");
    assert_eq!(report(&file, Some(2), &policy(1)).verdict, Verdict::Signed);
    assert_eq!(report(&file, Some(2), &policy(2)).verdict, Verdict::Failed);
    assert_eq!(report(&file, Some(1), &policy(9)).verdict, Verdict::Signed);
    // The log says so.
    let reason = Reason::Compromised(1_700_000_000_000_000);
    let retired = Retirement { role: Role::Log, key: Key::Note(vkey(1)), reason };
    let end = push(&mut log, KeyChange::Retire(retired));
    let file = evidence(&log, &[(at, &[1, 2]), (end, &[2])], &[2]);
    assert_eq!(by(&file, 1).verdict, Verdict::Failed);
    assert!(
        self::reason(&by(&file, 1), "policy.signer").contains(&format!("by entry {}", end - 1))
    );
    assert_eq!(by(&file, 2).verdict, Verdict::Signed);
    assert_eq!(by(&file, 2).compromised[0].fingerprint, vkey(1).fingerprint_hex());
    // A log without handovers: the one key, and it may be a stranger's.
    let plain = Log::sample(2);
    let file = evidence(&plain, &[(7, &[1])], &[1]);
    assert_eq!(report(&file, Some(1), &policy(1)).verdict, Verdict::Failed);
}

/// Holds a file against an earlier one.
fn compare(file: &Evidence, earlier: &[u8], chosen: Option<u8>, requirements: &str) -> Report {
    let earlier = Earlier::parse(earlier).unwrap();
    let policy = chosen.map(|n| policy_for(&vkey(n), requirements));
    let question = Question { earlier: Some(&earlier), ..Question::by(policy.as_ref()) };
    verify(&file.to_bytes().unwrap(), &question).unwrap()
}

/// A log signed by key 1, the same after key 2 took over, and the evidence of what was before if an entry of it was
/// another.
struct Passed {
    before: Evidence,
    after: Evidence,
    other: Evidence,
}

impl Passed {
    fn on() -> Self {
        let (log, at) = rotated();
        let mut other = Log::sample(3);
        other.entries[3] = kit::rating(3, 1.0);
        Self {
            before: evidence(&first(&log, 4), &[(4, &[1])], &[1]),
            after: evidence(&log, &[(at, &[1, 2]), (at + 1, &[2])], &[2]),
            other: evidence(&first(&other, 4), &[(4, &[1])], &[1]),
        }
    }

    /// The whole file, and its checkpoint alone.
    fn forms(evidence: &Evidence) -> [Vec<u8>; 2] {
        [evidence.to_bytes().unwrap(), evidence.heads[0].note.clone().into_bytes()]
    }
}

fn first(log: &Log, n: usize) -> Log {
    let entries = log.entries[..n].to_vec();
    Log { origin: log.origin.clone(), key: log.key.clone(), entries }
}

#[test]
fn an_earlier_record_by_the_first_key_is_continued_by_the_second() {
    let Passed { before, after, .. } = Passed::on();
    for earlier in Passed::forms(&before) {
        for chosen in [Some(1), Some(2), None] {
            let report = compare(&after, &earlier, chosen, "null");
            let history = report.history.unwrap();
            assert_eq!((history.result, history.reversed), (Outcome::Pass, false), "{chosen:?}");
            // The newest head is not signed by the first key.
            let by = |n: u8| vec![format!("{ORIGIN}+{}", vkey(n).id_hex())];
            assert_eq!(history.earlier.unwrap().signed_by, by(1));
            assert_eq!(history.later.unwrap().signed_by, by(2));
        }
    }
    // And the other way round: the later one was there before.
    let later = after.to_bytes().unwrap();
    for chosen in [Some(1), None] {
        let history = compare(&before, &later, chosen, "null").history.unwrap();
        assert_eq!((history.result, history.reversed), (Outcome::Pass, true), "{history:#?}");
    }
}

#[test]
fn a_history_rewritten_across_a_handover_is_one() {
    let Passed { before, after, other } = Passed::on();
    for earlier in Passed::forms(&other) {
        for chosen in [Some(1), Some(2), None] {
            let report = compare(&after, &earlier, chosen, "null");
            let keys = &check(&report, "history").stands_on;
            assert!(keys.iter().any(|key| key.bytes == vkey(1).to_string()));
            assert!(keys.iter().any(|key| key.bytes == vkey(2).to_string()));
            let history = report.history.unwrap();
            assert!(history.contradiction, "{chosen:?} {history:#?}");
        }
    }
    let history = compare(&other, &after.to_bytes().unwrap(), Some(1), "null").history.unwrap();
    assert!(history.contradiction && history.reversed, "{history:#?}");
    assert!(
        !compare(&before, &after.to_bytes().unwrap(), Some(1), "null")
            .history
            .unwrap()
            .contradiction
    );
}

/// Nobody is accused of what a thief, or anybody who names a key as his own, may have done.
#[test]
fn a_handover_that_does_not_hold_joins_no_histories() {
    let Passed { mut after, other, .. } = Passed::on();
    let key = vkey(1).fingerprint_hex();
    let stolen = format!(r#"{{"v":1,"compromised":[{{"key":"{key}","since":"2026-01-01"}}]}}"#);
    for earlier in Passed::forms(&other) {
        for chosen in [1, 2] {
            let history = compare(&after, &earlier, Some(chosen), &stolen).history.unwrap();
            assert_eq!((history.result, history.contradiction), (Outcome::Fail, false));
            assert!(history.reason.contains("another key"), "{}", history.reason);
        }
    }
    // The second key says that it follows the first, which has not signed that.
    let (log, at) = rotated();
    after.heads = evidence(&log, &[(at + 1, &[2])], &[2]).heads;
    for earlier in Passed::forms(&other) {
        let history = compare(&after, &earlier, Some(2), "null").history.unwrap();
        assert!(!history.contradiction, "{history:#?}");
    }
}

/// Publishing keys form a line as well.
#[test]
#[cfg(feature = "anchors")]
fn a_publishing_key_hands_over_once_and_never_returns() {
    use p256::ecdsa::signature::Signer as _;
    let secret = |n: u8| p256::ecdsa::SigningKey::from_slice(&[n; 32]).unwrap();
    let public = |n: u8| {
        // A SubjectPublicKeyInfo up to the coordinates (RFC 5480).
        let start = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
        let point = secret(n).verifying_key().to_sec1_point(false);
        Key::Publisher([hex::decode(start).unwrap(), point.as_bytes()[1..].to_vec()].concat())
    };
    let change = |old: u8, new: u8| {
        let (role, old, new_key) = (Role::Publisher, public(old), public(new));
        let signature: p256::ecdsa::Signature =
            secret(new).sign(&message(ORIGIN, role, &old, &new_key));
        let proof = signature.to_der().as_bytes().to_vec();
        KeyChange::Rotate(Rotation { role, old, new: new_key, proof })
    };
    for (second, fault) in [
        (change(2, 3), None),
        (change(1, 3), Some("was not the log's key")),
        (change(2, 1), Some("key before")),
        (change(3, 4), Some("was not the log's key")),
    ] {
        let mut log = Log::sample(3);
        push(&mut log, change(1, 2));
        let end = push(&mut log, second);
        let report = by(&evidence(&log, &[(end, &[1])], &[1]), 1);
        let found = report.checks.iter().find(|check| check.name == "keys");
        match fault {
            None => assert!(found.is_none(), "{found:#?}"),
            Some(fault) => {
                assert!(found.unwrap().reason.contains(fault), "{found:#?}");
                assert_eq!(report.verdict, Verdict::Failed);
            }
        }
    }
}

#[test]
fn more_changes_than_anybody_makes_are_not_followed() {
    let mut log = Log::sample(1);
    for _ in 0..101 {
        push(&mut log, KeyChange::Rotate(rotation(1, 2)));
    }
    let end = log.entries.len();
    let report = by(&evidence(&log, &[(end, &[1, 2])], &[1]), 1);
    assert_eq!(check(&report, "keys").result, Outcome::Fail);
}
