//! Values released one by one, as a program uses them: what is released, what is refused, and what stays hidden.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use kit::{check_openings, count, quiet, read_checked};
use producer::{
    Annotation, AnnotationFault, Audit, Error, ImportOptions, InitOptions, Initialised,
    PrivacyMode, PrivacyReport, PrivacySettings, ReleasedValue, UpdateOptions,
};
use serde_json::{Value as Json, json};
use trail::released::ItemRound;
use trail::{Event, EventType, cbor};

const MODERATE: PrivacySettings = PrivacySettings {
    mode: PrivacyMode::Moderate,
    epsilon: 40.0,
    epsilon_per_round: 10.0,
    delta: 1e-5,
    clip: [1.0, 5.0],
    steps_a_unit: 100,
    cap: 4,
};

/// A log under these settings.
struct Log {
    folder: tempfile::TempDir,
    made: Initialised,
}

impl Log {
    fn new(settings: PrivacySettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options =
            InitOptions { model: "m".into(), privacy: Some(settings), ..InitOptions::default() };
        let made = Audit::init(&folder.path().join("log"), &options).unwrap();
        Self { folder, made }
    }

    fn open(&self) -> Audit {
        Audit::open(&self.dir(), None).unwrap()
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn events(&self) -> Vec<Event> {
        read_checked(&self.dir(), &self.made.vkey)
    }
}

fn rating(who: &str, reward: f64) -> Annotation {
    let annotator = who.to_owned();
    Annotation::Rating { annotator, prompt: "p".into(), response: "r".into(), reward }
}

fn vote(who: &str, number: usize) -> Annotation {
    let (chosen, rejected) = (format!("better {number}"), format!("worse {number}"));
    Annotation::Preference { annotator: Some(who.into()), prompt: None, chosen, rejected }
}

fn line(annotation: &Annotation) -> String {
    let json = match annotation {
        Annotation::Rating { annotator, prompt, response, reward } => {
            json!({"prompt": prompt, "response": response, "annotator_id": annotator, "reward": reward})
        }
        Annotation::Preference { annotator, chosen, rejected, .. } => {
            json!({"chosen": chosen, "rejected": rejected, "annotator_id": annotator})
        }
        _ => unreachable!(),
    };
    format!("{json}\n")
}

fn reward(value: ReleasedValue) -> f64 {
    match value {
        ReleasedValue::Reward(reward) => reward,
        other => panic!("{other:?}"),
    }
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (mean, (squares.sum::<f64>() / values.len() as f64).sqrt())
}

#[test]
fn values_are_clipped_noised_as_stated_and_told_in_the_order_given() {
    let log = Log::new(PrivacySettings { cap: 4000, epsilon_per_round: 40.0, ..MODERATE });
    let mut audit = log.open();
    // Beyond the upper bound, so that it counts as 5; and votes of another one.
    let mut given: Vec<Annotation> = (0..4000).map(|_| rating("ann", 1e300)).collect();
    given.extend((0..4000).map(|number| vote("bob", number)));
    let told = audit.annotate(given, None).unwrap();
    assert_eq!((told.logged.logged, told.released.len()), (8000, 8000));
    let events = log.events();
    let round = ItemRound::read(&events[1]).unwrap();
    assert_eq!((round.entries, round.kinds, round.most), ([2, 8002], [4000, 4000], 4000));
    assert_eq!(told.logged.first_index, 2);

    let rewards: Vec<f64> = told.released[..4000].iter().map(|r| reward(r.value)).collect();
    let (mean, deviation) = mean_and_deviation(&rewards);
    let variance = cbor::as_u64(events[1].get("variance").unwrap()).unwrap();
    let stated = (variance as f64).sqrt() / 100.0;
    // Six standard errors.
    assert!((mean - 5.0).abs() < 6.0 * stated / 4000_f64.sqrt(), "{mean}");
    assert!((deviation / stated - 1.0).abs() < 6.0 / 8000_f64.sqrt(), "{deviation} of {stated}");
    let number = |key| cbor::as_u64(events[1].get(key).unwrap()).unwrap() as f64;
    let truth = number("truth") / number("truth_of");
    let mut as_given = 0.0;
    for (released, number) in told.released[4000..].iter().zip(0..) {
        let ReleasedValue::Preference { told, as_given: given } = released.value else { panic!() };
        as_given += f64::from(u8::from(given));
        // What is told is one of the two responses that were given with it.
        let event = &events[released.index as usize];
        assert_eq!(event.get("released").unwrap().as_text(), Some(told.to_string().as_str()));
        if number < 50 {
            let openings = check_openings(&audit, released.index, event);
            let field = format!("response_{told}");
            let response = openings.iter().find(|opening| opening.field == field).unwrap();
            let expected =
                if given { format!("better {number}") } else { format!("worse {number}") };
            assert_eq!(response.content.as_text(), Some(expected.as_str()));
            let place = released.index;
            let vote = openings.iter().find(|o| o.field == "preference").unwrap();
            assert_eq!(vote.content.as_text() == Some(&told.to_string()), given, "entry {place}");
        }
    }
    let share = as_given / 4000.0;
    let error = (truth * (1.0 - truth) / 4000.0).sqrt();
    assert!((share - truth).abs() < 6.0 * error, "{share} of {truth}");
    for released in &told.released[..50] {
        let event = &events[released.index as usize];
        assert_eq!(event.get("released").unwrap().as_float(), Some(reward(released.value)));
    }
}

#[test]
fn a_file_gives_lines_to_train_on_that_hold_what_was_released_and_nothing_that_was_given() {
    let log = Log::new(MODERATE);
    let mut audit = log.open();
    let given = [rating("ann", 4.0), vote("ann", 1), rating("bob", 2.0), vote("eve", 2)];
    let path = log.file("in.jsonl", &given.iter().map(line).collect::<String>());
    let out = log.folder.path().join("out.jsonl");
    let options = ImportOptions {
        batch: Some("week 1".into()),
        released: Some(out.clone()),
        ..ImportOptions::default()
    };
    let first = audit.import(&path, &options, &mut quiet).unwrap();
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let written = fs::read_to_string(&out).unwrap();
    let lines: Vec<Json> = written.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["reward"].as_f64(), Some(reward(first.released[0].value)));
    assert_eq!(lines[2]["reward"].as_f64(), Some(reward(first.released[2].value)));
    for (at, number) in [(1, 1), (3, 2)] {
        let (better, worse) = (format!("better {number}"), format!("worse {number}"));
        let expected = match first.released[at].value {
            ReleasedValue::Preference { as_given: true, .. } => [better, worse],
            _ => [worse, better],
        };
        assert_eq!([&lines[at]["chosen"], &lines[at]["rejected"]], [&expected[0], &expected[1]]);
    }
    assert!(!written.contains("ann") && !written.contains("annotator"));
    // They can be logged themselves as anything else: nothing is missing but who it was.
    let size = audit.size();
    drop(audit);

