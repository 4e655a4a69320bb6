//! Two records of one log held against each other: the later continues the earlier, or both are shown.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kit;

use ed25519_dalek::SigningKey;
use kit::{Log, rating};
use proptest::prelude::*;
use serde_bytes::ByteBuf;
use trail::evidence::{Entries, Evidence, EvidenceError, HashBytes, Head};
use trail::merkle::consistency_path;
use trail::policy::TrustPolicy;
use trail::proof::LogProof;
use trail::report::{HistoryReport, Outcome, Report, Verdict};
use trail::verify::{Earlier, EntryStream, OlderRoot, Parts, Question, verify, verify_parts};

/// Evidence of the log at the last of these sizes, with a head for each.
fn record(log: &Log, sizes: &[usize], whole: bool) -> Vec<u8> {
    evidence(log, sizes, whole).to_bytes().unwrap()
}

fn evidence(log: &Log, sizes: &[usize], whole: bool) -> Evidence {
    let mut before = 0;
    let heads = sizes.iter().map(|&size| {
        let proof = consistency_path(before, size as u64, &log.levels()).unwrap();
        before = size as u64;
        let proof = proof.into_iter().map(HashBytes::new).collect();
        Head { note: log.note(size), proof }
    });
    let heads = heads.collect();
    let all = log.entries[..*sizes.last().unwrap()].iter().cloned().map(ByteBuf::from).collect();
    let entries = if whole { Entries::All(all) } else { Entries::Some(Vec::new()) };
    let keys = vec![log.vkey().to_string()];
    Evidence { v: 1, card: None, keys, heads, anchors: vec![], entries, openings: vec![] }
}

fn compare(later: &[u8], earlier: &[u8], policy: Option<&TrustPolicy>) -> (Report, HistoryReport) {
    let earlier = Earlier::parse(earlier).unwrap();
    let question = Question { earlier: Some(&earlier), ..Question::by(policy) };
    let report = verify(later, &question).unwrap();
    let history = report.history.clone().unwrap();
    let check = report.checks.iter().find(|check| check.name == "history").unwrap();
    assert_eq!((check.result, &check.reason), (history.result, &history.reason));
    (report, history)
}

/// The log, and the same one rewritten from an entry on and signed with the same key.
fn rewritten(at: usize) -> (Log, Log) {
    let (log, mut other) = (Log::sample(20), Log::sample(20));
    other.entries[at] = rating(at as u64, 1.0);
    (log, other)
}

#[test]
fn nothing_is_said_where_nothing_was_brought() {
    let log = Log::sample(20);
    let report = verify(&record(&log, &[20], true), &Question::default()).unwrap();
    assert_eq!(report.history, None);
    assert!(report.checks.iter().all(|check| check.name != "history"));
}

#[test]
fn a_later_file_continues_an_earlier_one_in_each_way_it_can_be_shown() {
    let log = Log::sample(20);
    let policy = log.policy();
    let whole = record(&log, &[10], true);
    let proof = LogProof { extra: None, index: 0, path: vec![], checkpoint: log.note(10) };
    let proof = proof.to_string().into_bytes();
    for earlier in [whole, record(&log, &[4, 10], false), log.note(10).into_bytes(), proof] {
        for (later, how) in [
            (record(&log, &[20], true), "the entries of the larger log give"),
            (record(&log, &[10, 20], false), "the tree heads of the larger log lead on from"),
            (record(&log, &[10], false), "both have"),
        ] {
            let (report, history) = compare(&later, &earlier, Some(&policy));
            assert_eq!(report.verdict, Verdict::Signed);
            assert_eq!((history.result, history.contradiction), (Outcome::Pass, false));
            assert!(history.reason.starts_with(how), "{}", history.reason);
            assert_eq!(compare(&later, &earlier, None).1.result, Outcome::Pass);
        }
    }
    let (report, history) =
        compare(&record(&log, &[20], true), &record(&log, &[10], true), Some(&policy));
    let said = "The log of the earlier file (size 10) is a prefix of this one: nothing in it was changed or removed.";
    assert!(report.established.contains(&said.to_owned()), "{:#?}", report.established);
    assert_eq!(history.earlier.unwrap().note, log.note(10));
    assert_eq!(history.later.unwrap().note, log.note(20));
}

