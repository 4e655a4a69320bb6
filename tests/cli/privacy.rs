//! A budget promised, spent and reported.

use end_to_end::{Work, ratings};
use serde_json::json;

const STRONG: &str =
    "init log --model tiny --privacy strong --epsilon 4 --epsilon-per-round 1 --clip 1,5";

#[test]
fn a_budget_is_spent_round_by_round_and_reported() {
    let work = Work::empty();
    work.json(STRONG);
    work.write("ratings.jsonl", ratings(30));
    work.json("log annotations log ratings.jsonl");
    let round = work.json("log round log --id first");
    assert_eq!((&round["first_index"], &round["count"]), (&json!(31), &json!(30)));
    assert_eq!(work.json("log round log --id first")["sum"], round["sum"]);

    let report = work.json("privacy log");
    assert_eq!((&report["epsilon"], &report["delta"]), (&json!(4.0), &json!(1e-5)));
    assert_eq!(report["spent"]["rho"].as_f64(), round["rho"].as_f64().map(f64::next_up));
    let [spent, remaining] =
        [&report["spent"]["epsilon"], &report["remaining"]].map(|e| e.as_f64().unwrap());
    assert!(spent <= 1.0 && spent > 0.99 && (remaining - (4.0 - spent)).abs() < 1e-9);
    assert_eq!(report["rounds"][0]["index"], 31);
    assert!(report["not_protected"].to_string().contains("not this log's training statistics"));
    // It counts what is left in whole rounds, and no more of them can be had.
    for _ in 0..report["remaining_rounds"].as_u64().unwrap() {
        work.json("log annotations log ratings.jsonl");
        work.json("log round log");
    }
    work.json("log annotations log ratings.jsonl");
    let error = work.refused("log round log");
    assert!(error.contains("epsilon 4 in all") && !error.contains("rater"), "{error}");
    assert_eq!(work.json("privacy log")["remaining_rounds"], 0);
    // The same log, verified by somebody else.
    work.json("card log -o card.json");
    work.json("evidence log -o a.evidence");
    assert_eq!(work.report("a.evidence", 4)["verdict"], "self-consistent");
}

#[test]
fn a_log_that_promises_nothing_says_so() {
    let work = Work::empty();
    work.json("init log --model tiny");
    let report = work.json("privacy log");
    assert_eq!((&report["epsilon"], &report["mode"]), (&json!(null), &json!("minimal")));
    assert!(report["not_protected"][0].as_str().unwrap().starts_with("Nothing is noised"));
    assert!(work.refused("log round log").contains("no privacy settings"));
}

#[test]
fn settings_that_make_no_sense_are_refused_in_one_sentence() {
    let work = Work::empty();
    for (arguments, words) in [
        ("--privacy strong --epsilon 1", "needs --epsilon, --epsilon-per-round and --clip"),
        (
            "--privacy strong --epsilon 0 --epsilon-per-round 1 --clip 1,5",
            "epsilon must be above 0",
        ),
        (
            "--privacy strong --epsilon -1 --epsilon-per-round 1 --clip 1,5",
            "epsilon must be above 0",
        ),
        (
            "--privacy strong --epsilon NaN --epsilon-per-round 1 --clip 1,5",
            "epsilon must be above 0",
        ),
        (
            "--privacy strong --epsilon 4 --epsilon-per-round 1 --clip 1,5 --delta 1",
            "delta must be",
        ),
        (
            "--privacy strong --epsilon 4 --epsilon-per-round 1 --clip 5,1",
            "the lower below the upper",
        ),
        (
            "--privacy strong --epsilon 4 --epsilon-per-round 1 --clip 1,5 --cap 0",
            "at least one rating",
        ),
        ("--privacy moderate --epsilon 4", "--privacy moderate needs --epsilon"),
        (
            "--privacy moderate --epsilon 4 --epsilon-per-round 1 --clip 1,5 --cap 4000000000",
            "the noise would be too large",
        ),
        (
            "--privacy moderate --epsilon 4 --epsilon-per-round 5 --clip 1,5",
            "must not be above epsilon",
        ),
        ("--epsilon 4", "with --privacy strong or moderate only"),
    ] {
        let error = work.refused(&format!("init log --model tiny {arguments}"));
        assert!(error.contains(words), "{arguments}: {error}");
        assert!(!work.path("log").exists());
    }
}
