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

#[test]
fn another_epochs_file_is_not_taken_for_the_final_model() {
    let work = trained();
    let reason = |epoch: &str| {
        let weights = format!("demo/weights/{epoch}.safetensors");
        let report =
            work.report(&format!("demo/demo.evidence --policy policy --weights {weights}"), 0);
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "weights").unwrap();
        check["reason"].as_str().unwrap().to_owned()
    };
    let earlier = reason("epoch_3");
    assert!(earlier.contains("they are the checkpoint epoch_3 (entry "), "{earlier}");
    let last = "; but NOT the last weights in this log: those are the checkpoint epoch_4 (entry ";
    assert!(earlier.contains(last), "{earlier}");
    assert!(reason("step_0").contains(last));
    assert!(!reason("epoch_4").contains("NOT"));
}

#[test]
fn one_tensor_or_a_chunk_of_it_is_shown_to_belong_to_a_logged_checkpoint() {
    let work = trained();
    let model = "demo/weights/epoch_4.safetensors";
    let proven = work.json(&format!("digest {model} --prove bigram.logits -o t.weight-proof"));
    assert_eq!(proven["root"], work.json(&format!("digest {model}"))["root"]);
    let chunk =
        work.json(&format!("digest {model} --prove bigram.logits --chunk 24 -o c.weight-proof"));
    let ranged = work.json(&format!(
        "digest {model} --prove bigram.logits --bytes 98306..98307 -o d.weight-proof"
    ));
    assert_eq!((&chunk["first_byte"], &ranged["end_byte"]), (&98_304.into(), &102_400.into()));
    assert_eq!(work.read("c.weight-proof"), work.read("d.weight-proof"));

    // The bare bytes, the last of the file, as somebody holds them who has no more.
    let file = work.read(model);
    let data = &file[file.len() - 262_144..];
    work.write("chunk.bin", &data[98_304..102_400]);
    work.write("tensor.bin", data);
    let target = "demo/demo.evidence --policy policy --weights";
    for (proof, held) in [("c", "chunk.bin"), ("c", model), ("t", "tensor.bin"), ("t", model)] {
        let checked = work.json(&format!("digest {held} --check {proof}.weight-proof"));
        assert_eq!((&checked["holds"], &checked["leads_to"]), (&true.into(), &proven["root"]));
        let report = work.report(&format!("{target} {proof}.weight-proof --tensor {held}"), 0);
        assert_eq!(report["weight_proof"]["bytes_checked"], true);
        assert!(report["checks"].to_string().contains("they are the checkpoint epoch_4"));
    }
    let report = work.report(&format!("{target} t.weight-proof"), 0);
    assert_eq!(report["weight_proof"]["bytes_checked"], false);

    let mut changed = data.to_vec();
    changed[98_310] ^= 1;
    work.write("changed.bin", &changed);
    work.write("changed-chunk.bin", &changed[98_304..102_400]);
    work.write("moved.bin", &data[102_400..106_496]);
    let other = "demo/weights/epoch_3.safetensors";
    for (proof, held) in [
        ("c", "changed-chunk.bin"),
        ("c", "moved.bin"),
        ("c", other),
        ("t", "changed.bin"),
        ("t", other),
    ] {
        let check = format!("digest {held} --check {proof}.weight-proof --json");
        assert_eq!(work.run(&check).ended(1).json()["holds"], false);
        let report = work.report(&format!("{target} {proof}.weight-proof --tensor {held}"), 1);
        assert_eq!(
            (&report["verdict"], &report["weight_proof"]["holds"]),
            (&"failed".into(), &false.into())
        );
    }
    let evidence =
        work.run(&format!("verify {target} t.weight-proof --tensor changed.bin")).ended(1);
    assert!(evidence.stdout.starts_with("FAILED: what you hold is not the tensor `bigram.logits`"));
}

