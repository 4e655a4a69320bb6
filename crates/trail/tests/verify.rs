//! The verification function on good evidence, and on evidence that somebody has been at.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kit;

#[cfg(feature = "anchors")]
use base64::Engine as _;
use ed25519_dalek::{Signer as _, SigningKey};
use kit::{Log, policy_for, rating};
use serde_bytes::ByteBuf;
use trail::card::Card;
use trail::evidence::{Entries, Evidence};
use trail::merkle::sha256;
#[cfg(feature = "anchors")]
use trail::note::in_groups;
use trail::note::{KeyKind, Note, SignatureLine, VerifierKey};
use trail::report::{Check, ClaimStatus, Outcome, Report, Verdict};
use trail::tlog_policy::TlogPolicy;
use trail::verify::{EntryStream, HeldWeights, Parts, Question, verify, verify_parts};
use trail::{EventType, cbor};

fn run(evidence: &Evidence, policy: Option<&trail::policy::TrustPolicy>) -> Report {
    verify(&evidence.to_bytes().unwrap(), &Question::by(policy)).unwrap()
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
#[cfg(feature = "anchors")]
fn the_sentence_on_keys_names_the_publishing_key_and_the_trusted_root() {
    let read = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../transparency/vectors/anchored");
        std::fs::read_to_string(format!("{folder}/policy/{name}")).unwrap()
    };
    let (publisher, root) = (read("publisher.pub"), read("trusted_root.json"));
    let (evidence, log) = Log::sample(20).evidence();
    let mut policy = log.policy();
    policy.anchors = trail::policy::anchor_trust(Some(&publisher), Some(&root)).unwrap();
    let base64: String = publisher.lines().filter(|line| !line.starts_with('-')).collect();
    let spki = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let root: serde_json::Value = serde_json::from_str(&root).unwrap();
    let log_url = root["tlogs"][0]["baseUrl"].as_str().unwrap();
    let clock = root["timestampAuthorities"][0]["subject"]["commonName"].as_str().unwrap();
    let said = run(&evidence, Some(&policy)).key_source;
    let publishing = format!(
        "; publishing key: fingerprint {}; trusted root: logs {}, time-stamping authorities {clock}. We cannot",
        in_groups(&hex::encode(sha256(&spki))),
        log_url.trim_start_matches("https://"),
    );
    assert!(said.contains(&publishing), "{said}");
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
fn a_gap_in_the_record_is_in_the_verdict_whatever_the_incident_says_of_it() {
    let whole = |gap| {
        let mut log = Log::sample(3);
        log.push(EventType::Incident, cbor::map([("gap", gap)]));
        let (evidence, log) = log.evidence();
        run(&evidence, Some(&log.policy()))
    };
    let times = [("since", 60_000_000), ("until", 120_000_000)].map(|(k, v)| (k, v.into()));
    let report = whole(cbor::map(times));
    assert_eq!((report.verdict, failures(&report)), (Verdict::Signed, vec![]));
    let expected = format!("{}; with a gap in the record", Verdict::Signed.text(None));
    assert_eq!(report.verdict_text, expected);
    let gaps = check(&report, "events.gaps");
    assert_eq!(gaps.result, Outcome::Absent);
    let told = "for 60.0 seconds, from 1970-01-01T00:01:00Z to 1970-01-01T00:02:00Z by its clock (entry 8)";
    assert!(gaps.reason.ends_with(told), "{}", gaps.reason);
    assert!(report.not_established.iter().any(|sentence| sentence.contains(told)), "{report:#?}");
    for odd in [false.into(), ciborium::Value::Null, cbor::map([("since", "now".into())])] {
        let report = whole(odd);
        assert_eq!(report.verdict_text, expected);
        assert!(check(&report, "events.gaps").reason.contains("for a while (entry 8)"));
    }
    // Other incidents, and other events that use the word, are no gaps.
    let mut log = Log::sample(3);
    log.push(EventType::Evaluation, cbor::map([("gap", 1.into())]));
    let (evidence, log) = log.evidence();
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(report.verdict_text, Verdict::Signed.text(None));
    assert!(report.checks.iter().all(|check| check.name != "events.gaps"));
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
            let good = verify(&bytes, &Question::by(policy.as_ref())).unwrap();
            assert_ne!(good.verdict, Verdict::Failed);
            let mut flipped = bytes.clone();
            let (mut failed, mut unreadable, mut same) = (0, 0, 0);
            for at in 0..bytes.len() {
                for mask in [0x01, 0x80] {
                    flipped[at] ^= mask;
                    match verify(&flipped, &Question::by(policy.as_ref())) {
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
    assert!(without(&|e| e.card = None).contains("there is no model card here"));
    assert!(without(&|e| e.openings.clear()).contains("(0 of 60 opened)"));
    assert!(without(&|_| ()).contains("(1 of 60 opened)"));
    let head_gone = without(&|e| {
        e.heads.remove(0);
        e.heads[0].proof.clear();
    });
    assert!(head_gone.contains("which the card speaks of, was signed"), "{head_gone}");
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
    assert_eq!(claim.status, ClaimStatus::NotEstablished);
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
    log.entries[2] = [7; 60].to_vec();
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
fn the_report_names_each_witness_and_when_it_cosigned() {
    let key = SigningKey::from_bytes(&[9; 32]);
    let public = key.verifying_key().to_bytes();
    let [here, absent] = ["here.example", "absent.example"]
        .map(|name| VerifierKey::new(name, KeyKind::Cosignature, &public).unwrap());
    let (mut evidence, log) = Log::sample(3).evidence();
    let note = &mut evidence.heads.last_mut().unwrap().note;
    let mut cosigned = Note::parse(note).unwrap();
    let text = format!("cosignature/v1\ntime 1700000000\n{}", cosigned.text);
    let signature = key.sign(text.as_bytes()).to_bytes();
    let signature = [1_700_000_000_u64.to_be_bytes().as_slice(), &signature].concat();
    let name = here.name().to_owned();
    cosigned.signatures.push(SignatureLine { name, key_id: here.id(), signature });
    *note = cosigned.to_string();

    for (vkey, at, meets) in [(&here, Some("2023-11-14T22:13:20Z"), true), (&absent, None, false)] {
        let mut policy = log.policy();
        let text = format!("log {}\nwitness W {vkey} https://w.example\nquorum W\n", log.vkey());
        policy.tlog = TlogPolicy::parse(&text).unwrap();
        let report = run(&evidence, Some(&policy));
        let witness = &report.witnesses[0];
        assert_eq!((witness.name.as_str(), witness.at.as_deref()), ("W", at));
        assert_eq!(witness.key, format!("{}+{}", vkey.name(), vkey.id_hex()));
        assert_eq!(report.meets_policy, Some(meets));
    }
    assert_eq!(run(&evidence, None).witnesses, []);
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
    assert!(verify(&without_keys.to_bytes().unwrap(), &Question::default()).is_err());
    // A proof or a URL names no key: it may be verified with a chosen one only.
    let keyless = |policy: Option<trail::policy::TrustPolicy>| {
        let parts = Parts { heads: without_keys.heads.clone(), ..Parts::default() };
        verify_parts(&parts, EntryStream::Some(&[]), &Question::by(policy.as_ref()))
    };
    let report = keyless(None);
    assert_eq!(report.verdict, Verdict::SelfConsistent);
    assert_eq!(check(&report, "heads.signature").result, Outcome::Absent);
    assert_eq!(keyless(Some(log.policy())).verdict, Verdict::Signed);
    let other = Log { origin: "other.example".into(), ..Log::sample(0) };
    assert_eq!(keyless(Some(other.policy())).verdict, Verdict::Failed);
}

#[test]
fn the_reports_hash_of_the_card_is_the_hash_of_its_bytes() {
    let (evidence, _) = Log::sample(3).evidence();
    let digest = hex::encode(sha256(evidence.card.as_ref().unwrap()));
    assert_eq!(run(&evidence, None).card.unwrap().sha256, digest);
}

/// A card with one more claim, logged and signed by a producer that wants it to look like more.
fn with_claim(claim: serde_json::Value) -> Report {
    let mut log = Log::sample(3);
    let size = log.entries.len();
    let (evidence, _) = Log::sample(3).evidence();
    let mut card = Card::parse(evidence.card.as_ref().unwrap()).unwrap();
    let claim: trail::card::Claim = serde_json::from_value(claim).unwrap();
    card.claims.retain(|other| other.id != claim.id);
    card.claims.push(claim);
    card.claims.sort_by(|a, b| a.id.cmp(&b.id));
    let bytes = card.to_bytes().unwrap();
    log.log_card(&bytes);
    run(&log.evidence_with(bytes, size), Some(&log.policy()))
}

fn claim(report: &Report, id: &str) -> trail::report::ClaimReport {
    report.card.as_ref().unwrap().claims.iter().find(|claim| claim.id == id).unwrap().clone()
}

#[test]
fn a_claim_cannot_choose_its_kind_its_title_or_the_provisions_it_answers() {
    let report = with_claim(serde_json::json!({
        "id": "annotations.count1", "kind": "asserted", "value": 1000, "eu": [], "nist": [], "evidence": []
    }));
    assert_eq!(claim(&report, "annotations.count1").title, "annotations.count1");
    let report = with_claim(serde_json::json!({
        "id": "incidents.count", "kind": "asserted", "value": 0, "eu": [], "nist": [], "evidence": []
    }));
    assert_eq!(claim(&report, "incidents.count").status, ClaimStatus::Failed);
    let report = with_claim(serde_json::json!({
        "id": "annotations.count", "kind": "recomputed", "value": 3, "eu": ["Art. 43: conformity certified"],
        "nist": [], "evidence": [{"entries": [0, 8]}]
    }));
    assert!(!claim(&report, "annotations.count").eu.concat().contains("certified"));
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let mut log = Log::sample(3);
    let size = log.entries.len();
    let (evidence, _) = Log::sample(3).evidence();
    let mut card = Card::parse(evidence.card.as_ref().unwrap()).unwrap();
    let twice = card.claims[0].clone();
    card.claims.insert(0, twice);
    let bytes = card.to_bytes().unwrap();
    log.log_card(&bytes);
    assert_eq!(failures(&run(&log.evidence_with(bytes, size), None)), ["card.form"]);
}

#[test]
fn an_index_at_the_limit_is_no_panic() {
    let (evidence, log) = Log::sample(3).evidence();
    let mut partial = log.partial(evidence, |event| event.kind == EventType::RunStart);
    if let Entries::Some(some) = &mut partial.entries {
        some[0].0 = u64::MAX;
    }
    assert!(failures(&run(&partial, None)).contains(&"entries.inclusion"));
}

/// Nothing is said on the strength of entries that may be anybody's.
#[test]
fn of_entries_that_are_not_in_the_log_nothing_is_established() {
    let (honest, log) = Log::sample(5).evidence();
    let forged_card =
        String::from_utf8(honest.card.clone().unwrap().into_vec()).unwrap().replace("tiny", "huge");
    let mut evidence = Evidence { card: Some(ByteBuf::from(forged_card.clone())), ..honest };
    let digest = ciborium::Value::Bytes(sha256(forged_card.as_bytes()).to_vec());
    let seq = log.entries.len() as u64;
    let event = kit::event(seq, EventType::Card, cbor::map([("sha256", digest)]));
    all(&mut evidence).push(ByteBuf::from(event));
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(report.verdict, Verdict::Failed);
    assert!(
        !report.established.iter().any(|s| s.contains("card") || s.contains("opened")),
        "{:?}",
        report.established
    );
    assert_eq!(report.claim_counts.recomputed + report.claim_counts.committed, 0);
    assert_eq!(report.openings[0].result, Outcome::Fail);
}

#[test]
fn a_key_that_the_file_names_must_have_signed_every_head() {
    caught("heads.signature", |evidence, _| {
        let other = Log { key: SigningKey::from_bytes(&[5; 32]), ..Log::sample(1) };
        evidence.keys.push(other.vkey().to_string());
    });
    caught("heads.signature", |evidence, _| evidence.keys.push("junk".into()));
}

/// The chosen key counts although the file names junk beside it.
#[test]
fn junk_among_the_keys_does_not_hide_who_signed() {
    let (mut evidence, log) = Log::sample(3).evidence();
    evidence.keys.insert(0, "junk".into());
    let report = run(&evidence, Some(&log.policy()));
    assert!(failures(&report).contains(&"heads.signature"));
    assert_eq!(check(&report, "policy.signer").result, Outcome::Pass);
}

/// Openings of what is no private field must not make hidden ones look shown.
#[test]
fn only_private_fields_of_annotations_can_be_opened() {
    caught("openings", |evidence, _| {
        evidence.openings[0].index = 1;
        evidence.openings[0].field = "sha256".into();
    });
}

fn update(seq: u64, before: u8, after: u8, annotations: u64, range: [u64; 2]) -> Vec<u8> {
    use ciborium::Value;
    let from = cbor::map([
        ("first", Value::from(range[0])),
        ("end", Value::from(range[1])),
        ("annotations", Value::from(annotations)),
    ]);
    let data = cbor::map([
        ("root_before", Value::Bytes(vec![before; 32])),
        ("root_after", Value::Bytes(vec![after; 32])),
        ("delta_l2", Value::Float(1.5)),
        ("delta_linf", Value::Float(0.5)),
        ("learned_from", from),
    ]);
    kit::event(seq, EventType::PolicyUpdate, data)
}

fn with_updates(updates: Vec<Vec<u8>>) -> (Evidence, Log) {
    let mut log = Log::sample(5);
    log.entries.truncate(7);
    log.entries.extend(updates);
    log.evidence()
}

#[test]
fn what_updates_learned_from_is_counted_and_not_believed() {
    let (evidence, log) =
        with_updates(vec![update(7, 1, 2, 5, [2, 7]), update(8, 2, 3, 3, [2, 5])]);
    let report = run(&evidence, Some(&log.policy()));
    assert_eq!(failures(&report), [""; 0]);
    assert_eq!(claim(&report, "policy_updates.learned_from").value, 5);
    assert_eq!(claim(&report, "policy_updates.unbroken").value, true);
    assert_eq!(report.weights.len(), 2);
    assert!(report.not_established.iter().any(|s| s.contains("give them away")));

    for wrong in [
        update(7, 1, 2, 1_000_000, [2, 7]),
        update(7, 1, 2, u64::MAX, [0, u64::MAX]),
        update(7, 1, 2, 0, [5, 2]),
    ] {
        let (evidence, _) = with_updates(vec![wrong]);
        assert_eq!(failures(&run(&evidence, None)), ["updates"]);
    }
    let (evidence, _) = with_updates(vec![update(7, 1, 2, 5, [2, 7]), update(8, 9, 3, 5, [2, 7])]);
    assert_eq!(claim(&run(&evidence, None), "policy_updates.unbroken").value, false);
}

#[test]
fn weights_in_hand_are_found_or_not() {
    let (evidence, log) = with_updates(vec![update(7, 1, 2, 5, [2, 7])]);
    let with = |evidence: &Evidence, root: u8| {
        let bytes = evidence.to_bytes().unwrap();
        let policy = log.policy();
        let held = [HeldWeights { root: [root; 32], sketch: None, answered: false }];
        let question = Question { weights: &held, ..Question::by(Some(&policy)) };
        verify(&bytes, &question).unwrap()
    };
    assert_eq!(check(&with(&evidence, 2), "weights").result, Outcome::Pass);
    let earlier = with(&evidence, 1);
    assert!(check(&earlier, "weights").reason.contains("started from"));
    let said =
        earlier.established.iter().find(|text| text.starts_with("The weights you hold")).unwrap();
    assert!(
        said.contains("started from") && said.contains("NOT the last weights in this log"),
        "{said}"
    );
    assert_eq!(failures(&with(&evidence, 9)), ["weights"]);
    let partial = log.partial(evidence, |event| event.kind == EventType::Card);
    assert_eq!(check(&with(&partial, 2), "weights").result, Outcome::Absent);
}

/// Many wrong claims about a large document once made a report a thousand times the file.
#[test]
fn a_report_stays_in_proportion_to_the_file() {
    let mut log = Log::sample(1);
    log.entries.truncate(3);
    let document = serde_json::json!({"text": "x".repeat(50_000)});
    let size = 3 + 200;
    for _ in 0..200 {
        log.push(EventType::Evaluation, cbor::map([("document", cbor::from_json(&document))]));
    }
    let claims: Vec<_> = (3..size).map(|n| serde_json::json!({
        "id": format!("evaluation.{n}"), "kind": "asserted", "value": 0, "eu": [], "nist": [],
        "evidence": [{"entry": n}]
    })).collect();
    let root = hex::encode(log.root(size));
    let card = serde_json::json!({"v": 1, "as_of": {"origin": kit::ORIGIN, "size": size, "root": root}, "claims": claims});
    let mut card: Card = serde_json::from_value(card).unwrap();
    card.claims.sort_by(|a, b| a.id.cmp(&b.id));
    let bytes = card.to_bytes().unwrap();
    log.push(
        EventType::Card,
        cbor::map([("sha256", ciborium::Value::Bytes(sha256(&bytes).to_vec()))]),
    );
    let evidence = Evidence { openings: vec![], ..log.evidence_with(bytes, size) };
    let report = run(&evidence, None);
    assert!(failures(&report).contains(&"card.claims"));
    assert!(report.to_json().len() < 200_000, "{} bytes", report.to_json().len());
}
