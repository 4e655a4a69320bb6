//! What annotators wrote, who they are and how they rated leaves no trace outside the vault, and none
//! in plain inside it: unique strings go in, and every file and every answer is searched for them.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use end_to_end::services::openssl;
use end_to_end::{Served, Work, checkout};
use serde_json::{Value as Json, json};
use trail::merkle::sha256;

use crate::canaries::{Canaries, Watched};

const REWARD: f64 = 3.1592653589;

/// All that is private in this module's examples.
fn private() -> Canaries {
    let mut canaries = Canaries::nothing();
    for (kind, object) in [("rating", rating()), ("preference", preference())] {
        for (field, value) in object.as_object().unwrap() {
            if let Some(text) = value.as_str() {
                canaries.add_text(&format!("{kind}'s {field}"), text);
            }
        }
    }
    canaries.add_text("reward in words", "3.1592653589");
    canaries.add("reward, big endian", &REWARD.to_be_bytes());
    canaries.add("reward, little endian", &REWARD.to_le_bytes());
    canaries.add("reward, CBOR", &[&[0xfb][..], &REWARD.to_be_bytes()].concat());
    // What a broken line holds must not come back in the error.
    for (what, text) in
        [("broken line", BROKEN), ("unknown field", FIELD), ("passphrase", PASSPHRASE)]
    {
        canaries.add_text(what, text);
    }
    canaries
}

fn rating() -> Json {
    json!({
        "prompt": "PromptCanary-7Q2xVd9LmW",
        "response": "ResponseCanary-b8KzR4tYpE",
        "annotator_id": "AnnotatorCanary-hT5nCj3GsA",
        "reward": REWARD,
    })
}

fn preference() -> Json {
    json!({
        "prompt": "PairPromptCanary-w3JrX6uFqN",
        "chosen": "ChosenCanary-d1MvB7yHkO",
        "rejected": "RejectedCanary-z9PaS2eLiU",
        "annotator_id": "VoterCanary-f4GoT8cWxK",
    })
}

const BROKEN: &str = "BrokenCanary-k6YbD1rVzI";
const FIELD: &str = "FieldCanary-u2EsN9jQwH";
const PASSPHRASE: &str = "PassphraseCanary-p7LxA5mGtC";

#[test]
fn the_search_finds_what_is_there() {
    let canaries = private();
    let secret = b"PromptCanary-7Q2xVd9LmW";
    let utf16: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
    for (form, bytes) in [
        ("plain", secret.to_vec()),
        ("hex", hex::encode(secret).into()),
        ("base64", STANDARD_NO_PAD.encode([b"x", &secret[..]].concat()).into()),
        ("base64url", URL_SAFE_NO_PAD.encode([b"xy", &secret[..], b"z"].concat()).into()),
        ("base64", STANDARD_NO_PAD.encode([b"xyz", &secret[..]].concat()).into()),
        ("SHA-256", sha256(secret).to_vec()),
        ("UTF-16 LE", utf16),
    ] {
        let found = canaries.found_in(&[b"before", &bytes[..], b"after"].concat());
        assert!(found.contains(&format!("rating's prompt, {form}").as_str()), "{form}: {found:?}");
    }
    assert_eq!(canaries.found_in(b"PromptCanary"), [""; 0]);
}

