//! The engine from the outside: what it logs, what it refuses, and in which words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ciborium::Value;
use kit::{Fresh, check_openings, count, kinds, quiet, ratings, read_checked};
use producer::{
    Annotation, AnnotationFault, Audit, Error, InitOptions, Judgement, LogReader, Passphrase,
    Phase, UpdateOptions,
};
use trail::note::KeyKind;
use trail::{EventType, cbor};

#[test]
fn ratings_are_logged_as_commitments_that_open() {
    let fresh = Fresh::new();
    let file = fresh.file("ratings.jsonl", &ratings(700, 9));
    let mut audit = fresh.open().unwrap();
    let imported = audit.log_annotations(&file, false, &mut quiet).unwrap();
    let logged = imported.logged;
    assert_eq!((logged.logged, logged.first_index, logged.size), (700, 1, 701));
    assert!(imported.left_out.is_empty() && imported.ignored_fields.is_empty());

    let events = read_checked(&fresh.dir(), &fresh.made.vkey);
    assert_eq!(count(&events, EventType::Annotation), 700);
    assert_eq!(events[0].get("model").unwrap().as_text(), Some("test model"));
    let mut seen = BTreeMap::new();
    let mut pseudonyms: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (event, index) in events.iter().zip(0u64..).skip(1) {
        assert_eq!(event.time % 60_000_000, 0);
        assert_eq!(event.get("kind").unwrap().as_text(), Some("rating"));
        let openings = check_openings(&audit, index, event);
        let content = |name| &openings.iter().find(|o| o.field == name).unwrap().content;
        let number: usize = content("prompt").as_text().unwrap()[7..].parse().unwrap();
        assert_eq!(content("response").as_text().unwrap(), format!("response {number}"));
        assert_eq!(*content("reward"), Value::Float((number % 5 + 1) as f64));
        let pseudonym = event.get("annotator").unwrap().as_bytes().unwrap().clone();
        assert_eq!(pseudonym.len(), 16);
        pseudonyms.entry(format!("person {}", number % 9)).or_default().insert(pseudonym);
        seen.insert(index, number);
    }
    // Each once, shuffled, and one pseudonym for each person.
    assert_eq!(seen.values().collect::<BTreeSet<_>>().len(), 700);
    assert!(!seen.values().is_sorted());
    assert!(pseudonyms.values().all(|names| names.len() == 1));
    assert_eq!(pseudonyms.values().flatten().collect::<BTreeSet<_>>().len(), 9);
}

#[test]
fn judgements_of_programs_open_and_have_no_annotator() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let judgement = |reward| Judgement { prompt: "p".into(), response: String::new(), reward };
    let mut transaction = audit.begin().unwrap();
    for name in ["", "two\nlines", &"x".repeat(201)] {
        let refused = transaction.judge(name, judgement(1.0)).unwrap_err();
        assert!(matches!(refused, Error::Annotation(AnnotationFault::Judge)));
    }
    let refused = transaction.judge("length", judgement(f64::NAN)).unwrap_err();
    assert!(matches!(refused, Error::Annotation(AnnotationFault::NotFinite)));
    transaction.judge("length", judgement(0.5)).unwrap();
    transaction.judge("length", judgement(0.5)).unwrap();
    let logged = transaction.commit().unwrap();
    assert_eq!((logged.logged, logged.first_index, logged.size), (2, 1, 3));

    let events = read_checked(&fresh.dir(), &fresh.made.vkey);
    let mut commitments = BTreeSet::new();
    for index in 1..3 {
        let event = &events[index as usize];
        assert_eq!(event.get("judge").unwrap().as_text(), Some("length"));
        assert!(event.get("annotator").is_none() && event.get("released").is_none());
        let openings = check_openings(&audit, index, event);
        let content = |name| &openings.iter().find(|o| o.field == name).unwrap().content;
        assert_eq!(*content("prompt"), Value::from("p"));
        assert_eq!(*content("response"), Value::from(""));
        assert_eq!(*content("reward"), Value::Float(0.5));
        commitments.insert(event.get("reward").unwrap().as_bytes().unwrap().clone());
    }
    assert_eq!(commitments.len(), 2);
}

#[test]
fn a_person_keeps_the_pseudonym_in_a_run_and_gets_another_in_the_next() {
    let fresh = Fresh::new();
    let pseudonym = |file: &Path| {
        let mut audit = fresh.open().unwrap();
        let logged = audit.log_annotations(file, false, &mut quiet).unwrap().logged;
        let event = &read_checked(&fresh.dir(), &fresh.made.vkey)[logged.first_index as usize];
        event.get("annotator").unwrap().as_bytes().unwrap().clone()
    };
    let file = fresh.file("a.jsonl", &ratings(1, 1));
    let first = pseudonym(&file);
    assert_eq!(first, pseudonym(&file));
    fresh.open().unwrap().end_run("completed").unwrap();
    assert_ne!(first, pseudonym(&file));
}

