//! Every command does what its line in the usage says, and answers in the form a program can read.

use std::io::Write as _;

use end_to_end::{Work, preferences, ratings};
use serde_json::{Value as Json, json};

#[track_caller]
fn has_keys(document: &Json, keys: &[&str]) {
    for key in keys {
        assert!(document.get(key).is_some(), "no `{key}` in {document}");
    }
}

fn is_hash(text: &Json) -> bool {
    let text = text.as_str().unwrap_or_default();
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[test]
fn each_command_prints_one_document_with_its_keys() {
    let work = Work::empty();
    let made = work.json("init log --model tiny --origin log.example/tiny");
    assert_eq!(made["origin"], "log.example/tiny");
    assert!(made["vkey"].as_str().unwrap().starts_with("log.example/tiny+"));
    assert!(is_hash(&made["fingerprint"]));

    work.write("guideline.json", r#"{"title":"Rules","text":"Be kind."}"#);
    work.write("evaluation.json", r#"{"name":"harmless","accuracy":0.75}"#);
    work.write("incident.json", r#"{"what":"a worker crashed"}"#);
    work.write("ratings.jsonl", ratings(3));
    // The first event starts the run, so it is the second entry.
    for (typed, logged) in [
        ("log guideline log guideline.json", json!({"logged": 1, "first_index": 1, "size": 2})),
        ("log evaluation log evaluation.json", json!({"logged": 1, "first_index": 2, "size": 3})),
        ("log incident log incident.json", json!({"logged": 1, "first_index": 3, "size": 4})),
        ("run end log", json!({"logged": 1, "first_index": 4, "size": 5})),
        ("run start log", json!({"logged": 1, "first_index": 5, "size": 6})),
        (
            "log annotations log ratings.jsonl",
            json!({"logged": 3, "first_index": 6, "size": 9, "left_out": [], "ignored_fields": []}),
        ),
        ("run end log --outcome stopped", json!({"logged": 1, "first_index": 9, "size": 10})),
    ] {
        assert_eq!(work.json(typed), logged, "{typed}");
    }

    let card = work.json("card log -o card.json");
    has_keys(&card, &["path", "entry", "claims", "size"]);
    assert!(is_hash(&card["sha256"]));
    let evidence = work.json("evidence log -o a.evidence");
    assert_eq!((&evidence["size"], &evidence["openings"]), (&json!(11), &json!(0)));
    assert_eq!(evidence["bytes"], work.read("a.evidence").len());
    assert_eq!(work.json("prove log 7"), json!({"index": 7, "size": 11, "path": "7.tlog-proof"}));
    assert_eq!(work.json("show log 9")["event_data"]["outcome"], "stopped");

    let report = work.report("a.evidence", 4);
    has_keys(&report, &["verdict", "meets_policy", "key_source", "publication", "size", "root"]);
    has_keys(&report, &["checks", "established", "not_established", "not_proven", "card"]);
    for check in report["checks"].as_array().unwrap() {
        has_keys(check, &["name", "result", "reason"]);
        assert!(["pass", "fail", "absent"].contains(&check["result"].as_str().unwrap()));
    }
    assert!(is_hash(&report["root"]));

    let demo = work.json("demo --dir demo --no-serve");
    has_keys(&demo, &["dir", "evidence", "policy"]);
    assert_eq!(demo.get("url"), None);
}

#[test]
fn without_json_the_same_commands_speak_to_people() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(2));
    for (typed, status, says) in [
        ("log annotations log ratings.jsonl", 0, "Logged 2 annotations from entry 1 on"),
        ("evidence log -o a.evidence", 0, "Evidence for 4 entries in a.evidence"),
        ("verify a.evidence", 4, "Consistent with itself; signer unknown"),
        ("verify a.evidence --policy policy", 0, "Signed by the key you chose; date not"),
        ("verify a.evidence", 4, "Not proven: that training happened as logged"),
        ("prove log 0 -o first", 0, "Proof that entry 0 is among 4 in first"),
        ("--help", 0, "Exit status: 0 done"),
        ("--version", 0, "rlhf-audit "),
    ] {
        let answer = work.run(typed).ended(status);
        assert!(answer.stdout.contains(says), "{answer:#?}");
        assert_eq!(answer.stderr, "");
    }
}

#[test]
fn bad_usage_is_status_2_on_standard_error() {
    let work = Work::with_log();
    for typed in [
        "",
        "frobnicate",
        "init",
        "init log2",
        "show log",
        "show log 1 --type annotation",
        "show log one",
        "show log -1",
        "card log --format pdf -o card.pdf",
        "card log",
        "evidence log",
        "evidence log -o x --entries some",
        "prove log",
        "verify",
        "verify policy --frobnicate",
        "serve log --port 99999",
    ] {
        let answer = work.run(typed).ended(2);
        assert_eq!(answer.stdout, "", "{answer:#?}");
        assert!(answer.stderr.contains("--help") || answer.stderr.contains("Usage"), "{answer:#?}");
    }
    for (typed, says) in [
        ("evidence log -o x --open 1", "--open 1: give the entry's index and the field"),
        ("evidence log -o x --open one:reward", "for example 12:reward"),
        ("init elsewhere --model m --origin https://log.example", "cannot be a log's origin"),
        ("init log --model m", "log: the folder is not empty"),
        ("run end log", "no run is open"),
    ] {
        let sentence = work.refused(typed);
        assert!(sentence.contains(says), "{typed}: {sentence}");
    }
    assert!(!work.path("elsewhere").exists() && !work.path("x").exists());
}

#[test]
fn annotations_come_in_two_forms_and_packed() {
    let work = Work::with_log();
    // As exports from other systems write it: a byte order mark, Windows line ends, fields of their own.
    work.write(
        "mixed.jsonl",
        "\u{feff}{\"prompt\":\"p\",\"response\":\"r\",\"annotator_id\":7,\"reward\":-0.0,\"lang\":\"en\"}\r\n\
         \r\n{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"d\",\"annotator_id\":null}\r\n\
         {\"chosen\":\"c\",\"rejected\":\"d\"}",
    );
    let logged = work.json("log annotations log mixed.jsonl");
    assert_eq!((&logged["logged"], &logged["ignored_fields"]), (&json!(3), &json!(["lang"])));

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(preferences(4).as_bytes()).unwrap();
    work.write("packed.jsonl.gz", gzip.finish().unwrap());
    assert_eq!(work.json("log annotations log packed.jsonl.gz")["logged"], 4);

    let shown = work.json("show log --type annotation")["events"].take();
    let kinds: Vec<_> =
        shown.as_array().unwrap().iter().map(|e| &e["event_data"]["kind"]).collect();
    let preference = "preference";
    let rating = json!("rating");
    assert_eq!(kinds.iter().filter(|kind| ***kind == rating).count(), 1);
    assert_eq!(kinds.iter().filter(|kind| ***kind == preference).count(), 6);
    assert_eq!(work.report("log --policy policy", 0)["entries"]["types"]["annotation"], 7);
}

#[test]
fn an_event_is_shown_with_what_proves_it_and_without_what_is_private() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(5));
    work.json("log annotations log ratings.jsonl");

    let shown = work.json("show log 2");
    has_keys(&shown, &["timestamp", "event_type", "event_data", "policy_state", "signature"]);
    assert_eq!(shown["event_type"], "annotation");
    assert_eq!(shown["merkle_proof"]["tree_size"], 6);
    let data = &shown["event_data"];
    for hash in ["prompt_hash", "response_hash"] {
        let hash = data[hash].as_str().unwrap().strip_prefix("sha256:").unwrap();
        assert!(is_hash(&json!(hash)));
    }
    assert_eq!((&data["reward"], &data["privacy_noise"]), (&Json::Null, &Json::Null));
    assert!(data["annotator_id"].is_string() && data["privacy_noise_reason"].is_string());

    let newest = work.json("show log --type annotation --limit 2");
    let indexes: Vec<_> =
        newest["events"].as_array().unwrap().iter().map(|e| &e["index"]).collect();
    assert_eq!(indexes, [4, 5]);
    assert_eq!(work.json("show log --type checkpoint"), json!({"events": []}));
    let none = work.refused("show log 6");
    assert!(none.contains("no entry 6") && none.contains("6 entries"), "{none}");
    assert!(work.refused("prove log 18446744073709551615").contains("6 entries"));
}

