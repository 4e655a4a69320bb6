//! The verification function on good evidence, and on evidence that somebody has been at.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kit;

use ed25519_dalek::SigningKey;
use kit::{Log, policy_for, rating};
use serde_bytes::ByteBuf;
use trail::card::Card;
use trail::evidence::{Entries, Evidence};
use trail::merkle::sha256;
use trail::report::{Check, ClaimStatus, Outcome, Report, Verdict};
use trail::verify::verify;
use trail::{EventType, cbor};

fn run(evidence: &Evidence, policy: Option<&trail::policy::TrustPolicy>) -> Report {
    verify(&evidence.to_bytes().unwrap(), policy).unwrap()
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report
        .checks
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no check {name}"))
}

fn failures(report: &Report) -> Vec<&str> {
    report.checks.iter().filter(|c| c.result == Outcome::Fail).map(|c| c.name).collect()
}

#[test]
fn good_evidence_is_signed_with_the_key_and_self_consistent_without() {
    let (evidence, log) = Log::sample(20).evidence();
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(failures(&report), [""; 0]);
    assert_eq!(report.verdict, Verdict::Signed);
    assert_eq!(report.meets_policy, Some(true));
    assert!(
        report
            .key_source
            .starts_with("Keys: from policy.txt, chosen by you on 2026-11-23, fingerprint ")
    );
    assert!(
        report
            .key_source
            .contains("We cannot know whose key this is; compare it by another channel.")
    );
    assert!(report.entries.complete);
    assert_eq!(report.claim_counts.recomputed, 15);
    assert_eq!(report.openings[0].value, 3.0);

    let report = run(&evidence, None);
    assert_eq!(report.verdict, Verdict::SelfConsistent);
    assert_eq!(report.meets_policy, None);
    assert!(report.not_established[0].starts_with("Who signed this"));
}

#[test]
fn another_logs_key_meets_no_policy_and_another_key_for_the_same_name_fails() {
    let (evidence, _) = Log::sample(3).evidence();
    let stranger = Log {
        origin: "other.example".into(),
        key: SigningKey::from_bytes(&[2; 32]),
        entries: vec![],
    };
    let report = run(&evidence, Some(&stranger.policy()));
    assert_eq!((report.verdict, report.meets_policy), (Verdict::SelfConsistent, Some(false)));
    let impostor = Log { origin: kit::ORIGIN.into(), ..stranger };
    let report = run(&evidence, Some(&impostor.policy()));
    assert_eq!((report.verdict, report.meets_policy), (Verdict::Failed, Some(false)));
    assert_eq!(failures(&report), ["policy.signer"]);
}

#[test]
fn a_changed_rating_under_a_fresh_key_is_at_best_self_consistent() {
    let (_, honest) = Log::sample(20).evidence();
    let mut forged = Log::sample(20);
    forged.entries[5] = rating(5, 1.0);
    forged.key = SigningKey::from_bytes(&[66; 32]);
    let (evidence, _) = forged.evidence();
    assert_eq!(run(&evidence, None).verdict, Verdict::SelfConsistent);
    assert_eq!(run(&evidence, Some(&honest.policy())).verdict, Verdict::Failed);
}

#[test]
fn any_flipped_byte_fails_is_unreadable_or_changes_nothing() {
    let (evidence, log) = Log::sample(3).evidence();
    let partial = log.partial(evidence.clone(), |event| event.kind != EventType::Annotation);
    for evidence in [evidence, partial] {
        let bytes = evidence.to_bytes().unwrap();
        for policy in [None, Some(log.policy())] {
            let good = verify(&bytes, policy.as_ref()).unwrap();
            assert_ne!(good.verdict, Verdict::Failed);
            let mut flipped = bytes.clone();
            let (mut failed, mut unreadable, mut same) = (0, 0, 0);
            for at in 0..bytes.len() {
                for mask in [0x01, 0x80] {
                    flipped[at] ^= mask;
                    match verify(&flipped, policy.as_ref()) {
                        Err(_) => unreadable += 1,
                        Ok(report) if report.verdict == Verdict::Failed => failed += 1,
                        Ok(report) => {
                            assert!(report == good, "byte {at} ^ {mask:#x} gives another report");
                            same += 1;
                        }
                    }
                    flipped[at] ^= mask;
                }
            }
            assert!(
                failed > 0 && unreadable > 0,
                "{failed} failed, {unreadable} unreadable, {same} the same"
            );
        }
    }
}