#[test]
fn weight_proofs_that_cannot_be_made_or_read_are_refused_with_what_to_do() {
    let work = trained();
    let model = "demo/weights/epoch_4.safetensors";
    work.json(&format!("digest {model} --prove bigram.logits --chunk 3 -o c.weight-proof"));
    let proof = work.read("c.weight-proof");
    work.write("cut.weight-proof", &proof[..proof.len() - 1]);
    let mut later = proof.clone();
    later[3] = 2;
    work.write("later.weight-proof", later);
    work.write("foreign.weight-proof", b"c2sp.org/tlog-proof@v1\n");
    work.write("short.bin", [0; 100]);
    for (command, says) in [
        (
            format!("digest {model} --prove bigram.logit -o x"),
            "no tensor `bigram.logit`; it holds `bigram.logits`",
        ),
        (
            format!("digest {model} --prove bigram.logits --chunk 64 -o x"),
            "leaf 64 is not among them",
        ),
        (
            format!("digest {model} --prove bigram.logits --bytes 5..262145 -o x"),
            "262144 bytes in 64 leaves",
        ),
        (
            format!("digest {model} --check cut.weight-proof"),
            "cut.weight-proof: this weight proof is cut short",
        ),
        (format!("digest {model} --check later.weight-proof"), "of version 2"),
        ("verify demo/demo.evidence --weights foreign.weight-proof".into(), "not a weight proof"),
        (
            format!("verify demo/demo.evidence --weights {model} --tensor {model}"),
            "--tensor goes with one",
        ),
        ("verify demo/demo.evidence --weights c.weight-proof".into(), "--tensor PATH"),
        ("digest short.bin --check c.weight-proof".into(), "bring the 4096 bytes from 12288 on"),
        ("digest missing.bin --check c.weight-proof".into(), "missing.bin"),
    ] {
        let refusal = work.refused(&command);
        assert!(refusal.contains(says), "{command}: {refusal}");
    }
    assert!(!work.path("x").exists());
}

#[test]
fn sketches_are_logged_and_drift_is_the_producers_until_the_weights_are_here() {
    let work = trained();
    work.json("init log --model tiny");
    let file = |step: u8| format!("demo/weights/step_{step}.safetensors");
    let update = |from: u8, more: &str| {
        format!("log update log --base {} --next {}{more}", file(from), file(from + 1))
    };
    let refusal = work.refused(&update(0, " --sketch"));
    assert!(refusal.contains("rlhf-audit log checkpoint DIR base"), "{refusal}");
    let first = work.json(&update(0, ""));
    let digest = work.json(&format!("digest {} --against {}", file(1), file(0)));
    assert_eq!(first["sketch_delta_l2"], digest["sketch_delta_l2"]);
    assert_eq!(first["sketch_after"], digest["sketch"]);
    let second = work.json(&update(1, " --sketch"));
    let saved = work.json(&format!("log checkpoint log last --weights {}", file(2)));
    assert_eq!(saved["sketch"], second["sketch_after"]);

    let report = work.report("log", 4);
    let (weights, drift) = (&report["weights"], &report["drift"]);
    assert_eq!(weights[0]["sketch"], digest["sketch"]["sha256"]);
    assert_eq!(weights[1]["sketch_before"], weights[0]["sketch"]);
    assert_eq!(drift.as_array().unwrap().len(), 3, "the base, what an update left, a checkpoint");
    assert_eq!(drift[2]["from"][1], 0.0);
    let whole = work.json(&format!("digest {} --against {}", file(2), file(0)));
    assert_eq!(drift[2]["from"][0], whole["sketch_delta_l2"]);
    assert_eq!(drift[0]["rederived"], false);

    let verify = format!("log --weights {} --weights {}", file(0), file(2));
    let report = work.report(&verify, 4);
    let rederived: Vec<_> =
        report["drift"].as_array().unwrap().iter().map(|state| &state["rederived"]).collect();
    assert_eq!(rederived, [true, true, true]);
    let text = work.run(&format!("verify {verify}")).ended(4).stdout;
    assert!(text.contains("(re-derived)") && !text.contains("(producer's sketch)"), "{text}");
    let text = work.run("verify log").ended(4).stdout;
    assert!(!text.contains("(re-derived)") && text.contains("(producer's sketch)"), "{text}");
}

#[test]
fn tensors_on_one_side_only_are_named_counted_and_reported_if_allowed() {
    let work = Work::empty();
    let tensor = |name: &str, shape: &str, from: usize, end: usize| {
        format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{end}]}}"
        )
    };
    let file = |tensors: &[String], floats: &[f32]| {
        let header = format!("{{{}}}", tensors.join(","));
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(floats.iter().flat_map(|float| float.to_le_bytes()));
        bytes
    };
    let nothing = tensor("empty", "[0,3]", 0, 0);
    let old = [nothing.clone(), tensor("a", "[2]", 0, 8), tensor("b", "[1,2]", 8, 16)];
    let new = [nothing, tensor("b", "[2]", 0, 8), tensor("c", "[2]", 8, 16)];
    work.write("old.safetensors", file(&old, &[1.0, 2.0, 3.0, f32::NAN]));
    work.write("new.safetensors", file(&new, &[f32::INFINITY, 1e9, 3.0, -1.5]));
    let compare = "digest new.safetensors --against old.safetensors";
    let refusal = work.refused(compare);
    for name in ["`a`", "`b`", "`c`"] {
        assert!(refusal.contains(name.trim_matches('`')), "{refusal}");
    }
    let allowed = work.json(&format!("{compare} --allow-structure-change"));
    assert_eq!(allowed["delta"]["structure"].as_array().unwrap().len(), 3);
    let counts = ["elements", "infinite", "out_of_range", "nan"].map(|key| &allowed["sketch"][key]);
    assert_eq!(counts, [4, 1, 1, 0]);
    assert_eq!(allowed["against"]["sketch"]["nan"], 1);
    let text = work.run("digest new.safetensors").ended(0).stdout;
    assert!(text.contains("1 infinite, 1 of 2^23 or more"), "{text}");
}

