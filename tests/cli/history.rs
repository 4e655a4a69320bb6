//! “The log you saw in May is a prefix of this one”, or somebody has rewritten it.

use std::path::PathBuf;

use end_to_end::{Served, Work, preferences, ratings};
use serde_json::{Value as Json, json};

/// A log seen in May and in November, and the same log as it was rewritten after May from a copy of the folder.
fn seen() -> Work {
    let work = Work::with_log();
    work.write("early.jsonl", ratings(10));
    work.write("late.jsonl", ratings(300));
    work.write("other.jsonl", preferences(20));
    work.json("log annotations log early.jsonl");
    work.copy("log", "fork");
    work.json("log annotations log other.jsonl");
    work.json("evidence log -o may.evidence");
    work.json("prove log 3 -o may.tlog-proof");
    work.copy("log/checkpoint", "may.checkpoint");
    work.json("log annotations log late.jsonl");
    work.json("log annotations fork late.jsonl");
    work
}

fn history(report: &Json) -> &Json {
    let check = report["checks"].as_array().unwrap().iter().find(|c| c["name"] == "history");
    assert_eq!(check.unwrap()["result"], report["history"]["result"]);
    &report["history"]
}

/// What the log's folder shows to others.
fn public(work: &Work, log: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = work.files(log);
    files.retain(|(path, _)| !path.starts_with(work.path(log).join("private")));
    files
}

const MAY: [&str; 3] = ["may.evidence", "may.tlog-proof", "may.checkpoint"];

#[test]
fn two_evidence_files_of_one_log_verify_against_each_other() {
    let work = seen();
    work.json("evidence log -o november.evidence");
    work.json("prove log 300 -o november.tlog-proof");
    let size = work.report("may.evidence", 4)["size"].as_u64().unwrap();
    for may in MAY {
        for target in ["november.evidence", "log"] {
            let report = work.report(&format!("{target} --policy policy --earlier {may}"), 0);
            let history = history(&report);
            assert_eq!(history["result"], "pass", "{history}");
            assert_eq!(
                (&history["earlier"]["size"], &history["reversed"]),
                (&json!(size), &json!(false))
            );
            let said = format!(
                "The log of the earlier file (size {size}) is a prefix of this one: nothing in it was changed or removed."
            );
            assert!(report["established"].as_array().unwrap().contains(&json!(said)), "{report}");
        }
        // One entry of the later log says nothing of the earlier one.
        let report =
            work.report(&format!("november.tlog-proof --policy policy --earlier {may}"), 0);
        assert_eq!(history(&report)["result"], "absent");
    }
    let report = work.report("may.evidence --policy policy --earlier november.evidence", 0);
    assert_eq!(
        (&history(&report)["result"], &report["history"]["reversed"]),
        (&json!("pass"), &json!(true))
    );
    // Whoever has no key yet sees that the two belong together.
    let report = work.report("november.evidence --earlier may.evidence", 4);
    assert_eq!(history(&report)["result"], "pass");
}