/// Applies `change` to good evidence and demands a failed check of this name.
fn caught(name: &str, change: impl FnOnce(&mut Evidence, &Log)) {
    let (mut evidence, log) = Log::sample(20).evidence();
    change(&mut evidence, &log);
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(report.verdict, Verdict::Failed);
    assert!(failures(&report).contains(&name), "{name} not in {:?}", failures(&report));
}

fn all(evidence: &mut Evidence) -> &mut Vec<ByteBuf> {
    match &mut evidence.entries {
        Entries::All(all) => all,
        Entries::Some(_) => panic!("not all entries"),
    }
}

#[test]
fn removing_or_exchanging_any_part_is_caught() {
    caught("entries.complete", |evidence, _| drop(all(evidence).remove(7)));
    caught("entries.complete", |evidence, _| drop(all(evidence).pop()));
    caught("entries.complete", |evidence, _| all(evidence).swap(4, 5));
    caught("entries.complete", |evidence, _| {
        let entry = all(evidence)[4].clone();
        all(evidence).push(entry);
    });
    caught("entries.complete", |evidence, _| all(evidence)[5] = ByteBuf::from(rating(5, 1.0)));
    // The newest head gone, its entries left.
    caught("entries.complete", |evidence, _| drop(evidence.heads.pop()));
    caught("heads.form", |evidence, _| evidence.heads.clear());
    caught("heads.form", |evidence, _| evidence.heads.swap(0, 1));
    caught("heads.form", |evidence, _| {
        let mut other = Log::sample(20);
        other.origin = "other.example".into();
        evidence.heads[0].note = other.note(10);
    });
    caught("heads.consistency", |evidence, _| evidence.heads[1].proof.clear());
    caught("heads.consistency", |evidence, _| {
        let proof = evidence.heads[1].proof.clone();
        evidence.heads[0].proof = proof;
    });
    caught("heads.signature", |evidence, _| {
        let mut other = Log::sample(20);
        other.key = SigningKey::from_bytes(&[3; 32]);
        evidence.keys = vec![other.vkey().to_string()];
        evidence.heads[1].note = other.note(25);
    });
    caught("card.logged", |evidence, _| {
        let card = evidence.card.take().unwrap();
        let text = String::from_utf8(card.into_vec()).unwrap().replace("tiny", "huge");
        evidence.card = Some(ByteBuf::from(text));
    });
    caught("openings", |evidence, _| evidence.openings[0].index += 1);
    caught("openings", |evidence, _| evidence.openings[0].field = "prompt".into());
    caught("openings", |evidence, _| {
        let again = evidence.openings[0].clone();
        evidence.openings.push(again);
    });
}

/// Two heads of one size and different roots are a fork, whoever signed both.
#[test]
fn a_fork_signed_with_the_same_key_is_caught_and_both_heads_are_shown() {
    let (mut evidence, log) = Log::sample(20).evidence();
    let mut rewritten = Log::sample(20);
    rewritten.entries[4] = rating(4, 5.0);
    let (_, rewritten) = rewritten.evidence();
    evidence.heads[0].note = rewritten.note(10);
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(report.verdict, Verdict::Failed);
    let reason = &check(&report, "heads.consistency").reason;
    assert!(reason.contains(&hex::encode(log.root(log.entries.len()))), "{reason}");
    assert!(reason.contains(&hex::encode(rewritten.root(10))), "{reason}");
}

#[test]
fn what_is_taken_out_whole_is_listed_as_not_established() {
    let (evidence, log) = Log::sample(20).evidence();
    let without = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = evidence.clone();
        change(&mut changed);
        let report = run(&changed, Some(&log.policy()));
        assert_eq!(failures(&report), [""; 0]);
        report.not_established.join("\n")
    };
    assert!(without(&|e| e.card = None).contains("there is no model card in this file"));
    assert!(without(&|e| e.openings.clear()).contains("(0 of 60 opened)"));
    assert!(without(&|_| ()).contains("(1 of 60 opened)"));
    let head_gone = without(&|e| {
        e.heads.remove(0);
        e.heads[0].proof.clear();
    });
    assert!(head_gone.contains("the signed tree head of size"), "{head_gone}");
}

