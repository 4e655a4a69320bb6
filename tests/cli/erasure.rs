//! Erasure and disclosure: what was given before stays valid, what was erased opens for nobody, and what was
//! disclosed is in the log.

use std::io::Write as _;
use std::process::Stdio;

use end_to_end::{Answer, Work, ratings};
use serde_json::{Value as Json, json};

/// Six ratings, by rater-0, rater-1 and rater-2.
fn rated() -> Work {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(6));
    work.json("log annotations log ratings.jsonl");
    work
}

/// The entries of the annotations that one person made, found by opening all of them.
fn entries_on(work: &Work, questions: &[usize]) -> Vec<u64> {
    let opened: Vec<String> = (1..7).map(|entry| format!("--open {entry}:prompt")).collect();
    work.json(&format!("evidence log -o all.evidence {}", opened.join(" ")));
    let report = work.report("all.evidence", 4);
    let wanted: Vec<Json> = questions.iter().map(|i| json!(format!("Question {i}?"))).collect();
    let openings = report["openings"].as_array().unwrap();
    let theirs = openings.iter().filter(|opening| wanted.contains(&opening["value"]));
    theirs.map(|opening| opening["entry"].as_u64().unwrap()).collect()
}

fn erase_from_input(work: &Work, ids: &str) -> Answer {
    let typed = "erase log --annotator - --json";
    let mut child = work
        .command(typed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(ids.as_bytes()).unwrap();
    Answer::of(typed, child.wait_with_output().unwrap())
}

#[test]
fn who_is_erased_cannot_be_opened_and_all_that_was_given_before_stays_valid() {
    let work = rated();
    let theirs = entries_on(&work, &[1, 4]);
    work.json("card log -o before.json");
    work.json(&format!("evidence log -o before.evidence --open {}:reward", theirs[0]));
    work.json(&format!("prove log {} -o before.tlog-proof", theirs[1]));
    let before = work.report("before.evidence --policy policy", 0);

    let answer = work.run("erase log --annotator rater-1").ended(0);
    for said in [
        "1 annotator's content is erased: 2 private records, and 1 key",
        "nothing opens it",
        "backups",
    ] {
        assert!(answer.stdout.contains(said), "{}", answer.stdout);
    }
    assert!(!answer.stdout.contains("rater") && answer.stderr.is_empty(), "{answer:#?}");

    // What was given before is what it was, the opening included.
    assert_eq!(work.report("before.evidence --policy policy", 0), before);
    work.report("before.tlog-proof --policy policy", 0);
    work.json("evidence log -o after.evidence --since before.evidence");
    let after = work.report("after.evidence --policy policy --earlier before.evidence", 0);
    let claims = after["card"]["claims"].as_array().unwrap();
    let erasures = claims.iter().find(|claim| claim["id"] == "erasures.count").unwrap();
    assert_eq!((&erasures["value"], &erasures["status"]), (&json!(1), &json!("established")));
    for (list, said) in [
        (
            "established",
            "1 erasure is logged in these entries: the holder of the key you chose says",
        ),
        ("not_established", "Whose private fields were erased, and that no copy of them is left"),
    ] {
        let list = after[list].as_array().unwrap();
        assert!(list.iter().any(|line| line.as_str().unwrap().starts_with(said)), "{list:#?}");
    }

    // The log says that it happened, and no more.
    let shown = work.json("show log --type erasure");
    assert_eq!(shown["events"][0]["event_data"], json!({"scope": "annotator"}));

    for entry in &theirs {
        let erased =
            format!("erased, and not to be opened by anybody any more: `reward` of entry {entry}");
        for typed in [
            format!("evidence log -o none --open {entry}:reward"),
            format!("disclose log --event {entry} --field reward --to Ann -o none"),
        ] {
            assert!(work.refused(&typed).ends_with(&erased));
        }
    }
    assert!(!work.path("none").exists());
    let size = work.report("log", 4)["size"].as_u64().unwrap();
    let again = work.refused("erase log --annotator rater-1");
    assert!(again.starts_with("log: nothing of this annotator is in this log"), "{again}");
    assert_eq!(work.report("log", 4)["size"], size);

    // Who comes back is somebody else.
    work.json("log annotations log ratings.jsonl");
    let pseudonyms: std::collections::BTreeSet<String> =
        work.json("show log --type annotation")["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event_data"]["annotator_id"].as_str().unwrap().to_owned())
            .collect();
    assert_eq!(pseudonyms.len(), 4);
}