#[test]
fn the_later_file_may_be_the_one_that_was_brought() {
    let log = Log::sample(20);
    let (report, history) =
        compare(&record(&log, &[10], false), &record(&log, &[20], true), Some(&log.policy()));
    assert_eq!((history.result, history.reversed), (Outcome::Pass, true));
    assert_eq!(history.earlier.unwrap().size, 10);
    assert_eq!(report.size, 10);
    assert!(
        report
            .established
            .iter()
            .any(|said| said.starts_with("This log (size 10) is a prefix of the one"))
    );
}

#[test]
fn what_nothing_leads_on_from_is_not_established() {
    let log = Log::sample(20);
    let policy = log.policy();
    for earlier in [record(&log, &[10], true), log.note(10).into_bytes()] {
        let (report, history) = compare(&record(&log, &[8, 20], false), &earlier, Some(&policy));
        assert_eq!((report.verdict, history.result), (Verdict::Signed, Outcome::Absent));
        assert!(history.reason.contains("rlhf-audit evidence --since"), "{}", history.reason);
        let open = &report.not_established;
        assert!(open.iter().any(|said| said.starts_with("That this log continues")), "{open:#?}");
    }
}

#[test]
fn a_rewritten_history_with_the_same_key_fails_and_both_heads_are_shown() {
    let (log, other) = rewritten(5);
    let policy = log.policy();
    for (later, earlier, sizes) in [
        // Two heads of one size; the later file's entries; its heads; the earlier file's entries.
        (record(&other, &[10], false), record(&log, &[10], false), (10, 10)),
        (record(&other, &[20], true), record(&log, &[10], false), (10, 20)),
        (record(&other, &[20], true), log.note(10).into_bytes(), (10, 20)),
        (record(&other, &[10, 20], false), log.note(10).into_bytes(), (10, 10)),
        (record(&other, &[8, 20], false), record(&log, &[10], true), (8, 10)),
        // The one that was brought is the larger.
        (record(&other, &[10], false), record(&log, &[20], true), (10, 20)),
        (record(&other, &[10], true), record(&log, &[8, 20], false), (8, 10)),
    ] {
        for policy in [None, Some(&policy)] {
            let (report, history) = compare(&later, &earlier, policy);
            assert_eq!(report.verdict, Verdict::Failed);
            assert!(history.contradiction && history.reason.starts_with("history was rewritten"));
            let (earlier, later) = (history.earlier.unwrap(), history.later.unwrap());
            assert_eq!((earlier.size, later.size), sizes);
            let signer = format!("{}+{}", log.origin, log.vkey().id_hex());
            assert_eq!(
                (&earlier.signed_by, &later.signed_by),
                (&vec![signer.clone()], &vec![signer])
            );
            let notes = [log.note(earlier.size as usize), other.note(earlier.size as usize)];
            assert!(notes.contains(&earlier.note));
            let check = report.checks.iter().find(|check| check.name == "history").unwrap();
            let shown: Vec<_> = check.stands_on.iter().map(|one| &one.bytes).collect();
            assert_eq!(shown, [&earlier.note, &later.note, &log.vkey().to_string()]);
        }
    }
}