#[test]
fn preferences_hide_which_response_was_chosen() {
    let fresh = Fresh::new();
    let lines: String = (0..200)
        .map(|i| format!("{{\"chosen\":\"good {i}\",\"rejected\":\"bad {i}\",\"prompt\":\"p\"}}\n"))
        .collect();
    let mut audit = fresh.open().unwrap();
    audit.log_annotations(&fresh.file("pairs.jsonl", &lines), false, &mut quiet).unwrap();
    let events = read_checked(&fresh.dir(), &fresh.made.vkey);
    let mut chosen_is_a = 0;
    for (event, index) in events.iter().zip(0u64..).skip(1) {
        assert!(event.get("annotator").is_none());
        let openings = check_openings(&audit, index, event);
        let text = |name| {
            openings.iter().find(|o| o.field == name).unwrap().content.as_text().unwrap().to_owned()
        };
        assert_eq!(openings.len(), 4);
        let preference = text("preference");
        assert!(text(&format!("response_{preference}")).starts_with("good "));
        chosen_is_a += usize::from(preference == "a");
    }
    // Either way below a probability of 1e-9 for a fair coin.
    assert!((57..=143).contains(&chosen_is_a), "{chosen_is_a} of 200");
}

#[test]
fn logs_of_sizes_around_a_tile_grow_entry_by_entry() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    for i in 0..5u64 {
        audit.log_event(EventType::Metric, cbor::map([("i", Value::from(i))])).unwrap();
    }
    assert!(fresh.dir().join("tile/0/000.p/6").is_file());
    let mut transaction = audit.begin().unwrap();
    for i in 5..254u64 {
        transaction.event(EventType::Metric, cbor::map([("i", Value::from(i))])).unwrap();
    }
    assert_eq!(transaction.commit().unwrap().size, 255);
    let before = LogReader::open(&fresh.dir()).unwrap();
    for size in [256, 257, 258] {
        let logged = audit.log_event(EventType::Metric, cbor::map([])).unwrap();
        assert_eq!((logged.size, logged.first_index), (size, size - 1));
        assert_eq!(read_checked(&fresh.dir(), &fresh.made.vkey).len(), size as usize);
    }
    // What has become full has no partial versions any more, and readers of an old head still read.
    assert!(!fresh.dir().join("tile/0/000.p").exists());
    assert!(!fresh.dir().join("tile/entries/000.p").exists());
    assert_eq!(trail::tile::CheckedEntries::new(&before, 255).filter(Result::is_ok).count(), 255);
    assert_eq!(before.entries(250..300).count(), 5);
    assert!(matches!(before.entry(255), Err(Error::NoEntry { index: 255, size: 255 })));
    drop(audit);
    assert_eq!(fresh.open().unwrap().size(), 258);
}

#[test]
fn a_run_starts_by_itself_and_what_is_done_about_it_may_follow_its_end() {
    let fresh = Fresh::new();
    assert!(matches!(fresh.open().unwrap().end_run("x"), Err(Error::NoRun)));
    let log = |kind: EventType| {
        fresh.open().unwrap().log_event(kind, cbor::map([("x", Value::from(1))])).unwrap()
    };
    assert_eq!(log(EventType::Guideline).first_index, 1);
    fresh.open().unwrap().end_run("completed").unwrap();
    log(EventType::Card);
    log(EventType::Incident);
    assert!(fresh.open().unwrap().run().is_none());
    log(EventType::Metric);
    let events = read_checked(&fresh.dir(), &fresh.made.vkey);
    let expected = ["run.start", "guideline", "run.end", "card", "incident", "run.start", "metric"];
    assert_eq!(kinds(&events), expected);
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 0, 1]);
    assert_ne!(events[0].run, events[5].run);
}