/// The document; drivers of graphics cards write to standard error what they like.
fn by_device(work: &Work, typed: &str, device: &str) -> serde_json::Value {
    work.run(&format!("{typed} --device {device} --json")).ended(0).json()
}

#[test]
fn a_graphics_card_digests_sketches_and_logs_the_same() {
    let work = trained();
    work.json("init log --model tiny");
    let (base, next) = ("demo/weights/step_0.safetensors", "demo/weights/step_1.safetensors");
    let digest = format!("digest {next} --against {base}");
    let (cpu, gpu) = (by_device(&work, &digest, "cpu"), by_device(&work, &digest, "gpu"));
    for (document, device) in [(&cpu, "CPU"), (&gpu, "GPU")] {
        assert!(document["device"].as_str().unwrap().starts_with(device), "{document}");
        assert_eq!(document["device_reason"], "it was asked for");
    }
    for field in ["root", "bytes", "tensors", "sketch", "sketch_delta_l2", "against"] {
        assert_eq!(gpu[field], cpu[field], "{field}");
    }
    let logged = format!("log update log --base {base} --next {next}");
    let update = by_device(&work, &logged, "gpu");
    assert!(update["device"].as_str().unwrap().starts_with("GPU"), "{update}");
    assert_eq!(update["root_after"], cpu["root"]);
    assert_eq!(update["sketch_after"], cpu["sketch"]);
    assert_eq!(update["sketch_before"], cpu["against"]["sketch"]);
    let saved = by_device(&work, &format!("log checkpoint log first --weights {next}"), "gpu");
    assert!(saved["device"].as_str().unwrap().starts_with("GPU"), "{saved}");
    assert_eq!(saved["root"], cpu["root"]);
    assert_eq!(saved["sketch"], cpu["sketch"]);
    let verify = format!("verify log --weights {next} --json --device");
    let [by_cpu, by_gpu] =
        ["cpu", "gpu"].map(|device| work.run(&format!("{verify} {device}")).ended(4).json());
    assert_eq!(by_gpu, by_cpu);
    let rederived =
        by_gpu["checks"].as_array().unwrap().iter().find(|c| c["name"] == "weights.sketch");
    assert_eq!(rederived.unwrap()["result"], "pass");
}

/// Mesa's llvmpipe has the process's memory for the card's, so less and less of that is given. Where a little too much is
/// left for the card to refuse, the process itself comes to the end of it.
#[cfg(target_os = "linux")]
#[test]
fn where_a_card_has_not_enough_memory_the_processor_says_so_and_gives_the_same_digest() {
    let work = trained();
    let digest = "digest demo/weights/step_1.safetensors";
    let root = &work.json(digest)["root"];
    let with = |kibibytes: u32| {
        let command = work.command(&format!("{digest} --device gpu --json"));
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", &format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"")]);
        limited.arg(command.get_program()).args(command.get_args());
        limited.current_dir(command.get_current_dir().unwrap());
        limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited.env("LP_NUM_THREADS", "2").env("RAYON_NUM_THREADS", "2").output().unwrap()
    };
    let limits = (1..30).rev().map(|step| step * 50_000);
    let fell_back = limits.map(with).filter(|answer| answer.status.success()).any(|answer| {
        let said = String::from_utf8_lossy(&answer.stderr);
        let warned = said.contains("memory") && said.contains("the processor does it in its stead");
        let document: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(&document["root"], root);
        assert_eq!(document["device"].as_str().unwrap().starts_with("CPU"), warned, "{said}");
        warned
    });
    assert!(fell_back, "the card never had too little memory");
}

#[test]
fn the_device_is_chosen_and_told_and_a_missing_card_is_named() {
    let work = trained();
    let digest = "digest demo/weights/step_1.safetensors";
    let auto = work.json(digest);
    assert!(auto["device"].as_str().unwrap().starts_with("CPU"), "{auto}");
    assert!(auto["device_reason"].as_str().unwrap().contains("1 GiB"), "{auto}");
    let mut command = work.command(&format!("{digest} --device gpu"));
    // The loader finds no driver.
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
    let answer = command.output().unwrap();
    let refusal = String::from_utf8(answer.stderr).unwrap();
    assert!(answer.status.code() == Some(2) && answer.stdout.is_empty(), "{refusal}");
    assert!(refusal.contains("libvulkan.so.1") && refusal.contains("--device gpu"), "{refusal}");
}