#[test]
fn a_log_that_shows_its_tree_alone_is_compared_by_a_consistency_proof() {
    let (log, other) = rewritten(5);
    let compare = |then: &Log, proof_of: &Log| {
        let parts = Parts {
            heads: vec![Head { note: log.note(20), proof: vec![] }],
            older: Some(OlderRoot {
                size: 10,
                root: proof_of.root(10),
                proof: consistency_path(10, 20, &proof_of.levels()).unwrap(),
            }),
            ..Parts::default()
        };
        let earlier = Earlier::parse(&record(then, &[10], false)).unwrap();
        let question = Question { earlier: Some(&earlier), ..Question::default() };
        verify_parts(&parts, EntryStream::Some(&[]), &question).history.unwrap()
    };
    let history = compare(&log, &log);
    assert_eq!(history.result, Outcome::Pass, "{}", history.reason);
    let history = compare(&other, &log);
    assert_eq!((history.result, history.contradiction), (Outcome::Fail, true));
    // A wrong proof shows nothing of the key, but nothing good either.
    let history = compare(&log, &other);
    assert_eq!((history.result, history.contradiction), (Outcome::Fail, false));
}

#[test]
fn a_proof_in_the_chain_that_does_not_hold_fails() {
    let log = Log::sample(20);
    let mut later = evidence(&log, &[10, 20], false);
    later.heads[1].proof[0] = HashBytes::new([7; 32]);
    let (report, history) = compare(&later.to_bytes().unwrap(), &record(&log, &[10], true), None);
    assert_eq!(report.verdict, Verdict::Failed);
    assert_eq!((history.result, history.contradiction), (Outcome::Fail, false));
}

#[test]
fn another_log_and_another_key_are_no_contradiction_and_no_continuation() {
    let (log, mut other) = rewritten(5);
    let policy = log.policy();
    other.key = SigningKey::from_bytes(&[2; 32]);
    for policy in [None, Some(&policy)] {
        let (report, history) =
            compare(&record(&log, &[20], true), &record(&other, &[10], true), policy);
        assert_eq!((report.verdict, history.result), (Verdict::Failed, Outcome::Fail));
        assert!(!history.contradiction && history.reason.contains("signed with another key"));
        assert_ne!(history.earlier.unwrap().signed_by, history.later.unwrap().signed_by);
    }
    // Of a checkpoint that no known key signed nothing is known, not even that it is somebody's.
    let (report, history) =
        compare(&record(&log, &[20], true), other.note(10).as_bytes(), Some(&policy));
    assert_eq!((report.verdict, history.result), (Verdict::Signed, Outcome::Absent));
    assert!(history.reason.contains("no key known here signed"), "{}", history.reason);

    let elsewhere = Log { origin: "log.example/other".into(), ..Log::sample(20) };
    let (report, history) =
        compare(&record(&log, &[20], true), &record(&elsewhere, &[10], true), Some(&policy));
    assert_eq!((report.verdict, history.contradiction), (Verdict::Failed, false));
    assert!(history.reason.contains("log.example/other"), "{}", history.reason);
}

#[test]
fn an_earlier_file_that_is_bad_itself_says_so_and_does_not_count() {
    let (log, other) = rewritten(5);
    let later = record(&log, &[20], true);
    let good = evidence(&log, &[4, 10], true);
    let mut wrong_proof = good.clone();
    wrong_proof.heads[1].proof.clear();
    let mut wrong_order = good.clone();
    wrong_order.heads.swap(0, 1);
    let mut no_heads = good.clone();
    no_heads.heads.clear();
    let mut wrong_signature = good.clone();
    wrong_signature.heads[1].note = log.note(10).replace("\n10\n", "\n11\n");
    let mut named = good.clone();
    named
        .keys
        .push(Log { key: SigningKey::from_bytes(&[2; 32]), ..Log::sample(0) }.vkey().to_string());
    let wrong_entries = Evidence { entries: evidence(&other, &[10], true).entries, ..good };
    for bad in [wrong_proof, wrong_order, no_heads, wrong_signature, named, wrong_entries] {
        let (report, history) = compare(&later, &bad.to_bytes().unwrap(), Some(&log.policy()));
        assert_eq!((report.verdict, history.result), (Verdict::Signed, Outcome::Absent));
        assert!(history.reason.contains("does not hold up itself"), "{}", history.reason);
    }
    let forged = log.note(10).replace("\n10\n", "\n11\n");
    let (_, history) = compare(&later, forged.as_bytes(), None);
    assert_eq!(history.result, Outcome::Absent);
    assert!(history.reason.contains("does not verify"), "{}", history.reason);
}