#[test]
fn events_with_a_way_of_their_own_and_too_large_ones_are_refused() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    for kind in [
        EventType::RunStart,
        EventType::RunEnd,
        EventType::Annotation,
        EventType::Erasure,
        EventType::HeadPublished,
        EventType::KeyRotate,
        EventType::KeyRetire,
        EventType::PrivacyRound,
    ] {
        assert!(matches!(audit.log_event(kind, cbor::map([])), Err(Error::Reserved(..))));
    }
    let large = || cbor::map([("x", Value::Bytes(vec![0; 70_000]))]);
    assert!(matches!(audit.log_event(EventType::Metric, large()), Err(Error::Event(_))));
    assert_eq!(audit.size(), 0);
    // In a transaction it does the others no harm.
    let mut transaction = audit.begin().unwrap();
    transaction.event(EventType::Metric, cbor::map([])).unwrap();
    transaction.event(EventType::Metric, large()).unwrap_err();
    let nan = Annotation::Rating {
        annotator: "a".into(),
        prompt: "p".into(),
        response: "r".into(),
        reward: f64::NAN,
    };
    let error = transaction.annotate(nan).unwrap_err();
    assert!(matches!(error, Error::Annotation(AnnotationFault::NotFinite)));
    let logged = transaction.commit().unwrap();
    assert_eq!((logged.logged, logged.first_index, logged.size), (1, 1, 2));
    assert_eq!(read_checked(&fresh.dir(), &fresh.made.vkey)[1].seq, 1);
}

#[test]
fn a_dropped_or_empty_transaction_never_happened() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let mut transaction = audit.begin().unwrap();
    for i in 0..5000u64 {
        let data = cbor::map([("x", Value::Bytes(vec![0; 1000])), ("i", Value::from(i))]);
        transaction.event(EventType::Metric, data).unwrap();
    }
    drop(transaction);
    assert_eq!(fs::metadata(fresh.dir().join("private/wal")).unwrap().len(), 0);
    let logged = audit.begin().unwrap().commit().unwrap();
    assert_eq!((logged.logged, logged.first_index, logged.size), (0, 0, 0));
    assert_eq!(audit.log_event(EventType::Metric, cbor::map([])).unwrap().size, 2);
}

#[test]
fn one_broken_line_refuses_the_file_unless_told_to_keep_going() {
    let fresh = Fresh::new();
    let content = format!("{}{{\"prompt\":\"secret\"\n\n{{\"reward\":1}}\n", ratings(3, 1));
    let file = fresh.file("broken.jsonl", &content);
    let mut audit = fresh.open().unwrap();
    let error = audit.log_annotations(&file, false, &mut quiet).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("broken.jsonl, line 4: not JSON at column 18"), "{text}");
    assert!(text.contains("1 more broken line") && text.contains("--keep-going"), "{text}");
    assert!(!text.contains("secret"));
    assert_eq!(audit.size(), 0);

    let imported = audit.log_annotations(&file, true, &mut quiet).unwrap();
    assert_eq!(imported.logged.logged, 3);
    let left_out: Vec<_> = imported.left_out.iter().map(|left| (left.line, left.fault)).collect();
    let expected = [(4, AnnotationFault::NotJson(18)), (6, AnnotationFault::Missing("prompt"))];
    assert_eq!(left_out, expected);

    let nothing = fresh.file("nothing.jsonl", "\n\n");
    for keep_going in [false, true] {
        let error = audit.log_annotations(&nothing, keep_going, &mut quiet).unwrap_err();
        assert!(matches!(error, Error::Import { .. }));
    }
    assert_eq!(audit.size(), 4);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_logged() {
    let fresh = Fresh::new();
    let file = fresh.file("changing.jsonl", &ratings(20, 2));
    let mut audit = fresh.open().unwrap();
    let error = audit
        .log_annotations(&file, false, &mut |progress| {
            if progress.phase == Phase::Checking && progress.bytes == progress.of {
                fs::write(&file, ratings(21, 2)).unwrap();
            }
        })
        .unwrap_err();
    assert!(error.to_string().contains("changed while it was read"), "{error}");
    assert_eq!(audit.size(), 0);
    let size = audit.log_annotations(&file, false, &mut quiet).unwrap().logged.size;
    assert_eq!(size, 22);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let missing = fresh.folder.path().join("no-such.jsonl");
    let error = audit.log_annotations(&missing, false, &mut quiet).unwrap_err();
    assert!(error.to_string().contains("no-such.jsonl: could not open the file"), "{error}");
    let error = audit.log_annotations(fresh.folder.path(), false, &mut quiet).unwrap_err();
    assert!(matches!(error, Error::Import { .. } | Error::Io { .. }));
}

#[test]
fn the_private_part_is_the_owners_alone() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    audit.log_event(EventType::Metric, cbor::map([])).unwrap();
    let mode =
        |name: &str| fs::metadata(fresh.dir().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("private"), 0o700);
    for file in fs::read_dir(fresh.dir().join("private")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert_eq!(mode(&format!("private/{name}")), 0o600, "{name}");
    }
    assert_eq!(mode("checkpoint") & 0o444, 0o444);
    assert_eq!(mode("tile/entries/000.p/2") & 0o444, 0o444);
}