    // Asked for again, by another process: the same, and nothing is logged or charged.
    let mut audit = log.open();
    fs::remove_file(&out).unwrap();
    let again = audit.import(&path, &options, &mut quiet).unwrap();
    assert_eq!((again.released, again.batch), (first.released.clone(), Some("week 1".into())));
    assert_eq!(fs::read_to_string(&out).unwrap(), written);
    assert_eq!((again.logged.logged, audit.size()), (4, size));
    // In another order it is the same batch, and each still gets what is theirs.
    let turned: String = given.iter().rev().map(line).collect();
    let turned = audit.import(&log.file("turned.jsonl", &turned), &options, &mut quiet).unwrap();
    assert_eq!(turned.released, first.released.iter().rev().copied().collect::<Vec<_>>());
    // Other annotations are another batch.
    for other in [&given[..3], &[&given[..], &given[..1]].concat()] {
        let other: String = other.iter().map(line).collect();
        let why = audit.import(&log.file("other.jsonl", &other), &options, &mut quiet).unwrap_err();
        assert!(why.to_string().contains("with other annotations"), "{why}");
    }
    assert_eq!(count(&log.events(), EventType::PrivacyRound), 1);

    // Where the file cannot be written, the values are not lost.
    let nowhere = ImportOptions {
        released: Some(log.folder.path().join("none/out.jsonl")),
        batch: None,
        ..options.clone()
    };
    let why = audit.import(&path, &nowhere, &mut quiet).unwrap_err();
    let Error::ReleasedFile { batch, .. } = &why else { panic!("{why}") };
    let named = ImportOptions { batch: Some(batch.clone()), ..options };
    assert_eq!(audit.import(&path, &named, &mut quiet).unwrap().released.len(), 4);
}