#[test]
fn the_card_is_one_card_in_every_form() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(2));
    work.json("log annotations log ratings.jsonl");
    let json = work.json("card log -o card.json");
    let html = work.json("card log --format html -o card.html");
    assert_eq!(json["sha256"], html["sha256"], "asking again logs nothing");
    assert_eq!(json["entry"], html["entry"]);

    let card = trail::card::Card::parse(&work.read("card.json")).unwrap();
    assert_eq!(json["claims"], card.claims.len());
    assert_eq!(json["sha256"], hex::encode(trail::merkle::sha256(&work.read("card.json"))));
    let page = work.text("card.html");
    assert!(page.contains(json["sha256"].as_str().unwrap()));
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));

    // A stranger's words in a model's name or a document stay words.
    let work = Work::empty();
    work.json("init log --model <script>alert(1)</script>");
    work.write("incident.json", r#"{"what":"</td><img src=x onerror=alert(1)>"}"#);
    work.json("log incident log incident.json");
    work.json("card log --format html -o card.html");
    let page = work.text("card.html");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains("<img"));
}

#[test]
fn evidence_holds_what_was_asked_for() {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(300));
    work.write("guideline.json", r#"{"title":"Rules"}"#);
    work.json("log guideline log guideline.json");
    work.json("log annotations log ratings.jsonl");
    work.json("run end log");

    work.json("evidence log -o all.evidence");
    let report = work.report("all.evidence --policy policy", 0);
    assert_eq!(report["verdict"], "signed");
    assert_eq!(
        (&report["entries"]["complete"], &report["entries"]["of"]),
        (&json!(true), &json!(304))
    );
    assert_eq!(report["entries"]["types"]["annotation"], 300);
    let counted = claim(&report, "annotations.ratings");
    assert_eq!((&counted["value"], &counted["status"]), (&json!(300), &json!("established")));

    work.json("evidence log -o claims.evidence --entries claims");
    let report = work.report("claims.evidence --policy policy", 0);
    assert_eq!(report["entries"]["complete"], false);
    assert_eq!(report["entries"]["types"].get("annotation"), None);
    assert_eq!(claim(&report, "annotations.ratings")["status"], "not_established");
    assert_eq!(claim(&report, "guideline.1")["status"], "established");
    assert!(work.read("claims.evidence").len() < work.read("all.evidence").len() / 5);

    // A batch is logged in random order; any of the ratings may be entry 7.
    let opened = work.json("evidence log -o open.evidence --open 7:reward --open 7:prompt");
    assert_eq!(opened["openings"], 2);
    let report = work.report("open.evidence --policy policy", 0);
    let openings = report["openings"].as_array().unwrap();
    let prompt = openings[1]["value"].as_str().unwrap();
    let number: u32 =
        prompt.strip_prefix("Question ").unwrap().trim_end_matches('?').parse().unwrap();
    let reward = f64::from(number % 5 + 1);
    assert_eq!(
        openings[0],
        json!({"entry": 7, "field": "reward", "value": reward, "result": "pass"})
    );

    for field in ["7:preference", "7:annotator", "1:reward", "9999:reward"] {
        work.refused(&format!("evidence log -o none.evidence --open {field}"));
        assert!(!work.path("none.evidence").exists());
    }
}

