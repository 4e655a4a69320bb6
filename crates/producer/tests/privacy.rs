//! Rounds of noised sums, as a program uses them: what is released, what is refused, and what stays hidden.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use std::collections::BTreeSet;
use std::fs;

use kit::{count, quiet, read_checked};
use producer::{
    Audit, Error, InitOptions, Initialised, PrivacyMode, PrivacySettings, RoundRequest,
};
use sha2::{Digest as _, Sha256};
use trail::{EventType, cbor};

const STRONG: PrivacySettings = PrivacySettings {
    mode: PrivacyMode::Strong,
    epsilon: 4.0,
    epsilon_per_round: 1.0,
    delta: 1e-5,
    clip: [1.0, 5.0],
    steps_a_unit: 100,
    cap: 5,
};

/// A log under these settings.
struct Promised {
    folder: tempfile::TempDir,
    made: Initialised,
}

impl Promised {
    fn new(settings: PrivacySettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Audit::init(&folder.path().join("log"), &options(settings)).unwrap();
        Self { folder, made }
    }

    fn open(&self) -> producer::Result<Audit> {
        Audit::open(&self.dir(), None)
    }

    fn dir(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn rate(&self, audit: &mut Audit, lines: &str) {
        let path = self.folder.path().join("ratings.jsonl");
        fs::write(&path, lines).unwrap();
        audit.log_annotations(&path, false, &mut quiet).unwrap();
    }
}

fn options(settings: PrivacySettings) -> InitOptions {
    InitOptions { model: "m".into(), privacy: Some(settings), ..InitOptions::default() }
}

fn rating(who: &str, reward: f64) -> String {
    format!(r#"{{"prompt":"p","response":"r","annotator_id":"{who}","reward":{reward}}}"#) + "\n"
}

fn named(id: &str) -> RoundRequest {
    RoundRequest { id: Some(id.into()), ..RoundRequest::default() }
}

#[test]
fn a_round_is_the_sum_of_clipped_and_capped_ratings_and_noise_of_the_stated_size() {
    // As little noise as there is.
    let log = Promised::new(PrivacySettings { epsilon: 1e4, epsilon_per_round: 1e4, ..STRONG });
    let mut audit = log.open().unwrap();
    let mut lines: String = (0..200).map(|i| rating(&format!("person {i}"), 4.25)).collect();
    // Of these one counts as 5, of those five of nine count, and a preference is no rating.
    lines += &rating("far out", 1e300);
    lines += &(0..9).map(|_| rating("busy", -7.0)).collect::<String>();
    lines += "{\"chosen\":\"a\",\"rejected\":\"b\",\"annotator_id\":\"other\"}\n";
    log.rate(&mut audit, &lines);
    let round = audit.release_round(&RoundRequest::default()).unwrap();
    assert_eq!((round.count, round.entries.clone()), (206, 0..212));
    let exact = 200 * 425 + 500 + 5 * 100;
    let deviation = round.deviation * 206.0 * 100.0;
    assert!((round.sum - exact).abs() as f64 <= 8.0 * deviation.max(1.0), "{round:?}");
    assert!((round.mean - round.sum as f64 / 20_600.0).abs() < 1e-12);
    drop(audit);

    let events = read_checked(&log.dir(), &log.made.vkey);
    let event = &events[round.index as usize];
    let number = |key| cbor::as_u64(event.get(key).unwrap()).unwrap();
    // The cap times the span: all of one person's ratings are in one sum.
    let reach = 5.0 * 400.0;
    assert_eq!(
        [number("low"), number("high"), number("steps_a_unit"), number("cap")],
        [100, 500, 100, 5]
    );
    let rho = event.get("rho").unwrap().as_float().unwrap();
    assert!((rho - reach * reach / (2.0 * number("variance") as f64)).abs() < 1e-9 * rho);
    let start = &events[0];
    assert_eq!(start.get("annotator_privacy").unwrap().as_text(), Some("strong"));
    let epsilon = cbor::get(start.get("privacy").unwrap(), "epsilon").unwrap();
    assert_eq!(epsilon.as_float(), Some(1e4));
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_another_one_is_refused() {
    let log = Promised::new(STRONG);
    let mut audit = log.open().unwrap();
    log.rate(&mut audit, &rating("ann", 3.0));
    let first = audit.release_round(&named("a")).unwrap();
    log.rate(&mut audit, &rating("ann", 4.0));
    assert_eq!(audit.release_round(&named("a")).unwrap(), first);
    drop(audit);
    let mut audit = log.open().unwrap();
    assert_eq!(audit.release_round(&named("a")).unwrap(), first);
    let other = RoundRequest { entries: Some(0..2), ..named("a") };
    let why = audit.release_round(&other).unwrap_err().to_string();
    assert!(why.contains("another round has this name"), "{why}");
    // Since the last round there is one rating more; after it there is none.
    assert_eq!(audit.release_round(&RoundRequest::default()).unwrap().count, 1);
    let why = audit.release_round(&RoundRequest::default()).unwrap_err().to_string();
    assert!(why.contains("no ratings"), "{why}");
    let beyond = RoundRequest { entries: Some(0..1000), ..named("c") };
    assert!(matches!(audit.release_round(&beyond), Err(Error::NoSuchRange { .. })));
    assert!(audit.release_round(&named("two\nlines")).is_err());
    drop(audit);
    let events = read_checked(&log.dir(), &log.made.vkey);
    assert_eq!(count(&events, EventType::PrivacyRound), 2);
}

#[test]
fn an_exhausted_budget_stops_the_round_and_says_what_is_left() {
    let log = Promised::new(PrivacySettings { epsilon: 1.5, ..STRONG });
    let mut audit = log.open().unwrap();
    let mut rounds = 0;
    let why = loop {
        log.rate(&mut audit, &(rating("canary-ann", 3.0) + &rating(&format!("new {rounds}"), 2.0)));
        match audit.release_round(&RoundRequest::default()) {
            Ok(_) => rounds += 1,
            Err(why) => break why,
        }
    };
    assert!(rounds > 1);
    let Error::Budget { people, cost, left, .. } = why else { panic!("{why}") };
    assert!(people == 1 && left >= 0.0 && left < cost);
    assert!(why.to_string().contains("epsilon 1.5 in all") && !why.to_string().contains("canary"));
    let size = audit.size();
    // Nothing was charged: those who have a budget go on without her.
    let without = RoundRequest { entries: Some(size..size + 1), ..RoundRequest::default() };
    log.rate(&mut audit, &rating("bob", 3.0));
    audit.release_round(&without).unwrap();
    drop(audit);

    // A budget below what is spent.
    let path = log.dir().join("private/log.json");
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace("\"epsilon\": 1.5", "\"epsilon\": 1.1")).unwrap();
    let why = log.open().unwrap_err().to_string();
    assert!(why.contains("less than what was already spent"), "{why}");
}

#[test]
fn without_settings_the_log_says_that_nothing_is_noised() {
    let fresh = kit::Fresh::new();
    let mut audit = fresh.open().unwrap();
    audit.start_run().unwrap();
    let why = audit.release_round(&RoundRequest::default()).unwrap_err().to_string();
    assert!(why.contains("no privacy settings"), "{why}");
    drop(audit);
    let events = read_checked(&fresh.dir(), &fresh.made.vkey);
    assert_eq!(events[0].get("annotator_privacy").unwrap().as_text(), Some("minimal"));
}

#[test]
fn bad_settings_make_no_log_and_two_processes_share_no_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    let bad = options(PrivacySettings { epsilon: f64::NAN, ..STRONG });
    assert!(matches!(Audit::init(&dir, &bad), Err(Error::PrivacySettings(_))));
    assert!(!dir.exists());
    Audit::init(&dir, &options(STRONG)).unwrap();
    let _first = Audit::open(&dir, None).unwrap();
    assert!(matches!(Audit::open(&dir, None), Err(Error::Locked { .. })));
}

#[test]
fn nothing_public_is_a_guessable_function_of_ids_and_ratings() {
    guess_everything(STRONG, 40);
}

#[test]
fn nothing_public_is_one_where_values_are_released_one_by_one() {
    // A pseudonym is the same in both batches of the run.
    guess_everything(PrivacySettings { mode: PrivacyMode::Moderate, ..STRONG }, 20);
}

/// What anybody can see, tried against every rating and every id there could be.
fn guess_everything(settings: PrivacySettings, different_pseudonyms: usize) {
    let rounds = settings.mode == PrivacyMode::Strong;
    let log = Promised::new(settings);
    let mut audit = log.open().unwrap();
    let ids: Vec<String> = (0..20).map(|i| format!("annotator-{i}")).collect();
    let mut pseudonyms = BTreeSet::new();
    for _ in 0..2 {
        let lines: String =
            ids.iter().zip(0..).map(|(id, i)| rating(id, f64::from(i % 5 + 1))).collect();
        log.rate(&mut audit, &lines);
        if rounds {
            audit.release_round(&RoundRequest::default()).unwrap();
        }
    }
    drop(audit);
    let events = read_checked(&log.dir(), &log.made.vkey);
    let annotations: Vec<_> = events.iter().filter(|e| e.kind == EventType::Annotation).collect();
    for event in &annotations {
        pseudonyms.insert(event.get("annotator").unwrap().as_bytes().unwrap().clone());
    }
    assert_eq!(pseudonyms.len(), different_pseudonyms, "how long a pseudonym lasts");

    let ratings = (1..=5).flat_map(|r| {
        let float = f64::from(r);
        let cbor = |value| cbor::encode(&value).unwrap();
        [
            r.to_string().into_bytes(),
            format!("{float:?}").into_bytes(),
            float.to_be_bytes().to_vec(),
            float.to_le_bytes().to_vec(),
            cbor(r.into()),
            cbor(ciborium::Value::Float(float)),
        ]
    });
    let guesses: Vec<Vec<u8>> =
        ids.iter().map(|id| id.clone().into_bytes()).chain(ratings).collect();
    let entries = producer::LogReader::open(&log.dir()).unwrap();
    let public: Vec<u8> = entries.entries(0..entries.size()).flat_map(Result::unwrap).collect();
    let windows = |n: usize| public.windows(n).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    let (hashes, names) = (windows(32), windows(16));
    for event in &annotations {
        let place = [event.run.as_bytes().as_slice(), &event.seq.to_be_bytes()].concat();
        let pseudonym = event.get("annotator").unwrap().as_bytes().unwrap().clone();
        for guess in &guesses {
            for salt in
                [&[][..], event.run.as_bytes(), &place, &pseudonym, log.made.origin.as_bytes()]
            {
                for text in [[salt, guess].concat(), [guess, salt].concat()] {
                    let hash = Sha256::digest(&text).to_vec();
                    assert!(!hashes.contains(&hash) && !names.contains(&hash[..16]));
                }
            }
            for field in ["reward", "annotator"] {
                let content = cbor::decode(guess)
                    .unwrap_or_else(|_| String::from_utf8_lossy(guess).as_ref().into());
                for blind in [[0; 32], [0xFF; 32]] {
                    let opening = trail::commitment::Opening {
                        field: field.into(),
                        blind,
                        content: content.clone(),
                    };
                    let commitment = opening.commitment(&event.run, event.seq).unwrap();
                    assert!(!hashes.contains(commitment.as_slice()));
                }
            }
        }
    }
    assert!(ids.iter().all(|id| !public.windows(id.len()).any(|w| w == id.as_bytes())));
}

/// Says how long it takes, which means something with optimisation only.
#[test]
#[ignore = "soak"]
fn soak_a_hundred_thousand_ratings_and_their_round_go_in() {
    let log = Promised::new(STRONG);
    let mut audit = log.open().unwrap();
    let lines = kit::ratings(100_000, 2_000);
    let path = log.folder.path().join("many.jsonl");
    fs::write(&path, lines).unwrap();
    let start = std::time::Instant::now();
    audit.log_annotations(&path, false, &mut quiet).unwrap();
    let logged = start.elapsed();
    let round = audit.release_round(&RoundRequest::default()).unwrap();
    let all = start.elapsed();
    eprintln!("100,000 ratings logged in {logged:?}, with their round {all:?}");
    assert_eq!(round.count, 10_000);
}

#[test]
fn who_is_erased_leaves_the_ledger_as_it_was_and_the_next_round_to_the_others() {
    let promised = Promised::new(STRONG);
    let mut audit = promised.open().unwrap();
    promised.rate(&mut audit, &(rating("ann", 5.0) + &rating("bob", 1.0)));
    let first = audit.release_round(&named("first")).unwrap();
    promised.rate(&mut audit, &(rating("ann", 5.0) + &rating("bob", 1.0)));
    audit.erase_annotators(&["ann".to_owned()]).unwrap();
    drop(audit);
    let mut audit = promised.open().unwrap();
    assert_eq!(audit.release_round(&named("first")).unwrap(), first, "the same answer");
    let second = audit.release_round(&named("second")).unwrap();
    assert_eq!(second.count, 1, "what ann gave can no longer be counted");
    // New keys for bob would give bob a new budget.
    let prompt = Sha256::digest("p").into();
    assert!(matches!(audit.erase_prompt(&prompt), Err(Error::PromptInPrivateLog(_))));
    assert_eq!(audit.release_round(&named("second")).unwrap(), second);
}