#[test]
fn a_budget_is_kept_before_anything_is_drawn_and_the_error_says_whose() {
    let log = Log::new(PrivacySettings { epsilon: 15.0, ..MODERATE });
    let mut audit = log.open();
    let people = ["bob", "canary-ann", "canary-ann"];
    let batch = |people: &[&str]| people.iter().map(|who| rating(who, 3.0)).collect::<Vec<_>>();
    let mut batches = 0;
    let why = loop {
        let size = audit.size();
        let spent = PrivacyReport::read(&log.dir()).unwrap().unwrap().most.rho;
        match audit.annotate(batch(&people), None) {
            Ok(_) => batches += 1,
            Err(why) => {
                assert_eq!(audit.size(), size);
                let report = PrivacyReport::read(&log.dir()).unwrap().unwrap();
                assert_eq!((report.most.rho, report.rounds.len()), (spent, batches));
                break why;
            }
        }
    };
    assert!(batches > 1);
    let Error::Budget { people: 1, places, cost, left, .. } = &why else { panic!("{why}") };
    assert_eq!(places, &[2], "she is in the second place");
    assert!(*left >= 0.0 && left < cost);
    let text = why.to_string();
    assert!(text.contains("epsilon 15 in all") && text.contains("annotation 2"), "{text}");
    assert!(!text.contains("canary") && !text.contains('\n'));
    // A single one of hers may still fit, and others go on.
    audit.annotate(batch(&["bob", "eve"]), None).unwrap();

    // More of one annotator than a round may cost.
    let file: String =
        batch(&["eve", "bob", "bob", "bob", "bob", "bob"]).iter().map(line).collect();
    let size = audit.size();
    let why = audit.log_annotations(&log.file("many.jsonl", &file), false, &mut quiet).unwrap_err();
    let Error::BatchBudget { people: 1, most: 5, cap: 4, places, .. } = &why else {
        panic!("{why}")
    };
    assert_eq!((places.as_slice(), audit.size()), (&[2][..], size));
    assert!(
        why.to_string().contains("epsilon 10 a round")
            && why.to_string().contains("line or annotation 2")
    );
    drop(audit);
    assert_eq!(count(&log.events(), EventType::PrivacyRound), batches + 1);

    // A budget below what is spent.
    let path = log.dir().join("private/log.json");
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace("\"epsilon\": 15.0", "\"epsilon\": 10.0")).unwrap();
    let why = Audit::open(&log.dir(), None).unwrap_err().to_string();
    assert!(why.contains("less than what was already spent") && !why.contains('\n'), "{why}");
}

#[test]
fn what_nobody_can_be_charged_for_and_what_is_no_number_is_refused() {
    let log = Log::new(MODERATE);
    let mut audit = log.open();
    let nobody = Annotation::Preference {
        annotator: None,
        prompt: None,
        chosen: "a".into(),
        rejected: "b".into(),
    };
    let why = audit.annotate(vec![nobody], None).unwrap_err();
    assert!(matches!(why, Error::Annotation(AnnotationFault::Unaccountable)), "{why}");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let why = audit.annotate(vec![rating("ann", 3.0), rating("ann", bad)], None).unwrap_err();
        assert!(matches!(why, Error::Annotation(AnnotationFault::NotFinite)), "{why}");
    }
    let lines = line(&rating("ann", 3.0)) + "{\"chosen\":\"a\",\"rejected\":\"b\"}\n";
    let path = log.file("nobody.jsonl", &lines);
    let why = audit.log_annotations(&path, false, &mut quiet).unwrap_err();
    let Error::BrokenLine { line: 2, fault: AnnotationFault::Unaccountable, .. } = why else {
        panic!("{why}")
    };
    assert_eq!(
        (audit.size(), PrivacyReport::read(&log.dir()).unwrap().unwrap().rounds.len()),
        (0, 0)
    );
    let out = log.folder.path().join("out.jsonl");
    let options =
        ImportOptions { keep_going: true, released: Some(out.clone()), batch: Some("b".into()) };
    for _ in 0..2 {
        let imported = audit.import(&path, &options, &mut quiet).unwrap();
        assert_eq!((imported.released.len(), imported.left_out.len()), (1, 1));
        assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 1);
    }
    for name in ["", " ", "two\nlines", &"x".repeat(201)] {
        assert!(matches!(
            audit.annotate(vec![rating("ann", 1.0)], Some(name)),
            Err(Error::Round(_))
        ));
    }
    assert!(matches!(audit.release_round(&Default::default()), Err(Error::Round(_))));
    // In a log that releases no single values, a batch has no name.
    let plain = kit::Fresh::new();
    let why = plain.open().unwrap().annotate(vec![rating("ann", 1.0)], Some("b")).unwrap_err();
    assert!(why.to_string().contains("--privacy moderate"), "{why}");
}

