//! What is not as it must be gets status 2 and one sentence that names the file and the place, and
//! leaves the log as it was.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;

use end_to_end::{Work, ratings};
use serde_json::json;

const GOOD: &str = r#"{"prompt":"p","response":"r","annotator_id":"a","reward":1}"#;

#[test]
fn truncated_and_foreign_evidence() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(3));
    work.json("log annotations log ratings.jsonl");
    work.json("evidence log -o a.evidence");
    work.json("prove log 1");
    let (evidence, proof) = (work.read("a.evidence"), work.text("1.tlog-proof"));

    for length in [0, 1, 2, 3, 4, evidence.len() / 3, evidence.len() / 2, evidence.len() - 1] {
        work.write("cut.evidence", &evidence[..length]);
        let sentence = work.refused("verify cut.evidence --policy policy");
        assert!(sentence.starts_with("cut.evidence: this "), "{length}: {sentence}");
        let expected = if length < 3 { "not an evidence file" } else { "cut short or damaged" };
        assert!(sentence.contains(expected), "{length}: {sentence}");
    }
    work.write("longer.evidence", [&evidence[..], b"\n"].concat());
    assert!(work.refused("verify longer.evidence").contains("bytes after its end"));

    work.write("letter.pdf", "%PDF-1.7\n");
    work.write("zeros", vec![0; 4096]);
    work.write("nothing", "");
    for name in ["letter.pdf", "zeros", "nothing", "ratings.jsonl", "log/checkpoint"] {
        let sentence = work.refused(&format!("verify {name}"));
        assert!(sentence.contains(&format!("{name}: this is not an evidence file")), "{sentence}");
    }
    for (name, content) in [
        ("cut.proof", &proof[..proof.len() / 2]),
        ("cut-to-head.proof", proof.split("\n\n").next().unwrap()),
        ("no-entry.proof", &proof.replace(proof.lines().nth(1).unwrap(), "index 1\nindex 1")),
    ] {
        work.write(name, content);
        let answer = work.run(&format!("verify {name} --json"));
        assert!(matches!(answer.status, Some(1 | 2)), "{answer:#?}");
    }
    assert!(work.refused("verify absent").contains("absent: could not read the file"));
    work.write("binary.proof", [proof.as_bytes(), b"\xff"].concat());
    assert!(work.refused("verify binary.proof").starts_with("binary.proof: "));
}

#[test]
fn a_folder_that_is_no_log() {
    let work = Work::with_log();
    fs::create_dir(work.path("empty")).unwrap();
    work.write("ratings.jsonl", ratings(1));
    for typed in ["verify", "show --type annotation", "prove"] {
        let typed = match typed {
            "prove" => "prove empty 0".to_owned(),
            other => format!("{other} empty"),
        };
        assert!(work.refused(&typed).contains("empty/checkpoint: the file is missing"), "{typed}");
    }
    assert!(work.refused("serve empty --port 0").contains("empty/checkpoint: the file is missing"));
    for typed in [
        "log annotations empty ratings.jsonl",
        "log annotations absent ratings.jsonl",
        "run start empty",
        "card empty -o card.json",
        "evidence empty -o a.evidence",
    ] {
        let sentence = work.refused(typed);
        assert!(
            sentence.contains("no log here") && sentence.contains("rlhf-audit init"),
            "{sentence}"
        );
    }
    assert_eq!(fs::read_dir(work.path("empty")).unwrap().count(), 0);
    assert!(!work.path("absent").exists());

    // A log whose checkpoint went missing is not quietly begun anew.
    work.json("log annotations log ratings.jsonl");
    fs::remove_file(work.path("log/checkpoint")).unwrap();
    assert!(work.refused("verify log").contains("log/checkpoint: the file is missing"));
    let answer = work.run("log annotations log ratings.jsonl --json");
    if answer.status == Some(0) {
        // The private head knows better than the missing public one.
        assert_eq!(answer.json()["size"], 3);
        assert_eq!(work.report("log --policy policy", 0)["size"], 3);
    } else {
        assert!(answer.refusal().contains("checkpoint"));
    }
}