#[test]
fn evidence_since_may_leads_on_from_it_without_all_entries() {
    let work = seen();
    work.json("evidence log -o short.evidence --entries claims");
    let report = work.report("short.evidence --policy policy --earlier may.evidence", 0);
    assert_eq!(history(&report)["result"], "absent");
    let reason = history(&report)["reason"].as_str().unwrap();
    assert!(reason.contains("rlhf-audit evidence --since"), "{reason}");

    for may in MAY {
        let made =
            work.json(&format!("evidence log -o since.evidence --entries claims --since {may}"));
        assert_eq!(made["heads"], 3);
        let report = work.report("since.evidence --policy policy --earlier may.evidence", 0);
        assert_eq!(history(&report)["result"], "pass", "{}", history(&report));
        let sizes: Vec<_> = report["heads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|head| head["size"].as_u64().unwrap())
            .collect();
        assert!(sizes.is_sorted() && sizes[0] == 32 && sizes.len() == 3, "{sizes:?}");
    }
    // Several heads of one run, each with its proof; one that stands there already is not put in twice.
    work.write("one.jsonl", ratings(1));
    work.json("log annotations log one.jsonl");
    let made = work.json(
        "evidence log -o all.evidence --since may.evidence --since since.evidence --since log/checkpoint",
    );
    assert_eq!(made["heads"], 4);
    let report = work.report("all.evidence --policy policy --earlier since.evidence", 0);
    assert_eq!(history(&report)["result"], "pass");
    assert_eq!(report["heads"].as_array().unwrap().len(), 4);
}

#[test]
fn a_rewritten_history_with_the_same_key_is_refused_and_both_heads_are_shown() {
    let work = seen();
    work.json("evidence fork -o rewritten.evidence");
    let may = work.text("may.checkpoint");
    for policy in ["", " --policy policy"] {
        for target in ["rewritten.evidence", "fork"] {
            let typed = format!("{target}{policy} --earlier may.evidence");
            let report = work.report(&typed, 1);
            assert_eq!(report["verdict"], "failed");
            let history = history(&report);
            assert_eq!(history["contradiction"], true, "{history}");
            assert_eq!(history["earlier"]["signed_by"], history["later"]["signed_by"]);
            let text = work.run(&format!("verify {typed}")).ended(1).stdout;
            for head in ["earlier", "later"] {
                for line in history[head]["note"].as_str().unwrap().lines() {
                    assert!(text.contains(&format!("    {line}\n")), "{line:?} not in {text}");
                }
            }
        }
    }
    assert!(work.report("may.evidence", 4)["history"].is_null());

    // The producer's own program does not lead on from a head that is none of this log's.
    let before = public(&work, "fork");
    for earlier in MAY {
        let typed = format!("evidence fork -o never.evidence --since {earlier}");
        let answer = work.run(&format!("{typed} --json")).ended(1);
        assert_eq!(answer.json()["earlier"]["note"], may);
        assert_eq!(answer.json()["here"]["note"], work.text("fork/checkpoint"));
        let text = work.run(&typed).ended(1).stdout;
        for line in [may.as_str(), &work.text("fork/checkpoint")].into_iter().flat_map(str::lines) {
            assert!(text.contains(&format!("    {line}\n")), "{line:?} not in {text}");
        }
    }
    assert!(!work.path("never.evidence").exists());
    assert!(public(&work, "fork") == before, "what is refused changes the log");
}

#[test]
fn a_log_of_another_key_or_name_is_not_led_on_from() {
    let work = seen();
    work.json("init same --model tiny --origin log.example/tiny");
    work.json("init other --model tiny --origin log.example/other");
    for log in ["same", "other"] {
        work.json(&format!("log annotations {log} late.jsonl"));
        work.json(&format!("evidence {log} -o {log}.evidence"));
        let report =
            work.report(&format!("{log}.evidence --policy {log}/policy --earlier may.evidence"), 1);
        assert_eq!(
            (&history(&report)["result"], &report["history"]["contradiction"]),
            (&json!("fail"), &json!(false))
        );
        work.run(&format!("evidence {log} -o x.evidence --since may.evidence")).ended(1);
    }
    // A longer log of the same key: this folder is an old copy of it.
    work.run("evidence fork -o x.evidence --since log/checkpoint").ended(1);
}

#[test]
fn a_served_log_is_compared_with_and_without_its_entries() {
    let work = seen();
    work.json("card fork -o card.json");
    for options in ["", " --open-entries"] {
        let Some(log) = Served::start(&work, &format!("serve log{options}")) else { return };
        let Some(fork) = Served::start(&work, &format!("serve fork{options}")) else { return };
        for may in MAY {
            let url = format!("http://{} --policy policy --earlier {may}", log.address);
            assert_eq!(history(&work.report(&url, 0))["result"], "pass");
            let url = format!("http://{} --policy policy --earlier {may}", fork.address);
            assert_eq!(history(&work.report(&url, 1))["contradiction"], true);
        }
    }
}

#[test]
fn what_holds_no_head_is_refused() {
    let work = seen();
    work.write("a.pdf", "%PDF-1.7\n");
    for typed in [
        "verify may.evidence --earlier",
        "verify log --earlier",
        "evidence log -o x.evidence --since",
    ] {
        let sentence = work.refused(&format!("{typed} a.pdf"));
        assert!(
            sentence.starts_with("a.pdf: ") && sentence.contains("no signed tree head"),
            "{sentence}"
        );
        let sentence = work.refused(&format!("{typed} nothing.evidence"));
        assert!(sentence.starts_with("nothing.evidence: "), "{sentence}");
    }
    assert!(!work.path("x.evidence").exists());
}