#[test]
fn the_policy_for_trying_out_says_what_it_is_worth() {
    let fresh = Fresh::new();
    let read = |name: &str| fs::read_to_string(fresh.dir().join("policy").join(name)).unwrap();
    assert_eq!(read("policy"), format!("log {}\nquorum none\n", fresh.made.vkey));
    assert_eq!(read("requirements.json"), "{\"v\":1}\n");
    assert!(read("source").contains("another channel"));
    assert!(fresh.made.origin.starts_with("rlhf-audit.local/"));
}

#[test]
fn a_second_writer_is_turned_away_with_the_pid_of_the_first() {
    let fresh = Fresh::new();
    let audit = fresh.open().unwrap();
    let error = fresh.open().unwrap_err();
    assert!(matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    drop(audit);
    fresh.open().unwrap();
}

#[test]
fn init_wants_a_folder_of_its_own_and_names_that_are_some() {
    let fresh = Fresh::new();
    let options = InitOptions { model: "m".into(), ..InitOptions::default() };
    assert!(matches!(Audit::init(&fresh.dir(), &options), Err(Error::NotEmpty(_))));
    let dir = fresh.folder.path().join("other");
    for origin in ["", "two words", "a+b", "https://example.org/log", "line\nbreak"] {
        let options = InitOptions { origin: Some(origin.into()), ..options.clone() };
        assert!(matches!(Audit::init(&dir, &options), Err(Error::Origin(_))), "{origin:?}");
    }
    let nameless = InitOptions { model: " ".into(), ..InitOptions::default() };
    assert!(matches!(Audit::init(&dir, &nameless), Err(Error::Model)));
    assert!(!dir.exists());
    let error = Audit::open(&dir, None).unwrap_err();
    assert!(error.to_string().contains("rlhf-audit init"), "{error}");
}

#[test]
fn keys_under_a_passphrase_open_with_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = Passphrase::new("correct horse".into());
    let options = InitOptions {
        model: "m".into(),
        origin: Some("example.org/log".into()),
        passphrase: Some(passphrase.clone()),
        hybrid: true,
        ..InitOptions::default()
    };
    let made = Audit::init(folder.path(), &options).unwrap();
    assert_eq!(made.origin, "example.org/log");
    assert!(matches!(Audit::open(folder.path(), None), Err(Error::PassphraseNeeded(_))));
    let wrong = Passphrase::new("wrong".into());
    assert!(matches!(Audit::open(folder.path(), Some(&wrong)), Err(Error::PassphraseWrong(_))));
    let mut audit = Audit::open(folder.path(), Some(&passphrase)).unwrap();
    audit.log_event(EventType::Metric, cbor::map([])).unwrap();
    assert_eq!(read_checked(folder.path(), &made.vkey).len(), 2);
    read_checked(folder.path(), made.second_vkey.as_ref().unwrap());
}

#[test]
fn a_hybrid_log_signs_no_head_with_one_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let options = InitOptions { model: "m".into(), hybrid: true, ..InitOptions::default() };
    let made = Audit::init(folder.path(), &options).unwrap();
    let second = made.second_vkey.unwrap();
    assert_eq!((second.name(), second.kind()), (made.origin.as_str(), KeyKind::MlDsa44));
    let mut audit = Audit::open(folder.path(), None).unwrap();
    for _ in 0..2 {
        audit.log_event(EventType::Metric, cbor::map([])).unwrap();
        read_checked(folder.path(), &made.vkey);
        read_checked(folder.path(), &second);
    }
    drop(audit);
    // Its key missing, another in its place, or its signature stripped from the head it continues.
    let (key, head) =
        (folder.path().join("private/log-ml-dsa-44.key"), folder.path().join("private/head"));
    let sound = (fs::read(&key).unwrap(), fs::read_to_string(&head).unwrap());
    fs::remove_file(&key).unwrap();
    assert!(matches!(Audit::open(folder.path(), None), Err(Error::Missing(path)) if path == key));
    let other = tempfile::tempdir().unwrap();
    Audit::init(other.path(), &options).unwrap();
    fs::copy(other.path().join("private/log-ml-dsa-44.key"), &key).unwrap();
    let error = Audit::open(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("private/head") && error.contains("log-ml-dsa-44.key"), "{error}");
    fs::write(&key, sound.0).unwrap();
    let lines: Vec<&str> = sound.1.lines().collect();
    fs::write(&head, format!("{}\n", lines[..lines.len() - 1].join("\n"))).unwrap();
    assert!(
        matches!(Audit::open(folder.path(), None), Err(Error::Damaged { path, .. }) if path == head)
    );
    fs::write(&head, sound.1).unwrap();
    Audit::open(folder.path(), None).unwrap();
}

