//! Private content is sealed wherever it lies: a run with unique strings leaves none of them in any file,
//! in any encoding, nor in any error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use kit::{Fresh, quiet};
use producer::{Annotation, Audit};
use trail::{EventType, cbor};

const PROMPT: &str = "canary-prompt-5f0c2a91";
const RESPONSE: &str = "canary-response-77b1e3d4";
const OTHER: &str = "canary-rejected-0a9d6c52";
const PERSON: &str = "canary-person-e1b24f88";
const REWARD: f64 = 271_828.182_845_904_5;

/// Every spelling of the canaries that must not be found.
fn spellings() -> Vec<Vec<u8>> {
    let mut spellings = vec![
        REWARD.to_be_bytes().to_vec(),
        REWARD.to_le_bytes().to_vec(),
        REWARD.to_string().into_bytes(),
    ];
    for canary in [PROMPT, RESPONSE, OTHER, PERSON] {
        spellings.push(canary.into());
        spellings.push(hex::encode(canary).into());
        spellings.push(hex::encode_upper(canary).into());
        for alphabet in [alphabet::STANDARD, alphabet::URL_SAFE] {
            let engine = GeneralPurpose::new(&alphabet, NO_PAD);
            // Wherever it begins in the groups of three: what does not depend on its neighbours.
            for shift in 0..3 {
                let shifted = engine.encode([&vec![0; shift], canary.as_bytes()].concat());
                spellings.push(shifted.as_bytes()[4..shifted.len() - 4].to_vec());
            }
        }
    }
    spellings
}

fn contains(bytes: &[u8], canary: &[u8]) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary)
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path).unwrap().flat_map(|entry| files_below(&entry.unwrap().path())).collect()
}

fn assert_clean(dir: &Path) {
    let spellings = spellings();
    let files = files_below(dir);
    assert!(files.len() > 10);
    for path in files {
        let bytes = fs::read(&path).unwrap();
        for canary in &spellings {
            assert!(!contains(&bytes, canary), "a canary is in {}", path.display());
        }
    }
}

fn rating() -> Annotation {
    Annotation::Rating {
        annotator: PERSON.into(),
        prompt: PROMPT.into(),
        response: RESPONSE.into(),
        reward: REWARD,
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let dir = tempfile::tempdir().unwrap();
    let base64 = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD);
    for text in [
        format!("x{PROMPT}y"),
        hex::encode(format!("x{RESPONSE}y")),
        base64.encode(format!("x{OTHER}y")),
        base64.encode(format!("xy{PERSON}z")),
        format!("{REWARD}"),
    ] {
        fs::write(dir.path().join("file"), &text).unwrap();
        let bytes = fs::read(dir.path().join("file")).unwrap();
        assert!(spellings().iter().any(|canary| contains(&bytes, canary)), "{text}");
    }
}

#[test]
fn no_file_of_a_log_holds_private_content() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let mut transaction = audit.begin().unwrap();
    for _ in 0..300 {
        transaction.annotate(rating()).unwrap();
        transaction
            .annotate(Annotation::Preference {
                annotator: Some(PERSON.into()),
                prompt: Some(PROMPT.into()),
                chosen: RESPONSE.into(),
                rejected: OTHER.into(),
            })
            .unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(audit.openings(7).unwrap().iter().filter(|o| o.field == "prompt").count(), 1);
    assert_clean(&fresh.dir());
    audit.end_run("completed").unwrap();
    drop(audit);
    assert_clean(&fresh.dir());
}

#[test]
fn the_write_ahead_log_of_an_open_transaction_holds_none_either() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let mut transaction = audit.begin().unwrap();
    // More text than is shuffled at once, so that some of it is written before the commit.
    let long = RESPONSE.repeat(80_000 / RESPONSE.len());
    for _ in 0..1_000 {
        let Annotation::Rating { annotator, prompt, reward, .. } = rating() else { unreachable!() };
        transaction
            .annotate(Annotation::Rating { annotator, prompt, response: long.clone(), reward })
            .unwrap();
    }
    let wal = fresh.dir().join("private/wal");
    assert!(fs::metadata(wal).unwrap().len() > 1 << 20);
    assert_clean_one(&fresh.dir().join("private/wal"));
}

fn assert_clean_one(path: &Path) {
    let bytes = fs::read(path).unwrap();
    for canary in spellings() {
        assert!(!contains(&bytes, &canary), "a canary is in {}", path.display());
    }
}

#[test]
fn no_error_repeats_private_content() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let whole = format!(
        r#"{{"prompt":"{PROMPT}","response":"{RESPONSE}","annotator_id":"{PERSON}","reward":{REWARD}}}"#
    );
    let mut broken: Vec<String> = (1..whole.len()).map(|end| whole[..end].to_owned()).collect();
    broken.extend([
        whole.replace(&REWARD.to_string(), &format!("\"{RESPONSE}\"")),
        whole.replace(&format!("\"{RESPONSE}\""), &format!("[\"{RESPONSE}\"]")),
        whole.replace(&format!("\"{PERSON}\""), &REWARD.to_string()),
        whole.replace("\"prompt\"", &format!("\"{PROMPT}\"")),
        whole.replace("canary-response", "canary-\\q"),
        whole.replace("canary-prompt", "canary-\\ud800"),
        format!("\"{PROMPT}\""),
        format!("[\"{PROMPT}\"]"),
        format!("{whole} {PROMPT}"),
        format!("{PROMPT} {whole}"),
        format!(r#"{{"chosen":"{RESPONSE}","{PROMPT}":1,"rejected":2}}"#),
    ]);
    for line in broken {
        let path = fresh.file("broken.jsonl", &line);
        let error = audit.log_annotations(&path, false, &mut quiet).unwrap_err();
        assert_no_canary(&format!("{error} {error:?}"));
    }
    // A field named like content is ignored, and its name is not repeated.
    let named = whole.replace('{', &format!("{{\"a canary {PROMPT}\":\"{OTHER}\","));
    let path = fresh.file("named.jsonl", &named);
    let imported = audit.log_annotations(&path, false, &mut quiet).unwrap();
    assert_no_canary(&format!("{imported:?}"));
    assert_eq!(imported.ignored_fields.len(), 1);

    let index = imported.logged.first_index;
    drop(audit);
    let entry = fresh.dir().join(format!("tile/entries/000.p/{}", index + 1));
    let mut bytes = fs::read(&entry).unwrap();
    bytes[10] ^= 1;
    fs::write(&entry, bytes).unwrap();
    let error = Audit::open(&fresh.dir(), None).unwrap_err();
    assert_no_canary(&format!("{error} {error:?}"));
}

#[test]
fn a_damaged_vault_says_nothing_of_its_content() {
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let mut transaction = audit.begin().unwrap();
    transaction.annotate(rating()).unwrap();
    transaction.commit().unwrap();
    audit.log_event(EventType::Metric, cbor::map([])).unwrap();
    drop(audit);
    let path = fresh.dir().join("private/subjects");
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    fs::write(&path, bytes).unwrap();
    let audit = fresh.open().unwrap();
    let error = audit.openings(1).unwrap_err();
    assert!(error.to_string().contains("private/subjects"), "{error}");
    assert_no_canary(&format!("{error} {error:?} {audit:?}"));
}

fn assert_no_canary(text: &str) {
    for canary in spellings() {
        assert!(!contains(text.as_bytes(), &canary), "{text}");
    }
    assert!(!text.contains("canary"), "{text}");
}
