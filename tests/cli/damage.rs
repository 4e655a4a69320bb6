//! A byte of a log's folder changes behind its back: verification says so, and nobody writes on.

use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::{Work, ratings};

fn filled(n: usize) -> Work {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(n));
    work.write("more.jsonl", ratings(1));
    work.write("guideline.json", r#"{"title":"Rules"}"#);
    work.json("log guideline log guideline.json");
    work.json("log annotations log ratings.jsonl");
    work.json("card log -o card.json");
    work
}

/// The public files of the log, without the policy for trying out.
fn public_files(work: &Work) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = work.files("log");
    files.retain(|(path, _)| {
        let inside = path.strip_prefix(work.path("log")).unwrap();
        !inside.starts_with("private") && !inside.starts_with("policy")
    });
    files
}

/// Whether the current tree has this file no more: partial tiles of smaller trees, which may go any time.
fn is_superseded(path: &Path, all: &[(PathBuf, Vec<u8>)]) -> bool {
    let width = |path: &Path| path.file_name()?.to_str()?.parse::<u16>().ok();
    let folder = path.parent().unwrap();
    folder.extension().is_some_and(|extension| extension == "p")
        && all.iter().any(|(other, _)| other.parent() == Some(folder) && width(other) > width(path))
}

#[test]
fn a_damaged_public_file_is_noticed_and_no_evidence_comes_of_it() {
    // More than two full tiles, so that there are files the writer need not touch again.
    let work = filled(520);
    work.json("prove log 3 -o good.proof");
    let files = public_files(&work);
    assert!(files.iter().filter(|(path, _)| !is_superseded(path, &files)).count() > 8);
    for (path, good) in &files {
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(path, &bad).unwrap();
            let place = format!("{}, byte {at}", path.display());

            let answer = work.run("verify log --policy policy --json");
            if is_superseded(path, &files) {
                assert_eq!(answer.status, Some(0), "{place}: {answer:#?}");
                continue;
            }
            match answer.status {
                Some(1) => assert_eq!(answer.json()["verdict"], "failed", "{place}"),
                _ => assert!(answer.refusal().starts_with("log"), "{place}: {answer:#?}"),
            }
            // On a copy, so that what it may write harms nothing here.
            work.copy("log", "copy");
            let sentence = work.run("evidence copy -o out.evidence --json").refusal().to_owned();
            assert!(sentence.contains("copy"), "{place}: {sentence}");
            let sentence =
                work.run("evidence copy --entries claims -o out.evidence").refusal().to_owned();
            assert!(sentence.contains("copy"), "{place}: {sentence}");
            assert!(!work.path("out.evidence").exists());
            for index in [0, 300, 522] {
                let answer = work.run(&format!("prove copy {index} -o out.proof --json"));
                if answer.status == Some(0) && !path.ends_with("checkpoint") {
                    work.report("out.proof --policy policy", 0);
                }
            }
            fs::remove_dir_all(work.path("copy")).unwrap();
        }
        fs::write(path, good).unwrap();
    }
    work.report("log --policy policy", 0);
}

#[test]
fn nobody_writes_on_behind_a_damaged_right_edge() {
    let work = filled(20);
    let files = public_files(&work);
    for (path, good) in files.iter().filter(|(path, _)| !is_superseded(path, &files)) {
        let inside = path.strip_prefix(work.path("log")).unwrap();
        if inside.starts_with("cards") || inside.starts_with("heads") {
            continue;
        }
        for bad in [&good[..good.len() - 1], &[], &[&good[1..], b"x"].concat()] {
            fs::write(path, bad).unwrap();
            for typed in ["log annotations log more.jsonl", "run end log", "card log -o card.json"]
            {
                let sentence = work.refused(typed);
                assert!(sentence.starts_with("log/") && sentence.contains(": "), "{sentence}");
            }
        }
        fs::remove_file(path).unwrap();
        let answer = work.run("log annotations log more.jsonl");
        if answer.status == Some(0) {
            // Only the head, of which there is a private copy.
            assert!(path.ends_with("checkpoint"), "{}: {answer:#?}", path.display());
        } else {
            assert!(answer.refusal().contains(&inside.display().to_string()), "{answer:#?}");
            fs::write(path, good).unwrap();
        }
    }
    work.report("log --policy policy", 0);
}

#[test]
fn a_damaged_private_file_is_named_or_does_no_harm() {
    let work = filled(20);
    for (path, good) in work.files("log/private") {
        if path.ends_with("lock") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut damaged: Vec<Vec<u8>> = (0..24)
            .filter(|_| !good.is_empty())
            .map(|i| {
                let mut bad = good.clone();
                bad[i * (good.len() - 1) / 23] ^= 0x41;
                bad
            })
            .collect();
        damaged.extend([vec![], good[..good.len() / 2].to_vec(), b"\0nonsense\n".repeat(9)]);
        for (number, bad) in damaged.iter().enumerate().filter(|(_, bad)| **bad != good) {
            work.copy("log", "copy");
            fs::write(work.path("copy/private").join(name), bad).unwrap();
            let answer = work.run("log annotations copy more.jsonl --json");
            if answer.status == Some(0) {
                work.report("copy --policy policy", 0);
            } else {
                let sentence = answer.refusal();
                assert!(sentence.starts_with("copy"), "{name} {number}: {sentence}");
            }
            let answer = work.run("evidence copy -o out.evidence --open 5:reward --json");
            if answer.status == Some(0) {
                work.report("out.evidence --policy policy", 0);
            } else {
                answer.refusal();
            }
            fs::remove_dir_all(work.path("copy")).unwrap();
        }
    }
}

/// A folder from a stranger may hold pipes, which would block, and devices, which never end.
#[test]
fn a_pipe_or_a_device_in_a_log_is_refused_and_not_read() {
    for (file, status) in [("checkpoint", 2), ("tile/0/000.p/4", 1), ("tile/entries/000.p/4", 2)] {
        for make in ["mkfifo {}", "ln -s /dev/zero {}"] {
            let work = Work::with_log();
            work.write("three.jsonl", ratings(3));
            work.json("log annotations log three.jsonl");
            let path = work.path("log").join(file);
            fs::remove_file(&path).unwrap();
            let make = make.replace("{}", path.to_str().unwrap());
            assert!(
                std::process::Command::new("sh").args(["-c", &make]).status().unwrap().success()
            );
            work.run("verify log").ended(status);
        }
    }
}
