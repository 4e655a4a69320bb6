//! The published set of evidence of a log whose keys all handed over, in `transparency/vectors/anchored`: made once
//! by the real services, and verified here ever after, beside the second implementation.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use end_to_end::Work;
use serde_json::{Value as Json, json};
use trail::evidence::Evidence;

use crate::keys::Scene;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../transparency/vectors/anchored")
}

#[test]
fn the_published_set_is_judged_as_it_says() {
    let cases: Json =
        serde_json::from_slice(&fs::read(folder().join("handed-over.json")).unwrap()).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() > 7);
    for case in cases {
        let path = |key: &str| folder().join(case[key].as_str().unwrap()).display().to_string();
        let status = i32::from(case["verdict"] == "failed");
        let target = format!("{} --policy {}", path("file"), path("policy"));
        let report = Work::empty().report(&target, status);
        assert_eq!(report["verdict"], case["verdict"], "{case:#}");
        let checks = report["checks"].as_array().unwrap();
        for (name, result) in case["checks"].as_object().unwrap() {
            let check = checks.iter().find(|check| check["name"] == *name);
            assert_eq!(
                check.map_or(&Json::Null, |check| &check["result"]),
                result,
                "{name} of {case:#}"
            );
        }
        let holds: Vec<Json> = report["handovers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|handover| json!({"role": handover["role"], "holds": handover["holds"]}))
            .collect();
        assert_eq!(Json::from(holds), case["handovers"], "{case:#}");
    }
}

/// Makes the set again; run by hand, as its times and signatures are new each time.
#[test]
#[ignore = "writes transparency/vectors/anchored"]
fn make_the_published_set() {
    let scene = Scene::with("--hybrid").unwrap();
    let work = &scene.work;
    let fingerprint = |key: &Json| key["fingerprint"].as_str().unwrap().to_owned();
    let first = work.json("keys list log")["keys"].clone();
    let of_role = |role: &str| {
        fingerprint(first.as_array().unwrap().iter().find(|key| key["role"] == role).unwrap())
    };
    let later = || thread::sleep(Duration::from_secs(2));
    later();
    work.json("keys rotate log");
    scene.publish();
    later();
    let announced = work.json("keys rotate log --role publisher")["rotated"][0].clone();
    scene.publish();
    later();
    scene.grow();
    scene.publish();
    work.json("evidence log -o a.evidence");
    let report = work.report("a.evidence --policy first", 0);
    let anchors = report["anchors"].as_array().unwrap();
    let handovers = report["handovers"].as_array().unwrap();
    let head_of = |role: &str| {
        handovers.iter().find(|handover| handover["role"] == role).unwrap()["head"].clone()
    };
    let public = |which: &dyn Fn(&Json) -> bool| {
        anchors.iter().find(|anchor| which(anchor)).unwrap()["public"].as_str().unwrap().to_owned()
    };
    let transition = public(&|anchor| anchor["size"] == head_of("log"));
    let announcement = public(&|anchor| anchor["size"] == head_of("publisher"));
    let by_new = public(&|anchor| anchor["publisher"] == announced["fingerprint"]);
    assert!(transition < announcement && announcement < by_new, "{anchors:#?}");

    let evidence = Evidence::parse(&work.read("a.evidence")).unwrap();
    let mut unpublished = evidence.clone();
    let entry = announced["entry"].as_u64().unwrap();
    let old = of_role("publisher");
    let hands_over =
        |anchor: &Json| anchor["publisher"] == *old && anchor["size"].as_u64().unwrap() > entry;
    let mut kept = anchors.iter().map(|anchor| !hands_over(anchor));
    unpublished.anchors.retain(|_| kept.next().unwrap());
    let save = |name: &str, evidence: &Evidence| {
        fs::write(folder().join(name), evidence.to_bytes().unwrap()).unwrap();
    };
    save("handed-over.evidence", &evidence);
    save("handed-over-unpublished.evidence", &unpublished);

    let policy = |name: &str, from: &str, stolen: Option<(&str, &str)>| {
        let to = folder().join(name);
        fs::create_dir_all(&to).unwrap();
        for file in ["policy", "publisher.pub", "trusted_root.json"] {
            fs::write(to.join(file), work.read(&format!("{from}/{file}"))).unwrap();
        }
        let stolen = stolen.map(|(key, since)| json!({"key": key, "since": since}));
        let stolen: Vec<Json> = stolen.into_iter().collect();
        let required = json!({"v": 1, "hybrid": true, "compromised": stolen});
        fs::write(to.join("requirements.json"), format!("{required}\n")).unwrap();
        fs::write(to.join("source"), "the published test vectors\n").unwrap();
    };
    let (log, cosigner) = (of_role("log"), of_role("cosigner"));
    policy("policy-first-keys", "first", None);
    policy("policy-last-keys", "log/policy", None);
    policy("policy-log-key-stolen-later", "first", Some((&log, &announcement)));
    policy("policy-log-key-stolen-before", "first", Some((&log, &transition)));
    policy("policy-cosigner-stolen-before", "first", Some((&cosigner, &transition)));
    policy("policy-publisher-stolen-later", "first", Some((&old, &by_new)));
    policy("policy-publisher-stolen-before", "first", Some((&old, &announcement)));
}