#[test]
fn a_broken_line_is_named_and_nothing_is_logged() {
    let work = Work::with_log();
    work.write("good.jsonl", format!("{GOOD}\n"));
    work.json("log annotations log good.jsonl");
    let before = work.files("log");

    for (broken, says) in [
        ("{", "line 3: not JSON at column 1"),
        ("[1]", "line 3: not a JSON object"),
        ("null", "line 3: not a JSON object"),
        (r#"{"response":"r","annotator_id":"a","reward":1}"#, "line 3: `prompt` is missing"),
        (r#"{"prompt":"p","annotator_id":"a","reward":1}"#, "line 3: `response` is missing"),
        (r#"{"prompt":"p","response":"r","reward":1}"#, "line 3: `annotator_id` is missing"),
        (r#"{"prompt":"p","response":"r","annotator_id":"a"}"#, "line 3: `reward` is missing"),
        (r#"{"chosen":"c"}"#, "line 3: `rejected` is missing"),
        (r#"{"chosen":"c","rejected":"d","reward":1}"#, "line 3: it is neither a rating"),
        (
            r#"{"prompt":"p","response":"r","annotator_id":"a","reward":NaN}"#,
            "line 3: not JSON at column",
        ),
        (
            r#"{"prompt":"p","response":"r","annotator_id":"a","reward":-Infinity}"#,
            "(NaN and Infinity are no JSON",
        ),
        (r#"{"prompt":"p","response":"r","annotator_id":"a","reward":1e999}"#, "line 3: "),
        (
            r#"{"prompt":"p","response":"r","annotator_id":"a","reward":"5"}"#,
            "line 3: `reward` must be a number",
        ),
        (
            r#"{"prompt":"p","response":"r","annotator_id":"a","reward":null}"#,
            "line 3: `reward` must be a number",
        ),
        (
            r#"{"prompt":"p","response":"r","annotator_id":"a","reward":true}"#,
            "line 3: `reward` must be a number",
        ),
        (
            r#"{"prompt":1,"response":"r","annotator_id":"a","reward":1}"#,
            "line 3: `prompt` must be text",
        ),
        (
            r#"{"prompt":"p","response":"","annotator_id":"a","reward":1}"#,
            "line 3: `response` is empty",
        ),
    ] {
        work.write("a.jsonl", format!("{GOOD}\n{GOOD}\n{broken}\n{GOOD}\n"));
        let sentence = work.refused("log annotations log a.jsonl");
        assert!(
            sentence.starts_with("a.jsonl, line 3: ") && sentence.contains(says),
            "{broken}: {sentence}"
        );
        assert!(sentence.contains("Nothing was logged") && sentence.contains("--keep-going"));
    }
    work.write(
        "a.jsonl",
        [GOOD.as_bytes(), b"\n{\"chosen\":\"\xff\",\"rejected\":\"d\"}\n{\n["].concat(),
    );
    let sentence = work.refused("log annotations log a.jsonl");
    assert!(sentence.contains("line 2: the line is not UTF-8 (2 more broken lines)"), "{sentence}");

    for (name, content, says) in [
        ("empty.jsonl", &b""[..], "holds no annotation"),
        ("blank.jsonl", b"\n \n\r\n", "holds no annotation"),
        ("cut.jsonl.gz", b"\x1f\x8b\x08\x00", "not a whole gzip file"),
        ("plain.jsonl.gz", GOOD.as_bytes(), "not a whole gzip file"),
    ] {
        work.write(name, content);
        let sentence = work.refused(&format!("log annotations log {name}"));
        assert!(
            sentence.starts_with(&format!("{name}: ")) && sentence.contains(says),
            "{sentence}"
        );
    }
    assert!(work.refused("log annotations log absent.jsonl").contains("absent.jsonl: could not"));
    assert!(work.refused("log annotations log log").contains("log: "));
    assert!(work.refused("log annotations log /dev/null").contains("/dev/null: "));

    assert_same(&before, &work.files("log"));
}

/// Nothing was written, but for the process id in the lock and what the vault's database keeps for itself.
fn assert_same(before: &[(std::path::PathBuf, Vec<u8>)], after: &[(std::path::PathBuf, Vec<u8>)]) {
    let content = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        let its_own =
            |path: &std::path::Path| path.ends_with("lock") || path.ends_with("vault.redb");
        files.iter().filter(|(path, _)| !its_own(path)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(content(before), content(after));
}

#[test]
fn with_keep_going_the_rest_is_logged_and_what_is_left_out_is_listed() {
    let work = Work::with_log();
    let broken = r#"{"prompt":"p","response":"r","annotator_id":"a","reward":NaN}"#;
    work.write("a.jsonl", format!("{GOOD}\n{broken}\n{GOOD}\nnonsense\n{GOOD}\n"));
    let logged = work.json("log annotations log a.jsonl --keep-going");
    assert_eq!((&logged["logged"], &logged["size"]), (&json!(3), &json!(4)));
    let left_out = logged["left_out"].as_array().unwrap();
    assert_eq!(left_out.iter().map(|left| &left["line"]).collect::<Vec<_>>(), [2, 4]);
    assert!(left_out[0]["reason"].as_str().unwrap().contains("NaN"));

    let answer = work.run("log annotations log a.jsonl --keep-going").ended(0);
    assert!(answer.stdout.contains("Left out line 2: not JSON at column"), "{answer:#?}");
    assert!(answer.stdout.contains("Left out line 4: not JSON at column"), "{answer:#?}");

    work.write("none.jsonl", "nonsense\n");
    assert!(
        work.refused("log annotations log none.jsonl --keep-going").contains("holds no annotation")
    );
    assert_eq!(work.report("log --policy policy", 0)["size"], 7);
}

#[test]
fn documents_that_are_none() {
    let work = Work::with_log();
    for (name, content, says) in [
        ("empty.json", "", "empty.json: not JSON: something is wrong at line 1"),
        ("cut.json", "{\"title\":\n\"Rul", "cut.json: not JSON: something is wrong at line 2"),
        ("list.json", "[1]", "list.json: not a JSON object"),
        (
            "large.json",
            "{\"a\":[9007199254740993]}",
            "large.json: the integer at /a/0 is beyond 2^53 - 1",
        ),
    ] {
        work.write(name, content);
        for kind in ["guideline", "evaluation", "incident"] {
            let sentence = work.refused(&format!("log {kind} log {name}"));
            assert!(sentence.contains(says), "{sentence}");
        }
    }
    assert!(work.refused("log guideline log absent.json").contains("absent.json: could not"));
    assert_eq!(work.report("log", 4)["size"], 0);
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(1));
    for key in ["log.key", "vault.key"] {
        let path = work.path("log/private").join(key);
        for mode in [0o644, 0o640, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let sentence = work.refused("log annotations log ratings.jsonl");
            assert!(sentence.contains(key) && sentence.contains("chmod 600"), "{sentence}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    work.json("log annotations log ratings.jsonl");
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing_behind() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(2));
    work.json("log annotations log ratings.jsonl");
    fs::create_dir(work.path("taken")).unwrap();
    for typed in ["evidence log -o", "card log -o", "card log --format html -o", "prove log 1 -o"] {
        for output in ["absent/out", "taken", "/proc/out"] {
            let sentence = work.refused(&format!("{typed} {output}"));
            assert!(sentence.contains(output), "{typed} {output}: {sentence}");
        }
    }
    assert_eq!(fs::read_dir(work.path("taken")).unwrap().count(), 0);
    let names: Vec<_> =
        fs::read_dir(work.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "log, policy, ratings.jsonl and taken, not {names:?}");
    work.json("evidence log -o a.evidence");
    work.report("a.evidence --policy policy", 0);

    // An older file stays whole until the new one is.
    let older = work.read("a.evidence");
    work.refused("evidence log -o a.evidence --open 0:reward");
    assert_eq!(work.read("a.evidence"), older);
}

#[test]
fn an_answer_that_cannot_be_printed_is_not_success() {
    let work = Work::with_log();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for typed in ["verify log --policy policy --json", "verify log --policy policy"] {
        let output = work.command(typed).stdout(full()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("standard output could not be written: No space left"), "{error}");
        // With nowhere to complain to, the status still tells.
        let status = work.command(typed).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(2));
    }
    // A reader that has seen enough is no failure.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = work.command("verify log --policy policy --json").stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