#[test]
fn nothing_private_leaves_the_vault() {
    let work = Work::empty();
    let canaries = private();
    let watched = Watched { work: &work, canaries: &canaries, commands: RefCell::default() };
    fs::create_dir(work.path("in")).unwrap();
    fs::create_dir(work.path("out")).unwrap();
    work.write("in/passphrase", format!("{}\n", PASSPHRASE));
    let lines = format!("{}\n{}\n", rating(), preference());
    work.write("in/a.jsonl", lines.repeat(3));
    work.write("in/incident.json", r#"{"what":"a worker crashed"}"#);
    let unlock = "--passphrase-file in/passphrase";

    for log in ["plain", "locked"] {
        let unlock = if log == "plain" { "" } else { unlock };
        let hybrid = if log == "plain" { "" } else { "--hybrid" };
        work.run(&format!("init {log} --model tiny --origin log.example/tiny {hybrid} {unlock}"))
            .ended(0);
        work.run(&format!("init {log}2 --model tiny {unlock} --json")).ended(0);
        // The first event of all tells no annotator from another.
        watched.run(&format!("log annotations {log} in/a.jsonl {unlock}"), 0);
        watched.run(&format!("log incident {log} in/incident.json {unlock}"), 0);
        watched.run(&format!("show {log} 1"), 0);
        watched.run(&format!("show {log} --type annotation"), 0);
        watched.run(&format!("prove {log} 2 -o out/{log}.tlog-proof"), 0);
        watched.run(&format!("card {log} -o out/{log}.json {unlock}"), 0);
        watched.run(&format!("card {log} --format html -o out/{log}.html {unlock}"), 0);
        watched.run(&format!("evidence {log} -o out/{log}.evidence {unlock}"), 0);
        watched.run(
            &format!("evidence {log} --entries claims -o out/{log}-claims.evidence {unlock}"),
            0,
        );
        watched.run(&format!("verify {log} --policy {log}/policy"), 0);
        watched.run(&format!("verify out/{log}.evidence"), 4);
        watched.run(&format!("verify out/{log}-claims.evidence --policy {log}/policy"), 0);
        watched.run(&format!("verify out/{log}.tlog-proof"), 4);
        if log == "plain" {
            broken_input(&watched);
        }
        broken_key(&watched, log, unlock);
        watched.folder_is_clean(log);
    }
    watched.run("log annotations locked in/a.jsonl", 2);
    watched.run("log annotations locked in/a.jsonl --passphrase-file in/a.jsonl", 2);
    watched.folder_is_clean("out");

    if let Some(served) = Served::start(&work, "serve plain --open-entries") {
        for path in
            ["/", "/checkpoint", "/tile/0/000.p/20", "/tile/entries/000.p/20", "/private/wal"]
        {
            canaries.absent_from(path, &served.get(path).body);
        }
    }

    // What is opened on purpose is shown, and nothing else.
    work.run("evidence plain -o opened.evidence --open 1:prompt").ended(0);
    let found = canaries.found_in(&work.read("opened.evidence"));
    assert!(
        matches!(found[..], ["rating's prompt, plain" | "preference's prompt, plain"]),
        "{found:?}"
    );
    assert!(*watched.commands.borrow() > 100);
}

/// The same where something is released: the noised values are public, and nothing that they were made from.
#[test]
fn nothing_private_leaves_a_log_that_releases_values() {
    let work = Work::empty();
    let canaries = private();
    let watched = Watched { work: &work, canaries: &canaries, commands: RefCell::default() };
    fs::create_dir(work.path("in")).unwrap();
    fs::create_dir(work.path("out")).unwrap();
    work.write("in/a.jsonl", format!("{}\n{}\n", rating(), preference()).repeat(2));
    work.write("in/many.jsonl", format!("{}\n", rating()).repeat(5));
    work.write("in/broken.jsonl", format!("{}\n{{\"chosen\":\"{BROKEN}\"}}\n", rating()));
    for mode in ["strong", "moderate"] {
        work.run(&format!(
            "init {mode} --model tiny --privacy {mode} --epsilon 6 --epsilon-per-round 2.5 --clip 1,5 --cap 4"
        ))
        .ended(0);
        watched.run(&format!("log annotations {mode} in/a.jsonl"), 0);
        watched.run(&format!("log annotations {mode} in/broken.jsonl"), 2);
        if mode == "strong" {
            watched.run("log round strong --id one", 0);
        } else {
            watched.run("log annotations moderate in/many.jsonl", 2);
            watched.run("log annotations moderate in/a.jsonl --batch one", 0);
            watched.run("log annotations moderate in/many.jsonl --batch one", 2);
            watched.run("log annotations moderate in/a.jsonl --batch one --released none/a", 2);
        }
        exhaust(&watched, mode);
        watched.run(&format!("privacy {mode}"), 0);
        watched.run(&format!("show {mode} --type annotation"), 0);
        watched.run(&format!("show {mode} --type privacy.round"), 0);
        watched.run(&format!("card {mode} -o out/{mode}.json"), 0);
        watched.run(&format!("card {mode} --format html -o out/{mode}.html"), 0);
        watched.run(&format!("evidence {mode} -o out/{mode}.evidence"), 0);
        watched.run(&format!("verify out/{mode}.evidence"), 4);
        watched.run(&format!("verify {mode} --policy {mode}/policy"), 0);
        watched.run(&format!("person {mode} --annotator nobody -o theirs.json"), 2);
        watched.folder_is_clean(mode);
        if let Some(served) = Served::start(&work, &format!("serve {mode} --open-entries")) {
            for path in ["/", "/checkpoint", "/tile/entries/000.p/9", "/private/privacy/ledger"] {
                canaries.absent_from(path, &served.get(path).body);
            }
        }
    }
    watched.folder_is_clean("out");

    // The lines to train on hold texts, and neither who it was nor what they said.
    work.run("log annotations moderate in/a.jsonl --batch one --released train.jsonl").ended(0);
    let found = canaries.found_in(&work.read("train.jsonl"));
    assert!(
        !found.is_empty()
            && !found.iter().any(|what| what.contains("annotator") || what.contains("reward"))
    );

    // What is written for one person is theirs, and nobody else's.
    work.run("person moderate --annotator AnnotatorCanary-hT5nCj3GsA -o theirs.json").ended(0);
    let mode = fs::metadata(work.path("theirs.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let found = canaries.found_in(&work.read("theirs.json"));
    assert!(found.contains(&"rating's prompt, plain"), "{found:?}");
    assert!(!found.iter().any(|what| what.starts_with("preference")), "{found:?}");
    let theirs: Json = serde_json::from_slice(&work.read("theirs.json")).unwrap();
    let records = theirs["records"].as_array().unwrap();
    assert!(records.len() >= 2 && records.iter().all(|record| record["given"]["reward"] == REWARD));
    watched.folder_is_clean("moderate");
}

/// Goes on until somebody's budget is spent: the error says what is left, and not whose it is.
fn exhaust(watched: &Watched<'_>, mode: &str) {
    let canaries = watched.canaries;
    for _ in 0..50 {
        let logged = watched.work.run(&format!("log annotations {mode} in/a.jsonl"));
        let answer = match mode {
            "strong" => watched.work.run("log round strong"),
            _ => logged,
        };
        canaries.absent_from("an answer", answer.stdout.as_bytes());
        canaries.absent_from("an error", answer.stderr.as_bytes());
        if answer.status == Some(2) {
            assert!(answer.stderr.contains("epsilon 6 in all"), "{answer:#?}");
            return;
        }
    }
    panic!("a budget without an end");
}

/// Every way in which a line can be wrong, with a canary at the place where it is.
fn broken_input(watched: &Watched<'_>) {
    let (text, field) = (BROKEN, FIELD);
    let work = watched.work;
    for line in [
        text.to_owned(),
        format!("{{\"prompt\":\"{text}"),
        format!("{{\"prompt\":\"{text}\"}}"),
        format!("[\"{text}\"]"),
        format!("\"{text}\""),
        format!(
            "{{\"prompt\":[\"{text}\"],\"response\":\"r\",\"annotator_id\":\"a\",\"reward\":1}}"
        ),
        format!(
            "{{\"prompt\":\"p\",\"response\":\"r\",\"annotator_id\":\"a\",\"reward\":\"{text}\"}}"
        ),
        format!(
            "{{\"prompt\":\"p\",\"response\":\"r\",\"annotator_id\":[\"{text}\"],\"reward\":1}}"
        ),
        format!(
            "{{\"prompt\":\"{text}\",\"response\":\"r\",\"annotator_id\":\"a\",\"reward\":NaN}}"
        ),
        format!(
            "{{\"prompt\":\"p\",\"prompt\":\"{text}\",\"response\":\"r\",\"annotator_id\":\"a\",\"reward\":1}}"
        ),
        format!("{{\"chosen\":\"{text}\",\"rejected\":\"r\",\"reward\":{REWARD}}}"),
        format!("{{\"chosen\":\"{text}\",\"{field} is a name\":1}}"),
        format!("{{\"chosen\":\"{text}\",\"rejected\":\"\"}}"),
        format!("{{\"chosen\":\"\\u{text}\",\"rejected\":\"\"}}"),
    ] {
        work.write("in/broken.jsonl", format!("{}\n{line}\n", rating()));
        watched.run("log annotations plain in/broken.jsonl", 2);
        watched.run("log annotations plain in/broken.jsonl --keep-going", 0);
        for kind in ["guideline", "evaluation", "incident"] {
            work.write("in/broken.json", &line);
            let is_document =
                serde_json::from_str::<Json>(&line).is_ok_and(|json| json.is_object());
            if !is_document {
                watched.run(&format!("log {kind} plain in/broken.json"), 2);
            }
        }
        watched.run("verify in/broken.jsonl", 2);
        watched.run("verify plain --policy in/broken.jsonl", 2);
    }
    // A field of the user's own is named, unless its name looks like content.
    work.write(
        "in/extra.jsonl",
        format!("{{\"chosen\":\"c\",\"rejected\":\"d\",\"{field} is a name\":\"{text}\"}}\n"),
    );
    watched.run("log annotations plain in/extra.jsonl", 0);
}

/// A broken file of our own: the error names it and quotes nothing.
fn broken_key(watched: &Watched<'_>, log: &str, unlock: &str) {
    let key = watched.work.path(log).join("private/log.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    watched.run(&format!("log annotations {log} in/a.jsonl {unlock}"), 2);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for open in ["1:reward", "1:prompt"] {
        watched.run(&format!("evidence {log} -o /proc/none --open {open} {unlock}"), 2);
    }
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_in_plain() {
    let work = Work::with_log();
    let canaries = private();
    let line = format!("{}\n{}\n", rating(), preference());
    work.write("big.jsonl", line.repeat(10_000));
    for milliseconds in [200, 600, 1200] {
        let mut child =
            work.command("log annotations log big.jsonl").stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        for (path, bytes) in work.files("log") {
            canaries.absent_from(&path.display().to_string(), &bytes);
        }
    }
}

/// The keys of a log: none of them, in any form, in any file but its own, nor in what is said of it.
#[test]
fn no_key_leaves_its_file() {
    let work = Work::empty();
    work.write("ratings.jsonl", end_to_end::ratings(3));
    work.write("passphrase", format!("{PASSPHRASE}\n"));
    let root = checkout().join("transparency/vectors/anchored/policy/trusted_root.json");
    fs::copy(root, work.path("root.json")).unwrap();
    for (log, hybrid, unlock) in
        [("plain", "--hybrid", ""), ("locked", "", "--passphrase-file passphrase")]
    {
        work.run(&format!("init {log} --model m --origin log.example/m {hybrid} {unlock}"))
            .ended(0);
        let nowhere = "--rekor http://127.0.0.1:1 --tsa http://127.0.0.1:1 --timeout 1s";
        let publish = format!("publish {log} {nowhere} --trusted-root root.json {unlock}");
        // Nobody is there, but now there is a key.
        work.run(&format!("log annotations {log} ratings.jsonl {unlock}")).ended(0);
        work.run(&publish).ended(3);

        let mut canaries = Canaries::nothing();
        let mut keys = vec!["log.key", "publisher.key", "vault.key"];
        keys.extend((log == "plain").then_some("log-ml-dsa-44.key"));
        for name in &keys {
            let path = format!("{log}/private/{name}");
            let mode = fs::metadata(work.path(&path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{path}");
            for secret in secrets_in(&work, &path, log == "locked") {
                canaries.add(name, &secret);
            }
        }
        for (path, _) in work.files(&format!("{log}/private")) {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
        let watched = Watched { work: &work, canaries: &canaries, commands: RefCell::default() };
        watched.run(&format!("log annotations {log} ratings.jsonl {unlock}"), 0);
        watched.run(&publish, 3);
        watched.run(&format!("card {log} -o card-{log}.json {unlock}"), 0);
        watched.run(&format!("evidence {log} -o {log}.evidence {unlock}"), 0);
        watched.run(&format!("verify {log}.evidence --policy {log}/policy"), 0);
        watched.run(&format!("show {log} 1"), 0);
        for name in &keys {
            broken_keys(&watched, &format!("{log}/private/{name}"), &publish, log, unlock);
        }
        let own = |path: &std::path::Path| keys.iter().any(|key| path.ends_with(key));
        for (path, bytes) in work.files("") {
            if !own(&path) {
                canaries.absent_from(&path.display().to_string(), &bytes);
            }
        }
    }
}

/// What a key's file must not give away: the key itself, and the file's text, which under a passphrase can be
/// attacked.
fn secrets_in(work: &Work, path: &str, locked: bool) -> Vec<Vec<u8>> {
    let text = work.text(path);
    if let Ok(json) = serde_json::from_str::<Json>(&text) {
        return vec![hex::decode(json["key"].as_str().unwrap()).unwrap()];
    }
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(&body).unwrap();
    let mut secrets = vec![der.clone()];
    let plain = if locked {
        let pass = ["pkey", "-in", path, "-passin", "file:passphrase", "-outform", "DER"];
        openssl(&work.path(""), &pass, b"")
    } else {
        der
    };
    // ECPrivateKey (RFC 5915) begins with its version; the others end with the seed, or with the public key.
    let at = |mark: &[u8]| {
        plain.windows(mark.len()).position(|part| part == mark).map(|at| at + mark.len())
    };
    let marks: [&[u8]; 3] = [&[2, 1, 1, 4, 32], &[4, 34, 4, 32], &[4, 34, 0x80, 32]];
    let at = marks.into_iter().find_map(at).unwrap_or_else(|| panic!("{path}: {plain:02x?}"));
    secrets.push(plain[at..at + 32].to_vec());
    secrets
}

/// A key's file that is damaged or open to others is named and not quoted.
fn broken_keys(watched: &Watched<'_>, path: &str, publish: &str, log: &str, unlock: &str) {
    let (work, file) = (watched.work, watched.work.path(path));
    let whole = work.text(path);
    let at = whole.len() / 2;
    let cut = whole[..at].to_owned();
    let changed = format!("{}!{}", &whole[..at], &whole[at + 1..]);
    let longer = format!("{}AA{}", &whole[..at], &whole[at..]);
    for broken in [cut, changed, longer, whole.replace("PRIVATE", "PRIVAT"), String::new()] {
        if broken != whole {
            fs::write(&file, broken).unwrap();
            named(watched, path, publish, log, unlock);
        }
    }
    fs::write(&file, whole).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    named(watched, path, publish, log, unlock);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn named(watched: &Watched<'_>, path: &str, publish: &str, log: &str, unlock: &str) {
    let command = if path.ends_with("publisher.key") {
        publish.to_owned()
    } else {
        format!("log annotations {log} ratings.jsonl {unlock}")
    };
    let answer = watched.run(&command, 2);
    assert!(answer.stderr.contains(path), "{answer:#?}");
}