/// An earlier state of the log is itself good evidence; that more came later cannot be seen.
#[test]
fn an_earlier_head_verifies_and_later_ones_are_not_excluded() {
    let (mut evidence, log) = Log::sample(20).evidence();
    evidence.heads = vec![trail::evidence::Head { note: log.note(10), proof: vec![] }];
    all(&mut evidence).truncate(10);
    evidence.card = None;
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(report.verdict, Verdict::Signed);
    assert!(
        report
            .not_established
            .contains(&"Other or later heads and runs are not excluded.".to_owned())
    );
}

#[test]
fn with_some_entries_single_statements_stand_and_counts_do_not() {
    let (evidence, log) = Log::sample(20).evidence();
    let partial = log.partial(evidence, |event| event.kind != EventType::Annotation);
    let report = run(&partial, Some(&log.policy()));
    assert_eq!((report.verdict, failures(&report)), (Verdict::Signed, vec![]));
    assert!(!report.entries.complete);
    let status =
        |id: &str| report.card.as_ref().unwrap().claims.iter().find(|c| c.id == id).unwrap().status;
    assert_eq!(status("annotations.count"), ClaimStatus::NotEstablished);
    assert_eq!(status("annotations.content"), ClaimStatus::NotEstablished);
    assert_eq!(status("incidents.count"), ClaimStatus::NotEstablished);
    assert_eq!(status("guideline.1"), ClaimStatus::Established);
    assert_eq!(status("evaluation.22"), ClaimStatus::Stated);
    assert_eq!(report.claim_counts.recomputed, 0);

    let policy = policy_for(&log.vkey(), r#"{"v":1,"complete":true}"#);
    assert_eq!(failures(&run(&partial, Some(&policy))), ["policy.complete"]);
}

#[test]
fn an_entry_left_out_makes_no_claim_that_points_at_it_false() {
    let (evidence, log) = Log::sample(20).evidence();
    let partial = log.partial(evidence, |event| {
        event.kind != EventType::Annotation && event.kind != EventType::RunEnd
    });
    let report = run(&partial, Some(&log.policy()));
    assert_eq!(failures(&report), [""; 0]);
    let card = report.card.unwrap();
    let claim = card.claims.iter().find(|claim| claim.id == "run.0").unwrap();
    assert_eq!(claim.status, ClaimStatus::Stated);
    assert_eq!(claim.reason, "said in the card; no event in the file repeats it");
}

#[test]
fn an_entry_moved_to_another_index_is_not_included() {
    let (evidence, log) = Log::sample(20).evidence();
    let mut partial = log.partial(evidence, |event| event.kind != EventType::Annotation);
    if let Entries::Some(some) = &mut partial.entries {
        some[1].0 += 1;
    }
    assert_eq!(failures(&run(&partial, None))[0], "entries.inclusion");
}

/// A producer that writes a wrong number into its card, and logs and signs that card.
#[test]
fn a_card_that_says_otherwise_than_the_log_fails() {
    let mut log = Log::sample(20);
    let (evidence, _) = Log::sample(20).evidence();
    let mut card = Card::parse(evidence.card.as_ref().unwrap()).unwrap();
    let as_of = log.entries.len();
    card.claims.iter_mut().find(|c| c.id == "incidents.count").unwrap().value = 0.into();
    let bytes = card.to_bytes().unwrap();
    log.log_card(&bytes);
    let report = run(&log.evidence_with(bytes, as_of), Some(&log.policy()));
    assert!(failures(&report).contains(&"card.claims"));
    assert!(check(&report, "card.claims").reason.contains("incidents.count"), "{report:#?}");
}

#[test]
fn a_card_that_leaves_a_claim_out_is_listed() {
    let mut log = Log::sample(20);
    let size = log.entries.len();
    let (evidence, _) = Log::sample(20).evidence();
    let mut card = Card::parse(evidence.card.as_ref().unwrap()).unwrap();
    card.claims.retain(|claim| !claim.id.starts_with("incident"));
    let bytes = card.to_bytes().unwrap();
    log.log_card(&bytes);
    let report = run(&log.evidence_with(bytes, size), Some(&log.policy()));
    assert_eq!(failures(&report), [""; 0]);
    assert!(
        report
            .not_established
            .iter()
            .any(|s| s.contains("leaves out") && s.contains("incidents.count"))
    );
}

#[test]
fn a_gap_in_a_run_and_an_event_after_its_end_fail() {
    let mut log = Log::sample(5);
    log.entries.remove(4);
    let (evidence, _) = log.evidence();
    assert!(failures(&run(&evidence, None)).contains(&"events.sequence"));

    let mut log = Log::sample(5);
    log.push(EventType::Metric, cbor::map([]));
    log.push(EventType::Metric, cbor::map([]));
    let (evidence, _) = log.evidence();
    assert!(check(&run(&evidence, None), "events.sequence").reason.contains("after the run's end"));
}

#[test]
fn what_is_no_event_fails_and_what_is_of_an_unknown_type_is_named() {
    let mut log = Log::sample(2);
    log.entries[2] = b"not an event".to_vec();
    log.entries.pop();
    let size = log.entries.len();
    let evidence = Evidence {
        card: None,
        openings: vec![],
        heads: vec![trail::evidence::Head { note: log.note(size), proof: vec![] }],
        ..log.evidence_with(vec![], size)
    };
    let report = run(&evidence, None);
    assert!(check(&report, "events.form").reason.starts_with("entry 2:"), "{report:#?}");

    let mut log = Log::sample(2);
    log.entries.pop();
    log.push(EventType::from("moon.phase"), cbor::map([]));
    log.push(EventType::RunEnd, cbor::map([]));
    let (evidence, _) = log.evidence();
    let report = run(&evidence, None);
    assert_eq!(failures(&report), [""; 0]);
    assert!(check(&report, "events.form").reason.contains("moon.phase"));
}

#[test]
fn requirements_that_the_file_lacks_are_failures() {
    let (evidence, log) = Log::sample(3).evidence();
    for (requirements, name) in [
        (r#"{"v":1,"anchors":1}"#, "anchors"),
        (r#"{"v":1,"witnesses":true}"#, "policy.witnesses"),
        (r#"{"v":1,"hybrid":true}"#, "policy.hybrid"),
        (r#"{"v":1,"max_age_days":30}"#, "policy.max_age_days"),
    ] {
        let report = run(&evidence, Some(&policy_for(&log.vkey(), requirements)));
        assert_eq!((failures(&report), report.meets_policy), (vec![name], Some(false)));
    }
    let report = run(&evidence, Some(&policy_for(&log.vkey(), r#"{"v":1,"complete":true}"#)));
    assert_eq!(report.meets_policy, Some(true));
}

#[test]
fn an_empty_log_and_a_file_without_keys() {
    let log = Log { entries: vec![], ..Log::sample(0) };
    let evidence = Evidence {
        v: 1,
        card: None,
        keys: vec![log.vkey().to_string()],
        heads: vec![trail::evidence::Head { note: log.note(0), proof: vec![] }],
        anchors: vec![],
        entries: Entries::All(vec![]),
        openings: vec![],
    };
    assert_eq!(run(&evidence, Some(&log.policy())).verdict, Verdict::Signed);
    let without_keys = Evidence { keys: vec![], ..evidence };
    let report = run(&without_keys, None);
    assert_eq!(report.verdict, Verdict::SelfConsistent);
    assert_eq!(check(&report, "heads.signature").result, Outcome::Absent);
    assert_eq!(run(&without_keys, Some(&log.policy())).verdict, Verdict::Signed);
}

#[test]
fn the_reports_hash_of_the_card_is_the_hash_of_its_bytes() {
    let (evidence, _) = Log::sample(3).evidence();
    let digest = hex::encode(sha256(evidence.card.as_ref().unwrap()));
    assert_eq!(run(&evidence, None).card.unwrap().sha256, digest);
}
