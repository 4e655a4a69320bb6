//! A real process, killed at random moments: what it had acknowledged is there, and no half of anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kit;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ciborium::Value;
use kit::{Fresh, check_openings, read_checked};
use producer::{Annotation, Audit};
use trail::{EventType, cbor};

/// At least so many kills, and more until so many transactions were acknowledged between them.
const KILLS: u64 = 40;
const ACKNOWLEDGED: usize = 20;

const DIR: &str = "PRODUCER_TEST_WRITER_DIR";
const FIRST: &str = "PRODUCER_TEST_WRITER_FIRST";

/// The process to be killed: in the child it writes until then, elsewhere it does nothing.
#[test]
fn writer() {
    let (Ok(dir), Ok(first)) = (std::env::var(DIR), std::env::var(FIRST)) else { return };
    let mut audit = Audit::open(Path::new(&dir), None).unwrap();
    for id in first.parse::<u64>().unwrap().. {
        let mut transaction = audit.begin().unwrap();
        for i in 0..events_of(id) {
            if i % 3 == 0 {
                let data = cbor::map([("id", Value::from(id))]);
                transaction.event(EventType::Metric, data).unwrap();
            } else {
                transaction.annotate(rating(id, i)).unwrap();
            }
        }
        // Said before, so that nobody takes the number again.
        say(&format!("begin {id}"));
        transaction.commit().unwrap();
        say(&format!("done {id}"));
    }
}

fn say(line: &str) {
    // Around the test harness, which would keep the line back.
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").unwrap();
}

fn rating(id: u64, i: u64) -> Annotation {
    Annotation::Rating {
        annotator: format!("person {}", i % 11),
        prompt: id.to_string(),
        response: "response".into(),
        reward: 1.0,
    }
}

fn events_of(id: u64) -> u64 {
    [1, 3, 30, 700][id as usize % 4]
}

#[test]
fn killed_at_any_moment_it_loses_nothing() {
    let fresh = Fresh::new();
    let mut acknowledged = Vec::new();
    let mut next = 0;
    for kill in 0.. {
        if kill >= KILLS && acknowledged.len() >= ACKNOWLEDGED {
            break;
        }
        assert!(kill < 20 * KILLS, "the writer does not get on");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writer", "--exact", "--nocapture"])
            .env(DIR, fresh.dir())
            .env(FIRST, next.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Spread over opening, importing and finishing; a fixed pattern of odd moments.
        std::thread::sleep(Duration::from_micros(3_000 + kill * 37_199 % 250_000));
        child.kill().unwrap();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(id) = line.strip_prefix("begin ") {
                next = id.parse::<u64>().unwrap() + 1;
            } else if let Some(id) = line.strip_prefix("done ") {
                acknowledged.push(id.parse::<u64>().unwrap());
            } else if line.contains("panicked") {
                panic!("the writer: {line}");
            }
        }
        child.wait().unwrap();
    }

    let audit = fresh.open().unwrap();
    let mut found: HashMap<u64, u64> = HashMap::new();
    for (event, index) in read_checked(&fresh.dir(), &fresh.made.vkey).iter().zip(0..) {
        let id = match event.kind {
            EventType::Metric => cbor::as_u64(event.get("id").unwrap()).unwrap(),
            EventType::Annotation => {
                let openings = check_openings(&audit, index, event);
                let prompt = openings.iter().find(|o| o.field == "prompt").unwrap();
                prompt.content.as_text().unwrap().parse().unwrap()
            }
            _ => continue,
        };
        *found.entry(id).or_default() += 1;
    }
    for id in acknowledged {
        assert!(found.contains_key(&id), "transaction {id} was acknowledged and is not there");
    }
    for (id, count) in found {
        assert_eq!(count, events_of(id), "a part of transaction {id}");
    }
}