#[test]
fn a_file_that_is_bad_itself_is_not_compared() {
    let log = Log::sample(20);
    let mut later = evidence(&log, &[10, 20], true);
    later.heads[1].note = log.note(20).replace("\n20\n", "\n21\n");
    let (_, history) = compare(&later.to_bytes().unwrap(), &record(&log, &[10], true), None);
    assert_eq!(history.result, Outcome::Absent);
    later.heads.clear();
    let (_, history) = compare(&later.to_bytes().unwrap(), &record(&log, &[10], true), None);
    assert_eq!((history.result, history.later), (Outcome::Absent, None));
}

/// Nobody is accused because a file was damaged, or because somebody damaged it.
#[test]
fn no_flipped_byte_of_either_file_makes_a_contradiction_or_hides_one() {
    let (log, other) = rewritten(5);
    let checkpoint = log.note(10).into_bytes();
    for earlier in [record(&log, &[4, 10], true), record(&log, &[4, 10], false), checkpoint] {
        for later in [record(&log, &[20], true), record(&log, &[10, 20], false)] {
            let (good, _) = compare(&later, &earlier, None);
            flip(&earlier, |flipped| {
                let Ok(flipped) = Earlier::parse(flipped) else { return };
                let question = Question { earlier: Some(&flipped), ..Question::default() };
                let history = verify(&later, &question).unwrap().history.unwrap();
                assert!(!history.contradiction);
                assert!(history.result != Outcome::Pass || Some(history) == good.history);
            });
            let brought = Earlier::parse(&earlier).unwrap();
            let question = Question { earlier: Some(&brought), ..Question::default() };
            flip(&later, |flipped| {
                let Ok(report) = verify(flipped, &question) else { return };
                let history = report.history.as_ref().unwrap();
                assert!(!history.contradiction);
                assert!(report.verdict == Verdict::Failed || report == good);
            });
        }
    }
    let (later, earlier) = (record(&other, &[20], true), record(&log, &[10], false));
    let earlier = Earlier::parse(&earlier).unwrap();
    let question = Question { earlier: Some(&earlier), ..Question::default() };
    flip(&later, |flipped| {
        let Ok(report) = verify(flipped, &question) else { return };
        assert_eq!(report.verdict, Verdict::Failed);
    });
}

fn flip(bytes: &[u8], mut look: impl FnMut(&[u8])) {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        look(&bytes);
        bytes[at] ^= 1;
    }
}

#[test]
fn what_holds_no_head_is_refused() {
    for bytes in [b"".as_slice(), b"%PDF-1.7\n", &[0xff], b"a\n\n- b c\n"] {
        assert_eq!(Earlier::parse(bytes).unwrap_err(), EvidenceError::NoHead);
    }
    let whole = record(&Log::sample(3), &[3], true);
    assert!(matches!(Earlier::parse(&whole[..99]), Err(EvidenceError::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_earlier_head_of_the_same_log_passes_and_any_changed_entry_fails(
        ratings in 0u64..90, a in 0usize..100, b in 0usize..100, changed in 0usize..100, whole: [bool; 2],
    ) {
        let log = Log::sample(ratings);
        let (small, large) = (a.min(b) % (log.entries.len() + 1), a.max(b) % (log.entries.len() + 1));
        let (small, large) = (small.min(large), small.max(large));
        let heads = if whole[1] { vec![large] } else { vec![small, large] };
        let later = record(&log, &heads, whole[1]);
        let (_, history) = compare(&later, &record(&log, &[small], whole[0]), None);
        prop_assert_eq!(history.result, Outcome::Pass, "{}", history.reason);
        if small > 0 {
            let mut other = Log::sample(ratings);
            other.entries[changed % small][40] ^= 1;
            let (_, history) = compare(&later, &record(&other, &[small], whole[0]), None);
            prop_assert!(history.contradiction, "{}", history.reason);
        }
    }
}
