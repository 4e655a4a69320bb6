//! The published set of evidence with anchors in `transparency/vectors/anchored`: made once by the real
//! services, since nobody can make the same signatures and stamps again, and verified here ever after.

use std::fs;
use std::path::PathBuf;

use end_to_end::{Work, preferences};
use serde_json::Value as Json;
use trail::anchor::Anchor;
use trail::evidence::Evidence;

use crate::anchoring::{Anchored, Producer};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../transparency/vectors/anchored")
}

fn report(file: &str, policy: &str, status: i32) -> Json {
    let work = Work::empty();
    let path = |name: &str| folder().join(name).display().to_string();
    let answer = work.run(&format!("--json verify {} --policy {}", path(file), path(policy)));
    assert_eq!(answer.status, Some(status), "{file} by {policy}: {answer:?}");
    serde_json::from_str(&answer.stdout).unwrap()
}

fn check<'a>(report: &'a Json, name: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    (check["result"].as_str().unwrap(), check["reason"].as_str().unwrap())
}

#[test]
fn the_newest_head_is_public_since_the_stamp_over_the_logs_checkpoint() {
    let report = report("run.evidence", "policy", 0);
    assert_eq!(report["verdict"], "public");
    assert_eq!(report["publication"], "published while running");
    assert_eq!(report["anchors"].as_array().unwrap().len(), 3);
    for name in ["anchors", "anchors.sequence", "anchors.time"] {
        assert_eq!(check(&report, name).0, "pass", "{name}");
    }
}

#[test]
fn what_was_published_only_afterwards_is_said_to_be() {
    let report = report("afterwards.evidence", "policy-afterwards", 0);
    assert_eq!(report["verdict"], "public");
    let said = report["publication"].as_str().unwrap();
    assert_eq!(said, "published only afterwards; event times are the producer's word");
}

#[test]
fn an_anchor_without_an_independent_time_dates_nothing() {
    let untimed = report("no-time.evidence", "policy", 0);
    assert_eq!(untimed["verdict"], "signed");
    assert_eq!(check(&untimed, "anchors.time").0, "absent");
    let required = report("no-time.evidence", "policy-requires-anchors", 1);
    let (result, reason) = check(&required, "anchors");
    assert!(result == "fail" && reason.contains("independent time"), "{reason}");
}

#[test]
fn what_does_not_hold_fails_for_its_own_reason() {
    for (file, policy, name, reason) in [
        ("run.evidence", "policy-other-publisher", "anchors", "publishing key you chose"),
        ("run.evidence", "policy-other-origin", "anchors", "is of the log “rekor.localhost”"),
        ("run.evidence", "policy-log-key-expired", "anchors", "not in force"),
        ("wrong-checkpoint.evidence", "policy", "anchors", "not among those here"),
        ("without-the-first.evidence", "policy", "anchors.sequence", "0 to 0 are missing"),
        ("without-the-second.evidence", "policy", "anchors.sequence", "head 1 is missing"),
        ("no-anchors.evidence", "policy-requires-anchors", "anchors", "requires 1 anchor"),
    ] {
        let report = report(file, policy, 1);
        assert_eq!(report["verdict"], "failed", "{file} by {policy}");
        let (result, said) = check(&report, name);
        assert!(result == "fail" && said.contains(reason), "{file} by {policy}: {said}");
    }
}

#[test]
fn without_a_publishing_key_anchors_prove_nothing() {
    let report = report("run.evidence", "policy/policy", 0);
    assert_eq!(report["verdict"], "signed");
    assert_eq!(check(&report, "anchors").0, "absent");
}

#[test]
fn one_byte_of_an_anchor_changed_and_nothing_is_public() {
    let evidence = Evidence::parse(&fs::read(folder().join("run.evidence")).unwrap()).unwrap();
    let policy = folder().join("policy").display().to_string();
    let work = Work::empty();
    let last = evidence.anchors.len() - 1;
    let length = evidence.anchors[last].bundle.len();
    for position in (0..length).step_by(97) {
        let mut changed = evidence.clone();
        let byte = &mut changed.anchors[last].bundle[position];
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        work.write("changed.evidence", changed.to_bytes().unwrap());
        let answer = work.run(&format!("--json verify changed.evidence --policy {policy}"));
        let report: Json = serde_json::from_str(&answer.stdout).unwrap();
        // Member names that no client reads (such as the duplicate of the index) may change.
        if report["verdict"] == "public" {
            let same = serde_json::from_slice::<Json>(&changed.anchors[last].bundle);
            assert!(same.is_ok(), "byte {position}");
            assert_eq!(report["anchors"], unchanged_anchors(), "byte {position}");
        }
    }
}

/// The name before a signature is not signed: another one is refused all the same.
#[test]
fn the_public_log_signs_in_its_own_name() {
    let mut evidence =
        Evidence::parse(&fs::read(folder().join("no-time.evidence")).unwrap()).unwrap();
    let anchor = evidence.anchors.last_mut().unwrap();
    let text = String::from_utf8(anchor.bundle.to_vec()).unwrap();
    let changed = text.replacen("— rekor.localhost ", "— rekor.elsewhere ", 1);
    assert_ne!(changed, text);
    anchor.bundle = changed.into_bytes().into();
    let work = Work::empty();
    work.write("changed.evidence", evidence.to_bytes().unwrap());
    let policy = folder().join("policy").display().to_string();
    let answer = work.run(&format!("--json verify changed.evidence --policy {policy}"));
    let report: Json = serde_json::from_str(&answer.stdout).unwrap();
    let (result, said) = check(&report, "anchors");
    assert!(result == "fail" && said.contains("in the name of “rekor.elsewhere”"), "{said}");
}