/// A log of 300 entries whose writer is gone.
fn closed_log() -> Fresh {
    let fresh = Fresh::new();
    let file = fresh.file("ratings.jsonl", &ratings(299, 3));
    fresh.open().unwrap().log_annotations(&file, false, &mut quiet).unwrap();
    fresh
}

#[test]
fn a_missing_file_is_named() {
    for name in [
        "checkpoint",
        "private/head",
        "private/wal",
        "private/vault.redb",
        "private/vault.key",
        "private/log.key",
        "private/subjects",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/001.p/44",
    ] {
        let fresh = closed_log();
        fs::remove_file(fresh.dir().join(name)).unwrap();
        let error = fresh.open().unwrap_err();
        assert!(matches!(&error, Error::Missing(path) if path.ends_with(name)), "{name}: {error}");
    }
}

#[test]
fn a_changed_file_is_refused_and_named() {
    for name in [
        "checkpoint",
        "private/head",
        "private/log.json",
        "private/log.key",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/001.p/44",
    ] {
        let fresh = closed_log();
        let path = fresh.dir().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x01;
        fs::write(&path, bytes).unwrap();
        let error = fresh.open().unwrap_err();
        let text = error.to_string();
        let named = text.contains(name) || (text.contains("tile/") && name.contains("tile/"));
        assert!(named || name == "private/log.json" || name == "private/log.key", "{name}: {text}");
    }
}

#[test]
fn a_folder_restored_in_part_is_refused() {
    let fresh = closed_log();
    let old = fs::read(fresh.dir().join("private/head")).unwrap();
    fresh.open().unwrap().log_event(EventType::Metric, cbor::map([])).unwrap();
    fs::write(fresh.dir().join("private/head"), old).unwrap();
    let error = fresh.open().unwrap_err();
    assert!(matches!(error, Error::RolledBack { published: 301, private: 300, .. }), "{error}");
}

#[test]
fn an_older_checkpoint_is_brought_up_to_the_head() {
    let fresh = closed_log();
    let old = fs::read(fresh.dir().join("checkpoint")).unwrap();
    fresh.open().unwrap().log_event(EventType::Metric, cbor::map([])).unwrap();
    fs::write(fresh.dir().join("checkpoint"), old).unwrap();
    fresh.open().unwrap();
    assert_eq!(LogReader::open(&fresh.dir()).unwrap().size(), 301);
}

#[test]
fn another_logs_head_is_refused() {
    let (fresh, other) = (closed_log(), closed_log());
    for name in ["private/head", "checkpoint"] {
        fs::copy(other.dir().join(name), fresh.dir().join(name)).unwrap();
    }
    let text = fresh.open().unwrap_err().to_string();
    assert!(
        text.contains("private/head") && text.contains("not signed by this log's key"),
        "{text}"
    );
}

#[test]
fn debug_output_shows_no_content() {
    let fresh = closed_log();
    let audit = fresh.open().unwrap();
    let opening = &audit.openings(5).unwrap()[0];
    let annotation = Annotation::Preference {
        annotator: Some("secret".into()),
        prompt: None,
        chosen: "secret".into(),
        rejected: "secret".into(),
    };
    let text = format!("{audit:?} {opening:?} {annotation:?}");
    assert!(!text.contains("secret") && !text.contains("response "), "{text}");
}

#[test]
fn weights_that_change_while_they_are_read_leave_nothing_in_the_log() {
    let fresh = Fresh::new();
    let header = r#"{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    let whole = [length.as_slice(), header.as_bytes(), &[7; 8]].concat();
    let weights = fresh.file("model.safetensors", "");
    let other = fresh.file("other.safetensors", "");
    fs::write(&other, &whole).unwrap();
    let mut audit = fresh.open().unwrap();
    let grows = |_| fs::write(&weights, [whole.as_slice(), b"more"].concat()).unwrap();
    fs::write(&weights, &whole).unwrap();
    let error = audit.log_checkpoint("name", &weights, &BTreeMap::new(), &grows).unwrap_err();
    assert!(error.to_string().contains("model.safetensors: the file grew"), "{error}");
    fs::write(&weights, &whole).unwrap();
    let error = audit.log_update(&other, &weights, &UpdateOptions::default(), &grows).unwrap_err();
    assert!(error.to_string().contains("model.safetensors: the file grew"), "{error}");
    assert_eq!(audit.size(), 0);
    assert!(!fresh.dir().join("tables").exists());
}