#[test]
fn ids_from_standard_input_are_erased_all_or_none() {
    let work = rated();
    let unknown = erase_from_input(&work, "rater-0\nrater-7\n");
    assert!(!unknown.refusal().contains("rater"));
    assert!(erase_from_input(&work, "\n").refusal().contains("no annotator's id"));
    let erased = erase_from_input(&work, "rater-0\n\nrater-2\n").ended(0).json();
    assert_eq!(erased["scope"], "annotator");
    assert_eq!((&erased["erasures"], &erased["first_index"]), (&json!(2), &json!(7)));
    assert_eq!((&erased["records"], &erased["keys_destroyed"]), (&json!(4), &json!(2)));
    assert_eq!((&erased["size"], &erased["opened"]), (&json!(9), &json!(0)));
    assert!(erased["keys_tried"].as_u64().unwrap() > 0);
    assert_eq!(erased["out_of_reach"].as_array().unwrap().len(), 5);
    work.report("log --policy policy", 0);
}

#[test]
fn a_prompt_is_erased_by_the_hash_of_its_text_alone() {
    let work = rated();
    let entry = entries_on(&work, &[3])[0];
    // By a tool of others.
    let digest = std::process::Command::new("sh")
        .args(["-c", "printf %s 'Question 3?' | sha256sum | cut -d' ' -f1"])
        .output()
        .unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap().trim().to_owned();
    let commitment = &work.json(&format!("show log {entry}"))["event_data"]["prompt_hash"];
    let sentence =
        work.refused(&format!("erase log --prompt-hash {}", commitment.as_str().unwrap()));
    assert!(sentence.contains("which is a commitment"), "{sentence}");
    for broken in ["sha256:", "Question", &digest[1..], &format!("md5:{digest}")] {
        let sentence = work.refused(&format!("erase log --prompt-hash {broken}"));
        assert!(sentence.contains("64 hexadecimal digits") && !sentence.contains("Question"));
    }
    let erased = work.json(&format!("erase log --prompt-hash sha256:{digest}"));
    assert_eq!((&erased["scope"], &erased["records"]), (&json!("prompt"), &json!(1)));
    work.refused(&format!("evidence log -o none --open {entry}:reward"));
    for other in (1..7).filter(|other| *other != entry) {
        work.json(&format!("evidence log -o some.evidence --open {other}:reward"));
    }
    work.report("some.evidence --policy policy", 0);
}

#[test]
fn a_disclosure_is_logged_by_name_and_an_erasure_says_whom_to_tell() {
    let work = rated();
    let entry = entries_on(&work, &[2])[0];
    let other = entries_on(&work, &[0])[0];
    let disclosed = work.json(&format!(
        "disclose log --event {entry},{other} --field reward,prompt --to Market-Surveillance -o for.evidence"
    ));
    assert_eq!(
        (&disclosed["auditor"], &disclosed["openings"]),
        (&json!("Market-Surveillance"), &json!(4))
    );
    let report = work.report("for.evidence --policy policy", 0);
    assert_eq!(report["openings"].as_array().unwrap().len(), 4);
    assert!(report["openings"].as_array().unwrap().iter().all(|o| o["result"] == "pass"));
    // The file itself shows that it was logged.
    assert_eq!(report["entries"]["types"]["auditor.access"], 1);
    let shown = work.json(&format!("show log {}", disclosed["entry"]));
    assert_eq!(shown["event_type"], "auditor.access");
    let (mut first, mut second) = (entry, other);
    if first > second {
        std::mem::swap(&mut first, &mut second);
    }
    let fields = json!(["prompt", "reward"]);
    assert_eq!(
        shown["event_data"],
        json!({"auditor": "Market-Surveillance", "opened": [
            {"entry": first, "fields": fields},
            {"entry": second, "fields": fields},
        ]})
    );

    let size = work.report("log", 4)["size"].as_u64().unwrap();
    for (typed, said) in [
        ("--event 0 --field reward --to Ann -o x", "entry 0 has no private field `reward`"),
        ("--event 1 --field mood --to Ann -o x", "entry 1 has no private field `mood`"),
        ("--event 1 --field preference --to Ann -o x", "entry 1 has no private field `preference`"),
        ("--event 999 --field reward --to Ann -o x", "there is no entry 999"),
        ("--event 1 --field reward --to Ann -o nowhere/x", "nothing was opened"),
    ] {
        let sentence = work.refused(&format!("disclose log {typed}"));
        assert!(sentence.contains(said), "{sentence}");
    }
    let nameless =
        work.command("disclose log --event 1 --field reward -o x").args(["--to", " "]).output();
    assert!(String::from_utf8(nameless.unwrap().stderr).unwrap().contains("auditor's name"));
    assert_eq!(work.report("log", 4)["size"], size, "what is refused is not logged");

    assert_eq!(work.json("erase log --annotator rater-1")["disclosed_to"], json!([]));
    let erased = work.json("erase log --annotator rater-2");
    assert_eq!(erased["disclosed_to"], json!(["Market-Surveillance"]));
    // What they were given stays what it was.
    assert_eq!(work.report("for.evidence --policy policy", 0), report);
}