fn claim<'a>(report: &'a Json, id: &str) -> &'a Json {
    let claims = report["card"]["claims"].as_array().unwrap();
    claims.iter().find(|claim| claim["id"] == id).unwrap()
}

#[test]
fn evidence_proof_folder_and_exit_statuses() {
    let work = Work::with_log();
    work.json("init other --model tiny --origin log.example/tiny");
    work.write("ratings.jsonl", ratings(4));
    work.json("log annotations log ratings.jsonl");
    work.json("evidence log -o a.evidence");
    work.json("prove log 3");
    for target in ["a.evidence", "3.tlog-proof", "log"] {
        let report = work.report(target, 4);
        assert_eq!(
            (&report["verdict"], &report["meets_policy"]),
            (&json!("self-consistent"), &Json::Null)
        );
        let report = work.report(&format!("{target} --policy policy"), 0);
        assert_eq!((&report["verdict"], &report["meets_policy"]), (&json!("signed"), &json!(true)));
        // Another key under the same name.
        let report = work.report(&format!("{target} --policy other/policy"), 1);
        assert_eq!(
            (&report["verdict"], &report["meets_policy"]),
            (&json!("failed"), &json!(false))
        );
    }
    // A proof is one event, whoever asks: nothing about the rest.
    let report = work.report("3.tlog-proof --policy policy", 0);
    assert_eq!(
        report["entries"],
        json!({"present": 1, "of": 6, "complete": false, "types": {"annotation": 1}})
    );
}

#[test]
fn an_empty_log_is_a_log() {
    let work = Work::with_log();
    assert_eq!(work.report("log --policy policy", 0)["size"], 0);
    assert!(work.refused("show log 0").contains("0 entries"));
    assert!(work.refused("prove log 0").contains("0 entries"));
}

#[test]
fn passphrases_keep_the_keys() {
    let work = Work::empty();
    work.write("passphrase", "open sesame\n");
    work.write("wrong", "open barley\n");
    work.write("empty", "\n");
    work.json("init log --model tiny --passphrase-file passphrase");
    assert!(work.text("log/private/log.key").contains("ENCRYPTED"));
    work.write("ratings.jsonl", ratings(1));

    let typed = "log annotations log ratings.jsonl";
    assert!(work.refused(typed).contains("log.key: the key is under a passphrase"));
    assert!(
        work.refused(&format!("{typed} --passphrase-file wrong"))
            .contains("log.key: this passphrase")
    );
    assert!(
        work.refused(&format!("{typed} --passphrase-file empty")).contains("empty: its first line")
    );
    assert!(
        work.refused(&format!("{typed} --passphrase-file absent"))
            .contains("absent: could not read")
    );
    work.json(&format!("{typed} --passphrase-file passphrase"));
    work.json("evidence log -o a.evidence --open 1:reward --passphrase-file passphrase");
    assert_eq!(work.report("a.evidence", 4)["openings"][0]["value"], 1.0);
    // Reading and verifying need no key.
    work.json("show log 1");
    work.report("log", 4);
}