fn unchanged_anchors() -> Json {
    report("run.evidence", "policy", 0)["anchors"].clone()
}

/// Makes the set again; run by hand, as its times and signatures are new each time.
#[test]
#[ignore = "writes transparency/vectors/anchored"]
fn make_the_published_set() {
    let mut producer = Producer::new().unwrap();
    let work = |producer: &Producer| producer.work.path("");
    let mut anchors = Vec::new();
    producer.work.write("first.jsonl", preferences(20));
    producer.work.json("run start log");
    producer.work.json("log annotations log first.jsonl");
    anchors.push(producer.publish());
    fs::copy(work(&producer).join("log/checkpoint"), work(&producer).join("first")).unwrap();
    producer.grow();
    anchors.push(producer.publish());
    fs::copy(work(&producer).join("log/checkpoint"), work(&producer).join("second")).unwrap();
    producer.work.json("log annotations log first.jsonl");
    producer.work.json("run end log");
    producer.work.json("card log -o card.json");
    anchors.push(producer.publish());
    producer.work.json("evidence log -o run.evidence --since first --since second");
    producer.work.json("evidence log -o short.evidence --since first");
    let anchors: Vec<Anchor> = anchors.iter().map(anchor).collect();
    let save = |name: &str, from: &str, anchors: &[Anchor]| {
        let mut evidence = Evidence::parse(&producer.work.read(from)).unwrap();
        evidence.anchors = anchors.to_vec();
        fs::write(folder().join(name), evidence.to_bytes().unwrap()).unwrap();
    };
    fs::create_dir_all(folder()).unwrap();
    save("run.evidence", "run.evidence", &anchors);
    save("no-anchors.evidence", "run.evidence", &[]);
    save("without-the-first.evidence", "run.evidence", &anchors[1..]);
    save("without-the-second.evidence", "run.evidence", &[anchors[0].clone(), anchors[2].clone()]);
    save("wrong-checkpoint.evidence", "short.evidence", &anchors);
    let untimed: Vec<Anchor> =
        anchors.iter().map(|anchor| Anchor { stamp: None, ..anchor.clone() }).collect();
    save("no-time.evidence", "run.evidence", &untimed);
    policies(&producer);
    published_afterwards();
}

/// A log whose only head was published when all was over, and its own policy.
fn published_afterwards() {
    let mut producer = Producer::new().unwrap();
    producer.work.write("all.jsonl", preferences(20));
    producer.work.json("log annotations log all.jsonl");
    producer.work.json("run end log");
    producer.work.json("card log -o card.json");
    let anchors = vec![anchor(&producer.publish())];
    producer.work.json("evidence log -o all.evidence");
    let evidence = Evidence::parse(&producer.work.read("all.evidence")).unwrap();
    let evidence = Evidence { anchors, ..evidence };
    fs::write(folder().join("afterwards.evidence"), evidence.to_bytes().unwrap()).unwrap();
    policy(&producer, "policy-afterwards");
}

fn policy(producer: &Producer, name: &str) {
    fs::create_dir_all(folder().join(name)).unwrap();
    for file in ["policy", "publisher.pub", "trusted_root.json"] {
        let content = producer.work.read(&format!("policy/{file}"));
        fs::write(folder().join(name).join(file), content).unwrap();
    }
    fs::write(folder().join(name).join("source"), "the published test vectors\n").unwrap();
}

fn anchor(anchored: &Anchored) -> Anchor {
    Anchor {
        stamp: Some(anchored.stamp.clone().into()),
        bundle: anchored.bundle.to_string().into_bytes().into(),
    }
}

/// The policy of someone who verifies, and ones that must not do.
fn policies(producer: &Producer) {
    let read = |name: &str| producer.work.text(&format!("policy/{name}"));
    let (policy, publisher, root) =
        (read("policy"), read("publisher.pub"), read("trusted_root.json"));
    let write = |name: &str, publisher: &str, root: &str, requirements: Option<&str>| {
        let folder = folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("policy"), &policy).unwrap();
        fs::write(folder.join("publisher.pub"), publisher).unwrap();
        fs::write(folder.join("trusted_root.json"), root).unwrap();
        fs::write(folder.join("source"), "the published test vectors\n").unwrap();
        if let Some(requirements) = requirements {
            fs::write(folder.join("requirements.json"), requirements).unwrap();
        }
    };
    write("policy", &publisher, &root, None);
    write("policy-requires-anchors", &publisher, &root, Some("{\"v\": 1, \"anchors\": 1}\n"));
    let other = fs::read_to_string(crate::publisher::Publisher::new().public_key()).unwrap();
    write("policy-other-publisher", &other, &root, None);
    let origin = root.replace("https://rekor.localhost", "https://other.localhost");
    write("policy-other-origin", &publisher, &origin, None);
    let mut expired: Json = serde_json::from_str(&root).unwrap();
    expired["tlogs"][0]["publicKey"]["validFor"] =
        serde_json::json!({ "start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z" });
    write("policy-log-key-expired", &publisher, &expired.to_string(), None);
}