#[test]
fn a_pseudonym_lasts_for_a_run_and_an_erasure_leaves_it_to_nobody() {
    let log = Log::new(MODERATE);
    let mut audit = log.open();
    for _ in 0..2 {
        audit.annotate(vec![rating("ann", 4.0), rating("bob", 1.0)], Some("b")).unwrap();
        audit.annotate(vec![rating("ann", 4.0)], None).unwrap();
        audit.end_run("completed").unwrap();
        drop(audit);
        audit = log.open();
    }
    let mut by_run: BTreeMap<_, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
    for event in log.events().iter().filter(|event| event.kind == EventType::Annotation) {
        let pseudonym = event.get("annotator").unwrap().as_bytes().unwrap().clone();
        *by_run.entry(*event.run.as_bytes()).or_default().entry(pseudonym).or_default() += 1;
    }
    let runs: Vec<_> = by_run.values().collect();
    // The second run has one batch only: the other one was logged in the first.
    assert_eq!(runs[0].values().sum::<u64>(), 3);
    assert!(runs[0].values().any(|count| *count == 2) && runs[0].len() == 2);
    assert_eq!(runs.len(), 2);
    assert!(runs[1].keys().all(|pseudonym| !runs[0].contains_key(pseudonym)));
    let report = PrivacyReport::read(&log.dir()).unwrap().unwrap();
    let before = (report.most.rho, report.annotators);

    audit.erase_annotators(&["ann".to_owned()]).unwrap();
    let why = audit.annotate(vec![rating("ann", 4.0), rating("bob", 1.0)], Some("b")).unwrap_err();
    assert!(why.to_string().contains("was erased"), "{why}");
    let report = PrivacyReport::read(&log.dir()).unwrap().unwrap();
    assert_eq!((report.most.rho, report.annotators), before, "the ledger is as it was");
    let prompt = [0; 32];
    assert!(matches!(audit.erase_prompt(&prompt), Err(Error::PromptInPrivateLog(_))));
}

#[test]
fn an_update_learned_from_released_values_only_where_there_are_some() {
    let weights = |log: &std::path::Path, name: &str, value: f32| {
        let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        let path = log.parent().unwrap().join(name);
        fs::write(&path, [&length[..], header, &value.to_le_bytes()].concat()).unwrap();
        path
    };
    let options = UpdateOptions { from_released: true, ..UpdateOptions::default() };
    let log = Log::new(MODERATE);
    let (a, b) =
        (weights(&log.dir(), "a.safetensors", 1.0), weights(&log.dir(), "b.safetensors", 2.0));
    let mut audit = log.open();
    audit.annotate(vec![rating("ann", 4.0)], None).unwrap();
    audit.log_update(&a, &b, &options, &|_| ()).unwrap();
    let card = audit.card().unwrap().card;
    let has = |id: &str| card.claims.iter().any(|claim| claim.id == id);
    assert!(has("privacy.training") && !has("privacy.scope") && has("privacy.released"));

    let plain = kit::Fresh::new();
    let mut audit = plain.open().unwrap();
    audit.annotate(vec![rating("ann", 4.0)], None).unwrap();
    let why = audit.log_update(&a, &b, &options, &|_| ()).unwrap_err();
    assert!(matches!(why, Error::NotReleased(1)), "{why}");
}

/// Says how long it takes, which means something with optimisation only.
#[test]
#[ignore = "soak"]
fn soak_a_hundred_thousand_ratings_go_in_each_with_noise() {
    let log = Log::new(PrivacySettings { cap: 50, ..MODERATE });
    let mut audit = log.open();
    let path = log.file("many.jsonl", &kit::ratings(100_000, 2_000));
    let start = std::time::Instant::now();
    let imported = audit.log_annotations(&path, false, &mut quiet).unwrap();
    eprintln!("100,000 ratings logged, each with noise, in {:?}", start.elapsed());
    assert_eq!(imported.released.len(), 100_000);
    drop(audit);
    let events = log.events();
    let mut accounting = trail::released::Accounting::default();
    (0..).zip(&events).for_each(|(index, event)| accounting.add(index, event));
    // In two windows, and in one round.
    assert_eq!((accounting.wrong(), accounting.released()), (None, [100_000, 0]));
}
