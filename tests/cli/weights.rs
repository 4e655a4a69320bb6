//! Weights on the record, with the files that the demo trains.

use std::fs;

use end_to_end::Work;

/// A finished demo: a log, evidence, and the weights of every step.
fn trained() -> Work {
    let work = Work::empty();
    work.json("demo --no-serve --dir demo");
    work.copy("demo/log/policy", "policy");
    work
}

#[test]
fn the_demo_learns_and_its_model_is_found_in_the_log() {
    let work = trained();
    let report = work
        .report("demo/demo.evidence --policy policy --weights demo/weights/epoch_4.safetensors", 0);
    let check = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "weights")
        .unwrap()
        .clone();
    assert!(
        check["reason"].as_str().unwrap().contains("they are the checkpoint epoch_4"),
        "{check}"
    );
    let losses: Vec<f64> = report["weights"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["name"].is_string())
        .map(|event| event["metrics"]["loss"].as_f64().unwrap())
        .collect();
    assert!(losses.len() == 4 && losses.is_sorted_by(|a, b| a > b), "{losses:?}");

    let mut bytes = work.read("demo/weights/epoch_4.safetensors");
    *bytes.last_mut().unwrap() ^= 1;
    work.write("changed.safetensors", &bytes);
    let report = work.report("demo/demo.evidence --policy policy --weights changed.safetensors", 1);
    assert_eq!(report["verdict"], "failed");
}

#[test]
fn updates_are_logged_with_what_moved_and_what_they_learned_from() {
    let work = trained();
    work.json("init log --model tiny");
    work.copy("demo/inputs/annotations-1.jsonl", "annotations.jsonl");
    work.json("log annotations log annotations.jsonl");
    let logged = work.json(
        "log update log --base demo/weights/step_0.safetensors --next demo/weights/step_1.safetensors --step 1 --metric loss=0.5",
    );
    assert_eq!(logged["learned_from"], serde_json::json!([1, 13]));
    let digest = work
        .json("digest demo/weights/step_1.safetensors --against demo/weights/step_0.safetensors");
    assert_eq!(digest["root"], logged["root_after"]);
    for norm in ["l2", "linf", "changed"] {
        assert_eq!(digest["delta"][norm], logged["delta"][norm]);
    }
    let shown = work.json("show log --type policy.update");
    let event = &shown["events"][0];
    assert_eq!(event["policy_state"]["parameter_delta_norm"], digest["delta"]["l2"]);
    let saved = work.json(
        "log checkpoint log first --weights demo/weights/step_1.safetensors --metric loss=0.5",
    );
    assert_eq!(saved["root"], digest["root"]);
}

#[test]
fn weights_that_are_none_are_refused_by_name_and_nothing_is_logged() {
    let work = trained();
    work.json("init log --model tiny");
    work.copy("demo/weights/step_0.safetensors", "good.safetensors");
    work.write("pickled.bin", b"PK\x03\x04 archive/data.pkl");
    work.write("short.safetensors", &work.read("good.safetensors")[..1000]);
    let mut renamed = work.read("good.safetensors");
    let at = renamed.windows(6).position(|w| w == b"bigram").unwrap();
    renamed[at] = b'B';
    work.write("renamed.safetensors", &renamed);
    fs::create_dir(work.path("folder")).unwrap();
    fs::write(work.path("folder/pytorch_model.bin"), b"PK\x03\x04").unwrap();
    for (weights, says) in [
        ("pickled.bin", "convert it"),
        ("short.safetensors", "beyond the end of the file"),
        ("folder", "pickled .bin"),
        ("missing.safetensors", "missing.safetensors"),
    ] {
        let refusal = work.refused(&format!("log checkpoint log name --weights {weights}"));
        assert!(refusal.contains(says) && refusal.contains(weights), "{refusal}");
    }
    let update = "log update log --base good.safetensors --next renamed.safetensors";
    let refusal = work.refused(update);
    assert!(
        refusal.contains("do not hold the same tensors") && refusal.contains("Bigram"),
        "{refusal}"
    );
    assert_eq!(work.report("log", 4)["size"], 0);
    work.json(&format!("{update} --allow-structure-change"));
}
