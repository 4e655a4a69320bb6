//! 2,312 real human preference pairs (Anthropic hh-rlhf, MIT), through the import that users call. The
//! texts are offensive by design and stay out of every message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use kit::{Fresh, check_openings, count, quiet, read_checked};
use trail::EventType;

#[test]
fn real_pairs_go_in_and_come_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/hh-rlhf-harmless-test.jsonl.gz");
    if !path.exists() {
        assert!(std::env::var("CI").is_err(), "the test data must be there: {}", path.display());
        eprintln!("skipped: no test data at {}", path.display());
        return;
    }
    let fresh = Fresh::new();
    let mut audit = fresh.open().unwrap();
    let imported = audit.log_annotations(&path, false, &mut quiet).unwrap();
    let logged = imported.logged;
    assert_eq!((logged.logged, logged.first_index, logged.size), (2312, 1, 2313));

    let events = read_checked(&fresh.dir(), &fresh.made.vkey);
    assert_eq!(count(&events, EventType::Annotation), 2312);
    let mut found = HashSet::new();
    for (event, index) in events.iter().zip(0..).skip(1) {
        let openings = check_openings(&audit, index, event);
        let text = |name: &str| {
            openings.iter().find(|o| o.field == name).unwrap().content.as_text().unwrap().to_owned()
        };
        let chosen = text("preference");
        let rejected = if chosen == "a" { "b" } else { "a" };
        found.insert((text(&format!("response_{chosen}")), text(&format!("response_{rejected}"))));
    }
    let file = std::fs::File::open(path).unwrap();
    for line in BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        assert!(found.contains(&(text("chosen"), text("rejected"))), "a pair is missing");
    }
}
