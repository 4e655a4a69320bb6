//! How far a failure reaches: what still holds is said and counted, and what failed is named.
#![allow(clippy::unwrap_used, clippy::panic)]

mod kit;

use ed25519_dalek::SigningKey;
use kit::{Log, opening, policy_for};
use trail::evidence::Evidence;
use trail::note::in_groups;
use trail::policy::TrustPolicy;
use trail::report::{Report, Scope, Verdict};
use trail::verify::{Question, verify};

fn run(evidence: &Evidence, policy: Option<&TrustPolicy>) -> Report {
    verify(&evidence.to_bytes().unwrap(), &Question::by(policy)).unwrap()
}

fn scope(report: &Report) -> &Scope {
    assert_eq!(report.verdict, Verdict::Failed);
    report.scope.as_ref().unwrap()
}

#[test]
fn where_nothing_failed_there_is_none() {
    let (evidence, log) = Log::sample(20).evidence();
    assert_eq!(run(&evidence, Some(&log.policy())).scope, None);
    assert_eq!(run(&evidence, None).scope, None);
}

#[test]
fn one_false_value_of_two_leaves_the_log_and_the_other() {
    let (mut evidence, log) = Log::sample(20).evidence();
    evidence.openings.push(opening(4, 5.0));
    let report = run(&evidence, Some(&log.policy()));
    let said = scope(&report);
    assert!(said.log_holds);
    assert!(said.text.contains("signed with the key you chose"), "{}", said.text);
    assert!(said.text.ends_with("What failed: 1 of the 2 values opened here."), "{}", said.text);
    let reason = &report.checks.iter().find(|check| check.name == "openings").unwrap().reason;
    assert!(reason.starts_with("1 of 2 failed: `reward` of entry 4"), "{reason}");
    let established = report.established.join("\n");
    assert!(
        established.contains("1 of the 2 values opened here: shown to be what"),
        "{established}"
    );
    let not = report.not_established.join("\n");
    assert!(not.contains("1 of the 2 values opened here: not shown"), "{not}");
    assert!(not.contains("What 59 private fields say"), "{not}");
    assert!(not.contains("(1 of 60 opened)"), "{not}");
    // Nothing of it is said of a chosen key where there is none.
    assert!(scope(&run(&evidence, None)).text.contains("with a key you did not choose"));
}

#[test]
fn what_stands_beside_the_log_is_named_once() {
    let (evidence, log) = Log::sample(20).evidence();
    let mut changed = evidence.clone();
    changed.card = Some(serde_bytes::ByteBuf::from(b"{}".to_vec()));
    changed.openings[0] = opening(3, 1.0);
    let report = run(&changed, Some(&log.policy()));
    let said = &scope(&report).text;
    assert!(
        said.ends_with("What failed: the model card; 1 of the 1 values opened here."),
        "{said}"
    );

    let policy = policy_for(&log.vkey(), r#"{"v":1,"witnesses":true,"anchors":1}"#);
    let report = run(&evidence, Some(&policy));
    let said = scope(&report);
    assert!(said.log_holds && said.text.contains("what your policy requires besides"), "{said:?}");
}

#[test]
fn where_the_log_fails_nothing_that_rests_on_it_stands() {
    let (evidence, log) = Log::sample(20).evidence();
    let mut changed = evidence.clone();
    let trail::evidence::Entries::All(entries) = &mut changed.entries else { panic!("all") };
    entries.swap(3, 4);
    let report = run(&changed, Some(&log.policy()));
    assert!(!scope(&report).log_holds);
    assert!(scope(&report).text.starts_with("The log itself does not hold"));
}

#[test]
fn another_key_under_the_name_is_named_by_its_fingerprint() {
    let (evidence, log) = Log::sample(20).evidence();
    let chosen = Log { key: SigningKey::from_bytes(&[5; 32]), ..Log::sample(1) };
    let report = run(&evidence, Some(&chosen.policy()));
    let said = scope(&report);
    assert!(!said.log_holds && said.text.contains("not with the key you chose"), "{}", said.text);
    let fingerprint = in_groups(&hex::encode(chosen.vkey().fingerprint()));
    let reason = &report.checks.iter().find(|check| check.name == "policy.signer").unwrap().reason;
    assert!(reason.contains(&fingerprint), "{reason}");
    assert!(report.key_source.contains(&fingerprint), "{}", report.key_source);
    assert_eq!(fingerprint.split(' ').count(), 16);
    // The key's short id, which people would compare instead, is nowhere in the words.
    let id = log.vkey().id_hex();
    let words = [report.established, report.not_established].concat();
    let reasons = report.checks.iter().map(|check| check.reason.clone());
    assert!(words.into_iter().chain(reasons).all(|text| !text.contains(&id)));
}
